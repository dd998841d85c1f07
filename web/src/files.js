// The files of a model as the engine reads them: by name, at once, a piece at a time.
//
// Opening a file takes time (a request, a disk), reading must not: the engine is asked to survey the
// model, a file that is not open yet stops it, is opened here, and the survey begins again. Weights are
// surveyed by their header alone; the rest of them is fetched when all is known to fit.

import { fail } from './errors.js';

/** Bytes that are read at a time, and how many such blocks are kept: several tensors are read side by side. */
const BLOCK = 4 << 20;
const BLOCKS = 8;
/** Files up to this size are kept in memory. */
const SMALL = 1 << 20;

/** Whether slices of a `Blob` can be read at once: in workers alone. */
const READS_BLOBS = typeof FileReaderSync !== 'undefined';

export class Files {
  #open;
  #held = new Map();
  #blocks = new Map();
  #report;

  /**
   * @param open gives the file of a path, or null: `{ size, blob | bytes | read() | head and finish() }`
   * @param report hears `(path, bytes read, size)`
   */
  constructor(open, report) {
    this.#open = open;
    this.#report = report;
  }

  /** The path that stopped the survey. */
  missing = undefined;

  /** What the engine calls: bytes of a file, undefined where there is none. */
  size(path) {
    if (!this.#held.has(path)) throw this.#miss(path);
    return this.#held.get(path)?.size;
  }

  /** What the engine calls: fills `out`. */
  read(path, offset, out) {
    const file = this.#held.get(path);
    if (!file) throw this.#miss(path);
    const end = offset + out.length;
    const bytes = file.bytes ?? file.head;
    if (bytes && end <= bytes.length) out.set(bytes.subarray(offset, end));
    else if (file.finish) throw this.#miss(path);
    else if (file.read) file.read(offset, out);
    else if (file.blob) this.#slice(path, file.blob, offset, out);
    else throw fail('Io', `${path}: the file ends before byte ${end}`);
    this.#report?.(path, out.length, file.size);
  }

  #miss(path) {
    this.missing = path;
    return fail('Io', `${path} is not open yet`);
  }

  #slice(path, blob, offset, out) {
    const reader = new FileReaderSync();
    const read = (from, to) => {
      try {
        return new Uint8Array(reader.readAsArrayBuffer(blob.slice(from, to)));
      } catch (e) {
        throw fail('Io', `${path}: it cannot be read any more (${e.message}): load the model again`, e);
      }
    };
    if (out.length >= BLOCK) return out.set(read(offset, offset + out.length));
    for (let done = 0; done < out.length; ) {
      const number = Math.floor((offset + done) / BLOCK);
      const key = `${path}\n${number}`;
      const block = this.#blocks.get(key) ?? read(number * BLOCK, Math.min((number + 1) * BLOCK, blob.size));
      // The last one used is the last to go.
      this.#blocks.delete(key);
      this.#blocks.set(key, block);
      if (this.#blocks.size > BLOCKS) this.#blocks.delete(this.#blocks.keys().next().value);
      const from = offset + done - number * BLOCK;
      const piece = block.subarray(from, from + out.length - done);
      if (piece.length === 0) throw fail('Io', `${path}: the file ends before byte ${offset + out.length}`);
      out.set(piece, done);
      done += piece.length;
    }
  }

  /** Opens `paths` where they are not open yet, or the rest of one that is open by its head. */
  async open(...paths) {
    await Promise.all(
      paths.map(async (path) => {
        const file = this.#held.get(path);
        if (file === undefined) this.#held.set(path, await settled(await this.#open(path)));
        else if (file?.finish) this.#held.set(path, await settled(await file.finish()));
      }),
    );
  }

  /** Fetches what was surveyed by its head alone. */
  async finish() {
    for (const path of [...this.#held.keys()]) if (this.#held.get(path)?.finish) await this.open(path);
  }

  /** Gives up what is half fetched, or open on a disk. */
  abandon() {
    for (const file of this.#held.values()) file?.abandon?.();
  }

  /** Forgets the blocks that were read ahead. */
  rest() {
    this.#blocks.clear();
  }
}

/** A file whose bytes can be read at once. */
async function settled(file) {
  if (!file?.blob || (READS_BLOBS && file.size > SMALL)) return file;
  return { size: file.size, bytes: new Uint8Array(await file.blob.arrayBuffer()) };
}

/** The files that a user gave: a list of `File`, or blobs and buffers by path. */
export function local(given) {
  const entries = Array.isArray(given)
    ? given.map((file) => [file.webkitRelativePath || file.name, file])
    : Object.entries(given);
  // The model is in the highest folder that has a config; one of modules may have its config a folder below.
  const folder = entries
    .map(([path]) => /^(.*\/)?(?:config|modules|adapter_config)\.json$/.exec(path))
    .filter(Boolean)
    .map((found) => found[1] ?? '')
    .sort((a, b) => a.length - b.length)[0];
  if (folder === undefined) throw fail('NotFound', 'the files are not a model: config.json is missing');
  const files = new Map(entries.filter(([path]) => path.startsWith(folder)).map(([path, file]) => [path.slice(folder.length), file]));
  const open = async (path) => {
    const file = files.get(path);
    if (file === undefined) return null;
    if (file instanceof Blob) return { size: file.size, blob: file };
    if (ArrayBuffer.isView(file)) return { size: file.byteLength, bytes: new Uint8Array(file.buffer, file.byteOffset, file.byteLength) };
    if (file instanceof ArrayBuffer) return { size: file.byteLength, bytes: new Uint8Array(file) };
    throw fail('Usage', `${path}: it is neither a Blob nor an ArrayBuffer`);
  };
  return { open, name: folder.split('/').filter(Boolean).pop() ?? 'files' };
}
