// What stands beside the drawing: the sum, its terms as a table, the im2col matrix, the sizes.

import { enclosed, html, printed, svg } from "./element.js";
import { unravel } from "./geometry.js";

const MOST_TERMS = 72;
const MOST_ENTRIES = 40000;
const MOST_NUMBERS = 1000; // entries that are printed, if they are no more in a row than
const MOST_IN_ROW = 20;

const factor = (name, value) => html("span", { class: name }, enclosed(value));

/** The sum with its numbers: y[0, 1, 2] = 3·1 + 0·(−2) + ... = 7. */
export function sumOf(scene) {
  if (!scene.name) return [html("p", { class: "formula" }, scene.formula)];
  const [left, right] = scene.factors;
  const shown = scene.terms.slice(0, MOST_TERMS);
  const parts = shown.flatMap((term, index) => [
    index ? " + " : "",
    html(
      "span",
      { class: term.source < 0 ? "term zero" : "term" },
      factor(left, term.left),
      "·",
      factor(right, term.right),
    ),
  ]);
  const rest = scene.terms.length - shown.length;
  if (rest > 0) parts.push(` + … ${rest} more …`);
  const none = scene.terms.length ? "" : " No window sees this input.";
  return [
    html("p", { class: "formula" }, scene.formula),
    html(
      "p",
      { class: "sum" },
      html("b", {}, scene.name),
      parts.length ? " = " : "",
      ...parts,
      " = ",
      html("b", { class: "total" }, printed(scene.total)),
      none,
    ),
  ];
}

/** The same for a screen reader. */
export function spokenSum(scene) {
  if (!scene.name) return scene.formula;
  const terms = scene.terms.slice(0, 12).map((term) => `${term.left} × ${term.right}`);
  const rest = scene.terms.length - terms.length;
  if (rest > 0) terms.push(`${rest} more`);
  return `${scene.name} is ${scene.total}${terms.length ? `: ${terms.join(" + ")}` : ""}`;
}

/** The terms as a table: of an output, its row of the im2col matrix and the kernel below it. */
export function termsOf(reading, scene) {
  const { shown, setting } = reading;
  const several = setting.inChannels > 1 || setting.outChannels > 1;
  const [side] = scene.at;
  const head = (term) => {
    const place =
      side === "output" ? unravel(term.t, shown.kernelSize) : unravel(term.p, shown.outputSize);
    const channel = side === "output" ? term.channel : term.k;
    return (several && channel !== undefined ? [channel, ...place] : place).join(",");
  };
  const [left, right] = scene.factors;
  const terms = scene.terms.slice(0, MOST_TERMS);
  const line = (name, words, cell) =>
    html(
      "tr",
      { class: name },
      html("th", { scope: "row" }, words),
      terms.map((term) => html("td", { class: term.source < 0 ? "zero" : "" }, cell(term))),
    );
  const first = side === "output" ? "tap" : "output";
  return html(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": "The terms of the sum" },
    html(
      "table",
      { class: "terms" },
      line("head", several ? (side === "output" ? "c, tap" : "k, output") : first, head),
      line(left, left, (term) => printed(term.left)),
      line(right, `× ${right}`, (term) => printed(term.right)),
      line("product", "=", (term) => printed(term.left * term.right)),
    ),
  );
}

/** The matrix im2col(x).T, one row for each output and one column for each tap of each channel;
    `choose(p)` is called for a row that is pointed at. */
export function makeMatrix(reading, { x }, choose) {
  const { columns, origins, taps, setting, inputs } = reading;
  const [rows, width] = [origins.length, setting.inChannels * taps.length];
  if (rows * width > MOST_ENTRIES) {
    const text = `${rows} rows of ${width} entries are too many to draw.`;
    return { element: html("p", { class: "soft" }, text), paint() {} };
  }
  const box = (row, column) => `M${column} ${row}h1v1h-1z`;
  const path = (name, wanted) => {
    let d = "";
    for (let column = 0; column < width; column += 1) {
      columns[column % taps.length].forEach((source, row) => {
        if (source < 0 === wanted) d += box(row, column);
      });
    }
    return svg("path", { class: name, d });
  };
  const chosen = svg("path", { class: "chosen" });
  const lines = svg("path", { class: "lines", d: dividers(rows, width, taps.length) });
  const root = svg(
    "svg",
    {
      class: "matrix",
      viewBox: `0 0 ${width} ${rows}`,
      role: "img",
      "aria-label": `The im2col matrix: ${rows} rows, one for each output, of ${width} entries`,
    },
    path("input", false),
    path("zero", true),
    chosen,
    lines,
    rows * width > MOST_NUMBERS || width > MOST_IN_ROW ? [] : entriesAsText(),
  );
  root.style.setProperty("--columns", width);
  root.addEventListener("pointermove", (event) => {
    const { top, height } = root.getBoundingClientRect();
    const row = Math.floor(((event.clientY - top) / height) * rows);
    if (row >= 0 && row < rows) choose(row);
  });
  const element = html("div", { class: "wide" }, root);
  return {
    element,
    paint(scene) {
      const found = entriesOf(reading, scene);
      chosen.setAttribute("d", found.map((entry) => box(...entry)).join(""));
      if (found.length && !element.matches(":hover")) reveal(element, root, found[0][0] / rows);
    },
  };

  function entriesAsText() {
    return Array.from({ length: rows * width }, (_, flat) => {
      const [row, column] = [Math.floor(flat / width), flat % width];
      const source = columns[column % taps.length][row];
      const channel = Math.floor(column / taps.length);
      const value = source < 0 ? 0 : x[channel * inputs + source];
      return svg(
        "text",
        { class: source < 0 ? "blank" : "", x: column + 0.5, y: row + 0.5 },
        value,
      );
    });
  }
}

/** Scroll what is inside an element, and not the page, to a part of its height. */
function reveal(element, inside, part) {
  const middle = part * inside.clientHeight - element.clientHeight / 2;
  if (Math.abs(middle - element.scrollTop) > element.clientHeight / 3) element.scrollTop = middle;
}

/** Lines between the blocks of the channels. */
function dividers(rows, width, taps) {
  let d = "";
  for (let column = taps; column < width; column += taps) d += `M${column} 0v${rows}`;
  return d;
}

/** The entries [row, column] of the matrix that a scene is about. */
function entriesOf({ columns, taps, perGroup, filtersPerGroup, origins }, scene) {
  const [side, first, second, third] = scene.at;
  if (side === "output") {
    const start = Math.floor(first / filtersPerGroup) * perGroup * taps.length;
    return Array.from({ length: perGroup * taps.length }, (_, column) => [second, start + column]);
  }
  if (side === "weight") {
    const channel = Math.floor(first / filtersPerGroup) * perGroup + second;
    return origins.map((_, row) => [row, channel * taps.length + third]);
  }
  if (side === "cell") return scene.terms.map((term) => [term.p, first * taps.length + term.t]);
  return columns.flatMap((seen, t) =>
    seen.flatMap((source, p) => (source === second ? [[p, first * taps.length + t]] : [])),
  );
}
