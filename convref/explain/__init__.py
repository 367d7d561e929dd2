"""See what a convolution does: in steps, in words, in pictures, on a page to play with.

>>> from convref import explain
>>> explain.setting(7, 3, stride=2, padding="same").output_size
(4,)
"""

from importlib import import_module
from typing import Any

from convref.explain.setting import Setting, setting
from convref.explain.steps import Step, step

LATER = {
    "Explorer": "widget",
    "animation": "pictures",
    "channels": "pictures",
    "check": "exercises",
    "check_conv": "exercises",
    "columns": "pictures",
    "contractions": "pictures",
    "explain": "words",
    "matrix": "pictures",
    "page": "explorer",
    "picture": "pictures",
    "readings": "pictures",
    "receptive_field": "pictures",
    "save": "pictures",
    "setting_in": "meanings",
    "window": "pictures",
}
"""Names that take more than NumPy, or long to import, and where they are."""

__all__ = ["Setting", "Step", "setting", "step", *LATER]


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"convref.explain.{LATER[name]}"), name)
