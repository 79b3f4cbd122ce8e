//! The names of a section against answers made by hand: no socket, and time as the test has it.

use super::names::{LOOKUPS_MAX, Names, Output};
use crate::base::address::Address;
use crate::base::clock::Millis;
use crate::base::origin::Origin;
use crate::base::slab::Key;
use crate::model::plan::Plan;
use crate::model::proxy::Proxy;
use crate::model::resolvers::{Families, Nameserver, Resolvers};
use crate::model::server::{CheckSettings, ResolvePrefer, Server};
use crate::model::state::event::Load;
use crate::model::state::live::Live;
use crate::model::state::server::admin;
use std::net::IpAddr;

const NX: u8 = 3;
const REFUSED: u8 = 5;

struct Bench {
    plan: Plan,
    live: Live,
    names: Names,
    now: Millis,
    /// Questions that were not answered yet, newest last.
    questions: Vec<Vec<u8>>,
    over_tcp: Vec<(usize, Vec<u8>)>,
    log: Vec<String>,
    found: Vec<(Key, Option<IpAddr>)>,
}

impl Bench {
    /// A backend `b` of servers `s0`, `s1`, … and name servers `n0`, `n1`, … Nothing is asked before the first
    /// [`Bench::pass`].
    fn new(servers: Vec<Server>, nameservers: usize, edit: impl FnOnce(&mut Resolvers)) -> Bench {
        let mut resolvers = Resolvers::new("r", Origin::none());
        for number in 0..nameservers {
            let address = Address::Ip("127.0.0.1:53".parse().unwrap());
            let name = format!("n{number}");
            resolvers.nameservers.push(Nameserver { origin: Origin::none(), name, address, tcp: false });
        }
        (resolvers.timeout_resolve_ms, resolvers.timeout_retry_ms, resolvers.resolve_retries) = (1000, 100, 1);
        edit(&mut resolvers);
        let mut proxy = Proxy::new("b", Origin::none(), false, true);
        proxy.backend.servers = servers;
        for (number, server) in proxy.backend.servers.iter_mut().enumerate() {
            server.name = format!("s{number}");
            server.resolvers = Some("r".into());
        }
        let plan = Plan { proxies: vec![proxy], resolvers: vec![resolvers], ..Plan::default() };
        let live = Live::new(&plan);
        let now = Millis(10_000);
        // Ids in turn: a test sees which question is meant.
        let mut id = 0u16;
        let random = move || {
            id = id.wrapping_add(1);
            id
        };
        let mut names = Names::new(&plan, &live, 0, Box::new(random), now);
        names.families = Families::BOTH;
        Bench { plan, live, names, now, questions: vec![], over_tcp: vec![], log: vec![], found: vec![] }
    }

    fn take(&mut self) {
        for output in self.names.outputs() {
            match output {
                Output::Ask(bytes) => self.questions.push(bytes),
                Output::AskOverTcp(nameserver, bytes) => self.over_tcp.push((nameserver, bytes)),
                Output::Found((_, number), ip) => self.found.push((number, ip)),
                Output::Happened(events) => self.log.extend(events.iter().filter_map(|e| e.text(Load::default()))),
            }
        }
    }

    /// Time goes by.
    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        self.names.advance(&self.live, &self.plan, self.now);
        self.take();
    }

    fn receive(&mut self, nameserver: usize, message: &[u8]) {
        self.names.received(&self.live, &self.plan, nameserver, message, false, self.now);
        self.take();
    }

    /// Name server 0 answers the last question.
    fn answer(&mut self, code: u8, records: &[Vec<u8>], additional: &[Vec<u8>]) {
        let question = self.questions.pop().expect("a question");
        self.receive(0, &message(&question, code, records, additional));
    }

    /// Addresses of the servers, as far as they have one and no maintenance.
    fn servers(&self) -> Vec<String> {
        let text = |s: &crate::model::state::server::ServerLive| match s.address() {
            Some(a) if s.admin() & admin::MAINT == 0 => a.to_string(),
            None if s.admin() & admin::RESOLUTION_MAINT != 0 => "-".into(),
            _ => format!("address {:?} and state {:#x}", s.address(), s.admin()),
        };
        self.live.backend(0).servers().map(|(_, s)| text(s)).collect()
    }

    fn log(&mut self) -> Vec<String> {
        let head = |line: String| line.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned();
        std::mem::take(&mut self.log).into_iter().map(head).collect()
    }
}

fn server(host: &str, port: u16) -> Server {
    let host = host.to_owned();
    Server { host, port, resolve_prefer: ResolvePrefer::Ipv4, ..Server::new(Origin::none()) }
}

/// A name on the wire.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat());
    labels.chain([0]).collect()
}

fn record(name: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = wire(name);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 1, 0, 0, 0, 9]);
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
    out
}

fn a(name: &str, last: u8) -> Vec<u8> {
    record(name, 1, &[10, 0, 0, last])
}

fn srv(label: &str, weight: u16, port: u16, target: &str) -> Vec<u8> {
    let mut data = [1u16, weight, port].map(u16::to_be_bytes).concat();
    data.extend(wire(target));
    record(label, 33, &data)
}

fn kind(question: &[u8]) -> u16 {
    let end = 12 + question[12..].iter().position(|b| *b == 0).expect("the root");
    u16::from_be_bytes([question[end + 1], question[end + 2]])
}

fn message(question: &[u8], code: u8, records: &[Vec<u8>], additional: &[Vec<u8>]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|b| *b == 0).expect("the root") + 5;
    let mut out = question[..2].to_vec();
    out.extend_from_slice(&[0x84, code, 0, 1, 0, records.len() as u8, 0, 0, 0, additional.len() as u8]);
    out.extend_from_slice(&question[12..end]);
    records.iter().chain(additional).for_each(|r| out.extend_from_slice(r));
    out
}

#[test]
fn a_name_gives_its_server_an_address_and_takes_it_away() {
    let mut b = Bench::new(vec![server("app.example", 80)], 1, |r| r.hold.nx_ms = 1500);
    assert_eq!(b.servers(), ["-"]);
    b.pass(0);
    b.answer(0, &[a("app.example", 1)], &[]);
    assert_eq!(
        b.log(),
        [
            "b/s0: IP changed from '(none)' to '10.0.0.1' by 'r/n0'",
            "Server b/s0 ('app.example') is UP/READY (resolves again)",
            "Server b/s0 administratively READY thanks to valid DNS answer",
        ]
    );
    assert_eq!(b.servers(), ["10.0.0.1:80"]);
    b.pass(999);
    assert!(b.questions.is_empty(), "not before timeout resolve");
    b.pass(1);
    b.answer(0, &[a("app.example", 2)], &[]);
    assert_eq!(b.log(), ["b/s0: IP changed from '10.0.0.1' to '10.0.0.2' by 'r/n0'"]);
    // No such name: within `hold nx` that changes nothing.
    for (ms, left) in [(1000, "10.0.0.2:80"), (1000, "-")] {
        b.pass(ms);
        b.answer(NX, &[], &[]);
        assert_eq!(kind(b.questions.last().unwrap()), 28, "the other type is asked for");
        b.answer(NX, &[], &[]);
        assert_eq!(b.servers(), [left]);
    }
    assert_eq!(
        b.log(),
        ["Server b/s0 is going DOWN for maintenance (DNS NX status)", "backend b has no server available!"]
    );
    b.pass(1000);
    b.answer(0, &[a("app.example", 2)], &[]);
    assert_eq!(b.servers(), ["10.0.0.2:80"], "with the port it had");
    let c = b.names.counters[0];
    assert_eq!((c.valid, c.update, c.nx), (3, 3, 4));
}

#[test]
fn refusals_and_silence_have_their_own_reasons() {
    for (how, reason) in [(Some(REFUSED), "DNS refused status"), (None, "DNS timeout status")] {
        let mut b = Bench::new(vec![server("app.example", 80)], 1, |r| {
            (r.hold.refused_ms, r.hold.timeout_ms) = (0, 0);
        });
        b.pass(0);
        b.answer(0, &[a("app.example", 1)], &[]);
        b.log();
        b.pass(1000);
        match how {
            Some(code) => (0..2).for_each(|_| b.answer(code, &[], &[])),
            None => b.pass(100),
        }
        assert_eq!(b.log()[0], format!("Server b/s0 is going DOWN for maintenance ({reason})"));
    }
}

#[test]
fn servers_of_one_name_share_its_addresses_out() {
    let mut b =
        Bench::new(vec![server("app.example", 80), server("APP.example", 81), server("app.example", 82)], 1, |_| {});
    b.pass(0);
    assert_eq!(b.questions.len(), 1, "one question for all");
    b.answer(0, &[a("app.example", 1), a("app.example", 2)], &[]);
    assert_eq!(b.servers(), ["10.0.0.1:80", "10.0.0.2:81", "-"]);
    let log = b.log();
    assert_eq!(log[0], "b/s0: IP changed from '(none)' to '10.0.0.1' by 'r/n0'");
    assert_eq!(log[1], "b/s1: IP changed from '(none)' to '10.0.0.2' by 'DNS cache'");
    b.pass(1000);
    b.answer(0, &[a("app.example", 2), a("app.example", 3)], &[]);
    assert_eq!(b.servers(), ["10.0.0.3:80", "10.0.0.2:81", "-"]);
    b.pass(1000);
    b.answer(0, &[a("app.example", 2)], &[]);
    assert_eq!(b.servers(), ["-", "10.0.0.2:81", "-"]);
    assert!(b.log().contains(&"Server b/s0 is going DOWN for maintenance (No IP for server )".to_owned()));
}

#[test]
fn an_address_set_by_hand_stays_until_the_answer_changes() {
    let mut b = Bench::new(vec![server("app.example", 80)], 1, |_| {});
    b.pass(0);
    b.answer(0, &[a("app.example", 1)], &[]);
    b.live.set_address(0, 0, Some(Address::Ip("192.168.0.9:99".parse().unwrap())));
    b.pass(1000);
    b.answer(0, &[a("app.example", 1)], &[]);
    assert_eq!(b.servers(), ["192.168.0.9:99"]);
    b.pass(1000);
    b.answer(0, &[a("app.example", 2)], &[]);
    assert_eq!(b.servers(), ["10.0.0.2:99"]);
}

const LABEL: &str = "_http._tcp.svc.example";

#[test]
fn records_of_services_fill_slots_and_all_of_them_can_be_replaced() {
    let checked = |_| Server { check: Some(CheckSettings::default()), weight: 7, ..server(LABEL, 0) };
    let mut b = Bench::new((0..3).map(checked).collect(), 1, |r| r.hold.nx_ms = 0);
    b.pass(0);
    assert_eq!((b.questions.len(), kind(&b.questions[0])), (1, 33));
    let both = [a("n0.example", 1), a("n1.example", 2)];
    b.answer(0, &[srv(LABEL, 10, 8000, "n0.example"), srv(LABEL, 2560, 8001, "n1.example")], &both);
    assert_eq!(b.servers(), ["10.0.0.1:8000", "10.0.0.2:8001", "-"]);
    let weights = |b: &Bench| b.live.backend(0).servers().map(|(_, s)| s.user_weight()).collect::<Vec<_>>();
    assert_eq!(weights(&b), [1, 10, 7]);
    let log = b.log();
    assert_eq!(
        log[..2],
        [
            "b/s0: IP changed from '(none)' to '10.0.0.1', port changed from '0' to '8000' by 'DNS additional record'",
            "b/s0 changed its FQDN from (null) to n0.example by 'SRV record'",
        ]
    );
    assert!(log.contains(&"Server b/s1 ('n1.example') is UP/READY (resolves again)".to_owned()), "{log:?}");
    // All at once, into the same slots.
    b.pass(1000);
    let others = [a("n2.example", 3), a("n0.example", 1)];
    b.answer(0, &[srv(LABEL, 10, 8002, "n2.example"), srv(LABEL, 10, 8009, "n0.example")], &others);
    assert_eq!(b.servers(), ["10.0.0.3:8002", "10.0.0.1:8009", "-"]);
    let log = b.log();
    assert_eq!(log[0], "Server b/s0 is going DOWN for maintenance (entry removed from SRV record)");
    // None, and others again.
    b.pass(1000);
    b.answer(NX, &[], &[]);
    assert_eq!(b.servers(), ["-", "-", "-"]);
    let s = b.live.server(0, 0).unwrap();
    assert_eq!((s.detail().port, s.detail().name), (0, None));
    b.pass(1000);
    b.answer(0, &[srv(LABEL, 0, 8003, "n3.example")], &[a("n3.example", 4)]);
    assert_eq!(b.servers(), ["10.0.0.4:8003", "-", "-"]);
    assert_eq!(weights(&b)[0], 0);
}

#[test]
fn targets_without_an_additional_record_are_asked_for() {
    let mut b = Bench::new(vec![server(LABEL, 0)], 1, |_| {});
    b.pass(0);
    b.answer(0, &[srv(LABEL, 10, 8000, "n0.example")], &[]);
    assert_eq!(b.servers(), ["-"]);
    b.pass(0);
    assert_eq!(kind(b.questions.last().unwrap()), 1);
    b.answer(0, &[a("n0.example", 1)], &[]);
    assert_eq!(b.servers(), ["10.0.0.1:8000"]);
    // Now one comes: the name is not asked for any more.
    b.pass(1000);
    let srv_question = b.questions.iter().position(|q| kind(q) == 33).expect("the label is asked for");
    let question = b.questions.remove(srv_question);
    b.questions.clear();
    b.receive(0, &message(&question, 0, &[srv(LABEL, 10, 8000, "n0.example")], &[a("n0.example", 2)]));
    assert_eq!(b.servers(), ["10.0.0.2:8000"]);
    b.pass(1000);
    assert_eq!(b.questions.iter().map(|q| kind(q)).collect::<Vec<_>>(), [33]);
}

#[test]
fn weights_of_records_are_passed_over_where_that_is_asked_for() {
    let mut one = server(LABEL, 0);
    one.resolve_opts.ignore_weight = true;
    one.weight = 42;
    let mut b = Bench::new(vec![one], 1, |_| {});
    b.pass(0);
    b.answer(0, &[srv(LABEL, 2560, 8000, "n0.example")], &[a("n0.example", 1)]);
    assert_eq!(b.live.server(0, 0).unwrap().user_weight(), 42);
}

#[test]
fn answers_that_are_none_are_dropped_and_counted() {
    let mut b = Bench::new(vec![server("app.example", 80)], 1, |r| r.hold.other_ms = 0);
    b.pass(0);
    let question = b.questions.pop().unwrap();
    let good = message(&question, 0, &[a("app.example", 1)], &[]);
    // Of another id, from nobody that was asked, too short for an id.
    let mut strange = good.clone();
    strange[0] ^= 1;
    b.receive(0, &strange);
    b.receive(0, &[7]);
    b.receive(0, &vec![0; 513]);
    let c = b.names.counters[0];
    assert_eq!((c.outdated, c.invalid, c.too_big), (1, 1, 1));
    // Pointers that loop make it an error of this server's, and the other type is asked for.
    let mut loops = good[..good.len() - a("app.example", 1).len()].to_vec();
    let here = loops.len() as u8;
    loops.extend_from_slice(&[0xc0, here, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 1]);
    b.receive(0, &loops);
    assert_eq!(b.names.counters[0].invalid, 2);
    let second = b.questions.pop().expect("the other type");
    assert_eq!(kind(&second), 28);
    assert_ne!(second[..2], question[..2], "under another id");
    // The answer to the first question comes too late.
    b.receive(0, &good);
    assert_eq!((b.names.counters[0].outdated, b.servers()), (2, vec!["-".to_owned()]));
}

#[test]
fn the_first_valid_answer_counts_and_the_second_is_outdated() {
    let mut b = Bench::new(vec![server("app.example", 80)], 2, |_| {});
    b.pass(0);
    let question = b.questions.pop().unwrap();
    b.receive(1, &message(&question, NX, &[], &[]));
    b.receive(1, &message(&question, 0, &[a("app.example", 9)], &[]));
    b.receive(0, &message(&question, 0, &[a("app.example", 1)], &[]));
    b.receive(1, &message(&question, 0, &[a("app.example", 2)], &[]));
    assert_eq!(b.servers(), ["10.0.0.1:80"]);
    let [first, second] = [b.names.counters[0], b.names.counters[1]];
    assert_eq!((first.valid, first.update, second.nx, second.outdated, second.valid), (1, 1, 1, 2, 0));
}

#[test]
fn a_cut_answer_is_asked_for_over_tcp() {
    let mut b = Bench::new(vec![server("app.example", 80)], 1, |_| {});
    b.pass(0);
    let question = b.questions.pop().unwrap();
    let mut cut = message(&question, 0, &[a("app.example", 1)], &[]);
    cut[2] |= 0x02;
    b.receive(0, &cut);
    assert_eq!(b.over_tcp, [(0, question.clone())]);
    let records: Vec<Vec<u8>> = (1..=100).map(|n| a("app.example", n)).collect();
    let whole = message(&question, 0, &records, &[]);
    assert!(whole.len() > 512, "larger than a datagram may be");
    b.names.received(&b.live, &b.plan, 0, &whole, true, b.now);
    assert_eq!((b.servers(), b.names.counters[0].truncated), (vec!["10.0.0.1:80".to_owned()], 1));
    // Where that fails it is an error as any other.
    b.pass(1000);
    let question = b.questions.pop().unwrap();
    let id = u16::from_be_bytes([question[0], question[1]]);
    b.names.unanswered(&b.live, &b.plan, 0, id, b.now);
    b.take();
    assert_eq!(kind(b.questions.last().unwrap()), 28);
}

#[test]
fn only_accepted_families_are_asked_for() {
    let mut six = server("app.example", 80);
    six.resolve_prefer = ResolvePrefer::Ipv6;
    let mut b = Bench::new(vec![six], 1, |_| {});
    b.names.families = Families { ipv4: true, ipv6: false };
    b.pass(0);
    assert_eq!(kind(b.questions.last().unwrap()), 1);
    b.answer(NX, &[], &[]);
    assert!(b.questions.is_empty(), "there is no other type");
}

#[test]
fn a_server_gets_another_name_by_hand() {
    let mut b = Bench::new(vec![server("app.example", 80), server(LABEL, 0)], 1, |_| {});
    let rename = |b: &mut Bench, server, name| b.names.rename(&b.live, (0, server), name, "cli", b.now);
    assert_eq!(
        rename(&mut b, 0, "two.example"),
        Some(Ok("b/s0 changed its FQDN from app.example to two.example by 'cli'".into()))
    );
    assert_eq!(rename(&mut b, 0, "two.example"), Some(Ok("no need to change the FDQN by 'cli'".into())));
    assert!(rename(&mut b, 0, "bad..name").is_some_and(|r| r.is_err()));
    assert!(rename(&mut b, 1, "two.example").is_some_and(|r| r.is_err()), "an SRV record names it");
    assert_eq!(rename(&mut b, 7, "two.example"), None);
    b.pass(0);
    let texts = |q: &Vec<u8>| String::from_utf8_lossy(q).into_owned();
    assert!(b.questions.iter().any(|q| texts(q).contains("\u{3}two")));
    assert!(!b.questions.iter().any(|q| texts(q).contains("\u{3}app")), "the old name is nobody's");
    assert!(b.live.server(0, 0).unwrap().admin() & admin::NAME_CHANGED != 0);
}

fn number(n: u32) -> Key {
    Key { index: n, generation: 0 }
}

#[test]
fn rules_get_addresses_from_what_is_known_or_wait_for_them() {
    let mut b = Bench::new(vec![], 1, |r| r.hold.valid_ms = 500);
    let look_up = |b: &mut Bench, n, name: &str| {
        b.names.look_up((0, number(n)), name, ResolvePrefer::Ipv4, b.now);
        b.pass(0);
    };
    look_up(&mut b, 1, "App.example");
    look_up(&mut b, 2, "app.example");
    assert_eq!((b.questions.len(), b.found.len()), (1, 0));
    b.answer(0, &[a("app.example", 1)], &[]);
    let ip: Option<IpAddr> = "10.0.0.1".parse().ok();
    assert_eq!(b.found, [(number(1), ip), (number(2), ip)]);
    b.pass(499);
    look_up(&mut b, 3, "app.example");
    assert_eq!((b.found.last(), b.questions.len()), (Some(&(number(3), ip)), 0));
    b.pass(60_000);
    assert!(b.questions.is_empty(), "nobody asks by itself");
    look_up(&mut b, 4, "app.example");
    assert_eq!(b.questions.len(), 1);
    (0..2).for_each(|_| b.answer(NX, &[], &[]));
    assert_eq!(b.found.last(), Some(&(number(4), None)));
    for (n, name) in [(5, ""), (6, "a..b"), (7, &*"x".repeat(64))] {
        look_up(&mut b, n, name);
        assert_eq!(b.found.last(), Some(&(number(n), None)), "{name}");
    }
}

#[test]
fn names_that_rules_ask_for_are_bounded() {
    let mut b = Bench::new(vec![server("app.example", 80)], 1, |_| {});
    b.pass(0);
    b.answer(0, &[a("app.example", 1)], &[]);
    for n in 0..LOOKUPS_MAX as u32 {
        b.names.look_up((0, number(n)), &format!("n{n}.example"), ResolvePrefer::Ipv4, b.now);
    }
    b.pass(0);
    assert_eq!((b.questions.len(), b.found.len()), (LOOKUPS_MAX, 0));
    b.names.look_up((0, number(99_999)), "more.example", ResolvePrefer::Ipv4, b.now);
    b.take();
    assert_eq!(b.found, [(number(99_999), None)], "all of them are waited for");
    b.pass(100);
    assert_eq!(b.found.len(), 1 + LOOKUPS_MAX, "silence ends them");
    b.names.look_up((0, number(99_999)), "more.example", ResolvePrefer::Ipv4, b.now);
    b.pass(0);
    assert_eq!(b.found.len(), 1 + LOOKUPS_MAX, "there is room now");
    assert_eq!(b.servers(), ["10.0.0.1:80"]);
}

#[test]
fn random_bytes_never_stop_the_names() {
    let mut b = Bench::new(vec![server("app.example", 80), server(LABEL, 0)], 1, |_| {});
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..2000 {
        b.pass(random() % 700);
        let Some(question) = b.questions.pop() else { continue };
        let mut bent = message(&question, 0, &[a("app.example", 1), srv(LABEL, 1, 2, "x.y")], &[a("x.y", 3)]);
        for _ in 0..random() % 4 {
            let at = random() as usize % bent.len();
            bent[at] = random() as u8;
        }
        bent.truncate(bent.len() - random() as usize % 8);
        b.receive(0, &bent);
    }
    b.questions.clear();
    (0..5).for_each(|_| b.pass(600));
    assert!(!b.questions.is_empty(), "it still asks");
}
