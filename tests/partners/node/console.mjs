// The console in a real browser, as people use it. Each story prints what it saw; `trouble` is what no page may do.
import { readFile } from "node:fs/promises";
import { browser } from "./browser.mjs";

const [story] = process.argv.slice(2);
const { CONSOLE_URL: url, CONSOLE_TOKEN: token } = process.env;
const PAGES = ["overview", "teams", "teams/search", "keys", "usage", "refusals", "explain", "revocations", "audit"];
const trouble = [];

async function opened(running, options = {}) {
  const context = await running.newContext({ viewport: { width: 1200, height: 800 }, locale: "en-US", ...options });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`CSP ${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.on("pageerror", (error) => trouble.push(`error: ${error.message}`));
  page.on("request", (request) => new URL(request.url()).origin === url || request.url().startsWith("blob:") || trouble.push(`asked elsewhere: ${request.url()}`));
  page.on("console", (message) => message.type() === "error" && !message.text().includes("Failed to load resource") && trouble.push(message.text()));
  return page;
}

async function signedIn(running, options) {
  const page = await opened(running, options);
  await page.goto(url);
  await page.getByLabel("Token").fill(token);
  await page.keyboard.press("Enter");
  await page.getByRole("navigation").waitFor();
  return page;
}

async function at(page, place) {
  await page.goto(`${url}/console#/${place}`);
  await settled(page);
}

/** Everything that was asked for is there. */
async function settled(page) {
  await page.locator("main h1").waitFor();
  await page.waitForFunction(() => !document.querySelector("[aria-busy=true]"));
}

const dialog = (page) => page.getByRole("dialog").last();

const secretIn = (page) => page.getByRole("textbox", { name: "The key" }).inputValue();

async function create(page, name) {
  await page.getByRole("button", { name: "Create key", exact: true }).click();
  await page.getByRole("dialog").getByLabel("Team").selectOption("search");
  await page.getByRole("dialog").getByLabel("Name").fill(name);
  await page.getByRole("dialog").getByRole("button", { name: "Create key" }).click();
  return secretIn(page);
}

/** The secret was copied: nothing stands in the way of closing. */
async function leave(page) {
  await page.getByRole("button", { name: "Copied" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await settled(page);
}

async function row(page, name) {
  return page.getByRole("row").filter({ has: page.getByRole("button", { name, exact: true }) });
}

/** Press Tab until this has the focus. Throws when that never happens. */
async function tabTo(page, what) {
  for (let pressed = 0; pressed < 60; pressed += 1) {
    await page.keyboard.press("Tab");
    const name = await page.evaluate(() => {
      const focused = document.activeElement;
      return focused.getAttribute("aria-label") ?? focused.labels?.[0]?.textContent ?? focused.textContent;
    });
    if (name === what) return;
  }
  throw new Error(`Tab never came to ${what}`);
}

/** What has no name to those who do not see it. */
function nameless() {
  const named = (element) =>
    element.getAttribute("aria-label") || element.getAttribute("aria-labelledby") || element.labels?.length || element.textContent.trim();
  const controls = [...document.querySelectorAll("button, a, input, select, textarea, summary, dialog, [role=meter], [role=img], [role=region]")];
  const heads = [...document.querySelectorAll("th")].filter((head) => !head.scope);
  return [...controls.filter((element) => element.offsetParent !== null && !named(element)), ...heads].map((element) => element.outerHTML.slice(0, 120));
}

/** Texts whose contrast with what is behind them is below 4.5, or 3 where they are large (WCAG 2, AA). */
function faint() {
  const parsed = (color) => {
    const numbers = color.match(/[\d.]+/g).map(Number);
    return color.startsWith("color(srgb") ? [...numbers.slice(0, 3).map((part) => part * 255), numbers[3] ?? 1] : [...numbers.slice(0, 3), numbers[3] ?? 1];
  };
  const brightness = ([...parts]) => {
    const [red, green, blue] = parts.slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parsed(getComputedStyle(each).backgroundColor);
      if (color[3] === 1) return color;
    }
    return [255, 255, 255, 1];
  };
  const found = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest(".unseen, .skip, option")) continue;
    const style = getComputedStyle(element);
    const text = element instanceof SVGElement ? style.fill : style.color;
    const [one, other] = [brightness(parsed(text)), brightness(behind(element))].sort((a, b) => b - a);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if ((one + 0.05) / (other + 0.05) < (large ? 3 : 4.5)) found.add(`${walker.currentNode.textContent.slice(0, 30)}: ${text}`);
  }
  return [...found];
}

const STORIES = {
  async entering(running) {
    const page = await opened(running);
    await page.goto(url);
    await page.getByLabel("Token").fill("not a token");
    await page.keyboard.press("Enter");
    const wrong = await page.getByRole("alert").textContent();
    await page.getByLabel("Token").fill(token);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("navigation").waitFor();
    await settled(page);
    const [cookie] = await page.context().cookies();
    const seen = { wrong, title: await page.title(), spent: await page.locator(".figure dd").first().textContent(), cookie: [cookie.name, cookie.httpOnly, cookie.sameSite, cookie.path] };
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Token").waitFor();
    return { ...seen, left: (await page.context().cookies()).length };
  },

  async session(running) {
    const page = await signedIn(running);
    await settled(page);
    await page.context().clearCookies();
    await page.getByRole("link", { name: "Keys" }).click();
    return { told: await page.locator(".sign-in [role=status]").textContent() };
  },

  async roles(running) {
    const page = await signedIn(running);
    const pages = await page.getByRole("navigation").getByRole("link").allTextContents();
    await at(page, "overview");
    const wrong = await page.getByRole("alert").count();
    await at(page, "keys");
    const buttons = await page.getByRole("button", { name: "Create key" }).count();
    return { pages, buttons, wrong };
  },

  async teams(running) {
    const page = await signedIn(running);
    await at(page, "teams");
    const names = await page.locator("tbody th").allTextContents();
    await page.getByRole("link", { name: "search", exact: true }).click();
    await settled(page);
    await page.getByRole("meter").first().waitFor();
    const left = await page.getByRole("meter").first().getAttribute("aria-valuetext");
    return { names, left, heading: await page.locator("h1").textContent() };
  },

  async keys(running) {
    const page = await signedIn(running);
    await at(page, "keys");
    const first = await create(page, "browser");
    await page.keyboard.press("Escape");
    const minded = await dialog(page).getByRole("alert").textContent();
    await dialog(page).getByRole("button", { name: "Done" }).click();
    const kept = await page.content();
    await page.reload();
    await settled(page);
    const reloaded = await page.content();
    await (await row(page, "browser")).getByRole("button").click();
    await page.getByRole("button", { name: "Rotate …" }).click();
    await dialog(page).getByRole("button", { name: "Rotate" }).click();
    const second = await secretIn(page);
    await page.getByRole("button", { name: "Copy" }).click();
    await dialog(page).getByRole("button", { name: "Done" }).click();
    await settled(page);
    const rotated = await (await row(page, "browser")).textContent();
    await (await row(page, "browser")).getByRole("button").click();
    await page.getByRole("button", { name: "Disable …" }).click();
    await dialog(page).getByRole("button", { name: "Disable" }).click();
    await (await row(page, "browser")).getByText("disabled").waitFor();
    await (await row(page, "browser")).getByRole("button").click();
    await page.getByRole("button", { name: "Revoke …" }).click();
    await dialog(page).getByLabel("Reason").fill("a test");
    await dialog(page).getByRole("button", { name: "Revoke for good" }).click();
    await (await row(page, "browser")).waitFor({ state: "detached" });
    await page.getByLabel("State").selectOption("revoked");
    await settled(page);
    const revoked = await (await row(page, "browser")).textContent();
    return { first, second, minded, gone: [kept, reloaded].every((text) => !text.includes(first)), rotated, revoked };
  },

  async twice(running) {
    const page = await signedIn(running);
    await at(page, "keys");
    await create(page, "twin");
    await page.getByRole("button", { name: "Copy" }).click();
    await leave(page);
    await page.getByRole("button", { name: "Create key", exact: true }).click();
    await dialog(page).getByLabel("Team").selectOption("search");
    await dialog(page).getByLabel("Name").fill("twin");
    await dialog(page).getByRole("button", { name: "Create key" }).click();
    const told = await dialog(page).getByRole("alert").textContent();
    return { told, marked: await dialog(page).getByLabel("Name").getAttribute("aria-invalid") };
  },

  async lost(running) {
    const page = await signedIn(running);
    await at(page, "keys");
    const sent = [];
    await page.route("**/admin/keys", async (route) => {
      if (route.request().method() !== "POST") return route.continue();
      sent.push(route.request().headers()["idempotency-key"]);
      if (sent.length > 1) return route.continue();
      await route.fetch();
      return route.abort();
    });
    await page.getByRole("button", { name: "Create key", exact: true }).click();
    await dialog(page).getByLabel("Team").selectOption("search");
    await dialog(page).getByLabel("Name").fill("unlucky");
    await dialog(page).getByLabel("Expires").selectOption("Never");
    await dialog(page).getByRole("button", { name: "Create key" }).click();
    const told = await dialog(page).getByRole("alert").textContent();
    await dialog(page).getByRole("button", { name: "Create key" }).click();
    const repeated = await dialog(page).getByText("had been sent before").textContent();
    return { told, repeated, same: sent[0] === sent[1], sent: sent.length };
  },

  async keyboard(running) {
    const page = await signedIn(running);
    await settled(page);
    await page.evaluate(() => document.activeElement.blur());
    await tabTo(page, "Skip to the content");
    await tabTo(page, "Keys");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.textContent === "Keys" && document.activeElement.tagName === "H1");
    await settled(page);
    await page.keyboard.press("/");
    const found = await page.evaluate(() => document.activeElement.type);
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("s"); // search
    await tabTo(page, "Name");
    await page.keyboard.type("typed");
    await tabTo(page, "Create key");
    await page.keyboard.press("Enter");
    const secret = await secretIn(page);
    await tabTo(page, "Copy");
    await page.keyboard.press("Enter");
    await leave(page);
    return { found, secret, made: await (await row(page, "typed")).count() };
  },

  async refusals(running) {
    const page = await signedIn(running);
    await at(page, "refusals");
    await page.locator("tbody").getByRole("button").first().click();
    const told = await dialog(page).textContent();
    const id = await dialog(page).locator("dd code").first().textContent();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await at(page, "explain");
    await page.getByLabel("Request id").fill(id);
    await page.keyboard.press("Enter");
    await page.locator(".explanation").first().waitFor();
    return { told, found: (await page.locator(".explanation").first().textContent()).includes(id) };
  },

  async rehearsal(running) {
    const page = await signedIn(running);
    await at(page, "explain");
    await page.getByLabel("Team").fill("search");
    await page.getByLabel("Body").fill("{");
    await page.getByRole("button", { name: "Try it" }).click();
    const wrong = await page.getByRole("alert").textContent();
    await page.getByLabel("Body").fill('{"model": "gpt-5", "messages": []}');
    await page.getByRole("button", { name: "Try it" }).click();
    await page.locator(".explanation").waitFor();
    return { wrong, told: await page.locator(".explanation").textContent() };
  },

  async revocations(running) {
    const page = await signedIn(running);
    await at(page, "revocations");
    await page.getByRole("button", { name: "Revoke …" }).click();
    await dialog(page).getByLabel("Whose credentials").selectOption("all");
    await dialog(page).getByRole("button", { name: "Revoke for good" }).click();
    const held = await dialog(page).getByRole("alert").textContent();
    await dialog(page).getByLabel("Whose credentials").selectOption("user");
    await dialog(page).getByLabel("Which").fill("user:mallory");
    await dialog(page).getByLabel("Reason").fill("<img src=x onerror=alert(1)>");
    await dialog(page).getByRole("button", { name: "Revoke for good" }).click();
    await page.getByRole("cell", { name: "user:mallory" }).waitFor();
    return { held, shown: await page.locator("tbody tr").first().textContent(), images: await page.locator("main img").count() };
  },

  async usage(running) {
    const page = await signedIn(running);
    await at(page, "usage");
    await page.getByLabel("By", { exact: true }).selectOption("model");
    await settled(page);
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download CSV" }).click()]);
    const csv = await readFile(await download.path(), "utf8");
    const picture = page.getByRole("img", { name: /by day/ });
    await picture.focus();
    await page.keyboard.press("End");
    return { csv, name: download.suggestedFilename(), told: await page.locator(".told").textContent(), bars: await picture.locator("rect:not(.ground)").count() };
  },

  async audit(running) {
    const page = await signedIn(running);
    await at(page, "audit");
    const lines = await page.locator("tbody tr").count();
    await page.getByRole("button", { name: "Verify" }).click();
    return { lines, verdict: await page.locator(".note p").first().textContent() };
  },

  async house(running) {
    const page = await signedIn(running);
    const used = page.getByRole("region", { name: /^Usage by model/ }).locator("tbody th");
    for (let looked = 0; looked < 20 && (await used.count()) === 0; looked += 1) {
      await page.reload(); // what was asked is settled a moment later
      await settled(page);
    }
    const models = await used.allTextContents();
    const spent = await page.locator(".figure dd").first().textContent();
    await page.getByRole("region", { name: "Refused requests" }).getByRole("button").first().click();
    const told = await dialog(page).textContent();
    await page.keyboard.press("Escape");
    const wrong = {};
    for (const place of PAGES) {
      await at(page, place);
      wrong[place] = await page.getByRole("alert").filter({ visible: true }).count();
    }
    await page.getByRole("button", { name: "Verify" }).click();
    const verdict = await page.locator(".note p").first().textContent();
    return { spent, models, told, wrong, verdict };
  },

  async looks(running) {
    const found = {};
    for (const colorScheme of ["light", "dark"]) {
      const page = await signedIn(running, { colorScheme, reducedMotion: "reduce" });
      for (const place of PAGES) {
        await at(page, place);
        found[`${colorScheme} ${place}`] = await page.evaluate(faint);
      }
      await at(page, "keys");
      await page.getByRole("button", { name: "Create key", exact: true }).click();
      found[`${colorScheme} dialog`] = await dialog(page).evaluate(faint);
      found[colorScheme] = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Theme: auto" }).click();
      await page.getByRole("button", { name: "Theme: light" }).click();
      await page.reload();
      await page.getByRole("button", { name: "Theme: dark" }).waitFor();
      found[`${colorScheme}, dark chosen`] = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    }
    return found;
  },

  async names(running) {
    const page = await signedIn(running);
    const found = {};
    for (const place of PAGES) {
      await at(page, place);
      found[place] = await page.evaluate(nameless);
      found[`${place} h1`] = await page.locator("h1").count();
    }
    await at(page, "keys");
    await page.getByRole("button", { name: "Create key", exact: true }).click();
    for (const folded of await page.locator("summary").all()) await folded.click();
    found.dialog = await page.evaluate(nameless);
    return found;
  },

  async narrow(running) {
    const page = await signedIn(running, { viewport: { width: 380, height: 740 }, hasTouch: true, isMobile: true });
    const beyond = {};
    for (const place of PAGES) {
      await at(page, place);
      beyond[place] = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    }
    await at(page, "keys");
    const secret = await create(page, "pocket");
    beyond.dialog = await dialog(page).evaluate((element) => element.scrollWidth - element.clientWidth);
    return { beyond, secret };
  },
};

const running = await browser();
try {
  const seen = await STORIES[story](running);
  console.log(JSON.stringify({ ...seen, trouble }));
} finally {
  await running.close();
}
