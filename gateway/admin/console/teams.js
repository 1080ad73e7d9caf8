// Teams: what the policy files say of each, and what is left of its limits and budgets.

import { get } from "./api.js";
import { h } from "./dom.js";
import { amount, distance, money, number, span } from "./format.js";
import { badge, button, card, chips, facts, fill, head, meter, mono, nothing, search, table } from "./parts.js";

export function teams(host, { rest }) {
  if (rest[0]) return team(host, rest[0]);
  const list = h("div");
  let every = [];
  let sought = "";
  const draw = () => list.replaceChildren(teamsTable(every.filter((each) => `${each.team} ${each.description} ${each.cost_centre}`.toLowerCase().includes(sought))));
  const find = (text) => {
    sought = text;
    draw();
  };
  const body = h("div");
  host.replaceChildren(head("Teams", "As the policy files in force say it."), h("div", { class: "choices" }, search("Search", find)), body);
  fill(body, () => get("teams"), ({ data }) => {
    every = data;
    draw();
    return list;
  });
}

function teamsTable(every) {
  if (every.length === 0) return nothing("No team", "Teams are files in the directory of policies, `teams/search.yaml`.");
  return table(
    "Teams",
    [
      { name: "Team", cell: ({ team }) => h("a", { href: `#/teams/${encodeURIComponent(team)}` }, team) },
      { name: "What it does", cell: ({ description }) => description },
      { name: "Cost centre", cell: ({ cost_centre }) => cost_centre },
      { name: "Models", kind: "number", cell: ({ models }) => String(models.length) },
      { name: "Limits", kind: "number", cell: ({ limits }) => String(limits.length) },
      { name: "Budgets", kind: "number", cell: ({ budgets }) => String(budgets.length) },
    ],
    every,
  );
}

function team(host, name) {
  const [left, policy] = [h("div"), h("div")];
  const load = () => fill(left, () => get("limits", { team: name }), whatIsLeft);
  host.replaceChildren(
    head(
      name,
      h("a", { href: "#/teams" }, "All teams"),
      h("a", { class: "button", href: `#/keys?team=${encodeURIComponent(name)}` }, "Keys"),
      h("a", { class: "button", href: `#/usage?team=${encodeURIComponent(name)}&by=model` }, "Usage"),
    ),
    card("What is left", left, h("p", {}, button("Look again", load))),
    card("Policy", policy),
  );
  load();
  fill(policy, () => get(`teams/${encodeURIComponent(name)}`), policyOf);
}

function whatIsLeft({ budgets, rates, concurrency, not_shown }) {
  if (budgets.length + rates.length + concurrency.length === 0) return nothing("Nothing limits this team");
  return [
    group("Budgets", budgets.map(budget)),
    group("Rates", rates.map(rate)),
    group("At once", concurrency.map(slots)),
    not_shown > 0 && h("p", { class: "quiet" }, `${not_shown} more are not shown: those of which least is used.`),
  ];
}

const group = (name, meters) => meters.length > 0 && h("div", { class: "meters" }, h("h3", {}, name), meters);

/** The limit's name, whom it counts, whose policy says so, and its mode when it does not bind. */
function whose({ limit, whose: counted, key_name, keys, mode, unused, per }) {
  const apart = per.filter((scope) => scope !== "team" && scope !== "organization");
  const names = apart.map((scope) => (scope === "key" ? key_name ?? counted.key : counted[scope])).filter(Boolean);
  const told = [
    unused && apart.length > 0 ? `each ${apart.join(" and ")}, unused` : names.join(", "),
    keys.length > 0 && `keys called ${keys.join(", ")}`,
  ].filter(Boolean);
  return [h("strong", {}, limit), told.length > 0 && h("span", { class: "quiet" }, ` ${told.join(" · ")}`), mode !== "enforce" && [" ", badge(mode, mode)]];
}

function leftOf({ left, unit }, whole) {
  const now = Math.max(0, left);
  return `${unit === "microdollars" ? money(now) : number(now)} of ${amount(whole, unit)} left`;
}

function budget(each) {
  const notes = [
    `${amount(each.spent, each.unit)} spent`,
    each.held > 0 && ` · ${amount(each.held, each.unit)} held by requests under way`,
    each.set_aside > 0 && ` · ${amount(each.set_aside, each.unit)} set aside`,
    " · begins anew ",
    distance(Date.parse(each.ends_at) / 1000),
    each.strict && " · strict",
  ];
  return meter(whose(each), each.left, each.amount, leftOf(each, each.amount), notes);
}

function rate(each) {
  const full = each.full_in_seconds > 0 ? `full again in ${span(each.full_in_seconds)}` : "full";
  return meter(whose(each), each.left, each.burst, leftOf(each, each.burst), `${amount(each.amount, each.unit)} come back every ${span(each.window_seconds)} · ${full}`);
}

function slots(each) {
  return meter(whose(each), each.amount - each.taken, each.amount, `${number(each.amount - each.taken)} of ${number(each.amount)} free`);
}

function policyOf(found) {
  return [
    facts([
      ["What it does", found.description],
      ["Cost centre", found.cost_centre],
      ["Endpoints", chips(found.endpoints)],
      ["Models", chips(found.models)],
      ["Filters", found.filters.length > 0 && chips(found.filters)],
      ["Shaping", found.shaping.length > 0 && chips([...new Set(found.shaping)])],
      ["Keys with policies of their own", found.keys_with_policies.length > 0 && chips(found.keys_with_policies)],
    ]),
    rules("Limits", found.limits, ({ counts, seconds }) => (counts === "concurrent" ? "" : span(seconds))),
    rules("Budgets", found.budgets, ({ period, zone }) => `${period}, ${zone}`),
  ];
}

function rules(caption, list, every) {
  if (list.length === 0) return null;
  return [
    h("h3", {}, caption),
    table(
      caption,
      [
        { name: "Name", cell: ({ name }) => mono(name) },
        { name: "Amount", cell: (rule) => amount(rule.amount, rule.counts) },
        { name: "Every", cell: every },
        { name: "Counted for each", cell: ({ per }) => per.join(" and ") },
        { name: "Models", cell: ({ models }) => models.join(", ") },
        { name: "Mode", cell: ({ mode }) => badge(mode, mode) },
      ],
      list,
    ),
  ];
}
