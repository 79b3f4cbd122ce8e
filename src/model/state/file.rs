//! What a server-state file says (`show servers state`, version 1), brought back into live state at start
//! (`load-server-state-from-file`, manual 4.2).

use super::{
    live::Live,
    server::{Operation, ServerLive, WEIGHT_SCALE, admin},
};
use crate::{
    base::{address::Address, clock::Millis},
    model::plan::{Plan, ProxyIndex},
};
use std::net::{IpAddr, SocketAddr};

/// One line.
struct Line<'a> {
    backend_id: u32,
    backend: &'a str,
    server_id: u32,
    server: &'a str,
    address: &'a str,
    operation: u32,
    admin: u32,
    user_weight: u32,
    initial_weight: u32,
    since_s: u64,
    check_health: u32,
    backend_id_forced: bool,
    /// Its host name, its port and its SRV label; `-` where it has none.
    name: &'a str,
    port: u16,
    label: &'a str,
}

impl<'a> Line<'a> {
    /// `None` where a word is missing or no number.
    fn parse(text: &'a str) -> Option<Line<'a>> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u32>().ok();
        Some(Line {
            backend_id: number(0)?,
            backend: words.get(1)?,
            server_id: number(2)?,
            server: words.get(3)?,
            address: words.get(4)?,
            operation: number(5).filter(|n| *n <= 3)?,
            admin: number(6).filter(|n| *n < 0x80)?,
            user_weight: number(7).filter(|n| *n <= 256)?,
            initial_weight: number(8)?,
            since_s: number(9)? as u64,
            check_health: number(12)?,
            backend_id_forced: number(15)? == 1,
            name: words.get(17).copied().unwrap_or("-"),
            port: words.get(18).and_then(|port| port.parse().ok()).unwrap_or(0),
            label: words.get(19).copied().unwrap_or("-"),
        })
    }
}

/// The address that a file tells of a server (`init-addr last`).
pub fn last_address(text: &str, backend: &str, server: &str) -> Option<IpAddr> {
    let mut lines = text.lines();
    if lines.next()?.trim() != "1" {
        return None;
    }
    let line = lines.filter_map(Line::parse).find(|line| (line.backend, line.server) == (backend, server))?;
    line.address.parse().ok()
}

/// Applies a file's lines to the servers that are still configured; `wanted` says of which backends. `now`: the start.
/// Returns the numbers (from 1) of lines that could not be read. The error: the file is of no known version.
pub fn load(
    text: &str,
    plan: &Plan,
    live: &Live,
    wanted: impl Fn(ProxyIndex) -> bool,
    now: Millis,
) -> Result<Vec<usize>, String> {
    let mut lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    match lines.next() {
        Some((_, "1")) => {}
        _ => return Err("unsupported version of the server state file".into()),
    }
    let mut bad = Vec::new();
    for (number, text) in lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
        let Some(line) = Line::parse(text) else {
            bad.push(number);
            continue;
        };
        let by_id = line.backend_id_forced;
        let found = plan.proxies.iter().position(|p| {
            p.has_backend && if by_id && p.id_forced { p.id == line.backend_id } else { p.name == line.backend }
        });
        let Some(proxy) = found.filter(|p| wanted(*p)) else { continue };
        let backend = live.backend(proxy);
        let by_name = backend.find(line.server);
        let server = by_name.or_else(|| {
            backend.servers().find(|(_, s)| s.settings.id == line.server_id && line.server == "-").map(|(i, _)| i)
        });
        if let Some(server) = server.and_then(|s| live.server(proxy, s)) {
            apply(&line, server, now);
        }
    }
    live.settled();
    Ok(bad)
}

fn apply(line: &Line<'_>, server: &ServerLive, now: Millis) {
    let settings = &server.settings;
    // What the configuration said then and says now decides whether `disabled` still counts.
    let was_disabled = line.admin & admin::CONFIG_MAINT != 0;
    let forced = line.admin & (admin::FORCED_MAINT | admin::FORCED_DRAIN);
    let mask = match (was_disabled, settings.disabled) {
        (false, true) => server.admin(),
        (true, false) => forced & !admin::FORCED_MAINT,
        (true, true) => forced | admin::CONFIG_MAINT,
        (false, false) => forced,
    };
    let lost = server.admin() & admin::RESOLUTION_MAINT;
    let mask = mask & !admin::RESOLUTION_MAINT | lost;
    server.set_admin(mask);
    // A weight changed in the configuration wins over one set at run time.
    if settings.weight == line.initial_weight {
        server.set_user_weight(line.user_weight);
        server.set_effective_weight(line.user_weight * WEIGHT_SCALE);
    }
    names(line, server);
    let mut detail = server.lock();
    detail.last_change = Millis(now.0.saturating_sub(line.since_s * 1000));
    let down = line.operation == Operation::Stopped as u32;
    if server.in_maintenance() {
        server.set_operation(Operation::Stopped);
        return;
    }
    if !detail.checked {
        // Nothing would ever lift it.
        server.set_operation(Operation::Running);
        return;
    }
    let most = detail.health.rise + detail.health.fall - 1;
    detail.health.value = if down { 0 } else { line.check_health.clamp(detail.health.rise, most) };
    server.set_operation(match (down, line.operation) {
        (true, _) => Operation::Stopped,
        (_, 3) => Operation::Stopping,
        _ => Operation::Running,
    });
}

/// Names given while the process ran: by SRV records, with address and port, or by hand. Addresses of other names were
/// looked at when the configuration was read.
fn names(line: &Line<'_>, server: &ServerLive) {
    let settings = &server.settings;
    if line.name == "-" || settings.resolvers.is_none() {
        return;
    }
    let by_record = settings.srv_label().is_some_and(|label| label == line.label);
    let by_hand = settings.host_name().is_some() && settings.srv_label().is_none();
    let changed = line.admin & admin::NAME_CHANGED != 0;
    if !(by_record || by_hand && changed) {
        return;
    }
    server.lock().name = Some(line.name.into());
    server.set_admin(server.admin() | admin::NAME_CHANGED);
    if !by_record {
        return;
    }
    server.lock().port = line.port;
    server.set_own_port();
    if let Ok(ip) = line.address.parse::<IpAddr>() {
        server.set_address(Some(Address::Ip(SocketAddr::new(ip, line.port))));
        server.set_admin(server.admin() & !admin::RESOLUTION_MAINT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::origin::Origin,
        model::{
            proxy::Proxy,
            server::{CheckSettings, Server},
        },
    };

    #[test]
    fn states_weights_and_drains_come_back() {
        let server = |name: &str, weight| Server {
            name: name.into(),
            weight,
            host: "127.0.0.1".into(),
            check: Some(CheckSettings::default()),
            ..Server::new(Origin::none())
        };
        let mut proxy = Proxy::new("be", Origin::none(), false, true);
        proxy.backend.servers = vec![server("a", 10), server("b", 10), server("c", 10)];
        let mut plan = Plan::default();
        plan.proxies.push(proxy);
        let live = Live::new(&plan);
        let text = "1\n# be_id be_name ...\n\
                    3 be 1 a 127.0.0.1 0 0 10 10 16 8 2 0 6 0 0 0 - 1 - 0 0 - - 0\n\
                    3 be 2 b 127.0.0.1 2 8 5 10 16 15 3 4 6 0 0 0 - 1 - 0 0 - - 0\n\
                    3 be 3 c 127.0.0.1 0 1 5 20 16 15 3 4 6 0 0 0 - 1 - 0 0 - - 0\n\
                    3 be 4 gone 127.0.0.1 2 0 1 1 16 15 3 4 6 0 0 0 - 1 - 0 0 - - 0\nnonsense\n";
        assert_eq!(load(text, &plan, &live, |_| true, Millis(20_000)), Ok(vec![7]));
        let [a, b, c] = [0, 1, 2].map(|i| live.server(0, i).unwrap());
        assert_eq!((a.operation(), a.detail().last_change), (Operation::Stopped, Millis(4000)));
        assert!(b.in_drain() && b.user_weight() == 5);
        assert!(c.in_maintenance() && c.user_weight() == 10, "its weight was changed in the configuration");
        assert!(live.backend(0).detail().down);
        assert!(load("2\n", &plan, &live, |_| true, Millis(0)).is_err());
    }

    #[test]
    fn names_given_by_records_and_by_hand_come_back() {
        let server = |name: &str, host: &str| Server {
            name: name.into(),
            host: host.into(),
            resolvers: Some("r".into()),
            ..Server::new(Origin::none())
        };
        let mut proxy = Proxy::new("be", Origin::none(), false, true);
        proxy.backend.servers = vec![server("a", "_s._tcp.x"), server("b", "app.x"), server("c", "_other._tcp.x")];
        let mut plan = Plan::default();
        plan.proxies.push(proxy);
        let live = Live::new(&plan);
        let text = "1\n# be_id be_name ...\n\
                    3 be 1 a 10.0.0.1 2 64 1 1 16 8 2 0 6 0 0 0 n0.x 8010 _s._tcp.x 0 0 - - 0\n\
                    3 be 2 b 10.0.0.2 2 64 1 1 16 8 2 0 6 0 0 0 two.x 80 - 0 0 - - 0\n\
                    3 be 3 c 10.0.0.3 2 64 1 1 16 8 2 0 6 0 0 0 n2.x 8012 _s._tcp.x 0 0 - - 0\n";
        assert_eq!(load(text, &plan, &live, |_| true, Millis(20_000)), Ok(vec![]));
        let [a, b, c] = [0, 1, 2].map(|i| live.server(0, i).unwrap());
        assert_eq!(a.address().map(|a| a.to_string()), Some("10.0.0.1:8010".into()));
        assert_eq!((a.admin(), a.detail().name.as_deref()), (admin::NAME_CHANGED, Some("n0.x")));
        assert!(a.is_usable());
        assert_eq!((b.detail().name.as_deref(), b.address()), (Some("two.x"), None));
        assert!(b.in_maintenance() && c.in_maintenance());
        assert_eq!(c.detail().name, None, "its label is another one now");
        assert_eq!(last_address(text, "be", "b"), Some("10.0.0.2".parse().unwrap()));
        assert_eq!((last_address(text, "be", "d"), last_address("2\n", "be", "b")), (None, None));
    }
}
