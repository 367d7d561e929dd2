// Keras's layers, as convref.dialects.keras translates to them.

import { written } from "../setting.js";
import { call, cutOff, equal, most, one, plainPairs, told, tuple, Unsaid } from "./call.js";

export function kerasCode(said) {
  const { paddingMode, inputDilation, stride, dilation, groups, transposed } = said;
  if (paddingMode !== "zeros") {
    throw new Unsaid(
      `\`padding_mode\` (='${paddingMode}'): Keras pads with zeros`,
      "pad before the layer, with numpy.pad or keras.ops.pad",
    );
  }
  if (most(inputDilation) > 1) {
    throw new Unsaid(
      `\`input_dilation\` (=${written(inputDilation)}): Keras's convolutions have none`,
      "use a transposed convolution, whose strides spread out the input",
    );
  }
  if (most(stride) > 1 && most(dilation) > 1) {
    throw new Unsaid(
      `\`stride\` (=${written(stride)}) and \`dilation\` (=${written(dilation)}) are both above 1, ` +
        "which Keras refuses",
      "put zeros between the taps of a larger kernel",
    );
  }
  if (transposed && groups > 1) {
    throw new Unsaid(
      `\`groups\` (=${groups}): Keras's transposed convolutions have none`,
      "use one layer per group, and concatenate",
    );
  }
  const { words, frame = [] } = transposed ? kerasTransposed(said) : kerasPadding(said);
  const layer = call(
    `keras.layers.Conv${said.rank}D${transposed ? "Transpose" : ""}`,
    [said.outChannels, one(said.kernelSize)],
    {
      strides: one(stride),
      ...words,
      dilation_rate: one(dilation),
      groups: transposed ? undefined : groups,
    },
  );
  const row = transposed ? [layer, ...frame] : [...frame, layer];
  return row.length === 1 ? row[0] : `keras.Sequential([${row.join(", ")}])`;
}

function kerasPadding({ padding, stride, axes, rank, groups }) {
  if (padding === "valid" || padding === "same") return { words: { padding } };
  const unit = most(stride) === 1;
  if (padding === "same_lower" && !unit) {
    throw new Unsaid("`padding` (='same_lower') depends on the size of the input", "");
  }
  const windows = axes.map(({ window }) => window);
  const amounts = plainPairs(padding, windows);
  if (rank === 1 && equal(amounts, plainPairs("causal", windows)))
    return { words: { padding: "causal" } };
  if (unit && equal(amounts, plainPairs("same", windows))) return { words: { padding: "same" } };
  const size = axes.map((axis) => axis.size);
  return { words: {}, frame: kerasFrame(amounts, size, groups) };
}

/** Layers that pad so many channels of a size by these amounts, and crop where they are negative. */
function kerasFrame(amounts, size, channels) {
  amounts.forEach((pair, axis) => {
    const cut = pair.map((amount) => Math.max(-amount, 0));
    if (!cut.some(Boolean) || cut[0] + cut[1] < size[axis]) return;
    throw new Unsaid(
      `\`cropping\` (=${written(cut)}) leaves nothing of the ${size[axis]} positions of \`x\` ` +
        `(shape ${written([1, ...size, channels])}) along spatial axis ${axis}`,
      "crop less",
    );
  });
  const layer = (name, sign) => {
    const cells = amounts.map((pair) => pair.map((amount) => Math.max(sign * amount, 0)));
    if (!cells.flat().some(Boolean)) return [];
    return [
      call(`keras.layers.${name}${cells.length}D`, [tuple(cells.length > 1 ? cells : cells[0])]),
    ];
  };
  return [...layer("Cropping", -1), ...layer("ZeroPadding", 1)];
}

function kerasTransposed(said) {
  const { axes, stride } = said;
  const wanted = cutOff(said);
  const middle = axes.map(
    ({ window }, axis) => window - (window % 2) - wanted[axis][0] - wanted[axis][1],
  );
  const valid = axes.map((axis) => [0, Math.min(axis.window - axis.stride, 0)]);
  const same = axes.map((axis) => {
    const lo = Math.floor(Math.max(axis.window - axis.stride, 0) / 2);
    return [lo, axis.window - lo - axis.stride];
  });
  const centred = axes.map(({ window }, axis) => {
    const cells = window - (window % 2) - middle[axis];
    const before = Math.max(Math.floor(cells / 2), 0);
    return [before, cells - before];
  });
  if (equal(valid, wanted)) return { words: {} };
  if (equal(same, wanted)) return { words: { padding: "same" } };
  const inRange = middle.every((more, axis) => more >= 0 && more < stride[axis]);
  if (inRange && equal(centred, wanted)) {
    // Told even where it is 0, which is not what Keras takes by itself.
    return { words: { padding: "same", output_padding: told(one(middle)) } };
  }
  const added = wanted.map(([, hi]) => Math.max(-hi, 0));
  if (added.some((more, axis) => more >= stride[axis])) {
    throw new Unsaid(
      `\`output_padding\` (=${written(said.outputPadding)}) reaches further than Keras's can`,
      "put a ZeroPadding behind the layer, which adds no bias",
    );
  }
  const whole = axes.map(
    (axis, number) => (axis.output - 1) * axis.stride + axis.window + added[number],
  );
  const frame = kerasFrame(
    wanted.map(([lo, hi]) => [0 - lo, 0 - Math.max(hi, 0)]),
    whole,
    said.groups,
  );
  if (wanted.some(([lo]) => lo < 0)) {
    throw new Unsaid(
      `what \`padding\` (=${written(said.pairs)}) adds to the output has a bias, and Keras's ` +
        "ZeroPadding adds none",
      "use padding of 0 or more",
    );
  }
  return { words: { output_padding: told(one(added)) }, frame };
}
