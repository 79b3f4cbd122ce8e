//! The process and the time (manual 7.3.2): dates, randomness, environment, threads.

use super::{Fetch, row};
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::sample::scope::*;
use crate::language::sample::{Arg, Args, Probe, Sample, Type};
use crate::language::world::ProcessFact;
use std::io::Write;

pub const ROWS: &[Fetch] = &[
    row("date", "[integer,string]", Type::Sint, ANYWHERE, |a, cx, _| date(a, cx.now.wall_us)).checked(check_unit),
    row("date_us", "", Type::Sint, ANYWHERE, |_, cx, _| Some(Sample::Sint((cx.now.wall_us % 1_000_000) as i64))),
    row("rand", "[integer]", Type::Sint, ANYWHERE, rand),
    row("uuid", "[integer]", Type::Str, ANYWHERE, uuid).checked(check_uuid),
    row("env", "string", Type::Str, ANYWHERE, |a, _, _| a.str(0).map(Sample::str)).checked(check_env),
    row("hostname", "", Type::Str, ANYWHERE, |_, cx, _| Some(Sample::str(cx.world.hostname().as_bytes()))),
    row("act_conn", "", Type::Sint, ANYWHERE, |_, cx, _| process(cx, ProcessFact::ActiveConnections)),
    row("pid", "", Type::Sint, ANYWHERE, |_, cx, _| process(cx, ProcessFact::Pid)),
    row("proc", "", Type::Sint, ANYWHERE, |_, _, _| Some(Sample::Sint(1))),
    row("nbproc", "", Type::Sint, ANYWHERE, |_, _, _| Some(Sample::Sint(1))),
    row("thread", "", Type::Sint, ANYWHERE, |_, cx, _| process(cx, ProcessFact::Thread)),
    row("tgroup", "", Type::Sint, ANYWHERE, |_, cx, _| process(cx, ProcessFact::ThreadGroup)),
    row("uptime", "", Type::Sint, ANYWHERE, |_, cx, _| process(cx, ProcessFact::UptimeSeconds)),
    row("stopping", "", Type::Bool, INTERNAL, |_, cx, _| {
        Some(Sample::Bool(cx.world.process(ProcessFact::Stopping)? != 0))
    }),
    row("quic_enabled", "", Type::Bool, ANYWHERE, |_, _, _| Some(Sample::Bool(false))),
    row("dst_conn", "", Type::Sint, FRONTEND, |_, cx, _| process(cx, ProcessFact::ListenerConnections)),
    row("cpu_usage_proc", "", Type::Sint, INTERNAL, |_, cx, _| process(cx, ProcessFact::CpuUsageProcess)),
    row("cpu_usage_thr", "", Type::Sint, INTERNAL, |_, cx, _| process(cx, ProcessFact::CpuUsageThread)),
    row("cpu_usage_grp", "", Type::Sint, INTERNAL, |_, cx, _| process(cx, ProcessFact::CpuUsageGroup)),
    row("accept_date", "[string]", Type::Sint, CLIENT_L4, |a, cx, _| in_unit(a.str(0), cx.session.accept_us))
        .checked(check_unit0),
    row("request_date", "[string]", Type::Sint, REQUEST, |a, cx, _| in_unit(a.str(0), cx.stream.request_us))
        .checked(check_unit0),
];

fn process<'c>(cx: &'c Context<'_>, fact: ProcessFact) -> Option<Sample<'c>> {
    cx.world.process(fact).map(Sample::Sint)
}

fn check_unit(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    unit(args.str(1))
}

fn check_unit0(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    unit(args.str(0))
}

fn unit(word: Option<&[u8]>) -> Result<(), String> {
    match word {
        None | Some(b"" | b"s" | b"ms" | b"us") => Ok(()),
        Some(_) => Err("expects \"s\", \"ms\" or \"us\" for the time unit argument".into()),
    }
}

fn in_unit<'c>(unit: Option<&[u8]>, wall_us: u64) -> Option<Sample<'c>> {
    let n = match unit {
        Some(b"ms") => wall_us / 1000,
        Some(b"us") => wall_us,
        _ => wall_us / 1_000_000,
    };
    Some(Sample::Sint(n as i64))
}

/// `date([offset[,unit]])`; the offset is in the unit.
fn date<'c>(args: &Args, wall_us: u64) -> Option<Sample<'c>> {
    let Sample::Sint(n) = in_unit(args.str(1), wall_us)? else { return None };
    Some(Sample::Sint(n + args.int(0).unwrap_or(0)))
}

/// 32 random bits, or a number below the argument.
fn rand<'c>(args: &'c Args, cx: &'c Context<'_>, _: &mut Probe) -> Option<Sample<'c>> {
    let bits = cx.world.random() as u32 as u64;
    Some(Sample::Sint(match args.int(0) {
        Some(range) if range > 0 => ((bits as u128 * range as u128) >> 32) as i64,
        _ => bits as i64,
    }))
}

fn check_uuid(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    match args.int(0) {
        None | Some(4 | 7) => Ok(()),
        Some(_) => Err("Unsupported UUID version".into()),
    }
}

/// A random UUID (version 4), or one that begins with the time (version 7; RFC 9562).
fn uuid<'c>(args: &'c Args, cx: &'c Context<'_>, _: &mut Probe) -> Option<Sample<'c>> {
    let (mut high, low) = (cx.world.random(), cx.world.random());
    let version = args.int(0).unwrap_or(4) as u64;
    if version == 7 {
        high = (cx.now.wall_us / 1000) << 16 | (high & 0xFFFF);
    }
    let high = high & !0xF000 | version << 12;
    let low = low & !(3 << 62) | 2 << 62;
    let mut out = cx.buf();
    write!(
        out,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xFFFF,
        high & 0xFFFF,
        low >> 48,
        low & 0xFFFF_FFFF_FFFF
    )
    .ok()?;
    Some(Sample::str_buf(out))
}

/// The environment of the process that read the configuration is what counts.
fn check_env(args: &mut Args, p: &mut Parse<'_>) -> Result<(), String> {
    let value = p.files.variable(args.text(0).unwrap_or_default());
    args.put(0, value.map_or(Arg::None, |v| Arg::Str(v.into_bytes().into())));
    Ok(())
}
