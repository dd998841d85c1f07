// Runs the cases of `cases/` in one Chromium: a page of its own for each, a line for each, and the count.

import { readdirSync } from "node:fs";
import path from "node:path";
import { launch, root, sentence } from "./browser.mjs";
import { site, web } from "./site.mjs";
import { existsSync } from "node:fs";

/** Longer than the slowest case takes on two busy cores (20 loads on WebGPU: 195 s alone). */
const PATIENCE = 600_000;

/** Thrown by a case that cannot run here. */
export class Skip extends Error {}

/** What a case is given. */
class Bench {
  pages = [];
  servers = [];
  browsers = [];
  constructor(browser) {
    this.browser = browser;
  }
  skip(why) {
    throw new Skip(why);
  }
  /** A server of the site, with faults on request. */
  async site(options) {
    const server = await site(options);
    this.servers.push(server);
    return server;
  }
  /** A page that has the package, at `server` or one of its own. */
  async page({ server, browser = this.browser, host, context: options } = {}) {
    server ??= await this.site();
    const context = await browser.newContext(options);
    this.pages.push(context);
    const page = await context.newPage();
    page.faults = [];
    page.on("pageerror", (error) => page.faults.push(error.message));
    const origin = host ? server.origin.replace("localhost", host) : server.origin;
    await page.goto(`${origin}/tests/page.html`);
    await page.waitForFunction(() => globalThis.ready === true);
    return page;
  }
  /** A browser with other flags. */
  async browserWith(flags) {
    const browser = await launch(flags);
    this.browsers.push(browser);
    return browser;
  }
  check(condition, said) {
    if (!condition) throw new Error(said);
  }
  async end() {
    for (const one of [...this.pages, ...this.browsers, ...this.servers]) await one.close().catch(() => {});
  }
}

async function main() {
  const wanted = process.argv.slice(2);
  if (!existsSync(path.join(web, "pkg/everylayer_bg.wasm"))) {
    console.log("skipped: the browser tests: web/pkg is not built (run web/build)");
    return 0;
  }
  const folder = path.join(root, "tests/web/cases");
  const cases = [];
  for (const file of readdirSync(folder).sort()) {
    if (file.endsWith(".mjs")) cases.push(...Object.entries((await import(path.join(folder, file))).default));
  }
  let browser = await launch();
  console.log(`Chromium ${browser.version()}`);
  let [passed, failed, skipped] = [0, 0, 0];
  for (const [name, run] of cases) {
    if (wanted.length && !wanted.some((part) => name.includes(part))) continue;
    if (!browser.isConnected()) browser = await launch();
    const bench = new Bench(browser);
    const began = Date.now();
    let timer;
    const late = new Promise((_, no) => {
      timer = setTimeout(() => no(new Error(`it took longer than ${PATIENCE / 1000} s`)), PATIENCE);
    });
    try {
      const said = await Promise.race([run(bench), late]);
      passed += 1;
      console.log(`ok      ${name}${said ? `: ${said}` : ""} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    } catch (error) {
      if (error instanceof Skip) {
        skipped += 1;
        console.log(`skipped: ${name}: ${error.message}`);
      } else {
        failed += 1;
        console.log(`FAILED  ${name}: ${sentence(error)}`);
      }
    } finally {
      clearTimeout(timer);
      await bench.end();
    }
  }
  await browser.close();
  console.log(`${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`);
  // A filter that names nothing is a mistake, not a success.
  return failed || passed + skipped === 0 ? 1 : 0;
}

main().then((code) => process.exit(code), (error) => {
  console.error(`error: ${sentence(error)}`);
  process.exit(1);
});
