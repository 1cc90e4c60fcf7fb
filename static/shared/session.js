// The session of this browser in all of its tabs, and the calls to the API.
//
// The access token is only in this page's memory. The browser stays logged in by a cookie that no script can
// read: with the cookie a page gets a new access token. Local storage holds only whether asking for a token
// makes sense.
const root = document.body.dataset.root;
const FLAG = `task-platform-logged-in:${root}`;
const channel = new BroadcastChannel(`task-platform:${root}`);
const listeners = new Set();
let access = null;
let renewal = null;
// The id of the account that this page belongs to, once it is known.
let owner = null;
// The last message of another tab. It arrives sooner than the stored value changes.
let told = null;

class ApiError extends Error {
  constructor(response, problem) {
    super(problem.detail || `The server answered ${response.status}`);
    this.status = response.status;
    this.code = problem.code;
    this.errors = problem.errors || [];
    this.retryAfter = Number(response.headers.get("Retry-After")) || 0;
  }
}

export class LoggedOut extends Error {
  constructor() {
    super("Your session has ended: log in again.");
  }
}

class Unreachable extends Error {
  constructor() {
    super("The server can't be reached.");
    // No answer came.
    this.status = 0;
  }
}

// Whether the same request would have the same answer again. It may have another one after too many requests.
export const isFinal = ({ status }) => status >= 400 && status < 500 && status !== 429;

function flag(value) {
  try {
    if (value === undefined) return localStorage.getItem(FLAG) !== null;
    if (value) localStorage.setItem(FLAG, "1");
    else localStorage.removeItem(FLAG);
  } catch {
    // This browser stores nothing, so the page asks each time.
  }
  return true;
}

// Calls `listener("in")` when another tab logs in, and `listener("out")` when the session ends in any tab.
export function onSession(listener) {
  listeners.add(listener);
}

function tell(what) {
  access = null;
  told = what === "in";
  for (const listener of listeners) listener(what);
}

channel.addEventListener("message", (event) => tell(event.data));
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  // While the page was in the browser's cache, its account may have been logged out, or another one logged in.
  if (!flag()) tell("out");
  else {
    access = null;
    renew().catch(() => undefined);
  }
});

const accountOf = (token) => JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).sub;

// Takes an access token. If it is another account's, the page begins again: what is left of the account before, in
// memory or on its way, is neither shown nor sent. Nothing that waits for the token goes on.
function take(token) {
  const account = accountOf(token);
  if (owner !== null && account !== owner) {
    beginAgain();
    return new Promise(() => undefined);
  }
  [owner, access] = [account, token];
  return null;
}

// Loads the page again, without asking as it does before a text is lost by mistake.
export function beginAgain() {
  addEventListener("beforeunload", (event) => event.stopImmediatePropagation(), { capture: true });
  location.reload();
}

async function reach(path, options) {
  try {
    return await fetch(root + path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
}

export async function checked(response) {
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // The answer is a proxy's page, so only the status is shown.
  }
  throw new ApiError(response, problem);
}

function json(method, body) {
  return { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

// Makes a call that needs no login.
export async function open(path, body) {
  return (await checked(await reach(path, json("POST", body)))).json();
}

export async function logIn(username, password, remember = false) {
  const { access_token: token } = await open("/auth/page/login", { username, password, remember });
  flag(true);
  told = true;
  channel.postMessage("in");
  await take(token);
}

export async function logOut() {
  try {
    await open("/auth/page/logout", {});
  } finally {
    forget();
  }
}

function forget() {
  // Another tab that has told of the end may be at the next login by now.
  const isNews = told ?? flag();
  access = null;
  flag(false);
  told = false;
  if (isNews) channel.postMessage("out");
}

// Whether somebody is logged in with this browser.
export async function resume() {
  if (access) return true;
  if (!(told ?? flag())) return false;
  try {
    await renew();
    return true;
  } catch (error) {
    if (error instanceof LoggedOut) return false;
    throw error;
  }
}

function renew() {
  // Several calls may find the token expired at once, but only one of them renews it.
  renewal = renewal || ask().finally(() => (renewal = null));
  return renewal;
}

async function ask() {
  const response = await reach("/auth/page/token", json("POST", {}));
  if (response.status === 401) {
    forget();
    throw new LoggedOut();
  }
  await take((await (await checked(response)).json()).access_token);
}

async function send(path, options) {
  const headers = { Accept: "application/json", ...options.headers, Authorization: `Bearer ${access}` };
  return reach(path, { ...options, headers });
}

// Makes a call as the logged-in account; throws errors.
export async function request(path, options = {}) {
  if (!access) await renew();
  let response = await send(path, options);
  if (response.status === 401) {
    await renew();
    response = await send(path, options);
    if (response.status === 401) {
      forget();
      throw new LoggedOut();
    }
  }
  return checked(response);
}

async function content(response) {
  return response.status === 204 ? null : response.json();
}

export async function call(path, options) {
  return content(await request(path, options));
}

export async function write(method, path, body, headers = {}) {
  const options = body === undefined ? { method, headers: {} } : json(method, body);
  return content(await request(path, { ...options, headers: { ...options.headers, ...headers } }));
}

export const post = (path, body) => write("POST", path, body);

// The path of the next page, or null.
export function nextPage(response) {
  const found = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get("Link") || "");
  if (!found) return null;
  const url = new URL(found[1], location.href);
  return url.pathname.slice(root.length) + url.search;
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function address(path) {
  return new URL(root + path, location.href).href;
}
