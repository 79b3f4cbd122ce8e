//! `bind` lines (manual 5.1) and `stats socket` lines, which take the same options.

mod options;

pub use options::{OPTIONS, based, idle_ping, proto, protocols};

use super::{
    NO_PRIORITIES, absent, address,
    args::{Args, Fault},
    unserved,
};
use crate::{
    config::{address::Listening, diagnostic::suggest, section::Loading},
    model::bind::Bind,
};
use std::path::PathBuf;

/// Id of a system user.
pub fn user_id(name: &str) -> Option<u32> {
    passwd_id("/etc/passwd", name)
}

/// Id of a system group.
pub fn group_id(name: &str) -> Option<u32> {
    passwd_id("/etc/group", name)
}

fn passwd_id(file: &str, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&name))?.get(2)?.parse().ok()
}

/// What went wrong on a line of options.
enum Trouble {
    Unknown,
    /// A text that HAProxy prefixes with the option's name.
    Option(String),
    /// A text of its own.
    Whole(String),
}

/// Reads the options from word `at` on.
fn options(cx: &mut Loading<'_>, bind: &mut Bind, a: &Args<'_>, mut at: usize) -> Result<(), (usize, Trouble)> {
    while !a.get(at).is_empty() {
        let word = a.get(at);
        let Some(option) = OPTIONS.iter().find(|o| o.name == word) else { return Err((at, Trouble::Unknown)) };
        if cx.options.refuse_unserved && unserved::reason_of("bind", word, a.get(at + 1)).is_some() {
            return Err((at, Trouble::Whole(absent::text(word))));
        }
        let bad = if option.words == 0 { at } else { at + 1 };
        (option.read)(bind, cx, &a.skip(at)).map_err(|text| match text.strip_prefix('\u{1}') {
            Some(text) => (bad, Trouble::Whole(text.to_owned())),
            None => (bad, Trouble::Option(text)),
        })?;
        if word == "nice" {
            cx.notice(a, at, format!("'nice': {NO_PRIORITIES}."));
        }
        at += 1 + option.words;
    }
    Ok(())
}

fn listens(bind: &mut Bind, found: Result<Listening, String>) -> Result<(), String> {
    Listening { addresses: bind.addresses, mptcp: bind.mptcp } = found?;
    Ok(())
}

/// `bind <addresses> [options]` in a proxy.
pub fn bind(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let word = a.get(1);
    if word.is_empty() {
        let text = "'bind' expects {<path>|[addr1]:port1[-end1]}{,[addr]:port[-end]}... as arguments.";
        return Err(a.fault(1, text));
    }
    let mut bind = Bind::new(a.origin(), word);
    listens(&mut bind, address::listen(word, cx.environment))
        .map_err(|text| a.fault(1, format!("'bind' : {text}")))?;
    prefix_unix(cx, &mut bind);
    let section = cx.draft().section;
    let place = format!("'bind {word}' in section '{section}'");
    if let Err((at, trouble)) = options(cx, &mut bind, a, 2) {
        return Err(match trouble {
            Trouble::Unknown => a.fault(at, unknown(&place, a.get(at))),
            Trouble::Whole(text) => a.fault(at, format!("{place} : {text}")),
            Trouble::Option(text) => {
                let option = OPTIONS.iter().rev().map(|o| o.name).find(|n| *n == a.get(at) || *n == a.get(at - 1));
                a.fault(at, format!("{place} : '{}' : {text}", option.unwrap_or_default()))
            }
        });
    }
    crate::config::tls::bind_files(cx, &bind, &place, a)?;
    let draft = cx.draft();
    if let Some(id) = bind.id
        && let Some(other) = draft.proxy.frontend.binds.iter().find(|b| b.id == Some(id))
    {
        let at = (2..a.len()).find(|&i| a.get(i) == "id").unwrap_or(1) + 1;
        let text =
            format!("{place} : 'id' : custom id {id} already used at {} ('bind {}')", other.origin, other.text);
        return Err(a.fault(at, text));
    }
    draft.proxy.frontend.binds.push(bind);
    Ok(())
}

/// `bind` in a `peers` section, whose address may be missing (the `server` line has it then).
pub fn peer_bind(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<Bind, Fault> {
    let word = a.get(1);
    let with_address = !word.is_empty() && !OPTIONS.iter().any(|o| o.name == word);
    let text = if with_address { word } else { "" };
    let mut bind = Bind::new(a.origin(), text);
    if let Some(defaults) = &cx.peers_default_bind {
        bind = Bind { origin: bind.origin, text: bind.text, ..defaults.clone() };
    }
    if with_address {
        listens(&mut bind, address::listen(word, cx.environment))
            .map_err(|text| a.fault(1, format!("'bind' : {text}")))?;
    }
    let place = format!("'bind {}' in section 'peers'", bind.text);
    let first = if with_address { 2 } else { 1 };
    options(cx, &mut bind, a, first).map_err(|(at, trouble)| match trouble {
        Trouble::Unknown => a.fault(at, unknown(&place, a.get(at))),
        Trouble::Whole(text) | Trouble::Option(text) => a.fault(at, format!("{place} : {text}")),
    })?;
    Ok(bind)
}

/// `default-bind` in a `peers` section.
pub fn peer_defaults(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<Bind, Fault> {
    let mut bind = cx.peers_default_bind.clone().unwrap_or_else(|| Bind::new(a.origin(), ""));
    options(cx, &mut bind, a, 1).map_err(|(at, trouble)| match trouble {
        Trouble::Unknown => a.fault(at, unknown("'default-bind' in section 'peers'", a.get(at))),
        Trouble::Whole(text) | Trouble::Option(text) => a.fault(at, format!("'default-bind' : {text}")),
    })?;
    Ok(bind)
}

fn unknown(place: &str, word: &str) -> String {
    if absent::bind_option(word) {
        return format!("{place} : {}", absent::text(word));
    }
    match suggest(word, OPTIONS.iter().map(|o| o.name)) {
        Some(near) => format!("{place}: unknown keyword '{word}'; did you mean '{near}' maybe ?"),
        None => format!("{place}: unknown keyword '{word}'."),
    }
}

/// `stats socket <address> [options]` in `global`.
pub fn stats_socket(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<Bind, Fault> {
    let word = a.get(2);
    let mut bind = Bind::new(a.origin(), word);
    listens(&mut bind, address::listen(word, cx.environment))
        .map_err(|text| a.fault(2, format!("'stats socket' : {text}")))?;
    prefix_unix(cx, &mut bind);
    options(cx, &mut bind, a, 3).map_err(|(at, trouble)| match trouble {
        Trouble::Unknown if absent::bind_option(a.get(at)) => {
            a.fault(at, format!("'stats socket' : {}", absent::text(a.get(at))))
        }
        Trouble::Unknown => {
            let near = suggest(a.get(at), OPTIONS.iter().map(|o| o.name));
            let hint = near.map(|n| format!(" Did you mean '{n}' maybe ?")).unwrap_or_default();
            a.fault(at, format!("'stats socket' : unknown keyword '{}'.{hint}", a.get(at)))
        }
        Trouble::Whole(text) => a.fault(at, format!("'stats socket' : '{text}'")),
        Trouble::Option(text) => a.fault(at, format!("'stats socket' : ''{}' : {text}'", a.get(at - 1))),
    })?;
    if bind.ssl {
        let at = (3..a.len()).find(|&i| a.get(i) == "ssl").unwrap_or(3);
        return Err(a.fault(at, format!("'stats socket' : {}", absent::text("ssl"))));
    }
    Ok(bind)
}

/// `unix-bind` gives UNIX sockets their prefix and rights; words of the line win.
fn prefix_unix(cx: &Loading<'_>, bind: &mut Bind) {
    use crate::base::address::Address;
    let defaults = &cx.global.unix_bind;
    let mut unix = false;
    for address in &mut bind.addresses {
        if let Address::Unix(path) = address {
            unix = true;
            if let Some(prefix) = &defaults.prefix {
                *path = PathBuf::from(format!("{prefix}{}", path.display()));
            }
        }
    }
    if unix {
        bind.mode = defaults.mode;
        bind.uid = defaults.uid;
        bind.gid = defaults.gid;
    }
}
