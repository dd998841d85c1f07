// The numbers: every state against Transformers in f32, on the page's GPU and on its CPU.

const TEXTS = ["hello-world", "question", "emoji", "cjk", "prose", "pair-long"];
const SMALL = ["word", "empty", "sentence", "pair", "pads", "long"];
/** Learned positions of another kind; rotary positions, windows and gates; places of DeBERTa. */
const FAMILIES = ["roberta-a", "modernbert-a", "deberta-v2-a"];

async function states(bench, page, device, model, goldens, names) {
  const got = await page.evaluate(async ([device, model, goldens, names]) => {
    const encoder = await Encoder.load(model, { device });
    try {
      return { ...(await states(encoder, goldens, names)), backend: encoder.info().backend };
    } finally {
      await encoder.dispose();
    }
  }, [device, model, goldens, names]);
  bench.check(got.backend === device, `it ran on ${got.backend}`);
  bench.check(got.texts === names.length, `${got.texts} texts`);
  bench.check(got.wrong.length === 0, got.wrong.slice(0, 3).join("; "));
  return got;
}

const bundled = (device) => async (bench) => {
  const page = await bench.page();
  const got = await states(bench, page, device, "/web/demo/model/", "/fixtures/goldens/minilm", TEXTS);
  return `${got.texts} texts on ${got.device}, |d| at most ${got.worst.toExponential(1)}`;
};

const families = (device) => async (bench) => {
  const page = await bench.page();
  const said = [];
  for (const family of FAMILIES) {
    const folder = `/fixtures/families/${family}`;
    const got = await states(bench, page, device, `${folder}/`, `${folder}/goldens`, SMALL);
    said.push(`${family} ${got.worst.toExponential(1)}`);
  }
  return said.join(", ");
};

export default {
  "every state of the bundled model on webgpu": bundled("webgpu"),
  "every state of the bundled model on cpu": bundled("cpu"),
  "every state of other families on webgpu": families("webgpu"),
  "every state of other families on cpu": families("cpu"),

  "wrong goldens are noticed": async (bench) => {
    const page = await bench.page();
    const wrong = await page.evaluate(async () => {
      const encoder = await Encoder.load("/fixtures/families/roberta-a/", { device: "cpu" });
      const other = await states(encoder, "/fixtures/families/roberta-a/goldens", ["word"]);
      // The same text, and one number of its states moved by a little more than is allowed.
      const embed = encoder.embed.bind(encoder);
      encoder.embed = async (...all) => {
        const got = await embed(...all);
        got.results[0].vectors[17] += 2e-4;
        return got;
      };
      const moved = await states(encoder, "/fixtures/families/roberta-a/goldens", ["word"]);
      await encoder.dispose();
      return [other.wrong.length, moved.wrong.length];
    });
    bench.check(wrong[0] === 0 && wrong[1] === 1, `${wrong} complaints`);
  },

  "a text alone and in a batch has the same bits": async (bench) => {
    const page = await bench.page();
    for (const device of ["webgpu", "cpu"]) {
      const differ = await page.evaluate(async (device) => {
        const encoder = await Encoder.load("/fixtures/families/roberta-a/", { device });
        const texts = ["a", "a word or two", "some more words than that, to be sure", "b c"];
        const capture = { layers: "all", pool: "tokens" };
        const all = await encoder.embed(texts, capture);
        let differ = 0;
        for (let i = 0; i < texts.length; i++) {
          const alone = (await encoder.embed(texts[i], capture)).results[0].vectors;
          const bits = (v) => new Uint32Array(v.buffer, v.byteOffset, v.length);
          const [a, b] = [bits(alone), bits(all.results[i].vectors)];
          if (a.length !== b.length || a.some((x, k) => x !== b[k])) differ += 1;
        }
        await encoder.dispose();
        return differ;
      }, device);
      bench.check(differ === 0, `${differ} texts differ on ${device}`);
    }
  },
};
