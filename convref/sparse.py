"""The matrix of a convolution, as scipy.sparse has matrices (extra `sparse`)."""

from math import prod
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import ArrayLike

from convref.checks import check_groups, rank_of
from convref.dtypes import SUMMED_IN, as_array
from convref.errors import DtypeError, MissingExtraError, verb
from convref.geometry import bind
from convref.integers import per_axis
from convref.memory import check_fits
from convref.spec import Axes, ConvSpec, Words

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@verb
def conv_matrix(w: ArrayLike, input_size: Axes, **words: Unpack[Words]) -> "csr_array":
    """The matrix M of a convolution: ``y.ravel() == M @ x.ravel()`` for one sample.

    ``w (K, C/groups, *kernel)`` and the spatial ``input_size`` give a scipy.sparse CSR array of
    shape ``(K * P, C * prod(input_size))``, with rows and columns in the order of the layout. Its
    transpose maps dy to dx. Padding has no column: an infinite weight over it leaves no trace
    here, where `conv` gives NaN.

    >>> conv_matrix([[[1, 2]]], 3).toarray()
    array([[1, 2, 0],
           [0, 1, 2]])

    Raises MissingExtraError without SciPy, and the errors of `conv`.
    """
    try:
        from scipy.sparse import coo_array
    except ImportError as error:
        raise MissingExtraError(
            "the package scipy is not installed", "pip install 'convref[sparse]'"
        ) from error
    w = as_array("w", w)
    w = w.astype(w.dtype.newbyteorder("="))
    if w.dtype.name in SUMMED_IN:
        raise DtypeError(f"`w` has dtype {w.dtype}, which scipy.sparse has not", "use float32")
    spec = ConvSpec.of(rank_of("w", w.shape), **words)
    check_groups(w.shape, spec)
    size = per_axis("input_size", input_size, spec.rank, minimum=0)
    geometry = bind(spec, size, w.shape[2:])
    K, C, P = len(w), w.shape[1] * spec.groups, prod(geometry.output_size)
    check_fits(prod(w.shape) * P * (16 + w.itemsize), "the matrix")

    # Every product of the trilinear form is an entry: its row from (k, p), its column from (c, i).
    cells = np.add.outer(geometry.taps, geometry.origins)
    k, c, _, p = np.ogrid[:K, : w.shape[1], : len(geometry.taps), :P]
    c = c + k // (K // spec.groups) * w.shape[1]  # the channels of the group that k is in
    i = geometry.sources[cells]  # (T, P)
    if spec.layout == "channels_last":
        rows, columns = p * K + k, i * C + c
    else:
        rows, columns = k * P + p, c * prod(size) + i
    values = w.reshape(K, w.shape[1], -1, 1)
    full = np.broadcast_shapes(values.shape, columns.shape, rows.shape)
    shown = np.broadcast_to(i >= 0, full)
    entries = [np.broadcast_to(array, full)[shown] for array in (values, rows, columns)]
    shape = (K * P, C * prod(size))
    return coo_array((entries[0], (entries[1], entries[2])), shape=shape).tocsr()
