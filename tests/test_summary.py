"""Receptive fields, against what changes when an input changes."""

from fractions import Fraction

import numpy as np
import pytest

from convref.layers import Conv1d, Layer, ReLU, Residual, Sequential
from convref.summary import Field

NETS = {
    "one": [Conv1d(1, 1, 3)],
    "dilation": [Conv1d(1, 1, 3, dilation=2), Conv1d(1, 1, 2)],
    "strides": [Conv1d(1, 1, 3, stride=2), ReLU(), Conv1d(1, 1, 3, stride=2), Conv1d(1, 1, 2)],
    "spread out": [Conv1d(1, 1, 4, input_dilation=2), Conv1d(1, 1, 3)],
    "residual": [Residual(Conv1d(1, 1, 5, padding="same")), Conv1d(1, 1, 2)],
    "narrow body": [
        Residual(Conv1d(1, 1, 1), Conv1d(1, 1, 3, padding="same")),
        Conv1d(1, 1, 2),
    ],
}


@pytest.mark.parametrize("name", NETS)
def test_the_field_is_what_an_output_depends_on(name: str) -> None:
    """The most inputs, first to last, that any one output in the middle is changed by."""
    net = Sequential(*NETS[name])
    (size,) = net.field(Field()).size
    for parameter in net.parameters().values():
        parameter.value[...] = 1
    x = np.ones((1, 1, 60))
    y = net(x)
    dependent = np.zeros((60, y.shape[-1]), bool)
    for i in range(60):
        changed = x.copy()
        changed[0, 0, i] = 100
        dependent[i] = (net(changed) != y)[0, 0]
    middle = dependent[:, y.shape[-1] // 3 : -y.shape[-1] // 3]
    reach = [np.flatnonzero(column) for column in middle.T]
    assert max(seen[-1] - seen[0] + 1 for seen in reach) == size


def test_fields_of_all() -> None:
    field = Field().through((3, 3), (2, 2)).everything()
    assert str(field) == "all x all"
    assert str(Field()) == "-"
    assert Field().everything() == Field()


def test_branches_together_see_what_either_sees() -> None:
    wide, narrow = Field().through((5,), (1,)), Field().through((3,), (1,))
    assert wide.joined(narrow) == narrow.joined(wide) == wide
    assert Field().joined(wide) == wide.joined(Field()) == wide


def test_steps_of_a_transposed_stride() -> None:
    field = Field().through((1,), [Fraction(1, 2)]).through((3,), (1,))
    assert (field.size, field.steps) == ((2,), (Fraction(1, 2),))


def test_layers_that_say_nothing_change_nothing() -> None:
    layer = Layer()
    assert layer.field(Field()) == Field()
    assert layer.output_shape((2, 3)) == (2, 3)
    assert layer.macs((2, 3)) == 0
