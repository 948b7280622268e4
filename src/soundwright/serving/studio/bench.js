// The bench: jobs that are made or looked at, newest on top, each with the cards of its sounds.

import {SoundCard} from "/card.js";
import {Score} from "/drawing.js";
import {find, icon, make, write} from "/elements.js";
import {FINAL} from "/jobs.js";
import {explain, say} from "/notices.js";
import {summarise, trim} from "/settings.js";

const WORDS = {waiting: "Waiting", running: "Making", failed: "Failed", cancelled: "Cancelled", expired: "Expired"};

// How a job stands, in words.
export const tellState = ({state, position, progress}) => {
  if (state === "waiting" && position) return `Waiting, ${position} ${position === 1 ? "sound" : "sounds"} ahead`;
  return state === "running" ? `Making, ${Math.floor(100 * progress)} %` : WORDS[state] ?? "";
};

export const titleOf = ({request, sounds}) => {
  const prompts = request.prompts ?? [request.prompt ?? sounds[0]?.prompt ?? ""];
  return prompts.length > 1 ? `${prompts[0]} and ${prompts.length - 1} more` : prompts[0];
};

export const reasonOf = ({state, error, sounds}) => {
  if (error) return error;
  const made = sounds.filter(({url}) => url).length;
  if (state === "cancelled") return {message: made ? `Cancelled after ${made} of ${sounds.length} sounds.` : "Cancelled before anything was made."};
  if (state === "expired") return {message: "Its sounds have expired.", change: "The same words and seed make them again."};
  return state === "failed" ? {message: "It failed, and nobody knows why."} : null;
};

class Group {
  constructor(job, bench) {
    Object.assign(this, {job, bench, cards: new Map(), pending: [], live: null});
    const {actions} = bench;
    this.meta = make("p", {class: "meta"});
    this.bar = make("span", {class: "track"}, make("i"));
    this.state = make("span");
    this.progress = make("div", {class: "progress", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100}, this.bar, this.state);
    this.cancel = make("button", {class: "cancel", onclick: () => actions.cancel(this.job)}, "Cancel");
    this.silence = make("button", {class: "silence", hidden: true, onclick: () => this.live.stop()}, "Stop listening");
    this.working = make("div", {class: "working"}, this.progress, this.silence, this.cancel);
    this.reason = make("div", {class: "reason", hidden: true});
    this.grid = make("div", {class: "cards"});
    this.element = make("article", {class: "group", "data-job": job.id, "aria-label": titleOf(job)},
      make("div", {class: "heading"}, make("h3", {}, titleOf(job)),
        make("button", {class: "icon", "aria-label": "Take off the bench", title: "Take off the bench; it stays in the history", onclick: () => bench.close(this.job.id)}, icon("close"))),
      this.meta, this.working, this.reason, this.grid);
    this.update(job);
  }

  update(job) {
    const ended = FINAL.has(job.state) && !FINAL.has(this.job.state), before = this.job.state;
    this.job = job;
    const {duration} = {...job.sounds[0]?.settings, ...job.request};
    write(this.meta, [job.model, duration && `${trim(duration)} s`, ...summarise(job.request)].filter(Boolean).join(" · "));
    this.working.hidden = FINAL.has(job.state);
    this.element.dataset.state = job.state;
    write(this.state, tellState(job));
    this.progress.setAttribute("aria-valuenow", Math.floor(100 * job.progress));
    this.progress.setAttribute("aria-valuetext", tellState(job));
    this.bar.style.setProperty("--done", job.progress);
    this.showSounds(job);
    this.showReason(job);
    if (ended) say(job.state === "done" ? `Done: ${titleOf(job)}` : `${WORDS[job.state]}: ${titleOf(job)}. ${reasonOf(job)?.message ?? ""}`);
    else if (before !== job.state) say(tellState(job));
  }

  showSounds(job) {
    const titled = new Set(job.sounds.map(({prompt}) => prompt).filter(Boolean)).size > 1, running = !FINAL.has(job.state);
    this.grid.classList.toggle("several", job.sounds.length > 1);
    let next = null;
    job.sounds.forEach((sound, place) => {
      if (this.cards.has(sound.number)) return this.cards.get(sound.number).update(job, sound);
      if (sound.url) {
        const card = new SoundCard(job, sound, this.bench.actions, titled);
        this.cards.set(sound.number, card);
        if (this.pending[place]) this.pending[place].element.replaceWith(card.element);
        else this.grid.append(card.element);
        this.drop(place);
        if (this.live?.playing) card.transport.adopt(this.live);
        else this.live?.stop();
        this.bench.arrived(card);
      } else if (running && !this.pending[place]) {
        const score = new Score(), element = make("div", {class: "card pending"}, make("div", {class: "picture"}, score.element));
        this.pending[place] = {score, element};
        this.grid.append(element);
        score.imagine(`${sound.prompt}${sound.seed}`);
      } else if (!running) this.drop(place);
      if (this.pending[place] && !this.live) {
        const share = job.progress * job.sounds.length - place;
        this.pending[place].score.place = share;
        next ??= place;
        this.pending[place].element.classList.toggle("making", job.state === "running" && next === place);
      }
    });
  }

  drop(place) {
    this.pending[place]?.score.remove();
    this.pending[place]?.element.remove();
    this.pending[place] = null;
  }

  // Shows what is heard while it is made.
  showLive(live) {
    this.live = live;
    const follow = () => {
      this.silence.hidden = !live.playing;
      const pending = this.pending[0];
      if (pending && live.peaks) {
        if (pending.made !== live.made) pending.score.outline(live.peaks);
        pending.made = live.made;
        pending.score.place = live.position / live.seconds;
        pending.element.classList.add("live");
      }
      if (pending && !FINAL.has(this.job.state)) requestAnimationFrame(follow);
    };
    follow();
  }

  showReason(job) {
    const reason = reasonOf(job);
    this.reason.hidden = !reason;
    if (!reason || this.told === job.state) return;
    this.told = job.state;
    this.reason.replaceChildren(make("div", {class: job.state === "failed" ? "refusal" : "refusal calm"}, ...explain(reason)),
      make("button", {class: "again", onclick: () => this.bench.actions.again(this.job)}, "Make it again"),
      make("button", {class: "plain", onclick: () => this.bench.actions.restore(this.job)}, "Use these settings"),
      make("button", {class: "plain", onclick: () => this.bench.actions.remove(this.job)}, "Delete"));
  }

  remove() {
    for (const card of this.cards.values()) card.remove();
    this.pending.forEach((_, place) => this.drop(place));
    this.element.remove();
  }
}

export class Bench {
  constructor({jobs, actions}) {
    Object.assign(this, {jobs, actions, groups: new Map(), current: null});
    jobs.addEventListener("job", ({detail}) => this.groups.get(detail.id)?.update(detail));
    jobs.addEventListener("gone", ({detail}) => this.close(detail.id));
    jobs.addEventListener("hidden", ({detail}) => this.hide(detail.id, true));
    jobs.addEventListener("shown", ({detail}) => this.hide(detail.id, false));
  }

  // Puts a job on top; one that lies there already stays where it is and is shown.
  open(job) {
    let group = this.groups.get(job.id);
    if (!group) {
      group = new Group(job, this);
      this.groups.set(job.id, group);
      find("groups").prepend(group.element);
    }
    this.showEmpty();
    return group;
  }

  hide(id, hidden) {
    const group = this.groups.get(id);
    if (!group) return;
    group.element.hidden = hidden;
    for (const card of group.cards.values()) card.transport.pause();
    if (hidden && this.current?.job.id === id) this.select(null);
    this.showEmpty();
  }

  close(id) {
    const group = this.groups.get(id);
    if (!group) return;
    if (this.current?.job.id === id) this.select(null);
    group.remove();
    this.groups.delete(id);
    this.showEmpty();
  }

  showEmpty() {
    find("empty").hidden = [...this.groups.values()].some(({element}) => !element.hidden);
  }

  get cards() {
    return [...find("groups").querySelectorAll(".group:not([hidden]) .card[data-job]")]
      .map(({dataset}) => this.groups.get(dataset.job).cards.get(Number(dataset.number)));
  }

  select(card) {
    if (card === this.current) return;
    this.current?.element.classList.remove("current");
    this.current = card;
    card?.element.classList.add("current");
  }

  // The first sound of a job that has just been made is the one that keys act on, unless another one plays.
  arrived(card) {
    if (!this.current?.transport.playing && this.current?.job.id !== card.job.id) this.select(card);
  }

  step(by) {
    const {cards} = this;
    if (!cards.length) return;
    const at = cards.indexOf(this.current), place = at < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, at + by));
    cards[place].seekbar.focus({preventScroll: true});
    cards[place].element.scrollIntoView({block: "nearest"});
  }
}
