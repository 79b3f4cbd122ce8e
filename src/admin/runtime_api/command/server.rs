//! Commands about servers: weight, state, health, address, limits, coming and going.

use super::{backend_of, integer, server_of};
use crate::{
    admin::runtime_api::{Answer, Call, Change, Process, Severity},
    base::address::Address,
    model::{
        balance::is_dynamic,
        plan::{ProxyIndex, ServerIndex},
        state::{
            live::{AdminState, ForcedHealth},
            server::{Agent, ServerLive},
        },
    },
};
use std::net::{IpAddr, SocketAddr};

type Place = (ProxyIndex, ServerIndex);

/// Runs `act` on the server that the first argument names.
fn on_server(call: &mut Call<'_>, act: impl FnOnce(&mut Call<'_>, Place) -> Answer) -> Answer {
    match server_of(call.process, call.argument(0)) {
        Ok(place) => act(call, place),
        Err(text) => Answer::error(text),
    }
}

fn live<'c>(call: &'c Call<'_>, (proxy, server): Place) -> Option<&'c ServerLive> {
    call.process.board().live.server(proxy, server)
}

fn changed(call: &mut Call<'_>, change: Change) -> Answer {
    match call.process.change(change) {
        Ok(()) => Answer::Empty,
        Err(text) => Answer::error(text),
    }
}

fn admin(call: &mut Call<'_>, (proxy, server): Place, state: AdminState) -> Answer {
    let now = call.process.now().mono;
    let events = call.process.board().live.set_admin(proxy, server, state, now);
    call.process.events(events);
    Answer::Empty
}

pub fn enable(call: &mut Call<'_>) -> Answer {
    on_server(call, |call, place| admin(call, place, AdminState::Ready))
}

pub fn disable(call: &mut Call<'_>) -> Answer {
    on_server(call, |call, place| admin(call, place, AdminState::Maint))
}

pub fn get_weight(call: &mut Call<'_>) -> Answer {
    on_server(call, |call, place| match live(call, place) {
        Some(s) => Answer::Text(format!("{} (initial {})\n", s.user_weight(), s.settings.weight).into_bytes()),
        None => Answer::error("No such server."),
    })
}

pub fn set_weight(call: &mut Call<'_>) -> Answer {
    on_server(call, |call, place| weight(call, place, call_word(call, 1)))
}

fn call_word(call: &Call<'_>, n: usize) -> String {
    call.argument(n).to_owned()
}

/// `N` or `N%` of the initial weight.
fn weight(call: &mut Call<'_>, (proxy, server): Place, word: String) -> Answer {
    if word.is_empty() {
        return Answer::error("Require <weight> or <weight%>.");
    }
    let Some(initial) = live(call, (proxy, server)).map(|s| s.settings.weight) else {
        return Answer::error("No such server.");
    };
    let digits = word.trim_start_matches('-').bytes().take_while(u8::is_ascii_digit).count();
    let digits = digits + (word.len() - word.trim_start_matches('-').len());
    let (number, rest) = word.split_at(digits);
    let Ok(number) = number.parse::<i64>() else {
        return Answer::error("Empty weight string empty or preceded by garbage");
    };
    let value = match rest {
        "%" if number < 0 => return Answer::error("Relative weight must be positive."),
        // Rounded down, at most 256, as HAProxy does.
        "%" => (initial as i64 * number / 100).min(256),
        "" if (0..=256).contains(&number) => number,
        "" => return Answer::error("Absolute weight can only be between 0 and 256 inclusive."),
        _ => return Answer::error("Trailing garbage in weight string"),
    };
    if !is_dynamic(&call.process.plan().proxies[proxy].backend) && value != 0 && value != initial as i64 {
        return Answer::error("Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.");
    }
    let now = call.process.now().mono;
    let events = call.process.board().live.set_weight(proxy, server, value as u32, now);
    call.process.events(events);
    Answer::Empty
}

const USAGE: &str = "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | \
                     check-addr | check-port | fqdn | health | ssl | state | weight";

/// `set server <b>/<s> <what> …`.
pub fn set(call: &mut Call<'_>) -> Answer {
    on_server(call, |call, place| match call.argument(1) {
        "weight" => weight(call, place, call_word(call, 2)),
        "state" => match call.argument(2) {
            "ready" => admin(call, place, AdminState::Ready),
            "drain" => admin(call, place, AdminState::Drain),
            "maint" => admin(call, place, AdminState::Maint),
            _ => Answer::error("'set server <srv> state' expects 'ready', 'drain' and 'maint'."),
        },
        "health" => health(call, place),
        "agent" => agent(call, place),
        "addr" => address(call, place),
        "check-port" => check_port(call, place),
        "check-addr" => check_address(call, place),
        "fqdn" => fqdn(call, place),
        "ssl" => Answer::error("'set server <srv> ssl' cannot be set.  default-server should define ssl settings"),
        "agent-addr" => agent_address(call, place),
        "agent-port" => agent_port(call, place),
        "agent-send" => agent_send(call, place),
        _ => Answer::error(USAGE),
    })
}

fn health(call: &mut Call<'_>, (proxy, server): Place) -> Answer {
    if live(call, (proxy, server)).is_some_and(|s| s.settings.track.is_some()) {
        return Answer::error("cannot change health on a tracking server.");
    }
    let health = match call.argument(2) {
        "up" => ForcedHealth::Up,
        "stopping" => ForcedHealth::Stopping,
        "down" => ForcedHealth::Down,
        _ => return Answer::error("'set server <srv> health' expects 'up', 'stopping', or 'down'."),
    };
    let now = call.process.now().mono;
    let events = call.process.board().live.force_health(proxy, server, health, now);
    call.process.events(events);
    Answer::Empty
}

fn agent(call: &mut Call<'_>, (proxy, server): Place) -> Answer {
    let has_agent = live(call, (proxy, server)).is_some_and(|s| s.detail().agent.is_some_and(|a| a.enabled));
    if !has_agent {
        return Answer::error("agent checks are not enabled on this server.");
    }
    let up = match call.argument(2) {
        "up" => true,
        "down" => false,
        _ => return Answer::error("'set server <srv> agent' expects 'up' or 'down'."),
    };
    let now = call.process.now().mono;
    let events = call.process.board().live.force_agent(proxy, server, up, now);
    call.process.events(events);
    Answer::Empty
}

/// `addr <ip|path> [port <p>]`. Only new connections go to the new address.
fn address(call: &mut Call<'_>, (proxy, server): Place) -> Answer {
    let word = call_word(call, 2);
    if word.is_empty() {
        return Answer::error("set server <b>/<s> addr requires an address and optionally a port.");
    }
    let Ok(ip) = word.parse::<IpAddr>() else {
        return Answer::Message(Severity::Warning, format!("Invalid addr '{word}'"));
    };
    let Some(s) = live(call, (proxy, server)) else { return Answer::error("No such server.") };
    let (old_ip, old_port) = match s.address().as_deref() {
        Some(Address::Ip(a)) => (a.ip(), a.port()),
        // A server whose name has no address takes none by hand either.
        Some(_) | None => {
            return Answer::error(
                "Update for the current server address family is only supported through \
                                         configuration file.",
            );
        }
    };
    let port = match (call.argument(3), call.argument(4)) {
        ("port", word) if word.starts_with(['+', '-']) => {
            // A relation to the client's port is fixed with the configuration.
            return Answer::error(format!("port mapping '{word}' cannot be set at run time"));
        }
        ("port", word) => match integer(word) {
            Some(port) => match u16::try_from(port) {
                Ok(port) if port > 0 => port,
                _ => return Answer::error("provided port is not valid"),
            },
            None => return Answer::error(format!("problem converting port '{word}' to an int")),
        },
        _ => old_port,
    };
    let mut changes = Vec::new();
    if old_ip != ip {
        changes.push(format!("IP changed from '{old_ip}' to '{ip}'"));
    }
    if port != old_port {
        changes.push(format!("port changed from '{old_port}' to '{port}'"));
    }
    if changes.is_empty() {
        return Answer::Message(Severity::Warning, "nothing changed".into());
    }
    let address = Address::Ip(SocketAddr::new(ip, port));
    call.process.board().live.set_address(proxy, server, Some(address));
    match call.process.change(Change::ChecksChanged(proxy, server)) {
        Ok(()) => Answer::info(format!("{} by 'stats socket command'", changes.join(", "))),
        Err(text) => Answer::error(text),
    }
}

/// Changes what the agent of a server is asked by; errs as HAProxy does where there is none.
fn with_agent(call: &mut Call<'_>, (proxy, server): Place, edit: impl FnOnce(&mut Agent)) -> Answer {
    match call.process.board().live.with_detail(proxy, server, |d| d.agent.as_mut().map(edit).is_some()) {
        Some(true) => changed(call, Change::ChecksChanged(proxy, server)),
        _ => Answer::error("agent checks are not enabled on this server"),
    }
}

fn has_agent(call: &Call<'_>, place: Place) -> bool {
    live(call, place).is_some_and(|s| s.detail().agent.is_some())
}

/// `agent-addr <ip> [port <p>]`.
fn agent_address(call: &mut Call<'_>, place: Place) -> Answer {
    let word = call_word(call, 2);
    if word.is_empty() {
        return Answer::error("set server <b>/<s> agent-addr requires an address and optionally a port.");
    }
    if !has_agent(call, place) {
        return Answer::error("agent checks are not enabled on this server");
    }
    let (ip, port) = match address_and_port(call, &word) {
        Ok(read) => read,
        Err(text) => return Answer::error(text),
    };
    with_agent(call, place, |agent| {
        agent.address = Some(ip);
        agent.port = port.unwrap_or(agent.port);
    })
}

fn agent_port(call: &mut Call<'_>, place: Place) -> Answer {
    if call.argument(2).is_empty() {
        return Answer::error("set server <b>/<s> agent-port requires a port.");
    }
    if !has_agent(call, place) {
        return Answer::error("agent checks are not enabled on this server");
    }
    match port(call.argument(2)) {
        Ok(port) => with_agent(call, place, |agent| agent.port = port),
        Err(text) => Answer::error(text),
    }
}

fn agent_send(call: &mut Call<'_>, place: Place) -> Answer {
    let word = call_word(call, 2);
    if !has_agent(call, place) {
        return Answer::error("agent checks are not enabled on this server.");
    }
    with_agent(call, place, |agent| agent.send = Some(word.into()))
}

/// The arguments of `check-addr` and `agent-addr`: `<ip> [port <p>]`.
fn address_and_port(call: &Call<'_>, word: &str) -> Result<(IpAddr, Option<u16>), String> {
    let ip = word.parse().map_err(|_| format!("invalid addr '{word}'"))?;
    let port = (call.argument(3) == "port").then(|| port(call.argument(4))).transpose()?;
    Ok((ip, port))
}

/// The argument of `check-port` and `agent-port`.
fn port(word: &str) -> Result<u16, &'static str> {
    let number = integer(word).ok_or("provided port is not an integer")?;
    u16::try_from(number).map_err(|_| "provided port is invalid")
}

fn check_port(call: &mut Call<'_>, (proxy, server): Place) -> Answer {
    if call.argument(2).is_empty() {
        return Answer::error("set server <b>/<s> check-port requires a port.");
    }
    if live(call, (proxy, server)).is_none_or(|s| s.settings.check.is_none()) {
        return Answer::error("health checks are not enabled on this server");
    }
    let port = match port(call.argument(2)) {
        Ok(port) => port,
        Err(text) => return Answer::error(text),
    };
    call.process.board().live.with_detail(proxy, server, |d| d.check_port = Some(port));
    changed(call, Change::ChecksChanged(proxy, server))
}

fn check_address(call: &mut Call<'_>, (proxy, server): Place) -> Answer {
    let word = call_word(call, 2);
    if word.is_empty() {
        return Answer::error("set server <b>/<s> check-addr requires an address and optionally a port.");
    }
    if live(call, (proxy, server)).is_none_or(|s| s.settings.check.is_none()) {
        return Answer::error("health checks are not enabled on this server");
    }
    // 3.4 refuses every address here ("invalid addr"); what the manual promises works with ours.
    let (ip, port) = match address_and_port(call, &word) {
        Ok(read) => read,
        Err(text) => return Answer::error(text),
    };
    call.process.board().live.with_detail(proxy, server, |d| {
        d.check_address = Some(ip);
        d.check_port = port.or(d.check_port);
    });
    changed(call, Change::ChecksChanged(proxy, server))
}

fn fqdn(call: &mut Call<'_>, place: Place) -> Answer {
    let name = call_word(call, 2);
    if name.is_empty() {
        return Answer::error("set server <b>/<s> fqdn requires a FQDN.");
    }
    match call.process.rename_server(place, &name, "stats socket command") {
        Some(Ok(sentence)) => Answer::info(sentence),
        Some(Err(text)) => Answer::error(text),
        None => Answer::error("set server <b>/<s> fqdn failed because no resolution is configured."),
    }
}

fn switch_checks(call: &mut Call<'_>, enabled: bool) -> Answer {
    on_server(call, |call, (proxy, server)| {
        let Some(s) = live(call, (proxy, server)) else { return Answer::error("No such server.") };
        if s.settings.check.is_none() {
            return match enabled {
                true => Answer::error("Health check was not configured on this server, cannot enable."),
                false => Answer::Empty,
            };
        }
        call.process.board().live.set_check_enabled(proxy, server, enabled);
        changed(call, Change::ChecksChanged(proxy, server))
    })
}

pub fn enable_health(call: &mut Call<'_>) -> Answer {
    switch_checks(call, true)
}

pub fn disable_health(call: &mut Call<'_>) -> Answer {
    switch_checks(call, false)
}

fn switch_agent(call: &mut Call<'_>, enabled: bool) -> Answer {
    on_server(call, |call, (proxy, server)| {
        let switched = call
            .process
            .board()
            .live
            .with_detail(proxy, server, |d| d.agent.as_mut().map(|agent| agent.enabled = enabled).is_some());
        match (switched, enabled) {
            (Some(true), _) => changed(call, Change::ChecksChanged(proxy, server)),
            (_, true) => Answer::error("Agent was not configured on this server, cannot enable."),
            (_, false) => Answer::Empty,
        }
    })
}

pub fn enable_agent(call: &mut Call<'_>) -> Answer {
    switch_agent(call, true)
}

pub fn disable_agent(call: &mut Call<'_>) -> Answer {
    switch_agent(call, false)
}

pub fn set_maxconn(call: &mut Call<'_>) -> Answer {
    on_server(call, |call, (proxy, server)| {
        let word = call.argument(1);
        if word.is_empty() {
            return Answer::error("Require <maxconn>.");
        }
        let Some(value) = integer(word) else { return Answer::error("maxconn string empty or preceded by garbage") };
        // 3.4 takes a negative number for a huge one; ours refuses it.
        let Ok(value) = u32::try_from(value) else { return Answer::error("maxconn value out of range") };
        let events = call.process.board().live.set_maxconn(proxy, server, value);
        call.process.events(events);
        Answer::Empty
    })
}

pub fn shutdown_sessions(call: &mut Call<'_>) -> Answer {
    on_server(call, |call, (proxy, server)| changed(call, Change::ShutdownSessions(proxy, server)))
}

/// `add server <b>/<s> <addr>[:<port>] [options]`: begins in maintenance, checks off.
pub fn add(call: &mut Call<'_>) -> Answer {
    let word = call_word(call, 0);
    if word == "help" {
        let mut text = String::from("List of keywords supported for dynamic server:\n");
        call.process.server_options().iter().for_each(|o| text.push_str(&format!("{o}\n")));
        return Answer::Text(text.into_bytes());
    }
    let Some((backend, name)) = word.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        return Answer::error("Require 'backend/server'.");
    };
    let Some(proxy) = backend_of(call.process, backend) else { return Answer::error("No such backend.") };
    let found = &call.process.plan().proxies[proxy];
    if !is_dynamic(&found.backend) {
        let kind = if found.has_frontend { "proxy" } else { "backend" };
        return Answer::error(format!(
            "Backend does not support dynamic servers : {kind} '{}' uses a non dynamic load balancing method.",
            found.name
        ));
    }
    let words = &call.words[call.named + 1..];
    if words.is_empty() {
        return Answer::error("'server' expects <name> and <addr>[:<port>] as arguments.");
    }
    let live = &call.process.board().live;
    if live.backend(proxy).find(name).is_some() {
        return Answer::error("Already exists a server with the same name in backend.");
    }
    let mut settings = match call.process.parse_server(proxy, name, words) {
        Ok(settings) => settings,
        Err(text) => return Answer::error(text),
    };
    if let Some(target) = &settings.track
        && let Err(text) = trackable(call.process, proxy, target)
    {
        return Answer::error(text);
    }
    if settings.id == 0 {
        settings.id = free_id(call.process, proxy);
    }
    let now = call.process.now().mono;
    let Some(server) = call.process.board().live.add_server(proxy, settings, now) else {
        return Answer::error("Already exists a server with the same name in backend.");
    };
    match call.process.change(Change::ServerAdded(proxy, server)) {
        Ok(()) => Answer::info("New server registered."),
        Err(text) => {
            call.process.board().live.delete_server(proxy, server);
            Answer::error(text)
        }
    }
}

/// Why a server that is added cannot track this one.
fn trackable(process: &dyn Process, own: ProxyIndex, target: &str) -> Result<(), String> {
    let (proxy, name) = match target.split_once('/') {
        Some((backend, name)) => (backend_of(process, backend), name),
        None => (Some(own), target),
    };
    let Some(proxy) = proxy else {
        let backend = target.split('/').next().unwrap_or_default();
        return Err(format!("unable to find required proxy '{backend}' for tracking."));
    };
    let live = process.board().live.backend(proxy);
    let Some(server) = live.find(name).and_then(|server| live.server(server)) else {
        return Err(format!("unable to find required server '{name}' for tracking."));
    };
    let s = &server.settings;
    let why = match (s.check.is_none() && s.agent.is_none() && s.track.is_none(), server.dynamic) {
        (_, true) => "is a dynamic server",
        (true, false) => "does not have any check nor agent enabled",
        (false, false) => return Ok(()),
    };
    let backend = &process.plan().proxies[proxy].name;
    Err(format!("unable to use {backend}/{name} for tracking as it {why}."))
}

/// The lowest id from 1 that no server of the backend has.
fn free_id(process: &dyn Process, proxy: ProxyIndex) -> u32 {
    let live = process.board().live.backend(proxy);
    let taken: std::collections::HashSet<u32> = live.servers().map(|(_, s)| s.settings.id).collect();
    (1..).find(|id| !taken.contains(id)).unwrap_or(u32::MAX)
}

pub fn del(call: &mut Call<'_>) -> Answer {
    on_server(call, |call, (proxy, server)| {
        if let Some(reason) = refused(call.process, proxy, server) {
            return Answer::error(reason);
        }
        if live(call, (proxy, server)).is_some_and(|s| !s.in_maintenance()) {
            return Answer::error("Only servers in maintenance mode can be deleted.");
        }
        if let Err(reason) = call.process.removable(proxy, server) {
            return Answer::error(reason);
        }
        call.process.board().live.delete_server(proxy, server);
        match call.process.change(Change::ServerDeleted(proxy, server)) {
            Ok(()) => Answer::info("Server deleted."),
            Err(text) => Answer::error(text),
        }
    })
}

/// Why a server can never be removed: another one tracks it.
fn refused(process: &dyn Process, proxy: ProxyIndex, server: ServerIndex) -> Option<&'static str> {
    let live = &process.board().live;
    let tracked = (0..process.plan().proxies.len()).any(|p| {
        let mut servers = live.backend(p).servers();
        servers.any(|(s, follower)| follower.settings.track.is_some() && live.tracked(p, s) == Some((proxy, server)))
    });
    tracked.then_some("This server cannot be removed at runtime due to other configuration elements pointing to it.")
}

/// For `wait … srv-removable`: done, not yet (`None`), or never and why.
pub fn removable(process: &dyn Process, backend: &str, server: &str) -> Result<(), Option<String>> {
    let (proxy, index) = server_of(process, &format!("{backend}/{server}")).map_err(|e| Some(e.to_string()))?;
    if let Some(reason) = refused(process, proxy, index) {
        return Err(Some(reason.into()));
    }
    match process.board().live.server(proxy, index) {
        Some(s) if s.in_maintenance() => process.removable(proxy, index).map_err(|_| None),
        _ => Err(None),
    }
}
