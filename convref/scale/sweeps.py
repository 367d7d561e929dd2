"""A sweep over a cluster: batches of drawn cases, each drawn and judged by a worker."""

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from convref.errors import MissingExtraError, WordError, shown, verb
from convref.testing.sweep import Advance, Sweep, accepted, check_count, examined

if TYPE_CHECKING:
    from distributed import Client

ONE_AT_A_TIME = Lock()
"""Not all versions of Hypothesis draw in several threads."""


def nothing() -> None:
    """Progress that no one looks at."""


@verb
def sweep(
    against: str,
    cases: int = 500,
    seed: int = 0,
    advance: Advance = nothing,
    *,
    batch: int = 100,
    client: "Client | None" = None,
) -> Sweep:
    """`convref.testing.sweep.sweep` on a cluster, ``batch`` cases a task.

    The framework named by ``against`` ("torch", "jax" or "onnxruntime") is that of the workers.
    ``advance`` is called here, once for each case, whenever a batch is done. ``client`` is the one
    that was made last, unless given. A wrong output ends the sweep: the first one, in the order of
    batches, which are drawn from ``seed`` and their number. So equal seeds and batches give equal
    sweeps, on any number of workers::

        with distributed.LocalCluster() as cluster, cluster.get_client():
            found = scale.sweep("torch", cases=10_000, seed=1)

    Raises WordError for an unknown framework, for numbers below 1, and without a client;
    MissingExtraError where a package is not installed, ConvrefError where all cases are refused.
    """
    try:
        from distributed import as_completed, default_client
    except ImportError as error:
        raise MissingExtraError(
            "the package distributed is not installed", "pip install 'convref[dask]'"
        ) from error
    check_count(cases)
    if batch < 1:
        raise WordError(f"`batch` (={shown(batch)}) must be at least 1", "use 100 or so")
    try:
        client = client or default_client()
    except ValueError:
        raise WordError(
            "there is no cluster to work on", "make one: distributed.Client()"
        ) from None
    counts = [min(batch, cases - done) for done in range(0, cases, batch)]
    numbers = range(len(counts))
    given = [against] * len(counts), counts, [seed] * len(counts), numbers
    futures = client.map(examine, *given, pure=False)
    place = {future.key: number for number, future in enumerate(futures)}
    found: dict[int, Sweep] = {}
    last = len(counts)
    try:
        for future in as_completed(futures):
            number = place[future.key]
            if number > last:  # after a wrong one
                continue
            found[number] = future.result()
            for _ in range(found[number].cases + found[number].refused):
                advance()
            if found[number].minimal is not None:
                last = number
                client.cancel(futures[last + 1 :])
    finally:
        client.cancel(futures)
    return accepted(together(seed, [found[number] for number in sorted(found) if number <= last]))


def examine(against: str, cases: int, seed: int, number: int) -> Sweep:
    """One batch, on a worker."""
    own = np.random.SeedSequence((seed, number)).generate_state(1)
    with ONE_AT_A_TIME:
        found = examined(against, cases, int(own[0]), nothing)
    judged = (
        (replace(case, name=f"{against}-{number}{case.name.removeprefix(against)}"), output, report)
        for case, output, report in found.judged
    )
    return replace(found, judged=tuple(judged))


def together(seed: int, batches: Sequence[Sweep]) -> Sweep:
    """All batches as one sweep."""
    return replace(
        batches[-1],
        seed=seed,
        cases=sum(found.cases for found in batches),
        refused=sum(found.refused for found in batches),
        refusal=next((found.refusal for found in batches if found.refusal), ""),
        judged=tuple(judged for found in batches for judged in found.judged),
    )
