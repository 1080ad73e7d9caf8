// What was used: a range, a grouping, a chart and a table that can be taken along.

import { get } from "./api.js";
import { chart, daysBetween } from "./chart.js";
import { field, form } from "./dialog.js";
import { h } from "./dom.js";
import { day, money, month, number } from "./format.js";
import { button, choice, fill, head, mono, nothing, table } from "./parts.js";
import { csv, MEASURES, seriesOf, sum } from "./usage_rows.js";

const RANGES = {
  "7": ["Last 7 days", () => ({ days: 7 })],
  "30": ["Last 30 days", () => ({ days: 30 })],
  "90": ["Last 90 days", () => ({ days: 90 })],
  month: ["This month", () => ({ since: month(new Date()) })],
  past: ["Last month", () => ({ since: month(new Date(), -1), until: month(new Date()) })],
};
const GROUPS = [["team", "Team"], ["model", "Model"], ["key", "Key"], ["user", "User"]];
/** Those of which there are few enough to be drawn apart. */
const DRAWN_APART = ["team", "model"];

export function usage(host, { query }) {
  const state = { range: "30", by: query.get("by") ?? "team", measure: "cost", team: query.get("team") ?? "", rows: [] };
  const body = h("div");
  const own = h("div", { hidden: true });
  const load = () => fill(body, () => asked(state), (answers) => shown(state, answers));
  const set = (name) => (value) => {
    state[name] = value;
    own.hidden = state.range !== "own";
    if (state.range !== "own" || name !== "range") load();
  };
  const teams = h("div", { class: "choice" });
  const ranges = [...Object.entries(RANGES).map(([value, [text]]) => [value, text]), ["own", "Other days …"]];
  own.replaceChildren(ownRange((since, until) => {
    state.own = { since, until };
    load();
  }));
  host.replaceChildren(
    head("Usage", "Sums of the ledger. Days are those of UTC.", button("Download CSV", () => download(state))),
    h(
      "div",
      { class: "choices" },
      choice("Range", ranges, state.range, set("range")),
      choice("By", GROUPS, state.by, set("by")),
      choice("Show", Object.entries(MEASURES).map(([value, { name }]) => [value, name]), state.measure, set("measure")),
      teams,
    ),
    own,
    body,
  );
  load();
  get("teams").then(({ data }) => {
    const names = [["", "All"], ...data.map(({ team }) => [team, team])];
    teams.replaceWith(choice("Of team", names, state.team, set("team")));
  }, () => teams.remove());
}

function ownRange(act) {
  const [since, until] = [field("since", "From", { type: "date", required: true }), field("until", "Up to, and with", { type: "date", required: true })];
  const send = async (values) => {
    if (values.since > values.until) throw new Error("The last day is before the first.");
    const after = new Date(new Date(`${values.until}T00:00:00Z`).getTime() + 86_400_000);
    act(values.since, after.toISOString().slice(0, 10));
  };
  return form({ fields: [since, until], boxes: h("div", { class: "choices" }, since.box, until.box), action: "Show", send, done: () => {} });
}

async function asked({ range, own, by, team }) {
  const when = range === "own" ? own : RANGES[range][1]();
  const apart = DRAWN_APART.includes(by);
  const [groups, days, keys] = await Promise.all([
    get("usage", { by, team, ...when }),
    get("usage", { by: apart ? `day,${by}` : "day", team, ...when }),
    by === "key" ? get("keys", { team }).catch(() => ({ data: [] })) : { data: [] },
  ]);
  return { groups, days, apart, names: new Map(keys.data.map((key) => [key.id, `${key.team}/${key.name}`])) };
}

function shown(state, { groups, days, apart, names }) {
  state.rows = groups.rows;
  if (groups.rows.length === 0) return nothing("Nothing was used", "Choose another range, or another team.");
  const measure = MEASURES[state.measure];
  const every = daysBetween(days.since, days.until ?? Date.now());
  const series = seriesOf(days.rows, every, apart ? state.by : null, measure);
  const label = `${measure.name} by day, ${day(every[0])} to ${day(every.at(-1))}`;
  return [
    h("section", { class: "card", "aria-label": label }, chart({ label, days: every, series, format: measure.format, mark: measure.mark })),
    usageTable(groups.rows, state.by, measure, names),
  ];
}

function usageTable(rows, by, measure, names) {
  const sorted = [...rows].sort((one, other) => measure.of(other) - measure.of(one));
  const total = { ...Object.fromEntries(Object.keys(rows[0]).map((name) => [name, sum(rows, (row) => row[name])])), [by]: null };
  const named = (row) => (row[by] === null ? "Total" : [mono(row[by] || "unknown"), names.has(row[by]) && h("span", { class: "quiet" }, ` ${names.get(row[by])}`)]);
  const counted = (name, column) => ({ name, kind: "number", cell: (row) => number(row[column]) });
  const columns = [
    { name: GROUPS.find(([value]) => value === by)?.[1] ?? by, cell: named },
    counted("Requests", "requests"),
    counted("Input tokens", "input_tokens"),
    counted("of them cached", "cached_tokens"),
    counted("Output tokens", "output_tokens"),
    counted("Unpriced", "unpriced"),
    { name: "Cost", kind: "number", cell: (row) => money(row.cost_microdollars) },
  ];
  return table(`Usage by ${by}`, columns, rows.length > 1 ? [...sorted, total] : sorted);
}

async function download({ rows, by, range }) {
  const address = URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" }));
  h("a", { href: address, download: `usage-by-${by}-${range}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
