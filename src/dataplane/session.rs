//! One client connection from accept to close: what stands before the first stream (PROXY protocol, TLS, connection
//! rules), then its streams one after the other. Small while it idles: what a request needs comes with its first byte.

use super::idle::Own;
use super::meter::Metered;
use super::mux::Stream;
use super::mux::frontend::{self, Spoken};
use super::proxy_protocol;
use super::rules;
use super::stream::{self, Next};
use super::tables::slots::Slots;
use super::transport::Transport;
use super::worker::Worker;
use crate::base::address::Address;
use crate::base::buf::Block;
use crate::base::clock::{Millis, Now};
use crate::engine::driver::sockets;
use crate::engine::frame::Frame;
use crate::engine::task::before;
use crate::engine::{Conn, Piece};
use crate::language::facts;
use crate::language::vars::Store;
use crate::model::bind::Bind;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::proxy::{Mode, Proxy};
use crate::model::state::counters::{FrontendCounter, ProcessCounter};
use crate::model::stick_table::data::What;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

pub struct Session {
    pub w: Rc<Worker>,
    pub proxy: ProxyIndex,
    pub bind: usize,
    pub transport: Transport,
    /// Borrowed while rules run.
    pub facts: RefCell<facts::Session>,
    /// Entries of stick tables that the connection tracks; a stream's are its parent's.
    tracked: RefCell<Slots>,
    /// The connection that this is a stream of (HTTP/2).
    pub(super) parent: Option<Rc<Session>>,
    /// Variables of scope `sess`.
    pub vars: Rc<Store>,
    pub accepted: Now,
    /// The server connection that only this session may use again (`http-reuse never`, or a server that knows the client by
    /// it).
    pub own: Cell<Option<Box<Own>>>,
    /// The server of the last request (`option prefer-last-server`).
    pub last_server: Cell<Option<(ProxyIndex, ServerIndex)>>,
    /// Requests begun on this connection, with the present one.
    pub requests: u32,
}

impl Session {
    /// A connection of a client to this `bind` line.
    pub fn new(
        w: Rc<Worker>,
        (proxy, bind): (ProxyIndex, usize),
        conn: Conn,
        facts: facts::Session,
        accepted: Now,
    ) -> Session {
        Session {
            w,
            proxy,
            bind,
            transport: Transport::from(conn),
            facts: RefCell::new(facts),
            tracked: RefCell::default(),
            parent: None,
            vars: Rc::default(),
            accepted,
            own: Cell::new(None),
            last_server: Cell::new(None),
            requests: 0,
        }
    }

    /// Spells the field names of a head for this client as `option h1-case-adjust-bogus-client` wants it.
    pub fn respell(&self, wire: &mut [u8]) {
        if self.settings().options.h1_case_adjust_bogus_client {
            self.w.plan.global.h1_case_adjust.respell(wire);
        }
    }

    /// What one stream of a connection that carries many has for a session: number `n` of them.
    pub fn of_stream(parent: &Rc<Session>, stream: Stream, n: u32) -> Session {
        Session {
            w: parent.w.clone(),
            proxy: parent.proxy,
            bind: parent.bind,
            transport: Transport::from(stream),
            facts: RefCell::new(parent.facts.borrow().clone()),
            tracked: RefCell::default(),
            parent: Some(parent.clone()),
            vars: parent.vars.clone(),
            accepted: parent.accepted,
            own: Cell::new(None),
            last_server: Cell::new(parent.last_server.get()),
            requests: n,
        }
    }

    /// The client's own connection.
    pub fn connection(&self) -> Option<&Conn> {
        self.parent.as_ref().map_or(&self.transport, |parent| &parent.transport).conn()
    }

    pub fn tracked(&self) -> &RefCell<Slots> {
        self.parent.as_ref().map_or(&self.tracked, |parent| &parent.tracked)
    }

    /// Lets go of its own server connection when that has ended.
    fn keep_own(&self) {
        self.own.set(self.own.take().filter(|own| own.idle.transport.is_quiet()));
    }

    pub fn settings(&self) -> &Proxy {
        &self.w.plan.proxies[self.proxy]
    }

    pub fn bind(&self) -> &Bind {
        &self.settings().frontend.binds[self.bind]
    }
}

/// Counts a connection for as long as it lives.
pub struct Counted(Rc<Worker>, ProxyIndex, usize);

impl Counted {
    pub fn new(w: &Rc<Worker>, proxy: ProxyIndex, bind: usize) -> Counted {
        let now = w.rt.now().mono;
        let counts = w.counts();
        counts.process().add(ProcessCounter::CurrConns, 1);
        counts.process().add(ProcessCounter::CumConns, 1);
        counts.frontend(proxy).connection(now);
        counts.frontend(proxy).session(now);
        counts.listener(proxy, bind).session(now);
        w.rate_session(now);
        w.sessions.set(w.sessions.get() + 1);
        Counted(w.clone(), proxy, bind)
    }

    /// One that a former process has counted as come.
    pub fn again(w: &Rc<Worker>, proxy: ProxyIndex, bind: usize) -> Counted {
        let now = w.rt.now().mono;
        let counts = w.counts();
        counts.process().add(ProcessCounter::CurrConns, 1);
        counts.frontend(proxy).session_again(now);
        counts.listener(proxy, bind).session_again(now);
        w.sessions.set(w.sessions.get() + 1);
        Counted(w.clone(), proxy, bind)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let counts = self.0.counts();
        counts.process().sub(ProcessCounter::CurrConns, 1);
        counts.frontend(self.1).session_ended();
        counts.listener(self.1, self.2).session_ended();
        self.0.sessions.set(self.0.sessions.get() - 1);
        self.0.connection_left(self.1);
    }
}

/// The life of an accepted connection. `bound`: the listener's own address, where that is every connection's too. No
/// `async fn`, which would keep what it is given beside what it makes of it: an idle connection is as large as this future.
pub fn run(w: Rc<Worker>, counted: Counted, conn: Conn, bound: Option<SocketAddr>) -> impl Future<Output = ()> {
    let Counted(_, proxy, bind) = counted;
    let accepted = w.rt.now();
    let options = &w.plan.proxies[proxy].options;
    if options.nolinger {
        conn.reset_on_close();
    }
    if options.tcp_smart_accept == Some(true) {
        // The acknowledgement of the first bytes waits for the answer that goes with it.
        let _ = sockets::set(conn.fd(), libc::IPPROTO_TCP, libc::TCP_QUICKACK, 0i32);
    }
    let facts = first_facts(&w, proxy, bind, &conn, bound, accepted);
    let mut s = Session::new(w, (proxy, bind), conn, facts, accepted);
    async move {
        let Some(pending) = Frame::new(begin(&mut s)).await else { return };
        s.w.counts().frontend(proxy).established();
        match s.settings().mode {
            Mode::Http => {
                begin_http1(&mut s, &pending);
                let Some((spoken, pending)) = opening(&mut s, pending).await else { return };
                match spoken {
                    Spoken::Http2 => {
                        s.transport.meter(None);
                        Frame::new(frontend::serve(s, pending)).await;
                    }
                    _ => http(&mut s, pending).await,
                }
            }
            _ => {
                s.w.counts().frontend(proxy).add(FrontendCounter::SessOther, 1);
                Frame::new(stream::tcp::run(&mut s, pending)).await;
            }
        }
        drop(counted);
    }
}

fn first_facts(
    w: &Worker,
    proxy: ProxyIndex,
    bind: usize,
    conn: &Conn,
    bound: Option<SocketAddr>,
    accepted: Now,
) -> facts::Session {
    let ip = |a: std::io::Result<Address>| match a {
        Ok(Address::Ip(a)) => Some(a),
        _ => None,
    };
    let src = ip(conn.peer());
    // Only a wildcard bind leaves the destination open: then it costs a system call.
    let dst = bound.or_else(|| ip(conn.local()));
    let listener = w.names[proxy].listeners[bind].clone();
    let saves = w.plan.proxies[proxy].frontend.binds[bind].tcp_ss > 0;
    let saved_syn = if saves { sockets::saved_syn(conn.fd()) } else { None };
    let saved_syn = saved_syn.map(|bytes| Rc::new(facts::Packet(bytes)));
    facts::Session { src, dst, saved_syn, accept_us: accepted.wall_us, ..facts::Session::new(listener) }
}

/// What stands before the first stream. `None`: the connection is over.
async fn begin(s: &mut Session) -> Option<Piece> {
    if !rules::tcp_request_connection(s).await {
        return None;
    }
    let mut pending = Piece::Empty;
    if s.bind().accept_proxy || s.facts.borrow().expect_proxy {
        pending = proxy_protocol::receive(s).await?;
    }
    pending = super::tls::accept(s, pending).await?;
    if !rules::tcp_request_session(s).await {
        return None;
    }
    s.tracked().borrow().count(What::Session, 1);
    Some(pending)
}

/// A connection counts as one of HTTP/1 until it is known to speak HTTP/2: one that begins with the preface counts as
/// both (observed).
fn begin_http1(s: &mut Session, pending: &Piece) {
    if frontend::spoken(s, &[]) == Spoken::Http2 {
        return;
    }
    s.w.counts().frontend(s.proxy).add(FrontendCounter::H1sess, 1);
    s.transport.meter(Some(&s.w.names[s.proxy].h1));
    if let Some(metered) = s.transport.metered() {
        metered.received(pending.bytes().len() as u64);
    }
}

/// Requests one after the other (RFC 9112 §9.3).
async fn http(s: &mut Session, pending: Piece) {
    let mut pending = pending;
    loop {
        let first = if pending.bytes().is_empty() {
            match wait_for_request(s).await {
                Some(piece) => piece,
                None => return,
            }
        } else {
            std::mem::take(&mut pending)
        };
        s.requests += 1;
        let _stream = s.transport.metered().map(Metered::stream);
        let next = Frame::new(stream::http::serve(s, first)).await;
        match next {
            Next::Close => return,
            Next::Request(rest) => pending = rest,
            Next::AfterRest(body, then) => match Frame::new(stream::reply::read_rest(s, *body, then)).await {
                Some(rest) => pending = rest,
                None => return,
            },
        }
    }
}

/// Reads until it is clear what the connection speaks. `None`: it is over.
async fn opening(s: &mut Session, first: Piece) -> Option<(Spoken, Piece)> {
    let mut first = first;
    loop {
        match frontend::spoken(s, first.bytes()) {
            Spoken::Unknown => {}
            spoken => return Some((spoken, first)),
        }
        let more = wait_for_request(s).await?;
        if first.bytes().is_empty() {
            first = more;
        } else {
            let mut joined = Block::copy_of(first.bytes());
            joined.extend_from_slice(more.bytes());
            first = Piece::Block(joined, 0);
        }
    }
}

/// Waits for the first bytes of a request; the connection idles here.
async fn wait_for_request(s: &mut Session) -> Option<Piece> {
    let timeouts = &s.settings().timeouts;
    let first = s.requests == 0;
    let (timeout, since) = if first {
        (least(timeouts.http_request, timeouts.client), s.accepted.mono)
    } else {
        (timeouts.http_keep_alive.or(timeouts.http_request).or(timeouts.client), s.w.rt.now().mono)
    };
    let deadline = timeout.map_or(Millis::NEVER, |ms| since.plus(ms));
    let received = match first {
        // Who has just come is served, even by a worker that stops.
        true => before(&s.w.rt, deadline, s.transport.recv()).await.ok(),
        false => {
            let patient = s.settings().options.idle_close_on_response;
            let mut request = pin!(s.w.stoppable(deadline, &s.transport, patient));
            poll_fn(|cx| {
                s.keep_own();
                request.as_mut().poll(cx)
            })
            .await
        }
    };
    match received {
        Some(Ok(Some(piece))) => Some(piece),
        other => {
            if first {
                // A connection that never said anything: a probe, or a client too slow.
                let timed_out = other.is_none();
                Frame::new(stream::http::empty_connection(s, timed_out)).await;
            }
            None
        }
    }
}

fn least(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
