// Why: of a request by its id, or of one that is only tried and never sent.

import { get, post } from "./api.js";
import { field, form } from "./dialog.js";
import { h } from "./dom.js";
import { explanation } from "./explanation.js";
import { card, fill, head } from "./parts.js";

const EXAMPLE = JSON.stringify({ model: "gpt-4o-mini", messages: [{ role: "user", content: "Hello" }] }, null, 2);

export function explain(host, { query }) {
  const [found, tried] = [h("div", { "aria-live": "polite" }), h("div", { "aria-live": "polite" })];
  const id = field("request_id", "Request id", { type: "search", required: true, placeholder: "req_…", value: query.get("id") ?? "", hint: "It is in the header x-request-id of every answer, and in every error." });
  const look = form({
    fields: [id],
    action: "Explain",
    send: async ({ request_id }) => fill(found, () => get(`explain/${encodeURIComponent(request_id)}`), explanation),
    done: () => {},
  });
  host.replaceChildren(
    head("Explain", "Which rule of which file decided what."),
    card("A request that was made", look, found),
    card("A request that is only tried", h("p", { class: "quiet" }, "It goes through every rule as if it were real. Nothing is sent, nothing is counted."), dryRun(tried), tried),
  );
}

function dryRun(tried) {
  const fields = [
    field("key_id", "Key id", { placeholder: "a1B2c3D4e5F6", hint: "Or a team and a user:" }),
    field("team", "Team", { placeholder: "search" }),
    field("user", "User", { placeholder: "alice" }),
    field("method", "Method", { type: "select", choices: [["POST", "POST"], ["GET", "GET"]], value: "POST" }),
    field("path", "Path", { required: true, value: "/v1/chat/completions" }),
  ];
  const body = field("body", "Body", { type: "area", rows: 8, value: EXAMPLE, read: (text) => text || null });
  const send = async (values) => {
    const asked = { ...values, body: parsed(values) };
    await fill(tried, () => post("explain", asked), explanation);
  };
  return form({ fields: [...fields, body], boxes: [h("div", { class: "pair" }, fields.map((each) => each.box)), body.box], action: "Try it", send, done: () => {} });
}

/** Throws with a sentence. */
function parsed({ method, body }) {
  if (method === "GET" || body === null) return null;
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new Error(`The body is no JSON: ${error.message}`);
  }
}
