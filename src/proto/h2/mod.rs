//! HTTP/2 on the wire (RFC 9113; WebSocket over it: RFC 8441), as a codec without sockets and clocks.
//!
//! | room | in one sentence |
//! |---|---|
//! | [`connection`] | [`Connection`]: bytes in, [`Event`]s and answers out; heads and DATA to frames. |
//! | [`frame`] | Frame header, types and flags, and how frames are written. |
//! | [`settings`] | What each side may ask of the other. |
//! | [`flow`] | The windows of flow control. |
//! | [`head`] | Field lines to [`Head`](super::http::head::Head) and back, with all rules of RFC 9113 §8. |
//! | [`hpack`] | The compression of field lines. |
//! | [`error`] | Error codes, what ends a connection, what is a glitch. |
//!
//! Memory of a connection: its streams (some 50 bytes each, bounded by the announced limit), two dynamic tables (twice
//! `header_table_size` at most, and 4 kB), an unfinished block of fields (twice `head_bytes`). DATA is never kept.

pub mod connection;
pub mod error;
pub mod flow;
pub mod frame;
pub mod head;
pub mod hpack;
pub mod settings;
#[cfg(test)]
mod tests;

pub use connection::{Config, Connection, Event, Role};
pub use error::{ConnectionError, ErrorCode};

/// A stream's identifier: 31 bits, odd for streams that the client opened; 0 is the connection itself.
pub type StreamId = u32;

/// The largest identifier, and what a first GOAWAY names (RFC 9113 §6.8).
pub const STREAM_ID_MAX: StreamId = (1 << 31) - 1;

/// What a client says first (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Empties a buffer that is used now and then, and gives its memory back if much was needed.
fn empty(buffer: &mut Vec<u8>) {
    const KEPT: usize = 4096;
    if buffer.capacity() > KEPT {
        *buffer = Vec::new();
    }
    buffer.clear();
}
