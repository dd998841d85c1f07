/** The thread of an encoder, which `Encoder.load` starts: nothing to import. */
export {};
