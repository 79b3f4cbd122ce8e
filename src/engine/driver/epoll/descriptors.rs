//! What the epoll driver knows of each descriptor, and the operations that wait at it.

use super::super::{Fd, Op, Token};
use crate::base::slab::{Key, Slab};

/// An operation that the kernel could not finish at once.
#[derive(Clone, Copy)]
pub struct Waiting {
    pub token: Token,
    pub op: Op,
    /// Bytes of a send that have left.
    pub sent: usize,
    /// The one that came after it at the same descriptor.
    next: Key,
}

impl Waiting {
    pub fn new(token: Token, op: Op) -> Waiting {
        Waiting { token, op, sent: 0, next: Key::NONE }
    }

    pub fn is_send(&self) -> bool {
        matches!(self.op, Op::Send { .. } | Op::SendMsg { .. })
    }

    /// What its final completion says when it is cancelled.
    pub fn cancelled(&self) -> i32 {
        if self.sent > 0 { self.sent as i32 } else { -libc::ECANCELED }
    }
}

/// A descriptor of this process, by its number. What was known of it ends with its epoch.
#[derive(Clone, Copy, Default)]
pub struct Descriptor {
    /// Goes with what is watched: news of an earlier epoch concern a descriptor that is gone.
    pub epoch: u32,
    /// The events that are watched; 0 for none.
    pub watched: u32,
    /// The driver opened it and will be told when it closes: it is watched until then. Others may close theirs at any
    /// time, and those are watched only while an operation waits.
    pub owned: bool,
    /// A receive that does not fill its buffer has taken all there was.
    pub stream: bool,
    /// There may be something to receive. When not, news will come.
    pub readable: bool,
    /// The peer has ended its stream, or it failed: no news will come of the end.
    pub ended: bool,
    /// It had its share of this turn, and goes on in the next.
    pub again: bool,
    first: Key,
}

/// Descriptors by number, as many as the process has, and what waits at them: three operations for each at most in
/// practice (a receive, a send, a poll), as its user has one of each.
#[derive(Default)]
pub struct Descriptors {
    table: Vec<Descriptor>,
    waiting: Slab<Waiting>,
}

impl Descriptors {
    pub fn of(&mut self, fd: Fd) -> &mut Descriptor {
        let at = fd as usize;
        if at >= self.table.len() {
            self.table.resize_with((at + 1).next_power_of_two(), Descriptor::default);
        }
        &mut self.table[at]
    }

    /// A new epoch begins: nothing is known, nothing is watched. Operations of the old one still wait.
    pub fn renew(&mut self, fd: Fd) -> &mut Descriptor {
        let d = self.of(fd);
        *d = Descriptor { epoch: d.epoch.wrapping_add(1), readable: true, first: d.first, ..Descriptor::default() };
        d
    }

    /// The operation that waits longest.
    pub fn first(&mut self, fd: Fd) -> Option<(Key, Waiting)> {
        let key = self.of(fd).first;
        Some((key, *self.waiting.get(key)?))
    }

    /// The one after it.
    pub fn after(&self, waiting: &Waiting) -> Option<(Key, Waiting)> {
        Some((waiting.next, *self.waiting.get(waiting.next)?))
    }

    pub fn find(&mut self, fd: Fd, wanted: impl Fn(&Waiting) -> bool) -> Option<(Key, Waiting)> {
        let mut at = self.first(fd);
        while let Some((key, waiting)) = at {
            if wanted(&waiting) {
                return Some((key, waiting));
            }
            at = self.after(&waiting);
        }
        None
    }

    /// Waits behind those that do already.
    pub fn add(&mut self, fd: Fd, waiting: Waiting) -> Key {
        let key = self.waiting.insert(waiting);
        let last = self.find(fd, |w| w.next == Key::NONE);
        match last.and_then(|(last, _)| self.waiting.get_mut(last)) {
            Some(last) => last.next = key,
            None => self.of(fd).first = key,
        }
        key
    }

    /// Notes how far an operation has come.
    pub fn advance(&mut self, key: Key, sent: usize) {
        if let Some(waiting) = self.waiting.get_mut(key) {
            waiting.sent = sent;
        }
    }

    pub fn remove(&mut self, fd: Fd, key: Key) {
        let before = self.find(fd, |w| w.next == key);
        let Some(gone) = self.waiting.remove(key) else { return };
        match before.and_then(|(before, _)| self.waiting.get_mut(before)) {
            Some(before) => before.next = gone.next,
            None => self.of(fd).first = gone.next,
        }
    }
}
