// Input, kernel and output, drawn channel by channel, and what a scene marks in them.

import { html, printed } from "./element.js";
import { makeFrame, MEANINGS } from "./frame.js";
import { unravel } from "./geometry.js";
import { makeGrid } from "./grid.js";
import { markText } from "./scene.js";

const rowsOf = (sizes) => (sizes.length > 1 ? sizes[0] : 1);
const range = (count) => Array.from({ length: count }, (_, index) => index);

/** What the layout must know of a side: how large one grid is, and how many there are. */
const sideOf = (element, sizes, count) => ({
  element,
  count,
  rows: rowsOf(sizes),
  columns: sizes.at(-1),
});

/** A grid of one channel, of so many cells along each axis. */
function gridOf(sizes, name, choose, isCell) {
  return makeGrid({ name, rows: rowsOf(sizes), columns: sizes.at(-1), isCell, choose });
}

/** The drawing of a reading; `choose(at)` is called for what is pointed at. */
export function makePlanes(reading, choose) {
  const { setting, shown, perGroup } = reading;
  const frame = makeFrame(shown);
  const isCell = (index) => frame.cells[index].kind !== "cropped" || frame.cells[index].source >= 0;
  const shape = { frame, filter: 0 };
  const named = (letter, name, channel, count) =>
    count > 1 ? `${letter}, channel ${channel}` : `${name} ${letter}`;

  const inputs = range(setting.inChannels).map((c) =>
    gridOf(
      frame.sizes,
      named("x", "input", c, setting.inChannels),
      (index) => {
        const { cell, source } = frame.cells[index];
        if (source >= 0) choose(["input", c, source]);
        else if (cell >= 0) choose(["cell", c, cell]);
      },
      isCell,
    ),
  );
  const kernels = range(perGroup).map((c) =>
    gridOf(shown.kernelSize, "kernel w", (t) => choose(["weight", shape.filter, c, t])),
  );
  const outputs = range(setting.outChannels).map((k) =>
    gridOf(shown.outputSize, "output y", (p) => choose(["output", k, p])),
  );
  const side = (name, grids) =>
    html(
      "div",
      { class: `side ${name}` },
      grids.map((grid) => grid.figure),
    );
  const element = html(
    "div",
    { class: classes("planes", setting.rank === 1 && "flat", setting.transposed && "turned") },
    side("inputs", inputs),
    side("kernels", kernels),
    side("outputs", outputs),
  );
  return {
    element,
    frame,
    sides: [
      sideOf(element.children[0], frame.sizes, setting.inChannels),
      sideOf(element.children[1], shown.kernelSize, perGroup),
      sideOf(element.children[2], shown.outputSize, setting.outChannels),
    ],
    paint(scene, numbers, y) {
      shape.filter = scene.filter;
      inputs.forEach((grid, c) => grid.paint(inputLook(reading, frame, numbers, scene, c)));
      kernels.forEach((grid, c) => {
        grid.rename(kernelName(reading, scene.filter, c));
        grid.paint(kernelLook(reading, numbers, scene, c));
      });
      outputs.forEach((grid, k) => {
        const what = scene.shows === "y" ? "output" : "gradient";
        grid.rename(named(scene.shows, what, k, setting.outChannels));
        grid.paint(outputLook(reading, numbers, y, scene, k));
      });
    },
  };
}

function kernelName({ setting, perGroup, filtersPerGroup }, k, c) {
  const group = Math.floor(k / filtersPerGroup);
  const indices = setting.transposed ? [group * perGroup + c, k % filtersPerGroup] : [k, c];
  const alone = setting.inChannels === 1 && setting.outChannels === 1;
  const caption = alone ? "kernel w" : `kernel w[${indices.join(", ")}]`;
  return setting.transposed ? `${caption}, turned by 180°` : caption;
}

const spoken = (flat, sizes) => {
  const place = unravel(flat, sizes);
  return place.length > 1 ? `row ${place[0]}, column ${place[1]}` : `position ${place[0]}`;
};

const classes = (...names) => names.filter(Boolean).join(" ");

function inputLook(reading, frame, { x }, scene, c) {
  const { inputs, shown, perGroup, filtersPerGroup } = reading;
  const [side, channel, place] = scene.at;
  const dim = Math.floor(c / perGroup) !== Math.floor(scene.filter / filtersPerGroup);
  const marks = scene.marks.canvas[c] ?? {};
  return (index) => {
    const { kind, cell, source, unread } = frame.cells[index];
    const value = printed(source < 0 ? 0 : x[c * inputs + source]);
    const chosen =
      c === channel &&
      ((side === "input" && source === place) || (side === "cell" && cell === place));
    const where = source < 0 ? "" : `, input ${spoken(source, shown.inputSize)}`;
    return {
      kind: classes(
        kind,
        marks[cell] && "tap",
        chosen && "chosen",
        unread && "unread",
        dim && "dim",
      ),
      value: kind === "hole" || (kind !== "input" && source < 0) ? "0" : value,
      mark: markText(marks[cell]),
      label: `${MEANINGS[kind]}${kind === "input" ? where.slice(6) : where}: ${value}`,
      chosen,
    };
  };
}

function kernelLook(reading, { w }, scene, c) {
  const marks = scene.marks.weight[c] ?? {};
  const [side, , channel, tap] = scene.at;
  return (t) => {
    const value = printed(w[reading.weightIndex(scene.filter, c, t)]);
    const chosen = side === "weight" && c === channel && t === tap;
    return {
      kind: classes("kernel", marks[t] && "tap", chosen && "chosen"),
      value,
      label: `weight ${spoken(t, reading.shown.kernelSize)}: ${value}`,
      chosen,
    };
  };
}

function outputLook(reading, { dy }, y, scene, k) {
  const { origins, shown, filtersPerGroup } = reading;
  const [side, channel, place] = scene.at;
  const shows = scene.shows === "y" ? y : dy;
  const marks = scene.marks.output[k] ?? {};
  const dim = Math.floor(k / filtersPerGroup) !== Math.floor(scene.filter / filtersPerGroup);
  return (p) => {
    const value = printed(shows[k * origins.length + p]);
    const chosen = side === "output" && k === channel && p === place;
    return {
      kind: classes(
        scene.shows === "y" ? "output" : "gradient",
        marks[p] && !chosen && "tap",
        chosen && "chosen",
        dim && "dim",
      ),
      value,
      mark: chosen ? "" : markText(marks[p]),
      label: `${scene.shows} ${spoken(p, shown.outputSize)}: ${value}`,
      chosen,
    };
  };
}

/** What the colours mean, for the kinds that are there. */
export function makeLegend(frame, scene) {
  const found = frame.kinds.map((kind) => [kind, MEANINGS[kind]]);
  const marks = {
    output: [
      ["tap", "in the window"],
      ["output chosen", "this output"],
    ],
    input: [
      ["input chosen", "this input"],
      ["gradient tap", "outputs that it reaches"],
    ],
    cell: [["gradient tap", "outputs that read it"]],
    weight: [
      ["tap", "what this tap sees"],
      ["kernel chosen", "this tap"],
    ],
  }[scene.at[0]];
  return html(
    "ul",
    { class: "legend" },
    [...found, ...marks].map(([kind, words]) =>
      html("li", {}, html("i", { class: `swatch ${kind}` }), words),
    ),
  );
}
