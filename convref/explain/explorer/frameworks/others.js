// The code of convref itself, JAX, brainpy, babilim and ONNX.

import { gathered, resolve } from "../geometry.js";
import { written } from "../setting.js";
import {
  call,
  constantPairs,
  most,
  name,
  one,
  pairsOfLong,
  symmetric,
  tuple,
  unlessOnes,
  Unsaid,
} from "./call.js";

const AUTO_PADS = { same: "SAME_UPPER", same_lower: "SAME_LOWER" };

export function convrefCode(said) {
  const pairs = symmetric(said.pairs) ? one(said.pairs.map(([lo]) => lo)) : tuple(said.pairs);
  return call(said.transposed ? "conv_transpose" : "conv", [name("x"), name("w")], {
    stride: one(said.stride),
    padding: said.word || pairs,
    output_padding: one(said.outputPadding),
    dilation: one(said.dilation),
    input_dilation: one(said.inputDilation),
    groups: said.groups,
    padding_mode: said.paddingMode,
  });
}

export function jaxCode(said) {
  const { paddingMode, word, inputDilation, stride, dilation, groups } = said;
  if (paddingMode !== "zeros") {
    throw new Unsaid(`JAX has no \`padding_mode\` (='${paddingMode}')`, "pad with jax.numpy.pad");
  }
  if (said.transposed) return jaxTransposed(said);
  const named = ["valid", "same", "same_lower"].includes(word);
  if (named && most(inputDilation) > 1) {
    throw new Unsaid("JAX takes pairs where there is `lhs_dilation`", "give it pairs");
  }
  const padding = named ? word.toUpperCase() : said.pairs.map(tuple);
  return call("lax.conv_general_dilated", [name("x"), name("w"), tuple(stride), padding], {
    lhs_dilation: unlessOnes(inputDilation),
    rhs_dilation: unlessOnes(dilation),
    feature_group_count: groups,
  });
}

/** JAX pads a transposed convolution as the convolution that it is when gathered. */
function jaxTransposed(said) {
  if (said.groups > 1) {
    throw new Unsaid(
      `JAX's \`conv_transpose\` has no groups (=${said.groups})`,
      "call it for each group",
    );
  }
  const axes = { 1: "H", 2: "HW" }[said.rank];
  const padding = gathered(said.geometry).padding.map(tuple);
  return call("lax.conv_transpose", [name("x"), name("w"), tuple(said.stride), padding], {
    rhs_dilation: unlessOnes(said.dilation),
    dimension_numbers: tuple([`NC${axes}`, `OI${axes}`, `NC${axes}`]),
    transpose_kernel: true,
  });
}

export function brainpyCode(said) {
  const { paddingMode, transposed, rank, inChannels, outChannels, kernelSize } = said;
  if (paddingMode !== "zeros") {
    throw new Unsaid(
      `brainpy has no \`padding_mode\` (='${paddingMode}')`,
      "use padding='VALID', and pad before the layer",
    );
  }
  const padding = transposed ? brainpyTransposed(said) : brainpyPadding(said);
  return call(
    `dnn.Conv${transposed ? "Transpose" : ""}${rank}d`,
    [inChannels, outChannels, one(kernelSize)],
    {
      stride: one(said.stride),
      padding,
      lhs_dilation: one(said.inputDilation),
      rhs_dilation: one(said.dilation),
      groups: said.groups,
    },
  );
}

function brainpyPadding(said) {
  if (["same", "valid"].includes(said.word) && most(said.inputDilation) === 1) {
    return said.word.toUpperCase();
  }
  return tuple(constantPairs(said));
}

function brainpyTransposed({ word, axes, stride, dilation, groups, outputPadding }) {
  const refuse = (what, value) => {
    throw new Unsaid(
      `brainpy's transposed convolutions have no \`${what}\` (=${value})`,
      "use a Conv with `lhs_dilation` for the stride",
    );
  };
  if (groups !== 1) refuse("groups", groups);
  if (most(dilation) !== 1) refuse("dilation", most(dilation));
  const adds = (extra) => outputPadding.every((more, axis) => more === extra[axis]);
  if (word === "same" && adds(stride.map((step) => step - 1))) return "SAME";
  const wide = axes.map(({ kernel }, axis) => Math.max(stride[axis] - kernel, 0));
  if (word === "valid" && adds(wide)) return "VALID";
  return tuple(
    axes.map(({ kernel, lo, size, output, stride: step, window }) => {
      const reached = (output - 1) * step + window - lo;
      return [kernel - 1 - lo, kernel - 1 + size - reached];
    }),
  );
}

export function babilimCode(said) {
  const { transposed, rank, axes, stride, kernelSize } = said;
  if (transposed) throw new Unsaid("babilim has no ConvTranspose", "it has Conv1D and Conv2D");
  for (const [what, value, plain] of [
    ["groups", said.groups, 1],
    ["input_dilation", most(said.inputDilation), 1],
    ["padding_mode", said.paddingMode, "zeros"],
  ]) {
    if (value === plain) continue;
    throw new Unsaid(
      `babilim's convolutions have no \`${what}\` (=${written(value)}), always ${written(plain)}`,
      "use convref's own layer",
    );
  }
  const wanted = String(pairsOfLong(said, said.padding).map(String).sort());
  const gives = (padding) => String(pairsOfLong(said, padding).map(String).sort()) === wanted;
  const half = axes.map(({ window }) => resolve("same", 0, window, window, 1));
  const usual = most(stride) === 1 ? "same" : half;
  const code = (padding) =>
    call(`Conv${rank}D`, [said.outChannels, one(kernelSize)], {
      padding,
      stride: one(stride),
      dilation_rate: one(said.dilation),
    });
  if (gives(usual)) return code(undefined);
  if (gives("valid")) return code("none");
  if (gives(kernelSize.map((taps) => Array(2).fill(Math.floor((taps - 1) / 2))))) {
    throw new Unsaid(
      `babilim documents no padding such as ${written(said.pairs)}`,
      "use padding='none', and pad before the layer",
    );
  }
  const spelled = said.word ? `'${said.word}'` : written(said.pairs);
  throw new Unsaid(
    `babilim has no \`padding\` (=${spelled}) for the kernel ${written(kernelSize)}`,
    "use padding='none', and pad before the layer",
  );
}

export function onnxCode(said) {
  const { transposed, word, pairs, stride, dilation } = said;
  for (const [what, value, plain, mend] of [
    ["padding_mode", said.paddingMode, "zeros", "use a Pad node before it"],
    ["input_dilation", most(said.inputDilation), 1, "a ConvTranspose spreads its input out"],
  ]) {
    if (value === plain) continue;
    throw new Unsaid(`ONNX's Conv has no \`${what}\` (=${written(value)})`, mend);
  }
  const words = {};
  if (!transposed && word in AUTO_PADS) {
    if (most(dilation) > 1) {
      throw new Unsaid("ONNX Runtime has no `auto_pad` with `dilations`", "use `pads`");
    }
    words.auto_pad = AUTO_PADS[word];
  } else if (Math.min(...pairs.flat()) < 0) {
    throw new Unsaid(
      `ONNX's \`pads\` are not negative (=${written(pairs)})`,
      "use a Pad or Slice node",
    );
  } else if (pairs.flat().some(Boolean)) {
    words.pads = [...pairs.map(([lo]) => lo), ...pairs.map(([, hi]) => hi)];
  }
  // What goes with pads: how far the canvas reaches beyond the last window.
  const extra = said.axes.map(
    (axis) => axis.canvas - (axis.output - 1) * axis.stride - axis.window,
  );
  if (transposed && extra.some(Boolean)) words.output_padding = extra;
  if (most(stride) > 1) words.strides = stride;
  if (most(dilation) > 1) words.dilations = dilation;
  const kind = transposed ? "ConvTranspose" : "Conv";
  return call("helper.make_node", [kind, ["x", "w"], ["y"]], { ...words, group: said.groups });
}
