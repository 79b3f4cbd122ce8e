//! The backend half of a proxy: servers, and how one is chosen, reached and retried.

use super::server::Server;

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
    Uri { whole: bool, len: Option<u32>, depth: Option<u32>, path_only: bool },
    UrlParam { name: String, check_post: Option<u32> },
    Hdr { name: String, use_domain_only: bool },
    /// The expression's text; compiled by `config`.
    Hash(String),
    RdpCookie(String),
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
    Wt6,
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
        }
    }
}
