//! The backend half of a proxy: servers, and how one is chosen, reached and retried.

use super::{
    check::{CheckAction, CheckKind, CheckScript, ExternalCheck},
    persist::{Cookie, ServerState},
    server::{Server, Source},
    stick_table::{StickRule, StickTable},
};

#[derive(Debug, Clone)]
pub struct Backend {
    pub servers: Vec<Server>,
    pub balance: Balance,
    pub fullconn: Option<u32>,
    pub retries: u32,
    pub retry_on: RetryOn,
    pub http_reuse: HttpReuse,
    /// `max-keep-alive-queue`; `None`: unlimited.
    pub max_keep_alive_queue: Option<u32>,
    /// `hash-type`.
    pub hash: HashType,
    /// `hash-balance-factor`: percents of the average load a server may have; 0: no limit.
    pub hash_balance_factor: u32,
    pub hash_preserve_affinity: HashPreserveAffinity,
    pub cookie: Option<Cookie>,
    pub dynamic_cookie_key: Option<String>,
    /// `persist rdp-cookie(name)`.
    pub persist_rdp_cookie: Option<String>,
    pub check_kind: CheckKind,
    /// `http-check` lines.
    pub http_check: CheckScript,
    /// `tcp-check` lines.
    pub tcp_check: CheckScript,
    pub external_check: ExternalCheck,
    pub source: Option<Source>,
    pub load_server_state: ServerState,
    pub server_state_file_name: Option<String>,
    /// `http-send-name-header`: field that tells the server its own name.
    pub http_send_name_header: Option<String>,
    /// `dispatch <address>:<port>`.
    pub dispatch: Option<std::net::SocketAddr>,
    pub stick_table: Option<StickTable>,
    pub stick_rules: Vec<StickRule>,
    pub srvtcpka_cnt: Option<u32>,
    pub srvtcpka_idle_s: Option<u32>,
    pub srvtcpka_intvl_s: Option<u32>,
    pub max_session_srv_conns: Option<u32>,
    pub use_fcgi_app: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashPreserveAffinity {
    #[default]
    Always,
    Maxconn,
    Maxqueue,
}

/// `balance` (manual 4.2).
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Balance {
    Roundrobin,
    StaticRr,
    Leastconn,
    First,
    Source,
    /// `random(n)`: the best of n draws. HAProxy's default when no algorithm is named (draws 2).
    Random(u32),
    /// No `balance` line anywhere: works as `random(2)`, shown as `unknown` by `show stat`.
    #[default]
    Default,
    Uri {
        whole: bool,
        len: Option<u32>,
        depth: Option<u32>,
        path_only: bool,
    },
    UrlParam {
        name: String,
        check_post: Option<u32>,
    },
    Hdr {
        name: String,
        use_domain_only: bool,
    },
    /// The expression's text; compiled by `config`.
    Hash(String),
    RdpCookie(String),
    /// `log-hash`, `sticky`: for `mode log` and as the last server chosen.
    LogHash(String),
    Sticky,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpReuse {
    Never,
    #[default]
    Safe,
    Aggressive,
    Always,
}

/// `hash-type <method> <function> <modifier>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HashType {
    pub consistent: bool,
    pub function: HashFunction,
    pub avalanche: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashFunction {
    #[default]
    Sdbm,
    Djb2,
    Crc32,
    None,
}

/// `retry-on`: the events after which a request may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    pub conn_failure: bool,
    pub empty_response: bool,
    pub junk_response: bool,
    pub response_timeout: bool,
    pub zero_rtt_rejected: bool,
    /// Response statuses that are retried.
    pub statuses: Vec<u16>,
}

impl Default for RetryOn {
    fn default() -> Self {
        RetryOn {
            conn_failure: true,
            empty_response: false,
            junk_response: false,
            response_timeout: false,
            zero_rtt_rejected: false,
            statuses: Vec::new(),
        }
    }
}

impl Backend {
    /// Whether a rule of the script that is in force opens a TLS connection (`http-check connect ssl`).
    pub fn script_uses_tls(&self) -> bool {
        let script = match self.check_kind {
            CheckKind::Http(_) => &self.http_check,
            CheckKind::Tcp => &self.tcp_check,
            _ => return false,
        };
        script.steps.iter().any(|step| matches!(&step.action, CheckAction::Connect(connect) if connect.ssl))
    }
}

impl Default for Backend {
    fn default() -> Self {
        Backend {
            servers: Vec::new(),
            balance: Balance::Default,
            fullconn: None,
            retries: 3,
            retry_on: RetryOn::default(),
            http_reuse: HttpReuse::Safe,
            max_keep_alive_queue: None,
            hash: HashType::default(),
            hash_balance_factor: 0,
            hash_preserve_affinity: HashPreserveAffinity::default(),
            cookie: None,
            dynamic_cookie_key: None,
            persist_rdp_cookie: None,
            check_kind: CheckKind::default(),
            http_check: CheckScript::default(),
            tcp_check: CheckScript::default(),
            external_check: ExternalCheck::default(),
            source: None,
            load_server_state: ServerState::default(),
            server_state_file_name: None,
            http_send_name_header: None,
            dispatch: None,
            stick_table: None,
            stick_rules: Vec::new(),
            srvtcpka_cnt: None,
            srvtcpka_idle_s: None,
            srvtcpka_intvl_s: None,
            max_session_srv_conns: None,
            use_fcgi_app: None,
        }
    }
}
