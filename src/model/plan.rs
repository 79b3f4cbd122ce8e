//! The whole configuration, resolved: what the control plane publishes and every worker reads. Frozen once made; what
//! changes while running lives in `model::state` and reaches workers as small changes.

use crate::language::pattern::Registry;
use std::sync::Arc;

use super::{
    certificates::store::Store,
    credentials::{Credentials, Shared},
    global::Global,
    http_errors::HttpErrors,
    peers::Peers,
    proxy::Proxy,
    resolvers::Resolvers,
    ring::Ring,
    userlist::Userlist,
};

/// Index of a proxy in [`Plan::proxies`].
pub type ProxyIndex = usize;
/// Index of a server in its backend's `servers`.
pub type ServerIndex = usize;

#[derive(Debug, Default)]
pub struct Plan {
    pub global: Global,
    /// All proxies in the order of the files.
    pub proxies: Vec<Proxy>,
    pub userlists: Vec<Userlist>,
    pub peers: Vec<Peers>,
    pub resolvers: Vec<Resolvers>,
    pub http_errors: Vec<HttpErrors>,
    /// Sections, and what is there without one.
    pub rings: Vec<Ring>,
    /// Patterns and maps by file or id, which the runtime API edits.
    pub patterns: Arc<Registry>,
    /// `None` where nothing uses TLS.
    pub credentials: Option<Credentials>,
    /// Certificates and trust files by name.
    pub certificates: Shared<Store>,
}

impl Plan {
    /// The proxy with this name and the frontend capability.
    pub fn frontend(&self, name: &str) -> Option<ProxyIndex> {
        self.proxies.iter().position(|p| p.has_frontend && p.name == name)
    }

    /// The proxy with this name and the backend capability.
    pub fn backend(&self, name: &str) -> Option<ProxyIndex> {
        self.proxies.iter().position(|p| p.has_backend && p.name == name)
    }
}
