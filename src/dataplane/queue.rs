//! Streams that wait for a slot of a server with `maxconn`. First come, first served on each worker; a slot that is freed
//! on one worker wakes a stream that waits on another. The slots themselves are exact over all workers: they are taken
//! from the server's live state.

use super::worker::Worker;
use crate::base::sync::tell_then_look;
use crate::engine::reactor::TaskId;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::state::counters::BackendCounter;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// One worker's queue for one backend. Entries stay in place until their stream got a slot or gave up.
#[derive(Default)]
pub struct Queue {
    waiting: RefCell<VecDeque<Waiting>>,
    tickets: Cell<u64>,
}

struct Waiting {
    ticket: u64,
    task: TaskId,
    /// The server this stream is bound to; `None`: any of the backend.
    server: Option<ServerIndex>,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Whether somebody waits whom a free slot of `server` could serve.
    pub fn awaits(&self, server: ServerIndex) -> bool {
        self.waiting.borrow().iter().any(|e| e.server.is_none_or(|s| s == server))
    }

    /// Wakes the first stream that a free slot of `server` can serve.
    pub fn wake_for(&self, w: &Worker, server: ServerIndex) -> bool {
        let waiting = self.waiting.borrow();
        let first = waiting.iter().find(|e| e.server.is_none_or(|s| s == server));
        if let Some(entry) = first {
            w.rt.wake(entry.task);
        }
        first.is_some()
    }

    /// Wakes all: servers came or went, everyone looks again.
    pub fn wake_all(&self, w: &Worker) {
        for entry in self.waiting.borrow().iter() {
            w.rt.wake(entry.task);
        }
    }
}

/// A stream's place in the queue; given up on drop.
pub struct Place {
    w: Rc<Worker>,
    proxy: ProxyIndex,
    server: Option<ServerIndex>,
    ticket: u64,
    /// Streams before it when it came, in this worker's queue.
    pub ahead: usize,
}

impl Place {
    pub fn take(w: &Rc<Worker>, proxy: ProxyIndex, server: Option<ServerIndex>) -> Place {
        let queue = &w.backends[proxy].queue;
        let ticket = queue.tickets.replace(queue.tickets.get() + 1);
        let ahead = queue.len();
        queue.waiting.borrow_mut().push_back(Waiting { ticket, task: w.rt.current(), server });
        let now = w.rt.now().mono;
        match server {
            Some(server) => {
                w.counts().server(proxy, server).queued(now);
                note(w, proxy, server, true);
            }
            None => w.counts().backend(proxy).queued(now),
        }
        // Whoever frees a slot from now on sees that we wait; what was freed before, we see when we look again.
        tell_then_look();
        Place { w: w.clone(), proxy, server, ticket, ahead }
    }

    /// The server that it waits for alone.
    pub fn server(&self) -> Option<ServerIndex> {
        self.server
    }

    /// Nobody who wants the same slot came earlier.
    pub fn is_first(&self) -> bool {
        let waiting = self.w.backends[self.proxy].queue.waiting.borrow();
        let rival = |e: &&Waiting| self.server.is_none() || e.server.is_none() || e.server == self.server;
        waiting.iter().find(rival).is_none_or(|e| e.ticket == self.ticket)
    }
}

fn note(w: &Worker, proxy: ProxyIndex, server: ServerIndex, begins: bool) {
    if let Some(live) = w.board.live.server(proxy, server) {
        live.waits(begins);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let queue = &self.w.backends[self.proxy].queue;
        queue.waiting.borrow_mut().retain(|e| e.ticket != self.ticket);
        match self.server {
            Some(server) => {
                self.w.counts().server(self.proxy, server).dequeued();
                note(&self.w, self.proxy, server, false);
            }
            None => self.w.counts().backend(self.proxy).dequeued(),
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
        if w.backends[self.proxy].queue.wake_for(w, self.server) {
            return;
        }
        tell_then_look();
        let elsewhere = w.board.backend(self.proxy, BackendCounter::Qcur) > 0
            || w.board.server(self.proxy, self.server, crate::model::state::counters::ServerCounter::Qcur) > 0;
        if elsewhere {
            w.tell_others_of_slot(self.proxy, self.server);
        }
    }
}
