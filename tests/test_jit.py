"""The compiled kernels: tiles and their tails, against the definition; memory around operands."""

import numpy as np
import pytest
from numba import njit

from convref.geometry import Geometry
from convref.kernels import jit, naive
from convref.kernels.jit import dense, flat, micro, thin
from convref.threads import using_threads

uncompiled = pytest.mark.uncompiled

OPERATORS = ("forward", "weight_grad", "input_grad")
DTYPES = ("float32", "float64", "int32", "int64", "complex64", "complex128")
ROWS, LANES = micro.tile_shape(4)

# Around the edges of a tile: fewer filters than a tile has rows, as many, one more; the same for
# positions and lanes; rows of positions that lie side by side, and that do not.
FILTERS = (1, 3, 7, 8, ROWS, ROWS + 1)
GEOMETRIES = {
    "one position": Geometry.of((2, 3), (2, 3)),
    "lanes - 1": Geometry.of(LANES, 2),
    "lanes": Geometry.of(LANES + 1, 2),
    "lanes + 1": Geometry.of(LANES + 2, 2),
    "short rows": Geometry.of((7, 7), (3, 3), padding=1),
    "stride": Geometry.of((9, 14), (3, 2), stride=(2, 3), padding="same"),
    "stride, lanes": Geometry.of(2 * LANES, 1, stride=2),
    "dilation": Geometry.of((6, 9), (2, 2), dilation=(3, 2)),
    "three axes": Geometry.of((3, 4, 5), (2, 2, 2), padding=((0, 1), (-1, 2), (1, 0))),
}


def operands(geometry, filters, dtype, seed, batch=2, groups=2, channels=2):
    """Integer-valued canvas, w and y; each inside a larger array that is NaN, or -99, around it."""
    random = np.random.default_rng(seed)
    cells, taps, positions = (
        int(np.prod(sizes))
        for sizes in (geometry.canvas_size, geometry.kernel_size, geometry.output_size)
    )
    shapes = (
        (batch, groups, channels, cells),
        (groups, filters, channels, taps),
        (batch, groups, filters, positions),
    )
    return [guarded(random.integers(-9, 10, shape), dtype) for shape in shapes]


def guarded(values, dtype, margin=64):
    guard = -99 if np.dtype(dtype).kind == "i" else np.nan
    around = np.full(values.size + 2 * margin, guard, dtype)
    inside = around[margin:-margin].reshape(values.shape)
    inside[...] = values
    return inside


def guards_intact(array, margin=64):
    around = array.base
    edges = np.concatenate([around[:margin], around[-margin:]])
    return bool((edges == -99).all() if around.dtype.kind == "i" else np.isnan(edges).all())


@uncompiled
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_tiles_and_tails_equal_the_definition(operator, filters, name):
    """Element for element, and neither a guard around an operand is written nor one read."""
    geometry = GEOMETRIES[name]
    arrays = operands(geometry, filters, "float32", seed=len(name) * 100 + filters)
    expected = [array.copy() for array in arrays]
    getattr(naive, operator)(*expected, geometry)
    getattr(jit, operator)(*arrays, geometry)
    for array, wanted in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)
        assert guards_intact(array)


@uncompiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("filters", [2, 9])
def test_every_dtype(dtype, operator, filters):
    geometry = GEOMETRIES["short rows"]
    arrays = operands(geometry, filters, dtype, seed=1)
    expected = [array.copy() for array in arrays]
    getattr(naive, operator)(*expected, geometry)
    getattr(jit, operator)(*arrays, geometry)
    for array, wanted in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("operator", OPERATORS)
def test_blocks_of_depth_continue_the_sums(operator):
    """More taps and channels, and more positions, than one block holds."""
    taps = dense.DEPTH // 4 + 5
    geometry = Geometry.of((2, dense.POSITIONS + taps), (1, taps))
    arrays = operands(geometry, 8, "float64", seed=2, batch=1, groups=1, channels=5)
    assert taps * 5 > dense.DEPTH
    assert len(geometry.origins) > max(dense.POSITIONS, dense.DEPTH)
    expected = [array.copy() for array in arrays]
    by_numpy(operator, *expected, geometry)
    getattr(jit, operator)(*arrays, geometry)
    for array, wanted in zip(arrays, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


def by_numpy(operator, canvas, w, y, geometry):
    """The three contractions, by einsum over gathered columns."""
    cells = np.add.outer(geometry.taps, geometry.origins)
    columns = canvas[..., cells]
    if operator == "forward":
        y[...] = np.einsum("gkct,ngctp->ngkp", w, columns)
    elif operator == "weight_grad":
        w[...] = np.einsum("ngkp,ngctp->gkct", y, columns)
    else:
        canvas[...] = 0
        for t, row in enumerate(cells):
            canvas[..., row] += np.einsum("gkc,ngkp->ngcp", w[..., t], y)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("filters", [3, 20])
def test_bits_do_not_depend_on_the_number_of_threads(operator, filters):
    geometry = Geometry.of((31, 37), (3, 3), padding="same", stride=(1, 2))
    results = []
    for threads in (1, 2, 3, 4, 7):
        arrays = operands(geometry, filters, "float32", seed=3, batch=3, groups=2, channels=5)
        for array in arrays:
            array *= np.float32(np.pi)  # no longer exact: the order of summation shows
        with using_threads(threads):
            getattr(jit, operator)(*arrays, geometry)
        results.append(b"".join(array.tobytes() for array in arrays))
    assert len(set(results)) == 1


@uncompiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [0, 1, 5])
@pytest.mark.parametrize("fresh", [True, False])
def test_tile_product_is_a_matrix_product_at_any_offsets(dtype, depth, fresh):
    rows_per_tile, lanes = micro.tile_shape(np.dtype(dtype).itemsize)
    random = np.random.default_rng(4)
    a, b = random.integers(-9, 10, (2, 600)).astype(dtype)
    rows, a_steps, b_steps = (
        random.integers(0, 150, size) for size in (rows_per_tile, depth + 1, depth + 1)
    )
    pitch = lanes + 3
    out = random.integers(-9, 10, rows_per_tile * pitch).astype(dtype)
    before = out.reshape(rows_per_tile, pitch).copy()
    left = a[rows[:, None] + a_steps[:depth]]
    right = b[b_steps[:depth, None] + np.arange(lanes)]
    expected = before.copy()
    expected[:, :lanes] = left @ right + (0 if fresh else before[:, :lanes])
    multiply(a, rows, a_steps, b, b_steps, depth, out, pitch, fresh)
    np.testing.assert_array_equal(out.reshape(rows_per_tile, pitch), expected)


@njit
def multiply(a, rows, a_steps, b, b_steps, depth, out, pitch, fresh):
    micro.tile_product(a, rows, a_steps, b, b_steps, depth, out, pitch, fresh)


@njit
def move(source, i, target, j):
    flat.store(target, j, flat.load(source, i))


@uncompiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_load_and_store_move_one_element(dtype):
    source, target = np.arange(5).astype(dtype), np.zeros(5, dtype)
    move(source, 4, target, 1)
    np.testing.assert_array_equal(target, np.array([0, 4, 0, 0, 0], dtype))


def test_positions_fill_whole_panels_of_every_dtype():
    """input_grad packs POSITIONS at a time: no panel may run over."""
    for itemsize in (4, 8, 16):
        assert dense.POSITIONS % micro.tile_shape(itemsize)[1] == 0


def test_warmup_compiles_every_kernel_for_both_floats():
    jit.warmup()
    for module in (dense, thin):
        for operator in OPERATORS:
            compiled = {str(types[0].dtype) for types in getattr(module, operator).signatures}
            assert {"float32", "float64"} <= compiled


def test_facts_name_the_vectors_and_the_cache():
    facts = jit.facts()
    assert facts["vectors"] == f"{8 * micro.vector_bytes()} bits"
    assert facts["kernels"] == dense.forward.stats.cache_path
