//! `hash-type`: from a key to a server, map-based or consistent (manual 4.2). Both give HAProxy's server for HAProxy's
//! key: seen by asking it, see the vectors in the tests.

use super::{Candidate, Choice, Key, View, is_below, map::weight_map, takes, tickets::Tickets, walk::Leg};
use crate::{
    base::{
        address::Address,
        clock::Now,
        hash::{avalanche, crc32, djb2, sdbm, xxh32},
    },
    model::{
        backend::{Backend, HashFunction, HashPreserveAffinity, HashType},
        plan::ServerIndex,
        server::HashKey,
        state::{live::BackendLive, server::ServerLive},
    },
};
use std::net::IpAddr;

/// On the ring: where it is, and its server.
pub type Point = (u32, u32);

#[derive(Debug, Default)]
pub struct HashTable {
    kind: HashType,
    /// `hash-balance-factor`; 0: no bound.
    factor: u32,
    affinity: HashPreserveAffinity,
    /// `map-based`: one entry for each unit of weight.
    map: Vec<u32>,
    /// `consistent`: points on the ring in order.
    ring: Vec<Point>,
    /// Of streams without a key.
    tickets: Tickets,
    leg: Leg,
    first: usize,
}

impl HashTable {
    pub fn new(backend: &Backend) -> HashTable {
        // Both belong to the ring (manual 4.2 "hash-balance-factor", "hash-preserve-affinity").
        let (factor, affinity) = match backend.hash.consistent {
            true => (backend.hash_balance_factor, backend.hash_preserve_affinity),
            false => (0, HashPreserveAffinity::Always),
        };
        HashTable { kind: backend.hash, factor, affinity, ..HashTable::default() }
    }

    /// Servers' loads matter even without `maxconn`.
    pub fn is_bounded(&self) -> bool {
        self.factor > 0
    }

    pub fn refresh(&mut self, view: &View, live: &BackendLive) {
        match self.kind.consistent {
            true => self.ring = ring(view),
            false => self.map = weight_map(view),
        }
        self.leg = live.position.leg();
        self.first = self.leg.first(self.map.len(), &self.ring);
    }

    /// The hash of a key; `None` without a key.
    pub fn hash(&self, key: Key<'_>) -> Option<u32> {
        let hash = match key {
            Key::None => return None,
            Key::Bytes(bytes) => match self.kind.function {
                HashFunction::Sdbm => sdbm(bytes),
                HashFunction::Djb2 => djb2(bytes),
                HashFunction::Crc32 => crc32(bytes),
                HashFunction::None => number(bytes),
            },
            Key::Address(address) => super::source::hash(address),
        };
        Some(if self.kind.avalanche { avalanche(hash) } else { hash })
    }

    /// The next server of the map or the ring, for streams without a key (observed of HAProxy 2.6 and 3.4).
    pub fn next(
        &mut self,
        view: &View,
        excluding: Option<ServerIndex>,
        live: &BackendLive,
        now: Now,
    ) -> Option<ServerIndex> {
        let len = if self.kind.consistent { self.ring.len() } else { self.map.len() };
        let at = |i: usize| if self.kind.consistent { self.ring[i].1 } else { self.map[i] } as ServerIndex;
        self.tickets.note_turn(now);
        for _ in 0..len {
            let step = self.leg.step(&mut self.tickets, &live.position.ticket);
            let server = at((self.first + step) % len);
            if takes(view, live, server, excluding) {
                return Some(server);
            }
        }
        view.any(self.tickets.last() as usize, excluding, live)
    }

    /// The key's server, whether or not it is full: the stream waits for it then, where `hash-preserve-affinity` does
    /// not say to go on.
    pub fn pick(&self, hash: u32, view: &View, excluding: Option<ServerIndex>, live: &BackendLive) -> Choice {
        // A map has one server for a key, even if it has just refused: HAProxy goes elsewhere once a check has found it dead.
        let excluding = excluding.filter(|_| self.kind.consistent);
        let (len, start) = match self.kind.consistent {
            true => (self.ring.len(), nearest(&self.ring, hash)),
            false => (self.map.len(), hash as usize % self.map.len().max(1)),
        };
        let at = |i: usize| match self.kind.consistent {
            true => self.ring[i % len].1,
            false => self.map[i % len],
        } as ServerIndex;
        let there = |index: ServerIndex| live.server(index);
        let passed_over = |index: ServerIndex| {
            let saturated = match self.affinity {
                HashPreserveAffinity::Always => false,
                HashPreserveAffinity::Maxconn => there(index).is_some_and(ServerLive::is_full),
                HashPreserveAffinity::Maxqueue => there(index).is_some_and(|s| s.is_full() && s.queue_is_full()),
            };
            saturated || self.factor > 0 && !is_below(self.factor, index, view, live)
        };
        let all = || (0..len).map(|step| at(start + step));
        let wanted = || all().filter(|index| Some(*index) != excluding);
        // Points of one server follow each other: what was passed over is not looked at twice in a row.
        let mut last = None;
        let found = wanted().find(|index| last.replace(*index) != Some(*index) && !passed_over(*index));
        match found.or_else(|| wanted().next()).or_else(|| all().next()) {
            None => Choice::None,
            Some(index) if there(index).is_some_and(ServerLive::is_full) => Choice::Queue(index),
            Some(index) => Choice::Server(index),
        }
    }
}

/// The place of the point nearest to the hash, going either way round.
fn nearest(ring: &[Point], hash: u32) -> usize {
    let len = ring.len();
    if len == 0 {
        return 0;
    }
    let after = ring.partition_point(|(point, _)| *point < hash) % len;
    let before = (after + len - 1) % len;
    let (ahead, behind) = (ring[after].0.wrapping_sub(hash), hash.wrapping_sub(ring[before].0));
    if ahead < behind { after } else { before }
}

/// `hash-type … none`: the key is a number already.
fn number(bytes: &[u8]) -> u32 {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit());
    digits.fold(0u32, |n, b| n.wrapping_mul(10).wrapping_add((b - b'0') as u32))
}

/// The number after which a server's points on the ring are placed (manual 5.2 "hash-key"). What the manual leaves open was
/// found by asking HAProxy 3.4.0 where it sends 150 keys. An address is read as on little-endian machines.
pub fn key(live: &ServerLive) -> u32 {
    let server = &live.settings;
    let by_id = server.id.wrapping_mul(4096);
    let by_address = |with_port: bool| match live.address().as_deref() {
        Some(Address::Ip(to)) => {
            let port = if with_port { avalanche(to.port().into()) } else { 0 };
            match to.ip() {
                IpAddr::V4(ip) => avalanche(u32::from_le_bytes(ip.octets()).wrapping_add(port)),
                IpAddr::V6(ip) => xxh32(&ip.octets(), port),
            }
        }
        _ => by_id,
    };
    match server.hash_key {
        HashKey::Id => by_id,
        HashKey::Id32 => avalanche(server.id.swap_bytes()),
        HashKey::Guid => server.guid.as_ref().map_or(by_id, |guid| xxh32(guid.as_bytes(), 0)),
        HashKey::Addr => by_address(false),
        HashKey::AddrPort => by_address(true),
    }
}

/// Points on the ring at most: 32 MB. Beyond, every server has fewer in proportion, at least one.
const POINTS_MAX: u64 = 1 << 22;

/// Sixteen points for each unit of weight, placed by the server's key, in order.
pub fn ring(view: &View) -> Vec<Point> {
    let mut ring: Vec<_> = points(view).collect();
    ring.sort_unstable();
    ring
}

fn points(view: &View) -> impl Iterator<Item = Point> {
    let total: u64 = view.candidates.iter().map(|c| c.weight as u64).sum();
    let count = move |weight: u32| match total > POINTS_MAX {
        true => (weight as u64 * POINTS_MAX / total).max(1) as u32,
        false => weight,
    };
    let of = move |c: &Candidate| {
        let (key, index) = (c.key, c.index as u32);
        (0..count(c.weight)).map(move |n| (avalanche(key.wrapping_add(n)), index))
    };
    view.candidates.iter().flat_map(of)
}

/// What becomes of a point whose server has changed: the point, if it is still there, or the next one. `anew`: all points of
/// that server left the ring before they came back.
pub fn surviving(point: Point, view: &View, anew: bool) -> Option<Point> {
    let stay = points(view).filter(|(_, server)| !anew || *server != point.1);
    stay.min_by_key(|other| (other.0.wrapping_sub(point.0), other.1))
}
