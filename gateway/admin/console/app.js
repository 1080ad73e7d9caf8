// The console: who is signed in, the way between the pages, and the frame around them. What somebody may do is
// for the server to say; here is only left out what it would refuse anyway.

import { get, options, signOut, whenSignedOut } from "./api.js";
import { h, s, tell } from "./dom.js";
import { audit } from "./audit.js";
import { explain } from "./explain.js";
import { keys } from "./keys.js";
import { overview } from "./overview.js";
import { refusals } from "./refusals.js";
import { revocations } from "./revocations.js";
import { signInPage } from "./sign_in.js";
import { teams } from "./teams.js";
import { trouble } from "./parts.js";
import { usage } from "./usage.js";

const EVERYBODY = ["viewer", "auditor", "team_admin", "operator"];

const PAGES = [
  { name: "overview", title: "Overview", show: overview, roles: EVERYBODY, icon: "M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z" },
  { name: "teams", title: "Teams", show: teams, roles: EVERYBODY, icon: "M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6M3 19a6 6 0 0 1 12 0M16 11a3 3 0 0 0 0-6M18 19a6 6 0 0 0-2-4.500" },
  { name: "keys", title: "Keys", show: keys, roles: EVERYBODY, icon: "M8 19a4 4 0 1 0 0-8 4 4 0 0 0 0 8M11 12l8-8M16 7l3 3" },
  { name: "usage", title: "Usage", show: usage, roles: EVERYBODY, icon: "M4 20h16M7 16v-5M12 16V5M17 16V9" },
  { name: "refusals", title: "Refusals", show: refusals, roles: EVERYBODY, icon: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16M6.500 6.500l11 11" },
  { name: "explain", title: "Explain", show: explain, roles: EVERYBODY, icon: "M11 17a6 6 0 1 0 0-12 6 6 0 0 0 0 12M15.500 15.500L20 20" },
  { name: "revocations", title: "Revocations", show: revocations, roles: EVERYBODY, icon: "M4 8h11a5 5 0 0 1 0 10h-5M8 4L4 8l4 4" },
  { name: "audit", title: "Audit", show: audit, roles: ["auditor", "operator"], icon: "M6 4h9l4 4v12H6zM9 12h7M9 16h7" },
];

const ROLES = { viewer: "Viewer", auditor: "Auditor", team_admin: "Team admin", operator: "Operator" };

const root = document.getElementById("app");

/** Somebody who is signed in, and what the pages ask about that. */
class Visitor {
  constructor({ name, role, teams }) {
    this.name = name;
    this.role = role;
    this.teams = teams;
    this.seesAllTeams = role !== "team_admin";
    this.manages = role === "operator" || role === "team_admin";
  }

  get pages() {
    return PAGES.filter((page) => page.roles.includes(this.role));
  }
}

/** `#/teams/search?by=key` is the page "teams", of "search", with these parameters. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/").map(decoded);
  return { name, rest, query: new URLSearchParams(query) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function frame(visitor) {
  const link = ({ name, title, icon }) =>
    h("li", {}, h("a", { href: `#/${name}`, "data-page": name }, s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: icon })), title));
  const main = h("main", { id: "main", tabindex: "-1" });
  const leave = async () => {
    await signOut();
    start();
  };
  root.className = "framed";
  root.replaceChildren(
    h(
      "div",
      { class: "side" },
      h("p", { class: "brand" }, h("img", { src: "/console/assets/icon.svg", alt: "", width: "26", height: "26" }), "Gateway"),
      h("nav", { "aria-label": "Pages" }, h("ul", {}, visitor.pages.map(link))),
      h(
        "div",
        { class: "visitor" },
        h("p", { class: "who" }, h("strong", { title: visitor.name }, visitor.name), h("span", { class: "quiet" }, whose(visitor))),
        h("div", { class: "buttons" }, themeButton(), h("button", { type: "button", class: "plain", onclick: leave }, "Sign out")),
      ),
    ),
    main,
  );
  return main;
}

function whose({ role, teams }) {
  const name = ROLES[role] ?? role;
  return role === "team_admin" ? `${name} of ${teams.join(", ")}` : name;
}

const NEXT_THEME = { auto: "light", light: "dark", dark: "auto" };

export function themeButton() {
  const theme = () => document.documentElement.dataset.theme ?? "auto";
  const turn = () => {
    const next = NEXT_THEME[theme()];
    if (next === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
    button.textContent = `Theme: ${next}`;
  };
  const button = h("button", { type: "button", class: "plain", "data-theme-button": true, onclick: turn }, `Theme: ${theme()}`);
  return button;
}

function show(visitor, main, { moved }) {
  const { name, rest, query } = place();
  const page = visitor.pages.find((each) => each.name === name) ?? visitor.pages[0];
  for (const link of root.querySelectorAll("[data-page]")) {
    if (link.dataset.page === page.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  document.title = `${page.title} · Gateway console`;
  const host = h("div", { class: "page" });
  main.replaceChildren(host);
  page.show(host, { visitor, rest, query });
  if (!moved) return;
  window.scrollTo(0, 0);
  main.querySelector("h1")?.focus({ preventScroll: true });
  tell(page.title);
}

let standing = null;

/** Begin anew: signed in, or at the sign-in page. */
async function start(why = "") {
  standing = null;
  for (const dialog of document.querySelectorAll("dialog")) dialog.remove();
  try {
    const ways = await options();
    if (!ways.signed_in) return await enter(ways, why);
    const visitor = new Visitor(await get("me"));
    const main = frame(visitor);
    standing = (moved) => show(visitor, main, { moved });
    if (place().name === "sign-in") history.replaceState(null, "", "#/overview");
    standing(false);
  } catch (error) {
    root.className = "lonely";
    root.replaceChildren(trouble(error, () => start()));
  }
}

function enter(ways, why) {
  const told = why || (place().name === "sign-in" ? place().query.get("refused") : "");
  document.title = "Sign in · Gateway console";
  root.className = "lonely";
  root.replaceChildren(signInPage(ways, told, start));
  root.querySelector("input").focus();
}

window.addEventListener("hashchange", () => standing?.(true));

whenSignedOut(() => {
  if (standing) start("ended");
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, dialog")) return;
  const field = document.querySelector("main input[type=search]");
  if (field) {
    event.preventDefault();
    field.focus();
  }
});

start();
