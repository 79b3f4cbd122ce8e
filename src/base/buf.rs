//! Byte blocks that a worker uses again and again: taken from a pool of the thread when a request needs one, given back
//! on drop. An idle connection holds none.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Blocks kept per thread; beyond it they are freed.
const KEPT: usize = 256;
/// A block that grew beyond this is freed instead of kept.
/// What a large receive buffer becomes when it is sealed into TLS records still fits.
const KEPT_CAPACITY: usize = 66 * 1024;
/// Capacity of a new block.
const FRESH_CAPACITY: usize = 2048;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A growable byte buffer from the thread's pool. Starts empty.
#[derive(Debug)]
pub struct Block(Vec<u8>);

impl Block {
    pub fn take() -> Block {
        let v = POOL.with(|p| p.borrow_mut().pop());
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
        let _ = POOL.try_with(|p| {
            let mut pool = p.borrow_mut();
            if pool.len() < KEPT {
                pool.push(v);
            }
        });
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
}
