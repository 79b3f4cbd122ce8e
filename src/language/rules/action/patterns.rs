//! Actions that edit pattern files: `add-acl`, `del-acl`, `set-map`, `del-map`.

use super::{Action, At, HTTP, Run, format, row};
use crate::language::context::Context;
use crate::language::logformat::LogFormat;
use crate::language::parse::{Error, Parse, Words};
use crate::language::pattern::Source;
use crate::language::rules::Flow;
use std::sync::Arc;

pub const ROWS: &[Action] = &[
    row("add-acl", HTTP, |at, w, p| one(at, w, p, false, |s, key| s.add(key, b""))).prefixed(),
    row("del-acl", HTTP, |at, w, p| one(at, w, p, false, |s, key| s.delete(key))).prefixed(),
    row("del-map", HTTP, |at, w, p| one(at, w, p, true, |s, key| s.delete(key))).prefixed(),
    row("set-map", HTTP, set_map).prefixed(),
];

/// The file between the parentheses.
fn source(at: &At<'_>, w: &Words<'_>, p: &Parse<'_>, is_map: bool) -> Result<Arc<Source>, Error> {
    let name = at.name.split_once('(').and_then(|(_, n)| n.strip_suffix(')')).unwrap_or_default();
    if name.is_empty() {
        return Err(w.error_before("expects file name in parenthesis"));
    }
    let reader = p.files;
    p.patterns.file(name, is_map, &p.origin, |path| reader.read(path)).map_err(|e| w.error_before(e))
}

fn one(
    at: &At<'_>,
    w: &mut Words<'_>,
    p: &mut Parse<'_>,
    is_map: bool,
    edit: fn(&Source, &[u8]) -> Result<(), String>,
) -> Result<Run, Error> {
    let source = source(at, w, p, is_map)?;
    if w.at_condition() {
        return Err(w.error("expects exactly 1 argument"));
    }
    let key = format(w, "expects exactly 1 argument", p)?;
    Ok(Box::new(move |cx| {
        // A key that is not there, or is no pattern of the file's kind, changes nothing.
        with(cx, &key, |key| drop(edit(&source, key)));
        Flow::Next
    }))
}

/// Sets the value of a key, adding it when it is new.
fn set_map(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let source = source(at, w, p, true)?;
    if w.rest().len() < 2 || matches!(w.rest()[1], "if" | "unless") {
        return Err(w.error("expects exactly 2 arguments"));
    }
    let key = format(w, "expects exactly 2 arguments", p)?;
    let value = format(w, "expects exactly 2 arguments", p)?;
    Ok(Box::new(move |cx| {
        let mut new = cx.pool.take();
        value.write(cx, &mut new);
        with(cx, &key, |key| {
            if source.replace_value(key, &new).is_err() {
                drop(source.add(key, &new));
            }
        });
        cx.pool.give(new);
        Flow::Next
    }))
}

fn with(cx: &Context<'_>, format: &LogFormat, then: impl FnOnce(&[u8])) {
    let mut text = cx.buf();
    format.write(cx, &mut text);
    then(&text);
}
