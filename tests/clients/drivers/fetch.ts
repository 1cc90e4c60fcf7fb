// A day with openapi-fetch and the types of openapi-typescript.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

const [baseUrl, name] = process.argv.slice(2) as [string, string];
const client = createClient<paths>({ baseUrl });
const password = "correct horse battery";

function sure<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

sure(await client.POST("/auth/register", { body: { username: name, email: `${name}@example.com`, password } }));
const token = sure(
  await client.POST("/auth/login", {
    body: { username: name, password },
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    bodySerializer: (body) => new URLSearchParams(body as Record<string, string>),
  }),
);
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${token.access_token}`);
    return request;
  },
});
const task: components["schemas"]["TaskRead"] = sure(
  await client.POST("/tasks", { body: { title: "Write the report", tags: ["writing"] } }),
);
for (const number of [0, 1, 2, 3]) sure(await client.POST("/tasks", { body: { title: `Task ${number}` } }));
const status: components["schemas"]["TaskStatus"][] = ["pending", "in_progress"];
const page = await client.GET("/tasks", { params: { query: { limit: 3, status, total: true } } });
must(sure(page).length === 3 && page.response.headers.get("x-total-count") === "5", "page");
const cursor = new URL(/<(.+)>/.exec(page.response.headers.get("link") ?? "")![1]!).searchParams.get("cursor")!;
must(sure(await client.GET("/tasks", { params: { query: { limit: 3, status, cursor } } })).length === 2, "next");
const path = { task_id: task.id };
const done = sure(await client.PUT("/tasks/{task_id}", { params: { path }, body: { status: "completed" } }));
must(done.completed_at !== null, "update");
const imported = sure(await client.POST("/tasks/import", { body: [{ title: "Old", status: "completed" }] }));
must(imported.imported === 1 && imported.ids.length === 1, "import");
const flow: components["schemas"]["Flow"] | string = sure(await client.GET("/analytics/flow", { params: { query: { project: ["General"] } } }));
must(typeof flow === "object" && flow.current.throughput === 2, "flow");
