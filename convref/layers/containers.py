"""Containers: layers in a row, and layers with a way around them."""

from typing import Any

from numpy.typing import NDArray

from convref.errors import ShapeError, WordError, verb
from convref.layer import Layer
from convref.summary import Field, Row, Shape

Array = NDArray[Any]


class Sequential(Layer):
    """``y = layers[-1](... layers[1](layers[0](x)))``; backward goes the other way.

    Its parameters are named by number: ``0.weight``, ``3.body.1.bias``.
    """

    @verb
    def __init__(self, *layers: Layer, name: str | None = None) -> None:
        super().__init__(name)
        self.layers: list[Layer] = []
        for layer in layers:
            self.append(layer)

    def append(self, layer: Layer) -> None:
        """Add a layer at the end."""
        if not isinstance(layer, Layer):
            raise WordError(
                f"a {type(layer).__name__} is not a layer",
                "pass layers one by one: Sequential(A(), B())",
            )
        layer.training = self.training
        self.layers.append(layer)

    def children(self) -> dict[str, Layer]:
        return {str(number): layer for number, layer in enumerate(self.layers)}

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer(x)
        return x

    def gradient(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    def output_shape(self, shape: Shape) -> Shape:
        for layer in self.layers:
            layer.ensure_built(shape)
            shape = layer.output_shape(shape)
        return shape

    def field(self, field: Field) -> Field:
        for layer in self.layers:
            field = layer.field(field)
        return field

    def rows(self, shape: Shape, field: Field, path: str) -> list[Row]:
        found = []
        for key, layer in self.children().items():
            found += layer.rows(shape, field, f"{path}{key}.")
            shape, field = layer.output_shape(shape), layer.field(field)
        return found


class Residual(Layer):
    """``y = body(x) + shortcut(x)``; without a shortcut, ``body(x) + x``.

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016,
    https://arxiv.org/abs/1512.03385.
    """

    @verb
    def __init__(self, body: Layer, shortcut: Layer | None = None, name: str | None = None) -> None:
        super().__init__(name)
        for word, layer in (("body", body), ("shortcut", body if shortcut is None else shortcut)):
            if not isinstance(layer, Layer):
                raise WordError(
                    f"`{word}` (a {type(layer).__name__}) is not a layer",
                    "pass one, such as Sequential(...)",
                )
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Array) -> Array:
        y, around = self.body(x), x if self.shortcut is None else self.shortcut(x)
        if y.shape != around.shape:
            raise ShapeError(
                f"the body gives {y.shape}, and the way around it {around.shape}",
                "give a shortcut, such as Conv2d with kernel_size=1, that makes them equal",
            )
        return y + around

    def gradient(self, dy: Array) -> Array:
        around = dy if self.shortcut is None else self.shortcut.backward(dy)
        return self.body.backward(dy) + around

    def output_shape(self, shape: Shape) -> Shape:
        self.body.ensure_built(shape)
        return self.body.output_shape(shape)

    def field(self, field: Field) -> Field:
        around = field if self.shortcut is None else self.shortcut.field(field)
        return self.body.field(field).joined(around)

    def rows(self, shape: Shape, field: Field, path: str) -> list[Row]:
        found = [
            row
            for key, child in self.children().items()
            for row in child.rows(shape, field, f"{path}{key}.")
        ]
        output = self.output_shape(shape)
        total = Row(
            path.removesuffix(".") or self.name, "Residual", output[1:], 0, 0,
            found[-1].bytes, self.field(field),
        )  # fmt: skip
        return [*found, total]
