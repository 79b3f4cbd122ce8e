//! Order and hashes as HAProxy 3.4 showed them when it was run with the same servers, weights and keys.

use super::*;
use crate::{
    base::{clock::Millis, origin::Origin},
    model::{
        backend::{HashFunction, HashPreserveAffinity, HashType},
        plan::Plan,
        proxy::Proxy,
        server::{HashKey, Server},
        state::live::{AdminState, Live},
    },
};

mod order;

/// A plan of one backend whose servers have these weights.
fn plan(weights: &[u32]) -> Plan {
    let servers = weights.iter().enumerate().map(|(i, weight)| Server {
        name: format!("s{}", i + 1),
        id: i as u32 + 1,
        weight: *weight,
        ..Server::new(Origin::none())
    });
    let mut proxy = Proxy::new("be", Origin::none(), false, true);
    proxy.backend.servers = servers.collect();
    let mut plan = Plan::default();
    plan.proxies.push(proxy);
    plan
}

fn balancer(plan: &mut Plan, balance: Balance) -> Balancer {
    plan.proxies[0].backend.balance = balance;
    Balancer::new(&plan.proxies[0].backend, false, 7)
}

fn at(turn: u64) -> Now {
    Now { mono: Millis(turn / 1_000_000), nanos: turn, wall_us: 0 }
}

/// Chooses `n` times, once each loop turn, and writes the servers' numbers.
fn sequence(balancer: &mut Balancer, live: &Live, n: u64) -> String {
    (1..=n).map(|turn| digit(balancer.pick(Key::None, None, live.backend(0), at(turn * 1000)))).collect()
}

fn digit(choice: Choice) -> String {
    choice.server().map_or("-".into(), |s| (s + 1).to_string())
}

fn order(weights: &[u32], balance: Balance, n: u64) -> String {
    let mut plan = plan(weights);
    let mut balancer = balancer(&mut plan, balance);
    sequence(&mut balancer, &Live::new(&plan), n)
}

#[test]
fn servers_have_haproxys_keys_on_the_ring() {
    let keyed = |hash_key, address: &str, guid: Option<&str>| {
        let mut plan = plan(&[1, 1]);
        let server = &mut plan.proxies[0].backend.servers[1];
        server.hash_key = hash_key;
        server.guid = guid.map(str::to_owned);
        server.address = Some(crate::base::address::Address::Ip(address.parse().unwrap()));
        let live = Live::new(&plan);
        hash::key(live.server(0, 1).unwrap())
    };
    let (v4, v6) = ("127.0.0.1:18087", "[::1]:18187");
    assert_eq!(keyed(HashKey::Id, v4, None), 2 * 4096);
    assert_eq!(keyed(HashKey::Id32, v4, None), 4_000_329_817);
    assert_eq!(keyed(HashKey::Guid, v4, Some("abc")), 852_579_327);
    assert_eq!(keyed(HashKey::Guid, v4, None), 2 * 4096);
    assert_eq!([keyed(HashKey::Addr, v4, None), keyed(HashKey::Addr, v6, None)], [259_664_325, 2_133_800_574]);
    let with_port = [keyed(HashKey::AddrPort, v4, None), keyed(HashKey::AddrPort, v6, None)];
    assert_eq!(with_port, [2_180_871_276, 1_684_176_218]);
}

#[test]
fn uri_hashes_pick_haproxys_servers() {
    use HashFunction::{Crc32, Djb2, Sdbm};
    let seen = [
        (false, Sdbm, false, "1213121231312123112113121231122131212311"),
        (false, Sdbm, true, "2213233122111212221121321221133311312233"),
        (false, Djb2, false, "3121231121123112131211213121231312123112"),
        (false, Djb2, true, "1322231211213113223313113222131111122111"),
        (false, Crc32, false, "1311223333222211312231133222112222113122"),
        (false, Crc32, true, "3232311113231131123212131331222112111133"),
        (true, Sdbm, false, "2222222222222222222222222222222222222222"),
        (true, Sdbm, true, "1121123111121311311232113112212331212111"),
        (true, Djb2, false, "1111111111333333333333333333333333333333"),
        (true, Djb2, true, "3313111331112212211123131131121131212221"),
        (true, Crc32, false, "2221212122111221111112132111111122111311"),
        (true, Crc32, true, "1222121132112113112112313112221122111333"),
    ];
    for (consistent, function, avalanche, expected) in seen {
        let mut plan = plan(&[5, 3, 2]);
        plan.proxies[0].backend.hash = HashType { consistent, function, avalanche };
        let uri = Balance::Uri { whole: false, len: None, depth: None, path_only: false };
        let mut balancer = balancer(&mut plan, uri);
        let live = Live::new(&plan);
        let got: String = (0..40)
            .map(|i| digit(balancer.pick(Key::Bytes(format!("/p{i}").as_bytes()), None, live.backend(0), at(1))))
            .collect();
        assert_eq!(got, expected, "{consistent} {function:?} {avalanche}");
    }
}

#[test]
fn source_picks_haproxys_servers() {
    for (consistent, avalanche, seen) in [
        (false, false, "1121312123112131212311213121213121233121"),
        (false, true, "1231111111222112211222211223111311211111"),
        (true, false, "1111111111111111111111111111111111111111"),
        (true, true, "3221111233121213221231122221111131231131"),
    ] {
        let mut plan = plan(&[5, 3, 2]);
        plan.proxies[0].backend.hash = HashType { consistent, avalanche, ..HashType::default() };
        let mut balancer = balancer(&mut plan, Balance::Source);
        let live = Live::new(&plan);
        let v4 = (0..20).map(|i| format!("10.0.0.{i}"));
        let v6 = (0..20).map(|i| format!("2001:db8::{i:x}"));
        let got: String = v4
            .chain(v6)
            .map(|a| digit(balancer.pick(Key::Address(a.parse().unwrap()), None, live.backend(0), at(1))))
            .collect();
        assert_eq!(got, seen, "{consistent} {avalanche}");
    }
}

#[test]
fn sequential_choices_on_different_workers_go_round_together() {
    let mut plan = plan(&[1, 1, 1]);
    let mut workers: Vec<_> = (0..4).map(|_| balancer(&mut plan, Balance::Roundrobin)).collect();
    let live = Live::new(&plan);
    let got: String =
        (0..12).map(|i| digit(workers[i * 7 % 4].pick(Key::None, None, live.backend(0), at(i as u64 + 1)))).collect();
    assert_eq!(got, "123123123123");
}

#[test]
fn a_busy_worker_takes_tickets_in_batches_and_stays_even() {
    let mut plan = plan(&[1, 1, 1]);
    let mut workers: Vec<_> = (0..2).map(|_| balancer(&mut plan, Balance::Roundrobin)).collect();
    let live = Live::new(&plan);
    let mut counts = [0; 3];
    for turn in 1..=1000 {
        for worker in &mut workers {
            for _ in 0..5 {
                counts[worker.pick(Key::None, None, live.backend(0), at(turn)).server().unwrap()] += 1;
            }
        }
    }
    assert!(counts.iter().all(|n| (3323..=3343).contains(n)), "{counts:?}");
}

#[test]
fn a_server_that_leaves_is_skipped_and_the_others_go_on_in_turn() {
    let mut plan = plan(&[1, 1, 1]);
    let mut balancer = balancer(&mut plan, Balance::Roundrobin);
    let live = Live::new(&plan);
    assert_eq!(sequence(&mut balancer, &live, 4), "1231");
    live.set_admin(0, 1, AdminState::Maint, Millis(1));
    assert_eq!(sequence(&mut balancer, &live, 4), "3131");
    live.set_admin(0, 1, AdminState::Ready, Millis(2));
    assert_eq!(sequence(&mut balancer, &live, 6), "312312");
}

#[test]
fn backups_serve_when_no_active_server_can() {
    let mut plan = plan(&[1, 1, 1]);
    plan.proxies[0].backend.servers[1].backup = true;
    plan.proxies[0].backend.servers[2].backup = true;
    let mut first = balancer(&mut plan, Balance::Roundrobin);
    let mut all = Balancer::new(&plan.proxies[0].backend, true, 7);
    let live = Live::new(&plan);
    assert_eq!(sequence(&mut first, &live, 2), "11");
    live.set_admin(0, 0, AdminState::Maint, Millis(1));
    assert_eq!(sequence(&mut first, &live, 3), "222");
    plan.proxies[0].options.allbackups = true;
    let other = Live::new(&plan);
    other.set_admin(0, 0, AdminState::Maint, Millis(1));
    assert_eq!(sequence(&mut all, &other, 4).chars().filter(|c| *c == '3').count(), 2);
    live.set_admin(0, 1, AdminState::Maint, Millis(1));
    live.set_admin(0, 2, AdminState::Maint, Millis(1));
    assert_eq!(first.pick(Key::None, None, live.backend(0), at(9)), Choice::None);
}

/// A worker that chooses several times in a turn of its loop has drawn tickets ahead: those are of no use after a change.
#[test]
fn a_free_server_is_found_with_tickets_from_before_a_change() {
    let uri = || Balance::Uri { whole: false, len: None, depth: None, path_only: false };
    for (balance, consistent) in
        [(Balance::StaticRr, false), (uri(), false), (uri(), true), (Balance::Roundrobin, false)]
    {
        for full in 0..3 {
            let mut plan = plan(&[1, 1, 1]);
            plan.proxies[0].backend.hash.consistent = consistent;
            plan.proxies[0].backend.servers.iter_mut().for_each(|s| s.maxconn = 1);
            let mut balancer = balancer(&mut plan, balance.clone());
            let live = Live::new(&plan);
            for _ in 0..8 {
                balancer.pick(Key::None, None, live.backend(0), at(1));
            }
            live.set_admin(0, 2, AdminState::Drain, Millis(1));
            live.set_admin(0, 2, AdminState::Ready, Millis(1));
            assert!(live.server(0, full).unwrap().take_slot(1, 1));
            let found = balancer.pick(Key::None, None, live.backend(0), at(1)).server();
            assert!(found.is_some_and(|found| found != full), "{found:?} of {balance:?} where {full} is full");
        }
    }
}

#[test]
fn full_servers_are_passed_over_until_all_are_full() {
    for balance in [Balance::Roundrobin, Balance::Leastconn, Balance::First, Balance::Random(2), Balance::StaticRr] {
        let mut plan = plan(&[1, 1]);
        plan.proxies[0].backend.servers.iter_mut().for_each(|s| s.maxconn = 1);
        let mut balancer = balancer(&mut plan, balance);
        let live = Live::new(&plan);
        let (first, second) = (live.server(0, 0).unwrap(), live.server(0, 1).unwrap());
        assert!(first.take_slot(first.maxconn(), 1));
        assert!(!first.take_slot(first.maxconn(), 2));
        assert_eq!(balancer.pick(Key::None, None, live.backend(0), at(1)), Choice::Server(1));
        assert!(second.take_slot(second.maxconn(), 3));
        assert_eq!(balancer.pick(Key::None, None, live.backend(0), at(2)), Choice::Full);
        first.release_slot(4);
        assert_eq!(balancer.pick(Key::None, Some(0), live.backend(0), at(3)), Choice::Server(0), "last resort");
    }
}

#[test]
fn leastconn_prefers_the_less_loaded_and_goes_round_when_idle() {
    for servers in [3, 200] {
        let mut plan = plan(&vec![1; servers]);
        let mut balancer = balancer(&mut plan, Balance::Leastconn);
        let live = Live::new(&plan);
        let mut stamp = 0;
        let mut seen = Vec::new();
        for _ in 0..servers {
            let index = balancer.pick(Key::None, None, live.backend(0), at(1)).server().unwrap();
            stamp += 1;
            assert!(live.server(0, index).unwrap().take_slot(0, stamp));
            seen.push(index);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), servers, "each served once before any served twice");
        live.server(0, 1).unwrap().release_slot(stamp + 1);
        for _ in 0..servers {
            balancer.pick(Key::None, None, live.backend(0), at(2));
        }
        assert_eq!(balancer.pick(Key::None, None, live.backend(0), at(3)), Choice::Server(1));
    }
}

#[test]
fn leastconn_fills_servers_in_haproxys_order() {
    for (weights, seen) in [
        ([1, 1, 1, 1], "1234123412341234123412341234123412341234"),
        ([10, 20, 5, 1], "1234221221223122122312212231221223122122"),
        ([256, 100, 3, 7], "1234111211211121121112112111211121121112"),
    ] {
        let mut plan = plan(&weights);
        let mut balancer = balancer(&mut plan, Balance::Leastconn);
        let live = Live::new(&plan);
        let mut pick = |turn: u64| {
            let index = balancer.pick(Key::None, None, live.backend(0), at(turn)).server().unwrap();
            assert!(live.server(0, index).unwrap().take_slot(0, turn));
            char::from(b'1' + index as u8)
        };
        let got: String = (1..=40).map(&mut pick).collect();
        assert_eq!(got, seen, "{weights:?}");
    }
}

#[test]
fn random_draws_by_weight() {
    let mut plan = plan(&[9, 1]);
    let mut balancer = balancer(&mut plan, Balance::Random(1));
    let live = Live::new(&plan);
    let first = (1..=10_000).filter(|t| balancer.pick(Key::None, None, live.backend(0), at(*t)).server() == Some(0));
    assert!((8800..9200).contains(&first.count()));
}

/// HAProxy 3.4 chose idle servers of these weights 1999 to 2001 times of 8000, and 2223, 4444, 1111 and 222 times.
#[test]
fn random_draws_choose_idle_servers_as_evenly_as_by_turns() {
    for draws in [2, 3] {
        for weights in [[1, 1, 1, 1], [10, 20, 5, 1]] {
            let mut plan = plan(&weights);
            let mut balancer = balancer(&mut plan, Balance::Random(draws));
            let live = Live::new(&plan);
            let mut counts = [0i64; 4];
            for turn in 1..=8000 {
                // Two thousand a second.
                let picked = balancer.pick(Key::None, None, live.backend(0), at(turn * 500_000));
                counts[picked.server().unwrap()] += 1;
            }
            let total: i64 = weights.iter().map(|w| i64::from(*w)).sum();
            for (count, weight) in counts.iter().zip(weights) {
                let share = 8000 * i64::from(weight) / total;
                assert!((count - share).abs() <= 10 + share / 20, "{draws} draws, {weights:?}: {counts:?}");
            }
        }
    }
}

/// One stream more for its weight is more than any rate.
#[test]
fn random_draws_prefer_the_less_loaded() {
    let mut plan = plan(&[1, 1]);
    let mut balancer = balancer(&mut plan, Balance::Random(64));
    let live = Live::new(&plan);
    assert!(live.server(0, 0).unwrap().take_slot(0, 1));
    assert_eq!(sequence(&mut balancer, &live, 20), "2".repeat(20));
}

#[test]
fn numbers_are_keys_without_hashing() {
    // Seen with `balance hdr(x-k)` and `hash-type map-based none` over weights 5, 3, 2.
    let mut plan = plan(&[5, 3, 2]);
    plan.proxies[0].backend.hash = HashType { function: HashFunction::None, ..HashType::default() };
    let mut balancer = balancer(&mut plan, Balance::Hdr { name: "x-k".into(), use_domain_only: false });
    let live = Live::new(&plan);
    for (key, server) in [("894718380608", 0), ("0x1f", 0), ("12abc", 1), ("abc", 0), ("4294967297", 0), ("007", 0)] {
        assert_eq!(
            balancer.pick(Key::Bytes(key.as_bytes()), None, live.backend(0), at(1)),
            Choice::Server(server),
            "{key}"
        );
    }
}

/// Checksums of the servers' numbers that HAProxy 3.4 gave ten thousand numbers, over weights 100, 20, 3, 77.
#[test]
fn ten_thousand_numbers_pick_haproxys_servers() {
    for (consistent, avalanche, seen) in [
        (false, false, 1_486_280_448),
        (false, true, 3_361_310_139),
        (true, false, 3_529_194_780),
        (true, true, 2_384_629_724),
    ] {
        let mut plan = plan(&[100, 20, 3, 77]);
        plan.proxies[0].backend.hash = HashType { consistent, function: HashFunction::None, avalanche };
        let mut balancer = balancer(&mut plan, Balance::Hdr { name: "k".into(), use_domain_only: false });
        let live = Live::new(&plan);
        let number = |n: u32| n.wrapping_mul(2_654_435_761).to_string();
        let servers: String = (0..10_000)
            .map(|n| digit(balancer.pick(Key::Bytes(number(n).as_bytes()), None, live.backend(0), at(1))))
            .collect();
        assert_eq!(crate::base::hash::crc32(servers.as_bytes()), seen, "{consistent} {avalanche}");
    }
}

/// A pick among ten thousand servers, with the taking of its slot, must cost less than a microsecond. Only an optimised
/// build says so (`cargo test --profile fast --lib ten_thousand -- --nocapture` prints the figures).
#[test]
fn ten_thousand_servers_are_no_trouble() {
    for balance in [
        Balance::Roundrobin,
        Balance::StaticRr,
        Balance::Leastconn,
        Balance::First,
        Balance::Random(2),
        Balance::Source,
        Balance::Hdr { name: "k".into(), use_domain_only: false },
    ] {
        let name = format!("{balance:?}");
        let is_text = matches!(balance, Balance::Hdr { .. });
        let weights: Vec<u32> = (0..10_000).map(|i| i % 256 + 1).collect();
        let mut plan = plan(&weights);
        plan.proxies[0].backend.hash.consistent = balance == Balance::Source;
        let mut balancer = balancer(&mut plan, balance);
        let live = Live::new(&plan);
        let mut pick = |turn: u64| {
            let text = turn.to_be_bytes();
            let address = std::net::Ipv4Addr::from(turn as u32).into();
            let key = if is_text { Key::Bytes(&text) } else { Key::Address(address) };
            let index = balancer.pick(key, None, live.backend(0), at(turn)).server().unwrap();
            live.server(0, index).unwrap().take_slot(0, turn);
        };
        // The first makes the schedule or the ring.
        pick(1);
        const PICKS: u64 = 1000;
        let before = crate::base::clock::now();
        (0..PICKS).for_each(|n| pick(n + 2));
        let each_ns = (crate::base::clock::now().nanos - before.nanos) / PICKS;
        println!("{name}: {each_ns} ns a pick");
        assert!(cfg!(debug_assertions) || each_ns < 1000, "{name}: {each_ns} ns a pick");
    }
}

/// The servers of one key, each of which is given the stream; letters where the stream would wait instead.
fn given(balancer: &mut Balancer, live: &Live, n: usize) -> String {
    let pick = |_| match balancer.pick(Key::Bytes(b"key"), None, live.backend(0), at(1)) {
        Choice::Server(index) => {
            assert!(live.server(0, index).unwrap().take_slot(0, 1));
            char::from(b'0' + index as u8)
        }
        Choice::Queue(index) => char::from(b'a' + index as u8),
        _ => '-',
    };
    (0..n).map(pick).collect()
}

fn hashed(plan: &mut Plan, affinity: HashPreserveAffinity, factor: u32) -> Balancer {
    let backend = &mut plan.proxies[0].backend;
    backend.hash = HashType { consistent: true, avalanche: true, ..HashType::default() };
    (backend.hash_preserve_affinity, backend.hash_balance_factor) = (affinity, factor);
    let it = balancer(plan, Balance::Hash("path".into()));
    assert_eq!(it.needs_slots(), factor > 0);
    it
}

#[test]
fn a_hash_keeps_to_its_server_unless_affinity_may_be_lost() {
    use HashPreserveAffinity::*;
    for (affinity, waiting, pattern) in
        [(Always, 0, "0aaa"), (Maxconn, 0, "012a"), (Maxqueue, 0, "0aaa"), (Maxqueue, 1, "012a")]
    {
        let mut plan = plan(&[1, 1, 1]);
        plan.proxies[0].backend.servers.iter_mut().for_each(|s| (s.maxconn, s.maxqueue) = (1, 1));
        let mut balancer = hashed(&mut plan, affinity, 0);
        let live = Live::new(&plan);
        for server in 0..3 {
            (0..waiting).for_each(|_| live.server(0, server).unwrap().waiting.change(true));
        }
        let got = given(&mut balancer, &live, 4);
        // The key's server is called 0, the next on the ring 1 and so on.
        let mut order: Vec<u8> = Vec::new();
        let mut named = String::new();
        for c in got.bytes() {
            let (base, index) = if c.is_ascii_digit() { (b'0', c - b'0') } else { (b'a', c - b'a') };
            if !order.contains(&index) {
                order.push(index);
            }
            let place = order.iter().position(|o| *o == index).unwrap() as u8;
            named.push(char::from(base + place));
        }
        assert_eq!(named, pattern, "{affinity:?} with {waiting} waiting: {got}");
    }
}

/// Four servers in the order in which a key meets them on the ring.
fn ring_order(key: &str) -> Vec<ServerIndex> {
    let mut plan = plan(&[1, 1, 1, 1]);
    plan.proxies[0].backend.servers.iter_mut().for_each(|s| s.maxconn = 1);
    let mut balancer = hashed(&mut plan, HashPreserveAffinity::Maxconn, 0);
    let live = Live::new(&plan);
    let mut pick = || {
        let index = balancer.pick(Key::Bytes(key.as_bytes()), None, live.backend(0), at(1)).server().unwrap();
        assert!(live.server(0, index).unwrap().take_slot(0, 1));
        index
    };
    (0..4).map(|_| pick()).collect()
}

#[test]
fn a_bounded_hash_deals_the_load_as_haproxy_does() {
    // Seen of HAProxy 3.4 with four servers, the key's own first: the loads' order for one key.
    for (factor, wanted) in [(150, "32302320"), (200, "323232323232"), (125, "320320312302")] {
        let mut plan = plan(&[1, 1, 1, 1]);
        let mut balancer = hashed(&mut plan, HashPreserveAffinity::Always, factor);
        let live = Live::new(&plan);
        let key = "/a";
        assert_eq!(ring_order(key), [3, 2, 0, 1]);
        let got: String = (0..wanted.len())
            .map(|_| {
                let index = balancer.pick(Key::Bytes(key.as_bytes()), None, live.backend(0), at(1)).server().unwrap();
                assert!(live.server(0, index).unwrap().take_slot(0, 1));
                char::from(b'0' + index as u8)
            })
            .collect();
        assert_eq!(got, wanted, "factor {factor}");
    }
}
