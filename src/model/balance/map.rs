//! The map of `static-rr` and of `hash-type map-based`: one entry for each unit of weight (manual 4.2), in HAProxy's order.

use super::{View, round::Round};

/// Entries at most. Weights whose sum is greater are scaled down, which 10,000 servers of weight 256 would need 2.5 million
/// entries to avoid.
const ENTRIES_MAX: u64 = 65_536;

/// Steps to build a map at most; a greater one (thousands of servers of different weights) is mixed by turns, which
/// takes milliseconds instead of seconds but is not HAProxy's order.
const EXACT_STEPS: u64 = 20_000_000;

/// The servers. At each place every server's score grows by its weight; the first whose score reached the sum of all
/// weights takes the place, else the first whose score is not below zero; a place costs that sum.
pub fn weight_map(view: &View) -> Vec<u32> {
    let weights = weights(view);
    let total: u64 = weights.iter().sum();
    let server = |place: usize| view.candidates[place].index as u32;
    if let [first, rest @ ..] = &weights[..]
        && rest.iter().all(|w| w == first)
    {
        return (0..*first).flat_map(|_| (0..weights.len()).map(server)).collect();
    }
    if total * weights.len() as u64 > EXACT_STEPS {
        let mut round = Round::new(weights.iter().enumerate().map(|(place, w)| (place as u32, *w as u32)));
        return (0..total).map_while(|_| round.take()).map(|place| server(place as usize)).collect();
    }
    let total = total as i64;
    let mut scores = vec![0i64; weights.len()];
    let mut map = Vec::with_capacity(total as usize);
    for _ in 0..total {
        scores.iter_mut().zip(&weights).for_each(|(score, weight)| *score += *weight as i64);
        let first = |least: i64| scores.iter().position(|score| *score >= least);
        let Some(chosen) = first(total).or_else(|| first(0)) else { break };
        scores[chosen] -= total;
        map.push(server(chosen));
    }
    map
}

/// Entries of the map.
pub fn map_len(view: &View) -> usize {
    weights(view).iter().sum::<u64>() as usize
}

/// In units of which all servers of the backend, usable or not, have whole numbers.
fn weights(view: &View) -> Vec<u64> {
    let weights = || view.candidates.iter().map(|c| u64::from(c.weight / view.unit.max(1)));
    let total: u64 = weights().sum();
    match total > ENTRIES_MAX {
        true => weights().map(|w| (w * ENTRIES_MAX / total).max(1)).collect(),
        false => weights().collect(),
    }
}

/// The greatest common divisor.
pub fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
