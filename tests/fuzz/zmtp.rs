//! Frames of ZeroMQ, sound and wrong.

use super::damage::damaged;
use super::rng::Rng;

/// A frame: flags 1 is that more follow, 2 a long one, 4 a command.
pub fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    match u8::try_from(body.len()) {
        Ok(length) => [&[flags, length], body].concat(),
        Err(_) => [&[flags | 2], &(body.len() as u64).to_be_bytes()[..], body].concat(),
    }
}

pub fn message(frames: &[&[u8]]) -> Vec<u8> {
    let last = frames.len().saturating_sub(1);
    let one = |(i, f): (usize, &&[u8])| frame(u8::from(i < last), f);
    frames.iter().enumerate().flat_map(one).collect()
}

/// What a broken peer sends after its handshake, or in its place.
pub fn wrong(rng: &mut Rng) -> Vec<u8> {
    let any = |rng: &mut Rng, most: usize| -> Vec<u8> {
        (0..rng.below(most)).map(|_| rng.next() as u8).collect()
    };
    match rng.below(9) {
        // Too few frames, or too many.
        0 => (0..rng.below(40)).flat_map(|_| frame(1, &any(rng, 20))).collect(),
        // Four, of anything.
        1 => message(&[&any(rng, 40), &any(rng, 400), &any(rng, 8), &any(rng, 8)]),
        // A number that is none, or too large.
        2 => {
            let numbers: [&[u8]; 4] = [b"x", b"", b"-1", b"99999999999999999999"];
            message(&[b"me", br#"["a"]"#, numbers[rng.below(4)], b"1"])
        }
        // A text that is no list of texts.
        3 | 4 => message(&[b"me", &damaged(rng).1, b"1", b"1"]),
        5 => message(&[&any(rng, 400), br#"["a", "b"]"#, b"1", b"1"]),
        // More promised than comes.
        6 => {
            let length = *rng.pick(&[u64::MAX, 1 << 40, 1 << 20, 300]);
            [&[rng.next() as u8 & 3 | 2], &length.to_be_bytes()[..], &any(rng, 90)].concat()
        }
        // Commands in the middle, and flags that there are not.
        7 => [frame(1, b"me"), frame(4, &any(rng, 90)), frame(rng.next() as u8, &any(rng, 90))]
            .concat(),
        _ => any(rng, 300),
    }
}
