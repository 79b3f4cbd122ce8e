//! The order in which servers of different weights take their turns. A server of weight `w` is due `w` times in a
//! round, evenly spaced, the first time the later the more weight stands before it; who is due first goes first, among
//! equals the heavier. For two servers of any weights and for most sets of three this is HAProxy's order; for others
//! neighbours may change places.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Turns in a round at most. Weights whose sum is greater are scaled down, which 10,000 servers of weight 256 would
/// need 2.5 million turns to avoid.
pub const ROUND_MAX: u64 = 65_536;

/// One round for these weights: positions in the list. Weights of zero never have a turn.
pub fn round(weights: &[u32]) -> Vec<u32> {
    let weights = reduced(weights);
    let total: u64 = weights.iter().sum();
    let mut places: Vec<usize> = (0..weights.len()).filter(|i| weights[*i] > 0).collect();
    places.sort_by_key(|i| (Reverse(weights[*i]), *i));
    let due = |offset: u64, turn: u64, weight: u64| (offset + turn * total).div_ceil(weight);
    let mut heap = BinaryHeap::with_capacity(places.len());
    let mut before = 0;
    for i in places {
        heap.push(Reverse((due(before, 0, weights[i]), Reverse(weights[i]), i, before, 0u64)));
        before += weights[i];
    }
    let mut order = Vec::with_capacity(total as usize);
    while let Some(Reverse((_, weight, i, offset, turn))) = heap.pop() {
        order.push(i as u32);
        if turn + 1 < weight.0 {
            heap.push(Reverse((due(offset, turn + 1, weight.0), weight, i, offset, turn + 1)));
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
