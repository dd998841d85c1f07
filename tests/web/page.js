// What tests call in the page: the package, goldens, comparisons. Tests themselves are in the files of `cases/`.

import { Encoder } from "/web/index.js";

/** Goldens of a checkpoint: `PATH.json` and `PATH.safetensors`, as tests/fixtures/README.md describes them. */
async function goldens(path) {
  const [json, bytes] = await Promise.all([
    fetch(`${path}.json`).then((r) => r.json()),
    fetch(`${path}.safetensors`).then((r) => r.arrayBuffer()),
  ]);
  const size = Number(new DataView(bytes).getBigUint64(0, true));
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, size)));
  const tensor = (name) => {
    const { dtype, data_offsets: [from, to] } = head[name];
    if (dtype !== "F32") throw new Error(`${name} is ${dtype}`);
    return new Float32Array(bytes.slice(8 + size + from, 8 + size + to));
  };
  return { ...json, tensor };
}

const text = (golden) => (golden.pair == null ? golden.text : { text: golden.text, textPair: golden.pair });

/**
 * Every state of the golden texts `names` against Transformers: the largest difference, as a share of
 * max(1, the largest number of the state), and what does not agree at all.
 */
async function states(encoder, path, names) {
  const all = await goldens(path);
  const wanted = names.map((name) => all.texts.findIndex((one) => one.name === name));
  if (wanted.includes(-1)) throw new Error(`${path} has no text ${names[wanted.indexOf(-1)]}`);
  const texts = wanted.map((i) => text(all.texts[i]));
  const maxTokens = all.texts[0].max_tokens;
  const got = await encoder.embed(texts, { layers: "all", pool: "tokens", normalize: false, maxTokens });
  const wrong = [];
  let worst = 0;
  if (got.layers.join() !== Array.from({ length: all.layers + 1 }, (_, i) => i).join()) wrong.push(`layers ${got.layers}`);
  if (got.width !== all.width) wrong.push(`width ${got.width}`);
  wanted.forEach((index, i) => {
    const golden = all.texts[index];
    const result = got.results[i];
    const want = all.tensor(`${index}.states`);
    const shape = [all.layers + 1, golden.ids.length, all.width];
    if (result.shape.join() !== shape.join()) return wrong.push(`${golden.name}: shape ${result.shape}, not ${shape}`);
    if (result.tokens.map((t) => t.id).join() !== golden.ids.join()) return wrong.push(`${golden.name}: ids differ`);
    if (result.vectors.length !== want.length) return wrong.push(`${golden.name}: ${result.vectors.length} numbers`);
    const state = golden.ids.length * all.width;
    for (let layer = 0; layer <= all.layers; layer++) {
      let [difference, largest] = [0, 1];
      for (let k = layer * state; k < (layer + 1) * state; k++) {
        const d = Math.abs(result.vectors[k] - want[k]);
        // A NaN would compare as nothing.
        difference = d > difference || Number.isNaN(d) ? d : difference;
        if (Number.isNaN(difference)) break;
        largest = Math.max(largest, Math.abs(want[k]));
      }
      const share = difference / largest;
      if (!(share <= 5e-5)) wrong.push(`${golden.name} state ${layer}: |d| ${difference} of ${largest}`);
      worst = Math.max(worst, share);
    }
  });
  return { worst, wrong, texts: names.length, device: got.device };
}

/** What a promise was rejected with, as plain data; null where it was not. */
async function refusal(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return { name: error.name, kind: error.kind, message: error.message };
  }
}

/** Runs `work` and gives the longest time that the page could not answer meanwhile, in ms. */
async function stalls(work) {
  let longest = 0;
  let last = performance.now();
  let ticks = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    ticks += 1;
  }, 5);
  const began = performance.now();
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return { longest: Math.max(longest, performance.now() - last), ticks, took: performance.now() - began };
}

Object.assign(globalThis, { Encoder, goldens, states, refusal, stalls, ready: true });
