// The calls of the API that the page makes, named by their purpose.
import { call, nextPage, request, write } from "../shared/session.js";

export const query = (values) => {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const each of [value].flat())
      if (each !== undefined && each !== null && each !== "") found.append(name, each);
  }
  return found.toString();
};

// All pages of a list, up to a number of rows.
async function whole(path, most = 1000) {
  const rows = [];
  for (let next = path; next && rows.length < most;) {
    const response = await request(next);
    rows.push(...(await response.json()));
    next = nextPage(response);
  }
  return rows;
}

// The newest rows of a list, oldest first, and whether there are earlier ones.
async function newest(path, most) {
  const rows = [];
  let next = `${path}?${query({ sort_order: "desc", limit: Math.min(most, 500) })}`;
  while (next && rows.length < most) {
    const response = await request(next);
    rows.push(...(await response.json()));
    next = nextPage(response);
  }
  return { rows: rows.reverse(), hasEarlier: Boolean(next) };
}

async function tagged(method, path, body, etag, headers = {}) {
  const options = { method, headers: { ...headers, ...(etag ? { "If-Match": etag } : {}) } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await request(path, options);
  return { value: await response.json(), etag: response.headers.get("ETag") };
}

export const newKey = () => crypto.randomUUID?.() || `${Date.now()}-${Math.random()}`;

// Makes of `send(key, ...)` a function that may be called again with the same values if it fails: it then has the same
// key, so that what the values stand for is made only once, even if only the answer was lost.
export function once(send) {
  let failed = null;
  return async (...given) => {
    const values = JSON.stringify(given);
    const key = failed?.values === values ? failed.key : newKey();
    failed = null;
    try {
      return await send(key, ...given);
    } catch (error) {
      failed = { values, key };
      throw error;
    }
  };
}

export const tasks = {
  get: (id) => tagged("GET", `/tasks/${id}`),
  create: once((key, task) => write("POST", "/tasks", task, { "Idempotency-Key": key })),
  createAll: once(async (key, given) => {
    const operations = given.map((task) => ({ op: "create", task }));
    return (await write("POST", "/tasks/batch", { operations }, { "Idempotency-Key": key })).results.map(({ task }) => task);
  }),
  change: (id, fields, etag) => tagged("PATCH", `/tasks/${id}`, fields, etag),
  remove: (id, options) => request(`/tasks/${id}`, { method: "DELETE", ...options }),
  assign: (id, userId, options) =>
    request(`/tasks/${id}/assign?${query({ assigned_user_id: userId })}`, { method: "PUT", ...options }),
  block: (id, reason) => write("PUT", `/tasks/${id}/blocked`, { reason }),
  unblock: (id) => write("DELETE", `/tasks/${id}/blocked`),
  batch: async (operations, { headers, atomic = true, ...options } = {}) => {
    const body = JSON.stringify({ atomic, operations });
    return (
      await request("/tasks/batch", {
        method: "POST",
        headers: { "Content-Type": "application/json", ...headers },
        body,
        ...options,
      })
    ).json();
  },
  history: (id, most) => newest(`/tasks/${id}/history`, most),
  // Parts of an import are sent one after the other.
  send: once((key, rows, projectId) =>
    write("POST", `/tasks/import?${query({ project_id: projectId })}`, rows, { "Idempotency-Key": key }),
  ),
};

export const comments = {
  list: (id, most) => newest(`/tasks/${id}/comments`, most),
  create: once((key, id, text) => write("POST", `/tasks/${id}/comments`, { text }, { "Idempotency-Key": key })),
  change: (id, commentId, text) => write("PATCH", `/tasks/${id}/comments/${commentId}`, { text }),
  remove: (id, commentId) => write("DELETE", `/tasks/${id}/comments/${commentId}`),
};

export const projects = {
  list: (archived = false) => whole(`/projects?${query({ archived: archived ? "true" : "" })}`),
  get: (id) => tagged("GET", `/projects/${id}`),
  create: once((key, project) => write("POST", "/projects", project, { "Idempotency-Key": key })),
  change: (id, fields, etag) => tagged("PATCH", `/projects/${id}`, fields, etag),
  remove: (id, what) => write("DELETE", `/projects/${id}?tasks=${what}`),
  members: (id) => whole(`/projects/${id}/members`),
  setMember: (id, userId, role, transferTo) =>
    write("PUT", `/projects/${id}/members/${userId}?${query({ transfer_to: transferTo })}`, { role }),
  removeMember: (id, userId, transferTo) =>
    write("DELETE", `/projects/${id}/members/${userId}?${query({ transfer_to: transferTo })}`),
};

export const views = {
  list: () => whole("/views"),
  create: once((key, view) => write("POST", "/views", view, { "Idempotency-Key": key })),
  change: (id, fields) => write("PATCH", `/views/${id}`, fields),
  remove: (id) => write("DELETE", `/views/${id}`),
};

export const notifications = {
  // The most that are asked for.
  MOST: 200,
  list: (unread = false) =>
    call(`/notifications?${query({ unread: unread ? "true" : "", limit: notifications.MOST })}`),
  read: (id) => write("POST", `/notifications/${id}/read`),
  readAll: () => write("POST", "/notifications/read-all"),
  preferences: () => call("/notifications/preferences"),
  prefer: (kinds) => write("PUT", "/notifications/preferences", kinds),
};

export const account = {
  me: () => call("/auth/me"),
  rename: (username) => write("PATCH", "/auth/me", { username }),
  password: (fields) => write("POST", "/auth/password", fields),
  email: (fields) => write("POST", "/auth/email", fields),
  sessions: () => call("/auth/sessions"),
  endSession: (id) => write("DELETE", `/auth/sessions/${id}`),
  endAll: () => write("POST", "/auth/logout-all"),
  tokens: () => call("/auth/tokens"),
  createToken: (token) => write("POST", "/auth/tokens", token),
  removeToken: (id) => write("DELETE", `/auth/tokens/${id}`),
  lookup: (username) => call(`/users/lookup?${query({ username })}`),
};

export const webhooks = {
  list: () => whole("/webhooks"),
  create: once((key, webhook) => write("POST", "/webhooks", webhook, { "Idempotency-Key": key })),
  change: (id, fields) => write("PATCH", `/webhooks/${id}`, fields),
  remove: (id) => write("DELETE", `/webhooks/${id}`),
  ping: (id) => write("POST", `/webhooks/${id}/ping`),
  rotate: (id) => write("POST", `/webhooks/${id}/rotate`),
  deliveries: (id) => call(`/webhooks/${id}/deliveries?limit=20`),
  retry: (id, deliveryId) => write("POST", `/webhooks/${id}/deliveries/${deliveryId}/retry`),
};

export const calendars = {
  list: () => whole("/calendars"),
  create: once((key, calendar) => write("POST", "/calendars", calendar, { "Idempotency-Key": key })),
  remove: (id) => write("DELETE", `/calendars/${id}`),
};
