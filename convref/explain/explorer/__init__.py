"""The explorer: one HTML page, without network, on which to see what a convolution does.

The page's numbers come from a small script that has the index arithmetic of `convref.geometry`;
tests hold the two equal over thousands of geometries, in a browser. The files beside this one are
plain modules, which run as they stand; here they are put one behind the other.
"""

import json
import re
from base64 import b64encode
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from convref.errors import ShapeError, WordError, verb
from convref.explain.setting import Setting
from convref.explain.setting import setting as made_of

MODULES = (
    *("element", "geometry", "setting", "contractions", "frame", "state"),
    *("frameworks/call", "frameworks/torch", "frameworks/keras", "frameworks/others", "lines"),
    *("grid", "scene", "planes", "panels", "sizes", "fields", "controls", "code", "player"),
    *("layout", "main"),
)
"""What the page and the notebook's widget share, each after those that it imports."""
LARGEST = 10**5
"""The page reads whole numbers of up to five digits."""
START = made_of((7, 7), (3, 3))
"""What is shown at first."""


@verb
def page(setting: Setting | None = None) -> str:
    """The explorer as HTML, which opens at a setting; the address of the page can name another.

    The text is to be written to a file: it needs no network and runs nothing but its own script.
    Raises WordError for more than two spatial axes, ShapeError for sizes beyond five digits.

    >>> from convref import explain
    >>> explain.page(explain.setting(7, 3, stride=2)).splitlines()[0]
    '<!doctype html>'
    """
    code = script("page")
    loading = f"default-src 'none'; script-src {digest(code)}; style-src {digest(style())}"
    return Template(text("page.html")).substitute(
        policy=f"{loading}; base-uri 'none'; form-action 'none'",
        style=style(),
        words=escape(json.dumps(words_of(setting or START))),
        script=code,
    )


def words_of(setting: Setting) -> dict[str, Any]:
    """The words that make a setting, as the page has them; JSON can hold them.

    >>> from convref.explain import setting
    >>> words_of(setting(7, 3, stride=2))["padding"]
    'valid'
    """
    geometry = setting.geometry
    if len(geometry.axes) > 2:
        raise WordError(
            f"`setting` has {len(geometry.axes)} spatial axes, and the explorer shows 1 or 2",
            "use convref.explain.picture",
        )
    words = {
        "transposed": setting.transposed,
        "input_size": list(setting.input_size),
        "kernel_size": list(geometry.kernel_size),
        **{
            word: [getattr(axis, word) for axis in geometry.axes]
            for word in ("stride", "dilation", "input_dilation")
        },
        "padding": setting.word or [list(pair) for pair in geometry.padding],
        "padding_mode": geometry.padding_mode,
        "in_channels": setting.in_channels,
        "out_channels": setting.out_channels,
        "groups": geometry.groups,
        "output_padding": list(setting.output_padding),
    }
    largest = max(int(number) for number in re.findall(r"\d+", json.dumps(words)))
    if largest >= LARGEST:
        raise ShapeError(
            f"`setting` has a size of {largest}, and the explorer takes less than {LARGEST}",
            "use smaller sizes",
        )
    return words


@cache
def script(last: str) -> str:
    """The modules as one, and the one that starts them behind the others."""
    modules = "".join(text(f"{name}.js") for name in (*MODULES, last))
    joined = re.sub(r"^import [^;]*;\n", "", modules, flags=re.MULTILINE)
    return re.sub(r"^export (?!default)", "", joined, flags=re.MULTILINE)


@cache
def style() -> str:
    """The style sheet."""
    return text("style.css")


def text(name: str) -> str:
    """A file that stands beside this one."""
    return files("convref.explain.explorer").joinpath(name).read_text("utf-8")


def digest(content: str) -> str:
    """The name by which a policy lets this script or style pass, and no other."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"
