// What was refused a moment ago, on every replica; each leads to its explanation.

import { get } from "./api.js";
import { h } from "./dom.js";
import { openExplanation } from "./explanation.js";
import { distance } from "./format.js";
import { badge, button, choice, fill, head, mono, nothing, prose, search, table } from "./parts.js";

export function refusals(host) {
  const view = { rows: [], sought: "", code: "" };
  const [body, list, codes] = [h("div"), h("div"), h("div")];
  const fits = (each) => (!view.code || each.code === view.code) && `${each.request_id} ${each.team} ${each.key_name} ${each.subject} ${each.model} ${each.message}`.toLowerCase().includes(view.sought);
  const draw = () => list.replaceChildren(refusalsTable(view.rows.filter(fits)));
  const set = (name) => (value) => {
    view[name] = value;
    draw();
  };
  const load = () =>
    fill(body, () => get("refusals", { limit: 100 }), ({ data }) => {
      view.rows = data;
      const named = [...new Set(data.map(({ code }) => code))].filter(Boolean).sort();
      codes.replaceChildren(choice("Code", [["", "All"], ...named.map((code) => [code, code])], "", set("code")));
      view.code = "";
      draw();
      return list;
    });
  host.replaceChildren(
    head("Refusals", "The latest that each replica remembers. Which rule, and how full its counter was, is a click away.", button("Look again", load)),
    h("div", { class: "choices" }, search("Search", set("sought")), codes),
    body,
  );
  load();
}

export function refusalsTable(rows) {
  if (rows.length === 0) return nothing("Nothing was refused", "Either all went well, or this gateway has just been started.");
  return table(
    "Refused requests",
    [
      { name: "When", cell: (each) => h("button", { type: "button", class: "link", "aria-label": `Explain the refusal of ${each.request_id}`, onclick: () => openExplanation(each) }, distance(each.at)) },
      { name: "Code", cell: (each) => [each.status !== null && `${each.status} `, badge(each.code ?? each.outcome, "bad")] },
      { name: "Team", cell: (each) => each.team || h("span", { class: "quiet" }, "nobody's") },
      { name: "Key", cell: (each) => each.key_name || each.subject },
      { name: "Model", cell: (each) => each.model && mono(each.model) },
      { name: "Why", kind: "wide", cell: (each) => prose(each.message) },
    ],
    rows,
  );
}
