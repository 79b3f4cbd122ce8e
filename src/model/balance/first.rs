//! `first`: the server of lowest id that has a slot left.

use super::{View, takes};
use crate::model::{plan::ServerIndex, state::live::BackendLive};

/// The candidates stand in the order of their ids.
pub fn pick(view: &View, excluding: Option<ServerIndex>, live: &BackendLive) -> Option<ServerIndex> {
    let lowest =
        |excluding| view.candidates.iter().map(|c| c.index).find(|index| takes(view, live, *index, excluding));
    lowest(excluding).or_else(|| lowest(None))
}
