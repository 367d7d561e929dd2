// A grid of cells in SVG: seen, pointed at, touched and walked over with the arrow keys.

import { svg, html, unique } from "./element.js";

const CELL = 40; // in units of the drawing; the page decides how large that is on the screen
const STEPS = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
};

/**
 * A grid under a caption. `choose(index)` is called for the cell that is pointed at or walked to;
 * `isCell(index)` says which places have one. `paint(look)` then shows, for each cell, what
 * `look(index)` says: {kind, value, mark, label, chosen}.
 */
export function makeGrid({ name, rows, columns, isCell = () => true, choose }) {
  const cells = new Map();
  const root = svg("svg", {
    class: "grid",
    viewBox: `-2 -2 ${columns * CELL + 4} ${rows * CELL + 4}`,
    role: "grid",
    tabindex: "0",
    "aria-label": name,
  });
  root.style.setProperty("--columns", columns);
  for (let row = 0; row < rows; row += 1) {
    const line = svg("g", { role: "row" });
    for (let column = 0; column < columns; column += 1) {
      const index = row * columns + column;
      if (isCell(index)) line.append(makeCell(cells, index, row, column));
    }
    root.append(line);
  }
  const caption = html("figcaption", {}, name);
  const figure = html("figure", { class: "plane" }, caption, root);
  let current = [...cells.keys()][0];

  const indexAt = (event) => {
    const cell = event.target.closest?.("[data-index]");
    return cell && root.contains(cell) ? Number(cell.dataset.index) : undefined;
  };
  const pointed = (event) => {
    const index = indexAt(event);
    if (index !== undefined) choose((current = index));
  };
  root.addEventListener("pointerover", pointed);
  root.addEventListener("click", pointed);
  root.addEventListener("focus", () => root.matches(":focus-visible") && choose(current));
  root.addEventListener("keydown", (event) => {
    const next = walked(event, current, { rows, columns, cells });
    if (next === undefined) return;
    event.preventDefault();
    choose((current = next));
  });

  return {
    figure,
    root,
    paint(look) {
      for (const [index, cell] of cells) {
        const seen = look(index);
        show(cell, seen);
        if (!seen.chosen) continue;
        current = index;
        root.setAttribute("aria-activedescendant", cell.group.id);
      }
    },
    rename(text) {
      caption.textContent = text;
      root.setAttribute("aria-label", text);
    },
  };
}

function makeCell(cells, index, row, column) {
  const box = svg("rect", { x: 1, y: 1, width: CELL - 2, height: CELL - 2, rx: 3 });
  const value = svg("text", { class: "value", x: CELL / 2, y: CELL / 2 });
  const mark = svg("text", { class: "mark", x: CELL - 4, y: CELL - 5 });
  const group = svg(
    "g",
    {
      id: unique("cell"),
      role: "gridcell",
      transform: `translate(${column * CELL} ${row * CELL})`,
      "data-index": index,
    },
    box,
    value,
    mark,
  );
  cells.set(index, { group, value, mark, seen: {} });
  return group;
}

/** Change what has changed. */
function show(cell, seen) {
  const { group, value, mark, seen: before } = cell;
  if (seen.kind !== before.kind) group.setAttribute("class", `cell ${seen.kind}`);
  if (seen.value !== before.value) value.textContent = seen.value ?? "";
  if (seen.mark !== before.mark) {
    mark.textContent = seen.mark ?? "";
    value.setAttribute("y", seen.mark ? CELL / 2 - 5 : CELL / 2);
  }
  if (seen.label !== before.label) group.setAttribute("aria-label", seen.label);
  if (seen.chosen !== before.chosen) group.setAttribute("aria-selected", Boolean(seen.chosen));
  cell.seen = seen;
}

/** The cell that a key leads to; undefined where it leads nowhere. */
function walked(event, current, { rows, columns, cells }) {
  if (event.ctrlKey || event.altKey || event.metaKey) return undefined;
  const [row, column] = [Math.floor(current / columns), current % columns];
  const inRow = [...cells.keys()].filter((index) => Math.floor(index / columns) === row);
  if (event.key === "Home") return inRow[0];
  if (event.key === "End") return inRow.at(-1);
  if (!(event.key in STEPS)) return undefined;
  const [down, along] = STEPS[event.key];
  if (down && rows === 1) return undefined; // the page scrolls
  let [y, x] = [row + down, column + along];
  // Over places that have no cell, to the next one that has.
  for (; y >= 0 && y < rows && x >= 0 && x < columns; y += down, x += along) {
    if (cells.has(y * columns + x)) return y * columns + x;
  }
  return current;
}
