//! The `option ...chk` family and `external-check` (manual 4.2): which kind of check a backend's servers get. The lines of
//! a script are in `http_check` and `tcp_check`.

use super::option::only_name;
use crate::{
    base::origin::Origin,
    config::{
        keyword::{
            Needs::Backend,
            Row,
            args::{Args, Fault},
            bind::proto,
            row,
        },
        section::Loading,
    },
    model::{
        check::{CheckAction, CheckKind, CheckScript, CheckStep, HttpRequest, MysqlVersion},
        proxy::Proxy,
    },
};

pub static ROWS: &[Row] = &[
    row("external-check", Backend, external_check),
    row("http-check", Backend, super::http_check::read),
    row("tcp-check", Backend, super::tcp_check::read),
];

fn set(cx: &mut Loading<'_>, kind: CheckKind) -> Result<(), Fault> {
    cx.draft().proxy.backend.check_kind = kind;
    Ok(())
}

/// `option httpchk [<uri> | <method> <uri> [<version> [<host>]]]`.
pub fn httpchk(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most_of(4, "option httpchk")?;
    let mut request = HttpRequest {
        method: "OPTIONS".to_owned(),
        uri: "/".to_owned(),
        version: None,
        hidden_headers: Vec::new(),
        host: None,
    };
    match (a.get(1), a.get(2)) {
        ("", _) => {}
        (uri, "") => uri.clone_into(&mut request.uri),
        (method, uri) => {
            method.clone_into(&mut request.method);
            uri.clone_into(&mut request.uri);
        }
    }
    if !a.get(3).is_empty() {
        // HAProxy 3.4 refuses headers hidden behind the version; 2.6 takes them, and real files (openstack-ansible's)
        // are written so.
        let mut lines = a.get(3).split("\r\n").flat_map(|l| l.split("\\r\\n"));
        request.version = lines.next().map(str::to_owned);
        request.hidden_headers = lines.filter(|l| !l.is_empty()).map(str::to_owned).collect();
        if !request.hidden_headers.is_empty() {
            let text = "'option httpchk' : headers at the end of the version string are sent as written; HAProxy 3.4 refuses \
                        them, use 'http-check send' instead.";
            cx.notice(a, 3, text);
        }
    }
    request.host = Some(a.get(4).to_owned()).filter(|h| !h.is_empty());
    set(cx, CheckKind::Http(request))
}

pub fn tcp_check(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    only_name(a)?;
    set(cx, CheckKind::Tcp)
}

pub fn ssl_hello(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    only_name(a)?;
    set(cx, CheckKind::SslHello)
}

/// `option smtpchk [<hello> [<domain>]]`; anything but EHLO greets as HELO localhost.
pub fn smtp(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most_of(2, "option smtpchk")?;
    let (hello, domain) = match (a.get(1), a.get(2)) {
        (hello @ ("EHLO" | "HELO"), domain) if !domain.is_empty() => (hello, domain),
        _ => ("HELO", "localhost"),
    };
    set(cx, CheckKind::Smtp { hello: hello.to_owned(), domain: domain.to_owned() })
}

/// `option mysql-check [user <name> [pre-41|post-41|post-80]]`.
pub fn mysql(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most_of(3, "option mysql-check")?;
    match a.get(1) {
        "" => return set(cx, CheckKind::Mysql { user: None, version: MysqlVersion::default() }),
        "user" => {}
        other => {
            let text = format!("'option mysql-check' only supports optional values: 'user' (got '{other}').");
            return Err(a.fault(1, text));
        }
    }
    if a.get(2).is_empty() {
        return Err(a.fault(2, "'option mysql-check user' expects <username> as argument."));
    }
    let version = match a.get(3) {
        "" | "post-41" => MysqlVersion::Post41,
        "pre-41" => MysqlVersion::Pre41,
        "post-80" => MysqlVersion::Post80,
        other => {
            let text = format!("keyword 'user' only supports 'post-41', 'pre-41' and 'post-80' (got '{other}').");
            return Err(a.fault(3, text));
        }
    };
    set(cx, CheckKind::Mysql { user: Some(a.get(2).to_owned()), version })
}

pub fn pgsql(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most_of(2, "option pgsql-check")?;
    if a.get(1) != "user" || a.get(2).is_empty() {
        return Err(a.fault(1, "'option pgsql-check' expects 'user <username>' as argument."));
    }
    set(cx, CheckKind::Pgsql { user: a.get(2).to_owned() })
}

pub fn redis(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    only_name(a)?;
    set(cx, CheckKind::Redis)
}

pub fn ldap(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    only_name(a)?;
    set(cx, CheckKind::Ldap)
}

pub fn external(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    only_name(a)?;
    set(cx, CheckKind::External)
}

/// `external-check command|path <value>`.
fn external_check(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let (what, value) = (a.get(1), a.get(2));
    match what {
        "" => return Err(a.fault(1, "missing argument after 'external-check'.\n")),
        "command" | "path" if value.is_empty() => {
            return Err(a.fault(2, format!("missing argument after '{what}'.")));
        }
        "command" => cx.draft().proxy.backend.external_check.command = Some(value.to_owned()),
        "path" => cx.draft().proxy.backend.external_check.path = Some(value.to_owned()),
        other => {
            let text = format!("'external-check' only supports 'command' and 'path'. but got '{other}'.");
            return Err(a.fault(1, text));
        }
    }
    a.at_most_of(2, &format!("external-check {what}"))
}

/// Adds a line to a script. The first of a section begins it: lines of a `defaults` section are not for it then (observed).
pub fn add(
    cx: &mut Loading<'_>,
    a: &Args<'_>,
    script: fn(&mut Proxy) -> &mut CheckScript,
    step: CheckStep,
) -> Result<(), Fault> {
    let proxy = &mut cx.draft().proxy;
    let section = proxy.origin.clone();
    let inherited = |o: &Origin| o.file != section.file || o.line < section.line;
    let steps = &mut script(proxy).steps;
    if steps.last().is_some_and(|last| inherited(&last.origin)) {
        steps.clear();
    }
    in_order(a, steps, &step.action)?;
    steps.push(step);
    Ok(())
}

/// A script with a `connect` begins with it, and of HTTP checks each connection carries one request.
fn in_order(a: &Args<'_>, steps: &[CheckStep], action: &CheckAction) -> Result<(), Fault> {
    let speaks = |step: &&CheckStep| {
        !matches!(step.action, CheckAction::Comment | CheckAction::SetVar { .. } | CheckAction::UnsetVar { .. })
    };
    let mut speaking = steps.iter().filter(speaks).map(|step| &step.action);
    let (first, last) = (speaking.clone().next(), speaking.next_back());
    let word = a.get(1);
    if let (CheckAction::Connect(_), Some(CheckAction::Send(_) | CheckAction::Expect(_))) = (action, first) {
        let text = format!(
            "'{} {word}' : first step MUST also be a 'connect', optionally preceded by a 'set-var', an 'unset-var' or a \
             'comment', when there is a 'connect' step in the tcp-check ruleset.",
            a.get(0)
        );
        return Err(a.fault(1, text));
    }
    let missing = match (action, last) {
        _ if a.get(0) != "http-check" => return Ok(()),
        (CheckAction::Connect(_), Some(CheckAction::Connect(_) | CheckAction::Send(_))) => "expect",
        (CheckAction::Send(_), Some(CheckAction::Send(_) | CheckAction::Expect(_))) => "connect",
        (CheckAction::Expect(_), Some(CheckAction::Connect(_))) => "send",
        _ => return Ok(()),
    };
    // Counted from the first request, where there is one (observed).
    let first = steps.iter().position(|step| matches!(step.action, CheckAction::Send(_)));
    let number = steps.len() + 1 - first.unwrap_or(0);
    let text = format!(
        "'http-check {word}' : unable to add http-check {word} rule at step {number} (missing {missing} rule).."
    );
    Err(a.fault(1, text))
}

/// The words that script lines of both kinds share: `connect` and its arguments, from `a.get(at)` on.
pub fn connect(
    a: &Args<'_>,
    mut at: usize,
    place: &str,
) -> Result<(crate::model::check::CheckConnect, Option<String>), Fault> {
    let mut connect = crate::model::check::CheckConnect::default();
    let mut comment = None;
    while !a.get(at).is_empty() {
        let word = a.get(at);
        let value = |what: &str| match a.get(at + 1) {
            "" => Err(a.fault(at + 1, format!("{place} : '{word}' expects {what} as argument."))),
            value => Ok(Some(value.to_owned())),
        };
        let words = match word {
            "default" => {
                connect.default = true;
                1
            }
            "port" => {
                connect.port = value("a port number")?;
                2
            }
            "addr" => {
                connect.address = value("<ipv4|ipv6>")?;
                2
            }
            "send-proxy" => {
                connect.send_proxy = true;
                1
            }
            "linger" => {
                connect.linger = true;
                1
            }
            "ssl" => {
                connect.ssl = true;
                1
            }
            "sni" => {
                connect.sni = value("a SNI")?;
                2
            }
            "alpn" => {
                connect.alpn = value("a protocol list")?;
                2
            }
            "proto" => {
                let name = value("a MUX protocol")?.unwrap_or_default();
                let said = |text: String| a.fault(at + 1, format!("{place} : 'proto' : {text}"));
                let kind = place.trim_matches('\'').trim_end_matches(" connect");
                connect.proto = proto(&name).map_err(|e| said(format!("{}..", e.trim_start())))?;
                if connect.proto.is_some() != (kind == "http-check") {
                    return Err(said(format!("invalid MUX protocol '{name}' for {kind}.")));
                }
                2
            }
            "comment" => {
                comment = value("a string")?;
                2
            }
            "via-socks4" => {
                connect.via_socks4 = true;
                1
            }
            other => {
                let text = format!(
                    "{place} : expects 'comment', 'port', 'addr', 'send-proxy', 'ssl', 'sni', 'alpn' or 'via-socks4', \
                     'linger', 'default' but got '{other}' as argument.."
                );
                return Err(a.fault(at, text));
            }
        };
        at += words;
    }
    Ok((connect, comment))
}
