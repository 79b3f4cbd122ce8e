//! `peers` sections (manual 10.1).

use super::{Loading, Section, forbidden_character, unknown_keyword};
use crate::{
    config::{
        diagnostic::Severity,
        keyword::{
            args::{Args, Fault, count},
            bind, log, server, stick_table,
        },
    },
    model::peers::{Peer, Peers},
};

const KEYWORDS: [&str; 9] =
    ["peer", "server", "bind", "table", "disabled", "enabled", "default-server", "log", "shards"];

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
            let bind = bind::peer_bind(cx, a)?;
            cx.peers[index].binds.push(bind);
            Ok(())
        }
        "table" => {
            let name = format!("{}/{}", cx.peers[index].name, a.get(1));
            if a.get(1).is_empty() {
                return Err(a.fault(1, "'table' expects a name as argument."));
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
        "log" => {
            let targets = log::section(cx, a)?;
            cx.peers[index].log_targets.extend(targets);
            Ok(())
        }
        "shards" => {
            cx.peers[index].shards = count(a.get(1));
            Ok(())
        }
        _ => Err(unknown_keyword(a, "peers", false, KEYWORDS.into_iter())),
    }
}

/// `peer <name> <address>` or `server <name> [<address>] [options]`.
fn peer(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    let name = a.get(1);
    if name.is_empty() {
        let text = format!("[{}] : '{}' expects <name> and <addr>[:<port>] as arguments.", a.line.origin, a.get(0));
        return Err(a.own(1, text));
    }
    let local = name == cx.local_peer();
    let draft = match a.get(2) {
        // The local peer listens where the `bind` line says.
        "" if local => None,
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
    cx.peers[index].peers.push(Peer { origin: a.origin(), name: name.to_owned(), local, server });
    Ok(())
}
