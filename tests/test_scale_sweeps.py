"""Sweeps over a cluster, against frameworks that are convref itself."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from distributed import Client
from messages import refused

import convref
from convref import ConvrefError, WordError
from convref.scale import sweep
from convref.testing import peers
from convref.testing.sweep import Sweep


class Honest:
    """Computes everything right."""

    LIMITS = ({"kinds": ("forward",)},)

    @staticmethod
    def outputs(case):
        return {"y": convref.conv(case.x, case.w, case.bias, backend="numpy", **case.words)}


class Flipped(Honest):
    """Takes the kernel of grouped convolutions the other way round."""

    @staticmethod
    def outputs(case):
        w = case.w[..., ::-1] if case.groups > 1 else case.w
        return {"y": convref.conv(case.x, w, case.bias, backend="numpy", **case.words)}


class Picky(Honest):
    """Refuses strides."""

    @staticmethod
    def outputs(case):
        if max(case.stride) > 1:
            raise NotImplementedError("no strides")
        return Honest.outputs(case)


class Refuses(Honest):
    @staticmethod
    def outputs(case):
        raise TypeError("no")


@pytest.fixture(params=[1, 3], scope="module")
def client(request) -> Iterator[Client]:
    """In this process, so that the frameworks are known; of one worker or three threads."""
    with Client(
        processes=False, n_workers=1, threads_per_worker=request.param, dashboard_address=None
    ) as client:
        yield client


@pytest.fixture
def against(monkeypatch, client) -> Callable[..., Sweep]:
    def run(peer: Any, **words: Any) -> Sweep:
        monkeypatch.setattr(peers, "load", lambda name: (peer, "1.0"))
        return sweep("fake", client=client, **words)

    return run


FOUND: dict[str, Any] = {}
"""What came of a sweep for the first client, to be the same for the next."""


def plain(found: Sweep) -> Any:
    judged = [
        (case.name, case.configuration, output, report.verdict)
        for case, output, report in found.judged
    ]
    return found.as_dict(), found.cases, found.refused, judged


def test_an_honest_framework(against) -> None:
    calls: list[float] = []
    found = against(Honest, cases=50, seed=5, batch=8, advance=lambda: calls.append(time.time()))
    assert found.as_dict() == {"against": "fake 1.0", "seed": 5, "drawn": 50}
    assert len(calls) == 50
    assert all(report.ok for _, _, report in found.judged)
    assert len({case.name for case, _, _ in found.judged}) == 50
    assert len({case.configuration for case, _, _ in found.judged}) > 40
    assert plain(found) == FOUND.setdefault("honest", plain(found))


def test_the_first_wrong_batch_ends_the_sweep(against) -> None:
    found = against(Flipped, cases=200, seed=7, batch=10)
    assert found.minimal is not None
    assert (found.minimal.groups, found.minimal.seed) == (2, 0)
    assert [report.ok for _, _, report in found.judged].count(False) == 1
    assert not found.judged[-1][2].ok
    assert found.cases < 200
    assert plain(found) == FOUND.setdefault("flipped", plain(found))


def test_what_is_refused_is_counted(against) -> None:
    found = against(Picky, cases=40, seed=5, batch=10)
    assert 5 < found.refused < 35
    assert found.cases + found.refused == 40
    assert found.refusal == "NotImplementedError: no strides"
    with refused(ConvrefError, "sweep: fake refused all 6 cases: TypeError: no"):
        against(Refuses, cases=6, batch=4)


def test_messages(client) -> None:
    with refused(WordError, "sweep: `cases` (=0) must be at least 1; draw one or more"):
        sweep("torch", 0, client=client)
    with refused(WordError, "sweep: `batch` (=0) must be at least 1; use 100 or so"):
        sweep("torch", batch=0, client=client)
    with pytest.raises(WordError, match=r"^sweep: `against` \(='caffe'\) is no framework"):
        sweep("caffe", client=client)
