//! The compiled rules of a proxy (manual 4.2, 4.3): one set a phase, the lines that choose a backend or server, and the
//! formats and expressions that belong to the proxy. Made by `config` with `language`, run by the data plane,
//! never cloned: what a `defaults` section holds is compiled anew for each proxy that uses it.

use super::plan::{ProxyIndex, ServerIndex};
use crate::language::{
    acl::Condition,
    logformat::LogFormat,
    rules::{
        RuleSet,
        switching::{Gate, Redirects, Switching},
    },
    sample::Expr,
};
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Rules {
    pub tcp_request_connection: RuleSet,
    pub tcp_request_session: RuleSet,
    pub tcp_request_content: RuleSet,
    pub tcp_response_content: RuleSet,
    /// `tcp-request inspect-delay`: how long a content rule may wait for bytes.
    pub inspect_delay_ms: Option<u64>,
    /// `tcp-response inspect-delay`.
    pub response_inspect_delay_ms: Option<u64>,
    pub http_request: RuleSet,
    pub http_response: RuleSet,
    pub http_after_response: RuleSet,
    /// `redirect` lines; they run after all `http-request` rules.
    pub redirects: Redirects,
    pub use_backend: Switching,
    pub use_server: Switching,
    /// The backend that each rule of `use_backend` names, in their order; `None` where a format makes the name.
    pub use_backend_targets: Vec<Option<ProxyIndex>>,
    /// The same for `use_server`.
    pub use_server_targets: Vec<Option<ServerIndex>>,
    /// `monitor fail`.
    pub monitor_fail: Gate,
    pub force_persist: Gate,
    pub ignore_persist: Gate,
    /// `stats admin`.
    pub stats_admin: Gate,
    /// `stats http-request`.
    pub stats_http_request: RuleSet,
    /// The line that is logged: `log-format`, or what `option httplog` and its kin stand for. `None`: HAProxy's default line.
    pub log_format: Option<Arc<LogFormat>>,
    /// `log-format-sd`.
    pub structured_data: Option<Arc<LogFormat>>,
    /// `error-log-format`.
    pub error_log_format: Option<Arc<LogFormat>>,
    /// `unique-id-format`.
    pub unique_id: Option<LogFormat>,
    /// The expressions of `stick` lines, in the order of `backend.stick_rules`.
    pub stick: Vec<(Expr, Option<Condition>)>,
    /// The expression of `balance hash`.
    pub balance_hash: Option<Expr>,
    /// The expressions of `option forwarded`, in the order of its parts; empty without that option.
    pub forwarded: Vec<Option<Expr>>,
}
