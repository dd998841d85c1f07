//! Bodies that are nearly right: bytes changed, values of other types, values at random.

use super::mutate;
use super::rng::Rng;

/// Sound bodies of every route.
pub const SEEDS: [(&str, &str); 19] = [
    ("/v1/embeddings", r#"{"input":"a text","model":"bundled","encoding_format":"base64"}"#),
    ("/v1/embeddings", r#"{"input":["a","b"],"dimensions":12,"user":"me"}"#),
    ("/v1/embeddings", r#"{"input":[[7592,2088],[101,102]]}"#),
    ("/embeddings", r#"{"input":[7592,2088]}"#),
    (
        "/embed",
        r#"{"inputs":"a text","truncate":true,"truncation_direction":"Left","normalize":false}"#,
    ),
    ("/embed", r#"{"inputs":["a",[1,2,3]],"prompt_name":null,"dimensions":7}"#),
    ("/", r#"{"inputs":["a text"]}"#),
    ("/embed_all", r#"{"inputs":["a text","b"],"truncate":false}"#),
    (
        "/similarity",
        r#"{"inputs":{"source_sentence":"a","sentences":["b","c"]},"parameters":{"truncate":true}}"#,
    ),
    ("/tokenize", r#"{"inputs":["a text","[CLS] ünïcödé"],"add_special_tokens":false}"#),
    ("/decode", r#"{"ids":[[101,7592,102],[1]],"skip_special_tokens":true}"#),
    (
        "/v1/layers",
        r#"{"input":["a",{"text":"b","text_pair":"c"},["d","e"]],"outputs":[{"layers":"-4..-1","combine":"mean","pool":"words:first"}],"words":true}"#,
    ),
    (
        "/v1/layers",
        r#"{"input":"a","outputs":[{"name":"x","layers":[0,6],"pool":"tokens","dims":5,"precision":"ubinary","normalize":true},{}],"tokens":true}"#,
    ),
    (
        "/v1/layers",
        r#"{"input":"a text that is cut","max_tokens":4,"overflow":"truncate","prompt":"p: ","outputs":[{"layers":"all","combine":"weighted=1,2,1,0,0,1,3"}]}"#,
    ),
    (
        "/v1/layers",
        r#"{"input":["a long text that is run in windows "],"max_tokens":6,"overflow":"window:2","outputs":[{"pool":"mean"}]}"#,
    ),
    ("/encode", r#"{"id":1,"texts":["a ||| b","c"],"is_tokenized":false}"#),
    ("/encode", r#"{"id":"x","texts":[["a","|||","b"],["c"]],"is_tokenized":true}"#),
    ("/rerank", r#"{"query":"a","texts":["b"]}"#),
    ("/predict", r#"{"inputs":"a"}"#),
];

const WORDS: [&str; 34] = [
    "input",
    "inputs",
    "texts",
    "ids",
    "outputs",
    "layers",
    "pool",
    "model",
    "",
    "a",
    "all",
    "last",
    "-1..-9",
    "0,1,2",
    "99",
    "concat",
    "scalar-mix=1;2",
    "weighted=nan,1",
    "weighted=",
    "pooler",
    "words",
    "tokens",
    "f16",
    "int8",
    "window:0",
    "window:99999999999",
    "error",
    "../../etc/passwd",
    "bundled",
    "\u{0}\u{1}\u{7f}",
    "\u{202e}\u{feff}\u{10ffff}",
    "ﷺ가각e\u{301}",
    "[CLS][SEP][MASK]",
    " ||| ",
];

/// A path and a damaged body for it.
pub fn damaged(rng: &mut Rng) -> (&'static str, Vec<u8>) {
    let (path, seed) = *rng.pick(&SEEDS);
    // Now and then for another route.
    let path = if rng.once_in(20) { rng.pick(&SEEDS).0 } else { path };
    let body = match rng.below(10) {
        0..=7 => mutate::json(rng, seed.as_bytes(), &WORDS),
        8 => odd(rng),
        _ => mutate::value(rng, 4, &WORDS).to_string().into_bytes(),
    };
    (path, body)
}

/// What no tree of values makes.
fn odd(rng: &mut Rng) -> Vec<u8> {
    match rng.below(9) {
        0 => b"[".repeat(1 + rng.below(20_000)),
        1 => [b"{\"input\":".repeat(1 + rng.below(5_000)), b"1".to_vec()].concat(),
        2 => br#"{"inputs":"\ud800"}"#.to_vec(),
        3 => br#"{"input":1e999,"inputs":-1e999}"#.to_vec(),
        4 => br#"{"inputs":"a","inputs":"b","inputs":["c"]}"#.to_vec(),
        5 => (0..rng.below(300)).map(|_| rng.next() as u8).collect(),
        6 => format!(r#"{{"ids":[{}]}}"#, "1,".repeat(rng.below(2_000))).into_bytes(),
        7 => format!(r#"{{"inputs":"{}"}}"#, "word ".repeat(rng.below(900))).into_bytes(),
        _ => b"\xef\xbb\xbf{\"inputs\":\"a\"}".to_vec(),
    }
}
