//! `tcp-check` lines (manual 4.2): the script of a TCP check.

use super::{check, http_check::expect};
use crate::{
    config::{
        keyword::args::{Args, Fault},
        section::Loading,
    },
    model::check::{CheckAction, CheckSend, CheckStep, Text},
};

pub fn read(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let word = a.get(1);
    let (action, comment) = match word {
        "comment" => {
            if a.get(2).is_empty() {
                return Err(a.fault(2, "'tcp-check comment' : expects a string as argument."));
            }
            (CheckAction::Comment, Some(a.get(2).to_owned()))
        }
        "connect" => {
            let (connect, comment) = check::connect(a, 2, "'tcp-check connect'")?;
            (CheckAction::Connect(connect), comment)
        }
        "send" | "send-lf" | "send-binary" | "send-binary-lf" => send(a)?,
        "expect" => expect(a, "tcp-check")?,
        _ => match set_var(a)? {
            Some(action) => (action, None),
            None => {
                let text = format!(
                    "'tcp-check' only supports 'comment', 'connect', 'send', 'send-binary', 'expect', 'set-var-fmt(*)', \
                     'set-var(*)', 'unset-var(*)'. but got '{word}'"
                );
                return Err(a.fault(1, text));
            }
        },
    };
    check::add(cx, a, |proxy| &mut proxy.backend.tcp_check, CheckStep { origin: a.origin(), comment, action })
}

fn send(a: &Args<'_>) -> Result<(CheckAction, Option<String>), Fault> {
    let (word, value) = (a.get(1), a.get(2));
    let place = format!("'tcp-check {word}'");
    if value.is_empty() {
        let what = if word.contains("binary") { "binary" } else { "string" };
        // The two words stand the wrong way round in HAProxy's text too.
        return Err(a.fault(2, format!("{place} : '{what}' expects a send as argument.")));
    }
    let comment = match a.get(3) {
        "" => None,
        "comment" if a.get(4).is_empty() => {
            return Err(a.fault(4, format!("{place} : 'comment' expects a string as argument.")));
        }
        "comment" => Some(a.get(4).to_owned()),
        other => return Err(a.fault(3, format!("{place} : expects 'comment' but got '{other}' as argument."))),
    };
    let sent = match word {
        "send" => CheckSend::Text(Text::Literal(value.to_owned())),
        "send-lf" => CheckSend::Text(Text::Format(value.to_owned())),
        "send-binary-lf" => CheckSend::BinaryFormat(value.to_owned()),
        _ => match hex(value) {
            Some(bytes) => CheckSend::Binary(bytes),
            None => {
                let text = format!(
                    "{place} : '{value}' invalid binary string (an even number of hex digit is expected).\n."
                );
                return Err(a.fault(2, text));
            }
        },
    };
    Ok((CheckAction::Send(sent), comment))
}

/// `set-var(name) <expression>`, `set-var-fmt(name) <format>`, `unset-var(name)`; `None` for other words.
pub fn set_var(a: &Args<'_>) -> Result<Option<CheckAction>, Fault> {
    let word = a.get(1);
    let Some((kind, rest)) = word.split_once('(') else { return Ok(None) };
    let Some(name) = rest.strip_suffix(')') else { return Ok(None) };
    let name = name.to_owned();
    let value = a.strings(2).join(" ");
    Ok(Some(match kind {
        "set-var" => CheckAction::SetVar { name, format: false, value },
        "set-var-fmt" => CheckAction::SetVar { name, format: true, value },
        "unset-var" => CheckAction::UnsetVar { name },
        _ => return Ok(None),
    }))
}

/// The bytes of hexadecimal digits.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}
