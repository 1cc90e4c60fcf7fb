// An input whose text is completed word by word, from a list below it.
import { h } from "./dom.js";

const MOST = 12;
let number = 0;

// Quotes need not be typed to get a word that has them.
const plain = (text) => text.toLowerCase().replaceAll('"', "");

// Offers words in the returned list. `part` matches the beginning of a word before the caret, which
// `offersAfter(head, part)` completes. An input becomes a combobox, and a text area stays one.
export function completed(input, label, part, offersAfter) {
  const id = `offers-${++number}`;
  const list = h("ul", { id, className: "offers", role: "listbox", "aria-label": label, hidden: true });
  const isInput = input.matches("input");
  const expand = (isOpen) => isInput && input.setAttribute("aria-expanded", String(isOpen));
  let [active, turn] = [-1, 0];

  function close() {
    turn++;
    active = -1;
    list.hidden = true;
    expand(false);
    input.removeAttribute("aria-activedescendant");
  }
  function before() {
    const text = input.value.slice(0, input.selectionStart);
    const [found] = part.exec(text) || [""];
    return [text.slice(0, text.length - found.length), found];
  }
  async function offer() {
    const mine = ++turn;
    const [head, begun] = before();
    const found = (await offersAfter(head, begun)).filter(
      (each) => plain(each).startsWith(plain(begun)) && each !== begun,
    );
    if (mine !== turn || document.activeElement !== input) return;
    if (!found.length) {
      close();
      return;
    }
    active = -1;
    input.removeAttribute("aria-activedescendant");
    list.replaceChildren(
      ...found.slice(0, MOST).map((each, place) =>
        h(
          "li",
          {
            id: `${id}-${place}`,
            role: "option",
            "aria-selected": "false",
            // mousedown comes before the input loses the focus.
            onmousedown: (event) => (event.preventDefault(), take(each)),
          },
          each,
        ),
      ),
    );
    list.hidden = false;
    expand(true);
  }
  function take(text) {
    const [head, begun] = before();
    const rest = input.value.slice(head.length + begun.length);
    const space = rest.startsWith(" ") ? "" : " ";
    input.value = head + text + space + rest;
    const place = head.length + text.length + 1;
    input.setSelectionRange(place, place);
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  function move(step) {
    const options = [...list.children];
    active = (active + step + options.length + 1) % (options.length + 1);
    if (active === options.length) active = -1;
    options.forEach((each, place) => each.setAttribute("aria-selected", String(place === active)));
    if (active < 0) input.removeAttribute("aria-activedescendant");
    else input.setAttribute("aria-activedescendant", options[active].id);
  }
  function onkeydown(event) {
    // The keys of an input method are about what it offers.
    if (event.isComposing) return;
    if (list.hidden) {
      if (event.key === "ArrowDown" && isInput) (event.preventDefault(), offer());
      return;
    }
    if (event.key === "ArrowDown") (event.preventDefault(), move(1));
    else if (event.key === "ArrowUp") (event.preventDefault(), move(active < 0 ? list.children.length : -1));
    else if (event.key === "Escape") (event.preventDefault(), event.stopPropagation(), close());
    else if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      event.stopPropagation();
      take(list.children[active].textContent);
    } else if (event.key === "Enter") close();
  }

  if (isInput) input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-controls", id);
  expand(false);
  input.autocomplete = "off";
  const listeners = { input: offer, click: offer, keydown: onkeydown, blur: close };
  for (const [name, listener] of Object.entries(listeners)) input.addEventListener(name, listener);
  return list;
}
