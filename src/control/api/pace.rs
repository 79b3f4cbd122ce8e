//! How fast long answers about all workers are handed out. Tools that ask for statistics without a pause would take a core
//! from the traffic, and with a thousand servers they do: answers go out at once while there are few, and then no faster
//! than they may for ever.

use crate::base::clock::Millis;
use std::cell::Cell;

/// Bytes a millisecond that may go out for ever: about a hundredth of a core.
const RATE: u64 = 400;
/// What goes out at once after a rest, in milliseconds at that rate: three answers about a thousand servers.
const BURST_MS: u64 = (1 << 20) / RATE;
/// What a single answer costs at most, in milliseconds.
const DEAREST_MS: u64 = 1000;
/// Shorter answers are free, in bytes.
const LONG: usize = 64 << 10;

/// When the long answers so far are paid for.
#[derive(Debug, Default)]
pub struct Pace(Cell<Millis>);

impl Pace {
    /// When an answer of so many bytes, which is ready now, may go out. Each has its turn behind those before it.
    pub fn due(&self, now: Millis, bytes: usize) -> Millis {
        if bytes < LONG {
            return now;
        }
        let from = Millis(self.0.get().0.max(now.0));
        self.0.set(from.plus((bytes as u64 / RATE).min(DEAREST_MS)));
        Millis(from.0.saturating_sub(BURST_MS).max(now.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1 << 40);

    #[test]
    fn short_answers_never_wait() {
        let pace = Pace::default();
        pace.due(NOW, 100 << 20);
        assert!((0..100_000).all(|_| pace.due(NOW, LONG - 1) == NOW));
    }

    #[test]
    fn long_ones_wait_after_a_burst_and_then_go_at_the_rate() {
        let pace = Pace::default();
        let waits: Vec<u64> = (0..100).map(|_| pace.due(NOW, 320_000).since(NOW)).collect();
        assert!(waits.is_sorted());
        assert_eq!(waits.iter().filter(|ms| **ms == 0).count(), 4);
        assert_eq!(waits[99], 99 * 320_000 / RATE - BURST_MS);
    }

    #[test]
    fn nobody_waits_after_a_rest() {
        let pace = Pace::default();
        for _ in 0..100 {
            pace.due(NOW, 320_000);
        }
        let later = NOW.plus(100 * 320_000 / RATE);
        assert_eq!(pace.due(later, 320_000), later);
    }

    #[test]
    fn the_longest_costs_those_behind_it_a_second() {
        let pace = Pace::default();
        let waits: Vec<u64> = (0..10).map(|_| pace.due(NOW, 100 << 20).since(NOW)).collect();
        assert!(waits.windows(2).all(|w| w[1] - w[0] <= DEAREST_MS), "{waits:?}");
    }
}
