//! `random(draws)`: of so many servers drawn by weight, the least loaded one.

use super::{View, is_below, takes};
use crate::model::{plan::ServerIndex, state::live::BackendLive};

#[derive(Debug)]
pub struct Random {
    draws: u32,
    /// `hash-balance-factor`; 0: no bound.
    factor: u32,
    state: u64,
    /// Servers and running sums of their weights.
    sums: Vec<(u64, u32)>,
}

impl Random {
    pub fn new(draws: u32, factor: u32, seed: u64) -> Random {
        Random { draws: draws.max(1), factor, state: seed | 1, sums: Vec::new() }
    }

    pub fn refresh(&mut self, view: &View) {
        let mut sum = 0u64;
        self.sums.clear();
        self.sums.extend(view.candidates.iter().map(|c| {
            sum += c.weight as u64;
            (sum, c.index as u32)
        }));
    }

    pub fn pick(&mut self, view: &View, excluding: Option<ServerIndex>, live: &BackendLive) -> Option<ServerIndex> {
        let total = self.sums.last()?.0;
        let mut best: Option<(u64, ServerIndex)> = None;
        for _ in 0..self.draws {
            let point = self.next() % total;
            let place = self.sums.partition_point(|(sum, _)| *sum <= point);
            let (Some((_, index)), Some(candidate)) = (self.sums.get(place), view.candidates.get(place)) else {
                continue;
            };
            let index = *index as ServerIndex;
            let Some(server) = live.server(index) else { continue };
            if !takes(live, index, excluding) || self.factor > 0 && !is_below(self.factor, index, view, live) {
                continue;
            }
            // Load per weight, in fixed point.
            let load = ((server.served() as u64 + 1) << 20) / candidate.weight as u64;
            if best.is_none_or(|(least, _)| load < least) {
                best = Some((load, index));
            }
        }
        best.map(|(_, index)| index).or_else(|| self.any(view, excluding, live))
    }

    /// All draws hit servers that are full or excluded: the first that can, from a random place.
    fn any(&mut self, view: &View, excluding: Option<ServerIndex>, live: &BackendLive) -> Option<ServerIndex> {
        let len = view.candidates.len();
        let start = self.next() as usize % len.max(1);
        let from = |excluding| {
            (0..len).map(|i| view.candidates[(start + i) % len].index).find(|i| takes(live, *i, excluding))
        };
        from(excluding).or_else(|| from(None))
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }
}
