// What is asked of the operators' API, with the session's cookie. Refusals are thrown as the sentence they bring.

/** What the server refused, or could not be asked. */
export class Problem extends Error {
  constructor(status, sentence, field = "") {
    super(sentence);
    this.status = status;
    /** The name of what was wrong, where the server says it. */
    this.field = field;
  }
}

let onSignedOut = () => {};

/** Call this when the session has ended. */
export function whenSignedOut(act) {
  onSignedOut = act;
}

/** `get("keys", { team: "search" })`; values that are empty are not sent. */
export async function get(path, query = {}) {
  const asked = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const parameters = new URLSearchParams(asked).toString();
  return answered(await asking(`/admin/${path}${parameters && `?${parameters}`}`, {}));
}

const repeated = new Map();

/** POST that can be repeated: until an answer came, the same is sent under the same key, and so done once. */
export async function post(path, body = {}) {
  const content = JSON.stringify(body);
  const name = `${path} ${content}`;
  if (!repeated.has(name)) repeated.set(name, newKey());
  const response = await asking(`/admin/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": repeated.get(name) },
    body: content,
  });
  if (response.status < 500) repeated.delete(name);
  return answered(response);
}

/** How one can sign in here. */
export async function options() {
  return answered(await asking("/console/options", {}));
}

/** Signs in with a token. */
export async function signIn(token) {
  const headers = { "content-type": "application/json" };
  const response = await asking("/console/session", { method: "POST", headers, body: JSON.stringify({ token }) });
  if (!response.ok) throw await problemIn(response);
}

export async function signOut() {
  await asking("/console/session", { method: "DELETE" });
}

async function asking(address, request) {
  const headers = { accept: "application/json", "x-requested-with": "gateway-console", ...request.headers };
  try {
    return await fetch(address, { ...request, headers, credentials: "same-origin", redirect: "error" });
  } catch {
    throw new Problem(0, "The gateway cannot be reached. Check the connection, and try again.");
  }
}

async function answered(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await problemIn(response);
  if (problem.status === 401) onSignedOut();
  throw problem;
}

async function problemIn(response) {
  const told = await response.json().catch(() => ({}));
  const sentence = typeof told.detail === "string" && told.detail ? told.detail : `The gateway answered with ${response.status}.`;
  return new Problem(response.status, sentence, String(told.field ?? told.param ?? ""));
}

/** 128 random bits: `crypto.randomUUID` is not there where the console is opened without https. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
