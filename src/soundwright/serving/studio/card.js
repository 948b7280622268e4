// One sound as a card: seen, played, and what can be done with it.

import {Score} from "/drawing.js";
import {icon, make, write} from "/elements.js";
import {complain, explain, notify, say} from "/notices.js";
import {Transport, tell} from "/player.js";
import {downloadSound, loadSound, studySound} from "/sounds.js";

export const copy = async (text, what) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure origin there is only the old way.
    const area = make("textarea", {class: "unseen", "aria-hidden": "true"});
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  notify(`${what} copied.`);
};

const tool = (name, label, onclick) => make("button", {class: `icon ${name}`, "aria-label": label, title: label, onclick}, icon(name));

const visible = new IntersectionObserver((entries) => {
  for (const {isIntersecting, target} of entries) {
    if (!isIntersecting) continue;
    visible.unobserve(target);
    target.dispatchEvent(new Event("seen"));
  }
}, {rootMargin: "200px"});

export class SoundCard {
  // `actions`: what the studio does with a sound, see studio.js; `titled` when the sounds of a job differ in words.
  constructor(job, sound, actions, titled) {
    Object.assign(this, {job, sound, actions});
    this.score = new Score();
    this.transport = new Transport({
      seconds: sound.duration, changed: () => this.draw(),
      load: async () => [{buffer: await this.load()}],
    });
    this.element = make("div", {
      class: "card", role: "group", "data-job": job.id, "data-number": sound.number,
      "aria-label": `${sound.prompt}, seed ${sound.seed}`, onfocusin: () => actions.select(this), onpointerdown: () => actions.select(this),
    }, titled && make("h4", {}, sound.prompt), this.makeSeek(), make("div", {class: "controls"}, this.makeTransport(), this.makeTools()));
    this.element.addEventListener("seen", () => this.look());
    visible.observe(this.element);
    this.score.imagine(`${sound.prompt}${sound.seed}`);
    this.update(job, sound);
    this.draw();
  }

  makeSeek() {
    const id = `words-${this.job.id}-${this.sound.number}`;
    this.words = make("span", {class: "unseen", id}, "Not drawn yet");
    this.seekbar = make("div", {
      class: "seek", role: "slider", tabindex: 0, "aria-label": "Position", "aria-describedby": id,
      "aria-valuemin": 0, "aria-valuemax": this.sound.duration.toFixed(2),
    }, this.score.element);
    const seek = (event) => {
      const {left, width} = this.seekbar.getBoundingClientRect();
      this.transport.seek((event.clientX - left) / width * this.transport.seconds);
    };
    this.seekbar.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.seekbar.setPointerCapture(event.pointerId);
      seek(event);
    });
    this.seekbar.addEventListener("pointermove", (event) => {
      if (this.seekbar.hasPointerCapture(event.pointerId)) seek(event);
    });
    return make("div", {class: "picture"}, this.seekbar, this.words);
  }

  makeTransport() {
    this.playButton = make("button", {class: "play", onclick: () => this.toggle()}, icon("play!"), icon("pause!"));
    this.time = make("span", {class: "time"});
    this.loopButton = tool("loop", "Loop", () => this.loop());
    this.starButton = tool("star", "Favourite", () => this.favourite());
    const slot = (name) => make("button", {class: "slot", "data-slot": name, "aria-label": `Compare as ${name}`, title: `Compare as ${name} (Shift+${name})`, onclick: () => this.actions.place(this, name)}, name);
    const icons = make("span", {class: "icons"}, this.loopButton, this.starButton, tool("download", `Download ${this.sound.filename}`, () => this.download()));
    return [this.playButton, this.time, icons, make("span", {class: "slots"}, slot("A"), slot("B"))];
  }

  makeTools() {
    const {actions} = this, act = (label, does, title) => make("button", {class: "plain", title, onclick: () => does(this)}, label);
    this.continueButton = act("Continue", actions.proceed, "Go on from this sound (C)");
    const pick = (label, does) => make("button", {onclick: () => { this.menu.open = false; does(); }}, label);
    this.deleteButton = pick("Delete", () => actions.remove(this.job));
    this.menu = make("details", {class: "menu"}, make("summary", {class: "icon", "aria-label": "More", title: "More"}, icon("more")),
      make("div", {}, pick("Copy as command line", () => copy(this.sound.command, "Command line")),
        pick("Copy as Python", () => copy(this.sound.python, "Python")),
        pick("Use these settings", () => actions.restore(this.job, this.sound)), this.deleteButton));
    this.menu.addEventListener("focusout", (event) => { if (!this.menu.contains(event.relatedTarget)) this.menu.open = false; });
    this.menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.menu.open) return;
      event.stopPropagation();
      this.menu.open = false;
      this.menu.firstElementChild.focus();
    });
    const seed = make("button", {class: "seed-copy", title: "Copy the seed", "aria-label": `Copy the seed ${this.sound.seed}`, onclick: () => copy(String(this.sound.seed), "Seed")}, `seed ${this.sound.seed}`, icon("copy"));
    return [seed, make("span", {class: "acts"}, act("Re-roll", actions.reroll, "The same with a new seed (R)"),
      act("4 more", actions.vary, "Four more with new seeds (V)"), this.continueButton), this.menu];
  }

  load() { return loadSound(this.sound); }

  // Fetches and draws, when it comes into view.
  async look() {
    try {
      const analysis = await studySound(this.sound);
      this.transport.seconds = analysis.seconds;
      this.seekbar.setAttribute("aria-valuemax", analysis.seconds.toFixed(2));
      this.score.show(analysis);
      write(this.words, `Waveform and spectrogram: ${analysis.words}.`);
      this.draw();
    } catch (error) { this.miss(error); }
  }

  // The sound cannot be had (expired, deleted elsewhere, no connection).
  miss(error) {
    this.missing?.remove();
    const again = make("button", {onclick: () => { this.missing.remove(); this.look(); }}, "Try again");
    this.missing = make("div", {class: "missing refusal", role: "alert"}, ...explain(error), again);
    this.element.querySelector(".picture").append(this.missing);
  }

  update(job, sound) {
    Object.assign(this, {job, sound});
    this.starButton.setAttribute("aria-pressed", sound.favourite);
    this.deleteButton.textContent = job.sounds.length > 1 ? `Delete all ${job.sounds.length} sounds` : "Delete";
    this.continueButton.hidden = !this.actions.continues(job);
  }

  // Whether it is compared, as A or as B.
  mark(slots) {
    this.element.querySelectorAll(".slot").forEach((button, place) => {
      button.setAttribute("aria-pressed", slots[place]?.sound.url === this.sound.url);
    });
  }

  draw() {
    const {position, seconds, playing} = this.transport;
    this.score.place = position / seconds;
    this.element.classList.toggle("playing", playing);
    write(this.time, `${tell(position)} / ${tell(seconds)}`);
    const label = playing ? "Pause" : "Play";
    if (this.playButton.getAttribute("aria-label") !== label) this.playButton.setAttribute("aria-label", label);
    const now = position.toFixed(1);
    if (this.seekbar.getAttribute("aria-valuenow") !== now) {
      this.seekbar.setAttribute("aria-valuenow", now);
      this.seekbar.setAttribute("aria-valuetext", `${now} of ${seconds.toFixed(1)} seconds`);
    }
    this.loopButton.setAttribute("aria-pressed", this.transport.loop);
  }

  async toggle() {
    this.actions.select(this);
    try { await this.transport.toggle(); } catch (error) { this.miss(error); }
  }

  loop() { this.transport.setLoop(!this.transport.loop); }

  async favourite() {
    const starred = this.sound.favourite;
    this.starButton.setAttribute("aria-pressed", !starred);
    try {
      await this.actions.jobs.favourite(this.job, this.sound);
      say(starred ? "No favourite any more" : "Favourite");
    } catch (error) {
      this.starButton.setAttribute("aria-pressed", starred);
      complain(error);
    }
  }

  async download() {
    try { await downloadSound(this.sound); } catch (error) { complain(error); }
  }

  remove() {
    visible.unobserve(this.element);
    this.transport.remove();
    this.score.remove();
    this.element.remove();
  }
}
