//! The sequence of chosen servers: each algorithm over equal and unequal weights, weights that change, servers that
//! drain, leave, come back and refuse connections; and each hash over ten thousand keys. Servers are listeners of the same
//! program that say their number.

use crate::common::cli::ask;
use crate::common::client::Client;
use crate::common::http::header_values;
use crate::common::wait_until;
use crate::run::Run;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Weights of the four servers in each backend.
const WEIGHTS: [[u32; 4]; 3] = [[1, 1, 1, 1], [10, 20, 5, 1], [256, 100, 3, 7]];

/// What happens to the servers of every backend, and how many requests come after it.
const STEPS: [(&[&str], usize); 9] = [
    (&[], 40),
    (&["weight s2 3"], 24),
    (&["state s3 drain"], 24),
    (&["state s1 maint", "weight s4 9"], 20),
    (&["state s1 ready", "state s3 ready"], 40),
    (&["weight s1 0", "weight s2 200%"], 24),
    (&["health s2 down"], 16),
    (&["health s2 up", "weight s1 100%", "state s5 ready"], 40),
    (&["state s1 maint", "state s2 maint", "state s3 drain", "state s4 maint", "state s5 maint"], 3),
];

/// A program with four servers, a fifth that refuses connections and is disabled at first, and backends with these
/// lines and weights, chosen by the first part of the path.
fn start(run: &mut Run, backends: &[(String, [u32; 4])]) {
    for name in ["fe", "s1", "s2", "s3", "s4"] {
        run.listen(name);
    }
    run.refusing("s5");
    let mut text = "global\n log {log} local0\n maxconn 500\n nbthread 1\n stats socket {dir}sock level admin\n\
                    defaults\n mode http\n timeout connect 100ms\n timeout client 5s\n timeout server 5s\n retries 1\n \
                    option redispatch 1\n"
        .to_string();
    for number in 1..=4 {
        let _ = writeln!(
            text,
            "frontend s{number}\n bind 127.0.0.1:{{s{number}}}\n http-request wait-for-body time 20s if METH_POST\n \
             http-request return status 200 hdr x-server {number}"
        );
    }
    text.push_str("frontend fe\n bind 127.0.0.1:{fe}\n http-request set-src hdr(a) if { hdr(a) -m found }\n");
    for index in 0..backends.len() {
        let _ = writeln!(text, " use_backend b{index} if {{ path_beg /{index}/ }}");
    }
    for (index, (lines, weights)) in backends.iter().enumerate() {
        let _ = writeln!(text, "backend b{index}\n {lines}");
        for (server, weight) in weights.iter().enumerate() {
            let number = server + 1;
            let _ = writeln!(text, " server s{number} 127.0.0.1:{{s{number}}} weight {weight}");
        }
        text.push_str(" server s5 127.0.0.1:{s5} weight 5 disabled\n");
    }
    run.start(&text);
}

/// The servers' numbers for requests with these keys: as path, parameter, field and source address at once.
fn chosen(client: &mut Client, backend: usize, keys: impl Iterator<Item = u32>) -> String {
    let keys: Vec<u32> = keys.collect();
    let mut numbers = String::new();
    for some in keys.chunks(100) {
        let mut requests = String::new();
        for key in some {
            // Different in all places, so that a hash of another part would show.
            let n = key.wrapping_mul(2_654_435_761);
            let [b, c, d, _] = n.to_be_bytes();
            let _ = write!(
                requests,
                "GET /{backend}/{:x}/{key}.html?x=1&k={n}&y={key} HTTP/1.1\r\nHost: h{}.example\r\nK: key-{key}\r\n\
                 A: 10.{b}.{c}.{d}\r\n\r\n",
                n >> 20,
                key % 97,
            );
        }
        client.send(requests);
        for _ in some {
            let answer = client.response();
            numbers.push_str(header_values(&answer, "x-server").first().unwrap_or(&"-"));
        }
    }
    numbers
}

/// What is compared once the servers have changed.
#[derive(Clone, Copy, PartialEq)]
enum Compared {
    /// Each choice.
    Sequence,
    /// Which servers are chosen at all. The exact order after changes, in which 2.6 and 3.4 differ, is compared in
    /// `sequences.rs`.
    Servers,
    /// The same, and that each has what its weight says, within a few turns.
    Turns,
    /// The same, and that each has what its weight says, within what chance allows ([`by_chance`]).
    Chance,
}

/// Weights as the steps leave them: what is written, what holds, and who takes no new requests.
struct Weights {
    written: [u32; 4],
    now: [u32; 4],
    out: [bool; 4],
}

impl Weights {
    fn new(written: [u32; 4]) -> Weights {
        Weights { written, now: written, out: [false; 4] }
    }

    /// Follows a change that the program has accepted.
    fn change(&mut self, what: &str, server: &str, value: &str) {
        let Some(index) = server[1..].parse::<usize>().ok().filter(|n| *n <= 4).map(|n| n - 1) else { return };
        match (what, value.strip_suffix('%')) {
            ("weight", Some(percent)) => {
                let percent: u32 = percent.parse().expect("a number");
                self.now[index] = self.written[index] * percent / 100;
            }
            ("weight", None) => self.now[index] = value.parse().expect("a number"),
            _ => self.out[index] = !matches!(value, "ready" | "up"),
        }
    }

    /// Of `n` requests, what each server is to have.
    fn shares(&self, n: usize) -> [f64; 4] {
        let weight = |i: usize| if self.out[i] { 0.0 } else { f64::from(self.now[i]) };
        let total: f64 = (0..4).map(weight).sum();
        std::array::from_fn(|i| n as f64 * weight(i) / total)
    }
}

/// How far a server may be from its share of `n` random choices: six standard deviations, which one run of a thousand
/// million exceeds, of the choices themselves; and of HAProxy's ring, on which a server of weight `w` has `16 w` points at
/// random places, so that what belongs to it varies by one part in the root of that. Three of these.
fn by_chance(n: usize, share: f64, weight: u32) -> f64 {
    let p = share / n as f64;
    6.0 * (n as f64 * p * (1.0 - p)).sqrt() + 3.0 * share / (16.0 * f64::from(weight)).sqrt()
}

/// Says that all have their shares, or what they have.
fn compare_shares(run: &Run, weights: &Weights, compared: Compared, servers: &str) {
    let count = |i: usize| servers.bytes().filter(|b| usize::from(b - b'1') == i).count() as f64;
    let shares = weights.shares(servers.len());
    let far = |i: usize| {
        let most = match compared {
            Compared::Chance => by_chance(servers.len(), shares[i], weights.now[i]),
            // Where a round begins and ends.
            _ => 2.0,
        };
        (count(i) - shares[i]).abs() > most
    };
    let wrong: Vec<String> = (0..4)
        .filter(|i| far(*i))
        .map(|i| format!("{} of {} by s{}, not {:.1}", count(i), servers.len(), i + 1, shares[i]))
        .collect();
    run.note("shares", if wrong.is_empty() { "as the weights say" } else { "not as the weights say" });
    assert!(wrong.is_empty(), "{}", wrong.join(", "));
}

/// Columns of `show stat`: streams, and those of the last second.
const SESSIONS: usize = 7;
const RATE: usize = 33;

/// The sum of a column over the rows that begin so.
fn column(stat: &str, rows: &str, column: usize) -> usize {
    let rows = stat.lines().filter(|row| row.starts_with(rows));
    rows.filter_map(|row| row.split(',').nth(column)?.parse::<usize>().ok()).sum()
}

/// One algorithm through all steps with all weights.
fn through_all_steps(run: &mut Run, lines: &str, compared: Compared) {
    let backends: Vec<(String, [u32; 4])> = WEIGHTS.iter().map(|weights| (lines.to_string(), *weights)).collect();
    start(run, &backends);
    let socket = run.path("sock");
    let mut client = Client::connect(run.port("fe"));
    let mut followed = WEIGHTS.map(Weights::new);
    let steps = if compared == Compared::Chance { 4 } else { STEPS.len() };
    for (changes, requests) in STEPS.into_iter().take(steps) {
        for change in changes {
            let mut words = change.split(' ');
            let (what, server, value) = (words.next(), words.next(), words.next());
            let (Some(what), Some(server), Some(value)) = (what, server, value) else { panic!("three words") };
            for (index, weights) in followed.iter_mut().enumerate() {
                let answer = ask(&socket, &format!("set server b{index}/{server} {what} {value}"));
                run.note("change", &format!("{change}: {}", answer.trim_end()));
                if answer.trim().is_empty() {
                    weights.change(what, server, value);
                }
            }
        }
        for (index, weights) in WEIGHTS.iter().enumerate() {
            // What the fifth server refuses goes to any other.
            let fifth = changes.contains(&"state s5 ready");
            let empty = changes.contains(&"state s5 maint");
            let sequence = compared == Compared::Sequence || changes.is_empty() && compared != Compared::Chance;
            if sequence {
                let servers = chosen(&mut client, index, 0..requests as u32);
                run.note(&format!("{weights:?}"), &servers);
                continue;
            }
            if compared == Compared::Chance && index == 0 && !changes.is_empty() {
                // The choices before the change count in those of the next second.
                while column(&ask(&socket, "show stat"), "b", RATE) > 0 {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            let many = if compared == Compared::Chance { 2000 } else { 8 * requests as u32 };
            let servers = chosen(&mut client, index, 0..if empty { 3 } else { many });
            if compared != Compared::Servers && !fifth && !empty {
                compare_shares(run, &followed[index], compared, &servers);
            }
            // A server of little weight may be missed by chance.
            if compared != Compared::Chance {
                let servers: BTreeSet<char> = servers.chars().collect();
                run.note(&format!("{weights:?}"), &format!("{servers:?}"));
            }
        }
    }
    run.forget();
}

macro_rules! algorithms {
    ($($name:ident, $compared:ident, $lines:literal;)*) => {$(
        scenario!($name, |run| {
            through_all_steps(run, $lines, Compared::$compared);
        });
    )*};
}

algorithms! {
    roundrobin, Turns, "balance roundrobin";
    static_rr, Sequence, "balance static-rr";
    random_one_draw, Chance, "balance random(1)";
    random_two_draws, Chance, "balance random";
    leastconn, Servers, "balance leastconn";
    first, Sequence, "balance first";
    source_map, Sequence, "balance source";
    source_consistent, Sequence, "balance source\n hash-type consistent";
    uri_map, Sequence, "balance uri";
    uri_consistent, Sequence, "balance uri\n hash-type consistent";
    uri_whole, Sequence, "balance uri whole";
    uri_depth_and_len, Sequence, "balance uri len 9 depth 2";
    url_param_map, Sequence, "balance url_param k";
    url_param_consistent, Sequence, "balance url_param k\n hash-type consistent sdbm avalanche";
    hdr_map, Sequence, "balance hdr(k)";
    hdr_consistent, Sequence, "balance hdr(k)\n hash-type consistent djb2";
    hdr_use_domain_only, Sequence, "balance hdr(host) use_domain_only\n hash-type map-based crc32";
    hash_map, Sequence, "balance hash hdr(k),lower\n hash-type map-based djb2 avalanche";
    hash_of_an_expression, Sequence, "balance hash hdr(k),lower\n hash-type consistent crc32 avalanche";
    hash_balance_factor, Sequence, "balance hdr(k)\n hash-type consistent\n hash-balance-factor 150";
    allbackups_and_redispatch, Servers, "balance roundrobin\n option allbackups";
}

/// One function over ten thousand keys, texts and addresses. (`none` is not known to 2.6: see the tests of `model::balance`.)
fn over_ten_thousand_keys(run: &mut Run, function: &str) {
    let mut backends = Vec::new();
    for by in ["hdr(k)", "source"] {
        for kind in ["map-based", "consistent"] {
            for more in ["", " avalanche"] {
                let lines = format!("balance {by}\n hash-type {kind} {function}{more}");
                backends.push((lines, [100, 20, 3, 77]));
            }
        }
    }
    start(run, &backends);
    let mut client = Client::connect(run.port("fe"));
    for (index, (lines, _)) in backends.iter().enumerate() {
        let servers = chosen(&mut client, index, 0..10_000);
        // Lines that a difference can be read from.
        for (at, some) in servers.as_bytes().chunks(100).enumerate() {
            run.note(&format!("{lines} {at}"), &String::from_utf8_lossy(some));
        }
    }
    run.forget();
}

macro_rules! functions {
    ($($name:ident, $function:literal;)*) => {$(
        scenario!($name, |run| {
            over_ten_thousand_keys(run, $function);
        });
    )*};
}

functions! {
    sdbm, "sdbm";
    djb2, "djb2";
    crc32, "crc32";
}

/// A hash over ten thousand keys, anew after each change.
fn over_ten_thousand_keys_after_changes(run: &mut Run, lines: &str, changes: &[&str]) {
    start(run, &[(lines.to_string(), [100, 20, 3, 77])]);
    let socket = run.path("sock");
    wait_until("a socket that answers", || UnixStream::connect(&socket).is_ok());
    let mut client = Client::connect(run.port("fe"));
    for change in changes {
        let command = format!("set server b0/{change}");
        run.note(change, ask(&socket, &command).trim());
        let servers = chosen(&mut client, 0, 0..10_000);
        for (at, some) in servers.as_bytes().chunks(100).enumerate() {
            run.note(&format!("{change} {at}"), &String::from_utf8_lossy(some));
        }
    }
    run.forget();
}

scenario!(ten_thousand_keys_on_a_map_after_changes, |run| {
    let changes = ["s1 state maint", "s4 state drain", "s1 state ready", "s2 health down"];
    over_ten_thousand_keys_after_changes(run, "balance hdr(k)", &changes);
});

scenario!(ten_thousand_keys_on_a_ring_after_changes, |run| {
    let changes = ["s2 weight 3", "s1 state maint", "s4 state drain", "s1 state ready", "s2 weight 60"];
    over_ten_thousand_keys_after_changes(run, "balance hdr(k)\n hash-type consistent djb2 avalanche", &changes);
});

scenario!(ten_thousand_addresses_on_a_ring_after_changes, |run| {
    let changes = ["s3 weight 30", "s1 health down", "s1 health up", "s2 state drain"];
    over_ten_thousand_keys_after_changes(run, "balance source\n hash-type consistent crc32", &changes);
});

/// The forms in which a parameter may come, in the URI and in what is posted.
const FORMS: [(&str, &str); 10] = [
    ("GET /0/?k={}", ""),
    ("GET /0/?x=1&k={}", ""),
    ("GET /0/?k={}&k=77", ""),
    ("GET /0/?k=&k={}", ""),
    ("GET /0/?k={};b", ""),
    ("GET /0/?xk=9&k={}", ""),
    ("GET /0/?k&k={}", ""),
    ("POST /0/?k={}", "k=5"),
    ("POST /0/", "k={}"),
    ("POST /0/?x=1", "a=1&k={}&b"),
];

scenario!(a_parameter_in_the_query_or_in_a_form, |run| {
    start(run, &[("balance url_param k check_post\n hash-type consistent".to_string(), [20, 20, 20, 20])]);
    let mut client = Client::connect(run.port("fe"));
    for (line, form) in FORMS {
        let mut servers = String::new();
        for key in 0..20 {
            let number = (key * 7).to_string();
            let (line, form) = (line.replace("{}", &number), form.replace("{}", &number));
            client.send(format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{form}", form.len()));
            servers.push_str(header_values(&client.response(), "x-server").first().unwrap_or(&"-"));
        }
        run.note(&format!("{line} {form}"), &servers);
    }
    run.forget();
});

/// Forty requests that are all under way at once, so that what each server has counts: who gets which.
fn under_load(run: &mut Run, lines: &str) {
    let backends: Vec<(String, [u32; 4])> = WEIGHTS.iter().map(|weights| (lines.to_string(), *weights)).collect();
    start(run, &backends);
    let socket = run.path("sock");
    // It may open after the listeners that the start waits for.
    wait_until("a socket that answers", || UnixStream::connect(&socket).is_ok());
    for (index, weights) in WEIGHTS.iter().enumerate() {
        let mut clients: Vec<Client> = Vec::new();
        for key in 0..40 {
            let mut client = Client::connect(run.port("fe"));
            client.send(format!("POST /{index}/ HTTP/1.1\r\nHost: a\r\nK: key-{key}\r\nContent-Length: 1\r\n\r\n"));
            clients.push(client);
            // The next comes when this one has its server.
            let start = Instant::now();
            while column(&ask(&socket, "show stat"), &format!("b{index},s"), SESSIONS) < clients.len() {
                assert!(start.elapsed() < Duration::from_secs(10), "request {key} of {lines} has no server");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let mut servers = String::new();
        for mut client in clients {
            client.send("x");
            servers.push_str(header_values(&client.response(), "x-server").first().unwrap_or(&"-"));
        }
        run.note(&format!("{lines} {weights:?}"), &servers);
    }
    run.forget();
}

macro_rules! loads {
    ($($name:ident, $lines:literal;)*) => {$(
        scenario!($name, |run| {
            under_load(run, $lines);
        });
    )*};
}

loads! {
    leastconn_under_load, "balance leastconn";
    without_a_key_by_map, "balance hdr(other)";
    without_a_key_by_ring, "balance hdr(other)\n hash-type consistent";
    hash_balance_factor_125, "balance hdr(k)\n hash-type consistent\n hash-balance-factor 125";
    hash_balance_factor_150, "balance hdr(k)\n hash-type consistent\n hash-balance-factor 150";
    hash_balance_factor_300, "balance hdr(k)\n hash-type consistent djb2 avalanche\n hash-balance-factor 300";
}
