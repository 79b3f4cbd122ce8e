//! The live facts about the plan: server states, weights and addresses, paused frontends, limits of the process. Every
//! change of a server's state goes through here, one at a time, and returns what follows as [`Event`]s.
//! Workers notice by the backend's version. (Manual 5.2, management guide 9.3 "set server".)

use super::waiting::Waiting;
use super::{
    event::*,
    health::*,
    server::{Agent, Detail, Operation, ServerLive, admin},
};
use crate::{
    base::{address::Address, append::Append, clock::Millis},
    model::{
        balance::position::Position,
        persist::DynamicCookie,
        plan::{Plan, ProxyIndex, ServerIndex},
        server::Server,
    },
};
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::*},
};

mod change;
mod names;
use change::{Next, ramp, slowstart_share};

#[derive(Debug)]
pub struct Live {
    proxies: Box<[ProxyLive]>,
    /// One change of state at a time: checks on a worker and the runtime API may meet. Never taken to read.
    changing: Mutex<()>,
    pub process: ProcessLive,
}

/// Limits of the process that the runtime API changes.
#[derive(Debug, Default)]
pub struct ProcessLive {
    /// Effective `maxconn`; 0 until the control plane computed it.
    pub maxconn: AtomicU32,
    pub hard_maxconn: AtomicU32,
    /// `set rate-limit …`; 0: none.
    pub connections_per_second: AtomicU32,
    pub sessions_per_second: AtomicU32,
    pub ssl_sessions_per_second: AtomicU32,
    pub compression_bytes_per_second: AtomicU64,
    pub stopping: AtomicBool,
}

#[derive(Debug)]
pub struct ProxyLive {
    pub name: String,
    /// `option log-health-checks`: each result that counts is told, and the change of state then without its reason.
    log_health_checks: bool,
    pub frontend: FrontendLive,
    pub backend: BackendLive,
}

/// What `show stat` says of a frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrontendState {
    Open = 0,
    /// `disable frontend`: sockets are bound, nothing is accepted.
    Paused = 1,
    /// Stopped for good.
    Stopped = 2,
}

#[derive(Debug)]
pub struct FrontendLive {
    state: AtomicU8,
    is_listen: bool,
    /// 0: no limit of its own.
    pub maxconn: AtomicU32,
}

impl FrontendLive {
    pub fn state(&self) -> FrontendState {
        match self.state.load(Acquire) {
            0 => FrontendState::Open,
            1 => FrontendState::Paused,
            _ => FrontendState::Stopped,
        }
    }

    pub fn set_state(&self, state: FrontendState) {
        self.state.store(state as u8, Release);
    }
}

#[derive(Debug)]
pub struct BackendLive {
    servers: Append<OnceLock<ServerLive>>,
    version: AtomicU64,
    detail: Mutex<BackendDetail>,
    /// Where the process stands in the order of its servers.
    pub position: Position,
    pub dynamic_cookie: DynamicCookie,
    /// Streams that wait for any server.
    pub waiting: Waiting,
    /// Numbers given to streams that began to wait.
    tickets: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct BackendDetail {
    pub last_change: Millis,
    pub down_ms: u64,
    pub down_transitions: u64,
    pub down: bool,
}

/// What an administrator asks of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminState {
    Ready,
    Drain,
    Maint,
}

/// `set server … health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForcedHealth {
    Up,
    Stopping,
    Down,
}

impl BackendLive {
    pub fn server(&self, index: ServerIndex) -> Option<&ServerLive> {
        self.servers.get(index)?.get()
    }

    /// Every server that was not deleted, with its index.
    pub fn servers(&self) -> impl Iterator<Item = (ServerIndex, &ServerLive)> {
        self.servers.iter().enumerate().filter_map(|(i, s)| Some((i, s.get()?))).filter(|(_, s)| !s.is_deleted())
    }

    /// How many indices were given, deleted ones included.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    pub fn find(&self, name: &str) -> Option<ServerIndex> {
        self.servers().find(|(_, s)| s.settings.name == name).map(|(i, _)| i)
    }

    /// Rises with every change that balancing must see.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    fn changed(&self) {
        self.position.follow(self);
        self.version.fetch_add(1, AcqRel);
    }

    /// Usable active servers, usable backup servers.
    pub fn usable(&self) -> (usize, usize) {
        self.servers().filter(|(_, s)| s.is_usable()).fold((0, 0), |(active, backup), (_, s)| {
            if s.settings.backup { (active, backup + 1) } else { (active + 1, backup) }
        })
    }

    /// A number for a stream that begins to wait, greater than those of all that wait already. From 1 on.
    pub fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Relaxed) + 1
    }

    pub fn detail(&self) -> BackendDetail {
        *self.detail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    pub fn new(plan: &Plan) -> Live {
        let proxies = plan.proxies.iter().map(|p| {
            let servers = p.backend.servers.iter();
            let servers = servers.map(|s| OnceLock::from(ServerLive::new(Arc::new(s.clone()), false))).collect();
            let backend = BackendLive {
                servers: Append::new(servers),
                version: AtomicU64::new(1),
                detail: Mutex::default(),
                position: Position::new(&p.backend, p.options.allbackups),
                dynamic_cookie: DynamicCookie::of(&p.backend),
                waiting: Waiting::default(),
                tickets: AtomicU64::new(0),
            };
            let frontend = FrontendLive {
                state: AtomicU8::new(0),
                is_listen: p.has_frontend && p.has_backend,
                maxconn: AtomicU32::new(p.frontend.maxconn.unwrap_or(0)),
            };
            ProxyLive { name: p.name.clone(), log_health_checks: p.options.log_health_checks, frontend, backend }
        });
        let live = Live { proxies: proxies.collect(), changing: Mutex::default(), process: ProcessLive::default() };
        for (p, proxy) in live.proxies.iter().enumerate() {
            for (s, server) in proxy.backend.servers() {
                // A server that tracks one in maintenance begins in maintenance.
                if let Some((tp, ts)) = live.tracked(p, s)
                    && live.server(tp, ts).is_some_and(ServerLive::in_maintenance)
                {
                    server.set_admin(server.admin() | admin::INHERITED_MAINT);
                    server.set_operation(Operation::Stopped);
                }
            }
            proxy.backend.position.begin(&proxy.backend);
            let servers = !proxy.backend.is_empty();
            proxy.backend.detail.lock().unwrap_or_else(PoisonError::into_inner).down =
                servers && proxy.backend.usable() == (0, 0);
        }
        live
    }

    pub fn proxy(&self, proxy: ProxyIndex) -> Option<&ProxyLive> {
        self.proxies.get(proxy)
    }

    /// The backend half of a proxy of this plan.
    #[inline]
    pub fn backend(&self, proxy: ProxyIndex) -> &BackendLive {
        &self.proxies[proxy].backend
    }

    #[inline]
    pub fn frontend(&self, proxy: ProxyIndex) -> &FrontendLive {
        &self.proxies[proxy].frontend
    }

    pub fn server(&self, proxy: ProxyIndex, server: ServerIndex) -> Option<&ServerLive> {
        self.proxies.get(proxy)?.backend.server(server)
    }

    /// The server that this one tracks.
    pub fn tracked(&self, proxy: ProxyIndex, server: ServerIndex) -> Option<(ProxyIndex, ServerIndex)> {
        let text = self.server(proxy, server)?.settings.track.as_deref()?;
        let (backend, name) = match text.split_once('/') {
            Some((b, name)) => (self.proxies.iter().position(|p| p.name == b && !p.backend.is_empty())?, name),
            None => (proxy, text),
        };
        Some((backend, self.proxies[backend].backend.find(name)?))
    }

    /// States were set at start, before anyone looked: counts anew which backends are down, in silence.
    pub fn settled(&self) {
        for proxy in &self.proxies {
            let backend = &proxy.backend;
            backend.position.begin(backend);
            backend.changed();
            backend.detail.lock().unwrap_or_else(PoisonError::into_inner).down =
                !backend.is_empty() && backend.usable() == (0, 0);
        }
    }

    // ---- checks ----

    /// A check begins: shown as `* ` before the last result.
    pub fn check_started(&self, proxy: ProxyIndex, server: ServerIndex) {
        if let Some(s) = self.server(proxy, server) {
            s.lock().check_running = true;
        }
    }

    /// A check has passed. `conditional`: it passed by `http-check disable-on-404`, which stops new traffic of a server
    /// that is up and does not lift one that is down.
    pub fn check_passed(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        report: CheckReport,
        conditional: bool,
        now: Millis,
    ) -> Vec<Event> {
        let mut told = None;
        let mut events = self.change(proxy, server, now, |s, d, why| {
            d.check_running = false;
            let status = std::mem::replace(&mut d.check, report).status;
            if s.in_maintenance() || (conditional && s.operation() == Operation::Stopped) {
                return None;
            }
            d.consecutive_errors = 0;
            let before = d.health.value;
            let turn = d.health.passed();
            let agent_down = d.agent.as_ref().is_some_and(Agent::is_down);
            if before != d.health.value || status != d.check.status {
                let how = if conditional { "conditionally succeeded" } else { "succeeded" };
                told = Some(format!("{how}, {}, {}.", d.check.reason(), d.health.status()));
            }
            let word = |word: &str| format!("is {word}{}.", why(d));
            match (s.operation(), conditional) {
                (Operation::Running | Operation::Starting, true) if d.health.is_up() => {
                    Some(Next::to(Operation::Stopping, word("stopping")))
                }
                (Operation::Stopping, false) => Some(Next::to(Operation::Running, word("UP"))),
                (Operation::Stopped, false) if (turn == Turn::Up || d.health.is_up()) && !agent_down => {
                    Some(Next::to(Operation::Running, word("UP")))
                }
                _ => None,
            }
        });
        self.tell_check(proxy, server, "Health", told, &mut events);
        events
    }

    /// A check has failed.
    pub fn check_failed(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        report: CheckReport,
        now: Millis,
    ) -> Vec<Event> {
        let mut told = None;
        let mut events = self.change(proxy, server, now, |s, d, why| {
            d.check_running = false;
            let status = std::mem::replace(&mut d.check, report).status;
            if s.in_maintenance() {
                return None;
            }
            let before = d.health;
            d.failed_checks += before.is_up() as u64;
            let turn = d.health.failed();
            if before.value != d.health.value || status != d.check.status {
                told = Some(format!("failed, {}, {}.", d.check.reason(), d.health.status()));
            }
            (turn == Turn::Down || (!d.health.is_up() && s.operation() != Operation::Stopped))
                .then(|| Next::to(Operation::Stopped, format!("is DOWN{}.", why(d))))
        });
        self.tell_check(proxy, server, "Health", told, &mut events);
        events
    }

    /// Puts the sentence of `option log-health-checks` before the others.
    fn tell_check(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        kind: &str,
        told: Option<String>,
        events: &mut Vec<Event>,
    ) {
        let Some(s) = self.server(proxy, server) else { return };
        if let Some(told) = told.filter(|_| self.proxies[proxy].log_health_checks) {
            let title = self.title(proxy, s);
            let title = title.replacen("Backup Server", "backup server", 1).replacen("Server", "server", 1);
            let head = format!("{kind} check for {title} {told}");
            events.insert(0, Event::new(proxy, Some(server), NOTICE, Effect::None, head));
        }
    }

    /// `observe` saw `limit` errors in a row and `on-error` says to treat the server as down now.
    pub fn mark_down_by_observation(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        info: String,
        now: Millis,
    ) -> Vec<Event> {
        self.change(proxy, server, now, |s, d, why| {
            if s.in_maintenance() || !d.health.is_up() {
                return None;
            }
            d.health.force(false);
            d.check = CheckReport { status: CheckStatus::Analysis, info, ..CheckReport::default() };
            Some(Next::to(Operation::Stopped, format!("is DOWN{}.", why(d))))
        })
    }

    /// What an agent said of the server's health (`up`, or `down`, `failed`, `stopped`). Its weight, `drain`, `maint` and
    /// `ready` go the administrator's ways.
    pub fn agent_reported(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        up: bool,
        report: CheckReport,
        now: Millis,
    ) -> Vec<Event> {
        let mut told = None;
        let mut events = self.change(proxy, server, now, |s, d, _| {
            let check_up = !d.checked || !d.check_enabled || d.health.is_up();
            let agent = d.agent.as_mut()?;
            let status = std::mem::replace(&mut agent.report, report).status;
            if !agent.enabled {
                return None;
            }
            let before = agent.health.value;
            let turn = if up { agent.health.passed() } else { agent.health.failed() };
            if s.in_maintenance() {
                // It counts when that ends.
                return None;
            }
            if before != agent.health.value || status != agent.report.status {
                let how = if up { "succeeded" } else { "failed" };
                told = Some(format!("{how}, {}, {}.", agent.report.reason(), agent.health.status()));
            }
            let word = |word: &str| match self.proxies[proxy].log_health_checks {
                true => format!("is {word}."),
                false => format!("is {word}, {}.", agent.report.reason()),
            };
            match turn {
                Turn::Down if s.operation() != Operation::Stopped => Some(Next::to(Operation::Stopped, word("DOWN"))),
                // An agent cannot lift what a check took down.
                _ if up && agent.health.is_up() && check_up && s.operation() == Operation::Stopped => {
                    Some(Next::to(Operation::Running, word("UP")))
                }
                _ => None,
            }
        });
        self.tell_check(proxy, server, "Agent", told, &mut events);
        events
    }

    /// An agent said nothing of the server's health, or could not be asked: that changes no state (manual 5.2
    /// "agent-check").
    pub fn agent_was_silent(&self, proxy: ProxyIndex, server: ServerIndex, report: CheckReport) -> Vec<Event> {
        let told = self.with_detail(proxy, server, |d| {
            let agent = d.agent.as_mut()?;
            let before = std::mem::replace(&mut agent.report, report).status;
            let news = agent.report.status != before && agent.report.status != CheckStatus::Checked;
            // HAProxy counts it as the agent's failure here, and acts on it nowhere.
            let counted = Health { value: 0, ..agent.health };
            news.then(|| format!("failed, {}, {}.", agent.report.reason(), counted.status()))
        });
        let mut events = Vec::new();
        self.tell_check(proxy, server, "Agent", told.flatten(), &mut events);
        events
    }

    // ---- the administrator ----

    /// `set server b/s health up|stopping|down`.
    pub fn force_health(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        health: ForcedHealth,
        now: Millis,
    ) -> Vec<Event> {
        self.change(proxy, server, now, |s, d, _| {
            if s.in_maintenance() {
                return None;
            }
            d.health.force(health != ForcedHealth::Down);
            d.health_forced = true;
            match health {
                ForcedHealth::Up if s.operation() != Operation::Running => {
                    Some(Next::to(Operation::Running, "is UP, changed from CLI.".into()))
                }
                ForcedHealth::Stopping if s.operation() != Operation::Stopping => {
                    Some(Next::to(Operation::Stopping, "is stopping, changed from CLI.".into()))
                }
                ForcedHealth::Down if s.operation() != Operation::Stopped => {
                    Some(Next::to(Operation::Stopped, "is DOWN, changed from CLI.".into()))
                }
                _ => None,
            }
        })
    }

    /// `set server b/s agent up|down`; false without an agent.
    pub fn force_agent(&self, proxy: ProxyIndex, server: ServerIndex, up: bool, now: Millis) -> Vec<Event> {
        self.change(proxy, server, now, |s, d, _| {
            let check_up = !d.checked || !d.check_enabled || d.health.is_up();
            let agent = d.agent.as_mut()?;
            agent.health.force(up);
            match (up, s.operation()) {
                (false, Operation::Running | Operation::Starting) => {
                    Some(Next::to(Operation::Stopped, "is DOWN, changed from CLI.".into()))
                }
                (true, Operation::Stopped) if check_up && !s.in_maintenance() => {
                    Some(Next::to(Operation::Running, "is UP, changed from CLI.".into()))
                }
                _ => None,
            }
        })
    }

    /// `set server b/s state …`, `disable server`, `enable server`, and an agent's `maint`, `drain`, `ready`.
    pub fn set_admin(&self, proxy: ProxyIndex, server: ServerIndex, state: AdminState, now: Millis) -> Vec<Event> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            AdminState::Ready => {
                let mut events = self.leave(proxy, server, admin::FORCED_MAINT, now);
                events.extend(self.leave(proxy, server, admin::FORCED_DRAIN, now));
                events
            }
            AdminState::Drain => {
                let mut events = self.enter(proxy, server, admin::FORCED_DRAIN, None, now);
                events.extend(self.leave(proxy, server, admin::FORCED_MAINT, now));
                events
            }
            AdminState::Maint => {
                let mut events = self.enter(proxy, server, admin::FORCED_MAINT, None, now);
                // Maintenance and drain exclude each other; maintenance wins in silence.
                if let Some(s) = self.server(proxy, server)
                    && s.admin() & admin::FORCED_DRAIN != 0
                {
                    s.set_admin(s.admin() & !admin::FORCED_DRAIN);
                    self.backend(proxy).changed();
                    self.followers(proxy, server, &mut events, |live, p, s| {
                        live.leave(p, s, admin::INHERITED_DRAIN, now)
                    });
                }
                events
            }
        }
    }

    /// Weight in units of 1, at most 256. Balancing must be dynamic, which the caller checked.
    pub fn set_weight(&self, proxy: ProxyIndex, server: ServerIndex, weight: u32, now: Millis) -> Vec<Event> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(s) = self.server(proxy, server) else { return Vec::new() };
        let backend = self.backend(proxy);
        let (before, was_usable) = (backend.usable(), s.is_usable());
        s.set_user_weight(weight.min(256));
        s.set_effective_weight(ramp(s, &s.lock(), now));
        backend.changed();
        let mut events = Vec::new();
        // One that takes none any more may let in a backup server.
        if s.is_usable() != was_usable {
            events.push(Event::room(proxy, server));
        }
        self.settle_backend(proxy, before, now, &mut events);
        events
    }

    /// Where new connections go from now on.
    pub fn set_address(&self, proxy: ProxyIndex, server: ServerIndex, address: Option<Address>) {
        if let Some(s) = self.server(proxy, server) {
            s.set_address(address);
            self.backend(proxy).changed();
        }
    }

    pub fn set_maxconn(&self, proxy: ProxyIndex, server: ServerIndex, maxconn: u32) -> Vec<Event> {
        let Some(s) = self.server(proxy, server) else { return Vec::new() };
        if s.maxconn() == maxconn {
            return Vec::new();
        }
        s.set_maxconn(maxconn);
        self.backend(proxy).changed();
        vec![Event::room(proxy, server)]
    }

    /// `enable health`, `disable health`.
    pub fn set_check_enabled(&self, proxy: ProxyIndex, server: ServerIndex, enabled: bool) {
        if let Some(s) = self.server(proxy, server) {
            s.lock().check_enabled = enabled;
        }
    }

    /// Changes what only checks and statistics read.
    pub fn with_detail<T>(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        edit: impl FnOnce(&mut Detail) -> T,
    ) -> Option<T> {
        Some(edit(&mut self.server(proxy, server)?.lock()))
    }

    /// Appends a server, in maintenance and with its checks off. `None` when a server of that name is there or the list
    /// is at its bound.
    pub fn add_server(&self, proxy: ProxyIndex, settings: Server, now: Millis) -> Option<ServerIndex> {
        let backend = self.backend(proxy);
        let _guard = backend.detail.lock().unwrap_or_else(PoisonError::into_inner);
        if backend.find(&settings.name).is_some() {
            return None;
        }
        let index = backend.len();
        let server = ServerLive::new(Arc::new(settings), true);
        server.lock().last_change = now;
        backend.servers.cell(index)?.set(server).ok()?;
        if let (Some(s), Some(tracked)) =
            (self.server(proxy, index), self.tracked(proxy, index).and_then(|(p, t)| self.server(p, t)))
        {
            let inherits = |of, mask| if tracked.admin() & of != 0 { mask } else { 0 };
            let maint = inherits(admin::MAINT, admin::INHERITED_MAINT);
            s.set_admin(s.admin() | maint | inherits(admin::DRAIN, admin::INHERITED_DRAIN));
        }
        backend.changed();
        Some(index)
    }

    /// Takes a server out for good. The caller checked that it is in maintenance and serves nothing.
    pub fn delete_server(&self, proxy: ProxyIndex, server: ServerIndex) {
        if let Some(s) = self.server(proxy, server) {
            s.mark_deleted();
            self.backend(proxy).changed();
        }
    }

    /// Whether a server of any backend starts slowly now.
    pub fn starts_slowly(&self) -> bool {
        self.proxies.iter().any(|p| p.backend.servers().any(|(_, s)| s.operation() == Operation::Starting))
    }

    /// Moves slow starts on; to be called once a second while [`Live::starts_slowly`]. A server that has its whole weight is
    /// said to be up once more, as in HAProxy.
    pub fn tick(&self, now: Millis) -> Vec<Event> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = Vec::new();
        for (proxy, candidate) in self.proxies.iter().enumerate() {
            let backend = &candidate.backend;
            for (server, s) in backend.servers().filter(|(_, s)| s.operation() == Operation::Starting) {
                let mut detail = s.lock();
                s.set_effective_weight(ramp(s, &detail, now));
                let whole = slowstart_share(s, &detail, now).is_none();
                if whole {
                    detail.slowstart_since = None;
                    s.set_operation(Operation::Running);
                }
                drop(detail);
                backend.changed();
                if whole {
                    let head = format!("{} is UP.", self.title(proxy, s));
                    let event = Event::new(proxy, Some(server), NOTICE, Effect::None, head);
                    events.push(event.online(backend.usable()));
                }
            }
        }
        events
    }

    /// Percentage for column `throttle` while a slow start goes on.
    pub fn throttle(&self, server: &ServerLive, now: Millis) -> Option<u32> {
        let share = slowstart_share(server, &server.lock(), now)?;
        (server.operation() == Operation::Starting).then_some(share.max(1))
    }
}

impl ProxyLive {
    /// What the log calls a proxy that lost its last server.
    fn word(&self) -> &'static str {
        if self.frontend.is_listen { "proxy" } else { "backend" }
    }
}
