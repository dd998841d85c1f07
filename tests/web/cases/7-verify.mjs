// A GPU that computes wrong, by kernels whose text is another than the engine's: it is noticed before it is believed,
// and kept from one load to the next.

const TINY = "/fixtures/families/roberta-a/";

/**
 * Loads the tiny model in the page's own thread and embeds a text, with `from` of every kernel replaced by `to`; what is
 * known of the GPU, and the numbers.
 */
const load = (page, { from, to, ...options } = {}) => page.evaluate(async ([model, from, to, options]) => {
  const create = GPUDevice.prototype.createShaderModule;
  if (from) {
    GPUDevice.prototype.createShaderModule = function (descriptor) {
      return create.call(this, { ...descriptor, code: descriptor.code.replaceAll(from, to) });
    };
  }
  try {
    const encoder = await Encoder.load(model, { device: "webgpu", worker: false, ...options });
    const { results } = await encoder.embed("some words to embed", { layers: "all", pool: "tokens" });
    const { backend, verified, notice } = encoder.info();
    await encoder.dispose();
    return { backend, verified, notice, vectors: [...results[0].vectors] };
  } finally {
    GPUDevice.prototype.createShaderModule = create;
  }
}, [TINY, from, to, options]);

/** The products that an invocation makes by itself, which software adapters are given first. */
const DIRECT = { from: "let c0_0_0 = fma(", to: "let c0_0_0 = 0.5 * fma(" };
/** Attention, in each of its forms. */
const ATTENTION = { from: "exp2(", to: "exp2(0.5 * " };

function same(bench, got, want) {
  bench.check(got.vectors.length === want.vectors.length, `${got.vectors.length} numbers`);
  const worst = got.vectors.reduce((most, x, i) => Math.max(most, Math.abs(x - want.vectors[i])), 0);
  bench.check(worst < 1e-4, `off by ${worst}`);
}

export default {
  "kernels of WebGPU are verified once": async (bench) => {
    const page = await bench.page();
    const first = await load(page);
    const found = JSON.stringify(first);
    bench.check(first.verified?.ran > 0 && first.verified.kernels > 0 && first.verified.model, `first: ${found.slice(0, 200)}`);
    bench.check(first.verified.fault === undefined && first.notice === undefined, `a fault: ${found.slice(0, 300)}`);
    const second = await load(page);
    bench.check(second.verified.ran === 0 && second.verified.kernels === first.verified.kernels, "they were verified again");
    const always = await load(page, { verify: "always" });
    bench.check(always.verified.ran > 0, "always: nothing was verified");
    bench.check((await load(page, { verify: "never" })).verified === undefined, "never: something was verified");
    same(bench, second, await load(page, { device: "cpu" }));
    return `${first.verified.ran} checks, then none`;
  },

  "wrong products give way to others, which is kept": async (bench) => {
    const page = await bench.page();
    const right = await load(page, { device: "cpu" });
    const wrong = await load(page, DIRECT);
    bench.check(/computes `matmul\.direct.* wrong/.test(wrong.verified?.fault), `fault: ${wrong.verified?.fault}`);
    bench.check(wrong.notice === wrong.verified.fault && wrong.backend === "webgpu", `notice: ${wrong.notice}`);
    same(bench, wrong, right);
    const again = await load(page, DIRECT);
    bench.check(again.verified.ran === 0 && again.verified.fault === wrong.verified.fault, `again: ${JSON.stringify(again.verified)}`);
    same(bench, again, right);
    return wrong.notice;
  },

  "a GPU without right kernels is refused, and left alone by auto": async (bench) => {
    const page = await bench.page();
    const right = await load(page, { device: "cpu" });
    const error = await load(page, ATTENTION).then(() => null, (e) => e.message);
    bench.check(/computes `attention.* wrong/.test(error) && error.includes("report this"), `it was not refused: ${error}`);
    // As if the software adapter were a real one, which auto would take.
    await page.evaluate(() => Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false }));
    const auto = await load(page, { ...ATTENTION, device: "auto" });
    bench.check(auto.backend === "cpu" && /computes `attention.* wrong/.test(auto.notice), `auto: ${auto.backend}, ${auto.notice}`);
    same(bench, auto, right);
    return auto.notice;
  },
};
