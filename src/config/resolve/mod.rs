//! What only the whole configuration shows: names that refer to each other, addresses, ids, limits, and what HAProxy warns
//! about once all files are read.

mod formats;
mod limits;
mod names;
mod servers;
pub(super) mod tls;
mod warnings;

pub use formats::server_expressions;
pub use limits::limit_backends;

use super::{
    diagnostic::Severity,
    section::{Loading, draft::Draft},
};
use crate::model::{credentials::Shared, frontend::CaptureSlot, plan::Plan};
use std::sync::Arc;

/// Makes the plan. Errors go to the diagnostics; the plan is only good when there are none. Also tells whether anything
/// listens.
pub fn resolve(mut cx: Loading<'_>) -> (Plan, bool) {
    limits::command_line(&mut cx);
    limits::assign_ids(&mut cx);
    crate::config::keyword::global::case::read_file(&mut cx);
    if !cx.resolvers.iter().any(|r| r.name == "default") {
        cx.resolvers.extend(crate::config::section::resolvers::default_section());
    }
    for index in 0..cx.proxies.len() {
        proxy(&mut cx, index);
    }
    crate::config::section::ring::check(&mut cx);
    let credentials = tls::contexts(&mut cx);
    let certificates = Shared(cx.store());
    names::userlists(&mut cx);
    warnings::resolvers(&mut cx);
    servers::servers_addresses(&mut cx);
    names::write_to(&mut cx);
    warnings::peers(&mut cx);
    limits::global(&mut cx);
    names::guids(&mut cx);
    let Loading { mut global, proxies, userlists, peers, resolvers, http_errors, rings, options, patterns, .. } = cx;
    if global.nbthread == 0 {
        global.nbthread = options.cpus.max(1);
    }
    let listeners = !global.stats_sockets.is_empty()
        || peers.iter().any(|p| !p.disabled)
        || proxies.iter().any(|d| !d.proxy.disabled && !d.proxy.frontend.binds.is_empty());
    let proxies = proxies.into_iter().map(finished).collect();
    (
        Plan {
            global,
            proxies,
            userlists,
            peers,
            resolvers,
            http_errors,
            rings: rings.into_list(),
            patterns,
            credentials,
            certificates,
        },
        listeners,
    )
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

fn proxy(cx: &mut Loading<'_>, index: usize) {
    if cx.proxies[index].log_global {
        let targets = cx.global.log_targets.clone();
        cx.proxies[index].proxy.log.targets.extend(targets);
    }
    if cx.proxies[index].proxy.disabled {
        return;
    }
    cx.folder.enter(&cx.proxies[index].proxy.origin.file);
    names::default_backend(cx, index);
    names::error_files(cx, index);
    names::same_server_names(cx, index);
    names::tracking(cx, index);
    warnings::checks(cx, index);
    names::use_servers(cx, index);
    names::tables(cx, index);
    names::switching(cx, index);
    names::references(cx, index);
    warnings::warnings(cx, index);
    servers::servers(cx, index);
    formats::formats(cx, index);
    warnings::missing_timeouts(cx, index);
}

/// A message about a proxy as a whole.
fn say(cx: &mut Loading<'_>, index: usize, severity: Severity, text: impl Into<String>) {
    let origin = cx.proxies[index].proxy.origin.clone();
    cx.diagnostics.say(severity, Some(&origin), text);
}
