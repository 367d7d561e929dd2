"""ConvLSTM: its recurrence and the way back through time, exactly in integers.

With activations that clip, integers stay integers. An oracle takes the steps by the definition on
dual numbers, which carry a derivative along with each value: forwards, where the layer goes back.
"""

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import oracles
import pytest
from gradients import assert_gradients, integers
from hypothesis import given
from hypothesis import strategies as st
from messages import refused
from numpy.typing import NDArray
from strategies import problems

from convref import DtypeError, ShapeError, WordError
from convref.activations import ReLU
from convref.constraints import NonNegative
from convref.initialisers import Orthogonal
from convref.layer import Layer, Parameter
from convref.layers.conv_lstm import ConvLSTM, ConvLSTM1d, ConvLSTM2d, ConvLSTM3d
from convref.regularisers import L2
from convref.summary import Field

Array = NDArray[Any]
KINDS = [ConvLSTM1d, ConvLSTM2d, ConvLSTM3d]


class Clip(Layer):
    """Integers to integers; another limit for the gates than for the cell tells them apart."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, x: Array) -> Array:
        self.inside = abs(x) <= self.limit
        return x.clip(-self.limit, self.limit)

    def gradient(self, dy: Array) -> Array:
        return dy * self.inside


CELL, GATE = 2, 3
CLIPS = {"activation": Clip(CELL), "recurrent_activation": Clip(GATE)}


@dataclass
class Dual:
    """A value and its derivative in one direction."""

    value: Any
    slope: Any

    def __add__(self, other: "Dual") -> "Dual":
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other: "Dual") -> "Dual":
        return Dual(self.value * other.value, self.value * other.slope + self.slope * other.value)

    def __getitem__(self, place: Any) -> "Dual":
        return Dual(self.value[place], self.slope[place])

    def clip(self, limit: int) -> "Dual":
        inside = abs(self.value) <= limit
        return Dual(self.value.clip(-limit, limit), self.slope * inside)

    def conv(self, w: "Dual", words: dict[str, Any]) -> "Dual":
        return Dual(
            oracles.forward(self.value, w.value, **words),
            oracles.forward(self.value, w.slope, **words)
            + oracles.forward(self.slope, w.value, **words),
        )


def recurrence(
    steps: list[Dual],
    w: Dual,
    u: Dual,
    bias: Dual,
    masks: list[list[Any]],
    words: dict[str, Any],
    state: tuple[Dual | None, Dual | None] = (None, None),
) -> list[Dual]:
    """h of each step, from a state (h, cell); masks are of input and h, for each gate."""
    filters, rank = u.value.shape[1], u.value.ndim - 2
    last = words["layout"] == "channels_last"
    same = {"padding": "same", "layout": words["layout"], "padding_mode": words["padding_mode"]}
    column = (-1,) if last else (-1, *[1] * rank)
    h, cell = state
    found = []
    for x in steps:
        z = []
        for gate, (seen, kept) in enumerate(zip(*masks, strict=True)):
            rows = slice(gate * filters, (gate + 1) * filters)
            constant = Dual(bias.value[rows].reshape(column), bias.slope[rows].reshape(column))
            total = (x * Dual(seen, 0)).conv(w[rows], words) + constant
            z.append(total if h is None else total + (h * Dual(kept, 0)).conv(u[rows], same))
        i, f, o = (z[gate].clip(GATE) for gate in (0, 1, 3))
        new = i * z[2].clip(CELL)
        cell = new if cell is None else f * cell + new
        h = o * cell.clip(CELL)
        found.append(h)
    return found


def filled(layer: ConvLSTM, rng: np.random.Generator) -> dict[str, Parameter]:
    """Its parameters, with integers in them."""
    found = layer.parameters()
    for parameter in found.values():
        parameter.value = integers(rng, *parameter.value.shape)
    return found


def masks_of(layer: ConvLSTM) -> list[list[Any]]:
    """Of the last call: for input and state, one of each gate."""
    return [
        [1] * 4 if feed.mask is None else np.split(feed.mask, 4, feed.axis) for feed in layer.feeds
    ]


@given(
    problems(ranks=st.integers(1, 3)),
    st.integers(1, 3),
    st.integers(1, 2),
    st.booleans(),
    st.booleans(),
    st.sampled_from((0.0, 0.5)),
    st.integers(0, 2**32 - 1),
)
def test_any_convolutional_lstm(
    problem: Any, times: int, filters: int, every: bool, backwards: bool, dropout: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    words, lead = problem.without("groups"), len(problem.batch)
    x = integers(rng, *problem.batch, times, *problem.x.shape[lead:])
    layer = ConvLSTM(
        None, filters, problem.kernel, return_sequences=every, go_backwards=backwards,
        dropout=dropout, recurrent_dropout=dropout, dtype="float64", rng=rng, **CLIPS, **words,
    )  # fmt: skip
    layer(x)
    parameters = filled(layer, rng)
    y = layer(x)
    dy = integers(rng, *y.shape)
    dx = layer.backward(dy)

    directions = {name: integers(rng, *p.value.shape) for name, p in parameters.items()}
    towards = integers(rng, *x.shape)
    order = reversed(range(times)) if backwards else range(times)
    steps = [Dual(x.take(time, lead), towards.take(time, lead)) for time in order]
    duals = [Dual(p.value, directions[name]) for name, p in parameters.items()]
    found = recurrence(steps, *duals, masks_of(layer), words)
    values, slopes = (
        np.stack([getattr(h, what) for h in found], lead) if every else getattr(found[-1], what)
        for what in ("value", "slope")
    )
    np.testing.assert_array_equal(y, values)
    assert layer.output_shape(x.shape) == y.shape
    received = sum(np.sum(p.grad * directions[name]) for name, p in parameters.items())
    assert np.sum(dy * slopes) == np.sum(dx * towards) + received


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_gradients_with_everything_switched_on(
    kind: type[ConvLSTM], layout: str, rng: np.random.Generator
) -> None:
    layer = kind(
        2, 3, 2, stride=2, padding="same", layout=layout, return_sequences=True,
        go_backwards=True, dtype="float64", rng=rng,
    )  # fmt: skip
    size = [5] * layer.rank
    shape = (2, 3, *size, 2) if layout == "channels_last" else (2, 3, 2, *size)
    assert_gradients(layer, rng.standard_normal(shape), rng)


def test_gradients_of_the_last_output(rng: np.random.Generator) -> None:
    layer = ConvLSTM1d(
        2, 3, 3, activation="softplus", recurrent_activation="silu", bias=False, dtype="float64",
        rng=rng,
    )  # fmt: skip
    assert_gradients(layer, rng.standard_normal((2, 4, 2, 5)), rng)


@pytest.mark.parametrize("kind", KINDS)
def test_rank_comes_from_the_class_or_from_the_kernel(kind: type[ConvLSTM]) -> None:
    layer = kind(3, 2, 3)
    shapes = {name: parameter.value.shape for name, parameter in layer.parameters().items()}
    kernel = (3,) * layer.rank
    assert shapes == {"weight": (8, 3, *kernel), "recurrent": (8, 2, *kernel), "bias": (8,)}
    assert ConvLSTM(3, 2, kernel).weight.value.shape == (8, 3, *kernel)


def test_channels_of_the_first_input() -> None:
    first, last = ConvLSTM1d(None, 4, 3), ConvLSTM1d(None, 4, 3, layout="channels_last")
    assert not first.parameters()
    assert first(np.ones((2, 3, 5, 7))).shape == (2, 4, 5)
    assert last(np.ones((2, 3, 7, 5))).shape == (2, 5, 4)
    assert first.weight.value.shape == last.weight.value.shape == (16, 5, 3)


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("batch", [(), (0,), (3,), (2, 3)])
def test_any_batch_axes(batch: tuple[int, ...], every: bool) -> None:
    layer = ConvLSTM2d(2, 3, 3, return_sequences=every)
    x = np.ones((*batch, 4, 2, 5, 5))
    y = layer(x)
    assert y.shape == layer.output_shape(x.shape)
    assert y.shape == (*batch, 4, 3, 3, 3) if every else (*batch, 3, 3, 3)
    assert layer.backward(y).shape == x.shape


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
def test_computes_in_its_dtype(dtype: Any) -> None:
    layer = ConvLSTM1d(
        2, 3, 3, dtype=dtype, dropout=0.25, recurrent_dropout=0.25,
        activity_regulariser=L2(np.float64(0.1)),
    )  # fmt: skip
    y = layer(np.ones((2, 3, 2, 5), np.int32))
    dx = layer.backward(np.ones(y.shape))
    held = layer.parameters().values()
    arrays = (y, dx, *(p.value for p in held), *(p.grad for p in held))
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


def test_first_parameters() -> None:
    layer = ConvLSTM1d(2, 3, 3, weight_initialiser="zeros", rng=0)
    orthogonal = Orthogonal()((12, 3, 3), np.random.default_rng(0))
    np.testing.assert_array_equal(layer.recurrent.value, orthogonal.astype(np.float32))
    np.testing.assert_array_equal(layer.bias.value, [0] * 3 + [1] * 3 + [0] * 6)
    plain = ConvLSTM1d(2, 3, 3, unit_forget_bias=False)
    assert not plain.bias.value.any()
    assert ConvLSTM1d(2, 3, 3, bias=False).bias is None


def test_recurrent_weights_have_settings_of_their_own() -> None:
    layer = ConvLSTM1d(
        2, 3, 3, recurrent_initialiser="ones", recurrent_regulariser=L2(0.5),
        recurrent_constraint="non_negative",
    )  # fmt: skip
    assert layer.recurrent.constraint == NonNegative()
    assert layer.weight.constraint is None
    assert layer.penalty() == 0.5 * 12 * 3 * 3
    layer.backward(np.zeros_like(layer(np.ones((1, 2, 2, 5)))))
    np.testing.assert_array_equal(layer.recurrent.grad, np.ones((12, 3, 3)))
    assert not layer.weight.grad.any()


def test_a_mask_is_of_the_weights_of_the_input(rng: np.random.Generator) -> None:
    mask = rng.integers(0, 2, (12, 2, 3))
    layer = ConvLSTM1d(2, 3, 3, mask=mask, dtype="float64", **CLIPS)
    plain = ConvLSTM1d(2, 3, 3, dtype="float64", **CLIPS)
    for name, parameter in filled(layer, rng).items():
        plain.parameters()[name].value = parameter.masked
    x = integers(rng, 2, 4, 2, 6)
    y = layer(x)
    np.testing.assert_array_equal(y, plain(x))
    dy = integers(rng, *y.shape)
    np.testing.assert_array_equal(layer.backward(dy), plain.backward(dy))
    np.testing.assert_array_equal(layer.weight.grad, plain.weight.grad * mask)
    np.testing.assert_array_equal(layer.recurrent.grad, plain.recurrent.grad)


def test_a_penalty_on_the_output(rng: np.random.Generator) -> None:
    words = {"return_sequences": True, "dtype": "float64", "rng": 0}
    layer = ConvLSTM1d(2, 3, 3, activity_regulariser=L2(0.125), **words)
    plain = ConvLSTM1d(2, 3, 3, **words)
    x = rng.standard_normal((4, 3, 2, 5))
    y = layer(x)
    np.testing.assert_array_equal(y, plain(x))
    assert layer.penalty() == 0.125 * np.sum(y * y) / 4
    dy = rng.standard_normal(y.shape)
    np.testing.assert_array_equal(layer.backward(dy), plain.backward(dy + 0.25 * y / 4))


def test_frozen_layers_take_no_gradients() -> None:
    layer = ConvLSTM1d(2, 3, 3, trainable=False)
    x = np.ones((2, 3, 2, 5))
    assert layer.backward(layer(x)).shape == x.shape
    assert all(parameter.grad is None for parameter in layer.parameters().values())


def test_dropout_is_drawn_for_each_gate_once_a_call() -> None:
    layer = ConvLSTM1d(2, 3, 3, dropout=0.75, recurrent_dropout=0.5, rng=0)
    x = np.ones((50, 4, 2, 6))
    layer(x)
    (of_input, of_state) = (feed.mask for feed in layer.feeds)
    assert of_input.shape == (50, 4 * 2, 6)
    assert of_state.shape == (50, 4 * 3, 4)
    assert set(of_input.ravel()) == {0, 4}
    assert set(of_state.ravel()) == {0, 2}
    for mask in (of_input, of_state):
        assert len({part.tobytes() for part in np.split(mask, 4, 1)}) == 4
    first = of_input.copy()
    layer(x)
    assert not np.array_equal(layer.feeds[0].mask, first)


def test_no_dropout_outside_of_training() -> None:
    layer = ConvLSTM1d(2, 3, 3, dropout=0.75, recurrent_dropout=0.5, rng=0)
    layer.training = False
    x = np.ones((2, 4, 2, 6))
    np.testing.assert_array_equal(layer(x), ConvLSTM1d(2, 3, 3, rng=0)(x))


def test_a_state_that_is_kept(rng: np.random.Generator) -> None:
    """Two halves of a sequence, one after the other, are the whole."""
    words = {"return_sequences": True, "padding": "same", "rng": 0}
    layer, plain = ConvLSTM1d(2, 3, 3, stateful=True, **words), ConvLSTM1d(2, 3, 3, **words)
    x = rng.standard_normal((2, 6, 2, 5))
    whole = plain(x)
    np.testing.assert_array_equal(layer(x[:, :2]), whole[:, :2])
    np.testing.assert_array_equal(layer(x[:, 2:]), whole[:, 2:])
    layer.reset_states()
    first = layer(x[:, :2])
    np.testing.assert_array_equal(first, whole[:, :2])
    first[...] = 0  # which is the user's array
    np.testing.assert_array_equal(layer(x[:, 2:]), whole[:, 2:])


def test_gradients_stop_at_the_call(rng: np.random.Generator) -> None:
    """They are those of a sequence whose first state is given."""
    layer = ConvLSTM1d(2, 3, 3, stateful=True, padding="same", dtype="float64", **CLIPS)
    parameters = filled(layer, rng)
    x, dy = integers(rng, 2, 5, 2, 6), integers(rng, 2, 3, 6)
    layer(x[:, :3])
    state = tuple(Dual(array, np.zeros_like(array)) for array in layer.state)
    assert all(dual.value.any() for dual in state)
    y = layer(x[:, 3:])
    dx = layer.backward(dy)

    directions = {name: integers(rng, *p.value.shape) for name, p in parameters.items()}
    towards = integers(rng, *dx.shape)
    steps = [Dual(x[:, 3 + time], towards[:, time]) for time in range(2)]
    duals = [Dual(p.value, directions[name]) for name, p in parameters.items()]
    words = {"padding": "same", "layout": "channels_first", "padding_mode": "zeros"}
    last = recurrence(steps, *duals, masks_of(layer), words, state)[-1]
    np.testing.assert_array_equal(y, last.value)
    received = sum(np.sum(p.grad * directions[name]) for name, p in parameters.items())
    assert np.sum(dy * last.slope) == np.sum(dx * towards) + received


def test_backward_twice_is_the_same() -> None:
    layer = ConvLSTM1d(2, 3, 3, rng=0)
    y = layer(np.ones((2, 3, 2, 5)))
    np.testing.assert_array_equal(layer.backward(y), layer.backward(y))


def test_an_activation_may_hold_others(rng: np.random.Generator) -> None:
    """Each step needs what it kept, however deep it lies."""

    class Wrapped(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = ReLU()

        def forward(self, x: Array) -> Array:
            return self.inner(x)

        def gradient(self, dy: Array) -> Array:
            return self.inner.backward(dy)

    x = rng.standard_normal((2, 4, 2, 6))
    wrapped, plain = (ConvLSTM1d(2, 3, 3, activation=a, rng=0) for a in (Wrapped(), "relu"))
    y = wrapped(x)
    np.testing.assert_array_equal(y, plain(x))
    np.testing.assert_array_equal(wrapped.backward(y), plain.backward(y))


def test_macs_are_those_of_the_definition() -> None:
    layer = ConvLSTM2d(3, 5, (3, 2), stride=2)
    assert layer.macs((2, 7, 3, 9, 8)) == 2 * 7 * (4 * 5) * (4 * 4) * (3 * 2) * (3 + 5)


def test_field_is_that_of_one_step() -> None:
    assert ConvLSTM1d(3, 5, 3, stride=2, dilation=2).field(Field()) == ((4,), (2,))


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    ConvLSTM1d(None, 4, 3, padding="same", return_sequences=True).summary((7, 2, 10))
    row = capsys.readouterr().out.splitlines()[2]
    assert row.split()[2:] == ["7", "x", "4", "x", "10", "304", "20,160", "1.1", "KiB", "3"]


REFUSED = {
    "groups": (
        {"groups": 2},
        "there is no word `groups`; use one of 'stride', 'padding', 'dilation', 'input_dilation', "
        "'padding_mode', 'layout', 'return_sequences', 'go_backwards', 'stateful', 'dropout', "
        "'recurrent_dropout', 'bias', 'mask', 'activation', 'weight_initialiser', "
        "'bias_initialiser', 'weight_regulariser', 'bias_regulariser', 'activity_regulariser', "
        "'weight_constraint', 'bias_constraint', 'dtype', 'rng', 'name', 'trainable', "
        "'recurrent_activation', 'recurrent_initialiser', 'recurrent_regulariser', "
        "'recurrent_constraint', 'unit_forget_bias'",
    ),
    "a slip": (
        {"return_sequence": True},
        "there is no word `return_sequence`; did you mean 'return_sequences'?",
    ),
    "all dropped": (
        {"dropout": 1},
        "`dropout` (=1) must be a number of 0 or more and below 1; such as dropout=0.1",
    ),
    "less than nothing dropped": (
        {"recurrent_dropout": -0.5},
        "`recurrent_dropout` (=-0.5) must be a number of 0 or more and below 1; such as "
        "recurrent_dropout=0.1",
    ),
    "an unknown activation": (
        {"recurrent_activation": "sigmoyd"},
        "`recurrent_activation` (='sigmoyd') is unknown; did you mean 'sigmoid'?",
    ),
    "not an activation": (
        {"recurrent_activation": 3},
        '`recurrent_activation` (=3) is not a layer; write "relu" or ReLU(), for example',
    ),
    "an unknown initialiser": (
        {"recurrent_initialiser": "orthogonale"},
        "`recurrent_initialiser` (='orthogonale') is unknown; did you mean 'orthogonal'?",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_settings_that_are_refused(name: str) -> None:
    words, text = REFUSED[name]
    with refused(WordError, f"ConvLSTM2d: {text}"):
        ConvLSTM2d(3, 6, 3, **words)


def test_inputs_that_are_refused() -> None:
    layer = ConvLSTM1d(3, 6, 3, name="cell")
    with refused(
        ShapeError,
        "cell: `x` (shape (3, 5)) has no axis of time; give it the shape (..., time, C, *spatial)",
    ):
        layer(np.ones((3, 5)))
    with refused(
        ShapeError,
        "ConvLSTM1d: `x` (shape (2, 0, 5, 3)) has no steps in time; give it the shape (..., time, "
        "*spatial, C)",
    ):
        ConvLSTM1d(None, 6, 3, layout="channels_last")(np.ones((2, 0, 5, 3)))
    with refused(
        ShapeError,
        "cell: `x` (shape (2, 4, 5, 3)) has 5 channels, and the layer takes 3; check its axes "
        "against `layout` (='channels_first')",
    ):
        layer(np.ones((2, 4, 5, 3)))
    with refused(
        DtypeError,
        "cell: `x` (complex128) can't go through a layer of float32; give the layer a complex "
        "dtype",
    ):
        layer(np.ones((2, 4, 3, 5), complex))


def test_a_state_of_another_shape_is_refused() -> None:
    layer = ConvLSTM1d(3, 6, 3, stateful=True)
    layer(np.ones((2, 4, 3, 5)))
    with refused(
        ShapeError,
        "ConvLSTM1d: this input takes a state of shape (3, 6, 3), and the one that was kept has "
        "(2, 6, 3); call reset_states() before inputs of another shape",
    ):
        layer(np.ones((3, 4, 3, 5)))


def test_activations_with_parameters_are_refused() -> None:
    class Scaled(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.scale = Parameter(np.ones(()))

        def forward(self, x: Array) -> Array:
            return x * self.scale.value

    with refused(
        WordError,
        "ConvLSTM1d: the activation Scaled has parameters, which the steps would have to share; "
        "use one without",
    ):
        ConvLSTM1d(3, 6, 3, activation=Scaled())(np.ones((2, 4, 3, 5)))
