// Playing: one or several tracks in step, of which one is heard. One transport plays at a time.

const FADE_S = 0.006;

let context = null, active = null;

export const audible = async () => {
  context ??= new AudioContext({latencyHint: "interactive"});
  if (context.state !== "running") await context.resume();
  return context;
};

export const playing = () => active;

// Something else that sounds (a sound being made) takes the turn and is stopped like a transport.
export const takeTurn = (one) => {
  if (active && active !== one) active.pause();
  active = one;
};

export class Transport {
  // `load` gives [{buffer, gain}]; `changed` is called for every picture while it plays, and at each change.
  constructor({seconds, load, changed}) {
    Object.assign(this, {seconds, load, changed});
    this.tracks = null;
    this.sources = [];
    this.side = 0;
    this.loop = false;
    this.offset = 0;
    this.began = null;
    this.starting = false;
    this.live = null;
  }

  get playing() { return this.live ? this.live.playing : this.began !== null; }

  get position() {
    if (this.live) return Math.min(this.seconds, this.live.position);
    if (this.began === null) return this.offset;
    const at = this.offset + Math.max(0, context.currentTime - this.began);
    return this.loop ? at % this.seconds : Math.min(at, this.seconds);
  }

  // Takes over what plays already, until it is paused, sought or over.
  adopt(live) {
    this.live = live;
    if (active === live) active = this;
    else takeTurn(this);
    this.draw();
  }

  async play(at = this.position) {
    if (this.starting) return;
    this.starting = true;
    takeTurn(this);
    try {
      const [, tracks] = await Promise.all([audible(), this.tracks ?? this.load()]);
      this.tracks = tracks;
    } finally { this.starting = false; }
    if (active !== this) return;
    this.silence();
    const start = context.currentTime + 0.005;
    this.offset = at >= this.seconds - 0.02 ? 0 : Math.max(0, at);
    this.began = start;
    this.sources = this.tracks.map(({buffer, gain = 1}, place) => {
      const source = new AudioBufferSourceNode(context, {buffer, loop: this.loop});
      const volume = new GainNode(context, {gain: place === this.side ? gain : 0});
      source.connect(volume).connect(context.destination);
      source.start(start, Math.min(this.offset, buffer.duration));
      return {source, volume, gain};
    });
    this.sources[0].source.addEventListener("ended", () => this.ended(start));
    this.draw();
  }

  ended(start) {
    if (this.began !== start) return;
    this.silence();
    this.offset = this.seconds;
    this.changed();
  }

  silence() {
    this.live?.stop();
    this.live = null;
    for (const {source, volume} of this.sources) {
      volume.gain.setTargetAtTime(0, context.currentTime, FADE_S / 3);
      source.stop(context.currentTime + 2 * FADE_S);
    }
    this.sources = [];
    this.began = null;
  }

  pause() {
    if (!this.playing) return void (active === this && (active = null));
    const at = this.position;
    this.silence();
    this.offset = at;
    this.changed();
  }

  async toggle() {
    if (this.playing) return this.pause();
    await this.play();
  }

  seek(at) {
    const place = Math.min(this.seconds, Math.max(0, at));
    if (this.playing) return this.play(Math.min(place, this.seconds - 0.03));
    this.offset = place;
    this.changed();
  }

  // Which track is heard, at once and at the same place.
  choose(side) {
    this.side = side;
    this.sources.forEach(({volume, gain}, place) => {
      volume.gain.setTargetAtTime(place === side ? gain : 0, context.currentTime, FADE_S / 3);
    });
    this.changed();
  }

  setLoop(loop) {
    if (this.began !== null) {
      this.offset = this.position;
      this.began = context.currentTime;
    }
    this.loop = loop;
    for (const {source} of this.sources) source.loop = loop;
    this.changed();
  }

  setGains(gains) {
    this.tracks?.forEach((track, place) => { track.gain = gains[place]; });
    this.sources.forEach((one, place) => { one.gain = gains[place]; });
    if (this.sources.length) this.choose(this.side);
  }

  draw() {
    this.changed();
    if (!this.playing) {
      if (this.live) {
        this.live.stop();
        [this.live, this.offset] = [null, this.seconds];
      }
      return this.changed();
    }
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  remove() {
    this.silence();
    if (active === this) active = null;
  }
}

// Minutes, seconds and tenths.
export const tell = (seconds) => {
  const tenths = Math.floor(seconds * 10 + 1e-6), minutes = Math.floor(tenths / 600);
  return `${minutes}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
};
