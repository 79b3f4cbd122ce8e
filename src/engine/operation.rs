//! One-shot operations (send, connect, poll) as futures. What the kernel may touch is kept by the reactor's table, not by
//! the future: a dropped future cancels its operation and the memory stays until the final completion.

use super::chain::Chain;
use super::driver::{Fd, MsgBlock, sockets::Name};
use super::reactor::{Rt, TaskId};
use crate::base::clock::Millis;
use crate::base::slab::Key;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What an operation in flight keeps alive.
pub(super) enum Hold {
    Nothing,
    Chain(Chain),
    Message(Chain, Box<MsgBlock>),
    Name(Box<Name>),
}

pub(super) struct OpState {
    pub task: TaskId,
    pub result: Option<i32>,
    /// The future is gone: drop the entry at the final completion.
    pub abandoned: bool,
    /// Nobody ever waited: a failure is counted.
    pub detached: bool,
    pub hold: Hold,
    /// The descriptor it is about.
    pub fd: Fd,
    /// Descriptor that dies with the operation when nobody waits for it any more.
    pub owned_fd: Option<Fd>,
}

/// An operation that was pushed. Comes back with its result and what it held.
pub(super) struct Operation {
    rt: Rt,
    key: Key,
    done: bool,
}

impl Operation {
    pub(super) fn new(rt: Rt, key: Key) -> Operation {
        Operation { rt, key, done: false }
    }

    pub(super) fn cancel(&self) {
        self.rt.cancel_operation(self.key);
    }

    pub(super) fn poll_result(&mut self) -> Poll<(i32, Hold)> {
        match self.rt.take_operation(self.key) {
            Some(v) => {
                self.done = true;
                Poll::Ready(v)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.done {
            self.rt.abandon_operation(self.key);
        }
    }
}

/// How long a send rests that the kernel gave up.
const REST_MS: u64 = 3;

/// A send in flight.
pub struct Sending {
    operation: Operation,
    fd: Fd,
    total: usize,
    /// Resting until a moment: nothing has left.
    ///
    /// On a socket with a small buffer the ring's own poll may go on telling of room where its send finds none. It hands
    /// the send to a worker thread then, which gives up at once (EAGAIN), as the socket does not block.
    resting: Option<(Chain, Millis)>,
    cancelled: Cell<bool>,
}

impl Sending {
    pub(super) fn new(operation: Operation, fd: Fd, total: usize) -> Sending {
        Sending { operation, fd, total, resting: None, cancelled: Cell::new(false) }
    }

    /// Asks the kernel to stop; the future then tells how much had left.
    pub fn cancel(&self) {
        self.cancelled.set(true);
        self.operation.cancel();
    }

    /// Bytes the send was given.
    pub fn total(&self) -> usize {
        self.total
    }
}

/// How a send ended: bytes that left, and the chain for what has not.
pub struct Sent {
    pub result: io::Result<usize>,
    pub chain: Chain,
}

impl Future for Sending {
    type Output = Sent;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Sent> {
        let rt = self.operation.rt.clone();
        loop {
            if let Some((chain, until)) = self.resting.take() {
                if self.cancelled.get() {
                    return Poll::Ready(Sent { result: to_result(-libc::ECANCELED), chain });
                }
                if !rt.reached(until) {
                    self.resting = Some((chain, until));
                    return Poll::Pending;
                }
                self.operation = rt.start_send(self.fd, chain);
            }
            let Poll::Ready((result, hold)) = self.operation.poll_result() else { return Poll::Pending };
            let chain = match hold {
                Hold::Chain(chain) => chain,
                Hold::Message(chain, message) => {
                    rt.keep_message(message);
                    chain
                }
                Hold::Nothing | Hold::Name(_) => Chain::new(),
            };
            match -result {
                libc::EAGAIN => self.resting = Some((chain, rt.now().mono.plus(REST_MS))),
                // So says a worker thread of the ring that is told to stop.
                libc::EINTR => return Poll::Ready(Sent { result: to_result(-libc::ECANCELED), chain }),
                _ => return Poll::Ready(Sent { result: to_result(result), chain }),
            }
        }
    }
}

/// A poll(2) in flight; its value is the events that are there.
pub struct Polling(pub(super) Operation);

impl Future for Polling {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_result().map(|(result, _)| to_result(result))
    }
}

pub(super) fn to_result(result: i32) -> io::Result<usize> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result as usize) }
}
