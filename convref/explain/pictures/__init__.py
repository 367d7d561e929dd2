"""Pictures of convolutions, drawn from the integers that compute them (extra `viz`).

Each is a Matplotlib figure of 1280 x 720 pixels, which notebooks show and `save` writes. Cells have
names, which are their ids in SVG: ``canvas/1,2``, ``tap/0,1``, ``output/2,2``; a frame around one
is ``window/1,2`` or ``position/2,2``.

| picture           | of                                                                     |
| ----------------- | ---------------------------------------------------------------------- |
| `picture`         | a setting: its overview                                                |
| `animation`       | a setting: the window of each output position, as a GIF or an MP4      |
| `window`          | what one output position reads                                         |
| `readings`        | a transposed convolution: it scatters, it gathers                      |
| `columns`         | the column matrix (im2col) and its product with the kernel             |
| `matrix`          | the sparse matrix that maps inputs to outputs                          |
| `channels`        | which channels feed which, in groups                                   |
| `contractions`    | the output and both gradients as products of matrices                  |
| `receptive_field` | what an output of a net sees of each layer                             |
"""

from convref.errors import MissingExtraError

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "the package matplotlib is not installed", "pip install 'convref[viz]'"
    ) from error

from convref.explain.pictures.animation import animation
from convref.explain.pictures.channels import channels
from convref.explain.pictures.columns import columns
from convref.explain.pictures.contractions import contractions
from convref.explain.pictures.fields import receptive_field
from convref.explain.pictures.matrix import matrix
from convref.explain.pictures.overview import picture
from convref.explain.pictures.readings import readings
from convref.explain.pictures.sheet import save
from convref.explain.pictures.window import window

__all__ = [
    "animation",
    "channels",
    "columns",
    "contractions",
    "matrix",
    "picture",
    "readings",
    "receptive_field",
    "save",
    "window",
]
