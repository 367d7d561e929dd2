"""Dropout."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convref.dtypes import divisible, wide
from convref.errors import verb
from convref.integers import real
from convref.layer import Layer, generator

Array = NDArray[Any]


class Dropout(Layer):
    """While training, ``y = x / (1 - rate)``, or 0 with the probability ``rate``; otherwise y = x.

    Which elements are dropped is drawn anew in each call from ``rng``, a generator or a seed.
    Integers become float64.

    Raises WordError for a rate that is not in [0, 1).

    >>> layer = Dropout(0.5, rng=0)
    >>> layer([[1.0, 2.0, 3.0, 4.0]])
    array([[2., 4., 6., 0.]])
    >>> layer.backward([[1.0, 1.0, 1.0, 1.0]])
    array([[2., 2., 2., 0.]])

    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, "Dropout: a simple way to prevent
    neural networks from overfitting", JMLR 2014; scaled while training, not afterwards.
    """

    @verb
    def __init__(
        self, rate: float, *, rng: np.random.Generator | int | None = None, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.rate = real("rate", rate, "of 0 or more and below 1")
        self.rng = generator(rng)

    def forward(self, x: Array) -> Array:
        x = divisible(x)
        self.kept: Array | None = None
        if not self.training:
            return x
        self.kept = self.rng.random(x.shape, np.float32) >= self.rate
        return self.thinned(x, self.kept)

    def gradient(self, dy: Array) -> Array:
        return dy if self.kept is None else self.thinned(dy, self.kept)

    def thinned(self, x: Array, kept: Array) -> Array:
        """What is kept, scaled so that the expectation is that of x."""
        with np.errstate(all="ignore"):
            y = np.asarray(wide(x) / (1 - self.rate))
            np.copyto(y, 0, where=~kept)  # not multiplied: what is dropped may be infinite
            return y.astype(x.dtype.newbyteorder("="), copy=False)
