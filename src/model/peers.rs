//! `peers` sections (manual 10.1 of 3.4: "peers"): who shares stick tables with whom.

use super::{bind::Bind, logging::LogTarget, server::Server, stick_table::StickTable};
use crate::base::origin::Origin;

#[derive(Debug, Clone)]
pub struct Peers {
    pub origin: Origin,
    pub name: String,
    pub disabled: bool,
    /// Local and remote peers in the order of the lines; the address of the local one is what is listened on.
    pub peers: Vec<Peer>,
    /// `bind` lines: where this process listens when its `server` line has no address.
    pub binds: Vec<Bind>,
    pub tables: Vec<StickTable>,
    pub shards: u32,
    pub log_targets: Vec<LogTarget>,
}

#[derive(Debug, Clone)]
pub struct Peer {
    pub origin: Origin,
    pub name: String,
    /// Its name is the local peer's name.
    pub local: bool,
    pub server: Server,
}
