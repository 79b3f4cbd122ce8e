//! Actions on header fields: `add-header`, `set-header`, `del-header`, `replace-header`, `replace-value`.

use super::{Action, At, HTTP, Run, head_format, row, with_text};
use crate::language::context::{Context, Side};
use crate::language::logformat::LogFormat;
use crate::language::parse::{Error, Parse, Words};
use crate::language::pattern::{Entries, Method, PatternSet};
use crate::language::regex::{Regex, Replacement};
use crate::language::rules::{Flow, Verdict};
use crate::language::sample::Sample;
use crate::language::sample::fetch::split_values;
use std::sync::Arc;

pub const ROWS: &[Action] = &[
    row("add-header", HTTP, add),
    row("set-header", HTTP, set),
    row("del-header", HTTP, del),
    row("replace-header", HTTP, replace_header),
    row("replace-value", HTTP, replace_value),
];

const TWO: &str = "expects exactly 2 arguments";
const THREE: &str = "expects exactly 3 arguments";

fn two<'w>(w: &mut Words<'w>) -> Result<&'w str, Error> {
    if w.peek_second().is_none() {
        return Err(w.error(TWO));
    }
    w.expect(TWO)
}

/// A colon, a blank and the line's end.
const FIELD_FRAME: usize = 4;

/// Whether the head stays within a buffer with `more` bytes.
pub(super) fn fits(cx: &mut Context<'_>, side: Side, more: usize) -> bool {
    let most = cx.pool.value_max();
    cx.head_mut(side).is_none_or(|head| head.wire_len() + more <= most)
}

/// An edit did not fit: it was not made, and unless rules are lenient the message ends here (manual 4.4 "strict-mode").
pub(super) fn too_large(cx: &Context<'_>) -> Flow {
    cx.world.failed_rewrite();
    if cx.stream.lenient { Flow::Next } else { Flow::Stop(Verdict::Failed) }
}

fn add(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let name = Box::<[u8]>::from(two(w)?.as_bytes());
    let value = head_format(w, TWO, p)?;
    let side = at.phase.side();
    Ok(Box::new(move |cx| {
        with_text(cx, &value, |cx, text| {
            if !fits(cx, side, name.len() + text.len() + FIELD_FRAME) {
                return too_large(cx);
            }
            if let Some(head) = cx.head_mut(side) {
                head.append(&name, text);
            }
            Flow::Next
        })
    }))
}

fn set(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let name = Box::<[u8]>::from(two(w)?.as_bytes());
    let value = head_format(w, TWO, p)?;
    let side = at.phase.side();
    Ok(Box::new(move |cx| {
        with_text(cx, &value, |cx, text| {
            if !fits(cx, side, name.len() + text.len() + FIELD_FRAME) {
                return too_large(cx);
            }
            if let Some(head) = cx.head_mut(side) {
                head.set(&name, text);
            }
            Flow::Next
        })
    }))
}

/// `del-header name [-m method]`: by exact name, prefix, end, part or regular expression.
fn del(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    const USAGE: &str = "expects at least 1 argument";
    let index = w.index();
    let name = w.expect(USAGE)?;
    let side = at.phase.side();
    let mut method = Method::Str;
    if w.take("-m") {
        let wanted = w.next().unwrap_or_default();
        method = match Method::parse(wanted) {
            Some(m @ (Method::Str | Method::Beg | Method::End | Method::Sub | Method::Reg)) => m,
            _ => return Err(w.error_before(format!("-m with unsupported matching method '{wanted}'"))),
        };
    }
    if method == Method::Str {
        let name = Box::<[u8]>::from(name.as_bytes());
        return Ok(Box::new(move |cx| {
            if let Some(head) = cx.head_mut(side) {
                head.remove(&name);
            }
            Flow::Next
        }));
    }
    let mut entries = Entries::default();
    entries.push(name.as_bytes(), b"");
    let set = pattern_set(p, entries, method).map_err(|e| Error::new(index, e))?;
    Ok(Box::new(move |cx| {
        let pool = cx.pool;
        if let Some(head) = cx.head_mut(side) {
            head.remove_where(|name, _| set.matches(&Sample::str(name), pool));
        }
        Flow::Next
    }))
}

fn pattern_set(p: &Parse<'_>, entries: Entries, method: Method) -> Result<Arc<PatternSet>, String> {
    p.patterns.line(None, &p.origin, entries).set(method, true)
}

/// Name, regular expression and replacement of the replacing actions.
struct Replace {
    name: Box<[u8]>,
    regex: Regex,
    with: With,
}

/// A replacement: compiled once when it is plain text, else for each request.
pub(super) enum With {
    Fixed(Replacement),
    Format(LogFormat),
}

impl With {
    pub(super) fn parse(w: &mut Words<'_>, usage: &str, p: &mut Parse<'_>) -> Result<With, Error> {
        let index = w.index();
        let format = head_format(w, usage, p)?;
        match format.constant() {
            Some(text) => Replacement::parse(&text).map(With::Fixed).map_err(|e| Error::new(index, e)),
            None => Ok(With::Format(format)),
        }
    }

    /// Runs `then` with the replacement of this request, unless what it was made of is no replacement.
    pub(super) fn with(&self, cx: &mut Context<'_>, then: impl FnOnce(&mut Context<'_>, &Replacement)) {
        match self {
            With::Fixed(replacement) => then(cx, replacement),
            With::Format(format) => with_text(cx, format, |cx, text| {
                if let Ok(replacement) = Replacement::parse(text) {
                    then(cx, &replacement);
                }
            }),
        }
    }
}

impl Replace {
    fn parse(w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Replace, Error> {
        if w.rest().len() < 3 || matches!(w.rest()[2], "if" | "unless") {
            return Err(w.error(THREE));
        }
        let name = w.expect(THREE)?.as_bytes().into();
        let index = w.index();
        let regex = Regex::new(w.expect(THREE)?, false).map_err(|e| Error::new(index, e))?;
        let with = With::parse(w, THREE, p)?;
        Ok(Replace { name, regex, with })
    }
}

/// Gives every line of a name to `edit`, which appends the new value and tells whether it changed.
fn each_line(cx: &mut Context<'_>, side: Side, name: &[u8], edit: impl Fn(&[u8], &mut Vec<u8>) -> bool) -> Flow {
    let mut new = cx.pool.take();
    let most = cx.pool.value_max();
    let mut fits = true;
    if let Some(head) = cx.head_mut(side) {
        let mut from = 0;
        while let Some(index) = head.position(name, from) {
            from = index + 1;
            new.clear();
            let before = head.field(index).map_or(0, |(_, value)| value.len());
            let changed = head.field(index).is_some_and(|(_, value)| edit(value, &mut new));
            fits = !changed || head.wire_len() - before + new.len() <= most;
            if !fits {
                break;
            }
            if changed {
                head.replace_value(index, &new);
            }
        }
    }
    cx.pool.give(new);
    if fits { Flow::Next } else { too_large(cx) }
}

/// Each field line as a whole.
fn replace_header(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let rule = Replace::parse(w, p)?;
    let side = at.phase.side();
    Ok(Box::new(move |cx| {
        let most = cx.pool.value_max();
        let mut flow = Flow::Next;
        rule.with.with(cx, |cx, with| {
            flow = each_line(cx, side, &rule.name, |line, new| rule.regex.rewrite(line, with, most, new));
        });
        flow
    }))
}

/// Each comma-separated value by itself.
fn replace_value(at: &At<'_>, w: &mut Words<'_>, p: &mut Parse<'_>) -> Result<Run, Error> {
    let rule = Replace::parse(w, p)?;
    let side = at.phase.side();
    Ok(Box::new(move |cx| {
        let most = cx.pool.value_max();
        let mut flow = Flow::Next;
        rule.with.with(cx, |cx, with| {
            flow = each_line(cx, side, &rule.name, |line, new| replace_values(&rule.regex, line, with, most, new));
        });
        flow
    }))
}

/// Values that the expression matches are replaced; in a line that changes, blanks around values go (observed).
fn replace_values(regex: &Regex, line: &[u8], with: &Replacement, most: usize, new: &mut Vec<u8>) -> bool {
    let mut changed = false;
    for (number, value) in split_values(line).enumerate() {
        if number > 0 {
            new.push(b',');
        }
        if regex.rewrite(value, with, most.saturating_sub(new.len()), new) {
            changed = true;
        } else {
            new.extend_from_slice(value);
        }
    }
    changed
}
