/** Errors are `Error` objects with one sentence and this. */
export type ErrorKind =
  | 'Usage'
  | 'NotFound'
  | 'Io'
  | 'Checkpoint'
  | 'Unsupported'
  | 'Text'
  | 'TooLong'
  | 'NoAdapter'
  | 'Gpu'
  | 'DeviceLost'
  | 'OutOfMemory'
  | 'NotFinite'
  | 'Hub'
  /** The engine itself failed: load the model again. */
  | 'Internal';

export interface EverylayerError extends Error {
  kind: ErrorKind;
}

/** The files of a model as Hugging Face lays them out: a dropped folder, or blobs by path. */
export type ModelFiles = FileList | File[] | Record<string, Blob | ArrayBuffer | ArrayBufferView>;

export interface Progress {
  phase: 'fetch' | 'load';
  file: string;
  loaded: number;
  total: number;
}

export interface LoadOptions {
  /**
   * `auto`, the default: WebGPU where there is a real adapter, else the CPU with a notice.
   * `webgpu`: any adapter, or an error. `cpu`: WebAssembly with SIMD.
   */
  device?: 'auto' | 'webgpu' | 'cpu';
  /** How weights are stored: `f32` (as is `auto`) or `f16`. Sums are f32 under each. */
  dtype?: 'auto' | 'f32' | 'f16';
  /** Keep the files in the browser's cache; `true` unless said otherwise. */
  cache?: boolean;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  /**
   * When kernels of WebGPU are held against the CPU before they are believed: `once`, the default, before the first
   * use of each with this adapter and browser; `always` at each load; `never`.
   */
  verify?: 'once' | 'always' | 'never';
  /** Tokens of one batch at most; results do not depend on it. */
  batchTokens?: number;
  /** Sent to the hub as a bearer token. */
  token?: string;
  /** Another hub; ids are fetched from `ENDPOINT/ID/resolve/REVISION/`. */
  endpoint?: string | URL;
  /** Run in a worker, so that the page stays responsive; `true` unless said otherwise. */
  worker?: boolean;
  /** Where `everylayer_bg.wasm` is, if it is not beside the package. */
  wasmUrl?: string | URL;
}

/** A string of which some are known. */
type Other = string & Record<never, never>;

/** Which states: words, a state (-1 is the last), states, or a list of states and ranges such as `0,3,-1`, `-4..-1` and `3..`. */
export type Layers = 'last' | 'all' | 'blocks' | number | readonly number[] | Other;
/** How the states of several layers become one; `stack` keeps them apart. */
export type Combine = 'stack' | 'mean' | 'sum' | 'max' | 'concat' | `weighted=${string}` | `scalar-mix=${string}`;
/** What a row stands for: a token, a word, or the text, by one of the poolings; `model` is what the model was trained for. */
export type Pool =
  | 'model'
  | 'tokens'
  | 'words'
  | 'words:mean'
  | 'words:first'
  | 'words:last'
  | 'words:first-last'
  | 'mean'
  | 'cls'
  | 'last'
  | 'max'
  | 'min'
  | 'mean-sqrt'
  | 'weighted-mean'
  | 'mean-max'
  | 'pooler';
/** The numbers of `vectors`: f32, the bits of f16, steps of a range, or a bit a coordinate. */
export type Precision = 'f32' | 'f16' | 'int8' | 'ubinary';
/** What becomes of a text that is too long; windows share STRIDE tokens. */
export type Overflow = 'truncate' | 'error' | 'window' | `window:${number}`;

/** The typed array of a precision. */
export interface VectorsOf {
  f32: Float32Array;
  f16: Uint16Array;
  int8: Int8Array;
  ubinary: Uint8Array;
}

/** Where in a block; sites other than `hidden` exist for layers 1 to the last. */
export type Site = 'hidden' | 'attn_out' | 'resid_mid' | 'mlp_out' | 'mlp_act' | 'z' | 'q' | 'k' | 'v';

/** What to bring back, in the words of the command line. */
export interface Capture<P extends Precision = Precision> {
  site?: Site;
  /** `false`: the last state before the final norm, of models that have one. */
  finalNorm?: boolean;
  layers?: Layers;
  combine?: Combine;
  pool?: Pool;
  normalize?: boolean;
  dims?: number;
  precision?: P;
  maxTokens?: number;
  overflow?: Overflow;
  prompt?: string;
  promptName?: string;
  signal?: AbortSignal;
}

export type Texts = string | ReadonlyArray<string | { text: string; textPair?: string }> | { text: string; textPair?: string };

export interface TokenInfo {
  text: string;
  id: number;
  /** First character, counted in Unicode scalar values; 0 for special tokens. */
  start: number;
  end: number;
  word: number | null;
}

export interface WordInfo {
  text: string;
  start: number;
  end: number;
}

export interface Result<P extends Precision = Precision> {
  index: number;
  textTokens: number;
  /** Tokens that were cut off, where some were. */
  tokensLost?: number;
  /** `[layers, rows, width]`: an axis of one layer is dropped, and that of rows where a text is one. */
  shape: number[];
  /** In the order of `shape`, the last axis fastest. */
  vectors: VectorsOf[P];
  tokens?: TokenInfo[];
  words?: WordInfo[];
}

export interface Embeddings<P extends Precision = Precision> {
  model: string;
  device: string;
  dtype: 'f32' | 'f16';
  layers: number[];
  combine: string;
  pool: string;
  /** Where that is not `hidden`. */
  site?: Site;
  /** Heads of a row and numbers of a head, of sites that have heads. */
  heads?: number;
  headDim?: number;
  /** Where the final norm was left out. */
  finalNorm?: false;
  precision: P;
  width: number;
  /** Texts truncated. */
  truncated: number;
  tokensLost: number;
  /** Texts that f16 did not hold and that were run again in f32. */
  rerun: number[];
  results: Result<P>[];
}

export interface Tokenized {
  model: string;
  results: {
    index: number;
    textTokens: number;
    lost: number;
    ids: number[];
    types: number[];
    tokens: TokenInfo[];
    words: WordInfo[];
  }[];
}

export interface Info {
  version: string;
  model: string;
  family: string;
  /** Blocks; there is one state more. */
  depth: number;
  states: number;
  width: number;
  heads: number;
  vocab: number;
  positions: number;
  pooler: boolean;
  pipeline: string[];
  prompts: Record<string, string>;
  /** The adapter's name, or the CPU. */
  device: string;
  backend: 'webgpu' | 'cpu';
  dtype: 'f32' | 'f16';
  weightBytes: number;
  limits: { maxTokens: number; batchTokens: number };
  /**
   * What is known of the kernels on WebGPU: how many were held against the CPU, how many checks ran at this load,
   * whether a word was run through the whole model as well, and what computed wrong, so that other kernels are used.
   */
  verified?: { kernels: number; ran: number; model: boolean; fault?: string };
  /** Why the CPU computes although nobody asked for it, or other kernels than usual. */
  notice?: string;
}

/** A model on its device. */
export class Encoder {
  private constructor();
  /**
   * Loads a model: the URL of a folder (relative ones begin with `./`, `../` or `/`, or end in `/`), a hub id
   * (`org/name`, `org/name@revision`), or files. In Node, a path or a `file:` URL is a folder on the disk.
   */
  static load(model: string | URL | ModelFiles, options?: LoadOptions): Promise<Encoder>;
  embed<P extends Precision = 'f32'>(texts: Texts, capture?: Capture<P>): Promise<Embeddings<P>>;
  /** Every state of every token: `embed` with `layers: 'all'`, `pool: 'tokens'`. */
  hiddenStates(text: Texts, options?: { signal?: AbortSignal }): Promise<Embeddings<'f32'>>;
  tokenize(texts: Texts, capture?: Pick<Capture, 'maxTokens' | 'overflow' | 'prompt' | 'promptName'>): Promise<Tokenized>;
  info(): Info;
  /** Gives the device's memory back; what is under way is rejected. */
  dispose(): Promise<void>;
}

export default Encoder;
