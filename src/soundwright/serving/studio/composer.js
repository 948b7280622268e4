// The sheet on which a sound is asked for: words, settings, and what is wrong with them.

import {Refusal} from "/api.js";
import {Continuation} from "/continuation.js";
import {makeFields, makeSeed} from "/controls.js";
import {find, icon, make, write} from "/elements.js";
import {explain} from "/notices.js";

const KEY = "soundwright-studio:options", MOST_LETTERS = 1000, COUNT_FROM = 800, MOST_EXAMPLES = 4;

const store = {
  get: () => { try { return JSON.parse(localStorage.getItem(KEY)) ?? {}; } catch { return {}; } },
  set: (value) => { try { localStorage.setItem(KEY, JSON.stringify(value)); } catch { /* Then the next visit begins anew. */ } },
};

export class Composer {
  // `generate(request, live)` is called with what was asked for.
  constructor({generate}) {
    this.generate = generate;
    this.models = [];
    this.fields = [];
    this.seed = makeSeed(() => this.save());
    this.continuation = new Continuation({
      changed: (given) => this.takeGiven(given),
      failed: (error) => { this.clear(); if (error) this.refuse(error); },
    });
    const prompt = find("prompt");
    prompt.addEventListener("input", () => { this.count(); this.save(); });
    prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    find("composer").addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    find("reset").addEventListener("click", () => this.reset());
    find("live").addEventListener("change", () => this.save());
  }

  // What the server has; again when it changes.
  open({models, examples}) {
    const first = !this.models.length, saved = store.get();
    this.models = models;
    if (!first) return this.showState();
    this.showExamples(examples);
    this.choose(saved.model, saved.values);
    if (!find("prompt").value) find("prompt").value = saved.prompt ?? "";
    this.seed.put(saved.values?.seed);
    find("live").checked = Boolean(saved.live);
    this.count();
    this.save();
  }

  // A few at a time, and a way to the next ones.
  showExamples(examples) {
    const take = (text) => { find("prompt").value = text; find("prompt").focus(); this.count(); this.save(); };
    const chips = examples.slice(0, MOST_EXAMPLES).map((text) => make("button", {class: "chip", onclick: () => take(text)}, text));
    const next = [...examples.slice(MOST_EXAMPLES), ...examples.slice(0, MOST_EXAMPLES)];
    const others = make("button", {
      class: "icon others", "aria-label": "Other examples", title: "Other examples",
      onclick: () => { this.showExamples(next); find("examples").lastElementChild.focus(); },
    }, icon("dice"));
    find("examples").replaceChildren(...chips, ...(examples.length > MOST_EXAMPLES ? [others] : []));
  }

  get model() { return this.models.find(({name}) => name === this.chosen) ?? this.models[0]; }

  field(name) { return this.fields.find((field) => field.name === name); }

  choose(name, values = {}) {
    this.chosen = this.models.some((model) => model.name === name) ? name : this.models[0].name;
    this.fields = makeFields(this.model, () => this.save());
    for (const field of this.fields) field.put(values[field.name] ?? field.fallback);
    const front = this.fields.filter((field) => field.front).map(({element}) => element);
    find("front").replaceChildren(this.makeModel(), ...front, this.seed.element);
    find("back").replaceChildren(...this.fields.filter((field) => !field.front).map(({element}) => element));
    this.continuation.allow(this.model.continues);
    this.showState();
  }

  makeModel() {
    this.state = make("p", {class: "hint", id: "model-state"});
    const several = this.models.length > 1;
    const select = make("select", {id: "model", onchange: () => { this.choose(select.value, this.values()); this.save(); }},
      this.models.map(({name}) => make("option", {value: name}, name)));
    select.value = this.chosen;
    const head = several ? [make("label", {for: "model"}, "Model"), select]
      : [make("span", {class: "labelled"}, "Model"), make("span", {class: "only", id: "model"}, this.chosen)];
    return make("div", {class: "field", "data-field": "model"}, make("div", {class: "label"}, ...head), this.state);
  }

  showState() {
    const {state, error} = this.model;
    const words = {loading: "Getting ready …", waiting: "Loads at its first sound", failed: error ?? "It could not be loaded."};
    write(this.state, words[state] ?? "");
    this.state.classList.toggle("wrong", state === "failed");
    this.state.hidden = !words[state];
  }

  // Settings as they are, wrong ones left out.
  values() {
    const told = {};
    for (const field of [...this.fields, this.seed]) {
      try { told[field.name] = field.read(); } catch { /* It is said when it is sent. */ }
    }
    return told;
  }

  save() {
    const values = this.values(), differs = (field) => !(field.name in values) || values[field.name] !== field.fallback;
    const changed = this.fields.filter((field) => !field.front && differs(field)).length;
    find("changed").hidden = !changed;
    write(find("changed"), `${changed} changed`);
    find("reset").disabled = !this.fields.some(differs) && values.seed === null;
    this.showLive(values);
    store.set({model: this.chosen, values, prompt: find("prompt").value, live: find("live").checked});
  }

  // A stream is one plain sound.
  showLive({num_samples: count, best_of: best, loop, format}) {
    const obstacles = [count > 1 && "one variation", best > 1 && "best of 1", loop && "no loop", format !== "wav" && "the format wav"];
    const needed = obstacles.filter(Boolean);
    find("live").closest(".field").hidden = !this.model.streams;
    find("live").disabled = needed.length > 0;
    find("live-note").hidden = !needed.length;
    write(find("live-note"), needed.length ? `Needs ${needed.join(" and ")}.` : "");
  }

  reset() {
    this.clear();
    for (const field of [...this.fields, this.seed]) field.put(field.fallback);
    this.save();
  }

  count() {
    const length = [...find("prompt").value].length;
    find("counter").hidden = length < COUNT_FROM;
    find("counter").classList.toggle("over", length > MOST_LETTERS);
    write(find("counter"), `${length} of ${MOST_LETTERS}`);
  }

  // What is continued counts as a part of the length.
  takeGiven(given) {
    const length = this.field("duration");
    if (!length || !given?.seconds) return this.fields.length && this.save();
    const {maximum} = this.model.settings.duration;
    if (this.values().duration === undefined || this.values().duration <= given.seconds + 0.5) {
      length.put(Math.min(maximum, Math.ceil(given.seconds) + length.fallback));
    }
    this.save();
  }

  // The request; refuses as the server would.
  compose() {
    const prompt = find("prompt").value.trim(), letters = [...prompt].length;
    if (!prompt) throw new Refusal({field: "prompt", message: "There are no words yet.", change: "Say what you want to hear, or take an example."});
    if (letters > MOST_LETTERS) {
      throw new Refusal({field: "prompt", message: `The text has ${letters} letters.`, expected: `at most ${MOST_LETTERS}`, change: `Shorten it by ${letters - MOST_LETTERS}.`});
    }
    const request = {prompt, model: this.chosen};
    for (const field of this.fields) {
      const value = field.read();
      if (field.name === "duration" || value !== field.fallback) request[field.name] = value;
    }
    const seed = this.seed.read(), {given} = this.continuation;
    if (seed !== null) request.seed = seed;
    if (!given) return request;
    if (given.seconds && request.duration <= given.seconds) {
      throw new Refusal({field: "duration", message: `The sound to continue is ${given.seconds.toFixed(1)} s long already.`, expected: "a greater length, which counts it in"});
    }
    return {...request, continue_from: given.request};
  }

  async submit() {
    if (this.sending || !this.models.length) return;
    this.clear();
    try {
      const request = this.compose(), live = find("live");
      this.sending = true;
      find("generate").setAttribute("aria-busy", "true");
      const job = await this.generate(request, this.model.streams && live.checked && !live.disabled);
      if (job) this.seed.used(job.request.seed);
    } catch (error) { this.refuse(error); } finally {
      this.sending = false;
      find("generate").removeAttribute("aria-busy");
    }
  }

  clear() {
    find("refusal").hidden = true;
    for (const wrong of find("composer").querySelectorAll(".field > .refusal")) wrong.remove();
    for (const input of find("composer").querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-errormessage");
    }
  }

  // An error, beside the field that it is about.
  refuse(error) {
    if (error.name === "AbortError") return;
    const place = error.field && find("composer").querySelector(`[data-field="${CSS.escape(error.field)}"]`);
    if (!place || place.closest("[hidden]")) {
      find("refusal").replaceChildren(...explain(error));
      find("refusal").hidden = false;
      return;
    }
    const id = `${error.field}-refusal`, input = place.querySelector("input:not([type=range]), textarea, select");
    if (find("more").contains(place)) find("more").open = true;
    place.append(make("div", {class: "refusal", role: "alert", id}, ...explain(error)));
    input?.setAttribute("aria-invalid", "true");
    input?.setAttribute("aria-errormessage", id);
    input?.focus();
  }

  // Words and settings of an earlier request.
  restore(request, {prompt = request.prompt ?? request.prompts?.[0] ?? "", seed = request.seed, used = {}, name} = {}) {
    this.clear();
    find("prompt").value = prompt;
    this.choose(request.model, {...used, ...request});
    this.seed.put(seed);
    const from = request.continue_from;
    if (from && this.model.continues) this.continuation.put({request: from, name: name ?? (from.job ? "an earlier sound" : "an uploaded sound")});
    else this.continuation.put(null);
    this.count();
    this.save();
  }
}
