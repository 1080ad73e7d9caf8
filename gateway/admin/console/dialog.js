// Dialogs, drawers and the forms in them. Esc closes; focus goes back to where it was.

import { h, newId, tell } from "./dom.js";
import { busy } from "./parts.js";

/** Opens a dialog. `kind`: "drawer" stands at the side. Returns the element; `close()` takes it away. */
export function open(title, content, { kind = "", onclose = () => {} } = {}) {
  const id = newId("dialog");
  const dialog = h(
    "dialog",
    { class: kind, "aria-labelledby": id },
    h(
      "div",
      { class: "dialog-head" },
      h("h2", { id }, title),
      h("button", { type: "button", class: "plain close", "aria-label": "Close", onclick: () => leave(dialog) }, "✕"),
    ),
    content,
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    onclose();
  });
  if (kind === "drawer") dialog.addEventListener("click", (event) => event.target === dialog && leave(dialog));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Close as Esc does: a dialog may mind. */
function leave(dialog) {
  if (dialog.dispatchEvent(new Event("cancel", { cancelable: true }))) dialog.close();
}

/**
 * A labelled control. `type` is that of an input, or "select" (with `choices`: [[value, text]]), "area", "check".
 * `read` makes the value that is sent of what was typed; undefined leaves it out.
 */
export function field(name, label, { type = "text", hint = "", read = (text) => text, choices = [], value = "", ...more } = {}) {
  const id = newId("field");
  const described = hint ? `${id}-hint` : null;
  const common = { id, name, "aria-describedby": described, ...more };
  const control = controls(type, choices, value, common);
  const parts = [h("label", { for: id }, label), control, hint && h("p", { id: described, class: "hint" }, hint)];
  const box = h("div", { class: `field ${type === "check" ? "check" : ""}` }, type === "check" ? [control, parts[0], parts[2]] : parts);
  return { name, box, control, value: () => read(type === "check" ? control.checked : control.value.trim()) };
}

function controls(type, choices, value, common) {
  if (type === "select") return h("select", common, choices.map(([each, text]) => h("option", { value: each, selected: each === value }, text)));
  if (type === "area") return h("textarea", { rows: "3", spellcheck: "false", ...common, value });
  if (type === "check") return h("input", { type: "checkbox", ...common, checked: Boolean(value) });
  return h("input", { type, autocomplete: "off", spellcheck: "false", ...common, value });
}

/** The values of fields, by name. */
export function valuesOf(fields) {
  const told = fields.map((each) => [each.name, each.value()]);
  return Object.fromEntries(told.filter(([, value]) => value !== undefined));
}

/**
 * A form. `send(values)` does it; what it throws is shown, at the field that it names. `done(answer)` comes after.
 * `boxes`: what is shown in the place of the fields' own boxes, for forms with groups.
 */
export function form({ fields, boxes = fields.map((each) => each.box), action, kind = "main", send, done, cancel }) {
  const alert = h("p", { class: "trouble", role: "alert", hidden: true });
  const submit = h("button", { type: "submit", class: kind }, action);
  const attempt = async () => {
    alert.hidden = true;
    for (const each of fields) each.control.removeAttribute("aria-invalid");
    try {
      done(await send(valuesOf(fields)));
    } catch (error) {
      const wrong = fields.find((each) => each.name === error.field || error.field?.endsWith?.(`.${each.name}`));
      wrong?.control.setAttribute("aria-invalid", "true");
      wrong?.control.focus();
      alert.textContent = error.message;
      alert.hidden = false;
    }
  };
  const submitted = (event) => {
    event.preventDefault();
    busy(submit, attempt);
  };
  const buttons = h("div", { class: "buttons" }, cancel && h("button", { type: "button", onclick: cancel }, "Cancel"), submit);
  return h("form", { onsubmit: submitted }, boxes, alert, buttons);
}

/** A dialog with a form. Resolves to the answer once it was sent; to null when it was closed before. */
export function ask({ title, sentence, ...asked }) {
  return new Promise((resolve) => {
    let answer = null;
    const finish = (value) => {
      answer = value;
      dialog.close();
    };
    const inside = form({ ...asked, done: finish, cancel: () => dialog.close() });
    const content = [sentence && h("p", { class: "quiet" }, sentence), inside];
    const dialog = open(title, content, { onclose: () => resolve(answer) });
    asked.fields[0]?.control.focus();
  });
}

/** Shows a secret, this once. Closing it before it was copied takes a second time. */
export function showOnce(title, sentence, secret) {
  let kept = false;
  const output = h("input", {
    type: "text",
    class: "secret",
    readonly: true,
    "aria-label": "The key",
    value: secret,
    onfocus: () => output.select(),
    oncopy: () => { kept = true; },
  });
  const warning = h("p", { class: "hint", role: "alert" });
  const copying = h("button", { type: "button", class: "main", onclick: async () => {
    kept = await copy(output);
    copying.textContent = kept ? "Copied" : "Press Ctrl+C";
    tell(kept ? "The key is in the clipboard." : "The key is selected: copy it.");
  } }, "Copy");
  const closing = h("button", { type: "button", onclick: () => leave(dialog) }, "Done");
  const dialog = open(title, [
    h("p", { class: "quiet" }, sentence),
    h("div", { class: "secret-row" }, output, copying),
    warning,
    h("div", { class: "buttons" }, closing),
  ]);
  dialog.addEventListener("cancel", (event) => {
    if (kept) return;
    kept = true;
    event.preventDefault();
    warning.textContent = "Did you keep it? It cannot be shown again. Close once more to go on.";
  });
  output.focus();
}

/** The clipboard of pages without https is reached by the selection alone. */
export async function copy(output) {
  output.focus();
  output.select();
  try {
    await navigator.clipboard.writeText(output.value);
    return true;
  } catch {
    return document.execCommand("copy");
  }
}
