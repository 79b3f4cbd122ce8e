//! The Forwarded field that `option forwarded` adds (RFC 7239; HAProxy 3.4 manual 4.2). Values that RFC 7239 does not
//! allow are written as HAProxy was seen to write them.

use super::rules::with_context;
use super::session::Session;
use super::stream::Exchange;
use crate::language::context::{Payload, Side};
use crate::language::sample::{Expr, Sample};
use crate::model::plan::ProxyIndex;
use crate::model::proxy::{ForwardedPart, ForwardedValue};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Adds the field to the request, if the backend has the option.
pub fn add(s: &Session, ex: &mut Exchange, proxy: ProxyIndex) {
    let w = s.w.clone();
    let settings = &w.plan.proxies[proxy];
    let Some(option) = &settings.options.forwarded else { return };
    let facts = s.facts.borrow();
    let (src, dst, secure) = (facts.src, facts.dst, facts.tls.is_some());
    drop(facts);
    let mut field = w.pool.take();
    if option.proto {
        field.extend_from_slice(if secure { b"proto=https" } else { b"proto=http" });
    }
    let part = |part: ForwardedPart| option.parts[part as usize].as_ref();
    let expr = |part: ForwardedPart| settings.rules.forwarded.get(part as usize).and_then(Option::as_ref);
    if let Some(value) = part(ForwardedPart::Host) {
        begin(&mut field, b"host=\"");
        match value {
            ForwardedValue::Own => {
                let host = ex.request.first(b"host").unwrap_or_default();
                field.extend_from_slice(if is_host(host) { host } else { b"" });
            }
            ForwardedValue::Expr(_) => evaluate(s, ex, expr(ForwardedPart::Host), &mut field, |sample, out| {
                out.extend_from_slice(sample.and_then(Sample::bytes).filter(|h| is_host(h)).unwrap_or_default());
            }),
        }
        field.push(b'"');
    }
    for (node, port, name, address) in [
        (ForwardedPart::By, ForwardedPart::ByPort, &b"by="[..], dst),
        (ForwardedPart::For, ForwardedPart::ForPort, b"for=", src),
    ] {
        let Some(value) = part(node) else { continue };
        begin(&mut field, name);
        let start = field.len();
        match value {
            ForwardedValue::Own => node_of(address.map(|a| a.ip()), &mut field),
            ForwardedValue::Expr(_) => evaluate(s, ex, expr(node), &mut field, node_name),
        }
        match part(port) {
            None => {}
            Some(ForwardedValue::Own) => own_port(address, &mut field),
            Some(ForwardedValue::Expr(_)) => evaluate(s, ex, expr(port), &mut field, node_port),
        }
        // RFC 7239 §6: colons and brackets need quotes; HAProxy quotes whatever may have a port.
        if part(port).is_some() || field[start] == b'[' {
            field.insert(start, b'"');
            field.push(b'"');
        }
    }
    ex.request.append(b"forwarded", &field);
    w.pool.give(field);
}

/// Evaluates an expression and has its sample written.
fn evaluate(
    s: &Session,
    ex: &mut Exchange,
    expr: Option<&Expr>,
    out: &mut Vec<u8>,
    write: fn(Option<&Sample<'_>>, &mut Vec<u8>),
) {
    with_context(s, ex, Side::Request, Payload::default(), true, |cx| {
        write(expr.and_then(|e| e.eval(cx)).as_ref(), out);
    });
}

/// Begins a parameter.
fn begin(field: &mut Vec<u8>, name: &[u8]) {
    if !field.is_empty() {
        field.push(b';');
    }
    field.extend_from_slice(name);
}

fn node_of(ip: Option<IpAddr>, out: &mut Vec<u8>) {
    // Writing to a vector cannot fail.
    let _ = match ip {
        Some(IpAddr::V4(a)) => write!(out, "{a}"),
        Some(IpAddr::V6(a)) => write!(out, "[{a}]"),
        None => write!(out, "unknown"),
    };
}

fn own_port(address: Option<SocketAddr>, out: &mut Vec<u8>) {
    if let Some(address) = address {
        let _ = write!(out, ":{}", address.port());
    }
}

fn is_obfuscated_tail(text: &[u8]) -> bool {
    text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// RFC 7239 §6.3: `_` and one character at least. What lacks the underscore gets one.
fn obfuscated(text: &[u8], out: &mut Vec<u8>) {
    if text.len() < 2 || text[0] != b'_' {
        out.push(b'_');
    }
    out.extend_from_slice(text);
}

/// RFC 7239 §6: an address, `unknown`, or an obfuscated name.
fn node_name(sample: Option<&Sample<'_>>, out: &mut Vec<u8>) {
    if let Some(Sample::Ip(ip)) = sample {
        return node_of(Some(*ip), out);
    }
    let text = match sample {
        Some(Sample::Str(text)) => text.as_slice(),
        _ => b"",
    };
    let utf8 = std::str::from_utf8(text).unwrap_or_default();
    let bracketed = utf8.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    match text {
        b"" | b"unknown" => out.extend_from_slice(b"unknown"),
        _ if utf8.parse::<Ipv4Addr>().is_ok() => out.extend_from_slice(text),
        _ if bracketed.is_some_and(|t| t.parse::<Ipv6Addr>().is_ok()) => out.extend_from_slice(text),
        _ if is_obfuscated_tail(text) => obfuscated(text, out),
        _ => out.extend_from_slice(b"unknown"),
    }
}

/// RFC 7239 §6: a port, or an obfuscated one; nothing where there is none.
fn node_port(sample: Option<&Sample<'_>>, out: &mut Vec<u8>) {
    let mut digits = Vec::new();
    let text = match sample {
        Some(Sample::Sint(n)) => {
            let _ = write!(digits, "{n}");
            &digits[..]
        }
        Some(Sample::Str(text)) => text.as_slice(),
        _ => return,
    };
    if text.is_empty() || !is_obfuscated_tail(text) {
        return;
    }
    out.push(b':');
    if is_port(text) { out.extend_from_slice(text) } else { obfuscated(text, out) }
}

fn is_port(text: &[u8]) -> bool {
    let number = std::str::from_utf8(text).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    number.and_then(|t| t.parse::<u16>().ok()).is_some_and(|n| n > 0)
}

/// A host with or without port, as Host has it (RFC 7239 §5.3).
fn is_host(text: &[u8]) -> bool {
    let colon = match text.iter().position(|b| *b == b']') {
        Some(bracket) => (text.len() > bracket + 1).then_some(bracket + 1),
        None => text.iter().position(|b| *b == b':'),
    };
    let (name, port) = colon.map_or((text, None), |at| (&text[..at], Some(&text[at..])));
    if port.is_some_and(|p| p[0] != b':' || !is_port(&p[1..])) {
        return false;
    }
    let utf8 = std::str::from_utf8(name).unwrap_or_default();
    if let Some(inner) = utf8.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|t| t.parse::<Ipv6Addr>().is_ok());
    }
    let letters = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    !name.is_empty() && name[0] != b'-' && name.iter().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_judged_as_haproxy_does() {
        for good in ["a", "h.x:8080", "[::1]:80", "[::1]", "1.2.3.4", "a..b", "A.B", "."] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in ["", "a_b", "-a", "a:b", "a:99999", "[::1", "[::1]x", "[]", "a]", "]:"] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn nodes_and_ports_are_written_as_haproxy_does() {
        let cases = [
            ("[::1", "1", "unknown:1"),
            ("_", "1", "__:1"),
            ("_a.b-c_d", "0", "_a.b-c_d:_0"),
            ("_a b", "x", "unknown:_x"),
            ("UNKNOWN", "_", "_UNKNOWN:__"),
            ("1.2.3", "_a.b-c", "_1.2.3:_a.b-c"),
            ("300.1.1.1", "_a+", "_300.1.1.1"),
            ("[1.2.3.4]", "00080", "unknown:00080"),
            ("[::1]", "99999", "[::1]:_99999"),
            ("::1", "", "unknown"),
        ];
        for (name, port, expected) in cases {
            let mut out = Vec::new();
            node_name(Some(&Sample::str(name.as_bytes())), &mut out);
            node_port(Some(&Sample::str(port.as_bytes())), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
