//! The options of `bind` lines (manual 5.1): a row each, with what reads its words. A text that begins with U+0001 is told as it
//! is; others follow the option's name.

use super::{group_id, user_id};
use crate::{
    config::{
        keyword::args::{Args, Bare, TimeFault, atol, time_ms},
        section::Loading,
    },
    model::{
        bind::{Bind, Level, Proto, SeverityOutput},
        tls::{CertificateSource, IgnoreErrors, Verify, Version},
    },
};
use std::path::{Path, PathBuf};

/// An option: its name, how many words it takes, and what reads them (the option's own word is `a.get(0)`).
pub struct BindOption {
    pub name: &'static str,
    pub words: usize,
    pub read: fn(&mut Bind, &Loading<'_>, &Args<'_>) -> Result<(), String>,
}

const fn o(
    name: &'static str,
    words: usize,
    read: fn(&mut Bind, &Loading<'_>, &Args<'_>) -> Result<(), String>,
) -> BindOption {
    BindOption { name, words, read }
}

/// Sets a switch.
macro_rules! set {
    ($($field:ident).+ = $value:expr) => {
        |b, _, _| {
            b.$($field).+ = $value;
            Ok(())
        }
    };
}

pub static OPTIONS: &[BindOption] = &[
    o("name", 1, |b, _, a| {
        b.name = Some(value(a, "missing name")?);
        Ok(())
    }),
    o("id", 1, |b, _, a| {
        let word = a.get(1);
        b.id = match word.parse::<i64>() {
            Ok(n @ 1..) => Some(n as u32),
            Ok(_) => return Err("custom id has to be > 0".to_owned()),
            Err(_) if word.is_empty() => return Err("expects an integer argument".to_owned()),
            Err(_) => return Err(format!("expects an integer argument, found '{word}'")),
        };
        Ok(())
    }),
    o("accept-proxy", 0, set!(accept_proxy = true)),
    o("backlog", 1, |b, _, a| {
        b.backlog = match count(a)? {
            n @ 0.. => Some(n as u32).filter(|&n| n > 0),
            n => return Err(format!("invalid value {n}, must be > 0")),
        };
        Ok(())
    }),
    o("maxconn", 1, |b, _, a| {
        b.maxconn = match count(a)? {
            n @ 0.. => Some(n as u32).filter(|&n| n > 0),
            n => return Err(format!("invalid value {n}, must be >= 0")),
        };
        Ok(())
    }),
    o("defer-accept", 0, set!(defer_accept = true)),
    o("interface", 1, |b, _, a| {
        b.interface = Some(value(a, "missing interface name")?);
        Ok(())
    }),
    o("mss", 1, |b, _, a| {
        b.mss = match atol(a.get(1)) {
            n if n != 0 && n.abs() <= 65535 => Some(n as i32),
            _ => return Err("expects an MSS with and absolute value between 1 and 65535".to_owned()),
        };
        Ok(())
    }),
    o("nice", 1, |_, _, a| {
        // What it does is said where the line is read.
        match count(a)? {
            -1024..=1024 => Ok(()),
            n => Err(format!("invalid value {n}, allowed range is -1024..1024")),
        }
    }),
    o("tcp-ut", 1, |b, _, a| {
        let word = value(a, "missing TCP User Timeout value")?;
        match time_ms(&word, Bare::Ms) {
            Ok(ms) => b.tcp_ut_ms = Some(ms),
            Err(_) => return Err("expects a positive delay in milliseconds".to_owned()),
        }
        Ok(())
    }),
    o("tcp-ss", 1, |b, _, a| {
        let mode = Some(a.get(1)).filter(|w| w.bytes().all(|b| b.is_ascii_digit())).and_then(|w| w.parse().ok());
        b.tcp_ss = match mode {
            Some(mode @ 0..=2) => mode,
            _ => return Err("TCP Save SYN option expects an integer argument from 0 to 2".to_owned()),
        };
        Ok(())
    }),
    o("tfo", 0, set!(tfo = true)),
    o("transparent", 0, set!(transparent = true)),
    o("v4v6", 0, set!(v4v6 = true)),
    o("v6only", 0, set!(v6only = true)),
    o("proto", 1, |b, _, a| {
        b.proto = proto(&value(a, "missing value")?)?;
        Ok(())
    }),
    o("mode", 1, |b, _, a| {
        let word = a.get(1);
        match u32::from_str_radix(word, 8) {
            Ok(mode) if mode <= 0o777 => b.mode = Some(mode),
            _ => return Err(format!("missing or invalid mode '{word}' (octal integer expected)")),
        }
        Ok(())
    }),
    o("uid", 1, |b, _, a| {
        b.uid = Some(count(a)? as u32);
        Ok(())
    }),
    o("gid", 1, |b, _, a| {
        b.gid = Some(count(a)? as u32);
        Ok(())
    }),
    o("user", 1, |b, _, a| {
        let name = value(a, "missing user name")?;
        b.uid = Some(user_id(&name).ok_or_else(|| format!("unknown user name '{name}'"))?);
        Ok(())
    }),
    o("group", 1, |b, _, a| {
        let name = value(a, "missing group name")?;
        b.gid = Some(group_id(&name).ok_or_else(|| format!("unknown group name '{name}'"))?);
        Ok(())
    }),
    o("level", 1, |b, _, a| {
        b.level = match a.get(1) {
            "user" => Level::User,
            "operator" => Level::Operator,
            "admin" => Level::Admin,
            "" => return Err("\u{1}'level' : missing level".to_owned()),
            other => {
                return Err(format!("\u{1}'level' only supports 'user', 'operator', and 'admin' (got '{other}')"));
            }
        };
        Ok(())
    }),
    o("severity-output", 1, |b, _, a| {
        b.severity_output = match a.get(1) {
            "none" => SeverityOutput::None,
            "number" => SeverityOutput::Number,
            "string" => SeverityOutput::String,
            other => {
                return Err(format!(
                    "\u{1}'severity-output' only supports 'none', 'number', and 'string' (got '{other}')"
                ));
            }
        };
        Ok(())
    }),
    o("expose-fd", 1, |b, _, a| {
        match a.get(1) {
            "listeners" => b.expose_fd_listeners = true,
            other => return Err(format!("\u{1}'expose-fd' only supports 'listeners' (got '{other}')")),
        }
        Ok(())
    }),
    o("cc", 1, |b, _, a| {
        b.cc = Some(value(a, "missing algorithm")?);
        Ok(())
    }),
    o("idle-ping", 1, |b, _, a| {
        b.idle_ping_ms = Some(idle_ping(a.get(1), "on bind line").map_err(|text| format!("\u{1}{text}."))?);
        Ok(())
    }),
    o("guid-prefix", 1, |b, _, a| {
        b.guid_prefix = Some(value(a, "expects an argument")?);
        Ok(())
    }),
    o("label", 1, |b, _, a| {
        b.label = Some(value(a, "missing label")?);
        Ok(())
    }),
    o("thread", 1, |b, _, a| {
        let word = a.get(1);
        let first = word.split([',', '-', '/']).next().unwrap_or_default();
        let known = matches!(first, "" | "all" | "odd" | "even");
        if !known && !first.parse::<u32>().is_ok_and(|n| (1..=1024).contains(&n)) {
            return Err(format!(
                "\u{1}invalid first thread number '{first}', permitted range is 1..1024, or 'all', 'odd', 'even'."
            ));
        }
        b.thread = Some(word.to_owned()).filter(|w| !w.is_empty());
        Ok(())
    }),
    o("process", 1, |_, _, a| {
        let word = a.get(1);
        Err(format!("\u{1}'process {word}' on 'bind' lines is not supported anymore, please use 'thread' instead."))
    }),
    o("shards", 1, |b, _, a| {
        let word = a.get(1);
        match (word, atol(word)) {
            ("by-process" | "by-thread" | "by-group", _) | (_, 1..=1024) => b.shards = Some(word.to_owned()),
            (_, n) => return Err(format!("invalid value {n}, allowed range is 1..1024 or 'by-thread'")),
        }
        Ok(())
    }),
    // TLS.
    o("ssl", 0, set!(ssl = true)),
    o("crt", 1, |b, cx, a| {
        let path = based(&cx.global.tls.crt_base, &value(a, "missing certificate location")?);
        b.tls.sources.push(CertificateSource::Crt(readable(&path)?));
        Ok(())
    }),
    o("default-crt", 1, |b, cx, a| {
        let path = based(&cx.global.tls.crt_base, &value(a, "missing certificate location")?);
        b.tls.sources.push(CertificateSource::DefaultCrt(readable(&path)?));
        Ok(())
    }),
    o("crt-list", 1, |b, _, a| {
        let word = value(a, "missing certificate location")?;
        b.tls.sources.push(CertificateSource::CrtList(PathBuf::from(word)));
        Ok(())
    }),
    o("alpn", 1, |b, _, a| {
        b.tls.options.alpn = Some(protocols(&value(a, "missing the comma-delimited ALPN protocol suite")?)?);
        Ok(())
    }),
    o("no-alpn", 0, set!(tls.options.alpn = Some(Vec::new()))),
    o("npn", 1, |_, _, a| {
        // The extension is gone from TLS; HAProxy takes the list and offers nothing.
        protocols(&value(a, "missing the comma-delimited NPN protocol suite")?).map(|_| ())
    }),
    o("ca-file", 1, |b, cx, a| {
        b.tls.options.ca_file = Some(based(&cx.global.tls.ca_base, &value(a, "missing CAfile path")?));
        Ok(())
    }),
    o("ca-verify-file", 1, |b, cx, a| {
        b.tls.options.ca_verify_file = Some(based(&cx.global.tls.ca_base, &value(a, "missing CAfile path")?));
        Ok(())
    }),
    o("crl-file", 1, |b, cx, a| {
        b.tls.options.crl_file = Some(based(&cx.global.tls.ca_base, &value(a, "missing CRLfile path")?));
        Ok(())
    }),
    o("ca-ignore-err", 1, |b, _, a| {
        b.tls.ca_ignore_err = ignored(&value(a, "missing error IDs list")?)?;
        Ok(())
    }),
    o("crt-ignore-err", 1, |b, _, a| {
        b.tls.crt_ignore_err = ignored(&value(a, "missing error IDs list")?)?;
        Ok(())
    }),
    o("ciphers", 1, |b, _, a| {
        b.tls.options.ciphers = Some(value(a, "missing cipher suite")?);
        Ok(())
    }),
    o("ciphersuites", 1, |b, _, a| {
        b.tls.options.ciphersuites = Some(value(a, "missing cipher suite")?);
        Ok(())
    }),
    o("curves", 1, |b, _, a| {
        b.tls.options.curves = Some(value(a, "missing curve suite")?);
        Ok(())
    }),
    o("ecdhe", 1, |b, _, a| {
        b.tls.options.curves = Some(value(a, "missing named curve")?);
        Ok(())
    }),
    o("verify", 1, |b, _, a| {
        b.tls.options.verify = Some(match a.get(1) {
            "" => return Err("missing verify method".to_owned()),
            "none" => Verify::None,
            "optional" => Verify::Optional,
            "required" => Verify::Required,
            other => {
                return Err(format!(
                    "unknown verify method '{other}', only 'none', 'optional', and 'required' are supported"
                ));
            }
        });
        Ok(())
    }),
    o("strict-sni", 0, set!(tls.strict_sni = true)),
    o("no-strict-sni", 0, set!(tls.strict_sni = false)),
    o("prefer-client-ciphers", 0, set!(tls.prefer_client_ciphers = true)),
    o("no-tls-tickets", 0, set!(tls.no_tls_tickets = true)),
    o("tls-tickets", 0, set!(tls.no_tls_tickets = false)),
    o("no-ca-names", 0, set!(tls.options.no_ca_names = true)),
    o("tls-ticket-keys", 1, |b, _, a| {
        let path = value(a, "missing TLS ticket keys file path")?;
        if std::fs::metadata(&path).is_err() {
            return Err("unable to open ssl tickets keys file".to_owned());
        }
        b.tls.tls_ticket_keys = Some(PathBuf::from(path));
        Ok(())
    }),
    o("ssl-min-ver", 1, |b, _, a| {
        b.tls.options.versions.min = Some(version(a)?);
        Ok(())
    }),
    o("ssl-max-ver", 1, |b, _, a| {
        b.tls.options.versions.max = Some(version(a)?);
        Ok(())
    }),
    o("no-sslv3", 0, |b, _, a| no_version(b, a)),
    o("no-tlsv10", 0, |b, _, a| no_version(b, a)),
    o("no-tlsv11", 0, |b, _, a| no_version(b, a)),
    o("no-tlsv12", 0, |b, _, a| no_version(b, a)),
    o("no-tlsv13", 0, |b, _, a| no_version(b, a)),
    o("force-sslv3", 0, |b, _, a| force_version(b, a)),
    o("force-tlsv10", 0, |b, _, a| force_version(b, a)),
    o("force-tlsv11", 0, |b, _, a| force_version(b, a)),
    o("force-tlsv12", 0, |b, _, a| force_version(b, a)),
    o("force-tlsv13", 0, |b, _, a| force_version(b, a)),
];

/// The value of an option, or HAProxy's text for its absence.
fn value(a: &Args<'_>, missing: &str) -> Result<String, String> {
    match a.get(1) {
        "" => Err(missing.to_owned()),
        word => Ok(word.to_owned()),
    }
}

/// The delay of `idle-ping`, milliseconds. The error is HAProxy's text; `place` is for it.
pub fn idle_ping(word: &str, place: &str) -> Result<u64, String> {
    match time_ms(word, Bare::Ms) {
        _ if word.is_empty() => Err("'idle-ping' expects an argument".to_owned()),
        Ok(ms) => Ok(ms),
        Err(TimeFault::Char(c)) => Err(format!("unexpected character '{c}' in 'idle-ping' argument {place}")),
        Err(TimeFault::Overflow) => Err(format!(
            "timer overflow in argument <{word}> to <idle-ping> {place}, maximum value is 2147483647 ms (~24.8 days)"
        )),
    }
}

fn count(a: &Args<'_>) -> Result<i64, String> {
    Ok(atol(&value(a, "missing value")?))
}

/// A protocol of `proto`.
pub fn proto(word: &str) -> Result<Option<Proto>, String> {
    match word {
        "h1" => Ok(Some(Proto::H1)),
        "h2" => Ok(Some(Proto::H2)),
        "none" => Ok(None),
        other => Err(format!(" unknown MUX protocol '{other}'")),
    }
}

/// The comma-separated list of `alpn`.
pub fn protocols(word: &str) -> Result<Vec<String>, String> {
    if word.split(',').any(|p| p.len() > 255) {
        return Err("a protocol name is too long".to_owned());
    }
    // HAProxy takes empty names and offers nothing for them.
    Ok(word.split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect())
}

fn ignored(list: &str) -> Result<IgnoreErrors, String> {
    IgnoreErrors::parse(list).map_err(|word| format!("error constant '{word}' unknown in error IDs list '{list}'"))
}

/// The version after `ssl-min-ver` or `ssl-max-ver`.
fn version(a: &Args<'_>) -> Result<Version, String> {
    let word = value(a, "missing the ssl/tls version")?;
    Version::parse(&word).ok_or_else(|| "unknown ssl/tls version".to_owned())
}

fn no_version(b: &mut Bind, a: &Args<'_>) -> Result<(), String> {
    if let Some(version) = a.get(0).strip_prefix("no-").and_then(Version::parse_suffix) {
        b.tls.options.versions.disable(version);
    }
    Ok(())
}

fn force_version(b: &mut Bind, a: &Args<'_>) -> Result<(), String> {
    if let Some(version) = a.get(0).strip_prefix("force-").and_then(Version::parse_suffix) {
        b.tls.options.versions.force(version);
    }
    Ok(())
}

/// A path below `crt-base` or `ca-base` where it is relative and no runtime name (`@...`).
pub fn based(base: &Option<PathBuf>, word: &str) -> PathBuf {
    match base {
        Some(base) if !word.starts_with(['/', '@']) => base.join(word),
        _ => PathBuf::from(word),
    }
}

/// A certificate that must be there: a file, a folder, or the base name of a bundle.
fn readable(path: &Path) -> Result<PathBuf, String> {
    if path.to_string_lossy().starts_with('@') {
        return Ok(path.to_owned());
    }
    if let Err(error) = std::fs::metadata(path) {
        let bundle = ["rsa", "dsa", "ecdsa"].iter().any(|end| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{end}"));
            std::fs::metadata(name).is_ok()
        });
        if !bundle {
            let reason = crate::config::files::reason(&error);
            return Err(format!("\u{1}unable to stat SSL certificate from file '{}' : {reason}.", path.display()));
        }
    }
    Ok(path.to_owned())
}
