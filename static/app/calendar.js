// The browser's calendar, beside a field in which a time is typed.
import { h } from "../shared/dom.js";
import { icon } from "./icons.js";
import { dueText, moment } from "./words.js";

// Puts a button into the field that opens the calendar; `picked` is called once the field has the chosen day.
export function addCalendar(control, picked) {
  if (control.disabled) return;
  const day = h("input", {
    type: "date",
    tabIndex: -1,
    "aria-hidden": "true",
    onchange() {
      if (!day.value) return;
      // The time of the day stays as it was.
      const time = /\d{1,2}:\d{2}$/.exec(control.value.trim());
      control.value = time ? `${day.value} ${time[0]}` : day.value;
      picked();
    },
  });
  const button = h(
    "button",
    {
      type: "button",
      className: "bare",
      "aria-label": "Choose a day",
      title: "Choose a day",
      onclick() {
        const at = moment(control.value.trim());
        day.value = at ? dueText(at.toISOString()).slice(0, 10) : "";
        day.showPicker();
      },
    },
    icon("calendar"),
  );
  const dated = h("span", { className: "dated" });
  control.replaceWith(dated);
  dated.append(control, day, button);
}
