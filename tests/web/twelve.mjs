// A model of twelve layers with numbers of no meaning, made where it is needed: maps have to hold its thirteen states.

import { copyFileSync, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root, target } from "./browser.mjs";

const [WIDTH, INNER, HEADS, LAYERS, VOCAB, PLACES] = [32, 64, 4, 12, 30522, 128];

function shapes() {
  const all = {};
  const dense = (name, from, to) => Object.assign(all, { [`${name}.weight`]: [to, from], [`${name}.bias`]: [to] });
  const norm = (name) => Object.assign(all, { [`${name}.weight`]: [WIDTH], [`${name}.bias`]: [WIDTH] });
  for (const [name, rows] of [["word", VOCAB], ["position", PLACES], ["token_type", 2]]) all[`embeddings.${name}_embeddings.weight`] = [rows, WIDTH];
  norm("embeddings.LayerNorm");
  for (let layer = 0; layer < LAYERS; layer++) {
    const at = `encoder.layer.${layer}`;
    for (const one of ["query", "key", "value"]) dense(`${at}.attention.self.${one}`, WIDTH, WIDTH);
    dense(`${at}.attention.output.dense`, WIDTH, WIDTH);
    norm(`${at}.attention.output.LayerNorm`);
    dense(`${at}.intermediate.dense`, WIDTH, INNER);
    dense(`${at}.output.dense`, INNER, WIDTH);
    norm(`${at}.output.LayerNorm`);
  }
  return all;
}

/** The folder of the model. */
export function twelve() {
  const folder = path.join(target, "browser/twelve");
  if (existsSync(path.join(folder, "model.safetensors"))) return folder;
  mkdirSync(folder, { recursive: true });
  for (const file of ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]) copyFileSync(path.join(root, "models/all-MiniLM-L6-v2", file), path.join(folder, file));
  writeFileSync(path.join(folder, "config.json"), JSON.stringify({
    model_type: "bert", architectures: ["BertModel"], vocab_size: VOCAB, hidden_size: WIDTH, num_hidden_layers: LAYERS,
    num_attention_heads: HEADS, intermediate_size: INNER, hidden_act: "gelu", max_position_embeddings: PLACES,
    type_vocab_size: 2, layer_norm_eps: 1e-12, pad_token_id: 0,
  }));
  let [end, seed] = [0, 1];
  const head = {};
  for (const [name, shape] of Object.entries(shapes())) {
    const bytes = 4 * shape.reduce((n, x) => n * x, 1);
    head[name] = { dtype: "F32", shape, data_offsets: [end, end += bytes] };
  }
  // Numerical Recipes' generator: the same model each time.
  const numbers = Float32Array.from({ length: end / 4 }, () => ((seed = (1664525 * seed + 1013904223) >>> 0) / 2 ** 32 - 0.5) * 0.4);
  const json = new TextEncoder().encode(JSON.stringify(head));
  const size = new BigUint64Array([BigInt(json.length)]);
  const made = path.join(folder, "made");
  writeFileSync(made, Buffer.concat([new Uint8Array(size.buffer), json, new Uint8Array(numbers.buffer)]));
  renameSync(made, path.join(folder, "model.safetensors"));
  return folder;
}
