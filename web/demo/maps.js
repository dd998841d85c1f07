// Heat maps, the chart and what they share: scale, words under the pointer, arrow keys. What is drawn
// and why is not in here.

/** An element; texts go in as text nodes only. */
export function make(name, attributes, ...children) {
  const svg = ["svg", "g", "line", "polyline", "circle", "text"].includes(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** A number as people read it: a true minus, and no minus before nothing. */
export const number = (x, digits = 3) => x.toFixed(digits).replace(/^-(0\.0+)$/, "$1").replace("-", "\u2212");

/** Which colour a value has, and how it is written. */
export class Scale {
  constructor(low, high, words, digits) {
    Object.assign(this, { low, high, words, digits });
  }
  /** Cosines: one scale for all maps of a page, from the smallest of all, rounded down, to 1. */
  static cosines(least) {
    return new Scale(Math.min(Math.floor(least * 10) / 10, 0.9), 1, "cosine", 2);
  }
  /** Lengths, from a round number below all to one above. */
  static lengths(least, most) {
    const step = 10 ** Math.floor(Math.log10(Math.max(most - least, most / 10, 1e-6)));
    const digits = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(Math.max(most, 1e-6)))));
    return new Scale(Math.floor(least / step) * step, Math.ceil(most / step) * step, "length", digits);
  }
  share(x) {
    return Math.max(0, Math.min(1, (x - this.low) / (this.high - this.low || 1)));
  }
  /** As a cell says it; a narrow one leaves out the zero before the point. */
  cell(x, narrow) {
    const said = number(x, this.digits);
    return narrow ? said.replace(/^(\u2212?)0\./, "$1.").replace(/^1\.00$/, "1") : said;
  }
  legend() {
    const steps = make("i", { "aria-hidden": "true" });
    for (let i = 0; i < 24; i++) {
      const step = make("b", { class: "v" });
      step.style.setProperty("--v", (i / 23).toFixed(3));
      steps.append(step);
    }
    const ends = [this.low, this.high].map((x) => number(x, this.words === "cosine" ? 1 : this.digits));
    return make("p", { class: "legend" }, make("span", null, ends[0]), steps, make("span", null, `${ends[1]} ${this.words}`));
  }
}

const dark = matchMedia("(prefers-color-scheme: dark)");

/** Numbers on cells: whichever of black and white has a contrast of 4.5 and more there. */
function paint(cell, v) {
  cell.style.setProperty("--v", v.toFixed(3));
  cell.classList.toggle("light", dark.matches ? v < 0.45 : v > 0.68);
}

/** Calls when the colours of the system change: numbers on cells follow them. */
export const onColours = (call) => dark.addEventListener("change", call);

const tip = () => document.getElementById("tip");
let tipped = null;
function placeTip() {
  const at = tipped.getBoundingClientRect(), size = tip().getBoundingClientRect();
  const x = Math.max(8, Math.min(at.left, innerWidth - size.width - 8));
  const above = at.top - size.height - 8;
  tip().style.left = x + "px";
  tip().style.top = (above > 4 ? above : at.bottom + 8) + "px";
}
export function showTip(target, value, words) {
  tip().replaceChildren(make("b", null, value), make("br"), words);
  tip().hidden = false;
  tipped = target;
  placeTip();
}
export function hideTip() {
  tip().hidden = true;
  tipped = null;
}
// The arrow keys scroll: the words of the focused value go with it.
addEventListener("scroll", () => {
  if (tipped && tipped === document.activeElement) placeTip(); else if (tipped) hideTip();
}, { passive: true, capture: true });

/** Arrow keys over a grid of focusable nodes, one of which is in the tab order. */
function roam(holder, nodes, columns) {
  let at = 0;
  const places = new Map(nodes.map((node, i) => [node, i]));
  nodes.forEach((node, i) => node.setAttribute("tabindex", i === 0 ? "0" : "-1"));
  holder.addEventListener("focusin", (event) => {
    const i = places.get(event.target);
    if (i === undefined) return;
    nodes[at].setAttribute("tabindex", "-1");
    at = i;
    nodes[at].setAttribute("tabindex", "0");
  });
  holder.addEventListener("keydown", (event) => {
    if (!places.has(event.target) || event.altKey || event.metaKey) return;
    const first = at - at % columns, end = Math.min(first + columns, nodes.length) - 1;
    let to;
    switch (event.key) {
      case "ArrowLeft": to = Math.max(first, at - 1); break;
      case "ArrowRight": to = Math.min(end, at + 1); break;
      case "ArrowUp": to = at - columns; break;
      case "ArrowDown": to = at + columns; break;
      case "Home": to = event.ctrlKey ? 0 : first; break;
      case "End": to = event.ctrlKey ? nodes.length - 1 : end; break;
      case "Escape": hideTip(); return;
      default: return;
    }
    event.preventDefault();
    if (to >= 0 && to < nodes.length) nodes[to].focus();
  });
}

/**
 * A heat map that is a table: the numbers are in its cells, whoever reads them. `value(row, column)` and
 * `words(row, column)` are asked again at every `draw`.
 */
export function heat({ label, rows, columns, value, words, steep = false, scale }) {
  const table = make("table", { class: `heat${steep ? " steep" : ""}`, role: "grid", "aria-label": label });
  const top = make("tr", null, make("th", null, ""));
  for (const name of columns) top.append(make("th", { scope: "col", title: name }, make("span", null, name)));
  table.append(make("thead", null, top));
  const body = make("tbody"), cells = [];
  rows.forEach((name) => {
    const line = make("tr", null, make("th", { scope: "row", title: name }, name));
    columns.forEach(() => { const cell = make("td"); cells.push(cell); line.append(cell); });
    body.append(line);
  });
  table.append(body);
  const places = new Map(cells.map((cell, i) => [cell, i]));
  const tell = (event) => {
    const i = places.get(event.target.closest("td"));
    if (i === undefined) return;
    const [row, column] = [Math.floor(i / columns.length), i % columns.length];
    const said = value(row, column);
    showTip(cells[i], number(said, scale.digits + 1), words(row, column));
  };
  body.addEventListener("mouseover", tell);
  body.addEventListener("focusin", tell);
  body.addEventListener("mouseleave", hideTip);
  body.addEventListener("focusout", hideTip);
  roam(body, cells, columns.length);
  let narrow = false;
  const draw = () => cells.forEach((cell, i) => {
    const x = value(Math.floor(i / columns.length), i % columns.length);
    cell.textContent = scale.cell(x, narrow);
    paint(cell, scale.share(x));
  });
  const node = fitted(table, columns.length, rows.length, (now) => {
    if (narrow !== now) { narrow = now; draw(); }
  });
  return { node, heads: [...top.children].slice(1), draw };
}

/** Widths of a cell: with a number of all its digits, with a short one, and with none, in pixels. */
const FULL = 34, SHORT = 24, BARE = 9, WIDEST = 72;
/** Narrower than this, a label that stands upright has no room, and of two numbers one. */
const LABEL = 12, NUMBER = 17;

/**
 * The table in a box that it fits where it can: cells become narrower, then lose their numbers. What is still too
 * wide or too high is scrolled, and the box says so.
 */
function fitted(table, columns, rows, narrow) {
  const box = make("div", { class: "scroll" }, table);
  const hint = make("p", { class: "hint" });
  const node = make("div", { class: "map" }, hint, make("div", { class: "edges" }, box));
  const told = () => {
    const [right, below] = [box.scrollWidth - box.clientWidth - box.scrollLeft, box.scrollHeight - box.clientHeight - box.scrollTop];
    // A number may stand out over its column.
    const sides = { left: box.scrollLeft > 1, right: right > 6, up: box.scrollTop > 1, down: below > 1 };
    for (const [side, more] of Object.entries(sides)) node.classList.toggle(side, more);
    const ways = [(sides.left || sides.right) && "sideways", (sides.up || sides.down) && "up and down"].filter(Boolean);
    hint.textContent = ways.length ? `There is more: scroll ${ways.join(", and ")}.` : "";
  };
  const fit = () => {
    const head = table.querySelector("tbody th, thead th")?.offsetWidth ?? 0;
    // A bar for scrolling down takes room of the columns.
    const room = box.offsetWidth - head - (rows > 14 ? 16 : 0);
    if (box.offsetWidth === 0) return;
    const gap = (n) => (room - (columns + 2) * n) / columns;
    const cell = Math.floor(gap(2));
    const dense = cell < SHORT;
    const bare = Math.max(table.classList.contains("steep") ? LABEL : BARE, Math.min(Math.floor(gap(1)), 22));
    table.classList.toggle("dense", dense);
    table.classList.toggle("short", !dense && cell < FULL);
    table.style.setProperty("--cell", `${dense ? bare : Math.min(cell, WIDEST)}px`);
    table.classList.toggle("sparse", dense && bare < NUMBER);
    narrow(!dense && cell < FULL);
    told();
  };
  // In the next frame: what `fit` changes is observed, too.
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(box);
  box.addEventListener("scroll", told, { passive: true });
  return node;
}

/**
 * Lines over the layers. `lines` are `[class, words, values]`; `set` is called with the place of a layer that was
 * chosen, `draw` marks one.
 */
export function chart({ label, layers, lines, set }) {
  const wide = innerWidth < 600 ? 400 : 640, high = 260, left = 40, right = 14, top = 10, bottom = 42;
  const last = layers.length - 1;
  const floor = Math.min(0, Math.floor(Math.min(...lines.flatMap((line) => line[2])) * 5) / 5);
  const x = (layer) => left + (last ? layer / last : 0.5) * (wide - left - right);
  const y = (value) => top + (1 - value) / (1 - floor) * (high - top - bottom);
  const node = make("svg", { viewBox: `0 0 ${wide} ${high}`, role: "group", "aria-label": label });
  for (let tick = floor; tick < 1.001; tick += 0.2) {
    node.append(make("line", { class: "grid", x1: left, x2: wide - right, y1: y(tick), y2: y(tick) }));
    node.append(make("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, number(tick, 1)));
  }
  const every = Math.ceil((last + 1) / 13);
  layers.forEach((layer, i) => {
    const near = i !== last && last - i < every;
    if ((i % every === 0 && !near) || i === last) {
      node.append(make("text", { x: x(i), y: high - 22, "text-anchor": "middle" }, String(layer)));
    }
  });
  node.append(make("text", { x: (left + wide - right) / 2, y: high - 4, "text-anchor": "middle" }, "layer"));
  const at = make("line", { class: "at", y1: top, y2: high - bottom });
  node.append(at);
  for (const [name, , values] of lines) {
    node.append(make("polyline", { class: name, points: values.map((v, i) => `${x(i)},${y(v)}`).join(" ") }));
  }
  const dots = [];
  for (const [name, words, values] of lines) values.forEach((value, i) => {
    const said = `layer ${layers[i]}, ${words}`;
    const dot = make("circle", { class: `dot ${name}`, cx: x(i), cy: y(value), r: 5, role: "img", "aria-label": `${said}: ${number(value)}` });
    const tell = () => showTip(dot, number(value), said);
    dot.addEventListener("mouseenter", tell);
    dot.addEventListener("mouseleave", hideTip);
    dot.addEventListener("focus", tell);
    dot.addEventListener("blur", hideTip);
    dot.addEventListener("click", () => set(i));
    dots.push(dot);
    node.append(dot);
  });
  roam(node, dots, last + 1);
  const draw = (now) => {
    at.setAttribute("x1", x(now));
    at.setAttribute("x2", x(now));
    dots.forEach((dot, i) => dot.classList.toggle("on", i % (last + 1) === now));
  };
  const key = make("ul", { class: "key" },
    ...lines.map(([name, words]) => make("li", { class: name }, make("i"), words)));
  const body = make("tbody", null, ...layers.map((layer, i) => make("tr", null,
    make("th", { scope: "row" }, String(layer)), ...lines.map((line) => make("td", null, number(line[2][i], 4))))));
  const head = make("thead", null, make("tr", null,
    ...["layer", ...lines.map((line) => line[1])].map((name) => make("th", { scope: "col" }, name))));
  return { node, key, table: make("table", { class: "plain" }, head, body), draw };
}
