// The demo as a user meets it: by mouse, keyboard and folder, on a phone, offline; and from `everylayer serve --web`.

import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { root, target } from "../browser.mjs";
import { web } from "../site.mjs";

/** Opens the demo, or the page at `address`, and waits until it has drawn or said why not. */
export async function open(bench, { origin, server, device = "cpu", options, model = "", address } = {}) {
  const browser = bench.browser;
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  bench.pages.push(context);
  const page = await context.newPage();
  page.faults = [];
  page.outside = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("console", (message) => { if (message.type() === "error") page.faults.push(message.text()); });
  origin ??= server?.origin;
  page.on("request", (request) => { if (!/^(blob|data):/.test(request.url()) && new URL(request.url()).origin !== origin) page.outside.push(request.url()); });
  await page.addInitScript(() => {
    globalThis.shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
  });
  await page.goto(address ?? `${origin}/web/demo/?device=${device}${model && `&model=${model}`}`);
  await page.locator("#tokens table, #error:not(:empty)").first().waitFor({ timeout: 200_000 });
  return page;
}

const tables = (page) => page.locator("#layers table, #tokens table").count();

export default {
  "the demo compares two texts": async (bench) => {
    const page = await open(bench, { server: await bench.site() });
    bench.check((await page.locator("#error").textContent()) === "", await page.locator("#error").textContent());
    bench.check((await tables(page)) === 3, `${await tables(page)} maps`);
    // The same numbers as the library's own poolings.
    const shown = await page.locator(".plain tbody td").allTextContents();
    const want = await page.evaluate(async () => {
      const { Encoder } = await import("/web/index.js");
      const { cosine } = await import("/web/demo/similarity.js");
      const encoder = await Encoder.load("./model/", { device: "cpu" });
      const texts = ["a", "b"].map((id) => document.getElementById(id).value);
      const said = [];
      const [mean, cls] = [await encoder.embed(texts, { layers: "all", pool: "mean", normalize: false }), await encoder.embed(texts, { layers: "all", pool: "cls", normalize: false })];
      for (let layer = 0; layer < mean.layers.length; layer++) {
        for (const all of [mean, cls]) {
          const at = (i) => all.results[i].vectors.subarray(layer * all.width, (layer + 1) * all.width);
          said.push(cosine(at(0), at(1)).toFixed(4));
        }
      }
      await encoder.dispose();
      return said;
    });
    const apart = shown.map((x, i) => Math.abs(Number(x.replace("\u2212", "-")) - Number(want[i])));
    bench.check(shown.length === want.length && Math.max(...apart) <= 1e-4, `${shown} for ${want}`);
    // The slider, the keys, another measure, another example.
    await page.locator("#layer").fill("2");
    bench.check(/^2 of 6$/.test(await page.locator("#which").textContent()), "the slider does not say where it is");
    await page.locator("h1").click();
    await page.keyboard.press("]");
    bench.check(/^3 of 6$/.test(await page.locator("#which").textContent()), "the key ] does nothing");
    await page.getByRole("radio", { name: "Other text" }).check();
    bench.check(/other text/.test(await page.locator("#measure-words").textContent()), "the measure stays");
    const before = await page.locator("#tokens table").textContent();
    await page.getByRole("radio", { name: "within B" }).check();
    bench.check((await page.locator("#tokens table").textContent()) !== before, "the map stays");
    await page.locator("#examples").selectOption({ index: 2 });
    await page.getByRole("heading", { name: "A man is playing" }).waitFor({ timeout: 60_000 });
    bench.check(page.faults.length === 0, page.faults.join("; "));
    bench.check(page.outside.length === 0, `asked for ${page.outside}`);
    const shift = await page.evaluate(() => globalThis.shift);
    bench.check(shift < 0.1, `the layout shifts by ${shift}`);
    return `layout shift ${shift.toFixed(3)}`;
  },

  "the demo on webgpu says which adapter": async (bench) => {
    const page = await open(bench, { server: await bench.site(), device: "webgpu" });
    const times = await page.locator("#times").textContent();
    bench.check(/WebGPU/.test(times) && /swiftshader/i.test(times), times);
  },

  "the demo by keyboard and for a screen reader": async (bench) => {
    const page = await open(bench, { server: await bench.site() });
    // Everything that can be worked has a name.
    const nameless = await page.evaluate(() => [...document.querySelectorAll("button, input, select, textarea, progress, [role=grid], svg[role]")]
      .filter((node) => node.type !== "hidden")
      .filter((node) => !(node.getAttribute("aria-label") || node.labels?.length || node.textContent.trim() && node.localName === "button"))
      .map((node) => node.outerHTML.slice(0, 80)));
    bench.check(nameless.length === 0, `without a name: ${nameless}`);
    for (const role of ["banner", "main", "contentinfo"]) bench.check((await page.getByRole(role).count()) === 1, `no ${role}`);
    bench.check((await page.getByRole("status").count()) >= 1 && (await page.locator("[role=alert]").count()) === 1, "nothing is announced");
    // From the first text to a map by Tab alone, and through the map by arrows.
    await page.locator("#b").focus();
    const seen = [];
    for (let i = 0; i < 24; i++) {
      await page.keyboard.press("Tab");
      seen.push(await page.evaluate(() => document.activeElement.id || document.activeElement.localName));
      if (seen.at(-1) === "td") break;
    }
    for (const id of ["go", "examples", "folder", "id", "device", "layer", "circle", "td"]) bench.check(seen.includes(id), `Tab does not reach ${id}: ${seen}`);
    const place = () => page.evaluate(() => [...document.activeElement.parentNode.children].indexOf(document.activeElement));
    const at = await place();
    await page.keyboard.press("ArrowRight");
    bench.check((await place()) === at + 1, "arrows do not move in the map");
    bench.check(await page.locator("#tip").isVisible(), "the focused value is not told");
    await page.keyboard.press("Escape");
    bench.check(!(await page.locator("#tip").isVisible()), "Escape does not close it");
  },

  "the demo at 360 pixels": async (bench) => {
    const page = await open(bench, { server: await bench.site(), options: { viewport: { width: 360, height: 740 }, hasTouch: true, colorScheme: "dark", reducedMotion: "reduce" } });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    bench.check(wide <= 360, `the page is ${wide} wide`);
    const small = await page.evaluate(() => [...document.querySelectorAll("button, select, input[type=range]")]
      .filter((node) => node.offsetParent && node.getBoundingClientRect().height < 28).map((node) => node.id));
    bench.check(small.length === 0, `too small for a finger: ${small}`);
    const moves = await page.evaluate(() => document.getAnimations().length);
    bench.check(moves === 0, `${moves} animations for those who want none`);
  },

  "the demo opens a folder of the user's": async (bench) => {
    const page = await open(bench, { server: await bench.site() });
    await page.locator("#files").setInputFiles(path.join(root, "tests/fixtures/families/modernbert-a"));
    await page.getByText("5 blocks, 6 states of 40").waitFor({ timeout: 60_000 });
    await page.waitForFunction(() => document.getElementById("which").textContent === "5 of 5");
    // A folder of modules, whose model is a folder below.
    const folder = mkdtempSync(path.join(os.tmpdir(), "everylayer-modules-"));
    bench.servers.push({ close: async () => rmSync(folder, { recursive: true, force: true }) });
    cpSync(path.join(root, "tests/fixtures/families/roberta-a"), path.join(folder, "0_Transformer"), { recursive: true });
    mkdirSync(path.join(folder, "1_Pooling"));
    const module = (idx, name) => ({ idx, name: String(idx), path: `${idx}_${name}`, type: `sentence_transformers.models.${name}` });
    writeFileSync(path.join(folder, "modules.json"), JSON.stringify([module(0, "Transformer"), module(1, "Pooling")]));
    writeFileSync(path.join(folder, "1_Pooling/config.json"), JSON.stringify({ word_embedding_dimension: 40, pooling_mode_cls_token: true }));
    await page.locator("#files").setInputFiles(folder);
    await page.waitForFunction((name) => document.getElementById("name").textContent === name || document.getElementById("error").textContent, path.basename(folder));
    bench.check((await page.locator("#error").textContent()) === "", await page.locator("#error").textContent());
    // A folder that is no model.
    await page.locator("#files").setInputFiles(path.join(root, "web/demo"));
    await page.getByText("config.json is missing").waitFor({ timeout: 10_000 });
    bench.check(page.faults.length === 0, page.faults.join("; "));
  },

  "the demo says what is wrong and goes on": async (bench) => {
    const fault = { at: { cut: 2_000_000 } };
    const server = await bench.site({ spoil: (name) => (name.endsWith("model.safetensors") ? fault.at : null) });
    const page = await open(bench, { server });
    const error = page.locator("#error");
    bench.check(/model\.safetensors/.test(await error.textContent()), await error.textContent());
    fault.at = null;
    await page.getByRole("button", { name: "Try again" }).click();
    await page.locator("#chart svg").waitFor({ timeout: 60_000 });
    bench.check((await error.textContent()) === "", "the error stays");
    // An empty text.
    await page.locator("#a").fill("  ");
    await page.locator("#go").click();
    bench.check(/Text A is empty/.test(await error.textContent()), "an empty text is not told");
    await page.locator("#a").fill("A bank.");

    // Models that cannot be loaded: the one there is goes on, and the error is of the model, not of a file it may lack.
    await page.route("https://huggingface.co/**", (route) => route.fulfill({ status: 401, headers: { "access-control-allow-origin": "*" } }));
    for (const [name, words] of [["nobody/nothing", /^nobody\/nothing cannot be fetched: huggingface\.co answered 401/], ["./nowhere/", /nowhere is not a model/]]) {
      await page.locator("#id").fill(name);
      await page.getByRole("button", { name: "Load", exact: true }).click();
      await error.getByRole("button", { name: "Another name" }).waitFor({ timeout: 30_000 });
      const said = await error.textContent();
      bench.check(words.test(said) && /all-MiniLM-L6-v2 is still loaded/.test(said) && !/modules\.json/.test(said), said);
      bench.check((await page.locator("#name").textContent()) === "all-MiniLM-L6-v2", "another model is named");
    }
    await page.locator("#go").click();
    await page.getByRole("heading", { name: "A bank." }).waitFor({ timeout: 60_000 });
    bench.check((await error.textContent()) === "", "the error stays");
    // Another name can be given at once.
    await page.locator("#id").fill("nobody/nothing");
    await page.getByRole("button", { name: "Load", exact: true }).click();
    await error.getByRole("button", { name: "Another name" }).click();
    bench.check(await page.evaluate(() => document.activeElement.id === "id" && document.activeElement.value === ""), "no other name can be given");
    bench.check((await page.locator("#known option").count()) > 3, "no names are offered");
  },

  "everylayer serve --web": async (bench) => {
    const program = process.env.EVERYLAYER ?? path.join(target, "release/everylayer");
    if (!existsSync(program)) bench.skip(`${program} is not built`);
    const child = spawn(program, ["serve", "--port", "0", "--device", "cpu", "--web-dir", web], { stdio: ["ignore", "ignore", "pipe"] });
    try {
      const origin = await new Promise((found, no) => {
        let said = "";
        child.stderr.on("data", (more) => {
          said += more;
          const at = /listening on (http:\S+)/.exec(said);
          if (at) found(at[1].replace("127.0.0.1", "localhost"));
        });
        child.on("exit", () => no(new Error(said.trim().split("\n").pop())));
      });
      const head = await fetch(`${origin}/web/pkg/everylayer_bg.wasm`, { method: "HEAD" });
      bench.check(head.headers.get("content-type") === "application/wasm", `wasm is ${head.headers.get("content-type")}`);
      const part = await fetch(`${origin}/web/demo/model/model.safetensors`, { headers: { range: "bytes=8-15" } });
      bench.check(part.status === 206 && (await part.arrayBuffer()).byteLength === 8, `a range is ${part.status}`);
      const page = await open(bench, { origin });
      bench.check((await tables(page)) === 3, await page.locator("#error").textContent());
      bench.check(await page.evaluate(() => crossOriginIsolated), "the page is not isolated");
      bench.check(page.faults.length === 0, page.faults.join("; "));
      bench.check(page.outside.length === 0, `asked for ${page.outside}`);
    } finally {
      child.kill();
    }
  },
};
