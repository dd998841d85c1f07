// The thread of one encoder: hears what is asked, tells what came of it.

import { packed } from './src/errors.js';
import { Session } from './src/engine.js';

let session;
const running = new Map();

/** What can be asked: each gives a value, and buffers that move with it. */
const answers = {
  async load({ model, options }, id, signal) {
    session = await Session.load(model, options, (progress) => postMessage({ id, progress }), signal);
    return [session.info()];
  },
  async embed({ texts, capture }, _, signal) {
    const result = await session.embed(texts, capture, signal);
    return [result, result.results.map((one) => one.vectors.buffer)];
  },
  async tokenize({ texts, capture }) {
    return [session.tokenize(texts, capture)];
  },
  async dispose() {
    session?.dispose();
    return [null];
  },
};

// Where it is imported and not started, nobody sends it anything.
globalThis.addEventListener?.('message', async ({ data: { id, ask, stop, ...rest } }) => {
  if (stop) return running.get(id)?.abort();
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const [value, buffers = []] = await answers[ask](rest, id, controller.signal);
    postMessage({ id, value }, buffers);
  } catch (e) {
    postMessage({ id, error: packed(e) });
  } finally {
    running.delete(id);
  }
});
