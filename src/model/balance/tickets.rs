//! One worker's tickets of a number that the process counts up. To keep the shared line quiet under load, a worker draws
//! them in batches: one while it is quiet, up to sixteen when it chooses several times within one turn of its loop. A
//! sequential client never makes a worker choose twice in a turn, so it sees the exact order; under concurrency order
//! means little and evenness is kept, since every ticket is used or given up with at most fifteen others.

use crate::base::clock::Now;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const BATCH_MAX: u64 = 16;

#[derive(Debug, Default)]
pub struct Tickets {
    next: u64,
    left: u64,
    batch: u64,
    /// The loop turn of the last choice, and how many choices it saw.
    turn: u64,
    choices: u64,
}

impl Tickets {
    /// Before each choice.
    pub fn note_turn(&mut self, now: Now) {
        if now.nanos == self.turn {
            self.choices += 1;
            return;
        }
        if self.choices <= 1 {
            // A quiet turn: give up what is left, so that the next choice follows the process's order.
            self.batch = 1;
            self.left = 0;
        }
        self.turn = now.nanos;
        self.choices = 1;
    }

    pub fn draw(&mut self, given_out: &AtomicU64) -> u64 {
        if self.left == 0 {
            if self.choices > 1 {
                self.batch = (self.batch * 2).clamp(1, BATCH_MAX);
            }
            let batch = self.batch.max(1);
            self.next = given_out.fetch_add(batch, Relaxed);
            self.left = batch;
        }
        self.left -= 1;
        self.next += 1;
        self.last()
    }

    /// The last one drawn.
    pub fn last(&self) -> u64 {
        self.next.wrapping_sub(1)
    }
}
