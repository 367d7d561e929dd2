"""Beyond one machine's memory: convolutions and nets over Dask arrays (extra `dask`).

>>> import dask.array as da, numpy as np, convref
>>> x = da.ones((1, 1, 1000, 1000), chunks=(1, 1, 256, 300))
>>> y = conv(x, np.ones((4, 1, 3, 3)), stride=2, padding="same")
>>> y.chunks
((1,), (4,), (128, 128, 128, 116), (150, 150, 150, 50))
>>> float(y.sum().compute())
8988004.0

Nothing is computed before `compute`, `persist` or `store`. Each block of a result is one call of
the one-machine engine on the slab of the input that this block reads, cut out of as many chunks as
it lies in: chunks may end anywhere and need no overlap. So results are those of `convref.conv`,
bit for bit where sums are exact, as those of integers are; otherwise within its rounding bound.
Equal chunks give equal bits, whatever scheduler, number of workers or thread does the work: sums
over blocks are taken in a fixed tree.

A task computes with one thread, for Dask runs a task on each thread of its workers; where these
have fewer threads than cores, say ``threads=``. A task holds its slab, with all channels of the
groups that it needs, and its block of the result, each about twice.

x is a Dask array: ``dask.array.from_array`` makes one of a memory map or an array in a file,
``from_zarr`` of a Zarr store. Weights are arrays of NumPy or Dask; each worker gets them whole.
"""

from convref.errors import MissingExtraError

try:
    import dask.array  # noqa: F401
except ImportError as error:
    raise MissingExtraError(
        "the package dask is not installed", "pip install 'convref[dask]'"
    ) from error

from convref.scale.convolutions import conv, conv_input_grad, conv_transpose, conv_weight_grad
from convref.scale.nets import predict
from convref.scale.sweeps import sweep

__all__ = [
    "conv",
    "conv_input_grad",
    "conv_transpose",
    "conv_weight_grad",
    "predict",
    "sweep",
]
