"""One shared crew of threads, for kernels that run without Python.

The caller writes what is to be done on a board, and works; so do helpers, who watch the board.
Units of work are taken in chunks, by counting on the board, the first of them by the caller and the
last by helpers, until they meet; so nobody waits for anybody but at the end. Each unit is computed
by one thread, in an order that does not depend on which thread it is: results have the same bits
for every number of threads.

Waking a sleeping thread can cost more than a small convolution takes, and so can waiting for the
interpreter lock: above all on virtual machines. So a helper holds no lock while it watches, and
sleeps only after it has watched in vain for about a millisecond. When it is woken it keeps away
from the processor that the caller is on, for some systems leave it there.
"""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import count
from queue import SimpleQueue
from threading import RLock, Thread
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, from_dtype, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from convref.kernels.jit.flat import pointer
from convref.kernels.jit.kept import callback, compiled
from convref.memory import HEAD, address
from convref.threads import num_threads

Array = NDArray[Any]

WORTH_A_THREAD = 100_000
"""Multiply-adds that take about as long as it takes another thread to begin."""
CHUNKS_PER_THREAD = 8
"""Enough for threads to finish together on a busy machine, few enough to cost nothing."""
PATIENCE = 3_000_000
"""How often a helper looks at the board before it sleeps."""
PLACES = 15
(
    OPEN, NEXT, LAST, INSIDE, SEATS, FUNCTION, WORDS, A, B, OUT, CHUNKS, UNITS, ASLEEP, TAKEN, TURN,
) = range(0, 8 * PLACES, 8)  # fmt: skip
"""What is where on the board, each in a cache line of its own."""


class Kernel(dict[np.dtype[Any], int]):
    """A function of ``(words, a, b, out, start, stop)``: for each dtype where its machine code is.

    It works on the units from start to stop. a, b and out are the operands' addresses, ``words``
    that of a list of integers and addresses, made by `listed`.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.compiled: dict[np.dtype[Any], Any] = {}

    def __missing__(self, dtype: np.dtype[Any]) -> int:
        words, numbers = types.CPointer(types.int64), types.CPointer(from_dtype(dtype))
        signature = types.void(words, numbers, numbers, numbers, types.int64, types.int64)
        # The first, where several Python threads compile it: another may be running it.
        made = self.compiled.setdefault(dtype, callback(signature, self.function))
        self[dtype] = address = int(made.address)
        return address


def listed(*items: int | Array) -> Any:
    """Integers, and the addresses of arrays that somebody keeps, as the words of a kernel."""
    if config.DISABLE_JIT:
        return tuple(i.ravel() if isinstance(i, np.ndarray) else i for i in items)
    return np.array([address(i) if isinstance(i, np.ndarray) else i for i in items], np.int64)


class Crew:
    """The board, and the helpers who watch it."""

    def __init__(self) -> None:
        self.board = np.zeros(8 * PLACES, np.int64)
        self.bell: SimpleQueue[None] = SimpleQueue()
        """Not a semaphore: the lock in one can stay locked when an interrupt comes."""
        self.turns = count(1)
        self.hiring = RLock()
        """Can be entered again: by the handler of a signal that comes while its caller hires."""
        self.helpers = 0
        self.caller = -1
        """The processor that the last caller was on."""

    def hire(self, wanted: int) -> None:
        """As many helpers as wanted, or as the system allows, for as long as the process lives."""
        # Compiled here, on a board of nobody's: a helper must not hold the compiler's lock when the
        # process forks, and an interrupt in the compiler, with work posted, can end the process.
        board, nothing = np.zeros_like(self.board), (0,) * 5
        watch(board, 0)
        work(board, 1, *nothing, 0, 0, 0)
        lead(board, 1)
        rung(board, 0)
        self.caller = processor()
        with self.hiring:
            while self.helpers < wanted:
                # Counted before it can sleep: no more are rung for than are counted.
                self.helpers += 1
                try:
                    Thread(target=self.help, name="convref", daemon=True).start()
                except RuntimeError:  # no more threads: the caller does what they would have
                    self.helpers -= 1
                    return

    def help(self) -> None:
        """Watch the board; sleep when nothing comes up; wake with the bell."""
        while True:
            keep_off(self.caller)
            watch(self.board, PATIENCE)
            self.bell.get()

    def wake(self, asleep: int) -> None:
        """Ring for so many helpers who sleep.

        They are counted off last: an interrupt makes them be rung for twice, not never. So more may
        seem to sleep than were hired.
        """
        self.caller = processor()
        for _ in range(min(asleep, self.helpers)):
            self.bell.put(None)
        rung(self.board, asleep)


_crew = Crew()


def share(
    kernel: Kernel, words: Any, a: Array, b: Array, out: Array, units: int, macs: int,
    threads: int | None = None,
) -> None:  # fmt: skip
    """Let the kernel do all of ``range(units)``, shared among so many threads, or those there are.

    ``macs`` is the number of multiply-adds in all: a few are not worth a second thread.
    """
    if not units:
        return
    if config.DISABLE_JIT:
        with np.errstate(all="ignore"):
            kernel.function(words, a, b, out, 0, units)
        return
    threads, chunks = dealt(units, 1 + macs // WORTH_A_THREAD, threads or num_threads())
    places = kernel[out.dtype], id(words), id(a), id(b), id(out)
    if threads == 1:
        alone(*places, units)
        return
    crew = _crew
    if crew.helpers < threads - 1:
        crew.hire(threads - 1)
    turn, asleep = next(crew.turns), 1
    # An interrupt can come out between any two steps here, but not in machine code.
    try:
        asleep = work(crew.board, turn, *places, chunks, units, threads - 1)
        if asleep > 0:
            crew.wake(asleep)
    finally:
        if asleep > 0:
            lead(crew.board, turn)


@lru_cache(maxsize=1024)
def dealt(units: int, worth: int, most: int) -> tuple[int, int]:
    """How many of at most so many threads share units that are worth some, and in what chunks."""
    threads = min(most, units, worth)
    chunks = min(units, threads * CHUNKS_PER_THREAD, worth)
    if worth > units:
        # Of units a few more than chunks none is to be two large ones: who takes that last is late.
        chunks = -(-units // (units // chunks))
    return threads, chunks


@compiled()
def alone(function, words, a, b, out, units):
    """All units in this thread."""
    _call(function, words, a, b, out, 0, units)


@compiled()
def work(board, turn, function, words, a, b, out, chunks, units, seats):
    """Post the work and do it; where helpers sleep only post it, and tell how many sleep.

    Where another Python thread has taken the board, do it alone.
    """
    asleep = post(board, turn, function, words, a, b, out, chunks, units, seats)
    if asleep < 0:
        alone(function, words, a, b, out, units)
    if asleep == 0:
        lead(board, turn)
    return asleep


@compiled()
def post(board, turn, function, words, a, b, out, chunks, units, seats):
    """Post the work on the board, and tell how many helpers sleep then; -1 where it is taken."""
    if _add(board, TAKEN, 1) > 0:
        _add(board, TAKEN, -1)
        return -1
    board[FUNCTION], board[WORDS], board[A], board[B], board[OUT] = function, words, a, b, out
    board[CHUNKS], board[UNITS], board[SEATS] = chunks, units, seats
    board[NEXT], board[LAST], board[TURN] = 0, chunks, turn
    _add(board, OPEN, 1)
    # One too few for a moment, where one was rung for who stayed awake.
    return max(0, _add(board, ASLEEP, 0))


@compiled()
def lead(board, turn):
    """Do what was posted with whoever comes, and wait for those still at it.

    Where an interrupt came before it was posted, or after it was done, there is nothing to do.
    """
    if _look(board, TURN) != turn:
        return
    take_chunks(board, False)
    _add(board, OPEN, -1)
    while _add(board, INSIDE, 0) > 0:
        pass
    board[TURN] = 0
    _add(board, TAKEN, -1)


@compiled()
def watch(board, patience):
    """Help with whatever is posted; after so many looks in vain, say so and return."""
    looks = 0
    while True:
        looks += 1
        if _wanted(board):
            # Inside, and then open: until we leave, nobody changes what the board says.
            before = _add(board, INSIDE, 1)
            if _add(board, OPEN, 0) > 0 and before < board[SEATS]:
                take_chunks(board, True)
                looks = 0
            _add(board, INSIDE, -1)
        if looks >= patience:
            # Asleep, and then not open: who posts opens, and then counts who is asleep.
            _add(board, ASLEEP, 1)
            if _add(board, OPEN, 0) == 0 or not _wanted(board):
                return
            _add(board, ASLEEP, -1)


@compiled()
def _wanted(board):
    """Whether there is work on the board, and a seat."""
    if _look(board, OPEN) == 0 or _look(board, NEXT) >= _look(board, CHUNKS):
        return False
    return _look(board, INSIDE) < _look(board, SEATS)


@compiled()
def take_chunks(board, helping):
    """Take chunks until none is left: the caller from the first on, helpers from the last back.

    So in each step of a call, and in each call, a thread does much the same part of the work, and
    finds in its own cache what it wrote before.
    """
    chunks, units, first = board[CHUNKS], board[UNITS], 0
    while _add(board, NEXT, 1) < chunks:
        chunk = first
        if helping:
            chunk = _add(board, LAST, -1) - 1
        else:
            first += 1
        _call(
            board[FUNCTION], board[WORDS], board[A], board[B], board[OUT],
            units * chunk // chunks, units * (chunk + 1) // chunks,
        )  # fmt: skip


@compiled()
def rung(board, asleep):
    """So many helpers sleep no more, for they are about to wake."""
    _add(board, ASLEEP, -asleep)


@intrinsic
def _call(typing_context, function, words, a, b, out, start, stop):
    """Call the machine code of a kernel with what Python's arrays of these identities hold."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        index = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [index] * 6)
        fields = [builder.add(array, index(HEAD)) for array in args[1:5]]
        held = [builder.load(builder.inttoptr(at, index.as_pointer())) for at in fields]
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [*held, *args[5:]])
        return context.get_dummy_value()

    i = types.int64
    return types.void(i, i, i, i, i, i, i), generate


@intrinsic
def _add(typing_context, board, at, number):
    """Add to a number on the board in one step; its value before."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        place = builder.gep(pointer(context, builder, signature, args, 0), [args[1]])
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return types.int64(board, types.int64, types.int64), generate


@intrinsic
def _look(typing_context, board, at):
    """A number on the board, read from memory each time."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        place = builder.gep(pointer(context, builder, signature, args, 0), [args[1]])
        return builder.load_atomic(place, "acquire", 8)

    return types.int64(board, types.int64), generate


def processor() -> int:
    """The processor that this thread is on; -1 where no one tells."""
    return _processor() if _processor else -1


def keep_off(caller: int) -> None:
    """Let this thread run anywhere but on one processor; a sandbox that forbids it is no error."""
    if _processor and caller >= 0:
        with suppress(OSError):
            allowed = _allowed()
            os.sched_setaffinity(0, allowed - {caller} or allowed)


def _allowed() -> set[int]:
    """The processors that the process may use, as its main thread has them."""
    return os.sched_getaffinity(os.getpid())


_processor: Callable[[], int] | None = None
if hasattr(os, "sched_setaffinity"):  # Linux
    _processor = getattr(ctypes.CDLL(None), "sched_getcpu", None)


def _dismiss() -> None:
    """A forked child has none of its parent's threads; it hires a crew of its own."""
    global _crew
    _crew = Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_dismiss)
