// Sounds of the server: fetched when they are first needed, decoded at their own rate, and kept while
// there is room. What is drawn of them is small and stays.

import {ask} from "/api.js";
import {analyse} from "/spectrum.js";

const MOST_BYTES = 160e6;
const decoded = new Map(), drawn = new Map(), coming = new Map();

const sizeOf = (buffer) => 4 * buffer.length * buffer.numberOfChannels;

const keep = (key, buffer) => {
  decoded.delete(key);
  decoded.set(key, buffer);
  let total = [...decoded.values()].reduce((sum, one) => sum + sizeOf(one), 0);
  for (const [oldest, one] of decoded) {
    if (total <= MOST_BYTES || oldest === key) break;
    decoded.delete(oldest);
    total -= sizeOf(one);
  }
};

const channelsOf = (buffer) => Array.from({length: buffer.numberOfChannels}, (_, c) => buffer.getChannelData(c));

const decode = async (bytes, rate) => {
  // An offline context decodes without permission to play, and at the sound's own rate.
  const context = new OfflineAudioContext(1, 1, rate);
  return context.decodeAudioData(bytes);
};

// A sound's AudioBuffer.
export const loadSound = async (sound) => {
  const key = sound.url;
  if (decoded.has(key)) {
    keep(key, decoded.get(key));
    return decoded.get(key);
  }
  if (!coming.has(key)) {
    coming.set(key, (async () => {
      const bytes = await (await ask(sound.url)).arrayBuffer();
      const buffer = await decode(bytes, sound.sample_rate || 48000);
      keep(key, buffer);
      return buffer;
    })().finally(() => coming.delete(key)));
  }
  return coming.get(key);
};

// What is seen of a sound, see analyse().
export const studySound = async (sound) => {
  if (!drawn.has(sound.url)) {
    const buffer = await loadSound(sound);
    // The picture may wait for whatever the page is doing.
    await new Promise((resolve) => setTimeout(resolve));
    drawn.set(sound.url, analyse(channelsOf(buffer), buffer.sampleRate));
  }
  return drawn.get(sound.url);
};

export const forgetSound = (sound) => {
  decoded.delete(sound.url);
  drawn.delete(sound.url);
};

// The file as it is served, with everything that it tells about itself.
export const downloadSound = async (sound) => {
  const url = URL.createObjectURL(await (await ask(sound.url)).blob());
  const link = Object.assign(document.createElement("a"), {href: url, download: sound.filename});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
};
