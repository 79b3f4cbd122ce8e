//! What the names of a section do to servers: addresses are shared out, SRV records find the servers that stand for them.

use super::super::answers::Target;
use super::super::slots::{self, Slot};
use super::{Member, Names, Want};
use crate::base::clock::Millis;
use crate::base::slab::Key;
use crate::model::balance::is_dynamic;
use crate::model::plan::Plan;
use crate::model::state::event::Event;
use crate::model::state::live::Live;
use std::net::IpAddr;

/// By whom addresses came that other servers of the name have caused to be asked for.
const CACHE: &str = "DNS cache";
const ADDITIONAL: &str = "DNS additional record";

impl Names {
    /// Servers that were deleted want nothing any more.
    pub(super) fn present(&mut self, live: &Live, key: Key) -> Vec<usize> {
        let Some(name) = self.names.get_mut(key) else { return Vec::new() };
        let members = &self.members;
        let gone = |m: &Member| live.server(m.slot.proxy, m.slot.server).is_none_or(|s| s.is_deleted());
        name.slots.retain(|m| !gone(&members[*m]));
        name.stale = false;
        name.slots.clone()
    }

    /// Gives the addresses known of a name to its servers; whether the first has another one now.
    pub(super) fn give_addresses(&mut self, live: &Live, key: Key, nameserver: Option<usize>, now: Millis) -> bool {
        let members = self.present(live, key);
        let Some(name) = self.names.get(key) else { return false };
        let known: Vec<IpAddr> = name.addresses.list().copied().filter(|ip| self.families.has(*ip)).collect();
        let slots: Vec<&Slot> = members.iter().map(|m| &self.members[*m].slot).collect();
        let given = slots::addresses(&known, &slots);
        let (mut moves, mut turns, mut changed) = (Vec::new(), Vec::new(), false);
        let first = members.first().copied();
        for (member, ip) in members.into_iter().zip(given) {
            let slot = &mut self.members[member].slot;
            let (proxy, server) = (slot.proxy, slot.server);
            let before = std::mem::replace(&mut slot.address, ip);
            let Some(ip) = ip else {
                if before.is_some() {
                    turns.extend(live.unresolved(proxy, server, "No IP for server ", now));
                }
                continue;
            };
            if before != Some(ip) {
                let port = slot.target.as_ref().map(|(_, port)| *port);
                // The first server is whom the name was asked for.
                let teller = nameserver.filter(|_| first == Some(member)).map(|n| self.labels[n].as_str());
                moves.extend(live.resolved(proxy, server, ip, port, teller.unwrap_or(CACHE)));
                changed |= teller.is_some();
            }
            turns.extend(live.resolves_again(proxy, server, now));
        }
        moves.extend(turns);
        self.tell(moves);
        changed
    }

    /// Lets servers stand for the records known of a label.
    pub(super) fn give_targets(&mut self, live: &Live, plan: &Plan, key: Key, now: Millis) {
        let members = self.present(live, key);
        let Some(name) = self.names.get(key) else { return };
        let known: Vec<Target> = name.targets.list().cloned().collect();
        let slots: Vec<&Slot> = members.iter().map(|m| &self.members[*m].slot).collect();
        let changes = slots::targets(&known, &slots);
        let mut events = Vec::new();
        for number in changes.released {
            events.extend(self.release(live, members[number], now));
        }
        let mut ready = Vec::new();
        for (number, target) in changes.filled {
            let (member, target) = (members[number], &known[target]);
            let slot = &mut self.members[member].slot;
            let (proxy, server) = (slot.proxy, slot.server);
            slot.target = Some((target.name.clone(), target.port));
            if let Some(ip) = target.address {
                slot.address = Some(ip);
                events.extend(live.resolved(proxy, server, ip, Some(target.port), ADDITIONAL));
                ready.push((proxy, server));
            }
            events.extend(live.named_by_record(proxy, server, Some((&target.name, target.port))));
            self.stand_for(plan, live, member, target, &mut events, now);
        }
        for (number, target) in changes.kept {
            let (member, target) = (members[number], &known[target]);
            let slot = &mut self.members[member].slot;
            let (proxy, server) = (slot.proxy, slot.server);
            if let Some(ip) = target.address.filter(|ip| slot.address != Some(*ip)) {
                slot.address = Some(ip);
                events.extend(live.resolved(proxy, server, ip, None, ADDITIONAL));
            }
            if slot.address.is_some() {
                ready.push((proxy, server));
            }
            self.stand_for(plan, live, member, target, &mut events, now);
        }
        for (proxy, server) in ready {
            events.extend(live.resolves_again(proxy, server, now));
        }
        self.tell(events);
    }

    /// Takes a server's record away, and with it name, address and port.
    fn release(&mut self, live: &Live, member: usize, now: Millis) -> Vec<Event> {
        let m = &mut self.members[member];
        let (proxy, server) = (m.slot.proxy, m.slot.server);
        (m.slot.target, m.slot.address, m.weight) = (None, None, None);
        if let Some(host) = m.host.take() {
            self.leave(member, host);
        }
        let events = live.unresolved(proxy, server, "entry removed from SRV record", now);
        live.named_by_record(proxy, server, None);
        events
    }

    /// Weight and host name of the record that a server stands for. The name is asked for by itself only while no
    /// additional record tells its address.
    fn stand_for(
        &mut self,
        plan: &Plan,
        live: &Live,
        member: usize,
        target: &Target,
        events: &mut Vec<Event>,
        now: Millis,
    ) {
        let m = &mut self.members[member];
        let (proxy, server) = (m.slot.proxy, m.slot.server);
        let weighed = m.weight.replace(target.weight) == Some(target.weight);
        if !weighed && !m.ignores_weight && is_dynamic(&plan.proxies[proxy].backend) {
            events.extend(live.set_weight(proxy, server, slots::weight(target.weight), now));
        }
        match (target.address, m.host) {
            (Some(_), Some(host)) => {
                m.host = None;
                self.leave(member, host);
            }
            (None, None) => {
                let want = Want::Addresses(m.slot.prefer);
                self.members[member].host = Some(self.join(member, &target.name, want, now));
            }
            _ => {}
        }
    }
}
