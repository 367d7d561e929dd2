// The explorer as a notebook's widget: what it shows is the trait `words`, either way.

import { mount } from "./main.js";
import { completed } from "./state.js";

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "convref-explorer widget";
  el.append(root);
  const explorer = mount(root, (words) => {
    model.set("words", words);
    model.save_changes();
  });
  const follow = () => explorer.show(completed(model.get("words")));
  model.on("change:words", follow);
  follow();
  return () => {
    explorer.stop();
    model.off("change:words", follow);
  };
}

export default { render };
