"""Fixtures for pytest, there as soon as convref is installed.

Every run of pytest loads this file, and with it the package itself, which is NumPy and a few
hundredths of a second. The rest is imported where a fixture is used.
"""

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def convref() -> ModuleType:
    """The package, with `convref.testing`."""
    import convref.testing

    return convref


@pytest.fixture(scope="session")
def assert_conv() -> Callable[..., None]:
    """`convref.testing.assert_conv`: fail unless an output is legitimate, and say what is wrong."""
    from convref.testing import assert_conv

    return assert_conv
