//! Bytes on their way: a lease of a receive buffer, and a chain of pieces that one send takes.

use super::driver::{Group, MSG_PIECES};
use super::reactor::Rt;
use crate::base::buf::Block;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// A received piece of data in a buffer of the ring; the buffer goes back when the lease is dropped. While no buffer is
/// left, pieces come in memory of their own.
pub struct Lease {
    rt: Rt,
    /// Where the piece is: the driver leaves a buffer where it is until it goes back.
    at: *mut u8,
    len: u32,
    id: u16,
    group: Group,
    /// Memory of its own instead of a buffer: there was none left.
    /// (Boxed twice: a lease stays as small as it was.)
    own: Option<Box<Box<[u8]>>>,
}

impl Lease {
    /// `id` was handed out by the driver with `len` bytes in it.
    pub(super) fn new(rt: Rt, group: Group, id: u16, len: u32) -> Lease {
        let at = rt.buffer(group, id);
        Lease { rt, at, len, id, group, own: None }
    }

    /// Received into `memory`, `len` bytes of it.
    pub(super) fn own(rt: Rt, memory: Box<[u8]>, len: u32) -> Lease {
        let len = len.min(memory.len() as u32);
        let mut own = Box::new(memory);
        let at = own.as_mut_ptr();
        Lease { rt, at, len, id: 0, group: Group::Small, own: Some(own) }
    }

    /// Forgets the first `n` bytes.
    pub fn advance(&mut self, n: usize) {
        let n = n.min(self.len as usize);
        // SAFETY: the place stays within what was filled, or at its end.
        self.at = unsafe { self.at.add(n) };
        self.len -= n as u32;
    }

    /// Takes the first `n` bytes out as a lease of their own; the buffer goes back with the last of both. `None` where the
    /// memory is its own.
    pub fn split_to(&mut self, n: usize) -> Option<Lease> {
        if self.own.is_some() {
            return None;
        }
        self.rt.share(self.group, self.id);
        let mut first =
            Lease { rt: self.rt.clone(), at: self.at, len: self.len, id: self.id, group: self.group, own: None };
        first.truncate(n);
        self.advance(n);
        Some(first)
    }

    /// Forgets all but the first `n` bytes.
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n.min(u32::MAX as usize) as u32);
    }
}

impl Deref for Lease {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: these bytes belong to this lease alone until it is dropped: others that were split off have others.
        unsafe { std::slice::from_raw_parts(self.at, self.len as usize) }
    }
}

impl DerefMut for Lease {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len as usize) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.own.is_none() {
            self.rt.recycle(self.group, self.id);
        }
    }
}

/// A run of bytes with an owner that keeps them in place.
#[derive(Default)]
pub enum Piece {
    #[default]
    Empty,
    /// Bytes from `start` of a pooled block.
    Block(Block, usize),
    Lease(Lease),
    Static(&'static [u8]),
    /// Bytes from `start` of shared memory.
    Shared(Arc<[u8]>, usize),
}

impl Piece {
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Piece::Empty => &[],
            Piece::Block(b, start) => &b[*start..],
            Piece::Lease(l) => l,
            Piece::Static(s) => s,
            Piece::Shared(s, start) => &s[*start..],
        }
    }

    /// The same to write to; `None` where others may read them too.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Piece::Empty => Some(&mut []),
            Piece::Block(b, start) => Some(&mut b[*start..]),
            Piece::Lease(l) => Some(l),
            Piece::Static(_) | Piece::Shared(..) => None,
        }
    }

    /// Forgets all but a range of the bytes. A buffer of which nothing is left goes back at once.
    pub fn narrow(&mut self, range: Range<usize>) {
        if range.is_empty() {
            *self = Piece::Empty;
            return;
        }
        match self {
            Piece::Empty => {}
            Piece::Block(b, start) => {
                b.truncate(*start + range.end);
                *start += range.start;
            }
            Piece::Lease(l) => {
                l.truncate(range.end);
                l.advance(range.start);
            }
            Piece::Static(s) => *s = &s[range],
            Piece::Shared(s, start) => *self = Piece::Block(Block::copy_of(&s[*start..][range]), 0),
        }
    }

    /// Takes the first `n` bytes out, at most all. They stay where they are if they can.
    pub fn split_to(&mut self, n: usize) -> Piece {
        if n >= self.bytes().len() {
            return std::mem::take(self);
        }
        if let Piece::Lease(lease) = self
            && let Some(first) = lease.split_to(n)
        {
            return Piece::Lease(first);
        }
        let first = match self {
            Piece::Static(s) => Piece::Static(&s[..n]),
            _ => Piece::Block(Block::copy_of(&self.bytes()[..n]), 0),
        };
        self.advance(n);
        first
    }

    /// Forgets the first `n` bytes; without any left the piece is empty and owns nothing.
    pub fn advance(&mut self, n: usize) {
        match self {
            Piece::Empty => {}
            Piece::Block(_, start) | Piece::Shared(_, start) => *start += n,
            Piece::Lease(l) => l.advance(n),
            Piece::Static(s) => *s = &s[n..],
        }
        // Nothing left: the buffer goes back now, not when whoever holds the piece looks at it again.
        if self.bytes().is_empty() {
            *self = Piece::Empty;
        }
    }
}

/// Chains' memory kept per thread; beyond it it is freed.
const KEPT: usize = 256;

thread_local! {
    static POOL: RefCell<Vec<Box<Pieces>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
struct Pieces {
    list: [Piece; MSG_PIECES],
    len: usize,
}

/// Up to [`MSG_PIECES`] pieces that leave in one send. It is handed from a stream to the operation and back, so what
/// moves is a pointer; the memory behind it comes from a pool of the thread and is there when there are pieces.
#[derive(Default)]
pub struct Chain(Option<Box<Pieces>>);

impl Chain {
    pub fn new() -> Chain {
        Chain::default()
    }

    /// Appends a piece; an empty one is dropped. The caller keeps within [`MSG_PIECES`].
    pub fn push(&mut self, piece: Piece) {
        if !piece.bytes().is_empty() {
            let pieces = self.0.get_or_insert_with(|| POOL.with(|p| p.borrow_mut().pop()).unwrap_or_default());
            debug_assert!(pieces.len < MSG_PIECES);
            pieces.list[pieces.len] = piece;
            pieces.len += 1;
        }
    }

    pub fn with(mut self, piece: Piece) -> Chain {
        self.push(piece);
        self
    }

    pub fn pieces(&self) -> &[Piece] {
        self.0.as_deref().map_or(&[], |p| &p.list[..p.len])
    }

    /// Pieces that can still be pushed.
    pub fn room(&self) -> usize {
        MSG_PIECES - self.pieces().len()
    }

    pub fn is_empty(&self) -> bool {
        self.pieces().is_empty()
    }

    /// Bytes of all pieces.
    pub fn byte_len(&self) -> usize {
        self.pieces().iter().map(|p| p.bytes().len()).sum()
    }

    /// Takes up to `n` bytes of the first piece out. Empty when there is none.
    pub fn split_first(&mut self, n: usize) -> Piece {
        let Some(pieces) = &mut self.0 else { return Piece::Empty };
        let len = pieces.len;
        let first = pieces.list[0].split_to(n);
        if len > 0 && pieces.list[0].bytes().is_empty() {
            pieces.list[..len].rotate_left(1);
            pieces.len -= 1;
        }
        first
    }

    /// Forgets the first `n` bytes.
    pub fn advance(&mut self, mut n: usize) {
        let Some(pieces) = &mut self.0 else { return };
        let mut done = 0;
        for piece in &mut pieces.list[..pieces.len] {
            let len = piece.bytes().len();
            if n < len {
                piece.advance(n);
                break;
            }
            n -= len;
            *piece = Piece::Empty;
            done += 1;
        }
        pieces.list[..pieces.len].rotate_left(done);
        pieces.len -= done;
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let Some(mut pieces) = self.0.take() else { return };
        let len = std::mem::take(&mut pieces.len);
        pieces.list[..len].fill_with(Piece::default);
        // The pool is gone while the thread ends: then the memory is simply freed.
        let _ = POOL.try_with(|p| {
            let mut pool = p.borrow_mut();
            if pool.len() < KEPT {
                pool.push(pieces);
            }
        });
    }
}

impl From<Piece> for Chain {
    fn from(piece: Piece) -> Chain {
        Chain::new().with(piece)
    }
}

impl From<Block> for Chain {
    fn from(block: Block) -> Chain {
        Piece::Block(block, 0).into()
    }
}

impl From<Lease> for Chain {
    fn from(lease: Lease) -> Chain {
        Piece::Lease(lease).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advancing_cuts_across_pieces() {
        for n in 0..=9 {
            let mut c = Chain::new()
                .with(Piece::Static(b"abc"))
                .with(Piece::Block(Block::copy_of(b"defg"), 0))
                .with(Piece::Shared(Arc::from(&b"hi"[..]), 0));
            c.advance(n);
            let left: Vec<u8> = c.pieces().iter().flat_map(|p| p.bytes().to_vec()).collect();
            assert_eq!(left, b"abcdefghi"[n..]);
            assert_eq!(c.byte_len(), 9 - n);
            assert_eq!(c.is_empty(), n == 9);
        }
    }

    #[test]
    fn splitting_takes_pieces_apart_in_order() {
        for n in 1..=4 {
            let mut c = Chain::new()
                .with(Piece::Static(b"abc"))
                .with(Piece::Block(Block::copy_of(b"defg"), 0))
                .with(Piece::Shared(Arc::from(&b"hi"[..]), 0));
            let mut whole = Vec::new();
            while !c.is_empty() {
                let first = c.split_first(n);
                assert!((1..=n).contains(&first.bytes().len()));
                whole.extend_from_slice(first.bytes());
            }
            assert_eq!(whole, b"abcdefghi");
            assert!(c.split_first(n).bytes().is_empty());
        }
    }

    #[test]
    fn memory_of_a_dropped_chain_is_used_again_and_empty() {
        drop(Chain::new().with(Piece::Static(b"abc")).with(Piece::Static(b"d")));
        let kept = POOL.with(|p| p.borrow().len());
        let c = Chain::new().with(Piece::Static(b"e"));
        assert_eq!(POOL.with(|p| p.borrow().len()), kept - 1);
        assert_eq!((c.pieces().len(), c.byte_len(), size_of::<Chain>()), (1, 1, size_of::<usize>()));
    }
}
