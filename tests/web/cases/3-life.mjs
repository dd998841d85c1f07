// Over time: memory after many loads, the page while it computes, the cache without a network.

import { readFileSync } from "node:fs";

const TINY = "/fixtures/families/roberta-a/";
const BUNDLED = "/web/demo/model/";

/** Resident memory of the browser's processes by kind, in MB. */
async function resident(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const sum = {};
  for (const { type, id } of processInfo) {
    const status = readFileSync(`/proc/${id}/status`, "utf8");
    const kib = Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    sum[type] = (sum[type] ?? 0) + kib / 1024;
  }
  return sum;
}

/** 20 loads and disposals: what the page, its workers and the GPU's process hold after some and after all. */
const cycles = (device, model) => async (bench) => {
  // Cross-origin isolated, or the page may not be measured; without the flag an answer waits for a collection.
  const browser = await bench.browserWith(["--enable-blink-features=ForceEagerMeasureMemory", "--js-flags=--expose-gc"]);
  const server = await bench.site({ isolated: true });
  const page = await bench.page({ browser, server });
  const cycle = (count) => page.evaluate(async ([device, model, count]) => {
    for (let i = 0; i < count; i++) {
      const encoder = await Encoder.load(model, { device });
      // The first run compiles the kernels, which takes seconds on a software adapter: some cycles are enough.
      if (i % 5 === 0) await encoder.embed(["a word", "and some more words"], { layers: "all", pool: "tokens" });
      await encoder.dispose();
    }
  }, [device, model, count]);
  const measure = async () => {
    const bytes = await page.evaluate(async () => {
      gc();
      await new Promise((wake) => setTimeout(wake, 300));
      gc();
      return (await performance.measureUserAgentSpecificMemory()).bytes;
    });
    return { page: bytes / 1e6, ...(await resident(browser)) };
  };
  await cycle(5);
  const early = await measure();
  await cycle(15);
  const late = await measure();
  const grown = (kind) => late[kind] - early[kind];
  const said = ["page", "renderer", "GPU"].map((kind) => `${kind} ${early[kind]?.toFixed(0)} to ${late[kind]?.toFixed(0)} MB`).join(", ");
  // A leaked tiny model would be 15 x 0.2 MB and its wasm 15 x 2 MB in the page; a bundled one 15 x 45 MB and more.
  bench.check(grown("page") < 3, `the page's memory grew (measureUserAgentSpecificMemory): ${said}`);
  bench.check(grown("renderer") < 60, `the page's process grew: ${said}`);
  bench.check(grown("GPU") < 60, `the GPU's process grew: ${said}`);
  return `after 5 and after 20: ${said}`;
};

export default {
  "20 loads and disposals on webgpu leave nothing": cycles("webgpu", TINY),
  "20 loads and disposals on cpu leave nothing": cycles("cpu", BUNDLED),

  "the page stays responsive while it loads and embeds": async (bench) => {
    const page = await bench.page();
    const got = await page.evaluate(async (model) => {
      let encoder;
      const load = await stalls(async () => { encoder = await Encoder.load(model, { device: "cpu" }); });
      const texts = Array(96).fill("some words that take a while to compute, and then a few more of them");
      const embed = await stalls(() => encoder.embed(texts, { pool: "mean" }));
      await encoder.dispose();
      return { load, embed };
    }, BUNDLED);
    for (const [what, { longest, ticks, took }] of Object.entries(got)) {
      // A frame is 17 ms; the machine of the tests has two cores, and the browser more threads than that.
      bench.check(longest < 250 && ticks > 5, `${what} of ${took} ms: silent for ${longest} ms, ${ticks} ticks`);
    }
    return `silent for ${got.load.longest.toFixed(0)} of ${got.load.took.toFixed(0)} ms and ${got.embed.longest.toFixed(0)} of ${got.embed.took.toFixed(0)} ms`;
  },

  "a model that was loaded once loads without a network": async (bench) => {
    const server = await bench.site();
    const page = await bench.page({ server });
    const load = () => page.evaluate(async (model) => {
      const encoder = await Encoder.load(model, { device: "cpu", worker: false });
      const { results } = await encoder.embed("a word");
      await encoder.dispose();
      return results[0].vectors.length;
    }, TINY);
    const width = await load();
    await page.context().setOffline(true);
    bench.check((await load()) === width, "it does not");
  },
};
