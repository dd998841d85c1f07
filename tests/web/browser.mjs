// Chromium with WebGPU on a software adapter, and the folders that tests use. No test is in here.

import { createRequire } from "node:module";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import path from "node:path";

/** The root of the repository. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
/** Where cargo builds. */
export const target = path.resolve(root, process.env.CARGO_TARGET_DIR ?? "target");
/** Packages are installed under there, not beside the tests. */
export const packages = createRequire(path.resolve(root, process.env.EVERYLAYER_PACKAGES ?? path.join(target, "browser"), "package.json"));

const FLAGS = [
  "--no-sandbox",
  // A software adapter is behind this flag; so is the destruction of an adapter's process.
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  // Nothing but the pages of the tests is asked for.
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];

/** The browser's program: `CHROMIUM`, or where Debian puts it. */
export function program() {
  const names = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  return names.find((name) => name && existsSync(name));
}

/** Starts Chromium; `extra` flags go after the usual ones. */
export async function launch(extra = []) {
  const executablePath = program();
  if (!executablePath) throw new Error("there is no Chromium: apt install chromium, or set CHROMIUM");
  const { chromium } = packages("playwright-core");
  return chromium.launch({ executablePath, headless: true, args: [...FLAGS, ...extra] });
}

/** What goes wrong is said in one sentence; the rest is for DEBUG. */
export function sentence(error) {
  const said = String(error?.message ?? error).split("\n")[0];
  return process.env.DEBUG ? `${said}\n${error?.stack}` : said;
}
