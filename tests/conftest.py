"""Settings of the whole suite: Hypothesis profiles, the seed, the back ends.

Every run draws the same examples. `--hypothesis-profile=thorough` draws many more of them, and
`--hypothesis-profile=brief` fewer, for frameworks that compile anew for every shape.
"""

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings

import convref

if "numba" not in convref.backends():
    collect_ignore_glob = [
        "jit_cases.py", "test_jit*.py", "test_trust_cache.py", "test_trust_concurrency.py",
        "test_trust_memory.py", "test_winograd.py",
    ]  # fmt: skip

SEED = 1603_07285

settings.register_profile(
    "quick", derandomize=True, database=None, deadline=None, max_examples=50, print_blob=True
)
settings.register_profile("brief", settings.get_profile("quick"), max_examples=5)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=2000)
settings.load_profile("quick")


def pytest_report_header() -> str:
    profile = settings.default
    drawn = "fixed seeds" if profile.derandomize else "random seeds"
    return (
        f"convref: {profile.max_examples} Hypothesis examples a test ({drawn}), NumPy seed {SEED}, "
        f"back ends {', '.join(convref.backends())}"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items if "numba" not in convref.backends() else ():
        if item.get_closest_marker("numba"):
            item.add_marker(pytest.mark.skip(reason="needs numba"))


@pytest.fixture(params=convref.backends(), scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """Each back end that works here."""
    return request.param


@pytest.fixture(scope="module")
def eager_threads() -> Iterator[None]:
    """Share even the smallest work among threads, in this module from here on."""
    crew = pytest.importorskip("convref.kernels.jit.crew", exc_type=ImportError)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crew, "WORTH_A_THREAD", 1)
        yield


@pytest.fixture(autouse=True)
def same_draws(request: pytest.FixtureRequest) -> None:
    """A test draws the same numbers whichever ran before it, as do the frameworks it imports."""
    if drawing := getattr(request.module, "RANDOM", None):
        drawing.bit_generator.state = np.random.default_rng(SEED).bit_generator.state
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(SEED)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(SEED)
    if "brainpy" in sys.modules:
        sys.modules["brainpy"].math.random.seed(SEED)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)
