//! From the TLS words of `bind` and `server` lines to what the data plane runs them with (manual 5.1, 5.2): files are read
//! when their line is, so that errors name it; contexts are built once the whole proxy is known.

use super::{
    diagnostic::Severity,
    keyword::args::{Args, Fault},
    section::Loading,
};
use crate::model::{
    bind::Bind,
    certificates::{
        TlsState,
        bind::{self, BindContext, BindError, BindWarning, Surroundings},
        server::{self, ServerError},
    },
    proxy::Mode,
    server::Server,
    tls::{ServerTls, ServerVerify},
};
use std::sync::Arc;

/// HTTP/2 is spoken to clients and servers.
const H2: bool = false;

/// Reads what a `bind` line names.
pub fn bind_files(cx: &mut Loading<'_>, bind: &Bind, place: &str, a: &Args<'_>) -> Result<(), Fault> {
    let store = cx.store();
    let Err(errors) = bind::preload(&bind.tls, &cx.global.tls, &store) else { return Ok(()) };
    let mut fault = None;
    for error in errors {
        match error {
            BindError::Alert(text) => {
                cx.diagnostics.say(Severity::Alert, Some(&bind.origin), format!("config : {text}"));
            }
            BindError::Parse(text) | BindError::Proxy(text) => {
                let at = (2..a.len()).find(|&i| text.contains(a.get(i)) && a.get(i).len() > 3).unwrap_or(2);
                fault.get_or_insert_with(|| a.fault(at, format!("{place} : {text}")));
            }
        }
    }
    fault.map_or(Ok(()), Err)
}

/// Reads the trust files that a `server` line names; a client certificate is read when the proxy is resolved.
pub fn server_files(cx: &mut Loading<'_>, server: &Server, place: &str, a: &Args<'_>) -> Result<(), Fault> {
    match server::preload(&server.tls, &cx.store()) {
        Ok(()) => Ok(()),
        Err(ServerError::File(first, second)) => {
            let text = format!("config : [{}] : {place}{first}", server.origin);
            cx.diagnostics.say(Severity::Alert, Some(&server.origin), text);
            let at = (2..a.len()).find(|&i| second.starts_with(&format!("'{}'", a.get(i)))).unwrap_or(2);
            Err(a.own(at, second))
        }
        Err(ServerError::Server(text)) => Err(a.own(2, format!("[{}] : {place}{text}", server.origin))),
    }
}

/// What all lines share.
pub fn state(cx: &Loading<'_>) -> TlsState {
    TlsState { store: cx.store(), ..TlsState::new(&cx.global.tls) }
}

/// Builds what the bind lines and servers of a proxy run with.
pub fn build(cx: &mut Loading<'_>, state: &TlsState, index: usize) {
    binds(cx, state, index);
    servers(cx, state, index);
}

fn binds(cx: &mut Loading<'_>, state: &TlsState, index: usize) {
    let proxy = cx.proxies[index].proxy.name.clone();
    let http = cx.proxies[index].proxy.mode == Mode::Http;
    let mut found = Vec::new();
    for bind in cx.proxies[index].proxy.frontend.binds.iter_mut().filter(|b| b.ssl) {
        let line = format!("bind '{}' at [{}]", bind.text, bind.origin);
        let around = Surroundings {
            global: &cx.global.tls,
            store: &state.store,
            line: &line,
            http,
            h2: H2,
            tickets: &state.tickets,
            sessions: &state.sessions,
        };
        let mut warnings = Vec::new();
        let built = BindContext::build(&bind.tls, &around, &mut warnings);
        for warning in warnings {
            let (severity, text) = match warning {
                BindWarning::Proxy(text) => (Severity::Warning, text),
                BindWarning::Notice(text) => (Severity::Notice, text),
            };
            found.push((severity, bind.origin.clone(), format!("Proxy '{proxy}': {text}")));
        }
        match built {
            Ok(context) => bind.context = Some(context),
            Err(errors) => {
                for error in errors {
                    // Files were read with their line; what they lacked was said there.
                    if let BindError::Proxy(text) = error {
                        found.push((Severity::Alert, bind.origin.clone(), format!("Proxy '{proxy}': {text}")));
                    }
                }
            }
        }
    }
    for (severity, origin, text) in found {
        cx.diagnostics.say(severity, Some(&origin), text);
    }
}

fn servers(cx: &mut Loading<'_>, state: &TlsState, index: usize) {
    let proxy = cx.proxies[index].proxy.name.clone();
    let mut found = Vec::new();
    for draft in &mut cx.proxies[index].servers {
        let server = &mut draft.server;
        let origin = server.origin.clone();
        let place = format!("[{origin}] : 'server {proxy}/{}'", server.name);
        let tls = &mut server.tls;
        if !(tls.ssl || tls.check_ssl) || tls.verify == ServerVerify::Required && tls.ca.is_none() {
            continue;
        }
        if leave_out_h2(tls) {
            let text = format!("{place} : 'h2' is left out of the ALPN offer: HTTP/2 is not available yet.");
            found.push((Severity::Notice, origin.clone(), text));
        }
        let checked = draft.check_enabled;
        for check in [false, true] {
            if !(if check { checked } else { server.tls.ssl }) {
                continue;
            }
            match server::settings(&server.tls, check, &cx.global.tls, &state.store) {
                Ok((settings, warning)) => {
                    let target = if check { &mut server.check_tls_settings } else { &mut server.tls_settings };
                    *target = Some(Arc::new(settings));
                    if let Some(text) = warning
                        && !(check && server.tls.ssl)
                    {
                        found.push((Severity::Warning, origin.clone(), format!("{place} : {text}")));
                    }
                }
                Err(ServerError::Server(text)) => {
                    found.push((Severity::Alert, origin.clone(), format!("{place} : {text}")));
                    break;
                }
                // Was said when the line was read.
                Err(ServerError::File(..)) => break,
            }
        }
    }
    for (severity, origin, text) in found {
        cx.diagnostics.say(severity, Some(&origin), text);
    }
}

/// Takes `h2` off a server's offer; whether it was there.
fn leave_out_h2(tls: &mut ServerTls) -> bool {
    let before = tls.alpn.len() + tls.check_alpn.as_ref().map_or(0, Vec::len);
    tls.alpn.retain(|p| H2 || p != "h2");
    if let Some(list) = &mut tls.check_alpn {
        list.retain(|p| H2 || p != "h2");
    }
    tls.alpn.len() + tls.check_alpn.as_ref().map_or(0, Vec::len) < before
}
