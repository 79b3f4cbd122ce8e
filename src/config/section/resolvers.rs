//! `resolvers` sections (manual 5.3.2).

use super::{Loading, Section, forbidden_character, unknown_keyword};
use crate::{
    base::{address::Address, origin::Origin},
    config::{
        diagnostic::Severity,
        keyword::{
            absent, address,
            args::{Args, Bare, Fault, TimeFault, atol, time_ms},
            global::process_overflow,
        },
    },
    model::resolvers::{Nameserver, Resolvers},
};

const KEYWORDS: [&str; 6] =
    ["nameserver", "parse-resolv-conf", "hold", "accepted_payload_size", "resolve_retries", "timeout"];
const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;

pub fn open(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<Section, Fault> {
    let name = a.get(1);
    if name.is_empty() {
        return Err(a.fault(1, "missing name for resolvers section."));
    }
    if let Some(c) = forbidden_character(name) {
        return Err(a.fault(1, format!("character '{c}' is not permitted in 'resolvers' name '{name}'.")));
    }
    if let Some(other) = cx.resolvers.iter().find(|r| r.name == name) {
        let text = format!(
            "Parsing [{}]: resolvers '{name}' has same name as another resolvers (declared at {}).",
            a.line.origin, other.origin
        );
        return Err(a.own(1, text));
    }
    cx.resolvers.push(Resolvers::new(name, a.origin()));
    Ok(Section::Resolvers(cx.resolvers.len() - 1))
}

pub fn read(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    match a.get(0) {
        "nameserver" => nameserver(cx, index, a),
        "parse-resolv-conf" => {
            resolv_conf(cx, index, a);
            Ok(())
        }
        "hold" => hold(cx, index, a),
        "timeout" => timeout(cx, index, a),
        "accepted_payload_size" => {
            let word = a.get(1);
            if word.is_empty() {
                return Err(a.fault(1, "'accepted_payload_size' expects <nb> as argument."));
            }
            match atol(word) {
                n @ 12..=65535 => cx.resolvers[index].accepted_payload_size = n as u32,
                _ => {
                    let text =
                        format!("'accepted_payload_size' must be between 12 and 65535 inclusive (was {word}).");
                    return Err(a.fault(1, text));
                }
            }
            Ok(())
        }
        "resolve_retries" => {
            if a.get(1).is_empty() {
                return Err(a.fault(1, "'resolve_retries' expects <nb> as argument."));
            }
            cx.resolvers[index].resolve_retries = atol(a.get(1)).max(0) as u32;
            Ok(())
        }
        _ => Err(unknown_keyword(a, "resolvers", false, KEYWORDS.into_iter())),
    }
}

fn nameserver(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    let (name, word) = (a.get(1), a.get(2));
    if name.is_empty() || word.is_empty() {
        return Err(a.fault(1, "'nameserver' expects <name> and <addr>[:<port>] as arguments."));
    }
    if let Some(other) = cx.resolvers[index].nameservers.iter().find(|n| n.name == name) {
        let text = format!(
            "Parsing [{}]: nameserver '{name}' has same name as another nameserver (declared at {}).",
            a.line.origin, other.origin
        );
        return Err(a.own(1, text));
    }
    if !a.get(3).is_empty() {
        // `server` parameters of name servers over TCP.
        return Err(a.fault(3, absent::text(a.get(3))));
    }
    let (address, tcp) = address::nameserver(word, cx.environment)
        .map_err(|text| a.fault(2, format!("'nameserver {name}' : {text}")))?;
    cx.resolvers[index].nameservers.push(Nameserver { origin: a.origin(), name: name.to_owned(), address, tcp });
    Ok(())
}

/// Adds the servers of /etc/resolv.conf, named by their addresses.
fn resolv_conf(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) {
    cx.resolvers[index].parse_resolv_conf = true;
    let Ok(text) = std::fs::read_to_string(RESOLV_CONF) else {
        let text = format!("'parse-resolv-conf' : failed to open {RESOLV_CONF}.");
        cx.diagnostics.at(Severity::Warning, a.line, a.word(0), text);
        return;
    };
    add_servers(&mut cx.resolvers[index], &text, &a.origin());
}

/// Adds the name servers that the text of a resolv.conf(5) names.
fn add_servers(resolvers: &mut Resolvers, text: &str, origin: &Origin) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some("nameserver"), Some(word)) = (words.next(), words.next()) else { continue };
        let Ok(ip) = word.parse::<std::net::IpAddr>() else { continue };
        if resolvers.nameservers.iter().any(|n| n.name == word) {
            continue;
        }
        let address = Address::Ip(std::net::SocketAddr::new(ip, DNS_PORT));
        resolvers.nameservers.push(Nameserver { origin: origin.clone(), name: word.to_owned(), address, tcp: false });
    }
}

/// The section `default`, which is there even when nobody wrote it (manual 5.3.2): the servers of /etc/resolv.conf. Where
/// those cannot be read there is none, in silence.
pub fn default_section() -> Option<Resolvers> {
    let text = std::fs::read_to_string(RESOLV_CONF).ok()?;
    let mut resolvers = Resolvers::new("default", Origin::none());
    resolvers.parse_resolv_conf = true;
    add_servers(&mut resolvers, &text, &Origin::none());
    (!resolvers.nameservers.is_empty()).then_some(resolvers)
}

fn delay(a: &Args<'_>, at: usize, what: &str) -> Result<u64, Fault> {
    let word = a.get(at);
    time_ms(word, Bare::Ms).map_err(|fault| match fault {
        TimeFault::Overflow => a.tight(at, process_overflow(word, what)),
        TimeFault::Char(c) => a.tight(at, format!("unexpected character '{c}' in argument to <{what}>.")),
    })
}

fn hold(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    if a.get(1).is_empty() || a.get(2).is_empty() {
        let hint = "config : <event> can be either 'valid', 'nx', 'refused', 'timeout', or 'other'";
        cx.report(a.line, a.fault(1, "'hold' expects an <event> and a <time> as arguments."));
        cx.diagnostics.pointing(Severity::Alert, a.line, a.word(1), hint);
        return Ok(());
    }
    let ms = delay(a, 2, "hold")?;
    let hold = &mut cx.resolvers[index].hold;
    *match a.get(1) {
        "nx" => &mut hold.nx_ms,
        "other" => &mut hold.other_ms,
        "refused" => &mut hold.refused_ms,
        "timeout" => &mut hold.timeout_ms,
        "valid" => &mut hold.valid_ms,
        "obsolete" => &mut hold.obsolete_ms,
        other => {
            let text = format!(
                "'hold' unknown <event>: '{other}', expects either 'nx', 'timeout', 'valid', 'obsolete' or 'other'."
            );
            return Err(a.fault(1, text));
        }
    } = ms;
    Ok(())
}

fn timeout(cx: &mut Loading<'_>, index: usize, a: &Args<'_>) -> Result<(), Fault> {
    match a.get(1) {
        "" => Err(a.fault(1, "'timeout' expects 'retry' or 'resolve' and <time> as arguments.")),
        kind @ ("retry" | "resolve") => {
            if a.get(2).is_empty() {
                return Err(a.fault(2, format!("'timeout {kind}' expects <time> as argument.")));
            }
            let ms = delay(a, 2, &format!("timeout {kind}"))?;
            let resolvers = &mut cx.resolvers[index];
            match kind {
                "retry" => resolvers.timeout_retry_ms = ms,
                _ => resolvers.timeout_resolve_ms = ms,
            }
            Ok(())
        }
        other => {
            let text = format!("'timeout' expects 'retry' or 'resolve' and <time> as arguments got '{other}'.");
            Err(a.fault(1, text))
        }
    }
}
