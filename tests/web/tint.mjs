// Every kernel that a browser may be handed, through the compiler of Chromium: no error and no warning.
//
//     node tests/web/tint.mjs [--all]
//
// They are what `cargo test --test shaders` wrote: target/tmp/web-shaders.json. Without --all those for other
// sizes of heads and rows than the usual are left out: minutes, and another number in their loops. Kernels with
// `enable f16;` are compiled where an adapter has `shader-f16`: here Dawn's null back end, which runs
// nothing and compiles all (npm `webgpu`, the same compiler).

import { readFileSync } from "node:fs";
import path from "node:path";
import { launch, packages, sentence, target } from "./browser.mjs";
import { serve } from "./server.mjs";

/** Compiles on one device; returns a line a complaint. Runs in a page and in Node. */
export async function compile(kernels, gpu) {
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error("no WebGPU adapter");
  const half = adapter.features.has("shader-f16");
  const device = await adapter.requestDevice({ requiredFeatures: half ? ["shader-f16"] : [] });
  const complaints = [];
  let compiled = 0;
  const layouts = new Map();
  const COMPUTE = 4;
  const layoutOf = (writes) => {
    const key = writes.join();
    if (!layouts.has(key)) {
      const storage = writes.map((write, i) => ({
        binding: i + 1, visibility: COMPUTE, buffer: { type: write ? "storage" : "read-only-storage" },
      }));
      const uniform = { binding: 0, visibility: COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } };
      const group = device.createBindGroupLayout({ entries: [uniform, ...storage] });
      layouts.set(key, device.createPipelineLayout({ bindGroupLayouts: [group] }));
    }
    return layouts.get(key);
  };
  const one = async (kernel) => {
    device.pushErrorScope("validation");
    device.pushErrorScope("internal");
    const module = device.createShaderModule({ code: kernel.source });
    const pipeline = device.createComputePipelineAsync({
      layout: layoutOf(kernel.writes), compute: { module, entryPoint: "main" },
    }).then(() => null, (error) => error.message);
    const scopes = [device.popErrorScope(), device.popErrorScope()];
    const { messages } = await module.getCompilationInfo();
    for (const m of messages) complaints.push(`${kernel.name}: ${m.type} at line ${m.lineNum}: ${m.message}`);
    const failed = await pipeline;
    if (failed) complaints.push(`${kernel.name}: ${failed.split("\n")[0]}`);
    for (const error of await Promise.all(scopes)) if (error) complaints.push(`${kernel.name}: ${error.message.split("\n")[0]}`);
    compiled += 1;
  };
  const mine = kernels.filter((kernel) => half || !kernel.half);
  // A few at once: the compiler is in another process.
  const queue = mine.values();
  await Promise.all(Array.from({ length: 4 }, async () => { for (const kernel of queue) await one(kernel); }));
  const info = adapter.info ?? {};
  const name = [info.vendor, info.architecture, info.description].filter(Boolean).join(" ");
  device.destroy();
  return { compiled, complaints, half, name };
}

/** Whether the check can fail at all: a kernel that is wrong and one that draws a warning. */
const WRONG = [
  { name: "a wrong type", half: false, writes: [], source: "@compute @workgroup_size(1) fn main() { let x: f32 = 1u; }" },
  { name: "code that is never reached", half: false, writes: [], source: "@compute @workgroup_size(1) fn main() { return; var x = 1; }" },
];

async function inChromium(kernels) {
  const browser = await launch();
  const server = await serve({}, { spoil: () => ({ status: 200, kind: "text/html", body: "<!doctype html><title>tint</title>" }) });
  try {
    const page = await browser.newPage();
    await page.goto(server.origin);
    const run = (list) => page.evaluate(`(${compile})(${JSON.stringify(list)}, navigator.gpu)`);
    const wrong = await run(WRONG);
    for (const { name } of WRONG) {
      if (!wrong.complaints.some((line) => line.startsWith(name))) throw new Error(`Tint said nothing of ${name}`);
    }
    return { ...(await run(kernels)), version: `Chromium ${browser.version()}` };
  } finally {
    await browser.close();
    await server.close();
  }
}

async function inDawn(kernels) {
  const { create, globals } = packages("webgpu");
  Object.assign(globalThis, globals);
  const gpu = create(["backend=null"]);
  return compile(kernels, gpu);
}

async function main() {
  const all = process.argv.includes("--all");
  const written = JSON.parse(readFileSync(path.join(target, "tmp/web-shaders.json"), "utf8"));
  const kernels = written.filter((kernel) => all || kernel.usual);
  if (kernels.length < 50) throw new Error(`${kernels.length} kernels are too few: has cargo test --test shaders run?`);
  const half = kernels.filter((kernel) => kernel.half);
  const chromium = await inChromium(kernels);
  let { complaints } = chromium;
  let passed = chromium.compiled;
  let skipped = "";
  console.log(`${chromium.compiled} kernels in ${chromium.version} on ${chromium.name}: ${complaints.length} complaints`);
  if (!chromium.half) {
    try {
      const dawn = await inDawn(half);
      if (!dawn.half) throw new Error("its null back end has no shader-f16");
      console.log(`${dawn.compiled} kernels with shader-f16 in Dawn, compiled and not run: ${dawn.complaints.length} complaints`);
      complaints = complaints.concat(dawn.complaints);
      passed += dawn.compiled;
    } catch (error) {
      skipped = `skipped: ${half.length} kernels with shader-f16 were not compiled: ${sentence(error)}`;
      console.log(skipped);
    }
  }
  for (const line of complaints) console.log(line);
  const failed = new Set(complaints.map((line) => line.split(":")[0])).size;
  console.log(`${passed - failed} kernels passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  main().catch((error) => { console.error(`error: ${sentence(error)}`); process.exit(1); });
}
