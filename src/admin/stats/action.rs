//! The page's form (`stats admin`): `s=<server>&…&action=<word>&b=<backend or #id>`, turned into changes of live state.

use super::html::Outcome;
use crate::model::{
    plan::{Plan, ProxyIndex, ServerIndex},
    state::{
        event::Event,
        live::{AdminState, ForcedHealth, Live},
    },
};

/// What an accepted form does.
#[derive(Debug, Default)]
pub struct Done {
    pub events: Vec<Event>,
    /// Servers whose sessions are to be killed.
    pub shutdown: Vec<(ProxyIndex, ServerIndex)>,
    /// Servers whose checks were switched.
    pub checks: Vec<(ProxyIndex, ServerIndex)>,
}

/// Carries out a form. `body` is `application/x-www-form-urlencoded`.
pub fn perform(body: &[u8], plan: &Plan, live: &Live, now: crate::base::clock::Millis) -> (Outcome, Done) {
    let mut done = Done::default();
    let (mut action, mut backend, mut servers) = (String::new(), String::new(), Vec::new());
    for pair in body.split(|b| *b == b'&') {
        let (name, value) = match pair.iter().position(|b| *b == b'=') {
            Some(at) => (&pair[..at], decoded(&pair[at + 1..])),
            None => (pair, String::new()),
        };
        match name {
            b"s" => servers.push(value),
            b"action" => action = value,
            b"b" => backend = value,
            _ => {}
        }
    }
    if action.is_empty() && backend.is_empty() && servers.is_empty() {
        return (Outcome::None, done);
    }
    let proxy = match backend.strip_prefix('#').and_then(|id| id.parse::<u32>().ok()) {
        Some(id) => plan.proxies.iter().position(|p| p.has_backend && p.id == id),
        None => plan.backend(&backend),
    };
    let Some(proxy) = proxy else { return (Outcome::Error, done) };
    if !KNOWN.contains(&action.as_str()) {
        return (Outcome::Error, done);
    }
    let (mut found, mut missing) = (0, 0);
    for name in &servers {
        match live.backend(proxy).find(name) {
            Some(server) => {
                found += 1;
                one(&action, proxy, server, live, now, &mut done);
            }
            None => missing += 1,
        }
    }
    let outcome = match (found, missing) {
        (0, 0) => Outcome::None,
        (0, _) => Outcome::Error,
        (_, 0) => Outcome::Done,
        _ => Outcome::Partial,
    };
    (outcome, done)
}

const KNOWN: [&str; 14] = [
    "ready", "drain", "maint", "dhlth", "ehlth", "hrunn", "hnolb", "hdown", "dagent", "eagent", "arunn", "adown",
    "shutdown", "none",
];

fn one(
    action: &str,
    proxy: ProxyIndex,
    server: ServerIndex,
    live: &Live,
    now: crate::base::clock::Millis,
    done: &mut Done,
) {
    let events = match action {
        "ready" => live.set_admin(proxy, server, AdminState::Ready, now),
        "drain" => live.set_admin(proxy, server, AdminState::Drain, now),
        "maint" => live.set_admin(proxy, server, AdminState::Maint, now),
        "hrunn" => live.force_health(proxy, server, ForcedHealth::Up, now),
        "hnolb" => live.force_health(proxy, server, ForcedHealth::Stopping, now),
        "hdown" => live.force_health(proxy, server, ForcedHealth::Down, now),
        "arunn" => live.force_agent(proxy, server, true, now),
        "adown" => live.force_agent(proxy, server, false, now),
        "dhlth" | "ehlth" => {
            live.set_check_enabled(proxy, server, action == "ehlth");
            done.checks.push((proxy, server));
            Vec::new()
        }
        "dagent" | "eagent" => {
            live.with_detail(proxy, server, |d| {
                if let Some(agent) = &mut d.agent {
                    agent.enabled = action == "eagent";
                }
            });
            done.checks.push((proxy, server));
            Vec::new()
        }
        "shutdown" => {
            done.shutdown.push((proxy, server));
            Vec::new()
        }
        _ => Vec::new(),
    };
    done.events.extend(events);
}

/// `+` and `%XX`; what is no such pair stays.
fn decoded(value: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut at = 0;
    while at < value.len() {
        let pair = value.get(at + 1..at + 3).and_then(|p| std::str::from_utf8(p).ok());
        match (value[at], pair.and_then(|p| u8::from_str_radix(p, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                at += 2;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
