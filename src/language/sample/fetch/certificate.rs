//! What certificates say (manual 7.3.4): `ssl_c_*` of the client's, `ssl_f_*` of our own, `ssl_s_*` of the server's. The
//! values are `proto::tls::x509`'s.

use super::{Fetch, row};
use crate::language::context::Context;
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Sample, Type};
use crate::proto::tls::x509::{Certificate, DnSelector, Name};

const DN: &str = "[string,integer,string]";

/// The rows of one certificate: `ssl_<side>_…`.
macro_rules! rows {
    ($name:ident, $side:literal, $needs:expr, $der:expr) => {
        pub const $name: &[Fetch] = &[
            row(concat!("ssl_", $side, "_der"), "", Type::Bin, $needs, |_, cx, _| $der(cx).map(Sample::bin)),
            row(concat!("ssl_", $side, "_sha1"), "", Type::Bin, $needs, |_, cx, _| {
                Some(bin(cx, &read($der(cx)?)?.sha1()))
            }),
            row(concat!("ssl_", $side, "_serial"), "", Type::Bin, $needs, |_, cx, _| {
                Some(bin(cx, read($der(cx)?)?.serial()))
            }),
            row(concat!("ssl_", $side, "_version"), "", Type::Sint, $needs, |_, cx, _| {
                Some(Sample::Sint(read($der(cx)?)?.version().into()))
            }),
            row(concat!("ssl_", $side, "_notbefore"), "", Type::Str, $needs, |_, cx, _| {
                text(cx, &read($der(cx)?)?.not_before())
            }),
            row(concat!("ssl_", $side, "_notafter"), "", Type::Str, $needs, |_, cx, _| {
                text(cx, &read($der(cx)?)?.not_after())
            }),
            row(concat!("ssl_", $side, "_s_dn"), DN, Type::Str, $needs, |a, cx, _| {
                name(a, cx, $der(cx)?, Name::Subject)
            }),
            row(concat!("ssl_", $side, "_i_dn"), DN, Type::Str, $needs, |a, cx, _| {
                name(a, cx, $der(cx)?, Name::Issuer)
            }),
            row(concat!("ssl_", $side, "_key_alg"), "", Type::Str, $needs, |_, cx, _| {
                text(cx, &read($der(cx)?)?.key_algorithm())
            }),
            row(concat!("ssl_", $side, "_sig_alg"), "", Type::Str, $needs, |_, cx, _| {
                text(cx, &read($der(cx)?)?.signature_algorithm())
            }),
        ];
    };
}

rows!(CLIENT_ROWS, "c", CLIENT_L5, client);
rows!(OWN_ROWS, "f", CLIENT_L5, own);
rows!(SERVER_ROWS, "s", CLIENT_L5, server);

pub const OTHER_ROWS: &[Fetch] = &[
    // What the client sent above its own certificate; the server's has its own in front. Sessions keep neither (seen with
    // HAProxy 3.4.0).
    row("ssl_c_chain_der", "", Type::Bin, CLIENT_L5, |_, cx, _| {
        let tls = cx.session.tls.as_ref().filter(|t| !t.resumed)?;
        chain(cx, tls.peer_chain.get(1..)?)
    }),
    row("ssl_s_chain_der", "", Type::Bin, CLIENT_L5, |_, cx, _| {
        let tls = cx.stream.server_tls.as_ref().filter(|t| !t.resumed)?;
        chain(cx, &tls.peer_chain)
    }),
    row("ssl_c_r_dn", DN, Type::Str, CLIENT_L5, |a, cx, _| {
        name(a, cx, cx.session.tls.as_ref()?.peer_chain.last()?, Name::Subject)
    }),
    row("ssl_c_san", "", Type::Str, CLIENT_L5, |_, cx, _| text(cx, &read(client(cx)?)?.san())),
];

fn client<'c>(cx: &'c Context<'_>) -> Option<&'c [u8]> {
    cx.session.tls.as_ref()?.peer.as_deref()
}

fn own<'c>(cx: &'c Context<'_>) -> Option<&'c [u8]> {
    cx.session.tls.as_ref()?.own.as_ref()?.cert.first().map(AsRef::as_ref)
}

fn server<'c>(cx: &'c Context<'_>) -> Option<&'c [u8]> {
    cx.stream.server_tls.as_ref()?.peer.as_deref()
}

fn read(der: &[u8]) -> Option<Certificate<'_>> {
    Certificate::parse(der)
}

fn bin<'c>(cx: &'c Context<'_>, bytes: &[u8]) -> Sample<'c> {
    let mut out = cx.buf();
    out.extend_from_slice(bytes);
    Sample::bin_buf(out)
}

fn text<'c>(cx: &'c Context<'_>, text: &str) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    out.extend_from_slice(text.as_bytes());
    (!out.is_empty()).then(|| Sample::str_buf(out))
}

/// A distinguished name: `/C=FR/CN=x` as a whole, in RFC 2253's order and form on demand, or one entry of it.
fn name<'c>(args: &'c Args, cx: &'c Context<'_>, der: &[u8], which: Name) -> Option<Sample<'c>> {
    let selector = DnSelector {
        entry: args.text(0).unwrap_or_default(),
        occurrence: args.int(1).unwrap_or(1),
        rfc2253: args.str(2) == Some(b"rfc2253"),
    };
    let mut out = cx.buf();
    let found = read(der)?.dn(which, selector, &mut out);
    (found && !out.is_empty()).then(|| Sample::str_buf(out))
}

fn chain<'c>(cx: &'c Context<'_>, chain: &[std::sync::Arc<[u8]>]) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    chain.iter().for_each(|c| out.extend_from_slice(c));
    (!out.is_empty()).then(|| Sample::bin_buf(out))
}
