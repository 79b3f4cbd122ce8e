//! Health checks (manual 4.2 "option httpchk" and its kin, 5.2 "check"): one task for each checked server and one for
//! each agent, all on the control thread's reactor. Scripts are compiled once for each backend; reports go to the board
//! (`model::state`), which decides about states; what follows is handed to the owner of the context.

mod agent;
mod compile;
mod env;
mod expect;
mod external;
mod gate;
mod h2;
mod http;
mod kinds;
mod line;
pub mod observe;
mod pace;
mod run;
mod script;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod watch;

pub use script::Fault;

use crate::base::hash::xxh64;
use crate::engine::Rt;
use crate::language::vars::ProcStore;
use crate::model::plan::{Plan, ProxyIndex, ServerIndex};
use crate::model::state::board::Board;
use crate::model::state::event::Event;
use crate::model::state::health::CheckStatus;
use gate::Gate;
use script::Script;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use tls::Tls;
use watch::Watch;

/// What checks need of their surroundings.
pub struct CheckContext {
    pub rt: Rt,
    pub plan: Arc<Plan>,
    pub board: Arc<Board>,
    /// Called with what follows from each report, in order; never with nothing.
    pub on_events: Box<dyn Fn(Vec<Event>)>,
    /// Called for a server that could not be connected to in time: it may have moved.
    pub on_connect_timeout: Box<dyn Fn(ProxyIndex, ServerIndex)>,
    /// `proc` variables of the configuration, for expressions in checks.
    pub proc_vars: Arc<ProcStore>,
    /// The machine's name.
    pub hostname: String,
    tls: Tls,
    gate: Rc<Gate>,
    random: Cell<u64>,
}

impl CheckContext {
    /// `seed` spreads checks (`spread-checks`).
    pub fn new(rt: Rt, plan: Arc<Plan>, board: Arc<Board>, on_events: Box<dyn Fn(Vec<Event>)>, seed: u64) -> Self {
        CheckContext {
            gate: Gate::new(plan.global.tune.max_checks_per_thread),
            rt,
            plan,
            board,
            on_events,
            on_connect_timeout: Box::new(|_, _| {}),
            proc_vars: Arc::default(),
            tls: Tls::default(),
            hostname: String::new(),
            random: Cell::new(seed),
        }
    }

    fn random(&self) -> u64 {
        let next = xxh64(&self.random.get().to_ne_bytes(), self.rt.now().nanos);
        self.random.set(next);
        next
    }

    fn tell(&self, events: Vec<Event>) {
        if !events.is_empty() {
            (self.on_events)(events);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Health,
    Agent,
}

/// The running checks.
pub struct CheckHandle {
    cx: Rc<CheckContext>,
    scripts: Vec<Option<Rc<Script>>>,
    watches: RefCell<HashMap<(ProxyIndex, ServerIndex, Kind), Rc<Watch>>>,
}

/// The script of every proxy that has servers to check, and what did not compile: one fault of a proxy at most.
fn compile(plan: &Plan) -> (Vec<Option<Rc<Script>>>, Vec<Fault>) {
    let (mut scripts, mut faults) = (Vec::new(), Vec::new());
    for proxy in &plan.proxies {
        let checked = proxy.has_backend && !proxy.disabled;
        match checked.then(|| Script::compile(proxy, &plan.patterns)).transpose() {
            Ok(script) => scripts.push(script.flatten().map(Rc::new)),
            Err(fault) => faults.push(fault),
        }
    }
    (scripts, faults)
}

/// What is wrong with the check scripts of a plan, so that the load can tell it.
pub fn faults(plan: &Plan) -> Vec<Fault> {
    compile(plan).1
}

/// Compiles all scripts and starts the checks of all servers.
///
/// # Errors
/// Scripts that do not compile, all of them.
pub fn start(cx: Rc<CheckContext>) -> Result<CheckHandle, Vec<Fault>> {
    let (scripts, faults) = compile(&cx.plan);
    if !faults.is_empty() {
        return Err(faults);
    }
    let handle = CheckHandle { cx, scripts, watches: RefCell::default() };
    let targets = handle.targets();
    let shortest = targets.iter().map(|t| handle.inter_ms(t)).min().unwrap_or(0);
    let (count, bound) = (targets.len(), handle.cx.plan.global.max_spread_checks_ms);
    for (position, target) in targets.into_iter().enumerate() {
        handle.watch(target, pace::first_ms(position, count, shortest, bound));
    }
    Ok(handle)
}

type Name = (ProxyIndex, ServerIndex, Kind);

impl CheckHandle {
    /// Looks at the list of servers again, after `add server`, `del server`, `enable health`, `enable agent` and the end
    /// of a maintenance: new servers are checked from now on, and what was never checked is checked now.
    pub fn refresh(&self) {
        let live = &self.cx.board.live;
        let gone = |name: &Name| live.server(name.0, name.1).is_none_or(|s| s.is_deleted());
        self.watches.borrow_mut().retain(|name, watch| {
            if gone(name) {
                self.end(watch);
            }
            !gone(name)
        });
        let now = self.cx.rt.now().mono;
        for target in self.targets() {
            let known = self.watches.borrow().get(&target).cloned();
            match known {
                None => self.watch(target, 0),
                Some(watch) if self.is_unchecked(&target) => watch.hurry(&self.cx.rt, now),
                Some(_) => {}
            }
        }
    }

    /// The next check of a server comes after its `fastinter` at the latest (`on-error`).
    pub fn hurry(&self, proxy: ProxyIndex, server: ServerIndex) {
        let watch = self.watches.borrow().get(&(proxy, server, Kind::Health)).cloned();
        let live = self.cx.board.live.server(proxy, server);
        if let (Some(watch), Some(settings)) = (watch, live.and_then(|s| s.settings.check.as_ref())) {
            let ms = settings.fastinter_ms.unwrap_or(settings.inter_ms);
            watch.hurry(&self.cx.rt, self.cx.rt.now().mono.plus(ms));
        }
    }

    /// Ends all checks, those under way too.
    pub fn stop(&self) {
        for (_, watch) in self.watches.borrow_mut().drain() {
            self.end(&watch);
        }
    }

    fn end(&self, watch: &Watch) {
        let task = watch.task.get();
        self.cx.gate.forget(&self.cx.rt, task);
        self.cx.rt.kill(task);
    }

    /// Every check and agent check there is to run.
    fn targets(&self) -> Vec<Name> {
        let mut targets = Vec::new();
        for (p, proxy) in self.cx.plan.proxies.iter().enumerate().filter(|(_, p)| p.has_backend && !p.disabled) {
            debug_assert!(proxy.has_backend);
            for (s, server) in self.cx.board.live.backend(p).servers() {
                if server.settings.check.is_some() {
                    targets.push((p, s, Kind::Health));
                }
                if server.settings.agent.is_some() {
                    targets.push((p, s, Kind::Agent));
                }
            }
        }
        targets
    }

    fn inter_ms(&self, (proxy, server, kind): &Name) -> u64 {
        let Some(s) = self.cx.board.live.server(*proxy, *server) else { return u64::MAX };
        match kind {
            Kind::Health => s.settings.check.as_ref().map_or(u64::MAX, |c| c.inter_ms),
            Kind::Agent => s.settings.agent.as_ref().map_or(u64::MAX, |a| a.inter_ms),
        }
    }

    fn is_unchecked(&self, (proxy, server, kind): &Name) -> bool {
        let Some(s) = self.cx.board.live.server(*proxy, *server) else { return false };
        let detail = s.detail();
        match kind {
            Kind::Health => detail.check_enabled && detail.check.status == CheckStatus::Initialized,
            Kind::Agent => detail.agent.is_some_and(|a| a.enabled && a.report.status == CheckStatus::Initialized),
        }
    }

    fn watch(&self, name: Name, delay_ms: u64) {
        let (proxy, server, kind) = name;
        let watch = Watch::new(proxy, server, self.cx.rt.now().mono.plus(delay_ms));
        let task = match kind {
            Kind::Health => {
                let script = self.scripts.get(proxy).cloned().flatten();
                self.cx.rt.spawn(watch::health(self.cx.clone(), watch.clone(), script))
            }
            Kind::Agent => self.cx.rt.spawn(agent::watch(self.cx.clone(), watch.clone())),
        };
        watch.task.set(task);
        self.watches.borrow_mut().insert(name, watch);
    }
}

impl Drop for CheckHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
