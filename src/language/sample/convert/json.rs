//! JSON (manual 7.3.1): `json` escapes a string, `json_query` reads a value by a path.

use super::{Convert, bytes_of, row};
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::sample::{Args, Sample, Type};
use std::io::Write;

pub const ROWS: &[Convert] = &[
    row("json", "string", Type::Str, Type::Str, escape).checked(check_input),
    row("json_query", "string[,string]", Type::Str, Type::Any, query).checked(check_query),
];

/// What to do with bytes that are no UTF-8.
fn check_input(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    match args.str(0) {
        None | Some(b"" | b"ascii" | b"utf8" | b"utf8s" | b"utf8p" | b"utf8ps") => Ok(()),
        Some(_) => {
            Err("Unexpected input code type. Allowed value are 'ascii', 'utf8', 'utf8s', 'utf8p' and 'utf8ps'".into())
        }
    }
}

/// A string as it stands between the quotes of JSON; characters past ASCII become `\uXXXX`.
fn escape<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let bytes = bytes_of(sample)?;
    let mut out = cx.buf();
    let mode = args.str(0).filter(|m| !m.is_empty()).unwrap_or(b"ascii");
    if mode == b"ascii" {
        for b in bytes.as_slice() {
            push(*b as u32, &mut out)?;
        }
        return Some(Sample::str_buf(out));
    }
    for chunk in bytes.as_slice().utf8_chunks() {
        for c in chunk.valid().chars() {
            push(c as u32, &mut out)?;
        }
        match mode {
            b"utf8" | b"utf8p" if !chunk.invalid().is_empty() => return None,
            b"utf8s" | b"utf8ps" => {}
            _ => {
                for b in chunk.invalid() {
                    push(*b as u32, &mut out)?;
                }
            }
        }
    }
    Some(Sample::str_buf(out))
}

fn push(c: u32, out: &mut Vec<u8>) -> Option<()> {
    match c {
        0x22 => out.extend_from_slice(b"\\\""),
        0x5C => out.extend_from_slice(b"\\\\"),
        0x2F => out.extend_from_slice(b"\\/"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0C => out.extend_from_slice(b"\\f"),
        0x0A => out.extend_from_slice(b"\\n"),
        0x0D => out.extend_from_slice(b"\\r"),
        0x09 => out.extend_from_slice(b"\\t"),
        0x20..=0x7E => out.push(c as u8),
        _ => write!(out, "\\u{:04x}", c & 0xFFFF).ok()?,
    }
    Some(())
}

fn check_query(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    match args.str(0).unwrap_or_default() {
        b"" => return Err("empty json path".into()),
        path if !path.starts_with(b"$") => return Err("json path must start with '$'".into()),
        _ => {}
    }
    match args.str(1) {
        None | Some(b"" | b"int") => Ok(()),
        Some(_) => Err("output_type only supports \"int\" as argument".into()),
    }
}

/// Values by `$.a.b[0]`: numbers and booleans keep their kind, strings are text, arrays and objects are JSON text.
fn query<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let bytes = bytes_of(sample)?;
    let document: serde_json::Value = serde_json::from_slice(bytes.as_slice()).ok()?;
    let mut value = &document;
    for step in steps(args.text(0)?) {
        value = match step.parse::<usize>() {
            Ok(index) if value.is_array() => value.get(index)?,
            _ => value.get(step)?,
        };
    }
    let as_number = args.str(1) == Some(b"int");
    let mut out = cx.buf();
    match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(b) => return Some(Sample::Bool(*b)),
        serde_json::Value::Number(n) if as_number => {
            return n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)).map(Sample::Sint);
        }
        serde_json::Value::Number(n) => write!(out, "{n}").ok()?,
        serde_json::Value::String(s) => out.extend_from_slice(s.as_bytes()),
        other => serde_json::to_writer(&mut *out, other).ok()?,
    }
    Some(Sample::str_buf(out))
}

/// The names and numbers of a path.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.trim_start_matches('$').split(['.', '[', ']', '\'', '"']).filter(|s| !s.is_empty())
}
