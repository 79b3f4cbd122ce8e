//! Long statistics beside traffic: with thousands of servers an answer has megabytes, which are neither held in memory nor
//! made while others wait. How long that takes is the benchmark `watched`'s business.

mod common;

use common::client::{Client, End};
use common::directory::Directory;
use common::h2::{H2Client, get};
use common::http::{body, head_length, status};
use common::port::Port;
use common::program::{Program, memory_kb, under_test};
use common::{BOUND, cli, wait_until};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// For what is about megabytes, and for what is about several slices.
const THOUSANDS: usize = 2000;
const HUNDREDS: usize = 300;
/// What `/metrics` has at least for thousands, in bytes: more than sockets hold.
const METRICS_MIN: usize = 8 << 20;
/// Bytes of a slice, and of the object that fills it.
const CHUNK_MAX: usize = 8192 + 4096;

struct Site {
    servers: usize,
    program: Program,
    port: u16,
    socket: String,
    _held: Port,
    _directory: Directory,
}

/// A worker with so many servers, that tells of them and answers `/ping`.
fn site(servers: usize) -> Site {
    let (directory, held) = (Directory::new(), Port::hold());
    let (port, socket) = (held.number, directory.join("admin.sock"));
    let mut config = format!(
        "global\n nbthread 1\n stats socket {socket} level admin\ndefaults\n mode http\n timeout connect 5s\n timeout client \
         60s\n timeout server 60s\nfrontend web\n bind 127.0.0.1:{port}\n http-request return status 200 if {{ path \
         /ping }}\n http-request use-service prometheus-exporter if {{ path /metrics }}\n stats enable\n stats uri /stats\n \
         default_backend many\nbackend many\n"
    );
    (1..=servers).for_each(|n| config.push_str(&format!(" server s{n} 127.0.0.1:1\n")));
    let program = Program::start(&under_test(), &directory, &config, &[port]);
    wait_until("the socket is there", || UnixStream::connect(&socket).is_ok());
    Site { servers, program, port, socket, _held: held, _directory: directory }
}

impl Site {
    fn get(&self, target: &str, version: &str) -> Vec<u8> {
        let mut client = Client::connect(self.port);
        client.send(format!("GET {target} {version}\r\nhost: h\r\nconnection: close\r\n\r\n"));
        let (answer, end) = client.closed();
        assert_eq!((status(&answer), end), (Some(200), End::Closed), "{target}");
        answer
    }

    fn assert_serves(&self) {
        let mut client = Client::connect(self.port);
        assert_eq!(client.send("GET /ping HTTP/1.1\r\nhost: h\r\n\r\n").status(), 200);
    }

    /// Each server's name stands once in the lines with `before` in front of it and `after` behind it.
    fn assert_tells_of_all(&self, text: &str, before: &str, after: char) {
        let names = text.lines().filter_map(|l| l.strip_prefix(before)?.split(after).next());
        let names: Vec<&str> = names.filter(|name| name.starts_with('s')).collect();
        let distinct: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!((names.len(), distinct.len()), (self.servers, self.servers), "{before}");
    }
}

/// The lengths of a message's chunks.
fn chunks(message: &[u8]) -> Vec<usize> {
    let mut at = head_length(message).expect("a head");
    let mut found = Vec::new();
    while let Some(n) = message[at..].windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&message[at..at + n]).expect("a size"), 16);
        let size = size.expect("a hexadecimal number");
        found.push(size);
        at += n + 2 + size + 2;
        if size == 0 {
            break;
        }
    }
    assert_eq!(found.pop(), Some(0), "the last chunk is empty, and no other");
    assert!(!found.contains(&0));
    found
}

#[test]
fn whoever_reads_slowly_costs_neither_memory_nor_the_others_their_answers() {
    let site = site(THOUSANDS);
    site.assert_serves();
    let before = memory_kb(site.program.pid());
    let mut slow: Vec<Client> = (0..8).map(|_| Client::connect(site.port)).collect();
    for client in &mut slow {
        client.send("GET /metrics HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        client.until(b"haproxy_process_nbthread 1\n");
        site.assert_serves();
    }
    for _ in 0..100 {
        site.assert_serves();
    }
    let grown = memory_kb(site.program.pid()).saturating_sub(before);
    assert!(grown < 4 << 10, "{grown} kB for eight answers");
    // One goes, one takes it all after all.
    slow.pop().expect("a client").reset();
    let (rest, end) = slow.pop().expect("a client").closed();
    assert_eq!(end, End::Closed);
    assert!(rest.len() > METRICS_MIN, "{} bytes", rest.len());
    let text = String::from_utf8_lossy(&rest);
    assert!(text.contains("{proxy=\"many\",server=\"s2000\"}") && text.ends_with("\r\n0\r\n\r\n"));
    site.assert_serves();
}

#[test]
fn chunks_are_slices_and_make_the_whole() {
    let site = site(HUNDREDS);
    for target in ["/metrics", "/stats", "/stats;csv"] {
        let answer = site.get(target, "HTTP/1.1");
        let most = chunks(&answer).into_iter().max().expect("chunks");
        assert!(most <= CHUNK_MAX, "{target}: a chunk of {most} bytes");
        assert!(most >= 4096, "{target}: no slice has more than {most} bytes");
    }
    let text = |target| String::from_utf8(body(&site.get(target, "HTTP/1.1"))).expect("UTF-8");
    site.assert_tells_of_all(&text("/metrics"), "haproxy_server_current_sessions{proxy=\"many\",server=\"", '"');
    site.assert_tells_of_all(&text("/stats;csv"), "many,", ',');
    let page = text("/stats");
    assert_eq!(page.matches("<a name=\"many/s").count(), HUNDREDS);
    assert!(page.ends_with("</html>\n"));
    let json: serde_json::Value = serde_json::from_str(&text("/stats;json")).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(HUNDREDS + 2));
}

#[test]
fn every_version_of_http_gets_the_same() {
    let site = site(HUNDREDS);
    let names = |bytes: Vec<u8>| -> Vec<String> {
        let text = String::from_utf8(bytes).expect("UTF-8");
        let lines = text.lines().filter(|line| line.starts_with("haproxy_server_"));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    let chunked = names(body(&site.get("/metrics", "HTTP/1.1")));
    assert!(chunked.len() > 10 * HUNDREDS);
    let old = site.get("/metrics", "HTTP/1.0");
    let head = String::from_utf8_lossy(&old[..head_length(&old).expect("a head")]).to_lowercase();
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    assert!(names(body(&old)) == chunked);
    let mut client = H2Client::connect(site.port);
    let answer = client.ask(&get("/metrics"), b"");
    assert_eq!((answer.status, answer.end.as_deref()), (200, Some("complete")));
    assert!(names(answer.body) == chunked);
    // The connection goes on behind it, as it does behind a head alone.
    assert_eq!(client.ask(&get("/ping"), b"").status, 200);
    let mut client = Client::connect(site.port);
    let head = client.send("HEAD /metrics HTTP/1.1\r\nhost: h\r\n\r\n").response_to_head();
    assert_eq!(status(&head), Some(200));
    assert_eq!(client.send("GET /ping HTTP/1.1\r\nhost: h\r\n\r\n").status(), 200);
}

#[test]
fn what_was_sent_is_what_is_counted() {
    let site = site(THOUSANDS);
    let counted = || cli::stat(&site.socket, "web", "FRONTEND", "resbout").parse::<usize>().expect("a number");
    let answer = site.get("/stats;csv", "HTTP/1.1");
    let (length, head) = (body(&answer).len(), head_length(&answer).expect("a head"));
    let bytes = counted();
    assert!(bytes > length && bytes <= length + head, "{bytes} for {length} and a head of {head}");
    // Whoever leaves is counted what was sent until then.
    let mut client = Client::connect(site.port);
    client.send("GET /metrics HTTP/1.1\r\nhost: h\r\n\r\n").until(b"haproxy_process_nbthread 1\n");
    client.reset();
    wait_until("its end is counted", || counted() > bytes);
    assert!(counted() < bytes + METRICS_MIN, "{}", counted() - bytes);
}

#[test]
fn the_runtime_api_writes_long_answers_as_it_does_short_ones() {
    let site = site(HUNDREDS);
    site.assert_tells_of_all(&cli::ask(&site.socket, "show stat"), "many,", ',');
    let state = cli::ask(&site.socket, "show servers state many");
    assert!(state.starts_with("1\n# be_id ") && state.ends_with("\n\n") && state.lines().count() == HUNDREDS + 3);
    // Joined, and with a prompt.
    let joined = cli::ask(&site.socket, "show version; show servers conn; show version");
    site.assert_tells_of_all(&joined, "many/", ' ');
    assert_eq!(joined.matches("3.4").count(), 2);
    let mut stream = UnixStream::connect(&site.socket).expect("connect");
    stream.set_read_timeout(Some(BOUND)).expect("timeout");
    stream.write_all(b"prompt\nshow stat many 4 -1\nquit\n").expect("commands");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    site.assert_tells_of_all(&answer, "many,", ',');
    assert!(answer.ends_with(",\n\n> "), "{}", &answer[answer.len().saturating_sub(80)..]);
}

#[test]
fn who_asks_the_runtime_api_and_does_not_read_holds_up_nobody() {
    let site = site(THOUSANDS);
    let before = memory_kb(site.program.pid());
    let silent: Vec<UnixStream> = (0..5)
        .map(|_| {
            let mut stream = UnixStream::connect(&site.socket).expect("connect");
            stream.write_all(b"show stat typed\n").expect("a command");
            stream
        })
        .collect();
    for number in 1..=20 {
        site.assert_serves();
        // Servers come and go meanwhile.
        assert!(cli::ask(&site.socket, &format!("add server many/new{number} 127.0.0.1:1")).contains("registered"));
        assert!(cli::ask(&site.socket, &format!("set server many/s{number} state maint")).trim().is_empty());
        assert!(cli::ask(&site.socket, &format!("del server many/s{number}")).contains("deleted"));
    }
    let grown = memory_kb(site.program.pid()).saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} kB");
    drop(silent);
    let text = cli::ask(&site.socket, "show stat many 4 -1");
    assert!(text.contains("\nmany,new20,") && !text.contains("\nmany,s20,") && text.contains("\nmany,s2000,"));
}
