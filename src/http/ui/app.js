// The frame: signing in, the navigation, the page that the address names.

import { h, replace } from "./lib/dom.js";
import { learnScopes } from "./lib/api.js";
import { liveState, startLive, stopLive } from "./lib/live.js";
import { onNavigate, startRouter } from "./lib/router.js";
import { forgetToken, keepToken, session, takeTokenFromLink } from "./lib/session.js";
import { button, busy, iconButton, problemBox } from "./parts/basics.js";
import { icon, logo } from "./parts/icons.js";
import { configPage } from "./pages/config.js";
import { deliveriesPage } from "./pages/deliveries.js";
import { eventsPage } from "./pages/events.js";
import { overviewPage } from "./pages/overview.js";
import { transformersPage } from "./pages/transformers.js";
import { webhooksPage } from "./pages/webhooks.js";

const PAGES = [
  { path: "/", name: "Overview", icon: "overview", render: overviewPage },
  { path: "/webhooks", name: "Webhooks", icon: "webhooks", render: webhooksPage },
  { path: "/deliveries", name: "Deliveries", icon: "deliveries", render: deliveriesPage },
  { path: "/events", name: "Events", icon: "events", render: eventsPage },
  { path: "/transformers", name: "Transformers", icon: "transformers", render: transformersPage },
  { path: "/config", name: "Config", icon: "config", render: configPage },
];

const THEMES = ["auto", "light", "dark"];
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };

let leave = null;
let main = null;
let firstPage = true;

function theme() {
  const stored = localStorage.getItem("tenterhook-theme");
  return THEMES.includes(stored) ? stored : "auto";
}

function applyTheme() {
  document.documentElement.dataset.theme = theme();
}

function themeButton() {
  const control = iconButton("", THEME_ICONS[theme()], () => {
    localStorage.setItem("tenterhook-theme", THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
    applyTheme();
    name();
  });
  const name = () => {
    replace(control, icon(THEME_ICONS[theme()]));
    control.setAttribute("aria-label", `Colours: ${theme()}`);
    control.title = `Colours: ${theme()}`;
  };
  name();
  return control;
}

function liveBadge() {
  const badge = h("span", { class: "live", role: "status" });
  const words = { live: "Live", polling: "Every 3 s", connecting: "Connecting", offline: "No connection" };
  const show = () => {
    badge.dataset.state = liveState();
    badge.title = liveState() === "polling" ? "This server has no stream: the page polls every few seconds" : "";
    replace(badge, h("i", null), words[liveState()]);
  };
  window.addEventListener("live-state", show);
  show();
  return badge;
}

function frame() {
  main = h("main", { id: "main", tabindex: "-1" });
  const links = PAGES.map((page) => h("a", { href: page.path, data: { path: page.path } }, icon(page.icon), h("span", null, page.name)));
  const out = iconButton("Sign out", "out", () => {
    forgetToken();
    showSignIn();
  });
  replace(
    document.body,
    h("a", { class: "skip", href: "#main" }, "Skip to the content"),
    h("div", { class: "frame" },
      h("aside", { class: "side" },
        h("a", { class: "brand", href: "/" }, logo(), h("span", null, "Tenterhook")),
        h("nav", { "aria-label": "Pages" }, links),
        h("div", { class: "side-foot" },
          liveBadge(),
          h("span", { class: "tag scope", title: session.canManage ? "This token may change things" : "This token may only read" }, session.canManage ? "manage" : [icon("lock", { size: 12 }), "read-only"]),
          h("span", { class: "grow" }), themeButton(), out)),
      main),
  );
}

function show() {
  if (!session.token) return showSignIn();
  if (!main?.isConnected) frame();
  const page = PAGES.find((one) => one.path !== "/" && (location.pathname === one.path || location.pathname.startsWith(`${one.path}/`))) ?? PAGES[0];
  document.title = `${page.name} · Tenterhook`;
  for (const link of document.querySelectorAll(".side nav a")) {
    if (link.dataset.path === page.path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  leave?.();
  replace(main);
  scrollTo(0, 0);
  const id = decodeURIComponent(location.pathname.slice(page.path.length).replace(/^\//, "")) || null;
  leave = page.render(main, page.path === "/" ? null : id) ?? null;
  if (!firstPage) main.focus({ preventScroll: true });
  firstPage = false;
}

function showSignIn(said) {
  leave?.();
  leave = null;
  main = null;
  stopLive();
  document.title = "Sign in · Tenterhook";
  const note = h("p", { class: "field-note bad", role: "alert", id: "token-note" }, said);
  const field = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": "token-note token-hint", required: true });
  const submit = button("Sign in", { kind: "primary", type: "submit" });
  const form = h("form", { class: "sign-in", novalidate: true, on: { submit: (event) => {
    event.preventDefault();
    const token = field.value.trim();
    if (!token) {
      replace(note, "Paste a token first");
      return field.focus();
    }
    busy(submit, () => signIn(token)).catch((error) => {
      replace(note, error.message);
      field.focus();
    });
  } } },
    logo(44), h("h1", null, "Tenterhook"), h("p", { class: "muted" }, "See and steer webhook deliveries."),
    h("div", { class: "field" }, h("label", { for: "token" }, "Token"), field, note,
      h("p", { class: "hint", id: "token-hint" }, "One of [tokens] in config.toml, or the one printed at first start, also stored in ", h("code", null, "data/admin-token"), ". With scope read this page is read-only; with manage it can also change things. It stays in this tab.")),
    submit);
  replace(document.body, h("main", { class: "sign-in-page" }, form));
  field.focus();
}

async function signIn(token) {
  await learnScopes(token);
  keepToken(token);
  startLive();
  show();
}

async function start() {
  applyTheme();
  takeTokenFromLink();
  startRouter();
  onNavigate(() => session.token && show());
  window.addEventListener("signed-out", (event) => showSignIn(event.detail));
  window.addEventListener("hashchange", () => {
    takeTokenFromLink();
    if (session.token) signIn(session.token).catch((error) => showSignIn(error.message));
  });
  if (!session.token) return showSignIn();
  try {
    await signIn(session.token);
  } catch (error) {
    // Only a server that does not know the token says that it is none.
    if (error.status !== 401 && error.status !== 403) replace(document.body, h("main", { class: "sign-in-page" }, problemBox(error, () => location.reload())));
    else {
      forgetToken();
      showSignIn(error.message);
    }
  }
}

start();
