//! `static-rr`: as `roundrobin`, over a map that weights changed at run time do not touch.

use super::{View, hash::weight_map, roundrobin::Roundrobin, takes};
use crate::{
    base::clock::Now,
    model::{plan::ServerIndex, state::live::BackendLive},
};

#[derive(Debug, Default)]
pub struct StaticRr {
    map: Vec<u32>,
    /// Its tickets; the map takes the place of its schedule.
    turns: Roundrobin,
}

impl StaticRr {
    pub fn refresh(&mut self, view: &View) {
        self.map = weight_map(view);
    }

    pub fn pick(&mut self, excluding: Option<ServerIndex>, live: &BackendLive, now: Now) -> Option<ServerIndex> {
        self.turns.note_turn(now);
        let len = self.map.len();
        for _ in 0..len {
            let server = self.map[self.turns.ticket(&live.position) as usize % len] as ServerIndex;
            if takes(live, server, excluding) {
                return Some(server);
            }
        }
        excluding.filter(|index| self.map.contains(&(*index as u32)) && takes(live, *index, None))
    }
}
