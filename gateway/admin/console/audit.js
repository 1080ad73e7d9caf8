// Who did what, line by line; and whether the lines are whole.

import { get } from "./api.js";
import { h } from "./dom.js";
import { counted, moment, number } from "./format.js";
import { badge, button, fill, head, mono, nothing, table } from "./parts.js";

export function audit(host) {
  const view = { rows: [], next: null };
  const [body, verdict, list, more] = [h("div"), h("div", { "aria-live": "polite" }), h("div"), h("div", { class: "buttons" })];
  const page = async () => {
    const answer = await get("audit", { after: view.next });
    view.rows.push(...answer.data);
    view.next = answer.has_more ? answer.next : null;
  };
  const draw = () => {
    list.replaceChildren(lines(view.rows));
    more.replaceChildren(...(view.next ? [button("Load more", async () => { await page(); draw(); })] : []));
  };
  const verify = () => fill(verdict, () => get("audit/verify"), whole);
  host.replaceChildren(
    head("Audit", "Every administrative act, and every kind of refusal, chained by hashes.", button("Verify", verify)),
    verdict,
    body,
  );
  fill(body, page, () => {
    draw();
    return [list, more];
  });
}

function whole({ intact, lines: count, head: last, broken_at, sentence }) {
  return h(
    "div",
    { class: `note ${intact ? "good" : "bad"}` },
    h("p", {}, h("strong", {}, intact ? "The trail is whole. " : `The trail is broken at line ${number(broken_at ?? 0)}. `), sentence || `${number(count)} lines follow from each other.`),
    h("p", { class: "quiet" }, "Its head, to be kept elsewhere and compared: ", mono(last)),
  );
}

function lines(rows) {
  if (rows.length === 0) return nothing("No line yet");
  return table(
    "Audit trail",
    [
      { name: "Line", kind: "number", cell: (act) => number(act.number) },
      { name: "When", cell: (act) => moment(act.at / 1000, { exact: true }) },
      { name: "Who", cell: (act) => act.actor },
      { name: "What", cell: (act) => badge(act.action) },
      { name: "To what", cell: (act) => [mono(act.target), act.team && act.target !== `team:${act.team}` && h("span", { class: "under" }, act.team)] },
      { name: "Details", kind: "wide", cell: details },
    ],
    rows,
  );
}

function details({ details: told, hash }) {
  const text = JSON.stringify(told, null, 2);
  return h("details", {}, h("summary", {}, inShort(told)), h("pre", {}, text === "{}" ? "" : text, "\n", hash));
}

/** What is worth a glance: whose it is and why, or what was refused and how often. */
function inShort(told) {
  const glance = [told.name ?? told.after?.name, told.reason, told.code, told.rule, told.times && counted(told.times, "time")];
  return glance.filter(Boolean).join(" · ") || Object.keys(told).join(", ") || "hash";
}
