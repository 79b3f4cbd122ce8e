//! TLS of both sides (manual 7.3.4): `ssl_fc_*` of the client's connection, `ssl_bc_*` of the server's.

use super::{Fetch, row};
use crate::language::context::Context;
use crate::language::facts::Tls;
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Probe, Sample, Type};
use crate::proto::tls::keys::Secret;

pub const ROWS: &[Fetch] = &[
    row("ssl_fc", "", Type::Bool, CLIENT_L5, |_, cx, _| Some(Sample::Bool(fc(cx).is_some()))),
    row("ssl_fc_has_crt", "", Type::Bool, CLIENT_L5, |_, cx, _| {
        let tls = fc(cx).filter(|t| t.established)?;
        Some(Sample::Bool(tls.peer_used && !tls.resumed))
    }),
    row("ssl_fc_has_sni", "", Type::Bool, CLIENT_L5, |_, cx, _| {
        Some(Sample::Bool(fc(cx).is_some_and(|t| t.sni.is_some())))
    }),
    row("ssl_fc_is_resumed", "", Type::Bool, CLIENT_L5, |_, cx, _| {
        Some(Sample::Bool(fc(cx).is_some_and(|t| t.resumed)))
    }),
    row("ssl_fc_has_early", "", Type::Bool, CLIENT_L5, |_, cx, _| Some(Sample::Bool(fc(cx)?.early_data))),
    row("ssl_fc_early_rcvd", "", Type::Bool, CLIENT_L5, |_, cx, _| Some(Sample::Bool(fc(cx)?.early_data))),
    row("ssl_fc_sni", "", Type::Str, CLIENT_L5, |_, cx, _| fc(cx)?.sni.as_deref().map(Sample::str)),
    row("ssl_fc_alpn", "", Type::Str, CLIENT_L5, |_, cx, _| fc(cx)?.alpn.as_deref().map(Sample::str)),
    // NPN left TLS before 1.3: no connection here ever has it.
    row("ssl_fc_npn", "", Type::Str, CLIENT_L5, none),
    row("ssl_fc_protocol", "", Type::Str, CLIENT_L5, |_, cx, _| text(fc(cx)?.protocol)),
    row("ssl_fc_cipher", "", Type::Str, CLIENT_L5, |_, cx, _| text(fc(cx)?.cipher)),
    row("ssl_fc_curve", "", Type::Str, CLIENT_L5, |_, cx, _| text(fc(cx)?.curve)),
    row("ssl_fc_use_keysize", "", Type::Sint, CLIENT_L5, |_, cx, _| keysize(fc(cx)?)),
    row("ssl_fc_alg_keysize", "", Type::Sint, CLIENT_L5, |_, cx, _| keysize(fc(cx)?)),
    row("ssl_fc_session_id", "", Type::Bin, CLIENT_L5, |_, cx, _| filled(&fc(cx)?.session_id)),
    row("ssl_fc_client_random", "", Type::Bin, CLIENT_L5, |_, cx, _| {
        fc(cx)?.client_random.as_ref().map(|r| Sample::bin(r))
    }),
    row("ssl_fc_server_random", "", Type::Bin, CLIENT_L5, |_, cx, _| {
        fc(cx)?.server_random.as_ref().map(|r| Sample::bin(r))
    }),
    row("ssl_fc_crtname", "", Type::Str, CLIENT_L5, |_, cx, _| {
        fc(cx)?.own_name.as_deref().map(|n| Sample::str(n.as_bytes()))
    }),
    row("ssl_fc_err", "", Type::Sint, CLIENT_L5, |_, cx, _| Some(Sample::Sint(fc(cx)?.error as i64))),
    row("ssl_fc_err_str", "", Type::Str, CLIENT_L5, |_, cx, _| {
        fc(cx)?.error_text.as_deref().map(|t| Sample::str(t.as_bytes()))
    }),
    row("ssl_fc_protocol_hello_id", "", Type::Sint, CLIENT_L5, |_, cx, _| {
        let version = fc(cx)?.client_hello_version;
        (version > 0).then(|| Sample::Sint(version.into()))
    }),
    row("ssl_fc_cipherlist_bin", "[integer]", Type::Str, CLIENT_L5, |a, cx, _| codes(a, cx, |t| &t.client_ciphers)),
    row("ssl_fc_cipherlist_hex", "[integer]", Type::Bin, CLIENT_L5, |a, cx, _| {
        hex_codes(a, cx, |t| &t.client_ciphers)
    }),
    row("ssl_fc_cipherlist_xxh", "", Type::Sint, CLIENT_L5, |a, cx, _| {
        let all = codes(a, cx, |t| &t.client_ciphers)?;
        Some(Sample::Sint(crate::base::hash::xxh64(all.bytes()?, 0) as i64))
    }),
    row("ssl_fc_extlist_bin", "[integer]", Type::Str, CLIENT_L5, |a, cx, _| codes(a, cx, |t| &t.client_extensions)),
    row("ssl_fc_eclist_bin", "[integer]", Type::Str, CLIENT_L5, |a, cx, _| codes(a, cx, |t| &t.client_groups)),
    row("ssl_fc_ecformats_bin", "", Type::Str, CLIENT_L5, |_, cx, _| {
        let formats = &fc(cx)?.client_ec_formats;
        (!formats.is_empty()).then(|| Sample::str(formats))
    }),
    row("ssl_fc_sigalgs_bin", "[integer]", Type::Bin, CLIENT_L5, |a, cx, _| codes(a, cx, |t| &t.client_sigalgs)),
    row("ssl_fc_supported_versions_bin", "[integer]", Type::Bin, CLIENT_L5, |a, cx, _| {
        codes(a, cx, |t| &t.client_versions)
    }),
    row("ssl_fc_session_key", "", Type::Bin, CLIENT_L5, |_, cx, _| {
        fc(cx)?.secrets.as_ref()?.get(Secret::Master).map(Sample::bin)
    }),
    // There is no early data, and so no secret of it.
    row("ssl_fc_client_early_traffic_secret", "", Type::Str, CLIENT_L5, none),
    row("ssl_fc_early_exporter_secret", "", Type::Str, CLIENT_L5, none),
    row("ssl_fc_client_handshake_traffic_secret", "", Type::Str, CLIENT_L5, |_, cx, _| {
        secret(fc(cx)?, Secret::ClientHandshakeTraffic, cx)
    }),
    row("ssl_fc_server_handshake_traffic_secret", "", Type::Str, CLIENT_L5, |_, cx, _| {
        secret(fc(cx)?, Secret::ServerHandshakeTraffic, cx)
    }),
    row("ssl_fc_client_traffic_secret_0", "", Type::Str, CLIENT_L5, |_, cx, _| {
        secret(fc(cx)?, Secret::ClientTraffic0, cx)
    }),
    row("ssl_fc_server_traffic_secret_0", "", Type::Str, CLIENT_L5, |_, cx, _| {
        secret(fc(cx)?, Secret::ServerTraffic0, cx)
    }),
    row("ssl_fc_exporter_secret", "", Type::Str, CLIENT_L5, |_, cx, _| secret(fc(cx)?, Secret::Exporter, cx)),
    row("ssl_c_used", "", Type::Bool, CLIENT_L5, |_, cx, _| Some(Sample::Bool(fc(cx)?.peer_used))),
    row("ssl_c_verify", "", Type::Sint, CLIENT_L5, |_, cx, _| {
        Some(Sample::Sint(fc(cx).filter(|t| t.established)?.verify_code as i64))
    }),
    row("ssl_c_err", "", Type::Sint, CLIENT_L5, |_, cx, _| Some(Sample::Sint(fc(cx)?.verify_crt_code as i64))),
    row("ssl_c_ca_err", "", Type::Sint, CLIENT_L5, |_, cx, _| Some(Sample::Sint(fc(cx)?.verify_ca_code as i64))),
    row("ssl_c_ca_err_depth", "", Type::Sint, CLIENT_L5, |_, cx, _| {
        Some(Sample::Sint(fc(cx)?.verify_ca_depth as i64))
    }),
    row("ssl_bc", "", Type::Bool, SERVER_L5, |_, cx, _| Some(Sample::Bool(bc(cx).is_some()))),
    row("ssl_bc_is_resumed", "", Type::Bool, SERVER_L5, |_, cx, _| Some(Sample::Bool(bc(cx)?.resumed))),
    row("ssl_bc_alpn", "", Type::Str, SERVER_L5, |_, cx, _| bc(cx)?.alpn.as_deref().map(Sample::str)),
    row("ssl_bc_npn", "", Type::Str, SERVER_L5, none),
    row("ssl_bc_sni", "", Type::Str, SERVER_L5, |_, cx, _| bc(cx)?.sni.as_deref().map(Sample::str)),
    row("ssl_bc_protocol", "", Type::Str, SERVER_L5, |_, cx, _| text(bc(cx)?.protocol)),
    row("ssl_bc_cipher", "", Type::Str, SERVER_L5, |_, cx, _| text(bc(cx)?.cipher)),
    row("ssl_bc_curve", "", Type::Str, SERVER_L5, |_, cx, _| text(bc(cx)?.curve)),
    row("ssl_bc_use_keysize", "", Type::Sint, SERVER_L5, |_, cx, _| keysize(bc(cx)?)),
    row("ssl_bc_alg_keysize", "", Type::Sint, SERVER_L5, |_, cx, _| keysize(bc(cx)?)),
    row("ssl_bc_session_id", "", Type::Bin, SERVER_L5, |_, cx, _| filled(&bc(cx)?.session_id)),
    row("ssl_bc_client_random", "", Type::Bin, SERVER_L5, |_, cx, _| {
        bc(cx)?.client_random.as_ref().map(|r| Sample::bin(r))
    }),
    row("ssl_bc_server_random", "", Type::Bin, SERVER_L5, |_, cx, _| {
        bc(cx)?.server_random.as_ref().map(|r| Sample::bin(r))
    }),
    row("ssl_bc_session_key", "", Type::Bin, SERVER_L5, |_, cx, _| {
        bc(cx)?.secrets.as_ref()?.get(Secret::Master).map(Sample::bin)
    }),
    // There is no early data, and so no secret of it.
    row("ssl_bc_client_early_traffic_secret", "", Type::Str, CLIENT_L5, none),
    row("ssl_bc_early_exporter_secret", "", Type::Str, CLIENT_L5, none),
    row("ssl_bc_client_handshake_traffic_secret", "", Type::Str, CLIENT_L5, |_, cx, _| {
        secret(bc(cx)?, Secret::ClientHandshakeTraffic, cx)
    }),
    row("ssl_bc_server_handshake_traffic_secret", "", Type::Str, CLIENT_L5, |_, cx, _| {
        secret(bc(cx)?, Secret::ServerHandshakeTraffic, cx)
    }),
    row("ssl_bc_client_traffic_secret_0", "", Type::Str, CLIENT_L5, |_, cx, _| {
        secret(bc(cx)?, Secret::ClientTraffic0, cx)
    }),
    row("ssl_bc_server_traffic_secret_0", "", Type::Str, CLIENT_L5, |_, cx, _| {
        secret(bc(cx)?, Secret::ServerTraffic0, cx)
    }),
    row("ssl_bc_exporter_secret", "", Type::Str, CLIENT_L5, |_, cx, _| secret(bc(cx)?, Secret::Exporter, cx)),
    row("ssl_bc_err", "", Type::Sint, SERVER_L5, |_, cx, _| Some(Sample::Sint(bc(cx)?.error as i64))),
    row("ssl_bc_err_str", "", Type::Str, SERVER_L5, |_, cx, _| {
        bc(cx)?.error_text.as_deref().map(|t| Sample::str(t.as_bytes()))
    }),
];

fn none<'c>(_: &'c Args, _: &'c Context<'_>, _: &mut Probe) -> Option<Sample<'c>> {
    None
}

fn fc<'c>(cx: &'c Context<'_>) -> Option<&'c Tls> {
    cx.session.tls.as_deref()
}

fn bc<'c>(cx: &'c Context<'_>) -> Option<&'c Tls> {
    cx.stream.server_tls.as_deref()
}

/// A secret as the lower-case digits of a key log file.
fn secret<'c>(tls: &Tls, kind: Secret, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    crate::language::sample::cast::push_hex(&mut out, tls.secrets.as_ref()?.get(kind)?);
    out.make_ascii_lowercase();
    Some(Sample::str_buf(out))
}

fn keysize<'c>(tls: &Tls) -> Option<Sample<'c>> {
    (tls.key_bits > 0).then(|| Sample::Sint(tls.key_bits.into()))
}

fn text<'c>(text: &'static str) -> Option<Sample<'c>> {
    (!text.is_empty()).then(|| Sample::str(text.as_bytes()))
}

fn filled<'c>(bytes: &'c [u8]) -> Option<Sample<'c>> {
    (!bytes.is_empty()).then(|| Sample::bin(bytes))
}

/// GREASE values (RFC 8701) are random and say nothing about the client.
fn is_grease(code: u16) -> bool {
    code & 0x0F0F == 0x0A0A && code >> 8 == code & 0xFF
}

/// Code points of the ClientHello as bytes; a filter option of 1 leaves GREASE out.
fn codes<'c>(args: &'c Args, cx: &'c Context<'_>, list: fn(&Tls) -> &Vec<u16>) -> Option<Sample<'c>> {
    let filter = args.int(0) == Some(1);
    let list = list(fc(cx)?);
    if list.is_empty() {
        return None;
    }
    let mut out = cx.buf();
    for code in list.iter().filter(|c| !filter || !is_grease(**c)) {
        out.extend_from_slice(&code.to_be_bytes());
    }
    Some(Sample::bin_buf(out))
}

fn hex_codes<'c>(args: &'c Args, cx: &'c Context<'_>, list: fn(&Tls) -> &Vec<u16>) -> Option<Sample<'c>> {
    let bytes = codes(args, cx, list)?;
    let mut out = cx.buf();
    crate::language::sample::cast::push_hex(&mut out, bytes.bytes()?);
    Some(Sample::str_buf(out))
}
