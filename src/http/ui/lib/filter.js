// Trying a filter out while it is being written: the same rules as the server's, which has the last word when the
// webhook is saved.

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

const equal = (a, b) => JSON.stringify(a) === JSON.stringify(b) || (typeof a === "number" && typeof b === "number" && a === b);

const order = (a, b) => (typeof a === "number" && typeof b === "number") || (typeof a === "string" && typeof b === "string") ? (a < b ? -1 : a > b ? 1 : 0) : null;

const resolve = (operand, root) => {
  if (!isObject(operand) || typeof operand.$ref !== "string") return operand;
  return operand.$ref.split(".").reduce((value, key) => value?.[key], root);
};

const OPERATORS = {
  $eq: (value, operand) => (Array.isArray(value) && !Array.isArray(operand) ? value.some((item) => equal(item, operand)) : equal(value ?? null, operand ?? null)),
  $neq: (value, operand) => !OPERATORS.$eq(value, operand),
  $gt: (value, operand) => order(value, operand) === 1,
  $gte: (value, operand) => [0, 1].includes(order(value, operand)),
  $lt: (value, operand) => order(value, operand) === -1,
  $lte: (value, operand) => [0, -1].includes(order(value, operand)),
  $in: (value, operand) => (Array.isArray(operand) ? operand.some((item) => OPERATORS.$eq(value, item)) : Array.isArray(value) ? value.some((item) => equal(item, operand)) : typeof value === "string" && value.includes(String(operand))),
  $nin: (value, operand) => !OPERATORS.$in(value, operand),
  $startsWith: (value, operand) => typeof value === "string" && [operand].flat().some((start) => value.startsWith(start)),
  $endsWith: (value, operand) => typeof value === "string" && [operand].flat().some((end) => value.endsWith(end)),
  $exist: (value, operand) => (value !== undefined) === operand,
};

/** null when it matches, else the path of the clause that does not. */
export function mismatch(value, filter, root = value, path = "") {
  if (!isObject(filter)) {
    if (Array.isArray(filter)) return Array.isArray(value) && filter.every((item) => value.some((one) => equal(one, item))) ? null : path;
    return OPERATORS.$eq(value, filter) ? null : path;
  }
  for (const [key, operand] of Object.entries(filter)) {
    const at = path ? `${path}.${key}` : key;
    if (key === "$or") {
      if (!operand.some((one) => mismatch(value, one, root, path) === null)) return at;
    } else if (key === "$and") {
      const failed = operand.map((one) => mismatch(value, one, root, path)).find((one) => one !== null);
      if (failed !== undefined) return failed;
    } else if (key === "$not") {
      if (mismatch(value, operand, root, path) === null) return at;
    } else if (key.startsWith("$")) {
      const operator = OPERATORS[key];
      if (!operator) throw new Error(`unknown operator ${key}: there are ${Object.keys(OPERATORS).join(" ")} $or $and $not $ref`);
      if (!operator(value, resolve(operand, root))) return at;
    } else {
      const failed = mismatch(value?.[key], operand, root, at);
      if (failed !== null) return failed;
    }
  }
  return null;
}

/** Whether a pattern of event types matches: `*` one segment, `**` any number, a bare `*` everything. */
export function patternMatches(pattern, type) {
  if (pattern === "*") return !/^(webhook|tenterhook)\./.test(type);
  const walk = (wanted, had) => {
    if (wanted.length === 0) return had.length === 0;
    const [first, ...rest] = wanted;
    if (first === "**") return Array.from({ length: had.length + 1 }, (_, skip) => skip).some((skip) => walk(rest, had.slice(skip)));
    return had.length > 0 && (first === "*" || first === had[0]) && walk(rest, had.slice(1));
  };
  const wanted = pattern.split(".");
  if (/^(webhook|tenterhook)$/.test(type.split(".")[0]) && wanted[0].startsWith("*")) return false;
  return walk(wanted, type.split("."));
}
