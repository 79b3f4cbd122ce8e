//! Both connections at layer 4 (manual 7.3.3): addresses, ports, what the PROXY protocol said, what the kernel
//! measured.

use super::{Fetch, row};
use crate::language::context::Context;
use crate::language::facts::{ProxyProtocol, Transport};
use crate::language::parse::Parse;
use crate::language::sample::scope::*;
use crate::language::sample::{Args, Sample, Type};
use std::net::SocketAddr;

pub const ROWS: &[Fetch] = &[
    row("src", "", Type::Addr, CLIENT_L4, |_, cx, _| ip(cx.session.src)),
    row("src_port", "", Type::Sint, CLIENT_L4, |_, cx, _| port(cx.session.src)),
    row("src_is_local", "", Type::Bool, CLIENT_L4, |_, cx, _| is_local(cx, cx.session.src)),
    row("dst", "", Type::Addr, CLIENT_L4, |_, cx, _| ip(cx.session.dst)),
    row("dst_port", "", Type::Sint, CLIENT_L4, |_, cx, _| port(cx.session.dst)),
    row("dst_is_local", "", Type::Bool, CLIENT_L4, |_, cx, _| is_local(cx, cx.session.dst)),
    row("fc_saved_syn", "", Type::Bin, CLIENT_L4, |_, cx, _| {
        Some(Sample::bin(cx.session.saved_syn.as_ref().map_or(&[][..], |packet| &packet.0[..])))
    }),
    row("fc_src", "", Type::Addr, CLIENT_L4, |_, cx, _| ip(cx.session.fc_src())),
    row("fc_src_port", "", Type::Sint, CLIENT_L4, |_, cx, _| port(cx.session.fc_src())),
    row("fc_src_is_local", "", Type::Bool, CLIENT_L4, |_, cx, _| is_local(cx, cx.session.fc_src())),
    row("fc_dst", "", Type::Addr, CLIENT_L4, |_, cx, _| ip(cx.session.fc_dst())),
    row("fc_dst_port", "", Type::Sint, CLIENT_L4, |_, cx, _| port(cx.session.fc_dst())),
    row("fc_dst_is_local", "", Type::Bool, CLIENT_L4, |_, cx, _| is_local(cx, cx.session.fc_dst())),
    row("bc_src", "", Type::Addr, SERVER_L4, |_, cx, _| ip(cx.stream.server_src)),
    row("bc_src_port", "", Type::Sint, SERVER_L4, |_, cx, _| port(cx.stream.server_src)),
    row("bc_dst", "", Type::Addr, SERVER_L4, |_, cx, _| ip(cx.stream.server_dst)),
    row("bc_dst_port", "", Type::Sint, SERVER_L4, |_, cx, _| port(cx.stream.server_dst)),
    row("fc_http_major", "", Type::Sint, CLIENT_L4, |_, cx, _| {
        Some(Sample::Sint(cx.session.http_major.max(1) as i64))
    }),
    row("fc_glitches", "", Type::Sint, CLIENT_L4, |_, cx, _| Some(Sample::Sint(cx.session.glitches as i64))),
    row("fc_nb_streams", "", Type::Sint, CLIENT_L4, |_, cx, _| Some(Sample::Sint(cx.session.streams_open as i64))),
    row("fc_settings_streams_limit", "", Type::Sint, CLIENT_L5, |_, cx, _| {
        Some(Sample::Sint(cx.session.streams_limit as i64))
    }),
    row("fc_rcvd_proxy", "", Type::Bool, CLIENT_L4, |_, cx, _| {
        Some(Sample::Bool(cx.session.proxy_protocol.is_some()))
    }),
    row("fc_pp_authority", "", Type::Str, CLIENT_L4, |_, cx, _| proxied(cx)?.authority.as_deref().map(Sample::str)),
    row("fc_pp_unique_id", "", Type::Str, CLIENT_L4, |_, cx, _| proxied(cx)?.unique_id.as_deref().map(Sample::str)),
    row("fc_pp_tlv", "string", Type::Str, CLIENT_L5, |a, cx, p| {
        let (wanted, all) = (a.int(0)?, &proxied(cx)?.tlvs);
        let mut values = all.iter().filter(|(kind, _)| *kind as i64 == wanted).map(|(_, v)| v.as_slice());
        let found = values.nth(p.nth as usize);
        p.more = found.is_some() && values.next().is_some();
        found.map(Sample::str)
    })
    .checked(check_tlv),
    row("fc_rtt", "[string]", Type::Sint, CLIENT_L4, |a, cx, _| time(a, cx, |t| t.rtt_us)),
    row("fc_rttvar", "[string]", Type::Sint, CLIENT_L4, |a, cx, _| time(a, cx, |t| t.rttvar_us)),
    row("fc_unacked", "[string]", Type::Sint, CLIENT_L4, |_, cx, _| count(cx, |t| t.unacked)),
    row("fc_sacked", "[string]", Type::Sint, CLIENT_L4, |_, cx, _| count(cx, |t| t.sacked)),
    row("fc_lost", "[string]", Type::Sint, CLIENT_L4, |_, cx, _| count(cx, |t| t.lost)),
    row("fc_retrans", "[string]", Type::Sint, CLIENT_L4, |_, cx, _| count(cx, |t| t.retrans)),
    row("fc_fackets", "[string]", Type::Sint, CLIENT_L4, |_, cx, _| count(cx, |t| t.fackets)),
    row("fc_reordering", "[string]", Type::Sint, CLIENT_L4, |_, cx, _| count(cx, |t| t.reordering)),
];

fn ip<'c>(address: Option<SocketAddr>) -> Option<Sample<'c>> {
    address.map(|a| Sample::Ip(a.ip()))
}

fn is_local<'c>(cx: &'c Context<'_>, address: Option<SocketAddr>) -> Option<Sample<'c>> {
    Some(Sample::Bool(cx.world.is_local(address?.ip())))
}

fn port<'c>(address: Option<SocketAddr>) -> Option<Sample<'c>> {
    address.map(|a| Sample::Sint(a.port() as i64))
}

fn proxied<'c>(cx: &'c Context<'_>) -> Option<&'c ProxyProtocol> {
    cx.session.proxy_protocol.as_deref()
}

/// A TLV's number, or one of its names.
fn check_tlv(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    let word = args.text(0).unwrap_or_default();
    let number = match word {
        "ALPN" => Some(0x01),
        "AUTHORITY" => Some(0x02),
        "CRC32C" => Some(0x03),
        "NOOP" => Some(0x04),
        "UNIQUE_ID" => Some(0x05),
        "SSL" => Some(0x20),
        "NETNS" => Some(0x30),
        other => match other.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => other.parse().ok(),
        },
    };
    match number {
        Some(n) if (0..=255).contains(&n) => {
            args.put(0, crate::language::sample::Arg::Int(n));
            Ok(())
        }
        _ => Err("Invalid TLV ID".into()),
    }
}

/// Microseconds, or milliseconds on demand (which is the default).
fn time<'c>(args: &'c Args, cx: &'c Context<'_>, of: fn(&Transport) -> u32) -> Option<Sample<'c>> {
    let us = of(&cx.world.client_transport()?) as i64;
    Some(Sample::Sint(if args.str(0) == Some(b"us") { us } else { us / 1000 }))
}

fn count<'c>(cx: &'c Context<'_>, of: fn(&Transport) -> u32) -> Option<Sample<'c>> {
    cx.world.client_transport().map(|t| Sample::Sint(of(&t) as i64))
}
