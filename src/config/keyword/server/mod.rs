//! `server`, `default-server` and `server-template` lines (manual 4.2, 5.2). What the options set accumulates in a
//! [`ServerDraft`], so that `default-server` affects the servers below it.

pub mod dynamic;
mod options;
mod tls;

pub use options::{ServerOption, network};

use super::{
    absent, address,
    args::{Args, Fault},
    unserved,
};
use crate::base::address::Address;
use crate::config::{
    diagnostic::{Severity, suggest},
    section::{
        Loading,
        draft::{Draft, ServerDraft},
        forbidden_character,
    },
};
use std::net::SocketAddr;

/// Every option.
pub fn rows() -> impl Iterator<Item = &'static ServerOption> {
    options::OPTIONS.iter().chain(tls::OPTIONS)
}

/// Reads the options of a line from word `at` on into `draft`.
fn options(
    cx: &mut Loading<'_>,
    draft: &mut ServerDraft,
    a: &Args<'_>,
    mut at: usize,
    place: &str,
    with_address: bool,
) -> Result<(), Fault> {
    while !a.get(at).is_empty() {
        let word = a.get(at);
        let Some(option) = rows().find(|o| o.name == word) else {
            return Err(a.own(at, unknown(a, at, place, with_address)));
        };
        if cx.options.refuse_unserved && unserved::reason_of("server", word, a.get(at + 1)).is_some() {
            return Err(a.own(at, format!("[{}] : {place}{}", a.line.origin, absent::text(word))));
        }
        let bad = if option.words == 0 { at } else { at + 1 };
        let words = (option.read)(draft, cx, &a.skip(at))
            .map_err(|text| a.own(bad, format!("[{}] : {place}{text}.", a.line.origin)))?;
        at += 1 + words;
    }
    Ok(())
}

fn unknown(a: &Args<'_>, at: usize, place: &str, with_address: bool) -> String {
    let word = a.get(at);
    if absent::server_option(word) {
        return format!("[{}] : {place}{}", a.line.origin, absent::text(word));
    }
    let near = suggest(word, rows().map(|o| o.name));
    let hint = near.map(|n| format!("; did you mean '{n}' maybe ?"));
    let address = if with_address { "" } else { " Hint: no address was expected for this server." };
    let end = if hint.is_none() { "." } else { "" };
    format!("[{}] : {place}unknown keyword '{word}'{}{end}{address}", a.line.origin, hint.unwrap_or_default())
}

/// `server`, `default-server`, `server-template`.
pub fn server(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let keyword = a.get(0);
    let origin = &a.line.origin;
    let in_defaults = cx.in_defaults();
    let draft = cx.draft();
    if in_defaults && keyword != "default-server" {
        return Err(a.own(0, format!("[{origin}] : '{keyword}' not allowed in 'defaults' section.")));
    }
    if !draft.proxy.has_backend {
        let text = format!(
            "[{origin}] : parsing [{origin}] : '{keyword}' not allowed because {} has no backend capability.",
            draft.title()
        );
        return Err(a.own(0, text));
    }
    match keyword {
        "default-server" => {
            let mut server = draft.default_server.clone();
            if let Some(at) = (1..a.len()).find(|&i| matches!(a.get(i), "id" | "guid")) {
                let option = a.get(at);
                let text =
                    format!("config : [{origin}] : '{option}' option is not accepted in default-server sections");
                cx.diagnostics.without_failing(|d| d.pointing(Severity::Alert, a.line, a.word(at), text));
                return Ok(());
            }
            options(cx, &mut server, a, 1, "", false)?;
            cx.draft().default_server = server;
            Ok(())
        }
        "server-template" => template(cx, a),
        _ => one(cx, a),
    }
}

fn one(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let origin = &a.line.origin;
    let (name, at) = (a.get(1), a.get(2));
    if name.is_empty() || at.is_empty() {
        let text = format!("[{origin}] : 'server' expects <name> and <addr>[:<port>] as arguments.");
        return Err(a.own(a.len(), text));
    }
    if let Some(c) = forbidden_character(name) {
        return Err(a.own(1, format!("[{origin}] : character '{c}' is not permitted in server name '{name}'.")));
    }
    let server = read_server(cx, a, name, 2)?;
    push(cx.draft(), server).map_err(|text| a.own(1, text))
}

/// A `peer` or `server` line of a `peers` section.
pub fn peer(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<ServerDraft, Fault> {
    let (origin, name) = (a.origin(), a.get(1));
    let mut draft = cx.peers_default_server.clone().unwrap_or_else(|| ServerDraft::new(origin.clone()));
    draft.server.origin = origin.clone();
    name.clone_into(&mut draft.server.name);
    let place = format!("'server (null)/{name}' : ");
    let found =
        address::server(a.get(2), cx.environment).map_err(|text| a.own(2, format!("[{origin}] : {place}{text}")))?;
    if found.port_map.is_some() {
        let text = format!("[{origin}] : {place}missing port specification in '{}'", a.get(2));
        return Err(a.own(2, text));
    }
    draft.server.host = found.host;
    draft.server.address = found.address;
    draft.server.port = found.port;
    draft.server.mptcp = found.mptcp;
    options(cx, &mut draft, a, 3, &place, true)?;
    Ok(draft)
}

/// A `server` line of the ring `owner`: its address is resolved now.
pub fn of_ring(cx: &mut Loading<'_>, a: &Args<'_>, owner: &str) -> Result<ServerDraft, Fault> {
    let (origin, name) = (a.origin(), a.get(1));
    let mut draft = ServerDraft::new(origin.clone());
    name.clone_into(&mut draft.server.name);
    let place = format!("'server {owner}/{name}' : ");
    let found =
        address::server(a.get(2), cx.environment).map_err(|text| a.own(2, format!("[{origin}] : {place}{text}")))?;
    let resolved = || address::lookup(&found.host).map(|ip| Address::Ip(SocketAddr::new(ip, found.port)));
    draft.server.address = found.address.clone().or_else(resolved);
    draft.server.host = found.host;
    draft.server.port = found.port;
    draft.server.mptcp = found.mptcp;
    options(cx, &mut draft, a, 3, &place, true)?;
    Ok(draft)
}

/// `default-server` of a `peers` section.
pub fn peer_defaults(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<ServerDraft, Fault> {
    let mut draft = cx.peers_default_server.clone().unwrap_or_else(|| ServerDraft::new(a.origin()));
    options(cx, &mut draft, a, 1, "", false)?;
    Ok(draft)
}

/// Adds a server after the checks that need its siblings.
fn push(draft: &mut Draft, mut server: ServerDraft) -> Result<(), String> {
    if server.id_written
        && let Some(other) = draft.servers.iter().find(|s| s.id_written && s.server.id == server.server.id)
    {
        let text = format!(
            "[{}] : 'server {}/{}' : 'id' : custom id {} already used at {} ('server {}').",
            server.server.origin,
            draft.proxy.name,
            server.server.name,
            server.server.id,
            other.server.origin,
            other.server.name
        );
        return Err(text);
    }
    if !server.id_written {
        server.server.id = 0;
    }
    draft.servers.push(server);
    Ok(())
}

/// A server with the defaults, its address and the options of the line.
fn read_server(cx: &mut Loading<'_>, a: &Args<'_>, name: &str, at: usize) -> Result<ServerDraft, Fault> {
    let origin = a.origin();
    let mut draft = cx.draft().default_server.clone();
    let place = format!("'server {}/{name}' : ", cx.draft().proxy.name);
    draft.server.origin = origin.clone();
    name.clone_into(&mut draft.server.name);
    let found = address::server(a.get(at), cx.environment)
        .map_err(|text| a.own(at, format!("[{origin}] : {place}{text}")))?;
    draft.server.host = found.host;
    draft.server.address = found.address;
    draft.server.port = found.port;
    draft.server.mptcp = found.mptcp;
    draft.server.port_map = found.port_map;
    options(cx, &mut draft, a, at + 1, &place, true)?;
    if let Some(guid) = &draft.server.guid {
        let owner = format!("server {}/{name}", cx.draft().proxy.name);
        let at = (at..a.len()).find(|&i| a.get(i) == "guid").unwrap_or(at) + 1;
        let told = cx.guids.take(guid, owner);
        told.map_err(|text| a.own(at, format!("[{origin}] : {place}'guid': {text}.")))?;
    }
    finish(a, &draft, &place)?;
    if let Some(at) = (at..a.len()).find(|&i| a.get(i) == "log-proto") {
        // HAProxy says nothing there.
        cx.warn(a, at, format!("{place}'log-proto' has no effect outside 'ring' sections"));
    }
    crate::config::tls::server_files(cx, &draft.server, &place, a)?;
    Ok(draft)
}

/// What can be wrong with a line as a whole.
fn finish(a: &Args<'_>, s: &ServerDraft, place: &str) -> Result<(), Fault> {
    let origin = &a.line.origin;
    if s.server.track.is_some() && s.check_enabled {
        let at = (0..a.len()).find(|&i| a.get(i) == "track").unwrap_or(0);
        let text = format!("[{origin}] : {place}unable to enable checks and tracking at the same time!");
        return Err(a.own(at, text));
    }
    if s.agent_enabled && s.agent.port == 0 {
        let at = (0..a.len()).find(|&i| a.get(i) == "agent-check").unwrap_or(0);
        let name = &s.server.name;
        let text =
            format!("[{origin}] : {place}server {name} does not have agent port. Agent check has been disabled.");
        return Err(a.own(at, text));
    }
    Ok(())
}

/// `server-template <prefix> <number | low-high> <address> [options]`.
fn template(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let origin = &a.line.origin;
    let (prefix, count) = (a.get(1), a.get(2));
    if a.get(3).is_empty() {
        let text =
            format!("[{origin}] : 'server-template' expects <prefix> <nb | range> <addr>[:<port>] as arguments.");
        return Err(a.own(a.len(), text));
    }
    if let Some(c) = forbidden_character(prefix) {
        return Err(a.own(1, format!("[{origin}] : character '{c}' is not permitted in server name '{prefix}'.")));
    }
    let range = match count.split_once('-') {
        Some((low, high)) => low.parse::<u32>().ok().zip(high.parse::<u32>().ok()),
        None => count.parse::<u32>().ok().map(|high| (1, high)),
    };
    let Some((low, high)) = range.filter(|&(low, high)| low >= 1 && low <= high) else {
        return Err(a.own(2, format!("[{origin}] : Wrong server-template number or range arg '{count}'.")));
    };
    let first = read_server(cx, a, &format!("{prefix}{low}"), 3)?;
    for number in low..=high {
        let mut server = first.clone();
        server.template = true;
        server.server.name = format!("{prefix}{number}");
        if server.id_written {
            server.server.id = first.server.id + (number - low);
        }
        if number > low {
            server.server.guid = None;
        }
        push(cx.draft(), server).map_err(|text| a.own(1, text))?;
    }
    Ok(())
}
