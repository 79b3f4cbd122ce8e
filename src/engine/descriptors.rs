//! What the kernel knows of a descriptor of this process, whoever has it.

use super::driver::{Fd, sockets};
use crate::base::address::Address;
use std::ffi::c_int;
use std::mem::zeroed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pipe,
    /// A socket that listens.
    Listener,
    /// A stream socket.
    Connection,
    Datagram,
    /// A ring, an event, a timer, a file.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub fd: Fd,
    pub kind: Kind,
    pub local: Option<Address>,
    pub peer: Option<Address>,
    /// Bytes that have come and nobody has read.
    pub unread: u32,
    /// Bytes that were sent and not acknowledged, or not yet sent.
    pub unsent: u32,
}

/// `None`: it is not open.
pub fn look_at(fd: Fd) -> Option<Descriptor> {
    // SAFETY: all-zero is a valid value of this structure of numbers.
    let mut stat: libc::stat = unsafe { zeroed() };
    // SAFETY: the pointer is to live memory of this type.
    if unsafe { libc::fstat(fd, &mut stat) } < 0 {
        return None;
    }
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFIFO => Kind::Pipe,
        libc::S_IFSOCK if option(fd, libc::SO_ACCEPTCONN) == Some(1) => Kind::Listener,
        libc::S_IFSOCK if option(fd, libc::SO_TYPE) == Some(libc::SOCK_STREAM) => Kind::Connection,
        libc::S_IFSOCK => Kind::Datagram,
        _ => Kind::Other,
    };
    let mut found = Descriptor { fd, kind, local: None, peer: None, unread: 0, unsent: 0 };
    if !matches!(kind, Kind::Pipe | Kind::Other) {
        found.local = sockets::local(fd).ok();
        found.peer = sockets::peer(fd).ok();
    }
    if kind == Kind::Connection {
        (found.unread, found.unsent) = (sockets::queued(fd, libc::FIONREAD), sockets::queued(fd, libc::TIOCOUTQ));
    }
    Some(found)
}

/// A number that getsockopt(2) tells.
fn option(fd: Fd, name: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the pointers are to live memory, of which the length passed is the size.
    let r = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &mut length) };
    (r == 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    #[test]
    fn sockets_tell_what_they_are_and_what_waits_in_them() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        client.write_all(b"four").unwrap();
        while look_at(server.as_raw_fd()).unwrap().unread < 4 {
            std::thread::yield_now();
        }
        assert_eq!(look_at(listener.as_raw_fd()).unwrap().kind, Kind::Listener);
        let found = look_at(client.as_raw_fd()).unwrap();
        assert_eq!((found.kind, found.unread), (Kind::Connection, 0));
        assert_eq!(found.peer, Some(Address::Ip(listener.local_addr().unwrap())));
        let null = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(look_at(null.as_raw_fd()).unwrap().kind, Kind::Other);
        assert_eq!(look_at(-1), None);
    }
}
