//! From a backend to a connection: choose a server (persistence, balance, queue), take an idle connection or make a new
//! one, retry and redispatch as the manual says (4.2 "retries", "option redispatch").

use super::bequest;
use super::idle::{Idle, Own, Way};
use super::key::{KeyOf, last_server};
use super::meter::{Metered, MeteredStream};
use super::mux::backend;
use super::proxy_protocol;
use super::queue::{self, Place, Slot};
use super::session::Session;
use super::socks4::Tunnel;
use super::stream::Exchange;
use super::stream::termination::Failure;
use super::tls::Offer;
use super::transport::Transport;
use super::worker::{Seen, Worker};
use crate::base::address::Address;
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::driver::{ConnectOptions, KeepAlive};
use crate::engine::frame::Frame;
use crate::engine::task::{before, sleep};
use crate::engine::{Chain, Conn, Piece};
use crate::language::context::{Payload, Side};
use crate::language::facts::ConnectionError;
use crate::model::backend::HttpReuse;
use crate::model::balance::{Choice, Key};
use crate::model::bind::Proto;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::proxy::Mode;
use crate::model::server::{Server, Source, UseSrc, WebSocketProto};
use crate::model::state::counters::{BackendCounter, ServerCounter};
use crate::model::state::live::BackendLive;
use crate::model::state::server::ServerLive;
use crate::proto::http::head::Head;
use crate::proto::websocket;
use std::cell::Cell;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Pause before a retry on the same server (manual 4.2 "retries").
const TURN_AROUND_MS: u64 = 1000;

/// A server chosen for a stream, with the slot that goes with it.
pub struct Assigned {
    pub server: ServerIndex,
    pub slot: Option<Slot>,
    /// Balancing has chosen it just now, and that is not counted yet.
    balanced: bool,
}

/// A connection to a server in the service of one stream.
pub struct Link {
    pub transport: Transport,
    pub proxy: ProxyIndex,
    pub server: ServerIndex,
    /// Requests this connection carried before this one.
    pub requests: u32,
    way: Way,
    private: Cell<bool>,
    _used: Used,
    _stream: Option<MeteredStream>,
    _h2: Option<backend::Counted>,
    slot: Option<Slot>,
}

/// Counts a connection as in use while it lives.
struct Used(Rc<Worker>, ProxyIndex, ServerIndex);

impl Drop for Used {
    fn drop(&mut self) {
        self.0.counts().server(self.1, self.2).connection_unused();
        self.0.backends[self.1].idle.in_service(self.2, false);
    }
}

impl Link {
    fn new(
        w: &Rc<Worker>,
        proxy: ProxyIndex,
        assigned: Assigned,
        (transport, requests, private): (Transport, u32, bool),
        way: Way,
    ) -> Link {
        let server = assigned.server;
        w.counts().server(proxy, server).connection_used(w.rt.now().mono);
        w.backends[proxy].idle.in_service(server, true);
        let _used = Used(w.clone(), proxy, server);
        let _stream = transport.metered().map(Metered::stream);
        let _h2 = transport.stream().map(|_| backend::Counted::new(w, proxy));
        let private = Cell::new(private);
        Link { transport, proxy, server, requests, way, private, _used, _stream, _h2, slot: assigned.slot }
    }

    /// A connection that a former process has made.
    pub fn again(
        w: &Rc<Worker>,
        (proxy, server): (ProxyIndex, ServerIndex),
        transport: Transport,
        slot: Option<Slot>,
    ) -> Link {
        let moves = w.board.live.server(proxy, server).map_or(0, ServerLive::moves);
        let way = Way { moves, to: None, from: None, told: None, named: None };
        let assigned = Assigned { server, slot, balanced: false };
        Link::new(w, proxy, assigned, (transport, 0, false), way)
    }

    pub fn was_reused(&self) -> bool {
        self.requests > 0
    }

    /// The server knows the client by this connection: only its session may use it again.
    pub fn make_private(&self) {
        self.private.set(true);
    }

    /// Gives the slot back while the connection goes on (a tunnel keeps it).
    pub fn into_idle(self, w: &Rc<Worker>, s: &Session) {
        let Link { transport, proxy, server, requests, way, private, _used, _stream, _h2, slot } = self;
        drop(slot);
        let Some(live) = w.board.live.server(proxy, server) else { return };
        let settings = &live.settings;
        let worn = settings.max_reuse.is_some_and(|max| requests >= max);
        let private = private.get();
        let never = w.plan.proxies[proxy].backend.http_reuse == HttpReuse::Never;
        let left = live.is_deleted() || live.in_maintenance() || live.moves() != way.moves;
        if worn || left || !transport.is_quiet() {
            return;
        }
        let (since, safe) = (w.rt.now().mono, requests > 0);
        let idle = Idle { transport, since, aged_ms: 0, requests: requests + 1, safe, private, way };
        if never || private {
            // A session keeps one connection at most, so that only a limit of none is ever met.
            if s.settings().backend.max_session_srv_conns == Some(0) {
                return;
            }
            // It stays with the client's connection, which alone may use it again, and looks after it.
            idle.transport.watch(w.rt.current());
            s.own.set(Some(Box::new(Own::new(w, proxy, server, idle))));
            return;
        }
        if w.bequeaths.get() {
            return bequest::leave(w, proxy, server, idle);
        }
        w.backends[proxy].idle.put(w, proxy, server, idle, settings.pool_max_conn);
    }
}

/// Chooses a server of `proxy`, waiting in the queue when all are full.
pub async fn assign(
    w: &Rc<Worker>,
    client: &Transport,
    ex: &mut Exchange,
    proxy: ProxyIndex,
    key: KeyOf,
    excluding: Option<ServerIndex>,
) -> Result<Assigned, Failure> {
    let settings = &w.plan.proxies[proxy];
    let live = w.board.live.backend(proxy);
    let timeout = settings.timeouts.queue.or(settings.timeouts.connect);
    let mut place: Option<Place> = None;
    // It has just begun to wait: what it finds free now is for those who came before, too.
    let mut begins = false;
    let mut deadline = Millis::NEVER;
    let hashed = matches!(key, KeyOf::Bytes(_) | KeyOf::Address(_));
    // Neither persistence nor the queue's end is balancing (manual 9.1 "lbtot", and observed).
    let is_balanced = !matches!(key, KeyOf::Server(_));
    loop {
        if let Some(server) = place.as_ref().and_then(Place::offer) {
            let usable = match &key {
                KeyOf::Server(server) => super::persist::may_take(w, proxy, *server, ex),
                _ => live.server(server).is_some_and(ServerLive::is_usable),
            };
            if usable && let Some(slot) = slot(w, proxy, server) {
                drop(place);
                queue::pass_on(w, proxy, server);
                return Ok(Assigned { server, slot: Some(slot), balanced: false });
            }
        }
        // The full server that a hash insists on.
        let mut insisted = None;
        let bound = hashed || matches!(key, KeyOf::Server(_));
        let may_try = place.is_some() || bound || !live.waiting.is_any();
        let mut full = !may_try;
        if may_try {
            // Another worker may take the slot between pick and take: then look again, a few times.
            for _ in 0..8 {
                let mut balancer = w.backends[proxy].balancer.borrow_mut();
                balancer.note_load(live, || w.board.backend(proxy, BackendCounter::Scur));
                // Who waits for a server keeps to it while it is there.
                let kept = place.as_ref().filter(|_| hashed).and_then(Place::server);
                let kept = kept.filter(|s| live.server(*s).is_some_and(ServerLive::is_usable));
                let choice = match &key {
                    _ if let Some(server) = kept => forced(live.server(server), server, true),
                    KeyOf::Server(server) => {
                        forced(live.server(*server), *server, super::persist::may_take(w, proxy, *server, ex))
                    }
                    KeyOf::Bytes(bytes) => balancer.pick(Key::Bytes(bytes), excluding, live, w.rt.now()),
                    KeyOf::Address(ip) => balancer.pick(Key::Address(*ip), excluding, live, w.rt.now()),
                    KeyOf::None => balancer.pick(Key::None, excluding, live, w.rt.now()),
                };
                let choice = match choice {
                    // The only server is the one that failed: it is tried again.
                    Choice::None | Choice::Full if excluding.is_some() && kept.is_none() => {
                        balancer.pick(Key::None, None, live, w.rt.now())
                    }
                    other => other,
                };
                let counted = balancer.needs_slots();
                drop(balancer);
                match choice {
                    Choice::None => return Err(Failure::NoServer),
                    Choice::Full => {
                        full = true;
                        break;
                    }
                    Choice::Queue(server) => {
                        (full, insisted) = (true, Some(server));
                        break;
                    }
                    Choice::Server(server) if place.is_none() && is_spoken_for(live, server) => {
                        (full, insisted) = (true, hashed.then_some(server));
                        break;
                    }
                    Choice::Server(server) => {
                        let s = live.server(server).ok_or(Failure::NoServer)?;
                        if s.maxconn() == 0 && !counted {
                            return Ok(Assigned { server, slot: None, balanced: is_balanced && place.is_none() });
                        }
                        if begins && s.maxconn() > 0 {
                            queue::pass_on(w, proxy, server);
                            full = true;
                            break;
                        }
                        match slot(w, proxy, server) {
                            Some(slot) => {
                                let balanced = is_balanced && place.is_none();
                                if place.take().is_some() {
                                    queue::pass_on(w, proxy, server);
                                }
                                return Ok(Assigned { server, slot: Some(slot), balanced });
                            }
                            None => (full, insisted) = (true, hashed.then_some(server)),
                        }
                    }
                }
            }
        }
        debug_assert!(full);
        if place.as_ref().is_some_and(|p| insisted.is_some() && p.server() != insisted) {
            place = None;
        }
        if place.is_none() {
            let bound = match &key {
                KeyOf::Server(server) => Some(*server),
                _ => insisted,
            };
            if let Some(server) = bound
                && let Some(s) = live.server(server)
                && s.settings.maxqueue > 0
                && w.board.server(proxy, server, ServerCounter::Qcur) >= s.settings.maxqueue as u64
            {
                return Err(Failure::QueueRefused);
            }
            if let Some(server) = insisted.filter(|_| is_balanced) {
                count_balanced(w, proxy, server);
            }
            let before_us = w.board.backend(proxy, BackendCounter::Qcur);
            ex.facts.backend_queue = before_us as u32 + 1;
            let taken = Place::take(w, proxy, bound);
            place = Some(taken);
            deadline = timeout.map_or(Millis::NEVER, |ms| w.rt.now().mono.plus(ms));
            // A slot may have been freed between our look and our taking a place.
            begins = true;
            continue;
        }
        begins = false;
        if place.as_ref().is_some_and(Place::is_offered) {
            continue;
        }
        let woken =
            before(&w.rt, deadline, woken_or_gone(client, settings.options.abortonclose != Some(false))).await;
        match woken {
            Err(_) => {
                ex.queued_ns = w.rt.now().nanos;
                // It had its server, though it never came there (observed).
                if let Some(server) = place.as_ref().and_then(Place::server) {
                    w.counts().server(proxy, server).add(ServerCounter::Econ, 1);
                    w.counts().server(proxy, server).add(ServerCounter::Reqbin, ex.facts.request_bytes_in);
                }
                return Err(Failure::QueueTimeout);
            }
            Ok(true) => return Err(Failure::AbortedInQueue),
            Ok(false) => {}
        }
    }
}

/// A slot of a server, within what holds at the backend's present load.
pub(super) fn slot(w: &Rc<Worker>, proxy: ProxyIndex, server: ServerIndex) -> Option<Slot> {
    let sessions = w.board.backend(proxy, BackendCounter::Scur);
    let fullconn = w.plan.proxies[proxy].backend.fullconn.unwrap_or(0);
    let limit = w.board.live.server(proxy, server)?.limit(sessions, fullconn);
    Slot::take(w, proxy, server, limit)
}

/// Others wait who may have the free slot of this server.
fn is_spoken_for(live: &BackendLive, server: ServerIndex) -> bool {
    live.server(server).is_some_and(|s| s.maxconn() > 0 && (s.waiting.is_any() || live.waiting.is_any()))
}

fn forced(server: Option<&ServerLive>, index: ServerIndex, may: bool) -> Choice {
    match server {
        Some(s) if may && !s.is_full() => Choice::Server(index),
        Some(_) if may => Choice::Full,
        _ => Choice::None,
    }
}

/// Waits for any wake-up; true when it was the client's leaving.
async fn woken_or_gone(client: &Transport, abort: bool) -> bool {
    client.watch(client.rt().current());
    let mut first = true;
    std::future::poll_fn(|_| {
        if abort && client.end_seen() {
            return std::task::Poll::Ready(true);
        }
        if std::mem::replace(&mut first, false) { std::task::Poll::Pending } else { std::task::Poll::Ready(false) }
    })
    .await
}

/// Connects to a server of `proxy`, or takes an idle connection to it.
pub async fn establish(
    w: &Rc<Worker>,
    s: &Session,
    ex: &mut Exchange,
    proxy: ProxyIndex,
    mut excluding: Option<ServerIndex>,
) -> Result<Link, Failure> {
    let settings = &w.plan.proxies[proxy];
    let key = super::persist::server(w, proxy, s, ex).await.map(KeyOf::Server);
    let persistent = key.is_some();
    let mut key = match key.or_else(|| last_server(w, proxy, s)) {
        Some(key) => key,
        None => KeyOf::of(w, proxy, s, ex),
    };
    let named = matches!(key, KeyOf::Server(_));
    let mut assigned = match assign(w, &s.transport, ex, proxy, key, excluding).await {
        // The server is gone: balance, as `option redispatch` allows, or as a dead server always does.
        Err(Failure::NoServer) if named => {
            if persistent {
                ex.cookie.redispatched();
            }
            key = KeyOf::of(w, proxy, s, ex);
            assign(w, &s.transport, ex, proxy, key, excluding).await?
        }
        other => other?,
    };
    chosen(w, s, ex, proxy, &assigned);
    let live = w.board.live.server(proxy, assigned.server).ok_or(Failure::NoServer)?;
    if live.settings.redir.is_some() && matches!(ex.request.method(), b"GET" | b"HEAD") {
        return Err(Failure::ServerRedirects);
    }
    let retries = ex.facts.retries_max.unwrap_or(settings.backend.retries);
    loop {
        let server = assigned.server;
        let live = w.board.live.server(proxy, server).ok_or(Failure::NoServer)?;
        let sni = server_name(s, ex, live);
        let proto = websocket_proto(&live.settings, ex);
        let mut way = Way::of(live, s.facts.borrow().dst);
        way.from = foreign_source(live.settings.source.as_ref().or(settings.backend.source.as_ref()), s, ex);
        let header = proxy_protocol::header(s, ex, &live.settings);
        way.told = header.as_ref().map(|h| w.keyed.hash_one(&h[..]));
        way.named = connection_name(w, s, ex, live);
        if let Some(found) = reusable(w, s, (proxy, server), sni.as_deref(), (way, proto)) {
            ex.facts.server_tls = found.0.tls_facts();
            ex.facts.server_http_major = found.0.http_major();
            w.counts().server(proxy, server).add(ServerCounter::Reuse, 1);
            w.counts().backend(proxy).add(BackendCounter::Reuse, 1);
            return Ok(Link::new(w, proxy, assigned, found, way));
        }
        if s.transport.is_broken() {
            return Err(Failure::AbortedInConnect);
        }
        s.transport.watch(w.rt.current());
        w.counts().server(proxy, server).add(ServerCounter::Connect, 1);
        w.counts().backend(proxy).add(BackendCounter::Connect, 1);
        let opening = Frame::new(open(w, ex, (proxy, server), live, header, sni.as_deref(), (way, proto)));
        let failure = match opening.await {
            Ok(transport) => {
                ex.facts.server_tls = transport.tls_facts();
                ex.facts.server_http_major = transport.http_major();
                super::rules::observe(w, proxy, server, Seen::Connected);
                return Ok(Link::new(w, proxy, assigned, (transport, 0, false), way));
            }
            Err(failure) => failure,
        };
        if matches!(failure, Failure::AbortedInConnect) {
            return Err(failure);
        }
        super::rules::observe(w, proxy, server, Seen::ConnectFailed);
        let may_be_h2 = proto.or(live.settings.proto) == Some(Proto::H2) || !live.settings.tls.alpn.is_empty();
        if settings.mode == Mode::Http && !may_be_h2 {
            w.backends[proxy].h1.failed();
        }
        if ex.facts.retries >= retries || !settings.backend.retry_on.conn_failure {
            return Err(failure);
        }
        ex.facts.retries += 1;
        let left = retries - ex.facts.retries;
        if !ex.force_persist && redispatches(settings.options.redispatch, ex.facts.retries, left) {
            excluding = Some(server);
            drop(assigned);
            // What ends the sessions of a server is not for one that has left it.
            ex.place.server.set(None);
            // A hash goes on from the server that failed, as in HAProxy: around the ring, or to it again on a map.
            let key = KeyOf::of(w, proxy, s, ex);
            let next = assign(w, &s.transport, ex, proxy, key, excluding).await?;
            if next.server != server {
                ex.facts.redispatched = true;
                ex.cookie.redispatched();
                w.counts().server(proxy, server).add(ServerCounter::Wredis, 1);
                w.counts().backend(proxy).add(BackendCounter::Wredis, 1);
                assigned = next;
                chosen(w, s, ex, proxy, &assigned);
                continue;
            }
            assigned = next;
            ex.place.server.set(ex.server);
        }
        w.counts().server(proxy, server).add(ServerCounter::Wretr, 1);
        w.counts().backend(proxy).add(BackendCounter::Wretr, 1);
        // Each attempt is a session of the server's (observed).
        w.counts().server(proxy, server).add(ServerCounter::Stot, 1);
        let pause = settings.timeouts.connect.map_or(TURN_AROUND_MS, |ms| ms.min(TURN_AROUND_MS));
        if matches!(failure, Failure::ConnectFailed) {
            sleep(&w.rt, pause).await;
            if s.transport.end_seen() && settings.options.abortonclose != Some(false) {
                return Err(Failure::AbortedInConnect);
            }
        }
        // It may have been found dead meanwhile; then another one serves.
        let usable = super::persist::may_take(w, proxy, assigned.server, ex);
        if !usable {
            drop(assigned);
            ex.place.server.set(None);
            ex.cookie.redispatched();
            let key = KeyOf::of(w, proxy, s, ex);
            assigned = assign(w, &s.transport, ex, proxy, key, None).await?;
            chosen(w, s, ex, proxy, &assigned);
        }
    }
}

/// Whether retry number `retry` goes to another server: the last one by default, every Nth with an argument, or the
/// Nth from the end with a negative one (manual 4.2 "option redispatch").
fn redispatches(option: Option<i32>, retry: u32, left: u32) -> bool {
    match option {
        None => false,
        Some(0) => false,
        Some(n) if n > 0 => retry.is_multiple_of(n as u32),
        Some(n) => left + 1 == n.unsigned_abs(),
    }
}

/// Notes the choice for log and counters.
fn chosen(w: &Rc<Worker>, s: &Session, ex: &mut Exchange, proxy: ProxyIndex, assigned: &Assigned) {
    let server = assigned.server;
    // Another attempt at the same server is no new choice.
    let again = ex.facts.retries > 0 && s.last_server.get() == Some((proxy, server));
    if assigned.balanced && !again {
        count_balanced(w, proxy, server);
    }
    let now = w.rt.now();
    ex.queued_ns = now.nanos;
    ex.change_server(w);
    let cell = w.counts().server(proxy, server);
    cell.session(now.mono);
    // What came before the server was known counts for it too.
    cell.add(ServerCounter::Reqbin, ex.facts.request_bytes_in);
    w.counts().backend(proxy).assigned(now.mono);
    s.last_server.set(Some((proxy, server)));
    ex.server = Some((proxy, server));
    ex.place.server.set(ex.server);
    ex.facts.server = w.server_name(proxy, server);
}

/// `lbtot`.
fn count_balanced(w: &Worker, proxy: ProxyIndex, server: ServerIndex) {
    w.counts().server(proxy, server).add(ServerCounter::Lbtot, 1);
    w.counts().backend(proxy).add(BackendCounter::Lbtot, 1);
}

/// The name that a server is asked for over TLS (manual 5.2 "sni").
fn server_name(s: &Session, ex: &mut Exchange, live: &ServerLive) -> Option<String> {
    live.settings.tls_traffic.as_ref()?;
    let expr = live.settings.sni_expr.as_ref()?;
    let mut name = Vec::new();
    let known =
        super::rules::with_context(s, ex, Side::Request, Payload::default(), true, |cx| expr.write(cx, &mut name));
    if known { String::from_utf8(name).ok().filter(|n| !n.is_empty()) } else { None }
}

/// The name of the connection among the idle ones (manual 5.2 "pool-conn-name"), as a keyed hash.
fn connection_name(w: &Worker, s: &Session, ex: &mut Exchange, live: &ServerLive) -> Option<u64> {
    let expr = live.settings.pool_conn_name_expr.as_ref()?;
    super::rules::with_context(s, ex, Side::Request, Payload::default(), true, |cx| {
        let mut name = cx.buf();
        (expr.write(cx, &mut name) && !name.is_empty()).then(|| w.keyed.hash_one(&name[..]))
    })
}

/// Whether this request may use a connection that others have used (manual 4.2 "http-reuse"): `Some(true)` if only one
/// whose server is known to keep it.
fn may_share(w: &Worker, s: &Session, proxy: ProxyIndex) -> Option<bool> {
    let first = s.requests <= 1;
    match w.plan.proxies[proxy].backend.http_reuse {
        HttpReuse::Never => None,
        HttpReuse::Always => Some(false),
        HttpReuse::Safe if first => None,
        HttpReuse::Aggressive | HttpReuse::Safe => Some(first),
    }
}

/// A connection that this request may use, how many requests it has carried, and whether it is the session's alone: a
/// stream on one that carries others (HTTP/2), or an idle one. `proto`: only one that speaks this.
fn reusable(
    w: &Rc<Worker>,
    s: &Session,
    (proxy, server): (ProxyIndex, ServerIndex),
    sni: Option<&str>,
    (way, proto): (Way, Option<Proto>),
) -> Option<(Transport, u32, bool)> {
    let only_safe = may_share(w, s, proxy);
    if proto != Some(Proto::H1)
        && only_safe.is_some()
        && let Some((stream, carried)) = w.backends[proxy].connections.take(w, (proxy, server), sni, way)
    {
        return Some((Transport::from(stream), carried, false));
    }
    if proto == Some(Proto::H2) {
        return None;
    }
    if let Some(own) = s.own.take()
        && (own.proxy, own.server) == (proxy, server)
        && let Own { idle, .. } = *own
        && way.is_served_by(idle.way, idle.transport.sni(), sni)
        && idle.transport.is_quiet()
    {
        return Some((idle.transport, idle.requests, idle.private));
    }
    let idle = w.backends[proxy].idle.take(w, (proxy, server), only_safe?, sni, way)?;
    Some((idle.transport, idle.requests, false))
}

/// The address that a connection seems to come from (manual 4.2 "source", `usesrc`); `None`: one of ours.
fn foreign_source(source: Option<&Source>, s: &Session, ex: &Exchange) -> Option<SocketAddr> {
    let client = s.facts.borrow().src;
    match source?.usesrc.as_ref()? {
        UseSrc::Address(address) => Some(*address),
        UseSrc::Client => client,
        UseSrc::ClientIp => client.map(|a| SocketAddr::new(a.ip(), 0)),
        UseSrc::HdrIp { name, occurrence } => {
            let value = nth_value(&ex.request, name.as_bytes(), *occurrence)?;
            let ip: IpAddr = std::str::from_utf8(value).ok()?.parse().ok()?;
            Some(SocketAddr::new(ip, 0))
        }
    }
}

/// One of the comma-separated values of a field: from 1, or from the end with negative numbers (manual 7.3.6 "req.hdr").
fn nth_value<'a>(head: &'a Head, name: &[u8], occurrence: i32) -> Option<&'a [u8]> {
    let mut values = head.values(name).flat_map(|v| v.split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    let count = values.clone().count();
    let at = match occurrence {
        0 => return None,
        n if n > 0 => n as usize - 1,
        n => count.checked_sub(n.unsigned_abs() as usize)?,
    };
    values.nth(at)
}

/// The address to connect from, with port number `n` of the range where there is one (manual 5.2 "source").
fn port_of_range(source: &Source, n: u64) -> SocketAddr {
    let first = source.address.port();
    let ports = u64::from(source.port_last.saturating_sub(first)) + 1;
    SocketAddr::new(source.address.ip(), first + (n % ports) as u16)
}

/// Opens a new connection, with the PROXY protocol's `header` in front where the server wants one.
async fn open(
    w: &Rc<Worker>,
    ex: &mut Exchange,
    (proxy, index): (ProxyIndex, ServerIndex),
    live: &ServerLive,
    header: Option<Block>,
    sni: Option<&str>,
    (way, proto): (Way, Option<Proto>),
) -> Result<Transport, Failure> {
    let settings = &w.plan.proxies[proxy];
    let server = &live.settings;
    // What went wrong before is over.
    ex.facts.server_error = None;
    let address = match way.to {
        Some(to) => Address::Ip(to),
        None => live.address().as_deref().ok_or(Failure::ConnectFailed)?.clone(),
    };
    let tunnel = Tunnel::through(server.socks4, &address).map_err(|_| Failure::ConnectFailed)?;
    let next = tunnel.as_ref().map_or(&address, |t| &t.proxy);
    let source = server.source.as_ref().or(settings.backend.source.as_ref());
    let tune = &w.plan.global.tune;
    let first = w.random();
    // A fast open leaves with the first bytes: where the server may speak first it would never leave.
    let begins = settings.mode == Mode::Http
        || header.is_some()
        || tunnel.is_some()
        || server.tls_traffic.is_some()
        || !ex.input.is_empty();
    let mut options = ConnectOptions {
        source: way.from.or(source.map(|s| port_of_range(s, first))),
        interface: source.and_then(|s| s.interface.clone()),
        transparent: way.from.is_some(),
        keepalive: settings.options.srvtcpka.then_some(KeepAlive {
            count: settings.backend.srvtcpka_cnt,
            idle_s: settings.backend.srvtcpka_idle_s,
            interval_s: settings.backend.srvtcpka_intvl_s,
        }),
        fast_open: server.tfo && begins,
        delayed_ack: settings.options.tcp_smart_connect == Some(true),
        user_timeout_ms: server.tcp_ut_ms,
        rcvbuf: tune.rcvbuf_server,
        sndbuf: tune.sndbuf_server,
        mptcp: server.mptcp,
    };
    let deadline = settings.timeouts.connect.map_or(Millis::NEVER, |ms| w.rt.now().mono.plus(ms));
    // A port of a range that is taken leaves the others.
    let range = source.filter(|s| way.from.is_none() && s.port_last > s.address.port());
    let mut left = range.map_or(0, |s| s.port_last - s.address.port());
    let conn = loop {
        match before(&w.rt, deadline, Conn::connect(&w.rt, next, &options)).await {
            Err(_) => return Err(Failure::ConnectTimeout),
            Ok(Err(e)) if left > 0 && matches!(e.raw_os_error(), Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL)) => {
                options.source = range.map(|s| port_of_range(s, first.wrapping_add(left.into())));
                left -= 1;
            }
            Ok(Err(e)) => {
                if e.raw_os_error() == Some(libc::ECONNREFUSED) {
                    ex.facts.server_error = Some(ConnectionError::of(47, "ECONNREFUSED returned by OS"));
                }
                return Err(connect_failure(&e));
            }
            Ok(Ok(conn)) => break conn,
        }
    };
    if settings.options.nolinger {
        conn.reset_on_close();
    }
    if let Some(tunnel) = &tunnel {
        let begun = before(&w.rt, deadline, tunnel.begin(&conn)).await;
        begun.map_err(|_| Failure::ConnectTimeout)?.map_err(|_| Failure::ConnectFailed)?;
    }
    let mut transport = Transport::from(conn);
    transport.note_ends(tunnel.map(|t| t.to.into()));
    if let Some(header) = header {
        let chain: Chain = Piece::Block(header, 0).into();
        transport.send(chain, settings.timeouts.connect).await.map_err(|_| Failure::ConnectFailed)?;
    }
    match &server.tls_traffic {
        Some(settings) => {
            let conn = transport.conn().ok_or(Failure::Internal)?;
            let alpn = proto.map(|p| if p == Proto::H2 { "h2" } else { "http/1.1" });
            let offer = Offer { sni, alpn };
            let layer = super::tls::connect(w, ex, (proxy, index), conn, settings, offer, deadline).await?;
            transport.set_tls(layer);
        }
        // Never in the clear to a server that is to be spoken to over TLS.
        None if server.tls.ssl => return Err(Failure::Internal),
        None => {}
    }
    let http = settings.mode == Mode::Http;
    if http && speaks_h2(proto.or(server.proto), &transport) {
        return match backend::begin(w, proxy, index, transport, way) {
            Some(stream) => Ok(Transport::from(stream)),
            None => Err(Failure::ConnectFailed),
        };
    }
    if http {
        transport.meter(Some(&w.backends[proxy].h1));
    }
    Ok(transport)
}

/// The protocol that a WebSocket goes by, where it is not the server's usual one (manual 5.2 "ws").
fn websocket_proto(server: &Server, ex: &Exchange) -> Option<Proto> {
    if !websocket::is_asked_for(&ex.request) {
        return None;
    }
    let offers = |p: &str| server.tls.alpn.iter().any(|a| a == p);
    match server.ws {
        WebSocketProto::H1 => Some(Proto::H1),
        WebSocketProto::H2 => Some(Proto::H2),
        WebSocketProto::Auto => (offers("h2") && offers("http/1.1")).then_some(Proto::H1),
    }
}

/// By `proto`, or by what the server chose of our ALPN offer.
fn speaks_h2(proto: Option<Proto>, transport: &Transport) -> bool {
    match proto {
        Some(proto) => proto == Proto::H2,
        None => transport.tls_facts().and_then(|t| t.alpn.clone()).is_some_and(|p| &*p == b"h2"),
    }
}

fn connect_failure(e: &io::Error) -> Failure {
    match e.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::EADDRNOTAVAIL | libc::ENOBUFS | libc::ENOMEM) => {
            Failure::ConnectResource
        }
        _ => Failure::ConnectFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::redispatches;

    #[test]
    fn redispatch_counts_from_either_end() {
        let at = |option, retries: u32| -> Vec<u32> {
            (1..=retries).filter(|r| redispatches(option, *r, retries - r)).collect()
        };
        assert_eq!(at(None, 3), Vec::<u32>::new());
        assert_eq!(at(Some(-1), 3), [3]);
        assert_eq!(at(Some(1), 3), [1, 2, 3]);
        assert_eq!(at(Some(2), 5), [2, 4]);
    }
}
