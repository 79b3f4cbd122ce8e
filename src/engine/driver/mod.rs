//! The driver trait: operations go in, completions come out. `uring` is the product; `epoll` its twin for where the kernel
//! refuses io_uring; `sim` a virtual network with a virtual clock. Only this folder and its neighbours in `engine` hold
//! `unsafe`.
//!
//! Rules every driver obeys:
//! - A token comes back in exactly one final completion (`more == false`), also after a cancel.
//! - Memory named by an operation is read or written until that final completion and not after it.
//! - Buffers of a group belong to the driver until a completion hands one out, and again after [`Driver::recycle`].

pub mod epoll;
mod pool;
pub mod sim;
pub mod sockets;
pub mod uring;

pub use pool::RESERVED;

use crate::base::address::Address;
use crate::base::clock::{self, Now};
use std::io;
use std::net::SocketAddr;

pub type Fd = i32;

/// Names an operation; chosen by the reactor, handed back with its completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// The two sizes of receive buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// For heads and small exchanges.
    Small = 0,
    /// For bodies.
    Large = 1,
}

/// Bytes of a buffer of each group. Measured: bodies in 4 kB pieces cost 2.5 to 3.7 times as much CPU.
pub const BUFFER_SIZE: [usize; 2] = [4096, 65536];

/// What a send reads: up to [`MSG_PIECES`] slices, at a stable address until the final completion.
#[repr(C)]
pub struct MsgBlock {
    pub header: libc::msghdr,
    pub slices: [libc::iovec; MSG_PIECES],
}

/// The kernel takes up to so many without memory of its own.
pub const MSG_PIECES: usize = 8;

/// One operation. Pointers stay valid until the final completion: the reactor keeps what they point to.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Multishot: one completion a connection, its result the descriptor.
    Accept {
        fd: Fd,
    },
    /// Multishot: one completion for each piece of data, in a buffer of the group; result 0 is the end.
    Recv {
        fd: Fd,
        group: Group,
    },
    /// One completion, the data in memory of the pusher: for when a group has no buffer left.
    RecvInto {
        fd: Fd,
        data: *mut u8,
        len: u32,
    },
    /// Sends all bytes, or fails; a cancelled one may report fewer.
    Send {
        fd: Fd,
        data: *const u8,
        len: u32,
    },
    /// Sends one datagram now or not at all.
    SendNow {
        fd: Fd,
        data: *const u8,
        len: u32,
    },
    SendMsg {
        fd: Fd,
        message: *const MsgBlock,
    },
    Connect {
        fd: Fd,
        address: *const sockets::Name,
    },
    /// One completion when an event of the mask (poll(2)) is there.
    Poll {
        fd: Fd,
        events: i16,
    },
    /// Ends the operation of this token on this descriptor, if it is still under way.
    Cancel {
        fd: Fd,
        target: Token,
    },
    /// Closes the descriptor after the operations pushed before it.
    Close {
        fd: Fd,
    },
    /// Makes the reactor behind the handle take a turn.
    Wake {
        peer: WakeHandle,
    },
}

impl Op {
    /// The descriptor it is about.
    pub fn fd(&self) -> Option<Fd> {
        match *self {
            Op::Accept { fd } | Op::Recv { fd, .. } | Op::RecvInto { fd, .. } | Op::Send { fd, .. } => Some(fd),
            Op::SendNow { fd, .. } | Op::SendMsg { fd, .. } | Op::Connect { fd, .. } | Op::Poll { fd, .. } => {
                Some(fd)
            }
            Op::Cancel { fd, .. } | Op::Close { fd } => Some(fd),
            Op::Wake { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Completion {
    pub token: Token,
    /// As from the system call: negative is an errno.
    pub result: i32,
    /// More completions of this token follow.
    pub more: bool,
    pub buffer: Option<u16>,
}

/// Reaches another reactor of the process from any thread that has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeHandle(pub i32);

/// The token of completions caused by [`Op::Wake`].
pub const WAKE_TOKEN: Token = Token(u64::MAX);

/// Timing of TCP keep-alive (tcp(7)); `None`: the kernel's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAlive {
    /// Unanswered probes after which the connection is dropped.
    pub count: Option<u32>,
    /// Seconds without traffic before the first probe.
    pub idle_s: Option<u32>,
    /// Seconds between probes.
    pub interval_s: Option<u32>,
}

/// Options of a socket that connects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectOptions {
    pub source: Option<SocketAddr>,
    pub interface: Option<String>,
    /// The source may be an address that is not ours (IP_TRANSPARENT, ip(7)).
    pub transparent: bool,
    /// Probes of an idle connection, if any.
    pub keepalive: Option<KeepAlive>,
    pub fast_open: bool,
    /// The handshake's last acknowledgement waits for the first data.
    pub delayed_ack: bool,
    pub user_timeout_ms: Option<u64>,
    pub rcvbuf: Option<usize>,
    pub sndbuf: Option<usize>,
    /// Multipath TCP (RFC 8684); a peer that does not speak it gets TCP.
    pub mptcp: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    Stream,
    Datagram,
}

pub trait Driver {
    /// Queues an operation; it reaches the kernel with the next [`Driver::enter`] at the latest.
    ///
    /// # Safety
    /// What the operation points to stays valid and unmoved until its final completion.
    unsafe fn push(&mut self, token: Token, op: Op);

    /// Submits what was pushed and waits until something completed or `wait_ms` passed (`None`: for ever; 0: not at all).
    fn enter(&mut self, wait_ms: Option<u64>, out: &mut Vec<Completion>) -> io::Result<()>;

    /// The start of a handed-out buffer, which does not move until it is given back.
    fn buffer(&self, group: Group, id: u16) -> *mut u8;
    /// Gives a handed-out buffer back.
    fn recycle(&mut self, group: Group, id: u16);
    /// Takes a handed-out buffer out of use; its memory goes back to the system until [`Driver::grow`] needs it again.
    fn retire(&mut self, group: Group, id: u16);
    /// Adds buffers after an ENOBUFS; false when the group has all it may have.
    fn grow(&mut self, group: Group) -> bool;
    /// Buffers of the group that are in use, handed out or not.
    fn buffers(&self, group: Group) -> usize;

    fn wake_handle(&self) -> WakeHandle;
    /// What runs, for `-vv` and `show info`.
    fn name(&self) -> &'static str;

    // What is no operation: plain calls, where there is a kernel.

    fn now(&self) -> Now {
        clock::now()
    }

    /// A socket ready to connect to `to`.
    fn open(&mut self, kind: Socket, to: &Address, options: &ConnectOptions) -> io::Result<Fd> {
        sockets::open(kind, to, options)
    }

    fn shutdown_write(&mut self, fd: Fd) {
        sockets::shutdown_write(fd);
    }

    /// The peer of an accepted connection.
    fn peer(&self, fd: Fd) -> io::Result<Address> {
        sockets::peer(fd)
    }

    /// Our side of a connection.
    fn local(&self, fd: Fd) -> io::Result<Address> {
        sockets::local(fd)
    }

    /// Makes a later close send a reset instead of a FIN.
    fn linger_zero(&mut self, fd: Fd) {
        sockets::linger_zero(fd);
    }

    /// Bytes sent that have not come to the peer's kernel.
    fn undelivered(&mut self, fd: Fd) -> u32 {
        sockets::queued(fd, libc::TIOCOUTQ)
    }

    /// Options of an accepted connection.
    fn accepted(&mut self, fd: Fd, keepalive: Option<KeepAlive>) {
        // TCP_NODELAY is inherited from the listener; a UNIX socket has none of this.
        if let Some(timing) = keepalive {
            sockets::keepalive(fd, timing);
        }
    }

    /// A connection that waits at a listening socket which no accept is armed for.
    fn accept_now(&mut self, fd: Fd) -> Option<Fd> {
        sockets::accept_now(fd)
    }

    /// A TCP socket listens with this backlog, or not until it is told to again.
    fn listening(&mut self, fd: Fd, backlog: Option<i32>) {
        match backlog {
            // A refusal leaves it as it is.
            Some(backlog) => drop(sockets::listen(fd, backlog)),
            None => sockets::unlisten(fd),
        }
    }

    /// Moves up to `len` bytes between a socket and a pipe without copying; `None` where this driver can't.
    fn splice(&mut self, from: Fd, to: Fd, len: usize) -> Option<io::Result<usize>> {
        Some(sockets::splice(from, to, len))
    }
}
