//! What changes of server state bring about, whoever made them (runtime API, checks, statistics page): the log sentence to
//! the backend's targets and to the terminal, and the messages by which workers act on it.

use super::supervise::{Control, Peering};
use crate::dataplane::lookup::Question;
use crate::dataplane::stream::termination::Failure;
use crate::dataplane::worker::{Acted, Mail};
use crate::engine::task::sleep;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::state::counters::{BackendCounter, ServerCounter};
use crate::model::state::event::{EMERG, Effect, Event, Load};
use crate::services::check::{self, CheckContext, Fault};
use crate::services::peers::{self, PeersContext};
use crate::services::resolvers::{self, ResolverContext};
use std::rc::Rc;

/// A slow start takes a step this often, in milliseconds.
const RAMP_MS: u64 = 1000;

impl Control {
    /// Logs what happened and lets the workers act on it.
    pub fn happened(&self, events: Vec<Event>) {
        let up = events.iter().any(|e| e.effect == Effect::Up);
        for event in events {
            self.tell_log(&event);
            self.carry_out(&event);
        }
        // What was in maintenance until now was perhaps never checked.
        if up {
            self.checks_changed();
            self.ramp();
        }
    }

    /// Moves slow starts on, once a second until none is left (manual 5.2 "slowstart").
    fn ramp(&self) {
        let live = |control: &Control| control.shared.board.live.starts_slowly();
        if !live(self) || self.ramping.replace(true) {
            return;
        }
        let me = self.me.clone();
        let rt = self.rt.clone();
        self.rt.spawn(async move {
            loop {
                sleep(&rt, RAMP_MS).await;
                let Some(control) = me.upgrade() else { return };
                control.happened(control.shared.board.live.tick(rt.now().mono));
                if !live(&control) {
                    control.ramping.set(false);
                    return;
                }
            }
        });
    }

    /// An action on the statistics page.
    pub fn acted(&self, acted: Acted) {
        self.happened(acted.events);
        for (proxy, server) in acted.shutdown {
            self.tell_all(|| Mail::ShutdownSessions(proxy, server, Failure::Killed));
        }
        if !acted.checks.is_empty() {
            self.checks_changed();
        }
        for (proxy, server) in acted.hurry {
            if let Some(checks) = &*self.checks.borrow() {
                checks.hurry(proxy, server);
            }
        }
    }

    /// Servers came or went, or their checks were switched.
    pub fn checks_changed(&self) {
        if let Some(checks) = &*self.checks.borrow() {
            checks.refresh();
        }
    }

    /// Starts the health checks, whose news go the way of all others.
    pub fn start_checks(self: &Rc<Self>) -> Result<(), Vec<Fault>> {
        let shared = &self.shared;
        let (control, seed) = (Rc::downgrade(self), shared.started.wall_us ^ shared.pid as u64);
        let happened = move |events| {
            if let Some(control) = control.upgrade() {
                control.happened(events);
            }
        };
        let (plan, board) = (shared.plan.clone(), shared.board.clone());
        let mut cx = CheckContext::new(self.rt.clone(), plan, board, Box::new(happened), seed);
        cx.proc_vars = shared.proc_vars.clone();
        cx.hostname = shared.hostname.clone();
        let control = Rc::downgrade(self);
        cx.on_connect_timeout = Box::new(move |proxy, server| {
            if let Some(control) = control.upgrade()
                && let Some(resolvers) = &*control.resolvers.borrow()
            {
                resolvers.hurry(proxy, server);
            }
        });
        *self.checks.borrow_mut() = Some(check::start(Rc::new(cx))?);
        Ok(())
    }

    /// Starts to resolve the names of servers; what their answers change goes the way of all other changes.
    pub fn start_resolvers(self: &Rc<Self>) {
        let (happened, found) = (Rc::downgrade(self), Rc::downgrade(self));
        let cx = ResolverContext {
            rt: self.rt.clone(),
            plan: self.shared.plan.clone(),
            board: self.shared.board.clone(),
            on_events: Box::new(move |events| {
                if let Some(control) = happened.upgrade() {
                    control.happened(events);
                }
            }),
            on_found: Box::new(move |(worker, number), ip| {
                if let Some(control) = found.upgrade() {
                    control.tell(worker, Mail::Found(number, ip));
                }
            }),
        };
        *self.resolvers.borrow_mut() = Some(resolvers::start(cx));
    }

    /// A rule asks for a name.
    pub fn look_up(&self, worker: usize, question: Question) {
        let Question { number, section, name, prefer } = question;
        match &*self.resolvers.borrow() {
            Some(resolvers) => resolvers.look_up(section, (worker, number), &name, prefer),
            None => self.tell(worker, Mail::Found(number, None)),
        }
    }

    /// Starts what `peers` sections ask for.
    pub fn start_peers(&self, peering: Peering) {
        let shared = &self.shared;
        let (plan, board, tables) = (shared.plan.clone(), shared.board.clone(), self.tables.clone());
        let seed = shared.started.nanos ^ shared.pid as u64;
        let cx = PeersContext::new(self.rt.clone(), plan, board, tables, shared.pid, seed);
        *self.peers.borrow_mut() = Some(peers::start(&cx, peering.peers, peering.succeeds));
    }

    fn tell_log(&self, event: &Event) {
        let board = &self.shared.board;
        let sessions = event.server.map_or(0, |s| board.server(event.proxy, s, ServerCounter::Scur));
        let queued = board.backend(event.proxy, BackendCounter::Qcur);
        let Some(text) = event.text(Load { sessions, requeued: 0, queued }) else { return };
        let plan = &self.shared.plan;
        let settings = &plan.proxies[event.proxy];
        self.log.send(&settings.log.targets, settings.log.tag.as_deref(), event.level, &[], text.as_bytes());
        if !plan.global.quiet && !plan.global.daemon {
            let word = if event.level == EMERG { "[ALERT]   " } else { "[WARNING] " };
            eprintln!("{word} ({}) : {text}", self.shared.pid);
        }
    }

    fn carry_out(&self, event: &Event) {
        let proxy = event.proxy;
        if event.effect == Effect::None {
            return;
        }
        if let Some(server) = event.server {
            self.end_sessions(proxy, server, event.effect);
        }
        self.tell_all(|| Mail::ServersChanged(proxy));
    }

    /// `on-marked-down shutdown-sessions`, `on-marked-up shutdown-backup-sessions`.
    fn end_sessions(&self, proxy: ProxyIndex, server: ServerIndex, effect: Effect) {
        let live = self.shared.board.live.backend(proxy);
        let Some(s) = live.server(server) else { return };
        match effect {
            Effect::Down if s.settings.on_marked_down_shutdown => {
                self.tell_all(|| Mail::ShutdownSessions(proxy, server, Failure::ServerDown));
            }
            Effect::Up if s.settings.on_marked_up_shutdown_backup && !s.settings.backup && s.is_usable() => {
                for (backup, _) in live.servers().filter(|(_, b)| b.settings.backup) {
                    self.tell_all(|| Mail::ShutdownSessions(proxy, backup, Failure::ServerUp));
                }
            }
            _ => {}
        }
    }
}
