//! Converters that keep their sample somewhere: variables and captures (manual 7.3.1).

use super::{Convert, row};
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::rules::action::SetIf;
use crate::language::sample::fetch::check_var;
use crate::language::sample::{Arg, Args, Sample, Type};
use std::sync::Arc;

pub const ROWS: &[Convert] = &[
    row("set-var", "string[,string,string,string,string]", Type::Any, Type::Any, set_var).checked(check_set),
    row("unset-var", "string", Type::Any, Type::Any, unset_var).checked(check_var),
];

fn check_set(args: &mut Args, p: &mut Parse<'_>) -> Result<(), String> {
    let conditions: Vec<Box<[u8]>> =
        (1..args.len()).filter_map(|i| args.str(i)).filter(|c| !c.is_empty()).map(Box::from).collect();
    for c in &conditions {
        let word = String::from_utf8_lossy(c);
        SetIf::parse(&word).ok_or_else(|| format!("invalid condition '{word}' for variable"))?;
    }
    check_var(args, p)?;
    args.put(1, Arg::Words(Arc::new(conditions)));
    Ok(())
}

fn set_var<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let Arg::Var(name) = args.get(0) else { return None };
    let holds = match args.get(1) {
        Arg::Words(conditions) => conditions.iter().all(|c| {
            SetIf::parse(&String::from_utf8_lossy(c)).is_none_or(|condition| condition.holds(name, &sample, cx))
        }),
        _ => true,
    };
    if holds {
        cx.vars.set(name, &sample);
    }
    Some(sample)
}

fn unset_var<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let Arg::Var(name) = args.get(0) else { return None };
    cx.vars.unset(name);
    Some(sample)
}
