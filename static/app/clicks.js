// Double clicks on what a single click is enough for. Many people double-click everything, and the first click may have
// put something else under the pointer, such as the next task of the list, which they do not mean.

// A handler that runs once for a double click.
export const once = (run) => (event) => {
  event.stopPropagation();
  if (event.detail < 2) run(event);
};

// The element of the last click.
let last = null;

addEventListener(
  "click",
  (event) => {
    const isAnother = event.detail > 1 && event.target !== last && !last?.contains(event.target);
    last = event.target.closest("a, button, label, summary") || event.target;
    if (!isAnother) return;
    event.preventDefault();
    event.stopPropagation();
  },
  { capture: true },
);
