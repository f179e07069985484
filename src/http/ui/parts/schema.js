// A form made of a transformer's JSON Schema of its options. What no field can express is JSON in a text area.

import { h, replace, uid } from "../lib/dom.js";

const typeOf = (schema) => (Array.isArray(schema?.type) ? schema.type.find((type) => type !== "null") : schema?.type);

function simpleInput(schema, id) {
  const type = typeOf(schema);
  if (schema.enum) {
    return h("select", { id }, h("option", { value: "" }, schema.default === undefined ? "–" : `default: ${schema.default}`), schema.enum.map((value) => h("option", { value: JSON.stringify(value) }, String(value))));
  }
  if (type === "boolean") {
    return h("select", { id }, h("option", { value: "" }, `default: ${schema.default === undefined ? "not set" : schema.default ? "yes" : "no"}`), h("option", { value: "true" }, "yes"), h("option", { value: "false" }, "no"));
  }
  if (type === "number" || type === "integer") {
    return h("input", { id, type: "number", step: type === "integer" ? "1" : "any", min: schema.minimum, max: schema.maximum, placeholder: schema.default ?? "" });
  }
  if (type === "string") return h("input", { id, type: "text", placeholder: schema.default ?? "", spellcheck: "false" });
  if (type === "array" && typeOf(schema.items) === "string" && !schema.items.enum) {
    return h("textarea", { id, rows: 2, class: "mono", placeholder: "one per line", spellcheck: "false" });
  }
  return null;
}

/** {element, read(): {ok, value | message}, write(options)} */
export function schemaForm(schema, { onInput } = {}) {
  const required = new Set(schema?.required ?? []);
  // What cannot be left out comes first.
  const properties = Object.entries(schema?.properties ?? {}).sort(([a], [b]) => Number(required.has(b)) - Number(required.has(a)));
  const fields = properties.map(([name, property]) => {
    const id = uid("option");
    const simple = simpleInput(property, id);
    const input = simple ?? h("textarea", { id, rows: 2, class: "mono", placeholder: "JSON", spellcheck: "false" });
    const note = h("p", { class: "field-note bad", role: "status" });
    const element = h("div", { class: "field" }, h("label", { for: id }, h("code", null, name), required.has(name) && h("span", { class: "required" }, " required")), input, note,
      property.description && h("p", { class: "hint" }, property.description));
    input.addEventListener("input", () => onInput?.());
    return { name, property, input, note, element, isJson: !simple };
  });
  const parse = ({ property, input, isJson }) => {
    const text = input.value;
    if (text.trim() === "") return undefined;
    if (isJson || property.enum || typeOf(property) === "boolean") return JSON.parse(text);
    if (typeOf(property) === "number" || typeOf(property) === "integer") return Number(text);
    if (typeOf(property) === "array") return text.split("\n").map((line) => line.trim()).filter(Boolean);
    return text;
  };
  return {
    element: h("div", { class: "schema-form" }, fields.length === 0 ? h("p", { class: "muted" }, "This transformer has no options.") : fields.map((field) => field.element)),
    read() {
      const value = {};
      let ok = true;
      for (const field of fields) {
        replace(field.note);
        try {
          const parsed = parse(field);
          if (parsed !== undefined) value[field.name] = parsed;
        } catch {
          replace(field.note, "This has to be JSON");
          ok = false;
        }
      }
      return ok ? { ok, value } : { ok, message: "an option is not JSON" };
    },
    write(options) {
      for (const { name, property, input, isJson } of fields) {
        const value = options?.[name];
        if (value === undefined || value === null) input.value = "";
        else if (isJson || property.enum || typeof value !== "string") input.value = Array.isArray(value) && !isJson ? value.join("\n") : JSON.stringify(value);
        else input.value = value;
      }
    },
  };
}
