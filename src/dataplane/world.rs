//! What the language asks about the rest of the process, answered for one stream of one worker.

use super::worker::Worker;
use crate::language::sample::args::Reference;
use crate::language::world::{BackendFact, FrontendFact, ProcessFact, ServerFact, World};
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::state::board::FrontendRate;
use crate::model::state::counters::{BackendCounter, FrontendCounter, ListenerCounter, ProcessCounter, ServerCounter};

pub struct StreamWorld<'a> {
    pub w: &'a Worker,
    pub frontend: ProxyIndex,
    pub bind: usize,
    pub backend: Option<ProxyIndex>,
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
            ProcessFact::Stopping => w.stopping.get() as i64,
            ProcessFact::ListenerConnections => {
                w.board.listener(self.frontend, self.bind, ListenerCounter::Scur) as i64
            }
            ProcessFact::CpuUsageProcess | ProcessFact::CpuUsageThread | ProcessFact::CpuUsageGroup => return None,
        })
    }

    fn random(&self) -> u64 {
        self.w.random()
    }

    fn utc_offset(&self, _at: u64) -> i32 {
        self.w.shared.utc_offset
    }

    fn hostname(&self) -> &str {
        &self.w.shared.hostname
    }
}
