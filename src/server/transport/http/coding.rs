//! What a body is, by its headers: JSON in UTF-8, perhaps compressed.

use std::io::Read;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};

use crate::quote::quote;
use crate::server::api::answer::{CODINGS, aside};
use crate::server::core::error::{ApiError, ErrorCode};

/// Bytes of a Zstandard window, as a power of two: RFC 8878 asks for 8 MiB of every reader.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Holds the type of a body against what is read, and says how it is compressed.
///
/// Clients that send JSON under another name are many (`curl -d` calls it a form), so that only what
/// cannot be JSON in UTF-8 is refused.
///
/// # Errors
///
/// `ErrorCode::Media`, which names what is read.
pub fn coding(headers: &HeaderMap) -> Result<Option<Coding>, ApiError> {
    let shown = |value: &HeaderValue| quote(String::from_utf8_lossy(value.as_bytes()));
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        let text = shown(kind).to_ascii_lowercase();
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let is_read = matches!(
            kind,
            "" | "application/json"
                | "text/json"
                | "text/plain"
                | "application/x-www-form-urlencoded"
                | "application/octet-stream"
        ) || kind.ends_with("+json");
        if !is_read {
            let said = format!("Content-Type `{kind}` is not supported: send application/json");
            return Err(ApiError::new(ErrorCode::Media, said));
        }
        let charset = parts.find_map(|part| part.strip_prefix("charset="));
        let charset = charset.map(|charset| charset.trim_matches('"'));
        if let Some(other) = charset.filter(|c| !matches!(*c, "utf-8" | "utf8" | "us-ascii")) {
            let said = format!("charset `{other}` is not supported: send JSON in UTF-8");
            return Err(ApiError::new(ErrorCode::Media, said));
        }
    }
    let mut found = None;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let text = shown(value).to_ascii_lowercase();
        for coding in text.split(',').map(str::trim) {
            let coding = match coding {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                other => {
                    let said =
                        format!("Content-Encoding `{other}` is not supported: use {CODINGS}");
                    return Err(ApiError::new(ErrorCode::Media, said));
                }
            };
            if found.replace(coding).is_some() {
                let said =
                    format!("Content-Encoding has more than one coding: use one of {CODINGS}");
                return Err(ApiError::new(ErrorCode::Media, said));
            }
        }
    }
    Ok(found)
}

/// The bytes that were compressed, `limit` at most.
///
/// # Errors
///
/// `ErrorCode::TooLarge` beyond the limit, `ErrorCode::Malformed` where they are not of the coding.
pub async fn expanded(coding: Coding, body: Bytes, limit: usize) -> Result<Bytes, ApiError> {
    // A thousandfold is common in an attack: its work is never done where other clients wait.
    aside(usize::MAX, move || expand(coding, &body, limit)).await?
}

fn expand(coding: Coding, body: &[u8], limit: usize) -> Result<Bytes, ApiError> {
    let mut all = Vec::new();
    let most = limit as u64 + 1;
    let read = match coding {
        Coding::Gzip => flate2::read::MultiGzDecoder::new(body).take(most).read_to_end(&mut all),
        // Zlib's form, as RFC 9110 has it; many send the bare one.
        Coding::Deflate if body.first().is_some_and(|b| b & 0x0f == 8) => {
            flate2::read::ZlibDecoder::new(body).take(most).read_to_end(&mut all)
        }
        Coding::Deflate => flate2::read::DeflateDecoder::new(body).take(most).read_to_end(&mut all),
        Coding::Brotli => brotli::Decompressor::new(body, 4096).take(most).read_to_end(&mut all),
        Coding::Zstd => zstd::stream::read::Decoder::new(body).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            decoder.take(most).read_to_end(&mut all)
        }),
    };
    if all.len() > limit {
        let said = format!("the body is larger than {limit} bytes once it is expanded");
        return Err(ApiError::new(ErrorCode::TooLarge, said));
    }
    read.map_err(|e| {
        let name = match coding {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        };
        let said = format!("the body is not {name}, as its Content-Encoding says: {e}");
        ApiError::new(ErrorCode::Malformed, said)
    })?;
    Ok(all.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_bomb_is_cut_off_at_the_limit() {
        let zeros = vec![b'0'; 1 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&zeros).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::stream::encode_all(&zeros[..], 3).unwrap();
        for (coding, bytes) in [(Coding::Gzip, gzip), (Coding::Zstd, zstd)] {
            assert_eq!(expand(coding, &bytes, 1 << 20).unwrap(), zeros);
            let error = expand(coding, &bytes, (1 << 20) - 1).unwrap_err();
            assert_eq!(error.code, ErrorCode::TooLarge, "{error}");
            let cut = &bytes[..bytes.len() - 9];
            assert_eq!(expand(coding, cut, 1 << 20).unwrap_err().code, ErrorCode::Malformed);
        }
    }
}
