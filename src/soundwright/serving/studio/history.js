// Everything that was asked for, newest first. A row brings its words, settings and sounds back.

import {reasonOf, tellState, titleOf} from "/bench.js";
import {find, icon, make, write} from "/elements.js";
import {complain} from "/notices.js";
import {trim} from "/settings.js";

const MINUTE = 60, HOUR = 3600, DAY = 86400;

export const tellAge = (iso) => {
  const at = new Date(iso), seconds = (Date.now() - at) / 1000;
  if (seconds < MINUTE) return "just now";
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} min ago`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)} h ago`;
  return at.toLocaleDateString([], {day: "numeric", month: "short", year: seconds > 300 * DAY ? "numeric" : undefined});
};

const detailsOf = (job) => {
  const {request, sounds, state, model} = job, {duration} = {...sounds[0]?.settings, ...request};
  const count = sounds.length, seed = sounds[0]?.seed ?? request.seed;
  return [
    state !== "done" && (state === "failed" ? reasonOf(job).message : tellState(job)), model, duration && `${trim(duration)} s`,
    count > 1 ? `${count} sounds from seed ${seed}` : `seed ${seed}`,
  ].filter(Boolean).join(" · ");
};

export class History {
  // `open(job)` brings a job back.
  constructor({jobs, open}) {
    Object.assign(this, {jobs, open, rows: new Map(), oldest: null, turn: 0});
    jobs.addEventListener("job", ({detail}) => this.update(detail));
    jobs.addEventListener("gone", ({detail}) => this.drop(detail.id));
    jobs.addEventListener("hidden", ({detail}) => this.hide(detail.id, true));
    jobs.addEventListener("shown", ({detail}) => this.hide(detail.id, false));
    find("only-favourites").addEventListener("change", () => this.load().catch(complain));
    find("load-more").addEventListener("click", () => this.loadMore().catch(complain));
    setInterval(() => this.rows.forEach(({job, age}) => write(age, tellAge(job.created_at))), 30000);
  }

  get favourites() { return find("only-favourites").checked; }

  // From the newest on; gives them back.
  async load() {
    const turn = ++this.turn, {jobs, more} = await this.jobs.list({favourites: this.favourites});
    if (turn !== this.turn) return [];
    this.rows.clear();
    find("jobs").replaceChildren();
    this.add(jobs, more);
    return jobs;
  }

  async loadMore() {
    find("load-more").disabled = true;
    const turn = this.turn;
    try {
      const {jobs, more} = await this.jobs.list({before: this.oldest, favourites: this.favourites});
      if (turn !== this.turn) return;
      const [first] = jobs;
      this.add(jobs, more);
      this.rows.get(first?.id)?.button.focus();
    } finally { find("load-more").disabled = false; }
  }

  add(jobs, more) {
    for (const job of jobs) if (!this.rows.has(job.id)) find("jobs").append(this.makeRow(job));
    this.oldest = jobs.at(-1)?.id ?? this.oldest;
    find("load-more").hidden = !more;
    this.showNote();
  }

  showNote() {
    const empty = ![...this.rows.values()].some(({element}) => !element.hidden);
    find("history-note").hidden = !empty;
    write(find("history-note"), this.favourites ? "No favourites yet. The star on a sound keeps it here." : "What you make is kept here.");
  }

  makeRow(job) {
    const row = {
      job, name: make("b"), details: make("span", {class: "details"}), age: make("time", {datetime: job.created_at}, tellAge(job.created_at)),
      star: make("span", {class: "starred", role: "img", "aria-label": "Has a favourite"}, icon("star")),
    };
    row.button = make("button", {class: "past", title: "Bring its words, settings and sounds back", onclick: () => this.open(row.job)}, row.name, row.details, row.star, row.age);
    row.element = make("li", {"data-job": job.id}, row.button,
      make("button", {class: "icon delete", "aria-label": `Delete: ${titleOf(job)}`, title: "Delete", onclick: () => this.jobs.remove(row.job).catch(complain)}, icon("trash")));
    this.rows.set(job.id, row);
    this.fill(row, job);
    return row.element;
  }

  fill(row, job) {
    row.job = job;
    write(row.name, titleOf(job));
    write(row.details, detailsOf(job));
    row.element.dataset.state = job.state;
    row.star.hidden = !job.sounds.some(({favourite}) => favourite);
  }

  update(job) {
    const row = this.rows.get(job.id);
    if (row) {
      this.fill(row, job);
      if (this.favourites && row.star.hidden) this.drop(job.id);
      return;
    }
    // A new job comes on top; an old one that is only looked up has its place further down.
    const newest = [...this.rows.values()][0], fresh = !newest || [...this.rows.values()].every((one) => one.job.created_at <= job.created_at);
    if (!fresh || (this.favourites && !job.sounds.some(({favourite}) => favourite)) || !this.begun) return;
    find("jobs").prepend(this.makeRow(job));
    this.showNote();
  }

  // From now on jobs that are new are added by themselves.
  begin() { this.begun = true; }

  hide(id, hidden) {
    const row = this.rows.get(id);
    if (row) row.element.hidden = hidden;
    this.showNote();
  }

  drop(id) {
    this.rows.get(id)?.element.remove();
    this.rows.delete(id);
    this.showNote();
  }
}
