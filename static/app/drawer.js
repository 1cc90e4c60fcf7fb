// The menu of a narrow page. It lies over the page, which is out of reach until the menu is closed.
const [side, content] = [document.getElementById("side"), document.getElementById("content")];
const button = () => content.querySelector("button.menu");
const isOpen = () => document.body.classList.contains("side-open");

function show(is) {
  document.body.classList.toggle("side-open", is);
  content.inert = is;
  button()?.setAttribute("aria-expanded", String(is));
}

export function openDrawer() {
  show(true);
  (side.querySelector("[aria-current]") || side.querySelector("a")).focus();
}

// The focus goes back to where the menu was opened, unless another page follows.
export function closeDrawer() {
  if (!isOpen()) return;
  show(false);
  button()?.focus();
}

// A key is meant for the menu alone while it is open.
addEventListener(
  "keydown",
  (event) => {
    if (event.key !== "Escape" || !isOpen() || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    closeDrawer();
  },
  { capture: true },
);
// Clicks beside the menu reach the body, because the page itself is inert.
addEventListener("click", ({ target }) => target.contains(content) && closeDrawer());
// A wide page has the menu beside the tasks.
matchMedia("(max-width: 900px)").addEventListener("change", () => closeDrawer());
