//! TLS in `global` (manual 3.1 "ca-base", "crt-base", "ssl-default-*", 3.2 "tune.ssl.*").

use super::{GlobalRow, g};
use crate::{
    config::{
        keyword::args::{Args, Bare, Fault, TimeFault, atol, time_s},
        section::Loading,
    },
    model::tls::{ExtraFiles, ServerVerify, TlsGlobal, TlsOptions, Version},
};
use std::path::PathBuf;

pub static ROWS: &[GlobalRow] = &[
    g("ca-base", |cx, a| base(a, |t| &mut t.ca_base, cx)),
    g("crt-base", |cx, a| base(a, |t| &mut t.crt_base, cx)),
    g("key-base", |cx, a| base(a, |t| &mut t.key_base, cx)),
    g("ssl-default-bind-ciphers", |cx, a| {
        cx.global.tls.bind.ciphers = Some(string(a, "a cipher suite as an argument")?);
        Ok(())
    }),
    g("ssl-default-bind-ciphersuites", |cx, a| {
        cx.global.tls.bind.ciphersuites = Some(string(a, "a cipher suite as an argument")?);
        Ok(())
    }),
    g("ssl-default-bind-curves", |cx, a| {
        cx.global.tls.bind.curves = Some(string(a, "a curves suite as an arguments")?);
        Ok(())
    }),
    g("ssl-default-server-ciphers", |cx, a| {
        cx.global.tls.server.ciphers = Some(string(a, "a cipher suite as an argument")?);
        Ok(())
    }),
    g("ssl-default-server-ciphersuites", |cx, a| {
        cx.global.tls.server.ciphersuites = Some(string(a, "a cipher suite as an argument")?);
        Ok(())
    }),
    g("ssl-default-server-curves", |cx, a| {
        cx.global.tls.server.curves = Some(string(a, "a curves suite as an arguments")?);
        Ok(())
    }),
    g("ssl-default-bind-options", bind_options),
    g("ssl-default-server-options", server_options),
    g("ssl-server-verify", |cx, a| {
        a.at_most(1)?;
        cx.global.tls.server_verify = match a.get(1) {
            "none" => ServerVerify::None,
            "required" => ServerVerify::Required,
            _ => return Err(a.fault(1, "'ssl-server-verify' expects 'none' or 'required' as argument.")),
        };
        Ok(())
    }),
    g("ssl-dh-param-file", |cx, a| {
        a.at_most(1)?;
        let path = a.get(1);
        if path.is_empty() {
            return Err(a.fault(1, "'ssl-dh-param-file' expects a file path as an argument."));
        }
        if std::fs::metadata(path).is_err() {
            let text = format!("'ssl-dh-param-file': unable to load DH parameters from file <{path}>.");
            return Err(a.fault(1, text));
        }
        super::limits::notice(cx, a, "there is no finite-field Diffie-Hellman here, its parameters are not used");
        Ok(())
    }),
    g("tune.ssl.default-dh-param", |cx, a| {
        a.at_most(1)?;
        match (a.get(1), atol(a.get(1))) {
            ("", _) => return Err(a.fault(1, "'tune.ssl.default-dh-param' expects an integer argument.")),
            (_, n @ 1024..) => cx.global.tls.default_dh_param = Some(n as u32),
            _ => return Err(a.fault(1, "'tune.ssl.default-dh-param' expects a value >= 1024.")),
        }
        super::limits::notice(cx, a, "there is no finite-field Diffie-Hellman here, its size is not used");
        Ok(())
    }),
    g("ssl-mode-async", |cx, a| {
        a.at_most(0)?;
        super::limits::notice(cx, a, "there is no asynchronous engine here, handshakes run in the worker");
        Ok(())
    }),
    g("ssl-engine", |_, a| {
        let text = "'ssl-engine' is not supported (built without USE_ENGINE or with -DOPENSSL_NO_ENGINE).";
        Err(a.fault(0, text))
    }),
    g("ssl-skip-self-issued-ca", |cx, a| {
        a.at_most(0)?;
        super::limits::notice(cx, a, "chains are sent as the certificate file has them");
        Ok(())
    }),
    g("ssl-load-extra-files", extra_files),
    g("ssl-load-extra-del-ext", |cx, _| {
        cx.global.tls.load_extra_del_ext = true;
        Ok(())
    }),
    g("tune.ssl.cachesize", |cx, a| {
        cx.global.tls.cachesize = positive(a)? as usize;
        Ok(())
    }),
    g("tune.ssl.lifetime", |cx, a| {
        a.at_most(1)?;
        let word = a.get(1);
        if word.is_empty() {
            let text = "'tune.ssl.lifetime' expects ssl sessions <lifetime> in seconds as argument.";
            return Err(a.fault(1, text));
        }
        cx.global.tls.lifetime_s = time_s(word, Bare::S).map_err(|fault| match fault {
            TimeFault::Overflow => a.fault(1, super::process_overflow(word, "tune.ssl.lifetime")),
            TimeFault::Char(c) => {
                a.fault(1, format!("unexpected character '{c}' in argument to <tune.ssl.lifetime>."))
            }
        })?;
        Ok(())
    }),
    g("tune.ssl.maxrecord", |cx, a| {
        cx.global.tls.maxrecord = positive(a)? as usize;
        Ok(())
    }),
    g("tune.ssl.hard-maxrecord", |cx, a| {
        cx.global.tls.hard_maxrecord = positive(a)? as usize;
        Ok(())
    }),
    g("tune.ssl.capture-buffer-size", |cx, a| {
        cx.global.tls.capture_buffer_size = positive(a)? as usize;
        Ok(())
    }),
    g("tune.ssl.capture-cipherlist-size", |cx, a| {
        cx.global.tls.capture_buffer_size = positive(a)? as usize;
        Ok(())
    }),
    g("tune.ssl.keylog", |cx, a| {
        a.at_most(1)?;
        cx.global.tls.keylog = match a.get(1) {
            "on" => true,
            "off" => false,
            other => {
                return Err(a.fault(1, format!("'tune.ssl.keylog' expects either 'on' or 'off' but got '{other}'.")));
            }
        };
        Ok(())
    }),
    g("tune.ssl.ssl-ctx-cache-size", |cx, a| {
        positive(a)?;
        super::limits::notice(cx, a, "certificates are not generated, so there is no cache of them");
        Ok(())
    }),
    g("tune.ssl.force-private-cache", |cx, a| {
        a.at_most(0)?;
        super::limits::notice(cx, a, "sessions are found by every worker, so there is no private cache");
        Ok(())
    }),
];

fn base(a: &Args<'_>, field: fn(&mut TlsGlobal) -> &mut Option<PathBuf>, cx: &mut Loading<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    let (keyword, path) = (a.get(0), a.get(1));
    if path.is_empty() {
        return Err(a.fault(1, format!("global statement '{keyword}' expects a directory path as an argument.")));
    }
    let field = field(&mut cx.global.tls);
    if field.is_some() {
        return Err(a.fault(0, format!("'{keyword}' already specified.")));
    }
    *field = Some(PathBuf::from(path));
    Ok(())
}

fn string(a: &Args<'_>, expected: &str) -> Result<String, Fault> {
    a.at_most(1)?;
    match a.get(1) {
        "" => Err(a.fault(1, format!("global statement '{}' expects {expected}.", a.get(0)))),
        word => Ok(word.to_owned()),
    }
}

fn positive(a: &Args<'_>) -> Result<u32, Fault> {
    a.at_most(1)?;
    let keyword = a.get(0);
    match (a.get(1), atol(a.get(1))) {
        ("", _) => Err(a.fault(1, format!("'{keyword}' expects an integer argument."))),
        (_, n @ 0..) => Ok(u32::try_from(n).unwrap_or(u32::MAX)),
        _ => Err(a.fault(1, format!("'{keyword}' expects a positive numeric value."))),
    }
}

/// A version word of the options lists (`no-tlsv10`, `force-tlsv12`, `ssl-min-ver TLSv1.2`); the words taken, or 0.
fn version_word(a: &Args<'_>, at: usize, options: &mut TlsOptions) -> Result<usize, Fault> {
    let word = a.get(at);
    if let Some(version) = word.strip_prefix("no-").and_then(Version::parse_suffix) {
        options.versions.disable(version);
        return Ok(1);
    }
    if let Some(version) = word.strip_prefix("force-").and_then(Version::parse_suffix) {
        options.versions.force(version);
        return Ok(1);
    }
    if !matches!(word, "ssl-min-ver" | "ssl-max-ver") {
        return Ok(0);
    }
    let keyword = a.get(0);
    let value = a.get(at + 1);
    if value.is_empty() {
        let text = format!("'{word}' : missing the ssl/tls version on global statement '{keyword}'.");
        return Err(a.fault(at + 1, text));
    }
    let Some(version) = Version::parse(value) else {
        let text = format!("'{value}' : unknown ssl/tls version on global statement '{keyword}'.");
        return Err(a.fault(at + 1, text));
    };
    match word {
        "ssl-min-ver" => options.versions.min = Some(version),
        _ => options.versions.max = Some(version),
    }
    Ok(2)
}

fn bind_options(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    options(a, |at| {
        let tls = &mut cx.global.tls;
        match a.get(at) {
            "no-tls-tickets" => tls.bind_no_tls_tickets = true,
            "tls-tickets" => tls.bind_no_tls_tickets = false,
            "strict-sni" => tls.bind_strict_sni = true,
            "no-strict-sni" => tls.bind_strict_sni = false,
            "prefer-client-ciphers" => tls.bind_prefer_client_ciphers = true,
            _ => return version_word(a, at, &mut tls.bind),
        }
        Ok(1)
    })
}

fn server_options(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    options(a, |at| {
        let tls = &mut cx.global.tls;
        match a.get(at) {
            "no-tls-tickets" => tls.server_no_tls_tickets = true,
            "tls-tickets" => tls.server_no_tls_tickets = false,
            _ => return version_word(a, at, &mut tls.server),
        }
        Ok(1)
    })
}

fn options(a: &Args<'_>, mut take: impl FnMut(usize) -> Result<usize, Fault>) -> Result<(), Fault> {
    let keyword = a.get(0);
    if a.get(1).is_empty() {
        return Err(a.fault(1, format!("global statement '{keyword}' expects an option as an argument.")));
    }
    let mut at = 1;
    while !a.get(at).is_empty() {
        match take(at)? {
            0 => {
                let text = format!("unknown option '{}' on global statement '{keyword}'.", a.get(at));
                return Err(a.fault(at, text));
            }
            words => at += words,
        }
    }
    Ok(())
}

fn extra_files(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let none = ExtraFiles { bundle: false, sctl: false, ocsp: false, issuer: false, key: false };
    let mut files = none;
    let mut at = 1;
    loop {
        match a.get(at) {
            "none" => files = none,
            "all" => files = ExtraFiles::default(),
            "bundle" => files.bundle = true,
            "sctl" => files.sctl = true,
            "ocsp" => files.ocsp = true,
            "issuer" => files.issuer = true,
            "key" => files.key = true,
            "" if at > 1 => break,
            _ => {
                let text = "'ssl-load-extra-files' expects one or multiple arguments (none, all, bundle, sctl, ocsp, issuer).";
                return Err(a.fault(at, text));
            }
        }
        at += 1;
    }
    cx.global.tls.load_extra_files = files;
    Ok(())
}
