//! What the workers of the process share of a backend's order: where they stand, and how it goes on when a server has
//! changed. Each algorithm has its own; changes are followed one by one, since what came first counts.

use super::{
    leastconn::Arrivals,
    roundrobin::Order,
    walk::{Leg, Walk},
};
use crate::model::{
    backend::{Backend, Balance},
    state::live::BackendLive,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Debug, Default)]
pub struct Position {
    /// Tickets given out.
    pub ticket: AtomicU64,
    pub(super) order: Option<Order>,
    walk: Option<Walk>,
    arrivals: Option<Arrivals>,
}

impl Position {
    pub fn new(backend: &Backend, allbackups: bool) -> Position {
        Position {
            ticket: AtomicU64::new(0),
            order: (backend.balance == Balance::Roundrobin).then(|| Order::new(allbackups)),
            walk: Walk::new(backend, allbackups),
            arrivals: (backend.balance == Balance::Leastconn).then(Arrivals::default),
        }
    }

    /// Where the walk goes on.
    pub fn leg(&self) -> Leg {
        self.walk.as_ref().map_or_else(Leg::default, Walk::leg)
    }

    /// The servers are as the process starts with them.
    pub fn begin(&self, live: &BackendLive) {
        let ticket = self.ticket.load(Relaxed);
        if let Some(order) = &self.order {
            order.begin(live, ticket);
        }
        if let Some(walk) = &self.walk {
            walk.begin(live, ticket);
        }
        if let Some(arrivals) = &self.arrivals {
            arrivals.begin(live);
        }
    }

    /// A server may have changed. To be called after each change, before workers see it.
    pub fn follow(&self, live: &BackendLive) {
        if let Some(order) = &self.order {
            order.follow(live, &self.ticket);
        }
        if let Some(walk) = &self.walk {
            walk.follow(live, &self.ticket);
        }
        if let Some(arrivals) = &self.arrivals {
            arrivals.follow(live);
        }
    }
}
