//! The same question for HTTP/2 before an HTTP/1.1 server: whatever a client puts into its frames, the server reads one
//! request, as the proxy did, or none. Fields are written by hand, as literals, so that nothing is checked on the way out.

use crate::common::directory::Directory;
use crate::common::origin::{Origin, Step};
use crate::common::port::Port;
use crate::common::program::{Program, under_test};
use crate::common::{BOUND, show};
use crate::read_strictly;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

type Field = (Vec<u8>, Vec<u8>);

/// One request's frames: fields, payloads, trailers.
struct Case {
    name: String,
    fields: Vec<Field>,
    data: Vec<u8>,
    trailers: Vec<Field>,
}

const SMUGGLED: &str = "GET /marker HTTP/1.1\r\nhost: h\r\n\r\n";

fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Field {
    (name.as_ref().to_vec(), value.as_ref().to_vec())
}

/// A plain request with something in the place of one pseudo-header's value.
fn with(method: &[u8], scheme: &[u8], authority: &[u8], path: &[u8]) -> Vec<Field> {
    vec![field(":method", method), field(":scheme", scheme), field(":authority", authority), field(":path", path)]
}

fn base(method: &str) -> Vec<Field> {
    with(method.as_bytes(), b"http", b"h", b"/case")
}

/// Every case; at least 150 of them.
fn corpus() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut add = |name: String, fields: Vec<Field>, data: &[u8], trailers: Vec<Field>| {
        cases.push(Case { name, fields, data: data.to_vec(), trailers });
    };
    let poisons: [&[u8]; 16] = [
        b"a\r\nx: y",
        b"a\r\n\r\nGET /marker HTTP/1.1\r\nhost: h\r\n\r\n",
        b"a\nx: y",
        b"a\rx: y",
        b"a\0b",
        b" a",
        b"a ",
        b"a b",
        b"\ta",
        b"a\x7f",
        b"a\x80",
        b"a\x0b",
        b"",
        b"a HTTP/1.1\r\nhost: h\r\n\r\nGET /marker",
        b"a#b",
        b"//a",
    ];
    for (n, poison) in poisons.iter().enumerate() {
        let path = [b"/", *poison].concat();
        add(format!("path {n}"), with(b"GET", b"http", b"h", &path), b"", vec![]);
        add(format!("whole path {n}"), with(b"GET", b"http", b"h", poison), b"", vec![]);
        add(format!("authority {n}"), with(b"GET", b"http", poison, b"/case"), b"", vec![]);
        add(format!("method {n}"), with(poison, b"http", b"h", b"/case"), b"", vec![]);
        add(format!("scheme {n}"), with(b"GET", poison, b"h", b"/case"), b"", vec![]);
        let mut value = base("GET");
        value.push(field("x-value", poison));
        add(format!("value {n}"), value, b"", vec![]);
        let mut name = base("GET");
        name.push(field(poison, "v"));
        add(format!("name {n}"), name, b"", vec![]);
        let mut cookie = base("GET");
        cookie.extend([field("cookie", "a=b"), field("cookie", poison)]);
        add(format!("cookie {n}"), cookie, b"", vec![]);
        let mut host = base("GET");
        host.push(field("host", poison));
        add(format!("host {n}"), host, b"", vec![]);
        add(format!("trailer {n}"), base("POST"), b"abc", vec![field("x-trailer", poison)]);
    }
    for length in
        ["5", "2", "+3", "-3", "3,3", "3, 4", "0x3", " 3", "3 ", "", "3.0", "99999999999999999999", "0", "03"]
    {
        let mut fields = base("POST");
        fields.push(field("content-length", length));
        add(format!("length {length:?}"), fields.clone(), b"abc", vec![]);
        add(format!("length {length:?} without data"), fields, b"", vec![]);
    }
    for (a, b) in [("3", "3"), ("3", "4"), ("4", "3"), ("3", "")] {
        let mut fields = base("POST");
        fields.extend([field("content-length", a), field("content-length", b)]);
        add(format!("lengths {a:?} {b:?}"), fields, b"abc", vec![]);
    }
    let body = format!("0\r\n\r\n{SMUGGLED}");
    for (name, value) in [
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "Chunked"),
        ("transfer-encoding", "identity"),
        ("transfer-encoding", "gzip, chunked"),
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding ", "chunked"),
        ("transfer_encoding", "chunked"),
        ("connection", "close"),
        ("connection", "transfer-encoding"),
        ("connection", "x-value"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("upgrade", "h2c"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers"),
        ("te", "trailers, deflate"),
        ("expect", "100-continue"),
        ("Host", "h"),
        ("host", "other"),
        ("content-length\r\nx", "3"),
        (":path", "/other"),
        (":status", "200"),
        (":unknown", "x"),
        (":method", "POST"),
    ] {
        let mut fields = base("POST");
        fields.push(field(name, value));
        add(format!("{name:?} {value:?}"), fields, body.as_bytes(), vec![]);
        add(format!("trailer {name:?} {value:?}"), base("POST"), body.as_bytes(), vec![field(name, value)]);
    }
    for missing in 0..4 {
        let mut fields = base("POST");
        fields.remove(missing);
        add(format!("without pseudo-header {missing}"), fields, body.as_bytes(), vec![]);
    }
    for late in 0..4 {
        let mut fields = base("POST");
        let moved = fields.remove(late);
        fields.extend([field("x-a", "b"), moved]);
        add(format!("late pseudo-header {late}"), fields, body.as_bytes(), vec![]);
    }
    add("data that looks like a request".into(), base("POST"), SMUGGLED.as_bytes(), vec![]);
    add("CONNECT with a path".into(), with(b"CONNECT", b"http", b"h:80", b"/case"), b"", vec![]);
    for (protocol, length) in [("websocket", "37"), ("websocket", "0"), ("h2c", "0"), ("chat", "5")] {
        let mut fields = base("CONNECT");
        fields.insert(1, field(":protocol", protocol));
        fields.push(field("content-length", length));
        add(format!("CONNECT for {protocol}, {length} bytes"), fields, SMUGGLED.as_bytes(), vec![]);
    }
    cases
}

/// A string of HPACK without Huffman (RFC 7541 §5.2).
fn string(text: &[u8], out: &mut Vec<u8>) {
    if text.len() < 127 {
        out.push(text.len() as u8);
    } else {
        out.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            out.push((rest % 128 + 128) as u8);
            rest /= 128;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(text);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

fn headers(fields: &[Field], end: bool, stream: u32, out: &mut Vec<u8>) {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(name, &mut block);
        string(value, &mut block);
    }
    frame(1, 4 | u8::from(end), stream, &block, out);
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(4, 0, 0, &[], &mut out);
        headers(&self.fields, self.data.is_empty() && self.trailers.is_empty(), 1, &mut out);
        if !self.data.is_empty() {
            frame(0, u8::from(self.trailers.is_empty()), 1, &self.data, &mut out);
        }
        if !self.trailers.is_empty() {
            headers(&self.trailers, true, 1, &mut out);
        }
        headers(&with(b"GET", b"http", b"h", b"/after"), true, 3, &mut out);
        out
    }
}

/// Reads until both streams have ended or the connection has.
fn wait(stream: &mut TcpStream) {
    let until = Instant::now() + BOUND;
    let mut seen = Vec::new();
    let mut ended = 0;
    let mut buffer = [0; 16_384];
    while ended < 2 && Instant::now() < until {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => seen.extend_from_slice(&buffer[..n]),
            _ => return,
        }
        while seen.len() >= 9 {
            let len = u32::from_be_bytes([0, seen[0], seen[1], seen[2]]) as usize;
            if seen.len() < 9 + len {
                break;
            }
            let (kind, flags) = (seen[3], seen[4]);
            ended += usize::from(kind == 3 || matches!(kind, 0 | 1) && flags & 1 != 0);
            if kind == 7 {
                return;
            }
            seen.drain(..9 + len);
        }
    }
}

#[test]
fn no_http2_request_reaches_an_http1_server_as_two() {
    let cases = corpus();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    let directory = Directory::new();
    let origin = Origin::start(vec![Step::Serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())]);
    let port = Port::hold();
    let config = format!(
        "defaults\n mode http\n timeout connect 3s\n timeout client 3s\n timeout server 3s\n http-reuse never\nlisten l\n \
         bind 127.0.0.1:{}\n server s 127.0.0.1:{}\n",
        port.number, origin.port
    );
    let mut program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let mut passed = 0;
    for case in &cases {
        let before = origin.connections();
        let mut stream = TcpStream::connect(("127.0.0.1", port.number)).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(4))).expect("a timeout");
        let _ = stream.write_all(&case.bytes());
        wait(&mut stream);
        drop(stream);
        let mut requests = 0;
        for record in &origin.records()[before..] {
            let read = read_strictly(&record.bytes);
            let read = read.unwrap_or_else(|e| panic!("{}: {e}:\n{}", case.name, show(&record.bytes)));
            for request in &read {
                assert!(!request.target.contains("marker"), "{}: smuggled:\n{}", case.name, show(&record.bytes));
            }
            assert!(read.len() <= 1, "{}: {} requests:\n{}", case.name, read.len(), show(&record.bytes));
            requests += read.len();
        }
        assert!(requests <= 2, "{}: {requests} requests", case.name);
        passed += usize::from(requests == 2);
    }
    // Some are harmless and pass; were it none or all, nothing would have been tried.
    assert!(passed > 10 && passed < cases.len() / 2, "{passed} of {}", cases.len());
    program.assert_runs();
}

#[test]
fn an_extended_connect_with_a_length_spoils_no_connection_for_others() {
    let directory = Directory::new();
    let answer = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok").into_bytes();
    // It answers an upgrade by its head, and would then read the announced body.
    let origin = Origin::start(vec![
        Step::Until(b"\r\n\r\n".to_vec()),
        Step::Send(answer("200 OK")),
        Step::Until(b"\r\n\r\n".to_vec()),
        Step::Send(answer("200 OK")),
    ]);
    let port = Port::hold();
    let config = format!(
        "global\n nbthread 1\ndefaults\n mode http\n timeout connect 3s\n timeout client 3s\n timeout server 3s\n \
         http-reuse always\nlisten l\n bind 127.0.0.1:{}\n server s 127.0.0.1:{}\n",
        port.number, origin.port
    );
    let mut program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(4, 0, 0, &[], &mut out);
    headers(&with(b"GET", b"http", b"h", b"/first"), true, 1, &mut out);
    let mut connect = base("CONNECT");
    connect.insert(1, field(":protocol", "websocket"));
    connect.push(field("content-length", "20"));
    headers(&connect, false, 3, &mut out);
    let mut attacker = TcpStream::connect(("127.0.0.1", port.number)).expect("a connection");
    attacker.set_read_timeout(Some(Duration::from_secs(4))).expect("a timeout");
    attacker.write_all(&out).expect("the attack");
    wait(&mut attacker);
    let mut victim = crate::common::client::Client::connect(port.number);
    victim.send("GET /victim HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(victim.status(), 200);
    for record in origin.records() {
        assert!(!record.bytes.windows(14).any(|w| w == b"content-length"), "{}", show(&record.bytes));
    }
    program.assert_runs();
}
