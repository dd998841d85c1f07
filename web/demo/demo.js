// The demo: loads a model, embeds two texts, draws what comes out. Arithmetic is in similarity.js, drawing in
// views.js and maps.js.
//
// `?model=` takes another model (a URL of a folder, or a hub id), `?device=` another device.

import { Encoder } from "../index.js";
import { dropped, picked } from "./folder.js";
import { onColours } from "./maps.js";
import { compare } from "./similarity.js";
import { BETWEEN, choices, MEASURES, times, View } from "./views.js";

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

/** After these the engine is of no use any more. */
const GONE = ["DeviceLost", "Gpu", "OutOfMemory", "Internal"];

let encoder = null;
let view = null;
let made = null;
let stop = null; // what is under way
let loadMs = 0;
let opened = { model: BESIDE, name: BESIDE_NAME };

// ---- what is said

function say(words) {
  $("said").textContent = words || "\u00a0";
}
function fail(error) {
  const words = String(error?.message ?? error);
  // A path or an address keeps its first letter.
  const sentence = /^[a-z]+[ ,]/.test(words) ? words.charAt(0).toUpperCase() + words.slice(1) : words;
  $("error").textContent = /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
  if (GONE.includes(error?.kind)) again();
}
const bytes = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)} MB` : `${Math.ceil(n / 1e3)} kB`);
const ms = (n) => (n >= 9950 ? `${(n / 1e3).toFixed(1)} s` : n >= 100 ? `${Math.round(n)} ms` : `${n.toFixed(1)} ms`);

/** One piece of work at a time; a new one ends the one before. */
async function work(words, what) {
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
    if (mine.signal.aborted) say("Stopped.");
    else {
      say("");
      fail(error);
    }
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

async function load(model, name) {
  opened = { model, name };
  $("go").disabled = true;
  const before = encoder;
  encoder = null;
  $("name").textContent = name;
  $("where").textContent = "\u00a0";
  const done = await work("Loading the engine…", async (signal) => {
    await before?.dispose();
    const began = performance.now();
    let last = 0;
    const loading = await Encoder.load(model, {
      device: $("device").value,
      signal,
      onProgress: ({ phase, file, loaded, total }) => {
        if (signal.aborted) return;
        const words = phase === "fetch" ? "Reading" : "To the device:";
        if (total > 0) $("progress").value = loaded / total;
        else $("progress").removeAttribute("value");
        // Often enough to be read, not so often that a screen reader never ends.
        if (performance.now() - last < 200 && loaded < total) return;
        last = performance.now();
        say(`${words} ${file}: ${bytes(loaded)}${total > 0 ? ` of ${bytes(total)}` : ""}`);
      },
    });
    if (signal.aborted) {
      loading.dispose();
      return false;
    }
    encoder = loading;
    loadMs = performance.now() - began;
    return true;
  });
  if (!done) {
    if (!encoder && opened.model === model) {
      $("where").textContent = "not loaded";
      if (!$("error").querySelector("button")) again();
    }
    return;
  }
  const info = encoder.info();
  $("name").textContent = typeof model === "string" && model === "./model/" ? "all-MiniLM-L6-v2" : shortened(info.model || name);
  $("where").textContent = `${info.depth} blocks, ${info.states} states of ${info.width} · ${info.dtype} · ${info.device}`;
  if (info.notice) $("where").textContent += ` · ${info.notice}`;
  say(`Loaded in ${ms(loadMs)}.`);
  $("go").disabled = false;
  await run();
}

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
    const next = await compare(all, texts, signal);
    if (!next) return;
    show(next);
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
  });
}

/** Offers to open the model once more. */
function again() {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Load the model again";
  button.addEventListener("click", () => load(opened.model, opened.name));
  if ($("error").textContent === "") say("Stopped.");
  $("error").append(" ", button);
}

function show(next) {
  made = next;
  const last = made.layers.length - 1;
  const slider = $("layer");
  // The same depth of another model: the last stays the last.
  const was = view ? Number(slider.value) / Number(slider.max || 1) : 1;
  slider.max = last;
  slider.value = Math.round(was * last);
  slider.disabled = false;
  view = new View(made, set);
  view.layers(chosen("measure"));
  view.between(chosen("between"));
  delete $("results").dataset.empty;
  delete $("results").dataset.stale;
  draw();
}

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
const now = () => Number($("layer").value);

function draw(colours) {
  if (!view) return;
  const layer = made.layers[now()];
  const last = made.layers.at(-1);
  $("which").textContent = `${layer} of ${last}`;
  document.querySelectorAll(".at").forEach((node) => { if (node.localName === "span") node.textContent = layer; });
  $("layer").setAttribute("aria-valuetext", now() === 0 ? "layer 0, the embeddings" : `layer ${layer}, out of block ${layer}`);
  $("big-words").textContent = `mean of the tokens, layer ${layer}`;
  view.draw(now(), colours);
}
function set(place) {
  $("layer").value = Math.max(0, Math.min(Number($("layer").max), place));
  draw();
}

// ---- wiring

choices($("measure"), "measure", MEASURES, (which) => { view?.layers(which); draw(); });
choices($("between"), "between", BETWEEN, (which) => { view?.between(which); draw(); });
$("measure-words").textContent = MEASURES[0][2];
$("between-words").textContent = BETWEEN[0][3];
EXAMPLES.forEach(([name], i) => $("examples").append(new Option(name, i)));
$("examples").addEventListener("change", (event) => {
  const [, a, b] = EXAMPLES[event.target.value] ?? [];
  if (a === undefined) return;
  $("a").value = a;
  $("b").value = b;
  run();
});
$("texts").addEventListener("submit", (event) => { event.preventDefault(); run(); });
for (const id of ["a", "b"]) {
  $(id).addEventListener("input", () => { if (view) $("results").dataset.stale = ""; });
  $(id).addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
  });
}
$("stop").addEventListener("click", () => stop?.abort());
$("layer").addEventListener("input", () => draw());
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || /^(TEXTAREA|INPUT|SELECT)$/.test(event.target.tagName) && event.target.id !== "layer") return;
  if (event.key === "[") set(now() - 1);
  if (event.key === "]") set(now() + 1);
});
onColours(() => draw(true));

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
$("device").addEventListener("change", () => load(opened.model, opened.name));

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
