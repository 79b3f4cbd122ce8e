//! `option ...` (manual 4.2): the switches, which take `no` and `default`, and the options with words of their own.

use super::{check, ignored};
use crate::{
    config::{
        diagnostic::{Severity, suggest},
        keyword::{
            Needs::{self, Backend, Frontend, Nothing},
            Prefix, Row, absent,
            args::{Args, Fault, atol},
            row, row_nodef, server, unserved,
        },
        section::Loading,
    },
    model::proxy::{ConnectionMode, ForwardFor, LogLineFormat, Options, RestrictNames},
};

pub static ROWS: &[Row] = &[row("option", Nothing, option), row_nodef("transparent", Backend, transparent)];

/// A switch: its name, the side it belongs to, and what sets it (`None`: back to the default).
pub struct Switch {
    pub name: &'static str,
    pub needs: Needs,
    set: fn(&mut Options, Option<bool>),
}

macro_rules! switch {
    ($name:literal, $needs:ident, $field:ident) => {
        Switch { name: $name, needs: $needs, set: |o, on| o.$field = on.unwrap_or_else(|| Options::default().$field) }
    };
    ($name:literal, $needs:ident, maybe $field:ident) => {
        Switch { name: $name, needs: $needs, set: |o, on| o.$field = on }
    };
}

/// The switches there are.
pub static SWITCHES: &[Switch] = &[
    switch!("abortonclose", Nothing, maybe abortonclose),
    switch!("allbackups", Backend, allbackups),
    switch!("checkcache", Backend, checkcache),
    switch!("clitcpka", Frontend, clitcpka),
    switch!("contstats", Frontend, contstats),
    switch!("disable-h2-upgrade", Frontend, disable_h2_upgrade),
    switch!("dontlog-normal", Frontend, dontlog_normal),
    switch!("dontlognull", Frontend, dontlognull),
    switch!("accept-unsafe-violations-in-http-request", Frontend, accept_unsafe_violations_in_http_request),
    // NUL in values, other names of the protocol and numbers of other lengths are refused all the same.
    switch!("accept-unsafe-violations-in-http-response", Backend, accept_unsafe_violations_in_http_response),
    switch!("h1-case-adjust-bogus-client", Frontend, h1_case_adjust_bogus_client),
    switch!("h1-case-adjust-bogus-server", Backend, h1_case_adjust_bogus_server),
    switch!("http-buffer-request", Nothing, http_buffer_request),
    switch!("http-drop-request-trailers", Backend, http_drop_request_trailers),
    switch!("http-drop-response-trailers", Frontend, http_drop_response_trailers),
    switch!("http-ignore-probes", Frontend, http_ignore_probes),
    // Every segment leaves at once on every connection here (TCP_NODELAY).
    Switch { name: "http-no-delay", needs: Nothing, set: |_, _| {} },
    switch!("http-pretend-keepalive", Backend, http_pretend_keepalive),
    switch!("http-use-proxy-header", Frontend, http_use_proxy_header),
    switch!("idle-close-on-response", Frontend, idle_close_on_response),
    switch!("independent-streams", Nothing, independent_streams),
    switch!("log-health-checks", Backend, log_health_checks),
    switch!("log-separate-errors", Frontend, log_separate_errors),
    switch!("logasap", Frontend, logasap),
    switch!("nolinger", Nothing, nolinger),
    switch!("persist", Backend, persist),
    switch!("prefer-last-server", Backend, prefer_last_server),
    switch!("socket-stats", Frontend, socket_stats),
    switch!("splice-auto", Nothing, splice_auto),
    switch!("splice-request", Nothing, splice_request),
    switch!("splice-response", Nothing, splice_response),
    switch!("srvtcpka", Backend, srvtcpka),
    switch!("tcp-smart-accept", Frontend, maybe tcp_smart_accept),
    switch!("tcp-smart-connect", Backend, maybe tcp_smart_connect),
    switch!("transparent", Backend, transparent),
];

/// An option with words: its name, the side it belongs to, whether `no` is taken, and what reads it.
pub struct Worded {
    pub name: &'static str,
    pub needs: Needs,
    negatable: bool,
    read: crate::config::keyword::Handler,
}

const fn w(name: &'static str, needs: Needs, read: crate::config::keyword::Handler) -> Worded {
    Worded { name, needs, negatable: false, read }
}

const fn n(name: &'static str, needs: Needs, read: crate::config::keyword::Handler) -> Worded {
    Worded { name, needs, negatable: true, read }
}

/// Options with words of their own. Words start at `a.get(0)`, the option's name.
pub static WORDED: &[Worded] = &[
    n("use-small-buffers", Backend, |_, a| {
        for (at, word) in (1..a.len()).map(|at| (at, a.get(at))) {
            if !matches!(word, "queue" | "l7-retries" | "check") {
                let text = format!("'{word}' is not supported by option 'use-small-buffers'.");
                return Err(a.fault(at, text));
            }
        }
        // What waits holds as many bytes as it has, not a buffer.
        Ok(())
    }),
    n("httpclose", Nothing, |cx, a| connection(cx, a, ConnectionMode::Close)),
    n("http-server-close", Nothing, |cx, a| connection(cx, a, ConnectionMode::ServerClose)),
    n("http-keep-alive", Nothing, |cx, a| connection(cx, a, ConnectionMode::KeepAlive)),
    n("redispatch", Backend, redispatch),
    w("httplog", Nothing, log_option),
    w("tcplog", Nothing, log_option),
    w("httpslog", Nothing, log_option),
    w("forwardfor", Nothing, |cx, a| {
        let found = forward(a, "forwardfor", "x-forwarded-for", true)?;
        cx.draft().proxy.options.forwardfor = Some(found);
        Ok(())
    }),
    w("originalto", Nothing, |cx, a| {
        let found = forward(a, "originalto", "x-original-to", false)?;
        cx.draft().proxy.options.originalto = Some(found);
        Ok(())
    }),
    n("forwarded", Backend, super::forwarded::option),
    n("tcpka", Nothing, |cx, a| {
        only_name(a)?;
        let on = cx.prefix == Prefix::None;
        let draft = cx.draft();
        draft.proxy.options.clitcpka = on && draft.proxy.has_frontend;
        draft.proxy.options.srvtcpka = on && draft.proxy.has_backend;
        Ok(())
    }),
    w("http-restrict-req-hdr-names", Nothing, |cx, a| {
        cx.draft().proxy.options.http_restrict_req_hdr_names = match a.get(1) {
            "preserve" => RestrictNames::Preserve,
            "delete" => RestrictNames::Delete,
            "reject" => RestrictNames::Reject,
            other => {
                let text = format!("unknown parameter '{other}'; expects 'preserve', 'delete' or 'reject'.");
                return Err(a.fault(1, text));
            }
        };
        Ok(())
    }),
    n("accept-invalid-http-request", Frontend, |cx, a| {
        only_name(a)?;
        deprecated_violations(cx, a, "request");
        let on = cx.prefix == Prefix::None;
        cx.draft().proxy.options.accept_unsafe_violations_in_http_request = on;
        Ok(())
    }),
    n("accept-invalid-http-response", Backend, |cx, a| {
        only_name(a)?;
        deprecated_violations(cx, a, "response");
        let on = cx.prefix == Prefix::None;
        cx.draft().proxy.options.accept_unsafe_violations_in_http_response = on;
        Ok(())
    }),
    w("httpchk", Backend, check::httpchk),
    w("tcp-check", Backend, check::tcp_check),
    w("ssl-hello-chk", Backend, check::ssl_hello),
    w("smtpchk", Backend, check::smtp),
    w("mysql-check", Backend, check::mysql),
    w("pgsql-check", Backend, check::pgsql),
    w("redis-check", Backend, check::redis),
    w("ldap-check", Backend, check::ldap),
    w("external-check", Backend, check::external),
];

/// `transparent`, the keyword of old for the option.
fn transparent(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(0)?;
    deprecated_transparent(cx, a, "'transparent'");
    cx.draft().proxy.options.transparent = true;
    Ok(())
}

fn names() -> impl Iterator<Item = &'static str> {
    SWITCHES.iter().map(|s| s.name).chain(WORDED.iter().map(|w| w.name))
}

fn option(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let name = a.get(1);
    if name.is_empty() {
        return Err(a.tight(1, "'option' expects an option name."));
    }
    if cx.options.refuse_unserved && unserved::reason("option", name).is_some() {
        return Err(a.fault(1, absent::text(name)));
    }
    if let Some(switch) = SWITCHES.iter().find(|s| s.name == name) {
        if !a.get(2).is_empty() {
            return Err(a.fault(2, format!("'option {name}' cannot handle unexpected argument '{}'.", a.get(2))));
        }
        if ignored(cx, a, switch.needs, name) {
            return Err(a.fault(1, format!("unknown option '{name}'; did you mean '{name}' maybe ?")));
        }
        if name == "transparent" && cx.prefix == Prefix::None {
            deprecated_transparent(cx, a, "option 'transparent'");
        }
        let on = match cx.prefix {
            Prefix::None => Some(true),
            Prefix::No => Some(false),
            Prefix::Default => None,
        };
        (switch.set)(&mut cx.draft().proxy.options, on);
        return Ok(());
    }
    if let Some(worded) = WORDED.iter().find(|w| w.name == name) {
        if cx.prefix != Prefix::None && !worded.negatable {
            return Err(a.tight(1, format!("negation/default is not supported for option '{name}'.")));
        }
        if ignored(cx, a, worded.needs, name) {
            return Ok(());
        }
        return (worded.read)(cx, &a.skip(1));
    }
    if let Some(fault) = crate::config::keyword::removed::option(a) {
        return Err(fault);
    }
    if absent::option(name) {
        return Err(a.fault(1, absent::text(&format!("option {name}"))));
    }
    let text = match suggest(name, names()) {
        Some(near) => format!("unknown option '{name}'; did you mean '{near}' maybe ?"),
        None => format!("unknown option '{name}'."),
    };
    Err(a.fault(1, text))
}

/// Refuses words after an option's name (`a.get(0)`).
pub fn only_name(a: &Args<'_>) -> Result<(), Fault> {
    a.at_most_of(0, &format!("option {}", a.get(0)))
}

/// HAProxy's warning about `transparent` and `option transparent`.
pub fn deprecated_transparent(cx: &mut Loading<'_>, a: &Args<'_>, what: &str) {
    if cx.global.expose_deprecated_directives {
        return;
    }
    let text = format!(
        "{what} is deprecated in 3.3 and will be removed in 3.5. The modern way to do the same is to create a server with \
         address 0.0.0.0. It is still possible to silence this warning by setting 'expose-deprecated-directives' in the \
         'global' section, but do not wait to fix your configuration!"
    );
    cx.diagnostics.at_tight(Severity::Warning, a.line, a.word(0), text);
}

fn deprecated_violations(cx: &mut Loading<'_>, a: &Args<'_>, side: &str) {
    let text = format!(
        "option 'accept-invalid-http-{side}' is deprecated. please use 'option accept-unsafe-violations-in-http-{side}' if \
         absolutely needed."
    );
    cx.warn_tight(a, 0, text);
}

fn connection(cx: &mut Loading<'_>, a: &Args<'_>, mode: ConnectionMode) -> Result<(), Fault> {
    only_name(a)?;
    let on = cx.prefix == Prefix::None;
    let options = &mut cx.draft().proxy.options;
    if on {
        options.connection_mode = mode;
    } else if options.connection_mode == mode {
        options.connection_mode = ConnectionMode::KeepAlive;
    }
    Ok(())
}

fn redispatch(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let on = cx.prefix == Prefix::None;
    let interval = if a.get(1).is_empty() { -1 } else { atol(a.get(1)) as i32 };
    cx.draft().proxy.options.redispatch = on.then_some(interval);
    Ok(())
}

fn log_option(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let name = a.get(0);
    let clf = match (name, a.get(1)) {
        (_, "") => false,
        ("httplog" | "tcplog", "clf") => true,
        ("httpslog", other) => {
            return Err(a.fault(1, format!("'option httpslog' cannot handle unexpected argument '{other}'.")));
        }
        _ => return Err(a.fault(1, format!("keyword '{name}' only supports option 'clf'."))),
    };
    a.at_most_of(1, &format!("option {name}"))?;
    let draft = cx.draft();
    if !draft.proxy.has_frontend {
        let text = format!("{} : 'option {name}' directive is ignored in backends.", draft.title());
        cx.warn(a, 0, text);
        return Ok(());
    }
    // Once `log-format` stands in the section, HAProxy lets it win over later options without a word; an option that
    // comes first is replaced by it too, so the last one that is not an option wins.
    draft.proxy.log.format = match (name, clf) {
        ("httplog", false) => LogLineFormat::Http,
        ("httplog", true) => LogLineFormat::HttpClf,
        ("httpslog", _) => LogLineFormat::Https,
        (_, false) => LogLineFormat::Tcp,
        (_, true) => LogLineFormat::TcpClf,
    };
    draft.log_option = Some((a.origin(), format!("option {name}")));
    Ok(())
}

fn forward(a: &Args<'_>, name: &str, header: &str, if_none: bool) -> Result<ForwardFor, Fault> {
    let mut found = ForwardFor { header: header.to_owned(), except: None, if_none: false };
    let mut at = 1;
    while !a.get(at).is_empty() {
        match a.get(at) {
            "except" => {
                let Some(net) = server::network(a.get(at + 1)) else {
                    let text = format!("'option {name} except' expects <address>[/mask] as argument.");
                    return Err(a.fault(at + 1, text));
                };
                found.except = Some(net);
                at += 2;
            }
            "header" if a.get(at + 1).is_empty() => {
                return Err(a.fault(at + 1, format!("'option {name} header' expects <header_name> as argument.")));
            }
            "header" => {
                found.header = a.get(at + 1).to_ascii_lowercase();
                at += 2;
            }
            "if-none" if if_none => {
                found.if_none = true;
                at += 1;
            }
            _ => {
                let list = if if_none { "'except', 'header' and 'if-none'" } else { "'except' and 'header'" };
                return Err(a.fault(at, format!("'option {name}' only supports optional values: {list}.")));
            }
        }
    }
    Ok(found)
}
