// Light and dark colours: the system's choice, until the button changes it.
const KEY = "task-platform-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
let printing = false;
// The choice in a browser that stores nothing.
let chosen = null;

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function choose(colours) {
  chosen = colours;
  try {
    localStorage.setItem(KEY, colours);
  } catch {
    // The choice holds until the page is left.
  }
}

export function theme() {
  if (printing) return "light";
  return stored() || chosen || (dark.matches ? "dark" : "light");
}

// Applies the colours and the label of the button; calls `changed` when the colours change.
export function dress(button, changed = () => undefined) {
  function paint() {
    const other = theme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = theme();
    button.textContent = other === "dark" ? "Dark" : "Light";
    button.setAttribute("aria-label", `Use ${other} colours`);
  }
  function repaint() {
    paint();
    changed();
  }
  button.addEventListener("click", () => {
    choose(theme() === "dark" ? "light" : "dark");
    repaint();
  });
  dark.addEventListener("change", repaint);
  for (const [event, value] of [
    ["beforeprint", true],
    ["afterprint", false],
  ]) {
    addEventListener(event, () => {
      printing = value;
      repaint();
    });
  }
  paint();
}
