// How things are: what was spent, on what, and what was refused a moment ago.

import { get } from "./api.js";
import { chart, daysBetween } from "./chart.js";
import { h } from "./dom.js";
import { day, money, month, number } from "./format.js";
import { card, figure, fill, head, mono, nothing, table } from "./parts.js";
import { refusalsTable } from "./refusals.js";
import { MEASURES, seriesOf, sum } from "./usage_rows.js";

export function overview(host, { visitor }) {
  const [figures, days, models, refused] = Array.from({ length: 4 }, () => h("div"));
  host.replaceChildren(
    head("Overview", "The last thirty days, by the calendar of UTC."),
    figures,
    card("Spend by day", days),
    card("By model", models),
    card("Refused a moment ago", refused, h("p", {}, h("a", { href: "#/refusals" }, "All recent refusals"))),
  );
  const now = new Date();
  fill(figures, () => Promise.all([get("usage", { by: "month", since: month(now, -1) }), visitor.seesAllTeams ? get("policy") : {}]), ([usage, policy]) =>
    summary(usage.rows, month(now), month(now, -1), policy),
  );
  fill(days, () => get("usage", { by: "day,model", days: 30 }), (usage) => [byDay(usage)]);
  fill(models, () => get("usage", { by: "model", days: 30 }), ({ rows }) => byModel(rows));
  fill(refused, () => get("refusals", { limit: 5 }), ({ data }) => refusalsTable(data));
}

function summary(rows, present, past, policy) {
  const [now, before] = [present, past].map((name) => rows.filter((row) => row.month === name));
  const cost = (some) => sum(some, MEASURES.cost.of);
  const unpriced = sum(now, (row) => row.unpriced);
  const version = h("dl", { class: "facts inline" }, [
    ["Policies", policy.version],
    ["Prices", policy.price_version],
  ].map(([name, value]) => value && h("div", {}, h("dt", {}, name), h("dd", {}, mono(value)))));
  return [
    h(
      "dl",
      { class: "figures" },
      figure("Spent this month", money(cost(now)), unpriced > 0 ? `${number(unpriced)} attempts have no price` : `${money(cost(before))} last month`),
      figure("Requests this month", number(sum(now, MEASURES.requests.of)), `${number(sum(before, MEASURES.requests.of))} last month`),
      figure("Tokens this month", number(sum(now, MEASURES.tokens.of)), `${number(sum(before, MEASURES.tokens.of))} last month`),
    ),
    version,
  ];
}

function byDay({ rows, since, until }) {
  if (rows.length === 0) return nothing("Nothing was asked yet", "As soon as somebody uses a key, it is drawn here.");
  const days = daysBetween(since, until ?? Date.now());
  const { format, mark } = MEASURES.cost;
  return chart({ label: `Spend by day and model, ${day(days[0])} to ${day(days.at(-1))}`, days, series: seriesOf(rows, days, "model", MEASURES.cost), format, mark });
}

function byModel(rows) {
  if (rows.length === 0) return nothing("No model was used yet");
  const sorted = [...rows].sort((one, other) => other.cost_microdollars - one.cost_microdollars);
  return table(
    "Usage by model, the last thirty days",
    [
      { name: "Model", cell: (row) => mono(row.model || "unknown") },
      { name: "Requests", kind: "number", cell: (row) => number(row.requests) },
      { name: "Input tokens", kind: "number", cell: (row) => number(row.input_tokens) },
      { name: "Output tokens", kind: "number", cell: (row) => number(row.output_tokens) },
      { name: "Cost", kind: "number", cell: (row) => money(row.cost_microdollars) },
    ],
    sorted,
  );
}
