//! A `server` line (manual 5.2), with `default-server` applied.

use super::{bind::Proto, credentials::Shared, tls::ServerTls};
use crate::base::{address::Address, origin::Origin};
use crate::language::sample::Expr;
use crate::proto::tls::client::ClientSettings;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

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
    /// `mptcp@`: connections speak Multipath TCP.
    pub mptcp: bool,
    /// `socks4`: the proxy that connections go through.
    pub socks4: Option<SocketAddr>,
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
    /// The port as resolved from the address word; 0 when none was written or it is relative (`port_map`).
    pub port: u16,
    /// How the name is resolved at start, in order; empty: `last,libc`.
    pub init_addr: Vec<InitAddr>,
    /// `resolvers <name>`.
    pub resolvers: Option<String>,
    pub resolve_prefer: ResolvePrefer,
    pub resolve_opts: ResolveOpts,
    /// `resolve-net`: networks preferred among the answers.
    pub resolve_net: Vec<(IpAddr, u8)>,
    pub agent: Option<AgentSettings>,
    pub observe: Observe,
    pub error_limit: u32,
    pub on_error: OnError,
    /// `on-marked-down shutdown-sessions`.
    pub on_marked_down_shutdown: bool,
    /// `on-marked-up shutdown-backup-sessions`.
    pub on_marked_up_shutdown_backup: bool,
    pub init_state: InitState,
    /// `redir <prefix>`.
    pub redir: Option<String>,
    /// `non-stick`: not learned by stick tables.
    pub non_stick: bool,
    pub ws: WebSocketProto,
    pub hash_key: HashKey,
    /// `pool-conn-name <expression>`, as written.
    pub pool_conn_name: Option<String>,
    /// The expressions of `sni` (or `sni-auto`) and `pool-conn-name`, compiled once all is read.
    pub sni_expr: Option<Arc<Expr>>,
    pub pool_conn_name_expr: Option<Arc<Expr>>,
    /// `set-proxy-v2-tlv-fmt(id) <format>`, as written.
    pub proxy_v2_tlvs: Vec<(u8, String)>,
    pub guid: Option<String>,
    pub shard: u32,
    /// How a ring's events are framed on their way to it.
    pub log_proto: LogProto,
    /// `strict-maxconn`: idle connections count too.
    pub strict_maxconn: bool,
    /// `cc <algorithm>`: TCP congestion control.
    pub cc: Option<String>,
    /// `idle-ping`.
    pub idle_ping_ms: Option<u64>,
    pub tls: ServerTls,
    /// What encrypted traffic and checks run with, built once all is read.
    pub tls_traffic: Option<Shared<ClientSettings>>,
    pub tls_check: Option<Shared<ClientSettings>>,
}

/// A word of `init-addr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitAddr {
    /// From the state file.
    Last,
    Libc,
    /// Start without an address.
    None,
    Ip(IpAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResolvePrefer {
    Ipv4,
    #[default]
    Ipv6,
}

/// `resolve-opts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResolveOpts {
    pub allow_dup_ip: bool,
    pub ignore_weight: bool,
}

/// `agent-check` and its words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentSettings {
    pub port: u16,
    /// `None`: the server's address.
    pub address: Option<IpAddr>,
    /// `None`: the check's interval.
    pub inter_ms: u64,
    /// Sent once connected.
    pub send: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Observe {
    #[default]
    None,
    Layer4,
    Layer7,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    FastInter,
    #[default]
    FailCheck,
    SuddenDeath,
    MarkDown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InitState {
    #[default]
    None,
    FullyUp,
    Up,
    Down,
    FullyDown,
}

impl InitState {
    /// The server may not be used before its checks allow it.
    pub fn is_down(self) -> bool {
        matches!(self, InitState::Down | InitState::FullyDown)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WebSocketProto {
    #[default]
    Auto,
    H1,
    H2,
}

/// `log-proto` (RFC 6587): how one event is told from the next on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogProto {
    /// A line feed ends it.
    #[default]
    Legacy,
    /// Its length and a space stand before it.
    OctetCount,
}

/// `hash-key`: what places a server on the hash ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashKey {
    #[default]
    Id,
    Id32,
    Guid,
    Addr,
    AddrPort,
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
    pub address: Option<IpAddr>,
    /// `port`; `None`: the server's.
    pub port: Option<u16>,
    pub ssl: bool,
    pub send_proxy: bool,
    /// `check-via-socks4`.
    pub via_socks4: bool,
    /// `check-proto`.
    pub proto: Option<Proto>,
    /// `check-reuse-pool`.
    pub reuse_pool: bool,
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
            via_socks4: false,
            proto: None,
            reuse_pool: false,
        }
    }
}

/// `source addr[:port[-port]] [usesrc ...] [interface name]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub address: SocketAddr,
    /// The last port of a range that begins with the address's; 0: a single port.
    pub port_last: u16,
    pub usesrc: Option<UseSrc>,
    pub interface: Option<String>,
}

/// `usesrc`: the address the server sees (needs CAP_NET_ADMIN).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UseSrc {
    Address(SocketAddr),
    Client,
    ClientIp,
    /// `hdr_ip(name[,occurrence])`.
    HdrIp {
        name: String,
        occurrence: i32,
    },
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

impl Server {
    /// The host name that the line has in place of an address.
    pub fn host_name(&self) -> Option<&str> {
        let name = !self.host.is_empty() && !self.host.contains(['/', '@']) && self.host.parse::<IpAddr>().is_err();
        name.then_some(self.host.as_str())
    }

    /// The SRV label that says which servers there are: a name that begins with an underscore (manual 5.3.1).
    pub fn srv_label(&self) -> Option<&str> {
        self.host_name().filter(|name| name.starts_with('_'))
    }

    /// A server with HAProxy's defaults and no name.
    pub fn new(origin: Origin) -> Self {
        Server {
            origin,
            name: String::new(),
            id: 0,
            host: String::new(),
            address: None,
            mptcp: false,
            socks4: None,
            port_map: None,
            weight: 1,
            maxconn: 0,
            minconn: 0,
            maxqueue: 0,
            backup: false,
            disabled: false,
            cookie: None,
            check: None,
            track: None,
            slowstart_ms: None,
            source: None,
            send_proxy: None,
            tfo: false,
            tcp_ut_ms: None,
            proto: None,
            pool_max_conn: None,
            pool_low_conn: 0,
            pool_purge_delay_ms: 5000,
            max_reuse: None,
            ssl: false,
            port: 0,
            init_addr: Vec::new(),
            resolvers: None,
            resolve_prefer: ResolvePrefer::default(),
            resolve_opts: ResolveOpts::default(),
            resolve_net: Vec::new(),
            agent: None,
            observe: Observe::default(),
            error_limit: 10,
            on_error: OnError::default(),
            on_marked_down_shutdown: false,
            on_marked_up_shutdown_backup: false,
            init_state: InitState::default(),
            redir: None,
            non_stick: false,
            ws: WebSocketProto::default(),
            hash_key: HashKey::default(),
            pool_conn_name: None,
            sni_expr: None,
            pool_conn_name_expr: None,
            proxy_v2_tlvs: Vec::new(),
            guid: None,
            shard: 0,
            log_proto: LogProto::Legacy,
            strict_maxconn: false,
            cc: None,
            idle_ping_ms: None,
            tls: ServerTls { sni_auto: true, ..ServerTls::default() },
            tls_traffic: None,
            tls_check: None,
        }
    }
}
