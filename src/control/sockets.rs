//! Listening sockets: one per worker and address with SO_REUSEPORT, so that the kernel spreads connections; UNIX sockets
//! and inherited ones are shared by duplicates.

use super::inherit::{self, Inherited};
use crate::base::address::Address;
use crate::engine::driver::{Fd, sockets};
use crate::engine::{process, steering};
use crate::model::bind::Bind;
use crate::model::plan::{Plan, ProxyIndex};
use crate::model::proxy::Proxy;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::path::Path;
use std::time::Duration;

/// Pause before a place that is taken is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// The listeners of one worker: proxy, bind line, socket.
pub type Listeners = Vec<(ProxyIndex, usize, Fd)>;

/// Opens all sockets of a plan for `workers` workers. On failure: HAProxy's lines, one for each socket.
///
/// Sockets of an old process are used again where they are at the right place; `exposed` names all that are open now.
/// What is taken is tried again, `retries` times in all, for whoever is about to leave it.
pub fn open_all(
    plan: &Plan,
    workers: usize,
    maxconn: u32,
    inherited: &mut Inherited,
    exposed: &mut Vec<Exposed>,
    mut retries: u32,
) -> Result<Vec<Listeners>, Vec<String>> {
    let mut all: Vec<Listeners> = (0..workers).map(|_| Vec::new()).collect();
    let mut errors = Vec::new();
    let spread = Spread { workers, shared: plan.global.noreuseport };
    for (index, proxy) in plan.proxies.iter().enumerate() {
        if proxy.disabled || !proxy.has_frontend {
            continue;
        }
        for (number, bind) in proxy.frontend.binds.iter().enumerate() {
            let backlog = bind.backlog.or(proxy.frontend.backlog).or(proxy.frontend.maxconn).unwrap_or(maxconn);
            for address in &bind.addresses {
                let name = inherit::name(address, bind);
                let mut opened = reopen(address, bind, backlog, spread, inherited.take(&name));
                while let Err((_, e)) = &opened
                    && e.kind() == io::ErrorKind::AddrInUse
                    && retries > 0
                {
                    retries -= 1;
                    std::thread::sleep(RETRY_AFTER);
                    opened = open(address, bind, backlog, spread);
                }
                match opened {
                    Ok(fds) => {
                        let distinct = match address {
                            Address::Ip(_) if !spread.shared => fds.len(),
                            // A successor has it from who started us.
                            Address::Inherited(_) => 0,
                            // Those that the workers share are one socket.
                            _ => 1,
                        };
                        let named = fds.iter().take(distinct).map(|fd| (index, name.clone(), *fd));
                        exposed.extend(named.map(|(proxy, name, fd)| Exposed { proxy, name, fd }));
                        // Every socket has its worker, also where there are more of them than workers now.
                        for (at, fd) in fds.into_iter().enumerate() {
                            all[at % workers].push((index, number, fd));
                        }
                    }
                    Err((what, e)) => errors.push(message(proxy, bind, address, what, &e)),
                }
            }
        }
    }
    if errors.is_empty() { Ok(all) } else { Err(errors) }
}

/// A listening socket that a successor may ask for.
#[derive(Debug, Clone)]
pub struct Exposed {
    pub proxy: ProxyIndex,
    pub name: String,
    pub fd: Fd,
}

/// How long new connections are kept from old processes, which close their sockets as soon as they are told to, in
/// milliseconds.
pub const CLAIM_MS: u64 = 5000;

/// Comes with the signal by which an old process of ours is told to finish: who waits at its addresses then comes to the
/// new one as soon as it has closed its sockets, so it need not serve them itself.
pub const CLAIMED: i32 = 0x72_77;

/// Addresses that are claimed from old processes.
pub struct Claim {
    /// One listener of each.
    pub listeners: Vec<Fd>,
    /// All of ours are.
    pub is_whole: bool,
}

/// While old processes leave whose sockets we do not have (`displaces`), connections to our addresses come to us only, also
/// those that wait in an old backlog then: to be ended by [`share`] after [`CLAIM_MS`]. A kernel that refuses leaves it to
/// chance, as HAProxy does.
pub fn claim(exposed: &[Exposed], displaces: bool) -> Claim {
    let mut places: BTreeMap<&str, Vec<Fd>> = BTreeMap::new();
    for socket in exposed.iter().filter(|s| matches!(sockets::local(s.fd), Ok(Address::Ip(_)))) {
        places.entry(&socket.name).or_default().push(socket.fd);
    }
    // What an old process claimed for the sockets that it passed on ends first.
    places.values().for_each(|fds| steering::release(fds[0]));
    let listeners: Vec<Fd> =
        places.values().filter(|fds| displaces && steering::steer(fds).is_ok()).map(|fds| fds[0]).collect();
    Claim { is_whole: listeners.len() == places.len(), listeners }
}

/// Others may listen beside us again.
pub fn share(claimed: &[Fd]) {
    claimed.iter().for_each(|fd| steering::release(*fd));
}

/// [`open`], with what the old process left for this place.
fn reopen(
    address: &Address,
    bind: &Bind,
    backlog: u32,
    spread: Spread,
    mut old: Vec<Fd>,
) -> Result<Vec<Fd>, (&'static str, io::Error)> {
    if old.is_empty() {
        return open(address, bind, backlog, spread);
    }
    for fd in &old {
        sockets::listen(*fd, backlog.clamp(1, i32::MAX as u32) as i32).map_err(|e| ("cannot listen to socket", e))?;
    }
    match address {
        Address::Ip(a) if !spread.shared => {
            while old.len() < spread.workers {
                old.push(open_tcp(*a, bind, backlog.clamp(1, i32::MAX as u32) as i32, true)?);
            }
            Ok(old)
        }
        // Whoever had one for each worker may have more of them than we do: each is served.
        Address::Ip(_) if old.len() >= spread.workers => Ok(old),
        Address::Ip(_) => {
            let missing = shared(old[0], spread.workers - old.len() + 1)?;
            old.extend(missing.into_iter().skip(1));
            Ok(old)
        }
        _ => shared(old[0], spread.workers),
    }
}

fn message(proxy: &Proxy, bind: &Bind, address: &Address, what: &str, e: &io::Error) -> String {
    let family = match address {
        Address::Ip(a @ SocketAddr::V4(_)) if is_mptcp(*a, bind) => "mptcpv4",
        Address::Ip(a @ SocketAddr::V6(_)) if is_mptcp(*a, bind) => "mptcpv6",
        Address::Ip(SocketAddr::V4(_)) => "tcpv4",
        Address::Ip(SocketAddr::V6(_)) => "tcpv6",
        Address::Unix(_) => "unix_stream",
        Address::Abstract(_) => "abns_stream",
        Address::Inherited(_) => "fd",
    };
    let section = if proxy.has_backend { "proxy" } else { "frontend" };
    let text = reason(e);
    let place = match address {
        Address::Ip(a) => format!("{}:{}", a.ip(), a.port()),
        Address::Unix(path) => path.display().to_string(),
        other => other.to_string(),
    };
    format!(
        "Binding [{}] for {section} {}: protocol {family}: {what} ({text}) for [{place}].",
        bind.origin, proxy.name
    )
}

/// What strerror(3) says.
fn reason(e: &io::Error) -> String {
    e.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

/// Sockets of an address for the control thread alone, which `owner` listens on. On failure: HAProxy's line.
pub fn open_alone(address: &Address, bind: &Bind, backlog: u32, owner: &str) -> Result<Vec<Fd>, String> {
    let backlog = bind.backlog.unwrap_or(backlog);
    open(address, bind, backlog, Spread::ALONE).map_err(|(what, e)| {
        format!("Binding [{}] for proxy {owner}: {what} ({}) for [{address}].", bind.origin, reason(&e))
    })
}

/// How workers come to sockets of an address.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub workers: usize,
    /// One socket for all of them (`noreuseport`), instead of one for each.
    pub shared: bool,
}

impl Spread {
    /// For one process or thread alone.
    pub const ALONE: Spread = Spread { workers: 1, shared: false };
}

/// One socket per worker for an address. The error names the step that failed.
pub fn open(
    address: &Address,
    bind: &Bind,
    backlog: u32,
    Spread { workers, shared: one }: Spread,
) -> Result<Vec<Fd>, (&'static str, io::Error)> {
    let backlog = backlog.clamp(1, i32::MAX as u32) as i32;
    match address {
        Address::Ip(a) if one => shared(open_tcp(*a, bind, backlog, false)?, workers),
        Address::Ip(a) => (0..workers).map(|_| open_tcp(*a, bind, backlog, true)).collect(),
        Address::Unix(path) => shared(open_unix(path, bind, backlog)?, workers),
        Address::Abstract(name) => shared(open_abstract(name, backlog)?, workers),
        Address::Inherited(fd) => {
            if !process::is_open(*fd) {
                return Err(("cannot use file descriptor", io::Error::from_raw_os_error(libc::EBADF)));
            }
            shared(*fd, workers)
        }
    }
}

/// The first worker gets the socket itself, the others duplicates.
fn shared(fd: Fd, workers: usize) -> Result<Vec<Fd>, (&'static str, io::Error)> {
    let mut fds = vec![fd];
    for _ in 1..workers {
        fds.push(process::duplicate(fd).map_err(|e| ("cannot duplicate socket", e))?);
    }
    Ok(fds)
}

fn is_mptcp(address: SocketAddr, bind: &Bind) -> bool {
    bind.mptcp.contains(&Address::Ip(address))
}

fn open_tcp(
    address: SocketAddr,
    bind: &Bind,
    backlog: i32,
    reuse_port: bool,
) -> Result<Fd, (&'static str, io::Error)> {
    let protocol = if is_mptcp(address, bind) { Protocol::MPTCP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(protocol))
        .map_err(|e| ("cannot create receiving socket", e))?;
    let step = |what, r: io::Result<()>| r.map_err(|e| (what, e));
    step("cannot set SO_REUSEADDR", socket.set_reuse_address(true))?;
    if reuse_port {
        step("cannot set SO_REUSEPORT", socket.set_reuse_port(true))?;
    }
    // Accepted connections inherit it.
    step("cannot disable Nagle", socket.set_tcp_nodelay(true))?;
    if address.is_ipv6() {
        // HAProxy: `v4v6` opens both; a bare IPv6 address follows the system's setting.
        if bind.v6only || bind.v4v6 {
            step("cannot set IPV6_V6ONLY", socket.set_only_v6(bind.v6only && !bind.v4v6))?;
        }
    }
    if let Some(interface) = &bind.interface {
        step("cannot bind listener to device", socket.bind_device(Some(interface.as_bytes())))?;
    }
    if bind.transparent {
        let r = match address {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true),
            SocketAddr::V6(_) => socket.set_freebind_v6(true),
        };
        step("cannot make listening socket transparent", r)?;
    }
    if let Some(mss) = bind.mss {
        step("cannot set MSS", socket.set_tcp_mss(mss.unsigned_abs()))?;
    }
    let fd = socket.into_raw_fd();
    let option = |option: i32, value: i32| sockets::set(fd, libc::IPPROTO_TCP, option, value);
    if let Some(ms) = bind.tcp_ut_ms {
        step("cannot set TCP User Timeout", option(libc::TCP_USER_TIMEOUT, ms as i32))?;
    }
    if bind.tcp_ss > 0 {
        step("cannot set TCP Save SYN", option(libc::TCP_SAVE_SYN, bind.tcp_ss))?;
    }
    if bind.defer_accept {
        step("cannot enable DEFER_ACCEPT", option(libc::TCP_DEFER_ACCEPT, 60))?;
    }
    if bind.tfo {
        step("cannot enable TCP_FASTOPEN", option(libc::TCP_FASTOPEN, backlog))?;
    }
    if let Some(algorithm) = &bind.cc {
        let r = sockets::set_bytes(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, algorithm.as_bytes());
        step("cannot set congestion control algorithm", r)?;
    }
    bind_and_listen(fd, &Address::Ip(address), backlog)
}

fn bind_and_listen(fd: Fd, address: &Address, backlog: i32) -> Result<Fd, (&'static str, io::Error)> {
    let result = sockets::bind(fd, address)
        .map_err(|e| ("cannot bind socket", e))
        .and_then(|()| sockets::listen(fd, backlog).map_err(|e| ("cannot listen to socket", e)));
    match result {
        Ok(()) => Ok(fd),
        Err(e) => {
            sockets::close(fd);
            Err(e)
        }
    }
}

/// Binds beside the final path and renames, so that there is always a socket to connect to.
fn open_unix(path: &Path, bind: &Bind, backlog: i32) -> Result<Fd, (&'static str, io::Error)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|e| ("cannot create receiving socket", e))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = Path::new(&temporary);
    let _ = std::fs::remove_file(temporary);
    let address = SockAddr::unix(temporary).map_err(|e| ("cannot bind UNIX socket", e))?;
    socket.bind(&address).map_err(|e| ("cannot bind UNIX socket", e))?;
    let finish = || -> Result<(), (&'static str, io::Error)> {
        if bind.uid.is_some() || bind.gid.is_some() {
            std::os::unix::fs::chown(temporary, bind.uid, bind.gid)
                .map_err(|e| ("cannot change UNIX socket ownership", e))?;
        }
        if let Some(mode) = bind.mode {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(temporary, std::fs::Permissions::from_mode(mode))
                .map_err(|e| ("cannot change UNIX socket permissions", e))?;
        }
        socket.listen(backlog).map_err(|e| ("cannot listen to socket", e))?;
        std::fs::rename(temporary, path).map_err(|e| ("error when trying to rename socket", e))
    };
    if let Err(e) = finish() {
        let _ = std::fs::remove_file(temporary);
        return Err(e);
    }
    Ok(socket.into_raw_fd())
}

fn open_abstract(name: &[u8], backlog: i32) -> Result<Fd, (&'static str, io::Error)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(|e| ("cannot create receiving socket", e))?;
    bind_and_listen(socket.into_raw_fd(), &Address::Abstract(name.to_vec()), backlog)
}
