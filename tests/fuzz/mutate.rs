//! Sound files made nearly right: bytes, lengths, values of JSON, whole files of a folder.

use serde_json::{Map, Number, Value, json};

use super::rng::Rng;

/// Bytes that formats are made of.
const LIKELY: &[u8] = b"{}[]\",:\\/-+.eE0129nulltruefalse \x00\x80\xff\xc3\n\r\t;'";

/// `bytes` with some of them changed, left out or put in, numbers among them, or its end cut off.
pub fn bytes(rng: &mut Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..=rng.below(5) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = rng.below(bytes.len());
        let byte = if rng.once_in(3) { rng.next() as u8 } else { *rng.pick(LIKELY) };
        match rng.below(8) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, byte),
            2 => {
                // A part once more, or in another place.
                let end = at + rng.below((bytes.len() - at).min(200));
                let part = bytes[at..end].to_vec();
                let to = if rng.once_in(2) { at } else { rng.below(bytes.len()) };
                bytes.splice(to..to, part);
            }
            3 => {
                let end = at + rng.below((bytes.len() - at).min(200));
                bytes.drain(at..end);
            }
            4 | 5 => number(rng, &mut bytes, at),
            _ => bytes[at] = byte,
        }
    }
    if rng.once_in(8) {
        bytes.truncate(rng.below(bytes.len()));
    }
    bytes
}

/// Overwrites the bytes from `at` with a number that lengths and offsets are tried with.
fn number(rng: &mut Rng, bytes: &mut [u8], at: usize) {
    let near = bytes.len() as u64;
    let numbers = [
        0,
        1,
        0x7f,
        0xff,
        0xffff,
        0x7fff_ffff,
        0xffff_ffff,
        1 << 40,
        i64::MAX as u64,
        u64::MAX,
        near,
        near - 1,
        near + 1,
    ];
    let value = *rng.pick(&numbers);
    let width = *rng.pick(&[1, 2, 4, 8]);
    let value = match rng.once_in(3) {
        true => value.to_be_bytes()[8 - width..].to_vec(),
        false => value.to_le_bytes()[..width].to_vec(),
    };
    let place = bytes[at..].iter_mut().zip(value);
    place.for_each(|(to, from)| *to = from);
}

/// JSON with one to three of its values, names or items changed, now and then to one of `words`, or
/// with damaged bytes.
pub fn json(rng: &mut Rng, text: &[u8], words: &[&str]) -> Vec<u8> {
    if rng.once_in(3) {
        return bytes(rng, text.to_vec());
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else {
        return bytes(rng, text.to_vec());
    };
    for _ in 0..=rng.below(3) {
        change(rng, &mut value, words);
    }
    value.to_string().into_bytes()
}

/// Changes one value of the tree.
pub fn change(rng: &mut Rng, tree: &mut Value, words: &[&str]) {
    // Deeper ones less often, so that the many leaves of a vocabulary do not take all.
    if rng.once_in(6) {
        *tree = value(rng, 2, words);
        return;
    }
    match tree {
        Value::Array(all) if !all.is_empty() => {
            let at = rng.below(all.len());
            match rng.below(10) {
                0 => drop(all.remove(at)),
                1 => all.insert(at, all[at].clone()),
                2 => all.truncate(at),
                3 => all.insert(at, value(rng, 1, words)),
                _ => change(rng, &mut all[at], words),
            }
        }
        Value::Object(all) if !all.is_empty() => {
            let keys: Vec<String> = all.keys().take(200).cloned().collect();
            let name = rng.pick(&keys);
            match rng.below(10) {
                0 => drop(all.remove(name)),
                1 => drop(all.insert(rng.pick(words).to_string(), value(rng, 1, words))),
                2 => {
                    // The value of another key.
                    let other = all[rng.pick(&keys)].clone();
                    all.insert(name.clone(), other);
                }
                _ => change(rng, &mut all[name], words),
            }
        }
        Value::Number(n) if rng.once_in(2) => {
            let n = n.as_f64().unwrap_or(0.0);
            let near = [n + 1.0, n - 1.0, -n, n * 2.0, n / 2.0, n + 0.5];
            *tree = match *rng.pick(&near) {
                n if n.fract() == 0.0 => json!(n as i64),
                n => json!(n),
            };
        }
        other => *other = value(rng, 1, words),
    }
}

/// A value at random, at most so deep.
pub fn value(rng: &mut Rng, depth: usize, words: &[&str]) -> Value {
    const WHOLE: [i64; 10] = [0, 1, 2, -1, 255, 65_536, 1_000_000_000, 1 << 31, i64::MAX, i64::MIN];
    match rng.below(if depth == 0 { 7 } else { 10 }) {
        0 => Value::Null,
        1 => json!(rng.once_in(2)),
        2 => json!(rng.below(200)),
        3 => json!(*rng.pick(&WHOLE)),
        4 => json!(*rng.pick(&[0.5, -0.0, 1e308, 5e-324, 1e20, 1e-20])),
        5 => Value::Number(Number::from(u64::MAX)),
        6 => json!(rng.pick(words).repeat(if rng.once_in(30) { 3000 } else { 1 })),
        7 => (0..rng.below(5)).map(|_| value(rng, depth - 1, words)).collect(),
        8 => {
            // Deep, but not beyond what the reader of JSON takes.
            let mut deep = json!(1);
            for _ in 0..rng.below(120) {
                deep = if rng.once_in(2) { json!([deep]) } else { json!({ "a": deep }) };
            }
            deep
        }
        _ => {
            let one = |_| (rng.pick(words).to_string(), value(rng, depth - 1, words));
            Value::Object((0..5).map(one).collect::<Map<_, _>>())
        }
    }
}
