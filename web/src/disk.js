// A model's folder on a disk, for Node: weights are read where they lie, a piece at a time.

import { fail } from './errors.js';

/** Files up to this size are read at once. */
const SMALL = 1 << 20;

/** Whether there is a disk: in a page there is none, whatever a bundler puts there. */
export const HAS_DISK = typeof globalThis.process?.versions?.node === 'string' && typeof globalThis.document === 'undefined';

/** A module of Node's; a bundler has no business with its name. */
export const node = (name) => import(/* @vite-ignore */ /* webpackIgnore: true */ name);

/** The folder that `model` names on this disk, whole; null where it names none. `sure` where it can be nothing else. */
export async function folder(model, sure) {
  const [{ resolve }, { statSync }, { fileURLToPath }] = await Promise.all(['node:path', 'node:fs', 'node:url'].map(node));
  const path = resolve(/^file:/i.test(model) ? fileURLToPath(model) : model);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) return path;
  if (!sure) return null;
  throw fail('NotFound', `${path} is ${found ? 'not a folder' : 'missing'}: a model is a folder with config.json, model.safetensors and tokenizer.json`);
}

/** Opens the files of `base`, for `Files`. */
export async function disk(base) {
  const [{ join, basename }, fs] = await Promise.all(['node:path', 'node:fs'].map(node));
  const open = async (path) => {
    if (path.split(/[\\/]/).includes('..')) throw fail('Checkpoint', `${path} leads out of the model's folder`);
    const full = join(base, path);
    const told = (e) => fail('Io', `${full}: it cannot be read (${e.message})`, e);
    let file;
    try {
      file = fs.openSync(full, 'r');
    } catch (e) {
      if (['ENOENT', 'ENOTDIR'].includes(e.code)) return null;
      throw told(e);
    }
    const read = (offset, out) => {
      for (let done = 0; done < out.length; ) {
        let bytes;
        try {
          bytes = fs.readSync(file, out, done, out.length - done, offset + done);
        } catch (e) {
          throw told(e);
        }
        if (bytes === 0) throw fail('Io', `${full}: the file ends before byte ${offset + out.length}`);
        done += bytes;
      }
    };
    const { size } = fs.fstatSync(file);
    if (size > SMALL) return { size, read, abandon: () => fs.closeSync(file) };
    try {
      const bytes = new Uint8Array(size);
      read(0, bytes);
      return { size, bytes };
    } finally {
      fs.closeSync(file);
    }
  };
  return { open, name: basename(base) };
}
