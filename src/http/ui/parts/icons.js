// Line icons, 24 × 24, drawn with the text's colour.

import { s } from "../lib/dom.js";

const PATHS = {
  overview: "M4 19V5M4 19h16M8 15l4-5 3 3 5-7",
  webhooks: "M9 8.5a3 3 0 1 1 5 2.2l3 5.3M7 21a3 3 0 1 1-.5-5.9L9.5 10M17 15a3 3 0 1 1-2.2 5H9",
  deliveries: "M3 7h11v9H3zM14 10h4l3 3v3h-7M7 19a1.8 1.8 0 1 0 0-3.600A1.8 1.8 0 0 0 7 19M17.5 19a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6",
  events: "M13 3 5 13.500h6L10 21l9-11h-6.500z",
  transformers: "M4 7h9M4 12h5M4 17h9M16 8l4 4-4 4M20 12h-7",
  config: "M4 6h10M18 6h2M4 12h2M10 12h10M4 18h7M15 18h5M14 4v4M8 10v4M13 16v4",
  send: "M4 12 20 4l-5 16-3.5-6.500zM11.5 13.5 20 4",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  down: "m6 9 6 6 6-6",
  right: "m9 6 6 6-6 6",
  plus: "M12 5v14M5 12h14",
  check: "m5 12.5 4.5 4.500L19 7",
  cross: "M6 6l12 12M18 6 6 18",
  retry: "M4 12a8 8 0 0 1 13.7-5.600L20 9M20 4v5h-5M20 12a8 8 0 0 1-13.7 5.600L4 15M4 20v-5h5",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M12 7v5l3.5 2",
  pause: "M9 6v12M15 6v12",
  skip: "M5 12h14",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14M20 20l-4-4",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.400M18.4 5.6 17 7M7 17l-1.4 1.4",
  moon: "M20 14.500A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5",
  auto: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18M12 3v18M12 8h7.5M12 12h9M12 16h7.5",
  out: "M10 4H5v16h5M15 8l4 4-4 4M19 12H9",
  warn: "M12 4 2.5 20h19zM12 10v4M12 17h.01",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  key: "M14.5 9.500a4 4 0 1 0-2.8 2.800L13 14h2v2h2v2h3v-3z",
  replay: "M4 12a8 8 0 1 0 2.5-5.800L4 8.500M4 4v4.500h4.500M12 8v4l3 2",
  play: "M8 5v14l11-7z",
  dot: "M12 12h.01",
};

/** Made once of each kind: long tables have thousands of them. */
const made = new Map();

export function icon(name, { size = 18 } = {}) {
  const kind = `${name} ${size}`;
  if (!made.has(kind)) {
    made.set(kind, s("svg", { class: "icon", viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true", focusable: "false" }, s("path", { d: PATHS[name] })));
  }
  return made.get(kind).cloneNode(true);
}

export function logo(size = 28) {
  return s(
    "svg",
    { class: "logo", viewBox: "0 0 32 32", width: size, height: size, "aria-hidden": "true" },
    s("rect", { width: 32, height: 32, rx: 8, fill: "var(--brand)" }),
    s("path", {
      d: "M9 8h14M16 8v11a4.5 4.5 0 1 1-4.5 4.5",
      fill: "none",
      stroke: "#fff",
      "stroke-width": 3,
      "stroke-linecap": "round",
    }),
  );
}
