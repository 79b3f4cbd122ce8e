//! A hierarchical timing wheel of one millisecond's resolution. Entries are not removed: an owner that no longer wants
//! one ignores it when it fires, and an owner whose deadline moved later inserts anew then. So that a timeout that is
//! pushed back for every request costs one store, not two list operations.

use super::clock::Millis;

const SLOTS: usize = 64;
const LEVELS: usize = 6;

#[derive(Debug)]
pub struct Wheel<K> {
    now: u64,
    /// Slot occupancy by level, one bit a slot.
    occupied: [u64; LEVELS],
    slots: Vec<Vec<(Millis, K)>>,
    len: usize,
}

impl<K: Copy> Wheel<K> {
    pub fn new(now: Millis) -> Self {
        Wheel { now: now.0, occupied: [0; LEVELS], slots: (0..SLOTS * LEVELS).map(|_| Vec::new()).collect(), len: 0 }
    }

    /// Fires `key` at `deadline`, at the next [`Wheel::advance`] if that is not in the future.
    pub fn insert(&mut self, deadline: Millis, key: K) {
        let at = deadline.0.max(self.now + 1).min(self.now + (1 << (6 * LEVELS as u32)) - 1);
        let distance = at ^ self.now;
        let level = ((63 - (distance | 1).leading_zeros()) / 6) as usize;
        let level = level.min(LEVELS - 1);
        let slot = (at >> (6 * level)) as usize % SLOTS;
        self.occupied[level] |= 1 << slot;
        self.slots[level * SLOTS + slot].push((deadline, key));
        self.len += 1;
    }

    /// The moment at which the wheel has to be looked at again; `None` when it is empty.
    pub fn next(&self) -> Option<Millis> {
        let mut best: Option<u64> = None;
        for level in 0..LEVELS {
            if self.occupied[level] == 0 {
                continue;
            }
            let shift = 6 * level as u32;
            let position = (self.now >> shift) as u32 % SLOTS as u32;
            // Slots after the current one, wrapping: bit 0 of `ahead` is the next slot.
            let ahead = self.occupied[level].rotate_right((position + 1) % 64);
            let steps = ahead.trailing_zeros() as u64 + 1;
            let at = ((self.now >> shift) + steps) << shift;
            best = Some(best.map_or(at, |b| b.min(at)));
        }
        best.map(Millis)
    }

    /// Moves to `now` and calls `fire` for every entry whose deadline has come.
    pub fn advance(&mut self, now: Millis, mut fire: impl FnMut(Millis, K)) {
        while let Some(at) = self.next() {
            if at.0 > now.0 {
                break;
            }
            self.now = at.0;
            for level in (0..LEVELS).rev() {
                let shift = 6 * level as u32;
                if level > 0 && !self.now.is_multiple_of(1 << shift) {
                    continue;
                }
                let slot = (self.now >> shift) as usize % SLOTS;
                if self.occupied[level] & (1 << slot) == 0 {
                    continue;
                }
                self.occupied[level] &= !(1 << slot);
                let mut entries = std::mem::take(&mut self.slots[level * SLOTS + slot]);
                self.len -= entries.len();
                for (deadline, key) in entries.drain(..) {
                    if deadline.0 <= self.now {
                        fire(deadline, key);
                    } else {
                        self.insert(deadline, key);
                    }
                }
                // Keeps the slot's allocation.
                if self.slots[level * SLOTS + slot].is_empty() {
                    self.slots[level * SLOTS + slot] = entries;
                }
            }
        }
        self.now = self.now.max(now.0);
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_fire_at_their_time_and_not_before() {
        // A small linear generator: seeds are printed by the assertion.
        for seed in 1u64..200 {
            let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut random = move || {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x
            };
            let mut wheel = Wheel::new(Millis(random() % 100_000));
            let mut now = wheel.now;
            let mut pending: Vec<u64> = Vec::new();
            for _ in 0..200 {
                let ahead = [1, 10, 100, 10_000, 1_000_000][(random() % 5) as usize];
                let deadline = now + 1 + random() % ahead;
                wheel.insert(Millis(deadline), deadline);
                pending.push(deadline);
                now += random() % [2, 50, 5000][(random() % 3) as usize];
                let mut fired = Vec::new();
                wheel.advance(Millis(now), |d, k| {
                    assert_eq!(d.0, k, "seed {seed}");
                    fired.push(k);
                });
                let mut due: Vec<u64> = pending.iter().copied().filter(|d| *d <= now).collect();
                pending.retain(|d| *d > now);
                due.sort();
                fired.sort();
                assert_eq!(fired, due, "seed {seed}");
                if let Some(next) = wheel.next() {
                    let first = pending.iter().min().copied();
                    assert!(first.is_some_and(|f| next.0 <= f && next.0 > now), "seed {seed}: {next:?} {first:?}");
                }
            }
            assert_eq!(wheel.len(), pending.len());
        }
    }
}
