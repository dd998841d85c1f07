// The package as npm hands it out: packed, installed in a folder of its own, imported by Node, read by TypeScript.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { packages, root, target } from "../browser.mjs";
import { web } from "../site.mjs";

const MODEL = path.join(root, "models/all-MiniLM-L6-v2");

/** What a program of Node's says, run where the package is installed. */
function node(folder, name, code) {
  writeFileSync(path.join(folder, name), code);
  return JSON.parse(execFileSync(process.execPath, [name], { cwd: folder, encoding: "utf8" }));
}

const LOADS = `
import { existsSync, readFileSync, openAsBlob } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import everylayer, { Encoder } from "everylayer";
import "everylayer/worker.js";
const [model, tiny] = [${JSON.stringify(MODEL)}, "./roberta-a"];
const said = { names: everylayer === Encoder, files: [] };
for (const name of ["everylayer/pkg/everylayer_bg.wasm", "everylayer/package.json"]) said.files.push(existsSync(fileURLToPath(import.meta.resolve(name))));
const one = async (where, options) => {
  const encoder = await Encoder.load(where, options);
  const { results, layers } = await encoder.embed("a word", { layers: [0, -1], pool: "cls" });
  const { backend, notice, model } = encoder.info();
  await encoder.dispose();
  return { backend, notice, model, layers, vectors: [...results[0].vectors] };
};
said.path = await one(tiny);
said.slash = await one("roberta-a/");
said.bare = await one("roberta-a");
said.url = await one(pathToFileURL(tiny + "/"));
said.files.push(true);
const files = {};
for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]) if (existsSync(tiny + "/" + name)) files[name] = readFileSync(tiny + "/" + name);
said.given = await one(files);
const encoder = await Encoder.load(model, { onProgress: ({ phase }) => (said.phase = phase) });
const { results } = await encoder.embed(["Hello, world!", "a longer one"], { layers: "all", pool: "tokens" });
said.states = results.map(({ shape }) => shape);
said.kinds = [];
for (const precision of ["f32", "f16", "int8", "ubinary"]) said.kinds.push((await encoder.embed(["a", "b"], { precision })).results[0].vectors.constructor.name);
await encoder.dispose();
said.refused = [];
for (const where of ["./nowhere", "/etc/hostname", ".", "file:///nowhere"]) said.refused.push(await Encoder.load(where).then(() => null, ({ kind, message }) => [kind, message]));
console.log(JSON.stringify(said));
`;

const TYPES = `
import everylayer, { Encoder, type Capture, type Embeddings, type EverylayerError } from "everylayer";
import wasmUrl from "everylayer/pkg/everylayer_bg.wasm";
import pkg from "everylayer/package.json" with { type: "json" };
import "everylayer/worker.js";

const encoder: Encoder = await everylayer.load("./model", { device: "cpu", dtype: "f16", wasmUrl });
export const floats: Float32Array = (await encoder.embed("a")).results[0]!.vectors;
export const plain: Float32Array = (await encoder.embed(["a"], { pool: "mean", layers: [0, -1] })).results[0]!.vectors;
export const half: Uint16Array = (await encoder.embed("a", { precision: "f16" })).results[0]!.vectors;
export const steps: Int8Array = (await encoder.embed("a", { precision: "int8", layers: "0,6,-1" })).results[0]!.vectors;
export const bits: Uint8Array = (await encoder.embed("a", { precision: "ubinary", overflow: "window:16" })).results[0]!.vectors;
export const any: Embeddings = await encoder.embed("a", { precision: "int8", combine: "weighted=1,2" });
export const kept: Capture = { layers: -1, pool: "words:first-last", combine: "scalar-mix=1,2;3" };
export const states: Float32Array = (await encoder.hiddenStates("a")).results[0]!.vectors;
export const said = (error: EverylayerError): string => error.kind + pkg.version;
// @ts-expect-error f32 is no Int8Array
export const wrong: Int8Array = (await encoder.embed("a")).results[0]!.vectors;
// @ts-expect-error no pooling is called so
await encoder.embed("a", { pool: "median" });
// @ts-expect-error no precision is called so
await encoder.embed("a", { precision: "int4" });
// @ts-expect-error no combination is called so
await encoder.embed("a", { combine: "product" });
`;

export default {
  "the package of npm": async (bench) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "everylayer-npm-"));
    try {
      const npm = (...words) => execFileSync("npm", [...words, "--silent", "--no-audit", "--no-fund"], { cwd: folder, encoding: "utf8" });
      writeFileSync(path.join(folder, "package.json"), '{ "type": "module", "private": true }');
      const packed = npm("pack", web).trim().split("\n").pop();
      npm("install", "--offline", `./${packed}`);
      const installed = path.join(folder, "node_modules/everylayer");
      const facts = JSON.parse(readFileSync(path.join(installed, "package.json"), "utf8"));
      for (const file of ["LICENSE", "THIRD-PARTY.txt"]) {
        bench.check(readFileSync(path.join(installed, file), "utf8") === readFileSync(path.join(root, file), "utf8"), `it has another ${file}`);
      }
      bench.check(/github\.com/.test(facts.repository?.url), "it names no repository");
      for (const target of Object.values(facts.exports).flatMap((one) => (typeof one === "string" ? one : Object.values(one)))) {
        bench.check(existsSync(path.join(installed, target)), `${target} is not in the package`);
      }

      cpSync(path.join(root, "tests/fixtures/families/roberta-a"), path.join(folder, "roberta-a"), { recursive: true });
      const said = node(folder, "loads.mjs", LOADS);
      bench.check(said.names && said.files.every(Boolean), "an export cannot be resolved");
      const { path: first, ...others } = { path: said.path, slash: said.slash, bare: said.bare, url: said.url, given: said.given };
      bench.check(first.backend === "cpu" && /Node/.test(first.notice) && first.model === "roberta-a", JSON.stringify(first).slice(0, 200));
      bench.check(first.layers[0] === 0 && first.layers.length === 2 && first.vectors.every(Number.isFinite), "it has no numbers");
      for (const [how, other] of Object.entries(others)) bench.check(other.vectors.join() === first.vectors.join(), `other numbers by ${how}`);
      bench.check(said.phase === "load" && said.states.every(([layers, , width]) => layers === 7 && width === 384), JSON.stringify(said.states));
      bench.check(said.kinds.join() === "Float32Array,Uint16Array,Int8Array,Uint8Array", said.kinds.join());
      for (const error of said.refused) bench.check(error?.[0] === "NotFound" && error[1].length < 200, JSON.stringify(error));

      let tsc;
      try {
        tsc = path.join(path.dirname(packages.resolve("typescript/package.json")), "bin/tsc");
      } catch {
        bench.skip(`typescript is not installed under ${target}: the types were not read, all else holds`);
      }
      writeFileSync(path.join(folder, "types.ts"), TYPES);
      const options = "--noEmit --strict --target es2022 --lib es2022,dom --module nodenext --moduleResolution nodenext --resolveJsonModule --noUncheckedIndexedAccess --skipLibCheck false".split(" ");
      try {
        execFileSync(process.execPath, [tsc, ...options, "types.ts"], { cwd: folder, encoding: "utf8" });
      } catch (error) {
        throw new Error(`types: ${error.stdout?.trim().split("\n").slice(0, 4).join(" | ")}`);
      }
      return `${packed}, ${(readFileSync(path.join(folder, packed)).length / 1e6).toFixed(1)} MB`;
    } finally {
      rmSync(folder, { recursive: true, force: true });
      ["LICENSE", "THIRD-PARTY.txt"].forEach((file) => rmSync(path.join(web, file), { force: true }));
    }
  },
};
