"""The overview: one picture of a setting."""

from matplotlib.figure import Figure

from convref.errors import verb
from convref.explain.pictures import sheet, words
from convref.explain.pictures.cells import lines_of
from convref.explain.pictures.readings import draw_readings
from convref.explain.pictures.window import draw_window
from convref.explain.setting import Setting


@verb
def picture(setting: Setting) -> Figure:
    """Draw a setting: the input on its canvas, the kernel, the output, and how large it gets.

    The window is that of the output's middle position. A transposed convolution is drawn in both
    readings, scattering and gathering.

    Raises WordError for more than three axes, ShapeError for axes that are too long.

    >>> from convref import explain
    >>> explain.picture(explain.setting((5, 5), 3, stride=2, padding="same"))
    <Picture size 1280x720 with 1 Axes>
    """
    lines_of(setting.geometry)  # or refuses it
    figure = sheet.Picture()
    middle = tuple(length // 2 for length in setting.output_size)
    if setting.transposed:
        draw_readings(figure, setting.geometry, middle, x=None, w=None)
    else:
        draw_window(
            figure, setting.geometry, middle, transposed=False, x=None, w=None,
            formulas=words.size_formulas(setting.geometry), note=channel_words(setting),
        )  # fmt: skip
    return figure


def channel_words(setting: Setting) -> str:
    """Which channels there are, if there are several; the picture is of one pair of them."""
    into, out = setting.in_channels, setting.out_channels
    if into == out == 1:
        return ""
    each = into // setting.geometry.groups
    return f"each of {out} output channels sums this over {each} of {into} input channels"
