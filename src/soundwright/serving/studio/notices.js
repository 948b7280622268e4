// What the page says: short messages, with a way back or a countdown, and words for a screen reader.

import {find, icon, make, write} from "/elements.js";

const SHOWN_MS = 5000, UNDO_MS = 6000;

export const say = (text) => {
  find("said").textContent = "";
  // A new text node is announced even when the words are the same as before.
  setTimeout(() => { find("said").textContent = text; }, 50);
};

const put = (text, urgent, ...buttons) => {
  const words = make("p", {}, text);
  const notice = make("div", {class: "notice", role: urgent ? "alert" : "status"}, words, ...buttons);
  find("notices").append(notice);
  return {words, remove: () => notice.remove()};
};

export const notify = (text) => {
  const {remove} = put(text, false);
  setTimeout(remove, SHOWN_MS);
};

// The parts of an error, one line each.
export const explain = (error) => [
  make("b", {}, error.message),
  error.expected && make("span", {}, `Expected: ${error.expected}`),
  error.change && make("span", {}, error.change),
].filter(Boolean);

export const complain = (error) => {
  if (error.name === "AbortError") return;
  const close = make("button", {class: "icon", "aria-label": "Close this message", onclick: () => remove()}, icon("close"));
  const {words, remove} = put("", true, close);
  words.className = "refusal";
  words.replaceChildren(...explain(error));
  setTimeout(remove, 3 * SHOWN_MS);
};

// True when the time has passed, false when it was taken back.
export const offerUndo = (text) => new Promise((resolve) => {
  const end = (gone) => {
    remove();
    clearTimeout(timer);
    removeEventListener("pagehide", leave);
    resolve(gone);
  };
  const leave = () => end(true);
  const {remove} = put(text, false, make("button", {class: "undo", onclick: () => end(false)}, "Undo"));
  const timer = setTimeout(leave, UNDO_MS);
  addEventListener("pagehide", leave);
});

// Counts down to a second try; false when it was called off.
export const countDown = (error) => new Promise((resolve) => {
  const until = Date.now() + 1000 * error.after;
  const at = new Date(until).toLocaleTimeString([], {hour: "2-digit", minute: "2-digit", second: "2-digit"});
  const end = (go) => {
    remove();
    clearInterval(timer);
    resolve(go);
  };
  const clock = make("span", {class: "countdown", "aria-hidden": "true"});
  const {words, remove} = put("", true,
    make("button", {class: "now", onclick: () => end(true)}, "Now"),
    make("button", {class: "undo", onclick: () => end(false)}, "Leave it"));
  words.className = "refusal";
  words.append(make("b", {}, error.message), make("span", {}, `Trying once more at ${at}. `), clock);
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    if (left <= 0) return end(true);
    write(clock, `${left} s`);
  };
  const timer = setInterval(tick, 250);
  tick();
});
