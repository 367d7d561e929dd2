"""`convref explain`: what a convolution does, in words, pictures and a page."""

import json
from pathlib import Path
from typing import Annotated

import typer

from convref.cli.console import AsJson, exit_codes, output, say, write


def explain(
    size: Annotated[str, typer.Argument(help="Spatial sizes of the input: 7, 7x7 or 4x7x7.")],
    kernel: Annotated[str, typer.Option(help="3, or 3x5 for one size per axis.")],
    stride: Annotated[str | None, typer.Option(help="2, or 2x1.")] = None,
    padding: Annotated[
        str | None,
        typer.Option(help="A word; 1; 1x0 per axis; 1,2x0,0 before and after on each axis."),
    ] = None,
    dilation: Annotated[str | None, typer.Option(help="2, or 2x1.")] = None,
    input_dilation: Annotated[str | None, typer.Option(help="2, or 2x1.")] = None,
    groups: Annotated[int | None, typer.Option(help="Blocks of channels.")] = None,
    padding_mode: Annotated[
        str | None, typer.Option(help="zeros, reflect, replicate or circular.")
    ] = None,
    channels: Annotated[str | None, typer.Option(help="3x8: 3 in, 8 out; 3 for both.")] = None,
    transposed: Annotated[bool, typer.Option("--transposed", help="A transposed one.")] = False,
    output_padding: Annotated[str | None, typer.Option(help="Transposed: 1, or 1x0.")] = None,
    dialect: Annotated[
        str, typer.Option(help="Whose words: torch, keras, jax, brainpy, babilim, onnx, convref.")
    ] = "convref",
    as_json: AsJson = False,
    png: Annotated[Path | None, typer.Option(help="Write a picture, .png or .svg.")] = None,
    gif: Annotated[Path | None, typer.Option(help="Write an animation, .gif or .mp4.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page to play with.")] = None,
) -> None:
    """Explain a convolution: sizes, padding, formula, windows, code and cost.

    The words mean what they mean in the dialect, which has its own defaults and refusals, as in
    convref explain 7x7 --kernel 3 --stride 2 --padding same --dialect keras.
    """
    from convref import explain as explaining
    from convref.explain.notation import read_setting

    with exit_codes():
        setting = read_setting(
            dialect, size, kernel, channels, stride=stride, padding=padding, dilation=dilation,
            input_dilation=input_dilation, groups=groups, padding_mode=padding_mode,
            transposed=transposed, output_padding=output_padding,
        )  # fmt: skip
        explained = explaining.explain(setting, dialect)
        if png:
            explaining.save(explaining.picture(setting), png)
        if gif:
            explaining.animation(setting, gif)
        if html:
            write(html, explaining.page(setting))
        if as_json:
            print(json.dumps(explained.values, allow_nan=False))
        else:
            say(*explained.text(output.width).splitlines())
