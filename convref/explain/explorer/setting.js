// A setting: the words of one convolution, checked as convref/explain/setting.py checks them, with
// the same refusals in the same words.
//
// Words have convref's names, and one entry per axis: {input_size: [7, 7], kernel_size: [3, 3],
// stride: [1, 1], padding: "same" or [[lo, hi], [lo, hi]], transposed: false, ...}.

import { makeGeometry, product, resolved, transposedSize } from "./geometry.js";

/** A setting that is refused: what rule it breaks, and what to do. */
export class SettingError extends Error {}

function refuse(rule, mend) {
  throw new SettingError(`${rule}; ${mend}`);
}

/** Values as Python writes them. */
export function written(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return `'${value}'`;
  if (!Array.isArray(value)) return String(value);
  return value.length === 1 ? `(${written(value[0])},)` : `(${value.map(written).join(", ")})`;
}

function checkWhole(name, value) {
  if (![value].flat(2).every(Number.isSafeInteger)) {
    refuse(`\`${name}\` (=${written(value)}) must be made of integers`, `such as ${name}=1`);
  }
}

function checkLeast(name, values, least) {
  checkWhole(name, values);
  if (Math.min(...values) < least) {
    refuse(
      `\`${name}\` (=${written(values)}) must be at least ${least} on every axis`,
      `use ${least} or more`,
    );
  }
}

function checkChannels(name, channels, groups) {
  checkWhole(name, channels);
  if (channels < 1) refuse(`\`${name}\` (=${channels}) must be at least 1`, "use 1 or more");
  if (channels % groups) {
    refuse(
      `\`groups\` (=${groups}) must divide \`${name}\` (=${channels})`,
      `use a multiple of ${groups} channels`,
    );
  }
}

function checkWords(words) {
  checkWhole("groups", words.groups);
  if (words.groups < 1) refuse(`\`groups\` (=${words.groups}) must be at least 1`, "use 1 or more");
  checkLeast("stride", words.stride, 1);
  if (typeof words.padding !== "string") checkWhole("padding", words.padding);
  checkLeast("dilation", words.dilation, 1);
  checkLeast("input_dilation", words.input_dilation, 1);
  checkLeast("input_size", words.input_size, 0);
  checkLeast("kernel_size", words.kernel_size, 1);
  checkChannels("in_channels", words.in_channels, words.groups);
  checkChannels("out_channels", words.out_channels, words.groups);
}

function checkTransposed({ input_dilation: steps, padding_mode: mode }) {
  const refuseWord = (name, value) =>
    refuse(`a transposed convolution has no \`${name}\` (=${written(value)})`, "leave it out");
  if (steps.some((step) => step > 1)) refuseWord("input_dilation", steps);
  if (mode !== "zeros") refuseWord("padding_mode", mode);
}

/** The output size that the output padding picks among those that share one input size. */
function chosenSize(words) {
  const { output_padding: extra, stride, input_size: size } = words;
  checkLeast("output_padding", extra, 0);
  if (extra.some((more, axis) => more >= stride[axis])) {
    refuse(
      `\`output_padding\` (=${written(extra)}) must be smaller than \`stride\` ` +
        `(=${written(stride)})`,
      "only `stride` output sizes share one input size",
    );
  }
  if (Math.min(...size) < 1) {
    refuse(`\`x\` is empty along a spatial axis (sizes ${written(size)})`, "give it positions");
  }
  return transposedSize(words, size).map((smallest, axis) => {
    const chosen = smallest + extra[axis];
    if (chosen < 1) {
      refuse(
        `the output would be empty along spatial axis ${axis} (size ${chosen})`,
        "use less padding or a larger kernel",
      );
    }
    return chosen;
  });
}

function checkAxis(axis, number, mode) {
  if (axis.output < 1) {
    refuse(
      `the output would be empty along spatial axis ${number}: the window of ${axis.window} ` +
        `(kernel ${axis.kernel}, \`dilation\` ${axis.dilation}) exceeds the ` +
        `${Math.max(0, axis.canvas)} cells of the padded input (size ${axis.size}, \`padding\` ` +
        `(${axis.lo}, ${axis.hi}))`,
      "use a larger input, a smaller kernel or more padding",
    );
  }
  if (mode !== "zeros" && axis.size === 0) {
    refuse(
      `\`padding_mode\` (=${written(mode)}) has nothing to repeat along spatial axis ${number}, ` +
        "where the input is empty",
      "use padding_mode='zeros'",
    );
  }
}

/**
 * The setting of these words: the geometry, which of a transposed convolution is that of the one
 * it transposes, and the sizes of what goes in and what comes out. Throws SettingError.
 */
export function makeSetting(words) {
  checkWords(words);
  let size = words.input_size;
  if (words.transposed) {
    checkTransposed(words);
    size = chosenSize(words);
  } else {
    checkLeast("output_padding", words.output_padding, 0);
    if (words.output_padding.some(Boolean)) {
      refuse(
        `\`output_padding\` (=${written(words.output_padding)}) is of transposed convolutions`,
        "use transposed=True, or leave it out",
      );
    }
  }
  const axes = resolved(words, size);
  axes.forEach((axis, number) => checkAxis(axis, number, words.padding_mode));
  const geometry = makeGeometry(axes, words.groups, words.padding_mode);
  const { transposed, in_channels: inChannels, out_channels: outChannels } = words;
  const perGroup = (transposed ? outChannels : inChannels) / words.groups;
  const filters = transposed ? inChannels : outChannels;
  return {
    geometry,
    transposed,
    inChannels,
    outChannels,
    inputSize: transposed ? geometry.outputSize : geometry.inputSize,
    outputSize: transposed ? geometry.inputSize : geometry.outputSize,
    weightShape: [filters, perGroup, ...geometry.kernelSize],
    outputPadding: words.output_padding,
    macs: filters * perGroup * geometry.macs,
    rank: axes.length,
    positions: product(transposed ? geometry.inputSize : geometry.outputSize),
  };
}
