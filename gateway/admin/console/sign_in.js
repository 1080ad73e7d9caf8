// The way in: a token, or the company's own sign-in when one is set up.

import { signIn } from "./api.js";
import { field, form } from "./dialog.js";
import { h } from "./dom.js";

/** What the address says by a word, and the page in a sentence. */
const SENTENCES = {
  ended: "Your session has ended. Sign in again.",
  foreign: "That sign-in was not begun in this browser. Begin again.",
  late: "That sign-in took too long. Begin again.",
  denied: "The provider did not let you in.",
  no_role: "You are known, but no rule of identity.yaml gives you a role here. Ask an operator.",
  away: "The provider is away, or answers with something unexpected. Try again, or use a token.",
};

/** `oidc`: the provider's name, or null. `entered()` is called once somebody is signed in. */
export function signInPage({ oidc }, why, entered) {
  const told = SENTENCES[why];
  const token = field("token", "Token", { type: "password", required: true, autocomplete: "current-password", hint: "An operators' token: GATEWAY_ADMIN_TOKEN, or one of GATEWAY_ADMIN_TOKENS." });
  const way = form({ fields: [token], action: "Sign in", send: (values) => signIn(values.token), done: () => entered() });
  return h(
    "main",
    { id: "main", class: "sign-in", tabindex: "-1" },
    h("p", { class: "brand" }, h("img", { src: "/console/assets/icon.svg", alt: "", width: "36", height: "36" })),
    h("h1", {}, "Sign in to the gateway"),
    told && h("p", { class: "note", role: "status" }, told),
    oidc && [h("a", { class: "button main", href: "/console/oidc/start" }, `Sign in with ${oidc}`), h("p", { class: "or" }, "or with a token")],
    way,
  );
}
