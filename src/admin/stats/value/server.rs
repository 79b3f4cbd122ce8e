//! Values of a server's fields that are not plain counters.

use super::frontend::proxy_of;
pub use super::frontend::{iid, mode, pid, pxname};
use crate::{
    admin::stats::{
        Scene,
        fields::{Object, Value},
    },
    model::{
        plan::ServerIndex,
        proxy::Mode,
        server::Observe,
        state::{
            counters::ServerCounter,
            health::{CheckReport, CheckStatus},
            server::{Detail, Operation, ServerLive, admin},
        },
    },
};

fn index(object: Object) -> ServerIndex {
    match object {
        Object::Server(_, server) => server,
        _ => 0,
    }
}

fn live<'a>(scene: &Scene<'a>, object: Object) -> Option<&'a ServerLive> {
    scene.board.live.server(object.proxy(), index(object))
}

fn with<'a>(scene: &Scene<'a>, object: Object, value: impl FnOnce(&'a ServerLive) -> Value<'a>) -> Value<'a> {
    live(scene, object).map_or(Value::None, value)
}

pub fn svname<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| Value::str(s.settings.name.as_str()))
}

pub fn kind<'a>(_: &Scene<'a>, _: Object) -> Value<'a> {
    Value::U32(2)
}

pub fn sid<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| Value::U32(s.settings.id))
}

/// `srid`: how often the server was replaced under its id; ours are never reused.
pub fn srid<'a>(_: &Scene<'a>, _: Object) -> Value<'a> {
    Value::U32(0)
}

/// `UP`, `DOWN 1/2`, `NOLB`, `DRAIN`, `MAINT (via b/s)`, `no check`, …
pub fn status_text(scene: &Scene<'_>, object: Object) -> String {
    let Some(s) = live(scene, object) else { return String::new() };
    let mask = s.admin();
    if mask & admin::RESOLUTION_MAINT != 0 && mask & admin::INHERITED_MAINT == 0 {
        return "MAINT (resolution)".into();
    }
    if mask & admin::FORCED_MAINT != 0 {
        return "MAINT".into();
    }
    if mask & admin::INHERITED_MAINT != 0 {
        return match tracked_name(scene, object) {
            Some(name) => format!("MAINT (via {name})"),
            None => "MAINT".into(),
        };
    }
    // A server that tracks another shows the other's progress.
    let followed = scene.board.live.tracked(object.proxy(), index(object));
    let source = followed.and_then(|(p, t)| scene.board.live.server(p, t)).unwrap_or(s);
    let detail = source.detail();
    let up = s.operation() != Operation::Stopped;
    let progress = |word: &str| match detail.health.progress(up) {
        Some((n, of)) if detail.checked => format!("{word} {n}/{of}"),
        _ => word.to_string(),
    };
    if s.operation() == Operation::Stopped {
        return match &detail.agent {
            Some(agent) if agent.is_down() => "DOWN (agent)".into(),
            _ => progress("DOWN"),
        };
    }
    if s.in_drain() {
        if detail.agent.as_ref().is_some_and(|a| a.enabled) {
            return "DRAIN (agent)".into();
        }
        return match mask & admin::INHERITED_DRAIN != 0 && mask & admin::FORCED_DRAIN == 0 {
            true => tracked_name(scene, object).map_or("DRAIN".into(), |name| format!("DRAIN (via {name})")),
            false => progress("DRAIN"),
        };
    }
    if s.operation() == Operation::Stopping {
        return progress("NOLB");
    }
    if !detail.checked || !detail.check_enabled {
        return "no check".into();
    }
    progress("UP")
}

pub fn status<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::str(status_text(scene, object))
}

pub fn smax<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(most(scene, object, ServerCounter::Smax, ServerCounter::Scur))
}

pub fn qmax<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(most(scene, object, ServerCounter::Qmax, ServerCounter::Qcur))
}

fn most(scene: &Scene<'_>, object: Object, maximum: ServerCounter, gauge: ServerCounter) -> u32 {
    let read = |id| scene.board.server(object.proxy(), index(object), id);
    scene.board.peak(read(gauge), read(maximum)) as u32
}

fn limit<'a>(limit: u32) -> Value<'a> {
    if limit == 0 { Value::None } else { Value::U32(limit) }
}

pub fn slim<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| limit(s.maxconn()))
}

pub fn qlimit<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| limit(s.settings.maxqueue))
}

pub fn src_ilim<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| s.settings.pool_max_conn.map_or(Value::None, Value::U32))
}

pub fn weight<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| Value::U32(s.shown_weight()))
}

pub fn uweight<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| Value::U32(s.user_weight()))
}

pub fn act<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| Value::U32(!s.settings.backup as u32))
}

pub fn bck<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| Value::U32(s.settings.backup as u32))
}

pub fn throttle<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| scene.board.live.throttle(s, scene.now.mono).map_or(Value::None, Value::U32))
}

pub fn tracked_name(scene: &Scene<'_>, object: Object) -> Option<String> {
    let (proxy, server) = scene.board.live.tracked(object.proxy(), index(object))?;
    let name = &scene.board.live.server(proxy, server)?.settings.name;
    Some(format!("{}/{name}", scene.plan.proxies[proxy].name))
}

pub fn tracked<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    tracked_name(scene, object).map_or(Value::None, Value::str)
}

pub fn addr<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| match s.address() {
        Some(address) if scene.legends => Value::str(address.to_string()),
        _ => Value::None,
    })
}

pub fn cookie<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| match &s.settings.cookie {
        Some(cookie) if scene.legends => Value::str(cookie.as_str()),
        _ => Value::None,
    })
}

pub fn rate<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(scene.board.server_rate(object.proxy(), index(object), scene.now.mono).0)
}

pub fn rate_max<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(scene.board.server_rate(object.proxy(), index(object), scene.now.mono).1)
}

/// Seconds since a moment kept as milliseconds plus one; -1 for never.
pub(super) fn last_session(scene: &Scene<'_>, kept: u64) -> i32 {
    match kept {
        0 => -1,
        ms => (scene.now.mono.0.saturating_sub(ms - 1) / 1000) as i32,
    }
}

pub fn lastsess<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::S32(last_session(scene, scene.board.server(object.proxy(), index(object), ServerCounter::Lastsess)))
}

pub fn qtime<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    average(scene, object, 0)
}

pub fn ctime<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    average(scene, object, 1)
}

pub fn rtime<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    match proxy_of(scene, object).mode {
        Mode::Http => average(scene, object, 2),
        _ => Value::U32(0),
    }
}

pub fn ttime<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    average(scene, object, 3)
}

fn average<'a>(scene: &Scene<'a>, object: Object, which: usize) -> Value<'a> {
    Value::U32(scene.board.server_averages(object.proxy(), index(object))[which] as u32)
}

fn since(scene: &Scene<'_>, detail: &Detail) -> u64 {
    scene.now.mono.since(detail.last_change.max(scene.process.started.mono)) / 1000
}

pub fn lastchg<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| Value::U32(since(scene, &s.detail()) as u32))
}

// ---- checks: empty columns on servers without, or where they are disabled ----

fn checked<'a>(
    scene: &Scene<'a>,
    object: Object,
    value: impl FnOnce(&'a ServerLive, &Detail) -> Value<'a>,
) -> Value<'a> {
    with(scene, object, |s| {
        let detail = s.detail();
        match s.settings.check.is_some() && detail.check_enabled {
            true => value(s, &detail),
            false => Value::None,
        }
    })
}

/// [`checked`] for what only says something while checks run: not in maintenance.
fn watched<'a>(
    scene: &Scene<'a>,
    object: Object,
    value: impl FnOnce(&'a ServerLive, &Detail) -> Value<'a>,
) -> Value<'a> {
    checked(scene, object, |s, d| if s.in_maintenance() { Value::None } else { value(s, d) })
}

pub fn chkfail<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    checked(scene, object, |_, d| Value::U64(d.failed_checks))
}

/// Failures that `observe` found; only on servers that have it.
pub fn hanafail<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    with(scene, object, |s| match s.settings.observe {
        Observe::None => Value::None,
        _ => Value::U64(scene.board.server(object.proxy(), index(object), ServerCounter::Hanafail)),
    })
}

pub fn chkdown<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    checked(scene, object, |_, d| Value::U64(d.down_transitions))
}

pub fn downtime<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    checked(scene, object, |s, d| {
        let now = if s.operation() == Operation::Stopped { since(scene, d) } else { 0 };
        Value::U32((d.down_ms / 1000 + now) as u32)
    })
}

fn starred<'a>(report: &CheckReport, running: bool) -> Value<'a> {
    match running && report.status != CheckStatus::Initialized {
        true => Value::str(format!("* {}", report.status.name())),
        false => Value::str(report.status.name()),
    }
}

fn code<'a>(report: &CheckReport) -> Value<'a> {
    match report.status.has_code() {
        true => Value::U32(report.code as u32),
        false => Value::None,
    }
}

/// Only once a check has ended.
fn duration<'a>(report: &CheckReport) -> Value<'a> {
    match report.status {
        CheckStatus::Unknown | CheckStatus::Initialized | CheckStatus::Started => Value::None,
        _ => Value::U64(report.duration.as_millis() as u64),
    }
}

pub fn check_status<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    watched(scene, object, |_, d| starred(&d.check, d.check_running))
}

pub fn check_code<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    watched(scene, object, |_, d| code(&d.check))
}

pub fn check_duration<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    watched(scene, object, |_, d| duration(&d.check))
}

pub fn check_desc<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    watched(scene, object, |_, d| Value::str(d.check.status.description()))
}

pub fn last_chk<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    watched(scene, object, |_, d| Value::str(d.check.info.clone()))
}

pub fn check_rise<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    watched(scene, object, |_, d| Value::U32(d.health.rise))
}

pub fn check_fall<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    watched(scene, object, |_, d| Value::U32(d.health.fall))
}

pub fn check_health<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    watched(scene, object, |_, d| Value::U32(d.health.value))
}

fn agent<'a>(
    scene: &Scene<'a>,
    object: Object,
    value: impl FnOnce(&crate::model::state::server::Agent) -> Value<'a>,
) -> Value<'a> {
    with(scene, object, |s| s.detail().agent.as_ref().filter(|a| a.enabled).map_or(Value::None, value))
}

pub fn agent_status<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    agent(scene, object, |a| starred(&a.report, false))
}

pub fn agent_code<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    agent(scene, object, |a| code(&a.report))
}

pub fn agent_duration<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    agent(scene, object, |a| duration(&a.report))
}

pub fn agent_desc<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    agent(scene, object, |a| Value::str(a.report.status.description()))
}

pub fn last_agt<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    agent(scene, object, |a| Value::str(a.report.info.clone()))
}

pub fn agent_rise<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    agent(scene, object, |a| Value::U32(a.health.rise))
}

pub fn agent_fall<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    agent(scene, object, |a| Value::U32(a.health.fall))
}

pub fn agent_health<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    agent(scene, object, |a| Value::U32(a.health.value))
}
