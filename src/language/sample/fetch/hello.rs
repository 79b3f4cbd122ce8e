//! The TLS hello seen in a TCP proxy (manual 7.3.5): `req.ssl_sni`, `req.ssl_hello_type` and their kin, read from
//! the first bytes by `proto::tls::hello`. Nothing is decrypted.

use super::payload::only_tcp;
use super::{Fetch, row};
use crate::language::context::{Context, Side};
use crate::language::sample::scope::*;
use crate::language::sample::{Probe, Sample, Type};
use crate::proto::tls::hello::{self, ClientHello, Peek};

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
    row("req.ssl_cipherlist", "", Type::Bin, CLIENT_L4, |_, cx, p| list(cx, p, |h| Some(h.cipher_suites))),
    row("req.ssl_ec_ext", "", Type::Bool, REQUEST_BUFFER, |_, cx, p| {
        with(cx, p, |h| Some(Sample::Bool(h.supported_groups.is_some())))
    }),
    row("req.ssl_st_ext", "", Type::Sint, REQUEST_BUFFER, |_, cx, p| {
        with(cx, p, |h| Some(Sample::Sint(h.session_ticket_extension().into())))
    }),
    row("req.ssl_supported_groups", "", Type::Bin, CLIENT_L4, |_, cx, p| list(cx, p, |h| h.supported_groups)),
    row("req.ssl_sigalgs", "", Type::Bin, CLIENT_L4, |_, cx, p| list(cx, p, |h| h.signature_algorithms)),
    row("req.ssl_keyshare_groups", "", Type::Bin, CLIENT_L4, |_, cx, p| keyshare_groups(cx, p)),
];

/// What `read` makes of the ClientHello; of bytes that may become one, nothing yet.
fn with<'c>(
    cx: &'c Context<'_>,
    probe: &mut Probe,
    read: impl FnOnce(&ClientHello<'_>) -> Option<Sample<'c>>,
) -> Option<Sample<'c>> {
    only_tcp(cx)?;
    let payload = cx.payload(Side::Request);
    match hello::peek(cx.request_payload.bytes) {
        Peek::Complete(hello) => read(&hello.parse()?),
        Peek::Partial => {
            probe.may_change = !payload.complete;
            None
        }
        Peek::No(_) => None,
    }
}

fn bin<'c>(cx: &'c Context<'_>, bytes: &[u8]) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    out.extend_from_slice(bytes);
    Some(Sample::bin_buf(out))
}

/// 1: ClientHello, 2: ServerHello, 0: a TLS record of another kind or no TLS. Not known before the message has come whole:
/// rules that wait for it go on to its name.
fn hello_type<'c>(cx: &'c Context<'_>, probe: &mut Probe, side: Side) -> Option<Sample<'c>> {
    only_tcp(cx)?;
    let payload = cx.payload(side);
    let b = payload.bytes;
    if !b"\x16\x03".starts_with(&b[..b.len().min(2)]) {
        return Some(Sample::Sint(0));
    }
    let is_whole = match hello::peek(b) {
        Peek::Complete(_) => true,
        Peek::Partial => false,
        Peek::No(_) => b.len() > 5 && b.len() - 5 >= usize::from(u16::from_be_bytes([b[3], b[4]])),
    };
    if is_whole {
        return Some(Sample::Sint(b[5].into()));
    }
    probe.may_change = !payload.complete;
    None
}

fn sni<'c>(cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    with(cx, probe, |hello| {
        let mut out = cx.buf();
        out.extend_from_slice(hello.sni?);
        Some(Sample::str_buf(out))
    })
}

/// Major version times 65536 and the minor one, so that it compares with `3.1`.
fn version<'c>(cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    with(cx, probe, |hello| {
        let version = i64::from(hello.version);
        Some(Sample::Sint(((version >> 8) << 16) | (version & 0xFF)))
    })
}

/// The first of the protocols offered (so HAProxy 3.4.0, of whose manual more could be hoped).
fn alpn<'c>(cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    with(cx, probe, |hello| {
        let mut out = cx.buf();
        out.extend_from_slice(hello.alpn_names().next()?);
        Some(Sample::str_buf(out))
    })
}

/// A list of the hello.
fn list<'c>(
    cx: &'c Context<'_>,
    probe: &mut Probe,
    list: impl for<'h> FnOnce(&ClientHello<'h>) -> Option<&'h [u8]>,
) -> Option<Sample<'c>> {
    with(cx, probe, |hello| bin(cx, list(hello)?))
}

fn keyshare_groups<'c>(cx: &'c Context<'_>, probe: &mut Probe) -> Option<Sample<'c>> {
    with(cx, probe, |hello| {
        hello.key_share?;
        let mut out = cx.buf();
        hello.key_share_groups(&mut out);
        Some(Sample::bin_buf(out))
    })
}
