// The folders of the package, the demo and the models, as a server of the tests lays them out.

import path from "node:path";
import { root } from "./browser.mjs";
import { serve } from "./server.mjs";
import { twelve } from "./twelve.mjs";

/** Where the package was built: `EVERYLAYER_WEB`, or `web/` of this checkout. */
export const web = process.env.EVERYLAYER_WEB ?? path.join(root, "web");

/** `everylayer serve --web` in small: the same addresses, with faults on request. */
export function site(options) {
  const folders = {
    "/web/demo/model": path.join(root, "models/all-MiniLM-L6-v2"),
    "/web/demo": path.join(root, "web/demo"),
    "/web": web,
    "/twelve": twelve(),
    "/fixtures": path.join(root, "tests/fixtures"),
    "/tests": path.join(root, "tests/web"),
  };
  return serve(folders, options);
}
