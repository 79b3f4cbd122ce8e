//! Method, URI and its parts (manual 7.3.6): `url`, `path`, `pathq`, `query`, `base`.

use super::{Fetch, row};
use crate::base::hash;
use crate::language::context::{Context, Side};
use crate::language::sample::cast::int32_prefix;
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Probe, Sample, Type};
use crate::proto::http::head::Head;

pub const ROWS: &[Fetch] = &[
    row("method", "", Type::Meth, REQUEST, |_, cx, _| {
        cx.head(Side::Request).map(|h| Sample::Meth(h.method().into()))
    }),
    row("url", "", Type::Str, REQUEST_HEADERS, |_, cx, _| cx.head(Side::Request).map(|h| Sample::str(h.uri()))),
    row("path", "", Type::Str, REQUEST_HEADERS, |_, cx, _| path(cx.head(Side::Request)?.uri()).map(Sample::str)),
    row("pathq", "", Type::Str, REQUEST_HEADERS, |_, cx, _| pathq(cx.head(Side::Request)?.uri()).map(Sample::str)),
    row("base", "", Type::Str, REQUEST_HEADERS, |_, cx, _| base(cx, false)),
    row("query", "[string]", Type::Str, REQUEST_HEADERS, |a, cx, _| {
        let uri = cx.head(Side::Request)?.uri();
        // With the option "with_qm" the question mark is part of it.
        let with_mark = a.str(0) == Some(b"with_qm");
        query(uri).map(|q| Sample::str(if with_mark { &uri[uri.len() - q.len() - 1..] } else { q }))
    }),
    row("url_param", "[string,string,string]", Type::Str, REQUEST_HEADERS, |a, cx, p| {
        url_param(a, cx, p).map(Sample::str)
    }),
    row("urlp", "[string,string,string]", Type::Str, REQUEST_HEADERS, |a, cx, p| {
        url_param(a, cx, p).map(Sample::str)
    }),
    row("urlp_val", "[string,string,string]", Type::Sint, REQUEST_HEADERS, |a, cx, p| {
        url_param(a, cx, p).map(|v| Sample::Sint(int32_prefix(v)))
    }),
    row("url_ip", "", Type::Ipv4, REQUEST_HEADERS, |_, cx, _| authority(cx).map(|(a, _)| Sample::Ip(a.into()))),
    row("url_port", "", Type::Sint, REQUEST_HEADERS, |_, cx, _| authority(cx).map(|(_, p)| Sample::Sint(p as i64))),
    row("base32", "", Type::Sint, REQUEST_HEADERS, |_, cx, _| base_hash(cx).map(|h| Sample::Sint(h as i64))),
    row("base32+src", "", Type::Bin, REQUEST_HEADERS, |_, cx, _| with_source(cx, base_hash(cx)?)),
    row("url32", "", Type::Sint, REQUEST_HEADERS, |_, cx, _| url_hash(cx).map(|h| Sample::Sint(h as i64))),
    row("url32+src", "", Type::Bin, REQUEST_HEADERS, |_, cx, _| with_source(cx, url_hash(cx)?)),
    row("baseq", "", Type::Str, REQUEST_HEADERS, |_, cx, _| base(cx, true)),
];

/// Path and query of a request target; `None` for `*` and for the authority form of CONNECT.
pub fn pathq(uri: &[u8]) -> Option<&[u8]> {
    match uri.first()? {
        b'/' => Some(uri),
        b'*' => None,
        _ => {
            let after = memchr::memmem::find(uri, b"://")? + 3;
            let start = memchr::memchr3(b'/', b'?', b'#', &uri[after..])? + after;
            (uri[start] == b'/').then(|| &uri[start..])
        }
    }
}

/// Path of a request target, without query and fragment.
pub fn path(uri: &[u8]) -> Option<&[u8]> {
    pathq(uri).map(|p| &p[..memchr::memchr2(b'?', b'#', p).unwrap_or(p.len())])
}

/// What follows the first `?`.
pub fn query(uri: &[u8]) -> Option<&[u8]> {
    let start = memchr::memchr(b'?', uri)? + 1;
    Some(&uri[start..])
}

/// Host and path: the first Host field as it is, then the path.
pub fn write_base(head: &Head, with_query: bool, out: &mut Vec<u8>) -> bool {
    let Some(host) = head.first(b"host") else { return false };
    out.extend_from_slice(host.trim_ascii());
    let part = if with_query { pathq(head.uri()) } else { path(head.uri()) };
    out.extend_from_slice(part.unwrap_or_default());
    true
}

fn base<'c>(cx: &'c Context<'_>, with_query: bool) -> Option<Sample<'c>> {
    let head = cx.head(Side::Request)?;
    let mut out = cx.buf();
    if !write_base(head, with_query, &mut out) {
        return if with_query { pathq(head.uri()) } else { path(head.uri()) }.map(Sample::str);
    }
    Some(Sample::str_buf(out))
}

/// A parameter by name from `a=1&b=2`; without a name each in turn where an ACL wants all. The name may be compared
/// without case.
pub fn parameter<'t>(
    text: &'t [u8],
    name: Option<&[u8]>,
    delimiter: u8,
    ignore_case: bool,
    probe: &mut Probe,
) -> Option<&'t [u8]> {
    let name = name.filter(|n| !n.is_empty());
    let mut values = text.split(|b| *b == delimiter || (delimiter == b'&' && *b == b';')).filter_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        let hit =
            name.is_none_or(|n| if ignore_case { n.eq_ignore_ascii_case(&pair[..at]) } else { n == &pair[..at] });
        hit.then(|| &pair[at + 1..])
    });
    let found = values.nth(if probe.every { probe.nth as usize } else { 0 })?;
    probe.more = probe.every && values.next().is_some();
    Some(found)
}

/// `url_param(name[,delimiter[,i]])`.
fn url_param<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe) -> Option<&'c [u8]> {
    let uri = cx.head(Side::Request)?.uri();
    let start = args.str(1).and_then(|d| d.first().copied()).unwrap_or(b'?');
    let text = &uri[memchr::memchr(start, uri)? + 1..];
    let delimiter = if start == b'?' { b'&' } else { start };
    parameter(text, args.str(0), delimiter, args.str(2) == Some(b"i"), probe)
}

/// The authority of an absolute URI, as an address and port.
fn authority(cx: &Context<'_>) -> Option<(std::net::Ipv4Addr, u16)> {
    let uri = cx.head(Side::Request)?.uri();
    let at = memchr::memmem::find(uri, b"://")? + 3;
    let end = memchr::memchr3(b'/', b'?', b'#', &uri[at..]).map_or(uri.len(), |i| at + i);
    let text = std::str::from_utf8(&uri[at..end]).ok()?;
    let default = if uri.starts_with(b"https") { 443 } else { 80 };
    match text.split_once(':') {
        Some((host, port)) => Some((host.parse().ok()?, port.parse().ok()?)),
        None => Some((text.parse().ok()?, default)),
    }
}

/// `base32` and `url32` with the source's bytes behind.
fn with_source<'c>(cx: &'c Context<'_>, hash: u32) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    out.extend_from_slice(&hash.to_be_bytes());
    match cx.session.src?.ip() {
        std::net::IpAddr::V4(a) => out.extend_from_slice(&a.octets()),
        std::net::IpAddr::V6(a) => out.extend_from_slice(&a.octets()),
    }
    Some(Sample::bin_buf(out))
}

/// sdbm over host and path, mixed.
fn base_hash(cx: &Context<'_>) -> Option<u32> {
    let mut text = cx.buf();
    let head = cx.head(Side::Request)?;
    if !write_base(head, false, &mut text) {
        text.extend_from_slice(path(head.uri())?);
    }
    Some(hash::avalanche(hash::sdbm(&text)))
}

fn url_hash(cx: &Context<'_>) -> Option<u32> {
    let head = cx.head(Side::Request)?;
    let mut text = cx.buf();
    text.extend_from_slice(head.first(b"host").unwrap_or_default());
    text.extend_from_slice(pathq(head.uri()).unwrap_or_default());
    Some(hash::avalanche(hash::sdbm(&text)))
}
