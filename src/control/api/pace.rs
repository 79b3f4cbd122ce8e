//! How fast long answers about all workers are handed out. Tools that ask for statistics without a pause would take a core
//! from the traffic, and with a thousand servers they do: answers go out at once while they are short, long ones piece by
//! piece no faster than traffic can bear beside them, and when there are many of them no faster than they may for ever.

use crate::base::clock::Millis;
use std::cell::Cell;

/// Bytes a millisecond that may go out for ever: about a hundredth of a core.
const RATE: u64 = 400;
/// What goes out at [`PEAK`] after a rest, in milliseconds at [`RATE`]: three answers about a thousand servers.
const BURST_MS: u64 = (1 << 20) / RATE;
/// Bytes a millisecond at most: about a tenth of a core, in pieces so small that nobody notices who waits for one.
const PEAK: u64 = 4 << 10;
/// What a single answer costs at most, in milliseconds.
const DEAREST_MS: u64 = 1000;
/// Shorter answers are free, in bytes.
const LONG: usize = 64 << 10;

#[derive(Debug, Default)]
pub struct Pace {
    /// When the long answers so far are paid for, at [`RATE`].
    paid: Cell<Millis>,
    /// When the next piece may go out, at [`PEAK`].
    free: Cell<Millis>,
}

impl Pace {
    pub fn begin(&self) -> Paced<'_> {
        Paced { pace: self, bytes: 0, paid_ms: 0 }
    }
}

/// An answer on its way out, whole or in pieces.
#[derive(Debug)]
pub struct Paced<'p> {
    pace: &'p Pace,
    /// Bytes so far.
    bytes: usize,
    /// Milliseconds at [`RATE`] that it has paid.
    paid_ms: u64,
}

impl Paced<'_> {
    /// When the next piece, of so many bytes, which is ready now, may go out. Each has its turn behind those before it,
    /// whosever they are.
    pub fn due(&mut self, now: Millis, bytes: usize) -> Millis {
        let before = self.bytes;
        self.bytes += bytes;
        if self.bytes < LONG {
            return now;
        }
        // An answer turns out to be long: what went out before is paid for with this piece.
        let owed = if before < LONG { self.bytes } else { bytes } as u64;
        let cost_ms = (owed / RATE).min(DEAREST_MS - self.paid_ms);
        self.paid_ms += cost_ms;
        let Pace { paid, free } = self.pace;
        let from = Millis(paid.get().0.max(now.0));
        paid.set(from.plus(cost_ms));
        let due = Millis(from.0.saturating_sub(BURST_MS).max(free.get().0).max(now.0));
        free.set(due.plus((owed / PEAK).min(DEAREST_MS)));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1 << 40);
    /// `show stat` about a thousand servers.
    const ANSWER: usize = 320_000;
    const SLICE: usize = 4 << 10;

    /// An answer that goes out in slices, from `now` on: when each does.
    fn sliced(pace: &Pace, mut now: Millis, bytes: usize) -> Vec<Millis> {
        let mut answer = pace.begin();
        let mut slice = || {
            now = answer.due(now, SLICE);
            now
        };
        (0..bytes / SLICE).map(|_| slice()).collect()
    }

    #[test]
    fn short_answers_never_wait() {
        let pace = Pace::default();
        pace.begin().due(NOW, 100 << 20);
        assert!((0..100_000).all(|_| pace.begin().due(NOW, LONG - 1) == NOW));
        assert!(sliced(&pace, NOW, LONG - SLICE).iter().all(|due| *due == NOW));
    }

    #[test]
    fn a_long_answer_goes_at_the_peak_after_a_rest() {
        let times = sliced(&Pace::default(), NOW, ANSWER);
        let free = LONG / SLICE;
        assert!(times[..free].iter().all(|due| *due == NOW), "nobody knows yet that it is long");
        assert_eq!(times[free].since(NOW), (LONG as u64) / PEAK, "what went out at once counts");
        assert!(times[free..].windows(2).all(|w| w[1] == w[0].plus(1)));
    }

    #[test]
    fn long_ones_go_at_the_rate_after_a_burst() {
        let pace = Pace::default();
        let mut now = NOW;
        let mut ends = Vec::new();
        for _ in 0..40 {
            now = *sliced(&pace, now, ANSWER).last().unwrap();
            ends.push(now.since(NOW));
        }
        assert!(ends[2] < 300, "the burst: {ends:?}");
        let took = ends[39] - ends[19];
        assert!((took as f64 / (20 * ANSWER as u64 / RATE) as f64 - 1.0).abs() < 0.05, "the rate: {ends:?}");
    }

    #[test]
    fn answers_at_the_same_time_have_their_turns_one_after_the_other() {
        let pace = Pace::default();
        let mut answers = [pace.begin(), pace.begin(), pace.begin()];
        answers.iter_mut().for_each(|answer| _ = answer.due(NOW, LONG));
        let dues: Vec<Millis> = (0..900).map(|n| answers[n % 3].due(NOW, SLICE)).collect();
        assert!(dues.windows(2).all(|w| w[0] < w[1]), "never two at once");
    }

    #[test]
    fn whole_answers_wait_too() {
        let pace = Pace::default();
        let waits: Vec<u64> = (0..100).map(|_| pace.begin().due(NOW, ANSWER).since(NOW)).collect();
        assert!(waits.is_sorted());
        assert_eq!(waits[0], 0);
        assert_eq!(waits[99], 99 * ANSWER as u64 / RATE - BURST_MS);
    }

    #[test]
    fn nobody_waits_after_a_rest() {
        let pace = Pace::default();
        for _ in 0..100 {
            pace.begin().due(NOW, ANSWER);
        }
        let later = NOW.plus(100 * ANSWER as u64 / RATE);
        assert_eq!(pace.begin().due(later, ANSWER), later);
    }

    #[test]
    fn the_longest_costs_those_behind_it_a_second() {
        let pace = Pace::default();
        let waits: Vec<u64> = (0..10).map(|_| pace.begin().due(NOW, 100 << 20).since(NOW)).collect();
        assert!(waits.windows(2).all(|w| w[1] - w[0] <= DEAREST_MS), "{waits:?}");
        // Nor is it itself held up for longer than that beyond what the peak asks for.
        let took = sliced(&Pace::default(), NOW, 10 << 20).last().unwrap().since(NOW);
        assert!(took <= (10 << 20) / PEAK + DEAREST_MS, "{took} ms");
    }
}
