// The three contractions of one trilinear form: y sums over taps, dx over the outputs that an input
// reaches, dw over positions. Each number is made of terms that can be shown one by one.
//
// A transposed convolution is read as the convolution that `gathered` makes of it, so that both
// directions share all of this: a window moves over a canvas.

import { gathered, product } from "./geometry.js";

const MOST_CELLS = 3500;
const MOST_PRODUCTS = 300000;

/** Why a setting is not drawn, if it is not: a browser would take too long. */
export function tooMany(setting) {
  const shown = setting.transposed ? gathered(setting.geometry) : setting.geometry;
  const { inChannels, outChannels } = setting;
  const perGroup = inChannels / shown.groups;
  const taps = product(shown.kernelSize);
  const cells =
    inChannels * product(shown.canvasSize) +
    perGroup * taps +
    outChannels * product(shown.outputSize);
  const products = product(shown.outputSize) * taps * perGroup * outChannels;
  if (cells <= MOST_CELLS && products <= MOST_PRODUCTS) return "";
  return (
    `Too much to draw: ${cells.toLocaleString("en-GB")} cells and ` +
    `${products.toLocaleString("en-GB")} products. The sizes and the code below hold all the ` +
    "same; for a drawing use a smaller input or fewer channels."
  );
}

/** The setting as windows that move over a canvas: `columns[t][p]` is the input that tap t of
    position p sees, -1 for a zero. */
export function makeReading(setting) {
  const shown = setting.transposed ? gathered(setting.geometry) : setting.geometry;
  const { groups } = shown;
  const [taps, origins, sources] = [shown.taps(), shown.origins(), shown.sources()];
  const perGroup = setting.inChannels / groups;
  const filtersPerGroup = setting.outChannels / groups;
  return {
    setting,
    shown,
    groups,
    perGroup,
    filtersPerGroup,
    taps,
    origins,
    sources,
    inputs: product(shown.inputSize),
    columns: taps.map((tap) => origins.map((origin) => sources[tap + origin])),
    /** Where in the flat weights tap t of filter k and of its group's channel c is. */
    weightIndex(k, c, t) {
      if (!setting.transposed) return (k * perGroup + c) * taps.length + t;
      const channel = Math.floor(k / filtersPerGroup) * perGroup + c;
      return (channel * filtersPerGroup + (k % filtersPerGroup)) * taps.length + flipped(t);
    },
  };
  function flipped(t) {
    return taps.length - 1 - t;
  }
}

/** Small integers that are the same for the same seed; from x, w and dy follows all else. */
export function makeNumbers(reading, seed) {
  const { setting, inputs, origins } = reading;
  let state = seed;
  // A linear congruential generator: Numerical Recipes (1992), section 7.1.
  const draw = (least, most) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return least + Math.floor((state / 2 ** 32) * (most - least + 1));
  };
  const many = (count, least, most) => Array.from({ length: count }, () => draw(least, most));
  return {
    x: many(setting.inChannels * inputs, 0, 9),
    w: many(product(setting.weightShape), -2, 3),
    dy: many(setting.outChannels * origins.length, -3, 3),
  };
}

export const sum = (terms) => terms.reduce((total, { left, right }) => total + left * right, 0);

/** The group of an output channel, and of an input channel. */
export const groupOf = (reading, k) => Math.floor(k / reading.filtersPerGroup);

/** The terms of y[k, p]: every tap of every channel of the group, those on zeros too. */
export function outputTerms(reading, { x, w }, k, p) {
  const { taps, origins, perGroup, columns, inputs } = reading;
  const terms = [];
  for (let c = 0; c < perGroup; c += 1) {
    const channel = groupOf(reading, k) * perGroup + c;
    taps.forEach((tap, t) => {
      const source = columns[t][p];
      terms.push({
        channel,
        c,
        t,
        source,
        cell: tap + origins[p],
        left: source < 0 ? 0 : x[channel * inputs + source],
        right: w[reading.weightIndex(k, c, t)],
      });
    });
  }
  return terms;
}

/** The terms of dx[channel, i]: every output that it reaches, and through which tap. */
export function inputTerms(reading, { w, dy }, channel, i) {
  const matches = (t, p) => reading.columns[t][p] === i;
  return reachedFrom(reading, { w, dy }, channel, matches);
}

/** The outputs whose windows lie on one cell of the canvas. */
export function cellTerms(reading, { w, dy }, channel, cell) {
  const matches = (t, p) => reading.taps[t] + reading.origins[p] === cell;
  return reachedFrom(reading, { w, dy }, channel, matches);
}

function reachedFrom(reading, { w, dy }, channel, matches) {
  const { taps, origins, perGroup, filtersPerGroup } = reading;
  const group = Math.floor(channel / perGroup);
  const terms = [];
  origins.forEach((origin, p) => {
    taps.forEach((tap, t) => {
      if (!matches(t, p)) return;
      for (let k = group * filtersPerGroup; k < (group + 1) * filtersPerGroup; k += 1) {
        terms.push({
          k,
          p,
          t,
          cell: tap + origin,
          left: w[reading.weightIndex(k, channel % perGroup, t)],
          right: dy[k * origins.length + p],
        });
      }
    });
  });
  return terms;
}

/** The terms of the gradient of tap t of filter k and of its group's channel c. */
export function weightTerms(reading, { x, dy }, k, c, t) {
  const { origins, perGroup, columns, inputs, taps } = reading;
  const channel = groupOf(reading, k) * perGroup + c;
  return origins.map((origin, p) => {
    const source = columns[t][p];
    return {
      channel,
      p,
      source,
      cell: taps[t] + origin,
      left: source < 0 ? 0 : x[channel * inputs + source],
      right: dy[k * origins.length + p],
    };
  });
}

/** All outputs (K, P), flat. */
export function outputs(reading, numbers) {
  const { setting, origins } = reading;
  return Array.from({ length: setting.outChannels * origins.length }, (_, flat) => {
    const p = flat % origins.length;
    return sum(outputTerms(reading, numbers, (flat - p) / origins.length, p));
  });
}

/** The gradients dx and dw, flat, in the shapes of x and w. */
export function gradients(reading, numbers) {
  const { setting, inputs, perGroup, taps } = reading;
  const dx = numbers.x.map((_, flat) => {
    const i = flat % inputs;
    return sum(inputTerms(reading, numbers, (flat - i) / inputs, i));
  });
  const dw = numbers.w.map(() => 0);
  for (let k = 0; k < setting.outChannels; k += 1) {
    for (let c = 0; c < perGroup; c += 1) {
      for (let t = 0; t < taps.length; t += 1) {
        dw[reading.weightIndex(k, c, t)] = sum(weightTerms(reading, numbers, k, c, t));
      }
    }
  }
  return { dx, dw };
}
