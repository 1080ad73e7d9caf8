// Numbers, money and times as people here read them: the browser's language and zone.

import { h } from "./dom.js";

const WHOLE = new Intl.NumberFormat();
const SHORT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const DOLLARS = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD" });
const CENTS = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD", maximumSignificantDigits: 2 });
const SHORT_DOLLARS = new Intl.NumberFormat(undefined, {
  style: "currency",
  currency: "USD",
  notation: "compact",
  maximumFractionDigits: 2,
  minimumFractionDigits: 0,
});
const DATE_AND_ZONE = { year: "numeric", month: "short", day: "numeric", timeZoneName: "short" };
const MOMENT = new Intl.DateTimeFormat(undefined, { ...DATE_AND_ZONE, hour: "numeric", minute: "2-digit" });
const MOMENT_WITH_SECONDS = new Intl.DateTimeFormat(undefined, { ...DATE_AND_ZONE, hour: "numeric", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const AGO = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export const number = (value) => WHOLE.format(value);
export const short = (value) => SHORT.format(value);

/** Micro-dollars in dollars; below a cent with the digits that say something. */
export function money(microdollars) {
  const dollars = microdollars / 1_000_000;
  return dollars !== 0 && Math.abs(dollars) < 0.01 ? CENTS.format(dollars) : DOLLARS.format(dollars);
}

/** For the sides of charts. */
export function shortMoney(microdollars) {
  const dollars = microdollars / 1_000_000;
  return (dollars > 0 && dollars < 1 ? CENTS : SHORT_DOLLARS).format(dollars);
}

/** An amount with its unit, as limits have them: of dollars it is micro-dollars, whatever they are called. */
export function amount(value, unit) {
  if (unit === "microdollars" || unit === "dollars") return money(value);
  return `${number(value)} ${unit === "concurrent" ? "at once" : unit.replaceAll("_", " ")}`;
}

/** Milliseconds; short ones with a digit behind the point. */
export const milliseconds = (value) => `${number(value < 10 ? Math.round(value * 10) / 10 : Math.round(value))} ms`;

/** "1 model", "3 models". */
export const counted = (value, noun) => `${number(value)} ${noun}${value === 1 ? "" : "s"}`;

/** "12 s", "5 min", "3 h", "11 days". */
export function span(seconds) {
  if (seconds < 90) return `${WHOLE.format(Math.ceil(seconds))} s`;
  if (seconds < 5_400) return `${WHOLE.format(Math.round(seconds / 60))} min`;
  if (seconds < 129_600) return `${WHOLE.format(Math.round(seconds / 3_600))} h`;
  return counted(Math.round(seconds / 86_400), "day");
}

/** A day of UTC: "2026-11-20" as "Nov 20". */
export const day = (text) => DAY.format(new Date(`${text}T00:00:00Z`));

/** A moment in the browser's zone, which is said; in its title the same in UTC. */
export function moment(seconds, { exact = false } = {}) {
  const at = new Date(seconds * 1000);
  return timed(at, (exact ? MOMENT_WITH_SECONDS : MOMENT).format(at));
}

/** How far away a moment is: "3 hours ago", "in 12 days"; in its title the moment itself. */
export function distance(seconds) {
  const at = new Date(seconds * 1000);
  const away = seconds - Date.now() / 1000;
  const [unit, size] = [["day", 86_400], ["hour", 3_600], ["minute", 60]].find(([, each]) => Math.abs(away) >= each) ?? ["second", 1];
  return timed(at, AGO.format(Math.trunc(away / size), unit));
}

function timed(at, text) {
  const utc = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  return h("time", { datetime: at.toISOString(), title: utc }, text);
}

/** "2026-11" of a date, by the calendar of UTC, so many months later. */
export function month(date, later = 0) {
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + later, 1)).toISOString().slice(0, 7);
}
