//! Converters of text: case, parts, joining (manual 7.3.1).

use super::{Convert, bytes_of, row};
use crate::language::context::Context;
use crate::language::sample::{Arg, Args, Sample, Type};
use crate::language::vars::VarName;
use std::sync::Arc;

pub const ROWS: &[Convert] = &[
    row("lower", "", Type::Str, Type::Str, |_, s, cx| {
        let mut b = bytes_of(s)?.into_buf(cx.pool);
        b.make_ascii_lowercase();
        Some(Sample::str_buf(b))
    }),
    row("upper", "", Type::Str, Type::Str, |_, s, cx| {
        let mut b = bytes_of(s)?.into_buf(cx.pool);
        b.make_ascii_uppercase();
        Some(Sample::str_buf(b))
    }),
    row("length", "", Type::Str, Type::Sint, |_, s, _| Some(Sample::Sint(bytes_of(s)?.as_slice().len() as i64))),
    row("field", "integer,string[,integer]", Type::Str, Type::Str, field),
    row("concat", "string[,string,string]", Type::Str, Type::Str, concat).checked(check_concat),
];

/// `field(index,delimiters[,count])`: parts between delimiters, which may be empty; negative numbers count from the end, a
/// count of 0 takes all that is left.
fn field<'c>(args: &'c Args, sample: Sample<'c>, _: &'c Context<'_>) -> Option<Sample<'c>> {
    let (index, delimiters) = (args.int(0)?, args.str(1)?);
    let bytes = bytes_of(sample)?;
    let (from, to) = part(bytes.as_slice(), index, args.int(2).unwrap_or(1), &|b| delimiters.contains(&b))?;
    Some(Sample::Str(bytes.slice(from, to)))
}

/// Range of `count` parts from part `index` on.
fn part(text: &[u8], index: i64, count: i64, is_delimiter: &dyn Fn(u8) -> bool) -> Option<(usize, usize)> {
    let backwards = index < 0;
    let wanted = index.unsigned_abs() as usize;
    let mut number = 1;
    let (mut from, mut to) = (0, text.len());
    let mut found = wanted == 1;
    let mut left = count;
    let at = |i: usize| if backwards { text.len() - 1 - i } else { i };
    for i in 0..text.len() {
        let here = at(i);
        if !is_delimiter(text[here]) {
            continue;
        }
        if number >= wanted {
            left -= 1;
            if left == 0 {
                if backwards { from = here + 1 } else { to = here }
                return (found && from <= to).then_some((from, to));
            }
        }
        number += 1;
        if number == wanted {
            found = true;
            if backwards { to = here } else { from = here + 1 }
        }
    }
    (found && wanted > 0).then_some((from, to))
}

fn check_concat(args: &mut Args, _: &mut crate::language::parse::Parse<'_>) -> Result<(), String> {
    if let Some(name) = args.text(1).filter(|n| !n.is_empty()) {
        let var = VarName::parse(name)?;
        args.put(1, Arg::Var(Arc::new(var)));
    }
    Ok(())
}

/// `concat(start[,var[,end]])`: appends a string, a variable and a string.
fn concat<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let mut out = bytes_of(sample)?.into_buf(cx.pool);
    out.extend_from_slice(args.str(0).unwrap_or_default());
    if let Arg::Var(name) = args.get(1)
        && let Some(value) = cx.vars.get(name, cx.pool)
    {
        value.write_text(&mut out);
    }
    out.extend_from_slice(args.str(2).unwrap_or_default());
    Some(Sample::str_buf(out))
}
