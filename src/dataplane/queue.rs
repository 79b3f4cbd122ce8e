//! Streams that wait for a slot of a server with `maxconn`: first come, first served, whatever the worker. Each worker has a
//! queue for each backend and tells on the board who stands first in it. A slot that is given back is offered to the stream
//! that has waited longest; whoever comes later waits behind it. The slots themselves are exact over all workers: they are
//! taken from the server's live state.

use super::worker::{BackendState, Mail, Worker};
use crate::base::sync::tell_then_look;
use crate::engine::reactor::TaskId;
use crate::model::plan::{ProxyIndex, ServerIndex};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// One worker's queue for one backend, in the order of tickets. Entries stay until their stream got a slot or gave up.
#[derive(Default)]
pub struct Queue {
    waiting: RefCell<VecDeque<Waiting>>,
}

struct Waiting {
    /// The backend's streams in the order in which they began to wait.
    ticket: u64,
    task: TaskId,
    /// The server this stream is bound to; `None`: any of the backend.
    server: Option<ServerIndex>,
    /// A server with a free slot for this stream.
    offer: Option<ServerIndex>,
}

impl Queue {
    /// Wakes all: servers came or went, everyone looks again.
    pub fn wake_all(&self, w: &Worker) {
        for entry in self.waiting.borrow().iter() {
            w.rt.wake(entry.task);
        }
    }

    /// The first without an offer whom a slot of `server` could serve; only those bound to it unless `anyone` may have it.
    fn first(&self, server: ServerIndex, anyone: bool) -> Option<u64> {
        let could = |e: &&Waiting| e.offer.is_none() && e.server.map_or(anyone, |bound| bound == server);
        self.waiting.borrow().iter().find(could).map(|e| e.ticket)
    }

    /// Works on the entry with this ticket.
    fn with<T>(&self, ticket: u64, work: impl FnOnce(&mut Waiting) -> T) -> Option<T> {
        let waiting = &mut *self.waiting.borrow_mut();
        let at = waiting.binary_search_by_key(&ticket, |e| e.ticket).ok()?;
        waiting.get_mut(at).map(work)
    }

    /// Tells the other workers who is first: of those bound to `server`, or of those who take any.
    fn publish(&self, w: &Worker, proxy: ProxyIndex, server: Option<ServerIndex>) {
        let first = self.waiting.borrow().iter().find(|e| e.server == server && e.offer.is_none()).map(|e| e.ticket);
        match server {
            Some(server) => w.counts().server(proxy, server).first_waiting(first),
            None => w.counts().backend(proxy).first_waiting(first),
        }
    }
}

/// Offers a free slot of `server` to the stream that has waited longest for it, on any worker. Without such a stream, or
/// when the slot has gone meanwhile, nothing happens.
pub fn pass_on(w: &Worker, proxy: ProxyIndex, server: ServerIndex) {
    let backend = w.board.live.backend(proxy);
    let Some(live) = backend.server(server) else { return };
    tell_then_look();
    if live.is_full() || !backend.waiting.is_any() && !live.waiting.is_any() {
        return;
    }
    let BackendState { queue, balancer, .. } = &w.backends[proxy];
    let anyone = balancer.borrow_mut().may_choose(server, backend);
    let here = queue.first(server, anyone);
    match w.board.first_waiting(proxy, server, anyone, w.index) {
        Some((ticket, worker)) if here.is_none_or(|first| ticket < first) => {
            w.send(worker, Mail::SlotFreed(proxy, server));
        }
        _ => {
            let Some(ticket) = here else { return };
            let bound = queue.with(ticket, |entry| {
                entry.offer = Some(server);
                w.rt.wake(entry.task);
                entry.server
            });
            queue.publish(w, proxy, bound.flatten());
        }
    }
}

/// A stream's place in the queue; given up on drop.
pub struct Place {
    w: Rc<Worker>,
    proxy: ProxyIndex,
    server: Option<ServerIndex>,
    ticket: u64,
}

impl Place {
    /// Takes the last place. A slot may have been freed just before: look again.
    pub fn take(w: &Rc<Worker>, proxy: ProxyIndex, server: Option<ServerIndex>) -> Place {
        let queue = &w.backends[proxy].queue;
        let backend = w.board.live.backend(proxy);
        let ticket = backend.ticket();
        queue.waiting.borrow_mut().push_back(Waiting { ticket, task: w.rt.current(), server, offer: None });
        let now = w.rt.now().mono;
        match server {
            Some(server) => {
                w.counts().server(proxy, server).queued(now);
                note(w, proxy, server, true);
            }
            None => {
                w.counts().backend(proxy).queued(now);
                backend.waiting.change(true);
            }
        }
        queue.publish(w, proxy, server);
        // Whoever frees a slot from now on sees that we wait; what was freed before, we see when we look again.
        tell_then_look();
        Place { w: w.clone(), proxy, server, ticket }
    }

    /// The server that it waits for alone.
    pub fn server(&self) -> Option<ServerIndex> {
        self.server
    }

    /// The server with a free slot that was offered. Who does not take the slot can get another offer.
    pub fn offer(&self) -> Option<ServerIndex> {
        let queue = &self.w.backends[self.proxy].queue;
        let offer = queue.with(self.ticket, |entry| entry.offer.take()).flatten();
        if offer.is_some() {
            queue.publish(&self.w, self.proxy, self.server);
        }
        offer
    }

    /// There is an offer.
    pub fn is_offered(&self) -> bool {
        self.w.backends[self.proxy].queue.with(self.ticket, |entry| entry.offer.is_some()) == Some(true)
    }
}

fn note(w: &Worker, proxy: ProxyIndex, server: ServerIndex, begins: bool) {
    if let Some(live) = w.board.live.server(proxy, server) {
        live.waiting.change(begins);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (w, proxy) = (&self.w, self.proxy);
        let queue = &w.backends[proxy].queue;
        let mut waiting = queue.waiting.borrow_mut();
        let at = waiting.binary_search_by_key(&self.ticket, |e| e.ticket);
        let offer = at.ok().and_then(|at| waiting.remove(at)).and_then(|entry| entry.offer);
        drop(waiting);
        match self.server {
            Some(server) => {
                w.counts().server(proxy, server).dequeued();
                note(w, proxy, server, false);
            }
            None => {
                w.counts().backend(proxy).dequeued();
                w.board.live.backend(proxy).waiting.change(false);
            }
        }
        queue.publish(w, proxy, self.server);
        // What was offered is the next one's; and who takes any server leaves one alone that others wait for.
        for server in [offer, self.server.filter(|bound| offer != Some(*bound))].into_iter().flatten() {
            pass_on(w, proxy, server);
        }
    }
}

/// A slot of a server, held while a stream is served; given back on drop, and then the next in line is woken.
pub struct Slot {
    w: Rc<Worker>,
    proxy: ProxyIndex,
    server: ServerIndex,
}

impl Slot {
    /// Takes a slot within `limit` (0: unlimited, only counted).
    pub fn take(w: &Rc<Worker>, proxy: ProxyIndex, server: ServerIndex, limit: u32) -> Option<Slot> {
        let live = w.board.live.server(proxy, server)?;
        live.take_slot(limit, w.rt.now().nanos).then(|| Slot { w: w.clone(), proxy, server })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let w = &self.w;
        let Some(live) = w.board.live.server(self.proxy, self.server) else { return };
        live.release_slot(w.rt.now().nanos);
        pass_on(w, self.proxy, self.server);
    }
}
