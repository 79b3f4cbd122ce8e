//! The sequence of chosen servers: each algorithm over equal and unequal weights, weights that change, servers that
//! drain, leave, come back and refuse connections; and each hash over ten thousand keys. Servers are listeners of the same
//! program that say their number.

use crate::common::cli::ask;
use crate::common::client::Client;
use crate::common::http::header_values;
use crate::run::Run;
use std::collections::BTreeSet;
use std::fmt::Write as _;

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
            "frontend s{number}\n bind 127.0.0.1:{{s{number}}}\n http-request return status 200 hdr x-server {number}"
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
    /// Which servers are chosen at all. Where a round goes on after a change is no promise of HAProxy's (2.6 and 3.4
    /// differ among themselves), the shares are.
    Servers,
}

/// One algorithm through all steps with all weights.
fn through_all_steps(run: &mut Run, lines: &str, compared: Compared) {
    let backends: Vec<(String, [u32; 4])> = WEIGHTS.iter().map(|weights| (lines.to_string(), *weights)).collect();
    start(run, &backends);
    let socket = run.path("sock");
    let mut client = Client::connect(run.port("fe"));
    for (changes, requests) in STEPS {
        for change in changes {
            let mut words = change.split(' ');
            let (what, server, value) = (words.next(), words.next(), words.next());
            let (Some(what), Some(server), Some(value)) = (what, server, value) else { panic!("three words") };
            for index in 0..backends.len() {
                let answer = ask(&socket, &format!("set server b{index}/{server} {what} {value}"));
                run.note("change", &format!("{change}: {}", answer.trim_end()));
            }
        }
        for (index, weights) in WEIGHTS.iter().enumerate() {
            if compared == Compared::Sequence || changes.is_empty() {
                let servers = chosen(&mut client, index, 0..requests as u32);
                run.note(&format!("{weights:?}"), &servers);
            } else {
                let servers: BTreeSet<char> = chosen(&mut client, index, 0..8 * requests as u32).chars().collect();
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
    roundrobin, Servers, "balance roundrobin";
    static_rr, Servers, "balance static-rr";
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
    hash_of_an_expression, Sequence, "balance hash hdr(k),lower\n hash-type consistent crc32 avalanche";
    hash_balance_factor, Sequence, "balance hdr(k)\n hash-type consistent\n hash-balance-factor 150";
    allbackups_and_redispatch, Servers, "balance roundrobin\n option allbackups";
}

/// One function over ten thousand keys.
fn over_ten_thousand_keys(run: &mut Run, function: &str) {
    let mut backends = Vec::new();
    for kind in ["map-based", "consistent"] {
        for more in ["", " avalanche"] {
            backends.push((format!("balance hdr(k)\n hash-type {kind} {function}{more}"), [100, 20, 3, 77]));
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
