//! The TLS contexts of listeners and servers: certificates and trust files are read here, so that what is wrong with them
//! is told with file and line like everything else.

use crate::{
    config::{diagnostic::Severity, section::Loading},
    model::{
        certificates::{
            bind::{BindContext, BindError, Surroundings},
            server::{self, ServerError},
        },
        credentials::{Credentials, Shared},
        proxy::Mode,
        tls::{ServerVerify, TlsGlobal},
    },
    proto::tls::{session_cache::SessionCache, tickets::TicketKeys},
};

/// Builds all contexts. `None` where nothing uses TLS.
pub(super) fn contexts(cx: &mut Loading<'_>) -> Option<Credentials> {
    let active = |p: &&crate::config::section::draft::Draft| !p.proxy.disabled;
    let listens = cx.proxies.iter().filter(active).any(|p| p.proxy.frontend.binds.iter().any(|b| b.ssl));
    let connects = cx.proxies.iter().filter(active).any(|p| {
        let scripted = p.proxy.backend.script_uses_tls();
        p.servers.iter().any(|s| scripted || s.server.tls.ssl || s.server.tls.check_ssl)
    });
    if !listens && !connects {
        return None;
    }
    let global = cx.global.tls.clone();
    let credentials = Credentials {
        store: Shared(cx.store()),
        tickets: Shared(TicketKeys::random(global.lifetime_s)),
        sessions: Shared(SessionCache::new(global.cachesize, global.lifetime_s)),
    };
    for index in 0..cx.proxies.len() {
        if !cx.proxies[index].proxy.disabled {
            cx.folder.enter(&cx.proxies[index].proxy.origin.file);
            binds(cx, index, &global, &credentials);
            servers(cx, index, &global, &credentials);
        }
    }
    Some(credentials)
}

fn binds(cx: &mut Loading<'_>, index: usize, global: &TlsGlobal, credentials: &Credentials) {
    let draft = &mut cx.proxies[index];
    let (name, section, http) = (draft.proxy.name.clone(), draft.section, draft.proxy.mode == Mode::Http);
    for bind in draft.proxy.frontend.binds.iter_mut().filter(|b| b.ssl) {
        let line = format!("bind '{}' at [{}]", bind.text, bind.origin);
        let around = Surroundings {
            global,
            store: &credentials.store,
            line: &line,
            http,
            tickets: &credentials.tickets,
            sessions: &credentials.sessions,
        };
        let mut warnings = Vec::new();
        match BindContext::build(&bind.tls, &around, &mut warnings) {
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
                    cx.diagnostics.say(Severity::Alert, Some(&bind.origin), text);
                }
            }
        }
        for warning in warnings {
            cx.diagnostics.say(Severity::Warning, Some(&bind.origin), format!("Proxy '{name}': {warning}"));
        }
    }
}

fn servers(cx: &mut Loading<'_>, index: usize, global: &TlsGlobal, credentials: &Credentials) {
    let draft = &mut cx.proxies[index];
    let proxy = draft.proxy.name.clone();
    let scripted = draft.proxy.backend.script_uses_tls();
    for server in draft.servers.iter_mut().map(|s| &mut s.server) {
        let lacks_ca = server.tls.verify == ServerVerify::Required && server.tls.ca.is_none();
        for check in [false, true] {
            let wanted = server.tls.ssl || (check && (server.tls.check_ssl || scripted));
            // What lacks its CA was told with the server's other words.
            if !wanted || lacks_ca {
                continue;
            }
            let place = format!("[{}] : 'server {proxy}/{}' : ", server.origin, server.name);
            match server::settings(&server.tls, check, global, &credentials.store) {
                Ok((settings, warning)) => {
                    let slot = if check { &mut server.tls_check } else { &mut server.tls_traffic };
                    *slot = Some(Shared(std::sync::Arc::new(settings)));
                    if let Some(text) = warning.filter(|_| !check || !server.tls.ssl) {
                        cx.diagnostics.say(Severity::Warning, Some(&server.origin), format!("{place}{text}"));
                    }
                }
                Err(ServerError::File(first, second)) => {
                    cx.diagnostics.say(Severity::Alert, Some(&server.origin), format!("config : {place}{first}"));
                    cx.diagnostics.say(Severity::Alert, Some(&server.origin), format!("config : {second}"));
                    break;
                }
                Err(ServerError::Server(text)) => {
                    cx.diagnostics.say(Severity::Alert, Some(&server.origin), format!("{place}{text}"));
                    break;
                }
            }
        }
    }
}
