// The machine's own Chromium, or the one that an npm package brings for machines that have none.
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const APPS = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"];

async function installed() {
  const places = process.env.PATH.split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  for (const place of [...places, ...APPS]) {
    if (await access(place, constants.X_OK).then(() => true, () => false)) return place;
  }
  return null;
}

/** Unpacked into TMPDIR, with the libraries that it wants: this variable is how the package is asked for them. */
async function brought() {
  if (process.platform !== "linux" || process.arch !== "x64") throw new Error("Install Chromium or Chrome: the console is tested in it.");
  process.env.AWS_LAMBDA_JS_RUNTIME = "nodejs24.x";
  return (await import("@sparticuz/chromium")).default.executablePath();
}

export async function browser() {
  return chromium.launch({ executablePath: (await installed()) ?? (await brought()), args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}
