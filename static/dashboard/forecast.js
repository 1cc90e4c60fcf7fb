// The question of the forecast: a number of tasks, or a day.
import { act } from "../shared/act.js";
import { field, h } from "../shared/dom.js";
import { number } from "../shared/format.js";
import { FORECAST } from "./charts.js";
import { chartCard } from "./cards.js";
import { query, show, view } from "./state.js";

const MOST = 100_000;

// A forecast is based on a past of its own, not on the period of the page.
function ownQuery(asked) {
  const found = new URLSearchParams(query(asked));
  found.delete("from");
  return found;
}

// The path of the answer that says whether the past is long enough for a forecast. If not, the forecast is not asked for,
// because the browser writes a refused call to its console.
export const pastPath = () => `/analytics/burnup?${ownQuery()}`;

// The card, and the function that tells it the number of open tasks, and why there is no forecast, if there is none.
export function forecastCard() {
  let [open, refused] = [0, null];
  const remaining = field("Tasks to be done", { name: "remaining", type: "number", min: 1, max: MOST });
  const until = field("or until", { name: "until", type: "date", min: "1900-01-01", max: "2200-01-01" });
  const [first, second] = [remaining, until].map((each) => each.querySelector("input"));
  const form = h(
    "form",
    { className: "row", onsubmit: act((event) => (event.preventDefault(), apply())), onfocusout: act(apply) },
    remaining,
    until,
    // A submit button lets Enter send a form with two fields.
    h("button", { type: "submit", hidden: true }),
  );
  const card = chartCard(FORECAST, path, null, form);

  async function apply() {
    if (second.validity.badInput || first.validity.badInput) return;
    const now = view();
    if (first.value === (now.remaining || "") && second.value === (now.until || "")) return;
    // Only one of the two fields is sent: the one that was changed.
    if (first.value !== (now.remaining || "")) second.value = "";
    else first.value = "";
    show({ remaining: first.value, until: second.value });
    await card.load();
  }
  function path(now) {
    if (refused) return { nothing: refused };
    if (!now.until && !now.remaining && !open) return { nothing: "No task is open: say how many are to be done." };
    const asked = now.until
      ? { until: now.until }
      : { remaining: now.remaining || String(Math.min(open, MOST)) };
    return `/analytics/forecast?${ownQuery(asked)}`;
  }
  function tell(count, reason) {
    const now = view();
    [open, refused] = [count, reason];
    // Somebody may be typing the next question.
    if (!form.contains(document.activeElement)) [first.value, second.value] = [now.remaining || "", now.until || ""];
    first.placeholder = now.until ? "" : `${number(open)} ${open === 1 ? "is" : "are"} open`;
  }
  return { ...card, tell };
}
