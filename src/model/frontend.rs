//! The frontend half of a proxy: listeners and where requests go.

use super::{bind::Bind, plan::ProxyIndex};

#[derive(Debug, Clone, Default)]
pub struct Frontend {
    pub binds: Vec<Bind>,
    /// `maxconn` of the frontend; `None`: the global one.
    pub maxconn: Option<u32>,
    pub backlog: Option<u32>,
    pub default_backend_name: Option<String>,
    /// Resolved from `default_backend_name`; a `listen` without one uses itself.
    pub default_backend: Option<ProxyIndex>,
    pub monitor_uri: Option<String>,
    /// `rate-limit sessions`: new sessions a second at most.
    pub rate_limit_sessions: Option<u32>,
}
