//! What was counted and what checks have found, as lines of text for the process that follows this one: a reload then
//! neither loses counts nor forgets who is down. Things are known by name; what is not there any more is left out.

use super::{
    board::Board,
    counters::{BackendCounter, CounterId, FrontendCounter, ListenerCounter, ServerCounter},
    server::{Operation, ServerLive},
};
use crate::{
    base::clock::Millis,
    model::plan::{Plan, ProxyIndex, ServerIndex},
};
use std::fmt::Write;

/// Kinds of lines.
const FRONTEND: &str = "frontend";
const LISTENER: &str = "listener";
const BACKEND: &str = "backend";
const SERVER: &str = "server";
const HEALTH: &str = "health";

/// The first line: a process that counts other things does not read the rest.
pub fn head() -> String {
    let counts = [FrontendCounter::COUNT, ListenerCounter::COUNT, BackendCounter::COUNT, ServerCounter::COUNT];
    format!("ringway-state 1 {counts:?}\n")
}

/// The lines of one proxy.
pub fn write(plan: &Plan, board: &Board, proxy: ProxyIndex, now: Millis, out: &mut String) {
    let p = &plan.proxies[proxy];
    if p.has_frontend {
        counts(out, &[FRONTEND, &p.name], FrontendCounter::ALL, |id| board.frontend(proxy, id));
        for bind in 0..p.frontend.binds.len() {
            let words = [LISTENER, &p.name, &bind.to_string()];
            counts(out, &words, ListenerCounter::ALL, |id| board.listener(proxy, bind, id));
        }
    }
    if p.has_backend {
        counts(out, &[BACKEND, &p.name], BackendCounter::ALL, |id| board.backend(proxy, id));
        for (server, live) in board.live.backend(proxy).servers().filter(|(_, s)| !s.is_deleted()) {
            let words = [SERVER, &p.name, live.settings.name.as_str()];
            counts(out, &words, ServerCounter::ALL, |id| board.server(proxy, server, id));
            health(out, &p.name, live, now);
        }
    }
}

/// A line of numbers, unless all are zero.
fn counts<K: CounterId>(out: &mut String, words: &[&str], ids: &[K], read: impl Fn(K) -> u64) {
    let values: Vec<u64> = ids.iter().filter(|id| !id.is_gauge()).map(|id| read(*id)).collect();
    if values.iter().all(|v| *v == 0) {
        return;
    }
    out.push_str(&words.join(" "));
    for value in values {
        // Writing to a String cannot fail.
        let _ = write!(out, " {value}");
    }
    out.push('\n');
}

/// What checks have found of a server that is checked and not in maintenance.
fn health(out: &mut String, backend: &str, server: &ServerLive, now: Millis) {
    let detail = server.detail();
    if !detail.checked || server.in_maintenance() {
        return;
    }
    let (name, operation) = (&server.settings.name, server.operation() as u32);
    let address = server.address().map_or("-".into(), |a| a.to_string());
    let since_ms = now.since(detail.last_change);
    let health = detail.health.value;
    let _ = writeln!(out, "{HEALTH} {backend} {name} {operation} {health} {since_ms} {address}");
}

/// Takes a line over. `None`: it concerns nothing that is still there, or is no line of this kind.
pub fn take(line: &str, plan: &Plan, board: &Board, now: Millis) -> Option<()> {
    let mut words = line.split(' ');
    let (kind, name) = (words.next()?, words.next()?);
    let control = board.control();
    match kind {
        FRONTEND => {
            let cell = control.frontend(plan.frontend(name)?);
            add(words, FrontendCounter::ALL, |id, n| cell.add(id, n));
        }
        LISTENER => {
            let proxy = plan.frontend(name)?;
            let bind = words.next()?.parse().ok().filter(|b| *b < plan.proxies[proxy].frontend.binds.len())?;
            let cell = control.listener(proxy, bind);
            add(words, ListenerCounter::ALL, |id, n| cell.add(id, n));
        }
        BACKEND => {
            let cell = control.backend(plan.backend(name)?);
            let wanted = |id: BackendCounter| id != BackendCounter::Lastsess;
            add(words, BackendCounter::ALL, |id, n| cell.add(id, if wanted(id) { n } else { 0 }));
        }
        SERVER => {
            let (proxy, server) = find(plan, board, name, words.next()?)?;
            let cell = control.server(proxy, server);
            let wanted = |id: ServerCounter| !matches!(id, ServerCounter::Lastsess | ServerCounter::NeedConnEst);
            add(words, ServerCounter::ALL, |id, n| cell.add(id, if wanted(id) { n } else { 0 }));
        }
        HEALTH => {
            let (proxy, server) = find(plan, board, name, words.next()?)?;
            let mut number = || words.next()?.parse::<u64>().ok();
            let (operation, value, since_ms) = (number()?, number()? as u32, number()?);
            let live = board.live.server(proxy, server)?;
            // Another machine has another health.
            if live.address().map_or("-".into(), |a| a.to_string()) != words.next()? {
                return None;
            }
            restore(live, operation as u32, value, now.0.saturating_sub(since_ms));
        }
        _ => return None,
    }
    Some(())
}

fn find(plan: &Plan, board: &Board, backend: &str, server: &str) -> Option<(ProxyIndex, ServerIndex)> {
    let proxy = plan.backend(backend)?;
    Some((proxy, board.live.backend(proxy).find(server)?))
}

/// The control thread's cells are empty at the start, so that adding a maximum sets it.
fn add<'w, K: CounterId>(words: impl Iterator<Item = &'w str>, ids: &[K], mut count: impl FnMut(K, u64)) {
    let numbers = words.map_while(|w| w.parse::<u64>().ok());
    for (id, n) in ids.iter().filter(|id| !id.is_gauge()).zip(numbers) {
        count(*id, n);
    }
}

fn restore(server: &ServerLive, operation: u32, value: u32, last_change: u64) {
    let mut detail = server.lock();
    if !detail.checked || server.in_maintenance() {
        return;
    }
    let health = &mut detail.health;
    let most = health.rise + health.fall - 1;
    let down = operation == Operation::Stopped as u32;
    health.value = if down { value.min(health.rise - 1) } else { value.clamp(health.rise, most) };
    detail.last_change = Millis(last_change);
    server.set_operation(match operation {
        _ if down => Operation::Stopped,
        3 => Operation::Stopping,
        _ => Operation::Running,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::origin::Origin;
    use crate::model::{
        proxy::Proxy,
        server::{CheckSettings, Server},
    };

    fn board() -> (Plan, Board) {
        let server = |name: &str| Server {
            name: name.into(),
            check: Some(CheckSettings::default()),
            ..Server::new(Origin::none())
        };
        let mut proxy = Proxy::new("p", Origin::none(), true, true);
        proxy.backend.servers = vec![server("a"), server("b")];
        let mut plan = Plan::default();
        plan.proxies.push(proxy);
        let board = Board::new(&plan, 2);
        (plan, board)
    }

    #[test]
    fn counts_and_health_go_from_board_to_board() {
        let (plan, old) = board();
        old.worker(0).frontend(0).add(FrontendCounter::ReqTot, 30);
        old.worker(1).frontend(0).add(FrontendCounter::ReqTot, 3);
        old.worker(1).frontend(0).add(FrontendCounter::Scur, 1);
        old.worker(1).server(0, 1).add(ServerCounter::Stot, 5);
        restore(old.live.server(0, 0).unwrap(), Operation::Stopped as u32, 0, 0);
        let mut text = String::new();
        write(&plan, &old, 0, Millis(5000), &mut text);
        let (plan, new) = board();
        text.lines().for_each(|l| take(l, &plan, &new, Millis(7000)).unwrap_or_else(|| panic!("{l}")));
        assert_eq!(new.frontend(0, FrontendCounter::ReqTot), 33);
        assert_eq!(new.frontend(0, FrontendCounter::Scur), 0);
        assert_eq!(new.server(0, 1, ServerCounter::Stot), 5);
        let [a, b] = [0, 1].map(|i| new.live.server(0, i).unwrap());
        assert_eq!((a.operation(), a.detail().last_change), (Operation::Stopped, Millis(2000)));
        assert_eq!(b.operation(), Operation::Running);
        assert_eq!(take("server p gone 1 2 3", &plan, &new, Millis(0)), None);
        assert_eq!(take("health p", &plan, &new, Millis(0)), None);
    }
}
