//! The `Forwarded` field (RFC 7239; manual 7.3.1 `rfc7239_*`): whether a value is well-formed, its parameters, and
//! the names and ports of its nodes.

use super::{Convert, bytes_of, row};
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::sample::{Args, Bytes, Sample, Type};
use std::net::{Ipv4Addr, Ipv6Addr};

pub const ROWS: &[Convert] = &[
    row("rfc7239_is_valid", "", Type::Str, Type::Bool, |_, s, _| {
        Some(Sample::Bool(parameters(bytes_of(s)?.as_slice()).is_some()))
    }),
    row("rfc7239_field", "string", Type::Str, Type::Str, field).checked(check_field),
    row("rfc7239_n2nn", "", Type::Str, Type::Any, |_, s, _| {
        let bytes = bytes_of(s)?;
        match node(bytes.as_slice())? {
            Node { name: Name::V4(a), .. } => Some(Sample::Ip(a.into())),
            Node { name: Name::V6(a), .. } => Some(Sample::Ip(a.into())),
            Node { name: Name::Text(len), .. } => Some(Sample::Str(bytes.slice(0, len))),
        }
    }),
    row("rfc7239_n2np", "", Type::Str, Type::Any, |_, s, _| {
        let bytes = bytes_of(s)?;
        let at = node(bytes.as_slice())?.port?;
        match std::str::from_utf8(&bytes.as_slice()[at..]).ok()?.parse::<i64>() {
            Ok(port) => Some(Sample::Sint(port)),
            Err(_) => Some(Sample::Str(bytes.slice(at, usize::MAX))),
        }
    }),
    row("rfc7239_nn", "", Type::Any, Type::Str, |_, s, cx| written(s, cx, true)),
    row("rfc7239_np", "", Type::Any, Type::Str, |_, s, cx| written(s, cx, false)),
];

const FIELDS: [&[u8]; 4] = [b"for", b"by", b"host", b"proto"];

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Name and value (unquoted) of each parameter; `None` when the text is not one well-formed element.
fn parameters(text: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        let at = rest.iter().position(|b| *b == b'=')?;
        let name = &rest[..at];
        let known = FIELDS.iter().any(|f| name.eq_ignore_ascii_case(f));
        rest = &rest[at + 1..];
        let value = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = memchr::memchr(b'"', quoted)?;
                rest = &quoted[end + 1..];
                &quoted[..end]
            }
            None => {
                let end = rest.iter().position(|b| !is_token(*b)).unwrap_or(rest.len());
                let value = &rest[..end];
                rest = &rest[end..];
                value
            }
        };
        let node_field = name.eq_ignore_ascii_case(b"for") || name.eq_ignore_ascii_case(b"by");
        if !known || value.is_empty() || (node_field && node(value).is_none()) {
            return None;
        }
        all.push((name, value));
        match rest {
            [] => return Some(all),
            [b';', after @ ..] => rest = after,
            _ => return None,
        }
    }
}

fn check_field(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    match args.str(0) {
        Some(name) if FIELDS.contains(&name) => Ok(()),
        _ => Err("expects 'proto', 'host', 'for' or 'by'".into()),
    }
}

fn field<'c>(args: &'c Args, s: Sample<'c>, _: &'c Context<'_>) -> Option<Sample<'c>> {
    let bytes = bytes_of(s)?;
    let range = {
        let text = bytes.as_slice();
        let (_, value) = parameters(text)?.into_iter().find(|(name, _)| Some(*name) == args.str(0))?;
        let from = value.as_ptr() as usize - text.as_ptr() as usize;
        (from, from + value.len())
    };
    Some(Sample::Str(bytes.slice(range.0, range.1)))
}

/// A node: its name and where its port begins.
struct Node {
    name: Name,
    port: Option<usize>,
}

enum Name {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// `unknown` or an obfuscated identifier: the length of it.
    Text(usize),
}

fn node(text: &[u8]) -> Option<Node> {
    let (name, end) = match text.strip_prefix(b"[") {
        Some(inner) => {
            let end = memchr::memchr(b']', inner)?;
            (Name::V6(std::str::from_utf8(&inner[..end]).ok()?.parse().ok()?), end + 2)
        }
        None => {
            let end = memchr::memchr(b':', text).unwrap_or(text.len());
            let name = &text[..end];
            match std::str::from_utf8(name).ok()?.parse() {
                Ok(a) => (Name::V4(a), end),
                Err(_) if name == b"unknown" || is_obfuscated(name) => (Name::Text(end), end),
                Err(_) => return None,
            }
        }
    };
    let port = match &text[end..] {
        [] => None,
        [b':', port @ ..] => {
            let number = !port.is_empty() && port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
            (number || is_obfuscated(port)).then_some(())?;
            Some(end + 1)
        }
        _ => return None,
    };
    Some(Node { name, port })
}

fn is_obfuscated(text: &[u8]) -> bool {
    text.len() > 1 && text[0] == b'_' && text[1..].iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// A sample as a node's name or port would be written.
fn written<'c>(s: Sample<'c>, cx: &'c Context<'_>, as_name: bool) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    match (&s, as_name) {
        (Sample::Ip(std::net::IpAddr::V6(a)), true) => {
            out.push(b'[');
            crate::language::sample::cast::push_ip(&mut out, &(*a).into());
            out.push(b']');
        }
        (Sample::Ip(a), true) => crate::language::sample::cast::push_ip(&mut out, a),
        (Sample::Sint(n), false) if (1..=65_535).contains(n) => {
            crate::language::sample::cast::push_int(&mut out, *n);
        }
        (Sample::Str(text), _) if is_obfuscated(text.as_slice()) || (as_name && text.as_slice() == b"unknown") => {
            out.extend_from_slice(text.as_slice());
        }
        _ => return None,
    }
    Some(Sample::Str(Bytes::from(out)))
}
