//! Byte blocks that a worker uses again and again: taken from a pool of the thread when a request needs one, given back
//! on drop. An idle connection holds none.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Blocks kept per thread; beyond it they are freed.
const KEPT: usize = 256;
/// Bytes kept per thread, so that a busy hour of large answers does not hold memory for ever.
const KEPT_BYTES: usize = 4 << 20;
/// A block that grew beyond this is freed instead of kept.
/// What a large receive buffer becomes when it is sealed into TLS records still fits.
const KEPT_CAPACITY: usize = 66 * 1024;
/// Capacity of a new block.
const FRESH_CAPACITY: usize = 2048;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { blocks: Vec::new(), bytes: 0 }) };
}

struct Pool {
    blocks: Vec<Vec<u8>>,
    /// The capacity of all of them.
    bytes: usize,
}

impl Pool {
    fn take(&mut self) -> Option<Vec<u8>> {
        let block = self.blocks.pop()?;
        self.bytes -= block.capacity();
        Some(block)
    }

    fn give(&mut self, block: Vec<u8>) {
        if self.blocks.len() < KEPT && self.bytes + block.capacity() <= KEPT_BYTES {
            self.bytes += block.capacity();
            self.blocks.push(block);
        }
    }
}

/// A growable byte buffer from the thread's pool. Starts empty.
#[derive(Debug)]
pub struct Block(Vec<u8>);

impl Block {
    pub fn take() -> Block {
        let v = POOL.with(|p| p.borrow_mut().take());
        Block(v.unwrap_or_else(|| Vec::with_capacity(FRESH_CAPACITY)))
    }

    pub fn copy_of(bytes: &[u8]) -> Block {
        let mut b = Block::take();
        b.extend_from_slice(bytes);
        b
    }
}

/// Memory from elsewhere; it joins the pool on drop.
impl From<Vec<u8>> for Block {
    fn from(bytes: Vec<u8>) -> Block {
        Block(bytes)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut v = std::mem::take(&mut self.0);
        if v.capacity() == 0 || v.capacity() > KEPT_CAPACITY {
            return;
        }
        v.clear();
        // The pool is gone while the thread ends: then the block is simply freed.
        let _ = POOL.try_with(|p| p.borrow_mut().give(v));
    }
}

impl Deref for Block {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_block_comes_back_empty_with_its_capacity() {
        let mut b = Block::take();
        b.extend_from_slice(&[7; 5000]);
        let capacity = b.capacity();
        drop(b);
        let b = Block::take();
        assert!(b.is_empty() && b.capacity() == capacity);
    }

    #[test]
    fn blocks_that_are_kept_are_bounded_in_number_and_in_bytes() {
        for (capacity, kept) in [(FRESH_CAPACITY, KEPT), (KEPT_CAPACITY, KEPT_BYTES / KEPT_CAPACITY)] {
            drop((0..2 * KEPT).map(|_| Block::from(Vec::with_capacity(capacity))).collect::<Vec<_>>());
            let held = POOL.with(|p| {
                let mut pool = p.borrow_mut();
                assert_eq!(pool.bytes, pool.blocks.iter().map(Vec::capacity).sum::<usize>());
                std::iter::from_fn(|| pool.take()).count()
            });
            assert_eq!(held, kept);
            assert_eq!(POOL.with(|p| p.borrow().bytes), 0);
        }
    }
}
