// Elements made in code: text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

// Lines on a grid of 16; a name ending in "!" is filled.
const ICONS = {
  "play!": "M4.5 2v12l9.5-6z",
  "pause!": "M3.5 2.500h3v11h-3zM9.5 2.500h3v11h-3z",
  loop: "M11 1.500l2.5 2.500L11 6.500M2.5 8V6.500A2.5 2.5 0 0 1 5 4h8M5 14.500L2.5 12 5 9.500M13.5 8v1.500A2.5 2.5 0 0 1 11 12H3",
  star: "M8 1.800l1.9 4 4.3.5-3.2 3 .9 4.300L8 11.400l-3.9 2.2.9-4.3-3.2-3 4.3-.5z",
  download: "M8 2v8.500M4.5 7.200L8 10.700l3.5-3.500M2.5 13.500h11",
  dice: "M3.5 2.500h9a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1zM5.6 5.600h.01M10.4 5.600h.01M8 8h.01M5.6 10.400h.01M10.4 10.400h.01",
  locked: "M3.5 7.500h9v6h-9zM5.5 7.500V5a2.5 2.5 0 0 1 5 0v2.5",
  open: "M3.5 7.500h9v6h-9zM5.5 7.500V5a2.5 2.5 0 0 1 4.7-1.2",
  close: "M3.5 3.500l9 9M12.5 3.500l-9 9",
  trash: "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.7 9h6.6l.7-9M6.7 7v4M9.3 7v4",
  more: "M3 8h.01M8 8h.01M13 8h.01",
  copy: "M5.5 5.500h8v8h-8zM10.5 5.500v-3h-8v8h3",
};

export const icon = (name) => {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", `icon-${name.replace("!", "")}${name.endsWith("!") ? " filled" : ""}`);
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
};

// make("button", {class: "main", onclick: go, disabled: true, "aria-label": "Go"}, "Go")
export const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  if (tag === "button" && !attributes.type) element.type = "button";
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

export const find = (id) => document.getElementById(id);

export const write = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};
