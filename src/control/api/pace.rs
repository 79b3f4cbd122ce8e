//! How much of what all workers are asked for is answered in a while. Tools that ask for statistics without a pause would
//! take a core from the traffic, and with a thousand servers they do: answers come at once while there are few, and then
//! no faster than they may go on for ever.

use super::super::supervise::Control;
use crate::base::clock::Millis;
use crate::engine::task::until;
use std::cell::Cell;

/// Bytes a millisecond that may go on for ever: less than a hundredth of a core.
const RATE: u64 = 400;
/// What is answered at once after a rest, in milliseconds at that rate: three answers about a thousand servers.
const BURST_MS: u64 = (1 << 20) / RATE;
/// Nobody waits longer for a turn, in milliseconds.
const LONGEST_MS: u64 = 1000;

/// When what has been answered is paid for, at [`RATE`].
#[derive(Debug, Default)]
pub struct Pace(Cell<Millis>);

impl Pace {
    /// `bytes` have been answered.
    pub fn charge(&self, now: Millis, bytes: usize) {
        let from = Millis(self.0.get().0.max(now.0));
        self.0.set(from.plus((bytes as u64 / RATE).min(LONGEST_MS)));
    }

    /// When the next answer may be made.
    fn ready(&self, now: Millis) -> Millis {
        Millis(self.0.get().0.saturating_sub(BURST_MS).max(now.0))
    }
}

/// Waits until it is this one's turn.
pub async fn wait(control: &Control) {
    let (rt, pace) = (&control.rt, &control.desk.pace);
    let asked = rt.now().mono;
    loop {
        let now = rt.now().mono;
        let ready = pace.ready(now).0.min(asked.plus(LONGEST_MS).0);
        if ready <= now.0 {
            return;
        }
        until(rt, Millis(ready)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Millis = Millis(1 << 40);

    #[test]
    fn small_answers_never_wait() {
        let pace = Pace::default();
        for ms in 0..100_000 {
            let now = START.plus(ms);
            assert_eq!(pace.ready(now), now);
            pace.charge(now, RATE as usize);
        }
    }

    #[test]
    fn large_ones_wait_after_a_burst_and_then_go_at_the_rate() {
        let (pace, mut now, mut waited) = (Pace::default(), START, 0);
        for _ in 0..100 {
            let ready = pace.ready(now);
            waited += ready.since(now);
            now = ready;
            pace.charge(now, 320_000);
        }
        let (whole, burst) = (100 * 320_000 / RATE, BURST_MS);
        assert!(waited.abs_diff(whole - burst) <= 2 * 320_000 / RATE, "{waited} ms");
    }

    #[test]
    fn the_largest_costs_those_behind_it_a_second() {
        let pace = Pace::default();
        for _ in 0..20 {
            let now = pace.ready(START);
            pace.charge(now, 100 << 20);
            assert!(pace.ready(now).since(now) <= LONGEST_MS);
        }
    }
}
