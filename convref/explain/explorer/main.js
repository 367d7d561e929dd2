// The explorer: controls, drawing, sums and lines of code, kept in step with one set of words.

import { makeNumbers, makeReading, outputs, tooMany } from "./contractions.js";
import { makeControls } from "./controls.js";
import { makeCode } from "./code.js";
import { html, marked } from "./element.js";
import { makeMatrix, spokenSum, sumOf, termsOf } from "./panels.js";
import { layOut } from "./layout.js";
import { makeLegend, makePlanes } from "./planes.js";
import { makePlayer } from "./player.js";
import { clamped, makeScene } from "./scene.js";
import { makeSetting, SettingError } from "./setting.js";
import { headline, sizesOf } from "./sizes.js";

const ROOMY = 920; // pixels, from which on the settings stand beside the drawing; as in style.css

/** Put the explorer into `root`, and call `changed(words)` when its user has changed something. */
export function mount(root, changed) {
  const parts = makeParts();
  root.replaceChildren(parts.header, html("div", { class: "layout" }, parts.aside, parts.stage));
  const controls = makeControls((change) => update({ ...words, ...change }));
  const code = makeCode((dialect) => update({ ...words, dialect }));
  const player = makePlayer({
    go: (steps) => choose(player.beside(words.at, reading, steps)),
    renumber: () => update({ ...words, numbers: words.numbers + 1 }),
    quiet: (playing) => parts.live.setAttribute("aria-live", playing ? "off" : "polite"),
  });
  parts.aside.append(controls.element);
  parts.player.append(player.element);
  parts.code.append(code.element);

  let words;
  let worked; // the last words without an error
  let setting, reading, numbers, y, planes, matrix;

  function update(next) {
    words = next;
    show();
    changed(words);
  }

  function choose(at) {
    words = { ...words, at };
    paint();
    changed(words);
  }

  function pointed(at) {
    if (String(at) === String(words.at)) return;
    player.stop();
    choose(at);
  }

  function show() {
    try {
      setting = makeSetting(words);
      worked = words;
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      setting = undefined;
      player.stop();
      parts.refuse(
        `${words.transposed ? "conv_transpose" : "conv"}: ${error.message}`,
        worked && (() => update(worked)),
      );
    }
    controls.show(words, setting?.geometry.padding);
    root.classList.toggle("refused", !setting);
    if (!setting) return;
    parts.headline.textContent = headline(setting);
    parts.sizes.replaceChildren(...sizesOf(setting, words));
    code.show(setting, words);
    parts.note.textContent = tooMany(setting);
    root.classList.toggle("undrawn", Boolean(parts.note.textContent));
    if (parts.note.textContent) player.stop();
    else draw();
  }

  function draw() {
    reading = makeReading(setting);
    numbers = makeNumbers(reading, words.numbers);
    y = outputs(reading, numbers);
    planes = makePlanes(reading, pointed);
    matrix = makeMatrix(reading, numbers, (p) =>
      pointed(["output", words.at[0] === "output" ? words.at[1] : 0, p]),
    );
    parts.planes.replaceChildren(planes.element);
    parts.matrix.replaceChildren(matrix.element);
    fit();
    paint();
  }

  function paint() {
    words = { ...words, at: clamped(words.at, reading) };
    const scene = makeScene(reading, numbers, words.at);
    planes.paint(scene, numbers, y);
    matrix.paint(scene);
    parts.legend.replaceChildren(makeLegend(planes.frame, scene));
    parts.sum.replaceChildren(...sumOf(scene));
    parts.terms.replaceChildren(termsOf(reading, scene));
    parts.tell(scene, words.transposed);
    parts.live.textContent = spokenSum(scene);
    player.show(words.at, reading);
  }

  function fit() {
    if (planes) layOut(planes, reading.setting.rank, parts.planes.clientWidth, root);
  }

  let roomy;
  new ResizeObserver(() => {
    if (roomy !== (roomy = root.clientWidth >= ROOMY)) parts.aside.open = roomy;
    fit();
  }).observe(root);
  return {
    /** Show other words; `complaints` say what could not be read. */
    show(next, complaints = []) {
      parts.complain(complaints);
      words = next;
      show();
    },
    stop: () => player.stop(),
  };
}

const card = (title, name, ...children) =>
  html("section", { class: `card ${name}` }, html("h2", {}, title), ...children);

/** The places that are filled later. */
function makeParts() {
  const place = (name) => html("div", { class: `${name}-place` });
  const parts = Object.fromEntries(
    ["planes", "matrix", "legend", "sum", "terms", "sizes", "code", "player"].map((name) => [
      name,
      place(name),
    ]),
  );
  parts.headline = html("p", { class: "headline" });
  parts.note = html("p", { class: "note" });
  parts.live = html("p", { class: "unseen", "aria-live": "polite", role: "status" });
  const complaints = html("div", { class: "complaints", role: "status" });
  const refusal = html("div", { class: "refusal", role: "alert" });
  const sumTitle = html("h2", {});
  const matrixTitle = html("h2", {});
  parts.header = html(
    "header",
    {},
    html("h1", {}, "Convolution explorer"),
    html("p", { class: "equation" }, "i = o · stride + k · dilation − lo"),
    html(
      "p",
      { class: "soft" },
      "Point at an output, an input or a weight, or walk over them with the arrow keys.",
    ),
  );
  parts.aside = html("details", { class: "aside" }, html("summary", {}, "Settings"));
  parts.stage = html(
    "main",
    { class: "stage" },
    complaints,
    refusal,
    html("div", { class: "top" }, parts.headline, parts.player),
    parts.note,
    html("section", { class: "drawing" }, parts.planes, parts.legend),
    parts.live,
    html(
      "div",
      { class: "cards" },
      html("section", { class: "card sums" }, sumTitle, parts.sum, parts.terms),
      html("section", { class: "card matrices" }, matrixTitle, parts.matrix),
      card("Sizes", "size", parts.sizes),
      card("In code", "coded", parts.code),
    ),
  );
  parts.complain = (texts) =>
    complaints.replaceChildren(...texts.map((text) => html("p", {}, text)));
  parts.refuse = (text, back) => {
    const button = html("button", { type: "button" }, "Back to what worked");
    button.addEventListener("click", back);
    refusal.replaceChildren(
      html("h2", {}, "This setting is refused"),
      html("p", {}, marked(text)),
      back ? button : "",
    );
    parts.aside.open = true; // where it can be mended
  };
  parts.tell = (scene, transposed) => {
    sumTitle.textContent = {
      output: "This output, written out",
      input: "The gradient of this input: every output that it reaches",
      weight: "The gradient of this weight: everything that it sees",
      cell: "A cell of padding",
    }[scene.at[0]];
    matrixTitle.textContent =
      `The im2col matrix${transposed ? " of the spread-out input" : ""}: ` +
      "one row for each output, one column for each tap";
  };
  return parts;
}
