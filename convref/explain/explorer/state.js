// What the page shows, as plain words, and those words as the text after "#" in the address:
//
//     #input_size=7x7&kernel_size=3x3&stride=2&padding=same&dialect=keras&at=output:0,5
//
// Only what differs from the defaults is written. What can't be read is told, and left out.

import { PADDING_WORDS } from "./geometry.js";

export const PADDING_MODES = ["zeros", "reflect", "replicate", "circular"];
export const DIALECTS = ["convref", "torch", "keras", "jax", "brainpy", "babilim", "onnx"];
export const SIDES = ["output", "input", "weight"];

/** Words with one entry per axis. */
export const PER_AXIS = [
  "input_size",
  "kernel_size",
  "stride",
  "dilation",
  "input_dilation",
  "output_padding",
];
const SINGLE = ["groups", "in_channels", "out_channels", "numbers"];
const CHOICES = { padding_mode: PADDING_MODES, dialect: DIALECTS };

/** The words at first, for so many axes; `at` is [side, channel, index] or [side, k, c, index]. */
export function defaults(rank = 2) {
  const each = (value) => Array(rank).fill(value);
  return {
    transposed: false,
    input_size: each(7),
    kernel_size: each(3),
    stride: each(1),
    dilation: each(1),
    input_dilation: each(1),
    padding: "valid",
    padding_mode: "zeros",
    in_channels: 1,
    out_channels: 1,
    groups: 1,
    output_padding: each(0),
    dialect: "torch",
    numbers: 1,
    at: ["output", 0, 0],
  };
}

/** Words completed by the defaults for as many axes as the input has. */
export const completed = (words) => ({
  ...defaults((words.input_size ?? words.kernel_size ?? [0, 0]).length),
  ...words,
});

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

const joined = (entries) =>
  entries.every((entry) => same(entry, entries[0])) && entries.length > 1
    ? String(entries[0])
    : entries.join("x");

/** The words as text. */
export function write(words) {
  const usual = defaults(words.input_size.length);
  const parts = [];
  for (const [name, value] of Object.entries(words)) {
    const sized = name === "input_size" || name === "kernel_size";
    if (!sized && same(value, usual[name])) continue;
    if (sized) parts.push(`${name}=${value.join("x")}`);
    else if (name === "at") parts.push(`at=${value[0]}:${value.slice(1).join(",")}`);
    else if (Array.isArray(value)) parts.push(`${name}=${joined(value)}`);
    else parts.push(`${name}=${value}`);
  }
  return parts.join("&");
}

class Unreadable extends Error {}

function integer(text) {
  if (!/^-?\d{1,5}$/.test(text)) throw new Unreadable("whole numbers of up to five digits");
  return Number(text) + 0; // no -0
}

function entries(text, rank, read) {
  const found = text.split("x").map(read);
  if (found.length !== 1 && found.length !== rank) {
    throw new Unreadable(`one entry, or one for each of the ${rank} axes`);
  }
  return found.length === rank ? found : Array(rank).fill(found[0]);
}

function pair(text) {
  const amounts = text.split(",").map(integer);
  if (amounts.length > 2) throw new Unreadable("an amount, or two: before,after");
  return amounts.length === 2 ? amounts : [amounts[0], amounts[0]];
}

function choice(text, known) {
  if (!known.includes(text)) throw new Unreadable(`one of ${known.join(", ")}`);
  return text;
}

function place(text) {
  const [side, indices] = text.split(":");
  const numbers = (indices ?? "").split(",").map(integer);
  const wanted = side === "weight" ? 3 : 2;
  if (!SIDES.includes(side) || numbers.length !== wanted || Math.min(...numbers) < 0) {
    throw new Unreadable("a place such as output:0,5");
  }
  return [side, ...numbers];
}

function value(name, text, rank) {
  if (PER_AXIS.includes(name)) return entries(text, rank, integer);
  if (SINGLE.includes(name)) return integer(text);
  if (name in CHOICES) return choice(text, CHOICES[name]);
  if (name === "transposed") return choice(text, ["true", "false"]) === "true";
  if (name === "at") return place(text);
  return PADDING_WORDS.includes(text) ? text : entries(text, rank, pair);
}

/** The text without its percent signs, unless they mean nothing. */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The text as parts [name, value]. */
function split(text) {
  return decoded(text.replace(/^#/, ""))
    .split("&")
    .filter(Boolean)
    .map((part) => {
      const cut = part.indexOf("=");
      return cut < 0 ? [part, ""] : [part.slice(0, cut), part.slice(cut + 1)];
    });
}

const shortened = (text) => (text.length > 40 ? `${text.slice(0, 40)}…` : text);

function rankOf(parts) {
  const sized = parts.filter(([name]) => name === "input_size" || name === "kernel_size");
  return Math.max(0, ...sized.map(([, text]) => text.split("x").length)) || 2;
}

/** The words that a text says, and a complaint for each part of it that says nothing. */
export function read(text) {
  const parts = split(text);
  const rank = rankOf(parts);
  if (rank > 2) {
    return { words: defaults(), complaints: ["This page shows one or two axes, not more."] };
  }
  const words = defaults(rank);
  const complaints = [];
  for (const [name, said] of parts) {
    if (!Object.hasOwn(words, name)) {
      complaints.push(`There is no setting “${shortened(name)}”: it is left out.`);
      continue;
    }
    try {
      words[name] = value(name, said, rank);
    } catch (error) {
      if (!(error instanceof Unreadable)) throw error;
      complaints.push(
        `“${shortened(said)}” can't be read as ${name}, which takes ${error.message}.`,
      );
    }
  }
  return { words, complaints };
}
