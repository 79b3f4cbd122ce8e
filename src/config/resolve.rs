//! What only the whole configuration shows: names that refer to each other, addresses, ids, limits, and what HAProxy warns
//! about once all files are read.

use super::{
    diagnostic::Severity,
    keyword::address,
    section::{Loading, draft::Draft},
};
use crate::{
    base::address::Address,
    model::{
        certificates::TlsState,
        frontend::CaptureSlot,
        plan::Plan,
        proxy::{LogLineFormat, Mode},
        server::{InitAddr, Server},
    },
};
use std::{net::SocketAddr, sync::Arc};

/// Makes the plan. Errors go to the diagnostics; the plan is only good when there are none. Also tells whether anything
/// listens.
pub fn resolve(mut cx: Loading<'_>) -> (Plan, bool) {
    assign_ids(&mut cx);
    let tls = super::tls::state(&cx);
    for index in 0..cx.proxies.len() {
        proxy(&mut cx, &tls, index);
    }
    userlists(&mut cx);
    resolvers(&mut cx);
    servers_addresses(&mut cx);
    peers(&mut cx);
    global(&mut cx);
    let Loading { mut global, proxies, userlists, peers, resolvers, http_errors, options, patterns, .. } = cx;
    if global.nbthread == 0 {
        global.nbthread = options.cpus.max(1);
    }
    let listeners = !global.stats_sockets.is_empty()
        || peers.iter().any(|p| !p.disabled)
        || proxies.iter().any(|d| !d.proxy.disabled && !d.proxy.frontend.binds.is_empty());
    let proxies = proxies.into_iter().map(finished).collect();
    (Plan { global, proxies, userlists, peers, resolvers, http_errors, patterns, tls }, listeners)
}

/// The model's proxy, with its servers in place.
fn finished(draft: Draft) -> crate::model::proxy::Proxy {
    let mut proxy = draft.proxy;
    proxy.rules = Arc::new(draft.rules);
    let slot = |s: crate::language::parse::CaptureSlot| CaptureSlot {
        name: s.header.map(|h| String::from_utf8_lossy(&h).into_owned()),
        length_max: s.length_max,
    };
    proxy.frontend.captures.request = draft.captures.request.into_iter().map(slot).collect();
    proxy.frontend.captures.response = draft.captures.response.into_iter().map(slot).collect();
    proxy.backend.servers = draft.servers.into_iter().map(|s| s.server).collect();
    proxy
}

/// Ids count from 2 (1 is the runtime API's own proxy) and leave out those that were written; so do servers' from 1 and
/// listeners'.
fn assign_ids(cx: &mut Loading<'_>) {
    let written: Vec<u32> = cx.proxies.iter().filter(|p| p.proxy.id_forced).map(|p| p.proxy.id).collect();
    let mut next = 2;
    for draft in &mut cx.proxies {
        if !draft.proxy.id_forced {
            while written.contains(&next) {
                next += 1;
            }
            draft.proxy.id = next;
            next += 1;
        }
        let written: Vec<u32> = draft.servers.iter().filter(|s| s.id_written).map(|s| s.server.id).collect();
        let mut next = 1;
        for server in draft.servers.iter_mut().filter(|s| !s.id_written) {
            while written.contains(&next) {
                next += 1;
            }
            server.server.id = next;
            next += 1;
        }
        let written: Vec<u32> = draft.proxy.frontend.binds.iter().filter_map(|b| b.id).collect();
        let mut next = 1;
        for bind in &mut draft.proxy.frontend.binds {
            if bind.id.is_none() {
                while written.contains(&next) {
                    next += 1;
                }
                bind.id = Some(next);
                next += 1;
            }
        }
    }
}

/// The backends that `use_backend` names.
fn switching(cx: &mut Loading<'_>, index: usize) {
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
fn references(cx: &mut Loading<'_>, index: usize) {
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
                cx.peers.iter().position(|p| p.tables.iter().any(|t| t.name == name)).map(|i| (cx.proxies.len() + i, 0))
            }),
            ReferenceKind::Server => server_of(cx, &own, name),
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
                };
                let text = if reference.place.starts_with("track-sc") {
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
fn server_of(cx: &Loading<'_>, own: &str, name: &str) -> Option<(usize, usize)> {
    let (proxy, server) = name.split_once('/').unwrap_or((own, name));
    let index = cx.proxies.iter().position(|p| p.proxy.has_backend && p.proxy.name == proxy)?;
    let at = cx.proxies[index].servers.iter().position(|s| s.server.name == server)?;
    Some((index, at))
}

/// User lists in the form in which expressions read them.
fn languages_userlists(lists: &[crate::model::userlist::Userlist]) -> crate::language::auth::Userlists {
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

/// Log lines and expressions that are compiled once the whole proxy is known.
fn formats(cx: &mut Loading<'_>, index: usize) {
    use super::keyword::expr;
    use crate::language::{
        logformat::{self, LogFormat, Usage},
        sample::{Expr, scope::Points},
    };
    let draft = &cx.proxies[index];
    let (front, section) = (draft.proxy.has_frontend, draft.proxy.origin.clone());
    let origin = draft.log_option.as_ref().map_or_else(|| section.clone(), |(o, _)| o.clone());
    let log = draft.proxy.log.clone();
    let frontend = draft.proxy.frontend.clone();
    let line = match &log.format {
        _ if !front => None,
        LogLineFormat::Default => None,
        LogLineFormat::Tcp => Some(logformat::TCP.to_owned()),
        LogLineFormat::TcpClf => Some(logformat::TCP_CLF.to_owned()),
        LogLineFormat::Http => Some(logformat::HTTP.to_owned()),
        LogLineFormat::HttpClf => Some(logformat::HTTP_CLF.to_owned()),
        LogLineFormat::Https => Some(logformat::HTTPS.to_owned()),
        LogLineFormat::Custom(format) => Some(format.clone()),
    };
    let written = cx.proxies[index].format_origins.clone();
    let place = |name: &str| written.get(name).cloned().unwrap_or_else(|| origin.clone());
    cx.section = super::section::Section::Proxy(index);
    let jobs = [
        (line, "log-format", Usage::Log, origin.clone()),
        (log.structured_data, "log-format-sd", Usage::StructuredData, place("log-format-sd")),
        (log.error_format, "error-log-format", Usage::Log, place("error-log-format")),
        (frontend.unique_id_format, "unique-id", Usage::Value, place("unique-id-format")),
    ];
    for (text, name, usage, origin) in jobs {
        let Some(text) = text else { continue };
        let points = if name == "unique-id" { Points::FE_HRQ_HDR } else { Points::FE_LOG_END };
        let made = expr::parse(cx, origin.clone(), None, |p, _| {
            p.points = points;
            LogFormat::parse(&text, usage, p).map_err(|text| crate::language::parse::Error::new(1, text))
        });
        match made {
            Ok(format) => {
                let rules = &mut cx.proxies[index].rules;
                match name {
                    "log-format" => rules.log_format = Some(Arc::new(format)),
                    "log-format-sd" => rules.structured_data = Some(Arc::new(format)),
                    "error-log-format" => rules.error_log_format = Some(Arc::new(format)),
                    _ => rules.unique_id = Some(format),
                }
            }
            Err(error) => {
                let end = if error.text.ends_with('.') { "" } else { "." };
                let text = format!("Parsing [{origin}]: failed to parse {name} : {}{end}", error.text);
                cx.diagnostics.say(Severity::Alert, Some(&origin), text);
            }
        }
    }
    let draft = &cx.proxies[index];
    if let crate::model::backend::Balance::Hash(text) = draft.proxy.backend.balance.clone() {
        let made = expr::parse(cx, section.clone(), None, |p, _| {
            p.points = Points::BE_SET_SRV;
            Expr::parse_word(&text, 2, p)
        });
        match made {
            Ok(expr) => cx.proxies[index].rules.balance_hash = Some(expr),
            Err(error) => {
                let text = format!(
                    "{} [{section}]: failed to parse 'balance hash' expression '{text}' in : {}.",
                    cx.proxies[index].title(),
                    error.text.trim_end_matches('.')
                );
                cx.diagnostics.say(Severity::Alert, Some(&section), text);
            }
        }
    }
    // Manual 5.2 "sni-auto": the Host of the request, where there is one.
    let http = cx.proxies[index].proxy.mode == Mode::Http;
    let sni = |tls: &crate::model::tls::ServerTls| {
        let auto = http && tls.ssl && tls.sni_auto;
        tls.sni.clone().or_else(|| auto.then(|| "req.hdr(host),field(1,:)".to_owned()))
    };
    let snis: Vec<_> =
        cx.proxies[index].servers.iter().map(|s| (s.server.origin.clone(), sni(&s.server.tls))).collect();
    let mut made = Vec::new();
    for (at, (origin, sni)) in snis.into_iter().enumerate() {
        let Some(text) = sni else {
            made.push(None);
            continue;
        };
        let compiled = expr::parse(cx, origin.clone(), None, |p, _| {
            p.points = Points::BE_SRV_CON;
            Expr::parse_word(&text, 0, p)
        });
        if let Err(error) = &compiled {
            let draft = &cx.proxies[index];
            let text = format!(
                "config : [{origin}] : 'server {}/{}' : error detected while parsing sni or pool-conn-name expressions : {}.",
                draft.proxy.name,
                draft.servers[at].server.name,
                error.text.trim_end_matches('.')
            );
            cx.diagnostics.say(Severity::Alert, Some(&origin), text);
        }
        made.push(compiled.ok());
    }
    cx.proxies[index].rules.server_sni = made;
}

/// A message about a proxy as a whole.
fn say(cx: &mut Loading<'_>, index: usize, severity: Severity, text: impl Into<String>) {
    let origin = cx.proxies[index].proxy.origin.clone();
    cx.diagnostics.say(severity, Some(&origin), text);
}

fn proxy(cx: &mut Loading<'_>, tls: &TlsState, index: usize) {
    if cx.proxies[index].log_global {
        let targets = cx.global.log_targets.clone();
        cx.proxies[index].proxy.log.targets.extend(targets);
    }
    if cx.proxies[index].proxy.disabled {
        return;
    }
    default_backend(cx, index);
    error_files(cx, index);
    same_server_names(cx, index);
    tracking(cx, index);
    checks(cx, index);
    use_servers(cx, index);
    tables(cx, index);
    switching(cx, index);
    references(cx, index);
    warnings(cx, index);
    servers(cx, index);
    super::tls::build(cx, tls, index);
    formats(cx, index);
    missing_timeouts(cx, index);
}

fn default_backend(cx: &mut Loading<'_>, index: usize) {
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
            say(cx, index, Severity::Alert, text);
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
fn error_files(cx: &mut Loading<'_>, index: usize) {
    use crate::model::http_errors::ErrorReply;
    for (origin, name, statuses) in cx.proxies[index].errorfiles_sections.clone() {
        let Some(section) = cx.http_errors.iter().find(|e| e.name == name) else {
            let draft = &cx.proxies[index];
            let text =
                format!("{} '{}': unknown http-errors section '{name}' (at {origin}).", draft.proxy.kind(), draft.proxy.name);
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

fn same_server_names(cx: &mut Loading<'_>, index: usize) {
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
fn tracking(cx: &mut Loading<'_>, index: usize) {
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

fn tracked(cx: &Loading<'_>, from: &Draft, target: &str, own: &str) -> Result<(), String> {
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
        return Err(format!("unable to track itself ({proxy}/{name})."));
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
        if seen.contains(&(proxy.clone(), name.clone())) {
            return Err("unable to track: a loop was found in the tracking of servers.".to_owned());
        }
        let Some(draft) = cx.proxies.iter().find(|p| p.proxy.has_backend && p.proxy.name == proxy) else { break };
        let Some(server) = draft.servers.iter().find(|s| s.server.name == name) else { break };
        (home, at) = (draft, server);
        seen.push((proxy, name));
    }
    Ok(())
}

/// Kinds of checks that need something beside them.
fn checks(cx: &mut Loading<'_>, index: usize) {
    use crate::model::check::CheckKind;
    let draft = &cx.proxies[index];
    let (title, kind, name) = (draft.title(), draft.proxy.kind(), draft.proxy.name.clone());
    let backend = &draft.proxy.backend;
    let external = matches!(backend.check_kind, CheckKind::External);
    let (command, path) = (backend.external_check.command.is_some(), backend.external_check.path.is_some());
    let http_unused = !backend.http_check.steps.is_empty() && !matches!(backend.check_kind, CheckKind::Http(_));
    let tcp_unused = !backend.tcp_check.steps.is_empty() && !matches!(backend.check_kind, CheckKind::Tcp);
    if external {
        if cx.global.external_check.is_none() {
            let text =
                format!("Proxy '{name}' : 'option external-check' unable to find required 'global.external-check'.");
            say(cx, index, Severity::Alert, text);
        }
        if !command {
            let text =
                format!("Proxy '{name}' : 'option external-check' unable to find required 'external-check command'.");
            say(cx, index, Severity::Alert, text);
        }
        if !cx.global.insecure_fork_wanted {
            let text = format!(
                "Proxy '{name}' : 'insecure-fork-wanted' not enabled in the global section, 'option external-check' will \
                 likely fail."
            );
            say(cx, index, Severity::Warning, text);
        }
    } else {
        for (written, word) in [(command, "command"), (path, "path")] {
            if written {
                let text =
                    format!("'external-check {word}' will be ignored for {title} (requires 'option external-check').");
                say(cx, index, Severity::Warning, text);
            }
        }
    }
    for (unused, rules, option) in [(http_unused, "http-check", "httpchk"), (tcp_unused, "tcp-check", "tcp-check")] {
        if unused {
            let text =
                format!("{kind} '{name}' uses {rules} rules without 'option {option}', so the rules are ignored.");
            say(cx, index, Severity::Warning, text);
        }
    }
    let mut found = Vec::new();
    for server in &cx.proxies[index].servers {
        let no_port = server.server.port == 0 && matches!(server.server.address, Some(Address::Ip(_)) | None);
        let unspecified = matches!(server.server.address, Some(Address::Ip(a)) if a.ip().is_unspecified());
        let port_in_script = !cx.proxies[index].proxy.backend.tcp_check.steps.is_empty();
        if server.check_enabled && no_port && server.check.port.is_none() && !unspecified && !port_in_script {
            let text =
                format!("config: {title}: server '{}' has neither service port nor check port.", server.server.name);
            found.push((server.server.origin.clone(), text));
        }
    }
    for (origin, text) in found {
        cx.diagnostics.say(Severity::Alert, Some(&origin), text);
    }
}

fn use_servers(cx: &mut Loading<'_>, index: usize) {
    let draft = &cx.proxies[index];
    let mut found = Vec::new();
    for (origin, name) in &draft.use_servers {
        if !name.contains("%[") && !draft.servers.iter().any(|s| s.server.name == *name) {
            let text = format!("{} : unable to find server '{name}' referenced in a 'use-server' rule.", draft.title());
            found.push((origin.clone(), text));
        }
    }
    for (origin, text) in found {
        cx.diagnostics.say(Severity::Alert, Some(&origin), text);
    }
}

/// Tables that stick rules name, and the peers that tables name.
fn tables(cx: &mut Loading<'_>, index: usize) {
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

/// What is ignored in this proxy's mode, and other warnings, in HAProxy's order.
fn warnings(cx: &mut Loading<'_>, index: usize) {
    let state_file = cx.global.server_state_file.is_some();
    let draft = &mut cx.proxies[index];
    let title = draft.title();
    let http = draft.proxy.mode == Mode::Http;
    let mut warn = Vec::new();
    if !http {
        use crate::model::backend::Balance;
        if matches!(
            draft.proxy.backend.balance,
            Balance::Uri { .. } | Balance::UrlParam { .. } | Balance::Hdr { .. }
        ) && draft.proxy.has_backend
        {
            draft.proxy.backend.balance = Balance::Roundrobin;
            warn.push(format!(
                "Layer 7 hash not possible for {title} (needs 'mode http'). Falling back to round robin."
            ));
        }
        if matches!(draft.proxy.backend.balance, Balance::LogHash(_)) && draft.proxy.has_backend {
            draft.proxy.backend.balance = Balance::Roundrobin;
            warn.push(format!(
                "Unusable balance algorithm for {title} (needs 'mode log'). Falling back to round robin."
            ));
        }
        if draft.proxy.stats.take().is_some() {
            warn.push(format!("'stats' statement ignored for {title} as it requires HTTP mode."));
        }
        if draft.proxy.frontend.monitor_uri.take().is_some() && draft.proxy.has_frontend {
            warn.push(format!("'monitor-uri' statement ignored for {title} as it requires HTTP mode."));
        }
        let log = &mut draft.proxy.log;
        if matches!(log.format, LogLineFormat::Http | LogLineFormat::HttpClf | LogLineFormat::Https)
            && draft.proxy.has_frontend
        {
            let name = if matches!(log.format, LogLineFormat::Https) { "httpslog" } else { "httplog" };
            let origin = draft.log_option.as_ref().map(|(o, _)| o.to_string()).unwrap_or_default();
            log.format = LogLineFormat::Tcp;
            warn.push(format!(
                "parsing [{origin}] : 'option {name}' not usable with {title} (needs 'mode http'). Falling back to 'option \
                 tcplog'."
            ));
        }
        if draft.proxy.backend.cookie.take().is_some() && draft.proxy.has_backend {
            warn.push(format!("cookie will be ignored for {title} (needs 'mode http')."));
        }
        draft.rules.http_request = Default::default();
        draft.rules.http_response = Default::default();
        draft.rules.http_after_response = Default::default();
        draft.rules.redirects = Default::default();
        for rules in draft.http_rules.drain(..) {
            warn.push(format!("'{rules}' rules ignored for {title} as they require HTTP mode."));
        }
        for (option, set) in [
            ("forwardfor", draft.proxy.options.forwardfor.take().is_some()),
            ("originalto", draft.proxy.options.originalto.take().is_some()),
        ] {
            if set {
                warn.push(format!("'option {option}' ignored for {title} as it requires HTTP mode."));
            }
        }
        for server in draft.servers.iter_mut() {
            if server.server.cookie.take().is_some() {
                let name = &server.server.name;
                warn.push(format!("{title} : ignoring cookie for server '{name}' as HTTP mode is disabled."));
            }
        }
    }
    if http && matches!(draft.proxy.backend.balance, crate::model::backend::Balance::LogHash(_)) {
        draft.proxy.backend.balance = crate::model::backend::Balance::Roundrobin;
        warn.push(format!("Unusable balance algorithm for {title} (needs 'mode log'). Falling back to round robin."));
    }
    if draft.proxy.backend.load_server_state == crate::model::persist::ServerState::Global && !state_file {
        warn.push(format!(
            "backend '{}' configured to load server state file from global section 'server-state-file' directive. \
             Unfortunately, 'server-state-file' is not set!",
            draft.proxy.name
        ));
    }
    if draft.proxy.has_frontend && draft.proxy.log.targets.is_empty() {
        // Said only where the section itself chose a format.
        let own = |o: &crate::base::origin::Origin| {
            o.file == draft.proxy.origin.file && o.line > draft.proxy.origin.line
        };
        let line = draft.log_option.as_ref().is_some_and(|(o, _)| own(o));
        if line || draft.format_origins.get("log-format-sd").is_some_and(own) {
            warn.push(format!("log format ignored for {title} since it has no log address."));
        }
    }
    if draft.proxy.has_frontend && draft.proxy.frontend.binds.is_empty() {
        warn.insert(
            0,
            format!("{title} has no 'bind' directive. Please declare it as a backend if this was intended."),
        );
    }
    for text in warn {
        say(cx, index, Severity::Warning, text);
    }
}

/// Puts what accumulated into the servers, and says what they lack.
fn servers(cx: &mut Loading<'_>, index: usize) {
    let verify_default = cx.global.tls.server_verify;
    let draft = &mut cx.proxies[index];
    let proxy = draft.proxy.name.clone();
    let mut found = Vec::new();
    let timeout_check = draft.proxy.timeouts.check;
    let _ = timeout_check;
    for server in draft.servers.iter_mut() {
        let place = format!("[{}] : 'server {proxy}/{}'", server.server.origin, server.server.name);
        if server.check_enabled {
            server.server.check = Some(server.check.clone());
        }
        if server.agent_enabled {
            let mut agent = server.agent.clone();
            if !server.agent_inter_written {
                agent.inter_ms = server.check.inter_ms;
            }
            server.server.agent = Some(agent);
        }
        if !server.use_ssl_check {
            server.server.tls.verify = verify_default;
        }
        let tls = &server.server.tls;
        let uses_tls = tls.ssl || tls.check_ssl;
        if uses_tls && tls.verify == crate::model::tls::ServerVerify::Required && tls.ca.is_none() {
            let text = format!(
                "{place} : verify is enabled by default but no CA file specified. If you're running on a LAN where you're \
                 certain to trust the server's certificate, please set an explicit 'verify none' statement on the 'server' \
                 line, or use 'ssl-server-verify none' in the global section to disable server-side verifications by default."
            );
            let text = if server.use_ssl_check {
                format!("{place} : verify is enabled but no CA file specified.")
            } else {
                text
            };
            found.push((Severity::Alert, server.server.origin.clone(), text));
        }
        let retry = &draft.proxy.backend.retry_on;
        if server.server.tfo && !(retry.conn_failure && retry.empty_response && retry.response_timeout) {
            let text = format!(
                "{place} : server has tfo activated, the backend should be configured with at least 'conn-failure', \
                 'empty-response' and 'response-timeout' or we wouldn't be able to retry the connection on failure."
            );
            found.push((Severity::Warning, server.server.origin.clone(), text));
        }
    }
    for (severity, origin, text) in found {
        cx.diagnostics.say(severity, Some(&origin), text);
    }
    let mut missing = Vec::new();
    for server in &cx.proxies[index].servers {
        if let Some(resolvers) = &server.server.resolvers
            && !cx.resolvers.iter().any(|r| r.name == *resolvers)
            && !(resolvers == "default")
        {
            let text = format!(
                "{}, server '{}': unable to find required resolvers '{resolvers}'",
                cx.proxies[index].title(),
                server.server.name
            );
            missing.push((server.server.origin.clone(), text));
        }
    }
    for (origin, text) in missing {
        cx.diagnostics.say(Severity::Alert, Some(&origin), text);
    }
}

/// A proxy that passes traffic should bound it in time.
fn missing_timeouts(cx: &mut Loading<'_>, index: usize) {
    let draft = &cx.proxies[index];
    let t = &draft.proxy.timeouts;
    let front = draft.proxy.has_frontend && t.client.is_none();
    let back = draft.proxy.has_backend
        && (t.connect.is_none() || t.server.is_none())
        && (!draft.servers.is_empty() || draft.proxy.backend.dispatch.is_some());
    // A listen without servers of its own needs the client's only.
    let front = front && (!draft.proxy.frontend.binds.is_empty() || draft.proxy.has_backend);
    if front || back {
        let text = format!(
            "missing timeouts for {}.\n   | While not properly invalid, you will certainly encounter various problems\n   | with \
             such a configuration. To fix this, please ensure that all following\n   | timeouts are set to a non-zero value: \
             'client', 'connect', 'server'.",
            draft.title()
        );
        say(cx, index, Severity::Warning, text);
    }
}

/// Users and groups of a list must know each other.
fn userlists(cx: &mut Loading<'_>) {
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

fn resolvers(cx: &mut Loading<'_>) {
    for resolvers in &cx.resolvers {
        if resolvers.nameservers.is_empty() && !resolvers.parse_resolv_conf {
            let text = format!("resolvers '{}' [{}] has no nameservers configured!", resolvers.name, resolvers.origin);
            cx.diagnostics.say(Severity::Warning, Some(&resolvers.origin), text);
        }
    }
}

/// Looks up the names of servers, as `init-addr` says.
fn servers_addresses(cx: &mut Loading<'_>) {
    let mut failed = false;
    for index in 0..cx.proxies.len() {
        if cx.proxies[index].proxy.disabled {
            continue;
        }
        let proxy = cx.proxies[index].proxy.name.clone();
        let mut found = Vec::new();
        for draft in cx.proxies[index].servers.iter_mut() {
            let server = &mut draft.server;
            if server.address.is_some() {
                continue;
            }
            if let Err(fatal) = resolve_server(server, cx.options.ignore_unresolvable) {
                let place = format!("[{}] : 'server {proxy}/{}'", server.origin, server.name);
                let end = if fatal { "." } else { ", disabling server." };
                let severity = if fatal { Severity::Alert } else { Severity::Notice };
                failed |= fatal;
                let text = format!("{place} : could not resolve address '{}'{end}", server.host);
                found.push((severity, server.origin.clone(), text));
            }
        }
        for (severity, origin, text) in found {
            cx.diagnostics.say(severity, Some(&origin), text);
        }
    }
    if failed {
        cx.diagnostics.say(Severity::Alert, None, "Failed to initialize server(s) addr.");
    }
}

/// Tries the methods in order. `Err(true)`: none gave an address and the load fails; `Err(false)`: the server starts
/// without one, with a notice.
fn resolve_server(server: &mut Server, ignore: bool) -> Result<(), bool> {
    let default = [InitAddr::Last, InitAddr::Libc];
    let methods = if server.init_addr.is_empty() { default.to_vec() } else { server.init_addr.clone() };
    let mut tried = false;
    for method in &methods {
        let ip = match method {
            InitAddr::Last => None,
            InitAddr::Ip(ip) => Some(*ip),
            // Nothing else was tried: starting without an address is what was asked for.
            InitAddr::None => return if tried { Err(false) } else { Ok(()) },
            InitAddr::Libc => {
                tried = true;
                address::lookup(&server.host)
            }
        };
        if let Some(ip) = ip {
            server.address = Some(Address::Ip(SocketAddr::new(ip, server.port)));
            return Ok(());
        }
    }
    // With `resolvers` the name may still be answered while running.
    Err(!(ignore || server.resolvers.is_some()))
}

/// A section without the local peer is of no use.
fn peers(cx: &mut Loading<'_>) {
    let local = cx.local_peer().to_owned();
    let mut removed = Vec::new();
    cx.peers.retain(|section| {
        if section.disabled || section.peers.iter().any(|p| p.name == local) {
            return true;
        }
        removed.push((section.origin.clone(), section.name.clone()));
        false
    });
    for (origin, name) in removed {
        let text = format!("Removing incomplete section 'peers {name}' (no peer named '{local}').");
        cx.diagnostics.say(Severity::Warning, Some(&origin), text);
    }
}

fn global(cx: &mut Loading<'_>) {
    if let Some(maxconn) = cx.options.maxconn {
        cx.global.maxconn = Some(maxconn);
    }
    if cx.global.expose_experimental_directives {
        let text = "Option 'expose-experimental-directives' is set in the global section but is no longer used. It is strongly \
                    recommended to remove it in order to avoid using an experimental directive by accident in the future.";
        cx.diagnostics.say(Severity::Warning, None, text);
    }
    let threads = if cx.global.nbthread == 0 { cx.options.cpus.max(1) } else { cx.global.nbthread };
    let mut cpus: Vec<usize> = cx.global.cpu_map.iter().take(threads).flatten().copied().collect();
    cpus.sort_unstable();
    cpus.dedup();
    if !cpus.is_empty() && cx.global.cpu_map.len() >= threads && cpus.len() < threads {
        let text = format!(
            "This configuration binds {threads} threads to a total of {} CPUs via cpu-map directives. This means that some \
             threads will compete for the same CPU, which will cause severe performance degradation. Please fix either the \
             'cpu-map' directives or set the global 'nbthread' value accordingly.",
            cpus.len()
        );
        cx.diagnostics.say(Severity::Warning, None, text);
    }
}

/// Gives each backend without `fullconn` a tenth of the sum of the connections that the frontends which name it may have;
/// `maxconn` is the process's limit, known once the descriptors are counted. HAProxy's default, and the `slim` it shows.
pub fn limit_backends(plan: &mut Plan, maxconn: u32) {
    use crate::language::rules::switching::Target;
    let frontends: Vec<_> = plan.proxies.iter().filter(|p| p.has_frontend && !p.disabled).collect();
    let sums: Vec<u64> = plan
        .proxies
        .iter()
        .enumerate()
        .map(|(index, backend)| {
            let names = |front: &crate::model::proxy::Proxy| {
                front.frontend.default_backend == Some(index)
                    || front.rules.use_backend.rules.iter().any(
                        |r| matches!(&r.target, Target::Name(name) if **name == *backend.name && backend.has_backend),
                    )
            };
            let each = frontends.iter().filter(|f| names(f));
            each.map(|f| u64::from(f.frontend.maxconn.unwrap_or(maxconn))).sum()
        })
        .collect();
    for (proxy, sum) in plan.proxies.iter_mut().zip(sums) {
        if proxy.has_backend && proxy.backend.fullconn.is_none() {
            proxy.backend.fullconn = Some(u32::try_from(sum.div_ceil(10)).unwrap_or(u32::MAX).max(1));
        }
    }
}
