"use strict";
// The script is a separate file, so that the page's policy can forbid all inline scripts.

const element = document.getElementById("docs");
const text = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const mono = "ui-monospace, 'DejaVu Sans Mono', monospace";

// ReDoc reads its colours once, so the page is loaded again when the system changes them.
const colours = isDark()
  ? {
      colors: {
        primary: { main: "#93a9ff" },
        success: { main: "#7fd0a3" },
        warning: { main: "#f0b45c", contrastText: "#0f1216" },
        error: { main: "#ff958e" },
        gray: { 50: "#1d222a", 100: "#222832" },
        text: { primary: "#e8ebf0", secondary: "#a0a9b6" },
        border: { dark: "#3a424e", light: "#2a303a" },
        responses: {
          success: { backgroundColor: "#17291f", tabTextColor: "#7fd0a3" },
          error: { backgroundColor: "#331c1b", tabTextColor: "#ff958e" },
          redirect: { backgroundColor: "#2c2718", tabTextColor: "#f0b45c" },
          info: { backgroundColor: "#182636", tabTextColor: "#93c7ff" },
        },
      },
      schema: { nestedBackground: "#1d222a", linesColor: "#4a5462", typeNameColor: "#c3cad4", typeTitleColor: "#c3cad4" },
      sidebar: { backgroundColor: "#0f1216", textColor: "#e8ebf0" },
      rightPanel: { backgroundColor: "#0b0d10" },
      codeBlock: { backgroundColor: "#161a20" },
    }
  : {};

// ReDoc's default fonts, Montserrat and Roboto, would come from the internet.
const options = {
  theme: {
    ...colours,
    typography: {
      fontFamily: text,
      headings: { fontFamily: text },
      code: isDark()
        ? { fontFamily: mono, color: "#f0b0a8", backgroundColor: "#222832" }
        : { fontFamily: mono },
      ...(isDark() ? { links: { color: "#93a9ff", visited: "#93a9ff", hover: "#b9c7ff" } } : {}),
    },
  },
};

dark.addEventListener("change", () => location.reload());
Redoc.init(element.dataset.openapiUrl, options, element);
