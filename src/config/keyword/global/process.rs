//! Process management (manual 3.1): identity, files, threads.

use super::{GlobalRow, g, limits::notice, switch};
use crate::{
    config::{
        keyword::{
            args::{Args, Bare, Fault, TimeFault, atol, time_ms},
            log,
        },
        section::Loading,
    },
    model::{
        global::{DefaultPath, Statuses},
        resolvers::Families,
    },
};
use std::path::PathBuf;

pub static ROWS: &[GlobalRow] = &[
    g("daemon", switch!(daemon)),
    g("quiet", switch!(quiet)),
    g("zero-warning", switch!(zero_warning)),
    g("master-worker", master_worker),
    g("mworker-max-reloads", |cx, a| {
        a.at_most(1)?;
        cx.global.mworker_max_reloads = Some(integer(a, "'mworker-max-reloads' expects an integer argument")? as u32);
        Ok(())
    }),
    g("pidfile", pidfile),
    g("chroot", chroot),
    g("user", |cx, a| user(cx, a, true)),
    g("uid", |cx, a| user(cx, a, false)),
    g("group", |cx, a| group(cx, a, true)),
    g("gid", |cx, a| group(cx, a, false)),
    g("node", node),
    g("description", |cx, a| {
        if a.get(1).is_empty() {
            return Err(a.tight(1, "'description' expects a string argument."));
        }
        cx.global.description = Some(a.strings(1).join(" "));
        Ok(())
    }),
    g("localpeer", localpeer),
    g("hard-stop-after", |cx, a| {
        cx.global.hard_stop_after_ms = Some(delay(a)?);
        Ok(())
    }),
    g("grace", |cx, a| {
        cx.global.grace_ms = Some(delay(a)?);
        Ok(())
    }),
    g("close-spread-time", |cx, a| {
        cx.global.close_spread_time_ms = Some(if a.get(1) == "infinite" { u64::MAX } else { delay(a)? });
        Ok(())
    }),
    g("cluster-secret", |cx, a| {
        a.at_most(1)?;
        if a.get(1).is_empty() {
            return Err(a.fault(1, "expects an ASCII string argument."));
        }
        notice(cx, a, "there is no QUIC here, whose tokens are all that it is for");
        Ok(())
    }),
    g("dns-accept-family", dns_accept_family),
    g("default-path", default_path),
    g("log", log::global),
    g("log-tag", |cx, a| {
        a.at_most(1)?;
        if a.get(1).is_empty() {
            return Err(a.fault(1, "'log-tag' expects a tag for use in syslog."));
        }
        cx.global.log_tag = Some(a.get(1).to_owned());
        Ok(())
    }),
    g("log-send-hostname", |cx, a| {
        cx.global.log_send_hostname = Some(Some(a.get(1).to_owned()).filter(|n| !n.is_empty()));
        Ok(())
    }),
    g("unix-bind", unix_bind),
    g("external-check", |cx, a| {
        cx.global.external_check = match a.get(1) {
            "" => Some(false),
            "preserve-env" => Some(true),
            other => {
                let text = format!("'external-check' only supports 'preserve-env' as an argument, found '{other}'.");
                return Err(a.fault(1, text));
            }
        };
        a.at_most(1)
    }),
    g("insecure-fork-wanted", switch!(insecure_fork_wanted)),
    g("insecure-setuid-wanted", switch!(insecure_setuid_wanted)),
    g("set-dumpable", |cx, a| {
        a.at_most(1)?;
        let on = match a.get(1) {
            "" | "on" => true,
            "off" => false,
            "libs" => {
                notice(cx, a, "the libraries of this process are not copied into its memory");
                true
            }
            other => {
                let text = format!("'set-dumpable' only supports 'on' and 'off' as an argument, found '{other}'.");
                return Err(a.fault(1, text));
            }
        };
        cx.global.set_dumpable = on && cx.prefix == crate::config::keyword::Prefix::None;
        Ok(())
    }),
    g("expose-deprecated-directives", switch!(expose_deprecated_directives)),
    g("expose-experimental-directives", |cx, a| {
        a.at_most(0)?;
        cx.global.expose_experimental_directives = true;
        Ok(())
    }),
    g("quick-exit", switch!(quick_exit)),
    g("nogetaddrinfo", |cx, a| {
        notice(cx, a, "names are always asked of getaddrinfo(3)");
        a.at_most(0)
    }),
    g("h1-accept-payload-with-any-method", switch!(h1_accept_payload_with_any_method)),
    g("h1-do-not-close-on-insecure-transfer-encoding", switch!(h1_do_not_close_on_insecure_transfer_encoding)),
    g("http-err-codes", |cx, a| {
        cx.global.http_err_codes = statuses(a, cx.global.http_err_codes)?;
        Ok(())
    }),
    g("http-fail-codes", |cx, a| {
        cx.global.http_fail_codes = statuses(a, cx.global.http_fail_codes)?;
        Ok(())
    }),
    g("server-state-base", |cx, a| {
        cx.global.server_state_base = Some(state_path(a)?);
        Ok(())
    }),
    g("server-state-file", |cx, a| {
        cx.global.server_state_file = Some(state_path(a)?);
        Ok(())
    }),
    g("spread-checks", spread_checks),
    g("max-spread-checks", max_spread_checks),
];

/// `[+-]{low[-{high}]}[,...]`, each word of which replaces, extends or reduces the set.
fn statuses(a: &Args<'_>, now: Statuses) -> Result<Statuses, Fault> {
    let keyword = a.get(0);
    if a.get(1).is_empty() {
        return Err(a.fault(1, format!("Missing status codes range for '{keyword}'.")));
    }
    let mut set = now;
    for (at, word) in (1..a.len()).map(|at| (at, a.get(at))) {
        let (ranges, member) = match word.strip_prefix('-') {
            Some(rest) => (rest, false),
            None => (word.strip_prefix('+').unwrap_or(word), true),
        };
        if !word.starts_with(['+', '-']) {
            set = Statuses::default();
        }
        for range in ranges.split(',') {
            let (low, high) = range.split_once('-').unwrap_or((range, range));
            let (Ok(low), Ok(high)) = (low.parse::<u16>(), high.parse::<u16>()) else {
                let text = format!(
                    "Invalid status codes range '{word}' in '{keyword}' at position {at}. Ranges must be in the form \
                     [+-]{{low[-{{high}}]}}[,...]."
                );
                return Err(a.fault(at, text));
            };
            if low < 100 || high > 599 || low > high {
                let text = format!(
                    "Invalid status codes range '{word}' in '{keyword}'.\n Codes must be between 100 and 599 and ranges in \
                     ascending order."
                );
                return Err(a.fault(at, text));
            }
            set = set.with(low..=high, member);
        }
    }
    Ok(set)
}

fn master_worker(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    match a.get(1) {
        "" => {
            let text = "The 'master-worker' keyword is deprecated in 3.3 and will be removed in 3.5. Use -W or -Ws in the \
                        startup script instead.";
            let message = format!("config : {text}");
            cx.diagnostics.pointing(crate::config::diagnostic::Severity::Warning, a.line, a.word(0), message);
        }
        "no-exit-on-failure" => cx.global.no_exit_on_failure = true,
        other => {
            let text = format!("'master-worker' only supports 'no-exit-on-failure' option, found '{other}'.");
            return Err(a.fault(1, text));
        }
    }
    cx.global.master_worker = true;
    a.at_most(1)
}

fn pidfile(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    if cx.global.pidfile.is_some() {
        cx.warn(a, 0, "'pidfile' already specified. Continuing.");
        return Ok(());
    }
    if a.get(1).is_empty() {
        return Err(a.fault(1, "'pidfile' expects a file name as an argument."));
    }
    cx.global.pidfile = Some(PathBuf::from(a.get(1)));
    Ok(())
}

fn chroot(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    if cx.global.chroot.is_some() {
        cx.warn(a, 0, "'chroot' is already specified. Continuing.\n");
        return Ok(());
    }
    if a.get(1).is_empty() {
        return Err(a.fault(1, "'chroot' expects a directory as an argument.\n"));
    }
    cx.global.chroot = Some(PathBuf::from(a.get(1)));
    Ok(())
}

fn user(cx: &mut Loading<'_>, a: &Args<'_>, by_name: bool) -> Result<(), Fault> {
    a.at_most(1)?;
    if cx.written.uid {
        cx.diagnostics.harmless_alert(a.line, a.word(0), "user/uid already specified. Continuing.");
        return Ok(());
    }
    let id = identity(cx, a, by_name, "user")?;
    cx.written.uid |= id.is_some();
    cx.global.uid = id.or(cx.global.uid);
    Ok(())
}

fn group(cx: &mut Loading<'_>, a: &Args<'_>, by_name: bool) -> Result<(), Fault> {
    a.at_most(1)?;
    if cx.written.gid {
        cx.diagnostics.harmless_alert(a.line, a.word(0), "group/gid already specified. Continuing.");
        return Ok(());
    }
    let id = identity(cx, a, by_name, "group")?;
    cx.written.gid |= id.is_some();
    cx.global.gid = id.or(cx.global.gid);
    Ok(())
}

/// The id that `user`, `uid`, `group` or `gid` names; `None` after a warning.
fn identity(cx: &mut Loading<'_>, a: &Args<'_>, by_name: bool, what: &str) -> Result<Option<u32>, Fault> {
    let word = a.get(1);
    if by_name {
        let found =
            if what == "user" { super::super::bind::user_id(word) } else { super::super::bind::group_id(word) };
        return match found {
            Some(id) => Ok(Some(id)),
            None => Err(a.fault(1, format!("cannot find {what} id for '{word}' (0:Success)"))),
        };
    }
    let keyword = a.get(0);
    if word.is_empty() {
        return Err(a.fault(1, format!("'{keyword}' expects an integer argument.")));
    }
    match word.parse::<u32>() {
        Ok(id) => Ok(Some(id)),
        Err(_) => {
            let text = format!(
                " {keyword}: string '{word}' is not a number.\n   | You might want to use the '{what}' parameter to use a \
                 system {what} name."
            );
            cx.warn(a, 1, text);
            Ok(None)
        }
    }
}

fn node(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    let name = a.get(1);
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || !name.chars().all(legal) {
        return Err(a.tight(
            1,
            "'node' requires valid node name - non-empty string with digits(0-9), letters(A-Z, a-z), dot(.), hyphen(-) or \
             underscode(_).",
        ));
    }
    cx.global.node = Some(name.to_owned());
    Ok(())
}

fn localpeer(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    if a.get(1).is_empty() {
        return Err(a.fault(1, "'localpeer' expects a name as an argument.\n"));
    }
    if !cx.peers.is_empty() {
        return Err(a.fault(0, "'localpeer' must be defined before any 'peers' section."));
    }
    // `-L` wins over the file.
    if cx.options.local_peer.is_none() {
        cx.global.localpeer = Some(a.get(1).to_owned());
        cx.environment.set("HAPROXY_LOCALPEER", a.get(1));
    }
    Ok(())
}

/// The time after a keyword of its own, with the texts that these share.
fn delay(a: &Args<'_>) -> Result<u64, Fault> {
    let (keyword, word) = (a.get(0), a.get(1));
    if word.is_empty() {
        return Err(a.fault(1, format!("'{keyword}' expects <time> as argument.\n")));
    }
    match time_ms(word, Bare::Ms) {
        Ok(ms) => Ok(ms),
        Err(TimeFault::Overflow) => Err(a.fault(1, overflow(word, keyword))),
        Err(TimeFault::Char(c)) => {
            Err(a.fault(1, format!("unexpected character '{c}' in argument to <{keyword}>.\n")))
        }
    }
}

/// HAProxy's text for a time beyond its range.
pub fn overflow(word: &str, keyword: &str) -> String {
    format!("timer overflow in argument '{word}' to '{keyword}' (maximum value is 2147483647 ms or ~24.8 days)")
}

fn integer(a: &Args<'_>, missing: &str) -> Result<i64, Fault> {
    match a.get(1) {
        "" => Err(a.fault(1, missing)),
        word => Ok(atol(word)),
    }
}

/// `dns-accept-family { ipv4 | ipv6 | auto }[,...]`.
fn dns_accept_family(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    let mut families = Families { ipv4: false, ipv6: false };
    let mut auto = false;
    for word in a.get(1).split(',') {
        match word {
            "ipv4" => families.ipv4 = true,
            "ipv6" => families.ipv6 = true,
            "auto" => auto = true,
            _ => {
                // HAProxy shows the first word of the list, whichever is wrong.
                let shown = a.get(1).split(',').next().unwrap_or_default();
                let text = format!(
                    "'dns-accept-family' expects a comma-delimited list of 'ipv4' and 'ipv6' but got '{shown}'."
                );
                return Err(a.fault(1, text));
            }
        }
    }
    cx.global.dns_accept_family = (!auto).then_some(families);
    Ok(())
}

fn default_path(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let mode = match a.get(1) {
        "" => {
            let text = "missing default-path mode '' for 'default-path', supported modes include 'current', 'config', \
                        'parent', and 'origin'.";
            return Err(a.fault(1, text));
        }
        "current" => DefaultPath::Current,
        "config" => DefaultPath::Config,
        "parent" => DefaultPath::Parent,
        "origin" if a.get(2).is_empty() => {
            return Err(a.fault(2, "'default-path origin' expects a directory as an argument."));
        }
        "origin" => DefaultPath::Origin(PathBuf::from(a.get(2))),
        other => {
            let text = format!(
                "unsupported default-path mode '{other}' for 'default-path', supported modes include 'current', 'config', \
                 'parent', and 'origin'."
            );
            return Err(a.fault(1, text));
        }
    };
    cx.folder.set(mode, &a.line.origin.file).map_err(|text| a.fault(1, text))
}

fn unix_bind(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    use super::super::bind::{group_id, user_id};
    let mut at = 1;
    while !a.get(at).is_empty() {
        let value = a.get(at + 1);
        let bind = &mut cx.global.unix_bind;
        match a.get(at) {
            "prefix" => bind.prefix = Some(value.to_owned()),
            "mode" => bind.mode = u32::from_str_radix(value, 8).ok(),
            "uid" => bind.uid = Some(atol(value) as u32),
            "gid" => bind.gid = Some(atol(value) as u32),
            "user" => match user_id(value) {
                Some(id) => bind.uid = Some(id),
                None => return Err(a.fault(at + 1, format!("'unix-bind' : unknown user name '{value}'"))),
            },
            "group" => match group_id(value) {
                Some(id) => bind.gid = Some(id),
                None => return Err(a.fault(at + 1, format!("'unix-bind' : unknown group name '{value}'"))),
            },
            _ => {
                return Err(a.fault(
                    at,
                    "'unix-bind' only supports the 'prefix', 'mode', 'uid', 'gid', 'user' and 'group' options.",
                ));
            }
        }
        at += 2;
    }
    Ok(())
}

fn state_path(a: &Args<'_>) -> Result<PathBuf, Fault> {
    match a.get(1) {
        "" if a.get(0) == "server-state-file" => {
            Err(a.fault(1, "'server-state-file' expect one argument: a file path."))
        }
        "" => Err(a.fault(1, "'server-state-base' expects one argument: a directory path.")),
        path => {
            a.at_most(1)?;
            Ok(PathBuf::from(path))
        }
    }
}

fn spread_checks(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    if a.get(1).is_empty() {
        return Err(a.tight(1, "'spread-checks' expects an integer argument (0..50)."));
    }
    match atol(a.get(1)) {
        percent @ 0..=50 => cx.global.spread_checks = percent as u32,
        _ => return Err(a.tight(1, "'spread-checks' needs a positive value in range 0..50.")),
    }
    Ok(())
}

fn max_spread_checks(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    let word = a.get(1);
    if word.is_empty() {
        return Err(a.tight(1, "'max-spread-checks' expects an integer argument (0..50)."));
    }
    match time_ms(word, Bare::Ms) {
        Ok(ms) => cx.global.max_spread_checks_ms = Some(ms),
        Err(TimeFault::Overflow) => return Err(a.tight(1, overflow(word, "max-spread-checks"))),
        Err(TimeFault::Char(c)) => {
            let text = format!("unsupported character '{c}' in 'max-spread-checks' (wants an integer delay).");
            return Err(a.tight(1, text));
        }
    }
    Ok(())
}
