// Rows of the ledger, as charts and tables want them.

import { money, number, short, shortMoney } from "./format.js";

/** What can be looked at: how much of it a row holds, and how that is written. */
export const MEASURES = {
  cost: { name: "Cost", of: (row) => row.cost_microdollars, format: money, mark: shortMoney },
  requests: { name: "Requests", of: (row) => row.requests, format: number, mark: short },
  tokens: { name: "Tokens", of: (row) => row.input_tokens + row.output_tokens, format: number, mark: short },
};

/** One series for each name in the column `by`, largest first: a value for each day. */
export function seriesOf(rows, days, by, measure) {
  const at = new Map(days.map((day, index) => [day, index]));
  const series = new Map();
  for (const row of rows) {
    const name = by ? row[by] || "unknown" : "all";
    if (!series.has(name)) series.set(name, { name, values: days.map(() => 0), total: 0 });
    const index = at.get(row.day);
    if (index === undefined) continue;
    series.get(name).values[index] += measure.of(row);
    series.get(name).total += measure.of(row);
  }
  return [...series.values()].sort((one, other) => other.total - one.total);
}

export const sum = (rows, of) => rows.reduce((total, row) => total + of(row), 0);

/** What spreadsheets open. A cell that they would reckon with is marked as text. */
export function csv(rows) {
  const names = Object.keys(rows[0] ?? {});
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
  return lines.map((cells) => cells.map(spelled).join(",")).join("\r\n");
}

function spelled(value) {
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
