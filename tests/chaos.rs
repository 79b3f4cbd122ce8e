//! Servers killed, stopped, slowed and started again, one fault a second, under mixed traffic: HTTP/1.1 with long and
//! short connections, TLS, HTTP/2, TCP in bulk, slow, rude and half-open clients, full servers and a full frontend, a
//! stick table that overflows, certificates replaced through the runtime API, and beside it a master that is told to
//! reload under such traffic. No request is answered wrongly, no POST reaches a server twice, what fails is logged with
//! HAProxy's termination code, and at the end the process holds what it held at the start: descriptors, connections,
//! operations, streams, queues, and, once calm traffic has gone on for a while, memory within [`MEMORY_SLACK_KB`]. What
//! it has counted is what clients have.
//!
//! Five seconds in the suite. `RINGWAY_CHAOS_SECONDS=120` makes it two minutes, `RINGWAY_SOAK_MINUTES=30` the soak;
//! `RINGWAY_CHAOS_PAUSE=n` lets clients pause n times as long, `RINGWAY_CHAOS_SEED=n` replays the choices of one run (not
//! its timing). The first fifth of the time warms up.

mod common;

#[path = "chaos/book.rs"]
mod book;
#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/origin.rs"]
mod origin;
#[path = "chaos/reloads.rs"]
mod reloads;
#[path = "chaos/slow.rs"]
mod slow;
#[path = "chaos/sums.rs"]
mod sums;
#[path = "chaos/traffic.rs"]
mod traffic;

use common::cli::ask;
use common::directory::Directory;
use common::port::Port;
use common::program::{Program, memory_kb, under_test, under_test_is_haproxy};
use common::syslog::Syslog;
use common::{BOUND, tls, wait_until};
use faults::{NAMES, Servers};
use reloads::Master;
use ringway::engine::driver::sim::random::Random;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use sums::Stat;
use traffic::Place;

/// How much more memory the process may hold at the end than once it was warm: the allocator's own slack, and buffers
/// that the second half needed at once and the first did not.
const MEMORY_SLACK_KB: u64 = 24 << 10;

/// Fewer than want to be there.
const RUDE_MAXCONN: u64 = 3;

/// Not a test: the servers of the one below, each a process.
#[test]
fn an_origin_in_a_process_of_its_own() {
    origin::serve_if_ordered();
}

fn duration() -> Duration {
    let number = |name: &str| std::env::var(name).ok().map(|v| v.parse().expect("a number"));
    match (number("RINGWAY_SOAK_MINUTES"), number("RINGWAY_CHAOS_SECONDS")) {
        (Some(minutes), _) => Duration::from_secs(minutes * 60),
        (None, seconds) => Duration::from_secs(seconds.unwrap_or(5)),
    }
}

fn configuration(log: &str, socket: &str, pem: &str, place: &Place, servers: &Servers) -> String {
    let mut text = format!(
        "global\n maxconn 2000\n nbthread 2\n log {log} len 1024 local0\n stats socket {socket} level admin\n\
         defaults\n mode http\n log global\n log-format \"chaos %HP %ST %ts\"\n option dontlog-normal\n retries 3\n \
         option redispatch\n timeout client 7s\n timeout connect 400ms\n timeout server 1500ms\n timeout queue 1s\n \
         timeout check 500ms\n default-server check inter 300ms fall 2 rise 1 pool-purge-delay 500ms\n\
         frontend web\n bind 127.0.0.1:{}\n bind 127.0.0.1:{} proto h2\n \
         bind 127.0.0.1:{} ssl crt {pem} alpn h2,http/1.1\n tcp-request connection track-sc1 src table sources\n \
         http-request track-sc0 path table seen\n http-request disable-l7-retry if METH_POST\n \
         use_backend tried_again if {{ path_beg /r/ }}\n default_backend tried_once\n\
         frontend rude\n maxconn {RUDE_MAXCONN}\n bind 127.0.0.1:{}\n bind 127.0.0.1:{} ssl crt {pem} alpn h2,http/1.1\n \
         timeout client 1s\n timeout http-request 1s\n http-request track-sc0 path table seen\n \
         http-request disable-l7-retry if METH_POST\n default_backend broken_off\n\
         backend seen\n stick-table type string len 32 size 100 expire 2s store http_req_rate(1s),bytes_out_cnt,conn_cur\n\
         backend sources\n stick-table type ip size 100 store conn_cur,conn_cnt,sess_cnt,http_req_cnt\n\
         listen bulk\n mode tcp\n log-format \"chaos tcp %ts\"\n bind 127.0.0.1:{}\n balance leastconn\n",
        place.http, place.h2, place.tls, place.rude[0], place.rude[1], place.tcp
    );
    for (index, name) in NAMES.iter().enumerate() {
        let _ = writeln!(text, " server {name} 127.0.0.1:{}", servers.echo_port(index));
    }
    for (backend, words) in [
        ("tried_once", "balance roundrobin\n http-reuse always"),
        ("tried_again", "balance leastconn\n retry-on all-retryable-errors\n default-server maxconn 2"),
        ("broken_off", "balance random"),
    ] {
        let _ = writeln!(text, "backend {backend}\n {words}");
        for (index, name) in NAMES.iter().enumerate() {
            let _ = writeln!(text, " server {name} 127.0.0.1:{}", servers.http_port(index));
        }
    }
    text
}

/// What a process holds while nobody asks for anything.
#[derive(Debug)]
struct Held {
    descriptors: usize,
    memory_kb: u64,
    tasks: String,
    /// Of the engine.
    connections: u64,
    operations: u64,
    /// In receive buffers that hold data; those of the command among them.
    buffered_bytes: u64,
    /// All gauges, which must be 0.
    busy: Vec<String>,
}

fn held(program: &Program, socket: &str) -> Held {
    let info = ask(socket, "show info");
    let value = |name: &str| {
        let line = info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in:\n{info}")).to_owned()
    };
    // HAProxy counts the stream of the command itself.
    let own = if under_test_is_haproxy() { "1" } else { "0" };
    let mut busy: Vec<String> = [("CurrConns", "0"), ("CurrSslConns", "0"), ("CurrStreams", own), ("PipesUsed", "0")]
        .iter()
        .filter(|(name, none)| value(name) != *none)
        .map(|(name, _)| name)
        .map(|name| format!("{name} {}", value(name)))
        .collect();
    busy.extend(Stat::read(socket).gauges());
    let activity = ask(socket, "show activity");
    let engine = |name: &str| {
        let sum = activity.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")?.split(' ').next());
        sum.map_or(0, |n| n.parse().expect("a number"))
    };
    Held {
        descriptors: program.descriptors(),
        memory_kb: memory_kb(program.pid()),
        tasks: value("Tasks"),
        connections: engine("engine_connections"),
        operations: engine("engine_operations"),
        buffered_bytes: if under_test_is_haproxy() { 0 } else { value("PoolUsed_bytes").parse().expect("a number") },
        busy,
    }
}

/// The same once all is over, which takes the servers a check and idle connections their delay. Checks have descriptors
/// of their own for a moment, hence the least of many looks.
fn held_at_rest(program: &Program, socket: &str) -> Held {
    let mut rest = held(program, socket);
    let end = Instant::now() + BOUND;
    while !rest.busy.is_empty() {
        assert!(Instant::now() < end, "left in the proxy: {:?}", rest.busy);
        std::thread::sleep(Duration::from_millis(10));
        rest = held(program, socket);
    }
    for _ in 0..50 {
        let now = held(program, socket);
        rest.descriptors = rest.descriptors.min(now.descriptors);
        rest.memory_kb = rest.memory_kb.min(now.memory_kb);
        rest.connections = rest.connections.min(now.connections);
        rest.operations = rest.operations.min(now.operations);
        rest.buffered_bytes = rest.buffered_bytes.min(now.buffered_bytes);
        std::thread::sleep(Duration::from_millis(10));
    }
    rest
}

#[test]
fn servers_that_fail_cost_no_wrong_answer_and_leave_nothing_behind() {
    let seed = std::env::var("RINGWAY_CHAOS_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or_else(rand_seed);
    println!("RINGWAY_CHAOS_SEED={seed}");
    let during = duration();
    let directory = Directory::new();
    let sink = Syslog::udp();
    let socket = directory.join("stats.sock");
    let authority = tls::Authority::new("chaos");
    let certificates = [1, 2].map(|serial| authority.issue(&["localhost"], false, serial).pem);
    let pem = directory.write("site.pem", &certificates[0]);
    let ports: Vec<Port> = (0..6).map(|_| Port::hold()).collect();
    let listeners: Vec<u16> = ports.iter().map(|p| p.number).collect();
    let mut place = Place::new(listeners[..4].try_into().expect("four"), &traffic::ALL, false, &authority);
    place.rude = [listeners[4], listeners[5]];
    let place = place;
    let mut servers = Servers::start(&directory);
    let config = configuration(&sink.address, &socket, &pem, &place, &servers);
    let mut program = Program::start(&under_test(), &directory, &config, &listeners);
    let master = Master::start(&authority);
    let mut random = Random::new(seed);

    let reads = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while reads.load(Ordering::Relaxed) {
                place.book.read_log(&sink, Duration::from_millis(50));
            }
        });
        let stop_reading = StopOnDrop(&reads);
        let mut round = |during: Duration| {
            traffic::run(&place, random.bits(), || {
                let end = &(Instant::now() + during);
                std::thread::scope(|scope| {
                    scope.spawn(|| replace_certificates(&socket, &pem, &certificates, *end));
                    let (master, seed) = (&master, random.bits());
                    scope.spawn(move || master.reload_until(*end, during / 5, seed));
                    servers.trouble(during, &mut random.clone());
                });
            });
        };
        round(during / 5);
        let warm = held_at_rest(&program, &socket);
        round(during - during / 5);
        let mut end = held_at_rest(&program, &socket);
        // Receive buffers leave one by one, as calm traffic takes them and brings them home.
        wait_until("memory is what it was", || {
            let grown = end.memory_kb > warm.memory_kb + MEMORY_SLACK_KB;
            if grown {
                traffic::run_calmly(&place, random.bits());
                end = held_at_rest(&program, &socket);
            }
            !grown
        });
        program.assert_runs();
        drop(stop_reading);
        println!("{:?}\nwarm {warm:?}\nend  {end:?}\n{}", place.book.counts(), ask(&socket, "show activity"));
        let dropped = ask(&socket, "show info").contains("DroppedLogs: 0\n");
        assert!(dropped, "the log lost lines");
        // A worker opens its log socket with its first line.
        assert!(end.descriptors <= warm.descriptors + 2, "descriptors: {warm:?} {end:?}");
        assert_eq!(end.tasks, warm.tasks);
        assert_eq!((end.connections, end.operations, end.buffered_bytes), (0, 0, 0), "{end:?}");
    });
    place.book.read_log(&sink, Duration::from_millis(100));
    let done = Instant::now();
    let (mut wrongs, reloads) = master.finish();
    println!("{reloads}");
    wrongs.extend(place.book.disagreements(&servers.journals()));
    let mut sums = Vec::new();
    wait_until("tables have forgotten", || {
        sums = sums::disagreements(&socket, &place.book);
        sums.is_empty() || Instant::now() > done + Duration::from_secs(5)
    });
    wrongs.extend(sums);
    let stat = Stat::read(&socket);
    let most = stat.of("rude", "FRONTEND", "smax");
    if most > RUDE_MAXCONN {
        wrongs.push(format!("{most} connections at once to a frontend with maxconn {RUDE_MAXCONN}"));
    }
    println!("most in the queue: {}", stat.of("tried_again", "BACKEND", "qmax"));
    assert!(
        wrongs.is_empty(),
        "{} wrong, RINGWAY_CHAOS_SEED={seed}:\n{}",
        wrongs.len(),
        wrongs[..wrongs.len().min(20)].join("\n")
    );
    assert!(
        place.book.right.load(Ordering::Relaxed) > 100,
        "hardly anything was answered: {:?}",
        place.book.counts()
    );
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn rand_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").subsec_nanos().into()
}

fn replace_certificates(socket: &str, file: &str, pems: &[String; 2], end: Instant) {
    for pem in pems.iter().rev().cycle() {
        if Instant::now() >= end {
            return;
        }
        let set = ask(socket, &format!("set ssl cert {file} <<\n{}\n", pem.trim_end()));
        assert!(set.starts_with("Transaction created for certificate"), "{set}");
        let committed = ask(socket, &format!("commit ssl cert {file}"));
        assert!(committed.contains("Success!"), "{committed}");
        std::thread::sleep(Duration::from_millis(300));
    }
}
