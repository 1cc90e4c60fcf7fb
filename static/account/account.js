// Sends the token of the opened link and the input of the form to the API. The token stands behind the `#` of
// the address, which no browser sends. It is removed from the address bar and the history at once.
"use strict";

const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
history.replaceState(null, "", location.pathname);

const form = document.querySelector("form");
const output = document.querySelector("output");

// A page that is loaded again, as phones do with one that was left for a while, has no token any more.
if (!token) {
  form.querySelector("button").disabled = true;
  output.textContent = "Open the link in the mail again: it is needed each time this page is loaded.";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  output.textContent = "";
  try {
    const answer = await fetch(form.dataset.call, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...Object.fromEntries(new FormData(form)), token }),
    });
    const said = await answer.json();
    output.textContent = said.message ?? said.detail;
    button.disabled = answer.ok;
  } catch {
    output.textContent = "The server can't be reached: try again.";
    button.disabled = false;
  }
});
