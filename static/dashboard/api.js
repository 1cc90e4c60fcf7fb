// The program's API. The tokens are this tab's alone and end with it.
const root = document.body.dataset.root;
const KEY = "task-platform-tokens";

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || `The server answered ${status}`);
    this.status = status;
    this.code = problem.code;
  }
}

export class LoggedOut extends Error {}

function tokens() {
  return JSON.parse(sessionStorage.getItem(KEY) || "null");
}

export function isLoggedIn() {
  return tokens() !== null;
}

async function read(response) {
  if (response.ok) return response.json();
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // A proxy's page: the status says what there is to say.
  }
  throw new ApiError(response.status, problem);
}

export async function logIn(username, password) {
  const body = new URLSearchParams({ username, password });
  const found = await read(await fetch(`${root}/auth/login`, { method: "POST", body }));
  sessionStorage.setItem(KEY, JSON.stringify(found));
}

export async function logOut() {
  try {
    await call("/auth/logout", { method: "POST" });
  } finally {
    sessionStorage.removeItem(KEY);
  }
}

let renewal = null;

async function renew() {
  const held = tokens();
  if (!held || !held.refresh_token) throw new LoggedOut();
  const response = await fetch(`${root}/auth/refresh`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ refresh_token: held.refresh_token }),
  });
  if (!response.ok) {
    sessionStorage.removeItem(KEY);
    throw new LoggedOut();
  }
  sessionStorage.setItem(KEY, JSON.stringify(await response.json()));
}

async function send(path, options) {
  const held = tokens();
  if (!held) throw new LoggedOut();
  const headers = { Accept: "application/json", ...options.headers, Authorization: `Bearer ${held.access_token}` };
  return fetch(root + path, { ...options, headers });
}

async function authorized(path, options) {
  const response = await send(path, options);
  if (response.status !== 401) return response;
  // Several calls may find the token expired at once: it is renewed once.
  renewal = renewal || renew().finally(() => (renewal = null));
  await renewal;
  return send(path, options);
}

export async function call(path, options = {}) {
  return read(await authorized(path, options));
}

export async function post(path, body) {
  return call(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

export async function download(path, accept, name) {
  const response = await authorized(path, { headers: { Accept: accept } });
  if (!response.ok) return read(response);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export function address(path) {
  return new URL(root + path, location.href).href;
}
