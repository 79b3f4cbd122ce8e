//! What a stream gives its backend's algorithm to choose by (manual 4.2 "balance"). The algorithms are `model::balance`'s.

use super::rules::with_context;
use super::session::Session;
use super::stream::Exchange;
use super::worker::Worker;
use crate::language::context::{Payload, Side};
use crate::model::backend::Balance;
use crate::model::balance::{hdr, rdp_cookie, uri, url_param};
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::proxy::Mode;
use crate::model::state::counters::ServerCounter;

/// What the algorithm hashes, or who is meant already.
pub enum KeyOf {
    None,
    Bytes(Vec<u8>),
    Address(std::net::IpAddr),
    /// Persistence or `use-server` named it.
    Server(ServerIndex),
}

impl KeyOf {
    /// What the backend's algorithm wants to know of a stream.
    pub fn of(w: &Worker, proxy: ProxyIndex, s: &Session, ex: &mut Exchange) -> KeyOf {
        match &w.plan.proxies[proxy].backend.balance {
            Balance::Roundrobin | Balance::StaticRr | Balance::Leastconn | Balance::First => KeyOf::None,
            Balance::Random(_) | Balance::Default | Balance::Sticky => KeyOf::None,
            Balance::Source => s.facts.borrow().src.map_or(KeyOf::None, |a| KeyOf::Address(a.ip())),
            other => hashed(w, proxy, other, s, ex),
        }
    }
}

/// `option prefer-last-server`: the server of the session's last request, also when it is full, while no more streams
/// wait for it than `max-keep-alive-queue` says (manual 4.2).
pub fn last_server(w: &Worker, proxy: ProxyIndex, s: &Session) -> Option<KeyOf> {
    if !w.plan.proxies[proxy].options.prefer_last_server {
        return None;
    }
    let (backend, server) = s.last_server.get()?;
    let queued = || w.board.server(proxy, server, ServerCounter::Qcur);
    let waits = |limit: Option<u32>| limit.is_none_or(|most| queued() < u64::from(most));
    let most = w.plan.proxies[proxy].backend.max_keep_alive_queue;
    let usable = w.board.live.server(proxy, server).is_some_and(|l| l.is_usable() && (!l.is_full() || waits(most)));
    (backend == proxy && usable).then_some(KeyOf::Server(server))
}

/// The bytes that a hash algorithm looks at (manual 4.2 "balance").
fn hashed(w: &Worker, proxy: ProxyIndex, balance: &Balance, s: &Session, ex: &mut Exchange) -> KeyOf {
    let http = s.settings().mode == Mode::Http;
    let bytes = match balance {
        Balance::Uri { whole, len, depth, path_only } if http => {
            let key = uri::key(ex.request.uri(), *whole, *len, *depth, *path_only);
            Some(key.to_vec())
        }
        Balance::UrlParam { name, .. } if http => {
            let posted = Some(&ex.form_value[..]).filter(|value| !value.is_empty());
            url_param::key(ex.request.uri(), name.as_bytes()).or(posted).map(<[u8]>::to_vec)
        }
        Balance::Hdr { name, use_domain_only } if http => {
            ex.request.first(name.as_bytes()).map(|v| hdr::key(v, *use_domain_only).to_vec())
        }
        // The client's first packet, as far as `tcp-request inspect-delay` has waited for it.
        Balance::RdpCookie(name) => rdp_cookie::key(&ex.input, name).map(<[u8]>::to_vec),
        Balance::Hash(_) => {
            let rules = &w.plan.proxies[proxy].rules;
            rules.balance_hash.as_ref().and_then(|expr| {
                with_context(s, ex, Side::Request, Payload::default(), true, |cx| {
                    let mut out = Vec::new();
                    expr.write(cx, &mut out).then_some(out)
                })
            })
        }
        _ => None,
    };
    bytes.map_or(KeyOf::None, KeyOf::Bytes)
}
