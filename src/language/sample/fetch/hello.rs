//! The TLS hello seen in a TCP proxy (manual 7.3.5): `req.ssl_sni`, `req.ssl_hello_type` and their kin, read from
//! the first bytes (RFC 8446 §4.1.2). Nothing is decrypted.

use super::{Fetch, row};
use crate::language::context::{Context, Side};
use crate::language::sample::scope::*;
use crate::language::sample::{Probe, Sample, Type};

pub const ROWS: &[Fetch] = &[
    row("req.ssl_hello_type", "", Type::Sint, REQUEST_BUFFER, |_, cx, p| hello_type(cx, p, Side::Request)),
    row("req_ssl_hello_type", "", Type::Sint, REQUEST_BUFFER, |_, cx, p| hello_type(cx, p, Side::Request)),
    row("res.ssl_hello_type", "", Type::Sint, RESPONSE_BUFFER, |_, cx, p| hello_type(cx, p, Side::Response)),
    row("rep_ssl_hello_type", "", Type::Sint, RESPONSE_BUFFER, |_, cx, p| hello_type(cx, p, Side::Response)),
    row("req.ssl_sni", "", Type::Str, REQUEST_BUFFER, |_, cx, p| sni(cx, p)),
    row("req_ssl_sni", "", Type::Str, REQUEST_BUFFER, |_, cx, p| sni(cx, p)),
    row("req.ssl_ver", "", Type::Sint, REQUEST_BUFFER, |_, cx, p| version(cx, p)),
    row("req_ssl_ver", "", Type::Sint, REQUEST_BUFFER, |_, cx, p| version(cx, p)),
    row("req.ssl_alpn", "", Type::Str, REQUEST_BUFFER, |_, cx, p| alpn(cx, p)),
    row("req.ssl_cipherlist", "", Type::Bin, CLIENT_L4, |_, cx, p| Some(Sample::bin(hello(cx, p)?.ciphers))),
    row("req.ssl_ec_ext", "", Type::Bool, REQUEST_BUFFER, |_, cx, p| {
        Some(Sample::Bool(hello(cx, p)?.extension(10).is_some()))
    }),
    row("req.ssl_st_ext", "", Type::Sint, REQUEST_BUFFER, |_, cx, p| {
        let ticket = hello(cx, p)?.extension(35);
        Some(Sample::Sint(ticket.map_or(0, |t| if t.is_empty() { 1 } else { 2 })))
    }),
    row("req.ssl_supported_groups", "", Type::Bin, CLIENT_L4, |_, cx, p| list(cx, p, 10)),
    row("req.ssl_sigalgs", "", Type::Bin, CLIENT_L4, |_, cx, p| list(cx, p, 13)),
    row("req.ssl_keyshare_groups", "", Type::Bin, CLIENT_L4, |_, cx, p| keyshare_groups(cx, p)),
];

/// A ClientHello's parts.
pub struct Hello<'h> {
    record_version: u16,
    version: u16,
    pub ciphers: &'h [u8],
    extensions: &'h [u8],
}

/// What the first bytes are.
enum Seen<'h> {
    Hello(Hello<'h>),
    /// So far so good.
    Partial,
    Other,
}

fn take<'b>(bytes: &mut &'b [u8], n: usize) -> Option<&'b [u8]> {
    let (head, rest) = bytes.split_at_checked(n)?;
    *bytes = rest;
    Some(head)
}

fn number(bytes: &mut &[u8], width: usize) -> Option<usize> {
    Some(take(bytes, width)?.iter().fold(0, |n, b| (n << 8) | *b as usize))
}

/// Bytes behind a length of `width` bytes.
fn vector<'b>(bytes: &mut &'b [u8], width: usize) -> Option<&'b [u8]> {
    let n = number(bytes, width)?;
    take(bytes, n)
}

fn read(bytes: &[u8]) -> Seen<'_> {
    if !b"\x16\x03".starts_with(&bytes[..bytes.len().min(2)]) {
        return Seen::Other;
    }
    let Some(&[_, _, _, high, low]) = bytes.first_chunk::<5>() else { return Seen::Partial };
    let length = u16::from_be_bytes([high, low]) as usize;
    let Some(record) = bytes.get(5..5 + length) else { return Seen::Partial };
    match client_hello(record, u16::from_be_bytes([bytes[1], bytes[2]])) {
        Some(hello) => Seen::Hello(hello),
        None => Seen::Other,
    }
}

fn client_hello(mut r: &[u8], record_version: u16) -> Option<Hello<'_>> {
    if number(&mut r, 1)? != 1 {
        return None;
    }
    let mut body = vector(&mut r, 3)?;
    let version = number(&mut body, 2)? as u16;
    take(&mut body, 32)?;
    vector(&mut body, 1)?;
    let ciphers = vector(&mut body, 2)?;
    vector(&mut body, 1)?;
    let extensions = vector(&mut body, 2).unwrap_or_default();
    Some(Hello { record_version, version, ciphers, extensions })
}

impl<'h> Hello<'h> {
    /// The content of an extension.
    pub fn extension(&self, wanted: u16) -> Option<&'h [u8]> {
        let mut rest = self.extensions;
        while !rest.is_empty() {
            let kind = number(&mut rest, 2)?;
            let content = vector(&mut rest, 2)?;
            if kind == wanted as usize {
                return Some(content);
            }
        }
        None
    }
}

fn hello<'c>(cx: &'c Context<'_>, probe: &mut Probe) -> Option<Hello<'c>> {
    let payload = cx.payload(Side::Request);
    match read(cx.request_payload.bytes) {
        Seen::Hello(hello) => Some(hello),
        Seen::Partial => {
            probe.may_change = !payload.complete;
            None
        }
        Seen::Other => None,
    }
}

/// 1: ClientHello, 2: ServerHello, 0: a TLS record of another kind or no TLS.
fn hello_type<'c>(cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    let payload = cx.payload(side);
    let b = payload.bytes;
    if !b"\x16\x03".starts_with(&b[..b.len().min(2)]) {
        return Some(Sample::Sint(0));
    }
    match b.get(5) {
        Some(kind) => Some(Sample::Sint(*kind as i64)),
        None => {
            probe.may_change = !payload.complete;
            None
        }
    }
}

fn sni<'c>(cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    let mut names = hello(cx, probe)?.extension(0)?;
    let mut list = vector(&mut names, 2)?;
    (number(&mut list, 1)? == 0).then_some(())?;
    vector(&mut list, 2).map(Sample::str)
}

/// Major version times 65536 and the minor one, so that it compares with `3.1`.
fn version<'c>(cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    let hello = hello(cx, probe)?;
    let version = hello.version.max(hello.record_version.min(hello.version));
    Some(Sample::Sint(((version as i64 >> 8) << 16) | (version as i64 & 0xFF)))
}

/// The protocols offered, between commas.
fn alpn<'c>(cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    let mut content = hello(cx, probe)?.extension(16)?;
    let mut list = vector(&mut content, 2)?;
    let mut out = cx.buf();
    while !list.is_empty() {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(vector(&mut list, 1)?);
    }
    Some(Sample::str_buf(out))
}

/// The list inside an extension.
fn list<'c>(cx: &'c Context<'_>, probe: &mut Probe, extension: u16) -> Option<Sample<'c>> {
    let mut content = hello(cx, probe)?.extension(extension)?;
    vector(&mut content, 2).map(Sample::bin)
}

fn keyshare_groups<'c>(cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    let mut content = hello(cx, probe)?.extension(51)?;
    let mut shares = vector(&mut content, 2)?;
    let mut out = cx.buf();
    while !shares.is_empty() {
        out.extend_from_slice(take(&mut shares, 2)?);
        vector(&mut shares, 2)?;
    }
    Some(Sample::bin_buf(out))
}
