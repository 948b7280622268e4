// Fields of the settings: each with a name, read(), put(value), and a way to say that it is wrong.

import {Refusal} from "/api.js";
import {icon, make} from "/elements.js";
import {COMMON, SETTINGS, nameOf, stopsBetween, trim} from "/settings.js";

const frame = (name, hint, ...inside) => make("div", {class: "field", "data-field": name},
  ...inside, hint && make("p", {class: "hint", id: `${name}-hint`}, hint));

const labelled = (name, ...after) => make("div", {class: "label"}, make("label", {for: name}, nameOf(name)), ...after);

const readNumber = (input, {name, minimum, maximum, step, unit, fallback}) => {
  if (input.value.trim() === "" && fallback === null) return null;
  const value = input.value.trim() === "" ? NaN : Number(input.value);
  const most = maximum ?? Infinity, ends = unit ? ` ${unit}` : "";
  const bounds = maximum === null ? `at least ${trim(minimum, step)}${ends}` : `from ${trim(minimum, step)} to ${trim(maximum, step)}${ends}`;
  if (!Number.isFinite(value) || value < minimum || value > most || (step === 1 && !Number.isInteger(value))) {
    throw new Refusal({
      field: name, message: `${nameOf(name)} is ${input.value.trim() || "empty"}.`,
      expected: `${step === 1 ? "a whole number " : ""}${bounds}`,
    });
  }
  return value;
};

const makeNumber = (name, facts, changed) => {
  const {minimum, maximum, step, unit, hint, counted, fallback} = facts;
  const input = make("input", {
    id: name, type: "number", inputmode: step === 1 ? "numeric" : "decimal", min: minimum, max: maximum,
    step: step === 1 ? 1 : "any", placeholder: fallback === null ? "off" : "", "aria-describedby": hint ? `${name}-hint` : null,
  });
  const field = {name, fallback, read: () => readNumber(input, {name, ...facts})};
  if (counted) {
    const shift = (by) => {
      input.value = Math.min(maximum, Math.max(minimum, (Math.round(Number(input.value)) || 0) + by));
      changed();
    };
    const less = make("button", {"aria-label": `Fewer: ${nameOf(name)}`, onclick: () => shift(-1)}, "−");
    const more = make("button", {"aria-label": `More: ${nameOf(name)}`, onclick: () => shift(1)}, "+");
    input.addEventListener("input", changed);
    field.put = (value) => { input.value = value ?? ""; };
    field.element = frame(name, hint, labelled(name), make("div", {class: "stepper"}, less, input, more));
    return field;
  }
  const stops = stopsBetween(minimum, maximum ?? facts.usual, step, [fallback ?? minimum]);
  const slider = make("input", {type: "range", id: `${name}-slider`, min: 0, max: stops.length - 1, step: 1, "aria-label": nameOf(name)});
  const follow = () => {
    const value = Number(input.value);
    let nearest = 0;
    stops.forEach((stop, place) => {
      if (Math.abs(stop - value) < Math.abs(stops[nearest] - value)) nearest = place;
    });
    slider.value = nearest;
    tellSlider();
  };
  const tellSlider = () => {
    slider.setAttribute("aria-valuetext", input.value === "" ? "off" : `${input.value}${unit ? " seconds" : ""}`);
    slider.style.setProperty("--fill", stops.length > 1 ? slider.value / (stops.length - 1) : 0);
  };
  slider.addEventListener("input", () => {
    input.value = trim(stops[slider.value], step);
    tellSlider();
    changed();
  });
  input.addEventListener("input", () => { follow(); changed(); });
  field.put = (value) => {
    input.value = value === null || value === undefined ? "" : trim(value, Math.min(step, 0.001));
    follow();
  };
  const box = make("span", {class: "box"}, input, unit && make("span", {class: "unit", "aria-hidden": "true"}, unit));
  field.element = frame(name, hint, labelled(name, box), slider);
  return field;
};

const makeChoice = (name, {choices, hint, fallback}, changed) => {
  const select = make("select", {id: name, onchange: changed}, choices.map((choice) => make("option", {value: choice}, choice)));
  return {
    name, fallback, read: () => select.value,
    put: (value) => { if (choices.includes(value)) select.value = value; },
    element: frame(name, hint, labelled(name), select),
  };
};

const makeText = (name, {hint, placeholder}, changed) => {
  const input = make("input", {id: name, type: "text", placeholder, autocomplete: "off", "aria-describedby": `${name}-hint`, oninput: changed});
  return {
    name, fallback: "", read: () => input.value.trim(), put: (value) => { input.value = value ?? ""; },
    element: frame(name, hint, labelled(name), input),
  };
};

const makeToggle = (name, {label, hint}, changed) => {
  const input = make("input", {id: name, type: "checkbox", role: "switch", onchange: changed, "aria-describedby": `${name}-hint`});
  const element = frame(name, hint, make("label", {}, input, " ", make("span", {}, label)));
  element.classList.add("switch");
  return {name, fallback: false, read: () => input.checked, put: (value) => { input.checked = Boolean(value); }, element};
};

// Fields of a model, those in front first; `changed` is called when a person changes one.
export const makeFields = (model, changed) => {
  const told = Object.entries(model.settings).map(([name, {default: fallback, ...bounds}]) => {
    const facts = {step: 0.1, ...SETTINGS[name], ...bounds, fallback};
    const make = facts.choices ? makeChoice : makeNumber;
    return Object.assign(make(name, facts, changed), {front: Boolean(facts.front)});
  });
  const order = Object.keys(SETTINGS);
  told.sort((one, other) => order.indexOf(one.name) - order.indexOf(other.name));
  const common = Object.entries(COMMON).map(([name, facts]) => {
    const make = facts.text ? makeText : facts.toggle ? makeToggle : makeChoice;
    return make(name, facts, changed);
  });
  return [...told, ...common];
};

// The seed: drawn anew each time, unless it is locked.
export const makeSeed = (changed) => {
  let last = null;
  const input = make("input", {id: "seed", type: "text", inputmode: "numeric", placeholder: "random", autocomplete: "off"});
  const lock = make("button", {id: "seed-lock", class: "icon", "aria-pressed": "false"}, icon("open"), icon("locked"));
  const roll = make("button", {id: "seed-roll", class: "icon", "aria-label": "Draw another seed", title: "Draw another seed"}, icon("dice"));
  const draw = () => Math.floor(Math.random() * 1e6);
  const show = () => {
    const locked = input.value.trim() !== "";
    lock.setAttribute("aria-pressed", locked);
    lock.setAttribute("aria-label", locked ? "Unlock: a new seed each time" : "Lock the seed that was used last");
    lock.title = lock.getAttribute("aria-label");
  };
  const put = (value) => { input.value = value ?? ""; show(); };
  input.addEventListener("input", () => { show(); changed(); });
  lock.addEventListener("click", () => { put(input.value.trim() ? "" : last ?? draw()); changed(); });
  roll.addEventListener("click", () => { put(draw()); changed(); });
  show();
  return {
    name: "seed", fallback: null, put, used: (seed) => { last = seed; },
    read: () => {
      const text = input.value.trim();
      if (text === "") return null;
      if (/^\d{1,15}$/.test(text)) return Number(text);
      throw new Refusal({field: "seed", message: `The seed is ${text}.`, expected: "a whole number from 0, or nothing for a random one"});
    },
    element: frame("seed", null, labelled("seed"), make("div", {class: "seed"}, input, roll, lock)),
  };
};
