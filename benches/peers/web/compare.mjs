// everylayer and transformers.js in one page of one Chromium: WebGPU against WebGPU, wasm against wasm.
//
//     benches/peers/web/run [--pairs 3] [--runs 5] [--out FILE]
//
// Every choice is made in the peer's favour: ours is timed from text to vectors, theirs from token ids; theirs runs the
// fastest of the graphs of graph.py that agrees with ours. Both are in f32, warm, in turns. Prints the table and the raw
// numbers.

import { execSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { launch, packages, root, target } from "../../../tests/web/browser.mjs";
import { serve } from "../../../tests/web/server.mjs";
import { web } from "../../../tests/web/site.mjs";

const GRAPHS = ["plain", "fused", "bias", "steps"];
const words = process.argv.slice(2);
const option = (name, usual) => (words.includes(name) ? words[words.indexOf(name) + 1] : usual);
const pairs = Number(option("--pairs", 3));
const runs = Number(option("--runs", 5));
const only = option("--only", "");

/** The graphs that graph.py wrote, laid out as transformers.js looks for them. */
function graphs() {
  const from = path.join(os.tmpdir(), "everylayer-peers");
  const folder = path.join(target, "peers-web/onnx");
  rmSync(folder, { recursive: true, force: true });
  const model = path.join(root, "models/all-MiniLM-L6-v2");
  return [folder, GRAPHS.filter((graph) => {
    const file = existsSync(from) && readdirSync(from).find((name) => name.endsWith(`-${graph}.onnx`) && !name.includes("part"));
    if (!file) return false;
    mkdirSync(path.join(folder, graph, "onnx"), { recursive: true });
    for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json"]) copyFileSync(path.join(model, name), path.join(folder, graph, name));
    symlinkSync(path.join(from, file), path.join(folder, graph, "onnx/model.onnx"));
    return true;
  })];
}

/** A text of exactly that many tokens, as in common.py. */
const source = readFileSync(path.join(root, "benches/peers/common.py"), "utf8");
const WORDS = /WORDS = \(\s*((?:"[^"]*"\s*)+)\)/.exec(source)[1].replace(/"\s*"/g, "").replaceAll('"', "").trim().split(" ");
const text = (tokens) => Array.from({ length: tokens - 2 }, (_, i) => WORDS[(tokens + i) % WORDS.length]).join(" ");
const TEXTS = [text(32), text(32).split(" ").reverse().join(" ")];

const [folder, found] = graphs();
if (found.length === 0) throw new Error("there are no ONNX graphs: run benches/peers/graph.py first");
const lines = [];
const say = (line = "") => { console.log(line); lines.push(line); };
const version = (name) => JSON.parse(readFileSync(packages.resolve("playwright-core/package.json").replace("playwright-core", name), "utf8")).version;

const browser = await launch();
const commit = execSync("git rev-parse --short HEAD", { cwd: root }).toString().trim();
say(`date      ${new Date().toISOString().slice(0, 10)}`);
say(`machine   ${os.cpus()[0].model}, ${os.cpus().length} cores, ${os.type()} ${os.release()}`);
say(`browser   Chromium ${browser.version()}, WebGPU on SwiftShader (software), headless`);
say(`peer      transformers.js ${version("@huggingface/transformers")} on onnxruntime-web ${version("onnxruntime-web")}`);
say(`commit    ${commit}`);
say(`command   benches/peers/web/run ${words.join(" ")}`.trimEnd());
say(`load      ${os.loadavg().map((x) => x.toFixed(1)).join(" ")}`);
say(`work      2 texts of 32 tokens, f32, one vector a text (mean); ${pairs} pairs of ${runs} runs, medians`);
say();

const raw = [];
async function run(what, ours, device, isolated, list, asked) {
  const server = await serve({
    "/web/demo/model": path.join(root, "models/all-MiniLM-L6-v2"),
    "/web": web,
    "/onnx": folder,
    "/packages": path.join(target, "peers-web/node_modules"),
    "/page": path.join(root, "benches/peers/web"),
  }, { isolated });
  const tried = [];
  for (const graph of list) {
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(`page: ${error.message}`));
    await page.goto(`${server.origin}/page/page.html`);
    await page.waitForFunction(() => globalThis.ready === true);
    const got = await page.evaluate((asked) => compare(asked).catch((error) => ({ failed: String(error?.message ?? error).split("\n")[0] })),
      { ours, device, graph, texts: TEXTS, pairs: list.length > 1 ? 1 : pairs, runs: list.length > 1 ? 1 : runs });
    await page.close();
    tried.push({ graph, ...got });
    if (got.failed) say(`${what}: graph ${graph}: ${got.failed}`);
    else if (list.length > 1) say(`${what}: graph ${graph}: ${got.rounds[0].theirs[0].toFixed(0)} ms, differs from ours by ${got.apart.toExponential(1)}`);
  }
  await server.close();
  raw.push({ what, tried });
  const right = tried.filter((one) => !one.failed && one.apart < 1e-4);
  if (right.length === 0) return say(`${what}: no graph of the peer runs and agrees`);
  if (list.length > 1) {
    right.sort((a, b) => a.rounds[0].theirs[0] - b.rounds[0].theirs[0]);
    return run(what, ours, device, isolated, [right[0].graph], asked);
  }
  const [one] = right;
  const best = (side) => one.rounds.flatMap((r) => r[side]).sort((a, b) => a - b)[Math.floor(pairs * runs / 2)];
  const [a, b] = [best("ours"), best("theirs")];
  say(`${what}`);
  say(`  everylayer       ${a.toFixed(1).padStart(8)} ms  ${Math.round(one.tokens / a * 1e3)} tokens/s  on ${one.name}, loaded in ${one.ourLoad.toFixed(0)} ms, first call ${one.firstOurs.toFixed(0)} ms`);
  say(`  transformers.js  ${b.toFixed(1).padStart(8)} ms  ${Math.round(one.tokens / b * 1e3)} tokens/s  graph ${one.graph}, loaded in ${one.theirLoad.toFixed(0)} ms, first call ${one.firstTheirs.toFixed(0)} ms`);
  say(`  ratio ${one.ratio.toFixed(2)} (pairs ${one.rounds.map((r) => r.ratio.toFixed(2)).join(", ")}), asked ${asked}; vectors differ by ${one.apart.toExponential(1)}, cosine ${one.cosine.toFixed(9)}`);
  say();
}

if (!only || only === "webgpu") await run("WebGPU against WebGPU", "webgpu", "webgpu", false, found, "3");
if (!only || only === "wasm") await run("wasm against wasm, an ordinary page: one thread each", "cpu", "wasm", false, found, "1");
if (!only || only === "threads") await run(`wasm against wasm, a cross-origin isolated page: ours one thread, theirs up to ${os.cpus().length}`, "cpu", "wasm", true, found, "nothing");
await browser.close();
say("raw output");
for (const one of raw) say(JSON.stringify(one));
if (option("--out")) writeFileSync(option("--out"), `${lines.join("\n")}\n`);
process.exit(0);
