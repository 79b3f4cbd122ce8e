//! Addresses a socket can be bound or connected to, resolved. The text forms (manual 4.2 "bind", 2.9 of the 3.4
//! manual "address formats") are read by `config::address`.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// A resolved address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Ip(SocketAddr),
    /// A UNIX stream socket in the file system.
    Unix(PathBuf),
    /// A socket in Linux's abstract name space, without the leading NUL.
    Abstract(Vec<u8>),
    /// A file descriptor inherited from the parent process (`fd@N`).
    Inherited(i32),
}

impl Address {
    /// The address without its port.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Ip(a) => Some(a.ip()),
            _ => None,
        }
    }

    /// The port of an IP address.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Ip(a) => Some(a.port()),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(a) => write!(f, "{a}"),
            Address::Unix(p) => write!(f, "unix@{}", p.display()),
            Address::Abstract(n) => write!(f, "abns@{}", String::from_utf8_lossy(n)),
            Address::Inherited(fd) => write!(f, "fd@{fd}"),
        }
    }
}
