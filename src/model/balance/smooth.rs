//! The order in which servers of different weights take their turns. A server of weight `w` is due `w` times in a
//! round, evenly spaced; who is due first goes first.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Turns in a round at most. Weights whose sum is greater are scaled down, which 10,000 servers of weight 256 would
/// need 2.5 million turns to avoid.
pub const ROUND_MAX: u64 = 65_536;

/// One round for these weights: positions in the list. Weights of zero never have a turn.
pub fn round(weights: &[u32]) -> Vec<u32> {
    let weights = reduced(weights);
    let total: u64 = weights.iter().sum();
    // Due times are fractions of the round, in units that keep equal fractions equal.
    let due = |turn: u64, weight: u64| (turn as u128 * (1 << 40)) / weight as u128;
    let entries = weights.iter().enumerate().filter(|(_, w)| **w > 0);
    let mut heap: BinaryHeap<_> = entries.map(|(i, w)| Reverse((due(1, *w), i, 1u64))).collect();
    let mut order = Vec::with_capacity(total as usize);
    while let Some(Reverse((_, i, turn))) = heap.pop() {
        order.push(i as u32);
        if turn < weights[i] {
            heap.push(Reverse((due(turn + 1, weights[i]), i, turn + 1)));
        }
    }
    order
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
