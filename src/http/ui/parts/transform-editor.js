// One transformer and its options, from the schema that the module itself gives. A pipeline of several is JSON.

import { get } from "../lib/api.js";
import { h, replace, uid } from "../lib/dom.js";
import { jsonField } from "./json.js";
import { schemaForm } from "./schema.js";

const BUILT_IN = ["slack", "discord", "pagerduty", "teams", "opsgenie", "cloudevents", "envelope", "template", "jq", "redact"];

export function transformEditor({ value, onInput }) {
  const id = uid("transform");
  const steps = [value ?? []].flat().map((step) => (typeof step === "string" ? { use: step } : step));
  const select = h("select", { id });
  const place = h("div", { class: "stack" });
  const note = h("p", { class: "field-note bad", role: "status" });
  let editor = { read: () => ({ ok: true, value: {} }) };
  const schemas = new Map();
  let modules = [];

  function draw() {
    const name = select.value;
    if (name === "") editor = null;
    else if (name === "(pipeline)") {
      editor = jsonField({ id: `${id}-pipeline`, label: "Pipeline (JSON)", rows: 5, value: JSON.stringify(steps, null, 2), onInput });
      return replace(place, editor.element);
    } else {
      const schema = schemas.get(name);
      if (schema === undefined) return fetchSchema(name);
      editor = schema ? schemaForm(schema, { onInput }) : jsonField({ id: `${id}-options`, label: "Options (JSON)", rows: 4, value: "", optional: true, onInput, hint: "The options of this transformer could not be loaded." });
      const given = steps.length === 1 && steps[0].use === name ? steps[0].options : null;
      if (given && editor.write) editor.write(given);
      else if (given) editor.area.value = JSON.stringify(given, null, 2);
    }
    replace(place, editor?.element);
  }

  /** One that no webhook uses yet is loaded when it is asked for. */
  function fetchSchema(name) {
    editor = { read: () => ({ ok: true, value: steps.length === 1 && steps[0].use === name ? steps[0].options : {} }) };
    replace(place, h("p", { class: "muted small", role: "status" }, "Loading its options…"));
    get(`/v1/transformers/${encodeURIComponent(name)}`).then((module) => schemas.set(name, module.options_schema ?? null), () => schemas.set(name, null)).then(() => select.value === name && draw());
  }

  select.addEventListener("change", () => {
    draw();
    onInput?.();
  });
  const fill = () => {
    const names = [...new Set([...modules.map((module) => module.name), ...BUILT_IN, ...steps.map((step) => step.use)])].sort();
    const chosen = steps.length > 1 ? "(pipeline)" : (steps[0]?.use ?? "");
    replace(select, h("option", { value: "" }, "none: send the event unchanged"), names.map((name) => h("option", { value: name }, name)), h("option", { value: "(pipeline)" }, "several, as a pipeline"));
    select.value = chosen;
    draw();
  };
  fill();
  get("/v1/transformers").then((list) => {
    const was = select.value;
    modules = list.data.filter((module) => !module.error);
    for (const module of modules) if (module.options_schema) schemas.set(module.name, module.options_schema);
    fill();
    if (was !== select.value) {
      select.value = was;
      draw();
    }
  }, () => {});
  return {
    input: select,
    element: h("div", { class: "stack" }, h("div", { class: "field" }, h("label", { for: id }, "Transformer"), select, note), place),
    read() {
      if (select.value === "") return [];
      const read = editor.read();
      if (!read.ok) return undefined;
      if (select.value === "(pipeline)") return read.value;
      const options = read.value ?? {};
      // A list, as the server shows it: then it knows its own masked values again.
      return [{ use: select.value, ...(Object.keys(options).length > 0 ? { options } : {}) }];
    },
    isBad: () => note.textContent !== "",
    /** Options that cannot be read would be left out silently. */
    problem() {
      if (select.value === "") return "";
      const read = editor.read();
      return read.ok ? "" : read.message;
    },
    say: (message) => replace(note, message),
  };
}
