//! `static-rr`: as `roundrobin`, over a map that weights changed at run time do not touch.

use super::{View, map::weight_map, takes, tickets::Tickets, walk::Leg};
use crate::{
    base::clock::Now,
    model::{plan::ServerIndex, state::live::BackendLive},
};

#[derive(Debug, Default)]
pub struct StaticRr {
    map: Vec<u32>,
    leg: Leg,
    first: usize,
    tickets: Tickets,
}

impl StaticRr {
    pub fn refresh(&mut self, view: &View, live: &BackendLive) {
        self.map = weight_map(view);
        self.leg = live.position.leg();
        self.first = self.leg.first(self.map.len(), &[]);
    }

    pub fn pick(
        &mut self,
        view: &View,
        excluding: Option<ServerIndex>,
        live: &BackendLive,
        now: Now,
    ) -> Option<ServerIndex> {
        self.tickets.note_turn(now);
        let len = self.map.len();
        for _ in 0..len {
            let step = self.leg.step(&mut self.tickets, &live.position.ticket);
            let server = self.map[(self.first + step) % len] as ServerIndex;
            if takes(view, live, server, excluding) {
                return Some(server);
            }
        }
        // Other workers may have had the turns of those who can.
        view.any(self.tickets.last() as usize, excluding, live)
    }
}
