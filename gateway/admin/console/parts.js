// The pieces that every page is made of: heads, tables, facts, badges, meters, and what is shown meanwhile.

import { h, newId, s } from "./dom.js";

/** What stands at the top of a page. */
export function head(title, sentence, ...actions) {
  return h(
    "header",
    { class: "page-head" },
    h("div", {}, h("h1", { tabindex: "-1" }, title), sentence && h("p", { class: "quiet" }, sentence)),
    h("div", { class: "actions" }, actions),
  );
}

/** Load something and show it here; meanwhile say so, and when it fails say why, with a way to try again. */
export async function fill(host, load, show) {
  host.setAttribute("aria-busy", "true");
  host.replaceChildren(h("div", { class: "loading", role: "status" }, h("span", {}, "Loading …"), h("i"), h("i"), h("i")));
  try {
    host.replaceChildren(...[show(await load())].flat(3).filter(Boolean));
  } catch (error) {
    host.replaceChildren(trouble(error, () => fill(host, load, show)));
  }
  host.removeAttribute("aria-busy");
}

/** What went wrong, as a sentence. */
export function trouble(error, again) {
  return h(
    "div",
    { class: "trouble", role: "alert" },
    h("p", {}, h("strong", {}, error.status === 403 ? "Not for your role. " : "That did not work. "), error.message),
    again && h("button", { type: "button", onclick: again }, "Try again"),
  );
}

/** Where there is nothing, and what to do about it. */
export function nothing(title, sentence, ...actions) {
  const picture = s("svg", { viewBox: "0 0 48 32", "aria-hidden": "true" }, s("path", { d: "M4 30V18a12 12 0 0 1 24 0v12M16 30V17M30 30h14" }));
  return h("div", { class: "nothing" }, picture, h("h3", {}, title), sentence && h("p", { class: "quiet" }, sentence), actions);
}

export function card(title, ...content) {
  const id = newId("card");
  return h("section", { class: "card", "aria-labelledby": id }, h("h2", { id }, title), content);
}

/** A number to be read from afar. */
export function figure(name, value, note) {
  return h("div", { class: "figure" }, h("dt", {}, name), h("dd", {}, value), note && h("dd", { class: "quiet note" }, note));
}

/** A sentence as the gateway writes it, names in backticks. */
export function prose(text) {
  return String(text ?? "").split(/`([^`]*)`/).map((part, at) => (at % 2 === 1 ? mono(part) : part));
}

export const badge = (text, kind = "") => h("span", { class: `badge ${kind}` }, text);
export const mono = (text) => h("code", {}, text);
export const chips = (names) => h("ul", { class: "chips" }, names.map((name) => h("li", {}, mono(name))));

/** Names and what they are; what is empty is left out. */
export function facts(pairs) {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return h("dl", { class: "facts" }, told.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** `columns`: [{ name, cell: (row) => content, kind: "number" }]; the first heads its row. */
export function table(caption, columns, rows) {
  const heads = columns.map(({ name, kind }) => h("th", { scope: "col", class: kind }, name));
  const lines = rows.map((row) =>
    h(
      "tr",
      {},
      columns.map(({ name, cell, kind }, at) =>
        at === 0
          ? h("th", { scope: "row", class: kind }, cell(row))
          : h("td", { class: kind, "data-name": name }, h("div", {}, cell(row))),
      ),
    ),
  );
  return h(
    "div",
    { class: "table", role: "region", "aria-label": caption, tabindex: "0" },
    h("table", {}, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, heads)), h("tbody", {}, lines)),
  );
}

/** How much is left, as a bar: of a whole, with a sentence that says it too. */
export function meter(label, left, whole, sentence, ...notes) {
  const share = whole > 0 ? Math.max(0, Math.min(1, left / whole)) : 0;
  const id = newId("meter");
  const bar = h("div", {
    class: `bar ${share <= 0 ? "bad" : share < 0.2 ? "low" : ""}`,
    role: "meter",
    "aria-labelledby": id,
    "aria-valuemin": "0",
    "aria-valuemax": "100",
    "aria-valuenow": String(Math.round(share * 100)),
    "aria-valuetext": sentence,
  });
  const fill = h("span");
  fill.style.inlineSize = `${share * 100}%`;
  bar.append(fill);
  return h(
    "div",
    { class: "meter" },
    h("p", {}, h("span", { id, class: "meter-name" }, label), h("span", { class: "quiet" }, sentence)),
    bar,
    notes.length > 0 && h("p", { class: "quiet notes" }, notes),
  );
}

/** A drop-down list that does something when it is changed. `choices`: [[value, text]]. */
export function choice(label, choices, value, act) {
  const id = newId("choice");
  const list = h("select", { id, onchange: () => act(list.value) }, choices.map(([each, text]) => h("option", { value: each, selected: each === value }, text)));
  return h("div", { class: "choice" }, h("label", { for: id }, label), list);
}

/** A field to search with; `/` leads to it. */
export function search(label, act) {
  const id = newId("search");
  const field = h("input", { id, type: "search", autocomplete: "off", spellcheck: "false", placeholder: "/", oninput: () => act(field.value.trim().toLowerCase()) });
  return h("div", { class: "choice" }, h("label", { for: id }, label), field);
}

/** A button that cannot be pressed twice while its work is under way. */
export function button(text, act, kind = "") {
  const made = h("button", { type: "button", class: kind, onclick: () => busy(made, act) }, text);
  return made;
}

export async function busy(element, act) {
  if (element.getAttribute("aria-disabled") === "true") return;
  element.setAttribute("aria-disabled", "true");
  try {
    await act();
  } finally {
    element.removeAttribute("aria-disabled");
  }
}
