//! The streams of a worker while they run: for `show sess`, and to end them from outside (`shutdown session`, `shutdown
//! sessions server`, `on-marked-down`). A stream carries its [`Place`] in its exchange, so that keeping it costs no
//! allocation for each request.

use super::session::Session;
use super::stream::Exchange;
use super::stream::termination::Failure;
use super::transfer;
use super::transport::Transport;
use super::worker::Worker;
use crate::base::clock::{Millis, Now};
use crate::base::slab::{Key, Slab};
use crate::engine::reactor::TaskId;
use crate::model::plan::{ProxyIndex, ServerIndex};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// What others may know of a stream, and do to it.
#[derive(Debug, Default)]
pub struct Place {
    /// Where it is in [`Registry`]; none while the stream does not run.
    key: Cell<Option<Key>>,
    task: Cell<Option<TaskId>>,
    id: Cell<u64>,
    frontend: Cell<ProxyIndex>,
    bind: Cell<usize>,
    source: Cell<Option<SocketAddr>>,
    start: Cell<Now>,
    /// How far the clock of `start` is ahead of this process's, in milliseconds.
    clock_ms: Cell<u64>,
    pub backend: Cell<Option<ProxyIndex>>,
    pub server: Cell<Option<(ProxyIndex, ServerIndex)>>,
    killed: Cell<Option<Failure>>,
    pub leaving: Cell<Leaving>,
    pub moves: Cell<Moves>,
}

/// Whether a stream may go on in the process that follows this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moves {
    #[default]
    Stays,
    May,
    /// It is to go there now, if it can.
    Asked,
}

/// What of its client ends a stream, wherever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaving {
    /// Nothing: it looks itself.
    Unseen,
    /// A reset.
    #[default]
    Broken,
    /// The end of what the client sends, too (`option abortonclose`).
    Ended,
}

/// A stream as it is told to other threads.
#[derive(Debug, Clone)]
pub struct Listed {
    pub id: u64,
    pub frontend: ProxyIndex,
    pub bind: usize,
    pub source: Option<SocketAddr>,
    /// When it began, in microseconds since 1970, and how long ago that is, in milliseconds.
    pub start_us: u64,
    pub age_ms: u64,
    pub backend: Option<ProxyIndex>,
    pub server: Option<(ProxyIndex, ServerIndex)>,
}

#[derive(Debug, Default)]
pub struct Registry(RefCell<Slab<Rc<Place>>>);

impl Place {
    /// The task that serves it looks again.
    pub fn wake(&self, w: &Worker) {
        if let Some(task) = self.task.get() {
            w.rt.wake(task);
        }
    }
}

impl Registry {
    pub fn list(&self, now: Millis) -> Vec<Listed> {
        let places = self.0.borrow();
        let listed = places.iter().map(|(_, p)| Listed {
            id: p.id.get(),
            frontend: p.frontend.get(),
            bind: p.bind.get(),
            source: p.source.get(),
            start_us: p.start.get().wall_us,
            age_ms: now.plus(p.clock_ms.get()).since(p.start.get().mono),
            backend: p.backend.get(),
            server: p.server.get(),
        });
        listed.collect()
    }

    /// Ends the streams that `which` selects; they notice when they next run.
    pub fn kill(&self, w: &Worker, failure: Failure, which: impl Fn(&Place) -> bool) {
        for (_, place) in self.0.borrow().iter().filter(|(_, p)| which(p)) {
            place.killed.set(Some(failure));
            place.wake(w);
        }
    }

    /// Those that may go on in another process.
    pub fn movable(&self) -> Vec<Rc<Place>> {
        self.0.borrow().iter().filter(|(_, p)| p.moves.get() == Moves::May).map(|(_, p)| p.clone()).collect()
    }

    pub fn kill_stream(&self, w: &Worker, id: u64) {
        self.kill(w, Failure::Killed, |p| p.id.get() == id);
    }

    pub fn kill_on_server(&self, w: &Worker, proxy: ProxyIndex, server: ServerIndex, failure: Failure) {
        self.kill(w, failure, |p| p.server.get() == Some((proxy, server)));
    }
}

/// Runs a stream's work under the registry's eye: it ends with its failure when it is killed, or when it waits while its
/// `client` has left. The work stays where it is pinned: by value it would be copied, and it is the largest state that a
/// request has.
pub async fn watched<T>(
    place: &Place,
    client: Option<&Transport>,
    mut work: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> Result<T, Failure> {
    poll_fn(|cx| match place.killed.take() {
        Some(failure) => Poll::Ready(Err(failure)),
        None => match work.as_mut().poll(cx) {
            Poll::Pending if client.is_some_and(|client| has_left(client, place.leaving.get())) => {
                Poll::Ready(Err(Failure::ClientAborted))
            }
            polled => polled,
        },
    })
    .await
}

fn has_left(client: &Transport, leaving: Leaving) -> bool {
    match leaving {
        Leaving::Unseen => false,
        Leaving::Broken => client.is_broken(),
        Leaving::Ended => client.end_seen(),
    }
}

/// The stream of `ex` begins.
pub fn enter(s: &Session, ex: &Exchange) -> Rc<Place> {
    let place = ex.place.clone();
    place.id.set(ex.facts.id);
    place.task.set(Some(s.w.rt.current()));
    place.frontend.set(s.proxy);
    place.bind.set(s.bind);
    place.source.set(s.facts.borrow().src);
    place.start.set(ex.start);
    place.clock_ms.set(ex.clock_ns / 1_000_000);
    place.backend.set(ex.backend);
    place.server.set(ex.server);
    place.killed.set(None);
    place.leaving.set(Leaving::default());
    place.moves.set(Moves::Stays);
    place.key.set(Some(s.w.registry.0.borrow_mut().insert(place.clone())));
    place
}

/// The stream of `ex` is over.
pub fn leave(w: &Worker, ex: &Exchange) {
    transfer::not_asked(w, &ex.place, Moves::Stays);
    if let Some(key) = ex.place.key.take() {
        w.registry.0.borrow_mut().remove(key);
    }
}
