"""Sequential and Residual: the same layers called by hand, one after the other and back."""

import numpy as np
import pytest
from gradients import assert_affine, assert_gradients
from messages import refused

from convref import ShapeError, WordError
from convref.layers import Conv2d, ReLU, Residual, Sequential


def small_net(dtype: str = "float64") -> Sequential:
    """Two convolutions, with a residual block between them."""
    rng = np.random.default_rng(3)
    words = {"padding": "same", "dtype": dtype, "rng": rng}
    block = Sequential(Conv2d(4, 4, 3, **words), ReLU(), Conv2d(4, 4, 3, **words))
    return Sequential(
        Conv2d(2, 4, 3, stride=2, **words), ReLU(), Residual(block), Conv2d(4, 3, (3, 2), rng=rng,
        dtype=dtype),
    )  # fmt: skip


def test_a_row_is_its_layers_called_in_turn(rng: np.random.Generator) -> None:
    net = small_net()
    x = rng.standard_normal((2, 2, 8, 8))
    by_hand = x
    for layer in net.layers:
        by_hand = layer(by_hand)
    np.testing.assert_array_equal(net(x), by_hand)
    dx = net.backward(by_hand)
    back = by_hand
    for layer in reversed(net.layers):
        back = layer.backward(back)
    np.testing.assert_array_equal(dx, back)


def test_gradients(rng: np.random.Generator) -> None:
    assert_gradients(small_net(), rng.standard_normal((2, 2, 8, 8)), rng)


def test_a_shortcut_is_differentiated_too(rng: np.random.Generator) -> None:
    shortcut = Conv2d(2, 4, 1, stride=2, dtype="float64")
    layer = Residual(Conv2d(2, 4, 3, stride=2, padding="same", dtype="float64"), shortcut)
    assert_affine(layer, rng.integers(-4, 5, (2, 2, 7, 7)).astype(float), rng)
    assert shortcut.weight.grad is not None


def test_parameters_by_dotted_name() -> None:
    net = small_net()
    assert list(net.parameters()) == [
        "0.weight", "0.bias", "2.body.0.weight", "2.body.0.bias", "2.body.2.weight",
        "2.body.2.bias", "3.weight", "3.bias",
    ]  # fmt: skip
    assert net.parameters()["2.body.2.bias"] is net.layers[2].body.layers[2].bias


def test_flags_reach_every_layer() -> None:
    net = small_net()
    net.training = False
    assert not net.layers[2].body.layers[0].training
    net.layers[2].trainable = False
    assert list(net.trained()) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    net.backward(net(np.ones((1, 2, 8, 8))))
    assert net.parameters()["2.body.0.weight"].grad is None
    assert net.parameters()["0.weight"].grad is not None


def test_a_layer_that_is_added_takes_the_flags() -> None:
    net = Sequential()
    net.training = False
    net.append(ReLU())
    assert not net.layers[0].training


def test_an_empty_row_changes_nothing(rng: np.random.Generator) -> None:
    net = Sequential()
    x = rng.standard_normal((2, 3))
    np.testing.assert_array_equal(net(x), x)
    np.testing.assert_array_equal(net.backward(x), x)


def test_messages_say_which_layer() -> None:
    net = Sequential(Residual(Sequential(Conv2d(2, 2, 3, name="conv")), name="block"), name="net")
    with refused(
        ShapeError,
        "net > block > Sequential > conv: `w` (shape (2, 2, 3, 3)) takes 2 input channels in "
        "`groups` (=1), and `x` (shape (1, 5, 8, 8)) has 5; use weights of shape (2, 5, 3, 3)",
    ):
        net(np.ones((1, 5, 8, 8)))
    with refused(
        ShapeError,
        "net > block: the body gives (1, 2, 6, 6), and the way around it (1, 2, 8, 8); give a "
        "shortcut, such as Conv2d with kernel_size=1, that makes them equal",
    ):
        net(np.ones((1, 2, 8, 8)))


def test_what_is_no_layer_is_refused() -> None:
    with refused(
        WordError,
        "Sequential: a list is not a layer; pass layers one by one: Sequential(A(), B())",
    ):
        Sequential([ReLU()])  # type: ignore[arg-type]
    with refused(
        WordError, "Residual: `body` (a function) is not a layer; pass one, such as Sequential(...)"
    ):
        Residual(test_gradients)  # type: ignore[arg-type]


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    small_net("float32").summary((2, 8, 8))
    assert capsys.readouterr().out == (
        "layer     kind      output     parameters  multiply-adds     memory    field\n"
        "--------  --------  ---------  ----------  -------------  ---------  -------\n"
        "0         Conv2d    4 x 4 x 4          76          1,152  256 bytes    3 x 3\n"
        "1         ReLU      4 x 4 x 4           0              0  256 bytes    3 x 3\n"
        "2.body.0  Conv2d    4 x 4 x 4         148          2,304  256 bytes    7 x 7\n"
        "2.body.1  ReLU      4 x 4 x 4           0              0  256 bytes    7 x 7\n"
        "2.body.2  Conv2d    4 x 4 x 4         148          2,304  256 bytes  11 x 11\n"
        "2         Residual  4 x 4 x 4           0              0  256 bytes  11 x 11\n"
        "3         Conv2d    3 x 2 x 3          75            432   72 bytes  15 x 13\n"
        "\n"
        "parameters: 447, of which 447 are trained (1.7 KiB)\n"
        "multiply-adds: 6,192\n"
        "memory: 3.3 KiB with all outputs\n"
    )


def test_a_summary_builds_layers_that_wait_for_their_channels(
    capsys: pytest.CaptureFixture[str],
) -> None:
    net = Sequential(Conv2d(None, 4, 3), Residual(Conv2d(None, 4, 1)))
    net.summary((2, 8, 8))
    assert "parameters: 96" in capsys.readouterr().out
    with refused(
        ShapeError,
        "Sequential: `x` (shape (1, 8)) has 2 axes, and 2 spatial axes take at least 3; give it "
        "the shape (..., C, *spatial)",
    ):
        Sequential(Conv2d(None, 4, 3)).summary(8)
