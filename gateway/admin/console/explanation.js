// One request's story: what was decided, by which rule of which file, and how full the counters were.

import { open } from "./dialog.js";
import { h } from "./dom.js";
import { amount, milliseconds, money, moment, number, span } from "./format.js";
import { badge, chips, facts, meter, mono, prose } from "./parts.js";

const OUTCOMES = { refused: "bad", failed: "bad", served: "good", would_be_sent: "good" };

/** Shows it at the side. */
export function openExplanation(explained) {
  open("What was decided", explanation(explained), { kind: "drawer" });
}

export function explanation(told) {
  return h(
    "div",
    { class: "explanation" },
    h(
      "p",
      { class: "verdict" },
      badge(told.outcome.replaceAll("_", " "), OUTCOMES[told.outcome] ?? "low"),
      told.status !== null && ` ${told.status}`,
      told.code && [" ", mono(told.code)],
    ),
    told.message && h("p", {}, prose(told.message)),
    told.decisions.length > 0 && [h("h3", {}, "What the rules said"), h("ol", { class: "decisions" }, told.decisions.map(decision))],
    told.counters.length > 0 && [h("h3", {}, "How full the limits were"), h("div", { class: "meters" }, told.counters.map(counter))],
    told.would_send && [h("h3", {}, "What would be sent"), sending(told.would_send)],
    h("h3", {}, "The request"),
    facts([
      ["Id", told.request_id && mono(told.request_id)],
      ["When", moment(told.at, { exact: true })],
      ["Asked", [mono(`${told.method} ${told.endpoint}`)]],
      ["Model", told.model && mono(told.model)],
      ["Upstream", told.upstream && mono(told.upstream)],
      ["Whose fault", told.owner && `the ${told.owner}'s`],
      ["Team", told.team],
      ["Key", told.key_id && [told.key_name, " ", mono(told.key_id)]],
      ["Caller", told.subject],
      ["Credential", told.credential.replaceAll("_", " ")],
      ["Policies", told.policy_version && [mono(told.policy_version), !told.policy_in_force && " (others are in force by now)"]],
      ["Replica", told.replica && mono(told.replica)],
      ["Attempts", told.attempts > 0 && number(told.attempts)],
      ["Took", told.duration_ms !== null && milliseconds(told.duration_ms)],
    ]),
  );
}

function decision({ rule, code, mode, reason, where, param, retry_after }) {
  return h(
    "li",
    {},
    h("p", {}, mono(rule || code), " ", badge(mode, mode)),
    h("p", {}, prose(reason)),
    h(
      "p",
      { class: "quiet" },
      where && ["in ", mono(where), " · "],
      !where && (!rule || rule.startsWith("auth.")) && "said by the gateway itself · ",
      mono(code),
      param && [" · ", mono(param)],
      retry_after !== null && ` · again in ${span(retry_after)}`,
    ),
  );
}

function sending({ upstream, model, stream, changed, input_tokens, output_tokens, cost, most_cost }) {
  return facts([
    ["To", [mono(upstream), " as ", mono(model)]],
    ["As", stream ? "a stream" : "one answer"],
    ["Shaping changes", changed.length > 0 && chips(changed)],
    ["Held", `${number(input_tokens)} tokens of input, ${number(output_tokens)} of output`],
    ["Cost", cost === null ? "has no price" : money(cost)],
    ["At most", most_cost !== null && money(most_cost)],
  ]);
}

function counter({ name, counts, limit, remaining, reset_seconds }) {
  return meter(h("strong", {}, name), remaining, limit, `${amount(Math.max(0, remaining), counts)} left of ${amount(limit, counts)}`, reset_seconds > 0 ? `full again in ${span(reset_seconds)}` : remaining >= limit && "full");
}
