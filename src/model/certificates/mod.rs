//! Certificates and keys as `crt`, `crt-list`, `ca-file` and their kin name them (manual 5.1, 12.7): loaded from files,
//! found by the name a client asks for, replaced while running. The settings are `model::tls`'s; what comes out runs
//! `proto::tls` sessions: [`bind::BindContext`] for a bind line, [`server::settings`] for a server line.

pub mod bind;
pub mod certificate;
pub mod crt_list;
pub mod names;
pub mod pem;
pub mod server;
pub mod store;

use crate::model::tls::TlsGlobal;
use crate::proto::tls::{session_cache::SessionCache, tickets::TicketKeys};
use certificate::Beside;
use std::fmt;
use std::sync::Arc;
use store::Store;

/// What all TLS of a process shares: loaded files, and what makes sessions resume on every worker.
#[derive(Clone)]
pub struct TlsState {
    pub store: Arc<Store>,
    /// For lines without `tls-ticket-keys`.
    pub tickets: Arc<TicketKeys>,
    pub sessions: Arc<SessionCache>,
}

impl TlsState {
    pub fn new(global: &TlsGlobal) -> TlsState {
        TlsState {
            store: Store::new(Beside { files: global.load_extra_files, del_ext: global.load_extra_del_ext }),
            tickets: TicketKeys::random(global.lifetime_s),
            sessions: SessionCache::new(global.cachesize, global.lifetime_s),
        }
    }
}

impl Default for TlsState {
    /// Of a process without TLS.
    fn default() -> TlsState {
        TlsState::new(&TlsGlobal { cachesize: 0, ..TlsGlobal::default() })
    }
}

impl fmt::Debug for TlsState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsState")
    }
}
