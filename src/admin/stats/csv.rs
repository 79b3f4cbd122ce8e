//! `show stat` and `;csv`: a header line and a line for each object, every one ending in a comma.

use super::{
    Scene,
    catalogue::*,
    fields::{Object, Value},
};
use std::io::Write;

pub fn header(out: &mut Vec<u8>) {
    out.extend_from_slice(b"# ");
    for (i, field) in FIELDS.iter().enumerate() {
        if i == BEFORE_SEPARATOR {
            out.extend_from_slice(b"-,");
        }
        out.extend_from_slice(field.name.as_bytes());
        out.push(b',');
    }
    out.push(b'\n');
}

pub fn line(scene: &Scene<'_>, object: Object, out: &mut Vec<u8>) {
    for (i, field) in FIELDS.iter().enumerate() {
        if i == BEFORE_SEPARATOR {
            out.extend_from_slice(b"-,");
        }
        match field.value(scene, object) {
            Value::Str(text) => quoted(text.as_bytes(), out),
            // Writing to a Vec cannot fail.
            number => _ = write!(out, "{number}"),
        }
        out.push(b',');
    }
    out.push(b'\n');
}

/// RFC 4180 §2: quotes around what holds a comma, quote or line end.
fn quoted(text: &[u8], out: &mut Vec<u8>) {
    if !text.iter().any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n')) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
