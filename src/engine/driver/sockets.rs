//! Socket calls that are not worth an operation of the ring: creating, naming, options.

use super::{ConnectOptions, Fd, KeepAlive, Socket};
use crate::base::address::Address;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;

/// A socket address as the kernel reads it.
#[derive(Clone, Copy)]
pub struct Name {
    pub storage: libc::sockaddr_storage,
    pub len: libc::socklen_t,
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.to_address())
    }
}

impl Name {
    /// # Errors
    /// `InvalidInput` when a path is too long, or the address is an inherited descriptor.
    pub fn of(address: &Address) -> io::Result<Name> {
        // SAFETY: all-zero is a valid value of the plain C structure sockaddr_storage.
        let mut name = Name { storage: unsafe { zeroed() }, len: 0 };
        match address {
            Address::Ip(SocketAddr::V4(a)) => {
                let raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as u16,
                    sin_port: a.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(a.ip().octets()) },
                    sin_zero: [0; 8],
                };
                name.put(raw, size_of::<libc::sockaddr_in>());
            }
            Address::Ip(SocketAddr::V6(a)) => {
                let raw = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as u16,
                    sin6_port: a.port().to_be(),
                    sin6_flowinfo: a.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: a.ip().octets() },
                    sin6_scope_id: a.scope_id(),
                };
                name.put(raw, size_of::<libc::sockaddr_in6>());
            }
            Address::Unix(path) => name.put_path(path.as_os_str().as_bytes(), false)?,
            Address::Abstract(bytes) => name.put_path(bytes, true)?,
            Address::Inherited(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(name)
    }

    fn put<T>(&mut self, raw: T, len: usize) {
        debug_assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>());
        // SAFETY: the storage is at least as large as any socket address and suitably aligned for it.
        unsafe { std::ptr::write((&raw mut self.storage).cast::<T>(), raw) };
        self.len = len as libc::socklen_t;
    }

    fn put_path(&mut self, path: &[u8], abstract_name: bool) -> io::Result<()> {
        // SAFETY: all-zero is a valid sockaddr_un.
        let mut raw: libc::sockaddr_un = unsafe { zeroed() };
        raw.sun_family = libc::AF_UNIX as u16;
        let skip = abstract_name as usize;
        if path.len() + 1 > raw.sun_path.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "path too long for a UNIX socket"));
        }
        for (to, from) in raw.sun_path[skip..].iter_mut().zip(path) {
            *to = *from as libc::c_char;
        }
        let len = std::mem::offset_of!(libc::sockaddr_un, sun_path) + path.len() + 1;
        self.put(raw, len);
        Ok(())
    }

    pub fn to_address(&self) -> Option<Address> {
        match self.storage.ss_family as i32 {
            libc::AF_INET => {
                // SAFETY: the family says that the storage holds a sockaddr_in.
                let a = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(a.sin_addr.s_addr.to_ne_bytes());
                Some(Address::Ip(SocketAddrV4::new(ip, u16::from_be(a.sin_port)).into()))
            }
            libc::AF_INET6 => {
                // SAFETY: the family says that the storage holds a sockaddr_in6.
                let a = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(a.sin6_addr.s6_addr);
                let port = u16::from_be(a.sin6_port);
                // A v4 client of a v4v6 listener is a v4 client.
                match ip.to_ipv4_mapped() {
                    Some(v4) => Some(Address::Ip(SocketAddrV4::new(v4, port).into())),
                    None => Some(Address::Ip(SocketAddrV6::new(ip, port, a.sin6_flowinfo, a.sin6_scope_id).into())),
                }
            }
            libc::AF_UNIX => {
                // SAFETY: the family says that the storage holds a sockaddr_un.
                let a = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_un>() };
                let start = std::mem::offset_of!(libc::sockaddr_un, sun_path);
                let len = (self.len as usize).saturating_sub(start).min(a.sun_path.len());
                let bytes: Vec<u8> = a.sun_path[..len].iter().map(|c| *c as u8).collect();
                if bytes.first() == Some(&0) && bytes.len() > 1 {
                    return Some(Address::Abstract(bytes[1..].to_vec()));
                }
                let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
                Some(Address::Unix(std::ffi::OsStr::from_bytes(&bytes[..end]).into()))
            }
            _ => None,
        }
    }
}

/// A call that fills in a socket address: getpeername(2) or getsockname(2).
type NameCall = unsafe extern "C" fn(Fd, *mut libc::sockaddr, *mut libc::socklen_t) -> i32;

fn name_by(call: NameCall, fd: Fd) -> io::Result<Address> {
    // SAFETY: all-zero is a valid sockaddr_storage.
    let mut name = Name { storage: unsafe { zeroed() }, len: size_of::<libc::sockaddr_storage>() as u32 };
    // SAFETY: both pointers are to live memory of the length that is passed.
    let r = unsafe { call(fd, (&raw mut name.storage).cast(), &mut name.len) };
    if r < 0 {
        return Err(io::Error::last_os_error());
    }
    name.to_address().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

pub fn peer(fd: Fd) -> io::Result<Address> {
    name_by(libc::getpeername, fd)
}

pub fn local(fd: Fd) -> io::Result<Address> {
    name_by(libc::getsockname, fd)
}

/// setsockopt(2) with a plain C value.
pub fn set<T>(fd: Fd, level: i32, option: i32, value: T) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`, which outlives the call.
    let r = unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), size_of::<T>() as u32) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// setsockopt(2) with bytes.
pub fn set_bytes(fd: Fd, level: i32, option: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`.
    let r = unsafe { libc::setsockopt(fd, level, option, value.as_ptr().cast(), value.len() as u32) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Bytes of a socket's queue: FIONREAD, those that came and are not read; TIOCOUTQ, those that the peer's kernel has not
/// acknowledged.
pub fn queued(fd: Fd, request: libc::Ioctl) -> u32 {
    let mut value: libc::c_int = 0;
    // SAFETY: both requests write one int.
    let r = unsafe { libc::ioctl(fd, request, &raw mut value) };
    if r < 0 { 0 } else { value.max(0) as u32 }
}

/// What the kernel knows of a TCP connection; `None`: it is none.
pub fn tcp_info(fd: Fd) -> Option<libc::tcp_info> {
    // SAFETY: all-zero is a valid value of this structure of numbers.
    let mut info: libc::tcp_info = unsafe { zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the pointers are to live memory, of which the length passed is the size.
    let r = unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &mut length) };
    (r == 0).then_some(info)
}

/// Bytes of a saved SYN at most: a link header with tags, an IPv6 header with extensions, a TCP header.
const SAVED_SYN_MAX: usize = 512;

/// The packet that began a connection, if its listener had it saved; only the first call has it.
pub fn saved_syn(fd: Fd) -> Option<Box<[u8]>> {
    let mut packet = [0u8; SAVED_SYN_MAX];
    let mut length = SAVED_SYN_MAX as libc::socklen_t;
    // SAFETY: the pointers are to live memory, of which the length passed is the size.
    let r = unsafe {
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN, packet.as_mut_ptr().cast(), &mut length)
    };
    (r == 0 && length > 0).then(|| packet[..length as usize].into())
}

pub fn linger_zero(fd: Fd) {
    let _ = set(fd, libc::SOL_SOCKET, libc::SO_LINGER, libc::linger { l_onoff: 1, l_linger: 0 });
}

pub fn nodelay(fd: Fd) {
    let _ = set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1i32);
}

/// Turns probes on. A UNIX socket has none of this, and the kernel's own limits may refuse a number.
pub fn keepalive(fd: Fd, timing: KeepAlive) {
    let _ = set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1i32);
    let KeepAlive { count, idle_s, interval_s } = timing;
    let options = [(libc::TCP_KEEPCNT, count), (libc::TCP_KEEPIDLE, idle_s), (libc::TCP_KEEPINTVL, interval_s)];
    for (option, value) in options {
        if let Some(value) = value {
            let _ = set(fd, libc::IPPROTO_TCP, option, value);
        }
    }
}

pub fn shutdown_write(fd: Fd) {
    // SAFETY: a system call on a descriptor number; no memory is involved.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// accept(2) of a connection that waits already. The listening socket may be another process's too, so it stays
/// blocking; should that process be quicker, this one waits for a tick of the kernel's clock.
pub fn accept_now(fd: Fd) -> Option<Fd> {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: the structure is live and its number is the one passed; the rest are system calls on numbers.
    unsafe {
        if libc::poll(&raw mut poll, 1, 0) != 1 || poll.revents & libc::POLLIN == 0 {
            return None;
        }
        let patience =
            |usec| set(fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, libc::timeval { tv_sec: 0, tv_usec: usec });
        patience(1).ok()?;
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let accepted = libc::accept4(fd, std::ptr::null_mut(), std::ptr::null_mut(), flags);
        let _ = patience(0);
        (accepted >= 0).then_some(accepted)
    }
}

/// Takes a listening TCP socket out of its state: it stays bound, and refuses who connects.
pub fn unlisten(fd: Fd) {
    // SAFETY: a system call on a descriptor number; no memory is involved.
    unsafe { libc::shutdown(fd, libc::SHUT_RD) };
}

/// A connection that lives and has nothing to be read.
pub fn is_silent(fd: Fd) -> bool {
    let mut byte = 0u8;
    // SAFETY: the pointer is to one live byte, which is the length passed.
    let r = unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT) };
    r < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
}

/// Nobody is at the other end any more, neither to speak nor to hear.
pub fn has_hung_up(fd: Fd) -> bool {
    let mut poll = libc::pollfd { fd, events: 0, revents: 0 };
    // SAFETY: the structure is a live local and its number is the one passed.
    let r = unsafe { libc::poll(&raw mut poll, 1, 0) };
    r > 0 && poll.revents & (libc::POLLHUP | libc::POLLERR) != 0
}

pub fn close(fd: Fd) {
    // SAFETY: a system call on a descriptor that the caller owns and gives up.
    unsafe { libc::close(fd) };
}

/// Connects a datagram socket: no packet is sent.
pub fn connect_now(fd: Fd, to: &Address) -> io::Result<()> {
    let name = Name::of(to)?;
    // SAFETY: `name` is live and its length is the one passed.
    let r = unsafe { libc::connect(fd, (&raw const name.storage).cast(), name.len) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// bind(2).
pub fn bind(fd: Fd, to: &Address) -> io::Result<()> {
    let name = Name::of(to)?;
    // SAFETY: `name` is live and its length is the one passed.
    let r = unsafe { libc::bind(fd, (&raw const name.storage).cast(), name.len) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// listen(2).
pub fn listen(fd: Fd, backlog: i32) -> io::Result<()> {
    // SAFETY: a system call on numbers.
    if unsafe { libc::listen(fd, backlog) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// write(2) of all bytes; false when the descriptor did not take them.
pub fn write(fd: Fd, bytes: &[u8]) -> bool {
    // SAFETY: the pointer and length describe `bytes`.
    let r = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    r == bytes.len() as isize
}

/// A pipe or socket that is full refuses what is written instead of blocking the thread. Files and terminals stay as they
/// are: others share them.
pub fn never_block(fd: Fd) {
    // SAFETY: zeroed is a valid `stat`, which the call fills; the rest are system calls on numbers.
    unsafe {
        let mut about: libc::stat = std::mem::zeroed();
        if libc::fstat(fd, &raw mut about) < 0
            || !matches!(about.st_mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFSOCK)
        {
            return;
        }
        let flags = libc::fcntl(fd, libc::F_GETFL);
        if flags >= 0 {
            libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK);
        }
    }
}

/// A pipe that does not block, of `size` bytes where that is allowed: read end, write end.
pub fn pipe(size: usize) -> io::Result<(Fd, Fd)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a system call on numbers; a refusal leaves the pipe as it was.
    unsafe { libc::fcntl(ends[1], libc::F_SETPIPE_SZ, size as i32) };
    Ok((ends[0], ends[1]))
}

/// splice(2), without blocking.
pub fn splice(from: Fd, to: Fd, len: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: a system call on descriptor numbers; offsets are null as sockets and pipes demand.
    let r = unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), len, flags) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(r as usize) }
}

/// A socket of the right family for `to`, not yet connected.
pub fn open(kind: Socket, to: &Address, options: &ConnectOptions) -> io::Result<Fd> {
    let family = match to {
        Address::Ip(SocketAddr::V4(_)) => libc::AF_INET,
        Address::Ip(SocketAddr::V6(_)) => libc::AF_INET6,
        Address::Unix(_) | Address::Abstract(_) => libc::AF_UNIX,
        Address::Inherited(_) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let style = match kind {
        Socket::Stream => libc::SOCK_STREAM,
        Socket::Datagram => libc::SOCK_DGRAM,
    };
    let internet = family != libc::AF_UNIX;
    let protocol = if options.mptcp && internet && kind == Socket::Stream { libc::IPPROTO_MPTCP } else { 0 };
    // SAFETY: a system call without memory arguments.
    let fd = unsafe { libc::socket(family, style | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    match prepare(fd, family, kind, options) {
        Ok(()) => Ok(fd),
        Err(e) => {
            close(fd);
            Err(e)
        }
    }
}

fn prepare(fd: Fd, family: i32, kind: Socket, options: &ConnectOptions) -> io::Result<()> {
    if let Some(n) = options.rcvbuf {
        set(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, n as i32)?;
    }
    if let Some(n) = options.sndbuf {
        set(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, n as i32)?;
    }
    if family == libc::AF_UNIX || kind == Socket::Datagram {
        return Ok(());
    }
    nodelay(fd);
    if let Some(timing) = options.keepalive {
        keepalive(fd, timing);
    }
    if let Some(ms) = options.user_timeout_ms {
        set(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, ms as u32)?;
    }
    if options.delayed_ack {
        set(fd, libc::IPPROTO_TCP, libc::TCP_QUICKACK, 0i32)?;
    }
    if options.fast_open {
        set(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1i32)?;
    }
    if let Some(interface) = &options.interface {
        set_bytes(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, interface.as_bytes())?;
    }
    if options.transparent {
        // The socket's family decides, also for a mapped address.
        match family {
            libc::AF_INET6 => set(fd, libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT, 1i32)?,
            _ => set(fd, libc::IPPROTO_IP, libc::IP_TRANSPARENT, 1i32)?,
        }
    }
    if let Some(source) = options.source {
        // The port is chosen at connect, so that it is only unique per destination (Linux 4.2).
        let _ = set(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1i32);
        set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1i32)?;
        let name = Name::of(&Address::Ip(source))?;
        // SAFETY: `name` is live and its length is the one passed.
        let r = unsafe { libc::bind(fd, (&raw const name.storage).cast(), name.len) };
        if r < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_kernel_s_form() {
        for a in ["127.0.0.1:80", "[::1]:8080", "[fe80::1%2]:1", "0.0.0.0:0"] {
            let address = Address::Ip(a.parse().unwrap());
            assert_eq!(Name::of(&address).unwrap().to_address(), Some(address));
        }
        let unix = Address::Unix("/run/some.sock".into());
        assert_eq!(Name::of(&unix).unwrap().to_address(), Some(unix));
        let hidden = Address::Abstract(b"name".to_vec());
        assert_eq!(Name::of(&hidden).unwrap().to_address(), Some(hidden));
        assert!(Name::of(&Address::Unix("x".repeat(200).into())).is_err());
    }

    #[test]
    fn a_v4_client_of_a_v6_listener_is_a_v4_client() {
        let mapped = Address::Ip("[::ffff:10.1.2.3]:99".parse().unwrap());
        let plain = Address::Ip("10.1.2.3:99".parse().unwrap());
        assert_eq!(Name::of(&mapped).unwrap().to_address(), Some(plain));
    }
}
