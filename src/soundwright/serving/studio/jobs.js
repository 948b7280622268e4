// Jobs as the server tells of them. Every change is an event here: "job" (it is new or has changed),
// "hidden" and "shown" (it is being deleted, that was taken back) and "gone".

import {Refusal, Unreachable, ask, askJson, follow} from "/api.js";
import {countDown, offerUndo} from "/notices.js";
import {forgetSound} from "/sounds.js";

const PAGE = 20, AGAIN_MS = 1500;
export const FINAL = new Set(["done", "failed", "cancelled", "expired"]);

const address = (id) => `/v1/jobs/${encodeURIComponent(id)}`;

// Sends once more by itself when the server has too much to do.
const sendPatiently = async (send) => {
  try {
    return await send();
  } catch (error) {
    if (error.status !== 429 || !error.after) throw error;
    if (!await countDown(error)) throw new DOMException("Left", "AbortError");
    return send();
  }
};

export class Jobs extends EventTarget {
  constructor() {
    super();
    this.known = new Map();
    this.watched = new Set();
  }

  tell(kind, detail) { this.dispatchEvent(new CustomEvent(kind, {detail})); }

  take(job) {
    this.known.set(job.id, job);
    this.tell("job", job);
    if (!FINAL.has(job.state)) this.watch(job.id);
    return job;
  }

  async start(request) {
    const post = {method: "POST", json: request};
    return this.take(await sendPatiently(() => askJson("/v1/audio/generations", post)));
  }

  // The answer whose body is the sound while it is made, and its job.
  async stream(request, signal) {
    const post = {method: "POST", json: {...request, stream: true}, signal};
    const answer = await sendPatiently(() => ask("/v1/audio/generations", post));
    return {answer, id: answer.headers.get("X-Soundwright-Job")};
  }

  async fetch(id) { return this.take(await askJson(address(id))); }

  // Follows a job to its end, through lost connections.
  async watch(id) {
    if (this.watched.has(id)) return;
    this.watched.add(id);
    try {
      while (this.known.has(id) && !FINAL.has(this.known.get(id).state)) {
        try {
          for await (const job of follow(id)) if (this.known.has(id)) this.take(job);
        } catch (error) {
          if (error instanceof Refusal && error.status === 404) return this.forget(id);
          if (error instanceof Refusal && error.status === 401) return;
        }
        if (FINAL.has(this.known.get(id)?.state)) return;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    } finally { this.watched.delete(id); }
  }

  async cancel(id) {
    try {
      this.take(await askJson(`${address(id)}/cancel`, {method: "POST"}));
    } catch (error) {
      // It had ended before it could be cancelled.
      if (error.status !== 409) throw error;
      await this.fetch(id);
    }
  }

  async favourite(job, sound) {
    const method = sound.favourite ? "DELETE" : "PUT";
    this.take(await askJson(`${address(job.id)}/sounds/${sound.number}/favourite`, {method}));
  }

  async remove(job) {
    this.tell("hidden", job);
    const count = job.sounds.length;
    if (!await offerUndo(count > 1 ? `${count} sounds are deleted.` : "Deleted.")) return this.tell("shown", job);
    try {
      await ask(address(job.id), {method: "DELETE", keepalive: true});
    } catch (error) {
      if (error.status !== 404) {
        this.tell("shown", job);
        throw error;
      }
    }
    this.forget(job.id);
  }

  forget(id) {
    const job = this.known.get(id);
    this.known.delete(id);
    for (const sound of job?.sounds ?? []) if (sound.url) forgetSound(sound);
    this.tell("gone", {id});
  }

  async list({before, favourites} = {}) {
    const query = new URLSearchParams({limit: PAGE});
    if (before) query.set("before", before);
    if (favourites) query.set("favourites", "true");
    const {jobs, more} = await askJson(`/v1/jobs?${query}`);
    return {jobs: jobs.map((job) => this.take(job)), more};
  }
}

export const unreachable = (error) => error instanceof Unreachable;
