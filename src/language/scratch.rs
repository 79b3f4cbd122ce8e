//! Buffers that expressions write into. A [`Buf`] goes back to its [`Pool`] when it is dropped, so that a worker's
//! steady state allocates nothing: after the first requests every buffer has grown to what the rules need.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Buffers kept at most; more than a deep converter chain ever holds at once.
const KEPT_MAX: usize = 64;
/// A buffer that grew past this is given back to the allocator instead.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a value at most, where nothing else is configured: tune.bufsize at its default.
const VALUE_MAX: usize = 16 * 1024;

/// A worker's spare buffers, and how much may be in one that expressions have written.
#[derive(Debug)]
pub struct Pool {
    spare: RefCell<Vec<Vec<u8>>>,
    value_max: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Pool::bounded(VALUE_MAX)
    }
}

impl Pool {
    pub fn new() -> Self {
        Pool::default()
    }

    /// With values of at most `value_max` bytes (`tune.bufsize`).
    pub fn bounded(value_max: usize) -> Self {
        Pool { spare: RefCell::default(), value_max }
    }

    /// Bytes that a converter may make, and that a head may take once rules have edited it: a buffer's, as in HAProxy.
    /// Whoever sends the input decides by what it is multiplied.
    pub fn value_max(&self) -> usize {
        self.value_max
    }

    /// An empty buffer that returns here when dropped.
    pub fn buf(&self) -> Buf<'_> {
        Buf { bytes: self.take(), pool: self }
    }

    /// An empty buffer without a tie to the pool; hand it back with [`Pool::give`].
    pub fn take(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    pub fn give(&self, mut bytes: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < KEPT_MAX && bytes.capacity() <= KEPT_BYTES_MAX {
            bytes.clear();
            spare.push(bytes);
        }
    }
}

/// A pooled buffer.
#[derive(Debug)]
pub struct Buf<'c> {
    bytes: Vec<u8>,
    pool: &'c Pool,
}

impl Deref for Buf<'_> {
    type Target = Vec<u8>;
    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buf<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Buf<'_> {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let pool = Pool::new();
        let mut first = pool.buf();
        first.extend_from_slice(&[0; 100]);
        let at = first.as_ptr();
        drop(first);
        let second = pool.buf();
        assert!(second.is_empty());
        assert_eq!(second.as_ptr(), at);
    }
}
