// A sound drawn: its outline above, its spectrogram below, and where it plays. The played part is a
// second drawing in the accent's colour that is uncovered, so that nothing is drawn anew while it plays.

import {make} from "/elements.js";
import {COLUMNS, ROWS, placeOf} from "/spectrum.js";

const BAR = 2, GAP = 1, RAMP = 6, TICKS_HZ = [[100, "100"], [500, "500"], [2000, "2k"], [8000, "8k"]];

let colours = null;
addEventListener("themechange", () => { colours = null; });

// Colours of the theme as they are now: the style sheet has them, a canvas cannot read them from it.
const readColours = () => {
  if (colours) return colours;
  const probe = make("i");
  document.body.append(probe);
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const numbers = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number);
  const stops = Array.from({length: RAMP}, (_, place) => numbers(read(`heat-${place}`)));
  const table = new Uint8ClampedArray(256 * 3);
  for (let level = 0; level < 256; level++) {
    const at = level / 255 * (RAMP - 1), stop = Math.min(RAMP - 2, Math.floor(at)), share = at - stop;
    for (const c of [0, 1, 2]) table[3 * level + c] = stops[stop][c] * (1 - share) + stops[stop + 1][c] * share;
  }
  colours = {table, wave: read("wave"), played: read("accent"), tick: read("quiet"), halo: read("heat-0")};
  probe.remove();
  return colours;
};

const colourIn = (levels) => {
  const {table} = readColours(), image = new ImageData(COLUMNS, ROWS);
  for (let column = 0; column < COLUMNS; column++) {
    for (let row = 0; row < ROWS; row++) {
      const from = 3 * levels[column * ROWS + row], to = 4 * ((ROWS - 1 - row) * COLUMNS + column);
      image.data[to] = table[from];
      image.data[to + 1] = table[from + 1];
      image.data[to + 2] = table[from + 2];
      image.data[to + 3] = 255;
    }
  }
  const canvas = Object.assign(document.createElement("canvas"), {width: COLUMNS, height: ROWS});
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
};

// A canvas as fine as the screen, and its size in CSS pixels; null while it is not laid out.
const prepare = (canvas) => {
  const {clientWidth: width, clientHeight: height} = canvas, fine = Math.min(3, devicePixelRatio || 1);
  if (!width || !height) return null;
  canvas.width = Math.round(width * fine);
  canvas.height = Math.round(height * fine);
  const pen = canvas.getContext("2d");
  pen.scale(fine, fine);
  return {pen, width, height};
};

const drawBars = (canvas, colour, peaks) => {
  const ready = prepare(canvas);
  if (!ready) return;
  const {pen, width, height} = ready, bars = Math.floor((width + GAP) / (BAR + GAP)), columns = peaks.length / 2;
  const bend = (value) => Math.sign(value) * Math.abs(value) ** 0.75 * (height / 2 - 1);
  pen.fillStyle = colour;
  pen.beginPath();
  for (let bar = 0; bar < bars; bar++) {
    let low = 0, high = 0;
    const last = Math.max(Math.floor(bar * columns / bars) + 1, Math.floor((bar + 1) * columns / bars));
    for (let column = Math.floor(bar * columns / bars); column < last; column++) {
      low = Math.min(low, peaks[2 * column]);
      high = Math.max(high, peaks[2 * column + 1]);
    }
    const top = height / 2 - Math.max(0.75, bend(high)), bottom = height / 2 - Math.min(-0.75, bend(low));
    pen.roundRect(bar * (BAR + GAP), top, BAR, bottom - top, 1);
  }
  pen.fill();
};

// An outline of nothing yet, the same for the same name.
const imagine = (name) => {
  let state = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) >>> 0, 7);
  const draw = () => (state = (state * 1664525 + 1013904223) >>> 0) / 2 ** 32;
  const slow = draw() * 6, fast = 3 + draw() * 5, peaks = new Float32Array(2 * 240);
  for (let column = 0; column < 240; column++) {
    const x = column / 240, shape = Math.abs(Math.sin(slow + fast * x)) * Math.sin(Math.PI * x) ** 0.5;
    peaks[2 * column + 1] = 0.06 + 0.5 * shape * (0.45 + 0.55 * draw());
    peaks[2 * column] = -peaks[2 * column + 1];
  }
  return peaks;
};

export class Score {
  // The drawing of one sound; `element` is to be put somewhere.
  constructor() {
    this.wave = make("canvas", {class: "wave"});
    this.played = make("canvas", {class: "wave played"});
    this.spectrum = make("canvas", {class: "spectrum"});
    this.head = make("span", {class: "head"});
    this.element = make("div", {class: "score", "aria-hidden": "true"}, this.wave, this.played, this.spectrum, this.head);
    this.analysis = null;
    this.peaks = null;
    this.watcher = new ResizeObserver(() => this.paint());
    this.watcher.observe(this.element);
    this.repaint = () => { this.coloured = null; this.paint(); };
    addEventListener("themechange", this.repaint);
  }

  show(analysis) {
    Object.assign(this, {analysis, peaks: analysis.peaks, coloured: null});
    this.element.classList.remove("imagined");
    this.paint();
  }

  // While it is made: an outline (imagined from a name, or as far as it is known) and no spectrogram.
  imagine(name) {
    this.element.classList.add("imagined");
    this.peaks = imagine(name);
    this.paint();
  }

  outline(peaks) {
    this.element.classList.add("imagined");
    this.peaks = peaks;
    this.paint();
  }

  set place(share) {
    const place = Math.min(1, Math.max(0, share)) || 0;
    this.element.style.setProperty("--place", place);
    this.element.classList.toggle("begun", place > 0);
  }

  paint() {
    if (!this.peaks || !this.element.isConnected) return;
    const {wave, played} = readColours();
    drawBars(this.wave, wave, this.peaks);
    drawBars(this.played, played, this.peaks);
    const ready = this.analysis && prepare(this.spectrum);
    if (!ready) return;
    this.coloured ??= colourIn(this.analysis.levels);
    ready.pen.imageSmoothingQuality = "high";
    ready.pen.drawImage(this.coloured, 0, 0, ready.width, ready.height);
    this.drawTicks(ready);
  }

  drawTicks({pen, width, height}) {
    const {tick, halo} = readColours();
    Object.assign(pen, {font: "10px system-ui, sans-serif", textBaseline: "middle", textAlign: "right"});
    for (const [frequency, words] of TICKS_HZ) {
      const y = height * (1 - placeOf(frequency, this.analysis.top));
      if (y < 7 || y > height - 7) continue;
      const wide = pen.measureText(words).width + 8;
      pen.globalAlpha = 0.8;
      pen.fillStyle = halo;
      pen.beginPath();
      pen.roundRect(width - wide - 4, y - 7.5, wide, 14, 4);
      pen.fill();
      pen.globalAlpha = 1;
      pen.fillStyle = tick;
      pen.fillText(words, width - 8, y);
    }
  }

  remove() {
    this.watcher.disconnect();
    removeEventListener("themechange", this.repaint);
    this.element.remove();
  }
}
