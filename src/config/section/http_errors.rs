//! `http-errors` sections (manual 12.4).

use super::{Loading, Section, forbidden_character, unknown_keyword};
use crate::{
    config::keyword::{
        args::{Args, Fault},
        proxy::errorfile,
    },
    model::http_errors::{ErrorReply, HttpErrors},
};

pub fn open(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<Section, Fault> {
    let name = a.get(1);
    if name.is_empty() {
        return Err(a.fault(1, "missing name for http-errors section."));
    }
    if let Some(c) = forbidden_character(name) {
        return Err(a.fault(1, format!("character '{c}' is not permitted in 'http-errors' name '{name}'.")));
    }
    if let Some(other) = cx.http_errors.iter().find(|e| e.name == name) {
        let text = format!("http-errors section '{name}' already exists (declared at {}).", other.origin);
        return Err(a.tight(1, text));
    }
    cx.http_errors.push(HttpErrors { origin: a.origin(), name: name.to_owned(), replies: Default::default() });
    Ok(Section::HttpErrors(cx.http_errors.len() - 1))
}

pub fn read(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    match a.get(0) {
        "errorfile" => {
            let (status, bytes) = errorfile(a)?;
            cx.http_errors[index].replies.insert(status, ErrorReply::File(bytes));
            Ok(())
        }
        _ => Err(unknown_keyword(a, "http-errors", false, std::iter::once("errorfile"))),
    }
}
