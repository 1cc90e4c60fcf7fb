// Sends the token of the opened link and the input of the form to the API. The token stands behind the `#` of
// the address, which no browser sends. It is removed from the address bar and the history at once.
import { open } from "../shared/session.js";
import { theme } from "../shared/theme.js";

const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
history.replaceState(null, "", location.pathname);
document.documentElement.dataset.theme = theme();

const form = document.querySelector("form");
const output = document.querySelector("output");
const button = form.querySelector("button");

function tell(text, isGood = false) {
  output.textContent = text;
  output.classList.toggle("good", isGood);
  button.disabled = isGood;
}

// A page that is loaded again, as phones do with one that was left for a while, has no token any more.
if (!token) {
  tell("Open the link in the mail again: it is needed each time this page is loaded.");
  button.disabled = true;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  output.textContent = "";
  try {
    tell((await open(form.dataset.call, { ...Object.fromEntries(new FormData(form)), token })).message, true);
  } catch (error) {
    tell(error.message);
  }
});
