// Keys. They act on the sound that is marked, or on what plays, and never while somebody writes.

import {find} from "/elements.js";
import {playing} from "/player.js";

const STEP_S = 0.5, LEAP_S = 5;

const writes = ({tagName, type}) => tagName === "TEXTAREA" || tagName === "SELECT"
  || (tagName === "INPUT" && !["checkbox", "range", "file", "radio"].includes(type));

export const listen = ({bench, compare, actions, help}) => {
  // What plays or played last; but a card that has the focus goes before other cards.
  const transport = () => {
    const one = playing(), focused = document.activeElement?.closest(".card[data-job]");
    if (one && one === compare.transport && (one.playing || !focused)) return one;
    return (focused && bench.current?.transport) ?? one ?? bench.current?.transport;
  };
  const onCard = (does) => () => { if (bench.current) does(bench.current); return Boolean(bench.current); };
  const seek = (by) => () => { const one = transport(); one?.seek(one.position + by); return Boolean(one); };
  const keys = {
    "/": () => { find("prompt").focus(); find("prompt").select(); return true; },
    "?": () => { help(); return true; },
    " ": () => {
      const one = transport();
      if (!one) bench.step(0);
      else if (one === bench.current?.transport) bench.current.toggle();
      else if (one === compare.transport) compare.toggle();
      else one.toggle();
      return true;
    },
    ArrowLeft: seek(-STEP_S), ArrowRight: seek(STEP_S), "Shift+ArrowLeft": seek(-LEAP_S), "Shift+ArrowRight": seek(LEAP_S),
    Home: () => { transport()?.seek(0); return Boolean(transport()); },
    j: () => { bench.step(1); return true; }, k: () => { bench.step(-1); return true; },
    l: onCard((card) => card.loop()), f: onCard((card) => card.favourite()), d: onCard((card) => card.download()),
    r: onCard(actions.reroll), v: onCard(actions.vary), c: onCard(actions.proceed),
    "Shift+A": onCard((card) => actions.place(card, "A")), "Shift+B": onCard((card) => actions.place(card, "B")),
    a: () => { compare.hear(0); return compare.ready; }, b: () => { compare.hear(1); return compare.ready; },
    x: () => { compare.hear(0); return compare.ready; }, y: () => { compare.hear(1); return compare.ready; },
    s: () => { compare.swap(); return compare.ready; },
    Escape: () => {
      if (playing()?.playing) playing().pause();
      else if (compare.open) compare.close();
      return true;
    },
  };

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    const {target} = event;
    if (writes(target)) {
      if (event.key === "Escape") target.blur();
      return;
    }
    // What has the focus takes its own keys.
    if (event.key === " " && target.matches("button, summary, a, input")) return;
    if (target.matches("input[type=range]") && /^(Arrow|Home)/.test(event.key)) return;
    const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const name = event.shiftKey && event.key !== "?" ? `Shift+${event.key.length === 1 ? event.key.toUpperCase() : event.key}` : letter;
    if (event.repeat && !/Arrow/.test(name)) return;
    if (keys[name]?.()) event.preventDefault();
    else if (keys[letter] && "/?".includes(letter) && keys[letter]()) event.preventDefault();
  });
};
