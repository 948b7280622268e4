// What is seen of a sound: its outline, its spectrogram, and the same in words.

export const COLUMNS = 720, ROWS = 112;
const RANGE_DB = 72, QUIETEST_PEAK_DB = -50, LOWEST_HZ = 40, MOST_TRANSFORMS = 2200, BEND = 1.8;

// In place, radix 2, of one window; `size` is a power of two.
const makeTransform = (size) => {
  const cosines = Float32Array.from({length: size / 2}, (_, k) => Math.cos(2 * Math.PI * k / size));
  const sines = Float32Array.from({length: size / 2}, (_, k) => -Math.sin(2 * Math.PI * k / size));
  const bits = Math.log2(size), reversed = new Uint32Array(size);
  for (let n = 0; n < size; n++) reversed[n] = (reversed[n >> 1] >> 1) | ((n & 1) << (bits - 1));
  return (real, imaginary) => {
    for (let n = 0; n < size; n++) {
      const other = reversed[n];
      if (other > n) [real[n], real[other]] = [real[other], real[n]];
    }
    imaginary.fill(0);
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let first = 0; first < size; first += 2 * half) {
        for (let k = 0; k < half; k++) {
          const one = first + k, two = one + half, c = cosines[k * stride], s = sines[k * stride];
          const re = real[two] * c - imaginary[two] * s, im = real[two] * s + imaginary[two] * c;
          real[two] = real[one] - re;
          imaginary[two] = imaginary[one] - im;
          real[one] += re;
          imaginary[one] += im;
        }
      }
    }
  };
};

const mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
const hertz = (mels) => 700 * (10 ** (mels / 2595) - 1);

// Where a frequency stands, from 0 (bottom) to 1 (top).
export const placeOf = (frequency, top) => (mel(frequency) - mel(LOWEST_HZ)) / (mel(top) - mel(LOWEST_HZ));

const mixDown = (channels) => {
  if (channels.length === 1) return channels[0];
  return Float32Array.from(channels[0], (_, n) => channels.reduce((sum, one) => sum + one[n], 0) / channels.length);
};

// Lowest and highest sample of each column, of all channels.
const outline = (channels) => {
  const peaks = new Float32Array(2 * COLUMNS), length = channels[0].length;
  for (let column = 0; column < COLUMNS; column++) {
    const first = Math.floor(column * length / COLUMNS);
    const last = Math.max(first + 1, Math.floor((column + 1) * length / COLUMNS));
    let low = 1, high = -1;
    for (const samples of channels) {
      for (let n = first; n < last && n < length; n++) {
        if (samples[n] < low) low = samples[n];
        if (samples[n] > high) high = samples[n];
      }
    }
    peaks[2 * column] = Math.min(low, high);
    peaks[2 * column + 1] = Math.max(low, high);
  }
  return peaks;
};

// Which bins make a row, and for rows narrower than a bin, where between two bins.
const bandsOf = (rate, size) => {
  const low = mel(LOWEST_HZ), high = mel(rate / 2);
  return Array.from({length: ROWS}, (_, row) => {
    const from = hertz(low + (high - low) * row / ROWS) * size / rate;
    const to = hertz(low + (high - low) * (row + 1) / ROWS) * size / rate;
    return {from, to, middle: (from + to) / 2};
  });
};

const readBand = (power, {from, to, middle}) => {
  if (to - from < 1.5) {
    const bin = Math.floor(middle), share = middle - bin;
    return power[bin] * (1 - share) + power[Math.min(bin + 1, power.length - 1)] * share;
  }
  let most = 0;
  for (let bin = Math.ceil(from); bin <= to && bin < power.length; bin++) most = Math.max(most, power[bin]);
  return most;
};

const spectrogram = (samples, rate) => {
  const size = rate > 30000 ? 2048 : rate > 12000 ? 1024 : 512, transform = makeTransform(size);
  const window = Float32Array.from({length: size}, (_, n) => 0.5 - 0.5 * Math.cos(2 * Math.PI * (n + 0.5) / size));
  const real = new Float32Array(size), imaginary = new Float32Array(size), power = new Float32Array(size / 2 + 1);
  const bands = bandsOf(rate, size), values = new Float32Array(COLUMNS * ROWS);
  const step = samples.length / COLUMNS;
  const each = Math.max(1, Math.min(Math.round(2 * step / size), Math.floor(MOST_TRANSFORMS / COLUMNS)));
  for (let column = 0; column < COLUMNS; column++) {
    power.fill(0);
    for (let turn = 0; turn < each; turn++) {
      const first = Math.round((column + (turn + 0.5) / each) * step - size / 2);
      for (let n = 0; n < size; n++) real[n] = (samples[first + n] ?? 0) * window[n];
      transform(real, imaginary);
      for (let bin = 0; bin <= size / 2; bin++) {
        power[bin] = Math.max(power[bin], real[bin] ** 2 + imaginary[bin] ** 2);
      }
    }
    for (let row = 0; row < ROWS; row++) values[column * ROWS + row] = readBand(power, bands[row]);
  }
  const full = (size / 4) ** 2;
  return values.map((value) => 10 * Math.log10(value / full + 1e-12));
};

const describe = (peaks, decibels, seconds, rate) => {
  let peak = 0, loudest = 0;
  for (let place = 0; place < peaks.length; place++) {
    if (Math.abs(peaks[place]) > peak) [peak, loudest] = [Math.abs(peaks[place]), place >> 1];
  }
  if (peak < 1e-4) return `${seconds.toFixed(1)} seconds of silence`;
  const energy = new Float64Array(ROWS);
  for (let place = 0; place < decibels.length; place++) energy[place % ROWS] += 10 ** (decibels[place] / 10);
  const row = energy.indexOf(Math.max(...energy)), low = mel(LOWEST_HZ);
  const at = hertz(low + (mel(rate / 2) - low) * (row + 0.5) / ROWS);
  const pitch = at < 1000 ? `${Math.round(at / 10) * 10} hertz` : `${(at / 1000).toFixed(1)} kilohertz`;
  return `${seconds.toFixed(1)} seconds, loudest at ${(loudest * seconds / COLUMNS).toFixed(1)} seconds `
    + `with a peak of ${(20 * Math.log10(peak)).toFixed(0)} decibels, most energy near ${pitch}`;
};

// Outline, spectrogram (0 to 255, column by column from the lowest row) and words of a decoded sound.
export const analyse = (channels, rate) => {
  const peaks = outline(channels), seconds = channels[0].length / rate;
  const decibels = spectrogram(mixDown(channels), rate);
  const top = decibels.reduce((most, value) => Math.max(most, value), QUIETEST_PEAK_DB);
  const levels = Uint8Array.from(decibels, (value) => 255 * Math.min(1, Math.max(0, 1 + (value - top) / RANGE_DB)) ** BEND);
  return {peaks, levels, seconds, top: rate / 2, words: describe(peaks, decibels, seconds, rate)};
};
