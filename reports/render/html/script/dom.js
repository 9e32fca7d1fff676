// Elements out of plain values. Texts become text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";

// No control character and no mark that turns the direction of text gets through: it is written as its code instead.
function plain(value) {
  return String(value).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (mark) =>
    /[\t\n\r ]/.test(mark) ? " " : `\\u${mark.codePointAt(0).toString(16).padStart(4, "0")}`,
  );
}

function element(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

function drawn(name, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, name), properties, children);
}

function filled(made, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(key, value === true ? "" : plain(value));
  }
  made.append(...nodes(children));
  return made;
}

// Nested lists of elements and texts, without what is not there.
function nodes(children) {
  const there = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return there.map((child) => (child instanceof Node ? child : plain(child)));
}

function byId(id) {
  return document.getElementById(id);
}

// Only what is clearly a page on the web becomes a link.
function link(text) {
  return /^https?:\/\//.test(text) ? element("a", { href: text, rel: "noreferrer noopener" }, text) : plain(text);
}

const words = (name) => name.replaceAll("_", " ");
