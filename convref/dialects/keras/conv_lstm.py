"""Keras's convolutional LSTMs: (batch, time, *spatial, C), gates in the order i, f, c, o."""

from collections.abc import Sequence
from numbers import Real
from typing import Any, Unpack

from numpy.typing import ArrayLike

from convref import layers, shapes
from convref.dialects.keras.initialisers import generator, with_forget_gate
from convref.dialects.keras.layer import KerasWeighted
from convref.dialects.keras.layouts import Kernel
from convref.dialects.keras.signatures import LayerWords, recorded
from convref.dialects.keras.variables import BIAS, Part, seen
from convref.dialects.keras.words import (
    Array,
    KindError,
    Shape,
    layout_word,
    padding_word,
    refuse_both,
    steps,
)
from convref.dtypes import as_array
from convref.errors import ShapeError, WordError, shown
from convref.integers import flag
from convref.layer import cast_to
from convref.spec import Axes
from convref.weighted import channel_count

Setting = Any
"""A name, a configuration, a function, or an object of convref."""


class RecurrentWords(LayerWords, total=False):
    """Keywords of Keras's recurrent layers that change nothing in what comes out."""

    unroll: bool
    """Whether Keras writes the steps out one by one (False)."""
    zero_output_for_mask: bool
    """What steps give that a mask leaves out, of which there are none here (False)."""


class AnyConvLSTM(KerasWeighted, layers.ConvLSTM):
    """What ConvLSTM1D, ConvLSTM2D and ConvLSTM3D share."""

    spare_axes = False
    lead = 2
    known = RecurrentWords
    kernel, recurrent_kernel = seen("kernel"), seen("recurrent_kernel")
    initial_state: tuple[Array, ...] | None = None
    """That of the call which is on."""
    from_outside: tuple[Array, ...] | None = None
    """The gradients of the last h and cell of the backward which is on."""

    @recorded
    def __init__(
        self,
        filters: int,
        kernel_size: Axes,
        strides: Axes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Axes = 1,
        activation: Setting = "tanh",
        recurrent_activation: Setting = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Setting = "glorot_uniform",
        recurrent_initializer: Setting = "orthogonal",
        bias_initializer: Setting = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Setting = None,
        recurrent_regularizer: Setting = None,
        bias_regularizer: Setting = None,
        activity_regularizer: Setting = None,
        kernel_constraint: Setting = None,
        recurrent_constraint: Setting = None,
        bias_constraint: Setting = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        **kwargs: Unpack[RecurrentWords],
    ) -> None:
        words = steps(strides, dilation_rate, self.axes)
        refuse_both(**words)
        settings: dict[str, Any] = {**self.settings_of("recurrent_activation")}
        filters = channel_count("filters", filters)
        if flag("unit_forget_bias", unit_forget_bias):
            given = settings["bias_initialiser"]
            settings["bias_initialiser"] = with_forget_gate(given, filters)
        super().__init__(
            None,
            filters,
            kernel_size,
            **words,
            padding=padding_word(padding, causal=False),
            layout=layout_word(data_format),
            return_sequences=flag("return_sequences", return_sequences),
            go_backwards=flag("go_backwards", go_backwards),
            stateful=flag("stateful", stateful),
            dropout=fraction("dropout", dropout),
            recurrent_dropout=fraction("recurrent_dropout", recurrent_dropout),
            unit_forget_bias=unit_forget_bias,
            **settings | {"rng": generator(seed)},
        )
        self.return_state = flag("return_state", return_state)
        self.adopt(padding=self.spec.padding)

    def parts(self) -> tuple[Part, ...]:
        layout = Kernel(self.axes)
        return (
            Part("kernel", "weight", "kernel", layout),
            Part("recurrent", "recurrent", "recurrent_kernel", layout),
            BIAS,
        )

    def __call__(  # type: ignore[override]
        self,
        sequences: ArrayLike,
        initial_state: Sequence[ArrayLike] | None = None,
        training: bool | None = None,
    ) -> Any:
        """The output; with ``return_state``, that and the last h and cell.

        ``initial_state`` is an h and a cell to begin with.
        """
        if initial_state is not None:
            self.initial_state = tuple(
                cast_to(self.dtype, "initial_state", as_array("initial_state", state))
                for state in initial_state
            )
        try:
            y = super().__call__(sequences, training)
        finally:
            self.initial_state = None
        return (y, *(state.copy() for state in self.last_state)) if self.return_state else y

    def backward(self, dy: Any) -> Array:
        """The gradient of the last call's sequences.

        With ``return_state``, of (dy, dh, dcell), or of dy where the loss has no other output.
        """
        if self.return_state and isinstance(dy, tuple | list) and len(dy) == 3:
            dy, *others = dy
            self.from_outside = tuple(
                cast_to(self.dtype, "dy", as_array("dy", other)) for other in others
            )
        try:
            return super().backward(dy)
        finally:
            self.from_outside = None

    @property
    def last_state(self) -> tuple[Array, Array]:
        """h and the cell after the last step."""
        return self.hidden[-1], self.steps[-1].cell

    def first_state(self, lead: Shape, size: Shape) -> tuple[Array, Array]:
        if self.initial_state is None:
            return super().first_state(lead, size)
        shape = shapes.shape_of(lead, self.out_channels, self.state_size(size), self.spec)
        given = [state.shape for state in self.initial_state]
        if given != [shape, shape]:
            raise ShapeError(
                f"`initial_state` has arrays of the shapes {given}",
                f"give it an h and a cell, both of the shape {shape}",
            )
        hidden, cell = self.initial_state
        return hidden, cell

    def last_gradient(self) -> tuple[Array, Array]:
        dh, dcell = self.from_outside or super().last_gradient()
        if self.return_state and self.activity_regulariser is not None:
            h, cell = (
                self.activity_regulariser.gradient(state) / max(1, len(state))
                for state in self.last_state
            )
            dh, dcell = dh + h, dcell + cell
        return dh, dcell

    def penalised(self, y: Array) -> Array:
        y = super().penalised(y)
        if self.return_state and self.activity_regulariser is not None:  # of each output, as Keras
            for state in self.last_state:
                self.activity += self.activity_regulariser(state) / max(1, len(state))
        return y

    def reset_state(self) -> None:
        """Begin the next call with a state of zeros."""
        self.reset_states()

    def build(self, input_shape: Sequence[int | None]) -> None:
        if self.stateful and tuple(input_shape)[:1] == (None,):
            raise WordError(
                "a stateful layer keeps one state for each sample, and the size of the batch is "
                "open",
                "give `batch_size`, or a `batch_input_shape` without None in front",
            )
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        """The shape of the output, in which sizes may be None; of all three with return_state."""
        output = super().compute_output_shape(input_shape)
        if not self.return_state:
            return output
        state = (output[0], *output[2:]) if self.return_sequences else output
        return output, state, state


class ConvLSTM1D(AnyConvLSTM, layers.ConvLSTM1d):
    """``keras.layers.ConvLSTM1D``; words as in `ConvLSTM2D`."""


class ConvLSTM2D(AnyConvLSTM, layers.ConvLSTM2d):
    """``keras.layers.ConvLSTM2D``: (batch, time, rows, columns, C), the last h or all of them.

    convref's `weight` is the kernel (rows, columns, C, 4 * filters), `recurrent` recurrent_kernel
    (rows, columns, filters, 4 * filters). `seed` is that of dropout, which a bare call leaves out:
    it takes ``training=True``. A fraction of 1 or more drops nothing, as in Keras. Gradients stop
    at the initial state, and there are no masks of time steps.

    >>> import numpy as np
    >>> layer = ConvLSTM2D(6, 3, padding="same", return_state=True, dropout=0.1)
    >>> y, h, cell = layer(np.ones((2, 5, 8, 8, 3)), training=True)
    >>> y.shape, h.shape, cell.shape
    ((2, 8, 8, 6), (2, 8, 8, 6), (2, 8, 8, 6))
    """


class ConvLSTM3D(AnyConvLSTM, layers.ConvLSTM3d):
    """``keras.layers.ConvLSTM3D``; words as in `ConvLSTM2D`."""


def fraction(name: str, value: Any) -> float:
    """A fraction to drop: of 1 and above, and of 0 and below, nothing, as Keras has it."""
    if not isinstance(value, Real):
        raise KindError(f"`{name}` (={shown(value)}) must be a number", f"such as {name}=0.1")
    return float(value) if 0 < float(value) < 1 else 0.0
