//! What a reactor's sends have brought to the kernel: `TotalBytesOut` and its kin of `show info` (management guide 9.3).
//! Counted where a send completes, so that all is in it: both sides, TLS records, health checks, the runtime API.

use crate::base::clock::Millis;
use crate::base::rate::{Rate, Seconds};
use std::cell::Cell;

/// Bytes in one event of the rate: 128 GB/s still fit.
pub const UNIT: u64 = 32;

#[derive(Debug, Default)]
pub struct Emitted {
    bytes: Cell<u64>,
    spliced: Cell<u64>,
    rate: Rate,
    /// Bytes that do not fill a [`UNIT`] yet.
    rest: Cell<u64>,
}

impl Emitted {
    #[inline]
    pub(super) fn add(&self, n: u64, now: Millis) {
        self.bytes.set(self.bytes.get() + n);
        let all = self.rest.get() + n;
        self.rest.set(all % UNIT);
        self.rate.add((all / UNIT).min(u32::MAX.into()) as u32, now);
    }

    /// The same for bytes that left through a pipe.
    pub(super) fn add_spliced(&self, n: u64, now: Millis) {
        self.spliced.set(self.spliced.get() + n);
        self.add(n, now);
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Those of [`Emitted::bytes`] that left through a pipe.
    pub fn spliced(&self) -> u64 {
        self.spliced.get()
    }

    /// By the second, in units of [`UNIT`] bytes.
    pub fn rate(&self) -> Seconds {
        self.rate.seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sends_add_up_to_units() {
        let emitted = Emitted::default();
        for _ in 0..32 {
            emitted.add(3, Millis(5000));
        }
        emitted.add_spliced(64, Millis(5100));
        assert_eq!((emitted.bytes(), emitted.spliced()), (160, 64));
        assert_eq!(emitted.rate().rate(Millis(5100)), 5);
    }
}
