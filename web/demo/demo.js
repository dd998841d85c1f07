// The demo: loads a model, embeds two texts, has the results drawn. Arithmetic is in similarity.js, drawing in
// views.js and maps.js.
//
// `?model=` takes another model (a URL of a folder, or a hub id), `?device=` another device.

import { Encoder } from "../index.js";
import { dropped, picked } from "./folder.js";
import { make } from "./maps.js";
import { Side } from "./similarity.js";
import { Results } from "./views.js";

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
/** The model beside the page. */
const BESIDE = query.get("model") ?? "./model/";
const BESIDE_NAME = query.get("model") ?? "the model that is served with this page";

const EXAMPLES = [
  ["One word, two meanings", "The bank by the river was closed.", "She opened an account at the bank."],
  ["Said in other words", "A man is playing a guitar on stage.", "Someone performs music in front of an audience."],
  ["A question and its answer", "How do I keep basil alive indoors?", "Give the plant six hours of light and water it when the soil is dry."],
  ["One negation", "The results support the claim.", "The results do not support the claim."],
  ["Word order", "The dog chased the cat.", "The cat chased the dog."],
  ["Nothing in common", "Interest rates rose again in June.", "My cat sleeps in the laundry basket."],
];

/** Names that are offered where one is asked for. */
const KNOWN = [
  "sentence-transformers/all-MiniLM-L6-v2", "BAAI/bge-small-en-v1.5", "intfloat/multilingual-e5-small",
  "google-bert/bert-base-uncased", "answerdotai/ModernBERT-base", "FacebookAI/roberta-base",
];

/** After these the engine is of no use any more. */
const GONE = ["DeviceLost", "Gpu", "OutOfMemory", "Internal"];

const results = new Results();
let encoder = null;
let opened = null; // what `encoder` was loaded from: { model, name, device }
let last = { model: BESIDE, name: BESIDE_NAME }; // what was asked for last
let stop = null; // what is under way
let loadMs = 0;

// ---- what is said

function say(words) {
  $("said").textContent = words || "\u00a0";
}
/** Says what went wrong, and what can be done: `[words, call]` of each button. */
function fail(error, ...ways) {
  const words = String(error?.message ?? error);
  // A path, an address and a name keep their first letter.
  const sentence = /^[a-z]+[ ,]/.test(words) && !words.startsWith(last.name) ? words.charAt(0).toUpperCase() + words.slice(1) : words;
  const buttons = ways.map(([said, call]) => {
    const button = make("button", { type: "button" }, said);
    button.addEventListener("click", call);
    return button;
  });
  $("error").replaceChildren(/[.!?]$/.test(sentence) ? sentence : `${sentence}.`, ...buttons.flatMap((button) => [" ", button]));
}
const bytes = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)} MB` : `${Math.ceil(n / 1e3)} kB`);
const ms = (n) => (n >= 9950 ? `${(n / 1e3).toFixed(1)} s` : n >= 100 ? `${Math.round(n)} ms` : `${n.toFixed(1)} ms`);

/** One piece of work at a time; a new one ends the one before. `failed` hears of an error, or of being stopped. */
async function work(words, what, failed) {
  stop?.abort();
  const mine = new AbortController();
  stop = mine;
  $("error").textContent = "";
  $("stop").hidden = false;
  $("model").classList.add("working");
  $("model").setAttribute("aria-busy", "true");
  $("progress").removeAttribute("value");
  say(words);
  try {
    return await what(mine.signal);
  } catch (error) {
    if (stop !== mine) return;
    say(mine.signal.aborted ? "Stopped." : "");
    failed(error, mine.signal.aborted);
  } finally {
    if (stop === mine) {
      stop = null;
      $("stop").hidden = true;
      $("model").classList.remove("working");
      $("model").removeAttribute("aria-busy");
    }
  }
}

// ---- the model

/** Loads a model in place of the one there is, which stays until the new one works. */
async function load(model, name) {
  const asked = last = { model, name, device: $("device").value };
  const before = encoder;
  $("go").disabled = true;
  if (!before) naming(name, "");
  const done = await work(`Loading ${name}…`, async (signal) => {
    const began = performance.now();
    let told = 0;
    const loading = await Encoder.load(model, {
      device: asked.device,
      signal,
      onProgress: ({ phase, file, loaded, total }) => {
        if (signal.aborted) return;
        const words = phase === "fetch" ? "Reading" : "To the device:";
        if (total > 0) $("progress").value = loaded / total;
        else $("progress").removeAttribute("value");
        // Often enough to be read, not so often that a screen reader never ends.
        if (performance.now() - told < 200 && loaded < total) return;
        told = performance.now();
        say(`${words} ${file}: ${bytes(loaded)}${total > 0 ? ` of ${bytes(total)}` : ""}`);
      },
    });
    if (signal.aborted) loading.dispose();
    signal.throwIfAborted();
    encoder = loading;
    opened = asked;
    loadMs = performance.now() - began;
    return true;
  }, (error, stopped) => unloaded(asked, error, stopped));
  if (!done) return;
  await before?.dispose();
  const info = encoder.info();
  const notice = info.notice ? ` · ${info.notice}` : "";
  naming(called(asked, info), `${info.depth} blocks, ${info.states} states of ${info.width} · ${info.dtype} · ${info.device}${notice}`);
  say(`Loaded in ${ms(loadMs)}.`);
  $("go").disabled = false;
  await run();
}

/** Nothing came of a load: the model before goes on. */
function unloaded(asked, error, stopped) {
  const again = ["Try again", () => { $("device").value = asked.device; load(asked.model, asked.name); }];
  const other = ["Another name…", () => { $("id").value = ""; $("id").focus(); }];
  if (opened) $("device").value = opened.device;
  else naming(asked.name, "not loaded");
  $("go").disabled = !encoder;
  if (stopped) return encoder ? undefined : fail("The model was not loaded", again, other);
  const said = String(error?.message ?? error);
  const whose = said.includes(asked.name) || asked.model === BESIDE ? said : `${asked.name}: ${said}`;
  fail(encoder ? `${whose.replace(/\.?$/, ".")} ${called(opened, encoder.info())} is still loaded` : whose, again, other);
}

function naming(name, where) {
  $("name").textContent = name;
  $("where").textContent = where || "\u00a0";
}
const called = ({ model, name }, info) => (model === "./model/" ? "all-MiniLM-L6-v2" : shortened(info.model || name));
const shortened = (name) => name.replace(/^https?:\/\/[^/]+\//, "").replace(/\/$/, "");

// ---- the texts

async function run() {
  const texts = [$("a").value, $("b").value];
  const empty = texts.findIndex((text) => text.trim() === "");
  if (empty >= 0) {
    fail(new Error(`text ${"AB"[empty]} is empty: write something in it`));
    $("ab"[empty]).focus();
    return;
  }
  if (!encoder) return;
  const mine = encoder;
  await work("Computing every layer…", async (signal) => {
    const began = performance.now();
    const all = await mine.embed(texts, { layers: "all", pool: "tokens", normalize: false, signal });
    const ready = performance.now();
    const sides = texts.map((text, i) => Side.of(all, i, text));
    const name = $("name").textContent;
    if (!await results.show(sides, all.layers, name, signal)) return;
    $("stale").hidden = true;
    const drawn = performance.now();
    const tokens = all.results.reduce((n, r) => n + r.textTokens, 0);
    const info = mine.info();
    const numbers = all.results.reduce((n, r) => n + r.vectors.length, 0);
    times([
      ["Texts to states", ms(ready - began), `${tokens} tokens, ${all.layers.length} states: ${Math.round(tokens / (ready - began) * 1e3)} tokens a second`],
      ["Numbers out", (numbers / 1e3).toFixed(numbers < 1e5 ? 1 : 0) + " thousand", `${bytes(numbers * 4)} of f32`],
      ["Comparing and drawing", ms(drawn - ready)],
      ["Loading the model", ms(loadMs), `${bytes(info.weightBytes)} of weights`],
      [info.backend === "webgpu" ? "Adapter" : "Processor", info.device,
        `${info.backend === "webgpu" ? "WebGPU, " : ""}weights in ${info.dtype}${info.notice ? ` · ${info.notice}` : ""}`, true],
    ]);
    say(`Compared at ${all.layers.length} layers in ${ms(drawn - began)}.`);
  }, (error, stopped) => {
    if (stopped) return;
    // A lost device's engine is of no use any more.
    if (GONE.includes(error?.kind)) fail(error, ["Load the model again", () => load(opened.model, opened.name)]);
    else fail(error);
  });
}

/** The list of times: `[term, value, note, wide]`. */
function times(rows) {
  $("times").replaceChildren(...rows.map(([term, value, note, wide]) =>
    make("div", wide ? { class: "wide" } : null, make("dt", null, term), make("dd", null, value, ...(note ? [make("small", null, note)] : [])))));
}

// ---- wiring

EXAMPLES.forEach(([name], i) => $("examples").append(new Option(name, i)));
KNOWN.forEach((name) => $("known").append(new Option(name)));
$("examples").addEventListener("change", (event) => {
  const [, a, b] = EXAMPLES[event.target.value] ?? [];
  if (a === undefined) return;
  $("a").value = a;
  $("b").value = b;
  run();
});
$("texts").addEventListener("submit", (event) => { event.preventDefault(); run(); });
for (const id of ["a", "b"]) {
  $(id).addEventListener("input", () => { $("stale").hidden = "empty" in $("results").dataset; });
  $(id).addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
  });
}
$("stop").addEventListener("click", () => stop?.abort());
$("folder").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", (event) => {
  try {
    const { files, name } = picked(event.target.files);
    load(files, name);
  } catch (error) {
    fail(error);
  }
  // The same folder may be picked again.
  event.target.value = "";
});
$("hub").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = $("id").value.trim();
  if (id) load(id, id); else $("id").focus();
});
$("device").addEventListener("change", () => {
  const { model, name } = opened ?? last;
  load(model, name);
});

let over = 0;
addEventListener("dragenter", (event) => {
  if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
  event.preventDefault();
  over += 1;
  $("drop").hidden = false;
});
addEventListener("dragover", (event) => { if (!$("drop").hidden) event.preventDefault(); });
addEventListener("dragleave", () => { over = Math.max(0, over - 1); if (over === 0) $("drop").hidden = true; });
addEventListener("drop", async (event) => {
  if ($("drop").hidden) return;
  event.preventDefault();
  over = 0;
  $("drop").hidden = true;
  try {
    const { files, name } = await dropped(event.dataTransfer.items);
    await load(files, name);
  } catch (error) {
    fail(error);
  }
});

if (query.get("device")) $("device").value = query.get("device");
$("made").textContent = "Everything is computed here: the texts never leave this device.";
// Over the network a model is asked for first: it is tens of megabytes.
const near = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname) || query.has("model");
if (near) load(BESIDE, BESIDE_NAME);
else {
  $("name").textContent = "all-MiniLM-L6-v2 is served with this page";
  $("go").disabled = false;
  $("go").textContent = "Load the model (46 MB) and compare";
  const first = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    $("texts").removeEventListener("submit", first, true);
    $("go").textContent = "Compare";
    load(BESIDE, BESIDE_NAME);
  };
  $("texts").addEventListener("submit", first, true);
}
