//! Values of a backend's fields that are not plain counters.

use super::frontend::proxy_of;
pub use super::frontend::{iid, mode, pid, pxname, sid};
use crate::{
    admin::stats::{
        Scene,
        fields::{Object, Value},
    },
    model::{
        backend::Balance,
        proxy::Mode,
        state::{
            counters::BackendCounter,
            live::BackendLive,
            server::{Operation, ServerLive, WEIGHT_SCALE, admin},
        },
    },
};

fn live<'a>(scene: &Scene<'a>, object: Object) -> &'a BackendLive {
    scene.board.live.backend(object.proxy())
}

pub fn svname<'a>(_: &Scene<'a>, _: Object) -> Value<'a> {
    Value::str("BACKEND")
}

pub fn kind<'a>(_: &Scene<'a>, _: Object) -> Value<'a> {
    Value::U32(1)
}

/// A backend without servers is up: it may answer by itself.
pub fn status<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    let live = live(scene, object);
    let up = live.servers().next().is_none() || live.usable() != (0, 0);
    Value::str(if up { "UP" } else { "DOWN" })
}

fn most(scene: &Scene<'_>, object: Object, maximum: BackendCounter, gauge: BackendCounter) -> u32 {
    let read = |id| scene.board.backend(object.proxy(), id);
    scene.board.peak(read(gauge), read(maximum)) as u32
}

pub fn smax<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(most(scene, object, BackendCounter::Smax, BackendCounter::Scur))
}

pub fn qmax<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(most(scene, object, BackendCounter::Qmax, BackendCounter::Qcur))
}

/// `fullconn`, or a tenth of the sum of the maxconn of the frontends that name the backend, at least 1 (manual 4.2).
pub fn slim<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    let proxy = proxy_of(scene, object);
    if let Some(fullconn) = proxy.backend.fullconn {
        return Value::U32(fullconn);
    }
    let global = scene.board.live.process.maxconn.load(std::sync::atomic::Ordering::Relaxed) as u64;
    let index = object.proxy();
    let naming = scene.plan.proxies.iter().enumerate().filter(|(p, other)| {
        other.has_frontend && (other.frontend.default_backend == Some(index) || (*p == index && proxy.has_frontend))
    });
    let sum: u64 = naming.map(|(_, f)| f.frontend.maxconn.map_or(global, u64::from)).sum();
    Value::U32(((sum / 10).max(1)) as u32)
}

/// Active servers that are usable count; without any, backup ones do.
fn weights(scene: &Scene<'_>, object: Object, of: fn(&ServerLive) -> u32) -> u32 {
    let live = live(scene, object);
    let sum = |backup| {
        let servers = live.servers().filter(move |(_, s)| s.settings.backup == backup && s.is_usable());
        servers.map(|(_, s)| of(s)).sum::<u32>()
    };
    let active = sum(false);
    if active > 0 { active } else { sum(true) }
}

pub fn weight<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(weights(scene, object, ServerLive::effective_weight).div_ceil(WEIGHT_SCALE))
}

pub fn uweight<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(weights(scene, object, ServerLive::user_weight))
}

pub fn act<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(live(scene, object).usable().0 as u32)
}

pub fn bck<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(live(scene, object).usable().1 as u32)
}

pub fn chkdown<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U64(live(scene, object).detail().down_transitions)
}

fn since(scene: &Scene<'_>, object: Object) -> u64 {
    let start = scene.process.started.mono;
    scene.now.mono.since(live(scene, object).detail().last_change.max(start)) / 1000
}

pub fn lastchg<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(since(scene, object) as u32)
}

pub fn downtime<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    if live(scene, object).servers().next().is_none() {
        return Value::None;
    }
    let detail = live(scene, object).detail();
    let now = if detail.down { since(scene, object) } else { 0 };
    Value::U32((detail.down_ms / 1000 + now) as u32)
}

pub fn rate<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(scene.board.backend_rate(object.proxy(), scene.now.mono).0)
}

pub fn rate_max<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(scene.board.backend_rate(object.proxy(), scene.now.mono).1)
}

pub fn lastsess<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::S32(super::server::last_session(scene, scene.board.backend(object.proxy(), BackendCounter::Lastsess)))
}

pub fn qtime<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(scene.board.backend_averages(object.proxy())[0] as u32)
}

pub fn ctime<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(scene.board.backend_averages(object.proxy())[1] as u32)
}

pub fn rtime<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    match proxy_of(scene, object).mode {
        Mode::Http => Value::U32(scene.board.backend_averages(object.proxy())[2] as u32),
        _ => Value::U32(0),
    }
}

pub fn ttime<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(scene.board.backend_averages(object.proxy())[3] as u32)
}

pub fn cookie<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    match &proxy_of(scene, object).backend.cookie {
        Some(cookie) if scene.legends => Value::str(cookie.name.as_str()),
        _ => Value::None,
    }
}

/// Without any `balance` line, and with `random`, HAProxy shows `unknown`.
pub fn algo<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    if !scene.legends {
        return Value::None;
    }
    Value::str(match proxy_of(scene, object).backend.balance {
        Balance::Roundrobin => "roundrobin",
        Balance::StaticRr => "static-rr",
        Balance::Leastconn => "leastconn",
        Balance::First => "first",
        Balance::Source => "source",
        Balance::Uri { .. } => "uri",
        Balance::UrlParam { .. } => "url_param",
        Balance::Hdr { .. } => "hdr",
        Balance::Hash(_) => "hash",
        Balance::RdpCookie(_) => "rdp-cookie",
        Balance::LogHash(_) => "log-hash",
        Balance::Sticky => "sticky",
        Balance::Random(_) | Balance::Default => "unknown",
    })
}

/// Servers that a check or an administrator took out do not count as up here (see the Prometheus families).
fn count(scene: &Scene<'_>, object: Object, which: impl Fn(&ServerLive) -> bool) -> u32 {
    live(scene, object).servers().filter(|(_, s)| which(s)).count() as u32
}

pub fn agg_server_status<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(count(scene, object, |s| s.operation() == Operation::Stopped && s.admin() & admin::MAINT == 0))
}

pub fn agg_server_check_status<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    agg_server_status(scene, object)
}

pub fn agg_check_status<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(count(scene, object, |s| s.settings.check.is_some() && s.detail().check.status.result() == 2))
}
