/** The engine: an asset, whose address a bundler gives (`everylayer/pkg/everylayer_bg.wasm?url`) for `wasmUrl`. */
declare const address: string;
export default address;
