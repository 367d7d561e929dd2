// Play, pause and step: from one output to the next, or input, or tap, whichever is looked at.

import { html } from "./element.js";
import { product, ravel, unravel } from "./geometry.js";

const PAUSE = 900; // milliseconds

/** How many places there are beside one, and which index of it is stepped through. */
function walk([side, first, ...rest], { setting, inputs, taps, origins, perGroup, sources }) {
  const channels =
    side === "output" || side === "weight" ? setting.outChannels : setting.inChannels;
  const sizes = {
    output: [origins.length],
    input: [inputs],
    cell: [sources.length],
    weight: [perGroup, taps.length],
  }[side];
  return { sizes: [channels, ...sizes], indices: [first, ...rest] };
}

/** Buttons; `go(steps)` moves on, `renumber()` draws other numbers, `quiet(playing)` is told. */
export function makePlayer({ go, renumber, quiet }) {
  let timer;
  const button = (text, click) => html("button", { type: "button", onclick: click }, text);
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
    play.textContent = "play";
    quiet(false);
  };
  const start = () => {
    quiet(true);
    timer = setInterval(() => go(1), PAUSE);
    play.textContent = "pause";
    go(1);
  };
  const step = (steps) => () => {
    stop();
    go(steps);
  };
  const back = button("‹ back", step(-1));
  const play = button("play", () => (timer === undefined ? start() : stop()));
  const on = button("step ›", step(1));
  play.className = "play";
  const place = html("output", {});
  return {
    element: html(
      "div",
      { class: "buttons", role: "group", "aria-label": "Play" },
      back,
      play,
      on,
      place,
      button("new numbers", renumber),
    ),
    stop: () => timer !== undefined && stop(),
    /** The place so many steps on; after the last comes the first. */
    beside(at, reading, steps) {
      const { sizes, indices } = walk(at, reading);
      const count = product(sizes);
      return [at[0], ...unravel((ravel(indices, sizes) + steps + count) % count, sizes)];
    },
    show(at, reading) {
      const { sizes, indices } = walk(at, reading);
      place.textContent = `${at[0]} ${ravel(indices, sizes) + 1} of ${product(sizes)}`;
    },
  };
}
