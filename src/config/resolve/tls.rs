//! The TLS contexts of listeners and servers: certificates and trust files are read here, so that what is wrong with them
//! is told with file and line like everything else.

use crate::{
    config::{
        diagnostic::{Diagnostics, Severity},
        section::Loading,
    },
    model::{
        bind::Bind,
        certificates::{
            bind::{BindContext, BindError, Surroundings},
            server::{self, ServerError},
            store::Store,
        },
        credentials::{Credentials, Shared},
        proxy::Mode,
        server::Server,
        tls::{ServerVerify, TlsGlobal},
    },
    proto::tls::{session_cache::SessionCache, tickets::TicketKeys},
};
use std::sync::Arc;

/// Builds all contexts. `None` where nothing uses TLS.
pub(super) fn contexts(cx: &mut Loading<'_>) -> Option<Credentials> {
    let active = |p: &&crate::config::section::draft::Draft| !p.proxy.disabled;
    let listens = cx.proxies.iter().filter(active).any(|p| p.proxy.frontend.binds.iter().any(|b| b.ssl));
    let connects = cx.proxies.iter().filter(active).any(|p| {
        let scripted = p.proxy.backend.script_uses_tls();
        p.servers.iter().any(|s| scripted || s.server.tls.ssl || s.server.tls.check_ssl)
    });
    let peers = || cx.peers.iter().filter(|s| !s.disabled);
    let peered = peers().any(|s| s.binds.iter().any(|b| b.ssl) || s.peers.iter().any(|p| p.server.tls.ssl));
    let rings = cx.rings.iter().any(|r| r.servers.iter().any(|s| s.tls.ssl));
    if !listens && !connects && !peered && !rings {
        return None;
    }
    let global = Arc::new(cx.global.tls.clone());
    let credentials = Credentials {
        tickets: Shared(TicketKeys::random(global.lifetime_s)),
        sessions: Shared(SessionCache::new(global.cachesize, global.lifetime_s)),
    };
    let store = cx.store();
    let around = Around { global, store, credentials: &credentials };
    for index in 0..cx.proxies.len() {
        if !cx.proxies[index].proxy.disabled {
            cx.folder.enter(&cx.proxies[index].proxy.origin.file);
            let draft = &mut cx.proxies[index];
            let (http, proxy) = (draft.proxy.mode == Mode::Http, &mut draft.proxy);
            let owner = Owner { name: &proxy.name, section: draft.section, http };
            binds(cx.diagnostics, &mut proxy.frontend.binds, &owner, &around);
            let scripted = proxy.backend.script_uses_tls();
            let list = draft.servers.iter_mut().map(|s| &mut s.server);
            servers(cx.diagnostics, list, &proxy.name, scripted, &around);
        }
    }
    for section in cx.peers.iter_mut().filter(|s| !s.disabled) {
        cx.folder.enter(&section.origin.file);
        let owner = Owner { name: &section.name, section: "peers", http: false };
        binds(cx.diagnostics, &mut section.binds, &owner, &around);
        let peers = section.peers.iter_mut().map(|p| &mut p.server).filter(|s| s.tls.ssl);
        servers(cx.diagnostics, peers, "(null)", false, &around);
    }
    for ring in cx.rings.iter_mut() {
        cx.folder.enter(&ring.origin.file);
        let list = ring.servers.iter_mut().filter(|s| s.tls.ssl);
        servers(cx.diagnostics, list, &ring.name, false, &around);
    }
    Some(credentials)
}

/// What all lines are built in.
struct Around<'a> {
    global: Arc<TlsGlobal>,
    store: Arc<Store>,
    credentials: &'a Credentials,
}

/// Whose lines they are.
struct Owner<'a> {
    name: &'a str,
    section: &'a str,
    http: bool,
}

fn binds(diagnostics: &mut Diagnostics, binds: &mut [Bind], owner: &Owner<'_>, around: &Around<'_>) {
    let Owner { name, section, http } = *owner;
    for bind in binds.iter_mut().filter(|b| b.ssl) {
        let surroundings = Surroundings {
            global: around.global.clone(),
            store: around.store.clone(),
            proxy: name.to_owned(),
            origin: bind.origin.to_string(),
            line: format!("bind '{}' at [{}]", bind.text, bind.origin),
            http,
            tickets: around.credentials.tickets.0.clone(),
            sessions: around.credentials.sessions.0.clone(),
        };
        let mut warnings = Vec::new();
        match BindContext::build(&bind.tls, surroundings, &mut warnings) {
            Ok(context) => bind.tls_context = Some(Shared(context)),
            Err(errors) => {
                for error in errors {
                    let text = match error {
                        BindError::Alert(text) => format!("config : {text}"),
                        BindError::Parse(text) => format!(
                            "config : parsing [{}] : 'bind {}' in section '{section}' : {text}",
                            bind.origin, bind.text
                        ),
                        BindError::Proxy(text) => format!("Proxy '{name}': {text}"),
                    };
                    diagnostics.say(Severity::Alert, Some(&bind.origin), text);
                }
            }
        }
        for warning in warnings {
            diagnostics.say(Severity::Warning, Some(&bind.origin), format!("Proxy '{name}': {warning}"));
        }
    }
}

fn servers<'s>(
    diagnostics: &mut Diagnostics,
    servers: impl Iterator<Item = &'s mut Server>,
    proxy: &str,
    scripted: bool,
    around: &Around<'_>,
) {
    for server in servers {
        let lacks_ca = server.tls.verify == ServerVerify::Required && server.tls.ca.is_none();
        for check in [false, true] {
            let wanted = server.tls.ssl || (check && (server.tls.check_ssl || scripted));
            // What lacks its CA was told with the server's other words.
            if !wanted || lacks_ca {
                continue;
            }
            let place = format!("[{}] : 'server {proxy}/{}' : ", server.origin, server.name);
            match server::settings(&server.tls, check, &around.global, &around.store) {
                Ok((settings, warning)) => {
                    let slot = if check { &mut server.tls_check } else { &mut server.tls_traffic };
                    *slot = Some(Shared(Arc::new(settings)));
                    if let Some(text) = warning.filter(|_| !check || !server.tls.ssl) {
                        diagnostics.say(Severity::Warning, Some(&server.origin), format!("{place}{text}"));
                    }
                }
                Err(ServerError::File(first, second)) => {
                    diagnostics.say(Severity::Alert, Some(&server.origin), format!("config : {place}{first}"));
                    diagnostics.say(Severity::Alert, Some(&server.origin), format!("config : {second}"));
                    break;
                }
                Err(ServerError::Server(text)) => {
                    diagnostics.say(Severity::Alert, Some(&server.origin), format!("{place}{text}"));
                    break;
                }
            }
        }
    }
}
