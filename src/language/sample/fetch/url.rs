//! Method, URI and its parts (manual 7.3.6): `url`, `path`, `pathq`, `query`, `base`.

use super::{Fetch, row};
use crate::language::context::Context;
use crate::language::sample::scope::*;
use crate::language::sample::{Sample, Type};
use crate::proto::http::head::Head;

pub const ROWS: &[Fetch] = &[
    row("method", "", Type::Meth, REQUEST_HEADERS, |_, cx, _| {
        cx.request.as_deref().map(|h| Sample::Meth(h.method().into()))
    }),
    row("url", "", Type::Str, REQUEST_HEADERS, |_, cx, _| cx.request.as_deref().map(|h| Sample::str(h.uri()))),
    row("path", "", Type::Str, REQUEST_HEADERS, |_, cx, _| path(cx.request.as_deref()?.uri()).map(Sample::str)),
    row("pathq", "", Type::Str, REQUEST_HEADERS, |_, cx, _| pathq(cx.request.as_deref()?.uri()).map(Sample::str)),
    row("base", "", Type::Str, REQUEST_HEADERS, |_, cx, _| base(cx, false)),
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
    let head = cx.request.as_deref()?;
    let mut out = cx.buf();
    if !write_base(head, with_query, &mut out) {
        return path(head.uri()).map(Sample::str);
    }
    Some(Sample::str_buf(out))
}
