//! Which form of an answer a client takes: RFC 9110, section 12.5.1.

use hyper::HeaderMap;
use hyper::header;

/// JSON, the form that most routes have.
pub const JSON: &str = "application/json";
/// A page.
pub const HTML: &str = "text/html";
/// Text.
pub const TEXT: &str = "text/plain";

/// A range of media types that a client takes.
struct Range {
    kind: String,
    /// From 0 (not at all) to 1000.
    quality: u16,
}

/// The form of `offered` that the client likes best; the first where it does not say.
pub fn choose(headers: &HeaderMap, offered: &[&'static str]) -> Option<&'static str> {
    let ranges: Vec<Range> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(range)
        .collect();
    if ranges.is_empty() {
        return offered.first().copied();
    }
    let liked = |(place, kind): (usize, &&'static str)| {
        // What is said most closely of a form counts.
        let said = ranges.iter().enumerate().filter_map(|(at, range)| {
            Some((closeness(&range.kind, kind)?, range.quality, usize::MAX - at))
        });
        let (close, quality, at) = said.max()?;
        (quality > 0).then_some(((quality, close, at, usize::MAX - place), *kind))
    };
    offered.iter().enumerate().filter_map(liked).max().map(|(_, kind)| kind)
}

/// One range, unless it is none.
fn range(text: &str) -> Option<Range> {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().filter(|kind| !kind.is_empty())?.to_ascii_lowercase();
    let quality = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>())
    });
    let quality = match quality {
        None => 1.0,
        Some(Ok(quality)) if (0.0..=1.0).contains(&quality) => quality,
        Some(_) => return None,
    };
    Some(Range { kind, quality: (quality * 1000.0) as u16 })
}

/// How closely `range` names `kind`; nothing where it does not.
fn closeness(range: &str, kind: &str) -> Option<u8> {
    let same = |other: &str| range == other;
    if same(kind)
        || kind == SAFETENSORS && SAFETENSORS_TOO.iter().any(|other| same(other))
        || kind == NPZ && same(NPZ_TOO)
    {
        return Some(2);
    }
    match range.strip_suffix("/*") {
        Some("*") => Some(0),
        Some(group) => kind.split('/').next().filter(|own| *own == group).map(|_| 1),
        None => None,
    }
}

/// A safetensors file; the type is not registered, and others are in use.
pub const SAFETENSORS: &str = "application/vnd.safetensors";
const SAFETENSORS_TOO: [&str; 2] = ["application/x-safetensors", "application/safetensors"];
/// An npz file.
pub const NPZ: &str = "application/x-npz";
const NPZ_TOO: &str = "application/npz";

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_best_liked_form_is_taken() {
        let forms = &[JSON, SAFETENSORS, NPZ];
        for (accept, want) in [
            (&[][..], Some(JSON)),
            (&[""], Some(JSON)),
            (&["*/*"], Some(JSON)),
            (&["application/*"], Some(JSON)),
            (&["application/x-npz"], Some(NPZ)),
            (&["APPLICATION/X-NPZ"], Some(NPZ)),
            (&["application/x-npz;v=1"], Some(NPZ)),
            (&["application/x-npz, */*"], Some(NPZ)),
            (&["*/*, application/x-npz"], Some(NPZ)),
            (&["application/json, application/x-npz"], Some(JSON)),
            (&["application/x-npz, application/json"], Some(NPZ)),
            (&["application/json;q=0.5, application/x-npz;q=0.9"], Some(NPZ)),
            (&["application/x-npz;q=0.1, application/json ; Q=0.2"], Some(JSON)),
            (&["application/x-npz;q=0.1", "application/json;q=0.2"], Some(JSON)),
            (&["application/x-npz;q=0"], None),
            (&["*/*;q=0"], None),
            (&["*/*, application/json;q=0"], Some(SAFETENSORS)),
            (&["application/json;q=0, application/*;q=0.1"], Some(SAFETENSORS)),
            (&["application/safetensors"], Some(SAFETENSORS)),
            (&["text/html,application/xhtml+xml,*/*;q=0.8"], Some(JSON)),
            (&["text/html"], None),
            (&["text/*"], None),
            (&["json"], None),
            (&["application/json;q=2"], Some(JSON)),
            (&["text/html, application/json;q=x"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(choose(&headers, forms), want, "{accept:?}");
        }
    }
}
