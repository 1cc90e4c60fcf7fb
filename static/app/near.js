// Draws those of many items that are near the view of a scrolling element. Their heights are given, or estimated
// until the item is drawn and can be measured.
const AROUND = 400;
const GUESS = 80;
const TURNS = 4;
const MOST_ON_PAPER = 2000;

// `place` scrolls, and `body` in it holds the items. `keyOf` gives the name of an item. `versionOf` changes if the item
// has to be made again. `make` and `dress` draw the item. `stays` gives the keys of items that are always drawn,
// `isFrozen` tells which element is not replaced, and `pinned` which item stays where it is on the screen.
export function nearView(place, body, options) {
  const { keyOf, versionOf, make, dress, stays, isFrozen = () => false, pinned = () => null } = options;
  // Without `heightOf` the items are measured, with a gap between them.
  const { heightOf = null, gap = 0 } = options;
  let [items, places, starts, drawn, isOnPaper] = [[], new Map(), [0], new Map(), false];
  let [width, guess] = [place.clientWidth, GUESS];
  const heights = new Map();
  const height = heightOf || ((item) => heights.get(keyOf(item)) ?? guess);

  function sum() {
    starts = new Array(items.length + 1);
    starts[0] = 0;
    items.forEach((item, at) => (starts[at + 1] = starts[at] + height(item)));
    body.style.height = `${starts.at(-1)}px`;
  }

  const topOf = (key) => starts[places.get(key)] ?? null;

  function set(next) {
    const before = topOf(pinned());
    items = next;
    places = new Map(items.map((item, at) => [keyOf(item), at]));
    sum();
    if (before !== null && topOf(pinned()) !== null) place.scrollTop += topOf(pinned()) - before;
    draw();
  }

  // Finds the item at a height by binary search.
  function itemAt(top) {
    let [low, high] = [0, items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[middle + 1] <= top) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function wanted() {
    if (isOnPaper) return items.slice(0, MOST_ON_PAPER).keys();
    const [from, to] = [itemAt(place.scrollTop - AROUND), itemAt(place.scrollTop + place.clientHeight + AROUND)];
    const found = new Set();
    for (let at = from; at <= to && at < items.length; at++) found.add(at);
    for (const key of stays()) if (places.has(key)) found.add(places.get(key));
    return [...found].sort((one, two) => one - two);
  }

  function drawOnce() {
    const next = new Map();
    for (const at of wanted()) {
      const [key, version] = [keyOf(items[at]), versionOf(items[at])];
      let kept = drawn.get(key);
      if (!kept || (kept.version !== version && !isFrozen(key))) {
        const element = make(items[at]);
        if (kept) replace(kept.element, element);
        kept = { element, version, isMeasured: false };
      }
      kept.element.style.transform = isOnPaper ? "" : `translateY(${starts[at]}px)`;
      dress(kept.element, items[at], at);
      next.set(key, kept);
    }
    for (const [key, { element }] of drawn) if (!next.has(key)) element.remove();
    drawn = next;
    arrange([...next.values()].map(({ element }) => element));
  }

  function replace(old, element) {
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(element);
    if (hadFocus) queueMicrotask(() => element.focus({ preventScroll: true }));
  }

  // Puts the elements into their order. The one with the focus is not moved, because it would lose the focus.
  function arrange(elements) {
    const fixed = Math.max(0, elements.findIndex((element) => element.contains(document.activeElement)));
    if (elements.length && elements[fixed].parentNode !== body) body.append(elements[fixed]);
    for (let at = fixed - 1; at >= 0; at--)
      if (elements[at].nextSibling !== elements[at + 1]) body.insertBefore(elements[at], elements[at + 1]);
    for (let at = fixed + 1; at < elements.length; at++)
      if (elements[at].previousSibling !== elements[at - 1]) elements[at - 1].after(elements[at]);
  }

  // Measures new items in the document; answers whether any is higher or lower than its estimate.
  function measure() {
    if (!place.clientHeight) return false;
    let isOther = false;
    for (const [key, kept] of drawn) {
      if (kept.isMeasured) continue;
      kept.isMeasured = true;
      const found = kept.element.offsetHeight + gap;
      isOther ||= found !== height(items[places.get(key)]);
      heights.set(key, found);
    }
    if (!isOther) return false;
    if (guess === GUESS) guess = [...heights.values()].reduce((all, each) => all + each, 0) / heights.size;
    // The item at the top of the view stays there.
    const at = itemAt(place.scrollTop);
    const within = place.scrollTop - starts[at];
    sum();
    if (at) place.scrollTop = starts[at] + within;
    return true;
  }

  function draw() {
    drawOnce();
    if (heightOf || isOnPaper) return;
    for (let turn = 0; turn < TURNS && measure(); turn++) drawOnce();
  }

  // Brings an item into sight, with some room above it.
  function bring(key, above = 0) {
    for (let turn = 0; turn < TURNS && places.has(key); turn++) {
      const [at, before] = [places.get(key), topOf(key)];
      if (before - above < place.scrollTop) place.scrollTop = before - above;
      else if (starts[at + 1] > place.scrollTop + place.clientHeight)
        place.scrollTop = starts[at + 1] - place.clientHeight;
      draw();
      if (heightOf || (turn && topOf(key) === before)) return;
    }
  }

  // The item at the top of the view, and how much of it is above the view.
  function where() {
    const at = Math.min(itemAt(place.scrollTop), items.length - 1);
    return at < 0 ? null : { key: keyOf(items[at]), above: place.scrollTop - starts[at] };
  }

  // Goes to such a place. Heights are measured on the way, which moves the item.
  function goTo({ key, above }) {
    for (let turn = 0; turn < TURNS && places.has(key); turn++) {
      const top = topOf(key) + above;
      if (turn && place.scrollTop === top) return;
      place.scrollTop = top;
      draw();
    }
  }

  function forget() {
    drawn.forEach(({ element }) => element.remove());
    drawn = new Map();
    heights.clear();
    sum();
    draw();
  }

  let frame = null;
  const onscroll = () => (frame = frame || requestAnimationFrame(() => ((frame = null), draw())));
  place.addEventListener("scroll", onscroll, { passive: true });
  const observer = new ResizeObserver(() => {
    const isOther = place.clientWidth !== width;
    width = place.clientWidth;
    // Other widths break texts into other lines.
    if (isOther && !heightOf) for (const kept of drawn.values()) kept.isMeasured = false;
    if (isOther && !heightOf) heights.clear();
    draw();
  });
  observer.observe(place);
  const paper = (isOn) => () => ((isOnPaper = isOn), draw());
  const [before, after] = [paper(true), paper(false)];
  addEventListener("beforeprint", before);
  addEventListener("afterprint", after);

  return {
    set,
    draw,
    bring,
    where,
    goTo,
    forget,
    has: (key) => places.has(key),
    elementOf: (key) => drawn.get(key)?.element,
    // The item is made again when it is drawn next.
    redo: (key) => drawn.has(key) && (drawn.get(key).version = null),
    leave() {
      observer.disconnect();
      place.removeEventListener("scroll", onscroll);
      removeEventListener("beforeprint", before);
      removeEventListener("afterprint", after);
    },
  };
}
