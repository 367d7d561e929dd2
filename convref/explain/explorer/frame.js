// What each cell of the canvas is, with the cropped cells of the input around it. Kinds are those
// of convref/explain/pictures/cells.py, and mean the same.

import { makeAxis, product, ravel, sourcesAlong, unravel } from "./geometry.js";

/** From the weakest to the strongest: where axes cross, the strongest is seen. */
export const KINDS = ["input", "hole", "padding", "surplus", "cropped"];

export const MEANINGS = {
  input: "input",
  hole: "a zero between inputs",
  padding: "padding",
  surplus: "surplus: padding on this side only",
  cropped: "cropped: not on the canvas",
  unread: "no window reads it",
};

/** One axis of the frame, cell by cell. Padding is surplus as far as the other side has less. */
function lineAlong(axis, mode) {
  const whole = makeAxis({ ...axis, lo: Math.max(axis.lo, 0), hi: Math.max(axis.hi, 0) });
  const { lo, hi, canvas } = whole;
  const start = Math.min(axis.lo, 0);
  return sourcesAlong(whole, mode).map((source, cell) => {
    const index = cell + start;
    let kind = "padding";
    if (index < 0 || index >= axis.canvas) kind = "cropped";
    else if (cell < lo - hi || cell >= canvas - Math.max(0, hi - lo)) kind = "surplus";
    else if (cell >= lo && cell < lo + axis.extent) kind = source < 0 ? "hole" : "input";
    return { index, kind, source };
  });
}

/** Whether each cell of an axis is read by a window. */
function readAlong({ output, stride, kernel, dilation }) {
  const read = new Set();
  for (let o = 0; o < output; o += 1) {
    for (let k = 0; k < kernel; k += 1) read.add(o * stride + k * dilation);
  }
  return read;
}

/** The frame of a geometry: its sizes, and for each cell the kind, the cell of the canvas (-1 for
    none), the input position seen there (-1 for none) and whether no window reads it. */
export function makeFrame(geometry) {
  const lines = geometry.axes.map((axis) => lineAlong(axis, geometry.paddingMode));
  const read = geometry.axes.map(readAlong);
  const sizes = lines.map((line) => line.length);
  const cells = Array.from({ length: product(sizes) }, (_, flat) => {
    const along = unravel(flat, sizes).map((cell, axis) => lines[axis][cell]);
    const kind = KINDS[Math.max(...along.map((one) => KINDS.indexOf(one.kind)))];
    const sources = along.map((one) => one.source);
    const source = Math.min(...sources) < 0 ? -1 : ravel(sources, geometry.inputSize);
    if (kind === "cropped") return { kind, cell: -1, source, unread: false };
    const place = along.map((one) => one.index);
    const unread = place.some((index, axis) => !read[axis].has(index));
    return { kind, cell: ravel(place, geometry.canvasSize), source, unread };
  });
  const kinds = KINDS.filter((kind) => cells.some((one) => one.kind === kind));
  if (cells.some(({ unread }) => unread)) kinds.push("unread");
  return { sizes, cells, kinds };
}
