"""TensorFlow: the gradients of Keras's layers on this back end."""

from collections.abc import Callable
from typing import Any

import tensorflow


def vjp(function: Callable[..., Any], operands: list[Any]) -> tuple[Any, Any]:
    """What a function gives, and what takes its dy to the gradients of the operands."""
    with tensorflow.GradientTape(persistent=True) as tape:
        tape.watch(operands)
        y = function(*operands)

    def pull_back(dy: Any) -> Any:
        dy = tensorflow.cast(dy, y.dtype)
        return tape.gradient(y, operands, output_gradients=dy, unconnected_gradients="zero")

    return y, pull_back
