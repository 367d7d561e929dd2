// The form: one control for each word, which say what is chosen and tell what is changed.

import { PADDING_WORDS } from "./geometry.js";
import { html } from "./element.js";
import { checkbox, choices, numberField, radios } from "./fields.js";
import { defaults, PADDING_MODES } from "./state.js";

/** Words that are numbers: what they are called, from where to where the slider goes. */
const NUMBERS = [
  { name: "input_size", label: "input size", least: 1, most: 16 },
  { name: "kernel_size", label: "kernel size", least: 1, most: 7 },
  { name: "stride", label: "stride", least: 1, most: 5 },
  { name: "dilation", label: "dilation", least: 1, most: 4 },
  { name: "output_padding", label: "output padding", least: 0, most: 4 },
  { name: "input_dilation", label: "input dilation", least: 1, most: 4 },
];
const CHANNELS = [
  { name: "in_channels", label: "input channels", least: 1, most: 6 },
  { name: "out_channels", label: "output channels", least: 1, most: 6 },
  { name: "groups", label: "groups", least: 1, most: 6 },
];
const AXES = { 1: [""], 2: ["rows", "columns"] };

const alike = (entries) => entries.every((one) => String(one) === String(entries[0]));

/** The form; `change(words)` is called with what is to be merged into the words. */
export function makeControls(change) {
  let words;
  let pairs;
  let linked = true;
  const form = html("form", { class: "controls", "aria-label": "Settings" });
  form.addEventListener("submit", (event) => event.preventDefault());

  /** Sliders and number fields stay while one of them is held: only what is shown changes. */
  let shape = "";
  let fields = [];

  const set = (name, value) => change({ [name]: value });
  const setEntry = (name, axis, value) =>
    set(name, linked ? words[name].map(() => value) : words[name].with(axis, value));

  function build() {
    fields = [];
    const add = (field) => {
      fields.push(field);
      return field.element;
    };
    const perAxis = ({ name, label, least, most }) =>
      (linked ? [""] : AXES[rank()]).map((axis, number) =>
        add(
          numberField(
            `${label} ${axis}`.trim(),
            least,
            most,
            () => words[name][number],
            (value) => setEntry(name, number, value),
          ),
        ),
      );
    form.replaceChildren(
      html(
        "fieldset",
        {},
        html("legend", {}, "Kind"),
        add(
          radios(
            "direction",
            ["convolution", "transposed"],
            () => (words.transposed ? "transposed" : "convolution"),
            turn,
          ),
        ),
        add(
          radios(
            "axes",
            ["1-D", "2-D"],
            () => `${rank()}-D`,
            (text) => rerank(Number(text[0])),
          ),
        ),
        rank() > 1 ? add(checkbox("same along both axes", () => linked, link)) : "",
      ),
      html(
        "fieldset",
        {},
        html("legend", {}, "Window"),
        NUMBERS.filter(({ name }) => applies(name)).flatMap(perAxis),
      ),
      html(
        "fieldset",
        {},
        html("legend", {}, "Padding"),
        add(
          choices(
            "padding",
            [...PADDING_WORDS, "amounts"],
            () => (typeof words.padding === "string" ? words.padding : "amounts"),
            pad,
          ),
        ),
        typeof words.padding === "string" ? "" : amounts(add),
        applies("padding_mode")
          ? add(
              choices(
                "padding mode",
                PADDING_MODES,
                () => words.padding_mode,
                (value) => set("padding_mode", value),
              ),
            )
          : "",
      ),
      html(
        "fieldset",
        {},
        html("legend", {}, "Channels"),
        CHANNELS.map(({ name, label, least, most }) =>
          add(
            numberField(
              label,
              least,
              most,
              () => words[name],
              (value) => set(name, value),
            ),
          ),
        ),
      ),
    );
  }

  const rank = () => words.input_size.length;

  /** Words that the direction has not are shown where they are set, so that they can be mended. */
  function applies(name) {
    const forward = ["input_dilation", "padding_mode"].includes(name);
    if (!forward && name !== "output_padding") return true;
    const usual = JSON.stringify(defaults(rank())[name]);
    return forward !== words.transposed || JSON.stringify(words[name]) !== usual;
  }

  function turn(text) {
    const transposed = text === "transposed";
    const { input_dilation, padding_mode, output_padding } = defaults(rank());
    change(
      transposed ? { transposed, input_dilation, padding_mode } : { transposed, output_padding },
    );
  }

  function rerank(count) {
    const resized = (entries) =>
      Array.from({ length: count }, (_, axis) => entries[axis] ?? entries[0]);
    const entries = Object.entries(words).filter(([name]) => Array.isArray(defaults()[name]));
    const made = Object.fromEntries(
      entries.filter(([name]) => name !== "at").map(([name, value]) => [name, resized(value)]),
    );
    if (Array.isArray(words.padding)) made.padding = resized(words.padding);
    change({ ...made, at: defaults().at });
  }

  function link(checked) {
    linked = checked;
    if (!checked) return render();
    const first = Object.entries(words).filter(
      ([name, value]) => Array.isArray(value) && name !== "at",
    );
    return change(
      Object.fromEntries(first.map(([name, value]) => [name, value.map(() => value[0])])),
    );
  }

  function pad(text) {
    if (text !== "amounts") return set("padding", text);
    return set("padding", pairs ?? words.input_size.map(() => [0, 0]));
  }

  function amounts(add) {
    return (linked ? [""] : AXES[rank()]).flatMap((axis, number) =>
      ["before", "after"].map((name, end) =>
        add(
          numberField(
            `${axis} ${name}`.trim(),
            -2,
            6,
            () => words.padding[number][end],
            (value) => setEntry("padding", number, words.padding[number].with(end, value)),
          ),
        ),
      ),
    );
  }

  function render() {
    const wanted = JSON.stringify([
      linked,
      rank(),
      words.transposed,
      typeof words.padding,
      ...["output_padding", "input_dilation", "padding_mode"].map(applies),
    ]);
    if (wanted !== shape) build();
    shape = wanted;
    for (const field of fields) field.render();
  }

  return {
    element: form,
    /** Show these words; `padding` are the pairs that its word comes to. */
    show(shown, padding) {
      const fresh = words === undefined;
      words = shown;
      pairs = padding;
      const entries = Object.entries(shown).filter(([name]) => name !== "at");
      const square = entries.every(([, value]) => !Array.isArray(value) || alike(value));
      if (fresh || !square) linked = square;
      render();
    },
  };
}
