//! A stream connection as a task sees it: `recv` yields leased buffers, `send` takes owned ones. Receiving is multishot
//! and pauses when the reader lags; the same receive stays armed over all requests of a connection.

use super::chain::{Chain, Lease};
use super::driver::{Completion, ConnectOptions, Fd, Group, Op, Socket, Token, sockets, sockets::Name};
use super::operation::{Hold, Operation, Sending, to_result};
use super::reactor::{Kind, Rt, TaskId, receive_token, token};
use crate::base::address::Address;
use crate::base::buf::Block;
use crate::base::slab::Key;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::task::Poll;

/// Received pieces waiting for their reader before the receive is paused, by group.
const QUEUE_MAX: [usize; 2] = [8, 4];

/// State of the receive operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    Off,
    Armed(Group),
    /// A cancel is under way; completions may still come.
    Pausing(Group),
    /// One receive into memory of its own, since no buffer was left.
    Own(Key),
    PausingOwn(Key),
}

pub(super) struct ConnState {
    pub(super) fd: Fd,
    receiving: Receiving,
    /// Group for the next arming.
    group: Group,
    pub(super) queue: VecDeque<Lease>,
    /// The stream's end: 0, or a negative errno.
    ended: Option<i32>,
    /// Nobody reads, but news are wanted: the receive is armed again whenever it stops.
    watched: bool,
    pub(super) waiter: TaskId,
}

/// What a completion of the receive means for the reactor.
pub(super) enum Receive {
    Data(u16, u32),
    DataThenPause(u16, u32),
    /// No buffer was left.
    Starved,
    Ended,
}

impl ConnState {
    /// Notes that the receive is armed, and says with which buffers.
    pub(super) fn arm(&mut self) -> Group {
        self.receiving = Receiving::Armed(self.group);
        self.group
    }

    pub(super) fn arm_own(&mut self, own: Key) {
        self.receiving = Receiving::Own(own);
    }

    /// The receive into its own memory is over.
    pub(super) fn received_own(&mut self, result: i32, lease: Option<Lease>) {
        self.receiving = Receiving::Off;
        match (lease, -result) {
            (Some(lease), _) => self.queue.push_back(lease),
            (None, libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
            (None, _) => self.ended = Some(result.min(0)),
        }
    }

    /// It is watched, but its receive has stopped and nothing that was received says why.
    pub(super) fn is_forsaken(&self) -> bool {
        self.watched && self.receiving == Receiving::Off && self.ended.is_none() && self.queue.is_empty()
    }

    pub(super) fn received(&mut self, group: Group, c: &Completion) -> Receive {
        let pausing = matches!(self.receiving, Receiving::Pausing(_));
        if !c.more {
            self.receiving = Receiving::Off;
        }
        if c.result > 0
            && let Some(id) = c.buffer
        {
            // The lease is pushed by the caller: count it here.
            if self.queue.len() + 1 >= QUEUE_MAX[group as usize] && self.receiving == Receiving::Armed(group) {
                self.receiving = Receiving::Pausing(group);
                return Receive::DataThenPause(id, c.result as u32);
            }
            return Receive::Data(id, c.result as u32);
        }
        match -c.result {
            // Whoever waits for the pause has it.
            libc::ENOBUFS if pausing => Receive::Ended,
            libc::ENOBUFS => Receive::Starved,
            // Our own pause; an ended stream stays ended.
            libc::ECANCELED => Receive::Ended,
            // The kernel may cut a multishot short: just arm again.
            libc::EINTR | libc::EAGAIN => Receive::Ended,
            _ => {
                self.ended = Some(c.result.min(0));
                Receive::Ended
            }
        }
    }
}

/// An owned connection. Dropping it cancels what is under way and closes the descriptor.
pub struct Conn {
    rt: Rt,
    key: Key,
    fd: Fd,
}

impl Conn {
    pub(super) fn new(rt: Rt, fd: Fd) -> Conn {
        let state = ConnState {
            fd,
            receiving: Receiving::Off,
            group: Group::Small,
            queue: VecDeque::new(),
            ended: None,
            watched: false,
            waiter: rt.current(),
        };
        let key = rt.conns.borrow_mut().insert(state);
        Conn { rt, key, fd }
    }

    /// A stream socket that came from elsewhere.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn adopt(rt: &Rt, socket: OwnedFd) -> io::Result<Conn> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Conn::new(rt.clone(), socket.into_raw_fd()))
    }

    /// Connects. Dropping the future gives up and closes the socket.
    ///
    /// # Errors
    /// Those of socket(2), bind(2) (source addresses) and connect(2).
    pub async fn connect(rt: &Rt, to: &Address, options: &ConnectOptions) -> io::Result<Conn> {
        let name = Name::of(to)?;
        let fd = rt.driver(|d| d.open(Socket::Stream, to, options))?;
        let mut operation: Operation = rt.start_connect(fd, name);
        let (result, hold) = poll_fn(|_| operation.poll_result()).await;
        debug_assert!(matches!(hold, Hold::Name(_)));
        match to_result(result) {
            Ok(_) => Ok(Conn::new(rt.clone(), fd)),
            Err(e) => {
                rt.push(token(Kind::Operation, Key::NONE), Op::Close { fd });
                Err(e)
            }
        }
    }

    /// A datagram socket that talks to `to` alone, from a port of the kernel's choice: each piece received is one datagram,
    /// cut at the size of the group's buffers. An empty datagram looks like the end of a stream.
    ///
    /// # Errors
    /// Those of socket(2) and connect(2).
    pub fn datagram(rt: &Rt, to: &Address, group: Group) -> io::Result<Conn> {
        let fd = rt.datagram(to)?;
        let conn = Conn::new(rt.clone(), fd);
        sockets::connect_now(fd, to)?;
        conn.set_group(group);
        Ok(conn)
    }

    pub fn rt(&self) -> &Rt {
        &self.rt
    }

    pub fn fd(&self) -> Fd {
        self.fd
    }

    /// Size of the buffers that the next data arrives in.
    pub fn set_group(&self, group: Group) {
        let mut conns = self.rt.conns.borrow_mut();
        let Some(c) = conns.get_mut(self.key) else { return };
        c.group = group;
        if let Receiving::Armed(armed) = c.receiving
            && armed != group
        {
            c.receiving = Receiving::Pausing(armed);
            drop(conns);
            self.cancel_receive(armed);
        }
    }

    fn cancel_receive(&self, group: Group) {
        self.cancel(receive_token(group, self.key));
    }

    fn cancel(&self, target: Token) {
        self.rt.push(token(Kind::Operation, Key::NONE), Op::Cancel { fd: self.fd, target });
    }

    /// The next piece of data; `None` at the end of the stream. Wakes the task that asked last.
    pub fn poll_recv(&self) -> Poll<io::Result<Option<Lease>>> {
        let mut conns = self.rt.conns.borrow_mut();
        let Some(c) = conns.get_mut(self.key) else { return Poll::Ready(Ok(None)) };
        if let Some(lease) = c.queue.pop_front() {
            return Poll::Ready(Ok(Some(lease)));
        }
        if let Some(end) = c.ended {
            return Poll::Ready(if end == 0 { Ok(None) } else { Err(io::Error::from_raw_os_error(-end)) });
        }
        c.waiter = self.rt.current();
        c.watched = false;
        if c.receiving == Receiving::Off {
            self.rt.arm(self.key, c);
        }
        Poll::Pending
    }

    pub async fn recv(&self) -> io::Result<Option<Lease>> {
        poll_fn(|_| self.poll_recv()).await
    }

    /// Stops receiving until the next `recv`. What has arrived stays queued; completes when nothing is in flight.
    pub async fn pause(&self) {
        poll_fn(|_| {
            let mut conns = self.rt.conns.borrow_mut();
            let Some(c) = conns.get_mut(self.key) else { return Poll::Ready(()) };
            c.waiter = self.rt.current();
            c.watched = false;
            match c.receiving {
                Receiving::Off => Poll::Ready(()),
                Receiving::Pausing(_) | Receiving::PausingOwn(_) => Poll::Pending,
                Receiving::Own(own) => {
                    c.receiving = Receiving::PausingOwn(own);
                    drop(conns);
                    self.cancel(token(Kind::RecvOwn, own));
                    Poll::Pending
                }
                Receiving::Armed(group) => {
                    c.receiving = Receiving::Pausing(group);
                    drop(conns);
                    self.cancel_receive(group);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// A piece of data that has arrived already; asks for no more, unless the connection is watched.
    pub fn take_queued(&self) -> Option<Lease> {
        let mut conns = self.rt.conns.borrow_mut();
        let c = conns.get_mut(self.key)?;
        let lease = c.queue.pop_front();
        if c.is_forsaken() {
            self.rt.arm(self.key, c);
        }
        lease
    }

    /// Puts back what was received beyond what was asked for: it is what comes next.
    pub fn unread(&self, lease: Lease) {
        if let Some(c) = self.rt.conns.borrow_mut().get_mut(self.key) {
            c.queue.push_front(lease);
        }
    }

    /// Nothing is queued and the stream has not ended, as far as we were told.
    pub fn is_quiet(&self) -> bool {
        self.rt.conns.borrow().get(self.key).is_some_and(|c| c.queue.is_empty() && c.ended.is_none())
    }

    /// The stream's end was received, and all before it was read.
    pub fn has_ended(&self) -> bool {
        self.rt.conns.borrow().get(self.key).is_none_or(|c| c.queue.is_empty() && c.ended.is_some())
    }

    /// The stream's end (or a failure) was received, whatever is still unread before it.
    pub fn end_seen(&self) -> bool {
        self.rt.conns.borrow().get(self.key).is_none_or(|c| c.ended.is_some())
    }

    /// A failure was received: the peer has reset the connection, or it broke.
    pub fn is_broken(&self) -> bool {
        self.rt.conns.borrow().get(self.key).is_none_or(|c| c.ended.is_some_and(|e| e < 0))
    }

    /// Keeps receiving armed and wakes `task` on any news: for a connection that waits for reuse.
    pub fn watch(&self, task: TaskId) {
        let mut conns = self.rt.conns.borrow_mut();
        let Some(c) = conns.get_mut(self.key) else { return };
        c.waiter = task;
        c.group = match c.receiving {
            Receiving::Armed(g) | Receiving::Pausing(g) => g,
            _ => c.group,
        };
        c.watched = true;
        if c.is_forsaken() {
            self.rt.arm(self.key, c);
        }
    }

    /// Sends a chain. The kernel may give up when a part has left; [`Sent`](super::operation::Sent) tells. One send at a
    /// time.
    pub fn send(&self, chain: Chain) -> Sending {
        let total = chain.byte_len();
        Sending::new(self.rt.start_send(self.fd, chain), self.fd, total)
    }

    /// Sends all of it. Deadlines are the caller's.
    pub async fn send_all(&self, block: Block) -> io::Result<()> {
        let mut chain = Chain::from(block);
        while !chain.is_empty() {
            let sent = self.send(chain).await;
            chain = sent.chain;
            chain.advance(sent.result?);
        }
        Ok(())
    }

    /// Sends the last bytes before the connection is dropped, without waiting for them to be taken.
    pub fn send_last(&self, block: Block) {
        self.rt.send_last(self.fd, block);
    }

    /// Ends our direction of the stream.
    pub fn shutdown_write(&self) {
        self.rt.driver(|d| d.shutdown_write(self.fd));
    }

    /// Bytes sent that have not come to the peer's kernel: what it says now would destroy them if this were closed.
    pub fn undelivered(&self) -> u32 {
        self.rt.driver(|d| d.undelivered(self.fd))
    }

    /// The close on drop sends a reset.
    pub fn reset_on_close(&self) {
        self.rt.driver(|d| d.linger_zero(self.fd));
    }

    pub fn peer(&self) -> io::Result<Address> {
        self.rt.driver(|d| d.peer(self.fd))
    }

    pub fn local(&self) -> io::Result<Address> {
        self.rt.driver(|d| d.local(self.fd))
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let state = self.rt.conns.borrow_mut().remove(self.key);
        if let Some(state) = state {
            match state.receiving {
                Receiving::Off => {}
                Receiving::Armed(group) | Receiving::Pausing(group) => self.cancel_receive(group),
                Receiving::Own(own) | Receiving::PausingOwn(own) => self.cancel(token(Kind::RecvOwn, own)),
            }
            drop(state);
        }
        // Closing after the cancels in one submission: the kernel takes them in order.
        self.rt.push(token(Kind::Operation, Key::NONE), Op::Close { fd: self.fd });
    }
}
