// PyTorch's layers, as convref.dialects.torch translates to them.

import { written } from "../setting.js";
import { call, constantPairs, cutOff, equal, most, one, symmetric, tuple, Unsaid } from "./call.js";

const PADDING_LAYERS = {
  zeros: "ZeroPad",
  reflect: "ReflectionPad",
  replicate: "ReplicationPad",
  circular: "CircularPad",
};

export function torchCode(said) {
  const furthest = { reflect: -1, circular: 0 }[said.paddingMode];
  said.axes.forEach(({ size, lo, hi }) => {
    if (furthest === undefined || Math.max(lo, hi) <= size + furthest) return;
    throw new Unsaid(
      `\`padding\` ${written([lo, hi])} in \`padding_mode\` '${said.paddingMode}' is too much for ` +
        `the ${size} positions of \`input\``,
      `use ${size + furthest} or less`,
    );
  });
  try {
    return torchLayer(said, said.transposed ? torchTransposed(said) : torchPadding(said));
  } catch (error) {
    if (!(error instanceof Unsaid) || said.word) throw error;
    return torchFramed(said, error);
  }
}

/** A layer without padding, with one that pads before it or crops after it. */
function torchFramed(said, error) {
  const { transposed, paddingMode } = said;
  const pairs = transposed
    ? cutOff(said).map((pair) => pair.map((cells) => 0 - cells))
    : said.pairs;
  if (most(said.inputDilation) > 1 || !canFrame(said, pairs)) throw error;
  const valid = { ...said, paddingMode: "zeros" };
  const layer = torchLayer(valid, { padding: transposed ? 0 : "valid" });
  const lastAxisFirst = [...pairs].reverse().flat();
  const frame = call(`nn.${PADDING_LAYERS[paddingMode]}${pairs.length}d`, [tuple(lastAxisFirst)]);
  return `nn.Sequential(${(transposed ? [layer, frame] : [frame, layer]).join(", ")})`;
}

/** Whether a layer of PyTorch pads by these pairs as it should: what is added to an output would
    have no bias, no more can be cropped than there is, and what repeats does not crop. */
function canFrame({ transposed, paddingMode, axes }, pairs) {
  if (transposed) return most(pairs.flat()) <= 0;
  if (paddingMode !== "zeros") return Math.min(...pairs.flat()) >= 0;
  return pairs.every(([lo, hi], axis) => axes[axis].size + Math.min(lo, 0) + Math.min(hi, 0) >= 0);
}

function torchLayer(said, words) {
  const { rank, transposed, kernelSize, stride, dilation, groups, paddingMode } = said;
  return call(
    `nn.${transposed ? "ConvTranspose" : "Conv"}${rank}d`,
    [said.inChannels, said.outChannels, one(kernelSize)],
    {
      stride: one(stride),
      padding: words.padding,
      output_padding: words.outputPadding,
      dilation: one(dilation),
      groups,
      padding_mode: paddingMode,
    },
  );
}

function torchPadding(said) {
  const { inputDilation, stride, paddingMode } = said;
  if (most(inputDilation) > 1) {
    throw new Unsaid(
      `PyTorch's convolutions have no \`input_dilation\` (=${written(inputDilation)})`,
      "use a ConvTranspose of that stride with the taps in reverse",
    );
  }
  const unit = most(stride) === 1;
  if (said.padding === "valid" || (said.padding === "same" && unit))
    return { padding: said.padding };
  const pairs = constantPairs(said);
  if (symmetric(pairs)) {
    if (Math.min(...pairs.flat()) < 0 && paddingMode === "zeros") {
      throw new Unsaid(
        `\`padding\` (=${written(pairs)}) crops, and PyTorch's does not`,
        "slice the input",
      );
    }
    return { padding: one(pairs.map(([lo]) => lo)) };
  }
  if (unit && equal(constantPairs(said, "same"), pairs)) return { padding: "same" };
  throw new Unsaid(
    `\`padding\` (=${written(pairs)}) differs before and after, and PyTorch's does not`,
    "",
  );
}

function torchTransposed({ pairs, axes }) {
  const padding = pairs.map(([lo]) => lo);
  const extra = axes.map(
    (axis) => axis.size - ((axis.output - 1) * axis.stride + axis.window - 2 * axis.lo),
  );
  const fits = axes.every(
    ({ stride, dilation, lo }, axis) =>
      lo >= 0 && extra[axis] >= 0 && extra[axis] < Math.max(stride, dilation),
  );
  if (!fits) {
    throw new Unsaid(
      `\`padding\` (=${written(pairs)}) cuts off amounts that PyTorch's \`padding\` and ` +
        "`output_padding` can't",
      "use padding=0, and slice the output",
    );
  }
  return { padding: one(padding), outputPadding: one(extra) };
}
