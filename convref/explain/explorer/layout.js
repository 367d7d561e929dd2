// How large the cells are, and where the grids stand: side by side where they can be read so.

const LEAST = 12; // pixels of a cell
const READABLE = 19;
const MOST = 44;
const TALLEST = 600; // pixels of the drawing, if it can then be read
const GAP = 40; // pixels between sides, and between grids of a side
const CAPTION = 34;
const MARGIN = 6; // of a grid, for the outline of what has the focus

/** The ways to put so many grids into columns, none of which would be left empty. */
const ways = (count) =>
  Array.from({ length: count }, (_, index) => index + 1).filter(
    (columns) => columns === Math.ceil(count / Math.ceil(count / columns)),
  );

/** The width and the height of a side in cells, and what else they take in pixels. */
function extent({ count, rows, columns }, across) {
  const down = Math.ceil(count / across);
  return {
    width: across * columns,
    height: down * rows,
    between: (across - 1) * GAP + across * MARGIN,
    captions: down * CAPTION,
  };
}

/** The largest cells with which the sides fit side by side, and how each is arranged for that; of
    arrangements with the same cells the lowest. */
function beside(sides, width) {
  let best = { unit: 0, height: 0, across: [1, 1, 1] };
  for (const a of ways(sides[0].count)) {
    for (const b of ways(sides[1].count)) {
      for (const c of ways(sides[2].count)) {
        const found = [a, b, c].map((across, index) => extent(sides[index], across));
        const total = (name) => found.reduce((sum, one) => sum + one[name], 0);
        const wide = (width - 2 * GAP - total("between")) / total("width");
        const tall = found.map((one) => (TALLEST - one.captions) / one.height);
        const unit = Math.min(wide, MOST, Math.max(READABLE, Math.min(...tall)));
        const height = Math.max(...found.map((one) => one.height * unit + one.captions));
        if (unit > best.unit || (unit === best.unit && height < best.height)) {
          best = { unit, height, across: [a, b, c] };
        }
      }
    }
  }
  return best;
}

/** Arrange the sides of a drawing in so many pixels of width. */
export function layOut(planes, rank, width, root) {
  const { unit, across } = rank > 1 ? beside(planes.sides, width) : { unit: 0 };
  const stacked = unit < READABLE;
  const longest = Math.max(...planes.sides.map(({ columns }) => columns));
  const chosen = Math.floor(stacked ? (width - MARGIN) / longest : unit);
  const bounded = Math.min(Math.max(chosen, LEAST), MOST);
  planes.element.classList.toggle("stacked", stacked);
  planes.element.classList.toggle("small", bounded < READABLE);
  planes.sides.forEach(({ element }, index) =>
    element.style.setProperty("--across", stacked ? 1 : across[index]),
  );
  root.style.setProperty("--unit", `${bounded}px`);
}
