//! `show stat json`, `show info json` and the schema of both.

use super::{
    Scene,
    catalogue::FIELDS,
    fields::{Object, Value},
    info::Item,
};
use std::io::Write;

/// One object's array; the caller writes `[`, commas and `]` around.
pub fn object(scene: &Scene<'_>, object: Object, out: &mut Vec<u8>) {
    let id = match object {
        Object::Server(p, s) => scene.board.live.server(p, s).map_or(0, |s| s.settings.id),
        Object::Listener(_, bind) => bind as u32 + 1,
        _ => 0,
    };
    let iid = scene.plan.proxies[object.proxy()].id;
    out.push(b'[');
    let mut first = true;
    for (position, field) in FIELDS.iter().enumerate() {
        let value = field.value(scene, object);
        if value == Value::None {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        let _ = write!(out, "{{\"objType\":\"{}\",\"proxyId\":{iid},\"id\":{id},", object.name());
        item(position, field.name, field.tags, &value, out);
    }
    out.push(b']');
}

pub fn info(items: &[Item<'_>], out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, entry) in items.iter().filter(|i| i.value != Value::None).enumerate() {
        out.extend_from_slice(if i > 0 { b",{" } else { b"{" });
        item(entry.position, entry.name, entry.tags, &entry.value, out);
    }
    out.push(b']');
}

fn item(position: usize, name: &str, tags: &str, value: &Value<'_>, out: &mut Vec<u8>) {
    let mut tags = tags.chars();
    let origin = match tags.next() {
        Some('M') => "Metric",
        Some('S') => "Status",
        Some('K') => "Key",
        Some('C') => "Config",
        Some('P') => "Product",
        _ => "Unknown",
    };
    let nature = match tags.next() {
        Some('G') => "Gauge",
        Some('L') => "Limit",
        Some('m') => "Min",
        Some('M') => "Max",
        Some('R') => "Rate",
        Some('C') => "Counter",
        Some('D') => "Duration",
        Some('A') => "Age",
        Some('T') => "Time",
        Some('N') => "Name",
        Some('O') => "Output",
        Some('a') => "Avg",
        _ => "Unknown",
    };
    let scope = match tags.next() {
        Some('C') => "Cluster",
        Some('P') => "Process",
        Some('S') => "Service",
        Some('Y') => "System",
        _ => "Unknown",
    };
    let _ = write!(
        out,
        "\"field\":{{\"pos\":{position},\"name\":\"{name}\"}},\"processNum\":1,\"tags\":{{\"origin\":\"{origin}\",\
         \"nature\":\"{nature}\",\"scope\":\"{scope}\"}},\"value\":{{\"type\":\"{}\",\"value\":",
        value.type_name()
    );
    match value {
        Value::Str(text) => string(text, out),
        value => _ = write!(out, "{value}"),
    }
    out.extend_from_slice(b"}}");
}

/// A JSON string (RFC 8259 §7).
pub fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0..=0x1F => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// `show schema json`.
pub const SCHEMA: &str = include_str!("schema.json");
