// Connections to other programs: webhooks and calendars.
import { act } from "../shared/act.js";
import { describe, field, h, say } from "../shared/dom.js";
import { moment } from "../shared/format.js";
import * as api from "./api.js";
import { confirmed, form } from "./dialog.js";
import { ZONE, loadViews, may, model, projectOf } from "./model.js";
import { formForNew, formWasSent, replaceContent, secret, section, table } from "./page.js";

const TYPES = [
  "task.*",
  "comment.*",
  "project.*",
  "member.*",
  "task.created",
  "task.status_changed",
  "task.assigned",
  "task.deleted",
];

export function webhookSection() {
  return section(
    "Webhooks",
    "Tell a program of yours what happens, signed as Standard Webhooks are.",
    webhookRows,
  );
}

async function webhookRows(load, kept) {
  const found = await api.webhooks.list();
  const managed = model.projects.filter((each) => may("manager", each.id));
  const create = () => form(
    [
      field("Address", { name: "url", type: "url", required: true, placeholder: "https://example.com/hook" }),
      field("What for", { name: "description", maxLength: 500 }),
      field("Tasks of", { name: "project_id" }, "select", [
        h("option", { value: "" }, "mine"),
        ...managed.map((each) => h("option", { value: each.id }, each.name)),
      ]),
      h(
        "fieldset",
        { className: "checks" },
        h("legend", {}, "When"),
        TYPES.map((type) =>
          h(
            "label",
            { className: "check" },
            h("input", { type: "checkbox", name: type, checked: type === "task.*" }),
            h("code", {}, type),
          ),
        ),
      ),
    ],
    "Add a webhook",
    async (values) => {
      const types = TYPES.filter((type) => values[type] === "on");
      if (!types.length) throw new Error("Choose at least one kind of event.");
      const made = await api.webhooks.create({
        url: values.url,
        types,
        ...(values.project_id ? { project_id: Number(values.project_id) } : {}),
        ...(values.description ? { description: values.description } : {}),
      });
      // If the answer to an earlier attempt was lost, the secret is lost with it.
      const found = made.secret ? made : await api.webhooks.rotate(made.id);
      formWasSent(kept);
      kept.set(made.id, secret("The signing secret", found.secret));
      await load();
    },
  );
  return [
    found.length
      ? h(
          "ul",
          { className: "hooks" },
          found.map((each) => webhook(each, load, kept)),
        )
      : h("p", { className: "muted" }, "None yet."),
    formForNew(kept, "New webhook", create),
  ];
}

function webhook(each, load, kept) {
  const place = h("div", {});
  const shown = h("div", {}, kept.get(each.id));
  const show = act(async () => {
    const found = await api.webhooks.deliveries(each.id);
    const again = (one) =>
      act(
        async () => (
          await api.webhooks.retry(each.id, one.id),
          say("It is sent again."),
          setTimeout(show, 1500)
        ),
      );
    replaceContent(place, () => [
      table(
        `Deliveries to ${each.url}`,
        ["When", "What", "State", "Answer", "Tries", ""],
        found.map((one) => [
          moment(one.created_at),
          one.type,
          one.state,
          one.status_code ? `${one.status_code}, ${one.duration_ms} ms` : one.error || "-",
          String(one.attempts),
          one.state === "delivered" ? "" : h("button", { type: "button", onclick: again(one) }, "Retry"),
        ]),
        "Nothing was sent yet.",
      ),
    ]);
  });
  const rotate = act(async () => {
    if (!(await confirmed("A new secret?", "The old one signs too for 24 hours.", "Make a new secret")))
      return;
    kept.set(each.id, secret("The new signing secret", (await api.webhooks.rotate(each.id)).secret));
    shown.replaceChildren(kept.get(each.id));
  });
  const erase = act(async () => {
    if (!(await confirmed("Delete the webhook?", each.url, "Delete"))) return;
    await api.webhooks.remove(each.id);
    await load();
  });
  const button = (label, run) => h("button", { type: "button", onclick: run }, label);
  const url = h("code", {}, each.url);
  const entry = h(
    "li",
    {},
    h(
      "p",
      {},
      url,
      " ",
      h(
        "span",
        { className: "muted" },
        `${each.types.join(", ")}${each.project_id ? `, ${projectOf(each.project_id)?.name || "a project"}` : ""}${each.enabled ? "" : ", switched off"}`,
      ),
    ),
    each.description ? h("p", { className: "muted" }, each.description) : null,
    h(
      "p",
      { className: "buttons" },
      button("Last deliveries", show),
      button(
        "Ping",
        act(
          async () => (
            await api.webhooks.ping(each.id),
            say("A ping is on its way."),
            setTimeout(show, 1500)
          ),
        ),
      ),
      button(
        each.enabled ? "Switch off" : "Switch on",
        act(async () => (await api.webhooks.change(each.id, { enabled: !each.enabled }), await load())),
      ),
      button("New secret", rotate),
      button("Delete", erase),
    ),
    shown,
    place,
  );
  return describe(entry, url);
}

export function calendarSection() {
  return section(
    "Calendars",
    "Open tasks with a due date, for Thunderbird, Google and Apple calendars. Whoever has the address sees them.",
    calendarRows,
  );
}

async function calendarRows(load, kept) {
  const [found] = await Promise.all([api.calendars.list(), loadViews()]);
  const erase = (each) => act(async () => (await api.calendars.remove(each.id), await load()));
  const create = form(
    [
      field("Which tasks", { name: "view" }, "select", [
        h("option", { value: "" }, "All of mine"),
        ...model.views.map((each) => h("option", { value: each.id }, each.name)),
      ]),
    ],
    "Make an address",
    async ({ view }) => {
      const wanted = { tz: ZONE, ...(view ? { view_id: Number(view) } : {}) };
      let made = await api.calendars.create(wanted);
      // If the answer to an earlier attempt was lost, its address is lost with it.
      if (!made.url) {
        await api.calendars.remove(made.id);
        made = await api.calendars.create(wanted);
      }
      kept.set(made.id, secret("The address of the calendar", new URL(made.url, location.href).href));
      await load();
    },
    "line",
  );
  return [
    table(
      "Calendars",
      ["Tasks", "Zone", "Since", ""],
      found.map((each) => [
        each.view_id ? model.views.find((view) => view.id === each.view_id)?.name || "a view" : "All of mine",
        each.tz,
        each.created_at ? moment(each.created_at) : "",
        h("button", { type: "button", onclick: erase(each) }, "Delete"),
      ]),
      "None yet.",
    ),
    ...found.map((each) => kept.get(each.id)),
    create,
  ];
}
