//! Header fields of requests and responses (manual 7.3.6): by comma-separated value (`hdr`) and by whole line
//! (`fhdr`).

use super::{Fetch, row};
use crate::language::context::{Context, Side};
use crate::language::sample::cast::{int32_prefix, parse_ip};
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Probe, Sample, Type};
use crate::proto::http::head::Head;

const NAME: &str = "[string]";
const NAME_AND_NUMBER: &str = "[string,integer]";

pub const ROWS: &[Fetch] = &[
    row("hdr", NAME_AND_NUMBER, Type::Str, EITHER_HEADERS, |a, cx, p| value(a, cx, p, cx.side)),
    row("hdr_cnt", NAME, Type::Sint, REQUEST_HEADERS, |a, cx, _| count(a, cx, cx.side)),
    row("hdr_ip", NAME_AND_NUMBER, Type::Addr, REQUEST_HEADERS, |a, cx, p| ip(a, cx, p, cx.side)),
    row("hdr_val", NAME_AND_NUMBER, Type::Sint, REQUEST_HEADERS, |a, cx, p| number(a, cx, p, cx.side)),
    row("req.hdr", NAME_AND_NUMBER, Type::Str, REQUEST_HEADERS, |a, cx, p| value(a, cx, p, Side::Request)),
    row("req.hdr_cnt", NAME, Type::Sint, REQUEST_HEADERS, |a, cx, _| count(a, cx, Side::Request)),
    row("req.hdr_ip", NAME_AND_NUMBER, Type::Addr, REQUEST_HEADERS, |a, cx, p| ip(a, cx, p, Side::Request)),
    row("req.hdr_val", NAME_AND_NUMBER, Type::Sint, REQUEST_HEADERS, |a, cx, p| number(a, cx, p, Side::Request)),
    row("req.hdr_names", NAME, Type::Str, REQUEST_HEADERS, |a, cx, _| names(a, cx, Side::Request)),
    row("req.fhdr", NAME_AND_NUMBER, Type::Str, REQUEST_HEADERS, |a, cx, p| line(a, cx, p, Side::Request)),
    row("req.fhdr_cnt", NAME, Type::Sint, REQUEST_HEADERS, |a, cx, _| count_lines(a, cx, Side::Request)),
    row("res.hdr", NAME_AND_NUMBER, Type::Str, RESPONSE_HEADERS, |a, cx, p| value(a, cx, p, Side::Response)),
    row("res.hdr_cnt", NAME, Type::Sint, RESPONSE_HEADERS, |a, cx, _| count(a, cx, Side::Response)),
    row("res.hdr_ip", NAME_AND_NUMBER, Type::Addr, RESPONSE_HEADERS, |a, cx, p| ip(a, cx, p, Side::Response)),
    row("res.hdr_val", NAME_AND_NUMBER, Type::Sint, RESPONSE_HEADERS, |a, cx, p| number(a, cx, p, Side::Response)),
    row("res.hdr_names", NAME, Type::Str, RESPONSE_HEADERS, |a, cx, _| names(a, cx, Side::Response)),
    row("res.fhdr", NAME_AND_NUMBER, Type::Str, RESPONSE_HEADERS, |a, cx, p| line(a, cx, p, Side::Response)),
    row("res.fhdr_cnt", NAME, Type::Sint, RESPONSE_HEADERS, |a, cx, _| count_lines(a, cx, Side::Response)),
    row("shdr", NAME_AND_NUMBER, Type::Str, RESPONSE_HEADERS, |a, cx, p| value(a, cx, p, Side::Response)),
    row("shdr_cnt", NAME, Type::Sint, RESPONSE_HEADERS, |a, cx, _| count(a, cx, Side::Response)),
    row("shdr_ip", NAME_AND_NUMBER, Type::Addr, RESPONSE_HEADERS, |a, cx, p| ip(a, cx, p, Side::Response)),
    row("shdr_val", NAME_AND_NUMBER, Type::Sint, RESPONSE_HEADERS, |a, cx, p| number(a, cx, p, Side::Response)),
    row("req.hdrs", "", Type::Bin, REQUEST_HEADERS, |_, cx, _| block(cx, Side::Request)),
    row("res.hdrs", "", Type::Bin, RESPONSE_HEADERS, |_, cx, _| block(cx, Side::Response)),
];

/// Comma-separated values of a line: quoted commas do not split, blanks around values are cut.
pub fn split_values(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = comma(text);
        rest = end.map(|i| &text[i + 1..]);
        Some(text[..end.unwrap_or(text.len())].trim_ascii())
    })
}

/// Where the first comma outside quotes is.
pub fn comma(text: &[u8]) -> Option<usize> {
    // Most values have no comma at all.
    memchr::memchr(b',', text)?;
    let mut quoted = false;
    let mut i = 0;
    while i < text.len() {
        match text[i] {
            b'"' => quoted = !quoted,
            b'\\' if quoted => i += 1,
            b',' if !quoted => return Some(i),
            _ => {}
        }
        i += 1;
    }
    None
}

/// The lines called `name`, or all lines without a name.
fn lines<'h>(head: &'h Head, name: Option<&'h [u8]>) -> impl Iterator<Item = &'h [u8]> {
    let name = name.filter(|n| !n.is_empty());
    head.fields()
        .filter(move |(n, _)| name.is_none_or(|wanted| wanted.len() == n.len() && wanted.eq_ignore_ascii_case(n)))
        .map(|(_, v)| v)
}

/// One of `values`: by number from the start (1 …) or the end (-1 …); without a number the last one, or each in turn
/// where all are wanted.
fn pick<'h>(values: impl Iterator<Item = &'h [u8]>, number: Option<i64>, probe: &mut Probe) -> Option<&'h [u8]> {
    match number {
        Some(n) if n > 0 => {
            let mut values = values;
            values.nth(n as usize - 1)
        }
        Some(n) if n < 0 => {
            // Occurrences are few: count, then walk again is avoided by keeping the last ones seen.
            let back = n.unsigned_abs() as usize;
            let mut last = [&b""[..]; 10];
            if back > last.len() {
                return None;
            }
            let mut seen = 0;
            for v in values {
                last[seen % 10] = v;
                seen += 1;
            }
            (back <= seen).then(|| last[(seen - back) % 10])
        }
        _ if probe.every => {
            let mut values = values.skip(probe.nth as usize);
            let found = values.next();
            probe.more = found.is_some() && values.next().is_some();
            found
        }
        _ => values.last(),
    }
}

/// Without a name only ACLs get values: those of all fields in turn.
fn pick_named<'h>(args: &Args, values: impl Iterator<Item = &'h [u8]>, probe: &mut Probe) -> Option<&'h [u8]> {
    if !probe.every && args.str(0).is_none_or(<[u8]>::is_empty) {
        return None;
    }
    pick(values, args.int(1), probe)
}

fn value<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    let values = lines(cx.head(side)?, args.str(0)).flat_map(split_values);
    pick_named(args, values, probe).map(Sample::str)
}

fn line<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    pick_named(args, lines(cx.head(side)?, args.str(0)), probe).map(Sample::str)
}

fn count<'c>(args: &'c Args, cx: &'c Context<'_>, side: Side) -> Option<Sample<'c>> {
    let n = lines(cx.head(side)?, args.str(0)).flat_map(split_values).count();
    Some(Sample::Sint(n as i64))
}

fn count_lines<'c>(args: &'c Args, cx: &'c Context<'_>, side: Side) -> Option<Sample<'c>> {
    Some(Sample::Sint(lines(cx.head(side)?, args.str(0)).count() as i64))
}

fn number<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    let values = lines(cx.head(side)?, args.str(0)).flat_map(split_values);
    pick(values, args.int(1), probe).map(|v| Sample::Sint(int32_prefix(v)))
}

/// An address, with or without a port behind it.
fn ip<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    let values = lines(cx.head(side)?, args.str(0)).flat_map(split_values);
    let text = pick(values, args.int(1), probe)?;
    let text = match text {
        [b'[', rest @ ..] => rest.split(|b| *b == b']').next()?,
        _ if text.iter().filter(|b| **b == b':').count() == 1 => text.split(|b| *b == b':').next()?,
        _ => text,
    };
    parse_ip(text).map(Sample::Ip)
}

fn names<'c>(args: &'c Args, cx: &'c Context<'_>, side: Side) -> Option<Sample<'c>> {
    let head = cx.head(side)?;
    let delimiter = args.str(0).filter(|d| !d.is_empty()).unwrap_or(b",");
    let mut out = cx.buf();
    for (i, (name, _)) in head.fields().enumerate() {
        if i > 0 {
            out.extend_from_slice(delimiter);
        }
        out.extend_from_slice(name);
    }
    Some(Sample::str_buf(out))
}

/// All fields as they would stand on the wire, with the empty line.
fn block<'c>(cx: &'c Context<'_>, side: Side) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    for (name, value) in cx.head(side)?.fields() {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Some(Sample::bin_buf(out))
}
