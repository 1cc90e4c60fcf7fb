// The account, its sessions, and its tokens for programs.
import { act } from "../shared/act.js";
import { field, h, say } from "../shared/dom.js";
import { day, moment } from "../shared/format.js";
import { beginAgain, address as link } from "../shared/session.js";
import { leaveAccount } from "./actions.js";
import * as api from "./api.js";
import { confirmed, form } from "./dialog.js";
import { model } from "./model.js";
import { formForNew, formWasSent, frame, loadAll, secret, section, table } from "./page.js";
import { sidebar } from "./side.js";
import { settleAll } from "./toasts.js";
import { calendarSection, webhookSection } from "./outside.js";

export async function settingsPage(place) {
  // A new password ends much of what the other sections show.
  const others = [
    section(
      "Sessions",
      "Where this account is logged in. Ending a session takes effect at once.",
      sessionRows,
    ),
    section(
      "Program tokens",
      "For scripts and other programs, each with what it may do.",
      tokenRows,
    ),
    webhookSection(),
    calendarSection(),
  ];
  const reload = () => Promise.all(others.map((each) => each.load()));
  const sections = [section("Account", "", () => accountForms(reload)), ...others];
  frame(place, "Settings", sections);
  await loadAll(sections);
}
settingsPage.title = "Settings";

function accountForms(whenEnded) {
  const name = form(
    [
      field("Username", {
        name: "username",
        value: model.me.username,
        required: true,
        minLength: 3,
        maxLength: 50,
      }),
    ],
    "Rename",
    async ({ username }) => {
      model.me = await api.account.rename(username);
      sidebar();
      say("Renamed.");
    },
    "line",
  );
  const email = form(
    [
      field(`New email (now ${model.me.email})`, { name: "email", type: "email", required: true }),
      field("Password", {
        name: "password",
        type: "password",
        autocomplete: "current-password",
        required: true,
      }),
    ],
    "Change the email",
    async (values, element) => {
      say((await api.account.email(values)).message, 15);
      element.reset();
    },
    "line",
  );
  const password = form(
    [
      field("Password now", {
        name: "current_password",
        type: "password",
        autocomplete: "current-password",
        required: true,
      }),
      field("New password", {
        name: "new_password",
        type: "password",
        autocomplete: "new-password",
        required: true,
        minLength: 8,
      }),
    ],
    "Change the password",
    async (values, element) => {
      say((await api.account.password(values)).message, 15);
      element.reset();
      await whenEnded();
    },
    "line",
  );
  return [name, email, password];
}

async function sessionRows(load) {
  const found = await api.account.sessions();
  const end = (each) =>
    act(
      async () => (
        each.current ? await leaveAccount() : await api.account.endSession(each.id),
        each.current ? beginAgain() : await load()
      ),
    );
  const all = act(async () => {
    if (!(await confirmed("Log out everywhere?", "Here too.", "Log out everywhere"))) return;
    await settleAll();
    await api.account.endAll();
    await leaveAccount();
    beginAgain();
  });
  return [
    table(
      "Sessions",
      ["Program", "Address", "Last used", ""],
      found.map((each) => [
        each.current ? h("strong", {}, `${browserOf(each.client)} (this one)`) : browserOf(each.client),
        each.address,
        moment(each.last_used_at),
        h("button", { type: "button", onclick: end(each) }, each.current ? "Log out" : "End"),
      ]),
      "None",
    ),
    h("p", { className: "buttons" }, h("button", { type: "button", onclick: all }, "Log out everywhere")),
  ];
}

// Finds the browser's real name in its `User-Agent`.
function browserOf(client) {
  const known = [
    ["Edg/", "Edge"],
    ["Firefox/", "Firefox"],
    ["Chrome/", "Chrome"],
    ["Safari/", "Safari"],
  ].find(([mark]) => client.includes(mark));
  const system = ["Windows", "Android", "iPhone", "Mac OS X", "Linux"].find((name) => client.includes(name));
  return known
    ? `${known[1]}${system ? ` on ${system.replace("Mac OS X", "macOS")}` : ""}`
    : client || "Unknown";
}

async function tokenRows(load, kept) {
  const found = await api.account.tokens();
  const scopes = [
    "tasks:read",
    "tasks:write",
    "analytics:read",
    ...(model.me.role === "admin" ? ["admin"] : []),
  ];
  const revoke = (each) =>
    act(async () => {
      if (
        !(await confirmed(
          `Revoke "${each.name}"?`,
          "The program that uses it is refused from now on.",
          "Revoke",
        ))
      )
        return;
      await api.account.removeToken(each.id);
      await load();
    });
  const create = () => form(
    [
      field("Name", { name: "name", required: true, maxLength: 100, placeholder: "nightly import" }),
      field("Ends on", { name: "expires", type: "date" }),
      h(
        "fieldset",
        { className: "checks" },
        h("legend", {}, "It may"),
        scopes.map((scope) =>
          h(
            "label",
            { className: "check" },
            h("input", { type: "checkbox", name: scope, checked: scope === "tasks:read" }),
            h("code", {}, scope),
          ),
        ),
      ),
    ],
    "Make a token",
    async (values) => {
      const chosen = scopes.filter((scope) => values[scope] === "on");
      if (!chosen.length) throw new Error("Choose at least one thing that it may do.");
      const token = await api.account.createToken({
        name: values.name,
        scopes: chosen,
        ...(values.expires ? { expires_at: new Date(`${values.expires}T23:59:59`).toISOString() } : {}),
      });
      formWasSent(kept);
      kept.set(token.id, secret(`The token "${token.name}"`, token.token));
      await load();
    },
  );
  return [
    table(
      "Program tokens",
      ["Name", "May", "Ends with", "Last used", "Until", ""],
      found.map((each) => [
        each.name,
        each.scopes.join(", "),
        `…${each.last_four}`,
        each.last_used_at ? moment(each.last_used_at) : "never",
        each.expires_at ? day(each.expires_at) : "for ever",
        h("button", { type: "button", onclick: revoke(each) }, "Revoke"),
      ]),
      "None yet.",
    ),
    ...found.map((each) => kept.get(each.id)),
    formForNew(kept, "New token", create),
    h(
      "p",
      { className: "muted" },
      "How to use one: ",
      h("a", { href: link("/guide/accounts-and-tokens") }, "the guide"),
      ".",
    ),
  ];
}
