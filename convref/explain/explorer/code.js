// The lines of code of each framework: a chooser and the lines.

import { html, marked } from "./element.js";
import { radios } from "./fields.js";
import { lineOf } from "./lines.js";
import { DIALECTS } from "./state.js";

/** The panel; `choose(dialect)` is called when another framework is chosen. */
export function makeCode(choose) {
  let chosen;
  const tabs = radios("framework", DIALECTS, () => chosen, choose);
  const code = html("code", { tabindex: "0", "aria-label": "Code" });
  const note = html("p", { class: "soft" });
  return {
    element: html("div", {}, tabs.element, html("pre", {}, code), note),
    show(setting, words) {
      chosen = words.dialect;
      tabs.render();
      const said = lineOf(setting, words, chosen);
      code.textContent = said.code ? `${said.imports}\n\n${said.code}` : "# there is no such line";
      const sentence = said.note && `${said.note[0].toUpperCase()}${said.note.slice(1)}.`;
      note.replaceChildren(...marked(sentence));
    },
  };
}
