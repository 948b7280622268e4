// A sound that is heard while it is made: pieces of a WAV from the network, played one after the other
// without a gap. The context runs at the sound's own rate, so that no piece is resampled by itself.

import {takeTurn} from "/player.js";

const CUSHION_S = 0.3, MOST_CUSHION_S = 4, PIECE_S = 0.1, POINTS = 720;

const chunkName = (view, at) => String.fromCharCode(...[0, 1, 2, 3].map((n) => view.getUint8(at + n)));

// Rate, channels, where the samples begin and how many bytes they are; null while that is not known yet.
const readHeader = (bytes) => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12) return null;
  if (chunkName(view, 0) !== "RIFF") throw new Error("The stream is no WAV.");
  let facts = null;
  for (let at = 12; at + 8 <= bytes.length;) {
    const name = chunkName(view, at), size = view.getUint32(at + 4, true);
    if (name === "data") return facts && {...facts, first: at + 8, size};
    if (name === "fmt " && at + 16 <= bytes.length) facts = {channels: view.getUint16(at + 10, true), rate: view.getUint32(at + 12, true)};
    at += 8 + size + size % 2;
  }
  return null;
};

const join = (one, other) => {
  const whole = new Uint8Array(one.length + other.length);
  whole.set(one);
  whole.set(other, one.length);
  return whole;
};

export class LiveSound {
  // Made within a click, so that the context may sound. `changed` is called when there is more to see.
  constructor({changed}) {
    Object.assign(this, {changed, context: null, header: null, peaks: null});
    this.rest = new Uint8Array();
    this.waiting = [];
    this.waitingS = 0;
    this.cushion = CUSHION_S;
    this.spans = [];
    this.end = 0;
    this.made = 0;
    this.complete = this.stopped = false;
  }

  get seconds() { return this.header ? this.header.size / (2 * this.header.channels * this.header.rate) : 0; }

  get position() {
    const now = this.context?.currentTime ?? 0;
    const span = this.spans.findLast(({start}) => start <= now);
    return span ? Math.min(span.offset + now - span.start, span.offset + span.length) : 0;
  }

  get playing() {
    if (this.stopped || !this.context) return false;
    return !this.complete || this.waiting.length > 0 || this.context.currentTime < this.end;
  }

  // Reads the answer to its end.
  async read(answer) {
    takeTurn(this);
    const reader = answer.body.getReader();
    for (;;) {
      const {value, done} = await reader.read();
      if (done) break;
      this.rest = join(this.rest, value);
      if (!this.header) this.open();
      if (this.header) this.cut(false);
    }
    if (this.header) this.cut(true);
    this.complete = true;
    this.schedule();
  }

  open() {
    this.header = readHeader(this.rest);
    if (!this.header) return;
    this.rest = this.rest.slice(this.header.first);
    this.peaks = new Float32Array(2 * POINTS);
    if (this.stopped) return;
    this.context = new AudioContext({sampleRate: this.header.rate});
    this.context.resume();
  }

  // Whole frames of what came, at least a piece's length unless it is the last.
  cut(last) {
    const {channels, rate} = this.header, frames = Math.floor(this.rest.length / (2 * channels));
    if (!frames || (!last && frames < PIECE_S * rate)) return;
    const view = new DataView(this.rest.buffer, this.rest.byteOffset, 2 * channels * frames);
    const data = Array.from({length: channels}, (_, c) => Float32Array.from({length: frames}, (_, n) => view.getInt16(2 * (n * channels + c), true) / 32768));
    this.rest = this.rest.slice(2 * channels * frames);
    this.sketch(data[0], rate);
    this.made += frames / rate;
    if (this.context && !this.stopped) {
      const buffer = new AudioBuffer({length: frames, numberOfChannels: channels, sampleRate: rate});
      data.forEach((samples, channel) => buffer.copyToChannel(samples, channel));
      this.waiting.push(buffer);
      this.waitingS += buffer.duration;
      this.schedule();
    }
    this.changed();
  }

  sketch(samples, rate) {
    const first = this.made * rate, whole = Math.max(this.seconds * rate, first + samples.length);
    for (let n = 0; n < samples.length; n++) {
      const point = Math.min(POINTS - 1, Math.floor((first + n) / whole * POINTS));
      this.peaks[2 * point] = Math.min(this.peaks[2 * point], samples[n]);
      this.peaks[2 * point + 1] = Math.max(this.peaks[2 * point + 1], samples[n]);
    }
  }

  // Puts pieces after one another. Who ran dry waits for more the next time.
  schedule() {
    if (!this.context || this.stopped || !this.waiting.length) return;
    const now = this.context.currentTime;
    if (this.end < now) {
      if (!this.complete && this.waitingS < this.cushion) return;
      if (this.spans.length) this.cushion = Math.min(MOST_CUSHION_S, 2 * this.cushion);
      // A whole number of samples, so that the pieces fit to each other exactly.
      this.end = Math.ceil((now + 0.03) * this.header.rate) / this.header.rate;
      const offset = this.spans.length ? this.spans.at(-1).offset + this.spans.at(-1).length : 0;
      this.spans.push({start: this.end, offset, length: 0});
    }
    for (const buffer of this.waiting) {
      const source = new AudioBufferSourceNode(this.context, {buffer});
      source.connect(this.context.destination);
      source.start(this.end);
      this.end += buffer.duration;
      this.spans.at(-1).length += buffer.duration;
    }
    this.waiting = [];
    this.waitingS = 0;
  }

  // Is not heard any more; what comes is still read, so that the sound gets whole.
  stop() {
    if (this.stopped) return;
    this.stopped = true;
    this.waiting = [];
    this.context?.close();
    this.changed();
  }

  pause() { this.stop(); }
  toggle() { this.stop(); }
  seek() {}
}
