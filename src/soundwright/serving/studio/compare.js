// Two sounds side by side: both run in step, one is heard, and a key changes to the other at once.
// In the blind test the sides are drawn, and named X and Y until one has been chosen.

import {find, icon, write} from "/elements.js";
import {levelGains} from "/loudness.js";
import {complain, say} from "/notices.js";
import {Transport, tell} from "/player.js";
import {loadSound} from "/sounds.js";

const NAMES = ["A", "B"], BLIND = ["X", "Y"];
const buttons = () => [find("choose-a"), find("choose-b")];

// As long as the longer one, so that loops stay in step.
const pad = (buffer, seconds) => {
  const length = Math.round(seconds * buffer.sampleRate);
  if (length <= buffer.length) return buffer;
  const longer = new AudioBuffer({length, numberOfChannels: buffer.numberOfChannels, sampleRate: buffer.sampleRate});
  for (let c = 0; c < buffer.numberOfChannels; c++) longer.copyToChannel(buffer.getChannelData(c), c);
  return longer;
};

export class Compare {
  // `changed` is called when other sounds are compared.
  constructor({jobs, changed}) {
    this.changed = changed;
    this.slots = [null, null];
    this.order = [0, 1];
    this.transport = null;
    this.blind = false;
    this.answered = false;
    this.heard = new Set();
    this.tally = {A: 0, B: 0, none: 0};
    find("compare-play").append(icon("play!"), icon("pause!"));
    for (const id of ["compare-close", "empty-a", "empty-b"]) find(id).append(icon("close"));
    find("compare-play").addEventListener("click", () => this.toggle());
    find("compare-close").addEventListener("click", () => this.close());
    buttons().forEach((button, side) => button.addEventListener("click", () => this.hear(side)));
    ["empty-a", "empty-b"].forEach((id, place) => find(id).addEventListener("click", () => this.put(place, null)));
    find("compare-seek").addEventListener("input", () => this.transport?.seek(Number(find("compare-seek").value)));
    find("level").addEventListener("change", () => this.setLevel());
    find("blind").addEventListener("click", () => (this.blind ? this.endBlind() : this.beginBlind()));
    find("another").addEventListener("click", () => this.beginBlind());
    find("better-x").addEventListener("click", () => this.answer(0));
    find("better-y").addEventListener("click", () => this.answer(1));
    find("better-none").addEventListener("click", () => this.answer(null));
    jobs.addEventListener("gone", ({detail}) => this.slots.forEach((slot, place) => slot?.job === detail.id && this.put(place, null)));
  }

  get open() { return !find("compare").hidden; }
  get ready() { return Boolean(this.transport); }

  // Puts a card's sound into A (0) or B (1).
  put(place, card) {
    this.transport?.remove();
    this.transport = null;
    this.slots[place] = card && {job: card.job.id, sound: card.sound};
    this.blind = this.answered = false;
    this.order = [0, 1];
    this.tally = {A: 0, B: 0, none: 0};
    if (!this.slots.some(Boolean)) return this.close();
    if (this.slots.every(Boolean)) this.build();
    find("compare").hidden = false;
    document.body.classList.add("comparing");
    this.changed();
    if (card) say(`${NAMES[place]} is ${card.sound.prompt}, seed ${card.sound.seed}.`);
    this.draw();
  }

  build() {
    const sounds = this.slots.map(({sound}) => sound), seconds = Math.max(...sounds.map(({duration}) => duration));
    const transport = new Transport({
      seconds, changed: () => this.drawPosition(),
      load: async () => {
        const buffers = await Promise.all(sounds.map(loadSound));
        transport.seconds = Math.max(...buffers.map(({duration}) => duration));
        this.gains = levelGains(buffers);
        const level = this.levelled;
        return buffers.map((buffer, place) => ({buffer: pad(buffer, transport.seconds), gain: level ? this.gains[place] : 1}));
      },
    });
    transport.setLoop(true);
    this.transport = transport;
  }

  // A blind test is always equally loud: louder is mistaken for better.
  get levelled() { return this.blind || find("level").checked; }

  setLevel() { this.transport?.setGains(this.levelled ? this.gains ?? [1, 1] : [1, 1]); }

  async toggle() {
    try { await this.transport?.toggle(); } catch (error) { complain(error); }
  }

  // Hears a side as it is shown, 0 left or 1 right; begins to play when it does not.
  async hear(side) {
    if (!this.transport) return;
    this.transport.choose(this.order[side]);
    this.heard.add(side);
    this.draw();
    if (!this.transport.playing) await this.toggle();
  }

  swap() { return this.hear(1 - this.order.indexOf(this.transport?.side ?? 0)); }

  beginBlind() {
    if (!this.transport) return;
    this.transport.pause();
    Object.assign(this, {blind: true, answered: false, order: Math.random() < 0.5 ? [0, 1] : [1, 0]});
    this.heard = new Set();
    this.transport.choose(this.order[0]);
    this.transport.seek(0);
    this.setLevel();
    say("Blind test: the sides are drawn. Hear X and Y, then say which one is better.");
    this.draw();
  }

  endBlind() {
    Object.assign(this, {blind: false, answered: false, order: [0, 1]});
    this.setLevel();
    this.draw();
  }

  answer(side) {
    if (!this.blind || this.answered || this.heard.size < 2) return;
    this.answered = true;
    this.tally[side === null ? "none" : NAMES[this.order[side]]] += 1;
    const told = `X was ${NAMES[this.order[0]]}, Y was ${NAMES[this.order[1]]}.`;
    find("revealed").textContent = side === null ? told : `${told} You chose ${NAMES[this.order[side]]}.`;
    this.draw();
    find("another").focus();
  }

  close() {
    this.transport?.remove();
    this.transport = null;
    this.slots = [null, null];
    Object.assign(this, {blind: false, answered: false});
    this.changed();
    find("compare").hidden = true;
    document.body.classList.remove("comparing");
  }

  draw() {
    const secret = this.blind && !this.answered, names = this.blind ? BLIND : NAMES;
    buttons().forEach((button, side) => {
      const slot = this.slots[this.order[side]], [badge, words, seed] = button.children;
      write(badge, names[side]);
      button.disabled = !this.transport;
      button.classList.toggle("empty", !slot);
      button.setAttribute("aria-pressed", Boolean(this.transport) && this.transport.side === this.order[side]);
      write(words, secret ? `Sound ${names[side]}` : slot?.sound.prompt ?? "No sound yet");
      write(seed, secret ? (this.heard.has(side) ? "heard" : "not heard yet") : slot ? `seed ${slot.sound.seed}` : `Press ${NAMES[side]} on a card`);
      find(side ? "empty-b" : "empty-a").hidden = this.blind || !this.slots[side];
    });
    find("compare").classList.toggle("blind", this.blind);
    find("level").disabled = this.blind;
    find("blind").disabled = find("compare-play").disabled = find("compare-seek").disabled = !this.transport;
    find("blind").setAttribute("aria-pressed", this.blind);
    write(find("blind"), this.blind ? "End the test" : "Blind test");
    this.drawVerdict();
    this.drawPosition();
  }

  drawVerdict() {
    find("verdict").hidden = !this.blind;
    find("question").hidden = find("better-x").parentElement.hidden = this.answered;
    find("revealed").hidden = find("another").hidden = !this.answered;
    for (const id of ["better-x", "better-none", "better-y"]) find(id).disabled = this.heard.size < 2;
    write(find("question"), this.heard.size < 2 ? "Hear both sides, then choose." : "Which one is better?");
    const {A, B, none} = this.tally;
    find("tally").hidden = A + B + none === 0 || (this.blind && !this.answered);
    write(find("tally"), `Blind choices: A ${A} · B ${B} · no difference ${none}`);
  }

  drawPosition() {
    const seek = find("compare-seek"), {position = 0, seconds = 1, playing = false} = this.transport ?? {};
    find("compare").classList.toggle("playing", playing);
    find("compare-play").setAttribute("aria-label", playing ? "Pause the comparison" : "Play the comparison");
    seek.max = seconds;
    seek.value = position;
    seek.style.setProperty("--fill", position / seconds);
    seek.setAttribute("aria-valuetext", `${position.toFixed(1)} of ${seconds.toFixed(1)} seconds`);
    write(find("compare-time"), this.transport ? `${tell(position)} / ${tell(seconds)}` : "");
  }
}
