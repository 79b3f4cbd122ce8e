//! The generator against the origin, and against a server that stalls.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use super::generator::Generator;
use super::{Outcome, Spec};
use crate::origin;
use crate::peer::local;
use crate::scenario::{Key, Resumption, Shape, Tls, TlsVersion};

fn spec(shape: Shape, port: u16) -> Spec {
    Spec {
        shape,
        address: local(port),
        tls: None,
        connections: 2,
        rate: None,
        path: "/s/100".to_owned(),
        headers: Vec::new(),
        bytes: 64,
        seconds: 1,
        requests: Some(40),
    }
}

fn run(spec: Spec) -> Outcome {
    let mut generator = Generator::new(spec).unwrap();
    generator.prime().unwrap();
    generator.run().unwrap()
}

#[test]
fn every_shape_does_exactly_what_was_asked() {
    let ports = origin::serve_in_thread();
    for (shape, port) in [
        (Shape::KeepAlive, ports.http),
        (Shape::Connection, ports.http),
        (Shape::PingPong, ports.echo),
        (Shape::Bulk, ports.bulk),
    ] {
        let outcome = run(spec(shape, port));
        assert_eq!((outcome.requests, outcome.errors), (40, 0), "{shape:?}: {outcome:?}");
    }
}

#[test]
fn chunked_and_delayed_answers_are_read() {
    let ports = origin::serve_in_thread();
    for path in ["/c/10000", "/d/1", "/j/5000", "/s/1000000"] {
        let mut spec = spec(Shape::KeepAlive, ports.http);
        path.clone_into(&mut spec.path);
        let outcome = run(spec);
        assert_eq!((outcome.requests, outcome.errors), (40, 0), "{path}: {outcome:?}");
    }
}

#[test]
fn each_handshake_is_of_the_kind_that_was_asked() {
    let ports = origin::serve_in_thread();
    for key in [Key::Ec, Key::Rsa] {
        for version in [TlsVersion::V12, TlsVersion::V13] {
            for resumption in [Resumption::None, Resumption::Ticket, Resumption::SessionId] {
                let tls = Tls { key, version, resumption };
                let outcome = run(Spec { tls: Some(tls), ..spec(Shape::Handshake, ports.tls(tls)) });
                let wanted = if resumption == Resumption::None { (40, 0) } else { (0, 40) };
                let got = (outcome.handshakes_full.unwrap(), outcome.handshakes_resumed.unwrap());
                assert_eq!((got, outcome.errors), (wanted, 0), "{tls:?}: {outcome:?}");
            }
        }
    }
}

#[test]
fn a_full_handshake_where_a_resumed_one_was_due_is_an_error() {
    let ports = origin::serve_in_thread();
    // The listener that only knows tickets meets a client that only takes session ids.
    let tls = Tls { key: Key::Ec, version: TlsVersion::V12, resumption: Resumption::SessionId };
    let outcome = run(Spec { tls: Some(tls), ..spec(Shape::Handshake, ports.tls_ec_ticket) });
    assert!(outcome.errors > 0 && outcome.first_error.unwrap().contains("not resumed"));
}

#[test]
fn a_stalling_server_cannot_hide_its_stall() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (_never, stall) = std::sync::mpsc::channel::<()>();
        let mut buffer = [0; 4096];
        let mut requests = 0;
        while matches!(socket.read(&mut buffer), Ok(1..)) {
            requests += 1;
            if requests == 20 {
                let _ = stall.recv_timeout(Duration::from_millis(300));
            }
            socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    let mut spec = spec(Shape::KeepAlive, port);
    (spec.connections, spec.rate, spec.requests) = (1, Some(100), None);
    let outcome = run(spec);
    // Thirty of the hundred requests were due during the stall. One that asks only when it may would have seen one.
    assert_eq!(outcome.requests, 100);
    assert!(outcome.p90_us > 100_000.0, "{outcome:?}");
}
