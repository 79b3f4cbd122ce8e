//! Log lines and expressions that are compiled once the whole proxy is known.

use crate::config::diagnostic::Severity;
use crate::config::section::Loading;
use crate::model::proxy::{LogLineFormat, Mode};
use crate::model::server::Server;
use std::sync::Arc;

/// Log lines and expressions that are compiled once the whole proxy is known.
pub(super) fn formats(cx: &mut Loading<'_>, index: usize) {
    use crate::config::keyword::expr;
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
    cx.section = crate::config::section::Section::Proxy(index);
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
    forwarded(cx, index);
    let mut servers = std::mem::take(&mut cx.proxies[index].servers);
    for draft in &mut servers {
        if let Err(text) = server_expressions(cx, &mut draft.server) {
            let (origin, server) = (&draft.server.origin, &draft.server.name);
            let text = format!("config : [{origin}] : 'server {}/{server}' : {text}", cx.proxies[index].proxy.name);
            cx.diagnostics.say(Severity::Alert, Some(origin), text);
        }
    }
    cx.proxies[index].servers = servers;
}

/// Compiles `sni` and `pool-conn-name` of a server of the proxy that is being read.
///
/// # Errors
/// HAProxy's text.
pub fn server_expressions(cx: &mut Loading<'_>, server: &mut Server) -> Result<(), String> {
    use crate::{
        config::keyword::expr,
        language::{
            parse::Error,
            sample::{Expr, scope::Points},
        },
    };
    // Manual 5.2 "sni-auto": the Host of the request, where there is one.
    let auto = cx.draft().proxy.mode == Mode::Http && server.tls.ssl && server.tls.sni_auto;
    let sni = server.tls.sni.clone().or_else(|| auto.then(|| "req.hdr(host),field(1,:)".to_owned()));
    let origin = server.origin.clone();
    let mut compile = |text: &str| {
        let made = expr::parse(cx, origin.clone(), None, |p, _| {
            p.points = Points::BE_SRV_CON;
            let expr = Expr::parse_word(text, 0, p)?;
            // HAProxy's text has two full stops.
            expr.check_scope_of_action(text, p).map_err(|text| Error::new(0, text + ".."))?;
            Ok(expr)
        });
        made.map(Arc::new).map_err(|error| {
            let why = error.text.strip_suffix('.').unwrap_or(&error.text);
            format!("error detected while parsing sni or pool-conn-name expressions : {why}.")
        })
    };
    server.sni_expr = sni.as_deref().map(&mut compile).transpose()?;
    server.pool_conn_name_expr = server.pool_conn_name.as_deref().map(&mut compile).transpose()?;
    Ok(())
}

/// The expressions of `option forwarded`.
fn forwarded(cx: &mut Loading<'_>, index: usize) {
    use crate::{
        config::keyword::expr,
        language::sample::{Expr, scope::Points},
        model::proxy::ForwardedValue,
    };
    let draft = &cx.proxies[index];
    let Some(option) = draft.proxy.options.forwarded.clone() else { return };
    let origin = draft.format_origins.get("option forwarded").unwrap_or(&draft.proxy.origin).clone();
    let mut made = Vec::new();
    for part in option.parts {
        let Some(ForwardedValue::Expr(text)) = part else {
            made.push(None);
            continue;
        };
        let compiled = expr::parse(cx, origin.clone(), None, |p, _| {
            p.points = Points::BE_HRQ_HDR;
            Expr::parse_word(&text, 0, p)
        });
        if let Err(error) = &compiled {
            let text = format!(
                "proxy '{}' [{origin}]: failed to parse 'option forwarded' expression '{text}' in : {}.",
                cx.proxies[index].proxy.name,
                error.text.trim_end_matches('.')
            );
            cx.diagnostics.say(Severity::Alert, Some(&origin), text);
        }
        made.push(compiled.ok());
    }
    cx.proxies[index].rules.forwarded = made;
}
