"""What the layers of torch.nn share: how they are called, printed, saved and loaded."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

from numpy.typing import ArrayLike, NDArray

from convref import weights
from convref.dialects.torch.arguments import read
from convref.dialects.torch.refusals import (
    ArgumentError,
    RuntimeShapeError,
    RuntimeWordError,
    at_run_time,
)
from convref.layer import Layer
from convref.weighted import inexact

Array = NDArray[Any]


class IncompatibleKeys(NamedTuple):
    """What did not match as a state was loaded."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Layer):
    """A layer that is called, printed, saved and loaded as PyTorch's are."""

    arguments: ClassVar[tuple[str, ...]]
    """Those of the constructor."""

    def __call__(self, input: ArrayLike) -> Array:
        with self._named():
            x = read("input", input)
        with at_run_time():
            return super().__call__(x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """What stands between the parentheses where the layer is printed."""
        return ", ".join(f"{name}={self.argument(name)}" for name in self.arguments)

    def config(self) -> dict[str, Any]:
        """The arguments, as JSON has them."""
        found = {name: self.argument(name) for name in self.arguments}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in found.items()
        }

    def argument(self, name: str) -> Any:
        """An argument of the constructor, as the layer has it now."""
        return getattr(self, name)

    def train(self, mode: bool = True) -> Self:
        """Say whether calls are part of training."""
        self.training = mode
        return self

    def eval(self) -> Self:
        """Say that calls are not part of training."""
        return self.train(False)

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters by name."""
        return weights.state(self)

    def load_state_dict(
        self, state_dict: Mapping[str, ArrayLike], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Fill the parameters, converted to their dtype; with ``assign`` they become the arrays.

        Raises an error that is a RuntimeError for other shapes, and for other names if ``strict``.
        """
        if not isinstance(state_dict, Mapping):
            raise ArgumentError(
                f"`state_dict` (a {type(state_dict).__name__}) is not a mapping",
                "pass what `state_dict` gives",
            )
        parameters = self.parameters()
        missing = [name for name in parameters if name not in state_dict]
        unexpected = [name for name in state_dict if name not in parameters]
        if strict and (missing or unexpected):
            raise RuntimeWordError(
                f"`state_dict` has not the names of the layer: missing {missing}, unexpected "
                f"{unexpected}",
                "use strict=False to load what there is",
            )
        given = {name: read(name, state_dict[name]) for name in parameters if name in state_dict}
        for name, array in given.items():
            if array.shape != parameters[name].value.shape:
                raise RuntimeShapeError(
                    f"`{name}` has shape {array.shape}, and the layer's has "
                    f"{parameters[name].value.shape}",
                    "make the layer as the saved one was made",
                )
            if assign:
                with at_run_time():
                    inexact(array.dtype)
        for name, array in given.items():
            if assign:
                parameters[name].value = array
            else:
                parameters[name].value[...] = array
        return IncompatibleKeys(missing, unexpected)
