//! Idle server connections of one worker, by server: taken by the next request that may share them (`http-reuse`), watched
//! for servers that close them, purged after `pool-purge-delay`.

use super::transport::Transport;
use super::worker::Worker;
use crate::base::address::Address;
use crate::base::clock::Millis;
use crate::engine::task::until;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::state::counters::ServerCounter;
use crate::model::state::server::ServerLive;
use std::cell::{Cell, RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::Rc;

/// A connection between two requests.
pub struct Idle {
    pub transport: Transport,
    pub since: Millis,
    /// Milliseconds that it had idled already when it came from a former process.
    pub aged_ms: u64,
    /// Requests it has carried.
    pub requests: u32,
    /// It was shared before, so that a first request may use it too (`http-reuse safe`).
    pub safe: bool,
    /// Its server knows the client by it: no other client may use it.
    pub private: bool,
    pub way: Way,
}

impl Idle {
    /// Milliseconds since its last request.
    pub fn age_ms(&self, now: Millis) -> u64 {
        now.since(self.since) + self.aged_ms
    }
}

/// An idle connection that stays with its session, which alone may use it again.
pub struct Own {
    pub proxy: ProxyIndex,
    pub server: ServerIndex,
    pub idle: Idle,
    _counted: Counted,
}

impl Own {
    pub fn new(w: &Rc<Worker>, proxy: ProxyIndex, server: ServerIndex, idle: Idle) -> Own {
        w.counts().server(proxy, server).add(ServerCounter::PrivIdleCur, 1);
        Own { proxy, server, idle, _counted: Counted(w.clone(), proxy, server) }
    }
}

/// Counts it as such (`priv_idle_cur`).
struct Counted(Rc<Worker>, ProxyIndex, ServerIndex);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counts().server(self.1, self.2).sub(ServerCounter::PrivIdleCur, 1);
    }
}

/// Which way a connection to a server went: who has to go another one does not use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// How often the server had moved.
    pub moves: u32,
    /// Where to, if that depends on where the client wanted to go.
    pub to: Option<SocketAddr>,
    /// Where from, if that is an address of the client's choice (`source ... usesrc`).
    pub from: Option<SocketAddr>,
    /// What the server was told of the client before anything else (`send-proxy`), as a keyed hash.
    pub told: Option<u64>,
    /// The name that the server line gives it (`pool-conn-name`), as a keyed hash: it stands for the name asked for over TLS.
    pub named: Option<u64>,
}

impl Way {
    /// To a server, for a client that connected to `wanted` (or whose rules have set that): a port may be relative to the
    /// client's, and 0.0.0.0 stands for the client's address, with its port where none is written (manual 4.2 "server").
    pub fn of(live: &ServerLive, wanted: Option<SocketAddr>) -> Way {
        let moves = live.moves();
        let to = match (live.address().as_deref(), live.port_map()) {
            (Some(Address::Ip(a)), map) if map.is_some() || a.ip().is_unspecified() => {
                let wanted_port = wanted.map_or(0, |w| w.port());
                let ip = wanted.map(|w| w.ip()).filter(|_| a.ip().is_unspecified()).unwrap_or(a.ip());
                let port = match map {
                    Some(offset) => (i32::from(wanted_port) + offset) as u16,
                    None if a.port() == 0 => wanted_port,
                    None => a.port(),
                };
                Some(SocketAddr::new(ip, port))
            }
            _ => None,
        };
        Way { moves, to, from: None, told: None, named: None }
    }

    /// Whether a connection that went `other` way, on which the server was asked for `theirs`, serves who wants this way and
    /// the name `ours`.
    pub fn is_served_by(self, other: Way, theirs: Option<&str>, ours: Option<&str>) -> bool {
        self == other && (self.named.is_some() || theirs == ours)
    }
}

/// One server's connections on this worker.
#[derive(Default)]
struct Kept {
    list: Vec<Idle>,
    /// Connections in the service of a stream, and most of them at once in this second and the one before: as many as
    /// that may be needed again, more would only idle.
    used: u32,
    peak: u32,
    before: u32,
}

/// The idle connections of all servers of one backend.
#[derive(Default)]
pub struct IdlePool {
    servers: RefCell<Vec<Kept>>,
    kept: Cell<usize>,
}

impl IdlePool {
    pub fn len(&self) -> usize {
        self.kept.get()
    }

    pub fn is_empty(&self) -> bool {
        self.kept.get() == 0
    }

    /// A connection to `server` went into service, or left it.
    pub fn in_service(&self, server: ServerIndex, begins: bool) {
        let mut kept = self.kept_of(server);
        kept.used = if begins { kept.used + 1 } else { kept.used.saturating_sub(1) };
        kept.peak = kept.peak.max(kept.used);
    }

    /// The connection that was used last, if it still lives. `only_safe`: for a first request under `safe`. One that a
    /// server was asked for another name on does not serve (manual 5.2 "sni").
    pub fn take(
        &self,
        w: &Worker,
        (proxy, server): (ProxyIndex, ServerIndex),
        only_safe: bool,
        sni: Option<&str>,
        way: Way,
    ) -> Option<Idle> {
        let mut servers = self.servers.borrow_mut();
        let list = &mut servers.get_mut(server)?.list;
        // Those that have been shared before come first: the server is known to keep them.
        let fits = |i: &Idle| way.is_served_by(i.way, i.transport.sni(), sni);
        loop {
            let at = match list.iter().rposition(|i| i.safe && fits(i)) {
                None if !only_safe => list.iter().rposition(fits)?,
                found => found?,
            };
            let idle = list.remove(at);
            self.kept.set(self.kept.get() - 1);
            gone(w, proxy, server, &idle);
            if idle.transport.is_quiet() {
                return Some(idle);
            }
        }
    }

    /// Keeps a connection, still in service, for the next request. One above the server's `pool-max-conn`, or above what
    /// was needed at once lately, is closed.
    pub fn put(&self, w: &Worker, proxy: ProxyIndex, server: ServerIndex, idle: Idle, max: Option<u32>) {
        let mut kept = self.kept_of(server);
        let busy = kept.list.len() as u32 + kept.used.saturating_sub(1);
        if busy >= kept.peak.max(kept.before) || max.is_some_and(|max| kept.list.len() as u32 >= max) {
            return;
        }
        self.keep(w, (proxy, server), &mut kept.list, idle);
    }

    /// Keeps a connection of the former process, unless there are `pool-max-conn` already: it counts as needed lately.
    pub fn adopt(&self, w: &Worker, proxy: ProxyIndex, server: ServerIndex, idle: Idle, max: Option<u32>) {
        let mut kept = self.kept_of(server);
        if max.is_some_and(|max| kept.list.len() as u32 >= max) {
            return;
        }
        self.keep(w, (proxy, server), &mut kept.list, idle);
        kept.peak = kept.peak.max(kept.list.len() as u32 + kept.used);
    }

    fn kept_of(&self, server: ServerIndex) -> RefMut<'_, Kept> {
        let mut servers = self.servers.borrow_mut();
        if servers.len() <= server {
            servers.resize_with(server + 1, Kept::default);
        }
        RefMut::map(servers, |s| &mut s[server])
    }

    fn keep(&self, w: &Worker, (proxy, server): (ProxyIndex, ServerIndex), list: &mut Vec<Idle>, idle: Idle) {
        idle.transport.watch(w.janitor.get());
        let cell = w.counts().server(proxy, server);
        cell.add(ServerCounter::SrvIcur, 1);
        cell.add(if idle.safe { ServerCounter::SafeConnCur } else { ServerCounter::IdleConnCur }, 1);
        list.push(idle);
        self.kept.set(self.kept.get() + 1);
        if w.janitor_rests.get() {
            w.rt.wake(w.janitor.get());
        }
    }

    /// Takes out all connections, with their servers.
    pub fn take_all(&self, w: &Worker, proxy: ProxyIndex) -> Vec<(ServerIndex, Idle)> {
        self.kept.set(0);
        let mut servers = self.servers.borrow_mut();
        let all = servers.iter_mut().enumerate().flat_map(|(s, kept)| kept.list.drain(..).map(move |i| (s, i)));
        all.inspect(|(server, idle)| gone(w, proxy, *server, idle)).collect()
    }

    /// Drops connections that their server has closed, and those idle for longer than `delay_ms` says.
    /// `second`: another second of the measure of need is over.
    fn sweep(&self, w: &Worker, proxy: ProxyIndex, now: Millis, second: bool, delay_ms: impl Fn(ServerIndex) -> u64) {
        let mut closed = Vec::new();
        for (server, kept) in self.servers.borrow_mut().iter_mut().enumerate() {
            if second {
                (kept.before, kept.peak) = (kept.peak, kept.used);
            }
            let list = &mut kept.list;
            let mut index = 0;
            while index < list.len() {
                let idle = &list[index];
                let old = idle.age_ms(now) >= delay_ms(server);
                if old || !idle.transport.is_quiet() {
                    let idle = list.remove(index);
                    gone(w, proxy, server, &idle);
                    self.kept.set(self.kept.get() - 1);
                    closed.push(idle);
                } else {
                    index += 1;
                }
            }
        }
    }

    /// Drops all connections to one server.
    pub fn drop_server(&self, w: &Worker, proxy: ProxyIndex, server: ServerIndex) {
        let dropped: Vec<Idle> = match self.servers.borrow_mut().get_mut(server) {
            Some(kept) => std::mem::take(&mut kept.list),
            None => return,
        };
        self.kept.set(self.kept.get() - dropped.len());
        for idle in &dropped {
            gone(w, proxy, server, idle);
        }
    }
}

fn gone(w: &Worker, proxy: ProxyIndex, server: ServerIndex, idle: &Idle) {
    let cell = w.counts().server(proxy, server);
    cell.sub(ServerCounter::SrvIcur, 1);
    cell.sub(if idle.safe { ServerCounter::SafeConnCur } else { ServerCounter::IdleConnCur }, 1);
}

/// Shortest time between two looks at connections that are too old.
const SWEEP_MS: u64 = 1000;

/// The task that closes idle connections: woken by those that end, and once a second while there are any. Without any it
/// rests until the first one comes, but not before a second has passed: pools run empty and fill again all the time.
pub async fn janitor(w: Rc<Worker>) {
    w.janitor.set(w.rt.current());
    let mut next = w.rt.now().mono;
    loop {
        let now = w.rt.now().mono;
        let due = now >= next;
        let mut left = 0;
        for (proxy, backend) in w.backends.iter().enumerate() {
            if backend.idle.is_empty() {
                continue;
            }
            let live = w.board.live.backend(proxy);
            let delay = |s| live.server(s).map_or(0, |s| s.settings.pool_purge_delay_ms);
            backend.idle.sweep(&w, proxy, now, due, delay);
            left += backend.idle.len();
        }
        if due && left == 0 {
            w.janitor_rests.set(true);
            w.wait_for_wake().await;
            w.janitor_rests.set(false);
        }
        if due {
            next = w.rt.now().mono.plus(SWEEP_MS);
        }
        super::worker::race_wake(until(&w.rt, next)).await;
    }
}
