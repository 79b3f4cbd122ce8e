//! The compiled language of a proxy: its rule sets, switching rules and log formats. Compiled by `config`, run by the
//! data plane, never cloned: what a `defaults` section holds is compiled anew for each proxy that uses it.

use crate::language::logformat::LogFormat;
use crate::language::rules::RuleSet;
use crate::language::rules::switching::{Gate, Redirects, Switching};
use crate::language::sample::Expr;
use std::sync::Arc;

#[derive(Debug, Default)]
pub struct Rules {
    pub tcp_request_connection: RuleSet,
    pub tcp_request_session: RuleSet,
    pub tcp_request_content: RuleSet,
    /// `tcp-request inspect-delay` in milliseconds.
    pub inspect_delay_ms: Option<u64>,
    pub tcp_response_content: RuleSet,
    pub response_inspect_delay_ms: Option<u64>,
    pub http_request: RuleSet,
    pub http_response: RuleSet,
    pub http_after_response: RuleSet,
    /// `redirect` lines; they run after `http_request`.
    pub redirects: Redirects,
    pub use_backend: Switching,
    pub use_server: Switching,
    pub monitor_fail: Gate,
    pub force_persist: Gate,
    pub ignore_persist: Gate,
    /// The line that is logged; `None`: `Connect from …`.
    pub log_format: Option<Arc<LogFormat>>,
    pub error_log_format: Option<Arc<LogFormat>>,
    pub structured_data: Option<Arc<LogFormat>>,
    pub unique_id: Option<LogFormat>,
    /// What `balance hash` hashes.
    pub balance_hash: Option<Expr>,
}
