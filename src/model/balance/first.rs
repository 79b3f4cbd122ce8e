//! `first`: the server of lowest id that has a slot left.

use super::{View, takes};
use crate::model::{plan::ServerIndex, state::live::BackendLive};

pub fn pick(view: &View, excluding: Option<ServerIndex>, live: &BackendLive) -> Option<ServerIndex> {
    let lowest = |excluding| {
        let able = view.candidates.iter().filter(|c| takes(live, c.index, excluding));
        able.min_by_key(|c| c.id).map(|c| c.index)
    };
    lowest(excluding).or_else(|| lowest(None))
}
