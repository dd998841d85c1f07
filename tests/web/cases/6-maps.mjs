// The results, in the demo and in a page of `everylayer explore`: numbers, room, contrast, files that are saved.

import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { target } from "../browser.mjs";
import { contrasts } from "../contrast.mjs";
import { twelve } from "../twelve.mjs";
import { open } from "./4-demo.mjs";

const LONG = "A sentence with many words, more of them than a phone has room for, and some unbelievably antidisestablishmentarian ones, to be sure that columns are many.";
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true };

/** Parts of maps that stand beyond their box, and whether a box that has more says so. */
const cut = (page) => page.evaluate(async () => {
  // Maps take their room a frame after they are drawn.
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
  return [...document.querySelectorAll(".map")].map((map) => {
    const [box, table] = [map.querySelector(".scroll"), map.querySelector("table")];
    const over = Math.round(table.getBoundingClientRect().right - box.getBoundingClientRect().left - box.clientWidth);
    return { over, told: /scroll sideways/.test(map.querySelector(".hint").textContent), columns: map.querySelectorAll("thead th").length - 1, narrowest: Math.min(...[...map.querySelectorAll("td")].map((cell) => cell.offsetWidth)) };
  });
});

/** Nothing that can be read is paler than it may be, at every `step`th layer, in numbers of two kinds. */
async function readable(bench, page, step = 4) {
  let texts = 0;
  for (const measure of ["Change", "Length"]) {
    await page.getByRole("radio", { name: measure }).check();
    for (let layer = 0; layer <= Number(await page.locator("#layer").getAttribute("max")); layer += step) {
      await page.locator("#layer").fill(String(layer));
      const got = await page.evaluate(contrasts, 4.5);
      bench.check(got.low.length === 0, `at layer ${layer}: ${JSON.stringify(got.low.slice(0, 4))}`);
      texts += got.texts;
    }
  }
  return texts;
}

/** What a button saves. */
async function saved(page, name) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name }).click()]);
  return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

/** Rows of a CSV without line breaks in its fields. */
const rows = (bytes) => bytes.toString().trimEnd().split("\r\n").map((line) => [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].slice(0, -1).map(([, field]) => field.replace(/^"|"$/g, "").replaceAll('""', '"')));

/** Each option against arithmetic of its own, on the vectors of the library. */
async function numbers(bench, page) {
  const texts = ["Unbelievable rivers, \"quoted\"", "A bank."];
  await page.locator("#a").fill(texts[0]);
  await page.locator("#b").fill(texts[1]);
  await page.locator("#go").click();
  await page.getByRole("heading", { name: "Unbelievable" }).waitFor({ timeout: 60_000 });
  const all = await page.evaluate(async (texts) => {
    const { Encoder } = await import("/web/index.js");
    const encoder = await Encoder.load("./model/", { device: "cpu" });
    const { results, layers, width } = await encoder.embed(texts, { layers: "all", pool: "tokens", normalize: false });
    await encoder.dispose();
    return { layers, width, results: results.map(({ tokens, vectors }) => ({ tokens, vectors: [...vectors] })) };
  }, texts);
  const { width } = all;
  const at = (text, layer, token) => {
    const { tokens, vectors } = all.results[text];
    const from = (layer * tokens.length + token) * width;
    return vectors.slice(from, from + width);
  };
  const mean = (list) => list[0].map((_, i) => list.reduce((sum, one) => sum + one[i], 0) / list.length);
  const minus = (a, b) => a.map((x, i) => x - b[i]);
  const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
  const cosine = (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  const tokens = (text) => all.results[text].tokens.map((_, i) => i);
  const words = (text) => {
    const of = new Map();
    for (const i of tokens(text)) {
      const word = all.results[text].tokens[i].word ?? `special ${i}`;
      of.set(word, [...(of.get(word) ?? []), i]);
    }
    return [...of.values()];
  };
  const label = (text, members) => all.results[text].tokens[members[0]].word === null ? all.results[text].tokens[members[0]].text
    : [...texts[text]].slice(all.results[text].tokens[members[0]].start, all.results[text].tokens[members.at(-1)].end).join("");
  const middle = (layer) => mean([0, 1].flatMap((text) => tokens(text).map((i) => at(text, layer, i))));
  const hold = (what, got, want) => {
    bench.check(got.length === want.length && got.every((row, i) => row.length === want[i].length), `${what}: ${got.length} rows for ${want.length}`);
    got.forEach((row, i) => row.forEach((x, k) => {
      const same = typeof want[i][k] === "string" ? x === want[i][k] : Math.abs(Number(x) - want[i][k]) < 1e-4;
      bench.check(same, `${what} at ${i}, ${k}: ${x}, not ${want[i][k]}`);
    }));
  };
  const choose = async (...names) => {
    for (const name of names) await page.getByRole("radio", { name, exact: true }).check();
  };
  const csv = async () => rows((await saved(page, "Save tokens through the layers as CSV")).bytes).slice(1);

  // Since layer 0, of tokens.
  await choose("Since layer 0");
  const lines = (units, value) => [0, 1].flatMap((text) => units(text).map((members, row) => ["AB"[text], String(row),
    units === words ? label(text, members) : all.results[text].tokens[members[0]].text,
    ...all.layers.map((_, layer) => value(text, layer, members))]));
  const single = (text) => tokens(text).map((i) => [i]);
  hold("since layer 0", await csv(), lines(single, (text, layer, [i]) => cosine(at(text, layer, i), at(text, 0, i))));
  // Lengths, of words.
  await choose("Words", "Length");
  await page.getByRole("rowheader", { name: "Unbelievable" }).first().waitFor();
  const pooled = (text, layer, members) => mean(members.map((i) => at(text, layer, i)));
  hold("lengths", await csv(), lines(words, (text, layer, members) => Math.sqrt(dot(pooled(text, layer, members), pooled(text, layer, members)))));
  // The other text, without the mean of all.
  await choose("Other text", "Mean-centred");
  await page.getByText("the mean of all tokens of the layer is taken away").waitFor();
  await page.locator("#results:not([aria-busy])").waitFor();
  const other = (text, layer) => minus(mean(tokens(1 - text).map((i) => at(1 - text, layer, i))), middle(layer));
  hold("centred", await csv(), lines(words, (text, layer, members) => cosine(minus(pooled(text, layer, members), middle(layer)), other(text, layer))));
  // Words against words without special tokens, at layer 2.
  await choose("Cosine");
  await page.getByRole("checkbox", { name: "Hide special tokens" }).check();
  await page.locator("#layer").fill("2");
  await page.locator("#results:not([aria-busy])").waitFor();
  const own = (text) => words(text).filter(([i]) => all.results[text].tokens[i].word !== null);
  const file = await saved(page, "Save token against token as CSV");
  bench.check(file.name === "everylayer-ab-layer-2.csv", file.name);
  hold("words", rows(file.bytes), [
    ["", ...own(1).map((members) => label(1, members))],
    ...own(0).map((row) => [label(0, row), ...own(1).map((column) => cosine(pooled(0, 2, row), pooled(1, 2, column)))]),
  ]);
  bench.check(!(await page.locator("#layers").textContent()).includes("[CLS]"), "special tokens are not hidden");
  const chart = rows((await saved(page, "Save the two texts as CSV")).bytes);
  bench.check(chart.length === all.layers.length + 1 && chart[0].join() === "layer,mean of all tokens,first token", chart[0].join());
}

/** Each picture is one, of some size, and not of one colour. */
async function pictures(bench, page, names) {
  for (const name of names) {
    const { name: file, bytes } = await saved(page, `Save ${name} as PNG`);
    bench.check(file.endsWith(".png") && bytes.subarray(1, 4).toString() === "PNG", file);
    const [wide, high] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
    bench.check(wide > 500 && high > 300 && bytes.length > 15_000, `${file} is ${wide} x ${high}, ${bytes.length} bytes`);
  }
}

/** A page of `explore`, made by the program that was built. */
function explore(bench, ...texts) {
  const program = process.env.EVERYLAYER ?? path.join(target, "release/everylayer");
  if (!existsSync(program)) bench.skip(`${program} is not built`);
  const folder = mkdtempSync(path.join(os.tmpdir(), "everylayer-explore-"));
  bench.servers.push({ close: async () => rmSync(folder, { recursive: true, force: true }) });
  const file = path.join(folder, "report.html");
  execFileSync(program, ["explore", "-q", "--device", "cpu", "-m", twelve(), "-o", file, "--", ...texts]);
  return pathToFileURL(file).href;
}

export default {
  "maps: each option gives the numbers it says": async (bench) => {
    const page = await open(bench, { server: await bench.site() });
    await numbers(bench, page);
    await pictures(bench, page, ["the two texts", "tokens through the layers", "token against token"]);
    bench.check(page.faults.length === 0, page.faults.join("; "));
  },

  "maps: twelve layers have room, and what is scrolled says so": async (bench) => {
    const server = await bench.site();
    for (const [options, full] of [[{ viewport: { width: 1280, height: 900 } }, true], [PHONE, false]]) {
      const page = await open(bench, { server, model: "/twelve/", options });
      const { width } = page.viewportSize();
      await page.getByRole("radio", { name: "Since layer 0" }).check();
      const [a, b, between] = await cut(page);
      for (const map of [a, b]) {
        bench.check(map.columns === 13 && map.over <= 0, `${width}: ${map.over} pixels of ${map.columns} columns are cut`);
        bench.check(map.narrowest >= (full ? 24 : 12), `${width}: a cell is ${map.narrowest} wide`);
      }
      bench.check(between.over <= 0 || between.told, `${width}: the columns of tokens are cut by ${between.over}`);
      await page.locator("#a").fill(LONG);
      await page.locator("#b").fill(LONG);
      await page.locator("#go").click();
      await page.getByRole("heading", { name: "A sentence with many words" }).first().waitFor();
      const [, , wide] = await cut(page);
      bench.check(full ? wide.over <= 0 : wide.over > 0 && wide.told, `${width}: ${wide.columns} columns are cut by ${wide.over}, and nothing says so`);
      if (!full) {
        await page.locator("#tokens .scroll").evaluate((box) => box.scrollTo(1e5, 0));
        await page.waitForFunction(() => { const { classList } = document.querySelector("#tokens .map"); return classList.contains("left") && !classList.contains("right"); });
        await pictures(bench, page, ["token against token"]);
      }
      const all = await page.evaluate(() => document.documentElement.scrollWidth);
      bench.check(all <= width, `the page is ${all} wide in ${width}`);
    }
  },

  "maps: all that is said has a contrast of 4.5": async (bench) => {
    const server = await bench.site();
    const said = [];
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(bench, { server, model: "/twelve/", options: { viewport: { width: 1280, height: 900 }, colorScheme } });
      const texts = await readable(bench, page);
      await page.locator("#a").fill("other");
      await page.locator("#id").fill("./nowhere/");
      await page.getByRole("button", { name: "Load", exact: true }).click();
      await page.getByRole("button", { name: "Another name" }).waitFor({ timeout: 30_000 });
      const got = await page.evaluate(contrasts, 4.5);
      bench.check(got.low.length === 0, `with an error: ${JSON.stringify(got.low)}`);
      // The check itself: what is half seen through is noticed.
      await page.locator("#layers td").first().evaluate((cell) => { cell.style.opacity = 0.3; });
      bench.check((await page.evaluate(contrasts, 4.5)).low.length === 1, "a pale cell is not noticed");
      said.push(`${texts} texts ${colorScheme}`);
    }
    return said.join(", ");
  },

  "a page of explore: two texts": async (bench) => {
    const address = explore(bench, "Unbelievable rivers", LONG);
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(bench, { address, origin: "null", options: { viewport: { width: 1280, height: 900 }, colorScheme } });
      await readable(bench, page, 12);
      const [a, b] = await cut(page);
      bench.check(a.over <= 0 && b.over <= 0, `columns are cut by ${a.over} and ${b.over}`);
      for (const name of ["Words", "Mean-centred", "Since layer 0", "Other text", "within A"]) await page.getByRole("radio", { name, exact: true }).check();
      await page.getByRole("rowheader", { name: "Unbelievable" }).first().waitFor();
      bench.check((await page.locator(".closest li").count()) > 0, "no closest pair is named");
      if (colorScheme === "dark") await pictures(bench, page, ["the two texts", "tokens through the layers", "token against token"]);
      bench.check(page.faults.length === 0, page.faults.join("; "));
      bench.check(page.outside.every((one) => one === address), `asked for ${page.outside}`);
    }
    const page = await open(bench, { address, origin: "null", options: PHONE });
    const maps = await cut(page);
    bench.check(maps.every((map) => map.over <= 0 || map.told), JSON.stringify(maps));
    bench.check((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390, "the page is too wide");
  },

  "a page of explore: one text": async (bench) => {
    const page = await open(bench, { address: explore(bench, "One text alone"), origin: "null" });
    bench.check(!(await page.locator("#pair").isVisible()), "there is a second text");
    const names = await page.locator("#measure span, #between span").allTextContents();
    bench.check(names.join() === "Change,Since layer 0,Length,within the text", names.join());
    const { bytes } = await saved(page, "Save token against token as CSV");
    bench.check(rows(bytes).length === rows(bytes)[0].length, "the map is not of the text against itself");
    bench.check(page.faults.length === 0, page.faults.join("; "));
  },
};
