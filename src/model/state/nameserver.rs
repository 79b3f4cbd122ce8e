//! What is counted of each name server, in the order of `show resolvers` (management guide 9.3). The control thread counts
//! and puts its numbers on the board, where every thread reads them.

use crate::base::counter::Counter;

/// Numbers on the board.
#[derive(Debug, Default)]
pub struct NameserverCell([Counter; Counters::COUNT]);

impl NameserverCell {
    /// By the control thread alone.
    pub fn set(&self, counters: &Counters) {
        for (cell, (_, value)) in self.0.iter().zip(counters.named()) {
            cell.set(value);
        }
    }

    /// In the order of [`Counters::named`].
    pub fn values(&self) -> [u64; Counters::COUNT] {
        std::array::from_fn(|i| self.0[i].get())
    }
}

/// Counters of `show resolvers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub sent: u64,
    pub send_error: u64,
    pub valid: u64,
    pub update: u64,
    pub cname: u64,
    pub cname_error: u64,
    pub any_err: u64,
    pub nx: u64,
    pub timeout: u64,
    pub refused: u64,
    pub other: u64,
    pub invalid: u64,
    pub too_big: u64,
    pub truncated: u64,
    pub outdated: u64,
}

impl Counters {
    pub const COUNT: usize = 15;

    /// In HAProxy's order.
    pub fn named(&self) -> [(&'static str, u64); Counters::COUNT] {
        [
            ("sent", self.sent),
            ("snd_error", self.send_error),
            ("valid", self.valid),
            ("update", self.update),
            ("cname", self.cname),
            ("cname_error", self.cname_error),
            ("any_err", self.any_err),
            ("nx", self.nx),
            ("timeout", self.timeout),
            ("refused", self.refused),
            ("other", self.other),
            ("invalid", self.invalid),
            ("too_big", self.too_big),
            ("truncated", self.truncated),
            ("outdated", self.outdated),
        ]
    }
}
