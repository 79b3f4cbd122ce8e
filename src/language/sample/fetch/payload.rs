//! Buffered bytes and bodies (manual 7.3.5 and 7.3.6): lengths, slices, parameters of forms, `wait_end`, RDP cookies.

use super::{Fetch, row};
use crate::language::context::{Context, Side};
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Probe, Sample, Type};
use crate::proto::http::head::Head;

const SLICE: &str = "integer,integer";
const PREFIXED: &str = "integer,integer[,string]";

pub const ROWS: &[Fetch] = &[
    row("req.len", "", Type::Sint, REQUEST_BUFFER, |_, cx, p| length(cx, p, Side::Request)),
    row("req_len", "", Type::Sint, REQUEST_BUFFER, |_, cx, p| length(cx, p, Side::Request)),
    row("res.len", "", Type::Sint, RESPONSE_BUFFER, |_, cx, p| length(cx, p, Side::Response)),
    row("req.payload", SLICE, Type::Bin, REQUEST_BUFFER, |a, cx, p| payload(a, cx, p, Side::Request)),
    row("res.payload", SLICE, Type::Bin, RESPONSE_BUFFER, |a, cx, p| payload(a, cx, p, Side::Response)),
    row("payload", SLICE, Type::Bin, EITHER_BUFFER, |a, cx, p| payload(a, cx, p, cx.side)),
    row("req.payload_lv", PREFIXED, Type::Bin, REQUEST_BUFFER, |a, cx, p| payload_lv(a, cx, p, Side::Request)),
    row("res.payload_lv", PREFIXED, Type::Bin, RESPONSE_BUFFER, |a, cx, p| payload_lv(a, cx, p, Side::Response)),
    row("payload_lv", PREFIXED, Type::Bin, EITHER_BUFFER, |a, cx, p| payload_lv(a, cx, p, cx.side)),
    row("req.body", "", Type::Bin, REQUEST_HEADERS, |_, cx, p| body(cx, p, Side::Request)),
    row("req.body_len", "", Type::Sint, REQUEST_HEADERS, |_, cx, _| body_len(cx, Side::Request)),
    row("req.body_size", "", Type::Sint, REQUEST_HEADERS, |_, cx, _| body_size(cx, Side::Request)),
    row("req.body_param", "[string,string]", Type::Bin, REQUEST_HEADERS, body_param),
    row("res.body", "", Type::Bin, RESPONSE_HEADERS, |_, cx, p| body(cx, p, Side::Response)),
    row("res.body_len", "", Type::Sint, RESPONSE_HEADERS, |_, cx, _| body_len(cx, Side::Response)),
    row("res.body_size", "", Type::Sint, RESPONSE_HEADERS, |_, cx, _| body_size(cx, Side::Response)),
    row("wait_end", "", Type::Bool, INTERNAL, wait_end),
    row("req.rdp_cookie", "[string]", Type::Str, REQUEST_BUFFER, rdp_cookie),
    row("req.rdp_cookie_cnt", "[string]", Type::Sint, REQUEST_BUFFER, rdp_cookie_cnt),
    row("rdp_cookie", "[string]", Type::Str, REQUEST_BUFFER, rdp_cookie),
    row("rdp_cookie_cnt", "[string]", Type::Sint, REQUEST_BUFFER, rdp_cookie_cnt),
];

/// In HTTP mode with the head, in HAProxy's own counting (observed).
fn length<'c>(cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    probe.may_change = !cx.last_chance;
    let head = message(cx, side).filter(|h| cx.request.is_some() && h.capacity() > 0).map_or(0, Head::counted_len);
    Some(Sample::Sint(head as i64 + cx.payload(side).bytes.len() as i64))
}

/// Nothing in HTTP mode, whose bodies are `req.body` and `res.body` (observed).
pub(super) fn only_tcp(cx: &Context<'_>) -> Option<()> {
    cx.request.is_none().then_some(())
}

/// `payload(offset,length)`: length 0 means all that is there.
fn payload<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    let (offset, length) = (usize::try_from(args.int(0)?).ok()?, usize::try_from(args.int(1)?).ok()?);
    only_tcp(cx)?;
    let payload = cx.payload(side);
    probe.may_change = !payload.complete && (length == 0 || offset + length > payload.bytes.len());
    let rest = payload.bytes.get(offset..)?;
    match length {
        0 => (!rest.is_empty()).then(|| Sample::bin(rest)),
        n => rest.get(..n).map(Sample::bin),
    }
}

/// `payload_lv(offset1,length[,offset2])`: the length stands in the payload. A signed offset2 counts from offset1 +
/// length.
fn payload_lv<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    let (at, width) = (usize::try_from(args.int(0)?).ok()?, usize::try_from(args.int(1)?).ok()?);
    only_tcp(cx)?;
    let payload = cx.payload(side);
    probe.may_change = !payload.complete;
    let length = payload.bytes.get(at..at + width)?.iter().fold(0usize, |n, b| (n << 8) | *b as usize);
    let start = match args.text(2).filter(|t| !t.is_empty()) {
        None => at + width,
        Some(t) if t.starts_with(['+', '-']) => usize::try_from((at + width) as i64 + t.parse::<i64>().ok()?).ok()?,
        Some(t) => t.parse().ok()?,
    };
    let bytes = payload.bytes.get(start..start.checked_add(length)?)?;
    probe.may_change = false;
    (!bytes.is_empty()).then(|| Sample::bin(bytes))
}

/// The message whose body the payload is: none in TCP mode.
fn message<'c>(cx: &'c Context<'_>, side: Side) -> Option<&'c Head> {
    if side == Side::Request { cx.request.as_deref() } else { cx.head(side) }
}

fn body<'c>(cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    message(cx, side)?;
    probe.may_change = !cx.payload(side).complete;
    Some(Sample::bin(cx.payload(side).bytes))
}

fn body_len<'c>(cx: &'c Context<'_>, side: Side) -> Option<Sample<'c>> {
    message(cx, side)?;
    Some(Sample::Sint(cx.payload(side).bytes.len() as i64))
}

fn body_size<'c>(cx: &'c Context<'_>, side: Side) -> Option<Sample<'c>> {
    // A response's body is not waited for: what its head announces is known all the same.
    let announced = || {
        let length = message(cx, side)?.first(b"content-length")?;
        Some(super::super::cast::int_prefix(length).unwrap_or(0) as u64)
    };
    message(cx, side)?;
    let size = Some(cx.payload(side).size).filter(|size| *size > 0).or_else(announced);
    Some(Sample::Sint(size.unwrap_or(0) as i64))
}

/// A parameter of a form (`a=1&b=2`); without a name each in turn.
fn body_param<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    let bytes = cx.payload(Side::Request).bytes;
    super::url::parameter(bytes, args.str(0), b'&', args.str(1) == Some(b"i"), probe).map(Sample::bin)
}

fn wait_end<'c>(_: &'c Args, cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    if !cx.last_chance {
        probe.may_change = true;
        return None;
    }
    Some(Sample::Bool(true))
}

/// The value of a `Cookie: name=value` line in an RDP connection request (X.224), as [MS-RDPBCGR] 2.2.1.1 has it.
fn rdp<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe) -> Option<&'c [u8]> {
    only_tcp(cx)?;
    let payload = cx.payload(Side::Request);
    probe.may_change = !payload.complete;
    let text = payload.bytes.get(11..)?;
    let text = text.strip_prefix(b"Cookie:").or_else(|| text.strip_prefix(b"cookie:"))?;
    let end = memchr::memmem::find(text, b"\r\n")?;
    let (name, value) = text[..end].trim_ascii().split_at(memchr::memchr(b'=', text[..end].trim_ascii())?);
    probe.may_change = false;
    let wanted = args.str(0).filter(|n| !n.is_empty());
    wanted.is_none_or(|w| w.eq_ignore_ascii_case(name)).then(|| &value[1..])
}

fn rdp_cookie<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    rdp(args, cx, probe).map(Sample::str)
}

fn rdp_cookie_cnt<'c>(args: &'c Args, cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    let found = rdp(args, cx, probe).is_some();
    (found || !probe.may_change).then_some(Sample::Sint(found as i64))
}
