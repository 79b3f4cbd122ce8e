//! A stream: one request and its response, or the bytes of a TCP session. [`Exchange`] is what it needs beside its
//! connections; exchanges come from the worker's pool and keep their memory from one stream to the next.
//! A request's way to a server is [`forward`], the response's way back [`download`]; both write through the transport,
//! which knows the protocol.

pub mod body;
mod download;
mod forward;
pub mod http;
pub mod reply;
pub mod request;
pub mod response;
mod splice;
pub mod tcp;
pub mod termination;

use super::cookie;
use super::lookup::Lookup;
use super::registry::Place;
use super::session::Session;
use super::tables::memo::Memo;
use super::tables::registry::TableId;
use super::tables::slots::Slots;
use super::worker::Worker;
use crate::base::clock::Now;
use crate::engine::Piece;
use crate::language::facts;
use crate::language::rules::reply::Reply;
use crate::language::vars::Vars;
use crate::model::compression::CompressionAlgorithm;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::state::cell::Times;
use crate::model::state::counters::{BackendCounter, FrontendCounter, ListenerCounter, ServerCounter};
use crate::model::stick_table::data::What;
use crate::proto::h1::framing::Framing;
use crate::proto::h1::persistence::Persistence;
use crate::proto::http::head::{Head, Version};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// What follows on the client's connection.
pub enum Next {
    Close,
    /// Another request may come; these bytes of it are here already.
    Request(Piece),
    /// The answer came before the request's end: what is still to come of that is read first.
    AfterRest(Box<body::Body>, Persistence),
}

/// The counters of one end of one direction: of frontend, listener, backend and server.
#[derive(Clone, Copy)]
struct Passed(FrontendCounter, ListenerCounter, BackendCounter, ServerCounter);

macro_rules! passed {
    ($id:ident) => {
        Passed(FrontendCounter::$id, ListenerCounter::$id, BackendCounter::$id, ServerCounter::$id)
    };
}

const REQUEST_RECEIVED: Passed = passed!(Reqbin);
const REQUEST_SENT: Passed = passed!(Reqbout);
const RESPONSE_RECEIVED: Passed = passed!(Resbin);
const RESPONSE_SENT: Passed = passed!(Resbout);

/// The state of one stream.
pub struct Exchange {
    pub facts: facts::Stream,
    pub request: Head,
    pub response: Head,
    pub vars: Vars,
    /// A head that came in pieces.
    pub input: Vec<u8>,
    /// What `balance url_param` found in a posted form.
    pub form_value: Vec<u8>,
    /// Backend in charge, once chosen; its session is counted.
    pub backend: Option<ProxyIndex>,
    /// Server in charge; its session is counted.
    pub server: Option<(ProxyIndex, ServerIndex)>,
    pub start: Now,
    /// Moments on the monotonic clock in nanoseconds; 0: not reached.
    pub request_ns: u64,
    pub queued_ns: u64,
    pub connected_ns: u64,
    pub response_ns: u64,
    /// How far the clock of these moments is ahead of this process's, in nanoseconds: the stream began in a former one.
    pub clock_ns: u64,
    pub response_started: bool,
    pub request_version: Version,
    pub request_framing: Framing,
    /// The client's connection may carry another request, as far as request and options say.
    pub keep_client: bool,
    pub failure: Option<termination::Failure>,
    pub logged: bool,
    /// The request was held by `tarpit`.
    pub tarpitted: bool,
    /// The algorithm that the client prefers of those that may be used.
    pub compression: Option<CompressionAlgorithm>,
    /// The reply of a response rule.
    pub replacement: Option<Reply>,
    /// Entries of stick tables that this stream tracks.
    pub tracked: RefCell<Slots>,
    /// A server's answer has said what tracked entries count.
    outcome_counted: bool,
    /// What the running rule has asked of stick tables.
    pub memo: Memo,
    /// The name that the running rule has asked for.
    pub lookup: Lookup,
    /// What persistence by cookie has found and done.
    pub cookie: cookie::State,
    /// Keys of `stick` rules to be stored when the server has answered.
    pub stores: Vec<(TableId, Vec<u8>)>,
    /// `force-persist` and `ignore-persist` of this stream.
    pub force_persist: bool,
    pub ignore_persist: bool,
    /// Rules of the session run: what they track is the session's.
    pub before_stream: bool,
    /// What others may know of the stream.
    pub place: Rc<Place>,
}

impl Exchange {
    pub fn new() -> Exchange {
        Exchange {
            facts: facts::Stream::default(),
            request: Head::new(),
            response: Head::new(),
            vars: Vars::default(),
            input: Vec::new(),
            form_value: Vec::new(),
            backend: None,
            server: None,
            start: Now::default(),
            request_ns: 0,
            queued_ns: 0,
            connected_ns: 0,
            response_ns: 0,
            clock_ns: 0,
            response_started: false,
            request_version: Version::Http11,
            request_framing: Framing::None,
            keep_client: false,
            failure: None,
            logged: false,
            tarpitted: false,
            compression: None,
            replacement: None,
            tracked: RefCell::default(),
            outcome_counted: false,
            memo: Memo::default(),
            lookup: Lookup::default(),
            cookie: cookie::State::default(),
            stores: Vec::new(),
            force_persist: false,
            ignore_persist: false,
            before_stream: false,
            place: Rc::default(),
        }
    }

    /// Makes it ready for a stream that starts now.
    pub fn begin(&mut self, s: &Session, start: Now) {
        let w = &*s.w;
        // Vectors keep their memory; everything else is as new.
        let mut fresh = facts::Stream::default();
        std::mem::swap(&mut fresh.method, &mut self.facts.method);
        std::mem::swap(&mut fresh.uri, &mut self.facts.uri);
        std::mem::swap(&mut fresh.request_captures, &mut self.facts.request_captures);
        std::mem::swap(&mut fresh.response_captures, &mut self.facts.response_captures);
        fresh.method.clear();
        fresh.uri.clear();
        fresh.request_captures.clear();
        fresh.response_captures.clear();
        fresh.id = w.next_stream_id();
        fresh.request_us = start.wall_us;
        if s.requests <= 1 {
            fresh.timers.handshake = s.facts.borrow().handshake_ms;
        }
        self.facts = fresh;
        self.request.clear();
        self.response.clear();
        self.vars.clear_stream();
        if !Rc::ptr_eq(&self.vars.sess, &s.vars) {
            self.vars.sess = s.vars.clone();
        }
        let [session, transaction, message] = w.plan.global.tune.vars_bounds();
        self.vars.sess.limit(session);
        self.vars.txn.limit(transaction);
        self.vars.req.limit(message);
        self.vars.res.limit(message);
        if !Arc::ptr_eq(&self.vars.proc, &w.shared.proc_vars) {
            self.vars.proc = w.shared.proc_vars.clone();
        }
        self.input.clear();
        self.form_value.clear();
        self.memo.settle();
        self.outcome_counted = false;
        self.backend = None;
        self.server = None;
        self.start = start;
        (self.request_ns, self.queued_ns, self.connected_ns, self.response_ns) = (0, 0, 0, 0);
        self.clock_ns = 0;
        self.response_started = false;
        self.request_version = Version::Http11;
        self.request_framing = Framing::None;
        self.keep_client = false;
        self.failure = None;
        self.logged = false;
        self.tarpitted = false;
        self.compression = None;
        self.replacement = None;
        self.tracked.get_mut().release();
        self.memo.settle();
        self.lookup.settle();
        self.stores.clear();
        self.cookie = cookie::State::default();
        (self.force_persist, self.ignore_persist) = (false, false);
        self.before_stream = false;
    }

    /// The stream goes to backend `proxy`.
    pub fn enter_backend(&mut self, w: &Rc<Worker>, proxy: ProxyIndex) {
        if self.backend == Some(proxy) {
            return;
        }
        self.leave_backend(w);
        self.backend = Some(proxy);
        self.place.backend.set(self.backend);
        w.counts().backend(proxy).session(w.rt.now().mono);
        self.know_backend(w, proxy);
    }

    /// The stream was with this server of the backend in a former process, which has counted it.
    pub fn stays_with(&mut self, w: &Rc<Worker>, proxy: ProxyIndex, server: ServerIndex) {
        let now = w.rt.now().mono;
        (self.backend, self.server) = (Some(proxy), Some((proxy, server)));
        w.counts().backend(proxy).session_again(now);
        w.counts().server(proxy, server).session_again(now);
        self.know_backend(w, proxy);
        self.facts.server = w.server_name(proxy, server);
    }

    fn know_backend(&mut self, w: &Rc<Worker>, proxy: ProxyIndex) {
        self.facts.backend = Some(w.names[proxy].backend.clone());
        // What rules have not set is the backend's.
        let (set, settings) = (&mut self.facts.timeouts, &w.plan.proxies[proxy].timeouts);
        set.connect = set.connect.or(settings.connect);
        set.queue = set.queue.or(settings.queue).or(settings.connect);
        set.server = set.server.or(settings.server);
        set.tunnel = set.tunnel.or(settings.tunnel);
    }

    pub fn leave_backend(&mut self, w: &Worker) {
        if let Some(proxy) = self.backend.take() {
            w.counts().backend(proxy).session_ended();
        }
    }

    /// The stream no longer counts for its server.
    pub fn leave_server(&mut self, w: &Worker) {
        if let Some((proxy, server)) = self.server.take() {
            self.place.server.set(None);
            w.counts().server(proxy, server).session_ended();
        }
    }

    /// The stream goes to another server, or to the same one again: its request counts for the last one alone.
    pub fn change_server(&mut self, w: &Worker) {
        if let Some((proxy, server)) = self.server {
            w.counts().server(proxy, server).sub(ServerCounter::Reqbin, self.facts.request_bytes_in);
        }
        self.leave_server(w);
    }

    /// Counts the outcome for tracked entries, before rules for responses look at them.
    pub fn count_outcome(&mut self, s: &Session, status: u16) {
        self.outcome_counted = true;
        let global = &s.w.plan.global;
        let (error, failure) = (global.http_err_codes.contains(status), global.http_fail_codes.contains(status));
        for slots in [&self.tracked, s.tracked()] {
            let slots = slots.borrow();
            if error {
                slots.count(What::Error, 1);
            }
            if failure {
                slots.count(What::Failure, 1);
            }
        }
    }

    /// What the end of a request counts for tracked entries (manual 11.1): the bytes, and the outcome if no server's
    /// answer has said it.
    pub fn count_tracked(&mut self, s: &Session) {
        if !std::mem::take(&mut self.outcome_counted) {
            self.count_outcome(s, self.facts.status);
            self.outcome_counted = false;
        }
        for slots in [&self.tracked, s.tracked()] {
            let slots = slots.borrow();
            slots.count(What::BytesIn, self.facts.request_bytes_in);
            slots.count(What::BytesOut, self.facts.response_bytes_in);
        }
        self.tracked.get_mut().release();
    }

    /// Counts bytes received from the client for this stream.
    pub fn count_request_bytes(&mut self, w: &Worker, frontend: ProxyIndex, bind: usize, n: u64) {
        self.facts.bytes_in += n;
        self.facts.request_bytes_in += n;
        self.count(w, (frontend, bind), REQUEST_RECEIVED, n);
    }

    /// Counts bytes that the server got for this stream.
    pub fn count_request_sent(&mut self, w: &Worker, frontend: ProxyIndex, bind: usize, n: u64) {
        self.facts.request_bytes_out += n;
        self.count(w, (frontend, bind), REQUEST_SENT, n);
    }

    /// Counts bytes that the server sent for this stream.
    pub fn count_response_bytes(&mut self, w: &Worker, frontend: ProxyIndex, bind: usize, n: u64) {
        self.facts.bytes_out += n;
        self.facts.response_bytes_in += n;
        self.count(w, (frontend, bind), RESPONSE_RECEIVED, n);
    }

    /// Counts bytes that the client got for this stream.
    pub fn count_response_sent(&mut self, w: &Worker, frontend: ProxyIndex, bind: usize, n: u64) {
        self.facts.response_bytes_out += n;
        self.count(w, (frontend, bind), RESPONSE_SENT, n);
    }

    fn count(&self, w: &Worker, (frontend, bind): (ProxyIndex, usize), passed: Passed, n: u64) {
        if n == 0 {
            return;
        }
        let counts = w.counts();
        counts.frontend(frontend).add(passed.0, n);
        counts.listener(frontend, bind).add(passed.1, n);
        if let Some(backend) = self.backend {
            counts.backend(backend).add(passed.2, n);
        }
        if let Some((proxy, server)) = self.server {
            counts.server(proxy, server).add(passed.3, n);
        }
    }

    /// The request has no body to be read.
    pub fn request_is_bodyless(&self) -> bool {
        matches!(self.request_framing, Framing::None | Framing::Length(0))
    }

    /// This moment on the clock of the stream's moments.
    fn clock(&self, now: Now) -> u64 {
        now.nanos.saturating_add(self.clock_ns)
    }

    /// Computes the log's timers (manual 8.4) of what is over.
    pub fn fill_past_timers(&mut self) {
        let t = &mut self.facts.timers;
        if self.request_ns > 0 {
            t.request = ms(self.start.nanos, self.request_ns);
        }
        if self.queued_ns > 0 {
            t.queue = ms(self.request_ns, self.queued_ns);
        }
        if self.tarpitted {
            t.request = -1;
        }
        if self.connected_ns > 0 {
            t.connect = ms(self.queued_ns, self.connected_ns);
        }
        if self.response_ns > 0 {
            t.response = ms(self.connected_ns, self.response_ns);
        }
    }

    /// Computes all of them as of `now`.
    pub fn fill_timers(&mut self, now: Now) {
        self.fill_past_timers();
        let (start, now_ns) = (self.start.nanos, self.clock(now));
        let t = &mut self.facts.timers;
        if self.response_ns > 0 {
            t.data = ms(self.response_ns, now_ns);
        }
        t.active = ms(start, now_ns);
        t.total = t.idle + t.handshake + t.active;
        t.user = t.active + t.idle;
    }

    /// The timers at the stream's end, counted.
    pub fn settle_times(&mut self, w: &Worker, frontend: ProxyIndex, now: Now) {
        self.fill_timers(now);
        let start = self.start.nanos;
        let us = |from: u64, to: u64| (from > 0 && to > 0).then(|| to.saturating_sub(from) / 1000);
        let times = Times::new([
            us(self.request_ns, self.queued_ns),
            us(self.queued_ns, self.connected_ns),
            us(self.connected_ns, self.response_ns),
            Some(self.clock(now).saturating_sub(start) / 1000),
        ]);
        let counts = w.counts();
        counts.frontend(frontend).times(&times);
        if let Some(backend) = self.backend
            && self.queued_ns > 0
        {
            counts.backend(backend).times(&times);
        }
        if let Some((proxy, server)) = self.server {
            counts.server(proxy, server).times(&times);
        }
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Exchange::new()
    }
}

/// Milliseconds between two moments.
fn ms(from: u64, to: u64) -> i64 {
    (to.saturating_sub(from) / 1_000_000) as i64
}

/// Exchanges of a worker that wait for their next stream.
#[derive(Default)]
pub struct Exchanges(std::cell::RefCell<Vec<Box<Exchange>>>);

/// Exchanges kept; beyond it they are freed.
const KEPT: usize = 1024;

impl Exchanges {
    pub fn take(&self) -> Box<Exchange> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Frees those that are kept.
    pub fn forget(&self) {
        self.0.take();
    }

    /// Takes an exchange back. A stream that ended while a rule waited leaves no question open, and no answer that the
    /// next stream would take for its own.
    pub fn give(&self, exchange: Box<Exchange>) {
        exchange.memo.settle();
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT {
            kept.push(exchange);
        }
    }
}
