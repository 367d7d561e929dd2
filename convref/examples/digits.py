"""Train a small residual net on real handwritten digits: ``python -m convref.examples.digits``.

The data are the 1797 digits of 8 x 8 pixels that scikit-learn carries, of which every fifth is kept
for the test (E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI, 1998).
The net is trained by AdamW on digits shifted at random by a pixel. For one seed it ends with the
same bits, whatever the number of threads.
"""

import argparse
import sys
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convref.errors import ConvrefError, MissingExtraError
from convref.layer import Layer
from convref.layers import (
    BatchNorm,
    Conv2d,
    GlobalAvgPool,
    Linear,
    ReLU,
    Residual,
    SeparableConv2d,
    Sequential,
)
from convref.losses import softmax_cross_entropy
from convref.optimisers import AdamW
from convref.threads import set_num_threads

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

BATCH = 64
WIDTH = 64
SMOOTHING = 0.1
"""The share of the labels that is spread over all classes."""


class Digits(NamedTuple):
    """Images (N, 1, 8, 8) from 0 to 1, and what they show."""

    images: Images
    labels: Labels


def load() -> tuple[Digits, Digits]:
    """Digits to train on, and every fifth to test; raise MissingExtraError."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError(
            "the digits come with scikit-learn, which is not installed",
            'pip install "convref[examples]"',
        ) from None
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    held = np.arange(len(labels)) % 5 == 4
    return Digits(images[~held], labels[~held]), Digits(images[held], labels[held])


def block(rng: np.random.Generator) -> Layer:
    """Two separable convolutions, with a way around them."""
    return Residual(
        Sequential(
            SeparableConv2d(WIDTH, WIDTH, 3, padding=1, bias=False, rng=rng),
            BatchNorm(WIDTH),
            ReLU(),
            SeparableConv2d(WIDTH, WIDTH, 3, padding=1, bias=False, rng=rng),
            BatchNorm(WIDTH),
        )
    )


def residual_net(rng: np.random.Generator) -> Sequential:
    """Scores (N, 10) of images (N, 1, 8, 8)."""
    return Sequential(
        Conv2d(1, WIDTH, 3, padding=1, bias=False, rng=rng),
        BatchNorm(WIDTH),
        ReLU(),
        block(rng),
        ReLU(),
        SeparableConv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False, rng=rng),
        BatchNorm(WIDTH),
        ReLU(),
        block(rng),
        ReLU(),
        GlobalAvgPool(),
        Linear(WIDTH, 10, rng=rng),
        name="net",
    )


def shifted(images: Images, rng: np.random.Generator) -> Images:
    """Each image moved by up to a pixel, up or down and left or right."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, columns = rng.integers(0, 3, (2, len(images), 1, 1, 1))
    i, j = np.arange(8)[:, None], np.arange(8)
    sample = np.arange(len(images))[:, None, None, None]
    moved: Images = padded[sample, 0, rows + i, columns + j]
    return moved


def smoothed(labels: Labels) -> NDArray[np.float64]:
    """Probabilities (N, 10): most for the label, a little for each class.

    Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016.
    """
    certain: NDArray[np.float64] = np.eye(10)[labels]
    return (1 - SMOOTHING) * certain + SMOOTHING / 10


def train(
    net: Layer, digits: Digits, epochs: int, learning_rate: float, rng: np.random.Generator
) -> None:
    """Show the net all digits, so many times, in another order each time."""
    optimiser = AdamW(net, learning_rate)
    started = time.perf_counter()
    for epoch in range(epochs):
        # A half cosine from the full learning rate to 0: Loshchilov and Hutter, "SGDR", ICLR 2017.
        optimiser.learning_rate = learning_rate * (1 + np.cos(np.pi * epoch / epochs)) / 2
        order, total = rng.permutation(len(digits.labels)), 0.0
        for chosen in np.split(order, range(BATCH, len(order), BATCH)):
            scores = net(shifted(digits.images[chosen], rng))
            loss, dscores = softmax_cross_entropy(scores, smoothed(digits.labels[chosen]))
            net.backward(dscores)
            optimiser.step()
            total += loss * len(chosen)
        seconds = time.perf_counter() - started
        print(f"epoch {epoch + 1:2d}  loss {total / len(order):.4f}  {seconds:5.1f} s", flush=True)


def accuracy(net: Layer, digits: Digits) -> float:
    """The share of digits that the net gives their own class the highest score."""
    net.training = False
    found = net(digits.images).argmax(axis=1)
    net.training = True
    return float(np.mean(found == digits.labels))


def main(arguments: list[str] | None = None) -> int:
    """Train, print progress and, last, the accuracy on digits that were not trained on."""
    parser = argparse.ArgumentParser(
        prog="python -m convref.examples.digits", description="Train a small net on real digits."
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    parser.add_argument("--epochs", type=int, default=30, help="times that all are shown (30)")
    parser.add_argument("--threads", type=int, help="threads to compute with (all)")
    options = parser.parse_args(arguments)
    try:
        if options.threads is not None:
            set_num_threads(options.threads)
        training, test = load()
    except ConvrefError as error:
        print(error, file=sys.stderr)
        return 2
    rng = np.random.default_rng(options.seed)
    net = residual_net(rng)
    net.summary((1, 8, 8))
    train(net, training, options.epochs, 3e-3, rng)
    print(f"test accuracy {accuracy(net, test):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
