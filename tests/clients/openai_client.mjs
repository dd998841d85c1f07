// The package `openai` for Node against `everylayer serve`.
// usage: node openai_client.mjs BASE WANTED.json FOLDER_OF_NODE_MODULES
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [base, wanted, folder] = process.argv.slice(2);
const found = createRequire(pathToFileURL(folder + "/")).resolve("openai");
const loaded = await import(pathToFileURL(found));
const OpenAI = loaded.OpenAI ?? loaded.default.OpenAI ?? loaded.default;
const { texts, vectors } = JSON.parse(readFileSync(wanted));
const client = new OpenAI({ baseURL: base + "/v1", apiKey: "any", maxRetries: 0, timeout: 30_000 });

let failed = 0;
async function check(name, work) {
  try {
    await work();
    console.log(`ok openai for Node: ${name}`);
  } catch (error) {
    failed = 1;
    console.log(`FAILED openai for Node: ${name}: ${error}`);
  }
}

function near(answer, want) {
  const got = answer.data.map((one) => one.embedding);
  if (got.length !== want.length) throw new Error(`${got.length} vectors for ${want.length}`);
  got.forEach((vector, i) => {
    if (vector.length !== want[i].length) throw new Error(`${vector.length} numbers`);
    vector.forEach((x, j) => {
      if (!(Math.abs(x - want[i][j]) <= 1e-6)) throw new Error(`vector ${i}, number ${j}: ${x}`);
    });
  });
}

const ask = (words) => client.embeddings.create({ model: "bundled", ...words });
await check("base64, which it asks for itself", async () => near(await ask({ input: texts }), vectors));
await check("float", async () => near(await ask({ input: texts, encoding_format: "float" }), vectors));
await check("one text", async () => near(await ask({ input: texts[0] }), vectors.slice(0, 1)));
await check("32 at once", async () => {
  const all = await Promise.all(Array.from({ length: 32 }, (_, i) => ask({ input: texts[i % texts.length] })));
  all.forEach((one, i) => near(one, [vectors[i % texts.length]]));
});
await check("models", async () => {
  const names = [];
  for await (const one of client.models.list()) names.push(one.id);
  if (names.join() !== "bundled") throw new Error(names.join());
});
await check("a model that is not served is a 404", async () => {
  try {
    await ask({ model: "none", input: "x" });
  } catch (error) {
    if (error.status === 404) return;
    throw error;
  }
  throw new Error("it went through");
});
process.exit(failed);
