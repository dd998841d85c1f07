// Pictures of the demo, to be looked at: desktop and phone, light and dark.
//
//     node tests/web/screens.mjs FOLDER [DEVICE]

import { mkdirSync } from "node:fs";
import path from "node:path";
import { launch } from "./browser.mjs";
import { site } from "./site.mjs";

const folder = process.argv[2] ?? "target/browser/screens";
const device = process.argv[3] ?? "webgpu";
mkdirSync(folder, { recursive: true });
const browser = await launch();
const server = await site();
for (const [name, width, height] of [["desktop", 1280, 900], ["phone", 390, 844], ["narrow", 360, 740]]) {
  for (const scheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, deviceScaleFactor: name === "desktop" ? 1 : 2 });
    const page = await context.newPage();
    page.on("console", (message) => console.log(`${name} ${scheme}: ${message.text()}`));
    page.on("pageerror", (error) => console.log(`${name} ${scheme}: ${error.message}`));
    await page.goto(`${server.origin}/web/demo/?device=${device}`);
    await page.locator("#chart svg, #error:not(:empty)").first().waitFor({ timeout: 240_000 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > width) console.log(`${name} ${scheme}: the page is ${wide} wide in ${width}`);
    await page.locator("#layer").fill("4");
    await page.evaluate(() => document.activeElement.blur());
    await page.screenshot({ path: path.join(folder, `${name}-${scheme}.png`), fullPage: true });
    await context.close();
  }
}
await browser.close();
await server.close();
