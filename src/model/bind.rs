//! A `bind` line (manual 5.1), also of the runtime API's `stats socket`.

use super::{certificates::bind::BindContext, credentials::Shared, tls::BindTls};
use crate::base::{address::Address, origin::Origin};

#[derive(Debug, Clone)]
pub struct Bind {
    pub origin: Origin,
    /// The address as it was written, for messages.
    pub text: String,
    /// One for each address and port of the list.
    pub addresses: Vec<Address>,
    /// Those of them whose sockets speak Multipath TCP (`mptcp@`).
    pub mptcp: Vec<Address>,
    pub name: Option<String>,
    pub id: Option<u32>,
    pub accept_proxy: bool,
    /// `accept-netscaler-cip` and others are refused by name.
    pub backlog: Option<u32>,
    pub maxconn: Option<u32>,
    pub defer_accept: bool,
    pub interface: Option<String>,
    pub mss: Option<i32>,
    pub tcp_ut_ms: Option<u64>,
    pub tfo: bool,
    pub transparent: bool,
    pub v4v6: bool,
    pub v6only: bool,
    /// `proto h1|h2`; `None`: detected.
    pub proto: Option<Proto>,
    /// File mode, owner and group of a UNIX socket.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Level of the runtime API for who connects here.
    pub level: Level,
    pub expose_fd_listeners: bool,
    /// `ssl` stands on the line.
    pub ssl: bool,
    /// The TLS words of the line, whether or not `ssl` stands there.
    pub tls: BindTls,
    /// What `ssl` sessions run with, built once all is read.
    pub tls_context: Option<Shared<BindContext>>,
    /// `severity-output` of a runtime API socket.
    pub severity_output: SeverityOutput,
    /// `cc <algorithm>`: TCP congestion control.
    pub cc: Option<String>,
    /// `tcp-ss`: the kernel keeps the packet that began a connection, 1: from its IP header on, 2: from its link header on.
    pub tcp_ss: i32,
    /// `idle-ping`.
    pub idle_ping_ms: Option<u64>,
    pub guid_prefix: Option<String>,
    pub label: Option<String>,
    /// `thread` and `shards` as written: every listener is one socket per worker here, so they change nothing.
    pub thread: Option<String>,
    pub shards: Option<String>,
}

/// `severity-output`: what stands before a message of the runtime API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SeverityOutput {
    #[default]
    None,
    Number,
    String,
}

impl Bind {
    /// The identifiers of its listeners, by their place on the line (manual 5.1 "guid-prefix").
    pub fn guids(&self) -> impl Iterator<Item = String> {
        let prefix = self.guid_prefix.iter();
        prefix.flat_map(|prefix| (0..self.addresses.len()).map(move |index| format!("{prefix}-{index}")))
    }

    /// A line that says nothing but where.
    pub fn new(origin: Origin, text: &str) -> Self {
        Bind {
            origin,
            text: text.to_owned(),
            addresses: Vec::new(),
            mptcp: Vec::new(),
            name: None,
            id: None,
            accept_proxy: false,
            backlog: None,
            maxconn: None,
            defer_accept: false,
            interface: None,
            mss: None,
            tcp_ut_ms: None,
            tfo: false,
            transparent: false,
            v4v6: false,
            v6only: false,
            proto: None,
            mode: None,
            uid: None,
            gid: None,
            level: Level::default(),
            expose_fd_listeners: false,
            ssl: false,
            tls: BindTls::default(),
            tls_context: None,
            severity_output: SeverityOutput::default(),
            cc: None,
            tcp_ss: 0,
            idle_ping_ms: None,
            guid_prefix: None,
            label: None,
            thread: None,
            shards: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    H1,
    H2,
}

/// Rights on the runtime API (management guide 9.3). The order is the order of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    User,
    #[default]
    Operator,
    Admin,
}
