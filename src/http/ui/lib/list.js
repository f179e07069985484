// A whole list of the API, read again and again: a page that has not changed is not parsed again, and its rows stay
// the same objects, so that a list of ten thousand costs what changed in it.

import { send } from "./api.js";

const PAGE_ROWS = 250;

export class WholeList {
  #path;
  #pages = [];

  constructor(path) {
    this.#path = path;
  }

  /** {rows, changed}; `onRows(rows, isAll)` after each page. */
  async read({ signal, onRows } = {}) {
    const pages = [];
    let rows = [];
    let changed = false;
    let cursor = null;
    do {
      const response = await send("GET", this.#path, { query: { limit: PAGE_ROWS, cursor }, signal });
      const text = await response.text();
      const known = this.#pages[pages.length];
      const page = known?.text === text ? known : { text, ...JSON.parse(text) };
      changed ||= page !== known;
      pages.push(page);
      rows = rows.concat(page.data);
      cursor = page.next;
      onRows?.(rows, !cursor);
    } while (cursor);
    changed ||= pages.length !== this.#pages.length;
    this.#pages = pages;
    return { rows, changed };
  }
}
