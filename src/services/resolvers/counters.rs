//! What is counted of each name server, in the order of `show resolvers`.

use super::answers::Flaw;

/// Counters of `show resolvers` (management guide).
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
    /// In HAProxy's order.
    pub fn named(&self) -> [(&'static str, u64); 15] {
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

    pub fn flaw(&mut self, flaw: Flaw) {
        let counter = match flaw {
            Flaw::Nx => &mut self.nx,
            Flaw::Refused => &mut self.refused,
            Flaw::Code => &mut self.other,
            Flaw::Invalid => &mut self.invalid,
            Flaw::Alias => &mut self.cname_error,
            Flaw::Empty => &mut self.any_err,
        };
        *counter += 1;
    }
}
