//! `set-var` and `set-var-fmt` of `global` (manual 3.1): variables of the process that are set when it starts.

use super::{GlobalRow, g};
use crate::{
    config::{
        keyword::{
            args::{Args, Fault},
            expr,
        },
        section::Loading,
    },
    language::{
        logformat::{LogFormat, Usage},
        parse::{Error, Parse},
        sample::Expr,
        vars::{Scope, VarName},
    },
    model::{
        global::{ProcessValue, ProcessVar},
        plan::Plan,
    },
};
use std::sync::Arc;

pub static ROWS: &[GlobalRow] = &[g("set-var", set_var), g("set-var-fmt", set_var)];

/// Reads what `set var` of the runtime API sets (management guide 9.3). Errs with the answer's text.
pub fn at_run_time(name: &str, is_format: bool, value: &str, plan: &Plan) -> Result<ProcessVar, String> {
    let name = VarName::parse(name)?;
    if name.scope != Scope::Proc {
        return Err(format!("'set var': cannot set variable '{}', only scope 'proc' is permitted here.", name.text));
    }
    let value = expr::cli(plan, |p| value_of(&name, is_format, value, p)).map_err(|e| e.text)?;
    Ok(ProcessVar { name, value })
}

fn value_of(name: &VarName, is_format: bool, value: &str, p: &mut Parse<'_>) -> Result<ProcessValue, Error> {
    if is_format {
        let format = LogFormat::parse(value, Usage::Value, p);
        let format = format.map_err(|text| Error::new(2, text.trim_end_matches('.')))?;
        return Ok(ProcessValue::Format(format));
    }
    let expr = Expr::parse_word(value, 2, p)?;
    let action = format!("set-var({})", name.text);
    expr.check_scope_of_action(&action, p).map_err(|text| Error::new(2, text))?;
    Ok(ProcessValue::Expr(expr))
}

fn set_var(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let (keyword, name, value) = (a.get(0), a.get(1), a.get(2));
    let is_format = keyword == "set-var-fmt";
    if name.is_empty() || value.is_empty() {
        let what = if is_format { "a format string" } else { "a sample expression" };
        let text = format!("'{keyword}' requires a process-wide variable name ('proc.<name>') and {what}.");
        return Err(a.fault(1, text));
    }
    let name = VarName::parse(name).map_err(|text| a.fault(1, text))?;
    if name.scope != Scope::Proc {
        let text = format!(
            "'{keyword}': cannot set variable '{}', only scope 'proc' is permitted in the global section.",
            name.text
        );
        return Err(a.fault(1, text));
    }
    let value = expr::global(cx, a.origin(), |p| value_of(&name, is_format, value, p)).map_err(expr::fault)?;
    cx.global.process_vars.push(Arc::new(ProcessVar { name, value }));
    Ok(())
}
