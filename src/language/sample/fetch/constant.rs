//! Constants, variables and the process (manual 7.3.2).

use super::{Fetch, row};
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::sample::scope::*;
use crate::language::sample::{Arg, Args, Probe, Sample, Type};
use crate::language::vars::VarName;
use std::sync::Arc;

pub const ROWS: &[Fetch] = &[
    row("always_true", "", Type::Bool, ANYWHERE, |_, _, _| Some(Sample::Bool(true))),
    row("always_false", "", Type::Bool, ANYWHERE, |_, _, _| Some(Sample::Bool(false))),
    row("str", "string", Type::Str, ANYWHERE, |a, _, _| a.str(0).map(Sample::str)),
    row("bool", "string", Type::Bool, ANYWHERE, |a, _, _| a.int(0).map(|n| Sample::Bool(n != 0))).checked(check_bool),
    row("int", "integer", Type::Sint, ANYWHERE, |a, _, _| a.int(0).map(Sample::Sint)),
    row("ipv4", "IPv4 address", Type::Ipv4, ANYWHERE, ip),
    row("ipv6", "IPv6 address", Type::Ipv6, ANYWHERE, ip),
    row("bin", "string", Type::Bin, ANYWHERE, |a, _, _| a.str(0).map(Sample::bin)).checked(check_bin),
    row("meth", "string", Type::Meth, ANYWHERE, |a, _, _| a.str(0).map(|s| Sample::Meth(s.into()))),
    row("var", "string[,string]", Type::Any, ANYWHERE, var).checked(check_var),
];

fn ip<'c>(args: &'c Args, _: &'c Context<'_>, _: &mut Probe) -> Option<Sample<'c>> {
    match args.get(0) {
        Arg::Ip(a) => Some(Sample::Ip(*a)),
        _ => None,
    }
}

fn check_bool(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    let value = match args.text(0).unwrap_or_default() {
        "true" | "1" => 1,
        "false" | "0" => 0,
        other => return Err(format!("failed to parse '{other}' as boolean: use 'true' or 'false'")),
    };
    args.put(0, Arg::Int(value));
    Ok(())
}

fn check_bin(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    let text = args.str(0).unwrap_or_default();
    if text.is_empty() {
        return Err("(null)".to_owned());
    }
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    let bytes: Option<Vec<u8>> =
        text.chunks(2).map(|p| if let [a, b] = p { Some(digit(*a)? << 4 | digit(*b)?) } else { None }).collect();
    let bytes = bytes.ok_or_else(|| match text.len() % 2 {
        0 => "an hexadecimal digit is expected".to_owned(),
        _ => "an even number of hexadecimal digit is expected".to_owned(),
    })?;
    args.put(0, Arg::Str(bytes.into()));
    Ok(())
}

/// Resolves the variable named by the first argument; shared by every word that takes one.
pub fn check_var(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    let name = VarName::parse(args.text(0).unwrap_or_default())?;
    args.put(0, Arg::Var(Arc::new(name)));
    Ok(())
}

fn var<'c>(args: &'c Args, cx: &'c Context<'_>, _: &mut Probe) -> Option<Sample<'c>> {
    let Arg::Var(name) = args.get(0) else { return None };
    cx.vars.get(name, cx.pool).or_else(|| args.str(1).map(Sample::str))
}
