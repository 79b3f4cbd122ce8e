//! What HAProxy warns about once all is read: what a proxy's mode ignores, what is incomplete.

use super::say;
use crate::base::address::Address;
use crate::config::diagnostic::Severity;
use crate::config::section::Loading;
use crate::model::proxy::{LogLineFormat, Mode};

/// What is ignored in this proxy's mode, and other warnings, in HAProxy's order.
pub(super) fn warnings(cx: &mut Loading<'_>, index: usize) {
    let state_file = cx.global.server_state_file.is_some();
    let draft = &mut cx.proxies[index];
    let title = draft.title();
    let http = draft.proxy.mode == Mode::Http;
    let mut warn = Vec::new();
    if !http {
        use crate::model::backend::Balance;
        if matches!(draft.proxy.backend.balance, Balance::Uri { .. } | Balance::UrlParam { .. } | Balance::Hdr { .. })
            && draft.proxy.has_backend
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
            ("forwarded", draft.proxy.options.forwarded.take().is_some() && draft.proxy.has_backend),
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
        let own =
            |o: &crate::base::origin::Origin| o.file == draft.proxy.origin.file && o.line > draft.proxy.origin.line;
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

/// A proxy that passes traffic should bound it in time.
pub(super) fn missing_timeouts(cx: &mut Loading<'_>, index: usize) {
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

/// Kinds of checks that need something beside them.
pub(super) fn checks(cx: &mut Loading<'_>, index: usize) {
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
                let text = format!(
                    "'external-check {word}' will be ignored for {title} (requires 'option external-check')."
                );
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
        // A name may yet bring one: nothing is said of it (observed).
        let no_port = server.server.port == 0 && matches!(server.server.address, Some(Address::Ip(_)));
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

pub(super) fn resolvers(cx: &mut Loading<'_>) {
    for resolvers in &cx.resolvers {
        if resolvers.nameservers.is_empty() && !resolvers.parse_resolv_conf {
            let text =
                format!("resolvers '{}' [{}] has no nameservers configured!", resolvers.name, resolvers.origin);
            cx.diagnostics.say(Severity::Warning, Some(&resolvers.origin), text);
        }
    }
}

/// A section without the local peer is of no use.
pub(super) fn peers(cx: &mut Loading<'_>) {
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
