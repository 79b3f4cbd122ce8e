//! A block of field lines while its frames come (RFC 9113 §4.3): HEADERS and CONTINUATION, bounded in bytes and frames.

use super::super::error::ErrorCode;
use super::super::{StreamId, empty};

/// What becomes of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It opens a stream.
    Request,
    Response,
    Trailers,
    /// Decoded for the table and forgotten: the stream was reset, or is above the one that GOAWAY named.
    Forget,
    /// As that, and its stream is reset.
    Refuse(ErrorCode),
}

/// The block that is being received; none while `stream` is 0.
#[derive(Debug)]
pub struct Block {
    pub stream: StreamId,
    pub purpose: Purpose,
    pub end_stream: bool,
    pub frames: u32,
    /// What came of it in earlier pieces; stays empty if all of it lies in one input.
    pub bytes: Vec<u8>,
}

impl Default for Block {
    fn default() -> Block {
        Block { stream: 0, purpose: Purpose::Forget, end_stream: false, frames: 0, bytes: Vec::new() }
    }
}

/// The encoded block may be so many times as large as the head may be: Huffman coding of rare bytes makes text larger.
pub const BLOCK_FACTOR: usize = 2;

/// A block takes at most so many frames, and those that its bytes need.
pub const BLOCK_FRAMES: u32 = 64;

impl Block {
    pub fn begin(&mut self, stream: StreamId, purpose: Purpose, end_stream: bool) {
        self.bytes.clear();
        (self.stream, self.purpose, self.end_stream, self.frames) = (stream, purpose, end_stream, 0);
    }

    /// The block was decoded: keeps the memory of its bytes for the next one.
    pub fn finish(&mut self, bytes: Vec<u8>) {
        (self.stream, self.bytes) = (0, bytes);
        empty(&mut self.bytes);
    }
}
