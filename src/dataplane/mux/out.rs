//! What waits to be sent on a connection, in order: frames as bytes, and data that stays where it was received.

use crate::base::buf::Block;
use crate::engine::{Chain, Piece};

/// Data of at most this many bytes is copied: that costs less than a slice of its own.
const COPY_MAX: usize = 2 * 1024;

#[derive(Default)]
pub(super) struct Out {
    /// What goes first.
    chain: Chain,
    chained: usize,
    /// Bytes behind it.
    tail: Option<Block>,
}

impl Out {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.chained + self.tail.as_ref().map_or(0, |tail| tail.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where frames go.
    pub fn bytes(&mut self) -> &mut Block {
        self.tail.get_or_insert_with(Block::take)
    }

    /// The first `n` bytes of `from`, which has them. `copied`: whoever sends it copies everything anyway.
    pub fn data(&mut self, from: &mut Chain, mut n: usize, copied: bool) {
        while n > 0 {
            let slices = 1 + usize::from(self.tail.as_ref().is_some_and(|tail| !tail.is_empty()));
            let first = from.pieces().first().map_or(0, |piece| piece.bytes().len()).min(n);
            if copied || first <= COPY_MAX || self.chain.room() < slices {
                let piece = &from.pieces()[0].bytes()[..first];
                self.tail.get_or_insert_with(Block::take).extend_from_slice(piece);
                from.advance(first);
            } else {
                self.push_tail();
                self.chained += first;
                self.chain.push(from.split_first(first));
            }
            n -= first;
        }
    }

    fn push_tail(&mut self) {
        if let Some(tail) = self.tail.take() {
            self.chained += tail.len();
            self.chain.push(Piece::Block(tail, 0));
        }
    }

    /// What one send takes, from the front.
    pub fn take(&mut self) -> Chain {
        if self.chain.room() > 0 {
            self.push_tail();
        }
        self.chained = 0;
        std::mem::take(&mut self.chain)
    }

    /// Memory that nothing waits in goes back to the worker.
    pub fn rest(&mut self) {
        if self.is_empty() {
            *self = Out::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::driver::MSG_PIECES;

    fn bytes(out: &mut Out) -> Vec<u8> {
        let mut all = Vec::new();
        while !out.is_empty() {
            let waiting = out.len();
            let chain = out.take();
            assert!(!chain.is_empty() && chain.byte_len() + out.len() == waiting);
            chain.pieces().iter().for_each(|piece| all.extend_from_slice(piece.bytes()));
        }
        all
    }

    #[test]
    fn frames_and_data_leave_in_the_order_in_which_they_came() {
        static BODY: [u8; 40_000] = [7; 40_000];
        for (size, copied) in [(COPY_MAX, false), (COPY_MAX + 1, false), (COPY_MAX + 1, true), (BODY.len(), false)] {
            let (mut out, mut expected) = (Out::default(), Vec::new());
            // More than one send takes.
            for frame in 0..2 * MSG_PIECES as u8 {
                out.bytes().push(frame);
                expected.push(frame);
                let mut data = Chain::new().with(Piece::Static(&BODY[..size / 2])).with(Piece::Static(&BODY[..size]));
                out.data(&mut data, size, copied);
                assert_eq!(data.byte_len(), size / 2);
                expected.extend_from_slice(&BODY[..size]);
            }
            assert_eq!(out.len(), expected.len());
            assert!(bytes(&mut out) == expected, "{size}");
        }
    }

    #[test]
    fn large_data_is_not_copied() {
        static BODY: [u8; 16_384] = [7; 16_384];
        let mut out = Out::default();
        out.bytes().extend_from_slice(b"header");
        out.data(&mut Piece::Static(&BODY).into(), BODY.len(), false);
        let chain = out.take();
        assert!(matches!(chain.pieces(), [Piece::Block(..), Piece::Static(s)] if s.len() == BODY.len()));
    }
}
