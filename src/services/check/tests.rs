//! Checks against scripted servers on loopback: what is sent, what is reported, what follows. Expectations are what
//! HAProxy 3.4.0 did with the same servers.

use super::run::{Target, run};
use super::script::Script;
use super::{CheckContext, start};
use crate::base::address::Address;
use crate::base::origin::Origin;
use crate::engine::probe::Choice;
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

mod connect;
mod external;
mod http;
mod kinds;
mod life;
mod tcp;

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

/// Runs a test on the engine that the environment names.
fn on_engine(test: impl AsyncFnOnce(Rt) + 'static) {
    let rt = Reactor::new(Choice::make(true).expect("an engine").engine.driver().expect("a driver"));
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
    on_engine(async move |rt| {
        let plan = Arc::new(plan);
        let board = Arc::new(Board::new(&plan, 1));
        let cx = CheckContext::new(rt, plan.clone(), board.clone(), Box::new(|_| {}), 1);
        let live = board.live.server(0, 0).unwrap();
        let settings = live.settings.check.as_ref().unwrap();
        let report = match Script::compile(&plan.proxies[0], &cx.plan.patterns).unwrap() {
            Some(script) => {
                let (address, port) = (settings.address, settings.port);
                let target = Target { proxy: 0, live, settings, address, port, state: None };
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
        p.timeouts.check = Some(400);
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

/// Takes a request and gives a good response.
const HELLO: &[Part] = &[Part::Take, Part::Give(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Part::Hold];

/// `expect ! …`.
fn not(pattern: CheckPattern) -> CheckStep {
    step(CheckAction::Expect(CheckExpect { negated: true, ..expectation(pattern) }), None)
}
