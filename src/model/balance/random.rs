//! `random(draws)`: of so many servers drawn by weight, the one with the fewest streams for its weight; of equals the one
//! with the fewest new streams in the last second, as this worker knows them, so that idle servers are chosen as evenly as
//! by `roundrobin`. HAProxy draws on the ring of `hash-type consistent`, where a server of weight 1 may get a third more or
//! less than its share; that shows with `random(1)` alone. Here the draw itself is exact.

use super::{View, is_below, takes};
use crate::{
    base::clock::{Millis, Now},
    model::{plan::ServerIndex, state::live::BackendLive},
};

#[derive(Debug)]
pub struct Random {
    draws: u32,
    /// `hash-balance-factor`; 0: no bound.
    factor: u32,
    state: u64,
    /// Servers and running sums of their weights.
    sums: Vec<(u64, u32)>,
    /// By server; empty with one draw, which compares nothing.
    recent: Vec<Recent>,
}

/// How often this worker has chosen a server in the last second.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    since: Millis,
    choices: u32,
    /// In the second before.
    before: u32,
}

const WINDOW_MS: u64 = 1000;

impl Recent {
    /// Choices of the second that ends now, taking those of the second before as evenly spread; in thousandths.
    fn rate(&mut self, now: Millis) -> u64 {
        let passed = now.since(self.since);
        if passed >= WINDOW_MS {
            let before = if passed < 2 * WINDOW_MS { self.choices } else { 0 };
            let since = if passed < 2 * WINDOW_MS { self.since.plus(WINDOW_MS) } else { now };
            *self = Recent { since, choices: 0, before };
        }
        let left = WINDOW_MS - now.since(self.since);
        u64::from(self.choices) * WINDOW_MS + u64::from(self.before) * left
    }

    fn add(&mut self, now: Millis) {
        self.rate(now);
        self.choices += 1;
    }
}

impl Random {
    pub fn new(draws: u32, factor: u32, seed: u64) -> Random {
        Random { draws: draws.max(1), factor, state: seed | 1, sums: Vec::new(), recent: Vec::new() }
    }

    pub fn refresh(&mut self, view: &View) {
        let mut sum = 0u64;
        self.sums.clear();
        self.sums.extend(view.candidates.iter().map(|c| {
            sum += c.weight as u64;
            (sum, c.index as u32)
        }));
        if self.draws > 1 {
            let servers = view.candidates.iter().map(|c| c.index + 1).max().unwrap_or(0);
            self.recent.resize(servers.max(self.recent.len()), Recent::default());
        }
    }

    pub fn pick(
        &mut self,
        view: &View,
        excluding: Option<ServerIndex>,
        live: &BackendLive,
        now: Now,
    ) -> Option<ServerIndex> {
        let picked = self.draw(view, excluding, live, now.mono)?;
        if let Some(recent) = self.recent.get_mut(picked) {
            recent.add(now.mono);
        }
        Some(picked)
    }

    fn draw(
        &mut self,
        view: &View,
        excluding: Option<ServerIndex>,
        live: &BackendLive,
        now: Millis,
    ) -> Option<ServerIndex> {
        let total = self.sums.last()?.0;
        let mut best: Option<(u64, u64, ServerIndex)> = None;
        for _ in 0..self.draws {
            let point = self.next() % total;
            let place = self.sums.partition_point(|(sum, _)| *sum <= point);
            let (Some((_, index)), Some(candidate)) = (self.sums.get(place), view.candidates.get(place)) else {
                continue;
            };
            let index = *index as ServerIndex;
            let Some(server) = live.server(index) else { continue };
            if !takes(view, live, index, excluding) || self.factor > 0 && !is_below(self.factor, index, view, live) {
                continue;
            }
            // Both for each unit of weight, in fixed point.
            let weight = u64::from(candidate.weight);
            let load = (u64::from(server.served()) << 20) / weight;
            let rate = self.recent.get_mut(index).map_or(0, |recent| (recent.rate(now) << 10) / weight);
            if best.is_none_or(|(least, rarest, _)| (load, rate) < (least, rarest)) {
                best = Some((load, rate, index));
            }
        }
        // All draws may have hit servers that are full or excluded.
        best.map(|(_, _, index)| index).or_else(|| view.any(self.next() as usize, excluding, live))
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }
}
