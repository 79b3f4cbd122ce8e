//! The files that the TLS words of `bind` and `server` lines name (manual 5.1, 5.2): they are read
//! when their line is, so that errors name it; `resolve` builds the contexts once the whole proxy is known.

use super::{
    diagnostic::Severity,
    keyword::args::{Args, Fault},
    section::Loading,
};
use crate::model::{
    bind::Bind,
    certificates::{
        bind::{self, BindError},
        server::{self, ServerError},
    },
    credentials::Shared,
    plan::Plan,
    server::Server,
};
use std::sync::Arc;

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

/// Builds what a server that is added while running speaks TLS with (`add server`).
///
/// # Errors
/// The text that is told on the stats socket.
pub fn dynamic_server(server: &mut Server, plan: &Plan) -> Result<(), String> {
    if !(server.tls.ssl || server.tls.check_ssl) {
        return Ok(());
    }
    let global = &plan.global.tls;
    let build = |check| match server::settings(&server.tls, check, global, &plan.certificates) {
        Ok((settings, _)) => Ok(Shared(Arc::new(settings))),
        Err(ServerError::File(first, second)) => Err(format!("{first}\n{second}")),
        Err(ServerError::Server(text)) => Err(text),
    };
    let (traffic, check) = (server.tls.ssl.then(|| build(false)).transpose()?, build(true)?);
    server.tls_traffic = traffic;
    server.tls_check = Some(check);
    Ok(())
}
