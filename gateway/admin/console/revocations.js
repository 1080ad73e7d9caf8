// What was taken back, and taking back more.

import { get, post } from "./api.js";
import { ask, field } from "./dialog.js";
import { h, tell } from "./dom.js";
import { moment } from "./format.js";
import { revokingFields } from "./key_forms.js";
import { badge, button, fill, head, mono, nothing, table } from "./parts.js";

const KINDS = [["user", "A user"], ["team", "A team"], ["issuer", "An issuer"], ["all", "Everything"]];
const CERTAIN = "everything";

export function revocations(host, { visitor }) {
  const body = h("div");
  const load = () => fill(body, () => get("revocations"), ({ data }) => revocationsTable(data));
  const revoke = async () => {
    if ((await revoking(visitor)) === null) return;
    tell("It is revoked.");
    await load();
  };
  host.replaceChildren(
    head("Revocations", "Credentials that were taken back, for good. Single keys are revoked on their own page.", visitor.manages && button("Revoke …", revoke, "danger")),
    body,
  );
  load();
}

function revoking(visitor) {
  const choices = visitor.seesAllTeams ? KINDS : KINDS.filter(([kind]) => kind === "team");
  const kind = field("kind", "Whose credentials", { type: "select", choices, value: choices[0][0] });
  const value = field("value", "Which", { maxlength: 200, placeholder: "user:alice" });
  const certain = field("certain", `Type “${CERTAIN}”`, { hint: "Every key and every token stops working, everywhere.", read: () => undefined });
  const changed = () => {
    const all = kind.control.value === "all";
    certain.box.hidden = !all;
    value.box.hidden = all;
    value.control.placeholder = { user: "user:alice", team: "search", issuer: "entra" }[kind.control.value] ?? "";
  };
  kind.control.addEventListener("change", changed);
  changed();
  return ask({
    title: "Revoke credentials",
    sentence: "Whatever was issued until now is refused on every replica within a second. What is issued later is good again.",
    fields: [kind, value, certain, ...revokingFields()],
    action: "Revoke for good",
    kind: "danger",
    send: (values) => {
      if (values.kind !== "all") return post("revocations", values);
      if (certain.control.value.trim() !== CERTAIN) throw new Error(`Type “${CERTAIN}”, if that is what you want.`);
      return post("revocations", { ...values, value: "" });
    },
  });
}

function revocationsTable(data) {
  if (data.length === 0) return nothing("Nothing was taken back", "Revoked keys, users, teams and issuers stand here.");
  const newest = [...data].sort((one, other) => other.at - one.at);
  return table(
    "Revocations",
    [
      { name: "When", cell: (each) => moment(each.at / 1000) },
      { name: "What", cell: (each) => [badge(each.kind), " ", each.value && mono(each.value)] },
      { name: "Issued", cell: (each) => [each.since > 0 && ["from ", moment(each.since), " "], "until ", moment(each.until)] },
      { name: "By", cell: (each) => each.by },
      { name: "Reason", kind: "wide", cell: (each) => each.reason },
      { name: "Streams", cell: (each) => (each.cut_streams ? "cut" : "let end") },
    ],
    newest,
  );
}
