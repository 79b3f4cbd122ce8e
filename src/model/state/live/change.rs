//! How a change of a server's state happens: the masks and states themselves, the backend that may go down or up by it,
//! the servers that track it, and the sentences.

use super::{
    super::{
        event::*,
        server::{Agent, Detail, Operation, ServerLive, WEIGHT_SCALE, admin},
    },
    Live,
};
use crate::{
    base::clock::Millis,
    model::plan::{ProxyIndex, ServerIndex},
};
use std::sync::PoisonError;

impl Live {
    /// `cause` stands in parentheses where no other server is to be named.
    pub(super) fn enter(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        mode: u32,
        cause: Option<&str>,
        now: Millis,
    ) -> Vec<Event> {
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
        // What was asked of this server itself comes from no other.
        let forced = mode & (admin::FORCED_MAINT | admin::FORCED_DRAIN) != 0;
        let via = match cause {
            Some(cause) => format!(" ({cause})"),
            None if forced => String::new(),
            None => self.via(proxy, server),
        };
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
            let event = |level, head| Event::new(proxy, Some(server), level, Effect::Down, head);
            events.push(match (was_up, was_drain) {
                (false, false) => event(NOTICE, format!("{name} was DOWN and now enters maintenance{via}.")),
                (up, _) => {
                    let head = format!("{name} is going DOWN for maintenance{via}.");
                    event(if up { ALERT } else { NOTICE }, head).left(backend.usable())
                }
            });
        } else if mode & admin::DRAIN != 0 && !was_drain {
            // In maintenance it shows when that ends.
            if !was_maint {
                s.lock().last_change = now;
                backend.changed();
                let head = format!("{name} enters drain state{via}.");
                let event = Event::new(proxy, Some(server), NOTICE, Effect::Drained, head);
                events.push(match s.operation() {
                    Operation::Stopped => event.left(backend.usable()),
                    _ => event.online(backend.usable()),
                });
            }
        } else {
            events.extend(self.remains_in_drain(proxy, server).filter(|_| mode & admin::DRAIN != 0));
            return events;
        }
        self.settle_backend(proxy, before, now, &mut events);
        let inherited = if mode & admin::MAINT != 0 { admin::INHERITED_MAINT } else { admin::INHERITED_DRAIN };
        self.followers(proxy, server, &mut events, |live, p, s| live.enter(p, s, inherited, None, now));
        events
    }

    pub(super) fn leave(&self, proxy: ProxyIndex, server: ServerIndex, mode: u32, now: Millis) -> Vec<Event> {
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
                if mode == admin::FORCED_MAINT {
                    let head = format!("{name} is leaving forced maintenance but remains in maintenance.");
                    events.push(Event::new(proxy, Some(server), NOTICE, Effect::None, head));
                }
                return events;
            }
            let mut detail = s.lock();
            // After maintenance a server is taken for up, and for down at its first failure, unless `init-state` says else,
            // its agent said so last, or the server that it tracks is down.
            let tracked = self.tracked(proxy, server).and_then(|(p, t)| self.server(p, t));
            let down = s.settings.init_state.is_down()
                || detail.agent.as_ref().is_some_and(Agent::is_down)
                || tracked.is_some_and(|t| t.operation() == Operation::Stopped);
            detail.health = detail.health.initial(s.settings.init_state);
            if !down {
                self.rise(s, &mut detail, now);
            }
            let resolved = detail.name.clone().filter(|_| mode == admin::RESOLUTION_MAINT);
            drop(detail);
            backend.changed();
            let state = match (down, s.in_drain()) {
                (false, true) => "UP/DRAIN",
                (false, false) => "UP/READY",
                (true, true) => "DOWN/DRAIN",
                (true, false) => "DOWN/READY",
            };
            let head = match resolved {
                Some(host) => format!("{name} ('{host}') is {state} (resolves again)."),
                None => format!("{name} is {state} (leaving {kind}maintenance)."),
            };
            let effect = if down { Effect::None } else { Effect::Up };
            events.push(Event::new(proxy, Some(server), NOTICE, effect, head));
            events.extend(self.remains_in_drain(proxy, server));
        } else {
            backend.changed();
            if s.admin() & admin::DRAIN != 0 {
                events.extend(self.remains_in_drain(proxy, server));
                return events;
            }
            if !s.in_maintenance() {
                s.lock().last_change = now;
                let up = if s.operation() == Operation::Stopped { "DOWN" } else { "UP" };
                let via = if kind.is_empty() { self.via(proxy, server) } else { String::new() };
                let head = format!("{name} is {up} (leaving {kind}drain){via}.");
                events.push(Event::new(proxy, Some(server), NOTICE, Effect::Up, head));
            }
        }
        self.settle_backend(proxy, before, now, &mut events);
        let inherited = if mode & admin::MAINT != 0 { admin::INHERITED_MAINT } else { admin::INHERITED_DRAIN };
        self.followers(proxy, server, &mut events, |live, p, s| live.leave(p, s, inherited, now));
        events
    }

    /// What is said of a server that drains still, or for one more reason.
    fn remains_in_drain(&self, proxy: ProxyIndex, server: ServerIndex) -> Option<Event> {
        let s = self.server(proxy, server).filter(|s| s.in_drain() && !s.in_maintenance())?;
        let name = self.title(proxy, s);
        let head = match s.admin() & admin::FORCED_DRAIN != 0 {
            true => format!("{name} remains in forced drain mode."),
            false => format!("{name} remains in drain mode{}.", self.via(proxy, server)),
        };
        Some(Event::new(proxy, Some(server), NOTICE, Effect::None, head))
    }

    pub(super) fn change(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        now: Millis,
        decide: impl FnOnce(&ServerLive, &mut Detail, &dyn Fn(&Detail) -> String) -> Option<Next>,
    ) -> Vec<Event> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = Vec::new();
        let Some(s) = self.server(proxy, server) else { return events };
        // `, reason: …`, unless a line of its own tells it.
        let told = self.proxies[proxy].log_health_checks;
        let why = |d: &Detail| if told { String::new() } else { format!(", {}", d.check.reason()) };
        let next = decide(s, &mut s.lock(), &why);
        if let Some(next) = next {
            self.apply(proxy, server, next, now, &mut events);
        }
        events
    }

    pub(super) fn apply(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        next: Next,
        now: Millis,
        events: &mut Vec<Event>,
    ) {
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
            Operation::Stopping => event(NOTICE, Effect::Drained).online(counts),
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
    pub(super) fn rise(&self, s: &ServerLive, detail: &mut Detail, now: Millis) {
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
    pub(super) fn settle_backend(
        &self,
        proxy: ProxyIndex,
        before: (usize, usize),
        now: Millis,
        events: &mut Vec<Event>,
    ) {
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

    pub(super) fn followers(
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
    pub(super) fn via(&self, proxy: ProxyIndex, server: ServerIndex) -> String {
        match self.tracked(proxy, server) {
            Some((p, s)) => match self.server(p, s) {
                Some(tracked) => format!(" via {}/{}", self.proxies[p].name, tracked.settings.name),
                None => String::new(),
            },
            None => String::new(),
        }
    }

    /// `Server b/s` or `Backup Server b/s`.
    pub(super) fn title(&self, proxy: ProxyIndex, s: &ServerLive) -> String {
        let backup = if s.settings.backup { "Backup " } else { "" };
        format!("{backup}Server {}/{}", self.proxies[proxy].name, s.settings.name)
    }
}

/// Where a server goes, and what is said of it.
pub(super) struct Next {
    operation: Operation,
    sentence: String,
}

impl Next {
    pub(super) fn to(operation: Operation, sentence: String) -> Next {
        Next { operation, sentence }
    }
}

/// Ends the present period of being up or down.
pub(super) fn close_period(s: &ServerLive, detail: &mut Detail, now: Millis) {
    if s.operation() == Operation::Stopped {
        detail.down_ms += now.since(detail.last_change);
    }
    detail.last_change = now;
}

/// Percentage of the slow start that has gone by; `None` when there is none (any more).
pub(super) fn slowstart_share(s: &ServerLive, detail: &Detail, now: Millis) -> Option<u32> {
    let (since, whole) = (detail.slowstart_since?, s.settings.slowstart_ms?);
    let gone = now.since(since);
    (gone < whole).then(|| (gone * 100 / whole.max(1)) as u32)
}

pub(super) fn ramp(s: &ServerLive, detail: &Detail, now: Millis) -> u32 {
    let full = s.user_weight() * WEIGHT_SCALE;
    let (Some(since), Some(whole)) = (detail.slowstart_since, s.settings.slowstart_ms) else { return full };
    let gone = now.since(since);
    if gone >= whole || full == 0 {
        return full;
    }
    ((full as u64 * gone).div_ceil(whole.max(1)) as u32).max(1)
}
