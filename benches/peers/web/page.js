// The page of compare.mjs: one model in everylayer and in transformers.js, the same texts through both in turn.

import { Encoder } from "/web/index.js";
import { AutoModel, env, Tensor } from "/packages/@huggingface/transformers/dist/transformers.min.js";

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = "/onnx/";
env.useBrowserCache = false;
env.backends.onnx.wasm.wasmPaths = "/packages/onnxruntime-web/dist/";

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
async function timed(work) {
  const began = performance.now();
  const out = await work();
  return [performance.now() - began, out];
}

/** Token ids of `texts`, padded to the longest; from our tokenizer, which tests hold to theirs. */
async function feed(encoder, texts) {
  const { results } = await encoder.tokenize(texts);
  const width = Math.max(...results.map((r) => r.ids.length));
  const flat = (pick) => BigInt64Array.from(results.flatMap((r) => Array.from({ length: width }, (_, i) => BigInt(pick(r, i)))));
  const dims = [texts.length, width];
  return {
    tokens: results.reduce((n, r) => n + r.ids.length, 0),
    inputs: {
      input_ids: new Tensor("int64", flat((r, i) => r.ids[i] ?? 0), dims),
      attention_mask: new Tensor("int64", flat((r, i) => (i < r.ids.length ? 1 : 0)), dims),
      token_type_ids: new Tensor("int64", flat(() => 0), dims),
    },
  };
}

/** Loads `graph` in transformers.js; what is wrong with it, where it does not load. */
async function theirs(graph, device) {
  const [load, model] = await timed(() => AutoModel.from_pretrained(graph, { device, dtype: "fp32", local_files_only: true }));
  return { load, model };
}

/**
 * `pairs` times: `runs` of ours, `runs` of theirs, after a warm-up of both. Times in ms, the ratio of each pair's
 * medians, how far the vectors are apart.
 */
async function compare({ ours, device, graph, texts, pairs, runs }) {
  const [ourLoad, encoder] = await timed(() => Encoder.load("/web/demo/model/", { device: ours }));
  const { inputs, tokens } = await feed(encoder, texts);
  const capture = { pool: "mean", normalize: false };
  const us = async () => (await encoder.embed(texts, capture)).results.map((r) => Array.from(r.vectors));
  const { load: theirLoad, model } = await theirs(graph, device);
  const width = encoder.info().width;
  const them = async () => {
    const { vectors } = await model(inputs);
    const all = await vectors.data;
    return texts.map((_, i) => Array.from(all.slice(i * width, (i + 1) * width)));
  };
  const [firstOurs, a] = await timed(us);
  const [firstTheirs, b] = await timed(them);
  let [apart, cosine] = [0, 1];
  a.forEach((v, i) => {
    let [ab, aa, bb] = [0, 0, 0];
    v.forEach((x, k) => {
      const y = b[i][k];
      apart = Math.max(apart, Number.isFinite(y) ? Math.abs(x - y) : Infinity);
      ab += x * y; aa += x * x; bb += y * y;
    });
    cosine = Math.min(cosine, ab / Math.sqrt(aa * bb));
  });
  const rounds = [];
  for (let pair = 0; pair < pairs; pair++) {
    const [x, y] = [[], []];
    for (let run = 0; run < runs; run++) x.push((await timed(us))[0]);
    for (let run = 0; run < runs; run++) y.push((await timed(them))[0]);
    rounds.push({ ours: x, theirs: y, ratio: median(y) / median(x) });
  }
  const name = encoder.info().device;
  await encoder.dispose();
  await model.dispose();
  return { tokens, name, ourLoad, theirLoad, firstOurs, firstTheirs, apart, cosine, rounds, ratio: median(rounds.map((r) => r.ratio)),
    threads: env.backends.onnx.wasm.numThreads ?? "as it chooses", isolated: crossOriginIsolated };
}

Object.assign(globalThis, { compare, ready: true });
