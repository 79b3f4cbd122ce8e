//! `show stat typed`: a line for each field of each object that has a value.

use super::{
    Scene,
    catalogue::FIELDS,
    fields::{Object, Value},
};
use std::io::Write;

pub fn lines(scene: &Scene<'_>, object: Object, descriptions: bool, out: &mut Vec<u8>) {
    let iid = scene.plan.proxies[object.proxy()].id;
    let sid = match super::catalogue::find("sid").map(|f| f.value(scene, object)) {
        Some(Value::U32(sid)) => sid,
        _ => 0,
    };
    for (position, field) in FIELDS.iter().enumerate() {
        let value = field.value(scene, object);
        if value == Value::None {
            continue;
        }
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            "{}.{iid}.{sid}.{position}.{}.1:{}:{}:{value}",
            object.letter(),
            field.name,
            field.tags,
            value.type_name()
        );
        if descriptions {
            let _ = write!(out, ":\"{}\"", field.description);
        }
        out.push(b'\n');
    }
}
