//! Which server gets which address or SRV record (manual 5.2 "resolve-prefer", "resolve-net", "resolve-opts"). A server
//! keeps what it has while a name still says so; what is new goes to those that lost theirs. Pure.

use super::answers::Target;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::server::{ResolvePrefer, Server};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// A server whose address comes from a name.
#[derive(Debug, Clone)]
pub struct Slot {
    pub proxy: ProxyIndex,
    pub server: ServerIndex,
    pub prefer: ResolvePrefer,
    networks: Vec<(IpAddr, u8)>,
    /// Servers of one backend may share an address.
    shares: bool,
    /// The last address that its name gave it, or that it began with.
    pub address: Option<IpAddr>,
    /// The SRV record that it stands for: name and port.
    pub target: Option<(Box<str>, u16)>,
}

impl Slot {
    pub fn new(proxy: ProxyIndex, server: ServerIndex, settings: &Server, address: Option<IpAddr>) -> Slot {
        Slot {
            proxy,
            server,
            prefer: settings.resolve_prefer,
            networks: settings.resolve_net.clone(),
            shares: settings.resolve_opts.allow_dup_ip,
            address,
            target: None,
        }
    }

    /// How well an address suits: the preferred family first, then the preferred networks.
    fn rank(&self, ip: IpAddr) -> u8 {
        let family = ip.is_ipv4() == (self.prefer == ResolvePrefer::Ipv4);
        let network = self.networks.iter().any(|net| contains(*net, ip));
        u8::from(family) << 1 | u8::from(network)
    }
}

fn contains((net, bits): (IpAddr, u8), ip: IpAddr) -> bool {
    let (net, ip, width) = match (net, ip) {
        (IpAddr::V4(n), IpAddr::V4(i)) => (u32::from(n).into(), u32::from(i).into(), 32),
        (IpAddr::V6(n), IpAddr::V6(i)) => (u128::from(n), u128::from(i), 128),
        _ => return false,
    };
    let shift = width - u32::from(bits).min(width);
    // A shift by the whole width is a network that holds everything.
    u128::checked_shr(net ^ ip, shift).unwrap_or(0) == 0
}

/// The address of each slot of one name; `None` where none is left for it.
pub fn addresses(known: &[IpAddr], slots: &[&Slot]) -> Vec<Option<IpAddr>> {
    let mut given = vec![None; slots.len()];
    let mut taken: HashSet<(ProxyIndex, IpAddr)> = HashSet::new();
    let all: HashSet<IpAddr> = known.iter().copied().collect();
    for (slot, given) in slots.iter().zip(&mut given) {
        let Some(now) = slot.address.filter(|ip| all.contains(ip)) else { continue };
        let best = known.iter().map(|ip| slot.rank(*ip)).max();
        if best == Some(slot.rank(now)) && taken.insert((slot.proxy, now)) {
            *given = Some(now);
        }
    }
    for (slot, given) in slots.iter().zip(&mut given).filter(|(_, given)| given.is_none()) {
        let free = |ip: &IpAddr| !taken.contains(&(slot.proxy, *ip));
        let candidates = known.iter().copied().filter(|ip| slot.shares || free(ip));
        // The first of the best, as the name server has them in turn; the present one before others as good.
        let order = |ip: &IpAddr| (slot.rank(*ip), free(ip), Some(*ip) == slot.address);
        *given = candidates.rev().max_by_key(order);
        if let Some(ip) = *given {
            taken.insert((slot.proxy, ip));
        }
    }
    given
}

/// What SRV records change, by slot.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Their record is gone.
    pub released: Vec<usize>,
    /// They stand for this target from now on.
    pub filled: Vec<(usize, usize)>,
    /// They stand for this target still.
    pub kept: Vec<(usize, usize)>,
}

/// Which slot stands for which target: each backend has all of them, as far as its slots go.
pub fn targets(known: &[Target], slots: &[&Slot]) -> Changes {
    let mut changes = Changes::default();
    let places: HashMap<(&str, u16), usize> =
        known.iter().enumerate().map(|(i, t)| ((&*t.name, t.port), i)).collect();
    let mut held: HashSet<(ProxyIndex, usize)> = HashSet::new();
    let mut free: Vec<usize> = Vec::new();
    let mut backends: Vec<ProxyIndex> = Vec::new();
    for (number, slot) in slots.iter().enumerate() {
        if !backends.contains(&slot.proxy) {
            backends.push(slot.proxy);
        }
        let target = slot.target.as_ref().map(|(name, port)| places.get(&(&**name, *port)).copied());
        match target {
            Some(Some(target)) if held.insert((slot.proxy, target)) => changes.kept.push((number, target)),
            Some(_) => {
                changes.released.push(number);
                free.push(number);
            }
            None => free.push(number),
        }
    }
    for backend in backends {
        let mut free = free.iter().copied().filter(|slot| slots[*slot].proxy == backend);
        for target in (0..known.len()).filter(|target| !held.contains(&(backend, *target))) {
            match free.next() {
                Some(slot) => changes.filled.push((slot, target)),
                None => break,
            }
        }
    }
    // One record after the other.
    changes.filled.sort_by_key(|(slot, target)| (*target, *slot));
    changes
}

/// A server's weight from a record's, which goes to 65535.
pub fn weight(of_record: u16) -> u32 {
    u32::from(of_record).div_ceil(256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::origin::Origin;

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_ascii_whitespace().map(|ip| ip.parse().unwrap()).collect()
    }

    fn slot(proxy: ProxyIndex, address: &str, edit: impl FnOnce(&mut Server)) -> Slot {
        let mut server = Server { resolve_prefer: ResolvePrefer::Ipv4, ..Server::new(Origin::none()) };
        edit(&mut server);
        Slot::new(proxy, 0, &server, address.parse().ok())
    }

    fn given(known: &str, slots: &[Slot]) -> Vec<String> {
        let slots: Vec<&Slot> = slots.iter().collect();
        let text = |ip: Option<IpAddr>| ip.map_or("-".into(), |ip| ip.to_string());
        addresses(&ips(known), &slots).into_iter().map(text).collect()
    }

    #[test]
    fn each_server_of_a_backend_has_its_own_address() {
        let slots = [slot(0, "", |_| {}), slot(0, "", |_| {}), slot(0, "", |_| {}), slot(1, "", |_| {})];
        assert_eq!(given("10.0.0.1 10.0.0.2", &slots), ["10.0.0.1", "10.0.0.2", "-", "10.0.0.1"]);
    }

    #[test]
    fn servers_keep_what_they_have() {
        let slots = [slot(0, "", |_| {}), slot(0, "10.0.0.1", |_| {}), slot(0, "10.0.0.9", |_| {})];
        assert_eq!(given("10.0.0.1 10.0.0.2 10.0.0.3", &slots), ["10.0.0.2", "10.0.0.1", "10.0.0.3"]);
        // Two that began with the same one.
        let slots = [slot(0, "10.0.0.1", |_| {}), slot(0, "10.0.0.1", |_| {})];
        assert_eq!(given("10.0.0.1", &slots), ["10.0.0.1", "-"]);
    }

    #[test]
    fn addresses_are_shared_where_that_is_allowed_but_only_when_none_is_free() {
        let shares = |s: &mut Server| s.resolve_opts.allow_dup_ip = true;
        let slots = [slot(0, "10.0.0.1", shares), slot(0, "10.0.0.1", shares), slot(0, "", shares)];
        assert_eq!(given("10.0.0.1", &slots), ["10.0.0.1"; 3]);
        assert_eq!(given("10.0.0.1 10.0.0.2", &slots), ["10.0.0.1", "10.0.0.2", "10.0.0.1"]);
    }

    #[test]
    fn the_preferred_family_then_the_preferred_network_come_first() {
        let known = "2001:db8::1 192.168.0.1 10.0.0.1";
        assert_eq!(given(known, &[slot(0, "", |_| {})]), ["192.168.0.1"]);
        assert_eq!(given(known, &[slot(0, "", |s| s.resolve_prefer = ResolvePrefer::Ipv6)]), ["2001:db8::1"]);
        let near = |s: &mut Server| s.resolve_net = vec![("10.0.0.0".parse().unwrap(), 8)];
        assert_eq!(given(known, &[slot(0, "", near)]), ["10.0.0.1"]);
        assert_eq!(given(known, &[slot(0, "192.168.0.1", near)]), ["10.0.0.1"], "a better one has come");
        assert_eq!(given("192.168.0.1", &[slot(0, "", near)]), ["192.168.0.1"], "none in the network");
        assert!(contains(("::".parse().unwrap(), 0), "2001:db8::1".parse().unwrap()));
        assert!(!contains(("10.0.0.0".parse().unwrap(), 8), "11.0.0.0".parse().unwrap()));
    }

    fn target(name: &str, port: u16) -> Target {
        Target { name: name.into(), port, weight: 1, address: None }
    }

    fn standing(proxy: ProxyIndex, target: Option<(&str, u16)>) -> Slot {
        Slot { target: target.map(|(name, port)| (name.into(), port)), ..slot(proxy, "", |_| {}) }
    }

    fn changed(known: &[Target], slots: &[Slot]) -> Changes {
        targets(known, &slots.iter().collect::<Vec<_>>())
    }

    #[test]
    fn records_fill_the_slots_of_every_backend() {
        let slots = [standing(0, None), standing(0, None), standing(0, None), standing(1, None)];
        let known = [target("a", 1), target("b", 1)];
        let changes = changed(&known, &slots);
        assert_eq!(changes.filled, [(0, 0), (3, 0), (1, 1)]);
    }

    #[test]
    fn slots_are_filled_again_when_all_records_were_replaced() {
        let slots = [standing(0, Some(("a", 1))), standing(0, Some(("b", 1))), standing(0, None)];
        let changes = changed(&[target("b", 2), target("c", 1), target("b", 1)], &slots);
        assert_eq!(changes, Changes { released: vec![0], filled: vec![(0, 0), (2, 1)], kept: vec![(1, 2)] });
        let changes = changed(&[], &slots);
        assert_eq!(changes, Changes { released: vec![0, 1], filled: vec![], kept: vec![] });
        let changes = changed(&[target("x", 1), target("y", 1)], &slots);
        assert_eq!(changes, Changes { released: vec![0, 1], filled: vec![(0, 0), (1, 1)], kept: vec![] });
    }

    #[test]
    fn weights_of_records_are_scaled_to_those_of_servers() {
        assert_eq!([0, 1, 256, 257, 65535].map(weight), [0, 1, 1, 2, 256]);
    }
}
