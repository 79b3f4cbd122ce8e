//! What certificates say (manual 7.3.4): `ssl_c_*` of the client's, `ssl_f_*` of our own, `ssl_s_*` of the server's.

use super::{Fetch, row};
use crate::language::context::Context;
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Sample, Type};
use crate::language::scratch::Buf;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

const DN: &str = "[string,integer,string]";

/// The rows of one certificate: `ssl_<side>_…`.
macro_rules! rows {
    ($name:ident, $side:literal, $needs:expr, $der:expr) => {
        pub const $name: &[Fetch] = &[
            row(concat!("ssl_", $side, "_der"), "", Type::Bin, $needs, |_, cx, _| $der(cx).map(Sample::bin)),
            row(concat!("ssl_", $side, "_sha1"), "", Type::Bin, $needs, |_, cx, _| sha1(cx, $der(cx)?)),
            row(concat!("ssl_", $side, "_serial"), "", Type::Bin, $needs, |_, cx, _| serial(cx, $der(cx)?)),
            row(concat!("ssl_", $side, "_version"), "", Type::Sint, $needs, |_, cx, _| version($der(cx)?)),
            row(concat!("ssl_", $side, "_notbefore"), "", Type::Str, $needs, |_, cx, _| date(cx, $der(cx)?, false)),
            row(concat!("ssl_", $side, "_notafter"), "", Type::Str, $needs, |_, cx, _| date(cx, $der(cx)?, true)),
            row(concat!("ssl_", $side, "_s_dn"), DN, Type::Str, $needs, |a, cx, _| name(a, cx, $der(cx)?, false)),
            row(concat!("ssl_", $side, "_i_dn"), DN, Type::Str, $needs, |a, cx, _| name(a, cx, $der(cx)?, true)),
            row(concat!("ssl_", $side, "_key_alg"), "", Type::Str, $needs, |_, cx, _| key_algorithm($der(cx)?)),
            row(concat!("ssl_", $side, "_sig_alg"), "", Type::Str, $needs, |_, cx, _| signature_algorithm($der(cx)?)),
        ];
    };
}

rows!(CLIENT_ROWS, "c", CLIENT_L5, client);
rows!(OWN_ROWS, "f", CLIENT_L5, own);
rows!(SERVER_ROWS, "s", CLIENT_L5, server);

pub const OTHER_ROWS: &[Fetch] = &[
    row("ssl_c_chain_der", "", Type::Bin, CLIENT_L5, |_, cx, _| chain(cx, &cx.session.tls.as_ref()?.peer_chain)),
    row("ssl_s_chain_der", "", Type::Bin, CLIENT_L5, |_, cx, _| {
        chain(cx, &cx.stream.server_tls.as_ref()?.peer_chain)
    }),
    row("ssl_c_r_dn", DN, Type::Str, CLIENT_L5, |a, cx, _| {
        name(a, cx, cx.session.tls.as_ref()?.peer_chain.last()?, false)
    }),
    row("ssl_c_san", "", Type::Str, CLIENT_L5, |_, cx, _| alternative_names(cx, client(cx)?)),
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

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().map(|(_, c)| c)
}

fn sha1<'c>(cx: &'c Context<'_>, der: &[u8]) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
    out.extend_from_slice(digest.as_ref());
    Some(Sample::bin_buf(out))
}

fn serial<'c>(cx: &'c Context<'_>, der: &[u8]) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    out.extend_from_slice(parse(der)?.raw_serial());
    Some(Sample::bin_buf(out))
}

fn version<'c>(der: &[u8]) -> Option<Sample<'c>> {
    Some(Sample::Sint(parse(der)?.version().0 as i64 + 1))
}

/// `YYMMDDhhmmssZ`, as the certificate has it.
fn date<'c>(cx: &'c Context<'_>, der: &[u8], end: bool) -> Option<Sample<'c>> {
    let certificate = parse(der)?;
    let validity = certificate.validity();
    let time = if end { validity.not_after } else { validity.not_before };
    let civil = crate::language::logformat::Civil::new(time.timestamp());
    let mut out = cx.buf();
    // Years from 2050 on have four digits (RFC 5280 §4.1.2.5).
    if civil.year >= 2050 {
        push_two(&mut out, (civil.year / 100) as u8);
    }
    for n in [(civil.year % 100) as u8, civil.month, civil.day, civil.hour, civil.minute, civil.second] {
        push_two(&mut out, n);
    }
    out.push(b'Z');
    Some(Sample::str_buf(out))
}

fn push_two(out: &mut Vec<u8>, n: u8) {
    out.extend_from_slice(&[b'0' + n / 10 % 10, b'0' + n % 10]);
}

/// A distinguished name: `/C=FR/CN=x` as a whole, in RFC 2253's order and form on demand, or one entry of it.
fn name<'c>(args: &'c Args, cx: &'c Context<'_>, der: &[u8], issuer: bool) -> Option<Sample<'c>> {
    let certificate = parse(der)?;
    let name = if issuer { certificate.issuer() } else { certificate.subject() };
    let mut out = cx.buf();
    match args.text(0).filter(|e| !e.is_empty()) {
        Some(entry) => write_entry(name, entry, args.int(1).unwrap_or(1), &mut out)?,
        None if args.str(2) == Some(b"rfc2253") => write_rfc2253(name, &mut out),
        None => write_oneline(name, &mut out),
    }
    (!out.is_empty()).then(|| Sample::str_buf(out))
}

fn entries<'n>(name: &'n X509Name<'n>) -> impl DoubleEndedIterator<Item = (String, &'n [u8])> {
    let all: Vec<_> =
        name.iter_attributes().map(|a| (short_name(&a.attr_type().to_id_string()), a.as_slice())).collect();
    all.into_iter()
}

fn write_entry(name: &X509Name<'_>, entry: &str, number: i64, out: &mut Vec<u8>) -> Option<()> {
    let mut values = entries(name).filter(|(n, _)| n == entry);
    let at = number.unsigned_abs().max(1) as usize - 1;
    let (_, value) = if number < 0 { values.rev().nth(at)? } else { values.nth(at)? };
    out.extend_from_slice(value);
    Some(())
}

fn write_oneline(name: &X509Name<'_>, out: &mut Vec<u8>) {
    for (entry, value) in entries(name) {
        out.push(b'/');
        out.extend_from_slice(entry.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

fn write_rfc2253(name: &X509Name<'_>, out: &mut Vec<u8>) {
    for (i, (entry, value)) in entries(name).rev().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(entry.as_bytes());
        out.push(b'=');
        for b in value {
            if b",+\"\\<>;".contains(b) {
                out.push(b'\\');
            }
            out.push(*b);
        }
    }
}

/// OpenSSL's short names of attribute types; others by number.
fn short_name(oid: &str) -> String {
    let name = match oid {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "2.5.4.97" => "organizationIdentifier",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        other => other,
    };
    name.to_owned()
}

fn key_algorithm<'c>(der: &[u8]) -> Option<Sample<'c>> {
    let certificate = parse(der)?;
    let name: &'static [u8] = match certificate.public_key().algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => b"rsaEncryption",
        "1.2.840.113549.1.1.10" => b"RSASSA-PSS",
        "1.2.840.10045.2.1" => b"id-ecPublicKey",
        "1.3.101.112" => b"ED25519",
        "1.3.101.113" => b"ED448",
        "1.2.840.10040.4.1" => b"dsaEncryption",
        _ => return None,
    };
    Some(Sample::str(name))
}

fn signature_algorithm<'c>(der: &[u8]) -> Option<Sample<'c>> {
    let certificate = parse(der)?;
    let name: &'static [u8] = match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.4" => b"RSA-MD5",
        "1.2.840.113549.1.1.5" => b"RSA-SHA1",
        "1.2.840.113549.1.1.11" => b"RSA-SHA256",
        "1.2.840.113549.1.1.12" => b"RSA-SHA384",
        "1.2.840.113549.1.1.13" => b"RSA-SHA512",
        "1.2.840.113549.1.1.10" => b"RSASSA-PSS",
        "1.2.840.10045.4.1" => b"ecdsa-with-SHA1",
        "1.2.840.10045.4.3.2" => b"ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => b"ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => b"ecdsa-with-SHA512",
        "1.3.101.112" => b"ED25519",
        "1.3.101.113" => b"ED448",
        _ => return None,
    };
    Some(Sample::str(name))
}

fn chain<'c>(cx: &'c Context<'_>, chain: &[std::sync::Arc<[u8]>]) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    chain.iter().for_each(|c| out.extend_from_slice(c));
    (!out.is_empty()).then(|| Sample::bin_buf(out))
}

/// `DNS:a.org, IP Address:1.2.3.4`, as OpenSSL prints them.
fn alternative_names<'c>(cx: &'c Context<'_>, der: &[u8]) -> Option<Sample<'c>> {
    let certificate = parse(der)?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut out: Buf<'_> = cx.buf();
    for name in &names.value.general_names {
        let (label, value) = match name {
            GeneralName::DNSName(n) => ("DNS:", n.to_string()),
            GeneralName::RFC822Name(n) => ("email:", n.to_string()),
            GeneralName::URI(n) => ("URI:", n.to_string()),
            GeneralName::IPAddress(b) => {
                ("IP Address:", crate::language::sample::Sample::bin(b).to_ip()?.to_string())
            }
            _ => continue,
        };
        if !out.is_empty() {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(label.as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    (!out.is_empty()).then(|| Sample::str_buf(out))
}
