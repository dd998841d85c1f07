// The sections of the page, drawn from what `compare` made: two texts by layer, tokens by layer, tokens by token.

import { chart, heat, hideTip, make, number, Scale } from "./maps.js";
import { closest } from "./similarity.js";

const LETTERS = ["A", "B"];

/** What a cell of the token-by-layer map says. */
export const MEASURES = [
  ["moved", "Change", "Each token against itself one layer earlier. Where the number is low, that block turned it into something else."],
  ["other", "Other text", "Each token against the mean of the other text at the same layer: which words pull the two together."],
  ["kept", "Since layer 0", "Each token against its own embedding, before any block: how much of the bare word is left."],
];

/** Which tokens are held against which. */
export const BETWEEN = [
  ["ab", "A with B", [0, 1], "Rows are text A, columns are text B. Where the number is high, two tokens do much the same work in both."],
  ["aa", "within A", [0, 0], "Every token of A against every other. Move the layer to see words of a phrase grow together."],
  ["bb", "within B", [1, 1], "Every token of B against every other. Move the layer to see words of a phrase grow together."],
];

const $ = (id) => document.getElementById(id);

/** Draws the results; `now()` is the place of the layer that is looked at, `set` goes to another. */
export class View {
  #made;
  #scale;
  #draws = {};

  constructor(made, set) {
    this.#made = made;
    this.#scale = new Scale(made.least);
    $("legend").replaceChildren(...this.#scale.legend());
    this.#pair(set);
  }

  #pair(set) {
    const { layers, mean, first } = this.#made;
    const lines = [["mean", "mean of all tokens", mean], ["cls", "first token", first]];
    const drawn = chart({ label: "Similarity of the two texts by layer", layers, lines, set });
    const table = make("details", null, make("summary", null, "The same as a table"), drawn.table);
    // On a wide page there is room for it.
    if (matchMedia("(min-width: 60rem)").matches) table.open = true;
    $("chart").replaceChildren(make("div", null, drawn.key, drawn.node), table);
    this.#draws.pair = (now) => {
      drawn.draw(now);
      $("big").textContent = number(mean[now], 3);
    };
  }

  /** The token-by-layer maps. */
  layers(measure) {
    const { layers, sides, measures } = this.#made;
    const [, name, words] = MEASURES.find((one) => one[0] === measure);
    $("measure-words").textContent = words;
    // Nothing comes before layer 0.
    const from = measure === "moved" && layers.length > 1 ? 1 : 0;
    const maps = sides.map((side, i) => heat({
      label: `${name}: tokens of text ${LETTERS[i]} by layer`,
      rows: side.tokens,
      columns: layers.slice(from).map(String),
      value: (row, column) => measures[measure][i][column + from][row],
      words: (row, column) => `${side.tokens[row]}, layer ${layers[column + from]}`,
      scale: this.#scale,
    }));
    $("layers").replaceChildren(...maps.map((map, i) => make("div", null, titled(sides[i], i), map.node)));
    maps.forEach((map) => map.draw());
    this.#draws.layers = (now) => maps.forEach((map) => map.heads.forEach((head, column) => head.classList.toggle("now", column + from === now)));
    this.#draws.colours = () => maps.forEach((map) => map.draw());
  }

  /** The token-to-token map. */
  between(which) {
    const { layers, sides, between } = this.#made;
    const [, , [r, c], words] = BETWEEN.find((one) => one[0] === which);
    $("between-words").textContent = words;
    const [rows, columns] = [sides[r], sides[c]];
    let at = layers.length - 1;
    const map = heat({
      label: `Similarity of the tokens of text ${LETTERS[r]} (rows) to those of text ${LETTERS[c]} (columns)`,
      rows: rows.tokens,
      columns: columns.tokens,
      steep: true,
      value: (row, column) => between[which][at][row * columns.count + column],
      words: (row, column) => `${LETTERS[r]} ${rows.tokens[row]} and ${LETTERS[c]} ${columns.tokens[column]}, layer ${layers[at]}`,
      scale: this.#scale,
    });
    const list = make("ol", { class: "closest" });
    const near = make("div", null, make("h3", null, "Closest at this layer"), list);
    $("tokens").replaceChildren(map.node, near);
    this.#draws.between = (now) => {
      at = now;
      map.draw();
      const pairs = closest(rows, columns, between[which][at], 6);
      list.replaceChildren(...pairs.map(([value, r, c]) => {
        const line = make("li", null, make("b", null, number(value, 2)), ` ${rows.tokens[r]} · ${columns.tokens[c]}`);
        line.style.setProperty("--share", Math.max(0, value).toFixed(3));
        return line;
      }));
      if (pairs.length === 0) list.append(make("li", { class: "none" }, "no pair of words"));
    };
  }

  /** Marks a layer everywhere. */
  draw(now, colours = false) {
    hideTip();
    if (colours) this.#draws.colours?.();
    for (const one of ["pair", "layers", "between"]) this.#draws[one]?.(now);
  }
}

/** The text over its map, with what is not shown of it. */
function titled(side, i) {
  const short = side.text.length > 90 ? `${side.text.slice(0, 90)}…` : side.text;
  const notes = [];
  if (side.hidden) notes.push(`the first ${side.count} of ${side.count + side.hidden} tokens are shown`);
  if (side.lost) notes.push(`${side.lost} tokens were cut off: the text is too long for the model`);
  const head = make("h3", null, make("span", { class: "letter" }, LETTERS[i]), short);
  return notes.length ? make("div", null, head, make("p", { class: "soft" }, `${notes.join("; ")}.`)) : head;
}

/** A row of choices, one of which is on. */
export function choices(place, name, list, call) {
  place.append(...list.map(([value, words], i) => {
    const input = make("input", { type: "radio", name, value });
    input.checked = i === 0;
    input.addEventListener("change", () => call(value));
    return make("label", null, input, make("span", null, words));
  }));
}

/** The list of times: `[term, value, note, wide]`. */
export function times(rows) {
  $("times").replaceChildren(...rows.filter(Boolean).map(([term, value, note, wide]) =>
    make("div", wide ? { class: "wide" } : null, make("dt", null, term), make("dd", null, value, ...(note ? [make("small", null, note)] : [])))));
}
