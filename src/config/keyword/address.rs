//! Address words as each family of keywords wants them: thin shapes over `config::address`.

use crate::{
    base::address::Address,
    config::{
        address::{
            self, Accepts, Family, Host, LOG, Listening, NAMESERVER, Parsed, Place, Ports, SERVER, SOCKS, SOURCE,
            resolve,
        },
        env::Environment,
    },
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Port of a syslog server that says none.
const SYSLOG_PORT: u16 = 514;

/// Where a `bind` or `stats socket` line listens.
pub fn listen(word: &str, environment: &Environment) -> Result<Listening, String> {
    let found = address::bind(word, environment, &resolve)?;
    for address in &found.addresses {
        if let Address::Inherited(fd) = address {
            inherited_socket(*fd)?;
        }
    }
    Ok(found)
}

/// A descriptor that is to be listened on must be open, and a socket.
fn inherited_socket(fd: i32) -> Result<(), String> {
    use std::os::unix::fs::FileTypeExt;
    let why = match std::fs::metadata(format!("/proc/self/fd/{fd}")) {
        Err(_) => "Bad file descriptor",
        Ok(meta) if !meta.file_type().is_socket() => "Socket operation on non-socket",
        Ok(_) => return Ok(()),
    };
    Err(format!("cannot use file descriptor '{fd}' : {why}."))
}

/// Where a `log` line sends.
pub fn log(word: &str, environment: &Environment) -> Result<Address, String> {
    syslog(word, address::parse(word, environment, LOG)?)
}

/// The server that a `log` line reaches by a stream.
pub fn log_stream(word: &str, environment: &Environment) -> Result<Address, String> {
    syslog(word, address::parse(word, environment, Accepts { port_offset: false, mptcp: false, ..SERVER })?)
}

/// The first address of what a `log` line names, on syslog's port unless it says another.
fn syslog(word: &str, parsed: Parsed) -> Result<Address, String> {
    match parsed.addresses(word, &resolve)?.into_iter().next() {
        Some(Address::Ip(mut to)) => {
            if to.port() == 0 {
                to.set_port(SYSLOG_PORT);
            }
            Ok(Address::Ip(to))
        }
        Some(other) => Ok(other),
        None => Err(format!("invalid address: '{word}' in '{word}'")),
    }
}

/// A name server's address, and whether it is asked by TCP.
pub fn nameserver(word: &str, environment: &Environment) -> Result<(Address, bool), String> {
    let parsed = address::parse(word, environment, NAMESERVER)?;
    let tcp = !parsed.datagram;
    let found = parsed.addresses(word, &resolve)?;
    found.into_iter().next().map(|a| (a, tcp)).ok_or_else(|| format!("invalid address: '{word}' in '{word}'"))
}

/// The address of a `server` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// The host as written (a name stays one), or the whole word of a UNIX socket.
    pub host: String,
    /// `None` while a name is unresolved.
    pub address: Option<Address>,
    pub port: u16,
    pub port_map: Option<i32>,
    /// `mptcp@` and its kin.
    pub mptcp: bool,
}

/// Reads the address of a `server` line without resolving a name.
pub fn server(word: &str, environment: &Environment) -> Result<ServerAddress, String> {
    let parsed = address::parse(word, environment, SERVER)?;
    let mut found =
        ServerAddress { host: word.to_owned(), address: None, port: 0, port_map: None, mptcp: parsed.mptcp };
    let (host, ports) = match parsed.place {
        Place::Unix(path) => {
            found.address = Some(Address::Unix(path));
            return Ok(found);
        }
        Place::Abstract(name) => {
            found.address = Some(Address::Abstract(name));
            return Ok(found);
        }
        Place::Inherited(fd) => {
            found.address = Some(Address::Inherited(fd));
            return Ok(found);
        }
        Place::Ip { host, ports, .. } => (host, ports),
    };
    match ports {
        // No port: the one the client connected to.
        Ports::None => found.port_map = Some(0),
        Ports::Range(first, _) => found.port = first,
        Ports::Offset(offset) => found.port_map = Some(offset),
    }
    let ip = match host {
        Host::Any => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Host::Ip(ip) => Some(ip),
        Host::Name(name) => {
            found.host = name;
            return Ok(found);
        }
    };
    found.host = ip.map(|ip| ip.to_string()).unwrap_or_default();
    found.address = ip.map(|ip| Address::Ip(SocketAddr::new(ip, found.port)));
    Ok(found)
}

/// An address and port for checks: `addr`, `agent-addr`.
pub fn check(word: &str, environment: &Environment) -> Result<(IpAddr, Option<u16>), String> {
    let parsed = address::parse(word, environment, Accepts { mptcp: false, ..SERVER })?;
    match parsed.addresses(word, &resolve)?.first() {
        Some(Address::Ip(to)) => Ok((to.ip(), Some(to.port()).filter(|&p| p > 0))),
        _ => Err(format!("'{word}' is no IP address")),
    }
}

/// The proxy of `socks4`.
pub fn socks4(word: &str, environment: &Environment) -> Result<SocketAddr, String> {
    let parsed = address::parse(word, environment, SOCKS)?;
    match parsed.addresses(word, &resolve)?.first() {
        Some(Address::Ip(to)) => Ok(*to),
        _ => Err(format!("'{word}' is no IP address")),
    }
}

/// An address to connect from, and the last port of its range (0: none).
pub fn source(word: &str, environment: &Environment) -> Result<(SocketAddr, u16), String> {
    let parsed = address::parse(word, environment, SOURCE)?;
    let found = parsed.addresses(word, &resolve)?;
    match (found.first(), found.last()) {
        (Some(Address::Ip(first)), Some(Address::Ip(last))) => {
            let end = if last.port() > first.port() { last.port() } else { 0 };
            Ok((*first, end))
        }
        _ => Err(format!("'{word}' is no IP address")),
    }
}

/// Looks a server's name up, as the system's resolver orders its answers.
pub fn lookup(name: &str) -> Option<IpAddr> {
    resolve(name, Family::Any)
}
