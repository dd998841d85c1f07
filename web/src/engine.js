// One model on its device, in the thread that this runs in. Loads the wasm when it is first needed.

import * as module from '../pkg/everylayer.js';
import { disk, HAS_DISK, node } from './disk.js';
import { fail, told } from './errors.js';
import { Files, local } from './files.js';
import { remote } from './remote.js';
import { keep, kept } from './verdicts.js';

/** Files that most models have, asked for together. */
const USUAL = [
  'modules.json',
  'config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'sentence_bert_config.json',
  'config_sentence_transformers.json',
  '1_Pooling/config.json',
];

let wasm;

/** The wasm of this thread, once. */
function started(url) {
  wasm ??= start(url).catch((e) => {
    wasm = undefined;
    throw fail('Io', `the engine's wasm cannot be loaded: ${e.message}`, e);
  });
  return wasm;
}

async function start(url) {
  let source = url;
  if (url?.startsWith('file:') || (!url && import.meta.url.startsWith('file:'))) {
    // Node's fetch knows no files.
    const { readFile } = await node('node:fs/promises');
    source = await readFile(new URL(url ?? '../pkg/everylayer_bg.wasm', import.meta.url));
  }
  await module.default(source === undefined ? undefined : { module_or_path: source });
}

/** The place where no GPU is. */
const CPU = { device: 'cpu', name: 'CPU (WebAssembly, one thread)' };

/** Where the work can be done: `{ device, name, notice, key }`, `key` being that of what is known of the GPU. */
async function place(wanted) {
  if (!['auto', 'webgpu', 'cpu'].includes(wanted)) {
    throw fail('Usage', `unknown device \`${wanted}\`: use auto, webgpu or cpu`);
  }
  if (wanted === 'cpu') return CPU;
  const lack = (why) => {
    if (wanted === 'webgpu') throw fail('NoAdapter', `WebGPU is not to be had: ${why}; use device 'cpu' or 'auto'`);
    return { ...CPU, notice: `The CPU computes, as WebGPU is not to be had: ${why}.` };
  };
  const gpu = globalThis.navigator?.gpu;
  if (!gpu) {
    if (HAS_DISK) return lack('Node has none');
    return lack(globalThis.isSecureContext === false ? 'this page is not served over https or from localhost' : 'this browser has none');
  }
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  if (!adapter) return lack('the browser returned no adapter');
  const info = adapter.info ?? {};
  if (wanted === 'auto' && info.isFallbackAdapter) return lack(`its one adapter is software (${info.architecture || info.description})`);
  const name = info.description || [info.vendor, info.architecture].filter(Boolean).join(' ') || 'adapter';
  // A page is told no driver's version: that of the browser stands for it.
  const key = [navigator.userAgent, info.vendor, info.architecture, info.device, info.description].join('|');
  return { device: 'webgpu', name: `${name} (WebGPU)`, key };
}

export class Session {
  #engine;
  #calls = new Set();
  #place;
  #files;
  #verdicts;

  /**
   * @param model `{ url, name, headers }`, `{ path }` or `{ files }`
   * @param options of `Encoder.load`
   * @param report hears of progress
   */
  static async load(model, options, report, signal) {
    signal?.throwIfAborted();
    const session = new Session();
    await started(options.wasmUrl);
    session.#place = await place(options.device ?? 'auto');
    let phase = 'fetch';
    const read = new Map();
    const progress = (file, loaded, total) => report?.({ phase, file, loaded, total });
    const reading = (file, bytes, total) => {
      if (phase !== 'load' || !report) return;
      const loaded = Math.min((read.get(file) ?? 0) + bytes, total);
      // Not for every row.
      if (loaded === total || Math.floor(loaded / BYTES_TOLD) > Math.floor((read.get(file) ?? 0) / BYTES_TOLD)) progress(file, loaded, total);
      read.set(file, loaded);
    };
    let [open, name] = [];
    if (model.files) ({ open, name } = local(model.files));
    else if (model.path) ({ open, name } = await disk(model.path));
    else {
      name = model.name;
      open = await remote(model.url, { name, cache: options.cache ?? true, headers: model.headers, kind: model.kind, signal, report: progress });
    }
    const files = new Files(open, reading);
    try {
      await files.open(...USUAL);
      await session.#survey(files, name, signal);
      await files.finish();
      phase = 'load';
      session.#engine = await session.#open(files, name, options, signal);
    } catch (e) {
      files.abandon();
      throw told(e);
    }
    files.rest();
    session.#files = files;
    return session;
  }

  /** Puts the model on its device; where none was asked for and the GPU computes wrong, on the CPU. */
  async #open(files, name, options, signal) {
    const { device, key } = this.#place;
    const { dtype, batchTokens = BATCH_TOKENS[device], verify } = options;
    const asked = JSON.stringify({ device, dtype, batchTokens, verify });
    this.#verdicts = new module.Verdicts(key && (await kept(key)));
    try {
      return await this.#call((call) => module.Engine.load(files, name, asked, this.#verdicts, call), signal);
    } catch (e) {
      const passed = device === 'webgpu' && (options.device ?? 'auto') === 'auto' && ['Gpu', 'DeviceLost'].includes(e?.kind);
      if (!passed) throw e;
      this.#place = { ...CPU, notice: `The CPU computes: ${e.message.replace(/; try another device.*$/, '')}.` };
      return await this.#open(files, name, options, signal);
    } finally {
      if (key) await this.#keep(key);
    }
  }

  /** Keeps what was found of the GPU since it was last kept. */
  async #keep(key) {
    const text = this.#verdicts?.changed();
    if (text !== undefined) await keep(key, text);
  }

  async #survey(files, name, signal) {
    for (;;) {
      signal?.throwIfAborted();
      files.missing = undefined;
      try {
        return module.survey(files, name);
      } catch (e) {
        if (files.missing === undefined) throw e;
        await files.open(files.missing);
      }
    }
  }

  /** Begins a call that `signal`, or the end of the session, stops. */
  async #call(begin, signal) {
    signal?.throwIfAborted();
    const call = new module.Call();
    const stop = () => call.stop();
    signal?.addEventListener('abort', stop, { once: true });
    this.#calls.add(call);
    try {
      return await begin(call);
    } catch (e) {
      if (e !== undefined) throw told(e);
      throw signal?.aborted ? signal.reason : gone();
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#calls.delete(call);
      call.free();
    }
  }

  #live() {
    if (!this.#engine) throw gone();
    return this.#engine;
  }

  async embed(texts, capture, signal) {
    const engine = this.#live();
    const [head, ...vectors] = await this.#call((call) => engine.embed(JSON.stringify(texts), JSON.stringify(capture), call), signal);
    if (this.#place.key) await this.#keep(this.#place.key);
    const result = JSON.parse(head);
    result.device = this.#place.name;
    result.results.forEach((one, i) => (one.vectors = vectors[i]));
    return result;
  }

  tokenize(texts, capture) {
    try {
      return JSON.parse(this.#live().tokenize(JSON.stringify(texts), JSON.stringify(capture)));
    } catch (e) {
      throw told(e);
    }
  }

  info() {
    const info = JSON.parse(this.#live().info());
    const { device, name, notice = info.verified?.fault } = this.#place;
    return { ...info, device: name, backend: device, ...(notice && { notice }) };
  }

  dispose() {
    for (const call of this.#calls) call.stop();
    if (!this.#engine) return;
    this.#engine.free();
    this.#engine = undefined;
    this.#files.abandon();
  }
}

/** Tokens of a batch where nobody says: on the CPU so few that a call which is given up ends soon. */
const BATCH_TOKENS = { cpu: 1024, webgpu: undefined };

/** Bytes between two reports of loading. */
const BYTES_TOLD = 1 << 20;

function gone() {
  return fail('Usage', 'the encoder was disposed of: load the model again');
}
