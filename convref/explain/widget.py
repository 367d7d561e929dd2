"""The explorer as a notebook's widget (extra `widget`)."""

from typing import Any

from convref.errors import MissingExtraError, verb
from convref.explain.explorer import START, script, style, words_of
from convref.explain.setting import Setting
from convref.explain.setting import setting as made_of

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise MissingExtraError(
        "the package anywidget is not installed", "pip install 'convref[widget]'"
    ) from error

SEEN = ("dialect", "numbers", "at")
"""Words that say how a setting is looked at, and do not change it."""


class Explorer(anywidget.AnyWidget):
    """The page of `convref.explain.page`, between the cells of a notebook.

    ``words`` is what it shows, and is kept in step with it both ways: a slider that is moved there
    changes it here, where `observe` tells of it. ``setting`` is the same as a `Setting`.

    >>> from convref import explain
    >>> explorer = Explorer(explain.setting(7, 3, stride=2))
    >>> explorer.words["stride"], explorer.setting.output_size
    ([2], (3,))
    >>> explorer.setting = explain.setting(9, 3)
    >>> explorer.words["input_size"]
    [9]

    Raises WordError for a setting of more than two spatial axes, ShapeError for one of sizes beyond
    five digits, and MissingExtraError, when imported, without anywidget.
    """

    _esm = script("notebook")
    _css = style()
    words = traitlets.Dict().tag(sync=True)

    @verb
    def __init__(self, setting: Setting | None = None) -> None:
        super().__init__(words=words_of(setting or START))

    @property
    def setting(self) -> Setting:
        """The setting that is shown; raises its error where the words are refused."""
        words: dict[str, Any] = self.words
        return made_of(**{name: word for name, word in words.items() if name not in SEEN})

    @setting.setter
    def setting(self, setting: Setting) -> None:
        self.words = {**self.words, **words_of(setting)}
