//! Wire formats, without sockets and clocks: bytes in, events out.

pub mod dns;
pub mod h1;
pub mod h2;
pub mod http;
pub mod peers;
pub mod proxy_protocol;
pub mod socks4;
pub mod syslog;
pub mod tls;
pub mod websocket;
