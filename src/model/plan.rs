//! The whole configuration, resolved: what the control plane publishes and every worker reads. Frozen once made; what
//! changes while running lives in `model::state` and reaches workers as small changes.

use super::{global::Global, proxy::Proxy};

/// Index of a proxy in [`Plan::proxies`].
pub type ProxyIndex = usize;
/// Index of a server in its backend's `servers`.
pub type ServerIndex = usize;

#[derive(Debug, Default)]
pub struct Plan {
    pub global: Global,
    /// All proxies in the order of the files.
    pub proxies: Vec<Proxy>,
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
