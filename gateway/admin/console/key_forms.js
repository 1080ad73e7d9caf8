// The fields by which keys are made, rotated and revoked.

import { field, valuesOf } from "./dialog.js";
import { h } from "./dom.js";

const LIFETIMES = [["90", "In 90 days"], ["30", "In 30 days"], ["7", "In 7 days"], ["365", "In a year"], ["", "Never"]];
const OVERLAPS = [["86400", "A day"], ["3600", "An hour"], ["604800", "A week"], ["2592000", "30 days"], ["0", "Not at all"]];

const list = (text) => text.split(/[\s,]+/).filter(Boolean);
const listOrAll = (text) => (list(text).length > 0 ? list(text) : ["*"]);
const whole = (text) => (text ? Number(text) : undefined);

/** Seconds since 1970, so many days from now. */
const inDays = (text) => (text ? Math.floor(Date.now() / 1000) + Number(text) * 86_400 : undefined);

/** What `POST /admin/keys` takes; the grant's own fields are put together by `grant`. */
export function madeFields(teams, team) {
  const plain = [
    field("team", "Team", { type: "select", choices: teams.map((each) => [each, each]), value: team || teams[0] }),
    field("name", "Name", { required: true, maxlength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", hint: "Letters, digits, dots, hyphens. Unique in its team." }),
    field("owner", "Owner", { placeholder: "service:ci", maxlength: 200, hint: "A user or a service; empty: the team itself." }),
    field("expires_at", "Expires", { type: "select", choices: LIFETIMES, value: "90", read: inDays }),
  ];
  const reach = [
    field("endpoints", "Endpoints", { placeholder: "* (all that the team may use)", read: listOrAll, hint: "Names with commas between: chat_completions, embeddings. * stands for anything." }),
    field("models", "Models", { placeholder: "* (all that the team may use)", read: listOrAll, hint: "gpt-4o-mini, text-embedding-3-*" }),
    field("read_only", "Read only: nothing but GET", { type: "check", read: (checked) => checked || undefined }),
  ];
  const limits = [
    field("requests_per_minute", "Requests a minute", { type: "number", min: 1, read: whole }),
    field("tokens_per_minute", "Tokens a minute", { type: "number", min: 1, read: whole }),
    field("concurrent", "At once", { type: "number", min: 1, read: whole }),
    field("dollars_per_month", "Dollars a month", { type: "number", min: "0.01", step: "0.01", read: (text) => (text ? Math.round(Number(text) * 1_000_000) : undefined) }),
  ];
  const addresses = field("addresses", "Addresses", { type: "area", placeholder: "10.20.0.0/16", read: list, hint: "Networks from which it may be used; empty: from everywhere." });
  const boxes = [
    h("div", { class: "pair" }, plain[0].box, plain[1].box, plain[2].box, plain[3].box),
    folded("How far it reaches", [...reach, addresses]),
    folded("Limits of its own", limits),
  ];
  return { fields: nested([...plain, addresses], [...reach, ...limits]), boxes };
}

/** The grant's fields stand one by one in the form, and together in what is sent. */
function nested(plain, grant) {
  const carrier = { name: "grant", control: grant[0].control, box: null, value: () => valuesOf(grant) };
  return [...plain, ...grant.map((each) => ({ ...each, value: () => undefined })), carrier];
}

function folded(title, fields) {
  return h("details", {}, h("summary", {}, title), h("div", { class: "pair" }, fields.map((each) => each.box)));
}

/** What a rotation takes. */
export function rotationFields() {
  const fields = [
    field("overlap_seconds", "The present secret stays good for", { type: "select", choices: OVERLAPS, value: "86400", read: Number }),
    field("expires_at", "The key expires", { type: "select", choices: [["", "As it does now"], ...LIFETIMES.slice(0, -1)], value: "", read: inDays }),
  ];
  return { fields };
}

/** What a revocation takes, whatever it revokes. */
export function revokingFields() {
  return [
    field("reason", "Reason", { maxlength: 200, placeholder: "found in a public repository", hint: "For the audit trail. No secrets." }),
    field("cut_streams", "End answers that are running, too", { type: "check" }),
  ];
}
