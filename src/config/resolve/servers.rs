//! Servers and listeners once all their words are known: checks, TLS, addresses.

use crate::base::address::Address;
use crate::config::diagnostic::Severity;
use crate::config::keyword::address;
use crate::config::section::Loading;
use crate::model::bind::Proto;
use crate::model::check::CheckKind;
use crate::model::persist::ServerState;
use crate::model::proxy::Mode;
use crate::model::server::{InitAddr, Server};
use crate::model::state::file;
use std::net::{IpAddr, SocketAddr};

/// Puts what accumulated into the servers, and says what they lack.
pub(super) fn servers(cx: &mut Loading<'_>, index: usize) {
    let verify_default = cx.global.tls.server_verify;
    let draft = &mut cx.proxies[index];
    let proxy = draft.proxy.name.clone();
    let mut found = Vec::new();
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
        if !server.verify_written {
            server.server.tls.verify = verify_default;
        }
        let tls = &server.server.tls;
        let uses_tls = tls.ssl || tls.check_ssl || draft.proxy.backend.script_uses_tls();
        if uses_tls && tls.verify == crate::model::tls::ServerVerify::Required && tls.ca.is_none() {
            let text = format!(
                "{place} : verify is enabled by default but no CA file specified. If you're running on a LAN where you're \
                 certain to trust the server's certificate, please set an explicit 'verify none' statement on the 'server' \
                 line, or use 'ssl-server-verify none' in the global section to disable server-side verifications by default."
            );
            let text = if server.verify_written {
                format!("{place} : verify is enabled but no CA file specified.")
            } else {
                text
            };
            found.push((Severity::Alert, server.server.origin.clone(), text));
        }
        let is_http_check = matches!(draft.proxy.backend.check_kind, CheckKind::Http(_));
        if server.check_proto_written && server.check.proto.is_some() != is_http_check {
            let text = format!(
                "config: proxy '{proxy}': server '{}' uses an incompatible MUX protocol for the selected check type",
                server.server.name
            );
            cx.diagnostics.say(Severity::Alert, None, text);
        }
        if let Some(proto) = server.server.proto
            && draft.proxy.mode != Mode::Http
        {
            let text = format!(
                "proxy '{proxy}' : MUX protocol '{}' is not usable for server '{}' at [{}].",
                if proto == Proto::H2 { "h2" } else { "h1" },
                server.server.name,
                server.server.origin
            );
            cx.diagnostics.say(Severity::Alert, None, text);
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

/// Looks up the names of servers, as `init-addr` says.
pub(super) fn servers_addresses(cx: &mut Loading<'_>) {
    let mut failed = false;
    for index in 0..cx.proxies.len() {
        if cx.proxies[index].proxy.disabled {
            continue;
        }
        let proxy = cx.proxies[index].proxy.name.clone();
        let mut found = Vec::new();
        let mut saved = None;
        for number in 0..cx.proxies[index].servers.len() {
            if cx.proxies[index].servers[number].server.address.is_some() {
                continue;
            }
            let saved = saved.get_or_insert_with(|| state_file(cx, index));
            let ignore = cx.options.ignore_unresolvable;
            let server = &mut cx.proxies[index].servers[number].server;
            let last = saved.as_deref().and_then(|text| file::last_address(text, &proxy, &server.name));
            if let Err(fatal) = resolve_server(server, last, ignore) {
                let place = format!("[{}] : 'server {proxy}/{}'", server.origin, server.name);
                let end = if fatal { "." } else { ", disabling server." };
                let severity = if fatal { Severity::Alert } else { Severity::Notice };
                failed |= fatal;
                let what = match server.srv_label().is_some() && fatal {
                    true => "no method found to resolve address",
                    false => "could not resolve address",
                };
                let text = format!("{place} : {what} '{}'{end}", server.host);
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

/// The state file of a proxy, if it loads one that can be read; that it cannot is told when states are brought back.
fn state_file(cx: &Loading<'_>, index: usize) -> Option<String> {
    let proxy = &cx.proxies[index].proxy;
    let name = match proxy.backend.load_server_state {
        ServerState::Global => cx.global.server_state_file.clone()?,
        ServerState::Local => proxy.backend.server_state_file_name.as_deref().unwrap_or(&proxy.name).into(),
        _ => return None,
    };
    let base = cx.global.server_state_base.as_deref();
    std::fs::read_to_string(base.map_or_else(|| name.clone(), |base| base.join(&name))).ok()
}

/// Tries the methods in order; `last` is what the state file has. `Err(true)`: none gave an address and the load fails; `Err(false)`: the server starts
/// without one, with a notice.
fn resolve_server(server: &mut Server, last: Option<IpAddr>, ignore: bool) -> Result<(), bool> {
    // Servers of an SRV label are known when its records are.
    if server.srv_label().is_some() && (server.resolvers.is_some() || server.init_addr.contains(&InitAddr::None)) {
        return Ok(());
    }
    let default = [InitAddr::Last, InitAddr::Libc];
    let methods = if server.init_addr.is_empty() { default.to_vec() } else { server.init_addr.clone() };
    let mut tried = false;
    for method in &methods {
        let ip = match method {
            InitAddr::Last => last,
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
