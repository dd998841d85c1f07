// A static server on loopback for the tests: folders under names, and files that are spoiled on purpose.

import { createServer } from "node:http";
import { createReadStream, statSync } from "node:fs";
import path from "node:path";

const KINDS = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".txt": "text/plain; charset=utf-8",
  ".svg": "image/svg+xml",
};

/**
 * Serves `folders` (`{ "/name": directory }`) on a free port. `spoil(path, file)` may change the answer of a request:
 * `{ status, body }` answers it, `{ cut: n }` ends the file after n bytes while its length says more, `{ short: n }`
 * gives a file of n bytes, `{ slow: ms }` waits before each 64 KiB.
 */
export async function serve(folders, { spoil = () => null, isolated = false } = {}) {
  const asked = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    const name = decodeURIComponent(url.pathname);
    asked.push(name);
    response.setHeader("cache-control", "no-store");
    if (isolated) {
      response.setHeader("cross-origin-opener-policy", "same-origin");
      response.setHeader("cross-origin-embedder-policy", "require-corp");
    }
    const fault = spoil(name) ?? {};
    if (fault.status) {
      response.writeHead(fault.status, { "content-type": fault.kind ?? "text/plain" });
      return response.end(fault.body ?? "");
    }
    const prefix = Object.keys(folders).find((p) => name === p || name.startsWith(p.endsWith("/") ? p : `${p}/`));
    const base = prefix === undefined ? null : path.resolve(folders[prefix]);
    let file = base && path.join(base, name.slice(prefix.length));
    if (!file || !(file === base || file.startsWith(base + path.sep))) return void response.writeHead(404).end();
    let size;
    try {
      if (statSync(file).isDirectory()) file = path.join(file, "index.html");
      size = statSync(file).size;
    } catch {
      return void response.writeHead(404).end();
    }
    size = Math.min(size, fault.short ?? size);
    response.setHeader("content-type", KINDS[path.extname(file)] ?? "application/octet-stream");
    response.setHeader("accept-ranges", "bytes");
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    let [start, end] = [0, size - 1];
    if (range) {
      start = Number(range[1]);
      end = range[2] === "" ? end : Math.min(end, Number(range[2]));
      if (start > end) {
        return void response.writeHead(416, { "content-range": `bytes */${size}` }).end();
      }
      response.setHeader("content-range", `bytes ${start}-${end}/${size}`);
    }
    response.writeHead(range ? 206 : 200, { "content-length": size === 0 ? 0 : end - start + 1 });
    if (request.method === "HEAD" || size === 0) return response.end();
    send(response, file, start, end, fault);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const origin = `http://localhost:${server.address().port}`;
  return { origin, asked, close: () => new Promise((done) => { server.close(done); server.closeAllConnections(); }) };
}

async function send(response, file, start, end, fault) {
  let left = fault.cut === undefined ? Infinity : Math.max(0, fault.cut - start);
  for await (const chunk of createReadStream(file, { start, end })) {
    if (response.destroyed) return;
    if (fault.slow) await new Promise((wake) => setTimeout(wake, fault.slow));
    const part = chunk.subarray(0, Math.min(chunk.length, left));
    left -= part.length;
    const room = response.write(part);
    if (left <= 0) return response.destroy();
    if (!room) await drained(response);
  }
  response.end();
}

/** Room to write again, or nobody to write to. */
function drained(response) {
  return new Promise((wake) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      wake();
    };
    response.on("drain", done).on("close", done);
  });
}
