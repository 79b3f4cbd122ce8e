//! Arithmetic and logic on integers and booleans (manual 7.3.1). Operands are numbers or variables; results saturate
//! at 64 bits.

use super::{Convert, row};
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::sample::{Arg, Args, Bytes, Sample, Type};
use crate::language::vars::VarName;
use std::sync::Arc;

pub const ROWS: &[Convert] = &[
    row("add", "string", Type::Sint, Type::Sint, |a, s, cx| with(a, s, cx, i64::saturating_add)).checked(operand),
    row("sub", "string", Type::Sint, Type::Sint, |a, s, cx| with(a, s, cx, i64::saturating_sub)).checked(operand),
    row("mul", "string", Type::Sint, Type::Sint, |a, s, cx| with(a, s, cx, i64::saturating_mul)).checked(operand),
    row("div", "string", Type::Sint, Type::Sint, |a, s, cx| with(a, s, cx, divide)).checked(operand),
    row("mod", "string", Type::Sint, Type::Sint, |a, s, cx| with(a, s, cx, remainder)).checked(operand),
    row("and", "string", Type::Sint, Type::Sint, |a, s, cx| with(a, s, cx, |x, y| x & y)).checked(operand),
    row("or", "string", Type::Sint, Type::Sint, |a, s, cx| with(a, s, cx, |x, y| x | y)).checked(operand),
    row("xor", "string", Type::Sint, Type::Sint, |a, s, cx| with(a, s, cx, |x, y| x ^ y)).checked(operand),
    row("neg", "", Type::Sint, Type::Sint, |_, s, _| Some(Sample::Sint(s.to_sint()?.saturating_neg()))),
    row("cpl", "", Type::Sint, Type::Sint, |_, s, _| Some(Sample::Sint(!s.to_sint()?))),
    row("bool", "", Type::Sint, Type::Bool, |_, s, _| Some(Sample::Bool(s.to_sint()? != 0))),
    row("not", "", Type::Sint, Type::Bool, |_, s, _| Some(Sample::Bool(s.to_sint()? == 0))),
    row("odd", "", Type::Sint, Type::Bool, |_, s, _| Some(Sample::Bool(s.to_sint()? & 1 == 1))),
    row("even", "", Type::Sint, Type::Bool, |_, s, _| Some(Sample::Bool(s.to_sint()? & 1 == 0))),
    row("iif", "string,string", Type::Bool, Type::Str, |a, s, _| {
        a.str(if s.to_bool()? { 0 } else { 1 }).map(|t| Sample::Str(Bytes::Ref(t)))
    }),
    row("htonl", "", Type::Sint, Type::Bin, |_, s, cx| {
        let mut out = cx.buf();
        out.extend_from_slice(&(s.to_sint()? as u32).to_be_bytes());
        Some(Sample::bin_buf(out))
    }),
];

/// Resolves an operand: a number or a variable.
pub fn operand(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    let word = args.text(0).unwrap_or_default();
    let arg = match word.parse::<i64>() {
        Ok(n) => Arg::Int(n),
        Err(_) => {
            Arg::Var(Arc::new(VarName::parse(word).map_err(|_| "expects an integer or a variable name".to_owned())?))
        }
    };
    args.put(0, arg);
    Ok(())
}

/// The operand's value now.
pub fn operand_value(args: &Args, cx: &Context<'_>) -> Option<i64> {
    match args.get(0) {
        Arg::Int(n) => Some(*n),
        Arg::Var(name) => cx.vars.get(name, cx.pool)?.to_sint(),
        _ => None,
    }
}

fn with<'c>(args: &'c Args, s: Sample<'c>, cx: &'c Context<'_>, op: fn(i64, i64) -> i64) -> Option<Sample<'c>> {
    Some(Sample::Sint(op(s.to_sint()?, operand_value(args, cx)?)))
}

/// Dividing by zero gives the largest number, as HAProxy does.
fn divide(a: i64, b: i64) -> i64 {
    if b == 0 { i64::MAX } else { a.checked_div(b).unwrap_or(i64::MAX) }
}

/// The remainder by zero is zero.
fn remainder(a: i64, b: i64) -> i64 {
    a.checked_rem(b).unwrap_or(0)
}
