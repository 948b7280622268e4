// The studio: joins the sheet, the bench, the comparison and the history, and keeps in touch with the server.

import {askJson, handlers} from "/api.js";
import {Bench} from "/bench.js";
import {Compare} from "/compare.js";
import {Composer} from "/composer.js";
import {Score} from "/drawing.js";
import {find, icon} from "/elements.js";
import {History} from "/history.js";
import {FINAL, Jobs, unreachable} from "/jobs.js";
import {listen} from "/keyboard.js";
import {LiveSound} from "/live.js";
import {complain, say} from "/notices.js";
import {analyse} from "/spectrum.js";

const LOADING_MS = 2500, LOST_MS = 3000, VARIATIONS = 4;

const jobs = new Jobs();
let told = null;

// ---- What can be done with a sound -----------------------------------------------------------

const guarded = (does) => async (...given) => {
  try { return await does(...given); } catch (error) { if (!unreachable(error)) complain(error); return null; }
};

const modelOf = (job) => told?.models.find(({name}) => name === job.model);

// The same request for one sound's words, without what was drawn.
const repeat = (card, changes) => {
  const {prompts, seed, num_samples: count, stream, ...request} = card.job.request;
  return {...request, prompt: card.sound.prompt, ...changes};
};

const begin = async (request) => {
  const job = await jobs.start(request);
  show(job);
  return job;
};

const show = (job) => {
  const {element} = bench.open(job);
  element.scrollIntoView({block: "nearest"});
  return element;
};

const actions = {
  jobs,
  select: (card) => bench.select(card),
  continues: (job) => Boolean(modelOf(job)?.continues),
  reroll: guarded((card) => begin(repeat(card, {}))),
  vary: guarded((card) => begin(repeat(card, {num_samples: VARIATIONS}))),
  again: guarded((job) => begin(job.request)),
  cancel: guarded((job) => jobs.cancel(job.id)),
  remove: guarded((job) => jobs.remove(job)),
  place: (card, name) => compare.put(name === "A" ? 0 : 1, card),
  proceed: (card) => {
    if (!actions.continues(card.job)) return;
    const {sound, job} = card;
    composer.continuation.put({request: {job: job.id, sound: sound.number}, name: sound.filename, seconds: card.transport.seconds});
    find("prompt").focus();
    say(`${sound.filename} will be continued.`);
  },
  restore: (job, sound) => {
    composer.restore(job.request, sound ? {prompt: sound.prompt, seed: sound.seed, used: sound.settings} : {used: job.sounds[0]?.settings});
    find("composer").scrollIntoView({block: "nearest"});
    say("Words and settings are back.");
  },
};

// ---- Heard while it is made ------------------------------------------------------------------

const generateLive = async (request) => {
  const abort = new AbortController(), read = new AbortController(), live = new LiveSound({changed: () => {}});
  const {answer, id} = await jobs.stream(request, abort.signal);
  const reading = live.read(answer).catch((error) => { live.stop(); if (error.name !== "AbortError") jobs.fetch(id).catch(() => {}); });
  const job = await jobs.fetch(id);
  show(job);
  bench.groups.get(id).showLive(live);
  jobs.addEventListener("job", ({detail}) => {
    if (detail.id === id && detail.state === "cancelled") { live.stop(); abort.abort(); }
  }, {signal: read.signal});
  reading.then(() => { read.abort(); return jobs.fetch(id); }).catch(() => {});
  return job;
};

const bench = new Bench({jobs, actions});
const compare = new Compare({jobs, changed: () => bench.cards.forEach((card) => card.mark(compare.slots))});
const composer = new Composer({generate: (request, live) => (live ? generateLive(request) : begin(request))});
const past = new History({jobs, open: (job) => {
  actions.restore(job);
  const element = show(job);
  (element.querySelector(".card .play") ?? element.querySelector("button"))?.focus({preventScroll: true});
  element.scrollIntoView({block: "start"});
}});

// ---- In touch with the server ----------------------------------------------------------------

let lost = null;

handlers.lost = () => {
  if (lost) return;
  find("connection").hidden = false;
  lost = setInterval(reconnect, LOST_MS);
};

const reconnect = async () => {
  try {
    const answer = await fetch("/health", {cache: "no-store"});
    if (!answer.ok) return;
  } catch { return; }
  clearInterval(lost);
  lost = null;
  find("connection").hidden = true;
  composer.clear();
  say("The server is back.");
  await open();
};

handlers.token = (refused) => new Promise((resolve) => {
  const dialog = find("token-dialog");
  find("token-wrong").hidden = !refused;
  find("token").value = "";
  const end = (text) => {
    find("token-form").onsubmit = find("token-cancel").onclick = dialog.onclose = null;
    dialog.close();
    resolve(text);
  };
  find("token-form").onsubmit = (event) => {
    event.preventDefault();
    if (find("token").value.trim()) end(find("token").value.trim());
  };
  find("token-cancel").onclick = dialog.onclose = () => end("");
  dialog.showModal();
});

const readModels = async () => {
  told = await askJson("/v1/models");
  composer.open(told);
  find("generate").disabled = false;
  if (told.models.some(({state}) => state === "loading")) setTimeout(() => readModels().catch(() => {}), LOADING_MS);
};

// At the beginning and after a lost connection: what there is, and what is still being made.
const open = async () => {
  try {
    await readModels();
    const found = await past.load();
    past.begin();
    const running = found.filter(({state}) => !FINAL.has(state)).reverse();
    if (running.length) running.forEach((job) => bench.open(job));
    else if (!bench.groups.size && found.some(({state}) => state === "done")) bench.open(found.find(({state}) => state === "done"));
  } catch (error) { if (!unreachable(error)) complain(error); }
  bench.showEmpty();
};

// ---- The page --------------------------------------------------------------------------------

// A picture for an empty bench: a few birds that nobody recorded.
const drawSketch = () => {
  const rate = 22050, samples = new Float32Array(4 * rate), score = new Score();
  let noise = 1;
  for (let n = 0; n < samples.length; n++) {
    noise = (noise * 1664525 + 1013904223) >>> 0;
    samples[n] = (noise / 2 ** 32 - 0.5) * 0.004;
  }
  for (const [at, length, from, to, level] of [[0.3, 0.5, 1800, 3600, 0.5], [0.7, 0.35, 900, 420, 0.4], [1.15, 0.8, 2600, 2200, 0.7],
    [1.5, 1.1, 220, 260, 0.5], [2.2, 0.4, 3800, 1700, 0.6], [2.75, 0.9, 700, 1500, 0.55], [3.2, 0.5, 4800, 5600, 0.3]]) {
    let phase = 0;
    for (let n = 0; n < length * rate; n++) {
      const x = n / (length * rate), trill = 1 + 0.06 * Math.sin(60 * Math.PI * x);
      phase += 2 * Math.PI * (from + (to - from) * x) * trill / rate;
      for (let k = 1; k <= 3 && k * (from + (to - from) * x) * 1.1 < rate / 2; k++) {
        samples[Math.floor(at * rate) + n] += level * 0.6 * Math.sin(k * phase) / (2 * k - 1) * Math.sin(Math.PI * x) ** 2;
      }
    }
  }
  find("sketch").append(score.element);
  score.show(analyse([samples], rate));
  score.place = 0.42;
};

const help = () => find("help").showModal();
find("help-close").append(icon("close"));
find("help-close").addEventListener("click", () => find("help").close());
find("help-open").addEventListener("click", help);
find("reconnect").addEventListener("click", reconnect);
find("help").addEventListener("click", (event) => { if (event.target === find("help")) find("help").close(); });
listen({bench, compare, actions, help});
find("generate").disabled = true;
drawSketch();
open();
