//! Frames: their header, types and flags (RFC 9113 §4.1, §6), and how each is written. Payloads are read by
//! [`super::connection`], bit by bit as they arrive.

use super::StreamId;
use super::error::ErrorCode;

/// Bytes before each payload.
pub const HEADER_LEN: usize = 9;

/// Frame types. Others are ignored (RFC 9113 §4.1).
pub mod kind {
    pub const DATA: u8 = 0x0;
    pub const HEADERS: u8 = 0x1;
    pub const PRIORITY: u8 = 0x2;
    pub const RST_STREAM: u8 = 0x3;
    pub const SETTINGS: u8 = 0x4;
    pub const PUSH_PROMISE: u8 = 0x5;
    pub const PING: u8 = 0x6;
    pub const GOAWAY: u8 = 0x7;
    pub const WINDOW_UPDATE: u8 = 0x8;
    pub const CONTINUATION: u8 = 0x9;
}

pub mod flag {
    /// SETTINGS, PING.
    pub const ACK: u8 = 0x1;
    /// DATA, HEADERS.
    pub const END_STREAM: u8 = 0x1;
    /// HEADERS, CONTINUATION.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS.
    pub const PADDED: u8 = 0x8;
    /// HEADERS.
    pub const PRIORITY: u8 = 0x20;
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of payload.
    pub len: u32,
    pub kind: u8,
    pub flags: u8,
    /// Without the reserved bit.
    pub stream: StreamId,
}

impl FrameHeader {
    pub fn parse(bytes: [u8; HEADER_LEN]) -> FrameHeader {
        let [a, b, c, kind, flags, stream @ ..] = bytes;
        FrameHeader { len: u32::from_be_bytes([0, a, b, c]), kind, flags, stream: u31(stream) }
    }

    pub fn bytes(self) -> [u8; HEADER_LEN] {
        let [_, a, b, c] = self.len.to_be_bytes();
        let [w, x, y, z] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, w, x, y, z]
    }

    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// 31 bits after a reserved one.
pub fn u31(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & 0x7fff_ffff
}

/// Appends a header for `len` bytes of payload that the caller appends or sends.
pub fn header(kind: u8, flags: u8, stream: StreamId, len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&FrameHeader { len: len as u32, kind, flags, stream }.bytes());
}

pub fn rst_stream(stream: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
    header(kind::RST_STREAM, 0, stream, 4, out);
    out.extend_from_slice(&code.0.to_be_bytes());
}

pub fn goaway(last: StreamId, code: ErrorCode, out: &mut Vec<u8>) {
    header(kind::GOAWAY, 0, 0, 8, out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// `stream` 0: the connection's window.
pub fn window_update(stream: StreamId, increment: u32, out: &mut Vec<u8>) {
    debug_assert!(increment > 0);
    header(kind::WINDOW_UPDATE, 0, stream, 4, out);
    out.extend_from_slice(&increment.to_be_bytes());
}

pub fn ping(flags: u8, opaque: [u8; 8], out: &mut Vec<u8>) {
    header(kind::PING, flags, 0, 8, out);
    out.extend_from_slice(&opaque);
}

pub fn settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    header(kind::SETTINGS, 0, 0, settings.len() * 6, out);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

pub fn settings_ack(out: &mut Vec<u8>) {
    header(kind::SETTINGS, flag::ACK, 0, 0, out);
}

/// Turns the block that was appended after `start` into one HEADERS frame, and CONTINUATION where it is larger than
/// `max`. [`HEADER_LEN`] bytes after `start` are held free for the first header.
pub fn headers_around(stream: StreamId, start: usize, end_stream: bool, max: usize, out: &mut Vec<u8>) {
    let block = out.len() - start - HEADER_LEN;
    let mut flags = if end_stream { flag::END_STREAM } else { 0 };
    if block <= max {
        flags |= flag::END_HEADERS;
    }
    let first = FrameHeader { len: block.min(max) as u32, kind: kind::HEADERS, flags, stream };
    out[start..start + HEADER_LEN].copy_from_slice(&first.bytes());
    let mut at = start + HEADER_LEN + max;
    // Rare: a block of more than 16 kB.
    while at < out.len() {
        let len = (out.len() - at).min(max);
        let flags = if at + len == out.len() { flag::END_HEADERS } else { 0 };
        let next = FrameHeader { len: len as u32, kind: kind::CONTINUATION, flags, stream };
        out.splice(at..at, next.bytes());
        at += HEADER_LEN + len;
    }
}
