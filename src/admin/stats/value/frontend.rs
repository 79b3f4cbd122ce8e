//! Values of a frontend's fields that are not plain counters.

use crate::{
    admin::stats::{
        Scene,
        fields::{Object, Value},
    },
    model::{
        proxy::{Mode, Proxy},
        state::{board::FrontendRate, counters::FrontendCounter, live::FrontendState},
    },
};
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn proxy_of<'a>(scene: &Scene<'a>, object: Object) -> &'a Proxy {
    &scene.plan.proxies[object.proxy()]
}

pub fn pxname<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::str(proxy_of(scene, object).name.as_str())
}

pub fn svname<'a>(_: &Scene<'a>, _: Object) -> Value<'a> {
    Value::str("FRONTEND")
}

pub fn mode<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::str(match proxy_of(scene, object).mode {
        Mode::Tcp => "tcp",
        Mode::Http => "http",
        Mode::Log => "syslog",
        Mode::Spop => "spop",
    })
}

pub fn status<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    let stopping = scene.board.live.process.stopping.load(Relaxed);
    Value::str(match scene.board.live.frontend(object.proxy()).state() {
        FrontendState::Stopped => "STOP",
        FrontendState::Paused => "PAUSED",
        FrontendState::Open if stopping => "STOP",
        FrontendState::Open => "OPEN",
    })
}

pub fn smax<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    let read = |id| scene.board.frontend(object.proxy(), id);
    Value::U32(scene.board.peak(read(FrontendCounter::Scur), read(FrontendCounter::Smax)) as u32)
}

pub fn slim<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    let own = scene.board.live.frontend(object.proxy()).maxconn.load(Relaxed);
    Value::U32(if own > 0 { own } else { scene.board.live.process.maxconn.load(Relaxed) })
}

pub fn pid<'a>(_: &Scene<'a>, _: Object) -> Value<'a> {
    Value::U32(1)
}

pub fn iid<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(proxy_of(scene, object).id)
}

pub fn sid<'a>(_: &Scene<'a>, _: Object) -> Value<'a> {
    Value::U32(0)
}

pub fn kind<'a>(_: &Scene<'a>, _: Object) -> Value<'a> {
    Value::U32(0)
}

pub fn rate_lim<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(proxy_of(scene, object).frontend.rate_limit_sessions.unwrap_or(0))
}

fn rates(scene: &Scene<'_>, object: Object, which: FrontendRate) -> (u32, u32) {
    let (rate, most) = scene.board.frontend_rate(object.proxy(), which, scene.now.mono);
    (rate, most)
}

pub fn rate<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(rates(scene, object, FrontendRate::Sessions).0)
}

pub fn rate_max<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(rates(scene, object, FrontendRate::Sessions).1)
}

pub fn req_rate<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(rates(scene, object, FrontendRate::Requests).0)
}

pub fn req_rate_max<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(rates(scene, object, FrontendRate::Requests).1)
}

pub fn conn_rate<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(rates(scene, object, FrontendRate::Connections).0)
}

pub fn conn_rate_max<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(rates(scene, object, FrontendRate::Connections).1)
}
