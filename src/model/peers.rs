//! `peers` sections (manual 11.2 of 3.4: "peers"): who shares stick tables with whom.

use super::{bind::Bind, logging::LogTarget, server::Server, stick_table::StickTable};
use crate::base::{address::Address, origin::Origin};

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

impl Peers {
    /// Where this process listens: at the address of the local peer's line, else of the first `bind` line.
    pub fn local_address(&self) -> Option<Address> {
        let of_line = self.peers.iter().find(|p| p.local).and_then(|p| p.server.address.clone());
        of_line.or_else(|| self.binds.iter().find_map(|b| b.addresses.first().cloned()))
    }

    /// Addresses to listen at, with the settings of their lines.
    pub fn listeners(&self) -> Vec<(Address, Bind)> {
        let of_line = self.peers.iter().find(|p| p.local).and_then(|p| Some((p, p.server.address.clone()?)));
        let of_line = of_line.map(|(p, address)| {
            let mut bind = Bind::new(p.origin.clone(), &address.to_string());
            bind.mptcp.extend(p.server.mptcp.then(|| address.clone()));
            (address, bind)
        });
        let binds = self.binds.iter().flat_map(|b| b.addresses.iter().map(|a| (a.clone(), b.clone())));
        of_line.into_iter().chain(binds).collect()
    }
}

#[derive(Debug, Clone)]
pub struct Peer {
    pub origin: Origin,
    pub name: String,
    /// Its name is the local peer's name.
    pub local: bool,
    pub server: Server,
}
