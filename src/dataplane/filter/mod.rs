//! What stands between a response body and its receiver. One filter a response.

use super::session::Session;
use super::stream::Exchange;
use super::worker::Worker;
use crate::engine::Piece;

/// A filter at work.
pub enum Filter {}

impl Filter {
    /// Takes data and gives what is ready of the filtered stream.
    pub fn feed(&mut self, _data: Piece) -> Piece {
        match *self {}
    }

    /// The rest of the filtered stream.
    pub fn end(&mut self) -> Piece {
        match *self {}
    }

    /// Counts what it did.
    pub fn finish(self, _w: &Worker, _s: &Session, _ex: &mut Exchange) {
        match self {}
    }
}
