"""Convolutional LSTM: a recurrent layer whose products are convolutions.

Two convolutions feed the gates of each step: one of the input, which does not wait for earlier
steps and so takes all of them at once, time being one more batch axis, and one of the state. On the
way back the steps are taken in reverse order, and what they send to the gates is kept; then both
weight gradients, too, are one contraction over all steps.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from math import prod
from typing import Any, ClassVar, NamedTuple, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from convref import engine, shapes
from convref.activations import activation
from convref.constraints import Constraint
from convref.errors import ShapeError, WordError, verb
from convref.geometry import bind
from convref.initialisers import Initialiser
from convref.integers import flag, real
from convref.layer import Layer, cast_to
from convref.padding import Padding
from convref.regularisers import Regulariser
from convref.spec import Axes, ConvSpec
from convref.summary import Field, Shape
from convref.weighted import (
    AS_SET,
    Settings,
    Weighted,
    channel_count,
    check_takes,
    kernel_of,
    split_words,
)

Array = NDArray[Any]
GATES = 4
"""Input, forget, cell and output: i, f, c, o."""


class InputWords(TypedDict, total=False):
    """The geometry words of the input convolution."""

    stride: Axes
    padding: Padding
    dilation: Axes
    input_dilation: Axes
    padding_mode: str
    """That of the recurrent convolution, too ("zeros")."""
    layout: str


class Recurrence(TypedDict, total=False):
    """How the layer goes through time."""

    return_sequences: bool
    """Whether the output has all steps, rather than the last one (False)."""
    go_backwards: bool
    """Whether the last step is taken first, and comes first in the output (False)."""
    stateful: bool
    """Whether a call begins with the state that the last one ended in (False)."""
    dropout: float
    """The fraction of the input that no gate sees in training (0)."""
    recurrent_dropout: float
    """The fraction of the state that no gate sees in training (0)."""


class RecurrentSettings(Settings, total=False):
    """Settings of a recurrent layer; those that say weight, and the mask, are of the input's."""

    recurrent_activation: str | Layer | None
    """Of the gates i, f and o ("sigmoid"); ``activation`` is that of the cell ("tanh")."""
    recurrent_initialiser: str | Initialiser
    """First recurrent weights ("orthogonal")."""
    recurrent_regulariser: str | Regulariser | None
    """A penalty on the recurrent weights (None)."""
    recurrent_constraint: str | Constraint | None
    """Where the recurrent weights are brought back to after each step (None)."""
    unit_forget_bias: bool
    """Whether the bias of f begins at 1, whatever ``bias_initialiser`` says (True)."""


class ConvLSTMWords(InputWords, Recurrence, RecurrentSettings, total=False):
    """All keywords of a convolutional LSTM."""


class Applied(NamedTuple):
    """The value of an activation, and the way back to what it was taken of."""

    value: Array
    back: Callable[[Array], Array]


def applied(function: Layer | None, x: Array) -> Applied:
    """The activation of x, by a copy of the layer, which keeps what only this way back needs."""
    if function is None:
        return Applied(x, lambda dy: dy)
    own = deepcopy(function)
    value = own(x)
    if own.parameters():
        raise WordError(
            f"the activation {own.name} has parameters, which the steps would have to share",
            "use one without",
        )
    return Applied(value, own.backward)


class Step(NamedTuple):
    """One step in time: from the gates' sums z to the state, elementwise, and back."""

    cell_before: Array
    i: Applied
    f: Applied
    c: Applied
    o: Applied
    cell: Array
    squashed: Applied

    @classmethod
    def of(
        cls,
        z: Array,
        cell_before: Array,
        axis: int,
        function: Layer | None,
        gate: Layer | None,
    ) -> "Step":
        """The step from ``z (N, 4K, *output)``, its gates along the axis, and the cell before."""
        parts = np.split(z, GATES, axis)
        i, f, c, o = map(applied, (gate, gate, function, gate), parts)
        cell = f.value * cell_before + i.value * c.value
        return cls(cell_before, i, f, c, o, cell, applied(function, cell))

    @property
    def hidden(self) -> Array:
        """The output h ``(N, K, *output)``."""
        return self.o.value * self.squashed.value

    def gradient(self, dh: Array, dcell: Array, axis: int) -> tuple[Array, Array]:
        """``dz (N, 4K, *output)`` and that of the cell before, from those of h and of the cell."""
        dcell = dcell + self.squashed.back(dh * self.o.value)
        dz = (
            self.i.back(dcell * self.c.value),
            self.f.back(dcell * self.cell_before),
            self.c.back(dcell * self.i.value),
            self.o.back(dh * self.squashed.value),
        )
        return np.concatenate(dz, axis), dcell * self.f.value


class Feed(NamedTuple):
    """One of the two convolutions that feed the gates, in one call of the layer.

    Where there is dropout, each gate sees the input through a mask of its own: the input is
    repeated for each gate, and the gates, which are blocks of filters, become groups. The weights
    stay as they are.
    """

    spec: ConvSpec
    mask: Array | None
    """``(N, 4C, *input)``: zeros, and what keeps the mean; None for no dropout."""

    @classmethod
    def of(cls, spec: ConvSpec, mask: Array | None) -> "Feed":
        """The convolution of this spec, through the mask if there is one."""
        return cls(spec if mask is None else replace(spec, groups=GATES), mask)

    @property
    def axis(self) -> int:
        """That of the channels."""
        return -1 if self.spec.layout == "channels_last" else -self.spec.rank - 1

    def forward(self, x: Array, w: Array, bias: Array | None) -> Array:
        # z (N, 4K, *output) = w (4K, C, *kernel) . x (N, C, *input), over C and taps
        return engine.forward(self.seen(x), w, bias, self.spec, AS_SET)

    def weight_grad(self, x: Array, dz: Array, kernel_size: Shape) -> Array:
        # dw (4K, C, *kernel) = dz (N, 4K, *output) . x (N, C, *input), over N and positions
        return engine.weight_grad(self.seen(x), dz, kernel_size, self.spec, AS_SET)

    def input_grad(self, dz: Array, w: Array, size: Shape) -> Array:
        # dx (N, C, *input) = w (4K, C, *kernel) . dz (N, 4K, *output), over 4K and positions
        dx = engine.input_grad(dz, w, None, size, self.spec, AS_SET)
        if self.mask is None:
            return dx
        parts = np.split(dx * self.mask, GATES, self.axis)
        return np.sum(parts, axis=0, dtype=dx.dtype)

    def seen(self, x: Array) -> Array:
        """What the gates see of x, side by side: ``(N, 4C, *input)``; x itself without dropout."""
        if self.mask is None:
            return x
        return np.concatenate([x] * GATES, self.axis) * self.mask


class ConvLSTM(Weighted):
    """A convolutional LSTM: for each time step, with ``*`` a convolution,

        i, f, o = recurrent_activation(weight_ifo * x + recurrent_ifo * h + bias_ifo)
        cell    = f cell + i activation(weight_c * x + recurrent_c * h + bias_c)
        h       = o activation(cell)

    from a state (h, cell) of zeros. ``x (N, time, C, *input)``, or ``(N, time, *input, C)`` with
    channels last, gives the last h ``(N, K, *output)``, or with ``return_sequences`` that of every
    step, ``(N, time, K, *output)``. For T taps and the gates in the order i, f, c, o,

    - ``weight (4K, C, *kernel)`` has fan-in ``C * T`` and fan-out ``4K * T``,
    - ``recurrent (4K, K, *kernel)`` has fan-in ``K * T`` and fan-out ``4K * T``,
    - ``bias`` is ``(4K,)``.

    With ``in_channels=None``, C is that of the first input. Words are those of `convref.conv`
    without ``groups``, `Recurrence` and `RecurrentSettings`. The geometry words are those of the
    input convolution; the recurrent one has the same kernel and padding mode, the padding "same"
    and no strides or dilation. The activity regulariser counts the output.

    Dropout is drawn once a call for each gate, the same for all steps, and scaled up to keep the
    mean. A stateful layer keeps its state until `reset_states`; gradients stop at the call they
    belong to. All as Keras has it.

    Raises WordError for a word that is unknown or out of range, ShapeError for an input that does
    not fit, DtypeError for one that can't be converted.

    Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation
    nowcasting", NeurIPS 2015, https://arxiv.org/abs/1506.04214, without its peephole connections;
    dropout by Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent
    neural networks", NeurIPS 2016, https://arxiv.org/abs/1512.05287.

    >>> import numpy as np
    >>> layer = ConvLSTM2d(3, 8, kernel_size=3, padding="same", return_sequences=True, rng=0)
    >>> y = layer(np.ones((5, 7, 3, 9, 9)))
    >>> dx = layer.backward(np.ones_like(y))
    >>> y.shape, dx.shape, layer.weight.grad.shape, layer.recurrent.grad.shape
    ((5, 7, 8, 9, 9), (5, 7, 3, 9, 9), (32, 3, 3, 3), (32, 8, 3, 3))
    """

    rank: ClassVar[int | None] = None
    """Spatial axes; None: as many as kernel_size has entries."""

    @verb
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: Axes,
        **words: Unpack[ConvLSTMWords],
    ) -> None:
        geometry, recurrence, settings = split_words(
            words, InputWords, Recurrence, RecurrentSettings
        )
        super().__init__(**{"activation": "tanh", **settings})
        self.recurrent_activation = activation(
            settings.get("recurrent_activation", "sigmoid"), "recurrent_activation"
        )
        self.kernel_size = kernel_of(kernel_size, self.rank)
        self.spec = spec = ConvSpec.of(len(self.kernel_size), **geometry)
        self.recurrent_spec = ConvSpec.of(
            spec.rank, padding="same", padding_mode=spec.padding_mode, layout=spec.layout
        )
        self.return_sequences = flag("return_sequences", recurrence.get("return_sequences", False))
        self.go_backwards = flag("go_backwards", recurrence.get("go_backwards", False))
        self.unit_forget_bias = flag("unit_forget_bias", settings.get("unit_forget_bias", True))
        self.stateful = flag("stateful", recurrence.get("stateful", False))
        self.dropout, self.recurrent_dropout = (
            real(word, recurrence.get(word, 0.0), "of 0 or more and below 1")
            for word in ("dropout", "recurrent_dropout")
        )
        self.time_axis = -spec.rank - 2
        self.state: tuple[Array, Array] | None = None
        """h and the cell, if they are kept for the next call."""
        self.out_channels = channel_count("out_channels", out_channels)
        if in_channels is not None:
            self.make_parameters(channel_count("in_channels", in_channels))

    def build(self, shape: Shape) -> None:
        self.make_parameters(self.lengths(shape)[2])

    def make_parameters(self, in_channels: int) -> None:
        K = self.out_channels
        self.weight = self.make_weight((GATES * K, in_channels, *self.kernel_size))
        self.recurrent = self.make((GATES * K, K, *self.kernel_size), "recurrent", "orthogonal")
        self.bias = self.make_bias(GATES * K)
        if self.bias is not None and self.unit_forget_bias:
            self.bias.value[K : 2 * K] = 1
        self.built = True

    def reset_states(self) -> None:
        """Begin the next call with a state of zeros."""
        self.state = None

    # Forward

    def forward(self, x: Array) -> Array:
        x = cast_to(self.dtype, "x", x)
        lead, _, channels, size = self.lengths(x.shape)
        check_takes(self.weight.value.shape[1], channels, x.shape, self.spec.layout)
        self.x = self.by_step(x)
        self.go_through(*self.first_state(lead, size), self.drawn_feeds(lead, channels, size))
        if self.stateful:
            self.state = self.hidden[-1], self.steps[-1].cell
        h = self.hidden
        y = np.moveaxis(h[1:], 0, self.time_axis) if self.return_sequences else h[-1]
        return self.penalised(y.copy())

    def go_through(self, hidden: Array, cell: Array, feeds: tuple[Feed, Feed]) -> None:
        """Take all steps: ``self.hidden (time + 1, N, K, *output)`` begins with the first state."""
        self.feeds = of_input, of_state = feeds
        bias = None if self.bias is None else self.bias.value
        # sums (time, N, 4K, *output)
        sums = of_input.forward(self.x, self.weight.masked, bias)
        self.hidden = np.empty((len(sums) + 1, *hidden.shape), self.dtype)
        self.hidden[0] = hidden
        self.steps: list[Step] = []
        for time, z in enumerate(sums):
            z += of_state.forward(self.hidden[time], self.recurrent.value, None)
            step = Step.of(z, cell, of_input.axis, self.activation, self.recurrent_activation)
            self.steps.append(step)
            self.hidden[time + 1], cell = step.hidden, step.cell

    def first_state(self, lead: Shape, size: Shape) -> tuple[Array, Array]:
        """h and the cell: zeros, or what the last call of a stateful layer ended in."""
        shape = shapes.shape_of(lead, self.out_channels, self.state_size(size), self.spec)
        if self.state is None:
            return np.zeros(shape, self.dtype), np.zeros(shape, self.dtype)
        if self.state[0].shape != shape:
            raise ShapeError(
                f"this input takes a state of shape {shape}, and the one that was kept has "
                f"{self.state[0].shape}",
                "call reset_states() before inputs of another shape",
            )
        return self.state

    def drawn_feeds(self, lead: Shape, channels: int, size: Shape) -> tuple[Feed, Feed]:
        """The convolutions of input and state for one call, through fresh masks."""
        K, output = self.out_channels, self.state_size(size)
        return (
            Feed.of(self.spec, self.drawn_mask(self.dropout, lead, channels, size)),
            Feed.of(self.recurrent_spec, self.drawn_mask(self.recurrent_dropout, lead, K, output)),
        )

    def drawn_mask(self, fraction: float, lead: Shape, channels: int, size: Shape) -> Array | None:
        """``(N, 4C, *size)``: zeros for that fraction, 1 / (1 - fraction) for the rest.

        None outside of training.
        """
        if not (self.training and fraction):
            return None
        kept = self.rng.random(shapes.shape_of(lead, GATES * channels, size, self.spec)) >= fraction
        return (kept / (1 - fraction)).astype(self.dtype)

    # Back

    def gradient(self, dy: Array) -> Array:
        of_input, of_state = self.feeds
        dsums = self.go_back(self.penalised_gradient(dy).astype(self.dtype, copy=False))
        if self.trainable:
            self.weight.receive(of_input.weight_grad(self.x, dsums, self.kernel_size))
            grad = of_state.weight_grad(self.hidden[:-1], dsums, self.kernel_size)
            self.recurrent.receive(grad)
            if self.bias is not None:
                self.bias.receive(engine.bias_grad(dsums, self.spec, AS_SET))
        size = shapes.sizes("x", self.x.shape, self.spec)[2]
        return self.in_time(of_input.input_grad(dsums, self.weight.masked, size))

    def go_back(self, dy: Array) -> Array:
        """``dsums (time, N, 4K, *output)``: what goes back through time to the gates' sums."""
        of_state = self.feeds[1]
        times = range(len(self.steps))
        late: list[Any] = [0] * (len(times) - 1)
        received = np.moveaxis(dy, self.time_axis, 0) if self.return_sequences else [*late, dy]
        dh, dcell = self.last_gradient()
        size = shapes.sizes("h", dh.shape, self.spec)[2]
        dsums = []
        for time in reversed(times):
            dh = dh + received[time]
            dz, dcell = self.steps[time].gradient(dh, dcell, of_state.axis)
            dsums.append(dz)
            dh = of_state.input_grad(dz, self.recurrent.value, size)
        return np.stack(dsums[::-1])

    def last_gradient(self) -> tuple[Array, Array]:
        """What reaches the last h and cell besides dy: zeros, as nothing else comes out."""
        zeros = np.zeros_like(self.hidden[0])
        return zeros, zeros

    # Sizes

    def lengths(self, shape: Shape) -> tuple[Shape, int, int, Shape]:
        """Batch sizes, steps, channels and spatial sizes of an input; raise ShapeError."""
        lead, channels, size = shapes.sizes("x", shape, self.spec)
        if not lead or not lead[-1]:
            last = self.spec.layout == "channels_last"
            raise ShapeError(
                f"`x` (shape {shape}) has no {'steps in time' if lead else 'axis of time'}",
                f"give it the shape (..., time, {'*spatial, C' if last else 'C, *spatial'})",
            )
        return lead[:-1], lead[-1], channels, size

    def state_size(self, size: Shape) -> Shape:
        """The spatial sizes of the state for those of an input."""
        return bind(self.spec, size, self.kernel_size).output_size

    def by_step(self, x: Array) -> Array:
        """``(N, time, ...)`` as ``(time, N, ...)``, in the order in which steps are taken."""
        steps = np.moveaxis(x, self.time_axis, 0)
        return steps[::-1] if self.go_backwards else steps

    def in_time(self, steps: Array) -> Array:
        """The inverse of `by_step`."""
        steps = steps[::-1] if self.go_backwards else steps
        return np.ascontiguousarray(np.moveaxis(steps, 0, self.time_axis))

    def output_shape(self, shape: Shape) -> Shape:
        lead, times, _, size = self.lengths(shape)
        lead = (*lead, times) if self.return_sequences else lead
        return shapes.shape_of(lead, self.out_channels, self.state_size(size), self.spec)

    def macs(self, shape: Shape) -> int:
        lead, times, channels, size = self.lengths(shape)
        of_input = bind(self.spec, size, self.kernel_size)
        of_state = bind(self.recurrent_spec, of_input.output_size, self.kernel_size)
        K = self.out_channels
        return prod(lead) * times * GATES * K * (channels * of_input.macs + K * of_state.macs)

    def field(self, field: Field) -> Field:
        """Of the step itself; each earlier one is seen through one kernel more."""
        return field.convolved(self.kernel_size, self.spec)


class ConvLSTM1d(ConvLSTM):
    """`ConvLSTM` with one spatial axis."""

    rank = 1


class ConvLSTM2d(ConvLSTM):
    """`ConvLSTM` with two spatial axes."""

    rank = 2


class ConvLSTM3d(ConvLSTM):
    """`ConvLSTM` with three spatial axes."""

    rank = 3
