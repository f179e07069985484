// Who is signed in: a token in this tab's session storage, and what it may do.

const KEY = "tenterhook-token";

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
  session.token = token;
  sessionStorage.setItem(KEY, token);
}

export function forgetToken() {
  session.token = null;
  session.canManage = false;
  session.canPublish = false;
  sessionStorage.removeItem(KEY);
}
