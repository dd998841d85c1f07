// Cosines between vectors of a result: layer by layer, token by token, text by text. The same arithmetic as
// src/cli/explore/similarity.rs.

/** Tokens of a text that are compared: more cannot be told apart on a screen. */
export const SHOWN = 64;

/** What one text of an `embed` with `layers: "all", pool: "tokens"` holds, by layer and token. */
export class Side {
  constructor(all, index, text) {
    const { textTokens, tokensLost = 0, tokens, shape, vectors } = all.results[index];
    const layers = all.layers.length;
    const width = all.width;
    const rows = tokens.length;
    if (shape.reduce((n, x) => n * x, 1) !== layers * rows * width) throw new Error("the vectors are not of the shape that they say");
    this.text = text;
    this.count = Math.min(rows, SHOWN);
    this.hidden = rows - this.count;
    this.lost = tokensLost;
    this.textTokens = textTokens;
    this.tokens = tokens.slice(0, this.count).map((token) => token.text);
    /** Whether a token is of a word of the text: not a sign, nor one that the model adds. */
    this.own = tokens.slice(0, this.count).map(({ word, text: piece }) => word !== null && /[\p{L}\p{N}]/u.test(piece));
    this.at = (layer, token) => vectors.subarray((layer * rows + token) * width, (layer * rows + token + 1) * width);
    /** The mean over all tokens, not only the ones shown. */
    this.means = Array.from({ length: layers }, (_, layer) => {
      const mean = new Float64Array(width);
      for (let row = 0; row < rows; row++) this.at(layer, row).forEach((x, i) => { mean[i] += x / rows; });
      return mean;
    });
  }
}

/** The `most` closest pairs of tokens of two texts' own, each token named once: `[value, row, column]`. */
export function closest(rows, columns, values, most) {
  const same = rows === columns;
  const all = [];
  rows.own.forEach((own, r) => columns.own.forEach((other, c) => {
    if (own && other && (!same || c > r)) all.push([values[r * columns.count + c], r, c]);
  }));
  all.sort((x, y) => y[0] - x[0]);
  const taken = [new Set(), new Set()];
  return all.filter(([, r, c]) => {
    if (taken[0].has(r) || taken[1].has(c) || taken[0].size === most) return false;
    taken[0].add(r);
    taken[1].add(c);
    return true;
  });
}

/** The cosine of two vectors; 0 where one has no direction. */
export function cosine(a, b) {
  let ab = 0, aa = 0, bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  const lengths = Math.sqrt(aa * bb);
  return lengths > 0 ? Math.max(-1, Math.min(1, ab / lengths)) : 0;
}

/** All that the page draws, made layer by layer so that it can answer meanwhile; `null` once `signal` says so. */
export async function compare(all, texts, signal) {
  const sides = texts.map((text, i) => new Side(all, i, text));
  const [a, b] = sides;
  const made = {
    layers: all.layers,
    sides,
    mean: [], first: [],
    // By measure, then text: (layers, tokens).
    measures: { moved: [[], []], other: [[], []], kept: [[], []] },
    // By pair of texts: (layers, tokens of one * tokens of the other).
    between: { ab: [], aa: [], bb: [] },
    least: 1,
  };
  for (let layer = 0; layer < all.layers.length; layer++) {
    await new Promise((wake) => setTimeout(wake));
    if (signal?.aborted) return null;
    made.mean.push(cosine(a.means[layer], b.means[layer]));
    made.first.push(cosine(a.at(layer, 0), b.at(layer, 0)));
    sides.forEach((side, i) => {
      const each = (one) => Float64Array.from({ length: side.count }, (_, token) => one(side.at(layer, token), token));
      made.measures.moved[i].push(each((v, token) => cosine(v, side.at(Math.max(layer - 1, 0), token))));
      made.measures.other[i].push(each((v) => cosine(v, sides[1 - i].means[layer])));
      made.measures.kept[i].push(each((v, token) => cosine(v, side.at(0, token))));
    });
    made.between.ab.push(cross(a, b, layer));
    made.between.aa.push(cross(a, a, layer));
    made.between.bb.push(cross(b, b, layer));
  }
  const lists = [...Object.values(made.measures).flat(2), ...Object.values(made.between).flat()];
  for (const list of lists) for (const x of list) if (x < made.least) made.least = x;
  return made;
}

function cross(rows, columns, layer) {
  const out = new Float64Array(rows.count * columns.count);
  for (let r = 0; r < rows.count; r++) {
    for (let c = 0; c < columns.count; c++) out[r * columns.count + c] = cosine(rows.at(layer, r), columns.at(layer, c));
  }
  return out;
}
