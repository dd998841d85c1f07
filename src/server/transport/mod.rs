//! Connections: HTTP/1.1 and ZeroMQ.

mod connection_limit;
pub mod http;
mod write_timeout;
pub mod zmq;
