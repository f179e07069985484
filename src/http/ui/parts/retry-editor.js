// The retry policy: a curve or a list of delays, drawn as a timeline while the person types.

import { h, replace, s, uid } from "../lib/dom.js";
import { parseDuration, showDuration } from "../lib/format.js";

const DEFAULTS = { max_retries: 3, initial_delay: "1s", multiplier: 2, max_delay: "1h", jitter: 0.2 };
const DRAWN_MAX = 30;

/** Delays in milliseconds, or null where one cannot be read. */
export function delaysOf(retry) {
  if (retry.schedule) return retry.schedule.map(parseDuration);
  const first = parseDuration(retry.initial_delay ?? DEFAULTS.initial_delay);
  const most = parseDuration(retry.max_delay ?? DEFAULTS.max_delay);
  const times = Math.min(DRAWN_MAX, Math.max(0, Number(retry.max_retries ?? DEFAULTS.max_retries)) || 0);
  return Array.from({ length: times }, (_, at) => (first === null || most === null ? null : Math.min(most, first * Number(retry.multiplier ?? DEFAULTS.multiplier) ** at)));
}

/** Attempts as dots: time runs to the right, logarithmically, because retries reach from a second to days. */
function timeline(delays) {
  const width = innerWidth < 640 ? 320 : 560;
  const at = [0];
  for (const delay of delays) at.push(at.at(-1) + delay);
  const end = Math.log1p(at.at(-1) / 1000) || 1;
  const x = (time) => 14 + (Math.log1p(time / 1000) / end) * (width - 60);
  const words = at.map((time, which) => (which === 0 ? "immediately" : `+${showDuration(Math.round(time))}`));
  const svg = s("svg", { class: "timeline", viewBox: `0 0 ${width} 46`, role: "img", "aria-label": `Attempts: ${words.join(", ")}` },
    s("line", { class: "grid", x1: 8, x2: width - 40, y1: 16, y2: 16 }));
  let free = -100;
  at.forEach((time, which) => {
    svg.append(s("circle", { class: `mark ${which === 0 ? "accent" : "info"}`, cx: x(time), cy: 16, r: 5 }));
    if (x(time) - free < 44) return;
    free = x(time);
    svg.append(s("text", { class: "tick", x: x(time), y: 38, "text-anchor": which === 0 ? "start" : "middle" }, which === 0 ? "now" : compactSpan(time)));
  });
  return svg;
}

function compactSpan(ms) {
  const units = [["d", 86400000], ["h", 3600000], ["m", 60000], ["s", 1000]];
  const found = units.find(([, size]) => ms >= size);
  if (!found) return `+${Math.round(ms)}ms`;
  const value = ms / found[1];
  return `+${Number.isInteger(value) ? value : value.toFixed(1)}${found[0]}`;
}

export function retryEditor({ value, readOnly, onInput }) {
  const id = uid("retry");
  const given = value ?? DEFAULTS;
  const input = (name, label, attributes) => {
    const element = h("input", { id: `${id}-${name}`, disabled: readOnly, ...attributes, ".value": given[name] ?? (given.schedule ? DEFAULTS[name] : "") ?? "" });
    element.addEventListener("input", changed);
    return { element, field: h("div", { class: "field" }, h("label", { for: element.id }, label), element) };
  };
  const inputs = {
    max_retries: input("max_retries", "Max retries", { type: "number", min: 0, max: 100, step: 1 }),
    initial_delay: input("initial_delay", "Initial delay", { type: "text", placeholder: "1s" }),
    multiplier: input("multiplier", "Backoff multiplier", { type: "number", min: 1, step: "any" }),
    max_delay: input("max_delay", "Max delay", { type: "text", placeholder: "1h" }),
  };
  const schedule = h("input", { id: `${id}-schedule`, type: "text", class: "mono", placeholder: "15s, 2m, 10m, 1h", disabled: readOnly, ".value": (given.schedule ?? []).join(", "), on: { input: () => changed() } });
  const kind = h("select", { id: `${id}-kind`, disabled: readOnly }, h("option", { value: "curve", ".selected": !given.schedule }, "Growing delays"), h("option", { value: "schedule", ".selected": Boolean(given.schedule) }, "A list of delays"));
  const curve = h("div", { class: "field-row" }, Object.values(inputs).map((one) => one.field));
  const list = h("div", { class: "field" }, h("label", { for: schedule.id }, "Delays"), schedule);
  const picture = h("div", { class: "timeline-box" });
  const note = h("p", { class: "field-note bad", role: "status" });

  /** A bare number is milliseconds, as in other systems' forms. */
  const duration = (text) => (/^\s*\d+\s*$/.test(text) ? `${text.trim()}ms` : text.trim());

  function read() {
    const jitter = given.jitter ?? DEFAULTS.jitter;
    if (kind.value === "schedule") return { schedule: schedule.value.split(/[\s,]+/).filter(Boolean).map(duration), jitter };
    return { max_retries: Number(inputs.max_retries.element.value), initial_delay: duration(inputs.initial_delay.element.value), multiplier: Number(inputs.multiplier.element.value), max_delay: duration(inputs.max_delay.element.value), jitter };
  }

  function draw() {
    curve.hidden = kind.value === "schedule";
    list.hidden = !curve.hidden;
    const delays = delaysOf(read());
    const good = delays.every((delay) => delay !== null && Number.isFinite(delay));
    replace(picture, good ? timeline(delays) : h("p", { class: "field-note bad" }, "A delay is a number and a unit, such as 500ms, 15s, 2m or 1h"));
  }

  function changed() {
    draw();
    onInput?.(read());
  }

  kind.addEventListener("change", changed);
  draw();
  return {
    element: h("div", { class: "stack" }, h("div", { class: "field" }, h("label", { for: kind.id }, "Retries"), kind), curve, list, picture, note),
    input: kind,
    isBad: () => note.textContent !== "",
    read,
    say: (message) => replace(note, message),
  };
}
