"""Padding words resolved to integers: how many cells are added before and after, per axis.

| word         | before (lo)      | after (hi)   |
| ------------ | ---------------- | ------------ |
| "valid"      | 0                | 0            |
| "same"       | surplus // 2     | the rest     |
| "same_lower" | the rest         | surplus // 2 |
| "causal"     | window - 1       | 0            |
| (lo, hi)     | lo               | hi           |

The window is the extent of the dilated kernel, ``(kernel - 1) * dilation + 1``. "same" makes the
output ``ceil(size / stride)`` long; the surplus that takes is

    surplus = max((ceil(size / stride) - 1) * stride + window - size, 0)

as TensorFlow, JAX and ONNX (SAME_UPPER, SAME_LOWER) have it. Negative pairs crop.
"""

from collections.abc import Sequence

from convref.errors import WordError, shown
from convref.integers import integer, is_sequence, members

WORDS = ("valid", "same", "same_lower", "causal")

Pair = tuple[int, int]
Padding = str | int | Sequence[int] | Sequence[Sequence[int]]
"""What a user may write."""
Normal = str | tuple[Pair, ...]
"""What it is normalised to: one of WORDS, or one pair per axis."""


def normalise(padding: Padding, rank: int) -> Normal:
    """Check what the user wrote and bring it to one form, still free of sizes."""
    if isinstance(padding, str):
        if padding.lower() not in WORDS:
            raise WordError(
                f"`padding` (={shown(padding)}) is not a padding word",
                f"use one of {', '.join(map(repr, WORDS))}, an int, or one int or pair per axis",
            )
        return padding.lower()
    return pairs("padding", padding, rank)


def pairs(name: str, value: object, rank: int) -> tuple[Pair, ...]:
    """One pair (lo, hi) per axis, from an int for all of them, or an int or a pair for each."""
    if not is_sequence(value):
        return (_pair(name, value),) * rank
    found = members(name, value)
    if len(found) != rank:
        raise WordError(
            f"`{name}` (={shown(value)}) has {len(found)} entries, and there are {rank} spatial "
            "axes",
            f"give one int or one (lo, hi) pair per axis, such as {((1, 2),) * rank}",
        )
    return tuple(_pair(name, entry) for entry in found)


def _pair(name: str, entry: object) -> Pair:
    if not is_sequence(entry):
        amount = integer(name, entry)
        return amount, amount
    amounts = [integer(name, amount) for amount in members(name, entry)]
    if len(amounts) != 2:
        raise WordError(
            f"`{name}` has an entry (={shown(entry)}) of {len(amounts)} numbers for one axis",
            "give an int, or a pair (lo, hi)",
        )
    return amounts[0], amounts[1]


def resolve(padding: Normal, axis: int, size: int, window: int, stride: int) -> Pair:
    """The pair (lo, hi) of one axis whose (spread-out) input is ``size`` long.

    >>> resolve("same", axis=0, size=6, window=3, stride=2)
    (0, 1)
    >>> resolve("same_lower", axis=0, size=6, window=3, stride=2)
    (1, 0)
    """
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return window - 1, 0
    if isinstance(padding, str):
        surplus = max((-(-size // stride) - 1) * stride + window - size, 0)
        less, more = surplus // 2, surplus - surplus // 2
        return (less, more) if padding == "same" else (more, less)
    return padding[axis]


def smallest_size(padding: Normal, axis: int, output: int, window: int, stride: int) -> int:
    """The smallest input size that this padding maps to ``output`` positions.

    The ``stride`` sizes from it upwards all share that output size; a transposed convolution's
    output padding picks one of them.

    >>> smallest_size(((1, 1),), axis=0, output=4, window=3, stride=2)
    7
    """
    reach = (output - 1) * stride
    if padding in ("same", "same_lower", "causal"):
        return reach + 1
    lo, hi = resolve(padding, axis, 0, window, stride)
    return reach + window - lo - hi
