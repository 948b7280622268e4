// How loud a sound is heard to be: ITU-R BS.1770, in LUFS, of a decoded sound.

const BLOCK_S = 0.4, STEP_S = 0.1, ABSOLUTE_LUFS = -70, RELATIVE_LU = -10;

// A second-order section: the shelf of the head, or the high-pass of the ear, at any rate.
const shelf = (rate) => {
  const K = Math.tan(Math.PI * 1681.974450955533 / rate), Q = 0.7071752369554196;
  const high = 10 ** (3.999843853973347 / 20), band = high ** 0.4996667741545416, a0 = 1 + K / Q + K * K;
  return [(high + band * K / Q + K * K) / a0, 2 * (K * K - high) / a0, (high - band * K / Q + K * K) / a0,
    2 * (K * K - 1) / a0, (1 - K / Q + K * K) / a0];
};
const pass = (rate) => {
  const K = Math.tan(Math.PI * 38.13547087602444 / rate), Q = 0.5003270373238773, a0 = 1 + K / Q + K * K;
  return [1, -2, 1, 2 * (K * K - 1) / a0, (1 - K / Q + K * K) / a0];
};

const filter = (samples, [b0, b1, b2, a1, a2]) => {
  let s1 = 0, s2 = 0;
  return samples.map((x) => {
    const y = b0 * x + s1;
    s1 = b1 * x - a1 * y + s2;
    s2 = b2 * x - a2 * y;
    return y;
  });
};

const lufs = (power) => -0.691 + 10 * Math.log10(power + 1e-12);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

export const measureLoudness = (buffer) => {
  const rate = buffer.sampleRate, length = buffer.length, step = Math.round(STEP_S * rate);
  const powers = new Float64Array(Math.ceil(length / step));
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const heard = filter(filter(buffer.getChannelData(channel), shelf(rate)), pass(rate));
    for (let n = 0; n < length; n++) powers[Math.floor(n / step)] += heard[n] ** 2 / step;
  }
  const wide = Math.round(BLOCK_S / STEP_S), blocks = [];
  for (let first = 0; first + wide <= powers.length; first++) blocks.push(mean(powers.slice(first, first + wide)));
  if (!blocks.length) blocks.push(mean(powers));
  const loud = blocks.filter((power) => lufs(power) > ABSOLUTE_LUFS);
  if (!loud.length) return null;
  const gate = lufs(mean(loud)) + RELATIVE_LU;
  return lufs(mean(loud.filter((power) => lufs(power) > gate)));
};

// Gains that make sounds equally loud; none is made louder, so that none clips.
export const levelGains = (buffers) => {
  const loudness = buffers.map(measureLoudness), known = loudness.filter((value) => value !== null);
  const quietest = Math.min(...known);
  return loudness.map((value) => value === null ? 1 : 10 ** ((quietest - value) / 20));
};
