// The files of a model behind a URL: fetched once, kept in the browser's cache, told by bytes.
//
// The Cache API keeps them rather than OPFS: it takes a stream, gives back a `Blob` that lies on disk and
// is read slice by slice, is whole or not there, and works in every thread of every browser. A request
// body is never held: weights go from the network to the cache, and from there to the device.

import { fail } from './errors.js';

const CACHE = 'everylayer';

/** What the answers of a hub mean: it says 401 of models that are not there. */
const HINTS = {
  401: ': there is no such model, or it needs a token',
  403: ': it needs a token that may read it',
  429: ': too many requests, try again later',
};

/**
 * Gives a function that opens the file of a path, for `Files`.
 * @param base the folder, ending in `/`
 * @param options `{ name, cache, headers, kind, signal, report(path, loaded, total) }`; `name` is the model's and `kind`
 *   that of a refusal
 */
export async function remote(base, { name, cache, headers, kind = 'Io', signal, report }) {
  const store = cache && typeof caches !== 'undefined' ? await caches.open(CACHE).catch(() => null) : null;
  const request = (url, extra) => fetch(url, { headers, signal, ...extra });

  return async function open(path) {
    const url = new URL(path.split('/').map(encodeURIComponent).join('/'), base).href;
    const kept = await store?.match(url);
    const weights = /\.(safetensors|bin|onnx|gguf|h5|msgpack)$/.test(path);
    // Many files are asked for that a model need not have: what is missing is the model.
    const what = weights ? `${name}: ${path}` : name;
    const { host } = new URL(base);
    if (kept && weights && (await same(kept, () => request(url, { method: 'HEAD', cache: 'no-cache' })))) {
      return ofKept(kept, path, report);
    }
    let response;
    try {
      response = await request(url);
    } catch (e) {
      signal?.throwIfAborted();
      // Without a network, what was there the last time is there.
      if (kept) return kept.status === 404 ? null : ofKept(kept, path, report);
      throw fail(kind, `${what} cannot be fetched from ${host} (${e.message})`, e);
    }
    // A server of one page answers every path with that page.
    const page = response.ok && /^text\/html/.test(response.headers.get('content-type') ?? '');
    if (response.status === 404 || page) {
      await response.body?.cancel();
      await store?.put(url, new Response(null, { status: 404 })).catch(() => {});
      return null;
    }
    if (!response.ok) {
      await response.body?.cancel();
      const hint = HINTS[response.status] ?? '';
      throw fail(kind, `${what} cannot be fetched: ${host} answered ${response.status}${hint}`);
    }
    return weights ? await headed(url, path, response) : await whole(url, path, response);
  };

  /** A small file. */
  async function whole(url, path, response) {
    const total = length(response);
    const copy = store ? response.clone() : null;
    const bytes = new Uint8Array(await read(url, response, (r) => r.arrayBuffer()));
    if (copy) await store.put(url, copy).catch(() => {});
    report?.(path, bytes.length, total ?? bytes.length);
    return { size: bytes.length, bytes };
  }

  /** Weights by their header; the rest waits in the network until `finish`. */
  async function headed(url, path, response) {
    const size = length(response);
    const source = response.body.getReader();
    let [head, loaded, broken] = [new Uint8Array(0), 0];
    const more = async () => {
      const { done, value } = await read(url, source, (s) => s.read()).catch((e) => {
        broken = e;
        throw e;
      });
      if (done && size !== null && loaded < size) {
        throw (broken = fail('Io', `${url}: the file is truncated, ${loaded} of ${size} bytes came: load the model again`));
      }
      loaded += value?.length ?? 0;
      if (value) report?.(path, loaded, size ?? loaded);
      return done ? null : value;
    };
    const needed = () => (head.length < 8 ? 8 : 8 + Number(new DataView(head.buffer).getBigUint64(0, true)));
    // A header is that of safetensors alone; a file that claims a large one is refused by the engine.
    while (path.endsWith('.safetensors') && size !== null && head.length < needed() && needed() <= Math.min(size, 64 << 20)) {
      const piece = await more();
      if (!piece) break;
      const both = new Uint8Array(head.length + piece.length);
      both.set(head);
      both.set(piece, head.length);
      head = both;
    }
    const body = () =>
      new Response(
        new ReadableStream({
          start: (out) => head.length && out.enqueue(head),
          pull: async (out) => {
            const piece = await more();
            piece ? out.enqueue(piece) : out.close();
          },
          cancel: (reason) => source.cancel(reason),
        }, { highWaterMark: 0 }),
        { headers: response.headers },
      );
    const finish = async () => {
      let from = body;
      if (store) {
        await store.put(url, body()).catch(() => {});
        signal?.throwIfAborted();
        if (broken) throw broken;
        const kept = await store.match(url);
        if (kept) return ofKept(kept, path);
        // A full disk keeps nobody from loading.
        const again = await request(url);
        from = () => again;
      }
      const blob = await read(url, from(), (r) => r.blob()).catch((e) => {
        throw broken ?? e;
      });
      return { size: blob.size, blob };
    };
    const file = { size: size ?? 0, head, finish, abandon: () => source.cancel().catch(() => {}) };
    return size === null ? finish() : file;
  }

  async function read(url, from, how) {
    try {
      return await how(from);
    } catch (e) {
      signal?.throwIfAborted();
      if (e.kind) throw e;
      throw fail('Io', `${url}: the file is truncated or the network failed (${e.message}): load the model again`, e);
    }
  }
}

/** Bytes of the body, where the server says so: a packed body has another length. */
function length(response) {
  const said = response.headers.get('content-length');
  return said === null || response.headers.get('content-encoding') ? null : Number(said);
}

/** A file of the cache. */
async function ofKept(kept, path, report) {
  const blob = await kept.blob();
  report?.(path, blob.size, blob.size);
  return { size: blob.size, blob };
}

/** Whether the server still has what was kept; without a network, whether there is something. */
async function same(kept, ask) {
  if (kept.status === 404) return false;
  let now;
  try {
    now = await ask();
  } catch {
    return true;
  }
  if (!now.ok) return now.status !== 404;
  const field = (name) => [kept.headers.get(name), now.headers.get(name)];
  for (const name of ['etag', 'last-modified', 'content-length']) {
    const [then, today] = field(name);
    if (then && today && then !== today) return false;
    if (then && today && name === 'etag') return true;
  }
  return true;
}
