// Elements of HTML and SVG, made of their attributes and children. Text is always text: nothing
// here or elsewhere on the page is parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
let made = 0;

/** A name for an id that no other element on the page has. */
export const unique = (name) => `convref-${name}-${(made += 1)}`;

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return element;
}

/** An element of HTML. */
export const html = (name, attributes = {}, ...children) =>
  filled(document.createElement(name), attributes, children);

/** An element of SVG. */
export const svg = (name, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, name), attributes, children);

/** Text in which `words` are code. */
export const marked = (text) =>
  text.split("`").map((part, index) => (index % 2 ? html("code", {}, part) : part));

/** A number as it is printed: with a minus sign, not a hyphen. */
export const printed = (number) => String(number).replace("-", "−");

/** A number as it is printed after a sign. */
export const enclosed = (number) => (number < 0 ? `(${printed(number)})` : printed(number));
