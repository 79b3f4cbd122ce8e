//! Cookies of requests and responses (manual 7.3.6).

use super::{Fetch, row};
use crate::language::context::{Context, Side};
use crate::language::sample::cast::int32_prefix;
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Probe, Sample, Type};

pub const ROWS: &[Fetch] = &[
    row("req.cook", "[string]", Type::Str, REQUEST_HEADERS, |a, cx, p| value(a, cx, p, Side::Request)),
    row("req.cook_cnt", "[string]", Type::Sint, REQUEST_HEADERS, |a, cx, _| count(a, cx, Side::Request)),
    row("req.cook_val", "[string]", Type::Sint, REQUEST_HEADERS, |a, cx, p| number(a, cx, p, Side::Request)),
    row("req.cook_names", "[string]", Type::Str, REQUEST_HEADERS, |a, cx, _| names(a, cx, Side::Request)),
    row("res.cook", "[string]", Type::Str, RESPONSE_HEADERS, |a, cx, p| value(a, cx, p, Side::Response)),
    row("res.cook_cnt", "[string]", Type::Sint, RESPONSE_HEADERS, |a, cx, _| count(a, cx, Side::Response)),
    row("res.cook_val", "[string]", Type::Sint, RESPONSE_HEADERS, |a, cx, p| number(a, cx, p, Side::Response)),
    row("res.cook_names", "[string]", Type::Str, RESPONSE_HEADERS, |a, cx, _| names(a, cx, Side::Response)),
    row("cook", "[string]", Type::Str, REQUEST_HEADERS, |a, cx, p| value(a, cx, p, Side::Request)),
    row("cook_cnt", "[string]", Type::Sint, REQUEST_HEADERS, |a, cx, _| count(a, cx, Side::Request)),
    row("cook_val", "[string]", Type::Sint, REQUEST_HEADERS, |a, cx, p| number(a, cx, p, Side::Request)),
    row("cookie", "[string]", Type::Str, EITHER_HEADERS, |a, cx, p| value(a, cx, p, cx.side)),
    row("scook", "[string]", Type::Str, RESPONSE_HEADERS, |a, cx, p| value(a, cx, p, Side::Response)),
    row("scook_cnt", "[string]", Type::Sint, RESPONSE_HEADERS, |a, cx, _| count(a, cx, Side::Response)),
    row("scook_val", "[string]", Type::Sint, RESPONSE_HEADERS, |a, cx, p| number(a, cx, p, Side::Response)),
];

/// Name and value of each cookie of a side, in order. Of `Set-Cookie` only the first pair is a cookie.
pub fn cookies<'h>(cx: &'h Context<'_>, side: Side) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
    let field: &[u8] = if side == Side::Request { b"cookie" } else { b"set-cookie" };
    let pairs_max = if side == Side::Request { usize::MAX } else { 1 };
    cx.head(side)
        .into_iter()
        .flat_map(move |head| head.values(field))
        .flat_map(move |line| {
            // What is quoted does not part cookies.
            let mut quoted = false;
            let part = move |b: &u8| {
                quoted ^= *b == b'"';
                *b == b';' && !quoted
            };
            line.split(part).take(pairs_max)
        })
        .filter_map(|pair| {
            let at = memchr::memchr(b'=', pair)?;
            Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
        })
}

fn named<'h>(args: &'h Args, cx: &'h Context<'_>, side: Side) -> impl Iterator<Item = &'h [u8]> {
    let name = args.str(0).filter(|n| !n.is_empty());
    cookies(cx, side).filter(move |(n, _)| name.is_none_or(|wanted| wanted == *n)).map(|(_, v)| v)
}

/// The last value of the name (without a name, the first of all), or each in turn for an ACL.
fn raw<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<&'c [u8]> {
    let mut values = named(args, cx, side);
    if !probe.every {
        return if args.str(0).is_none_or(<[u8]>::is_empty) { values.next() } else { values.last() };
    }
    let found = values.nth(probe.nth as usize);
    probe.more = found.is_some() && values.next().is_some();
    found
}

fn value<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    raw(args, cx, probe, side).map(Sample::str)
}

fn number<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    raw(args, cx, probe, side).map(|v| Sample::Sint(int32_prefix(v)))
}

fn count<'c>(args: &'c Args, cx: &'c Context<'_>, side: Side) -> Option<Sample<'c>> {
    cx.head(side)?;
    Some(Sample::Sint(named(args, cx, side).count() as i64))
}

fn names<'c>(args: &'c Args, cx: &'c Context<'_>, side: Side) -> Option<Sample<'c>> {
    cx.head(side)?;
    let delimiter = args.str(0).filter(|d| !d.is_empty()).unwrap_or(b",");
    let mut out = cx.buf();
    for (i, (name, _)) in cookies(cx, side).enumerate() {
        if i > 0 {
            out.extend_from_slice(delimiter);
        }
        out.extend_from_slice(name);
    }
    Some(Sample::str_buf(out))
}
