//! `leastconn`: the server with the fewest streams for its weight; among equals the one that changed longest ago, so
//! that idle servers go round. Loads are the process's (`ServerLive::served`). Up to [`EXACT`] servers are all looked at;
//! beyond, a worker keeps its own heap of last known loads, trusts an entry only after reading it again, and refreshes
//! a few others with each choice, so that what other workers gave back is seen within some choices.

use super::{View, present_weight, takes};
use crate::model::{plan::ServerIndex, state::live::BackendLive};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Servers up to which every choice reads all loads: about 100 ns.
const EXACT: usize = 64;
/// Entries refreshed with each choice in a larger backend.
const REFRESHED: usize = 8;

/// Load per weight, moment of the last change, place among the candidates.
type Standing = (u64, u64, u32);

#[derive(Debug, Default)]
pub struct Leastconn {
    /// Last known standings; an entry that is not `known` any more is dropped when met.
    heap: BinaryHeap<Reverse<Standing>>,
    known: Vec<Standing>,
    cursor: usize,
    /// Entries popped during one choice, kept for its memory.
    passed: Vec<Reverse<Standing>>,
}

impl Leastconn {
    pub fn refresh(&mut self, view: &View) {
        self.heap.clear();
        self.known.clear();
        if view.candidates.len() > EXACT {
            self.known.extend((0..view.candidates.len()).map(|place| (0, 0, place as u32)));
            self.heap.extend(self.known.iter().map(|s| Reverse(*s)));
        }
    }

    pub fn pick(&mut self, view: &View, excluding: Option<ServerIndex>, live: &BackendLive) -> Option<ServerIndex> {
        let found = match view.candidates.len() > EXACT {
            true => self.top_of_heap(view, excluding, live),
            false => least(view, excluding, live),
        };
        found.or_else(|| {
            excluding.filter(|i| view.candidates.iter().any(|c| c.index == *i) && takes(view, live, *i, None))
        })
    }

    fn top_of_heap(
        &mut self,
        view: &View,
        excluding: Option<ServerIndex>,
        live: &BackendLive,
    ) -> Option<ServerIndex> {
        for _ in 0..REFRESHED {
            self.cursor = (self.cursor + 1) % view.candidates.len();
            self.look_again(self.cursor as u32, view, live);
        }
        // Stale entries are bounded: each refresh leaves at most one behind.
        if self.heap.len() > 4 * view.candidates.len() {
            self.heap = self.known.iter().map(|s| Reverse(*s)).collect();
        }
        let mut found = None;
        while let Some(Reverse(standing)) = self.heap.pop() {
            let place = standing.2;
            if self.known[place as usize] != standing {
                continue;
            }
            if self.look_again(place, view, live) {
                continue;
            }
            let index = view.candidates[place as usize].index;
            self.passed.push(Reverse(standing));
            if takes(view, live, index, excluding) {
                found = Some(index);
                break;
            }
        }
        self.heap.extend(self.passed.drain(..));
        found
    }

    /// Reads a standing anew; true when it had changed (and was pushed).
    fn look_again(&mut self, place: u32, view: &View, live: &BackendLive) -> bool {
        let Some(standing) = standing(place, view, live) else { return false };
        if self.known[place as usize] == standing {
            return false;
        }
        self.known[place as usize] = standing;
        self.heap.push(Reverse(standing));
        true
    }
}

/// What servers weighed when last looked at: one that comes, or has another weight, stands behind its equals (observed of
/// HAProxy 2.6; in 3.4 chance decides among equals).
#[derive(Debug, Default)]
pub struct Arrivals(Mutex<Vec<u32>>);

impl Arrivals {
    pub fn begin(&self, live: &BackendLive) {
        let mut known = self.known();
        known.clear();
        known.extend((0..live.len()).map(|index| weight(live, index)));
    }

    /// A server may have changed.
    pub fn follow(&self, live: &BackendLive) {
        let mut known = self.known();
        known.resize(live.len(), 0);
        for (index, known) in known.iter_mut().enumerate() {
            let weight = weight(live, index);
            if weight != *known
                && weight > 0
                && let Some(server) = live.server(index)
            {
                let latest = live.servers().map(|(_, s)| s.stamp()).max();
                server.set_stamp(latest.unwrap_or(0) + 1);
            }
            *known = weight;
        }
    }

    fn known(&self) -> MutexGuard<'_, Vec<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(live: &BackendLive, index: ServerIndex) -> u32 {
    live.server(index).map_or(0, present_weight)
}

fn least(view: &View, excluding: Option<ServerIndex>, live: &BackendLive) -> Option<ServerIndex> {
    let able = (0..view.candidates.len() as u32)
        .filter(|p| takes(view, live, view.candidates[*p as usize].index, excluding));
    let least = able.filter_map(|place| standing(place, view, live)).min()?;
    Some(view.candidates[least.2 as usize].index)
}

/// Idle servers come first, whatever their weights. Of the others counts what one stream more would make of their load, in
/// whole 256ths of a stream for each unit of weight: so observed of HAProxy 2.6; 3.4 is less strict among near equals.
fn standing(place: u32, view: &View, live: &BackendLive) -> Option<Standing> {
    let candidate = view.candidates.get(place as usize)?;
    let server = live.server(candidate.index)?;
    let load = match u64::from(server.served()) {
        0 => 0,
        served => (served + 1) * 16 * 256 / u64::from(candidate.weight.max(1)),
    };
    Some((load, server.stamp(), place))
}
