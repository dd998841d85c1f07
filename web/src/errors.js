// Errors of the package: `Error` objects with a `kind`, the library's `ErrorKind`, and one sentence.

/** An error of `kind` that says `message`. */
export function fail(kind, message, cause) {
  const error = new Error(message, cause === undefined ? undefined : { cause });
  error.kind = kind;
  return error;
}

/** What `thrown` says, in the shape of every error of the package. */
export function told(thrown) {
  if (thrown instanceof Error && thrown.kind) return thrown;
  if (thrown instanceof WebAssembly.RuntimeError) {
    return fail('Internal', `the engine stopped (${thrown.message}): load the model again; the console may say more`, thrown);
  }
  return thrown;
}

/** An error as a message between threads, and back. What aborted a call keeps its name. */
export function packed(error) {
  const { name, message, kind } = told(error) ?? {};
  return { name, message: message ?? String(error), kind };
}

export function unpacked({ name, message, kind }) {
  if (name === 'AbortError') return new DOMException(message, name);
  return fail(kind ?? 'Internal', message);
}
