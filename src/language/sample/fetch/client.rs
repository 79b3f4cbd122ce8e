//! The client's connection (manual 7.3.3): addresses, ports, listener.

use super::{Fetch, row};
use crate::language::sample::scope::*;
use crate::language::sample::{Sample, Type};
use std::net::SocketAddr;

pub const ROWS: &[Fetch] = &[
    row("src", "", Type::Addr, CLIENT_L4, |_, cx, _| ip(cx.session.src)),
    row("src_port", "", Type::Sint, CLIENT_L4, |_, cx, _| port(cx.session.src)),
    row("dst", "", Type::Addr, CLIENT_L4, |_, cx, _| ip(cx.session.dst)),
    row("dst_port", "", Type::Sint, CLIENT_L4, |_, cx, _| port(cx.session.dst)),
    row("ssl_fc", "", Type::Bool, CLIENT_L5, |_, cx, _| Some(Sample::Bool(cx.session.tls.is_some()))),
];

fn ip<'c>(address: Option<SocketAddr>) -> Option<Sample<'c>> {
    address.map(|a| Sample::Ip(a.ip()))
}

fn port<'c>(address: Option<SocketAddr>) -> Option<Sample<'c>> {
    address.map(|a| Sample::Sint(a.port() as i64))
}
