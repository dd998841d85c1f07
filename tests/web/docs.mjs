// The server's page /docs: every route opened and its form sent; wide, contrast, what the page fetches.
//
//     node tests/web/docs.mjs [FOLDER]        with FOLDER, pictures are put there

import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { launch, target } from "./browser.mjs";
import { contrasts } from "./contrast.mjs";

const LEAST = 4.5;
const binary = process.env.EVERYLAYER ?? path.join(target, "release/everylayer");
const folder = process.argv[2];
let passed = 0;
let failed = 0;
const check = (is, said) => {
  console.log(`${is ? "ok" : "FAILED"} ${said}`);
  is ? (passed += 1) : (failed += 1);
};

/** A server of its own and where it listens. */
function serve(...words) {
  const child = spawn(binary, ["serve", "--port", "0", "--device", "cpu", ...words], { stdio: ["ignore", "ignore", "pipe"] });
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (part) => {
      said += part;
      const at = /listening on (http:\S+)/.exec(said);
      if (at) resolve({ child, origin: at[1] });
    });
    child.on("exit", () => reject(new Error(`the server did not start: ${said}`)));
  });
}

const browser = await launch();
const open = await serve();
const locked = await serve("--api-key", "right");
try {
  for (const [size, width, height] of [["desktop", 1280, 900], ["phone", 390, 844]]) {
    for (const scheme of ["light", "dark"]) {
      const where = `/docs ${size} ${scheme}`;
      const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, deviceScaleFactor: size === "phone" ? 2 : 1 });
      const page = await context.newPage();
      const asked = [];
      const wrong = [];
      page.on("request", (request) => asked.push(request.url()));
      page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
      page.on("pageerror", (error) => wrong.push(error.message));
      await page.goto(`${open.origin}/docs`);
      await page.locator(".route").first().waitFor();
      const picture = (name) => folder && page.screenshot({ path: path.join(folder, `docs-${name}-${size}-${scheme}.png`), fullPage: true });
      if (folder) mkdirSync(folder, { recursive: true });
      await picture("closed");
      const count = await page.locator(".route").count();
      const bad = [];
      for (let i = 0; i < count; i++) {
        const route = page.locator(".route").nth(i);
        await route.locator("> summary").click();
        // The forms are sent once.
        if (scheme === "light" && size === "desktop") {
          await route.locator("button.main").click();
          await route.locator(".answer .status").waitFor();
          const status = await route.locator(".answer .status").innerText();
          if (status !== "200") bad.push(`${await route.locator("summary code").first().innerText()}: ${status}`);
        }
      }
      if (scheme === "light" && size === "desktop") check(bad.length === 0 && count > 20, `${where}: ${count} forms are answered with 200 ${bad}`);
      const layers = page.locator(".route").first();
      await layers.locator("button.main").click();
      await layers.locator(".answer .status").waitFor();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      check(wide <= width, `${where}: as wide as the window (${wide})`);
      const { low, texts } = await page.evaluate(contrasts, LEAST);
      check(low.length === 0 && texts > 100, `${where}: contrast of ${texts} texts ${JSON.stringify(low.slice(0, 5))}`);
      const abroad = asked.filter((url) => !url.startsWith(open.origin) && !url.startsWith("data:"));
      check(abroad.length === 0 && wrong.length === 0, `${where}: asks this server alone, without an error ${abroad} ${wrong}`);
      await page.locator(".route").evaluateAll((all) => all.slice(1).forEach((one) => one.removeAttribute("open")));
      await picture("open");
      await context.close();
    }
  }
  const page = await browser.newPage();
  await page.goto(`${locked.origin}/docs/`);
  await page.locator("#key").fill("wrong");
  await page.locator("#entry button").click();
  await page.locator("#error:not(:empty)").waitFor();
  await page.locator("#key").fill("right");
  await page.locator("#entry button").click();
  await page.locator(".route").first().waitFor();
  await page.locator(".route summary").first().click();
  await page.locator(".route button.main").first().click();
  const status = await page.locator(".answer .status").first().innerText();
  check(status === "200", `/docs asks for the key and sends it: ${status}`);
} finally {
  await browser.close();
  open.child.kill();
  locked.child.kill();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
