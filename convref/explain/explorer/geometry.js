// Index arithmetic. The same as convref/geometry.py and convref/padding.py, integer by integer;
// tests/test_explorer.py holds the two equal. On every axis
//
//     i = o * stride + k * dilation - lo           (in units of the spread-out input)

export const PADDING_WORDS = ["valid", "same", "same_lower", "causal"];

export const product = (numbers) => numbers.reduce((all, one) => all * one, 1);

const modulo = (number, period) => ((number % period) + period) % period;

/** A row-major flat index as one index per axis. */
export function unravel(flat, sizes) {
  const indices = [];
  for (const size of [...sizes].reverse()) {
    indices.unshift(flat % size);
    flat = Math.floor(flat / size);
  }
  return indices;
}

/** One index per axis as a row-major flat index. */
export const ravel = (indices, sizes) =>
  indices.reduce((flat, index, axis) => flat * sizes[axis] + index, 0);

/** Extent of `count` cells that stand `step` apart. */
export const spread = (count, step) => (count ? (count - 1) * step + 1 : 0);

/** The pair [lo, hi] of one axis whose (spread-out) input is `size` long. */
export function resolve(padding, axis, size, window, stride) {
  if (padding === "valid") return [0, 0];
  if (padding === "causal") return [window - 1, 0];
  if (typeof padding !== "string") return padding[axis];
  const surplus = Math.max((Math.ceil(size / stride) - 1) * stride + window - size, 0);
  const less = Math.floor(surplus / 2);
  return padding === "same" ? [less, surplus - less] : [surplus - less, less];
}

/** One spatial axis: integers only. */
export function makeAxis({ size, kernel, stride, dilation, inputDilation, lo, hi }) {
  const extent = spread(size, inputDilation);
  const window = spread(kernel, dilation);
  const canvas = lo + extent + hi;
  const output = Math.floor((canvas - window) / stride) + 1;
  return { size, kernel, stride, dilation, inputDilation, lo, hi, extent, window, canvas, output };
}

/** The input position that each canvas cell shows along an axis, -1 where it shows a zero. */
export function sourcesAlong(axis, mode) {
  const last = axis.extent - 1;
  const step = axis.size > 1 ? axis.inputDilation : 1;
  return Array.from({ length: Math.max(0, axis.canvas) }, (_, cell) => {
    let i = cell - axis.lo;
    if (mode === "replicate") i = Math.min(Math.max(i, 0), last);
    if (mode === "circular") i = modulo(i, axis.extent);
    // A wave of period 2 * last; one position alone repeats.
    if (mode === "reflect") i = last - Math.abs(last - modulo(i, Math.max(1, 2 * last)));
    return i >= 0 && i <= last && i % step === 0 ? i / step : -1;
  });
}

/** Flat canvas offsets of a grid of [count, step] on each axis. */
function offsets(grid, axes) {
  let flat = [0];
  axes.forEach((axis, number) => {
    const [count, step] = grid[number];
    flat = flat.flatMap((outer) =>
      Array.from({ length: count }, (_, index) => outer * axis.canvas + index * step),
    );
  });
  return flat;
}

/** What `Geometry` is in Python. The offsets of a large layer are not made unless asked for. */
export function makeGeometry(axes, groups, paddingMode) {
  const along = (name) => axes.map((axis) => axis[name]);
  return {
    axes,
    groups,
    paddingMode,
    inputSize: along("size"),
    kernelSize: along("kernel"),
    outputSize: along("output"),
    canvasSize: along("canvas"),
    padding: axes.map(({ lo, hi }) => [lo, hi]),
    macs: product(along("kernel")) * product(along("output")),
    taps: () =>
      offsets(
        axes.map(({ kernel, dilation }) => [kernel, dilation]),
        axes,
      ),
    origins: () =>
      offsets(
        axes.map(({ output, stride }) => [output, stride]),
        axes,
      ),
    sources: () =>
      axes.reduce(
        (flat, axis) => {
          const inner = sourcesAlong(axis, paddingMode);
          return flat.flatMap((outer) =>
            inner.map((one) => (outer < 0 || one < 0 ? -1 : outer * axis.size + one)),
          );
        },
        [0],
      ),
  };
}

/** The axes of checked words for these input sizes. */
export function resolved(words, inputSize) {
  return inputSize.map((size, number) => {
    const kernel = words.kernel_size[number];
    const stride = words.stride[number];
    const dilation = words.dilation[number];
    const inputDilation = words.input_dilation[number];
    const extent = spread(size, inputDilation);
    const window = spread(kernel, dilation);
    const [lo, hi] = resolve(words.padding, number, extent, window, stride);
    return makeAxis({ size, kernel, stride, dilation, inputDilation, lo, hi });
  });
}

/** The smallest output of a transposed convolution: what the one it transposes maps to `size`. */
export function transposedSize(words, size) {
  return size.map((length, axis) => {
    const reach = (length - 1) * words.stride[axis];
    if (["same", "same_lower", "causal"].includes(words.padding)) return reach + 1;
    const window = spread(words.kernel_size[axis], words.dilation[axis]);
    const [lo, hi] = resolve(words.padding, axis, 0, window, words.stride[axis]);
    return reach + window - lo - hi;
  });
}

/**
 * The transpose of a geometry as a convolution with the flipped kernel: its input is the output,
 * spread out by the stride.
 */
export function gathered(geometry) {
  const axes = geometry.axes.map((axis) =>
    makeAxis({
      size: axis.output,
      kernel: axis.kernel,
      stride: axis.inputDilation,
      dilation: axis.dilation,
      inputDilation: axis.stride,
      lo: axis.window - 1 - axis.lo,
      hi: axis.extent + axis.lo - spread(axis.output, axis.stride),
    }),
  );
  return makeGeometry(axes, geometry.groups, geometry.paddingMode);
}
