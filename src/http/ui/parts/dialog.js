// Dialogs: the platform's own, so that focus, Escape and screen readers are right.

import { h, replace, uid } from "../lib/dom.js";
import { button, iconButton, rescueNotices } from "./basics.js";

/** Opens a dialog; resolves when it closes. `build(close)` returns {body, foot}. */
export function openDialog({ title, wide = false, build }) {
  const label = uid("dialog");
  const dialog = h("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": label });
  return new Promise((resolve) => {
    let result;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    const { body, foot, onSubmit } = build(close, dialog);
    const form = h(
      "form",
      { novalidate: true, autocomplete: "off", on: { submit: (event) => {
        event.preventDefault();
        onSubmit?.();
      } } },
      h("header", null, h("h2", { id: label }, title), iconButton("Close", "cross", () => close())),
      h("div", { class: "dialog-body", tabindex: "-1" }, body),
      foot && h("footer", null, foot),
    );
    replace(dialog, form);
    document.body.append(dialog);
    dialog.addEventListener("close", () => {
      rescueNotices();
      dialog.remove();
      resolve(result);
    });
    // A click on the backdrop is a click on the dialog itself.
    let pressedOutside = false;
    dialog.addEventListener("pointerdown", (event) => (pressedOutside = event.target === dialog));
    dialog.addEventListener("click", (event) => {
      if (pressedOutside && event.target === dialog && !wide) close();
    });
    dialog.showModal();
    dialog.querySelector("[autofocus]")?.focus();
  });
}

/** True when the person said yes. */
export function confirm({ title, text, yes, danger = false }) {
  return openDialog({
    title,
    build: (close) => ({
      body: h("p", null, text),
      foot: [
        button("Cancel", { on: () => close(false), autofocus: true }),
        button(yes, { kind: danger ? "danger" : "primary", type: "submit" }),
      ],
      onSubmit: () => close(true),
    }),
  });
}
