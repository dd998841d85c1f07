// Pictures of the demo and of pages of `everylayer explore`, to be looked at: desktop and phone, light and dark.
//
//     node tests/web/screens.mjs FOLDER [DEVICE] [FILE.html]...

import { mkdirSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { launch } from "./browser.mjs";
import { site } from "./site.mjs";

const [folder = "target/browser/screens", device = "webgpu", ...files] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const browser = await launch();
const server = await site();
const pages = [
  ["demo", `${server.origin}/web/demo/?device=${device}`],
  ...files.map((file) => [path.basename(file, ".html"), pathToFileURL(file).href]),
];
for (const [name, address] of pages) {
  for (const [size, width, height] of [["desktop", 1280, 900], ["phone", 390, 844], ["narrow", 360, 740]]) {
    for (const scheme of ["light", "dark"]) {
      const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, deviceScaleFactor: size === "desktop" ? 1 : 2 });
      const page = await context.newPage();
      const where = `${name}-${size}-${scheme}`;
      page.on("console", (message) => console.log(`${where}: ${message.text()}`));
      page.on("pageerror", (error) => console.log(`${where}: ${error.message}`));
      await page.goto(address);
      await page.locator("#tokens table, #error:not(:empty)").first().waitFor({ timeout: 240_000 });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      if (wide > width) console.log(`${where}: the page is ${wide} wide in ${width}`);
      await page.locator("#layer").fill("4");
      await page.evaluate(() => document.activeElement.blur());
      await page.screenshot({ path: path.join(folder, `${where}.png`), fullPage: true });
      await context.close();
    }
  }
}
await browser.close();
await server.close();
