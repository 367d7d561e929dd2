"""The window on its way: one frame for each output position, as a GIF or an MP4."""

import os
from functools import partial
from math import prod
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory

from matplotlib import rc_context
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from numpy.typing import ArrayLike

from convref.errors import FileError, MissingExtraError, ShapeError, WordError, shown, verb
from convref.explain.pictures import sheet
from convref.explain.pictures.window import draw_window
from convref.explain.setting import Setting
from convref.integers import integer

MOST = 400
"""Frames of an animation that someone still watches."""


@verb
def animation(
    setting: Setting,
    path: str | Path,
    *,
    frames_per_second: int = 2,
    x: ArrayLike | None = None,
    w: ArrayLike | None = None,
) -> None:
    """Write a .gif, or an .mp4 where ffmpeg is installed: frame i is the window of output i.

    The frames are those of `window`, with the numbers ``x`` and ``w`` of one channel, if given; of
    a transposed convolution they gather.

    Raises WordError for another suffix, ShapeError for more than 400 output positions,
    MissingExtraError for an .mp4 without ffmpeg, FileError where the file can't be written.

    >>> import tempfile
    >>> from convref import explain
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     explain.animation(explain.setting(3, 2), f"{folder}/window.gif")
    """
    path = Path(path)
    speed = integer("frames_per_second", frames_per_second)
    if speed < 1:
        raise WordError(f"`frames_per_second` (={shown(speed)}) must be at least 1", "use 2")
    writer = writer_for(path, speed)
    count = prod(setting.output_size)
    if count > MOST:
        raise ShapeError(
            f"the animation would have {count} frames, one for each output position, and {MOST} "
            "are the most",
            "use a smaller input or a larger stride",
        )
    figure = sheet.Picture()
    draw = partial(draw_window, figure, setting.geometry, transposed=setting.transposed, x=x, w=w)
    draw(0)  # what is wrong with the setting shows before anything is written
    with TemporaryDirectory() as folder, rc_context(sheet.FIXED):
        target = os.path.join(folder, f"animation{path.suffix.lower()}")
        try:
            with writer.saving(figure, target, sheet.DPI):
                for position in range(count):
                    draw(position)
                    writer.grab_frame()
        except CalledProcessError as error:
            raise FileError(
                f"{path} can't be written: ffmpeg ended with {error.returncode}",
                "check that it writes H.264, or end `path` in .gif",
            ) from error
        sheet.write(path, Path(target).read_bytes())


def writer_for(path: Path, speed: int) -> AbstractMovieWriter:
    """What writes a file of this suffix."""
    suffix = path.suffix.lower()
    if suffix == ".gif":
        return PillowWriter(fps=speed)
    if suffix != ".mp4":
        raise WordError(f"`path` (={shown(str(path))}) is no animation's", "end it in .gif or .mp4")
    if not FFMpegWriter.isAvailable():
        raise MissingExtraError(
            "the program ffmpeg, which writes .mp4, is not installed",
            "install it, or end `path` in .gif",
        )
    # The pixel format that all players know; without metadata, files do not tell when or by what.
    arguments = ["-pix_fmt", "yuv420p", "-fflags", "+bitexact", "-flags:v", "+bitexact"]
    return FFMpegWriter(fps=speed, codec="h264", extra_args=arguments)
