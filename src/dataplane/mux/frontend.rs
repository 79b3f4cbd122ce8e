//! HTTP/2 connections of clients: which ones speak it, and a task for each of their streams.

use super::super::session::Session;
use super::super::stream;
use super::{Mux, Side, config};
use crate::base::clock::Millis;
use crate::engine::Piece;
use crate::model::bind::Proto;
use crate::model::state::counters::FrontendCounter;
use crate::model::stick_table::data::What;
use crate::proto::h2::{Config, ErrorCode, Event, PREFACE, Role, StreamId};
use std::cell::Cell;
use std::rc::Rc;

/// Whether a connection speaks HTTP/2, by what is known so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    Http1,
    Http2,
    /// So far it begins like the preface: more bytes tell.
    Unknown,
}

/// Told by the bind line, by ALPN, or by the first bytes (RFC 9113 §3.3, §3.4; manual 5.1 "proto").
pub fn spoken(s: &Session, first: &[u8]) -> Spoken {
    match s.bind().proto {
        Some(Proto::H1) => return Spoken::Http1,
        Some(Proto::H2) => return Spoken::Http2,
        None => {}
    }
    if let Some(tls) = &s.facts.borrow().tls
        && let Some(alpn) = &tls.alpn
    {
        return if &**alpn == b"h2" { Spoken::Http2 } else { Spoken::Http1 };
    }
    if s.settings().options.disable_h2_upgrade {
        return Spoken::Http1;
    }
    let n = first.len().min(PREFACE.len());
    match first[..n] == PREFACE[..n] {
        true if n == PREFACE.len() => Spoken::Http2,
        true => Spoken::Unknown,
        false => Spoken::Http1,
    }
}

/// A client's connection.
struct Client {
    s: Rc<Session>,
    /// Streams begun; the first has a timeout of its own.
    begun: Cell<u32>,
    /// Streams that the client may have begun at once.
    streams_max: usize,
}

impl Client {
    fn count(&self, counter: FrontendCounter) {
        self.s.w.counts().frontend(self.s.proxy).add(counter, 1);
    }
}

impl Side for Client {
    fn begin(&self, mux: &Rc<Mux>, id: StreamId, ended: bool) {
        let number = self.begun.get() + 1;
        self.begun.set(number);
        let stream = mux.enter(id);
        let w = &self.s.w;
        if let Some(state) = mux.state(id) {
            mux.deliver_head(&state, ended);
        }
        self.count(FrontendCounter::H2BackendTotalStreams);
        self.count(FrontendCounter::H2BackendOpenStreams);
        let parent = self.s.clone();
        let task = w.rt.spawn(async move {
            let s = Session::of_stream(&parent, stream, number);
            // A stream is one request; what would follow is a stream of its own.
            stream::http::serve(&s, Piece::Empty).await;
            s.w.counts().frontend(s.proxy).sub(FrontendCounter::H2BackendOpenStreams, 1);
        });
        if let Some(state) = mux.state(id) {
            state.begin(id, task);
        }
    }

    fn streams_max(&self) -> usize {
        self.streams_max
    }

    fn deadline(&self, mux: &Mux) -> Millis {
        let timeouts = &self.s.settings().timeouts;
        let (timeout, mut since) = match (self.begun.get(), mux.head_since.get()) {
            (0, _) => (timeouts.http_request, self.s.accepted.mono),
            (_, Some(since)) => (timeouts.http_request, since),
            (_, None) => (timeouts.http_keep_alive.or(timeouts.http_request), mux.idle_since.get()),
        };
        // Answers to `idle-ping` refresh the client's timeout alone.
        if timeout.is_none()
            && let Some(ping) = &mux.idle_ping
        {
            since = since.max(ping.heard());
        }
        timeout.or(timeouts.client).map_or(Millis::NEVER, |ms| since.plus(ms))
    }

    fn retires(&self, _: &Mux) -> bool {
        let most = self.s.w.plan.global.tune.h2_fe_max_total_streams.unwrap_or(0);
        self.s.w.closes_kept() && !self.s.settings().options.idle_close_on_response
            || most > 0 && self.begun.get() >= most
    }

    fn send_timeout(&self) -> Option<u64> {
        self.s.settings().timeouts.client
    }

    fn note(&self, event: &Event) {
        let counter = match event {
            Event::Head { .. } => FrontendCounter::H2HeadersRcvd,
            Event::Data { .. } => FrontendCounter::H2DataRcvd,
            Event::Settings => FrontendCounter::H2SettingsRcvd,
            Event::Reset { .. } => FrontendCounter::H2RstStreamRcvd,
            Event::GoAway { .. } => FrontendCounter::H2GoawayRcvd,
            Event::Refused { code, .. } => {
                self.count(FrontendCounter::H2RstStreamResp);
                match *code {
                    ErrorCode::PROTOCOL_ERROR => FrontendCounter::H2DetectedStrmProtocolErrors,
                    _ => return,
                }
            }
            _ => return,
        };
        self.count(counter);
    }

    fn glitched(&self, n: u32, total: u32) -> bool {
        self.s.tracked().borrow().count(What::Glitch, n.into());
        self.s.facts.borrow_mut().glitches = total;
        let most = self.s.w.plan.global.tune.h2_fe_glitches_threshold;
        most > 0 && total >= most
    }

    fn faulted(&self) {
        self.count(FrontendCounter::H2DetectedConnProtocolErrors);
        self.count(FrontendCounter::H2GoawayResp);
    }
}

/// Serves a connection that speaks HTTP/2 from its first byte on.
pub async fn serve(s: Session, first: Piece) {
    let w = s.w.clone();
    let tune = &w.plan.global.tune;
    let config = Config {
        max_concurrent_streams: tune.h2_fe_max_concurrent_streams.unwrap_or(tune.h2_max_concurrent_streams),
        initial_window_size: tune.h2_fe_initial_window_size.unwrap_or(tune.h2_initial_window_size),
        shared_window: tune.h2_fe_rxbuf,
        extended_connect: !w.plan.global.h2_workaround_bogus_websocket_clients,
        ..config(tune, Role::Server)
    };
    s.facts.borrow_mut().http_major = 2;
    w.counts().frontend(s.proxy).add(FrontendCounter::H2sess, 1);
    w.counts().frontend(s.proxy).add(FrontendCounter::H2OpenConnections, 1);
    w.counts().frontend(s.proxy).add(FrontendCounter::H2TotalConnections, 1);
    let proxy = s.proxy;
    let streams_max = config.max_concurrent_streams as usize;
    let mux = Mux::new(&w, config, s.bind().idle_ping_ms, None);
    let client = Client { s: Rc::new(s), begun: Cell::new(0), streams_max };
    mux.drive(&client.s.transport, first, &client).await;
    w.counts().frontend(proxy).sub(FrontendCounter::H2OpenConnections, 1);
}
