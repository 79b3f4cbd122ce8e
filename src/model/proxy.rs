//! A proxy: what `frontend`, `backend` and `listen` sections have in common (manual 4). A `listen` is one proxy with both
//! capabilities. A `defaults` section is the same type, used as a template.

use super::{
    backend::Backend, compression::Compression, frontend::Frontend, logging::LogTarget, rules::Rules,
    stats::StatsPage,
};
use crate::base::origin::Origin;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Debug, Clone)]
pub struct Proxy {
    pub name: String,
    /// HAProxy's proxy id (`id` keyword, or assigned in order from 2 since 1 is the runtime API's own proxy).
    pub id: u32,
    pub origin: Origin,
    pub has_frontend: bool,
    pub has_backend: bool,
    pub mode: Mode,
    /// `disabled`: loaded, checked, never started.
    pub disabled: bool,
    pub description: Option<String>,
    pub timeouts: Timeouts,
    pub options: Options,
    pub log: Logging,
    /// Replies from `errorfile` by status: the bytes of the file, a whole HTTP/1 message.
    pub errorfiles: BTreeMap<u16, Arc<[u8]>>,
    /// `errorloc`, `errorloc302`, `errorloc303` by status: the status and location of the redirect sent instead.
    pub errorlocs: BTreeMap<u16, (u16, String)>,
    /// Rules and formats, compiled last: a template of defaults has none.
    pub rules: Arc<Rules>,
    pub stats: Option<StatsPage>,
    pub compression: Option<Compression>,
    pub guid: Option<String>,
    /// `id` was written (`bk_f_forced_id`).
    pub id_forced: bool,
    pub frontend: Frontend,
    pub backend: Backend,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    #[default]
    Tcp,
    Http,
    Log,
    Spop,
}

/// Timeouts in milliseconds; `None` is infinite (manual 4.2 "timeout ...").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    pub client: Option<u64>,
    pub client_fin: Option<u64>,
    pub client_hs: Option<u64>,
    pub connect: Option<u64>,
    pub server: Option<u64>,
    pub server_fin: Option<u64>,
    pub http_request: Option<u64>,
    pub http_keep_alive: Option<u64>,
    pub queue: Option<u64>,
    pub check: Option<u64>,
    pub tunnel: Option<u64>,
    pub tarpit: Option<u64>,
}

/// `option` switches. Names are the keywords with underscores; true is "option X", false "no option X".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub connection_mode: ConnectionMode,
    pub http_pretend_keepalive: bool,
    pub forwardfor: Option<ForwardFor>,
    pub originalto: Option<ForwardFor>,
    pub dontlognull: bool,
    pub dontlog_normal: bool,
    pub logasap: bool,
    pub log_separate_errors: bool,
    pub log_health_checks: bool,
    pub abortonclose: Option<bool>,
    pub allbackups: bool,
    pub checkcache: bool,
    pub clitcpka: bool,
    pub srvtcpka: bool,
    pub contstats: bool,
    pub http_ignore_probes: bool,
    pub http_use_proxy_header: bool,
    pub http_buffer_request: bool,
    pub idle_close_on_response: bool,
    pub independent_streams: bool,
    pub nolinger: bool,
    pub persist: bool,
    pub prefer_last_server: bool,
    pub redispatch: Option<i32>,
    pub socket_stats: bool,
    pub splice_auto: bool,
    pub splice_request: bool,
    pub splice_response: bool,
    pub tcp_smart_accept: Option<bool>,
    pub tcp_smart_connect: Option<bool>,
    pub transparent: bool,
    pub accept_unsafe_violations_in_http_request: bool,
    pub accept_unsafe_violations_in_http_response: bool,
    pub h1_case_adjust_bogus_client: bool,
    pub h1_case_adjust_bogus_server: bool,
    pub disable_h2_upgrade: bool,
    pub http_drop_request_trailers: bool,
    pub http_drop_response_trailers: bool,
    pub http_restrict_req_hdr_names: RestrictNames,
    pub forwarded: Option<Forwarded>,
}

/// `option http-restrict-req-hdr-names`: what is done with field names that hold other than `[a-zA-Z0-9-]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestrictNames {
    #[default]
    Preserve,
    Delete,
    Reject,
}

/// `option forwarded` (RFC 7239): the parameters that are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forwarded {
    pub proto: bool,
    /// In the order of [`ForwardedPart`].
    pub parts: [Option<ForwardedValue>; 5],
}

/// What `option forwarded` can say beside `proto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedPart {
    Host,
    By,
    ByPort,
    For,
    ForPort,
}

/// Where a parameter comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardedValue {
    /// The request and the client's connection.
    Own,
    /// An expression, as written; compiled it is in `Rules::forwarded`.
    Expr(String),
}

/// How connections are used over requests; the last `option` of the family wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConnectionMode {
    #[default]
    KeepAlive,
    ServerClose,
    Close,
}

/// `option forwardfor` / `option originalto`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardFor {
    /// Field name in lower case.
    pub header: String,
    /// Sources (or destinations) for which nothing is added: address and prefix length.
    pub except: Option<(std::net::IpAddr, u8)>,
    pub if_none: bool,
}

/// What a proxy logs, and where.
#[derive(Debug, Clone, Default)]
pub struct Logging {
    /// Targets of this proxy, with those of `log global` in place.
    pub targets: Vec<LogTarget>,
    pub format: LogLineFormat,
    pub tag: Option<String>,
    /// `log-format-sd`: structured data of RFC 5424 lines, as written.
    pub structured_data: Option<String>,
    /// `error-log-format`, as written.
    pub error_format: Option<String>,
    /// `log-steps`; empty: the default (at the end).
    pub steps: Vec<String>,
}

/// Which line is written for a session or request.
#[derive(Debug, Clone, Default)]
pub enum LogLineFormat {
    /// No format: `Connect from A:P to B:P (name/MODE)` (manual 8.2.1).
    #[default]
    Default,
    Tcp,
    TcpClf,
    Http,
    HttpClf,
    Https,
    /// `log-format`, as written; compiled by `config`.
    Custom(String),
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connection_mode: ConnectionMode::KeepAlive,
            http_pretend_keepalive: false,
            forwardfor: None,
            originalto: None,
            dontlognull: false,
            dontlog_normal: false,
            logasap: false,
            log_separate_errors: false,
            log_health_checks: false,
            abortonclose: None,
            allbackups: false,
            checkcache: false,
            clitcpka: false,
            srvtcpka: false,
            contstats: false,
            http_ignore_probes: false,
            http_use_proxy_header: false,
            http_buffer_request: false,
            idle_close_on_response: false,
            independent_streams: false,
            nolinger: false,
            persist: false,
            prefer_last_server: false,
            redispatch: None,
            socket_stats: false,
            splice_auto: false,
            splice_request: false,
            splice_response: false,
            tcp_smart_accept: None,
            tcp_smart_connect: None,
            transparent: false,
            accept_unsafe_violations_in_http_request: false,
            accept_unsafe_violations_in_http_response: false,
            h1_case_adjust_bogus_client: false,
            h1_case_adjust_bogus_server: false,
            disable_h2_upgrade: false,
            http_drop_request_trailers: false,
            http_drop_response_trailers: false,
            http_restrict_req_hdr_names: RestrictNames::default(),
            forwarded: None,
        }
    }
}

impl Proxy {
    /// A proxy with HAProxy's defaults.
    pub fn new(name: &str, origin: Origin, has_frontend: bool, has_backend: bool) -> Self {
        Proxy {
            name: name.to_owned(),
            id: 0,
            origin,
            has_frontend,
            has_backend,
            mode: Mode::default(),
            disabled: false,
            description: None,
            timeouts: Timeouts::default(),
            options: Options::default(),
            log: Logging::default(),
            errorfiles: BTreeMap::new(),
            rules: Arc::default(),
            errorlocs: BTreeMap::new(),
            stats: None,
            compression: None,
            guid: None,
            id_forced: false,
            frontend: Frontend::default(),
            backend: Backend::default(),
        }
    }

    /// What HAProxy's messages call this proxy.
    pub fn kind(&self) -> &'static str {
        match (self.has_frontend, self.has_backend) {
            (true, true) => "proxy",
            (true, false) => "frontend",
            (false, true) => "backend",
            (false, false) => "defaults",
        }
    }
}
