// The explorer as a page: what it shows is in the address, so that it can be shared.

import { gradients, makeReading, outputs } from "./contractions.js";
import { makeFrame } from "./frame.js";
import { lineOf } from "./lines.js";
import { mount } from "./main.js";
import { makeSetting, SettingError } from "./setting.js";
import { completed, read, SIDES, write } from "./state.js";

const SETTLED = 200; // milliseconds: browsers refuse to be told of every move

function start(root) {
  const begun = completed(JSON.parse(root.dataset.words));
  let timer;
  const explorer = mount(root, (words) => {
    clearTimeout(timer);
    timer = setTimeout(() => history.replaceState(null, "", `#${write(kept(words))}`), SETTLED);
  });
  // Padding is no place that an address can name.
  const kept = (words) =>
    SIDES.includes(words.at[0]) ? words : { ...words, at: completed({}).at };
  const follow = () => {
    clearTimeout(timer);
    if (location.hash.length < 2) return explorer.show(begun);
    const { words, complaints } = read(location.hash);
    return explorer.show(words, complaints);
  };
  window.addEventListener("hashchange", follow);
  follow();
}

// For tests, and for who is curious in the browser's console.
window.convref = {
  completed,
  gradients,
  lineOf,
  makeFrame,
  makeReading,
  makeSetting,
  outputs,
  read,
  SettingError,
  write,
};
start(document.getElementById("explorer"));
