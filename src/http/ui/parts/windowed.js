// Tables of any length: only the rows in and around the view are in the page, those above and below are one empty row
// each, as tall as all of them. Heights are measured once a row was there, and estimated before.

import { h } from "../lib/dom.js";

/** Shorter tables are in the page as a whole: searching in the page, printing and tests see all of it. */
const WHOLE_MAX = 60;

/** Beyond the view, above and below: a fast wheel does not outrun it, and Tab always finds a next row. */
const MARGIN_PX = 300;

/**
 * The rows of `body`. `rowsOf(item)` makes the elements of an item, kept while it is the same object and within reach;
 * `isPinned(key)` keeps them for good (an opened row); `onWindow(items)` hears what is in the page now.
 */
export class WindowedRows {
  #body;
  #options;
  #items = [];
  #made = new Map();
  #heights = new Map();
  #tops = new Float64Array(1);
  #above = spacer();
  #below = spacer();
  #frame = 0;
  #shown = "";
  #observer = new ResizeObserver(() => this.#measure());

  /** {keyOf, rowsOf, isPinned, onWindow, onDrop, estimate, columns} */
  constructor(body, options) {
    this.#body = body;
    this.#options = { isPinned: () => false, onWindow: () => {}, onDrop: () => {}, estimate: 58, ...options };
    for (const one of [this.#above, this.#below]) one.firstChild.colSpan = this.#options.columns;
    body.replaceChildren(this.#above, this.#below);
    addEventListener("scroll", this.#soon, { passive: true });
    addEventListener("resize", this.#soon, { passive: true });
  }

  stop() {
    removeEventListener("scroll", this.#soon);
    removeEventListener("resize", this.#soon);
    cancelAnimationFrame(this.#frame);
    this.#observer.disconnect();
  }

  get items() {
    return this.#items;
  }

  show(items) {
    this.#items = items;
    this.#shown = "";
    this.#lay();
    this.#render();
  }

  /** Other elements for an item that is in the page: opened, or closed again. */
  change(key, rows) {
    const made = this.#made.get(key);
    if (!made) return;
    made.rows = rows;
    this.#shown = "";
    this.#render();
  }

  /** Scrolls to a row that is not in view, and marks it for a moment. */
  reveal(key) {
    const at = this.#items.findIndex((item) => this.#options.keyOf(item) === key);
    if (at < 0) return;
    const y = this.#body.getBoundingClientRect().top + this.#tops[at];
    if (y < 60 || y > innerHeight - 90) scrollBy({ top: y - innerHeight / 3, behavior: "instant" });
    this.#render();
    const row = this.#made.get(key)?.rows[0];
    row?.classList.add("fresh");
    setTimeout(() => row?.classList.remove("fresh"), 2500);
  }

  #soon = () => {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#render();
    });
  };

  /** Where each row begins. */
  #lay() {
    const { keyOf } = this.#options;
    const known = [...this.#heights.values()];
    const usual = known.length > 0 ? known.reduce((sum, height) => sum + height, 0) / known.length : this.#options.estimate;
    const tops = new Float64Array(this.#items.length + 1);
    this.#items.forEach((item, at) => {
      tops[at + 1] = tops[at] + (this.#heights.get(keyOf(item)) ?? usual);
    });
    this.#tops = tops;
  }

  /** The first row that ends below this. */
  #rowAt(y) {
    let [from, to] = [0, this.#items.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#tops[middle + 1] <= y) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #range() {
    const count = this.#items.length;
    if (count <= WHOLE_MAX) return [0, count];
    const top = -this.#body.getBoundingClientRect().top;
    return [this.#rowAt(top - MARGIN_PX), Math.min(count, this.#rowAt(top + innerHeight + MARGIN_PX) + 1)];
  }

  #render() {
    const { keyOf, rowsOf, isPinned, onWindow, onDrop } = this.#options;
    const [from, to] = this.#range();
    const range = `${from}-${to}`;
    if (range === this.#shown) return;
    this.#shown = range;
    const items = this.#items.slice(from, to);
    const wanted = items.map((item, at) => {
      const key = keyOf(item);
      let made = this.#made.get(key);
      if (made?.item !== item) {
        made = { item, rows: rowsOf(item) };
        this.#made.set(key, made);
      }
      made.rows[0].setAttribute("aria-rowindex", String(from + at + 2));
      return made.rows;
    }).flat();
    const keys = new Set(items.map(keyOf));
    for (const key of this.#made.keys()) {
      if (keys.has(key) || isPinned(key)) continue;
      this.#made.delete(key);
      onDrop(key);
    }
    this.#place(wanted);
    this.#above.firstChild.style.setProperty("height", `${this.#tops[from]}px`);
    this.#below.firstChild.style.setProperty("height", `${this.#tops[this.#items.length] - this.#tops[to]}px`);
    this.#above.hidden = from === 0;
    this.#below.hidden = to === this.#items.length;
    this.#body.closest("table")?.setAttribute("aria-rowcount", String(this.#items.length + 1));
    this.#observer.disconnect();
    wanted.forEach((row) => this.#observer.observe(row));
    onWindow(items);
  }

  /** Rows that stay are not touched: what has the focus keeps it. */
  #place(wanted) {
    const stay = new Set(wanted);
    for (const row of [...this.#body.children]) {
      if (!stay.has(row) && row !== this.#above && row !== this.#below) row.remove();
    }
    let next = this.#above.nextSibling;
    for (const row of wanted) {
      if (row === next) next = next.nextSibling;
      else this.#body.insertBefore(row, next);
    }
  }

  #measure() {
    if (!this.#body.isConnected) return;
    const { keyOf } = this.#options;
    let changed = false;
    for (const [key, { item, rows }] of this.#made) {
      if (!rows[0].isConnected || keyOf(item) !== key) continue;
      const height = rows.reduce((sum, row) => sum + row.offsetHeight, 0);
      if (height === 0 || this.#heights.get(key) === height) continue;
      this.#heights.set(key, height);
      changed = true;
    }
    if (!changed || this.#items.length <= WHOLE_MAX) return;
    this.#lay();
    this.#shown = "";
    this.#soon();
  }
}

const spacer = () => h("tr", { class: "spacer", "aria-hidden": "true", hidden: true }, h("td", null));
