//! `http-check` lines (manual 4.2): the script of an HTTP check.

use super::{check, tcp_check::set_var};
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
        parse::Error,
        sample::scope::Points,
    },
    model::check::{CheckAction, CheckExpect, CheckPattern, CheckSend, CheckStep, Text},
};

pub fn read(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let word = a.get(1);
    let (action, comment) = match word {
        "disable-on-404" => {
            a.at_most_of(1, "http-check disable-on-404")?;
            cx.draft().proxy.backend.http_check.disable_on_404 = true;
            return Ok(());
        }
        "send-state" => {
            a.at_most_of(1, "http-check send-state")?;
            cx.draft().proxy.backend.http_check.send_state = true;
            return Ok(());
        }
        "comment" => {
            if a.get(2).is_empty() {
                return Err(a.fault(2, "'http-check comment' : expects a string as argument."));
            }
            (CheckAction::Comment, Some(a.get(2).to_owned()))
        }
        "connect" => {
            let (connect, comment) = check::connect(a, 2, "'http-check connect'")?;
            (CheckAction::Connect(connect), comment)
        }
        "send" => send(cx, a)?,
        "expect" => expect(a, "http-check")?,
        _ => match set_var(a)? {
            Some(action) => (action, None),
            None => {
                let text = format!(
                    "'http-check' only supports 'disable-on-404', 'send-state', 'comment', 'connect', 'send', 'expect', \
                     'set-var-fmt(*)', 'set-var(*)', 'unset-var(*)'. but got '{word}'"
                );
                return Err(a.fault(1, text));
            }
        },
    };
    check::add(cx, a, |proxy| &mut proxy.backend.http_check, CheckStep { origin: a.origin(), comment, action })
}

fn send(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(CheckAction, Option<String>), Fault> {
    let (mut method, mut uri, mut version, mut body, mut comment) = (None, None, None, None, None);
    let (mut headers, mut formats) = (Vec::new(), Vec::new());
    let mut at = 2;
    while !a.get(at).is_empty() {
        let word = a.get(at);
        let value = || match a.get(at + 1) {
            "" => Err(a.fault(at + 1, format!("'http-check send' : '{word}' expects a string as argument."))),
            value => Ok(value.to_owned()),
        };
        match word {
            "meth" => method = Some(value()?),
            "uri" => uri = Some(Text::Literal(value()?)),
            "uri-lf" => {
                formats.push((at + 1, value()?));
                uri = Some(Text::Format(value()?));
            }
            "ver" => version = Some(value()?),
            "body" => body = Some(Text::Literal(value()?)),
            "body-lf" => {
                formats.push((at + 1, value()?));
                body = Some(Text::Format(value()?));
            }
            "comment" => comment = Some(value()?),
            "hdr" => {
                if a.get(at + 1).is_empty() || a.get(at + 2).is_empty() {
                    let text = "'http-check send' : 'hdr' expects <name> and <value> as arguments.";
                    return Err(a.fault(at + 1, text));
                }
                formats.push((at + 2, a.get(at + 2).to_owned()));
                headers.push((a.get(at + 1).to_owned(), a.get(at + 2).to_owned()));
                at += 1;
            }
            other => {
                let text = format!(
                    "'http-check send' : expects 'comment', 'meth', 'uri', 'uri-lf', 'ver', 'hdr', 'body' or 'body-lf' but \
                     got '{other}' as argument.."
                );
                return Err(a.fault(at, text));
            }
        }
        at += 2;
    }
    for (at, text) in formats {
        expr::line(cx, a, |p, _| {
            p.points = Points::BE_CHK_RUL;
            LogFormat::parse(&text, Usage::Value, p)
                .map_err(|e| Error::new(a.word(at), format!("'http-check send' : {e}")))
        })
        .map_err(|mut fault| {
            fault.text.push('.');
            fault
        })?;
    }
    Ok((CheckAction::Send(CheckSend::Http { method, uri, version, headers, body }), comment))
}

/// `expect` of both kinds of scripts: options, `!`, the pattern.
pub fn expect(a: &Args<'_>, keyword: &str) -> Result<(CheckAction, Option<String>), Fault> {
    let http = keyword == "http-check";
    let place = format!("'{keyword} expect'");
    if a.get(2).is_empty() {
        return Err(a.fault(2, format!("{place} : expects at least a matching pattern as arguments.")));
    }
    let mut found = CheckExpect {
        negated: false,
        pattern: CheckPattern::Status(Vec::new()),
        min_recv: None,
        ok_status: None,
        error_status: None,
        timeout_status: None,
        on_success: None,
        on_error: None,
        status_code: None,
    };
    let mut comment = None;
    let mut pattern = None;
    let mut at = 2;
    while !a.get(at).is_empty() {
        let word = a.get(at);
        let value = |what: &str| match a.get(at + 1) {
            "" => Err(a.fault(at + 1, format!("{place} : '{word}' expects {what} as argument."))),
            value => Ok(value.to_owned()),
        };
        let plain = word.strip_prefix('!').unwrap_or(word);
        match word {
            "!" => {
                found.negated = true;
                at += 1;
                continue;
            }
            "min-recv" => found.min_recv = Some(crate::config::keyword::args::atol(&value("a integer")?)),
            "comment" => comment = Some(value("a string")?),
            "ok-status" => found.ok_status = Some(value("a string")?),
            "error-status" => found.error_status = Some(value("a string")?),
            "tout-status" => found.timeout_status = Some(value("a string")?),
            "on-success" => found.on_success = Some(value("a log-format string")?),
            "on-error" => found.on_error = Some(value("a log-format string")?),
            "status-code" => found.status_code = Some(value("an expression")?),
            _ if http && matches!(plain, "hdr" | "fhdr") => {
                found.negated |= word.starts_with('!');
                let words = a.strings(at + 1);
                pattern = Some(CheckPattern::Header { full: plain == "fhdr", words });
                at = a.len();
                continue;
            }
            _ => {
                found.negated |= word.starts_with('!');
                if pattern.is_some() {
                    return Err(a.fault(at, format!("{place} : only on pattern expected.")));
                }
                pattern = Some(read_pattern(a, at, plain, http, &place)?);
            }
        }
        at += 2;
    }
    match pattern {
        Some(pattern) => found.pattern = pattern,
        None => return Err(a.fault(2, format!("{place} : expects at least a matching pattern as arguments."))),
    }
    Ok((CheckAction::Expect(found), comment))
}

fn read_pattern(a: &Args<'_>, at: usize, word: &str, http: bool, place: &str) -> Result<CheckPattern, Fault> {
    let value = a.get(at + 1);
    let known = match http {
        true => matches!(word, "status" | "rstatus" | "string" | "rstring" | "string-lf"),
        false => matches!(word, "binary" | "string" | "rstring" | "string-lf" | "rbinary" | "binary-lf"),
    };
    if !known {
        let list = match http {
            true => {
                "'only supports min-recv, [!]string', '[!]rstring', '[!]string-lf', '[!]status', '[!]rstatus', [!]hdr, [!]fhdr \
                 or comment"
            }
            false => {
                "'only supports min-recv, '[!]binary', '[!]string', '[!]rstring', '[!]string-lf''[!]rbinary', '[!]binary-lf' or \
                 comment"
            }
        };
        return Err(a.fault(at, format!("{place} : {list} but got '{}' as argument..", a.get(at))));
    }
    if value.is_empty() {
        return Err(a.fault(at + 1, format!("{place} : '{word}' expects a <pattern> as argument.")));
    }
    let regex = |value: &str| match crate::language::regex::Regex::new(value, false) {
        Ok(_) => Ok(value.to_owned()),
        Err(text) => Err(a.fault(at + 1, format!("{place} : {text}."))),
    };
    Ok(match word {
        "status" => CheckPattern::Status(statuses(a, at + 1, place)?),
        "rstatus" => CheckPattern::StatusRegex(regex(value)?),
        "string" => CheckPattern::String(Text::Literal(value.to_owned())),
        "string-lf" => CheckPattern::String(Text::Format(value.to_owned())),
        "rstring" => CheckPattern::Regex(regex(value)?),
        "rbinary" => CheckPattern::BinaryRegex(regex(value)?),
        "binary-lf" => CheckPattern::BinaryFormat(value.to_owned()),
        _ => match super::tcp_check::hex(value) {
            Some(bytes) => CheckPattern::Binary(bytes),
            None => {
                let text = format!("{place} : invalid binary string (an even number of hex digit is expected).");
                return Err(a.fault(at + 1, text));
            }
        },
    })
}

/// `200,300-399`.
fn statuses(a: &Args<'_>, at: usize, place: &str) -> Result<Vec<(u16, u16)>, Fault> {
    let word = a.get(at);
    if let Some(c) = word.chars().find(|c| !c.is_ascii_digit() && !matches!(c, ',' | '-')) {
        return Err(a.fault(at, format!("{place} : invalid character '{c}' in the list of status codes.")));
    }
    word.split(',')
        .map(|range| {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            low.parse()
                .ok()
                .zip(high.parse().ok())
                .filter(|(low, high): &(u16, u16)| low <= high)
                .ok_or_else(|| a.fault(at, format!("{place} : invalid status codes range '{range}'.")))
        })
        .collect()
}
