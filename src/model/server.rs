//! A `server` line (manual 5.2), with `default-server` applied.

use super::bind::Proto;
use crate::base::{address::Address, origin::Origin};

#[derive(Debug, Clone)]
pub struct Server {
    pub origin: Origin,
    pub name: String,
    /// HAProxy's server id in its backend, from 1.
    pub id: u32,
    /// The address as written (a host name stays here), without the port.
    pub host: String,
    /// `None` while a name is unresolved (`init-addr none`).
    pub address: Option<Address>,
    /// Port relation: `+N`/`-N` of the client's port, or the client's own when no port is written.
    pub port_map: Option<i32>,
    pub weight: u32,
    pub maxconn: u32,
    pub minconn: u32,
    pub maxqueue: u32,
    pub backup: bool,
    pub disabled: bool,
    pub cookie: Option<String>,
    pub check: Option<CheckSettings>,
    pub track: Option<String>,
    pub slowstart_ms: Option<u64>,
    pub source: Option<Source>,
    pub send_proxy: Option<SendProxy>,
    pub tfo: bool,
    pub tcp_ut_ms: Option<u64>,
    pub proto: Option<Proto>,
    /// Idle connections kept: `None` unlimited (`pool-max-conn -1`).
    pub pool_max_conn: Option<u32>,
    pub pool_low_conn: u32,
    pub pool_purge_delay_ms: u64,
    /// Requests sent over one connection at most, beyond the first: `None` unlimited.
    pub max_reuse: Option<u32>,
    pub ssl: bool,
}

/// `check` and its timing (manual 5.2).
#[derive(Debug, Clone, PartialEq)]
pub struct CheckSettings {
    pub inter_ms: u64,
    pub fastinter_ms: Option<u64>,
    pub downinter_ms: Option<u64>,
    pub rise: u32,
    pub fall: u32,
    /// `addr`; `None`: the server's.
    pub address: Option<std::net::IpAddr>,
    /// `port`; `None`: the server's.
    pub port: Option<u16>,
    pub ssl: bool,
    pub send_proxy: bool,
}

impl Default for CheckSettings {
    fn default() -> Self {
        CheckSettings {
            inter_ms: 2000,
            fastinter_ms: None,
            downinter_ms: None,
            rise: 2,
            fall: 3,
            address: None,
            port: None,
            ssl: false,
            send_proxy: false,
        }
    }
}

/// `source addr[:port] [interface name]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub address: std::net::SocketAddr,
    pub interface: Option<String>,
}

/// `send-proxy`, `send-proxy-v2` and its options.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SendProxy {
    pub v2: bool,
    pub ssl: bool,
    pub cert_cn: bool,
    pub cert_key: bool,
    pub cert_sig: bool,
    pub ssl_cipher: bool,
    pub authority: bool,
    pub crc32c: bool,
    pub unique_id: bool,
}
