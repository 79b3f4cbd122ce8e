//! Actions on the request line: `set-method`, `set-path`, `set-pathq`, `set-query`, `set-uri`, `replace-path`,
//! `replace-pathq`, `replace-uri`, and `set-status` of responses.

use super::header::{With, fits, too_large};
use super::{AFTER, Action, At, REQUEST, RESPONSE, Run, head_format, row, with_text};
use crate::language::context::{Context, Side};
use crate::language::parse::{Error, Parse, Words};
use crate::language::regex::Regex;
use crate::language::rules::Flow;
use crate::proto::http::head::Head;
use crate::proto::http::uri::{Form, Uri};

pub const ROWS: &[Action] = &[
    row("set-method", REQUEST, |_, w, p| set(w, p, |head, text, _| head.set_method(text))),
    row("set-uri", REQUEST, |_, w, p| set(w, p, |head, text, out| put(head, Part::Uri, text, out))),
    row("set-path", REQUEST, |_, w, p| set(w, p, |head, text, out| put(head, Part::Path, text, out))),
    row("set-pathq", REQUEST, |_, w, p| set(w, p, |head, text, out| put(head, Part::PathQuery, text, out))),
    row("set-query", REQUEST, |_, w, p| set(w, p, |head, text, out| put(head, Part::Query, text, out))),
    row("replace-path", REQUEST, |_, w, p| replace(w, p, Part::Path)),
    row("replace-pathq", REQUEST, |_, w, p| replace(w, p, Part::PathQuery)),
    row("replace-uri", REQUEST, |_, w, p| replace(w, p, Part::Uri)),
    row("set-status", RESPONSE | AFTER, set_status),
];

/// Parts of a request target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    PathQuery,
    Query,
    Uri,
}

/// Range of a part in a request target; `None` when the target has no path (`*`, CONNECT).
fn range(uri: &[u8], part: Part) -> Option<(usize, usize)> {
    if part == Part::Uri {
        return Some((0, uri.len()));
    }
    let start = match uri.first() {
        Some(b'/') => 0,
        Some(b'*') | None => return None,
        _ => {
            let authority = memchr::memmem::find(uri, b"://")? + 3;
            memchr::memchr2(b'/', b'?', &uri[authority..]).map_or(uri.len(), |i| authority + i)
        }
    };
    let query = memchr::memchr(b'?', &uri[start..]).map_or(uri.len(), |i| start + i);
    Some(match part {
        Part::Path => (start, query),
        Part::PathQuery => (start, uri.len()),
        _ => ((query + 1).min(uri.len()), uri.len()),
    })
}

/// Puts `text` in place of a part. `out` is an empty buffer.
fn put(head: &mut Head, part: Part, text: &[u8], out: &mut Vec<u8>) {
    let uri = head.uri();
    let Some((from, to)) = range(uri, part) else { return };
    out.extend_from_slice(&uri[..from]);
    if part == Part::Query && !uri[..from].ends_with(b"?") && !text.is_empty() {
        out.push(b'?');
    }
    out.extend_from_slice(text);
    out.extend_from_slice(&uri[to..]);
    // An empty query takes its question mark along.
    if part == Part::Query && text.is_empty() && out.ends_with(b"?") {
        out.pop();
    }
    head.set_uri(out);
    if part == Part::Uri {
        host_follows(head);
    }
}

/// The Host field of a request becomes what its new absolute target says (observed; RFC 9112 §3.2.2).
fn host_follows(head: &mut Head) {
    let target = Uri::split(head.uri());
    if target.form != Form::Absolute {
        return;
    }
    let authority = target.host_and_port().to_vec();
    if let Some(at) = head.position(b"host", 0) {
        head.replace_value(at, &authority);
    }
}

/// Whether the head stays within a buffer with `text` in the place of the target, or of a part of it.
fn takes(cx: &mut Context<'_>, text: &[u8]) -> bool {
    let target = cx.request.as_deref().map_or(0, |head| head.uri().len());
    fits(cx, Side::Request, text.len().saturating_sub(target))
}

fn set(w: &mut Words<'_>, p: &mut Parse<'_>, edit: fn(&mut Head, &[u8], &mut Vec<u8>)) -> Result<Run, Error> {
    if w.at_condition() {
        return Err(w.error("expects exactly 1 argument <format>"));
    }
    let value = head_format(w, "expects exactly 1 argument <format>", p)?;
    Ok(Box::new(move |cx| {
        with_text(cx, &value, |cx, text| {
            if !takes(cx, text) {
                return too_large(cx);
            }
            let mut out = cx.pool.take();
            if let Some(head) = cx.request.as_deref_mut() {
                edit(head, text, &mut out);
            }
            cx.pool.give(out);
            Flow::Next
        })
    }))
}

fn replace(w: &mut Words<'_>, p: &mut Parse<'_>, part: Part) -> Result<Run, Error> {
    const USAGE: &str = "expects exactly 2 arguments <match-regex> and <replace-format>";
    if w.rest().len() < 2 || matches!(w.rest()[1], "if" | "unless") {
        return Err(w.error(USAGE));
    }
    let index = w.index();
    let regex = Regex::new(w.expect(USAGE)?, false).map_err(|e| Error::new(index, e))?;
    let with = With::parse(w, USAGE, p)?;
    Ok(Box::new(move |cx| {
        let mut flow = Flow::Next;
        let most = cx.pool.value_max();
        with.with(cx, |cx, with| {
            let (mut new, mut uri) = (cx.pool.take(), cx.pool.take());
            if let Some(head) = cx.request.as_deref()
                && let Some((from, to)) = range(head.uri(), part)
                && regex.rewrite(&head.uri()[from..to], with, most, &mut new)
            {
                if takes(cx, &new) {
                    if let Some(head) = cx.request.as_deref_mut() {
                        put(head, part, &new, &mut uri);
                    }
                } else {
                    flow = too_large(cx);
                }
            }
            cx.pool.give(new);
            cx.pool.give(uri);
        });
        flow
    }))
}

/// `set-status <status> [reason <str>]`.
fn set_status(_: &At<'_>, w: &mut Words<'_>, _: &mut Parse<'_>) -> Result<Run, Error> {
    const USAGE: &str = "expects an integer status code between 100 and 999";
    if w.is_empty() {
        return Err(w.error("expects <status> [reason <reason>]"));
    }
    let index = w.index();
    let status = w.next().and_then(|s| s.parse::<u16>().ok()).filter(|n| (100..=999).contains(n));
    let status = status.ok_or_else(|| Error::new(index, USAGE))?;
    let reason: Option<Box<str>> = match w.take("reason") {
        true => Some(w.expect("missing reason string")?.into()),
        false => None,
    };
    Ok(Box::new(move |cx| {
        if let Some(head) = cx.response.as_deref_mut() {
            let reason = reason.as_deref().unwrap_or_else(|| crate::language::rules::reply::reason(status));
            head.set_status(status, reason.as_bytes());
        }
        Flow::Next
    }))
}
