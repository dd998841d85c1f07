// What was found of this browser's GPU, kept from one load to the next: a text an adapter and browser, in IndexedDB.
// It is a convenience: what cannot be read or written is as nothing, and the checks run again.

const NAME = 'everylayer';
const STORE = 'verified';

function opened() {
  return new Promise((yes, no) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => yes(request.result);
    request.onerror = () => no(request.error);
  });
}

async function transact(mode, ask) {
  const database = await opened();
  try {
    return await new Promise((yes, no) => {
      const transaction = database.transaction(STORE, mode);
      const request = ask(transaction.objectStore(STORE));
      transaction.oncomplete = () => yes(request.result);
      transaction.onabort = () => no(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** What was kept under `key`; undefined where nothing was, or nothing can be (Node, a page without storage). */
export function kept(key) {
  return transact('readonly', (store) => store.get(key)).catch(() => undefined);
}

/** Keeps `text` under `key`. */
export function keep(key, text) {
  return transact('readwrite', (store) => store.put(text, key)).catch(() => undefined);
}
