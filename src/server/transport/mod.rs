//! Connections: HTTP/1.1 and ZeroMQ.

pub mod http;
pub mod zmq;
