// What a page shows, as files: numbers as CSV, maps and charts as PNG.

/** Rows as CSV; numbers with six decimals. */
export function csv(rows) {
  const field = (x) => {
    const said = typeof x === "number" && !Number.isInteger(x) ? x.toFixed(6) : String(x);
    return /[",\r\n]/.test(said) ? `"${said.replaceAll('"', '""')}"` : said;
  };
  return rows.map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

/** Hands a file to whoever looks at the page. */
export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Pixels of a picture for one of the page, and around what is drawn. */
const FINE = 2, MARGIN = 24;
/** Browsers draw nothing on what is larger. */
const LARGEST = 8192;

/** What `node` shows, whole and as it looks, under `title` and over `notes`: a PNG. */
export async function picture(node, title, notes) {
  // What is scrolled away is in the picture too.
  const scrolled = [...node.querySelectorAll(".scroll")].map((box) => [box, box.scrollLeft, box.scrollTop]);
  for (const [box] of scrolled) box.scrollTo(0, 0);
  const origin = node.getBoundingClientRect();
  const parts = [...node.querySelectorAll("h3, p, li, th, td, svg, .letter, .legend b, .key i")]
    .filter((one) => !one.closest(".hint, details") && one.getClientRects().length);
  const far = parts.map((one) => one.getBoundingClientRect());
  const style = getComputedStyle(node);
  const font = (size, weight = 400) => `${weight} ${size}px ${style.fontFamily}`;
  const [above, below] = [MARGIN + 40, 22 * notes.length + MARGIN + 14];
  const canvas = document.createElement("canvas");
  const pen = canvas.getContext("2d");
  const noted = notes.map((note) => (pen.font = font(14), pen.measureText(note).width));
  const wide = Math.max(...far.map((r) => r.right - origin.left), Math.min(Math.max(...noted), 900)) + 2 * MARGIN;
  const high = above + Math.max(...far.map((r) => r.bottom - origin.top)) + below;
  const fine = Math.min(FINE, LARGEST / wide, LARGEST / high);
  Object.assign(canvas, { width: Math.ceil(wide * fine), height: Math.ceil(high * fine) });
  pen.scale(fine, fine);
  pen.fillStyle = getComputedStyle(node.closest("section")).backgroundColor;
  pen.fillRect(0, 0, wide, high);
  pen.fillStyle = style.color;
  pen.textBaseline = "middle";
  pen.font = font(18, 600);
  pen.fillText(title, MARGIN, MARGIN + 10, wide - 2 * MARGIN);
  pen.font = font(14);
  notes.forEach((note, i) => pen.fillText(note, MARGIN, high - below + 28 + 22 * i, wide - 2 * MARGIN));
  pen.translate(MARGIN - origin.left, above - origin.top);
  for (const part of parts) part.localName === "svg" ? lines(pen, part) : block(pen, part);
  for (const [box, left, top] of scrolled) box.scrollTo(left, top);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** The font of an element: a canvas takes no more of it than this. */
const fontOf = ({ fontStyle, fontWeight, fontSize, fontFamily }) => `${fontStyle} ${fontWeight} ${fontSize} ${fontFamily}`;

/** The background of an element, the line above it and the text that stands in it. */
function block(pen, node) {
  const style = getComputedStyle(node);
  const box = node.getBoundingClientRect();
  pen.fillStyle = style.backgroundColor;
  pen.beginPath();
  const radius = style.borderTopLeftRadius.endsWith("%") ? box.width / 2 : parseFloat(style.borderTopLeftRadius);
  pen.roundRect(box.x, box.y, box.width, box.height, radius);
  pen.fill();
  if (node.localName === "i") {
    pen.fillStyle = style.borderTopColor;
    const [thick, dash] = [parseFloat(style.borderTopWidth), style.borderTopStyle === "dashed" ? 6 : box.width];
    for (let x = 0; x < box.width; x += dash + 4) pen.fillRect(box.x + x, box.y, Math.min(dash, box.width - x), thick);
  }
  pen.fillStyle = style.color;
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    // A letter in its circle is a part of its own.
    if (text.parentNode.closest(".letter") && !node.matches(".letter")) continue;
    const own = getComputedStyle(text.parentNode);
    if (own.visibility === "hidden") continue;
    pen.font = fontOf(own);
    pen.save();
    pen.beginPath();
    pen.rect(box.x - 1, box.y - 1, box.width + 2, box.height + 2);
    pen.clip();
    if (own.writingMode.startsWith("vertical")) upright(pen, text);
    else for (const [words, x, y] of laid(text)) pen.fillText(words, x, y);
    pen.restore();
  }
}

/** A text that is read from below. */
function upright(pen, text) {
  const at = rect(text, 0, text.length);
  pen.translate(at.x + at.width / 2, at.bottom);
  pen.rotate(-Math.PI / 2);
  pen.fillText(text.data, 0, 0);
}

/** A text by its lines on the page: `[words, left, middle]`. */
function* laid(text) {
  let from = 0;
  for (let to = 1; to <= text.length; to++) {
    const last = to === text.length;
    if (!last && rect(text, to, to + 1).top < rect(text, from, to).bottom - 1) continue;
    const at = rect(text, from, to);
    if (at.width > 0) yield [text.data.slice(from, to), at.x, at.y + at.height / 2];
    from = to;
  }
}

function rect(text, from, to) {
  const range = document.createRange();
  range.setStart(text, from);
  range.setEnd(text, to);
  return range.getBoundingClientRect();
}

/** A chart. */
function lines(pen, svg) {
  for (const part of svg.querySelectorAll("line, polyline, circle, text")) {
    const style = getComputedStyle(part);
    const place = part.getScreenCTM();
    pen.save();
    pen.transform(place.a, place.b, place.c, place.d, place.e, place.f);
    const number = (name) => Number(part.getAttribute(name));
    const points = { line: () => [[number("x1"), number("y1")], [number("x2"), number("y2")]], polyline: () => [...part.points].map((p) => [p.x, p.y]) }[part.localName];
    pen.beginPath();
    points?.().forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (part.localName === "circle") pen.arc(number("cx"), number("cy"), number("r"), 0, 7);
    if (part.localName === "text") {
      Object.assign(pen, { font: fontOf(style), fillStyle: style.fill, textBaseline: "alphabetic" });
      pen.textAlign = { middle: "center", end: "right" }[style.textAnchor] ?? "left";
      pen.fillText(part.textContent, number("x"), number("y"));
    }
    if (style.fill !== "none" && part.localName === "circle") { pen.fillStyle = style.fill; pen.fill(); }
    if (style.stroke !== "none") {
      Object.assign(pen, { strokeStyle: style.stroke, lineWidth: parseFloat(style.strokeWidth) });
      pen.setLineDash(style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(/[, ]+/).map(parseFloat));
      pen.stroke();
    }
    pen.restore();
  }
}
