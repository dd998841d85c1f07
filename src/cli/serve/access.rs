//! Who may call a server: keys, origins of pages, and the names it is called by.

use std::net::IpAddr;

use clap::Args;
use everylayer::{Error, ErrorKind, Result};

/// Who may call.
#[derive(Debug, Args)]
pub struct AccessArgs {
    /// API key that clients must send as `Authorization: Bearer KEY`; repeat for several
    #[arg(long, value_name = "KEY", env = "EVERYLAYER_API_KEY", hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    api_key: Vec<String>,
    /// Allowed CORS origin; `*` is any
    #[arg(long, value_name = "ORIGIN")]
    cors_allow_origin: Vec<String>,
    /// Additional host name to accept in `Host`, besides those of this machine; others are rejected
    /// on a loopback address, and elsewhere if this is given; `*` is any
    #[arg(long, value_name = "NAME")]
    allowed_host: Vec<String>,
}

fn usage(said: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, said)
}

impl AccessArgs {
    /// The keys; none where none is asked for.
    ///
    /// # Errors
    ///
    /// `Usage` for a key that is empty or that no client can send: the server would be open, or
    /// closed to all.
    pub fn keys(&self, address: Option<IpAddr>) -> Result<Vec<String>> {
        for key in &self.api_key {
            if key.is_empty() {
                let said = "--api-key or EVERYLAYER_API_KEY: a key is empty: give one, or leave \
                            out the option and the variable to require none";
                return Err(usage(said));
            }
            if key.trim() != key || key.chars().any(char::is_control) {
                let said = "--api-key or EVERYLAYER_API_KEY: a key begins or ends with a space, or \
                            has a control character, which no client can send";
                return Err(usage(said));
            }
        }
        // On its own machine a variable of that name is likely somebody else's.
        let is_far = address.is_some_and(|address| !address.is_loopback());
        if is_far && self.api_key.is_empty() && std::env::var_os("API_KEY").is_some() {
            let said = "API_KEY is set, which Text Embeddings Inference reads and everylayer does \
                        not: set EVERYLAYER_API_KEY, or unset API_KEY to require no key";
            return Err(usage(said));
        }
        Ok(self.api_key.clone())
    }

    /// The origins.
    ///
    /// # Errors
    ///
    /// As [`origins`].
    pub fn origins(&self) -> Result<Vec<String>> {
        origins("--cors-allow-origin", &self.cors_allow_origin)
    }

    /// The names that a client may call a server on `address` by; any where it is `None`.
    ///
    /// # Errors
    ///
    /// As [`hosts`].
    pub fn hosts(&self, address: Option<IpAddr>) -> Result<Option<Vec<String>>> {
        hosts("--allowed-host", &self.allowed_host, address)
    }
}

/// `given` to `option`, each a page's origin as a browser sends it.
///
/// # Errors
///
/// `Usage` for one that no page has.
pub fn origins(option: &str, given: &[String]) -> Result<Vec<String>> {
    let is_one = |origin: &str| {
        let host = origin.split_once("://").map(|(scheme, host)| (scheme.is_empty(), host));
        host.is_some_and(|(bare, host)| !bare && !host.is_empty() && !host.contains(['/', ' ']))
    };
    match given.iter().find(|origin| *origin != "*" && !is_one(origin)) {
        Some(other) => Err(usage(format!(
            "{option} {other:?} is not an origin: write it as https://a.example or \
             http://localhost:8080, or `*` for any"
        ))),
        None => Ok(given.iter().map(|origin| origin.to_ascii_lowercase()).collect()),
    }
}

/// The names that a client may call a server on `address` by, those of this machine and `given` to
/// `option`; any where it is `None`. `address` is `None` on a Unix socket.
///
/// # Errors
///
/// `Usage` for what is no name.
pub fn hosts(
    option: &str,
    given: &[String],
    address: Option<IpAddr>,
) -> Result<Option<Vec<String>>> {
    let is_name = |name: &str| {
        let ports = name.parse::<IpAddr>().is_err() && name.contains(':');
        !name.is_empty() && !ports && !name.contains(['/', ' ', '[', '*'])
    };
    if let Some(other) = given.iter().find(|name| *name != "*" && !is_name(name)) {
        let said = format!(
            "{option} {other:?} is not a host name: write it as vectors.example or 192.0.2.7, \
             without a port, or `*` for any"
        );
        return Err(usage(said));
    }
    let is_near = address.is_some_and(|address| address.is_loopback());
    if given.iter().any(|name| name == "*") || given.is_empty() && !is_near {
        return Ok(None);
    }
    let own = address.filter(|address| !address.is_unspecified()).map(|a| a.to_string());
    Ok(Some(given.iter().map(|name| name.to_ascii_lowercase()).chain(own).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn origins_are_those_of_pages() {
        for fine in ["*", "https://a.example", "http://localhost:8080", "app://x"] {
            assert!(origins("o", &words(&[fine])).is_ok(), "{fine}");
        }
        for wrong in ["", "null", "a.example", "https://", "https://a.example/", "://a"] {
            assert!(origins("o", &words(&["*", wrong])).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_held_where_the_address_is_near_or_some_are_given() {
        let near: Option<IpAddr> = "127.0.0.1".parse().ok();
        let far: Option<IpAddr> = "0.0.0.0".parse().ok();
        for (given, address, want) in [
            (&[][..], near, Some(&["127.0.0.1"][..])),
            (&["A.example"], near, Some(&["a.example", "127.0.0.1"])),
            (&[], far, None),
            (&["a.example"], far, Some(&["a.example"])),
            (&["*"], near, None),
            (&[], None, None),
        ] {
            let got = hosts("o", &words(given), address).unwrap();
            assert_eq!(got, want.map(words), "{given:?} {address:?}");
        }
        for wrong in ["", "a.example:80", "http://a.example", "[::1]", "*.example"] {
            assert!(hosts("o", &words(&[wrong]), near).is_err(), "{wrong}");
        }
    }
}
