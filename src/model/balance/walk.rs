//! Where the process stands in a walk over the map (`static-rr`, and streams without a key under `hash-type map-based`) or
//! over the ring (those under `consistent`), and where it goes on when servers have changed: as observed of HAProxy, 2.6
//! and 3.4 alike. Lives in the backend's live state; workers walk by ticket.

use super::{View, hash, is_dynamic, map, tickets::Tickets};
use crate::model::{
    backend::{Backend, Balance},
    state::live::BackendLive,
};
use arc_swap::ArcSwap;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

#[derive(Debug)]
pub struct Walk {
    way: Way,
    allbackups: bool,
    dynamic: bool,
    current: ArcSwap<Leg>,
    /// Taken when a server has changed.
    changing: Mutex<Changing>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// `stops_alone`: while only one server is left nobody walks.
    Map {
        stops_alone: bool,
    },
    Ring,
}

/// The walk between two changes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Leg {
    /// The ticket of its first step.
    pub since: u64,
    last: Last,
    stands_still: bool,
}

/// The step before the first one.
#[derive(Debug, Default, Clone, Copy)]
enum Last {
    #[default]
    None,
    /// How many places of the map lie behind.
    Place(u64),
    Point(hash::Point),
}

#[derive(Debug, Default)]
struct Changing {
    view: View,
    /// By server: the greatest weight it has had. Beyond it all its points on the ring are made anew.
    most: Vec<u32>,
}

impl Walk {
    /// `None` for algorithms that do not walk.
    pub fn new(backend: &Backend, allbackups: bool) -> Option<Walk> {
        let way = match &backend.balance {
            Balance::StaticRr => Way::Map { stops_alone: false },
            Balance::Roundrobin | Balance::Leastconn | Balance::First | Balance::Random(_) => return None,
            Balance::Default | Balance::Sticky => return None,
            _ if backend.hash.consistent => Way::Ring,
            _ => Way::Map { stops_alone: true },
        };
        let dynamic = is_dynamic(backend);
        Some(Walk { way, allbackups, dynamic, current: ArcSwap::default(), changing: Mutex::default() })
    }

    pub fn leg(&self) -> Leg {
        **self.current.load()
    }

    /// The servers are as the process starts with them.
    pub fn begin(&self, live: &BackendLive, ticket: u64) {
        let mut changing = self.changing();
        changing.view.refresh(live, self.allbackups, self.dynamic);
        changing.most.clear();
        changing.most.resize(live.len(), 0);
        for (index, server) in live.servers() {
            changing.most[index] = server.effective_weight();
        }
        self.go_on(&changing.view, Last::None, ticket);
    }

    /// A server may have changed.
    pub fn follow(&self, live: &BackendLive, tickets: &AtomicU64) {
        let mut changing = self.changing();
        let mut view = View::default();
        view.refresh(live, self.allbackups, self.dynamic);
        if view.candidates == changing.view.candidates {
            return;
        }
        let ticket = tickets.load(Relaxed);
        let mut last = self.leg().behind(ticket, &changing.view);
        changing.most.resize(live.len(), 0);
        let weights = |view: &View| {
            let mut weights = vec![0; live.len()];
            view.candidates.iter().for_each(|c| weights[c.index] = c.weight);
            weights
        };
        let both = weights(&changing.view).into_iter().zip(weights(&view));
        for (index, (before, after)) in both.enumerate() {
            if before == after {
                continue;
            }
            if let Last::Point(point) = last
                && point.1 as usize == index
            {
                let anew = after > changing.most[index];
                last = hash::surviving(point, &view, anew).map_or(Last::None, Last::Point);
            }
            changing.most[index] = changing.most[index].max(after);
        }
        self.go_on(&view, last, ticket);
        changing.view = view;
    }

    fn go_on(&self, view: &View, last: Last, since: u64) {
        let stands_still = self.way != Way::Map { stops_alone: false } && view.candidates.len() == 1;
        let last = match (self.way, last) {
            (Way::Map { .. }, Last::None) => Last::Place(0),
            (_, last) => last,
        };
        self.current.store(Arc::new(Leg { since, last, stands_still }));
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leg {
    /// A worker's next step. Tickets drawn before the leg began are void.
    pub fn step(&self, tickets: &mut Tickets, given_out: &AtomicU64) -> usize {
        loop {
            if let Some(step) = tickets.draw(given_out).checked_sub(self.since) {
                return step as usize;
            }
        }
    }

    /// The place of its first step, on a map of this length or a ring.
    pub fn first(&self, map_len: usize, ring: &[hash::Point]) -> usize {
        match self.last {
            Last::None => 0,
            Last::Place(place) if (place as usize) < map_len => place as usize,
            Last::Place(_) => 0,
            Last::Point((last, _)) => ring.partition_point(|(point, _)| *point <= last),
        }
    }

    /// The last step before this ticket, over these servers.
    fn behind(&self, ticket: u64, view: &View) -> Last {
        let steps = ticket.saturating_sub(self.since) as usize;
        if steps == 0 || self.stands_still || view.candidates.is_empty() {
            return self.last;
        }
        match self.last {
            Last::Place(_) => {
                let len = map::map_len(view);
                Last::Place(((self.first(len, &[]) + steps - 1) % len.max(1)) as u64 + 1)
            }
            _ => {
                let ring = hash::ring(view);
                let place = (self.first(0, &ring) + steps - 1) % ring.len().max(1);
                ring.get(place).map_or(self.last, |point| Last::Point(*point))
            }
        }
    }
}
