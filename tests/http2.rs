//! HTTP/2 with clients that other people wrote, between two proxies, and where its own ways matter: many streams at once,
//! WebSocket, the end of a process.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::h2::{H2Client, get, request};
use common::origin::{Gate, Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::syslog::Syslog;
use common::{BOUND, pattern, show, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

const HEAD: &str = "global\n maxconn 500\ndefaults\n mode http\n timeout connect 5s\n timeout client 8s\n \
                    timeout server 8s\n";

/// One section on a port of its own.
fn proxy(directory: &Directory, lines: &str) -> (Program, Port) {
    let port = Port::hold();
    let config = format!("{HEAD}listen l\n bind 127.0.0.1:{}\n {lines}\n", port.number);
    let program = Program::start(&under_test(), directory, &config, &[port.number]);
    (program, port)
}

fn serving(body: &[u8]) -> Origin {
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    Origin::start(vec![Step::Serve(answer)])
}

fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

#[test]
fn curl_speaks_it_with_prior_knowledge() {
    let directory = Directory::new();
    let (_program, port) = proxy(&directory, "http-request return status 200 content-type text/plain string hello");
    let url = format!("http://127.0.0.1:{}/", port.number);
    let seen = run("curl", &["-s", "-i", "--http2-prior-knowledge", &url]);
    assert!(seen.contains("HTTP/2 200") && seen.ends_with("hello"), "{seen}");
}

#[test]
fn h2load_gets_every_answer_of_many_streams() {
    let directory = Directory::new();
    let origin = serving(b"0123456789");
    let (mut program, port) = proxy(&directory, &format!("server s 127.0.0.1:{}", origin.port));
    let url = format!("http://127.0.0.1:{}/", port.number);
    let seen = run("h2load", &["-n", "3000", "-c", "6", "-m", "20", &url]);
    assert!(seen.contains("3000 succeeded, 0 failed, 0 errored, 0 timeout"), "{seen}");
    program.assert_runs();
}

#[test]
fn a_stream_that_is_not_read_does_not_hold_others_up() {
    let directory = Directory::new();
    let large = pattern(2_000_000, 3);
    let origin = serving(&large);
    let (_program, port) = proxy(
        &directory,
        &format!(
            "http-request return status 200 content-type a/b string x if {{ path /x }}\n server s 127.0.0.1:{}",
            origin.port
        ),
    );
    let mut client = H2Client::connect(port.number);
    let slow = client.send(&get("/large"), b"");
    for _ in 0..20 {
        let answer = client.ask(&get("/x"), b"");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"x"[..]), "{}", answer.show());
    }
    let answer = client.answer(slow);
    assert!(answer.body == large, "{} bytes of {}", answer.body.len(), large.len());
}

#[test]
fn streams_that_have_data_at_the_same_time_take_turns() {
    const WINDOW: usize = 60_000;
    const LARGE: usize = WINDOW + 100_000;
    let directory = Directory::new();
    let gate = Gate::new();
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n").into_bytes();
    answer.extend(pattern(LARGE, 4));
    let origin = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), Step::Send(answer), Step::Close]);
    let (_program, port) = proxy(&directory, &format!("server s 127.0.0.1:{}", origin.port));
    let stream = std::net::TcpStream::connect(("127.0.0.1", port.number)).expect("a connection");
    stream.set_read_timeout(Some(common::BOUND)).expect("a read timeout");
    let mut client = H2Client::with_window(stream, false, WINDOW as u32);
    client.keep_windows();
    let ids: Vec<_> = (0..8).map(|_| client.send(&get("/large"), b"")).collect();
    wait_until("all have asked", || origin.connections() == ids.len());
    gate.open();
    // Behind full windows the rest of all of them waits in the proxy, however busy the machine is.
    while ids.iter().any(|id| client.received(*id) < WINDOW) {
        assert!(client.step(), "the connection ended");
    }
    origin.wait_for("all has left the servers", |records| records.iter().all(|r| r.over));
    client.give_windows();
    let most = |client: &H2Client| ids.iter().map(|id| client.received(*id)).max();
    while most(&client) < Some(LARGE) {
        assert!(client.step(), "the connection ended");
    }
    let seen: Vec<usize> = ids.iter().map(|id| client.received(*id)).collect();
    assert!(seen.iter().all(|n| *n > WINDOW + 25_000), "bytes of each stream when one was through: {seen:?}");
}

#[test]
fn bodies_pass_both_ways_through_two_proxies() {
    let directory = Directory::new();
    let (behind, front) = (Port::hold(), Port::hold());
    let origin = Origin::start(vec![
        Step::Request,
        Step::Send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n".to_vec(),
        ),
    ]);
    let config = format!(
        "{HEAD}listen front\n bind 127.0.0.1:{}\n server s 127.0.0.1:{} proto h2\nlisten behind\n bind 127.0.0.1:{}\n \
         http-request set-header x-major %[fc_http_major]\n server s 127.0.0.1:{}\n",
        front.number, behind.number, behind.number, origin.port
    );
    let _program = Program::start(&under_test(), &directory, &config, &[front.number, behind.number]);
    let body = pattern(500_000, 11);
    let mut client = Client::connect(front.number);
    client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(&body);
    let answer = show(&client.until(b"x-sum: 9\r\n\r\n"));
    assert!(answer.contains("HTTP/1.1 200") && answer.contains("transfer-encoding: chunked"), "{answer}");
    let seen = &origin.records()[0].bytes;
    assert!(seen.ends_with(&body), "{} bytes", seen.len());
    assert!(show(&seen[..300]).contains("x-major: 2"), "{}", show(&seen[..300]));
}

/// A server that takes a WebSocket handshake and echoes.
fn echoing() -> Origin {
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    Origin::start(vec![Step::Request, Step::Send(switch.to_vec()), Step::Echo])
}

#[test]
fn a_websocket_over_http2_reaches_an_http1_server() {
    let directory = Directory::new();
    let origin = echoing();
    let (_program, port) = proxy(&directory, &format!("server s 127.0.0.1:{}", origin.port));
    let mut client = H2Client::connect(port.number);
    let mut head = get("http://a.example/chat");
    head.set_method(b"CONNECT");
    head.append(b"sec-websocket-version", b"13");
    let id = client.begin_upgrade(&head, b"websocket");
    client.data(id, b"one", false);
    client.data(id, b"two", true);
    let answer = client.answer(id);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"onetwo"[..]), "{}", answer.show());
    let seen = show(&origin.records()[0].bytes);
    for part in ["GET /chat HTTP/1.1", "upgrade: websocket", "connection: upgrade", "sec-websocket-key: "] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
}

#[test]
fn a_websocket_passes_between_two_proxies_that_speak_http2() {
    let directory = Directory::new();
    let (behind, front) = (Port::hold(), Port::hold());
    let origin = echoing();
    let config = format!(
        "{HEAD}listen front\n bind 127.0.0.1:{}\n server s 127.0.0.1:{} proto h2\nlisten behind\n bind 127.0.0.1:{} \
         proto h2\n server s 127.0.0.1:{}\n",
        front.number, behind.number, behind.number, origin.port
    );
    let _program = Program::start(&under_test(), &directory, &config, &[front.number, behind.number]);
    let mut client = Client::connect(front.number);
    client.send(
        "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let head = show(&client.until(b"\r\n\r\n"));
    assert!(head.contains("101 Switching") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    client.send("hello");
    assert_eq!(client.until(b"hello"), b"hello");
    client.half_close();
    assert!(client.closed().0.is_empty());
}

#[test]
fn an_upgrade_that_a_server_cannot_take_is_told_as_a_bad_gateway() {
    let directory = Directory::new();
    let behind = Port::hold();
    // The far proxy is told not to offer it.
    let peer = Program::start(
        &under_test(),
        &directory,
        &format!(
            "global\n h2-workaround-bogus-websocket-clients\ndefaults\n mode http\n timeout client 5s\nfrontend f\n bind 127.0.0.1:{} proto h2\n http-request return status 200\n",
            behind.number
        ),
        &[behind.number],
    );
    let (_program, port) = proxy(&directory, &format!("server s 127.0.0.1:{} proto h2", behind.number));
    let mut client = Client::connect(port.number);
    client.send("GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_eq!(client.status(), 502);
    drop(peer);
}

#[test]
fn a_stopping_process_says_goodbye_and_finishes_what_runs() {
    let directory = Directory::new();
    let gate = common::origin::Gate::new();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let origin = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), Step::Send(answer), Step::Close]);
    let (mut program, port) = proxy(&directory, &format!("server s 127.0.0.1:{}", origin.port));
    let mut client = H2Client::connect(port.number);
    let id = client.send(&get("/"), b"");
    origin.wait_for("the request", |r| r.first().is_some_and(|c| !c.bytes.is_empty()));
    program.signal(rustix::process::Signal::USR1);
    while client.ended.is_none() && client.step() {}
    assert_eq!(client.ended.as_deref().map(|e| e.contains("NO_ERROR")), Some(true), "{:?}", client.ended);
    gate.open();
    let answer = client.answer(id);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]), "{}", answer.show());
    assert_eq!(program.wait(), 0);
}

#[test]
fn requests_that_go_to_one_server_share_its_connection() {
    let directory = Directory::new();
    let (behind, front) = (Port::hold(), Port::hold());
    let config = format!(
        "{HEAD}listen front\n bind 127.0.0.1:{}\n http-reuse always\n server s 127.0.0.1:{} proto h2\nfrontend behind\n \
         bind 127.0.0.1:{} proto h2\n http-request return status 200 content-type a/b lf-string %cp\n",
        front.number, behind.number, behind.number
    );
    let config = config.replace("global\n", "global\n nbthread 1\n");
    let _program = Program::start(&under_test(), &directory, &config, &[front.number, behind.number]);
    let mut ports: Vec<Vec<u8>> = Vec::new();
    for _ in 0..3 {
        let mut client = H2Client::connect(front.number);
        ports.push(client.ask(&request("GET", "/", &[]), b"").body);
    }
    assert!(ports.iter().all(|p| p == &ports[0] && !p.is_empty()), "{ports:?}");
}

#[test]
fn a_client_that_takes_leave_still_gets_its_answers() {
    let directory = Directory::new();
    let gate = common::origin::Gate::new();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let origin = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), Step::Send(answer), Step::Close]);
    let (_program, port) = proxy(&directory, &format!("server s 127.0.0.1:{}", origin.port));
    let mut client = H2Client::connect(port.number);
    let id = client.send(&get("/"), b"");
    origin.wait_for("the request", |r| r.first().is_some_and(|c| !c.bytes.is_empty()));
    client.codec.go_away(Some(0), ringway::proto::h2::ErrorCode::NO_ERROR, &mut client.out);
    client.flush();
    gate.open();
    let answer = client.answer(id);
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]), "{}", answer.show());
}

#[test]
fn an_answer_that_ends_with_its_head_has_a_length_for_http1() {
    let directory = Directory::new();
    let (behind, front) = (Port::hold(), Port::hold());
    let origin =
        Origin::start(vec![Step::Serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec())]);
    let config = format!(
        "{HEAD}listen front\n bind 127.0.0.1:{}\n server s 127.0.0.1:{} proto h2\nlisten behind\n bind 127.0.0.1:{} \
         proto h2\n server s 127.0.0.1:{}\n",
        front.number, behind.number, behind.number, origin.port
    );
    let _program = Program::start(&under_test(), &directory, &config, &[front.number, behind.number]);
    let mut client = Client::connect(front.number);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = show(&client.response());
    assert!(answer.contains("content-length: 0"), "{answer}");
}

/// An origin that begins each answer and goes on for ever.
fn endless() -> Origin {
    let begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    Origin::start(vec![Step::Request, Step::Send(begin.to_vec()), Step::Eof])
}

#[test]
fn streams_that_a_client_resets_leave_their_servers() {
    let directory = Directory::new();
    let origin = endless();
    let (mut program, port) = proxy(&directory, &format!("server s 127.0.0.1:{}", origin.port));
    let mut client = H2Client::connect(port.number);
    let ids: Vec<u32> = (0..5).map(|_| client.send(&get("/"), b"")).collect();
    origin.wait_for("all requests", |r| r.iter().filter(|c| !c.bytes.is_empty()).count() == 5);
    for id in ids {
        client.codec.reset(id, ringway::proto::h2::ErrorCode::CANCEL, &mut client.out);
    }
    client.flush();
    for index in 0..5 {
        origin.ended(index);
    }
    let answer = client.send(&get("/"), b"");
    origin.wait_for("another request", |r| r.len() == 6);
    // Its connection's end is the end of its streams.
    drop((client, answer));
    origin.ended(5);
    program.assert_runs();
}

#[test]
fn streams_that_are_reset_at_once_reach_no_server() {
    let directory = Directory::new();
    let origin = endless();
    let (mut program, port) = proxy(&directory, &format!("server s 127.0.0.1:{}", origin.port));
    let mut client = H2Client::connect(port.number);
    for _ in 0..500 {
        let id = client.codec.open().expect("room for a stream");
        client.codec.send_head(id, &get("/reset"), true, &mut client.out);
        client.codec.reset(id, ringway::proto::h2::ErrorCode::CANCEL, &mut client.out);
    }
    // What is reset counts until its work has ended: behind it there is room again.
    client.codec.ping(&mut client.out);
    client.flush();
    while client.pongs == 0 && client.step() {}
    let last = client.send(&get("/last"), b"");
    wait_until("the last request", || origin.requests("/last") == 1);
    assert!(origin.connections() < 100, "{} connections", origin.connections());
    drop((client, last));
    program.assert_runs();
}

#[test]
fn who_reads_slowly_does_not_stop_others_on_a_shared_server_connection() {
    let directory = Directory::new();
    let (behind, front) = (Port::hold(), Port::hold());
    let large = pattern(300_000, 7);
    let origin = serving(&large);
    let config = format!(
        "{HEAD}listen front\n bind 127.0.0.1:{}\n http-reuse always\n server s 127.0.0.1:{} proto h2\nlisten behind\n \
         bind 127.0.0.1:{} proto h2\n http-request return status 200 content-type a/b string x if {{ path /x }}\n \
         server s 127.0.0.1:{}\n",
        front.number, behind.number, behind.number, origin.port
    );
    let config = config.replace("global\n", "global\n nbthread 1\n");
    let mut program = Program::start(&under_test(), &directory, &config, &[front.number, behind.number]);
    let mut slow = H2Client::connect(front.number);
    let ids: Vec<u32> = (0..60).map(|_| slow.send(&get("/large"), b"")).collect();
    wait_until("all requests", || origin.requests("/large") == 60);
    // Enough of them for all that the slow one may hold to arrive meanwhile.
    for _ in 0..100 {
        let mut other = Client::connect(front.number);
        other.send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(other.status(), 200);
    }
    for id in ids {
        let answer = slow.answer(id);
        assert!(answer.body == large, "{} bytes of {}", answer.body.len(), large.len());
    }
    program.assert_runs();
}

#[test]
fn interim_responses_wait_for_a_client_that_does_not_read() {
    let directory = Directory::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let (mut program, port) =
        proxy(&directory, &format!("server s 127.0.0.1:{}", listener.local_addr().expect("an address").port()));
    let mut client = H2Client::connect(port.number);
    client.send(&get("/"), b"");
    let (mut server, _) = listener.accept().expect("the proxy");
    server.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let hint = format!("HTTP/1.1 103 Early Hints\r\nLink: <{}>\r\n\r\n", "x".repeat(2000)).repeat(30);
    let mut sent = 0;
    while sent < 64 << 20 && server.write_all(hint.as_bytes()).is_ok() {
        sent += hint.len();
    }
    assert!(sent < 48 << 20, "{sent} bytes of interim responses were taken from the server and went nowhere");
    program.assert_runs();
}

#[test]
fn an_upgrade_waits_no_longer_than_a_response_for_a_server_that_says_nothing() {
    let directory = Directory::new();
    let origin = Origin::start(vec![Step::Eof]);
    let (_program, port) =
        proxy(&directory, &format!("timeout server 300ms\n retries 0\n server s 127.0.0.1:{} proto h2", origin.port));
    let mut client = Client::connect(port.number);
    client.send("GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_eq!(client.status(), 504);
}

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// The next frame on a server's side of a connection: type and stream.
fn frame(stream: &mut TcpStream) -> (u8, u32) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).expect("a frame");
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    stream.read_exact(&mut vec![0; length]).expect("its payload");
    (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]))
}

/// Takes a connection from a client that knows that this is HTTP/2, and its settings.
fn taken(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("a listener that tells");
    let mut accepted = None;
    wait_until("a connection", || {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let (mut stream, _) = accepted.expect("a connection");
    stream.set_nonblocking(false).expect("a connection to wait on");
    stream.set_read_timeout(Some(BOUND)).expect("a timeout");
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).expect("the preface");
    assert_eq!(frame(&mut stream).0, 4, "SETTINGS come first");
    stream
}

/// A connection whose time has come ends behind its last answer, and what the client says meanwhile does not destroy that on
/// its way.
#[test]
fn the_last_answer_reaches_a_client_that_goes_on_speaking() {
    let directory = Directory::new();
    let large = pattern(900_000, 7);
    let origin = serving(&large);
    let log = Syslog::udp();
    let port = Port::hold();
    let config = format!(
        "{HEAD}listen l\n bind 127.0.0.1:{}\n log {} local0\n option httplog\n server s 127.0.0.1:{}\n",
        port.number, log.address, origin.port
    )
    .replace("global\n", "global\n tune.h2.fe.max-total-streams 1\n");
    let _program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("a small buffer");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port.number)).into()).expect("a connection");
    socket.set_read_timeout(Some(BOUND)).expect("a timeout");
    let mut client = H2Client::with_window(TcpStream::from(socket), false, 1 << 20);
    let id = client.send(&get("/"), b"");
    // It has been told of the end, and has opened its window.
    while (client.ended.is_none() || client.received(id) == 0) && client.step() {}
    log.line();
    while client.received(id) < large.len() {
        client.codec.ping(&mut client.out);
        client.flush();
        if !client.step() {
            break;
        }
    }
    let answer = client.answer(id);
    assert_eq!((answer.end.as_deref(), answer.body.len()), (Some("complete"), large.len()));
    assert!(answer.body == large);
}

/// RFC 9113 §5.1.1: streams begin in the order of their numbers. Until a server has told what it takes, an upgrade waits.
#[test]
fn no_request_overtakes_an_upgrade_that_waits_on_its_connection() {
    let directory = Directory::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let server = listener.local_addr().expect("an address").port();
    let port = Port::hold();
    let config = format!(
        "{HEAD}listen l\n bind 127.0.0.1:{}\n http-reuse always\n server s 127.0.0.1:{server} proto h2\n",
        port.number
    )
    .replace("global\n", "global\n nbthread 1\n");
    let _program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let mut upgrade = Client::connect(port.number);
    upgrade.send(UPGRADE);
    let mut first = taken(&listener);
    let mut other = Client::connect(port.number);
    other.send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n");
    // It goes its own way.
    let mut second = taken(&listener);
    while frame(&mut second) != (1, 1) {}
    // SETTINGS that allow extended CONNECT.
    first.write_all(b"\0\0\x06\x04\0\0\0\0\0\0\x08\0\0\0\x01").expect("settings");
    while frame(&mut first) != (1, 1) {}
}

/// RFC 9113 §6.4: no RST_STREAM for a stream that has not begun.
#[test]
fn an_upgrade_that_gives_up_before_it_began_says_nothing_of_it() {
    let directory = Directory::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let server = listener.local_addr().expect("an address").port();
    let lines =
        format!("timeout server 300ms\n retries 0\n server s 127.0.0.1:{server} proto h2 pool-purge-delay 100ms");
    let (_program, port) = proxy(&directory, &lines);
    let mut client = Client::connect(port.number);
    client.send(UPGRADE);
    let mut first = taken(&listener);
    assert_eq!(client.status(), 504);
    // WINDOW_UPDATE of the connection may come, and GOAWAY when it is idle.
    let mut seen = Vec::new();
    while seen.last().is_none_or(|f: &(u8, u32)| f.0 != 7) {
        seen.push(frame(&mut first));
    }
    assert!(seen.iter().all(|f| f.1 == 0), "{seen:?}");
}
