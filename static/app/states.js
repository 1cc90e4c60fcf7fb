// A project's states: names, limits, order.
import { act } from "../shared/act.js";
import { field, h } from "../shared/dom.js";
import { dialog, form } from "./dialog.js";
import { STATUSES } from "./model.js";
import { typedUntil } from "./page.js";

const keyFrom = (name, taken) => {
  const plain =
    name
      .normalize("NFD")
      .replace(/\p{M}/gu, "")
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "_")
      .replace(/^_+|_+$/g, "")
      .slice(0, 26) || "state";
  let key = plain;
  for (let number = 2; taken.has(key); number++) key = `${plain}_${number}`;
  return key;
};

// The editor of a project's states, which are changed by `send(fields, more)`.
export function stateEditor(project, send) {
  const list = h("ol", { className: "states" });
  const head = h(
    "ol",
    { className: "states", "aria-hidden": "true" },
    h(
      "li",
      { className: "columns-head" },
      ["Name", "Status", "Limit", "Beyond it", "", ""].map((text) => h("span", {}, text)),
    ),
  );
  const rows = [];
  const problem = h("p", { className: "problem", role: "alert" });
  const label = () => rows.forEach((row, at) => row.label(at));
  const touch = () => list.dispatchEvent(new Event("input", { bubbles: true }));

  function add(state) {
    const name = h("input", { value: state.name, maxLength: 100, required: true });
    const status = h(
      "select",
      {},
      STATUSES.map(([value, label]) => h("option", { value, selected: value === state.status }, label)),
    );
    const limit = h("input", {
      type: "number",
      min: 1,
      max: 1000,
      value: state.wip_limit ?? "",
      placeholder: "No limit",
    });
    const policy = h(
      "select",
      {},
      [
        ["warn", "warn"],
        ["block", "refuse"],
      ].map(([value, label]) => h("option", { value, selected: value === state.wip_policy }, label)),
    );
    const waiting = h(
      "label",
      { className: "check" },
      h("input", { type: "checkbox", checked: state.waiting }),
      "Waiting",
    );
    const row = {
      read: () => ({
        key: state.key,
        name: name.value.trim(),
        status: status.value,
        wip_limit: limit.value ? Number(limit.value) : null,
        wip_policy: policy.value,
        waiting: waiting.firstChild.checked,
      }),
    };
    const shift = (by) => () => {
      const at = rows.indexOf(row);
      if (!rows[at + by]) return;
      rows.splice(at + by, 0, ...rows.splice(at, 1));
      list.replaceChildren(...rows.map((each) => each.element));
      label();
      touch();
      row.element.querySelector(by < 0 ? ".up" : ".down").focus();
    };
    const drop = () => {
      const at = rows.indexOf(row);
      rows.splice(at, 1);
      row.element.remove();
      label();
      touch();
      // The focus goes on in the next row, or in the one above the last.
      (rows[at] || rows[at - 1])?.element.firstChild.focus();
    };
    const button = (className, sign, onclick) =>
      h("button", { type: "button", className: `bare ${className}`, onclick }, sign);
    const [up, down, out] = [button("up", "↑", shift(-1)), button("down", "↓", shift(1)), button("out", "✕", drop)];
    // The names for screen readers follow the place of the state, and the name that is typed.
    row.label = (at) => {
      const said = name.value.trim() || `state ${at + 1}`;
      name.setAttribute("aria-label", `Name of state ${at + 1}`);
      waiting.firstChild.setAttribute("aria-label", `Waiting: ${said}`);
      status.setAttribute("aria-label", `Status of ${said}`);
      limit.setAttribute("aria-label", `Limit of ${said}`);
      policy.setAttribute("aria-label", `Beyond the limit of ${said}`);
      up.setAttribute("aria-label", `${said} earlier`);
      down.setAttribute("aria-label", `${said} later`);
      out.setAttribute("aria-label", `Take ${said} out`);
    };
    name.addEventListener("input", label);
    row.element = h(
      "li",
      {},
      name,
      status,
      limit,
      policy,
      waiting,
      h("span", { className: "moves" }, up, down, out),
    );
    rows.push(row);
    list.append(row.element);
    label();
  }

  const read = () => {
    const taken = new Set(rows.map((row) => row.read().key).filter(Boolean));
    return rows.map((row) => {
      const state = row.read();
      if (!state.key) taken.add((state.key = keyFrom(state.name, taken)));
      return state;
    });
  };

  const save = act(async () => {
    problem.textContent = "";
    const [states, saved] = [read(), typedUntil(list)];
    try {
      await send({ states });
      saved();
    } catch (error) {
      if (error.code === "state_in_use") replace(project, states, send, saved);
      else if (error.errors?.length) problem.textContent = error.errors.map((each) => each.detail).join(" ");
      else throw error;
    }
  });

  project.states.forEach(add);
  return [
    head,
    list,
    problem,
    h(
      "p",
      { className: "buttons" },
      h(
        "button",
        {
          type: "button",
          onclick: () => (
            add({ name: "", status: "in_progress", wip_policy: "warn" }),
            touch(),
            list.lastChild.firstChild.focus()
          ),
        },
        "Add a state",
      ),
      h("button", { type: "button", className: "main", onclick: save }, "Save"),
    ),
  ];
}

// Asks for a new state for tasks in a removed state.
function replace(project, states, send, saved) {
  const kept = new Set(states.map((state) => state.key));
  const gone = project.states.filter((state) => !kept.has(state.key));
  const element = dialog(
    "Where do its tasks go?",
    form(
      gone.map((state) =>
        field(
          `Tasks in ${state.name}`,
          { name: state.key },
          "select",
          states.map((each) =>
            h("option", { value: each.key, selected: each.status === state.status }, each.name),
          ),
        ),
      ),
      "Save",
      async (replaced) => {
        await send({ states }, { replaced_states: replaced });
        saved();
        element.close();
      },
    ),
  );
}
