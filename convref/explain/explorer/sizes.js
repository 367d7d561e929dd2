// The sizes, with the numbers put into the formulas.

import { enclosed, html, printed } from "./element.js";
import { product } from "./geometry.js";

const times = (sizes) => sizes.join(" × ");
const counted = (count) => count.toLocaleString("en-GB");
const channels = (count, sizes) =>
  count > 1 ? `${count} channels of ${times(sizes)}` : times(sizes);

/** The sizes in one line: 7 × 7 → 4 × 4. */
export const headline = (setting) =>
  `${channels(setting.inChannels, setting.inputSize)} → ` +
  `${channels(setting.outChannels, setting.outputSize)}`;

/** How each axis comes to its output size, and what that costs. */
export function sizesOf(setting, words) {
  const { geometry } = setting;
  const names = setting.rank > 1 ? ["rows", "columns"] : ["size"];
  const alike = geometry.axes.every(
    (axis) => JSON.stringify(axis) === JSON.stringify(geometry.axes[0]),
  );
  const axes = alike ? geometry.axes.slice(0, 1) : geometry.axes;
  const lines = axes.flatMap((axis, number) => [
    html("dt", {}, alike && setting.rank > 1 ? "rows and columns" : names[number]),
    ...(setting.transposed ? transposedLines(axis) : forwardLines(axis, words)).map((line) =>
      html("dd", {}, line),
    ),
  ]);
  const entries = setting.positions * setting.inChannels * product(geometry.kernelSize);
  return [
    html("dl", { class: "sizes" }, lines),
    html(
      "p",
      { class: "soft" },
      `${counted(setting.macs)} multiply-adds, those with zeros of padding among them. ` +
        `The im2col matrix has ${counted(entries)} entries, ` +
        `the input ${counted(setting.inChannels * product(setting.inputSize))}.`,
    ),
  ];
}

function windowLine({ kernel, dilation, window }) {
  const spreadOut = `window = (kernel − 1)·dilation + 1 = (${kernel} − 1)·${dilation} + 1`;
  return dilation > 1 ? [`${spreadOut} = ${window}`] : [];
}

function forwardLines(axis, words) {
  const { size, extent, inputDilation, window, stride, lo, hi, output } = axis;
  const lines = windowLine(axis);
  if (inputDilation > 1) {
    lines.push(
      `spread out: (size − 1)·input_dilation + 1 = (${size} − 1)·${inputDilation} + 1 = ` +
        `${extent}`,
    );
  }
  if (words.padding === "same" || words.padding === "same_lower") {
    lines.push(
      `surplus = max((⌈size / stride⌉ − 1)·stride + window − size, 0) = ` +
        `max((⌈${extent} / ${stride}⌉ − 1)·${stride} + ${window} − ${extent}, 0) = ${lo + hi}: ` +
        `${lo} before, ${hi} after`,
    );
  }
  if (words.padding === "causal") lines.push(`causal: window − 1 = ${lo} before, 0 after`);
  const cells = `${printed(lo)} + ${extent} + ${enclosed(hi)}`;
  lines.push(
    `output = ⌊(lo + size + hi − window) / stride⌋ + 1 = ` +
      `⌊(${cells} − ${window}) / ${stride}⌋ + 1 = ${output}`,
  );
  return lines;
}

function transposedLines(axis) {
  const { size, output, window, stride, lo, hi, canvas } = axis;
  const extra = canvas - (output - 1) * stride - window;
  return [
    ...windowLine(axis),
    `output = (size − 1)·stride + window − lo − hi + output_padding = ` +
      `(${output} − 1)·${stride} + ${window} − ${enclosed(lo)} − ${enclosed(hi)} + ${extra} = ${size}`,
  ];
}
