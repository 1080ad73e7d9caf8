// Elements. What is given as text becomes text and never markup, whatever it holds.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: `h("a", { href: "#/keys", onclick }, "Keys")`. null, undefined and false are left out. */
export function h(tag, attributes = {}, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function s(tag, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, tag), attributes, children);
}

function furnished(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let made = 0;

/** A name that no other element of this page has. */
export function newId(what) {
  made += 1;
  return `${what}-${made}`;
}

/** Say this to whoever listens to the page instead of looking at it. */
export function tell(sentence) {
  document.getElementById("told").textContent = sentence;
}
