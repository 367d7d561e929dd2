// What is chosen, and all that follows from it: which cells are marked, which terms are summed, and
// how the sum is called. `at` is ["output", k, p], ["input", c, i], ["weight", k, c, t], or, for a
// cell of padding, which is no place that has a gradient, ["cell", c, cell].

import { cellTerms, groupOf, inputTerms, outputTerms, sum, weightTerms } from "./contractions.js";
import { printed } from "./element.js";
import { unravel } from "./geometry.js";

/** A place that exists, as near as can be to the one asked for. */
export function clamped(at, reading) {
  const { setting, perGroup, taps, origins, inputs } = reading;
  const within = (index, count) => Math.min(Math.max(index, 0), count - 1);
  const [side, first, ...rest] = at;
  if (side === "weight") {
    const k = within(first, setting.outChannels);
    return [side, k, within(rest[0], perGroup), within(rest[1], taps.length)];
  }
  if (side === "input" && inputs) {
    return [side, within(first, setting.inChannels), within(rest[0], inputs)];
  }
  if (side === "cell") {
    return [side, within(first, setting.inChannels), within(rest[0], reading.sources.length)];
  }
  return ["output", within(first, setting.outChannels), within(rest[0] ?? 0, origins.length)];
}

const bracketed = (name, ...indices) => `${name}[${indices.flat().join(", ")}]`;

/** The scene of a place: {name, symbol, formula, terms, total, filter, marks, shows}. */
export function makeScene(reading, numbers, at) {
  const makers = { output: ofOutput, input: ofInput, weight: ofWeight, cell: ofCell };
  const scene = makers[at[0]](reading, numbers, at);
  return { at, ...scene, total: sum(scene.terms) };
}

/** Marks by channel, then by cell: the factors that the cell is multiplied by. */
function marksOf(terms, key, cell, factor) {
  const marks = {};
  for (const term of terms) ((marks[key(term)] ??= {})[cell(term)] ??= []).push(factor(term));
  return marks;
}

/** A mark as text: one factor, or how many there are. */
export function markText(factors, sign = "×") {
  if (!factors) return "";
  return factors.length > 1 ? `${factors.length} taps` : `${sign}${printed(factors[0])}`;
}

function ofOutput(reading, numbers, [, k, p]) {
  const terms = outputTerms(reading, numbers, k, p);
  const place = unravel(p, reading.shown.outputSize);
  return {
    name: bracketed("y", k, place),
    formula: reading.setting.transposed
      ? "y[k, i] = Σ w[c, k, t] · x[c, o]   over all c, o and t with o·stride + t·dilation − lo = i"
      : "y[k, o] = Σ w[k, c, t] · x[c, o·stride + t·dilation − lo]   over all c and t",
    terms,
    factors: ["x", "w"],
    filter: k,
    shows: "y",
    marks: {
      canvas: marksOf(
        terms,
        (term) => term.channel,
        (term) => term.cell,
        (term) => term.right,
      ),
      weight: marksOf(
        terms,
        (term) => term.c,
        (term) => term.t,
        (term) => term.left,
      ),
      output: { [k]: { [p]: [] } },
    },
  };
}

function ofInput(reading, numbers, [, c, i]) {
  const terms = inputTerms(reading, numbers, c, i);
  return {
    name: bracketed("dx", c, unravel(i, reading.shown.inputSize)),
    formula: reading.setting.transposed
      ? "dx[c, o] = Σ w[c, k, t] · dy[k, o·stride + t·dilation − lo]   over all k and t"
      : "dx[c, i] = Σ w[k, c, t] · dy[k, o]   over all k, o and t with o·stride + t·dilation − lo = i",
    ...reached(reading, terms, c),
  };
}

function ofCell(reading, numbers, [, c, cell]) {
  return {
    name: "",
    formula: "a zero that is not in the input: it has no gradient",
    ...reached(reading, cellTerms(reading, numbers, c, cell), c),
  };
}

/** What an input and a padding cell have in common: outputs that are reached, each by a tap. */
function reached(reading, terms, channel) {
  const group = Math.floor(channel / reading.perGroup);
  const filter = group * reading.filtersPerGroup;
  const ofFilter = terms.filter((term) => term.k === filter);
  return {
    terms,
    factors: ["w", "dy"],
    filter,
    shows: "dy",
    marks: {
      canvas: {},
      weight: marksOf(
        ofFilter,
        () => channel % reading.perGroup,
        (term) => term.t,
        () => 0,
      ),
      output: marksOf(
        terms,
        (term) => term.k,
        (term) => term.p,
        (term) => term.left,
      ),
    },
  };
}

function ofWeight(reading, numbers, [, k, c, t]) {
  const terms = weightTerms(reading, numbers, k, c, t);
  const { taps, shown, setting } = reading;
  const stored = setting.transposed ? taps.length - 1 - t : t;
  const tap = unravel(stored, shown.kernelSize);
  const channel = groupOf(reading, k) * reading.perGroup + c;
  const first = setting.transposed ? [channel, k % reading.filtersPerGroup] : [k, c];
  return {
    name: bracketed("dw", first, tap),
    formula: setting.transposed
      ? "dw[c, k, t] = Σ x[c, o] · dy[k, o·stride + t·dilation − lo]   over all o"
      : "dw[k, c, t] = Σ x[c, o·stride + t·dilation − lo] · dy[k, o]   over all o",
    terms,
    factors: ["x", "dy"],
    filter: k,
    shows: "dy",
    marks: {
      canvas: marksOf(
        terms,
        () => channel,
        (term) => term.cell,
        (term) => term.right,
      ),
      weight: { [c]: { [t]: [] } },
      output: marksOf(
        terms,
        () => k,
        (term) => term.p,
        (term) => term.left,
      ),
    },
  };
}
