//! What signals bring about short of the end (management guide 4): the soft stop with its grace and its bound, the pause of
//! all listeners, and the states that SIGHUP asks for.

use super::api::gather::gather;
use super::supervise::Control;
use super::transfer;
use crate::admin::runtime_api::Need;
use crate::dataplane::worker::Mail;
use crate::engine::Rt;
use crate::engine::task::sleep;
use crate::model::proxy::Proxy;
use crate::model::state::counters::{BackendCounter, FrontendCounter, ServerCounter};
use crate::model::state::event::{NOTICE, WARNING};
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;

/// How long workers may take to tell that they accept no more, in milliseconds.
const STOPPED_MS: u64 = 500;

impl Control {
    /// Soft stop: no new connections, the present ones finish. With `grace` (manual 3.1) that begins later, and until then
    /// rules see that the process is stopping.
    pub fn soft_stop(self: &Rc<Self>) {
        if self.stopping.replace(true) {
            return;
        }
        self.shared.board.live.process.stopping.store(true, Ordering::Relaxed);
        match self.shared.plan.global.grace_ms.filter(|ms| *ms > 0) {
            Some(ms) => drop(self.rt.spawn(stop_later(self.clone(), ms))),
            None => self.stop_accepting(),
        }
    }

    fn stop_accepting(self: &Rc<Self>) {
        let board = &self.shared.board;
        for (index, proxy) in self.shared.plan.proxies.iter().enumerate().filter(|(_, p)| !p.disabled) {
            let conns = board.frontend(index, FrontendCounter::ConnTot);
            let sessions = board.backend(index, BackendCounter::Stot);
            let text = format!("Proxy {} stopped (cumulated conns: FE: {conns}, BE: {sessions}).", proxy.name);
            self.tell_proxy(proxy, WARNING, &text);
        }
        self.launch.exposed.borrow_mut().clear();
        let followed = self.launch.followed.get();
        self.accepts_no_more.set(true);
        // First, since a worker without anything to do is gone once it stops.
        if self.bequests.has_heir() {
            self.tell_all(|| Mail::Bequeath);
        }
        transfer::begin(self);
        self.tell_all(|| Mail::SoftStop(followed));
        if let Some(peers) = &*self.peers.borrow() {
            let control = Rc::downgrade(self);
            peers.soft_stop(move || {
                if let Some(control) = control.upgrade() {
                    control.leave();
                }
            });
        }
        if self.launch.leash.is_some() {
            self.rt.spawn(tell_stopped(self.clone()));
        }
        if let Some(ms) = self.shared.plan.global.hard_stop_after_ms {
            self.rt.spawn(hard_stop(Rc::downgrade(self), self.rt.clone(), ms));
        }
    }

    /// All frontends stop taking connections for a while, or go on (SIGTTOU, SIGTTIN).
    pub fn pause(&self, paused: bool) {
        let proxies = self.shared.plan.proxies.iter().enumerate().filter(|(_, p)| p.has_frontend && !p.disabled);
        for (proxy, _) in proxies {
            self.tell_all(|| Mail::FrontendPaused(proxy, paused));
        }
    }

    /// SIGHUP: the state of every server and proxy, to the logs and the terminal.
    pub fn dump_states(&self) {
        let board = &self.shared.board;
        for (index, proxy) in self.shared.plan.proxies.iter().enumerate() {
            let name = &proxy.name;
            self.tell_proxy(proxy, NOTICE, &format!("SIGHUP received, dumping servers states for proxy {name}."));
            let live = board.live.backend(index);
            for (server, s) in live.servers().filter(|(_, s)| !s.is_deleted()) {
                let read = |id| board.server(index, server, id);
                let state = if s.is_usable() { "UP" } else { "DOWN" };
                let (now, queued, all) =
                    (read(ServerCounter::Scur), read(ServerCounter::Qcur), read(ServerCounter::Stot));
                let text = format!(
                    "SIGHUP: Server {name}/{} is {state}. Conn: {now} act, {queued} pend, {all} tot.",
                    s.settings.name
                );
                self.tell_proxy(proxy, NOTICE, &text);
            }
            let state = match (live.is_empty(), live.usable()) {
                (true, _) => "has no servers.".to_owned(),
                (_, (0, 0)) => "has no server available !".to_owned(),
                (_, (0, _)) => "is running on backup servers !".to_owned(),
                (_, (active, backup)) => {
                    format!("has {active} active servers and {backup} backup servers available.")
                }
            };
            let (frontend, backend) = (|id| board.frontend(index, id), |id| board.backend(index, id));
            let text = format!(
                "SIGHUP: Proxy {name} {state} Conn: act(FE+BE): {}+{}, {} pend ({} unass), tot(FE+BE): {}+{}.",
                frontend(FrontendCounter::Scur),
                backend(BackendCounter::Scur),
                backend(BackendCounter::Qcur),
                backend(BackendCounter::Qcur),
                frontend(FrontendCounter::ConnTot),
                backend(BackendCounter::Stot),
            );
            self.tell_proxy(proxy, NOTICE, &text);
        }
    }

    /// To the proxy's logs, and to the terminal as a warning.
    fn tell_proxy(&self, proxy: &Proxy, level: u8, text: &str) {
        self.log.send(&proxy.log.targets, proxy.log.tag.as_deref(), level, &[], text.as_bytes());
        if !self.shared.plan.global.quiet {
            eprintln!("[WARNING]  ({}) : {text}", self.shared.pid);
        }
    }
}

/// `grace`.
async fn stop_later(control: Rc<Control>, ms: u64) {
    sleep(&control.rt, ms).await;
    control.stop_accepting();
}

/// `hard-stop-after`: sessions that are still there when a soft stop has lasted this long are ended, and who follows is
/// taught no further.
async fn hard_stop(control: Weak<Control>, rt: Rt, ms: u64) {
    sleep(&rt, ms).await;
    if let Some(control) = control.upgrade() {
        control.overdue.set(true);
        control.tell_all(|| Mail::Stop);
        control.leave();
    }
}

/// Tells the master once no worker accepts any more: each has stopped by its first answer, and what its loop had under way
/// then is over by the second.
async fn tell_stopped(control: Rc<Control>) {
    for _ in 0..2 {
        let deadline = control.rt.now().mono.plus(STOPPED_MS);
        gather(&control, Need::Counters, deadline).await;
    }
    if let Some(leash) = &control.launch.leash {
        leash.stopped();
    }
}
