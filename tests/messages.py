"""Refusals by their full text."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from convref import ConvrefError


@contextmanager
def refused(kind: type[ConvrefError], message: str) -> Iterator[None]:
    """The block must raise this kind of error with exactly this message."""
    with pytest.raises(ConvrefError) as caught:
        yield
    assert str(caught.value) == message
    assert type(caught.value) is kind
