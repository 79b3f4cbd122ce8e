//! Accepting: multishot, one listener per worker and address. Pauses when its owner has enough connections.

use super::conn::Conn;
use super::driver::{Completion, Fd, KeepAlive, Op};
use super::reactor::{Kind, Rt, TaskId, token};
use crate::base::address::Address;
use crate::base::slab::Key;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

pub(super) struct ListenerState {
    armed: bool,
    /// A cancel is under way.
    closing: bool,
    queue: VecDeque<io::Result<Fd>>,
    pub(super) waiter: TaskId,
}

impl ListenerState {
    pub(super) fn accepted(&mut self, c: &Completion) {
        self.armed &= c.more;
        if c.result >= 0 {
            self.queue.push_back(Ok(c.result));
        } else if c.result != -libc::ECANCELED {
            self.queue.push_back(Err(io::Error::from_raw_os_error(-c.result)));
        }
    }
}

/// A listening socket, which stays open when the listener is dropped: it may be handed over.
pub struct Listener {
    rt: Rt,
    key: Key,
    fd: Fd,
}

impl Listener {
    /// `fd` listens already.
    pub fn new(rt: &Rt, fd: Fd) -> Listener {
        let state = ListenerState { armed: false, closing: false, queue: VecDeque::new(), waiter: rt.current() };
        let key = rt.listeners.borrow_mut().insert(state);
        Listener { rt: rt.clone(), key, fd }
    }

    /// The next connection.
    ///
    /// # Errors
    /// Those of accept(2); the listener stays usable (out of descriptors, say).
    pub async fn accept(&self, keepalive: Option<KeepAlive>) -> io::Result<Conn> {
        let fd = poll_fn(|_| {
            let mut listeners = self.rt.listeners.borrow_mut();
            let Some(l) = listeners.get_mut(self.key) else { return Poll::Pending };
            if let Some(accepted) = l.queue.pop_front() {
                return Poll::Ready(accepted);
            }
            l.waiter = self.rt.current();
            if !l.armed {
                l.armed = true;
                drop(listeners);
                self.rt.push(token(Kind::Accept, self.key), Op::Accept { fd: self.fd });
            }
            Poll::Pending
        })
        .await?;
        self.rt.driver(|d| d.accepted(fd, keepalive));
        Ok(Conn::new(self.rt.clone(), fd))
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local(&self) -> io::Result<Address> {
        self.rt.driver(|d| d.local(self.fd))
    }

    /// Connections accepted and not yet taken.
    pub fn waiting(&self) -> usize {
        self.rt.listeners.borrow().get(self.key).map_or(0, |l| l.queue.len())
    }

    /// The connections that were accepted before the listener stops taking any; `None` after the last. What the kernel
    /// has accepted for us is nobody else's.
    ///
    /// The kernel wakes one of those who wait at a socket. Where that was us and the cancel came first, nobody else is
    /// told of the connection: it is taken here.
    pub async fn last(&self, keepalive: Option<KeepAlive>) -> Option<Conn> {
        loop {
            let fd = poll_fn(|_| {
                let mut listeners = self.rt.listeners.borrow_mut();
                let Some(l) = listeners.get_mut(self.key) else { return Poll::Ready(None) };
                if let Some(accepted) = l.queue.pop_front() {
                    return Poll::Ready(Some(accepted));
                }
                l.waiter = self.rt.current();
                if !l.armed {
                    let told = l.closing;
                    drop(listeners);
                    let waiting = if told { self.rt.driver(|d| d.accept_now(self.fd)) } else { None };
                    return Poll::Ready(waiting.map(Ok));
                }
                if !std::mem::replace(&mut l.closing, true) {
                    drop(listeners);
                    self.pause();
                }
                Poll::Pending
            })
            .await?;
            if let Ok(fd) = fd {
                self.rt.driver(|d| d.accepted(fd, keepalive));
                return Some(Conn::new(self.rt.clone(), fd));
            }
        }
    }

    /// A connection that waits in the kernel, while no accept is under way.
    pub fn take(&self, keepalive: Option<KeepAlive>) -> Option<Conn> {
        let fd = self.rt.driver(|d| d.accept_now(self.fd))?;
        self.rt.driver(|d| d.accepted(fd, keepalive));
        Some(Conn::new(self.rt.clone(), fd))
    }

    /// Stops taking connections from the kernel until the next `accept`.
    pub fn pause(&self) {
        let armed = self.rt.listeners.borrow().get(self.key).is_some_and(|l| l.armed);
        if armed {
            self.cancel();
        }
    }

    fn cancel(&self) {
        let target = token(Kind::Accept, self.key);
        self.rt.push(token(Kind::Operation, Key::NONE), Op::Cancel { fd: self.fd, target });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let state = self.rt.listeners.borrow_mut().remove(self.key);
        if let Some(state) = state {
            if state.armed {
                self.cancel();
            }
            for fd in state.queue.into_iter().flatten() {
                self.rt.push(token(Kind::Operation, Key::NONE), Op::Close { fd });
            }
        }
    }
}
