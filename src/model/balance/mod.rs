//! Which server a stream goes to (manual 4.2 "balance", "hash-type"): a file for each algorithm. Each worker has a
//! [`Balancer`] for each backend; it keeps its own view of who may be chosen and looks again when the backend's version
//! has changed. Persistence comes before, queues after; neither lives here.

pub mod first;
pub mod hash;
pub mod hdr;
pub mod leastconn;
pub mod map;
pub mod position;
pub mod random;
pub mod rdp_cookie;
pub mod round;
pub mod roundrobin;
pub mod source;
pub mod static_rr;
pub mod tickets;
pub mod uri;
pub mod url_param;
pub mod walk;

use super::{
    backend::{Backend, Balance},
    plan::ServerIndex,
    state::live::BackendLive,
    state::server::ServerLive,
};
use crate::base::clock::Now;

/// What a hash is taken of. Algorithms that need no key ignore it; with [`Key::None`] the others fall back on
/// round robin, as the manual says of a missing parameter or field.
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    None,
    Bytes(&'a [u8]),
    /// `source`, or an expression that gave an address.
    Address(std::net::IpAddr),
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Server(ServerIndex),
    /// This one alone, which has as many streams as it takes: wait in its queue.
    Queue(ServerIndex),
    /// There are usable servers, all with as many streams as they take: wait in the backend's queue.
    Full,
    /// Nobody to serve: 503.
    None,
}

impl Choice {
    pub fn server(self) -> Option<ServerIndex> {
        match self {
            Choice::Server(index) => Some(index),
            _ => None,
        }
    }
}

/// One server that may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    pub index: ServerIndex,
    /// In sixteenths.
    pub weight: u32,
    /// HAProxy's server id.
    pub id: u32,
    /// Places it on the hash ring (manual 5.2 "hash-key").
    pub key: u32,
}

/// The candidates as of one version of the backend.
#[derive(Debug, Default)]
pub struct View {
    pub version: u64,
    pub candidates: Vec<Candidate>,
    /// The greatest weight of which all servers' weights, usable or not, are multiples, as configured; in sixteenths.
    pub unit: u32,
    /// A candidate's limit depends on the load (`minconn`).
    heeds_load: bool,
    /// The backend's streams when the caller last counted them, and how many of them are a full load (`fullconn`).
    streams: u64,
    fullconn: u32,
}

impl View {
    /// Usable active servers; without any, the first usable backup server, or all of them with `option allbackups`.
    fn refresh(&mut self, live: &BackendLive, allbackups: bool, dynamic: bool) {
        self.version = live.version();
        self.candidates.clear();
        let usable = |backup: bool| live.servers().filter(move |(_, s)| s.settings.backup == backup && s.is_usable());
        let weight = |s: &ServerLive| if dynamic { s.effective_weight() } else { s.settings.weight * 16 };
        let candidate = |(index, s): (ServerIndex, &ServerLive)| Candidate {
            index,
            weight: weight(s),
            id: s.settings.id,
            key: hash::key(s),
        };
        self.candidates.extend(usable(false).map(candidate));
        if self.candidates.is_empty() {
            let most = if allbackups { usize::MAX } else { 1 };
            self.candidates.extend(usable(true).take(most).map(candidate));
        }
        self.candidates.retain(|c| c.weight > 0);
        self.heeds_load =
            self.candidates.iter().any(|c| live.server(c.index).is_some_and(|s| s.settings.minconn > 0));
        let configured = live.servers().map(|(_, s)| s.settings.weight * 16);
        self.unit = configured.fold(0, map::gcd);
    }

    /// A server that can take a stream, whosever turn it is: looked for from this place on, the excluded one last.
    fn any(&self, place: usize, excluding: Option<ServerIndex>, live: &BackendLive) -> Option<ServerIndex> {
        let (before, from) = self.candidates.split_at(place % self.candidates.len().max(1));
        let find =
            |excluding| from.iter().chain(before).map(|c| c.index).find(|index| takes(self, live, *index, excluding));
        find(excluding).or_else(|| find(None))
    }
}

/// One worker's chooser for one backend.
#[derive(Debug)]
pub struct Balancer {
    view: View,
    method: Method,
    allbackups: bool,
    dynamic: bool,
}

#[derive(Debug)]
enum Method {
    Roundrobin(roundrobin::Roundrobin),
    StaticRr(static_rr::StaticRr),
    Leastconn(leastconn::Leastconn),
    First,
    Random(random::Random),
    Hash(hash::HashTable),
}

impl Balancer {
    /// `seed` makes workers draw differently; it need not be secret.
    pub fn new(backend: &Backend, allbackups: bool, seed: u64) -> Balancer {
        let method = match &backend.balance {
            Balance::Roundrobin => Method::Roundrobin(roundrobin::Roundrobin::default()),
            Balance::StaticRr => Method::StaticRr(static_rr::StaticRr::default()),
            Balance::Leastconn => Method::Leastconn(leastconn::Leastconn::default()),
            Balance::First => Method::First,
            Balance::Random(draws) => Method::Random(random::Random::new(*draws, backend.hash_balance_factor, seed)),
            Balance::Default | Balance::Sticky => {
                Method::Random(random::Random::new(2, backend.hash_balance_factor, seed))
            }
            Balance::Source
            | Balance::Uri { .. }
            | Balance::UrlParam { .. }
            | Balance::Hdr { .. }
            | Balance::Hash(_)
            | Balance::LogHash(_)
            | Balance::RdpCookie(_) => Method::Hash(hash::HashTable::new(backend)),
        };
        let dynamic = is_dynamic(backend);
        let view = View { fullconn: backend.fullconn.unwrap_or(0), ..View::default() };
        Balancer { view, method, allbackups, dynamic }
    }

    /// Before a choice: the backend's streams are counted where limits depend on them.
    pub fn note_load(&mut self, live: &BackendLive, streams: impl FnOnce() -> u64) {
        if self.view.version != live.version() {
            self.refresh(live);
        }
        if self.view.heeds_load {
            self.view.streams = streams();
        }
    }

    /// Chooses. `excluding`: a server that was just tried, skipped where there is another. Counts nothing: where
    /// `maxconn` is set or the algorithm is `leastconn` ([`Balancer::needs_slots`]) the caller takes a slot of the
    /// server and asks again when that fails.
    #[inline]
    pub fn pick(&mut self, key: Key<'_>, excluding: Option<ServerIndex>, live: &BackendLive, now: Now) -> Choice {
        if self.view.version != live.version() {
            self.refresh(live);
        }
        if self.view.candidates.is_empty() {
            return Choice::None;
        }
        let view = &self.view;
        let picked = match &mut self.method {
            Method::Roundrobin(m) => m.pick(view, excluding, live, now),
            Method::StaticRr(m) => m.pick(view, excluding, live, now),
            Method::Leastconn(m) => m.pick(view, excluding, live),
            Method::First => first::pick(view, excluding, live),
            Method::Random(m) => m.pick(view, excluding, live, now),
            Method::Hash(m) => match m.hash(key) {
                Some(hash) => return m.pick(hash, view, excluding, live),
                None => m.next(view, excluding, live, now),
            },
        };
        match picked {
            Some(index) => Choice::Server(index),
            None => Choice::Full,
        }
    }

    /// Whether a stream that may go to any server may go to this one.
    pub fn may_choose(&mut self, server: ServerIndex, live: &BackendLive) -> bool {
        if self.view.version != live.version() {
            self.refresh(live);
        }
        let (Some(s), Some(first)) = (live.server(server), self.view.candidates.first()) else { return false };
        // Candidates are all active, or all backups, or one backup.
        let backup = live.server(first.index).is_some_and(|f| f.settings.backup);
        s.is_usable() && s.settings.backup == backup && (!backup || self.allbackups || first.index == server)
    }

    /// Whether the caller must count streams with `ServerLive::take_slot` even without `maxconn`.
    pub fn needs_slots(&self) -> bool {
        match &self.method {
            Method::Leastconn(_) | Method::Random(_) => true,
            Method::Hash(m) => m.is_bounded(),
            _ => false,
        }
    }

    #[cold]
    fn refresh(&mut self, live: &BackendLive) {
        self.view.refresh(live, self.allbackups, self.dynamic);
        match &mut self.method {
            Method::StaticRr(m) => m.refresh(&self.view, live),
            Method::Leastconn(m) => m.refresh(&self.view),
            Method::Random(m) => m.refresh(&self.view),
            Method::Hash(m) => m.refresh(&self.view, live),
            Method::First => self.view.candidates.sort_by_key(|c| c.id),
            Method::Roundrobin(m) => m.refresh(),
        }
    }
}

/// Whether weights may change at run time (manual 4.2: "This algorithm is dynamic"/"static").
pub fn is_dynamic(backend: &Backend) -> bool {
    match &backend.balance {
        Balance::StaticRr => false,
        Balance::Roundrobin | Balance::Leastconn | Balance::Random(_) | Balance::Default | Balance::First => true,
        Balance::Sticky => true,
        _ => backend.hash.consistent,
    }
}

/// Whether a server is below its share of the load with `hash-balance-factor` (manual 4.2): `factor` percents of all
/// streams, the new one included and rounded up, are dealt out by weight in the order of the servers, but none goes
/// without one.
fn is_below(factor: u32, index: ServerIndex, view: &View, live: &BackendLive) -> bool {
    let served = |index| live.server(index).map_or(0, |s| u64::from(s.served()));
    let (mut streams, mut total, mut before, mut own) = (1, 0, 0, 0);
    for candidate in &view.candidates {
        if candidate.index == index {
            (before, own) = (total, u64::from(candidate.weight));
        }
        streams += served(candidate.index);
        total += u64::from(candidate.weight);
    }
    let slots = (streams * u64::from(factor)).div_ceil(100);
    let dealt = |weight: u64| slots * weight / total.max(1);
    served(index) < (dealt(before + own) - dealt(before)).max(1)
}

/// What a server takes turns by now, in sixteenths; 0: it takes none.
fn present_weight(server: &ServerLive) -> u32 {
    if server.is_usable() { server.effective_weight() } else { 0 }
}

/// The server may be given a stream now: it has a slot that nobody waits for.
#[inline]
fn takes(view: &View, live: &BackendLive, index: ServerIndex, excluding: Option<ServerIndex>) -> bool {
    let has_slot = |s: &ServerLive| !s.is_full_at(view.streams, view.fullconn) && !s.waiting.is_any();
    Some(index) != excluding && live.server(index).is_some_and(has_slot)
}

#[cfg(test)]
mod tests;
