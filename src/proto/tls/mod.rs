//! TLS without sockets: [`session::Session`] takes received bytes and gives plain text and bytes to send. The library
//! (rustls on AWS-LC) makes handshakes and keys; [`records`] protects what follows, in place. Nobody outside this room
//! sees the library's connection types, so that a second library can stand beside it. Knows no files and no keywords:
//! `model::certificates` builds from configuration what this room runs on.

pub mod chain;
pub mod client;
pub mod crl;
mod facts;
pub mod failure;
mod handshake;
pub mod hello;
pub mod keys;
pub mod moment;
pub mod ocsp;
pub mod policy;
pub mod records;
pub mod server;
pub mod session;
pub mod session_cache;
pub mod tickets;
mod traffic;
pub mod verify;
pub mod verify_code;
pub mod version;
pub mod x509;
