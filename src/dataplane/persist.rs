//! How a client comes back to its server (manual 4.2 "stick", "use-server", "force-persist", 11): who chooses before the
//! balancing algorithm does, and what is remembered of the choice. Cookies are `cookie`.

use super::cookie;
use super::rules::evaluate;
use super::session::Session;
use super::stream::Exchange;
use super::tables::message::{Ask, Reply};
use super::tables::registry::TableId;
use super::worker::Worker;
use crate::base::address::Address;
use crate::language::acl::Truth;
use crate::language::context::Side;
use crate::language::rules::switching::{Choice, Target};
use crate::language::sample::Sample;
use crate::model::balance::rdp_cookie;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::proxy::Mode;
use crate::model::state::live::BackendLive;
use crate::model::stick_table::StickKind;
use std::rc::Rc;
use std::sync::Arc;

/// Keys that a stream will store when its server is known: few at most.
pub const STORES_MAX: usize = 8;

/// Which server, as a table's word: `server_key` names it by proxy and place.
pub fn word(proxy: ProxyIndex, server: ServerIndex) -> u64 {
    (proxy as u64 + 1) << 32 | server as u64
}

/// The server that a table's word means; `None`: nothing is remembered.
pub fn server_of_word(word: u64) -> Option<(ProxyIndex, ServerIndex)> {
    ((word >> 32) > 0).then(|| ((word >> 32) as usize - 1, word as u32 as usize))
}

/// The server that `use-server`, a cookie or a stick rule names.
pub async fn server(w: &Rc<Worker>, proxy: ProxyIndex, s: &Session, ex: &mut Exchange) -> Option<ServerIndex> {
    let rules = &w.plan.proxies[proxy].rules;
    if !rules.force_persist.conditions.is_empty() {
        ex.force_persist = evaluate(s, ex, Side::Request, |cx| rules.force_persist.holds(cx)).await;
    }
    if !rules.ignore_persist.conditions.is_empty() && !ex.force_persist {
        ex.ignore_persist = evaluate(s, ex, Side::Request, |cx| rules.ignore_persist.holds(cx)).await;
    }
    let named = use_server(w, proxy, s, ex).await;
    let by_cookie = match w.plan.proxies[proxy].mode {
        Mode::Http => cookie::request(w, proxy, ex, named.is_some()),
        _ => rdp_server(w, proxy, ex),
    };
    // Keys to store are gathered whoever has chosen.
    let stuck = stick(w, proxy, s, ex, named.is_some() || by_cookie.is_some()).await;
    let chosen = named.or(by_cookie).or(stuck);
    ex.cookie.direct = chosen.is_some();
    chosen
}

/// `persist rdp-cookie` (manual 4.2): the server whose address the client's first packet names.
fn rdp_server(w: &Worker, proxy: ProxyIndex, ex: &Exchange) -> Option<ServerIndex> {
    let name = w.plan.proxies[proxy].backend.persist_rdp_cookie.as_ref()?;
    let address = Address::Ip(rdp_cookie::address(rdp_cookie::key(&ex.input, name)?)?.into());
    let mut servers = w.board.live.backend(proxy).servers();
    let (found, _) = servers.find(|(_, s)| s.address().as_deref() == Some(&address))?;
    (!ex.ignore_persist && may_take(w, proxy, found, ex)).then_some(found)
}

async fn use_server(w: &Rc<Worker>, proxy: ProxyIndex, s: &Session, ex: &mut Exchange) -> Option<ServerIndex> {
    let rules = &w.plan.proxies[proxy].rules;
    let live = w.board.live.backend(proxy);
    let mut start = 0;
    while start < rules.use_server.rules.len() {
        let (index, name) = evaluate(s, ex, Side::Request, |cx| {
            let (index, choice) = rules.use_server.choose(cx, start);
            let name = match choice {
                Choice::Rule(rule) => match &rule.target {
                    Target::Name(name) => Some(name.clone()),
                    Target::Format(format) => {
                        let mut text = cx.pool.buf();
                        format.write(cx, &mut text);
                        std::str::from_utf8(&text).ok().map(Arc::from)
                    }
                },
                _ => None,
            };
            (index, name)
        })
        .await;
        let name: Arc<str> = name?;
        let found = live.find(&name).filter(|i| may_take(w, proxy, *i, ex));
        if found.is_some() {
            return found;
        }
        start = index + 1;
    }
    None
}

/// Whether a server may serve a stream that belongs to it: `option persist` and `force-persist` send to dead ones too.
pub fn may_take(w: &Worker, proxy: ProxyIndex, server: ServerIndex, ex: &Exchange) -> bool {
    let Some(live) = w.board.live.server(proxy, server) else { return false };
    let forced = ex.force_persist || w.plan.proxies[proxy].options.persist;
    live.takes_persistent() || forced && !live.is_deleted()
}

/// Runs the stick rules of a request: the first key that is known chooses; keys to store are kept until the server is known.
async fn stick(
    w: &Rc<Worker>,
    proxy: ProxyIndex,
    s: &Session,
    ex: &mut Exchange,
    taken: bool,
) -> Option<ServerIndex> {
    let settings = &w.plan.proxies[proxy];
    ex.stores.clear();
    let mut chosen = None;
    for (rule, (expr, condition)) in settings.backend.stick_rules.iter().zip(&settings.rules.stick) {
        if rule.kind == StickKind::StoreResponse {
            continue;
        }
        let Some(table) = table_of(w, proxy, rule.table.as_deref()) else { continue };
        // A table for which a key waits to be stored is not looked at again (observed).
        if ex.stores.iter().any(|(t, _)| *t == table) {
            continue;
        }
        let key = evaluate(s, ex, Side::Request, |cx| {
            let holds = condition.as_ref().is_none_or(|c| c.test(cx) == Truth::Yes);
            if holds { expr.eval(cx).and_then(|sample| key(w, table, &sample)) } else { None }
        })
        .await;
        let Some(key) = key else { continue };
        let matches = matches!(rule.kind, StickKind::On | StickKind::Match);
        if matches && !taken && chosen.is_none() && !ex.ignore_persist {
            let hash = w.tables.registry.hash(table, &key);
            let reply = w.tables.wait_for(w.tables.ask(table, &key, hash, Ask::Stick)).await;
            if let Reply::Server(Some((id, word))) = reply {
                chosen = remembered(w, proxy, id, word).filter(|i| may_take(w, proxy, *i, ex));
            }
        }
        let stores = matches!(rule.kind, StickKind::On | StickKind::StoreRequest);
        if stores && ex.stores.len() < STORES_MAX {
            ex.stores.push((table, key));
        }
    }
    chosen
}

fn table_of(w: &Worker, proxy: ProxyIndex, name: Option<&str>) -> Option<TableId> {
    match name {
        Some(name) => w.tables.registry.named(name),
        None => w.tables.registry.of_proxy(proxy),
    }
}

fn key(w: &Worker, table: TableId, sample: &Sample<'_>) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    w.tables.registry.def(table).key.encode(sample, &mut key).then_some(key)
}

/// The server of this backend that an entry means: by name, which another backend's server may share, else by number.
fn remembered(w: &Worker, proxy: ProxyIndex, id: u64, word: u64) -> Option<ServerIndex> {
    let live: &BackendLive = w.board.live.backend(proxy);
    if let Some((of, server)) = server_of_word(word) {
        if of == proxy {
            return live.server(server).filter(|s| !s.is_deleted()).map(|_| server);
        }
        let name = &w.board.live.server(of, server)?.settings.name;
        if let Some(found) = live.find(name) {
            return Some(found);
        }
    }
    live.servers().find(|(_, s)| s.settings.id as u64 == id && id > 0).map(|(i, _)| i)
}

fn store(w: &Worker, proxy: ProxyIndex, server: ServerIndex, stores: &[(TableId, Vec<u8>)]) {
    let Some(live) = w.board.live.server(proxy, server) else { return };
    if live.settings.non_stick {
        return;
    }
    for (table, key) in stores {
        w.tables.store(*table, key, live.settings.id as u64, word(proxy, server));
    }
}

/// The server has answered: what `on`, `store-request` and `store-response` keep is stored, as HAProxy does at this point.
pub async fn answered(w: &Rc<Worker>, proxy: ProxyIndex, s: &Session, ex: &mut Exchange) {
    let settings = &w.plan.proxies[proxy];
    if settings.backend.stick_rules.is_empty() {
        return;
    }
    let mut stores = std::mem::take(&mut ex.stores);
    for (rule, (expr, condition)) in settings.backend.stick_rules.iter().zip(&settings.rules.stick) {
        if rule.kind != StickKind::StoreResponse {
            continue;
        }
        let Some(table) = table_of(w, proxy, rule.table.as_deref()) else { continue };
        if stores.len() >= STORES_MAX || stores.iter().any(|(t, _)| *t == table) {
            continue;
        }
        let key = evaluate(s, ex, Side::Response, |cx| {
            let holds = condition.as_ref().is_none_or(|c| c.test(cx) == Truth::Yes);
            if holds { expr.eval(cx).and_then(|sample| key(w, table, &sample)) } else { None }
        })
        .await;
        stores.extend(key.map(|key| (table, key)));
    }
    if let Some((proxy, server)) = ex.server {
        store(w, proxy, server, &stores);
    }
    stores.clear();
    ex.stores = stores;
}
