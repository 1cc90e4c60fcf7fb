// The properties of a box and a choice that the reset of a form goes back to.
const DEFAULTS = { checked: "defaultChecked", selected: "defaultSelected" };

// Builds elements from names, properties and children. Text is always text, never markup.
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[DEFAULTS[key] || key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(
    ...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

let silence = null;

// Shows a message to everybody, including screen readers. It disappears by itself.
export function say(text, seconds = 8) {
  const place = document.getElementById("status");
  clearTimeout(silence);
  place.textContent = text;
  if (text && seconds) silence = setTimeout(() => (place.textContent = ""), seconds * 1000);
}

// The colours that were read since they changed last: a browser computes styles again for each one that is read between
// changes of the page.
let colours = { of: null, values: new Map() };

export function colour(name) {
  const { theme } = document.documentElement.dataset;
  if (colours.of !== theme) colours = { of: theme, values: new Map() };
  const { values } = colours;
  if (!values.has(name))
    values.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  return values.get(name);
}

let entries = 0;

// Tells screen readers what the buttons and boxes of an entry are about, which have the same names in all entries.
export function describe(entry, ...about) {
  for (const each of about) each.id ||= `entry-${++entries}`;
  const ids = about.map(({ id }) => id).join(" ");
  for (const control of entry.querySelectorAll("button, select, input, summary"))
    if (!control.hasAttribute("aria-describedby")) control.setAttribute("aria-describedby", ids);
  return entry;
}

let fields = 0;

// A field with its label, and below it a place for its error.
export function field(label, properties, kind = "input", ...children) {
  const id = `field-${++fields}`;
  const control = h(kind, { id, "aria-describedby": `${id}-problem`, ...properties }, ...children);
  return h(
    "div",
    { className: "field" },
    h("label", { htmlFor: id }, label),
    control,
    h("p", { className: "problem", id: `${id}-problem`, role: "alert" }),
  );
}

// Shows an error beside its field; answers whether there is such a field.
export function blame(form, name, message) {
  const control = form.elements.namedItem(name);
  const place = control && document.getElementById(control.getAttribute("aria-describedby"));
  if (!place) return false;
  place.textContent = message;
  control.setAttribute("aria-invalid", "true");
  return true;
}

export function absolve(form) {
  for (const place of form.querySelectorAll(".field > .problem")) place.textContent = "";
  for (const control of form.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
}

// The fields that an error without a list of problems may be about.
const FIELDS = {
  username_taken: ["username"],
  email_taken: ["email"],
  user_not_found: ["username"],
  wrong_password: ["current_password", "password"],
};

// Shows an error of the API in a form: each problem beside its field, other problems at the form's own place.
export function blameAll(form, error, place) {
  absolve(form);
  const rest = (error.errors || []).filter(({ pointer, detail }) => {
    const name = pointer.replace(/^[?#]\/?/, "").split("/")[0];
    return !blame(form, name, detail);
  });
  const isElsewhere =
    (error.errors || []).length > rest.length ||
    (FIELDS[error.code] || []).some((name) => blame(form, name, error.message));
  place.textContent = rest.length
    ? rest.map((each) => each.detail).join(" ")
    : isElsewhere
      ? ""
      : error.message;
}
