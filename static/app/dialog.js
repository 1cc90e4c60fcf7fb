// A dialog over the page. Its first field has the focus. Escape closes it, and the focus goes back to where it was.
import { act } from "../shared/act.js";
import { absolve, blameAll, h } from "../shared/dom.js";
import { LoggedOut } from "../shared/session.js";
import { closeDrawer } from "./drawer.js";
import { icon } from "./icons.js";
import { markTyped, typedUntil } from "./page.js";

export function dialog(title, content, { wide = false, near = null } = {}) {
  // On a phone the menu, which a dialog may come from, would lie over what comes next.
  closeDrawer();
  const before = document.activeElement;
  // The place where the mouse was pressed: a text may be selected by a pull that ends beside the dialog.
  let pressed = null;
  const element = h(
    "dialog",
    {
      className: wide ? "wide" : "",
      "aria-label": title,
      onpointerdown: (event) => (pressed = event.target),
      onclick: (event) => event.target === element && pressed === element && element.close(),
      oninput: ({ target }) => markTyped(target.closest("form")),
    },
    h(
      "div",
      { className: "dialog" },
      h(
        "header",
        {},
        h("h2", {}, title),
        h(
          "button",
          { type: "button", className: "bare", "aria-label": "Close", onclick: () => element.close() },
          icon("close"),
        ),
      ),
      content,
    ),
  );
  element.addEventListener("close", () => {
    element.remove();
    if (before?.isConnected) before.focus({ preventScroll: true });
  });
  open(element);
  if (near) standBeside(element, near);
  return element;
}

function open(element) {
  document.body.append(element);
  element.showModal();
  // Without this the button that closes the dialog has the focus, and a space in a typed name presses it.
  element.querySelector("input, select, textarea")?.focus();
}

const isTyped = (element) => element.querySelector("[data-typed]");

// The dialogs with typed texts whose session has ended.
let left = [];

// Closes all dialogs: under the login they would be another account's, if that logs in next. Those with typed texts are
// kept until the next login, which is of the same account: another one gets a page of its own.
export function leaveDialogs() {
  for (const element of document.querySelectorAll("dialog")) {
    if (!isTyped(element)) element.close();
    else {
      element.remove();
      element.open = false;
      element.classList.remove("beside");
      element.removeAttribute("style");
      left.push(element);
    }
  }
}

export const dropLeftDialogs = () => (left = []);

// Shows the dialogs again that were left, unless their texts have arrived meanwhile.
export const showLeftDialogs = () => left.splice(0).filter(isTyped).forEach(open);

// The browser's way back closes a dialog, and leaves the page beneath as it is.
globalThis.navigation?.addEventListener("navigate", (event) => {
  const shown = document.querySelector("dialog[open]");
  if (!shown || !event.cancelable || event.navigationType !== "traverse") return;
  event.preventDefault();
  shown.close();
});

// Puts a dialog below an element, or above it if there is no room below.
export function standBeside(element, near) {
  if (!near.isConnected || innerWidth <= 640) return;
  const [there, mine, gap] = [near.getBoundingClientRect(), element.getBoundingClientRect(), 6];
  const isBelow = there.bottom + gap + mine.height < innerHeight;
  element.classList.add("beside");
  element.style.left = `${Math.max(gap, Math.min(there.left, innerWidth - mine.width - gap))}px`;
  element.style.top = `${Math.max(gap, isBelow ? there.bottom + gap : there.top - gap - mine.height)}px`;
}

// A form that shows errors beside its fields; `send` gets its values.
export function form(children, button, send, className = "stack") {
  const problem = h("p", { className: "problem", role: "alert" });
  const submit = h("button", { type: "submit", className: "main" }, button);
  const element = h(
    "form",
    {
      className,
      onsubmit: act(async (event) => {
        event.preventDefault();
        if (submit.hasAttribute("aria-disabled")) return;
        const focused = document.activeElement;
        // A button that is disabled by its property would lose the focus.
        submit.setAttribute("aria-disabled", "true");
        absolve(element);
        problem.textContent = "";
        const saved = typedUntil(element);
        try {
          await send(Object.fromEntries(new FormData(element)), element);
          saved();
        } catch (error) {
          if (error instanceof LoggedOut || !error.message) throw error;
          blameAll(element, error, problem);
        } finally {
          submit.removeAttribute("aria-disabled");
          const isLost = [document.body, focused].includes(document.activeElement);
          if (isLost) (element.querySelector("[aria-invalid]") || focused).focus();
        }
      }),
    },
    children,
    problem,
    h("p", { className: "buttons" }, submit),
  );
  return element;
}

// Asks before a step that can't be undone; answers whether to go on.
export function confirmed(title, text, button) {
  return new Promise((resolve) => {
    let answer = false;
    const yes = () => {
      answer = true;
      element.close();
    };
    const buttons = h(
      "p",
      { className: "buttons" },
      h("button", { type: "button", onclick: () => element.close() }, "Cancel"),
      h("button", { type: "button", className: "main danger", onclick: yes }, button),
    );
    const element = dialog(title, h("div", { className: "stack" }, h("p", {}, text), buttons));
    element.addEventListener("close", () => resolve(answer));
  });
}
