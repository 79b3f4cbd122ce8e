//! Words that HAProxy removed and still recognises, to say what to write instead (observed).

use super::args::{Args, Fault};

/// A removed keyword of `global`.
pub fn global(a: &Args<'_>) -> Option<Fault> {
    let text = match a.get(0) {
        "nbproc" => {
            "nbproc is not supported any more since HAProxy 2.5. Threads will automatically be used on multi-processor \
             machines if available."
        }
        "tune.chksize" => "option 'tune.chksize' is not supported any more (tune.bufsize is used instead).",
        _ => return None,
    };
    Some(a.fault(0, text))
}

/// What the `req*` and `rsp*` keywords of old became.
static REWRITES: &[(&str, &str)] = &[
    ("reqadd", "http-request add-header"),
    ("reqallow", "http-request allow"),
    ("reqiallow", "http-request allow"),
    ("reqdel", "http-request del-header"),
    ("reqidel", "http-request del-header"),
    ("reqdeny", "http-request deny"),
    ("reqideny", "http-request deny"),
    ("reqpass", "http-request allow"),
    ("reqipass", "http-request allow"),
    ("reqirep", "http-request replace-header"),
    ("reqtarpit", "http-request tarpit"),
    ("reqitarpit", "http-request tarpit"),
    ("rspadd", "http-response add-header"),
    ("rspdel", "http-response del-header"),
    ("rspidel", "http-response del-header"),
    ("rspdeny", "http-response deny"),
    ("rspideny", "http-response deny"),
    ("rsprep", "http-response replace-header"),
    ("rspirep", "http-response replace-header"),
];

/// A removed keyword of a proxy.
pub fn proxy(a: &Args<'_>) -> Option<Fault> {
    let word = a.get(0);
    if let Some((_, instead)) = REWRITES.iter().find(|(w, _)| *w == word) {
        let text =
            format!("The '{word}' directive is not supported anymore since HAProxy 2.1. Use '{instead}' instead.");
        return Some(a.fault(0, text));
    }
    let timeout = |name: &str| {
        let text =
            format!("the '{word}' directive is not supported anymore since HAProxy 2.1. Use 'timeout {name}'.");
        Some(a.fault(0, text))
    };
    match word {
        "contimeout" => timeout("connect"),
        "clitimeout" => timeout("client"),
        "srvtimeout" => timeout("server"),
        "reqrep" => Some(a.fault(
            0,
            "The 'reqrep' directive is not supported anymore since HAProxy 2.1. Use 'http-request replace-path', \
             'http-request replace-uri' or 'http-request replace-header' instead.",
        )),
        "reqsetbe" | "reqisetbe" => Some(a.fault(
            0,
            format!("The '{word}' directive is not supported anymore since HAProxy 2.1. Use 'use_backend' instead."),
        )),
        "block" => Some(a.fault(
            0,
            "The 'block' directive is not supported anymore since HAProxy 2.1. Use 'http-request deny' which uses the exact \
             same syntax.",
        )),
        "redispatch" => Some(a.fault(
            0,
            "keyword 'redispatch' directive is not supported anymore since HAProxy 2.1. Use 'option redispatch'.",
        )),
        "appsession" => Some(a.fault(0, "'appsession' is not supported anymore since HAProxy 1.6.")),
        "grace" => {
            Some(a.tight(0, "the 'grace' keyword is not supported any more since HAProxy version 2.5."))
        }
        "bind-process" => Some(a.tight(0, "'bind-process' is not supported anymore.")),
        "monitor-net" => {
            let net = a.get(1);
            let text = format!(
                "'monitor-net' doesn't exist anymore. Please use 'http-request return status 200 if {{ src {net} }}' instead."
            );
            Some(a.fault(0, text))
        }
        _ => None,
    }
}

/// A removed `option`; `a.get(1)` is its name.
pub fn option(a: &Args<'_>) -> Option<Fault> {
    let name = a.get(1);
    let rest = match name {
        "forceclose" => "since HAProxy 2.0, please just remove it, or use 'option httpclose' if absolutely needed.",
        "http-tunnel" => "since HAProxy 2.1, please just remove it, it shouldn't be needed.",
        "http_proxy" => {
            "since HAProxy 2.5. This option stopped working in HAProxy 1.9 and usually had nasty side effects. It can be more \
             reliably implemented with combinations of 'http-request set-dst' and 'http-request set-uri', and even \
             'http-request do-resolve' if DNS resolution is desired."
        }
        _ => return None,
    };
    Some(a.tight(1, format!("option '{name}' is not supported any more {rest}")))
}
