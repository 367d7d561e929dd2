// What the form is made of. Each field says what is chosen when it is rendered, and tells of changes.

import { html, unique } from "./element.js";

/** A slider and a field for the same number; the field takes what the slider doesn't reach. */
export function numberField(label, least, most, get, set) {
  const id = unique("number");
  const slider = html("input", {
    type: "range",
    min: least,
    max: most,
    "aria-label": `${label}, slider`,
  });
  const entry = html("input", { type: "number", id, inputmode: "numeric", step: 1 });
  const take = (event) => {
    const number = Number(event.target.value);
    if (event.target.value.trim() && Math.abs(number) < 1e5) set(number);
  };
  slider.addEventListener("input", take);
  entry.addEventListener("input", take);
  entry.addEventListener("blur", () => (entry.value = get()));
  return {
    element: html("div", { class: "field" }, html("label", { for: id }, label), slider, entry),
    render() {
      slider.value = get();
      if (Number(entry.value) !== get() || !entry.value) entry.value = get();
    },
  };
}

export function choices(label, options, get, set) {
  const id = unique("choice");
  const select = html(
    "select",
    { id },
    options.map((text) => html("option", {}, text)),
  );
  select.addEventListener("change", () => set(select.value));
  return {
    element: html("div", { class: "field" }, html("label", { for: id }, label), select),
    render() {
      select.value = get();
    },
  };
}

export function checkbox(label, get, set) {
  const box = html("input", { type: "checkbox" });
  box.addEventListener("change", () => set(box.checked));
  return {
    element: html("label", { class: "check" }, box, label),
    render() {
      box.checked = get();
    },
  };
}

/** A row of buttons of which one is down. */
export function radios(label, options, get, set) {
  const name = unique(label);
  const buttons = options.map((text) => html("input", { type: "radio", name, value: text }));
  for (const button of buttons) button.addEventListener("change", () => set(button.value));
  return {
    element: html(
      "div",
      { class: "radios", role: "radiogroup", "aria-label": label },
      buttons.map((button) => html("label", {}, button, html("span", {}, button.value))),
    ),
    render() {
      for (const button of buttons) button.checked = button.value === get();
    },
  };
}
