// The server: requests with the token, errors that say what to change, and events of a job.

const TOKEN_KEY = "soundwright-studio:token";
const kept = {
  get: () => { try { return sessionStorage.getItem(TOKEN_KEY) ?? ""; } catch { return ""; } },
  set: (text) => { try { sessionStorage.setItem(TOKEN_KEY, text); } catch { /* It lasts as long as the page. */ } },
};

// A token in the address is taken out of it at once, before anybody copies the address.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given !== null) history.replaceState(null, "", location.pathname + location.search);
let token = given ?? kept.get();
if (given) kept.set(given);

// What the server, or the page before it asks the server, says about a request.
export class Refusal extends Error {
  constructor({message, expected, change, field, type}, status = 0, after = null) {
    super(message);
    Object.assign(this, {expected, change, field, type, status, after});
  }
}

export class Unreachable extends Error {
  constructor() { super("The server cannot be reached."); }
}

// Set by the page: asks for a token (`refused`: there was one), announces a lost connection.
export const handlers = {token: async (refused) => "", lost: () => {}};
let asking = null;

const readToken = async () => {
  asking ??= handlers.token(token !== "").finally(() => { asking = null; });
  const text = await asking;
  if (!text) return false;
  token = text;
  kept.set(text);
  return true;
};

const understand = async (answer) => {
  const told = await answer.json().catch(() => null);
  const after = Number(answer.headers.get("Retry-After"));
  const error = told?.error ?? {message: `The server refused that (${answer.status}).`};
  return new Refusal(error, answer.status, Number.isFinite(after) && after > 0 ? after : null);
};

export const ask = async (path, {method = "GET", json, body, headers = {}, signal, keepalive} = {}) => {
  const send = {...headers};
  if (token) send.Authorization = `Bearer ${token}`;
  if (json !== undefined) send["Content-Type"] = "application/json";
  const used = token;
  let answer;
  try {
    answer = await fetch(path, {
      method, signal, keepalive, headers: send, body: json === undefined ? body : JSON.stringify(json), cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    handlers.lost();
    throw new Unreachable();
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && (used !== token || await readToken())) {
    return ask(path, {method, json, body, headers, signal, keepalive});
  }
  throw await understand(answer);
};

export const askJson = async (path, options) => (await ask(path, options)).json();

// Data of a job's events, as they come.
export async function* follow(id, signal) {
  const answer = await ask(`/v1/jobs/${encodeURIComponent(id)}/events`, {signal});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const blocks = (text + value.replaceAll("\r", "")).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      if (!lines.some((line) => /^event: ?job$/.test(line))) continue;
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
      yield JSON.parse(data);
    }
  }
}
