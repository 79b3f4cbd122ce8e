//! The task that checks one server (manual 5.2 "check"): waits for the moment, runs the script, tells the board, and again.
//! A server in maintenance, or whose checks are disabled, costs one look for each interval.

use super::run::{Target, run};
use super::script::Script;
use super::{CheckContext, external, pace};
use crate::base::address::Address;
use crate::base::clock::Millis;
use crate::base::slab::Key;
use crate::engine::Rt;
use crate::engine::reactor::TaskId;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::server::CheckSettings;
use crate::model::state::counters::{BackendCounter, ServerCounter};
use crate::model::state::health::{CheckReport, CheckStatus};
use crate::model::state::server::{Detail, Operation, ServerLive};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// One checked server, and when it is checked next.
pub struct Watch {
    pub proxy: ProxyIndex,
    pub server: ServerIndex,
    due: Cell<Millis>,
    pub task: Cell<TaskId>,
}

impl Watch {
    pub fn new(proxy: ProxyIndex, server: ServerIndex, due: Millis) -> Rc<Watch> {
        Rc::new(Watch { proxy, server, due: Cell::new(due), task: Cell::new(Key::NONE) })
    }

    pub fn set_due(&self, at: Millis) {
        self.due.set(at);
    }

    /// Comes back when the check is due.
    pub async fn wait(&self, rt: &Rt) {
        poll_fn(|_| if rt.reached(self.due.get()) { Poll::Ready(()) } else { Poll::Pending }).await
    }

    /// The next check comes at `at`, if it was not to come earlier.
    pub fn hurry(&self, rt: &Rt, at: Millis) {
        if at < self.due.get() {
            self.due.set(at);
            rt.wake(self.task.get());
        }
    }
}

/// Checks until the server is deleted.
pub async fn health(cx: Rc<CheckContext>, watch: Rc<Watch>, script: Option<Rc<Script>>) {
    loop {
        watch.wait(&cx.rt).await;
        let Some(live) = cx.board.live.server(watch.proxy, watch.server).filter(|s| !s.is_deleted()) else { return };
        let Some(settings) = live.settings.check.as_ref() else { return };
        if is_checked(live) {
            // Not due again until this one is over.
            watch.set_due(Millis::NEVER);
            let _turn = cx.gate.enter(&cx.rt).await;
            check(&cx, &watch, live, settings, script.as_deref()).await;
        }
        let interval = pace::interval_ms(settings, &live.detail().health);
        let next = cx.rt.now().mono.plus(pace::spread_ms(interval, cx.plan.global.spread_checks, cx.random()));
        watch.set_due(next);
    }
}

fn is_checked(live: &ServerLive) -> bool {
    !live.in_maintenance() && live.detail().check_enabled
}

async fn check(
    cx: &CheckContext,
    watch: &Watch,
    live: &ServerLive,
    settings: &CheckSettings,
    script: Option<&Script>,
) {
    let (proxy, server) = (watch.proxy, watch.server);
    cx.board.live.check_started(proxy, server);
    let detail = live.detail();
    let report = match script {
        Some(script) => {
            let state = cx.plan.proxies[proxy].backend.http_check.send_state;
            let state = state.then(|| state_field(cx, proxy, server, live, &detail));
            let target =
                Target { proxy, live, settings, address: detail.check_address, port: detail.check_port, state };
            run(cx, &target, script).await
        }
        None => external::run(cx, proxy, server, live, settings).await,
    };
    // What was disabled meanwhile is not judged.
    if live.is_deleted() || !is_checked(live) {
        cx.board.live.with_detail(proxy, server, |d| d.check_running = false);
        return;
    }
    let late = report.status == CheckStatus::L4Timeout;
    cx.tell(conclude(cx, proxy, server, report));
    if late {
        (cx.on_connect_timeout)(proxy, server);
    }
}

/// Hands a report to the board.
pub fn conclude(
    cx: &CheckContext,
    proxy: ProxyIndex,
    server: ServerIndex,
    report: CheckReport,
) -> Vec<crate::model::state::event::Event> {
    let now = cx.rt.now().mono;
    let live = &cx.board.live;
    match report.status.result() {
        3 => live.check_passed(proxy, server, report, false, now),
        4 => live.check_passed(proxy, server, report, true, now),
        _ => live.check_failed(proxy, server, report, now),
    }
}

/// Value of `x-haproxy-server-state` (manual, "http-check send-state").
fn state_field(
    cx: &CheckContext,
    proxy: ProxyIndex,
    server: ServerIndex,
    live: &ServerLive,
    detail: &Detail,
) -> String {
    let backend = cx.board.live.backend(proxy);
    let word = match live.operation() {
        Operation::Stopped => "DOWN",
        Operation::Stopping => "NOLB",
        _ => "UP",
    };
    let progress = match detail.health.progress(word != "DOWN") {
        Some((done, of)) => format!(" {done}/{of}"),
        None => String::new(),
    };
    let place = match live.address().as_deref() {
        Some(Address::Ip(a)) => format!("address={}; port={}", a.ip(), a.port()),
        _ => "address=unix; port=unix".to_owned(),
    };
    let total: u32 = backend.servers().filter(|(_, s)| s.is_usable()).map(|(_, s)| s.shown_weight()).sum();
    let node = cx.plan.global.node.as_deref().unwrap_or(&cx.hostname);
    format!(
        "{word}{progress}; {place}; name={}/{}; node={node}; weight={}/{total}; scur={}/{}; qcur={}",
        cx.plan.proxies[proxy].name,
        live.settings.name,
        live.shown_weight(),
        cx.board.server(proxy, server, ServerCounter::Scur),
        cx.board.backend(proxy, BackendCounter::Scur),
        cx.board.server(proxy, server, ServerCounter::Qcur),
    )
}
