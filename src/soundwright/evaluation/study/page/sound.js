// Sounds of a trial, and the tones of the headphone check.

const MOST_SPANS = 200;
const ICONS = `<svg class="start" viewBox="0 0 16 16" aria-hidden="true"><path d="M4 1.5v13l10-6.5z"/></svg>
<svg class="pause" viewBox="0 0 16 16" aria-hidden="true"><path d="M3 2h4v12H3zM9 2h4v12H9z"/></svg>`;

// Seconds of a sound that were played at least once. The server counts in the same way.
const measureHeard = (spans, seconds) => {
  let heard = 0, reached = 0;
  for (const {start, end} of [...spans].sort((one, other) => one.start - other.start)) {
    const last = Math.min(end, seconds);
    heard += Math.max(0, last - Math.max(start, reached));
    reached = Math.max(reached, last);
  }
  return heard;
};

export class Player {
  // One sound as a button. `clock` gives seconds since the trial was shown; `changed` is called
  // whenever something is to be drawn anew; `starts` before this sound plays.
  constructor({side, label, url, seconds, needed, clock, starts, changed}) {
    Object.assign(this, {side, seconds, needed, clock, starts, changed});
    this.closed = [];
    this.running = null;
    this.audio = new Audio(url);
    this.audio.preload = "auto";
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.className = "sound";
    this.button.innerHTML = `<span class="ring"><span>${ICONS}</span></span><span><b></b><small></small></span>`;
    this.button.querySelector("b").textContent = label;
    this.status = this.button.querySelector("small");
    this.button.addEventListener("click", () => this.toggle());
    this.audio.addEventListener("play", () => this.begin());
    this.audio.addEventListener("pause", () => this.finish());
    this.draw();
  }

  get spans() {
    if (!this.running) return this.closed;
    return [...this.closed, {...this.running, end: this.audio.currentTime}];
  }

  get heard() {
    return measureHeard(this.spans, this.seconds) >= this.needed * this.seconds;
  }

  toggle() {
    if (!this.audio.paused) return this.audio.pause();
    this.starts(this);
    if (this.audio.ended) this.audio.currentTime = 0;
    this.audio.play();
  }

  stop() {
    this.audio.pause();
  }

  begin() {
    this.running = {side: this.side, at: this.clock(), start: this.audio.currentTime};
    const follow = () => {
      this.draw();
      if (!this.audio.paused) requestAnimationFrame(follow);
    };
    follow();
  }

  finish() {
    if (this.running) {
      const end = this.audio.ended ? this.seconds : this.audio.currentTime;
      if (this.closed.length < MOST_SPANS && end > this.running.start) {
        this.closed.push({...this.running, end});
      }
      this.running = null;
    }
    this.draw();
  }

  draw() {
    const {audio, button, status} = this;
    const played = Math.min(1, audio.currentTime / this.seconds);
    button.style.setProperty("--played", played);
    button.classList.toggle("playing", !audio.paused);
    button.classList.toggle("heard", this.heard);
    const left = `${this.seconds.toFixed(1)} s`;
    const text = this.heard ? `Heard ✓` : !audio.paused ? left : audio.currentTime > 0 ? "Play on to the end" : left;
    if (status.textContent !== text) status.textContent = text;
    this.changed();
  }

  remove() {
    this.audio.pause();
    URL.revokeObjectURL(this.audio.src);
    this.audio.removeAttribute("src");
  }
}

// Three tones in an order drawn anew: as they are, at half the amplitude, and with one ear inverted.
// In a room the inverted one cancels itself and seems the quietest; in headphones it does not.
// (Woods, Siegel, Traer and McDermott, 2017.)
const TONE_S = 0.7, PAUSE_S = 0.3, EDGE_S = 0.1, HERTZ = 200, LEVEL = 0.25;
const TONES = [[1, 1], [0.5, 0.5], [1, -1]];

let context = null;

export const playTones = async () => {
  context ??= new AudioContext();
  await context.resume();
  const order = [0, 1, 2].map((tone) => [Math.random(), tone]).sort().map(([, tone]) => tone);
  const rate = context.sampleRate, period = TONE_S + PAUSE_S;
  const buffer = context.createBuffer(2, Math.ceil(3 * period * rate), rate);
  for (const channel of [0, 1]) {
    const data = buffer.getChannelData(channel);
    order.forEach((tone, place) => {
      const first = Math.round(place * period * rate), length = Math.round(TONE_S * rate);
      for (let n = 0; n < length; n++) {
        const edge = Math.min(1, n / (EDGE_S * rate), (length - n) / (EDGE_S * rate));
        const wave = Math.sin(2 * Math.PI * HERTZ * n / rate);
        data[first + n] = LEVEL * TONES[tone][channel] * edge * wave;
      }
    });
  }
  const source = new AudioBufferSourceNode(context, {buffer});
  source.connect(context.destination);
  source.start();
  await new Promise((resolve) => source.addEventListener("ended", resolve));
  return order.indexOf(1);
};
