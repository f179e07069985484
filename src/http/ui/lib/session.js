// Who is signed in: a token in this tab's session storage, and what it may do.

const KEY = "tenterhook-token";
const SCOPE_KEY = "tenterhook-scope";

export const session = {
  token: sessionStorage.getItem(KEY),
  canManage: false,
  canPublish: false,
};

/** The link that the server prints carries the token in the fragment, which never leaves the browser. */
export function takeTokenFromLink() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  keepToken(token);
  history.replaceState(null, "", location.pathname + location.search);
}

export function keepToken(token) {
  if (token !== session.token) sessionStorage.removeItem(SCOPE_KEY);
  session.token = token;
  sessionStorage.setItem(KEY, token);
}

/** Whether a token may manage, as learnt before in this tab; undefined when it was not. */
export function keptScope(token) {
  return sessionStorage.getItem(SCOPE_KEY) === null || session.token !== token ? undefined : sessionStorage.getItem(SCOPE_KEY) === "manage";
}

export const keepScope = (token, manages) => session.token === token && sessionStorage.setItem(SCOPE_KEY, manages ? "manage" : "read");

export function forgetToken() {
  session.token = null;
  session.canManage = false;
  session.canPublish = false;
  sessionStorage.removeItem(KEY);
  sessionStorage.removeItem(SCOPE_KEY);
}
