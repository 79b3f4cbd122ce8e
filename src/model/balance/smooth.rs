//! The order in which servers of different weights take their turns. After a turn a server of weight `w` is due again
//! `total / w` turns later; the earliest due goes next. Due times count in whole turns; among equals goes first the one
//! with the most left of that turn, counted in `w`-ths, then the lighter. A server that had no turn yet has
//! no due time: whenever none of the others is due, the heaviest of those begins.
//!
//! So observed of HAProxy (2.6 and 3.4 alike) over hundreds of sets of two to six weights; it holds for all of them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Turns in a round at most. Weights whose sum is greater are scaled down, which 10,000 servers of weight 256 would
/// need 2.5 million turns to avoid.
pub const ROUND_MAX: u64 = 65_536;

/// Positions in the list of weights.
#[derive(Debug, Default)]
pub struct Turns {
    /// The first round where it differs from those after it, as with weights 2, 3, 3; else empty.
    pub lead: Vec<u32>,
    pub round: Vec<u32>,
}

/// Turn, what is left of it (the greater the earlier), weight, place, due time.
type Entry = Reverse<(u64, Reverse<u64>, u64, usize, u64)>;

/// The turns for these weights. Weights of zero never have one.
pub fn turns(weights: &[u32]) -> Turns {
    let weights = reduced(weights);
    let total: u64 = weights.iter().sum();
    let mut waiting: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0).collect();
    waiting.sort_by_key(|i| (Reverse(weights[*i]), *i));
    let mut waiting = VecDeque::from(waiting);
    // Ordered as said above; the last word is the due time in `w`-ths of a turn.
    let entry = |i: usize, due: u64| {
        let weight = weights[i];
        Reverse((due / weight, Reverse(weight - due % weight), weight, i, due))
    };
    let mut heap: BinaryHeap<Entry> = BinaryHeap::with_capacity(waiting.len());
    let mut next = |now: u64| {
        let is_due = heap.peek().is_some_and(|Reverse(first)| first.0 <= now);
        let beginner = if is_due { None } else { waiting.pop_front() };
        let (i, due) = match beginner {
            Some(i) => (i, now * weights[i]),
            None => heap.pop().map(|Reverse(first)| (first.3, first.4))?,
        };
        heap.push(entry(i, due + total));
        Some(i as u32)
    };
    let lead: Vec<u32> = (0..total).map_while(&mut next).collect();
    let round: Vec<u32> = (total..2 * total).map_while(&mut next).collect();
    Turns { lead: if lead == round { Vec::new() } else { lead }, round }
}

/// The weights divided by what they have in common, and so that a round stays within [`ROUND_MAX`].
pub fn reduced(weights: &[u32]) -> Vec<u64> {
    let common = weights.iter().fold(0u64, |a, b| gcd(a, *b as u64)).max(1);
    let total: u64 = weights.iter().map(|w| *w as u64 / common).sum();
    let shrink = |w: u64| if w == 0 { 0 } else { (w * ROUND_MAX / total).max(1) };
    weights.iter().map(|w| *w as u64 / common).map(|w| if total > ROUND_MAX { shrink(w) } else { w }).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
