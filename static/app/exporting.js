// Exporting tasks: the shown ones, or all.
import { act } from "../shared/act.js";
import { h, say } from "../shared/dom.js";
import { nextPage, request, save } from "../shared/session.js";
import { now } from "./address.js";
import { query } from "./api.js";
import { dialog } from "./dialog.js";
import { ZONE } from "./model.js";
import { inLanguage } from "./store.js";

// All parts of an export, each in the server's form.
async function parts(path, accept) {
  const found = [];
  for (let next = path; next;) {
    const response = await request(next, { headers: { Accept: accept } });
    found.push(await response.text());
    next = nextPage(response);
  }
  return found;
}

// The shown tasks as the export asks for them: by a filter in words, and the project or view.
function shown() {
  const address = now();
  const filter = inLanguage(address);
  return { project_id: address.project, view: address.view, filter, tz: ZONE };
}

const fetchExport = act(async (format, isAll) => {
  const path = `/tasks/export?${query({ format, ...(isAll ? {} : shown()) })}`;
  const found = await parts(path, format === "csv" ? "text/csv" : "application/json");
  if (format === "csv")
    save(
      new Blob(
        found.map((text, at) => (at ? text.slice(text.indexOf("\n") + 1) : text)),
        { type: "text/csv" },
      ),
      "tasks.csv",
    );
  else
    save(
      new Blob([found.length === 1 ? found[0] : JSON.stringify(found.flatMap((text) => JSON.parse(text)))], {
        type: "application/json",
      }),
      "tasks.json",
    );
  say("The file is in your downloads. Import reads it back unchanged.");
});

export function exportDialog() {
  const which = h(
    "select",
    { id: "export-which" },
    h("option", { value: "all" }, "All my tasks"),
    now().page ? null : h("option", { value: "shown" }, "What is shown, with its filters"),
  );
  const go = (format) => async () => {
    await fetchExport(format, which.value === "all");
    element.close();
  };
  const element = dialog(
    "Export",
    h(
      "div",
      { className: "stack" },
      h("div", { className: "field" }, h("label", { htmlFor: "export-which" }, "Which tasks"), which),
      h(
        "p",
        { className: "muted" },
        "JSON keeps everything; CSV opens in a spreadsheet. Both can be imported again.",
      ),
      h(
        "p",
        { className: "buttons" },
        h("button", { type: "button", onclick: go("csv") }, "CSV"),
        h("button", { type: "button", className: "main", onclick: go("json") }, "JSON"),
      ),
    ),
  );
}
