// Lets Node import what Tenterhook gives to a transformer: lines go to the console.
import { register } from "node:module";

const host = "export const log = (level, message) => console.log(`${level}: ${message}`);";
const hooks = `
export async function resolve(specifier, context, next) {
  if (!specifier.startsWith("tenterhook:")) return next(specifier, context);
  return { url: "data:text/javascript,${encodeURIComponent(host)}", shortCircuit: true };
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
