//! `peers` sections (manual 11.2).

use super::{Loading, Section, forbidden_character, unknown_keyword};
use crate::{
    config::{
        diagnostic::Severity,
        keyword::{
            absent,
            args::{Args, Fault},
            bind, log, server, stick_table,
        },
        tls,
    },
    model::{
        bind::Bind,
        peers::{Peer, Peers},
    },
};

const KEYWORDS: [&str; 10] =
    ["peer", "server", "bind", "table", "disabled", "enabled", "default-server", "default-bind", "log", "shards"];

/// Options of servers that mean nothing to peers (manual 11.2, "server").
const IGNORED: [&str; 4] = ["check", "agent-check", "init-addr", "resolvers"];
/// The address of the local peer stands on its own line or on `bind` lines.
const MIXED: &str = "mixing \"peer\" and \"bind\" line is forbidden";

pub fn open(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<Section, Fault> {
    let name = a.get(1);
    if name.is_empty() {
        return Err(a.fault(1, "missing name for peers section."));
    }
    a.at_most(1)?;
    if let Some(c) = forbidden_character(name) {
        return Err(a.fault(1, format!("character '{c}' is not permitted in 'peers' name '{name}'.")));
    }
    if let Some(other) = cx.peers.iter().find(|p| p.name == name) {
        let text = format!(
            "Parsing [{}]: peers section '{name}' has the same name as another peers section declared at {}.",
            a.line.origin, other.origin
        );
        return Err(a.own(1, text));
    }
    cx.peers.push(Peers {
        origin: a.origin(),
        name: name.to_owned(),
        disabled: false,
        peers: Vec::new(),
        binds: Vec::new(),
        tables: Vec::new(),
        shards: 0,
        log_targets: Vec::new(),
    });
    cx.peers_default_server = None;
    cx.peers_default_bind = None;
    Ok(Section::Peers(cx.peers.len() - 1))
}

pub fn read(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    match a.get(0) {
        "peer" | "server" => peer(cx, index, a),
        "default-server" => {
            let draft = server::peer_defaults(cx, a)?;
            cx.peers_default_server = Some(draft);
            Ok(())
        }
        "bind" => {
            let local = cx.local_peer();
            if cx.peers[index].peers.iter().any(|p| p.name == local && p.server.address.is_some()) {
                return Err(a.fault(0, MIXED));
            }
            let bind = bind::peer_bind(cx, a)?;
            refuse_bind(a, &bind)?;
            if bind.ssl {
                let place = format!("'bind {}' in section 'peers'", bind.text);
                tls::bind_files(cx, &bind, &place, a)?;
            }
            cx.peers[index].binds.push(bind);
            Ok(())
        }
        "default-bind" => {
            let bind = bind::peer_defaults(cx, a)?;
            refuse_bind(a, &bind)?;
            cx.peers_default_bind = Some(bind);
            Ok(())
        }
        "table" => {
            let name = format!("{}/{}", cx.peers[index].name, a.get(1));
            if a.get(1).is_empty() {
                return Err(a.fault(1, "'table' expects a name as argument."));
            }
            if let Some(at) = (2..a.len()).find(|&i| a.get(i) == "peers" && a.get(i - 1) != "write-to") {
                return Err(a.fault(at, "table: unknown argument 'peers'."));
            }
            let table = stick_table::read(cx, a, 2, "table", name)?;
            cx.peers[index].tables.push(table);
            Ok(())
        }
        "disabled" => {
            cx.peers[index].disabled = true;
            Ok(())
        }
        "enabled" => {
            cx.peers[index].disabled = false;
            Ok(())
        }
        // HAProxy logs nothing there (observed: neither meetings nor refusals).
        "log" => {
            let targets = log::section(cx, a)?;
            cx.peers[index].log_targets.extend(targets);
            Ok(())
        }
        "shards" => {
            match (a.get(1), a.get(1).parse()) {
                ("", _) => return Err(a.fault(1, "'shards' : missing value")),
                (_, Ok(n @ 1..)) => cx.peers[index].shards = n,
                (word, _) => {
                    return Err(a.fault(1, format!("'shards' : expects an integer argument, found '{word}'")));
                }
            }
            Ok(())
        }
        _ => Err(unknown_keyword(a, "peers", false, KEYWORDS.into_iter())),
    }
}

/// Refuses by name what peers' listeners do not do.
fn refuse_bind(a: &Args<'_>, bind: &Bind) -> Result<(), Fault> {
    if bind.accept_proxy {
        let at = (1..a.len()).find(|&i| a.get(i) == "accept-proxy").unwrap_or(0);
        return Err(a.fault(at, absent::text("accept-proxy")));
    }
    Ok(())
}

/// `peer <name> <address>` or `server <name> [<address>] [options]`.
fn peer(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    let name = a.get(1);
    if name.is_empty() {
        let text = format!("[{}] : '{}' expects <name> and <addr>[:<port>] as arguments.", a.line.origin, a.get(0));
        return Err(a.own(1, text));
    }
    let local = name == cx.local_peer();
    if local && let Some(other) = cx.peers[index].peers.iter().find(|p| p.local) {
        let text = format!("'{} {name}' : local peer name already referenced at {}. {name}", a.get(0), other.origin);
        return Err(a.fault(1, text));
    }
    if local && a.get(0) == "server" && !a.get(2).is_empty() {
        let text = format!(
            "[{}] : 'server {name}/{name}' : unknown keyword '{}'. Hint: no address was expected for this server.",
            a.line.origin,
            a.get(2)
        );
        return Err(a.own(2, text));
    }
    if local && !a.get(2).is_empty() && !cx.peers[index].binds.is_empty() {
        return Err(a.fault(0, MIXED));
    }
    let draft = match a.get(2) {
        // The local peer listens where the `bind` line says.
        "" if local && (a.get(0) == "server" || !cx.peers[index].binds.is_empty()) => None,
        "" => {
            let text = format!("'{} {name}' : ignoring invalid peer definition (missing address:port)", a.get(0));
            cx.diagnostics.at(Severity::Warning, a.line, a.word(2), text);
            return Ok(());
        }
        _ => Some(server::peer(cx, a)?),
    };
    let server = match draft {
        Some(draft) => draft.server,
        None => {
            let mut server = crate::model::server::Server::new(a.origin());
            name.clone_into(&mut server.name);
            server
        }
    };
    if let Some(at) = (3..a.len()).find(|&i| IGNORED.contains(&a.get(i))) {
        let text = format!("'{} {name}' : init_addr, resolvers, check and agent are ignored for peers.", a.get(0));
        cx.diagnostics.at(Severity::Warning, a.line, a.word(at), text);
    }
    if let Some(at) = (3..a.len()).find(|&i| a.get(i).starts_with("send-proxy")) {
        let text =
            format!("config : [{}] : 'send-proxy*' server option is unsupported there, ignoring it", a.line.origin);
        cx.diagnostics.pointing(Severity::Warning, a.line, a.word(at), text);
    }
    if server.ssl {
        let place = format!("'server (null)/{name}' : ");
        tls::server_files(cx, &server, &place, a)?;
    }
    cx.peers[index].peers.push(Peer { origin: a.origin(), name: name.to_owned(), local, server });
    Ok(())
}
