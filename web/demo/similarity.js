// Cosines and lengths of the vectors of one text or two: layer by layer, token by token, text by text. Both pages
// compute with this.

/** Tokens of a text that are compared: more cannot be told apart on a screen. */
export const SHOWN = 64;

/** One text, its tokens, and their vectors by layer. */
export class Side {
  /**
   * @param text as it was given
   * @param tokens those that are shown: `{ text, start, end, word }`
   * @param hidden how many more went through the model, and `lost`, how many it could not take
   * @param at `(layer, token)` gives a vector
   * @param means by layer: the mean over all tokens, not only the ones shown
   */
  constructor({ text, tokens, hidden, lost, at, means }) {
    Object.assign(this, { text, tokens, hidden, lost, at, means });
    this.count = tokens.length + hidden;
  }

  /** Text `index` of an `embed` with `layers: "all", pool: "tokens"`. */
  static of(all, index, text) {
    const { tokensLost = 0, tokens, shape, vectors } = all.results[index];
    const [layers, width, rows] = [all.layers.length, all.width, tokens.length];
    if (shape.reduce((n, x) => n * x, 1) !== layers * rows * width) throw new Error("the vectors are not of the shape that they say");
    if (rows === 0) throw new Error(`"${text}" has no tokens: there is nothing to show`);
    const at = (layer, token) => vectors.subarray((layer * rows + token) * width, (layer * rows + token + 1) * width);
    const means = Array.from({ length: layers }, (_, layer) => mean(Array.from({ length: rows }, (_, row) => at(layer, row))));
    return new Side({ text, tokens: tokens.slice(0, SHOWN), hidden: Math.max(0, rows - SHOWN), lost: tokensLost, at, means });
  }

  /**
   * What has a row: tokens, or words, which are the mean of their tokens; without `special`, none that the model
   * adds. `own` are those of a word of the text: no signs.
   */
  units({ words, special }) {
    const units = [];
    this.tokens.forEach((token, i) => {
      if (token.word === null && !special) return;
      const before = units.at(-1);
      if (words && token.word !== null && before?.word === token.word) before.members.push(i);
      else units.push({ word: token.word, members: [i] });
    });
    const letters = [...this.text];
    return units.map(({ word, members }) => {
      const [first, last] = [members[0], members.at(-1)].map((i) => this.tokens[i]);
      const whole = words && word !== null && letters.slice(first.start, last.end).join("").trim();
      const label = whole || first.text;
      return { label, members, own: word !== null && /[\p{L}\p{N}]/u.test(label) };
    });
  }
}

/** The mean of vectors. */
function mean(vectors) {
  const sum = new Float64Array(vectors[0].length);
  for (const vector of vectors) for (let i = 0; i < sum.length; i++) sum[i] += vector[i] / vectors.length;
  return sum;
}

function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** `vector` without `middle`, of length 1; zeros where nothing is left of it. */
function direction(vector, middle) {
  const out = Float64Array.from(vector, middle ? (x, i) => x - middle[i] : undefined);
  const length = Math.sqrt(dot(out, out));
  return length > 0 ? out.map((x) => x / length) : out;
}

/** The product of two directions: their cosine. */
const along = (a, b) => Math.max(-1, Math.min(1, dot(a, b)));

/** The cosine of two vectors; 0 where one has no direction. */
export const cosine = (a, b) => along(direction(a), direction(b));

/** The `most` closest pairs of units of two texts' own, each named once: `[value, row, column]`. */
export function closest(rows, columns, values, most) {
  const same = rows === columns;
  const all = [];
  rows.forEach((row, r) => columns.forEach((column, c) => {
    if (row.own && column.own && (!same || c > r)) all.push([values[r * columns.length + c], r, c]);
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

/** The mean of all tokens of all texts at a layer. */
function middle(sides, layer) {
  const all = sides.reduce((n, side) => n + side.count, 0);
  return sides[0].means[layer].map((_, i) => sides.reduce((sum, side) => sum + side.means[layer][i] * side.count / all, 0));
}

/**
 * All that the page draws, made layer by layer so that it can answer meanwhile; `null` once `signal` says so.
 * `how` is `{ words, special, centred }`; centred cosines are of vectors without the mean of all tokens of their
 * layer. Those of whole texts never are: without their mean, two texts of one length are opposites.
 */
export async function compare(sides, layers, how, signal) {
  const units = sides.map((side) => side.units(how));
  const pairs = sides.length === 2 ? { ab: [0, 1], aa: [0, 0], bb: [1, 1] } : { aa: [0, 0] };
  const lists = () => sides.map(() => []);
  const made = {
    layers, sides, units,
    mean: [], first: [],
    // By measure, then text: (layers, units).
    measures: { moved: lists(), other: lists(), kept: lists(), norm: lists() },
    // By pair of texts: (layers, units of one * units of the other).
    between: Object.fromEntries(Object.keys(pairs).map((pair) => [pair, []])),
    least: 1, shortest: Infinity, longest: 0,
  };
  let [first, before] = [];
  for (let layer = 0; layer < layers.length; layer++) {
    await new Promise((wake) => setTimeout(wake));
    if (signal?.aborted) return null;
    const centre = how.centred ? middle(sides, layer) : null;
    const vectors = sides.map((side, i) => units[i].map(({ members }) => mean(members.map((token) => side.at(layer, token)))));
    const turned = vectors.map((list) => list.map((vector) => direction(vector, centre)));
    first ??= turned;
    before ??= turned;
    sides.forEach((_, i) => {
      const each = (one) => Float64Array.from(turned[i], one);
      made.measures.moved[i].push(each((v, unit) => along(v, before[i][unit])));
      made.measures.kept[i].push(each((v, unit) => along(v, first[i][unit])));
      made.measures.norm[i].push(Float64Array.from(vectors[i], (v) => Math.sqrt(dot(v, v))));
      if (sides.length < 2) return;
      const other = direction(sides[1 - i].means[layer], centre);
      made.measures.other[i].push(each((v) => along(v, other)));
    });
    if (sides.length === 2) {
      made.mean.push(cosine(sides[0].means[layer], sides[1].means[layer]));
      made.first.push(cosine(sides[0].at(layer, 0), sides[1].at(layer, 0)));
    }
    for (const [pair, [a, b]] of Object.entries(pairs)) {
      made.between[pair].push(Float64Array.from(turned[a].flatMap((row) => turned[b].map((column) => along(row, column)))));
    }
    before = turned;
  }
  const { norm, ...cosines } = made.measures;
  for (const list of [...Object.values(cosines).flat(2), ...Object.values(made.between).flat()]) {
    for (const x of list) made.least = Math.min(made.least, x);
  }
  for (const x of norm.flat().flatMap((list) => [...list])) {
    made.shortest = Math.min(made.shortest, x);
    made.longest = Math.max(made.longest, x);
  }
  return made;
}
