//! `errorfile`, `errorfiles`, `errorloc*` (manual 4.2): what is answered instead of HAProxy's pages.

use crate::config::{
    keyword::{
        Needs::Nothing,
        Row,
        args::{Args, Fault, atol},
        row,
    },
    section::Loading,
};
use crate::proto::http::status::WITH_PAGE;
use std::sync::Arc;

pub static ROWS: &[Row] = &[
    row("errorfile", Nothing, |cx, a| {
        let (status, bytes) = errorfile(a)?;
        let proxy = &mut cx.draft().proxy;
        proxy.errorlocs.remove(&status);
        proxy.errorfiles.insert(status, bytes);
        Ok(())
    }),
    row("errorfiles", Nothing, errorfiles),
    row("errorloc", Nothing, errorloc),
    row("errorloc302", Nothing, errorloc),
    row("errorloc303", Nothing, errorloc),
];

/// A status of an `errorfile` or `errorloc` line.
pub fn status(a: &Args<'_>, at: usize) -> Result<u16, Fault> {
    let number = atol(a.get(at));
    match u16::try_from(number) {
        Ok(n) if WITH_PAGE.contains(&n) => Ok(n),
        _ => Err(a.fault(at, format!("{} : status code '{number}' not handled.", a.get(0)))),
    }
}

/// Reads an `errorfile` line: the status and the file's bytes.
pub fn errorfile(a: &Args<'_>) -> Result<(u16, Arc<[u8]>), Fault> {
    if a.get(1).is_empty() || a.get(2).is_empty() {
        return Err(a.fault(1, "errorfile : expects <status_code> and <file> as arguments.\n"));
    }
    if !a.get(3).is_empty() {
        return Err(a.fault(3, "errorfile : expects exactly two arguments.\n"));
    }
    let path = a.get(2);
    let status = status(a, 1)?;
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(_) => return Err(a.fault(2, format!("errorfile : error opening file '{path}'."))),
    };
    Ok((status, bytes.into()))
}

fn errorfiles(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let name = a.get(1);
    if name.is_empty() {
        return Err(a.fault(1, "errorfiles : expects <name> as argument."));
    }
    let mut statuses = Vec::new();
    for at in 2..a.len() {
        statuses.push(status(a, at)?);
    }
    let entry = (a.origin(), name.to_owned(), statuses);
    cx.draft().errorfiles_sections.push(entry);
    Ok(())
}

fn errorloc(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let keyword = a.get(0);
    if a.get(1).is_empty() || a.get(2).is_empty() {
        return Err(a.fault(1, format!("{keyword} : expects <status_code> and <url> as arguments.\n")));
    }
    let status = status(a, 1)?;
    let redirect = if keyword == "errorloc303" { 303 } else { 302 };
    let proxy = &mut cx.draft().proxy;
    proxy.errorfiles.remove(&status);
    proxy.errorlocs.insert(status, (redirect, a.get(2).to_owned()));
    Ok(())
}
