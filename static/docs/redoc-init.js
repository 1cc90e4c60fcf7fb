"use strict";
// The script is a separate file, so that the page's policy can forbid all inline scripts.

const element = document.getElementById("docs");
const text = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";

// ReDoc's default fonts, Montserrat and Roboto, would come from the internet.
const options = {
  theme: {
    typography: {
      fontFamily: text,
      headings: { fontFamily: text },
      code: { fontFamily: "ui-monospace, 'DejaVu Sans Mono', monospace" },
    },
  },
};

Redoc.init(element.dataset.openapiUrl, options, element);
