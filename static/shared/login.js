// Login, registration, and forgotten passwords.
import { blameAll, field, h } from "./dom.js";
import { logIn, open } from "./session.js";

const LOGIN = {
  name: "username",
  autocomplete: "username",
  required: true,
  maxLength: 254,
  autocapitalize: "none",
};
const NEW = { type: "password", autocomplete: "new-password", required: true, minLength: 8, maxLength: 256 };

// Shows the form in `place`, and calls `done` after a login.
export function loginPage(place, about, done, message = "", heading = "h2") {
  show({ place, about, done, heading }, "login", message);
}

// The last registration that has not led to a login yet.
let begun = null;

// Makes an account and logs in. The account may be there already if the answer to an earlier attempt with the same
// values was lost: then logging in shows whether it is this person's.
async function register(values) {
  const given = JSON.stringify(values);
  const isAgain = given === begun;
  begun = given;
  let taken = null;
  try {
    await open("/auth/register", values);
  } catch (error) {
    if (!["username_taken", "email_taken"].includes(error.code)) throw error;
    if (!isAgain) {
      begun = null;
      throw error;
    }
    taken = error;
  }
  try {
    await logIn(values.username, values.password);
  } catch (error) {
    throw taken && error.status === 401 ? taken : error;
  }
  begun = null;
}

const PAGES = {
  login: {
    title: "Log in",
    button: "Log in",
    fields: () => [
      field("Username or email", LOGIN),
      field("Password", {
        name: "password",
        type: "password",
        autocomplete: "current-password",
        required: true,
      }),
      h(
        "label",
        { className: "check" },
        h("input", { type: "checkbox", name: "remember" }),
        "Stay logged in on this device",
      ),
    ],
    send: (values) => logIn(values.username, values.password, values.remember === "on"),
    others: ["register", "forgot"],
  },
  register: {
    title: "Make an account",
    link: "Make an account",
    button: "Make the account",
    fields: () => [
      field("Username", {
        ...LOGIN,
        minLength: 3,
        maxLength: 50,
        pattern: "[A-Za-z0-9._\\-]+",
        title: "Letters, digits, dots, dashes and underscores",
      }),
      field("Email", { name: "email", type: "email", autocomplete: "email", required: true, maxLength: 254 }),
      field("Password, at least 8 characters", { ...NEW, name: "password" }),
    ],
    send: register,
    others: ["login"],
  },
  forgot: {
    title: "Forgotten password",
    link: "Forgotten password?",
    button: "Send a link",
    fields: () => [
      field("The account's email", { name: "email", type: "email", autocomplete: "email", required: true }),
    ],
    async send(values) {
      return (await open("/auth/password/forgot", values)).message;
    },
    others: ["login"],
  },
};

function show(given, name, message) {
  const { place, about, done, heading } = given;
  const page = PAGES[name];
  const problem = h("p", { className: "problem", role: "alert" }, message);
  const button = h("button", { type: "submit", className: "main" }, page.button);
  async function submit(event) {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = "";
    problem.classList.remove("good");
    try {
      const said = await page.send(Object.fromEntries(new FormData(form)));
      if (said === undefined) return await done();
      problem.classList.add("good");
      problem.textContent = said;
    } catch (error) {
      blameAll(form, error, problem);
      const wrong = form.querySelector("[aria-invalid]") || form.querySelector("[type=password]");
      if (wrong) wrong.focus();
    } finally {
      button.disabled = false;
    }
    return null;
  }
  const others = page.others.map((other) =>
    h(
      "button",
      { type: "button", className: "link", onclick: () => show(given, other, "") },
      PAGES[other].link || PAGES[other].title,
    ),
  );
  const form = h(
    "form",
    { className: "login", onsubmit: submit, "aria-labelledby": "login-title" },
    h(heading, { id: "login-title" }, page.title),
    h("p", {}, about),
    page.fields(),
    problem,
    button,
    h("p", { className: "others" }, others),
  );
  place.replaceChildren(form);
  form.querySelector("input").focus();
}
