//! Streams that wait for a slot, counted over all workers.

use crate::base::sync::atomic::{AtomicU32, Ordering::Relaxed};

#[derive(Debug, Default)]
pub struct Waiting(AtomicU32);

impl Waiting {
    /// A stream begins or ends to wait, on any worker.
    pub fn change(&self, begins: bool) {
        match begins {
            true => self.0.fetch_add(1, Relaxed),
            false => self.0.fetch_sub(1, Relaxed),
        };
    }

    /// Streams wait: a slot that is free is theirs.
    #[inline]
    pub fn is_any(&self) -> bool {
        self.0.load(Relaxed) > 0
    }

    #[inline]
    pub fn count(&self) -> u32 {
        self.0.load(Relaxed)
    }
}
