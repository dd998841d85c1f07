// The results of both pages, drawn from what `compare` makes of the texts: two texts by layer, tokens by layer, tokens
// by token; the layer that is looked at, what rows and numbers are, and what can be saved.

import { chart, heat, hideTip, make, number, onColours, Scale } from "./maps.js";
import { csv, picture, save } from "./save.js";
import { closest, compare } from "./similarity.js";

const LETTERS = ["A", "B"];

/** What a cell of the token-by-layer map says. */
const MEASURES = [
  ["moved", "Change", "Each row against itself one layer earlier. Where the number is low, that block turned it into something else."],
  ["kept", "Since layer 0", "Each row against its own embedding, before any block: how much of the bare word is left."],
  ["other", "Other text", "Each row against the mean of the other text at the same layer: which words pull the two together."],
  ["norm", "Length", "How long each vector is (its L2 norm). Cosines do not see it; a few tokens are often far longer than all others."],
];

/** Which tokens are held against which. */
const BETWEEN = [
  ["ab", "A with B", [0, 1], "Rows are text A, columns are text B. Where the number is high, two tokens do much the same work in both."],
  ["aa", "within A", [0, 0], "Every row against every other of the same text. Move the layer to see words of a phrase grow together."],
  ["bb", "within B", [1, 1], "Every row against every other of the same text. Move the layer to see words of a phrase grow together."],
];

const ROWS = [["tokens", "Tokens"], ["words", "Words"]];
const COSINES = [
  ["plain", "Cosine", "Cosines of the vectors as they are."],
  ["centred", "Mean-centred", "Cosines after the mean of all tokens of the layer is taken away, which hides what tells vectors apart."],
];

const byId = (id) => document.getElementById(id);
const shortened = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);

/** What stands in `#results`. */
export class Results {
  #made = null;
  #given = null;
  #computing = null;
  #scale;
  #draws = {};
  #tables = {};

  constructor() {
    choices("measure", MEASURES, () => this.#redraw());
    choices("between", BETWEEN, () => this.#redraw());
    choices("rows", ROWS, () => this.#again());
    choices("cosines", COSINES, () => this.#again());
    byId("special").addEventListener("change", () => this.#again());
    byId("layer").addEventListener("input", () => this.#draw());
    addEventListener("keydown", (event) => {
      const types = /^(TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.matches?.("input:not([type=range], [type=radio], [type=checkbox])");
      if (event.ctrlKey || event.altKey || event.metaKey || types) return;
      if (event.key === "[") this.set(this.#now() - 1);
      if (event.key === "]") this.set(this.#now() + 1);
    });
    for (const button of document.querySelectorAll("[data-save]")) {
      button.addEventListener("click", () => this.#save(button.dataset.of, button.dataset.save));
    }
    // Numbers on cells follow the colours.
    onColours(() => { if (this.#made) this.#redraw(); });
    this.#say();
  }

  /**
   * Computes and draws: `sides` are one text or two, `layers` their numbers, `model` is for what is saved. False once
   * `signal` gave it up.
   */
  async show(sides, layers, model, signal) {
    const given = { sides, layers, model };
    let [made, how] = [];
    do {
      how = this.#how();
      made = await compare(sides, layers, how, signal);
      if (!made) return false;
      // Another option may have been chosen meanwhile.
    } while (Object.entries(this.#how()).some(([name, now]) => now !== how[name]));
    this.#computing?.abort();
    const before = this.#made ? this.#now() / Number(byId("layer").max || 1) : 1;
    Object.assign(byId("layer"), { max: layers.length - 1, disabled: false });
    // The same depth of another model: the last stays the last.
    byId("layer").value = Math.round(before * (layers.length - 1));
    this.#given = given;
    this.#take(made);
    return true;
  }

  /** Goes to the layer at a place of the list. */
  set(place) {
    byId("layer").value = Math.max(0, Math.min(Number(byId("layer").max), place));
    this.#draw();
  }

  #how() {
    return { words: chosen("rows") === "words", centred: chosen("cosines") === "centred", special: !byId("special").checked };
  }

  /** The same texts under other options. */
  async #again() {
    this.#say();
    if (!this.#given) return;
    this.#computing?.abort();
    const mine = this.#computing = new AbortController();
    byId("results").setAttribute("aria-busy", "true");
    const { sides, layers } = this.#given;
    const made = await compare(sides, layers, this.#how(), mine.signal);
    if (made) this.#take(made);
  }

  #take(made) {
    this.#made = made;
    byId("results").removeAttribute("aria-busy");
    this.#scale = Scale.cosines(made.least);
    if (made.sides.length === 1) alone();
    for (const button of document.querySelectorAll("[data-save]")) button.disabled = false;
    delete byId("results").dataset.empty;
    this.#redraw();
  }

  #now() {
    return Number(byId("layer").value);
  }

  /** The leads of the sections: what their numbers say. */
  #say() {
    const words = (list, name) => list.find(([value]) => value === chosen(name));
    byId("measure-words").textContent = words(MEASURES, "measure")[2];
    byId("between-words").textContent = words(BETWEEN, "between")[3];
    byId("cosine-words").textContent = words(COSINES, "cosines")[2];
  }

  #redraw() {
    this.#say();
    if (!this.#made) return;
    if (this.#made.sides.length === 2) this.#pair();
    this.#layers(chosen("measure"));
    this.#between(chosen("between"));
    this.#draw();
  }

  /** The two texts by layer. */
  #pair() {
    const { layers, mean, first } = this.#made;
    const lines = [["mean", "mean of all tokens", mean], ["cls", "first token", first]];
    const drawn = chart({ label: "Similarity of the two texts by layer", layers, lines, set: (place) => this.set(place) });
    const table = make("details", null, make("summary", null, "The same as a table"), drawn.table);
    // On a wide page there is room for it.
    table.open = byId("chart").querySelector("details")?.open ?? matchMedia("(min-width: 60rem)").matches;
    byId("chart").replaceChildren(make("div", null, drawn.key, drawn.node), table);
    this.#draws.pair = (now) => {
      drawn.draw(now);
      byId("big").textContent = number(mean[now], 3);
      byId("big-words").textContent = `mean of the tokens, layer ${layers[now]}`;
    };
    this.#tables.pair = () => [["layer", ...lines.map((line) => line[1])], ...layers.map((layer, i) => [layer, mean[i], first[i]])];
  }

  /** The token-by-layer maps. */
  #layers(measure) {
    const { layers, sides, units, measures, shortest, longest } = this.#made;
    const [, name] = MEASURES.find((one) => one[0] === measure);
    const scale = measure === "norm" ? Scale.lengths(shortest, longest) : this.#scale;
    // Nothing comes before layer 0.
    const from = measure === "moved" && layers.length > 1 ? 1 : 0;
    const value = (i) => (row, column) => measures[measure][i][column + from][row];
    const maps = sides.map((side, i) => heat({
      label: `${name}: rows of ${this.#called(i)} by layer`,
      rows: units[i].map((unit) => unit.label),
      columns: layers.slice(from).map(String),
      value: value(i),
      words: (row, column) => `${units[i][row].label}, layer ${layers[column + from]}`,
      scale,
    }));
    const holder = make("div", { class: layers.length > 16 ? "sides long" : "sides" },
      ...maps.map((map, i) => make("div", null, this.#titled(i), units[i].length ? map.node : none(), scale.legend())));
    byId("layers").replaceChildren(holder);
    maps.forEach((map) => map.draw());
    this.#draws.layers = (now) => maps.forEach((map) => map.heads.forEach((head, column) => head.classList.toggle("now", column + from === now)));
    this.#tables.layers = () => [
      ["text", "row", "token", ...layers.slice(from).map((layer) => `layer ${layer}`)],
      ...units.flatMap((list, i) => list.map(({ label }, row) => [LETTERS[i], row, label, ...layers.slice(from).map((_, column) => value(i)(row, column))])),
    ];
  }

  /** The token-to-token map. */
  #between(which) {
    const { layers, units, between } = this.#made;
    const [, , [r, c]] = BETWEEN.find((one) => one[0] === which);
    const [rows, columns] = [units[r], units[c]];
    const value = (row, column) => between[which][this.#now()][row * columns.length + column];
    const map = heat({
      label: `Similarity of the rows of ${this.#called(r)} to the columns of ${this.#called(c)}`,
      rows: rows.map((unit) => unit.label),
      columns: columns.map((unit) => unit.label),
      steep: true,
      value,
      words: (row, column) => `${this.#letter(r)}${rows[row].label} and ${this.#letter(c)}${columns[column].label}, layer ${layers[this.#now()]}`,
      scale: this.#scale,
    });
    const list = make("ol", { class: "closest" });
    const near = make("div", null, make("h3", null, "Closest at this layer"), list);
    const shown = rows.length && columns.length ? map.node : none();
    byId("tokens").replaceChildren(make("div", null, shown, this.#scale.legend()), near);
    this.#draws.between = (now) => {
      map.draw();
      const pairs = closest(rows, columns, between[which][now], 6);
      list.replaceChildren(...pairs.map(([value, r, c]) => {
        const line = make("li", null, make("b", null, number(value, 2)), ` ${rows[r].label} · ${columns[c].label}`);
        line.style.setProperty("--share", Math.max(0, value).toFixed(3));
        return line;
      }));
      if (pairs.length === 0) list.append(make("li", { class: "none" }, "no pair of words"));
    };
    this.#tables.tokens = () => [
      ["", ...columns.map((unit) => unit.label)],
      ...rows.map((unit, row) => [unit.label, ...columns.map((_, column) => value(row, column))]),
    ];
  }

  /** Marks the layer everywhere. */
  #draw() {
    if (!this.#made) return;
    hideTip();
    const [now, { layers }] = [this.#now(), this.#made];
    byId("which").textContent = `${layers[now]} of ${layers.at(-1)}`;
    byId("layer").setAttribute("aria-valuetext", now === 0 ? "layer 0, the embeddings" : `layer ${layers[now]}, out of block ${layers[now]}`);
    byId("at").textContent = layers[now];
    for (const draw of Object.values(this.#draws)) draw(now);
  }

  async #save(section, kind) {
    const { layers, sides } = this.#made;
    const pieces = { pair: ["texts"], layers: [chosen("measure")], tokens: [chosen("between"), `layer-${layers[this.#now()]}`] }[section];
    const name = ["everylayer", ...pieces, section !== "pair" && chosen("cosines") === "centred" && "centred"].filter(Boolean).join("-");
    if (kind === "csv") return save(`${name}.csv`, new Blob([csv(this.#tables[section]())], { type: "text/csv" }));
    const title = byId(`${section}-title`).textContent;
    const notes = [
      // Maps by layer have their text above them.
      ...(section === "layers" ? [] : sides.map((side, i) => `${this.#letter(i)}${shortened(side.text, 140)}`)),
      `${this.#given.model} · ${section === "pair" ? "cosine" : `${chosenWords(section === "layers" ? "measure" : "between")} · ${chosenWords("cosines").toLowerCase()}`} · everylayer`,
    ];
    save(`${name}.png`, await picture(byId({ pair: "chart", layers: "layers", tokens: "tokens" }[section]), title, notes));
  }

  #letter(i) {
    return this.#made.sides.length === 2 ? `${LETTERS[i]} ` : "";
  }

  #called(i) {
    return this.#made.sides.length === 2 ? `text ${LETTERS[i]}` : "the text";
  }

  /** The text over its map, with what is not shown of it. */
  #titled(i) {
    const side = this.#made.sides[i];
    const notes = [];
    if (side.hidden) notes.push(`the first ${side.tokens.length} of ${side.count} tokens are shown`);
    if (side.lost) notes.push(`${side.lost} tokens were cut off: the text is too long for the model`);
    const letter = this.#made.sides.length === 2 ? [make("span", { class: "letter" }, LETTERS[i])] : [];
    const head = make("h3", null, ...letter, shortened(side.text, 90));
    return notes.length ? make("div", null, head, make("p", { class: "soft" }, `${notes.join("; ")}.`)) : head;
  }
}

/** Takes away what one text has no use for: another to be held against. */
function alone() {
  byId("pair").hidden = true;
  for (const value of ["other", "ab", "bb"]) document.querySelector(`input[value=${value}]`)?.parentNode.remove();
  const within = document.querySelector("input[value=aa]");
  within.checked = true;
  within.nextSibling.textContent = "within the text";
}

const none = () => make("p", { class: "soft" }, "It has no tokens but special ones.");

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
const chosenWords = (name) => document.querySelector(`input[name=${name}]:checked + span`).textContent;

/** A row of choices in the element of that id, one of which is on. */
function choices(name, list, call) {
  byId(name).append(...list.map(([value, words], i) => {
    const input = make("input", { type: "radio", name, value });
    input.checked = i === 0;
    input.addEventListener("change", call);
    return make("label", null, input, make("span", null, words));
  }));
}
