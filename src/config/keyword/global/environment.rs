//! `setenv` and its like (manual 3.1): they change how the lines after them expand.

use super::{GlobalRow, g};
use crate::config::{
    keyword::args::{Args, Fault},
    section::Loading,
};

pub static ROWS: &[GlobalRow] = &[
    g("setenv", |cx, a| {
        let (name, value) = pair(a)?;
        cx.environment.set(name, value);
        Ok(())
    }),
    g("presetenv", |cx, a| {
        let (name, value) = pair(a)?;
        cx.environment.preset(name, value);
        Ok(())
    }),
    g("unsetenv", unset),
    g("resetenv", |cx, a| {
        let keep: Vec<&str> = a.from(1).collect();
        cx.environment.reset(&keep);
        Ok(())
    }),
];

fn pair<'a>(a: &Args<'a>) -> Result<(&'a str, &'a str), Fault> {
    let (keyword, name, value) = (a.get(0), a.get(1), a.get(2));
    if name.is_empty() {
        return Err(a.fault(1, format!("'{keyword}' expects environment variable name.\n.")));
    }
    if value.is_empty() {
        return Err(a.fault(2, format!("'{keyword}' expects environment variable value for '{name}'.\n.")));
    }
    a.at_most(2)?;
    Ok((name, value))
}

fn unset(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    if a.get(1).is_empty() {
        return Err(a.fault(1, "'unsetenv' expects at least one environment variable name."));
    }
    for name in a.from(1) {
        cx.environment.unset(name);
    }
    Ok(())
}
