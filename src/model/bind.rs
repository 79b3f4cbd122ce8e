//! A `bind` line (manual 5.1), also of the runtime API's `stats socket`.

use crate::base::{address::Address, origin::Origin};

#[derive(Debug, Clone)]
pub struct Bind {
    pub origin: Origin,
    /// The address as it was written, for messages.
    pub text: String,
    /// One for each address and port of the list.
    pub addresses: Vec<Address>,
    pub name: Option<String>,
    pub id: Option<u32>,
    pub accept_proxy: bool,
    /// `accept-netscaler-cip` and others are refused by name.
    pub backlog: Option<u32>,
    pub maxconn: Option<u32>,
    pub defer_accept: bool,
    pub interface: Option<String>,
    pub mss: Option<i32>,
    pub nice: Option<i32>,
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
    /// `ssl` stands on the line; the settings are `model::tls`'s.
    pub ssl: bool,
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
