// A day with the client of hey-api.
import { client } from "./hey/client.gen";
import { createTask, importTasks, listTasks, login, readFlow, register, updateTask } from "./hey/index";
import type { TaskRead, TaskStatus } from "./hey/index";

const [baseUrl, name] = process.argv.slice(2) as [string, string];
const password = "correct horse battery";

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

client.setConfig({ baseUrl, throwOnError: true });
const sure = { throwOnError: true as const };
await register({ ...sure, body: { username: name, email: `${name}@example.com`, password } });
const token = await login({ ...sure, body: { username: name, password } });
client.setConfig({ baseUrl, throwOnError: true, auth: token.data.access_token });
const task: TaskRead = (await createTask({ ...sure, body: { title: "Write the report" } })).data;
for (const number of [0, 1, 2, 3]) await createTask({ ...sure, body: { title: `Task ${number}` } });
const status: TaskStatus[] = ["pending"];
const page = await listTasks({ ...sure, query: { limit: 3, status, total: true } });
must(page.data.length === 3 && page.response.headers.get("x-total-count") === "5", "page");
const cursor = new URL(/<(.+)>/.exec(page.response.headers.get("link") ?? "")![1]!).searchParams.get("cursor")!;
must((await listTasks({ ...sure, query: { limit: 3, status, cursor } })).data.length === 2, "next");
const done = await updateTask({ ...sure, path: { task_id: task.id }, body: { status: "completed" } });
must(done.data.completed_at !== null, "update");
const imported = await importTasks({ ...sure, body: [{ title: "Old", status: "completed" }] });
must(imported.data.imported === 1 && imported.data.ids.length === 1, "import");
const flow = await readFlow({ ...sure, query: { project: ["General"] } });
must(typeof flow.data === "object" && flow.data.current.throughput === 2, "flow");
