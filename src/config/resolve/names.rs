//! Names that refer to each other: backends, servers, tables, user lists, sets of replies.

use super::say;
use crate::config::diagnostic::Severity;
use crate::config::section::{Loading, draft::Draft};
use crate::model::proxy::Mode;
use crate::model::stick_table::KeyType;
use std::sync::Arc;

/// Listeners get their identifiers once all others are known.
pub(super) fn guids(cx: &mut Loading<'_>) {
    let Loading { proxies, guids, diagnostics, .. } = cx;
    for draft in proxies.iter().filter(|d| !d.proxy.disabled) {
        for bind in &draft.proxy.frontend.binds {
            let owner = format!("listener {} ({})", draft.proxy.name, bind.origin);
            let told = bind.guids().try_for_each(|guid| guids.take(&guid, owner.as_str()));
            if let Err(text) = told {
                let text = format!(
                    "[{}] : error on GUID generation : {text}. You may fix it by adjusting guid-prefix.",
                    bind.origin
                );
                diagnostics.say(Severity::Alert, Some(&bind.origin), text);
            }
        }
    }
}

pub(super) fn default_backend(cx: &mut Loading<'_>, index: usize) {
    let draft = &cx.proxies[index];
    if !draft.proxy.has_frontend {
        return;
    }
    let Some(name) = draft.proxy.frontend.default_backend_name.clone() else {
        if draft.proxy.has_backend {
            cx.proxies[index].proxy.frontend.default_backend = Some(index);
        }
        return;
    };
    let target = cx.proxies.iter().position(|p| p.proxy.has_backend && p.proxy.name == name);
    let draft = &cx.proxies[index];
    match target {
        None => {
            let text = format!("Proxy '{}': unable to find required default_backend: '{name}'.", draft.proxy.name);
            let origin = draft.proxy.frontend.default_backend_origin.clone().unwrap_or(draft.proxy.origin.clone());
            cx.diagnostics.say(Severity::Alert, Some(&origin), text);
        }
        Some(target) if target == index => {
            let text = format!("Proxy '{}': loop detected for default_backend: '{name}'.", draft.proxy.name);
            say(cx, index, Severity::Alert, text);
        }
        Some(target) => {
            let backend = &cx.proxies[target].proxy;
            // A TCP frontend may hand over to an HTTP backend, not the other way round.
            if draft.proxy.mode == Mode::Http && backend.mode == Mode::Tcp {
                let text = format!(
                    "http {} '{}' ({}) tries to use incompatible tcp {} '{name}' ({}) as its default backend (see 'mode').",
                    draft.proxy.kind(),
                    draft.proxy.name,
                    draft.proxy.origin,
                    backend.kind(),
                    backend.origin
                );
                say(cx, index, Severity::Alert, text);
            }
            cx.proxies[index].proxy.frontend.default_backend = Some(target);
        }
    }
}

/// `errorfiles` take replies from `http-errors` sections.
pub(super) fn error_files(cx: &mut Loading<'_>, index: usize) {
    use crate::model::http_errors::ErrorReply;
    for (origin, name, statuses) in cx.proxies[index].errorfiles_sections.clone() {
        let Some(section) = cx.http_errors.iter().find(|e| e.name == name) else {
            let draft = &cx.proxies[index];
            let text = format!(
                "{} '{}': unknown http-errors section '{name}' (at {origin}).",
                draft.proxy.kind(),
                draft.proxy.name
            );
            cx.diagnostics.say(Severity::Alert, Some(&origin), text);
            continue;
        };
        let proxy = &mut cx.proxies[index].proxy;
        for (status, reply) in &section.replies {
            if statuses.is_empty() || statuses.contains(status) {
                match reply {
                    ErrorReply::File(bytes) => {
                        proxy.errorfiles.insert(*status, bytes.clone());
                    }
                    ErrorReply::Redirect { status: redirect, location } => {
                        proxy.errorlocs.insert(*status, (*redirect, location.clone()));
                    }
                }
            }
        }
    }
}

pub(super) fn same_server_names(cx: &mut Loading<'_>, index: usize) {
    let draft = &cx.proxies[index];
    let mut found = Vec::new();
    for (at, server) in draft.servers.iter().enumerate() {
        let name = &server.server.name;
        if let Some(other) = draft.servers[..at].iter().find(|s| s.server.name == *name) {
            let text = format!(
                "parsing [{}] : {}, another server named '{name}' was already defined at line {}, please use distinct names.",
                server.server.origin,
                draft.title(),
                other.server.origin.line
            );
            found.push((server.server.origin.clone(), text));
        }
    }
    for (origin, text) in found {
        cx.diagnostics.say(Severity::Alert, Some(&origin), text);
    }
}

/// `track [<proxy>/]<server>` must lead to a server with checks, without a loop.
pub(super) fn tracking(cx: &mut Loading<'_>, index: usize) {
    let mut found = Vec::new();
    let draft = &cx.proxies[index];
    for server in &draft.servers {
        let Some(target) = &server.server.track else { continue };
        let place = format!("[{}] : 'server {}/{}'", server.server.origin, draft.proxy.name, server.server.name);
        let text = tracked(cx, draft, target, &server.server.name);
        if let Err(text) = text {
            found.push((server.server.origin.clone(), format!("{place} : {text}")));
        }
    }
    for (origin, text) in found {
        cx.diagnostics.say(Severity::Alert, Some(&origin), text);
    }
}

pub(super) fn tracked(cx: &Loading<'_>, from: &Draft, target: &str, own: &str) -> Result<(), String> {
    let (proxy, name) = match target.split_once('/') {
        Some((proxy, name)) => (proxy, name),
        None => (from.proxy.name.as_str(), target),
    };
    let Some(draft) = cx.proxies.iter().find(|p| p.proxy.has_backend && p.proxy.name == proxy) else {
        return Err(format!("unable to find required proxy '{proxy}' for tracking."));
    };
    let Some(server) = draft.servers.iter().find(|s| s.server.name == name) else {
        return Err(format!("unable to find required server '{name}' for tracking."));
    };
    if std::ptr::eq(draft, from) && name == own {
        return Err(format!(
            "unable to track {proxy}/{name} as it belongs to a tracking chain looping back to {proxy}/{name}."
        ));
    }
    if !server.check_enabled && !server.agent_enabled && server.server.track.is_none() {
        return Err(format!(
            "unable to use {proxy}/{name} for tracking as it does not have any check nor agent enabled."
        ));
    }
    // Chains of tracking end at a checked server or turn in a circle.
    let mut seen = vec![(proxy.to_owned(), name.to_owned())];
    let mut at = server;
    let mut home = draft;
    while let Some(next) = &at.server.track {
        let (proxy, name) = match next.split_once('/') {
            Some((proxy, name)) => (proxy.to_owned(), name.to_owned()),
            None => (home.proxy.name.clone(), next.clone()),
        };
        if proxy == from.proxy.name && name == own {
            let (target, first) = (&seen[0].0, &seen[0].1);
            return Err(format!(
                "unable to track {target}/{first} as it belongs to a tracking chain looping back to {proxy}/{name}."
            ));
        }
        if seen.contains(&(proxy.clone(), name.clone())) {
            break;
        }
        let Some(draft) = cx.proxies.iter().find(|p| p.proxy.has_backend && p.proxy.name == proxy) else { break };
        let Some(server) = draft.servers.iter().find(|s| s.server.name == name) else { break };
        (home, at) = (draft, server);
        seen.push((proxy, name));
    }
    Ok(())
}

pub(super) fn use_servers(cx: &mut Loading<'_>, index: usize) {
    let draft = &cx.proxies[index];
    let mut found = Vec::new();
    for (origin, name) in &draft.use_servers {
        if !name.contains("%[") && !draft.servers.iter().any(|s| s.server.name == *name) {
            let text =
                format!("{} : unable to find server '{name}' referenced in a 'use-server' rule.", draft.title());
            found.push((origin.clone(), text));
        }
    }
    for (origin, text) in found {
        cx.diagnostics.say(Severity::Alert, Some(&origin), text);
    }
}

/// Tables that stick rules name, and the peers that tables name.
pub(super) fn tables(cx: &mut Loading<'_>, index: usize) {
    let draft = &cx.proxies[index];
    let name = draft.proxy.name.clone();
    let mut found = Vec::new();
    for rule in &draft.proxy.backend.stick_rules {
        let table = rule.table.as_deref().unwrap_or(&name);
        let exists = cx.proxies.iter().any(|p| p.proxy.name == table && p.proxy.backend.stick_table.is_some())
            || cx.peers.iter().any(|p| p.tables.iter().any(|t| t.name == table));
        if !exists {
            found.push((rule.origin.clone(), format!("Proxy '{name}': unable to find stick-table '{table}'.")));
        }
    }
    if let Some(table) = &draft.proxy.backend.stick_table
        && let Some(peers) = &table.peers
        && !cx.peers.iter().any(|p| p.name == *peers)
    {
        found.push((table.origin.clone(), format!("Proxy '{name}': unable to find sync peers '{peers}'.")));
    }
    for (origin, text) in found {
        cx.diagnostics.say(Severity::Alert, Some(&origin), text);
    }
}

/// The tables that `write-to` names must exist and have the same keys.
pub(super) fn write_to(cx: &mut Loading<'_>) {
    let of_proxies = cx.proxies.iter().filter_map(|p| p.proxy.backend.stick_table.as_ref());
    let tables: Vec<_> = of_proxies.chain(cx.peers.iter().flat_map(|p| &p.tables)).collect();
    // HAProxy counts the terminating NUL of a string.
    let size = |key: KeyType| key.size() + matches!(key, KeyType::String(_)) as usize;
    let mut found = Vec::new();
    for table in &tables {
        let Some(target) = &table.write_to else { continue };
        let name = &table.name;
        let why = match tables.iter().find(|t| t.name == *target) {
            None => format!("table '{target}' doesn't exist."),
            Some(other) if other.key.name() != table.key.name() => format!(
                "cannot mix table types ('{target}' has '{}' type and '{name}' has '{}' type).",
                other.key.name(),
                table.key.name()
            ),
            Some(other) if other.key != table.key => format!(
                "cannot mix key sizes ('{target}' has '{}' key_size and '{name}' has '{}' key_size).",
                size(other.key),
                size(table.key)
            ),
            Some(_) => continue,
        };
        let text = format!("Parsing [{}]: failed to initialize '{name}' stick-table: write-to: {why}", table.origin);
        found.push((table.origin.clone(), text));
    }
    for (origin, text) in found {
        cx.diagnostics.say(Severity::Alert, Some(&origin), text);
    }
}

/// The backends that `use_backend` names.
pub(super) fn switching(cx: &mut Loading<'_>, index: usize) {
    use crate::language::rules::switching::Target;
    let draft = &cx.proxies[index];
    let (mut found, mut targets) = (Vec::new(), Vec::new());
    let server = |rule: &crate::language::rules::switching::SwitchingRule| match &rule.target {
        Target::Name(name) => draft.servers.iter().position(|s| s.server.name == **name),
        Target::Format(_) => None,
    };
    let servers: Vec<_> = draft.rules.use_server.rules.iter().map(server).collect();
    for rule in &draft.rules.use_backend.rules {
        let Target::Name(name) = &rule.target else {
            targets.push(None);
            continue;
        };
        let own = &draft.proxy.name;
        let target = cx.proxies.iter().position(|p| p.proxy.has_backend && p.proxy.name == **name);
        targets.push(target);
        let Some(target) = target else {
            let text = format!("Proxy '{own}': unable to find required use_backend: '{name}'.");
            found.push((rule.origin.clone(), text));
            continue;
        };
        let backend = &cx.proxies[target].proxy;
        if target == index {
            found.push((rule.origin.clone(), format!("Proxy '{own}': loop detected for use_backend: '{name}'.")));
        } else if draft.proxy.mode == Mode::Http && backend.mode == Mode::Tcp {
            let text = format!(
                "http {} '{own}' ({}) tries to use incompatible tcp {} '{name}' ({}) in a 'use_backend' rule (see 'mode').",
                draft.proxy.kind(),
                draft.proxy.origin,
                backend.kind(),
                backend.origin
            );
            found.push((rule.origin.clone(), text));
        }
    }
    cx.proxies[index].rules.use_backend_targets = targets;
    cx.proxies[index].rules.use_server_targets = servers;
    for (origin, text) in found {
        cx.diagnostics.say(Severity::Alert, Some(&origin), text);
    }
}

/// Proxies, servers, tables and lists that expressions name.
pub(super) fn references(cx: &mut Loading<'_>, index: usize) {
    use crate::language::sample::args::ReferenceKind;
    let list = std::mem::take(&mut cx.proxies[index].references);
    let lists = languages_userlists(&cx.userlists);
    for reference in list {
        let own = cx.proxies[index].proxy.name.clone();
        let name = if reference.name.is_empty() { own.as_str() } else { &reference.name };
        let by = |test: &dyn Fn(&Draft) -> bool| cx.proxies.iter().position(|p| p.proxy.name == name && test(p));
        let found = match reference.kind {
            ReferenceKind::Frontend => by(&|p| p.proxy.has_frontend).map(|i| (i, 0)),
            ReferenceKind::Backend => by(&|p| p.proxy.has_backend).map(|i| (i, 0)),
            ReferenceKind::Table => by(&|p| p.proxy.backend.stick_table.is_some()).map(|i| (i, 0)).or_else(|| {
                cx.peers
                    .iter()
                    .position(|p| p.tables.iter().any(|t| t.name == name))
                    .map(|i| (cx.proxies.len() + i, 0))
            }),
            ReferenceKind::Server => server_of(cx, &own, name),
            ReferenceKind::Resolvers => {
                cx.resolvers.iter().position(|r| r.name == *reference.name).map(|section| (section, 0))
            }
            ReferenceKind::Userlist => match lists.get(name) {
                Some(list) => {
                    let _ = reference.userlist.set(list.clone());
                    Some((0, 0))
                }
                None => None,
            },
        };
        match found {
            Some(found) => {
                let _ = reference.index.set(found);
            }
            None => {
                let what = match reference.kind {
                    ReferenceKind::Frontend => "frontend",
                    ReferenceKind::Backend => "backend",
                    ReferenceKind::Table => "table",
                    ReferenceKind::Server => "server",
                    ReferenceKind::Userlist => "userlist",
                    ReferenceKind::Resolvers => "resolvers",
                };
                let text = if reference.kind == ReferenceKind::Resolvers {
                    format!("Proxy '{own}': {}", reference.missing())
                } else if reference.place.starts_with("track-sc") {
                    format!("Proxy '{own}': unable to find table '{name}' referenced by {}.", reference.place)
                } else {
                    format!(
                        "parsing [{}]: unable to find {what} '{name}' referenced in {} in proxy '{own}'.",
                        reference.origin, reference.place
                    )
                };
                cx.diagnostics.say(Severity::Alert, Some(&reference.origin), text);
            }
        }
    }
}

/// `backend/server`, or a server of the proxy itself.
pub(super) fn server_of(cx: &Loading<'_>, own: &str, name: &str) -> Option<(usize, usize)> {
    let (proxy, server) = name.split_once('/').unwrap_or((own, name));
    let index = cx.proxies.iter().position(|p| p.proxy.has_backend && p.proxy.name == proxy)?;
    let at = cx.proxies[index].servers.iter().position(|s| s.server.name == server)?;
    Some((index, at))
}

/// User lists in the form in which expressions read them.
pub(super) fn languages_userlists(lists: &[crate::model::userlist::Userlist]) -> crate::language::auth::Userlists {
    use crate::{language::auth, model::userlist::Password};
    let mut out = auth::Userlists::default();
    for list in lists {
        let mut made = auth::Userlist { name: list.name.as_str().into(), ..Default::default() };
        for user in &list.users {
            let mut groups: Vec<Box<str>> = user.groups.iter().map(|g| g.as_str().into()).collect();
            let named = list.groups.iter().filter(|g| g.users.contains(&user.name));
            groups.extend(named.map(|g| g.name.as_str().into()));
            let password = match &user.password {
                Password::None => auth::Password::None,
                Password::Plain(text) => auth::Password::Plain(text.as_bytes().into()),
                Password::Crypt(hash) => auth::Password::Hash(hash.as_str().into()),
            };
            made.users.insert(user.name.as_bytes().into(), auth::User { password, groups });
        }
        out.insert(list.name.clone(), Arc::new(made));
    }
    out
}

/// Users and groups of a list must know each other.
pub(super) fn userlists(cx: &mut Loading<'_>) {
    let mut found = Vec::new();
    for list in &mut cx.userlists {
        for user in &list.users {
            for group in &user.groups {
                if !list.groups.iter().any(|g| g.name == *group) {
                    let text = format!(
                        "userlist '{}': no such group '{group}' specified in user '{}'",
                        list.name, user.name
                    );
                    found.push((list.origin.clone(), text));
                }
            }
        }
        for group in &list.groups {
            for user in &group.users {
                match list.users.iter_mut().find(|u| u.name == *user) {
                    Some(user) if !user.groups.contains(&group.name) => user.groups.push(group.name.clone()),
                    Some(_) => {}
                    None => {
                        let text = format!(
                            "userlist '{}': no such user '{user}' specified in group '{}'",
                            list.name, group.name
                        );
                        found.push((list.origin.clone(), text));
                    }
                }
            }
        }
    }
    for (origin, text) in found {
        cx.diagnostics.say(Severity::Alert, Some(&origin), text);
    }
}
