//! How many receive buffers of a group are handed out, and how many in use the load no longer asks for.

use crate::base::clock::Millis;

/// How long a group must have needed fewer buffers than it has before it lets some go.
const PERIOD_MS: u64 = 1000;
/// A group keeps this many times what it needed at most: the kernel looks for one before the last is home.
const ROOM: usize = 2;

#[derive(Debug)]
pub(super) struct Lending {
    /// Buffers that always stay in use.
    least: usize,
    lent: usize,
    /// The most that were out at once: in this period, and in the one before.
    peaks: [usize; 2],
    /// Buffers that leave when they come home.
    surplus: usize,
    since: Millis,
    /// Leases of a buffer beside the first; empty until one was shared.
    others: Vec<u16>,
}

impl Lending {
    pub fn new(now: Millis, least: usize) -> Lending {
        Lending { least, lent: 0, peaks: [0; 2], surplus: 0, since: now, others: Vec::new() }
    }

    /// One lease of a buffer became two.
    pub fn share(&mut self, id: u16) {
        if self.others.len() <= id.into() {
            self.others.resize(usize::from(id) + 1, 0);
        }
        self.others[usize::from(id)] += 1;
    }

    /// A lease is over: whether it was the buffer's last.
    pub fn was_last(&mut self, id: u16) -> bool {
        match self.others.get_mut(usize::from(id)) {
            None | Some(0) => true,
            Some(others) => {
                *others -= 1;
                false
            }
        }
    }

    /// Buffers that are out.
    pub fn lent(&self) -> usize {
        self.lent
    }

    pub fn lend(&mut self) {
        self.lent += 1;
        self.peaks[0] = self.peaks[0].max(self.lent);
    }

    /// The kernel found none: all are needed.
    pub fn starve(&mut self) {
        self.surplus = 0;
    }

    /// Whether one that came home stays in use. `in_use`: how many are.
    pub fn came_home(&mut self, now: Millis, in_use: impl FnOnce() -> usize) -> bool {
        self.lent -= 1;
        if now.since(self.since) >= PERIOD_MS {
            self.since = now;
            self.surplus = in_use().saturating_sub((ROOM * self.peaks[0].max(self.peaks[1])).max(self.least));
            self.peaks = [self.lent, self.peaks[0]];
        }
        if self.surplus == 0 {
            return true;
        }
        self.surplus -= 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: usize = 8;

    /// Lends `count` at once `times` times and takes them back; how many left use of `in_use`.
    fn load(lending: &mut Lending, now: Millis, count: usize, times: usize, in_use: usize) -> usize {
        let mut left = 0;
        for _ in 0..times {
            (0..count).for_each(|_| lending.lend());
            left += (0..count).filter(|_| !lending.came_home(now, || in_use)).count();
        }
        left
    }

    #[test]
    fn buffers_stay_while_the_load_needs_them() {
        let start = Millis(0);
        let mut lending = Lending::new(start, LEAST);
        for second in 0..5 {
            assert_eq!(load(&mut lending, start.plus(second * PERIOD_MS), 100, 10, 128), 0);
        }
    }

    #[test]
    fn a_burst_leaves_no_buffers_behind_once_it_is_two_periods_old() {
        let start = Millis(0);
        let mut lending = Lending::new(start, LEAST);
        load(&mut lending, start, 100, 1, 128);
        assert_eq!(load(&mut lending, start.plus(PERIOD_MS), 10, 30, 128), 0);
        assert_eq!(load(&mut lending, start.plus(2 * PERIOD_MS), 10, 30, 128), 0);
        assert_eq!(load(&mut lending, start.plus(3 * PERIOD_MS), 10, 30, 128), 128 - ROOM * 10);
    }

    #[test]
    fn the_least_stays_and_a_hungry_kernel_ends_the_leaving() {
        let start = Millis(0);
        let mut lending = Lending::new(start, LEAST);
        load(&mut lending, start.plus(PERIOD_MS), 1, 1, 64);
        assert_eq!(load(&mut lending, start.plus(2 * PERIOD_MS), 1, 10, 64), 10);
        lending.starve();
        assert_eq!(load(&mut lending, start.plus(2 * PERIOD_MS), 1, 10, 54), 0);
        assert_eq!(load(&mut lending, start.plus(3 * PERIOD_MS), 1, 100, 54), 54 - LEAST);
    }
}
