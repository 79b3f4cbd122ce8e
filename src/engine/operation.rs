//! One-shot operations (send, connect, poll) as futures. What the kernel may touch is kept by the reactor's table, not by
//! the future: a dropped future cancels its operation and the memory stays until the final completion.

use super::chain::Chain;
use super::driver::{Fd, MsgBlock, sockets::Name};
use super::reactor::{Rt, TaskId};
use crate::base::slab::Key;
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

/// A send in flight.
pub struct Sending {
    operation: Operation,
    total: usize,
}

impl Sending {
    pub(super) fn new(operation: Operation, total: usize) -> Sending {
        Sending { operation, total }
    }

    /// Asks the kernel to stop; the future then tells how much had left.
    pub fn cancel(&self) {
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
        self.operation.poll_result().map(|(result, hold)| {
            let chain = match hold {
                Hold::Chain(chain) => chain,
                Hold::Message(chain, message) => {
                    self.operation.rt.keep_message(message);
                    chain
                }
                Hold::Nothing | Hold::Name(_) => Chain::new(),
            };
            Sent { result: to_result(result), chain }
        })
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
