//! The PROXY protocol, versions 1 and 2 (doc/proxy-protocol.txt of HAProxy): what a proxy before us says about the
//! connection, and what we say to a server. Headers are read from the bytes at hand without keeping state.

pub mod crc32c;
pub mod encode;
pub mod parse;
#[cfg(test)]
mod tests;
pub mod tlv;

use std::net::SocketAddr;

pub use parse::{Error, Parsed, parse};
pub use tlv::{Tlv, Tlvs};

/// The ends of the connection that a header speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses<'a> {
    /// LOCAL, UNKNOWN or an unspecified family: the real connection's own.
    Own,
    Ip {
        source: SocketAddr,
        destination: SocketAddr,
        transport: Transport,
    },
    /// Paths without their padding; empty for an unnamed socket. Abstract names begin with a NUL.
    Unix {
        source: &'a [u8],
        destination: &'a [u8],
        transport: Transport,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Stream,
    Datagram,
}

/// A received header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// 1 or 2.
    pub version: u8,
    /// The proxy speaks for itself (a health check): LOCAL.
    pub local: bool,
    pub addresses: Addresses<'a>,
    /// What follows the addresses in version 2.
    pub tlvs: Tlvs<'a>,
    /// Bytes that the header took.
    pub consumed: usize,
}
