// Charts in SVG: columns and lines over time, with the values under the pointer or the arrow keys, and all of them as a
// table for those who cannot see the picture.

import { h, replace, s } from "../lib/dom.js";

const HEIGHT = 168;
const LEFT = 52;
const RIGHT = 10;
const TOP = 10;
const BOTTOM = 24;

/** A scale's end that reads well, not below what is there. */
function niceMax(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((end) => end >= value - 1e-9);
}

class Chart extends HTMLElement {
  #data = null;
  #observer = new ResizeObserver(() => this.#draw());
  #at = null;

  connectedCallback() {
    this.#observer.observe(this);
  }

  disconnectedCallback() {
    this.#observer.disconnect();
  }

  /**
   * {label, points: [{label, values: […]}], series: [{name, tone, kind: "bar" | "line"}], format, max, whole}
   * Bars are stacked; a null is a gap; `whole` values get whole ticks; `nothing` is said when all is zero.
   */
  set data(data) {
    this.#data = data;
    this.#draw();
  }

  #draw() {
    const data = this.#data;
    const width = this.clientWidth;
    if (!data || width < 60) return;
    const { points, series, format } = data;
    const stacked = (point) => point.values.reduce((sum, value, at) => sum + (series[at].kind === "bar" ? (value ?? 0) : 0), 0);
    const highest = Math.max(0, ...points.map((p) => Math.max(stacked(p), ...p.values.map((v, at) => (series[at].kind === "line" ? (v ?? 0) : 0)))));
    const max = data.max ?? Math.max(niceMax(highest), data.whole ? 4 : 0);
    const min = data.min ?? 0;
    const inner = { width: width - LEFT - RIGHT, height: HEIGHT - TOP - BOTTOM };
    const slot = inner.width / Math.max(1, points.length);
    const x = (at) => LEFT + slot * (at + 0.5);
    const y = (value) => TOP + inner.height * (1 - (Math.max(min, value) - min) / (max - min));
    const svg = s("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" });
    for (const share of [0, 0.5, 1]) {
      const value = min + (max - min) * share;
      svg.append(
        s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
        s("text", { class: "tick", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, format(value)),
      );
    }
    if (data.nothing && points.every((point) => point.values.every((value) => !value))) {
      svg.append(s("text", { class: "tick nothing", x: LEFT + inner.width / 2, y: TOP + inner.height * 0.25 + 4, "text-anchor": "middle" }, data.nothing));
    }
    this.#timeTicks(svg, points, x, slot);
    this.#bars(svg, data, { x, y, slot, min });
    this.#lines(svg, data, { x, y });
    const cursor = s("line", { class: "cursor", y1: TOP, y2: TOP + inner.height, visibility: "hidden" });
    svg.append(cursor);
    const tip = h("div", { class: "chart-tip", hidden: true });
    const show = (at) => this.#show(at, { tip, cursor, x, width });
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      show(Math.max(0, Math.min(points.length - 1, Math.floor((event.clientX - box.left - LEFT) / slot))));
    });
    svg.addEventListener("pointerleave", () => show(null));
    const plot = h("div", { class: "plot", tabindex: "0", role: "img", "aria-label": `${data.label}. ${this.#summary()} Arrow keys read the values.`, on: {
      keydown: (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step) return;
        event.preventDefault();
        show(Math.max(0, Math.min(points.length - 1, (this.#at ?? points.length) + step)));
      },
      blur: () => show(null),
    } }, svg, tip);
    const live = h("span", { class: "visually-hidden", "aria-live": "polite" });
    this.spoken = live;
    const focused = this.contains(document.activeElement) && document.activeElement.classList.contains("plot");
    const was = this.#at;
    replace(this, plot, live);
    if (focused) plot.focus({ preventScroll: true });
    if (was !== null && was < points.length) show(was);
  }

  #timeTicks(svg, points, x, slot) {
    const every = Math.max(1, Math.ceil(64 / slot));
    points.forEach((point, at) => {
      if ((points.length - 1 - at) % every !== 0) return;
      const last = at === points.length - 1;
      const first = x(at) < LEFT + 18;
      svg.append(s("text", { class: "tick", x: last ? x(at) + slot / 2 : x(at), y: HEIGHT - 6, "text-anchor": last ? "end" : first ? "start" : "middle" }, point.label));
    });
  }

  #bars(svg, { points, series }, { x, y, slot, min }) {
    const width = Math.max(1, Math.min(28, slot * 0.68));
    points.forEach((point, at) => {
      let base = min;
      point.values.forEach((value, which) => {
        if (series[which].kind !== "bar" || !value) return;
        const top = y(base + value);
        const height = Math.max(1, y(base) - top);
        svg.append(s("rect", { class: `mark ${series[which].tone}`, x: x(at) - width / 2, y: y(base) - height, width, height, rx: Math.min(2, width / 3) }));
        base += value;
      });
    });
  }

  #lines(svg, { points, series }, { x, y }) {
    series.forEach(({ kind, tone }, which) => {
      if (kind !== "line") return;
      let run = [];
      const flush = () => {
        if (run.length === 1) svg.append(s("circle", { class: `mark ${tone}`, cx: run[0][0], cy: run[0][1], r: 2.5 }));
        if (run.length > 1) svg.append(s("polyline", { class: `line ${tone}`, points: run.map((p) => p.join(",")).join(" ") }));
        run = [];
      };
      points.forEach((point, at) => {
        const value = point.values[which];
        if (value === null || value === undefined) flush();
        else run.push([x(at), y(value)]);
      });
      flush();
    });
  }

  #show(at, { tip, cursor, x, width }) {
    this.#at = at;
    tip.hidden = at === null;
    cursor.setAttribute("visibility", at === null ? "hidden" : "visible");
    if (at === null) return;
    const { points, series, format } = this.#data;
    const point = points[at];
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    replace(tip, h("strong", null, point.title ?? point.label), series.map((one, which) =>
      h("div", null, h("i", { class: `key ${one.tone}` }), one.name, h("b", null, point.values[which] === null ? "–" : format(point.values[which])))));
    const left = Math.max(4, Math.min(width - tip.offsetWidth - 4, x(at) + (x(at) > width / 2 ? -tip.offsetWidth - 10 : 10)));
    tip.style.setProperty("left", `${left}px`);
    if (document.activeElement?.classList.contains("plot") && this.contains(document.activeElement)) {
      this.spoken.textContent = `${point.title ?? point.label}: ${series.map((one, which) => `${one.name} ${point.values[which] === null ? "none" : format(point.values[which])}`).join(", ")}`;
    }
  }

  #summary() {
    const { points, series, format } = this.#data;
    return series.map((one, which) => {
      const values = points.map((point) => point.values[which]).filter((value) => value !== null && value !== undefined);
      return values.length === 0 ? `${one.name}: nothing yet.` : `${one.name}: last ${format(values.at(-1))}, highest ${format(Math.max(...values))}.`;
    }).join(" ");
  }
}
customElements.define("th-chart", Chart);

export const legend = (series) =>
  h("div", { class: "legend" }, series.map((one) => h("span", null, h("i", { class: `key ${one.tone}` }), one.name)));

/** Two dozen hours in the width of a table cell: what went well and what did not. */
export function sparkline(hours, { width = 84, height = 24 } = {}) {
  const max = Math.max(1, ...hours.map((hour) => hour.attempts));
  const slot = width / Math.max(1, hours.length);
  const attempts = hours.reduce((sum, hour) => sum + hour.attempts, 0);
  const failed = hours.reduce((sum, hour) => sum + hour.attempts_failed, 0);
  const said = `Last 24 h: ${attempts} attempts, ${failed} failed`;
  const svg = s("svg", { class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said }, s("title", null, said));
  svg.append(s("line", { class: "grid", x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }));
  hours.forEach((hour, at) => {
    if (hour.attempts === 0) return;
    const tall = Math.max(2, (hour.attempts / max) * (height - 2));
    const bad = (hour.attempts_failed / hour.attempts) * tall;
    const box = { x: at * slot + 0.5, width: Math.max(1, slot - 1) };
    if (tall - bad > 0) svg.append(s("rect", { ...box, class: "mark good", y: height - 1 - tall + bad, height: tall - bad }));
    if (bad > 0) svg.append(s("rect", { ...box, class: "mark bad", y: height - 1 - tall, height: bad }));
  });
  return svg;
}
