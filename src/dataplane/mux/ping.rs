//! `idle-ping` (manual 5.1, 5.2): an idle connection's peer is asked now and then whether it is there; one that has not
//! answered when it would be asked again is not.

use crate::base::clock::Millis;
use crate::engine::Rt;
use std::cell::Cell;

/// What is to be done about an idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    Nothing,
    /// Send PING.
    Ask,
    /// The peer is not there.
    Dead,
}

/// The questions of one connection.
pub struct IdlePing {
    every_ms: u64,
    /// When the next is due; `None` while streams are open.
    due: Cell<Option<Millis>>,
    /// The last one is not answered.
    asked: Cell<bool>,
    /// Answers that are to come. They come in order, before those to PINGs of other purposes.
    owed: Cell<u32>,
    heard: Cell<Millis>,
}

impl IdlePing {
    /// `None` where the line has no `idle-ping`.
    pub fn every(every_ms: Option<u64>, now: Millis) -> Option<Box<IdlePing>> {
        let every_ms = every_ms.filter(|ms| *ms > 0)?;
        let (due, asked) = (Cell::new(None), Cell::new(false));
        Some(Box::new(IdlePing { every_ms, due, asked, owed: Cell::new(0), heard: Cell::new(now) }))
    }

    /// Looks at a connection that has been idle since then, and has the task woken when the next question is due.
    pub fn beat(&self, rt: &Rt, idle_since: Millis) -> Beat {
        let due = self.due.get().unwrap_or_else(|| idle_since.plus(self.every_ms));
        self.due.set(Some(due));
        if !rt.reached(due) {
            return Beat::Nothing;
        }
        if self.asked.replace(true) {
            return Beat::Dead;
        }
        self.owed.set(self.owed.get() + 1);
        let next = rt.now().mono.plus(self.every_ms);
        self.due.set(Some(next));
        rt.reached(next);
        Beat::Ask
    }

    /// A stream begins.
    pub fn stir(&self) {
        self.due.set(None);
        self.asked.set(false);
    }

    /// An answer has come; false if it is to another PING.
    pub fn hear(&self, now: Millis) -> bool {
        let owed = self.owed.get();
        self.owed.set(owed.saturating_sub(1));
        if owed == 1 {
            self.asked.set(false);
        }
        self.heard.set(now);
        owed > 0
    }

    /// When the peer was last known to be there.
    pub fn heard(&self) -> Millis {
        self.heard.get()
    }
}
