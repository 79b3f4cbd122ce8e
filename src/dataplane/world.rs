//! What the language asks about the rest of the process, answered for one stream of one worker.

use super::lookup::Lookup;
use super::tables::memo::{Memo, Recall};
use super::tables::message::{Ask, Reply};
use super::tables::registry::TableId;
use super::tables::slots::Slots;
use super::tables::{Asking, Place, Reached};
use super::worker::Worker;
use crate::engine::driver::{Fd, sockets};
use crate::language::facts::Transport;
use crate::language::sample::Sample;
use crate::language::sample::args::Reference;
use crate::language::world::{
    Answer, BackendFact, Counter, CounterEdit, Entry, FrontendFact, Prefer, ProcessFact, ServerFact, World,
};
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::server::ResolvePrefer;
use crate::model::state::board::FrontendRate;
use crate::model::state::counters::{
    BackendCounter, FrontendCounter, ListenerCounter, ProcessCounter, ServerCounter,
};
use crate::model::stick_table::data::What;
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::atomic::Ordering;

pub struct StreamWorld<'a> {
    pub w: &'a Worker,
    /// The client's connection.
    pub client: Option<Fd>,
    pub frontend: ProxyIndex,
    pub bind: usize,
    pub backend: Option<ProxyIndex>,
    pub server: Option<(ProxyIndex, ServerIndex)>,
    pub lookup: &'a Lookup,
    pub tracking: Tracking<'a>,
}

/// What the present stream and its session track, and what was asked of tables.
pub struct Tracking<'a> {
    pub session: &'a RefCell<Slots>,
    /// `None` before there is a stream: what is tracked then is the session's.
    pub stream: Option<&'a RefCell<Slots>>,
    pub memo: &'a Memo,
    /// The stream carries a request, which counts for what is tracked from now on.
    pub has_request: bool,
}

impl StreamWorld<'_> {
    /// The entry that a slot tracks: the stream's, else the session's.
    fn tracked(&self, slot: u8) -> Option<(TableId, Place)> {
        let own = self.tracking.stream.and_then(|s| s.borrow().get(slot));
        own.or_else(|| self.tracking.session.borrow().get(slot))
    }

    /// Table and key of an entry that is not reached by its slot.
    fn key_of(&self, entry: &Entry<'_, '_>, out: &mut Vec<u8>) -> Option<TableId> {
        let registry = &self.w.shared.tables;
        match entry {
            Entry::Tracked { slot, table } => {
                let (tracked, place) = self.tracked(*slot)?;
                let table = registry.of(table.as_ref()?)?;
                // A key of another kind is no key of that table.
                let same = registry.def(tracked).key == registry.def(table).key;
                (same && self.w.tables.key_of(tracked, place, out)).then_some(table)
            }
            Entry::Key { table, key } => {
                let table = registry.of(table)?;
                registry.def(table).key.encode(key, out).then_some(table)
            }
        }
    }

    /// Asks for an entry by its key, in the order of the memo.
    fn by_key(&self, table: TableId, key: &[u8], ask: Ask) -> Option<Answer<i64>> {
        let memo = self.tracking.memo;
        let hash = self.w.shared.tables.hash(table, key);
        let tables = &self.w.tables;
        if memo.is_patient() {
            match memo.recall() {
                Recall::Known(value) => return value.map(Answer::Now),
                Recall::Waiting => return Some(Answer::Later),
                Recall::New => {}
            }
        }
        // A copy that is here for another's sake tells as much as its home.
        if let Ask::Read(counter) = ask
            && let Reached::At(place @ Place::Copy(_)) = tables.reach(table, key, hash, false)
        {
            let look_up = i64::from(counter == Counter::Trackers);
            let value = tables.read(table, place, counter).map(|v| v + look_up);
            if memo.is_patient() {
                memo.know(value);
            }
            return value.map(Answer::Now);
        }
        if !memo.is_patient() && self.w.shared.tables.home(hash) != self.w.index {
            return Some(Answer::Later);
        }
        match tables.ask(table, key, hash, ask) {
            Asking::Now(reply) => {
                let value = if let Reply::Value(value) = reply { value } else { None };
                if memo.is_patient() {
                    memo.know(value);
                }
                value.map(Answer::Now)
            }
            Asking::Later(id) => {
                memo.asked(tables, id);
                Some(Answer::Later)
            }
        }
    }

    fn attach(&self, slot: u8, table: TableId, place: Place) {
        let slots = self.tracking.stream.unwrap_or(self.tracking.session);
        let mut slots = slots.borrow_mut();
        slots.attach(&self.w.tables, slot, table, place);
        if self.tracking.has_request && self.tracking.stream.is_some() {
            slots.count_one(slot, What::Request);
        }
    }
}

impl StreamWorld<'_> {
    fn backend_of(&self, reference: &Reference) -> Option<ProxyIndex> {
        match &*reference.name {
            "" => self.backend.or(Some(self.frontend)),
            name => self.w.plan.backend(name),
        }
    }

    fn backend_fact(&self, proxy: ProxyIndex, fact: BackendFact) -> i64 {
        let board = &self.w.board;
        let live = board.live.backend(proxy);
        let limit = self.w.plan.proxies[proxy].backend.fullconn.unwrap_or(0) as i64;
        let connections = board.backend(proxy, BackendCounter::Scur) as i64;
        let queue = board.backend(proxy, BackendCounter::Qcur) as i64;
        match fact {
            BackendFact::ServersUp => live.servers().filter(|(_, s)| s.is_usable()).count() as i64,
            BackendFact::Connections => connections,
            BackendFact::ConnectionsFree | BackendFact::Slots => {
                // Free places of all usable servers; unlimited servers make it unknown (manual 7.3.2).
                let mut free = 0;
                for (index, s) in live.servers().filter(|(_, s)| s.is_usable()) {
                    let max = s.maxconn() as i64;
                    if max == 0 {
                        return -1;
                    }
                    let used = board.server(proxy, index, ServerCounter::Scur) as i64;
                    free += (max - used).max(0);
                    if fact == BackendFact::Slots {
                        let queued = board.server(proxy, index, ServerCounter::Qcur) as i64;
                        free += (s.settings.maxqueue as i64 - queued).max(0);
                    }
                }
                let _ = limit;
                free
            }
            BackendFact::Queue => queue,
            BackendFact::QueueAverage => {
                let servers = live.servers().filter(|(_, s)| s.is_usable()).count() as i64;
                if servers == 0 { queue * 9999 } else { (queue + servers - 1) / servers }
            }
            BackendFact::SessionRate => board.backend_rate(proxy, self.w.rt.now().mono).0 as i64,
        }
    }

    fn server_fact(&self, proxy: ProxyIndex, server: ServerIndex, fact: ServerFact) -> Option<i64> {
        let board = &self.w.board;
        let s = board.live.server(proxy, server)?;
        let connections = board.server(proxy, server, ServerCounter::Scur) as i64;
        Some(match fact {
            ServerFact::IsUp => s.is_usable() as i64,
            ServerFact::Connections => connections,
            ServerFact::ConnectionsFree => match s.maxconn() {
                0 => -1,
                max => (max as i64 - connections).max(0),
            },
            ServerFact::Queue => board.server(proxy, server, ServerCounter::Qcur) as i64,
            ServerFact::SessionRate => board.server_rate(proxy, server, self.w.rt.now().mono).0 as i64,
            ServerFact::Weight => s.shown_weight() as i64,
            ServerFact::UserWeight => s.user_weight() as i64,
            ServerFact::InitialWeight => s.settings.weight as i64,
        })
    }

    fn server_of(&self, name: &str) -> Option<(ProxyIndex, ServerIndex)> {
        let (proxy, server) = match name.split_once('/') {
            Some((backend, server)) => (self.w.plan.backend(backend)?, server),
            None => (self.backend?, name),
        };
        Some((proxy, self.w.board.live.backend(proxy).find(server)?))
    }
}

impl World for StreamWorld<'_> {
    fn backend(&self, backend: &Reference, fact: BackendFact) -> Option<i64> {
        Some(self.backend_fact(self.backend_of(backend)?, fact))
    }

    fn frontend(&self, frontend: &Reference, fact: FrontendFact) -> Option<i64> {
        let proxy = match &*frontend.name {
            "" => self.frontend,
            name => self.w.plan.frontend(name)?,
        };
        let now = self.w.rt.now().mono;
        Some(match fact {
            FrontendFact::Connections => self.w.board.frontend(proxy, FrontendCounter::Scur) as i64,
            FrontendFact::RequestRate => self.w.board.frontend_rate(proxy, FrontendRate::Requests, now).0 as i64,
            FrontendFact::SessionRate => self.w.board.frontend_rate(proxy, FrontendRate::Sessions, now).0 as i64,
        })
    }

    fn server(&self, server: &Reference, fact: ServerFact) -> Option<i64> {
        let (proxy, index) = self.server_of(&server.name)?;
        self.server_fact(proxy, index, fact)
    }

    fn backend_named(&self, name: &[u8], fact: BackendFact) -> Option<i64> {
        let proxy = self.w.plan.backend(std::str::from_utf8(name).ok()?)?;
        Some(self.backend_fact(proxy, fact))
    }

    fn frontend_exists(&self, name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(|name| self.w.plan.frontend(name).is_some())
    }

    fn server_named(&self, name: &[u8], fact: ServerFact) -> Option<i64> {
        let (proxy, index) = self.server_of(std::str::from_utf8(name).ok()?)?;
        self.server_fact(proxy, index, fact)
    }

    fn process(&self, fact: ProcessFact) -> Option<i64> {
        let w = self.w;
        Some(match fact {
            ProcessFact::ActiveConnections => w.board.process(ProcessCounter::CurrConns) as i64,
            ProcessFact::Pid => w.shared.pid as i64,
            ProcessFact::Threads => w.board.workers() as i64,
            ProcessFact::Thread => w.index as i64,
            ProcessFact::ThreadGroup => 1,
            ProcessFact::UptimeSeconds => w.rt.now().mono.since(w.shared.started.mono) as i64 / 1000,
            ProcessFact::Stopping => {
                (w.stopping.get() || w.board.live.process.stopping.load(Ordering::Relaxed)) as i64
            }
            ProcessFact::ListenerConnections => {
                w.board.listener(self.frontend, self.bind, ListenerCounter::Scur) as i64
            }
            ProcessFact::CpuUsageProcess | ProcessFact::CpuUsageThread | ProcessFact::CpuUsageGroup => return None,
        })
    }

    fn counter(&self, entry: Entry<'_, '_>, counter: Counter) -> Option<Answer<i64>> {
        let registry = &self.w.shared.tables;
        if let Entry::Tracked { slot, table: None } = entry {
            let (table, place) = self.tracked(slot)?;
            return self.w.tables.read(table, place, counter).map(Answer::Now);
        }
        // Of what is tracked, another table that knows nothing of the key says 0 (observed).
        let unknown = match entry {
            Entry::Tracked { slot, .. } => self.tracked(slot).map(|_| Answer::Now(0)),
            Entry::Key { .. } => None,
        };
        let mut key = self.w.pool.buf();
        let Some(table) = self.key_of(&entry, &mut key) else { return unknown };
        if !registry.def(table).layout.has(counter) {
            return unknown;
        }
        self.by_key(table, &key, Ask::Read(counter)).or(unknown)
    }

    fn edit_counter(&self, entry: Entry<'_, '_>, counter: Counter, edit: CounterEdit) -> Option<Answer<i64>> {
        let registry = &self.w.shared.tables;
        if let Entry::Tracked { slot, table: None } = entry {
            let (table, place) = self.tracked(slot)?;
            let what = registry.def(table).layout.what(counter)?;
            let memo = self.tracking.memo;
            if memo.is_patient()
                && let Recall::Known(value) = memo.recall()
            {
                return value.map(Answer::Now);
            }
            let value = self.w.tables.change(table, place, what, edit);
            if memo.is_patient() {
                memo.know(Some(value));
            }
            return Some(Answer::Now(value));
        }
        let mut key = self.w.pool.buf();
        let table = self.key_of(&entry, &mut key)?;
        registry.def(table).layout.what(counter)?;
        if let Entry::Tracked { .. } = entry {
            // Another table's entry is changed, not made.
            match self.by_key(table, &key, Ask::Read(Counter::Exists)) {
                Some(Answer::Now(1..)) => {}
                Some(Answer::Later) => return Some(Answer::Later),
                _ => return Some(Answer::Now(0)),
            }
        }
        self.by_key(table, &key, Ask::Edit(counter, edit))
    }

    fn track(&self, slot: u8, table: &Reference, key: &Sample<'_>) -> Answer<()> {
        let registry = &self.w.shared.tables;
        let Some(table) = registry.of(table) else { return Answer::Now(()) };
        let mut bytes = self.w.pool.buf();
        if !registry.def(table).key.encode(key, &mut bytes) {
            return Answer::Now(());
        }
        let hash = registry.hash(table, &bytes);
        match self.w.tables.reach(table, &bytes, hash, true) {
            Reached::At(place) => self.attach(slot, table, place),
            // The table is full: nothing is tracked, as with HAProxy.
            Reached::Nothing => {}
            Reached::Elsewhere(_) => return self.lease(table, &bytes, hash),
        }
        Answer::Now(())
    }

    fn is_tracked(&self, slot: u8) -> bool {
        self.tracked(slot).is_some()
    }

    fn tracked_key(&self, slot: u8, out: &mut Vec<u8>) -> bool {
        let Some((table, place)) = self.tracked(slot) else { return false };
        let mut key = self.w.pool.buf();
        if !self.w.tables.key_of(table, place, &mut key) {
            return false;
        }
        self.w.shared.tables.def(table).key.sample_text(&key, out);
        true
    }

    fn rewind(&self) {
        self.tracking.memo.rewind();
    }

    fn is_waiting(&self) -> bool {
        self.tracking.memo.is_waiting()
    }

    fn settle(&self) {
        self.tracking.memo.settle();
    }

    fn table_used(&self, table: &Reference) -> Option<i64> {
        let registry = &self.w.shared.tables;
        Some(registry.def(registry.of(table)?).usage.used() as i64)
    }

    fn table_free(&self, table: &Reference) -> Option<i64> {
        let registry = &self.w.shared.tables;
        let usage = &registry.def(registry.of(table)?).usage;
        Some(usage.size.saturating_sub(usage.used()) as i64)
    }

    fn resolve(&self, resolvers: &Reference, prefer: Prefer, name: &[u8]) -> Answer<Option<IpAddr>> {
        let (Some((section, _)), Ok(name)) = (resolvers.index.get(), std::str::from_utf8(name)) else {
            return Answer::Now(None);
        };
        let prefer = match prefer {
            Prefer::Ipv4 => ResolvePrefer::Ipv4,
            Prefer::Ipv6 => ResolvePrefer::Ipv6,
        };
        self.lookup.ask(self.w, *section, name, prefer)
    }

    fn random(&self) -> u64 {
        self.w.random()
    }

    fn failed_rewrite(&self) {
        let counts = self.w.counts();
        counts.frontend(self.frontend).add(FrontendCounter::Wrew, 1);
        counts.listener(self.frontend, self.bind).add(ListenerCounter::Wrew, 1);
        if let Some(backend) = self.backend {
            counts.backend(backend).add(BackendCounter::Wrew, 1);
        }
        if let Some((proxy, server)) = self.server {
            counts.server(proxy, server).add(ServerCounter::Wrew, 1);
        }
    }

    fn client_transport(&self) -> Option<Transport> {
        let info = sockets::tcp_info(self.client?)?;
        Some(Transport {
            rtt_us: info.tcpi_rtt,
            rttvar_us: info.tcpi_rttvar,
            unacked: info.tcpi_unacked,
            sacked: info.tcpi_sacked,
            lost: info.tcpi_lost,
            retrans: info.tcpi_retrans,
            fackets: info.tcpi_fackets,
            reordering: info.tcpi_reordering,
        })
    }

    fn is_local(&self, ip: IpAddr) -> bool {
        // Only an address of the machine can be bound to; interfaces may come and go, so nothing is kept.
        std::net::UdpSocket::bind((ip, 0)).is_ok()
    }

    fn utc_offset(&self, _at: u64) -> i32 {
        self.w.shared.utc_offset
    }

    fn hostname(&self) -> &str {
        &self.w.shared.hostname
    }
}

impl StreamWorld<'_> {
    /// Asks for a copy; when it is here, tracking finds it.
    fn lease(&self, table: TableId, key: &[u8], hash: u64) -> Answer<()> {
        let memo = self.tracking.memo;
        if !memo.is_patient() {
            return Answer::Now(());
        }
        match memo.recall() {
            // The table is full, or the entry went as soon as it came.
            Recall::Known(_) => Answer::Now(()),
            Recall::Waiting => Answer::Later,
            Recall::New => {
                if let Asking::Later(id) = self.w.tables.ask(table, key, hash, Ask::Lease) {
                    memo.asked(&self.w.tables, id);
                    return Answer::Later;
                }
                Answer::Now(())
            }
        }
    }
}
