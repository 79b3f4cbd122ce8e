//! Frequency counters over one second, as `show stat` and `rate-limit` mean them (management guide 9.1, "rate"): the
//! events of the current second, plus those of the previous one in proportion to what is left of the current. One
//! writer, any readers, the time is an argument. The greatest number of events in any one second is kept too; over
//! several writers it is found by [`merge`], which adds up counts of the same second only.

use super::clock::Millis;
use super::sync::atomic::{AtomicU64, Ordering::*};

/// One writer's events per second.
#[derive(Debug, Default)]
pub struct Rate {
    /// Second in the upper half, events of that second in the lower.
    current: AtomicU64,
    /// Second and events of the last second before `current` that saw any.
    previous: AtomicU64,
}

/// What a reader saw of one writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds {
    pub current: (u32, u32),
    pub previous: (u32, u32),
}

impl Rate {
    /// Counts `n` events. True when these were the first of a new second: the moment to look for a new maximum.
    #[inline]
    pub fn add(&self, n: u32, now: Millis) -> bool {
        let second = second_of(now);
        let current = self.current.load(Relaxed);
        if (current >> 32) as u32 == second {
            // Saturates: 4 billion events a second do not happen, but must not reach the upper half.
            let count = (current as u32).saturating_add(n);
            self.current.store(pack(second, count), Release);
            return false;
        }
        self.previous.store(current, Relaxed);
        self.current.store(pack(second, n), Release);
        true
    }

    /// Events a second at `now`.
    pub fn read(&self, now: Millis) -> u32 {
        self.seconds().rate(now)
    }

    pub fn seconds(&self) -> Seconds {
        let current = unpack(self.current.load(Acquire));
        let previous = unpack(self.previous.load(Relaxed));
        // The writer may have begun another second between the two loads: what was `current` must not count twice.
        let previous = if previous.0 < current.0 { previous } else { (0, 0) };
        Seconds { current, previous }
    }

    /// Takes over what another one has counted.
    pub fn set(&self, seen: Seconds) {
        self.previous.store(pack(seen.previous.0, seen.previous.1), Relaxed);
        self.current.store(pack(seen.current.0, seen.current.1), Relaxed);
    }

    /// Forgets all events.
    pub fn clear(&self) {
        self.current.store(0, Relaxed);
        self.previous.store(0, Relaxed);
    }
}

impl Seconds {
    pub fn rate(&self, now: Millis) -> u32 {
        let second = second_of(now);
        let left = 1000 - now.0 % 1000;
        let share = |count: u32| (count as u64 * left / 1000) as u32;
        if self.current.0 == second {
            let before = if self.previous.0 + 1 == second { share(self.previous.1) } else { 0 };
            self.current.1.saturating_add(before)
        } else if self.current.0 + 1 == second {
            share(self.current.1)
        } else {
            0
        }
    }
}

/// The rate of several writers together, and the most events that any of the seconds still known saw.
pub fn merge(writers: impl Iterator<Item = Seconds>, now: Millis) -> (u32, u32) {
    // The newest two seconds are enough: what is older was seen by the writer that began the second after it.
    let mut counts: [(u32, u32); 4] = [(0, 0); 4];
    let mut rate = 0u32;
    for seconds in writers {
        rate = rate.saturating_add(seconds.rate(now));
        for (second, count) in [seconds.current, seconds.previous] {
            if count == 0 {
                continue;
            }
            let slot = &mut counts[(second % 4) as usize];
            match slot.0.cmp(&second) {
                std::cmp::Ordering::Equal => slot.1 = slot.1.saturating_add(count),
                std::cmp::Ordering::Less => *slot = (second, count),
                std::cmp::Ordering::Greater => {}
            }
        }
    }
    (rate, counts.iter().map(|c| c.1).max().unwrap_or(0))
}

/// Seconds from 1, so that a fresh counter's zero is a second that never was.
fn second_of(now: Millis) -> u32 {
    (now.0 / 1000 + 1) as u32
}

fn pack(second: u32, count: u32) -> u64 {
    (second as u64) << 32 | count as u64
}

fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previous_second_fades_out() {
        let rate = Rate::default();
        for ms in 0..100 {
            rate.add(1, Millis(5000 + ms * 10));
        }
        assert_eq!(rate.read(Millis(5999)), 100);
        assert_eq!(rate.read(Millis(6000)), 100);
        assert_eq!(rate.read(Millis(6500)), 50);
        assert_eq!(rate.read(Millis(6999)), 0);
        assert_eq!(rate.read(Millis(7500)), 0);
        rate.add(4, Millis(6250));
        assert_eq!(rate.read(Millis(6250)), 79);
    }

    #[test]
    fn first_second_counts_too() {
        let rate = Rate::default();
        rate.add(3, Millis(0));
        assert_eq!(rate.read(Millis(10)), 3);
    }

    #[test]
    fn maximum_adds_up_the_same_second_only() {
        let (a, b) = (Rate::default(), Rate::default());
        a.add(5, Millis(1000));
        b.add(7, Millis(1900));
        b.add(2, Millis(2100));
        let (rate, most) = merge([a.seconds(), b.seconds()].into_iter(), Millis(2100));
        assert_eq!(most, 12);
        assert_eq!(rate, 2 + 4 + 6);
    }

    #[cfg(loom)]
    #[test]
    fn under_loom_a_reader_counts_no_event_twice_and_forgets_no_second() {
        loom::model(|| {
            let rate = loom::sync::Arc::new(Rate::default());
            rate.add(5, Millis(0));
            let writer = {
                let rate = rate.clone();
                loom::thread::spawn(move || {
                    rate.add(3, Millis(1000));
                    rate.add(2, Millis(2000));
                })
            };
            let seen = rate.seconds();
            let (of_one, most) = merge([seen].into_iter(), Millis(0));
            assert!(most <= 5 && of_one <= 5, "{seen:?}");
            // The second before the current one is known, unless the writer has gone on meanwhile.
            assert!(matches!(seen.previous.0, 0) || seen.previous.0 + 1 == seen.current.0, "{seen:?}");
            writer.join().unwrap();
            assert_eq!(rate.seconds(), Seconds { current: (3, 2), previous: (2, 3) });
        });
    }
}
