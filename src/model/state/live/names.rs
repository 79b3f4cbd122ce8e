//! What name resolution does to servers (manual 5.3): addresses that come and go, names that SRV records or the runtime
//! API give. The sentences are HAProxy's.

use super::{
    super::{
        event::*,
        server::{ServerLive, admin},
    },
    Live,
};
use crate::{
    base::{address::Address, clock::Millis},
    model::plan::{ProxyIndex, ServerIndex},
};
use std::net::{IpAddr, SocketAddr};
use std::sync::PoisonError;

impl Live {
    /// A name server gave this address, with an SRV record this port too. `by`: who told.
    pub fn resolved(
        &self,
        proxy: ProxyIndex,
        server: ServerIndex,
        ip: IpAddr,
        port: Option<u16>,
        by: &str,
    ) -> Vec<Event> {
        let Some(s) = self.server(proxy, server) else { return Vec::new() };
        let old_ip = match s.address().as_deref() {
            Some(Address::Ip(a)) => Some(a.ip()),
            _ => None,
        };
        let old_port = s.detail().port;
        let new_port = port.unwrap_or(old_port);
        let mut changes = Vec::new();
        if old_ip != Some(ip) {
            let old = old_ip.map_or("(none)".to_owned(), |ip| ip.to_string());
            changes.push(format!("IP changed from '{old}' to '{ip}'"));
        }
        if port.is_some() && (new_port != old_port || s.port_map().is_some()) {
            let old = s.port_map().map_or_else(|| old_port.to_string(), |offset| format!("{offset:+}"));
            changes.push(format!("port changed from '{old}' to '{new_port}'"));
            s.set_own_port();
        }
        if changes.is_empty() {
            return Vec::new();
        }
        self.set_address(proxy, server, Some(Address::Ip(SocketAddr::new(ip, new_port))));
        let head = format!("{}: {} by '{by}'.", self.place(proxy, s), changes.join(", "));
        vec![Event::new(proxy, Some(server), NOTICE, Effect::None, head)]
    }

    /// Its name has an address: the server leaves the maintenance of those without one.
    pub fn resolves_again(&self, proxy: ProxyIndex, server: ServerIndex, now: Millis) -> Vec<Event> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(s) = self.server(proxy, server) else { return Vec::new() };
        if s.admin() & admin::RESOLUTION_MAINT == 0 {
            return Vec::new();
        }
        let mut events = self.leave(proxy, server, admin::RESOLUTION_MAINT, now);
        let head = format!("{} administratively READY thanks to valid DNS answer.", self.title(proxy, s));
        let ready = Event::new(proxy, Some(server), NOTICE, Effect::None, head);
        // Right behind the change of the server itself; what followed from it comes after.
        events.insert(events.len().min(1), ready);
        events
    }

    /// Its name has no address any more, for this reason: the server goes into maintenance.
    pub fn unresolved(&self, proxy: ProxyIndex, server: ServerIndex, why: &str, now: Millis) -> Vec<Event> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_address(proxy, server, None);
        self.enter(proxy, server, admin::RESOLUTION_MAINT, Some(why), now)
    }

    /// An SRV record gave the server its name and port, or took them away (`None`).
    pub fn named_by_record(&self, proxy: ProxyIndex, server: ServerIndex, to: Option<(&str, u16)>) -> Vec<Event> {
        let Some((name, port)) = to else {
            self.with_detail(proxy, server, |d| (d.name, d.port) = (None, 0));
            return Vec::new();
        };
        if let Some(s) = self.server(proxy, server) {
            s.lock().port = port;
            s.set_own_port();
        }
        match self.rename(proxy, server, name, "SRV record") {
            Some(head) => vec![Event::new(proxy, Some(server), NOTICE, Effect::None, head)],
            None => Vec::new(),
        }
    }

    /// Gives the server another name; the sentence that tells it. `None`: it has that name.
    pub fn rename(&self, proxy: ProxyIndex, server: ServerIndex, name: &str, by: &str) -> Option<String> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let s = self.server(proxy, server)?;
        let old = {
            let mut detail = s.lock();
            if detail.name.as_deref() == Some(name) {
                return None;
            }
            detail.name.replace(name.into())
        };
        s.set_admin(s.admin() | admin::NAME_CHANGED);
        let old = old.as_deref().unwrap_or("(null)");
        Some(format!("{} changed its FQDN from {old} to {name} by '{by}'", self.place(proxy, s)))
    }

    /// `backend/server`.
    fn place(&self, proxy: ProxyIndex, s: &ServerLive) -> String {
        format!("{}/{}", self.proxies[proxy].name, s.settings.name)
    }
}
