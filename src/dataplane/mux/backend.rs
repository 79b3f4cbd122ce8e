//! HTTP/2 connections to servers: each carries the streams of many clients at once, as far as `http-reuse`, `max-reuse`
//! and the limits of both sides allow.

use super::super::idle::Way;
use super::super::transport::Transport;
use super::super::worker::Worker;
use super::{Mux, Side, Stream, config};
use crate::base::clock::Millis;
use crate::engine::Piece;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::state::counters::BackendCounter;
use crate::proto::h2::{Config, ErrorCode, Event, Role, StreamId};
use std::cell::RefCell;
use std::rc::Rc;

/// The connections of one worker to the servers of one backend.
#[derive(Default)]
pub struct Connections(RefCell<Vec<Shared>>);

struct Shared {
    server: ServerIndex,
    /// The name that the server was asked for over TLS.
    sni: Option<Box<str>>,
    way: Way,
    mux: Rc<Mux>,
}

impl Connections {
    /// A stream on a connection to `server` that has room for one, and how many it has carried.
    pub fn take(
        &self,
        w: &Worker,
        (proxy, server): (ProxyIndex, ServerIndex),
        sni: Option<&str>,
        way: Way,
    ) -> Option<(Stream, u32)> {
        let most = w.board.live.server(proxy, server)?.settings.max_reuse;
        let connections = self.0.borrow();
        let fits = |c: &&Shared| {
            let worn = most.is_some_and(|most| c.mux.begun.get() > most);
            let same = c.server == server && way.is_served_by(c.way, c.sni.as_deref(), sni);
            same && !worn && !c.mux.held.get() && !c.mux.closing.get() && !c.mux.ended.get()
        };
        connections.iter().filter(fits).find_map(|c| {
            let carried = c.mux.begun.get();
            Some((c.mux.request()?, carried))
        })
    }

    /// Idle connections to `server` end.
    pub fn drop_server(&self, server: ServerIndex) {
        for c in self.0.borrow().iter().filter(|c| c.server == server) {
            c.mux.wake();
        }
    }
}

impl Mux {
    /// A new stream to the server, if it takes another one.
    fn request(self: &Rc<Mux>) -> Option<Stream> {
        let id = self.codec.borrow_mut().open()?;
        Some(self.enter(id))
    }
}

/// Counts a stream to a server of a backend while it lives: `h2_backend_open_streams` and their total.
pub struct Counted(Rc<Worker>, ProxyIndex);

impl Counted {
    pub fn new(w: &Rc<Worker>, proxy: ProxyIndex) -> Counted {
        w.counts().backend(proxy).add(BackendCounter::H2BackendOpenStreams, 1);
        w.counts().backend(proxy).add(BackendCounter::H2BackendTotalStreams, 1);
        Counted(w.clone(), proxy)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counts().backend(self.1).sub(BackendCounter::H2BackendOpenStreams, 1);
    }
}

/// A server's connection.
struct Server {
    w: Rc<Worker>,
    proxy: ProxyIndex,
    server: ServerIndex,
    way: Way,
}

impl Side for Server {
    fn begin(&self, mux: &Rc<Mux>, stream: StreamId, _: bool) {
        // An answer to nobody: its stream has been given up.
        let mut out = mux.out();
        mux.codec.borrow_mut().reset(stream, ErrorCode::CANCEL, &mut out);
    }

    fn streams_max(&self) -> usize {
        // It begins them itself.
        usize::MAX
    }

    fn deadline(&self, mux: &Mux) -> Millis {
        let delay = self.w.board.live.server(self.proxy, self.server).map_or(0, |s| s.settings.pool_purge_delay_ms);
        mux.idle_since.get().plus(delay)
    }

    fn retires(&self, mux: &Mux) -> bool {
        let Some(live) = self.w.board.live.server(self.proxy, self.server) else { return true };
        let worn = live.settings.max_reuse.is_some_and(|most| mux.begun.get() > most);
        let left = live.is_deleted() || live.in_maintenance() || live.moves() != self.way.moves;
        worn || left || mux.closing.get()
    }

    fn send_timeout(&self) -> Option<u64> {
        self.w.plan.proxies[self.proxy].timeouts.server
    }

    fn note(&self, event: &Event) {
        let counter = match event {
            Event::Head { .. } => BackendCounter::H2HeadersRcvd,
            Event::Data { .. } => BackendCounter::H2DataRcvd,
            Event::Settings => BackendCounter::H2SettingsRcvd,
            Event::Reset { .. } => BackendCounter::H2RstStreamRcvd,
            Event::GoAway { .. } => BackendCounter::H2GoawayRcvd,
            Event::Refused { .. } => BackendCounter::H2DetectedStrmProtocolErrors,
            _ => return,
        };
        self.w.counts().backend(self.proxy).add(counter, 1);
    }

    fn glitched(&self, _: u32, total: u32) -> bool {
        let most = self.w.plan.global.tune.h2_be_glitches_threshold;
        most > 0 && total >= most
    }

    fn faulted(&self) {
        self.w.counts().backend(self.proxy).add(BackendCounter::H2DetectedConnProtocolErrors, 1);
        self.w.counts().backend(self.proxy).add(BackendCounter::H2GoawayResp, 1);
    }
}

/// Speaks HTTP/2 on a connection that was just made: its first stream.
pub fn begin(
    w: &Rc<Worker>,
    proxy: ProxyIndex,
    server: ServerIndex,
    transport: Transport,
    way: Way,
) -> Option<Stream> {
    let tune = &w.plan.global.tune;
    let config = Config {
        max_concurrent_streams: tune.h2_be_max_concurrent_streams.unwrap_or(tune.h2_max_concurrent_streams),
        initial_window_size: tune.h2_be_initial_window_size.unwrap_or(tune.h2_initial_window_size),
        shared_window: tune.h2_be_rxbuf,
        scheme: if transport.tls_facts().is_some() { "https" } else { "http" },
        ..config(tune, Role::Client)
    };
    let idle_ping_ms = w.board.live.server(proxy, server).and_then(|s| s.settings.idle_ping_ms);
    let mux = Mux::new(w, config, idle_ping_ms, transport.tls_facts());
    let stream = mux.request()?;
    let shared = Shared { server, sni: transport.sni().map(Into::into), way, mux: mux.clone() };
    w.backends[proxy].connections.0.borrow_mut().push(shared);
    let side = Server { w: w.clone(), proxy, server, way };
    let counts = w.counts().backend(proxy);
    counts.add(BackendCounter::H2OpenConnections, 1);
    counts.add(BackendCounter::H2TotalConnections, 1);
    let driven = mux.clone();
    let driver = w.rt.spawn(async move {
        driven.drive(&transport, Piece::Empty, &side).await;
        side.w.backends[proxy].connections.0.borrow_mut().retain(|c| !Rc::ptr_eq(&c.mux, &driven));
        side.w.counts().backend(proxy).sub(BackendCounter::H2OpenConnections, 1);
    });
    mux.driver.set(driver);
    Some(stream)
}
