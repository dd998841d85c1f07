// What goes wrong: a lost device, a broken file, no WebGPU, a caller that gives up. Each is told in a sentence, and the
// next load works.

const TINY = "/fixtures/families/roberta-a/";

/** Whether the page still loads a model and embeds. */
const works = (page, options = { device: "webgpu" }) => page.evaluate(async ([model, options]) => {
  const encoder = await Encoder.load(model, options);
  const { results } = await encoder.embed("a word", { pool: "mean" });
  await encoder.dispose();
  return results[0].vectors.every(Number.isFinite) && results[0].vectors.length > 0;
}, [TINY, options]);

/** An error of the package: of a kind, and one sentence long. */
function told(bench, error, kinds, words) {
  bench.check(error, "nothing was refused");
  bench.check(kinds.includes(error.kind), `kind ${error.kind}: ${error.message}`);
  bench.check(error.message.length < 400 && !error.message.includes("\n"), `no sentence: ${error.message}`);
  for (const word of words) bench.check(error.message.includes(word), `it does not say ${word}: ${error.message}`);
  return error.message;
}

export default {
  "a device destroyed in the middle of a run": async (bench) => {
    const page = await bench.page();
    const error = await page.evaluate(async (model) => {
      // In this thread, where the test can reach the device.
      const request = GPUAdapter.prototype.requestDevice;
      let device;
      GPUAdapter.prototype.requestDevice = async function (...all) {
        device = await request.apply(this, all);
        return device;
      };
      const encoder = await Encoder.load(model, { device: "webgpu", worker: false });
      GPUAdapter.prototype.requestDevice = request;
      await encoder.embed("a word");
      const running = refusal(encoder.embed(Array(400).fill("some words that take a while to compute"), { layers: "all", pool: "tokens" }));
      setTimeout(() => device.destroy(), 5);
      const first = await running;
      const after = await refusal(encoder.embed("a word"));
      await refusal(encoder.dispose());
      return { first, after };
    }, TINY);
    const said = told(bench, error.first, ["DeviceLost"], []);
    told(bench, error.after, ["DeviceLost"], []);
    bench.check(await works(page, { device: "webgpu", worker: false }), "the next load does not work");
    bench.check(await works(page), "the next load in a worker does not work");
    return said;
  },

  "the GPU's process dies in the middle of a run": async (bench) => {
    const browser = await bench.browserWith(["--disable-gpu-process-crash-limit", "--disable-domain-blocking-for-3d-apis"]);
    const page = await bench.page({ browser });
    await page.evaluate(async (model) => {
      globalThis.encoder = await Encoder.load(model, { device: "webgpu" });
      await encoder.embed("a word");
      const end = performance.now() + 30_000;
      globalThis.running = refusal((async () => {
        while (performance.now() < end) await encoder.embed(Array(50).fill("some words that take a while"));
      })());
    }, TINY);
    const session = await browser.newBrowserCDPSession();
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    process.kill(processInfo.find((one) => one.type === "GPU").id, "SIGKILL");
    const error = await page.evaluate(() => running);
    const said = told(bench, error, ["DeviceLost", "Gpu"], []);
    await page.evaluate(() => encoder.dispose());
    bench.check(await works(page), "the next load does not work");
    return said;
  },

  "a model file cut short": async (bench) => {
    const fault = { at: null };
    const server = await bench.site({ spoil: (name) => (fault.at && name.endsWith("model.safetensors") ? fault.at : null) });
    const page = await bench.page({ server });
    const load = (options) => page.evaluate(([model, options]) => refusal(Encoder.load(model, options)), ["/web/demo/model/", { device: "cpu", ...options }]);
    let said;
    for (const worker of [true, false]) {
      // The server has a file of 2 MB.
      fault.at = { short: 2_000_000 };
      said = told(bench, await load({ worker }), ["Checkpoint", "Io"], ["model.safetensors"]);
      // The connection ends after 2 MB of 45.
      fault.at = { cut: 2_000_000 };
      told(bench, await load({ worker }), ["Checkpoint", "Io"], ["model.safetensors"]);
      // It ends within the header.
      fault.at = { cut: 300 };
      told(bench, await load({ worker }), ["Checkpoint", "Io"], ["model.safetensors"]);
    }
    fault.at = { status: 500 };
    told(bench, await load({ cache: false }), ["Io"], ["500"]);
    // What broke off is not in the cache.
    fault.at = null;
    bench.check((await load({})) === null, "the whole file does not load afterwards");
    return said;
  },

  "no model, no such model, a wrong word": async (bench) => {
    const page = await bench.page();
    const load = (model, options) => page.evaluate(([m, o]) => refusal(Encoder.load(m, o)), [model, options]);
    told(bench, await load("/nowhere/", { device: "cpu" }), ["NotFound"], []);
    told(bench, await load("../../etc", { device: "cpu" }), ["NotFound", "Io"], []);
    told(bench, await load({ "readme.txt": null }, {}), ["NotFound"], ["config.json"]);
    told(bench, await load(TINY, { device: "tpu" }), ["Usage"], ["tpu"]);
    const words = await page.evaluate(async (model) => {
      const encoder = await Encoder.load(model, { device: "cpu" });
      const said = [];
      for (const capture of [{ layers: "9" }, { layers: "" }, { pool: "median" }, { combine: "product" }, { overflow: "error", maxTokens: 4 }]) {
        said.push(await refusal(encoder.embed("a word that is much longer than four tokens", capture)));
      }
      said.push(await refusal(encoder.embed([7])));
      const fine = await encoder.embed("a word");
      await encoder.dispose();
      said.push(await refusal(encoder.embed("a word")));
      return { said, fine: fine.results.length };
    }, TINY);
    bench.check(words.fine === 1, "a wrong word broke the encoder");
    words.said.forEach((error) => told(bench, error, ["Usage", "TooLong", "Unsupported", "NotFound"], []));
    return `${words.said.length + 4} refusals`;
  },

  "WebGPU is absent": async (bench) => {
    // Not served over https nor from localhost: the browser has no `navigator.gpu` there.
    const browser = await bench.browserWith(["--host-resolver-rules=MAP plain.test 127.0.0.1"]);
    const page = await bench.page({ browser, host: "plain.test" });
    bench.check(await page.evaluate(() => navigator.gpu === undefined), "this page has WebGPU after all");
    const error = await page.evaluate((m) => refusal(Encoder.load(m, { device: "webgpu" })), TINY);
    const said = told(bench, error, ["NoAdapter"], ["WebGPU"]);
    const got = await page.evaluate(async (m) => {
      const encoder = await Encoder.load(m);
      const result = await states(encoder, `${m}goldens`, ["word", "sentence"]);
      const info = encoder.info();
      await encoder.dispose();
      return { result, info };
    }, TINY);
    bench.check(got.info.backend === "cpu" && /WebGPU/.test(got.info.notice), `no notice: ${JSON.stringify(got.info)}`);
    bench.check(got.result.wrong.length === 0, got.result.wrong.join("; "));
    return said;
  },

  "a software adapter is taken only by name": async (bench) => {
    const page = await bench.page();
    const info = await page.evaluate(async (m) => {
      const encoder = await Encoder.load(m);
      const info = encoder.info();
      await encoder.dispose();
      return info;
    }, TINY);
    bench.check(info.backend === "cpu" && /software/.test(info.notice ?? ""), JSON.stringify(info));
    return info.notice;
  },

  "a caller gives up": async (bench) => {
    const server = await bench.site({ spoil: (name) => (name.endsWith("model.safetensors") ? { slow: 20 } : null) });
    const page = await bench.page({ server });
    const got = await page.evaluate(async (tiny) => {
      const said = [];
      for (const worker of [true, false]) {
        const during = new AbortController();
        const load = refusal(Encoder.load("/web/demo/model/", { device: "cpu", worker, cache: false, signal: during.signal,
          onProgress: ({ loaded }) => { if (loaded > 3e5) during.abort(); } }));
        said.push([`load, worker ${worker}`, (await load)?.name]);
      }
      said.push(["load before it began", (await refusal(Encoder.load(tiny, { signal: AbortSignal.abort() })))?.name]);
      for (const device of ["webgpu", "cpu"]) {
        const encoder = await Encoder.load(tiny, { device });
        await encoder.embed("a word");
        const texts = Array(3000).fill("some words that take a while to compute");
        const whole = performance.now();
        const stop = new AbortController();
        const running = refusal(encoder.embed(texts, { signal: stop.signal }));
        setTimeout(() => stop.abort(), 30);
        said.push([`embed on ${device}`, (await running)?.name]);
        const heard = performance.now() - whole;
        if (heard > 2000) said.push([`embed on ${device} heard it after ${heard} ms`, "late"]);
        const after = await encoder.embed("a word");
        if (after.results.length !== 1) said.push([`embed on ${device} afterwards`, "broken"]);
        await encoder.dispose();
      }
      return said;
    }, TINY);
    for (const [what, name] of got) bench.check(name === "AbortError", `${what}: ${name}`);
    return `${got.length} ways`;
  },
};
