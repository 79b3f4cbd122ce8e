//! One core's work: sessions, streams and bytes. A [`worker::Worker`] owns its reactor, connections, balancers and idle
//! server connections; it reads the frozen plan and counts on the board. A connection's life is [`session`], one that
//! carries many requests at once is [`mux`]'s; a request's life is [`stream::http`], a byte stream's is [`stream::tcp`].

pub mod bequest;
pub mod capture;
pub mod connect;
pub mod cookie;
pub mod events;
pub mod filter;
mod forwarded;
pub mod idle;
pub mod key;
pub mod log;
pub mod lookup;
pub mod meter;
pub mod mux;
pub mod page;
pub mod persist;
pub mod proxy_protocol;
pub mod queue;
pub mod registry;
pub mod relay;
pub mod rules;
pub mod session;
pub mod socks4;
pub mod stream;
pub mod tables;
pub mod tls;
pub mod transfer;
pub mod transport;
pub mod worker;
pub mod world;
