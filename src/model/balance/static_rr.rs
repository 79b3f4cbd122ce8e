//! `static-rr`: as `roundrobin`, over a map that weights changed at run time do not touch.

use super::{View, hash::weight_map, takes};
use crate::model::{plan::ServerIndex, state::live::BackendLive};

#[derive(Debug, Default)]
pub struct StaticRr {
    map: Vec<u32>,
}

impl StaticRr {
    pub fn refresh(&mut self, view: &View) {
        self.map = weight_map(view);
    }

    pub fn pick(&self, excluding: Option<ServerIndex>, live: &BackendLive) -> Option<ServerIndex> {
        let len = self.map.len();
        if len == 0 {
            return None;
        }
        for _ in 0..len {
            let server = self.map[live.position.next_turn() as usize % len] as ServerIndex;
            if takes(live, server, excluding) {
                return Some(server);
            }
        }
        excluding.filter(|index| self.map.contains(&(*index as u32)) && takes(live, *index, None))
    }
}
