// Bars by day, stacked. The arrow keys move from day to day, and a line above says what each holds.

import { h, s } from "./dom.js";
import { day } from "./format.js";

const HEIGHT = 220;
const INSETS = { top: 10, right: 16, bottom: 24, left: 58 };
/** Series with a colour of their own; the others are put together. */
export const MOST_SERIES = 6;

/**
 * `days`: ["2026-11-20"]; `series`: [{ name, values: [number] }], one value a day, largest first; `format(value)`
 * writes a value out, `mark(value)` shortly.
 */
export function chart({ label, days, series, format, mark }) {
  const shown = gathered(series);
  const totals = days.map((_, at) => shown.reduce((sum, { values }) => sum + values[at], 0));
  const told = h("p", { class: "told", "aria-live": "polite" });
  const host = h("div", { class: "plot" });
  const state = { at: -1 };
  const tellOf = (at) => {
    state.at = at;
    told.replaceChildren(...(at < 0 ? [h("span", { class: "quiet" }, `${day(days[0])} – ${day(days.at(-1))}`)] : words(at)));
    for (const column of host.querySelectorAll("[data-day]")) column.classList.toggle("on", Number(column.dataset.day) === at);
  };
  const words = (at) => [
    h("strong", {}, `${day(days[at])}: ${format(totals[at])}`),
    ...shown.filter(({ values }) => shown.length > 1 && values[at] > 0).map(({ name, values }) => h("span", { class: "quiet" }, ` · ${name} ${format(values[at])}`)),
  ];
  const pressed = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -days.length, End: days.length }[event.key];
    if (!step) return;
    event.preventDefault();
    tellOf(Math.max(0, Math.min(days.length - 1, (state.at < 0 ? days.length : state.at) + step)));
  };
  const draw = (width) => {
    const picture = drawn({ label, days, shown, totals, width, mark });
    picture.addEventListener("keydown", pressed);
    picture.addEventListener("pointerleave", () => tellOf(-1));
    for (const column of picture.querySelectorAll("[data-day]")) column.addEventListener("pointerenter", () => tellOf(Number(column.dataset.day)));
    host.replaceChildren(picture);
  };
  new ResizeObserver(([{ contentRect }]) => draw(Math.max(260, contentRect.width))).observe(host);
  draw(720);
  tellOf(-1);
  const legend = shown.length > 1 && h("ul", { class: "legend" }, shown.map(({ name }, at) => h("li", {}, h("i", { class: `swatch s${at}` }), name)));
  return h("figure", { class: "chart" }, told, host, legend);
}

function gathered(series) {
  if (series.length <= MOST_SERIES) return series;
  const [first, rest] = [series.slice(0, MOST_SERIES - 1), series.slice(MOST_SERIES - 1)];
  const values = first[0].values.map((_, at) => rest.reduce((sum, each) => sum + each.values[at], 0));
  return [...first, { name: `${rest.length} others`, values }];
}

function drawn({ label, days, shown, totals, width, mark }) {
  const ticks = ticksTo(Math.max(...totals));
  const top = ticks.at(-1);
  const [inner, room] = [width - INSETS.left - INSETS.right, HEIGHT - INSETS.top - INSETS.bottom];
  const step = inner / days.length;
  const bar = Math.max(2, Math.min(28, step * 0.68));
  const y = (value) => INSETS.top + room - (value / top) * room;
  const lines = ticks.map((value) => [
    s("line", { class: "grid", x1: INSETS.left, x2: width - INSETS.right, y1: y(value), y2: y(value) }),
    s("text", { x: INSETS.left - 8, y: y(value) + 4, "text-anchor": "end" }, mark(value)),
  ]);
  const every = Math.ceil(days.length / Math.max(2, Math.floor(inner / 64)));
  const columns = days.map((each, at) => {
    const left = INSETS.left + at * step;
    let under = 0;
    const stack = shown.map(({ values }, number) => {
      const [from, to] = [y(under), y(under + values[at])];
      under += values[at];
      return values[at] > 0 && s("rect", { class: `s${number}`, x: left + (step - bar) / 2, y: to, width: bar, height: Math.max(0.5, from - to) });
    });
    const ground = s("rect", { class: "ground", x: left, y: INSETS.top, width: step, height: room });
    const name = (days.length - 1 - at) % every === 0 && s("text", { x: left + step / 2, y: HEIGHT - 6, "text-anchor": "middle" }, day(each));
    return s("g", { "data-day": at }, ground, stack, name);
  });
  return s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": `${label}. Arrow keys go from day to day.`, tabindex: "0" }, lines, columns);
}

/** Round numbers from 0 to above `most`. */
export function ticksTo(most) {
  if (!(most > 0)) return [0, 1];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((each) => each * power >= rough) * power;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, at) => at * step);
}

/** Every day from `since` on and before `until` (milliseconds), by the calendar of UTC; a year's at most. */
export function daysBetween(since, until) {
  const DAY = 86_400_000;
  const last = Math.floor((until - 1) / DAY);
  const first = Math.max(Math.floor(since / DAY), last - 366);
  return Array.from({ length: Math.max(1, last - first + 1) }, (_, at) => new Date((first + at) * DAY).toISOString().slice(0, 10));
}
