// everylayer in a page: `Encoder.load`, `embed`, `hiddenStates`, `tokenize`, `info`, `dispose`.
//
// Each encoder has a worker of its own, so that the page stays responsive; with `worker: false` the
// same code runs here. The wasm is fetched by the first `load`, not by the import.

import { folder, HAS_DISK } from './src/disk.js';
import { fail, unpacked } from './src/errors.js';

const HUB = 'https://huggingface.co';

/** A model on its device. */
export class Encoder {
  #backend;
  #info;

  /** @private use {@link Encoder.load} */
  constructor(backend, info) {
    this.#backend = backend;
    this.#info = info;
  }

  /** Loads the model at a URL, on the hub, in files that the user gave or, in Node, in a folder. */
  static async load(model, options = {}) {
    const { onProgress, signal, worker = true, ...rest } = options;
    signal?.throwIfAborted();
    const { token, endpoint, ...kept } = rest;
    if (kept.wasmUrl !== undefined) kept.wasmUrl = new URL(kept.wasmUrl, here()).href;
    const named = await place(model) ?? name(model, token, endpoint);
    const backend = worker && typeof Worker !== 'undefined' ? new Remote() : await Local.start();
    try {
      return new Encoder(backend, await backend.load(named, kept, onProgress, signal));
    } catch (e) {
      backend.end();
      throw e;
    }
  }

  /** Embeds texts; the words of `capture` are those of the command line. */
  async embed(texts, capture = {}) {
    const { signal, ...asked } = capture;
    if (Array.isArray(asked.layers) || typeof asked.layers === 'number') asked.layers = String(asked.layers);
    return this.#backend.embed(list(texts), asked, signal);
  }

  /** Every state of every token of a text. */
  async hiddenStates(text, { signal } = {}) {
    return this.embed(text, { layers: 'all', pool: 'tokens', signal });
  }

  /** What the model makes of texts before anything is computed. */
  async tokenize(texts, capture = {}) {
    const { signal, ...asked } = capture;
    signal?.throwIfAborted();
    return this.#backend.tokenize(list(texts), asked);
  }

  /** What the model is and where it runs. */
  info() {
    return structuredClone(this.#info);
  }

  /** Gives the device's memory back; what is under way is rejected. */
  dispose() {
    return this.#backend.dispose();
  }
}

export default Encoder;

/** Where relative URLs are counted from. */
function here() {
  return globalThis.document?.baseURI ?? globalThis.location?.href ?? import.meta.url;
}

/** A path begins so, or ends in a slash; a hub id does not. */
const PATH = /^(\.{0,2}[\\/]|[a-z]:[\\/]|file:)/i;

/** The model in a folder of this disk, where there is a disk and it is one. */
async function place(model) {
  const words = model instanceof URL ? model.href : model;
  if (!HAS_DISK || typeof words !== 'string' || /^(https?|data|blob):/i.test(words)) return null;
  const path = await folder(words, PATH.test(words) || /[\\/]$/.test(words));
  return path && { path };
}

/** A model as the engine takes it: a folder's URL with its name, or files. */
function name(model, token, endpoint = HUB) {
  if (typeof model === 'string' && !/^([a-z][a-z0-9+.-]*:|\.{0,2}\/)/i.test(model) && !model.endsWith('/')) {
    const id = /^([A-Za-z0-9_][\w.-]*(?:\/[A-Za-z0-9_][\w.-]*)?)(?:@([\w][\w./-]*))?$/.exec(model);
    if (!id || model.includes('..')) {
      throw fail('NotFound', `"${model}" is not a model: give ${HAS_DISK ? 'a path' : 'the URL of a folder'}, a hub id such as org/name, or files`);
    }
    const revision = encodeURIComponent(id[2] ?? 'main');
    const url = new URL(`${id[1]}/resolve/${revision}/`, `${String(endpoint).replace(/\/$/, '')}/`).href;
    return { name: model, url, kind: 'Hub', headers: token ? { authorization: `Bearer ${token}` } : undefined };
  }
  if (typeof model === 'string' || model instanceof URL) {
    const url = new URL(model, here());
    if (!url.pathname.endsWith('/')) url.pathname += '/';
    return { name: url.href.replace(/\/$/, ''), url: url.href };
  }
  if (typeof FileList !== 'undefined' && model instanceof FileList) return { files: [...model] };
  if (model && typeof model === 'object') return { files: model };
  throw fail('Usage', 'the first argument of Encoder.load is a URL, a hub id, or files');
}

/** Texts as the engine takes them: strings, and lists of two for pairs. */
function list(texts) {
  const all = Array.isArray(texts) ? texts : [texts];
  return all.map((text, i) => {
    if (typeof text === 'string') return text;
    if (typeof text?.text !== 'string' || !['undefined', 'string'].includes(typeof text.textPair)) {
      throw fail('Usage', `text ${i} is neither a string nor { text, textPair }`);
    }
    return text.textPair === undefined ? text.text : [text.text, text.textPair];
  });
}

/** An engine in this thread. */
class Local {
  #Session;
  #session;

  static async start() {
    const local = new Local();
    local.#Session = (await import('./src/engine.js')).Session;
    return local;
  }

  async load(model, options, onProgress, signal) {
    this.#session = await this.#Session.load(model, options, onProgress, signal);
    return this.#session.info();
  }

  embed(texts, capture, signal) {
    return this.#session.embed(texts, capture, signal);
  }

  tokenize(texts, capture) {
    return this.#session.tokenize(texts, capture);
  }

  async dispose() {
    this.#session.dispose();
  }

  end() {}
}

/** An engine in a worker. */
class Remote {
  #worker = spawn();
  #waiting = new Map();
  #count = 0;
  #over;

  constructor() {
    this.#worker.onmessage = ({ data: { id, value, error, progress } }) => {
      const call = this.#waiting.get(id);
      if (progress) return call?.onProgress?.(progress);
      this.#waiting.delete(id);
      error ? call?.reject(unpacked(error)) : call?.resolve(value);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.end(fail('Internal', `the worker stopped: ${event.message ?? 'its script cannot be loaded'}`));
    };
  }

  #ask(ask, rest, { onProgress, signal } = {}) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      if (this.#over) return reject(this.#over);
      const id = this.#count++;
      const stop = () => {
        // What is under way may not hear for a while; the caller does at once.
        this.#waiting.delete(id);
        this.#worker.postMessage({ id, stop: true });
        reject(signal.reason);
      };
      const done = (how) => (value) => {
        signal?.removeEventListener('abort', stop);
        how(value);
      };
      signal?.addEventListener('abort', stop, { once: true });
      this.#waiting.set(id, { resolve: done(resolve), reject: done(reject), onProgress });
      try {
        this.#worker.postMessage({ id, ask, ...rest });
      } catch (e) {
        this.#waiting.delete(id);
        done(reject)(e);
      }
    });
  }

  load(model, options, onProgress, signal) {
    return this.#ask('load', { model, options }, { onProgress, signal });
  }

  embed(texts, capture, signal) {
    return this.#ask('embed', { texts, capture }, { signal });
  }

  tokenize(texts, capture) {
    return this.#ask('tokenize', { texts, capture });
  }

  async dispose() {
    if (this.#over) return;
    const disposed = this.#ask('dispose', {});
    this.#over = fail('Usage', 'the encoder was disposed of: load the model again');
    for (const [id, call] of this.#waiting) if (id !== this.#count - 1) call.reject(this.#over);
    // A worker in the middle of a long computation is not waited for.
    await Promise.race([disposed.catch(() => {}), new Promise((resolve) => setTimeout(resolve, 1000))]);
    this.end(this.#over);
  }

  /** Ends the worker, and with it all that it holds. */
  end(reason = fail('Usage', 'the encoder was closed: load the model again')) {
    this.#over ??= reason;
    this.#worker.terminate();
    for (const call of this.#waiting.values()) call.reject(reason);
    this.#waiting.clear();
  }
}

function spawn() {
  const url = new URL('./worker.js', import.meta.url);
  if (globalThis.location && url.origin !== globalThis.location.origin && /^https?:$/.test(url.protocol)) {
    // A worker of another origin may be imported, not started.
    const blob = new Blob([`import ${JSON.stringify(url.href)};`], { type: 'text/javascript' });
    return new Worker(URL.createObjectURL(blob), { type: 'module' });
  }
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
}
