//! Checks against scripted servers on loopback: what is sent, what is reported, what follows. Expectations are what
//! HAProxy 3.4.0 did with the same servers.

use super::run::{Target, run};
use super::script::Script;
use super::{CheckContext, start};
use crate::base::address::Address;
use crate::base::origin::Origin;
use crate::engine::driver::uring::Uring;
use crate::engine::task::sleep;
use crate::engine::{Reactor, Rt};
use crate::model::check::*;
use crate::model::plan::Plan;
use crate::model::proxy::{Mode, Proxy};
use crate::model::server::{AgentSettings, CheckSettings, SendProxy, Server};
use crate::model::state::board::Board;
use crate::model::state::event::Load;
use crate::model::state::health::CheckReport;
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;

/// A plan of one backend `b` with one checked server `s`.
pub fn plan_of(edit: impl FnOnce(&mut Proxy)) -> Plan {
    let mut proxy = Proxy::new("b", Origin::none(), false, true);
    let mut server = Server::new(Origin::none());
    server.name = "s".to_owned();
    server.id = 1;
    server.address = Some(Address::Ip("127.0.0.1:1".parse().unwrap()));
    server.check = Some(CheckSettings { inter_ms: 5000, ..Default::default() });
    proxy.backend.servers.push(server);
    edit(&mut proxy);
    Plan { proxies: vec![proxy], ..Plan::default() }
}

/// What a scripted server does with a connection.
#[derive(Clone, Copy)]
pub enum Part {
    /// Reads once.
    Take,
    Give(&'static [u8]),
    /// Gives so many bytes of `a`.
    Flood(usize),
    /// Waits until the other end is gone.
    Hold,
    Reset,
}

/// Serves one connection and tells what was received.
fn serve(mut stream: TcpStream, parts: &[Part]) -> Vec<u8> {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    for part in parts {
        match part {
            Part::Take => {
                let n = stream.read(&mut buffer).unwrap_or(0);
                received.extend_from_slice(&buffer[..n]);
            }
            Part::Give(bytes) => {
                let _ = stream.write_all(bytes);
            }
            Part::Flood(len) => {
                let _ = stream.write_all(&vec![b'a'; *len]);
            }
            Part::Hold => while stream.read(&mut buffer).is_ok_and(|n| n > 0) {},
            Part::Reset => {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
            }
        }
    }
    received
}

fn on_uring(test: impl AsyncFnOnce(Rt) + 'static) {
    let rt = Reactor::new(Box::new(Uring::new().expect("io_uring")));
    let done = Rc::new(Cell::new(false));
    let (flag, inner) = (done.clone(), rt.clone());
    rt.spawn(async move {
        test(inner).await;
        flag.set(true);
    });
    rt.run(|_| done.get());
    rt.shutdown();
    assert_eq!(rt.in_use(), (0, 0, 0));
}

/// Runs the backend's check once against the address of its server.
fn report_of(plan: Plan) -> CheckReport {
    let result = Rc::new(RefCell::new(None));
    let out = result.clone();
    on_uring(async move |rt| {
        let plan = Arc::new(plan);
        let board = Arc::new(Board::new(&plan, 1));
        let cx = CheckContext::new(rt, plan.clone(), board.clone(), Box::new(|_| {}), 1);
        let live = board.live.server(0, 0).unwrap();
        let settings = live.settings.check.as_ref().unwrap();
        let report = match Script::compile(&plan.proxies[0], &cx.plan.patterns).unwrap() {
            Some(script) => {
                let (address, port) = (settings.address, settings.port);
                let target = Target { proxy: 0, server: 0, live, settings, address, port, state: None };
                run(&cx, &target, &script).await
            }
            None => super::external::run(&cx, 0, 0, live, settings).await,
        };
        *out.borrow_mut() = Some(report);
    });
    result.take().unwrap()
}

/// `L7STS/500 Oops`.
fn short(report: &CheckReport) -> String {
    let code = if report.status.has_code() { format!("/{}", report.code) } else { String::new() };
    let info = if report.info.is_empty() { String::new() } else { format!(" {}", report.info) };
    format!("{}{code}{info}", report.status.name())
}

/// The report of a check of a server that does `parts`, and what the server was sent.
fn probe(parts: &'static [Part], edit: impl FnOnce(&mut Proxy)) -> (String, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || serve(listener.accept().unwrap().0, parts));
    let plan = plan_of(|p| {
        p.timeouts.check = Some(3000);
        p.backend.servers[0].address = Some(Address::Ip(address));
        edit(p);
    });
    let report = report_of(plan);
    (short(&report), server.join().unwrap())
}

/// The same with a short `timeout check`, for servers that keep silent.
fn probe_late(parts: &'static [Part], edit: impl FnOnce(&mut Proxy)) -> String {
    let edit = |p: &mut Proxy| {
        p.timeouts.check = Some(30);
        edit(p);
    };
    probe(parts, edit).0
}

/// A port that nobody listens on, for as long as the socket lives.
fn closed() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

const REFUSED: &str = "L4CON ECONNREFUSED returned by OS (Connection refused)";

fn probe_closed(edit: impl FnOnce(&mut Proxy)) -> String {
    let (_socket, address) = closed();
    short(&report_of(plan_of(|p| {
        p.backend.servers[0].address = Some(Address::Ip(address));
        edit(p);
    })))
}

fn kind(kind: CheckKind) -> impl FnOnce(&mut Proxy) {
    move |p| p.backend.check_kind = kind
}

fn httpchk(method: &str, uri: &str) -> CheckKind {
    CheckKind::Http(HttpRequest {
        method: method.to_owned(),
        uri: uri.to_owned(),
        version: None,
        hidden_headers: Vec::new(),
        host: None,
    })
}

fn step(action: CheckAction, comment: Option<&str>) -> CheckStep {
    CheckStep { origin: Origin::none(), comment: comment.map(str::to_owned), action }
}

fn expectation(pattern: CheckPattern) -> CheckExpect {
    CheckExpect {
        negated: false,
        pattern,
        min_recv: None,
        ok_status: None,
        error_status: None,
        timeout_status: None,
        on_success: None,
        on_error: None,
        status_code: None,
    }
}

fn string(text: &str) -> CheckPattern {
    CheckPattern::String(Text::Literal(text.to_owned()))
}

fn send(text: &str) -> CheckStep {
    step(CheckAction::Send(CheckSend::Text(Text::Literal(text.to_owned()))), None)
}

fn expect(pattern: CheckPattern) -> CheckStep {
    step(CheckAction::Expect(expectation(pattern)), None)
}

/// `option tcp-check` with these lines.
fn tcp(steps: Vec<CheckStep>) -> impl FnOnce(&mut Proxy) {
    move |p| {
        p.backend.check_kind = CheckKind::Tcp;
        p.backend.tcp_check.steps = steps;
    }
}

/// `option httpchk GET /h` with these lines.
fn http(steps: Vec<CheckStep>) -> impl FnOnce(&mut Proxy) {
    move |p| {
        p.mode = Mode::Http;
        p.backend.check_kind = httpchk("GET", "/h");
        p.backend.http_check.steps = steps;
    }
}

use Part::*;

#[test]
fn a_connect_is_enough_by_default() {
    assert_eq!(probe(&[Hold], |_| {}).0, "L4OK");
    assert_eq!(probe_closed(|_| {}), REFUSED);
    // A listener whose queue is full answers no SYN.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    socket2::SockRef::from(&full).listen(0).unwrap();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        })
        .collect();
    let late = |edit: fn(&mut Proxy)| {
        short(&report_of(plan_of(|p| {
            p.backend.servers[0].address = Some(Address::Ip(address));
            p.backend.servers[0].check = Some(CheckSettings { inter_ms: 40, ..Default::default() });
            edit(p);
        })))
    };
    assert_eq!(late(|_| {}), "L4TOUT");
    let place = "L4TOUT  at initial connection step of tcp-check";
    assert_eq!(late(|p| p.backend.check_kind = CheckKind::Tcp), place);
    drop(held);
}

#[test]
fn http_checks_judge_the_status() {
    let get = || http(Vec::new());
    let (report, sent) = probe(&[Take, Give(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Hold], get());
    assert_eq!((report.as_str(), &sent[..]), ("L7OK/200", &b"GET /h HTTP/1.0\r\n\r\n"[..]));
    let table: [(&'static [Part], &str); 13] = [
        (&[Take, Give(b"HTTP/1.0 302 Found\r\n\r\n")], "L7OK/302"),
        (&[Take, Give(b"HTTP/1.1 500 Oops, bad\r\nContent-Length: 0\r\n\r\n")], "L7STS/500 Oops, bad"),
        (&[Take, Give(b"HTTP/1.0 404 Not Found\r\n\r\n")], "L7STS/404 Not Found"),
        (&[Take, Give(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")], "L7STS/100 Continue"),
        (&[Take, Give(b"HTTP/1.1 503\r\n\r\n")], "L7STS/503 TCPCHK did not match content(status codes) at step 2"),
        (&[Take], "SOCKERR"),
        (&[Take, Give(b"\x00\x01garbage\r\n\r\n")], "SOCKERR"),
        (&[Take, Give(b"HTTP/1.1 200 OK\r\nFoo: b")], "SOCKERR"),
        (&[Take, Give(b"HTTP/1.1 200 OK\r\nFoo bar\r\n\r\n")], "SOCKERR"),
        (&[Take, Give(b"HTTP/1.1 200 OK\r\nX: "), Flood(10 << 20)], "SOCKERR"),
        (&[Take, Give(b"HTTP/1.1 200 OK\r\n\r\n"), Flood(10 << 20)], "L7OK/200"),
        (&[Take, Reset], "SOCKERR ECONNRESET returned by OS (Connection reset by peer)"),
        (&[Take, Give(b"garbage without end"), Hold], "SOCKERR"),
    ];
    for (i, (parts, report)) in table.into_iter().enumerate() {
        assert_eq!(probe(parts, get()).0, report, "case {i}");
    }
    assert_eq!(probe_closed(get()), REFUSED);
    assert_eq!(probe_late(&[Hold], get()), "L7TOUT");
    assert_eq!(probe_late(&[Take, Give(b"HTTP/1.1 200 OK\r\nFoo: b"), Hold], get()), "L7TOUT");
}

const HELLO: &[Part] = &[Take, Give(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Hold];
const NAMELESS: &[Part] = &[Take, Give(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"), Hold];

fn status(low: u16, high: u16) -> CheckPattern {
    CheckPattern::Status(vec![(low, high)])
}

fn not(pattern: CheckPattern) -> CheckStep {
    step(CheckAction::Expect(CheckExpect { negated: true, ..expectation(pattern) }), None)
}

#[test]
fn http_check_expect_judges_status_fields_and_body() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    let field = |text: &str| CheckPattern::Header { full: false, words: words(text) };
    let regex = |text: &str| CheckPattern::Regex(text.to_owned());
    let table = [
        (HELLO, expect(status(200, 299)), "L7OK/200"),
        (HELLO, expect(status(300, 310)), "L7STS/200 OK"),
        (HELLO, not(status(200, 200)), "L7STS/200 OK"),
        (HELLO, expect(CheckPattern::StatusRegex("^2".to_owned())), "L7OK/200"),
        (HELLO, expect(CheckPattern::StatusRegex("^3".to_owned())), "L7STS/200 OK"),
        (HELLO, expect(string("hello")), "L7OK/200"),
        (HELLO, expect(string("nope")), "L7RSP HTTP content check did not match"),
        (HELLO, not(string("hell")), "L7RSP HTTP check matched unwanted content"),
        (HELLO, not(string("zz")), "L7OK/200"),
        (HELLO, expect(regex("^h.l")), "L7OK/200"),
        (HELLO, expect(regex("^n")), "L7RSP HTTP content check did not match"),
        (HELLO, expect(field("name content-length value 5")), "L7OK/200"),
        (HELLO, expect(field("name x-y")), "L7STS/200 OK"),
        (NAMELESS, expect(status(201, 201)), "L7STS/200 TCPCHK did not match content(status codes) at step 1"),
        (NAMELESS, expect(field("name x-y")), "L7STS/200 TCPCHK did not match content (header pattern) at step 1"),
        (
            NAMELESS,
            expect(CheckPattern::StatusRegex("^3".to_owned())),
            "L7STS/200 TCPCHK did not match content (regex) at step 1",
        ),
    ];
    for (parts, line, report) in table {
        let told = format!("{line:?}");
        assert_eq!(probe(parts, http(vec![line])).0, report, "{told}");
    }
    let body = |parts| probe(parts, http(vec![expect(string("hello"))])).0;
    let missed = "L7RSP HTTP content check did not match";
    assert_eq!(body(&[Take, Give(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhel")]), missed);
    assert_eq!(body(&[Take, Give(b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n"), Flood(10 << 20)]), missed);
    let none = "L7RSP HTTP content check could not find a response body";
    assert_eq!(body(&[Take, Give(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Hold]), none);
    let chunked =
        &[Take, Give(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), Hold];
    assert_eq!(body(chunked), "L7OK/200");
    let broken = &[Take, Give(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nheXX")];
    assert_eq!(body(broken), "L7RSP TCPCHK did not match content 'hello' at step 1");
    let two = http(vec![expect(status(200, 200)), expect(string("nope"))]);
    assert_eq!(probe(HELLO, two).0, missed);
}

#[test]
fn statuses_codes_and_texts_can_be_chosen() {
    let with = |edit: fn(&mut CheckExpect), pattern| {
        let mut e = expectation(pattern);
        edit(&mut e);
        probe(HELLO, http(vec![step(CheckAction::Expect(e), None)])).0
    };
    assert_eq!(with(|e| e.ok_status = Some("L6OK".to_owned()), status(200, 200)), "L6OK");
    assert_eq!(with(|e| e.error_status = Some("L4CON".to_owned()), status(201, 201)), "L4CON OK");
    assert_eq!(with(|e| e.on_success = Some("fine %[int(3)] x".to_owned()), status(200, 200)), "L7OK/200 fine 3 x");
    assert_eq!(with(|e| e.on_error = Some("bad %[int(17)]".to_owned()), status(201, 201)), "L7STS/200 bad 17");
    assert_eq!(with(|e| e.status_code = Some("int(77)".to_owned()), status(200, 200)), "L7OK/77");
    let told = http(vec![step(CheckAction::Expect(expectation(status(201, 201))), Some("mycomment"))]);
    assert_eq!(probe(HELLO, told).0, "L7STS/200 OK comment: mycomment");
}

#[test]
fn http_check_send_builds_the_request() {
    let request = |method: Option<&str>, uri: Option<Text>, version: Option<&str>, headers: &[(&str, &str)], body| {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (method, version) = (method.map(str::to_owned), version.map(str::to_owned));
        step(CheckAction::Send(CheckSend::Http { method, uri, version, headers, body }), None)
    };
    let uri = Some(Text::Format("/%[str(q)]".to_owned()));
    let body = Some(Text::Format("abc%[str(d)]".to_owned()));
    let line = request(Some("POST"), uri, Some("HTTP/1.1"), &[("Host", "%[str(x)]"), ("X-A", "b c")], body);
    let (report, sent) = probe(HELLO, http(vec![line]));
    assert_eq!(report, "L7OK/200");
    let expected = b"POST /q HTTP/1.1\r\nhost: x\r\nx-a: b c\r\ncontent-length: 4\r\nconnection: close\r\n\r\nabcd";
    assert_eq!(String::from_utf8_lossy(&sent), String::from_utf8_lossy(expected));
    let line = request(None, None, None, &[("X", "1")], None);
    let sent = probe(HELLO, |p| {
        http(vec![line])(p);
        p.backend.check_kind = CheckKind::Http(HttpRequest {
            method: "HEAD".to_owned(),
            uri: "/".to_owned(),
            version: Some("HTTP/1.0".to_owned()),
            hidden_headers: vec!["User-agent: osa".to_owned()],
            host: None,
        });
    });
    assert_eq!(String::from_utf8_lossy(&sent.1), "HEAD / HTTP/1.0\r\nx: 1\r\n\r\n");
    // What openstack-ansible writes: header lines behind the version.
    let (_, sent) = probe(HELLO, |p| {
        p.backend.check_kind = CheckKind::Http(HttpRequest {
            method: "HEAD".to_owned(),
            uri: "/".to_owned(),
            version: Some("HTTP/1.0".to_owned()),
            hidden_headers: vec!["User-agent: osa".to_owned()],
            host: None,
        });
    });
    assert_eq!(String::from_utf8_lossy(&sent), "HEAD / HTTP/1.0\r\nuser-agent: osa\r\n\r\n");
}

#[test]
fn disable_on_404_passes_conditionally() {
    let parts: &[Part] = &[Take, Give(b"HTTP/1.0 404 Not Found\r\n\r\n")];
    let (report, _) = probe(parts, |p| {
        http(Vec::new())(p);
        p.backend.http_check.disable_on_404 = true;
    });
    assert_eq!(report, "L7OKC/404");
}

#[test]
fn variables_live_from_step_to_step() {
    let name = "check.a".to_owned();
    let set = CheckAction::SetVar { name: name.clone(), format: false, value: "str(zz)".to_owned() };
    let text = Text::Format("q%[var(check.a)]".to_owned());
    let steps = vec![
        step(set, None),
        step(CheckAction::Send(CheckSend::Text(text.clone())), None),
        expect(CheckPattern::String(text)),
    ];
    let (report, sent) = probe(&[Take, Give(b"-qzz-"), Hold], tcp(steps));
    assert_eq!((report.as_str(), &sent[..]), ("L7OK/0 (tcp-check)", &b"qzz"[..]));
}

#[test]
fn tcp_check_connects_sends_and_expects() {
    let ping = |last| tcp(vec![send("PING\r\n"), last]);
    let pong: &[Part] = &[Take, Give(b"+PONG"), Hold];
    let (report, sent) = probe(pong, ping(expect(string("+PONG"))));
    assert_eq!((report.as_str(), &sent[..]), ("L7OK/0 (tcp-check)", &b"PING\r\n"[..]));
    let answered: &[Part] = &[Take, Give(b"+PONG")];
    let table = [
        (expect(string("-ERR")), "L7RSP TCPCHK did not match content '-ERR' at step 2"),
        (not(string("PO")), "L7RSP TCPCHK matched unwanted content 'PO' at step 2"),
        (expect(CheckPattern::Regex("^P".to_owned())), "L7RSP TCPCHK did not match content (regex) at step 2"),
        (expect(CheckPattern::Regex("^.P".to_owned())), "L7OK/0 (tcp-check)"),
        (expect(CheckPattern::Binary(vec![0x2b, 0x50])), "L7OK/0 (tcp-check)"),
        (expect(CheckPattern::Binary(vec![0x2b, 0x51])), "L7RSP TCPCHK did not match content (binary) at step 2"),
        (expect(CheckPattern::BinaryRegex("^2B50".to_owned())), "L7OK/0 (tcp-check)"),
        (not(CheckPattern::BinaryRegex("^2B50".to_owned())), {
            "L7RSP TCPCHK matched unwanted content (binary regex) at step 2"
        }),
        (
            expect(CheckPattern::String(Text::Format("%[str(pp)]".to_owned()))),
            "L7RSP TCPCHK did not match content (log-format string) at step 2",
        ),
        (
            expect(CheckPattern::BinaryFormat("%[str(2b51)]".to_owned())),
            "L7RSP TCPCHK did not match content (log-format binary) at step 2",
        ),
        (
            step(CheckAction::Expect(expectation(string("A"))), Some("looks for A")),
            "L7RSP TCPCHK did not match content 'A' at step 2 comment: looks for A",
        ),
    ];
    for (line, report) in table {
        let told = format!("{line:?}");
        assert_eq!(probe(answered, ping(line)).0, report, "{told}");
    }
    let lost = ping(expect(string("ZZ")));
    assert_eq!(probe(&[Take, Flood(10 << 20)], lost).0, "L7RSP TCPCHK did not match content 'ZZ' at step 2");
    let none = ping(expect(string("A")));
    assert_eq!(probe(&[Take], none).0, "L7RSP TCPCHK got an empty response at step 2");
    let reset =
        "SOCKERR ECONNRESET returned by OS (Connection reset by peer) at step 2 of tcp-check (expect string 'A')";
    assert_eq!(probe(&[Take, Reset], ping(expect(string("A")))).0, reset);
}

#[test]
fn tcp_check_tells_the_step_that_failed() {
    let refused = |place: &str| format!("{REFUSED}{place}");
    assert_eq!(probe_closed(tcp(Vec::new())), refused(" at initial connection step of tcp-check"));
    let connect = |comment| step(CheckAction::Connect(CheckConnect::default()), comment);
    assert_eq!(probe_closed(tcp(vec![connect(None)])), refused(" at step 1 of tcp-check (connect)"));
    let told = refused(" at step 1 of tcp-check (connect) comment: 'to db'");
    assert_eq!(probe_closed(tcp(vec![connect(Some("to db"))])), told);
    let (_socket, address) = closed();
    let port = Some(address.port().to_string());
    let elsewhere = step(CheckAction::Connect(CheckConnect { port, ..CheckConnect::default() }), None);
    let told = refused(&format!(" at step 2 of tcp-check (connect port {})", address.port()));
    assert_eq!(probe(&[Hold], tcp(vec![connect(None), elsewhere])).0, told);
    assert_eq!(probe(&[Hold], tcp(Vec::new())).0, "L4OK");
    assert_eq!(probe(&[Hold], tcp(vec![connect(None)])).0, "L4OK (tcp-check)");
    assert_eq!(probe(&[Take, Hold], tcp(vec![send("x")])).0, "L7OK/0 (tcp-check)");
    let late = |steps| probe_late(&[Hold], tcp(steps));
    assert_eq!(late(vec![expect(string("A"))]), "L7TOUT  at step 1 of tcp-check (expect string 'A')");
    let comment = step(CheckAction::Comment, Some("hello"));
    assert_eq!(
        late(vec![comment, expect(CheckPattern::Regex("A".to_owned()))]),
        "L7TOUT  at step 2 of tcp-check (expect regex) comment: 'hello'"
    );
    assert_eq!(late(vec![expect(CheckPattern::Binary(vec![0x2b, 0x51]))]), {
        "L7TOUT  at step 1 of tcp-check (expect binary '2B51')"
    });
    let both: &[Part] = &[Give(b"abcd"), Hold];
    assert_eq!(probe(both, tcp(vec![expect(string("ab")), expect(string("cd"))])).0, "L7OK/0 (tcp-check)");
    // What was there before a send is forgotten.
    let again = tcp(vec![expect(string("ab")), send("x"), expect(string("ab"))]);
    assert_eq!(probe_late(both, again), "L7TOUT  at step 3 of tcp-check (expect string 'ab')");
}

/// `passes`, then closed port, silence, garbage, half an answer, ten megabytes, nothing.
fn one_of_each(check: CheckKind, passes: &'static [Part], ok: &str, failures: [(&'static [Part], &str); 4]) {
    assert_eq!(probe(passes, kind(check.clone())).0, ok);
    assert_eq!(probe_closed(kind(check.clone())), REFUSED);
    let late = if check == CheckKind::SslHello { "L6TOUT" } else { "L7TOUT" };
    assert_eq!(probe_late(&[Hold], kind(check.clone())), late);
    for (i, (parts, report)) in failures.into_iter().enumerate() {
        assert_eq!(probe(parts, kind(check.clone())).0, report, "{check:?} {i}");
    }
}

/// 127 bytes of `a`.
fn long_a(head: &str) -> String {
    format!("{head}{}", "a".repeat(127))
}

#[test]
fn redis_check() {
    let long = long_a("L7STS/0 ");
    let failures: [(&'static [Part], &str); 4] = [
        (&[Take, Give(b"garbage garbage")], "L7STS/0 garbage garbage"),
        (&[Take, Give(b"+PO")], "L7STS/0 +PO"),
        (&[Take, Flood(10 << 20)], &long),
        (&[Take], "L7STS/0"),
    ];
    one_of_each(CheckKind::Redis, &[Take, Give(b"+PONG\r\n"), Hold], "L7OK/0 Redis server is ok", failures);
}

#[test]
fn pgsql_check() {
    let failures: [(&'static [Part], &str); 4] = [
        (&[Take, Give(b"garbage garbage")], "L7STS/0 PostgreSQL unknown error"),
        (&[Take, Give(b"R\0\0")], "L7STS/0 PostgreSQL unknown error"),
        (&[Take, Flood(10 << 20)], "L7STS/0 PostgreSQL unknown error"),
        (&[Take], "L7STS/0 PostgreSQL unknown error"),
    ];
    let passes: &[Part] = &[Take, Give(b"R\0\0\0\x0c\0\0\0\x05abcd"), Hold];
    let check = CheckKind::Pgsql { user: "foo".to_owned() };
    one_of_each(check, passes, "L7OK/0 PostgreSQL server is ok", failures);
}

#[test]
fn mysql_check() {
    const HANDSHAKE: &[u8] = b"\x0a\x00\x00\x00\x0a5.5.5-x\0\x01";
    let failures: [(&'static [Part], &str); 4] = [
        (&[Give(b"garbage\r\n")], "L7RSP"),
        (&[Give(b"\x0a\x00\x00\x00\x0a5.")], "L7RSP"),
        (&[Give(b"\xff\xff\xff\x00"), Flood(10 << 20)], "L7RSP"),
        (&[], "L7RSP"),
    ];
    let passes: &[Part] = &[Give(HANDSHAKE), Take, Give(b"\x07\0\0\x02\0\0\0\x02\0\0\0"), Hold];
    let check = || CheckKind::Mysql { user: Some("haproxy".to_owned()), version: MysqlVersion::Post41 };
    one_of_each(check(), passes, "L7OK/0", failures);
    let refused: &[Part] = &[Give(HANDSHAKE), Take, Give(b"\x10\0\0\x02\xff\x15\x04Access denied"), Hold];
    assert_eq!(probe(refused, kind(check())).0, "L7STS/1045 Access denied");
    assert_eq!(probe(&[Give(HANDSHAKE), Take], kind(check())).0, "L7RSP");
    let alone = CheckKind::Mysql { user: None, version: MysqlVersion::Post41 };
    assert_eq!(probe(&[Give(HANDSHAKE), Hold], kind(alone)).0, "L7OK/0");
}

#[test]
fn smtp_check() {
    let long = format!("L7RSP 220-{}", "a".repeat(123));
    let failures: [(&'static [Part], &str); 4] = [
        (&[Give(b"garbage\r\n")], "L7RSP garbage"),
        (&[Give(b"22")], "L7RSP 22"),
        (&[Give(b"220-"), Flood(10 << 20)], &long),
        (&[], "L7RSP"),
    ];
    let check = || CheckKind::Smtp { hello: "EHLO".to_owned(), domain: "example.org".to_owned() };
    let passes: &[Part] =
        &[Give(b"220 hi\r\n"), Take, Give(b"250-x\r\n250 ok\r\n"), Take, Give(b"221 bye\r\n"), Hold];
    one_of_each(check(), passes, "L7OK/221 bye", failures);
    let (_, sent) = probe(passes, kind(check()));
    assert_eq!(String::from_utf8_lossy(&sent), "EHLO example.org\r\nQUIT\r\n");
    assert_eq!(probe(&[Give(b"421 busy now\r\n"), Hold], kind(check())).0, "L7STS/421 busy now");
    assert_eq!(probe_late(&[Give(b"220 hi\r\n"), Take, Give(b"500 no way\r\n"), Hold], kind(check())), "L7TOUT");
}

#[test]
fn ldap_check() {
    let failures: [(&'static [Part], &str); 4] = [
        (&[Take, Give(b"garbagegarbagegarbage")], "L7RSP Not LDAPv3 protocol"),
        (&[Take, Give(b"0\x0c\x02")], "L7RSP"),
        (&[Take, Flood(10 << 20)], "L7RSP Not LDAPv3 protocol"),
        (&[Take], "L7RSP Not LDAPv3 protocol"),
    ];
    let passes: &[Part] = &[Take, Give(b"0\x0c\x02\x01\x01a\x07\x0a\x01\x00\x04\x00\x04\x00"), Hold];
    one_of_each(CheckKind::Ldap, passes, "L7OK/0", failures);
}

#[test]
fn ssl_hello_check() {
    let failures: [(&'static [Part], &str); 4] = [
        (&[Take, Give(b"HTTP/1.1 400 Bad\r\n\r\n")], "L6RSP"),
        (&[Take, Give(b"\x16\x03")], "L6OK"),
        (&[Take, Flood(10 << 20)], "L6RSP"),
        (&[Take], "L6RSP TCPCHK got an empty response at step 2"),
    ];
    one_of_each(CheckKind::SslHello, &[Take, Give(b"\x15\x03\0\0\x02\x02\x28"), Hold], "L6OK", failures);
}

#[test]
fn spop_check() {
    let failures: [(&'static [Part], &str); 4] = [
        (&[Take, Give(b"garbage garbage")], "L7RSP invalid frame received"),
        (&[Take, Give(b"\0\0")], "L7RSP invalid frame received"),
        (&[Take, Flood(10 << 20)], "L7RSP invalid frame received"),
        (&[Take], "L7RSP TCPCHK got an empty response at step 3"),
    ];
    let passes: &[Part] = &[Take, Give(b"\0\0\0\x14\x65\0\0\0\x01\0\0\x07version\x08\x032.0"), Hold];
    one_of_each(CheckKind::Spop, passes, "L7OK/0", failures);
}

#[test]
fn a_path_that_leads_nowhere_is_a_socket_error() {
    let report =
        report_of(plan_of(|p| p.backend.servers[0].address = Some(Address::Unix("/nonexistent/x.sock".into()))));
    assert_eq!(short(&report), "SOCKERR General socket error (No such file or directory)");
}

#[test]
fn proxy_protocol_goes_in_front_of_checks() {
    let sent = |edit: fn(&mut Server)| {
        let (report, sent) = probe(HELLO, |p| {
            http(Vec::new())(p);
            edit(&mut p.backend.servers[0]);
        });
        assert_eq!(report, "L7OK/200");
        String::from_utf8_lossy(&sent).into_owned()
    };
    let by_check = sent(|s| s.check.as_mut().unwrap().send_proxy = true);
    assert!(by_check.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{by_check}");
    let by_line = sent(|s| s.send_proxy = Some(SendProxy::default()));
    assert!(by_line.starts_with("PROXY TCP4 "), "{by_line}");
    let v2 = sent(|s| s.send_proxy = Some(SendProxy { v2: true, ..SendProxy::default() }));
    assert!(v2.starts_with("\r\n\r\n\0\r\nQUIT\n \0\0\0GET /h"), "{v2:?}");
    // A check that goes elsewhere is not for the server's own listener.
    let elsewhere = sent(|s| {
        s.send_proxy = Some(SendProxy::default());
        s.check.as_mut().unwrap().address = Some("127.0.0.1".parse().unwrap());
    });
    assert!(elsewhere.starts_with("GET /h"), "{elsewhere}");
}

#[test]
fn tls_without_settings_fails_as_a_handshake() {
    let (report, _) = probe(&[Hold], |p| p.backend.servers[0].check.as_mut().unwrap().ssl = true);
    assert_eq!(report, "L6RSP SSL handshake failure");
}

/// A TLS server for one connection: takes a request, gives a response. What it received.
fn serve_tls(listener: TcpListener) -> Vec<u8> {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let mut config =
        rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut session = rustls::ServerConnection::new(Arc::new(config)).unwrap();
    let mut stream = listener.accept().unwrap().0;
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    let mut buffer = [0; 4096];
    let n = tls.read(&mut buffer).unwrap_or(0);
    let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let _ = tls.flush();
    while tls.read(&mut buffer[n..]).is_ok_and(|n| n > 0) {}
    let mut received = session.alpn_protocol().unwrap_or_default().to_vec();
    received.extend_from_slice(session.server_name().unwrap_or_default().as_bytes());
    received.push(b' ');
    received.extend_from_slice(&buffer[..n]);
    received
}

/// As a server line with `verify none` makes it.
fn unverified() -> Option<crate::model::credentials::Shared<crate::proto::tls::client::ClientSettings>> {
    use crate::model::certificates::{server, store::Store};
    use crate::model::tls::{ServerTls, ServerVerify, TlsGlobal};
    let words = ServerTls { verify: ServerVerify::None, ..ServerTls::default() };
    let store = Store::new(Default::default());
    let (settings, _) = server::settings(&words, true, &TlsGlobal::default(), &store).ok().unwrap();
    Some(crate::model::credentials::Shared(Arc::new(settings)))
}

#[test]
fn checks_go_through_tls() {
    let ask = |edit: &dyn Fn(&mut Proxy)| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || serve_tls(listener));
        let report = report_of(plan_of(|p| {
            p.timeouts.check = Some(5000);
            http(vec![expect(string("hello"))])(p);
            p.backend.servers[0].address = Some(Address::Ip(address));
            p.backend.servers[0].tls_check = unverified();
            edit(p);
        }));
        (short(&report), String::from_utf8_lossy(&server.join().unwrap()).into_owned())
    };
    let by_check = ask(&|p| {
        p.backend.servers[0].check.as_mut().unwrap().ssl = true;
        p.backend.servers[0].tls.check_sni = Some("check.test".to_owned());
    });
    assert_eq!(by_check, ("L7OK/200".to_owned(), "check.test GET /h HTTP/1.0\r\n\r\n".to_owned()));
    let by_server = ask(&|p| p.backend.servers[0].ssl = true);
    assert_eq!(by_server, ("L7OK/200".to_owned(), " GET /h HTTP/1.0\r\n\r\n".to_owned()));
    let by_rule = ask(&|p| {
        let (sni, alpn) = (Some("rule.test".to_owned()), Some("h2,http/1.1".to_owned()));
        let connect = CheckConnect { ssl: true, sni, alpn, ..CheckConnect::default() };
        p.backend.http_check.steps.insert(0, step(CheckAction::Connect(connect), None));
    });
    assert_eq!(by_rule, ("L7OK/200".to_owned(), "http/1.1rule.test GET /h HTTP/1.0\r\n\r\n".to_owned()));
    let alone = ask(&|p| {
        p.backend.check_kind = CheckKind::Connect;
        p.backend.servers[0].check.as_mut().unwrap().ssl = true;
    });
    assert_eq!(alone.0, "L6OK");
}

#[test]
fn a_server_that_speaks_no_tls_fails_the_handshake() {
    let check = |parts, check_ms| {
        probe(parts, |p| {
            p.timeouts.check = Some(3000);
            let s = &mut p.backend.servers[0];
            s.tls_check = unverified();
            s.check = Some(CheckSettings { ssl: true, inter_ms: check_ms, ..Default::default() });
        })
        .0
    };
    let failed = "L6RSP SSL handshake failure";
    assert_eq!(check(&[Take, Give(b"garbage\r\n\r\n"), Hold], 5000), failed);
    assert_eq!(check(&[Take, Give(b"\x16\x03")], 5000), failed);
    assert_eq!(check(&[Take, Flood(10 << 20)], 5000), failed);
    assert_eq!(check(&[], 5000), failed);
    assert_eq!(check(&[Hold], 40), "L6TOUT");
}

/// The report of `sh -c <script>` as an external check.
fn external(script: &str, inter_ms: u64) -> String {
    let dir = std::env::temp_dir().join(format!("ringway-check-{}-{:?}", std::process::id(), thread::current().id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("check.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let report = report_of(plan_of(|p| {
        p.backend.check_kind = CheckKind::External;
        p.backend.external_check =
            ExternalCheck { command: Some(path.display().to_string()), path: Some("/usr/bin:/bin".to_owned()) };
        p.backend.servers[0].check = Some(CheckSettings { inter_ms, ..Default::default() });
        p.backend.servers[0].maxconn = 7;
    }));
    let _ = std::fs::remove_dir_all(&dir);
    short(&report)
}

#[test]
fn external_check_is_judged_by_its_exit_code() {
    assert_eq!(external("exit 0", 5000), "PROCOK/0");
    assert_eq!(external("exit 3", 5000), "PROCERR/3");
    assert_eq!(external("kill -9 $$", 5000), "PROCERR/255 killed by signal 9");
    assert_eq!(external("exec sleep 600", 40), "PROCTOUT/0");
    let missing = report_of(plan_of(|p| {
        p.backend.check_kind = CheckKind::External;
        p.backend.external_check.command = Some("/nonexistent/check".to_owned());
    }));
    assert_eq!(short(&missing), "PROCERR/255 No such file or directory");
}

#[test]
fn external_check_has_haproxy_s_arguments_and_environment() {
    let words = "[ \"$*\" = 'NOT_USED NOT_USED 127.0.0.1 1' ] || exit 10";
    let environment = "[ \"$(env | grep -v -e '^_=' -e '^SHLVL=' -e '^OLDPWD=' | sort | tr '\\n' ' ')\" = \
                       \"HAPROXY_PROXY_ADDR= HAPROXY_PROXY_ID=0 HAPROXY_PROXY_NAME=b HAPROXY_PROXY_PORT= \
                       HAPROXY_SERVER_ADDR=127.0.0.1 HAPROXY_SERVER_CURCONN=0 HAPROXY_SERVER_ID=1 \
                       HAPROXY_SERVER_MAXCONN=7 HAPROXY_SERVER_NAME=s HAPROXY_SERVER_PORT=1 HAPROXY_SERVER_PROTO=tcp \
                       HAPROXY_SERVER_SSL=0 PATH=/usr/bin:/bin PWD=$PWD \" ] || exit 11";
    assert_eq!(external(&format!("export LC_ALL=C; unset LC_ALL\n{words}\n{environment}"), 5000), "PROCOK/0");
}

/// A server that takes connection after connection; each runs the parts that `next` hands out.
fn keep_serving(parts: Vec<&'static [Part]>) -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for parts in parts {
            let Ok((stream, _)) = listener.accept() else { return };
            let _ = tell.send(serve(stream, parts));
        }
    });
    (address, told)
}

/// Runs all checks of a plan until `until` of the sentences told is true, and gives the sentences.
fn sentences(plan: Plan, until: impl Fn(&[String]) -> bool + 'static) -> Vec<String> {
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    let out = told.clone();
    on_uring(async move |rt| {
        let plan = Arc::new(plan);
        let board = Arc::new(Board::new(&plan, 1));
        let sink = out.clone();
        let on_events = Box::new(move |events: Vec<crate::model::state::event::Event>| {
            sink.borrow_mut().extend(events.iter().map(|e| e.text(Load::default())));
        });
        let cx = Rc::new(CheckContext::new(rt.clone(), plan, board, on_events, 1));
        let handle = start(cx).ok().unwrap();
        while !until(&out.borrow()) {
            sleep(&rt, 1).await;
        }
        drop(handle);
    });
    told.take()
}

/// Without what no two runs have in common.
fn timeless(sentence: &str) -> String {
    match (sentence.find("check duration: "), sentence.find("ms")) {
        (Some(from), Some(_)) => {
            let to = sentence[from..].find("ms").map_or(sentence.len(), |at| from + at + 2);
            format!("{}D{}", &sentence[..from], &sentence[to..])
        }
        _ => sentence.to_owned(),
    }
}

#[test]
fn a_server_goes_down_after_fall_failures_and_up_after_rise_passes() {
    const OK: &[Part] = &[Take, Give(b"HTTP/1.0 200 OK\r\n\r\n")];
    const BAD: &[Part] = &[Take, Give(b"HTTP/1.0 500 Oops\r\n\r\n")];
    let (address, _told) = keep_serving(vec![OK, BAD, BAD, BAD, OK, OK, OK, OK, OK, OK]);
    let plan = plan_of(|p| {
        http(Vec::new())(p);
        p.timeouts.check = Some(3000);
        let s = &mut p.backend.servers[0];
        s.address = Some(Address::Ip(address));
        s.check = Some(CheckSettings { inter_ms: 3, ..Default::default() });
    });
    let told = sentences(plan, |told| told.len() == 3);
    let told: Vec<String> = told.iter().map(|s| timeless(s)).collect();
    assert_eq!(
        told,
        [
            "Server b/s is DOWN, reason: Layer7 wrong status, code: 500, info: \"Oops\", D. 0 active and 0 backup servers \
         left. 0 sessions active, 0 requeued, 0 remaining in queue.",
            "backend b has no server available!",
            "Server b/s is UP, reason: Layer7 check passed, code: 200, D. 1 active and 0 backup servers online. 0 sessions \
         requeued, 0 total in queue.",
        ]
    );
}

#[test]
fn log_health_checks_tells_every_change() {
    let (_socket, address) = closed();
    let plan = plan_of(|p| {
        p.options.log_health_checks = true;
        let s = &mut p.backend.servers[0];
        s.address = Some(Address::Ip(address));
        s.backup = true;
        s.check = Some(CheckSettings { inter_ms: 3, ..Default::default() });
    });
    let told: Vec<String> = sentences(plan, |told| told.len() == 3).iter().map(|s| timeless(s)).collect();
    assert_eq!(
        told,
        [
            "Health check for backup server b/s failed, reason: Layer4 connection problem, info: \"ECONNREFUSED returned by \
         OS (Connection refused)\", D, status: 0/2 DOWN.",
            "Backup Server b/s is DOWN. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in \
         queue.",
            "backend b has no server available!",
        ]
    );
}

#[test]
fn an_agent_moves_state_and_weight() {
    let (address, questions) = keep_serving(vec![
        &[Take, Give(b"up 50% maxconn:9\n")],
        &[Take, Give(b"down #over\n")],
        &[Take, Give(b"up\n")],
        &[Take, Give(b"maint\n")],
        &[Take, Hold],
    ]);
    let weights: Rc<RefCell<Vec<(u32, u32)>>> = Rc::default();
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    let (out, seen) = (told.clone(), weights.clone());
    on_uring(async move |rt| {
        let plan = Arc::new(plan_of(|p| {
            let s = &mut p.backend.servers[0];
            s.check = None;
            s.weight = 10;
            let send = Some("who\n".to_owned());
            s.address = Some(Address::Ip(address));
            // The interval bounds the answer too, where there is no `timeout check`.
            p.timeouts.check = Some(3000);
            let s = &mut p.backend.servers[0];
            s.agent = Some(AgentSettings { port: address.port(), address: None, inter_ms: 3, send });
        }));
        let board = Arc::new(Board::new(&plan, 1));
        let (sink, watched) = (out.clone(), board.clone());
        let on_events = Box::new(move |events: Vec<crate::model::state::event::Event>| {
            sink.borrow_mut().extend(events.iter().map(|e| e.text(Load::default())));
            let s = watched.live.server(0, 0).unwrap();
            seen.borrow_mut().push((s.user_weight(), s.maxconn()));
        });
        let cx = Rc::new(CheckContext::new(rt.clone(), plan, board, on_events, 1));
        let handle = start(cx).ok().unwrap();
        while out.borrow().len() < 5 {
            sleep(&rt, 1).await;
        }
        drop(handle);
    });
    assert_eq!(questions.recv().unwrap(), b"who\n");
    let told: Vec<String> = told.take().iter().map(|s| timeless(s)).collect();
    assert_eq!(
        told,
        [
            "Server b/s is DOWN, reason: Layer7 wrong status, code: 0, info: \"via agent : down (over)\", D. 0 active and 0 \
         backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
            "backend b has no server available!",
            "Server b/s is UP, reason: Layer7 check passed, code: 0, info: \"via agent : up\", D. 1 active and 0 backup \
         servers online. 0 sessions requeued, 0 total in queue.",
            "Server b/s is going DOWN for maintenance. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 \
         remaining in queue.",
            "backend b has no server available!",
        ]
    );
    assert_eq!(weights.take(), [(5, 9); 3]);
}
