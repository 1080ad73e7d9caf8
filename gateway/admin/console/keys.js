// Keys: what there is, and everything that becomes of one. A secret is shown once, and kept nowhere.

import { get, post } from "./api.js";
import { ask, open, showOnce } from "./dialog.js";
import { h, tell } from "./dom.js";
import { amount, counted, distance, money, moment, number } from "./format.js";
import { madeFields, revokingFields, rotationFields } from "./key_forms.js";
import { badge, button, chips, choice, facts, fill, head, mono, nothing, search, table } from "./parts.js";

const STATES = [["", "All but revoked"], ["live", "Live"], ["expired", "Expired"], ["disabled", "Disabled"], ["revoked", "Revoked"]];
const AT_ONCE = 200;

export function keys(host, { visitor, query }) {
  const view = { team: query.get("team") ?? "", state: "", sought: "", rows: [], next: null };
  const [body, list, more] = [h("div"), h("div"), h("div", { class: "buttons" })];

  const fits = (key) =>
    (view.state || key.state !== "revoked") &&
    `${key.id} ${key.name} ${key.owner} ${key.team}`.toLowerCase().includes(view.sought);
  const draw = () => {
    list.replaceChildren(keysTable(view.rows.filter(fits), show, visitor.manages && create));
    more.replaceChildren(...(view.next ? [button("Load more", async () => { await page(); draw(); })] : []));
  };
  const page = async () => {
    const answer = await get("keys", { team: view.team, state: view.state, after: view.next, limit: AT_ONCE });
    view.rows.push(...answer.data);
    view.next = answer.has_more ? answer.next : null;
  };
  const load = () => {
    Object.assign(view, { rows: [], next: null });
    return fill(body, page, () => {
      draw();
      return [list, more];
    });
  };
  const set = (name, act) => (value) => {
    view[name] = value;
    act();
  };
  const changed = async (sentence) => {
    tell(sentence);
    await load();
  };
  const show = (key) => drawer(key, visitor.manages, changed);
  const create = async () => {
    const { data } = await get("teams");
    const made = await ask({
      title: "Create a key",
      sentence: "It reaches no further than its team's policy, whatever is said here.",
      ...madeFields(data.map(({ team }) => team), view.team),
      action: "Create key",
      send: (values) => post("keys", values),
    });
    if (made === null) return;
    await changed(`The key ${made.key.name} is made.`);
    secret("The key is made", made);
  };

  const teams = h("div");
  host.replaceChildren(
    head("Keys", "Credentials that teams hand to their apps.", visitor.manages && button("Create key", create, "main")),
    h("div", { class: "choices" }, search("Search", set("sought", draw)), choice("State", STATES, "", set("state", load)), teams),
    body,
  );
  load();
  get("teams").then(({ data }) => {
    teams.replaceWith(choice("Team", [["", "All"], ...data.map(({ team }) => [team, team])], view.team, set("team", load)));
  }, () => teams.remove());
}

function secret(title, { key, secret: text }) {
  if (text === null) {
    return open(title, h("p", {}, "The request had been sent before, and its key was shown then. If nobody kept it, rotate it."));
  }
  return showOnce(title, `This is the key ${key.name} of the team ${key.team}. It is shown this once: only a hash of it is kept.`, text);
}

function keysTable(rows, show, create) {
  if (rows.length === 0) {
    return nothing("No key here", "There is none, or none that fits what you chose above.", create && button("Create the first one", create));
  }
  return table(
    "Keys",
    [
      { name: "Key", cell: (key) => [h("button", { type: "button", class: "link", onclick: () => show(key) }, key.name), h("span", { class: "under" }, mono(key.id))] },
      { name: "Team", cell: (key) => h("a", { href: `#/teams/${encodeURIComponent(key.team)}` }, key.team) },
      { name: "State", cell: state },
      { name: "Owner", cell: (key) => key.owner || h("span", { class: "quiet" }, "the team") },
      { name: "Reach", cell: reach },
      { name: "Expires", cell: (key) => (key.expires_at === null ? h("span", { class: "quiet" }, "never") : distance(key.expires_at)) },
      { name: "Last used", cell: lastUsed },
    ],
    rows,
  );
}

const KINDS = { live: "good", expired: "low", disabled: "low", revoked: "bad" };

function state(key) {
  const overlap = key.overlap_until !== null && key.overlap_until > Date.now() / 1000;
  return [badge(key.state, KINDS[key.state]), overlap && [" ", badge("rotating")]];
}

function lastUsed(key) {
  if (key.last_used_at === null) return h("span", { class: "quiet" }, "never");
  return [distance(key.last_used_at), key.last_used_from && h("span", { class: "under quiet" }, key.last_used_from)];
}

/** Whatever narrows the key, in a few words. */
function reach({ grant, addresses }) {
  const own = ["requests_per_minute", "tokens_per_minute", "concurrent", "dollars_per_month"].some((name) => grant[name] !== null);
  const words = [
    grant.read_only && "read only",
    !grant.endpoints.includes("*") && counted(grant.endpoints.length, "endpoint"),
    !grant.models.includes("*") && counted(grant.models.length, "model"),
    addresses.length > 0 && "by address",
    own && "own limits",
  ].filter(Boolean);
  return words.length > 0 ? words.join(", ") : h("span", { class: "quiet" }, "as its team");
}

function drawer(key, manages, changed) {
  const { grant } = key;
  const about = facts([
    ["State", state(key)],
    ["Id", mono(key.id)],
    ["Team", key.team],
    ["Owner", key.owner],
    ["Created", [moment(key.created_at), key.created_by && ` by ${key.created_by}`]],
    ["This secret since", key.issued_at !== key.created_at && moment(key.issued_at)],
    ["The one before is good until", key.overlap_until && moment(key.overlap_until)],
    ["Expires", key.expires_at ? moment(key.expires_at) : "never"],
    ["Disabled", key.disabled_at && moment(key.disabled_at)],
    ["Revoked", key.revoked_at && moment(key.revoked_at)],
    ["Last used", lastUsed(key)],
    ["Endpoints", chips(grant.endpoints)],
    ["Models", chips(grant.models)],
    ["May", grant.read_only && "only look: nothing but GET"],
    ["From", key.addresses.length > 0 && chips(key.addresses)],
    ["Requests a minute", grant.requests_per_minute && number(grant.requests_per_minute)],
    ["Tokens a minute", grant.tokens_per_minute && number(grant.tokens_per_minute)],
    ["At once", grant.concurrent && amount(grant.concurrent, "concurrent")],
    ["A month", grant.dollars_per_month && money(grant.dollars_per_month)],
    ["Imported", key.imported && "by its hash, from another gateway"],
  ]);
  const done = async (sentence) => {
    dialog.close();
    await changed(sentence);
  };
  const dialog = open(key.name, [about, manages && key.state !== "revoked" && acts(key, done)], { kind: "drawer" });
}

function acts(key, done) {
  const rotate = async () => {
    const made = await ask({
      title: `Rotate ${key.name}`,
      sentence: "A new secret is made. The present one stays good for a while, so that nothing breaks meanwhile.",
      ...rotationFields(),
      action: "Rotate",
      send: (values) => post(`keys/${key.id}/rotate`, values),
    });
    if (made === null) return;
    await done(`The key ${key.name} has a new secret.`);
    secret("The new secret", made);
  };
  const switched = (action, word) => async () => {
    const answer = await ask({
      title: `${word} ${key.name}`,
      sentence: action === "disable" ? "Whoever uses it is refused until it is enabled again." : "Whoever has its secret can use it again.",
      fields: [],
      action: word,
      send: () => post(`keys/${key.id}/${action}`).then(() => true),
    });
    if (answer) await done(`The key ${key.name} is ${action}d.`);
  };
  const revoke = async () => {
    const answer = await ask({
      title: `Revoke ${key.name}?`,
      sentence: "It is refused everywhere within a second, and for good: nothing brings it back.",
      fields: revokingFields(),
      action: "Revoke for good",
      kind: "danger",
      send: (values) => post(`keys/${key.id}/revoke`, values).then(() => true),
    });
    if (answer) await done(`The key ${key.name} is revoked.`);
  };
  return h(
    "div",
    { class: "buttons wrap" },
    button("Rotate …", rotate),
    key.state === "disabled" ? button("Enable …", switched("enable", "Enable")) : button("Disable …", switched("disable", "Disable")),
    button("Revoke …", revoke, "danger"),
  );
}
