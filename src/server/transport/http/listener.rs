//! Where connections come from: a port or a path.

use std::net::SocketAddr;

use super::wire::Wire;

/// Connections that wait in the system's queue at most; the system has a bound of its own.
const BACKLOG: u32 = 4096;

/// Where connections come from.
pub enum Listener {
    /// A port.
    Tcp(tokio::net::TcpListener),
    /// A path.
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

/// The error for a `place` that cannot be listened on; `other` says what to do where it is taken.
fn refused(place: impl std::fmt::Display, e: std::io::Error, other: &str) -> crate::Error {
    match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            let said = format!("{place}: {e}: stop the program that uses it, or {other}");
            crate::Error::new(crate::ErrorKind::Io, said).with_source(e)
        }
        _ => crate::Error::io(place, e),
    }
}

impl Listener {
    /// Opens a port; 0 takes a free one.
    ///
    /// # Errors
    ///
    /// `Io`, naming the address.
    pub async fn tcp(address: SocketAddr) -> crate::Result<Self> {
        let open = || {
            let socket = match address {
                SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
                SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
            };
            // As std: a port that was served a moment ago is free.
            #[cfg(unix)]
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        open().map(Self::Tcp).map_err(|e| refused(address, e, "choose another port"))
    }

    /// Opens a path, in the place of a socket that nobody serves any more.
    ///
    /// # Errors
    ///
    /// `Io`, naming the path.
    #[cfg(unix)]
    pub fn unix(path: &std::path::Path) -> crate::Result<Self> {
        use std::os::unix::fs::FileTypeExt;
        let old = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
        if old && std::os::unix::net::UnixStream::connect(path).is_err() {
            let _ = std::fs::remove_file(path);
        }
        let open = tokio::net::UnixListener::bind(path);
        open.map(Self::Unix).map_err(|e| refused(path.display(), e, "choose another path"))
    }

    /// Where clients connect to, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Tcp(l) => {
                l.local_addr().map_or_else(|e| e.to_string(), |a| format!("http://{a}"))
            }
            #[cfg(unix)]
            Self::Unix(l) => {
                let address = l.local_addr().ok();
                let path = address.and_then(|a| a.as_pathname().map(|p| p.display().to_string()));
                format!("unix:{}", path.unwrap_or_default())
            }
        }
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> std::io::Result<Wire> {
        Ok(match self {
            Self::Tcp(l) => {
                let (stream, _) = l.accept().await?;
                let _ = stream.set_nodelay(true);
                Wire::Tcp(stream)
            }
            #[cfg(unix)]
            Self::Unix(l) => Wire::Unix(l.accept().await?.0),
        })
    }
}
