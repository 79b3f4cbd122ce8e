//! The frontend half of a proxy: listeners and where requests go.

use super::{bind::Bind, plan::ProxyIndex};
use crate::base::origin::Origin;

#[derive(Debug, Clone, Default)]
pub struct Frontend {
    pub binds: Vec<Bind>,
    /// `maxconn` of the frontend; `None`: the global one.
    pub maxconn: Option<u32>,
    pub backlog: Option<u32>,
    pub default_backend_name: Option<String>,
    /// Where the name was written.
    pub default_backend_origin: Option<Origin>,
    /// Resolved from `default_backend_name`; a `listen` without one uses itself.
    pub default_backend: Option<ProxyIndex>,
    pub monitor_uri: Option<String>,
    /// `rate-limit sessions`: new sessions a second at most.
    pub rate_limit_sessions: Option<u32>,
    pub captures: Captures,
    pub clitcpka_cnt: Option<u32>,
    pub clitcpka_idle_s: Option<u32>,
    pub clitcpka_intvl_s: Option<u32>,
    /// `unique-id-format`, as written; compiled by `config`.
    pub unique_id_format: Option<String>,
    pub unique_id_header: Option<String>,
}

/// `capture` and `declare capture` lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captures {
    /// `capture cookie <name> len <n>`.
    pub cookie: Option<(String, usize)>,
    pub request: Vec<CaptureSlot>,
    pub response: Vec<CaptureSlot>,
}

/// One captured field, or a slot declared for `capture` rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureSlot {
    /// The field's name; `None`: `declare capture`.
    pub name: Option<String>,
    pub length_max: usize,
}
