//! Request smuggling: each case of `smuggling/corpus.txt` goes through the program to a recording origin, with a
//! marker request behind it. It must be refused, or reach the origin as exactly one request that can be read in one
//! way only; where the marker goes shows where the proxy thought the message ended.
//!
//! One case: `SMUGGLING=chunk-ext cargo test --test smuggling`.

mod common;

#[path = "smuggling/h2.rs"]
mod h2;

use common::client::Client;
use common::directory::Directory;
use common::http::{Extent, head_length, header_values, request_extent, response_extent, status};
use common::origin::{Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::show;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const MARKER: &str = "GET /marker HTTP/1.1\r\nHost: h\r\n\r\n";

#[derive(Clone, Copy, PartialEq, Debug)]
enum Expect {
    Pass,
    Swallow,
    Refuse,
    Any,
}

struct Case {
    name: String,
    expect: Expect,
    bytes: Vec<u8>,
}

fn corpus() -> Vec<Case> {
    let text = include_str!("smuggling/corpus.txt");
    let only = std::env::var("SMUGGLING").ok();
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let (name, expect, bytes) = (words.next(), words.next(), words.next());
            let expect = match expect {
                Some("pass") => Expect::Pass,
                Some("swallow") => Expect::Swallow,
                Some("refuse") => Expect::Refuse,
                Some("any") => Expect::Any,
                _ => panic!("a line nobody understands: {line}"),
            };
            Case { name: name.expect("a name").to_string(), expect, bytes: unescape(bytes.expect("bytes")) }
        })
        .filter(|case| only.as_ref().is_none_or(|only| case.name == *only))
        .collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match escape {
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'0' => bytes.push(0),
            b'\\' => bytes.push(b'\\'),
            b'x' => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).expect("two hexadecimal digits"));
                rest = &rest[2..];
            }
            b'{' => {
                let (repeat, after) = rest.split_once('}').expect("a closing brace");
                let (piece, count) = repeat.split_once('*').expect("a count");
                bytes.extend(piece.repeat(count.parse().expect("a number")).bytes());
                rest = after;
            }
            _ => panic!("an escape nobody understands in {text}"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// A request as the origin received it.
struct Received {
    target: String,
    is_complete: bool,
}

/// Reads what one connection brought, strictly; Err says what could be read in more than one way.
fn read_strictly(mut bytes: &[u8]) -> Result<Vec<Received>, String> {
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let Some(head) = head_length(bytes) else {
            let target = String::from_utf8_lossy(bytes).split(' ').nth(1).unwrap_or("").to_string();
            requests.push(Received { target, is_complete: false });
            return Ok(requests);
        };
        let text = String::from_utf8_lossy(&bytes[..head - 4]).into_owned();
        check_head(&text)?;
        let target = text.split(' ').nth(1).unwrap_or("").to_string();
        let extent = request_extent(bytes);
        let is_complete = matches!(extent, Extent::Complete(_));
        requests.push(Received { target, is_complete });
        let Extent::Complete(length) = extent else { return Ok(requests) };
        check_chunks(bytes, head, length)?;
        bytes = &bytes[length..];
    }
    Ok(requests)
}

/// What decides where a message ends must be there once, in its plainest form.
fn check_head(text: &str) -> Result<(), String> {
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or("");
    if first.split(' ').count() != 3 || !(first.ends_with("HTTP/1.1") || first.ends_with("HTTP/1.0")) {
        return Err(format!("request line {first:?}"));
    }
    for line in text.split("\r\n") {
        if line.contains(['\r', '\n', '\0']) {
            return Err(format!("CR, LF or NUL within {line:?}"));
        }
    }
    for line in lines {
        let Some((name, _)) = line.split_once(':') else { return Err(format!("no colon in {line:?}")) };
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(is_token) {
            return Err(format!("header name {name:?}"));
        }
    }
    let head = format!("{text}\r\n\r\n");
    let lengths = header_values(head.as_bytes(), "content-length");
    let codings = header_values(head.as_bytes(), "transfer-encoding");
    if lengths.len() > 1 || lengths.len() + codings.len() > 1 {
        return Err(format!("lengths {lengths:?} and codings {codings:?}"));
    }
    if lengths.iter().any(|v| v.is_empty() || !v.bytes().all(|b| b.is_ascii_digit()) || v.len() > 19) {
        return Err(format!("length {lengths:?}"));
    }
    if codings.iter().any(|v| !v.eq_ignore_ascii_case("chunked")) {
        return Err(format!("coding {codings:?}"));
    }
    Ok(())
}

/// Chunk sizes must be plain hexadecimal numbers, ended by CRLF.
fn check_chunks(bytes: &[u8], head: usize, end: usize) -> Result<(), String> {
    if header_values(&bytes[..head], "transfer-encoding").is_empty() {
        return Ok(());
    }
    let mut at = head;
    while at < end {
        let line = bytes[at..end].windows(2).position(|w| w == b"\r\n").map_or(end, |n| at + n);
        let size = &bytes[at..line];
        if size.is_empty() || size.len() > 16 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err(format!("chunk size {}", show(size)));
        }
        let size = usize::from_str_radix(std::str::from_utf8(size).unwrap_or(""), 16).unwrap_or(0);
        at = line + 2;
        if size == 0 {
            return Ok(());
        }
        if bytes.get(at + size..at + size + 2) != Some(b"\r\n") {
            return Err("a chunk that does not end where its size says".to_string());
        }
        at += size + 2;
    }
    Ok(())
}

/// A frontend and an origin of its own, so that what arrives belongs to the case that runs.
struct Lane {
    port: u16,
    origin: Origin,
    seen: usize,
}

impl Lane {
    /// Runs a case: the statuses the client got, whether it was cut off, and the connections at the origin.
    fn run(&mut self, case: &Case) -> (Vec<u16>, bool, Vec<Vec<u8>>) {
        let mut client = Client::connect(self.port);
        let mut message = case.bytes.clone();
        message.extend_from_slice(MARKER.as_bytes());
        client.send(&message);
        let end =
            Instant::now() + if case.expect == Expect::Pass { common::BOUND } else { Duration::from_millis(250) };
        let mut cut_off = None;
        while statuses(&client.received).len() < 2 && cut_off.is_none() && Instant::now() < end {
            (_, cut_off) = client.drain(Duration::from_millis(10));
        }
        let answers = statuses(&client.received);
        drop(client);
        // The client's end ends the server's side too; what is on its way still counts.
        let settled = Instant::now() + Duration::from_secs(3);
        let seen = self.seen;
        while self.origin.records()[seen..].iter().any(|record| !record.over) && Instant::now() < settled {
            std::thread::sleep(Duration::from_millis(2));
        }
        let records = self.origin.records().split_off(seen);
        self.seen += records.len();
        (answers, cut_off.is_some(), records.into_iter().map(|record| record.bytes).collect())
    }
}

fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut found = Vec::new();
    while let Some(code) = status(bytes) {
        if code >= 200 {
            found.push(code);
        }
        match response_extent(bytes, false) {
            Extent::Complete(length) => bytes = &bytes[length..],
            _ => break,
        }
    }
    found
}

/// Err says what is wrong.
fn judge(case: &Case, answers: &[u16], cut_off: bool, connections: &[Vec<u8>]) -> Result<&'static str, String> {
    let mut requests = Vec::new();
    for bytes in connections {
        requests.extend(read_strictly(bytes).map_err(|what| format!("can be read in more than one way: {what}"))?);
    }
    if let Some(bad) = requests.iter().find(|request| request.target.contains("smuggled")) {
        return Err(format!("the origin got a request for {}", bad.target));
    }
    let markers = requests.iter().filter(|request| request.target == "/marker").count();
    let others: Vec<_> = requests.iter().filter(|request| request.target != "/marker").collect();
    let complete = others.iter().filter(|request| request.is_complete).count();
    if others.len() > 1 || markers > 1 {
        return Err(format!("{} requests and {markers} markers at the origin", others.len()));
    }
    if requests.last().is_some_and(|last| last.target != "/marker") && markers == 1 {
        return Err("the marker came before the message".to_string());
    }
    let good = answers.iter().filter(|code| **code < 400).count();
    if good > complete + markers {
        return Err(format!("{good} good answers to {} requests", complete + markers));
    }
    let is_refused = answers.first().is_none_or(|code| *code >= 400) && complete == 0;
    match case.expect {
        Expect::Pass if complete == 1 && markers == 1 && answers == [200, 200] => Ok("passed"),
        Expect::Pass => Err("a valid message was not passed on with its follower".to_string()),
        Expect::Swallow if markers == 0 && others.len() == 1 => Ok("passed"),
        Expect::Swallow => Err("the marker was not taken as the body it is".to_string()),
        Expect::Refuse if is_refused && (cut_off || !answers.is_empty()) => Ok("refused"),
        Expect::Refuse => Err("was not refused".to_string()),
        Expect::Any if complete == 1 => Ok("passed"),
        Expect::Any => Ok("refused"),
    }
}

#[test]
fn no_case_reaches_the_origin_as_two_requests() {
    let cases = corpus();
    assert!(cases.len() >= 150 || std::env::var_os("SMUGGLING").is_some(), "{} cases", cases.len());
    let directory = Directory::new();
    let mut config = String::from(
        "global\n maxconn 500\ndefaults\n mode http\n http-reuse never\n timeout connect 2s\n timeout client 4s\n \
         timeout server 4s\n",
    );
    let mut held = Vec::new();
    let mut lanes = Vec::new();
    for lane in 0..8 {
        let port = Port::hold();
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let origin = Origin::start(vec![Step::Serve(answer.into())]);
        config.push_str(&format!(
            "listen l{lane}\n bind 127.0.0.1:{}\n server s 127.0.0.1:{}\n",
            port.number, origin.port
        ));
        lanes.push(Lane { port: port.number, origin, seen: 0 });
        held.push(port);
    }
    let ports: Vec<u16> = held.iter().map(|port| port.number).collect();
    let mut program = Program::start(&under_test(), &directory, &config, &ports);
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for mut lane in lanes {
            let (next, failures, verdicts, cases) = (&next, &failures, &verdicts, &cases);
            scope.spawn(move || {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (answers, cut_off, connections) = lane.run(case);
                    match judge(case, &answers, cut_off, &connections) {
                        Ok(verdict) => verdicts.lock().expect("verdicts").push((verdict, case.name.clone(), answers)),
                        Err(what) => failures.lock().expect("failures").push(format!(
                            "{} ({:?}): {what}\n  answers {answers:?}\n  sent {}\n  origin got {:#?}",
                            case.name,
                            case.expect,
                            show(&case.bytes[..case.bytes.len().min(400)]),
                            connections.iter().map(|bytes| show(&bytes[..bytes.len().min(600)])).collect::<Vec<_>>()
                        )),
                    }
                }
            });
        }
    });
    program.assert_runs();
    let verdicts = verdicts.into_inner().expect("verdicts");
    if std::env::var_os("SMUGGLING_SHOW").is_some() {
        for (verdict, name, answers) in &verdicts {
            println!("{verdict} {name} {answers:?}");
        }
    }
    let failures = failures.into_inner().expect("failures");
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn the_judge_sees_two_readings() {
    for (bytes, is_clear) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", false),
        ("POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", false),
        ("POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", false),
        ("POST / HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", false),
        ("POST / HTTP/1.1\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n", false),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n", false),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", false),
    ] {
        assert_eq!(read_strictly(bytes.as_bytes()).is_ok(), is_clear, "{bytes:?}");
    }
}

#[test]
fn a_body_behind_an_answer_of_a_response_rule_is_no_request() {
    let directory = Directory::new();
    let early = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::start(vec![Step::Until(b"\r\n\r\n".to_vec()), Step::Send(early.into())]);
    let rules = [
        "return status 200 content-type text/plain string no if { status 413 }",
        "deny if { status 413 }",
        "redirect location /elsewhere if { status 413 }",
    ];
    for rule in rules {
        let port = Port::hold();
        let config = format!(
            "defaults\n mode http\n timeout connect 2s\n timeout client 4s\n timeout server 4s\nlisten l\n bind \
             127.0.0.1:{}\n http-response {rule}\n server s 127.0.0.1:{}\n",
            port.number, origin.port
        );
        let mut program = Program::start(&under_test(), &directory, &config, &[port.number]);
        let mut client = Client::connect(port.number);
        client.send("POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nx");
        client.response();
        client.send(MARKER);
        client.closed();
        let seen = origin.requests("/marker");
        assert_eq!(seen, 0, "{rule}: the body was read as a request");
        program.assert_runs();
    }
}

/// Rules that touch Content-Length, Transfer-Encoding or Connection: whatever they do, both sides read one message in one
/// way. Rule, request, answer of the origin, what the client gets, what the origin gets without the first two lines.
const EDITS: [(&str, &str, &str, &str, &str); 12] = [
    ("http-request del-header content- -m beg", POST, OK, OK, "content-length: 5\r\n\r\nhello"),
    ("http-request set-header content-length 7", POST, OK, OK, "content-length: 5\r\n\r\nhello"),
    ("http-request set-header content-length 7", GET, OK, OK, "\r\n"),
    ("http-request set-header transfer-encoding chunked", POST, OK, OK, "content-length: 5\r\n\r\nhello"),
    ("http-request set-header transfer-encoding chunked", GET, OK, OK, "\r\n"),
    (
        "http-request set-header content-length 3",
        CHUNKED,
        OK,
        OK,
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "http-request del-header transfer-encoding",
        CHUNKED,
        OK,
        OK,
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    ("http-response set-header transfer-encoding chunked", GET, OK, OK, "\r\n"),
    ("http-response set-header content-length 1", GET, OK, OK, "\r\n"),
    ("http-response set-header content-length 3", GET, CHUNKS, CHUNKS, "\r\n"),
    ("http-response del-header content-length", GET, OK, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok", "\r\n"),
    (
        "http-response del-header transfer-encoding",
        GET,
        CHUNKS,
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello",
        "\r\n",
    ),
];
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CHUNKS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

#[test]
fn rules_cannot_make_head_and_body_disagree() {
    let directory = Directory::new();
    let mut config = String::from(
        "defaults\n mode http\n http-reuse never\n timeout connect 2s\n timeout client 4s\n timeout server 4s\n",
    );
    let mut rows = Vec::new();
    for (number, (rule, _, answer, ..)) in EDITS.iter().enumerate() {
        let (port, origin) = (Port::hold(), Origin::start(vec![Step::Serve((*answer).into())]));
        config.push_str(&format!(
            "listen l{number}\n bind 127.0.0.1:{}\n {rule}\n server s 127.0.0.1:{}\n",
            port.number, origin.port
        ));
        rows.push((port, origin));
    }
    let ports: Vec<u16> = rows.iter().map(|(port, _)| port.number).collect();
    let mut program = Program::start(&under_test(), &directory, &config, &ports);
    for ((port, origin), (rule, request, _, answer, received)) in rows.iter().zip(EDITS) {
        let mut client = Client::connect(port.number);
        client.send(request);
        assert_eq!(show(&client.response()), show(answer.as_bytes()), "{rule}");
        let method = request.split(' ').next().unwrap_or_default();
        let wanted = format!("{method} / HTTP/1.1\r\nhost: a\r\n{received}");
        assert_eq!(show(&origin.records()[0].bytes), show(wanted.as_bytes()), "{rule}");
        if answer.contains("close") {
            client.closed();
        } else {
            client.send(GET);
            assert_eq!(client.status(), 200, "{rule}");
        }
    }
    program.assert_runs();
}
