// The study's page. It keeps a token and, until it is saved, one answer; all else is the server's.

import {Player, playTones} from "/sound.js";

const ROUNDS = 3, RETRY_MS = 2000;
const LETTERS = {left: "A", right: "B"};
const SCALE = ["Bad", "Poor", "Fair", "Good", "Excellent"];
const find = (id) => document.getElementById(id);

let study = null, session = null, token = "", trial = null, check = null, sending = false;

const store = {
  key: (name) => `soundwright-study:${study.study}:${name}`,
  get: (name) => { try { return localStorage.getItem(store.key(name)) ?? ""; } catch { return ""; } },
  set: (name, text) => { try { text ? localStorage.setItem(store.key(name), text) : localStorage.removeItem(store.key(name)); } catch { /* Without a store the address alone keeps the token. */ } },
};

class ServerSays extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

const ask = async (path, body) => {
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: {Authorization: `Bearer ${token}`, ...(body === undefined ? {} : {"Content-Type": "application/json"})},
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw new ServerSays(answer.status, typeof told.detail === "string" ? told.detail : "The server refused that.");
};
const askJson = async (path, body) => (await ask(path, body)).json();

const show = (name) => {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== name;
  find("progress").hidden = name !== "trial" && name !== "done";
};

const notify = (text) => {
  find("notice").textContent = text;
  find("notice").hidden = !text;
};

const fail = (error, again) => {
  find("problem").textContent = error instanceof ServerSays ? error.message
    : "The server cannot be reached. Everything that you answered is kept.";
  find("retry").onclick = again;
  show("broken");
};

// ---- Coming in -------------------------------------------------------------------------------

const open = async () => {
  try {
    study = await askJson("/api/study");
    document.title = find("title").textContent = study.title;
    find("lead").textContent = study.form === "pairs"
      ? "You will hear two sounds at a time and say which one is better."
      : "You will hear one sound at a time and rate it.";
    token = location.hash.slice(1) || store.get("token");
    if (!token) return show("welcome");
    keepToken();
    if (store.get("pending")) return await save(JSON.parse(store.get("pending")));
    await enter(await askJson("/api/session"));
  } catch (error) {
    if (error.status === 401) return forget();
    fail(error, open);
  }
};

const keepToken = () => {
  store.set("token", token);
  history.replaceState(null, "", `#${token}`);
};

const forget = () => {
  token = "";
  store.set("token", "");
  store.set("pending", "");
  history.replaceState(null, "", location.pathname);
  show("welcome");
};

const start = async () => {
  try {
    ({token} = await askJson("/api/raters", {}));
    keepToken();
    await enter(await askJson("/api/session"));
  } catch (error) { fail(error, open); }
};

const enter = async (told) => {
  session = told;
  if (!told.trial) show("done");
  else if (told.check) beginCheck();
  else if (!await beginTrial(told.trial)) return;
  sending = false;
  if (trial) drawTrial();
  find("progress").setAttribute("aria-valuemax", told.total);
  find("progress").setAttribute("aria-valuenow", told.done);
  find("progress").querySelector(".bar").style.setProperty("--done", `${100 * told.done / told.total}%`);
  find("progress").querySelector(".count").textContent = `${told.done} of ${told.total}`;
};

// ---- Headphones ------------------------------------------------------------------------------

const beginCheck = () => {
  check = {round: 0, right: 0, quietest: null, playing: false};
  find("verdict").hidden = true;
  find("round").hidden = find("tones").hidden = find("quietest").hidden = false;
  drawCheck();
  show("check");
};

const drawCheck = () => {
  find("round").textContent = `Round ${Math.min(check.round + 1, ROUNDS)} of ${ROUNDS}`;
  find("tones").disabled = check.playing;
  for (const button of find("quietest").children) button.disabled = check.playing || check.quietest === null;
};

const playRound = async () => {
  if (check.playing || check.round === ROUNDS) return;
  check.playing = true;
  drawCheck();
  check.quietest = await playTones();
  check.playing = false;
  drawCheck();
};

const chooseTone = async (tone) => {
  if (check.playing || check.quietest === null) return;
  check.right += tone === check.quietest;
  check.quietest = null;
  check.round += 1;
  drawCheck();
  if (check.round < ROUNDS) return;
  if (check.right === ROUNDS) return endCheck();
  find("round").hidden = find("tones").hidden = find("quietest").hidden = true;
  find("verdict").hidden = false;
};

const endCheck = async () => {
  try {
    await enter(await askJson("/api/checks", {right: check.right, rounds: ROUNDS}));
  } catch (error) { fail(error, open); }
};

// ---- One trial -------------------------------------------------------------------------------

// Until its sounds are here the trial before stays, and takes no more answers.
const beginTrial = async (told) => {
  const urls = [];
  try {
    for (const {side} of told.sides) {
      urls.push(URL.createObjectURL(await (await ask(`/api/trials/${told.number}/${side}`)).blob()));
    }
  } catch (error) {
    fail(error, open);
    return false;
  }
  trial?.players.forEach((player) => player.remove());
  const shown = performance.now();
  const clock = () => (performance.now() - shown) / 1000;
  trial = {...told, clock, choices: {}, active: 0, players: [], last: null};
  trial.players = told.sides.map(({side, seconds}, place) => new Player({
    side, seconds, clock, url: urls[place], needed: session.heard,
    label: told.sides.length > 1 ? LETTERS[side] : "The sound",
    starts: (one) => { trial.last = one; trial.players.forEach((other) => other !== one && other.stop()); },
    changed: () => trial?.players.length && drawTrial(),
  }));
  trial.last = trial.players[0];
  find("prompt").textContent = `“${told.prompt}”`;
  find("sounds").replaceChildren(...trial.players.map((player) => player.button));
  buildQuestions();
  buildChecklist();
  find("hint").className = "";
  find("keys").innerHTML = session.form === "pairs"
    ? `<kbd>A</kbd> <kbd>B</kbd> play · <kbd>←</kbd> A is better${session.ties ? " · <kbd>↓</kbd> equal" : ""} · <kbd>→</kbd> B is better · <kbd>↑</kbd> back`
    : "<kbd>A</kbd> or <kbd>Space</kbd> play · <kbd>1</kbd> to <kbd>5</kbd> rate · <kbd>↑</kbd> back";
  drawTrial();
  show("trial");
  scrollTo(0, 0);
  find("prompt").focus({preventScroll: true});
  return true;
};

const options = () => {
  if (session.form === "ratings") return SCALE.map((word, place) => ({value: place + 1, text: `${place + 1}`, note: word}));
  const tie = session.ties ? [{value: "tie", text: "About equal"}] : [];
  return [{value: "left", text: "A"}, ...tie, {value: "right", text: "B"}];
};

const buildQuestions = () => {
  find("questions").replaceChildren(...session.questions.map(({id, text}, place) => {
    const set = document.createElement("fieldset"), legend = document.createElement("legend");
    const row = document.createElement("div");
    set.dataset.question = id;
    legend.textContent = text;
    row.className = "choices";
    row.append(...options().map(({value, text: words, note}) => {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.value = value;
      button.append(words);
      if (note) {
        const scale = document.createElement("span");
        scale.className = "scale";
        scale.textContent = note;
        button.append(scale);
      }
      button.addEventListener("click", () => { trial.active = place; choose(value); });
      return button;
    }));
    set.append(legend, row);
    return set;
  }));
};

const buildChecklist = () => {
  const box = find("checklist");
  box.hidden = !trial.events.length;
  if (box.hidden) return;
  const table = document.createElement("table"), head = table.createTHead().insertRow();
  table.createCaption().textContent = "How often do you hear each of these? (0: not at all)";
  for (const words of ["", ...trial.players.map(({side}) => trial.players.length > 1 ? LETTERS[side] : "Times")]) {
    const cell = document.createElement("th");
    cell.textContent = words;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const event of trial.events) {
    const row = body.insertRow();
    row.insertCell().textContent = event;
    for (const {side} of trial.players) {
      const input = document.createElement("input");
      Object.assign(input, {type: "number", min: 0, max: study.most_counted, step: 1, required: true, inputMode: "numeric"});
      input.setAttribute("aria-label", `${event}, ${LETTERS[side]}`);
      Object.assign(input.dataset, {side, event});
      input.addEventListener("input", drawTrial);
      row.insertCell().append(input);
    }
  }
  box.replaceChildren(table);
};

const allHeard = () => trial.players.every((player) => player.heard);
const counters = () => [...find("checklist").querySelectorAll("input")];
const complete = () => allHeard() && session.questions.every(({id}) => id in trial.choices)
  && (find("checklist").hidden || counters().every((input) => input.value !== "" && input.checkValidity()));

const drawTrial = () => {
  const heard = allHeard();
  [...find("questions").children].forEach((set, place) => {
    set.classList.toggle("active", heard && place === trial.active);
    for (const button of set.querySelectorAll("button")) {
      button.disabled = sending || !heard;
      button.setAttribute("aria-pressed", String(trial.choices[set.dataset.question]) === button.dataset.value);
    }
  });
  const hint = heard ? "" : trial.players.length > 1 ? "Play both sounds to their ends, then answer." : "Play the sound to its end, then answer.";
  if (find("hint").textContent !== hint) find("hint").textContent = hint;
  if (heard) find("hint").className = "";
  find("submit").disabled = sending || !complete();
};

const choose = (value) => {
  if (!allHeard()) {
    find("hint").className = "urgent";
    return;
  }
  trial.choices[session.questions[trial.active].id] = value;
  trial.active = Math.min(trial.active + 1, session.questions.length - 1);
  drawTrial();
};

const submit = async () => {
  if (sending || !trial || !complete()) return;
  trial.players.forEach((player) => player.stop());
  const counts = {};
  if (!find("checklist").hidden) {
    for (const input of counters()) (counts[input.dataset.side] ??= {})[input.dataset.event] = Number(input.value);
  }
  const answer = {
    trial: trial.number, choices: trial.choices, counts, seconds: trial.clock(),
    plays: trial.players.flatMap((player) => player.spans),
  };
  store.set("pending", JSON.stringify(answer));
  await save(answer);
};

// An answer is sent until the server has it. Sent twice it is one answer.
const save = async (answer) => {
  sending = true;
  if (trial) drawTrial();
  try {
    for (;;) {
      try {
        const told = await askJson("/api/answers", answer);
        store.set("pending", "");
        notify("");
        return await enter(told);
      } catch (error) {
        if (error instanceof ServerSays && error.status < 500) {
          store.set("pending", "");
          throw error;
        }
        notify("Not saved yet: the server cannot be reached. Trying again …");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  } catch (error) {
    notify("");
    if (error.status === 401) return forget();
    fail(error, open);
  }
};

// ---- Keys ------------------------------------------------------------------------------------

const ARROWS = {ArrowLeft: "left", ArrowDown: "tie", ArrowRight: "right"};

const pressInTrial = (key) => {
  if (sending) return false;
  if (key === "Enter") return complete() && (submit(), true);
  if (key === "a") return trial.players[0].toggle(), true;
  if (key === "b" && trial.players[1]) return trial.players[1].toggle(), true;
  if (key === " ") return trial.last.toggle(), true;
  if (key === "ArrowUp") return trial.active = Math.max(0, trial.active - 1), drawTrial(), true;
  if (session.form === "ratings") return /^[1-5]$/.test(key) && (choose(Number(key)), true);
  const side = ARROWS[key];
  return side && (side !== "tie" || session.ties) && (choose(side), true);
};

const pressInCheck = (key) => {
  if (!find("verdict").hidden) return false;
  if (key === " ") return playRound(), true;
  return /^[123]$/.test(key) && (chooseTone(Number(key) - 1), true);
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.target.tagName === "INPUT" && key !== "Enter") return;
  // A focused button takes the space bar itself.
  if (event.target.tagName === "BUTTON" && key === " ") return;
  const handled = !find("trial").hidden ? pressInTrial(key)
    : !find("check").hidden ? pressInCheck(key)
    : !find("welcome").hidden && key === "Enter" && event.target.tagName !== "BUTTON" && (start(), true);
  if (handled) event.preventDefault();
});

find("start").addEventListener("click", start);
find("tones").addEventListener("click", playRound);
for (const button of find("quietest").children) {
  button.addEventListener("click", () => chooseTone(Number(button.dataset.tone)));
}
find("again").addEventListener("click", beginCheck);
find("anyway").addEventListener("click", endCheck);
find("submit").addEventListener("click", submit);
find("another").addEventListener("click", forget);
addEventListener("hashchange", () => location.reload());
open();
