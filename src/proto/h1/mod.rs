//! HTTP/1.x on the wire (RFC 9112): strict message framing over tokens of `httparse`.
//!
//! [`parse`] reads heads, [`framing`] decides where a body ends, [`chunked`] decodes the one body format that needs it,
//! [`persistence`] speaks of the Connection header, [`encode`] writes. Nothing here knows who is at the other end.

pub mod case;
pub mod chunked;
pub mod encode;
pub mod error;
mod explain;
mod fold;
pub mod framing;
pub mod parse;
pub mod persistence;
#[cfg(test)]
mod tests_parse;
#[cfg(test)]
mod tests_random;
#[cfg(test)]
mod tests_smuggling;

pub use error::{Fault, ParseError, Side};
pub use framing::{Asked, Framing};
pub use parse::{Limits, Message, Parsed, parse_request, parse_response};
