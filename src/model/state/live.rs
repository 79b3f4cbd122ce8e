//! The live facts about the plan: server states, weights and addresses, paused frontends, limits of the process. Every
//! change of a server's state goes through here, under the backend's lock, and returns what follows as [`Event`]s.
//! Workers notice by the backend's version. (BEHAVIOUR of HAProxy: manual 5.2, management guide 9.3 "set server".)

use super::{
    event::*,
    health::*,
    server::{Detail, Operation, ServerLive, WEIGHT_SCALE, admin},
};
use crate::{
    base::{address::Address, append::Append, clock::Millis},
    model::{
        balance::roundrobin,
        plan::{Plan, ProxyIndex, ServerIndex},
        server::Server,
    },
};
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::*},
};

#[derive(Debug)]
pub struct Live {
    proxies: Box<[ProxyLive]>,
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
    /// `option log-health-checks`: every change a check makes is told, and sentences about states leave the reason out.
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
    /// Process-wide position of `roundrobin` and `static-rr`.
    pub position: roundrobin::Position,
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
        self.version.fetch_add(1, AcqRel);
    }

    /// Usable active servers, usable backup servers.
    pub fn usable(&self) -> (usize, usize) {
        self.servers().filter(|(_, s)| s.is_usable()).fold((0, 0), |(active, backup), (_, s)| {
            if s.settings.backup { (active, backup + 1) } else { (active + 1, backup) }
        })
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
                position: roundrobin::Position::default(),
            };
            let frontend = FrontendLive {
                state: AtomicU8::new(0),
                is_listen: p.has_frontend && p.has_backend,
                maxconn: AtomicU32::new(p.frontend.maxconn.unwrap_or(0)),
            };
            ProxyLive { name: p.name.clone(), log_health_checks: p.options.log_health_checks, frontend, backend }
        });
        let live = Live { proxies: proxies.collect(), process: ProcessLive::default() };
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
        let events = self.change(proxy, server, now, |s, d, via| {
            d.check_running = false;
            let before = (d.check.status, d.health.value);
            d.check = report;
            if s.in_maintenance() || (conditional && !d.health.is_up()) {
                return None;
            }
            d.consecutive_errors = 0;
            let turn = d.health.passed();
            let agent_down = d.agent.as_ref().is_some_and(|a| a.enabled && !a.health.is_up());
            told = self.tell_check(proxy, server, "Health", before, &d.check, &d.health);
            let because = self.because(proxy, &d.check);
            match (s.operation(), conditional) {
                (Operation::Running | Operation::Starting, true) => {
                    Some(Next::to(Operation::Stopping, format!("is stopping{via}{because}.")))
                }
                (Operation::Stopping, false) => Some(Next::to(Operation::Running, format!("is UP{via}{because}."))),
                (Operation::Stopped, false) if (turn == Turn::Up || d.health.is_up()) && !agent_down => {
                    Some(Next::to(Operation::Running, format!("is UP{via}{because}.")))
                }
                _ => None,
            }
        });
        told.into_iter().chain(events).collect()
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
        let events = self.change(proxy, server, now, |s, d, via| {
            d.check_running = false;
            let before = (d.check.status, d.health.value);
            d.check = report;
            if s.in_maintenance() {
                return None;
            }
            let was_up = d.health.is_up();
            d.failed_checks += was_up as u64;
            let turn = d.health.failed();
            told = self.tell_check(proxy, server, "Health", before, &d.check, &d.health);
            (turn == Turn::Down || (!d.health.is_up() && s.operation() != Operation::Stopped))
                .then(|| Next::to(Operation::Stopped, format!("is DOWN{via}{}.", self.because(proxy, &d.check))))
        });
        told.into_iter().chain(events).collect()
    }

    /// `observe` saw `limit` errors in a row and `on-error` says to treat the server as down now.
    pub fn mark_down_by_observation(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        info: String,
        now: Millis,
    ) -> Vec<Event> {
        self.change(proxy, server, now, |s, d, via| {
            if s.in_maintenance() || !d.health.is_up() {
                return None;
            }
            d.health.force(false);
            d.check = CheckReport { status: CheckStatus::Analysis, info, ..CheckReport::default() };
            Some(Next::to(Operation::Stopped, format!("is DOWN{via}{}.", self.because(proxy, &d.check))))
        })
    }

    /// What an agent said of the server's health (`up`, or `down` and its kin); the report has its words.
    pub fn agent_reported(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        up: bool,
        report: CheckReport,
        now: Millis,
    ) -> Vec<Event> {
        let mut told = None;
        let events = self.change(proxy, server, now, |s, d, via| {
            let check_up = !d.checked || !d.check_enabled || d.health.is_up();
            let agent = d.agent.as_mut()?;
            let before = (agent.report.status, agent.health.value);
            agent.report = report;
            if s.in_maintenance() || !agent.enabled {
                return None;
            }
            let turn = if up { agent.health.passed() } else { agent.health.failed() };
            told = self.tell_check(proxy, server, "Agent", before, &agent.report, &agent.health);
            let because = self.because(proxy, &agent.report);
            match turn {
                Turn::Down => Some(Next::to(Operation::Stopped, format!("is DOWN{via}{because}."))),
                // An agent cannot lift what a check took down.
                Turn::Up if check_up => Some(Next::to(Operation::Running, format!("is UP{via}{because}."))),
                _ => None,
            }
        });
        told.into_iter().chain(events).collect()
    }

    /// An agent said nothing of the server's health, or could not be asked: that changes no state (manual 5.2
    /// "agent-check").
    pub fn agent_was_silent(&self, proxy: ProxyIndex, server: ServerIndex, report: CheckReport) -> Vec<Event> {
        let told = self.with_detail(proxy, server, |d| {
            let agent = d.agent.as_mut()?;
            let before = (agent.report.status, agent.health.value);
            agent.report = report;
            if agent.report.status == CheckStatus::Checked {
                return None;
            }
            self.tell_check(proxy, server, "Agent", before, &agent.report, &Health { value: 0, ..agent.health })
        });
        told.flatten().into_iter().collect()
    }

    /// The line of `option log-health-checks`, when status or health changed.
    fn tell_check(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        kind: &str,
        before: (CheckStatus, u32),
        report: &CheckReport,
        health: &Health,
    ) -> Option<Event> {
        if !self.proxies[proxy].log_health_checks || before == (report.status, health.value) {
            return None;
        }
        let s = self.server(proxy, server)?;
        let backup = if s.settings.backup { "backup " } else { "" };
        let result = match report.status.result() {
            3 => "succeeded",
            4 => "conditionally succeeded",
            _ => "failed",
        };
        let (done, of, word) = match health.is_up() {
            true => (health.value - health.rise + 1, health.fall, "UP"),
            false => (health.value, health.rise, "DOWN"),
        };
        let (px, name, reason) = (&self.proxies[proxy].name, &s.settings.name, report.reason());
        let head =
            format!("{kind} check for {backup}server {px}/{name} {result}, {reason}, status: {done}/{of} {word}.");
        Some(Event::new(proxy, Some(server), NOTICE, Effect::None, head))
    }

    /// `, reason: …` of a sentence about a state; nothing where `log-health-checks` has just told it.
    fn because(&self, proxy: ProxyIndex, report: &CheckReport) -> String {
        if self.proxies[proxy].log_health_checks { String::new() } else { format!(", {}", report.reason()) }
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
        self.change(proxy, server, now, |s, d, via| {
            if s.in_maintenance() {
                return None;
            }
            d.health.force(health != ForcedHealth::Down);
            match health {
                ForcedHealth::Up if s.operation() != Operation::Running => {
                    Some(Next::to(Operation::Running, format!("is UP{via}, changed from CLI.")))
                }
                ForcedHealth::Stopping if s.operation() != Operation::Stopping => {
                    Some(Next::to(Operation::Stopping, format!("is stopping{via}, changed from CLI.")))
                }
                ForcedHealth::Down if s.operation() != Operation::Stopped => {
                    Some(Next::to(Operation::Stopped, format!("is DOWN{via}, changed from CLI.")))
                }
                _ => None,
            }
        })
    }

    /// `set server b/s agent up|down`; false without an agent.
    pub fn force_agent(&self, proxy: ProxyIndex, server: ServerIndex, up: bool, now: Millis) -> Vec<Event> {
        self.change(proxy, server, now, |s, d, via| {
            let check_up = !d.checked || !d.check_enabled || d.health.is_up();
            let agent = d.agent.as_mut()?;
            agent.health.force(up);
            match (up, s.operation()) {
                (false, Operation::Running | Operation::Starting) => {
                    Some(Next::to(Operation::Stopped, format!("is DOWN{via}, changed from CLI.")))
                }
                (true, Operation::Stopped) if check_up && !s.in_maintenance() => {
                    Some(Next::to(Operation::Running, format!("is UP{via}, changed from CLI.")))
                }
                _ => None,
            }
        })
    }

    /// `set server b/s state …`, `disable server`, `enable server`, and an agent's `maint`, `drain`, `ready`.
    pub fn set_admin(&self, proxy: ProxyIndex, server: ServerIndex, state: AdminState, now: Millis) -> Vec<Event> {
        match state {
            AdminState::Ready => {
                let mut events = self.leave(proxy, server, admin::FORCED_MAINT, now);
                events.extend(self.leave(proxy, server, admin::FORCED_DRAIN, now));
                events
            }
            AdminState::Drain => {
                let mut events = self.enter(proxy, server, admin::FORCED_DRAIN, now);
                events.extend(self.leave(proxy, server, admin::FORCED_MAINT, now));
                events
            }
            AdminState::Maint => {
                let mut events = self.enter(proxy, server, admin::FORCED_MAINT, now);
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

    /// A name no longer resolves (`true`) or does again: `RMAINT`.
    pub fn set_unresolved(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        unresolved: bool,
        now: Millis,
    ) -> Vec<Event> {
        match unresolved {
            true => self.enter(proxy, server, admin::RESOLUTION_MAINT, now),
            false => self.leave(proxy, server, admin::RESOLUTION_MAINT, now),
        }
    }

    /// Weight in units of 1, at most 256. Balancing must be dynamic, which the caller checked.
    pub fn set_weight(&self, proxy: ProxyIndex, server: ServerIndex, weight: u32, now: Millis) -> Vec<Event> {
        let Some(s) = self.server(proxy, server) else { return Vec::new() };
        let backend = self.backend(proxy);
        let before = backend.usable();
        s.set_user_weight(weight.min(256));
        s.set_effective_weight(ramp(s, &s.lock(), now));
        backend.changed();
        let mut events = Vec::new();
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

    pub fn set_maxconn(&self, proxy: ProxyIndex, server: ServerIndex, maxconn: u32) {
        if let Some(s) = self.server(proxy, server) {
            s.set_maxconn(maxconn);
            self.backend(proxy).changed();
        }
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

    /// Moves slow starts on; to be called about once a second for servers with `slowstart`. True while any goes on.
    pub fn tick(&self, proxy: ProxyIndex, now: Millis) -> bool {
        let backend = self.backend(proxy);
        let mut going_on = false;
        for (_, s) in backend.servers().filter(|(_, s)| s.operation() == Operation::Starting) {
            let mut detail = s.lock();
            s.set_effective_weight(ramp(s, &detail, now));
            if slowstart_share(s, &detail, now).is_none() {
                detail.slowstart_since = None;
                s.set_operation(Operation::Running);
            } else {
                going_on = true;
            }
            backend.changed();
        }
        going_on
    }

    /// Percentage for column `throttle` while a slow start goes on.
    pub fn throttle(&self, server: &ServerLive, now: Millis) -> Option<u32> {
        let share = slowstart_share(server, &server.lock(), now)?;
        (server.operation() == Operation::Starting).then_some(share.max(1))
    }

    // ---- how a change happens ----

    fn enter(&self, proxy: ProxyIndex, server: ServerIndex, mode: u32, now: Millis) -> Vec<Event> {
        let Some(s) = self.server(proxy, server) else { return Vec::new() };
        let mut events = Vec::new();
        let before_mask = s.admin();
        if before_mask & mode != 0 {
            return events;
        }
        let backend = self.backend(proxy);
        let before = backend.usable();
        let (was_maint, was_drain) = (s.in_maintenance(), before_mask & admin::DRAIN != 0);
        s.set_admin(before_mask | mode);
        let name = self.title(proxy, s);
        let via = self.via(proxy, server);
        if mode & admin::MAINT != 0 && !was_maint {
            let was_up = s.operation() != Operation::Stopped && !was_drain;
            let mut detail = s.lock();
            close_period(s, &mut detail, now);
            if s.operation() != Operation::Stopped {
                detail.down_transitions += s.settings.check.is_some() as u64;
            }
            s.set_operation(Operation::Stopped);
            detail.health.value = 0;
            detail.check_running = false;
            drop(detail);
            backend.changed();
            let head = match was_up || was_drain {
                true => format!("{name} is going DOWN for maintenance{via}."),
                false => format!("{name} was DOWN and now enters maintenance{via}."),
            };
            let level = if was_up { ALERT } else { NOTICE };
            events.push(Event::new(proxy, Some(server), level, Effect::Down, head).left(backend.usable()));
        } else if mode & admin::DRAIN != 0 && !was_drain && !was_maint {
            s.lock().last_change = now;
            backend.changed();
            let head = format!("{name} enters drain state{via}.");
            let event = Event::new(proxy, Some(server), NOTICE, Effect::Drained, head);
            events.push(event.online(backend.usable()));
        } else {
            return events;
        }
        self.settle_backend(proxy, before, now, &mut events);
        let inherited = if mode & admin::MAINT != 0 { admin::INHERITED_MAINT } else { admin::INHERITED_DRAIN };
        self.followers(proxy, server, &mut events, |live, p, s| live.enter(p, s, inherited, now));
        events
    }

    fn leave(&self, proxy: ProxyIndex, server: ServerIndex, mode: u32, now: Millis) -> Vec<Event> {
        let Some(s) = self.server(proxy, server) else { return Vec::new() };
        let mut events = Vec::new();
        let mask = s.admin();
        if mask & mode == 0 {
            return events;
        }
        let backend = self.backend(proxy);
        let before = backend.usable();
        s.set_admin(mask & !mode);
        let name = self.title(proxy, s);
        let kind = if mode & (admin::FORCED_MAINT | admin::FORCED_DRAIN) != 0 { "forced " } else { "" };
        if mode & admin::MAINT != 0 {
            if s.in_maintenance() {
                backend.changed();
                return events;
            }
            let mut detail = s.lock();
            // After maintenance a server is taken for up, and for down at its first failure.
            detail.health = Health::starting(detail.health.rise, detail.health.fall);
            if let Some(agent) = &mut detail.agent {
                agent.health = Health::starting(agent.health.rise, agent.health.fall);
            }
            self.rise(s, &mut detail, now);
            drop(detail);
            backend.changed();
            let state = if s.in_drain() { "UP/DRAIN" } else { "UP/READY" };
            let head = format!("{name} is {state} (leaving {kind}maintenance).");
            events.push(Event::new(proxy, Some(server), NOTICE, Effect::Up, head));
        } else {
            backend.changed();
            if s.admin() & admin::DRAIN != 0 {
                return events;
            }
            if !s.in_maintenance() {
                s.lock().last_change = now;
                let up = if s.operation() == Operation::Stopped { "DOWN" } else { "UP" };
                let head = format!("{name} is {up} (leaving {kind}drain).");
                events.push(Event::new(proxy, Some(server), NOTICE, Effect::Up, head));
            }
        }
        self.settle_backend(proxy, before, now, &mut events);
        let inherited = if mode & admin::MAINT != 0 { admin::INHERITED_MAINT } else { admin::INHERITED_DRAIN };
        self.followers(proxy, server, &mut events, |live, p, s| live.leave(p, s, inherited, now));
        events
    }

    fn change(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        now: Millis,
        decide: impl FnOnce(&ServerLive, &mut Detail, &str) -> Option<Next>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(s) = self.server(proxy, server) else { return events };
        let next = decide(s, &mut s.lock(), "");
        if let Some(next) = next {
            self.apply(proxy, server, next, now, &mut events);
        }
        events
    }

    fn apply(&self, proxy: ProxyIndex, server: ServerIndex, next: Next, now: Millis, events: &mut Vec<Event>) {
        let Some(s) = self.server(proxy, server) else { return };
        let backend = self.backend(proxy);
        let before = backend.usable();
        let mut detail = s.lock();
        let was = s.operation();
        match next.operation {
            Operation::Running | Operation::Starting => self.rise(s, &mut detail, now),
            Operation::Stopped => {
                close_period(s, &mut detail, now);
                detail.down_transitions += 1;
                s.set_operation(Operation::Stopped);
            }
            Operation::Stopping => {
                detail.last_change = now;
                s.set_operation(Operation::Stopping);
            }
        }
        drop(detail);
        backend.changed();
        let head = format!("{} {}", self.title(proxy, s), next.sentence);
        let counts = backend.usable();
        let event = |level, effect| Event::new(proxy, Some(server), level, effect, head);
        events.push(match next.operation {
            Operation::Stopped if was == Operation::Stopping || s.in_drain() => {
                event(NOTICE, Effect::Down).left(counts)
            }
            Operation::Stopped => event(ALERT, Effect::Down).left(counts),
            Operation::Stopping => event(NOTICE, Effect::Drained).left(counts),
            _ => event(NOTICE, Effect::Up).online(counts),
        });
        self.settle_backend(proxy, before, now, events);
        self.followers(proxy, server, events, |live, p, f| {
            let Some(follower) = live.server(p, f) else { return Vec::new() };
            let mut events = Vec::new();
            if !follower.in_maintenance() && follower.operation() != next.operation {
                let via = live.via(p, f);
                let word = match next.operation {
                    Operation::Stopped => "DOWN",
                    Operation::Stopping => "stopping",
                    _ => "UP",
                };
                let sentence = format!("is {word}{via}.");
                live.apply(p, f, Next::to(next.operation, sentence), now, &mut events);
            }
            events
        });
    }

    /// The server goes up: at once, or slowly where `slowstart` says so and its address is known.
    fn rise(&self, s: &ServerLive, detail: &mut Detail, now: Millis) {
        if s.operation() == Operation::Stopped {
            close_period(s, detail, now);
        } else {
            detail.last_change = now;
        }
        match s.settings.slowstart_ms {
            Some(ms) if ms > 0 && now.0 > 0 && s.operation() == Operation::Stopped => {
                detail.slowstart_since = Some(now);
                s.set_operation(Operation::Starting);
            }
            _ => s.set_operation(Operation::Running),
        }
        s.set_effective_weight(ramp(s, detail, now));
    }

    /// The backend as a whole went down or up by the change just made.
    fn settle_backend(&self, proxy: ProxyIndex, before: (usize, usize), now: Millis, events: &mut Vec<Event>) {
        let backend = self.backend(proxy);
        let after = backend.usable();
        let mut detail = backend.detail.lock().unwrap_or_else(PoisonError::into_inner);
        let none = after == (0, 0);
        if none == detail.down {
            return;
        }
        detail.down = none;
        if none {
            detail.down_transitions += 1;
            detail.last_change = now;
            if before != (0, 0) {
                let name = &self.proxies[proxy].name;
                let head = format!("{} {name} has no server available!", self.proxies[proxy].word());
                events.push(Event::new(proxy, None, EMERG, Effect::NoServer, head));
            }
        } else {
            detail.down_ms += now.since(detail.last_change);
            detail.last_change = now;
        }
    }

    fn followers(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        events: &mut Vec<Event>,
        act: impl Fn(&Live, ProxyIndex, ServerIndex) -> Vec<Event>,
    ) {
        for (p, candidate) in self.proxies.iter().enumerate() {
            for (s, follower) in candidate.backend.servers() {
                if follower.settings.track.is_some() && self.tracked(p, s) == Some((proxy, server)) {
                    events.extend(act(self, p, s));
                }
            }
        }
    }

    /// ` via b/s` of a server that tracks another.
    fn via(&self, proxy: ProxyIndex, server: ServerIndex) -> String {
        match self.tracked(proxy, server) {
            Some((p, s)) => match self.server(p, s) {
                Some(tracked) => format!(" via {}/{}", self.proxies[p].name, tracked.settings.name),
                None => String::new(),
            },
            None => String::new(),
        }
    }

    /// `Server b/s` or `Backup Server b/s`.
    fn title(&self, proxy: ProxyIndex, s: &ServerLive) -> String {
        let backup = if s.settings.backup { "Backup " } else { "" };
        format!("{backup}Server {}/{}", self.proxies[proxy].name, s.settings.name)
    }
}

impl ProxyLive {
    /// What the log calls a proxy that lost its last server.
    fn word(&self) -> &'static str {
        if self.frontend.is_listen { "proxy" } else { "backend" }
    }
}

struct Next {
    operation: Operation,
    sentence: String,
}

impl Next {
    fn to(operation: Operation, sentence: String) -> Next {
        Next { operation, sentence }
    }
}

/// Ends the present period of being up or down.
fn close_period(s: &ServerLive, detail: &mut Detail, now: Millis) {
    if s.operation() == Operation::Stopped {
        detail.down_ms += now.since(detail.last_change);
    }
    detail.last_change = now;
}

/// Percentage of the slow start that has gone by; `None` when there is none (any more).
fn slowstart_share(s: &ServerLive, detail: &Detail, now: Millis) -> Option<u32> {
    let (since, whole) = (detail.slowstart_since?, s.settings.slowstart_ms?);
    let gone = now.since(since);
    (gone < whole).then(|| (gone * 100 / whole.max(1)) as u32)
}

fn ramp(s: &ServerLive, detail: &Detail, now: Millis) -> u32 {
    let full = s.user_weight() * WEIGHT_SCALE;
    let (Some(since), Some(whole)) = (detail.slowstart_since, s.settings.slowstart_ms) else { return full };
    let gone = now.since(since);
    if gone >= whole || full == 0 {
        return full;
    }
    ((full as u64 * gone).div_ceil(whole.max(1)) as u32).max(1)
}
