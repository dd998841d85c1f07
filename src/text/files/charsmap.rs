//! SentencePiece's compiled normalization: `precompiled_charsmap`.

use tokenizers::normalizers::Precompiled;

/// Bytes of what a character may become; the longest of NFKC has 33.
const MAX_REPLACEMENT: usize = 256;

/// The normalizer of `bytes`, checked: the crate that runs it trusts every index in them.
///
/// # Errors
///
/// What is wrong.
pub(crate) fn compile(bytes: &[u8]) -> Result<Precompiled, String> {
    let broken = |what: &str| format!("precompiled_charsmap: {what}");
    let (size, rest) = bytes.split_first_chunk().ok_or_else(|| broken("it ends in its size"))?;
    let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
    let (trie, text) = rest.split_at_checked(size).ok_or_else(|| broken("it ends in its trie"))?;
    let text = std::str::from_utf8(text).map_err(|_| broken("its texts are not valid UTF-8"))?;
    let (units, []) = trie.as_chunks() else { return Err(broken("its trie ends inside a unit")) };
    if units.is_empty() {
        return Err(broken("its trie is empty"));
    }
    let units: Vec<u32> = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    if !units.iter().enumerate().all(|(at, &unit)| fits(at, unit, &units, text)) {
        return Err(broken("its trie points outside itself"));
    }
    if text.split('\0').any(|replacement| replacement.len() > MAX_REPLACEMENT) {
        return Err(broken("a replacement of it is too long"));
    }
    Precompiled::from(bytes).map_err(|e| broken(&e.to_string()))
}

/// Whether all that can follow the unit at `at` of a double array lies in it, and a text that ends
/// there has a replacement (<https://github.com/s-yata/darts-clone>).
fn fits(at: usize, unit: u32, units: &[u32], text: &str) -> bool {
    // A replacement's place, which is no node.
    if unit >> 31 == 1 {
        return true;
    }
    let child = at ^ ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize;
    let leaf = (unit >> 8) & 1 == 1;
    let replacement = units.get(child).map(|value| (value & 0x7fff_ffff) as usize);
    child | 0xff < units.len() && (!leaf || replacement.is_some_and(|at| text.is_char_boundary(at)))
}
