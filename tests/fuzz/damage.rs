//! Bodies that are nearly right: bytes changed, values of other types, values at random.

use serde_json::{Map, Value, json};

use crate::rng::Rng;

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

const WORDS: [&str; 26] = [
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
        0..=4 => of_bytes(rng, seed.as_bytes().to_vec()),
        5..=7 => {
            let mut value: Value = serde_json::from_str(seed).unwrap();
            for _ in 0..=rng.below(2) {
                let mut left = rng.below(12);
                change(rng, &mut value, &mut left);
            }
            value.to_string().into_bytes()
        }
        8 => odd(rng),
        _ => value(rng, 4).to_string().into_bytes(),
    };
    (path, body)
}

/// Some bytes changed, left out or put in; the end cut off.
fn of_bytes(rng: &mut Rng, mut body: Vec<u8>) -> Vec<u8> {
    const LIKELY: &[u8] = b"{}[]\",:\\/-+.eE0129nulltruefalse \x00\x80\xff\xc3\n";
    for _ in 0..=rng.below(4) {
        let at = rng.below(body.len());
        let byte = if rng.once_in(3) { rng.next() as u8 } else { *rng.pick(LIKELY) };
        match rng.below(4) {
            0 if !body.is_empty() => drop(body.remove(at)),
            1 => body.insert(at, byte),
            2 if !body.is_empty() => {
                // A part once more.
                let end = at + rng.below(body.len() - at);
                let part = body[at..end].to_vec();
                body.splice(at..at, part);
            }
            _ => {
                let last = body.len() - 1;
                body[at.min(last)] = byte;
            }
        }
        if body.is_empty() {
            return body;
        }
    }
    if rng.once_in(4) {
        body.truncate(rng.below(body.len()));
    }
    body
}

/// Changes one value of the tree, the `left`th from here.
fn change(rng: &mut Rng, value_: &mut Value, left: &mut usize) {
    if *left == 0 {
        *value_ = value(rng, 2);
        return;
    }
    *left -= 1;
    match value_ {
        Value::Array(all) if !all.is_empty() => {
            let at = rng.below(all.len());
            match rng.below(8) {
                0 => drop(all.remove(at)),
                1 => all.extend(all.clone()),
                _ => change(rng, &mut all[at], left),
            }
        }
        Value::Object(all) if !all.is_empty() => {
            let name = all.keys().nth(rng.below(all.len())).unwrap().clone();
            match rng.below(8) {
                0 => drop(all.remove(&name)),
                1 => drop(all.insert(rng.pick(&WORDS).to_string(), value(rng, 1))),
                _ => change(rng, &mut all[&name], left),
            }
        }
        other => *other = value(rng, 1),
    }
}

/// A value at random, at most so deep.
fn value(rng: &mut Rng, depth: usize) -> Value {
    match rng.below(if depth == 0 { 7 } else { 9 }) {
        0 => Value::Null,
        1 => json!(rng.once_in(2)),
        2 => json!(rng.below(200)),
        3 => json!(*rng.pick(&[-1, i64::MIN, i64::MAX, 4_294_967_296, 30_522])),
        4 => json!(*rng.pick(&[0.5, -0.0, 1e308, 5e-324, 1e20])),
        5 | 6 => json!(rng.pick(&WORDS).repeat(if rng.once_in(30) { 300 } else { 1 })),
        7 => (0..rng.below(5)).map(|_| value(rng, depth - 1)).collect(),
        _ => {
            let names =
                ["input", "inputs", "texts", "ids", "outputs", "layers", "pool", "model", "x"];
            let one = |_| (rng.pick(&names).to_string(), value(rng, depth - 1));
            Value::Object((0..5).map(one).collect::<Map<_, _>>())
        }
    }
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
