//! What stands between a body and its receiver. One filter a message.

pub mod compression;
pub mod deflate;
pub mod fast;
pub mod selection;

use crate::engine::Piece;

/// A filter at work.
pub enum Filter {
    Compression(compression::Compressor),
}

impl Filter {
    /// Takes data and gives what is ready of the filtered stream; `last`: no more data follows.
    pub fn feed(&mut self, data: Piece, last: bool) -> Piece {
        match self {
            Filter::Compression(c) => c.feed(data, last),
        }
    }

    /// The rest of the filtered stream.
    pub fn end(&mut self) -> Piece {
        match self {
            Filter::Compression(c) => c.end(),
        }
    }
}
