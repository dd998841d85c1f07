// The contrast of every text that a page shows against what is behind it, from computed styles (WCAG 2, 1.4.3).

/** Runs in the page: `[ratio, words, element]` of texts below `least`, and how many texts there are. */
export function contrasts(least) {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  Object.assign(canvas.canvas, { width: 1, height: 1 });
  const known = new Map();
  /** Red, green, blue of 0 to 255 and alpha, whatever notation a colour has. */
  const rgba = (colour) => {
    if (!known.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
  const luminance = (colour) => {
    const [r, g, b] = colour.map((x) => x / 255).map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const sheet = matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0, 1] : [255, 255, 255, 1];
  /** What is behind a node, and how much is seen of it and of all around it. */
  const behind = (node) => {
    const above = [];
    let seen = 1;
    for (let one = node; one; one = one.parentElement) {
      const style = getComputedStyle(one);
      seen *= Number(style.opacity);
      above.push(rgba(style.backgroundColor));
    }
    return [above.reduceRight((below, colour) => over(colour, below), sheet), seen];
  };
  const low = [];
  let texts = 0;
  const judge = (node, colour, words) => {
    const [r, g, b, a] = rgba(colour);
    // A dense map has its numbers for screen readers alone.
    if (a === 0) return;
    texts += 1;
    const [back, seen] = behind(node);
    const [one, two] = [luminance(over([r, g, b, a * seen], back)), luminance(back)];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < least) low.push([Number(ratio.toFixed(2)), words.trim().slice(0, 30), `${node.localName}.${node.getAttribute("class") ?? ""}#${node.id}`]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || /^(SCRIPT|STYLE|NOSCRIPT|OPTION|DATALIST)$/i.test(node.tagName) || !node.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(node);
    judge(node, node instanceof SVGElement ? style.fill : style.color, text.data);
  }
  for (const node of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!node.checkVisibility() || /^(radio|checkbox|range|file)$/.test(node.type)) continue;
    judge(node, getComputedStyle(node).color, node.value || node.id);
    if (node.placeholder) judge(node, getComputedStyle(node, "::placeholder").color, node.placeholder);
  }
  return { low, texts };
}
