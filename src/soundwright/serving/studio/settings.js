// What each setting is called and how it is written. Which of them a model has, and between what
// bounds, the server says.

export const SETTINGS = {
  duration: {label: "Length", step: 0.1, unit: "s", front: true},
  num_samples: {label: "Variations", step: 1, front: true, counted: true},
  cfg_scale: {label: "Guidance", usual: 12, step: 0.1, hint: "How closely to follow the words"},
  temperature: {label: "Temperature", usual: 2, step: 0.05, hint: "Below 1 safer, above 1 bolder"},
  top_k: {label: "Top-k", usual: 2048, step: 1, hint: "Draw among so many tokens"},
  top_p: {label: "Top-p", step: 0.01, hint: "Draw among so much probability; replaces top-k"},
  steps: {label: "Steps", usual: 200, step: 1, hint: "More are finer and slower"},
  sampler: {label: "Sampler"},
  cfg_rescale: {label: "Rescale", step: 0.05, hint: "Tames what strong guidance makes too loud"},
  best_of: {label: "Best of", step: 1, counted: true, hint: "Keeps what fits the words best"},
};

// Settings of every model.
export const COMMON = {
  format: {label: "Format", choices: ["wav", "flac", "mp3", "ogg"], fallback: "wav"},
  negative: {label: "Without", text: true, hint: "What shall not be heard", placeholder: "music, speech"},
  loop: {label: "Loop", toggle: true, hint: "The end flows into the beginning"},
};

const OTHERS = {seed: "Seed", model: "Model", prompt: "Prompt"};

export const nameOf = (name) => (SETTINGS[name] ?? COMMON[name])?.label ?? OTHERS[name] ?? name;

export const trim = (value, step = 0.01) => {
  const places = step >= 1 ? 0 : Math.min(6, Math.ceil(-Math.log10(step) - 1e-9));
  return String(Number(Number(value).toFixed(places)));
};

// Where a slider stops: as fine as the step at first, coarser as values grow, by 1, 2, 5, 10, ...
export const stopsBetween = (minimum, maximum, step, fixed = []) => {
  const stops = new Set([minimum, maximum, ...fixed.filter((value) => value >= minimum && value <= maximum)]);
  for (let value = minimum; value < maximum;) {
    const tenth = Math.abs(value) / 10, power = 10 ** Math.floor(Math.log10(Math.max(tenth, 1e-9)));
    const coarse = tenth >= 5 * power ? 5 * power : tenth >= 2 * power ? 2 * power : power;
    const stride = Math.max(step, coarse);
    value = Number(((Math.floor(value / stride + 1e-6) + 1) * stride).toFixed(6));
    if (value < maximum) stops.add(value);
  }
  return [...stops].sort((one, other) => one - other);
};

// What a request asked for besides the words, in words: "5 s · guidance 4.5 · without music".
export const summarise = (request) => {
  const told = [];
  for (const [name, value] of Object.entries(request)) {
    if (name === "negative" && value) told.push(`without ${value}`);
    else if (name === "loop" && value) told.push("loop");
    else if (name === "continue_from" && value) told.push("continued");
    else if (name === "format" && value && value !== "wav") told.push(value);
    else if (name in SETTINGS && !SETTINGS[name].front && value !== null && !(name === "best_of" && value === 1)) {
      told.push(`${nameOf(name).toLowerCase()} ${typeof value === "number" ? trim(value) : value}`);
    }
  }
  return told;
};
