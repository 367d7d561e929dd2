// Code as text, and what several frameworks need to know of a padding.

import { resolve } from "../geometry.js";

/** Why a framework can't say something, and what to do. */
export class Unsaid extends Error {
  constructor(rule, mend) {
    super(rule);
    this.mend = mend;
  }
}

const LONG = 10 ** 6; // positions along an axis that no window is too long for

// Python's values as code: a list is an array, a tuple is one marked as such.

class Name {
  constructor(text) {
    this.text = text;
  }
}
/** A name in code, as against a string. */
export const name = (text) => new Name(text);

/** A value that is written even where a word has it by default in other frameworks. */
export const told = (value) => new Name(asCode(value));

class Tuple extends Array {}
export const tuple = (values) =>
  Tuple.from(values, (one) => (Array.isArray(one) ? tuple(one) : one));
const isPlain = (word, value) =>
  value === undefined ||
  ({ padding: [0, "valid"], output_padding: [0] }[word] ?? [1, "zeros"]).includes(value);

function asCode(value) {
  if (value instanceof Name) return value.text;
  if (typeof value === "string") return `"${value}"`;
  if (value === true) return "True";
  if (!Array.isArray(value)) return String(value);
  const inside = [...value].map(asCode).join(", ");
  if (!(value instanceof Tuple)) return `[${inside}]`;
  return value.length === 1 ? `(${inside},)` : `(${inside})`;
}

/** A call as code; words that need not be written are left out. */
export function call(callee, values, words = {}) {
  const given = Object.entries(words)
    .filter(([word, value]) => !isPlain(word, value))
    .map(([word, value]) => `${word}=${asCode(value)}`);
  return `${callee}(${[...values.map(asCode), ...given].join(", ")})`;
}

/** One integer for all axes, where they are equal. */
export const one = (sizes) => (sizes.every((size) => size === sizes[0]) ? sizes[0] : tuple(sizes));

export const most = (sizes) => Math.max(...sizes);
export const symmetric = (pairs) => pairs.every(([lo, hi]) => lo === hi);
export const equal = (left, right) => JSON.stringify(left) === JSON.stringify(right);
export const unlessOnes = (sizes) => (most(sizes) > 1 ? tuple(sizes) : undefined);

/** What a padding comes to with strides of 1. */
export const plainPairs = (padding, windows) =>
  windows.map((window, axis) => resolve(padding, axis, window, window, 1));

/** The pairs that a padding comes to for long inputs, one for each remainder by the strides. */
export function pairsOfLong({ stride, axes }, padding) {
  const found = new Map();
  for (let more = 0; more < most(stride); more += 1) {
    const pairs = axes.map((axis, number) => {
      const extent = (LONG + more - 1) * axis.inputDilation + 1;
      return resolve(padding, number, extent, axis.window, axis.stride);
    });
    found.set(JSON.stringify(pairs), pairs);
  }
  return [...found.values()];
}

/** The pairs of a padding that does not depend on the size of the input. */
export function constantPairs(said, padding = said.padding) {
  const found = pairsOfLong(said, padding);
  if (found.length > 1) throw new Unsaid("the padding depends on the size of the input", "");
  return found[0];
}

/** How far a transposed convolution's output ends within all that it reaches, on each side. */
export const cutOff = ({ axes }) =>
  axes.map((axis) => {
    const reached = (axis.output - 1) * axis.stride + axis.window;
    return [axis.lo, reached - axis.lo - axis.size];
  });
