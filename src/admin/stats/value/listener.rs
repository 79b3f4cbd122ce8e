//! Values of a `bind` line's fields that are not plain counters.

pub use super::frontend::{iid, mode, pid, pxname};
use super::frontend::{proxy_of, status as frontend_status};
use crate::{
    admin::stats::{
        Scene,
        fields::{Object, Value},
    },
    base::address::Address,
    model::{bind::Bind, state::counters::ListenerCounter},
};

fn number(object: Object) -> usize {
    match object {
        Object::Listener(_, bind) => bind,
        _ => 0,
    }
}

fn bind<'a>(scene: &Scene<'a>, object: Object) -> Option<&'a Bind> {
    proxy_of(scene, object).frontend.binds.get(number(object))
}

pub fn svname<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    match bind(scene, object).and_then(|b| b.name.as_deref()) {
        Some(name) => Value::str(name),
        None => Value::str(format!("sock-{}", number(object) + 1)),
    }
}

pub fn smax<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    let read = |id| scene.board.listener(object.proxy(), number(object), id);
    Value::U32(scene.board.peak(read(ListenerCounter::Scur), read(ListenerCounter::Smax)) as u32)
}

pub fn slim<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(bind(scene, object).and_then(|b| b.maxconn).unwrap_or(0))
}

pub fn status<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    frontend_status(scene, object)
}

pub fn sid<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    Value::U32(bind(scene, object).and_then(|b| b.id).unwrap_or(number(object) as u32 + 1))
}

pub fn kind<'a>(_: &Scene<'a>, _: Object) -> Value<'a> {
    Value::U32(3)
}

pub fn addr<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    match bind(scene, object).and_then(|b| b.addresses.first()) {
        Some(address) if scene.legends => Value::str(address.to_string()),
        _ => Value::None,
    }
}

pub fn proto<'a>(scene: &Scene<'a>, object: Object) -> Value<'a> {
    match bind(scene, object).and_then(|b| b.addresses.first()) {
        Some(Address::Ip(a)) if a.is_ipv6() => Value::str("tcpv6"),
        Some(Address::Ip(_)) => Value::str("tcpv4"),
        Some(Address::Unix(_)) => Value::str("unix_stream"),
        Some(Address::Abstract(_)) => Value::str("abns_stream"),
        _ => Value::None,
    }
}
