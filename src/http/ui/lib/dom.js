// Building elements: text stays text, so nothing that came over the wire can become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "style") for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith(".")) element[name.slice(1)] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false || child === "") continue;
    if (Array.isArray(child)) add(element, child);
    else element.append(child instanceof Node ? child : String(child));
  }
}

/** h("a", {href, class, on: {click}, data: {…}, style: {…}, ".value": …}, …children) */
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** The same for SVG. */
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

export function replace(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

/** Calls at most once in `pause` ms, the last call always. */
export function throttle(call, pause) {
  let timer = null;
  let last = 0;
  const run = () => {
    timer = null;
    last = Date.now();
    call();
  };
  const throttled = () => {
    if (timer === null) timer = setTimeout(run, Math.max(0, last + pause - Date.now()));
  };
  throttled.stop = () => clearTimeout(timer);
  return throttled;
}

/** Calls when nothing was asked for `pause` ms. */
export function debounce(call, pause) {
  let timer = null;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...args), pause);
  };
}

let counter = 0;
export const uid = (prefix) => `${prefix}-${(counter += 1)}`;
