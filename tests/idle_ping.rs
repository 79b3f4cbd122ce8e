//! `idle-ping`: idle connections of HTTP/2 on both sides ask now and then whether the peer is there. The peers are frames in
//! the raw, so that they can be silent.

mod common;

use common::BOUND;
use common::client::Client;
use common::directory::Directory;
use common::port::Port;
use common::program::{Program, under_test};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// A connection as frames.
struct Frames {
    stream: TcpStream,
    /// Whether PINGs are answered.
    answers: bool,
}

impl Frames {
    fn new(stream: TcpStream, answers: bool) -> Frames {
        stream.set_read_timeout(Some(BOUND)).expect("a timeout");
        let mut frames = Frames { stream, answers };
        frames.send(SETTINGS, 0, 0, b"");
        frames
    }

    fn send(&mut self, kind: u8, flags: u8, id: u8, payload: &[u8]) {
        let mut bytes = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, id];
        bytes.extend_from_slice(payload);
        self.stream.write_all(&bytes).expect("sent");
    }

    /// The next frame of a kind that tells something, and its stream; `None` at the end.
    fn next(&mut self) -> Option<(u8, u8)> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).ok()?;
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            self.stream.read_exact(&mut payload).ok()?;
            match (head[3], head[4] & ACK) {
                (SETTINGS, 0) => self.send(SETTINGS, ACK, 0, b""),
                (PING, 0) => {
                    if self.answers {
                        self.send(PING, ACK, 0, &payload);
                    }
                    return Some((PING, 0));
                }
                (kind @ (HEADERS | GOAWAY), _) => return Some((kind, head[8])),
                _ => {}
            }
        }
    }

    fn kinds(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.next()).map(|frame| frame.0).collect()
    }
}

/// `GET /`, with the tables of HPACK.
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
const END: u8 = 5;
const DEFAULTS: &str = "defaults\n mode http\n timeout connect 2s\n timeout client 500ms\n timeout server 5s\n";

/// A client of a frontend that asks its clients every 50 ms.
fn client(answers: bool) -> (Program, Frames, Directory) {
    let (directory, port) = (Directory::new(), Port::hold());
    let config = format!(
        "{DEFAULTS}frontend f\n bind 127.0.0.1:{} idle-ping 50ms\n http-request return status 200\n",
        port.number
    );
    let program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let mut stream = TcpStream::connect(("127.0.0.1", port.number)).expect("it listens");
    stream.write_all(PREFACE).expect("sent");
    (program, Frames::new(stream, answers), directory)
}

#[test]
fn a_client_that_does_not_answer_is_parted_from() {
    let (_program, mut frames, _directory) = client(false);
    frames.send(HEADERS, END, 1, GET);
    assert_eq!(frames.kinds(), [HEADERS, PING, GOAWAY]);
    // One that has never asked for anything, too.
    let (_program, mut frames, _directory) = client(false);
    assert_eq!(frames.kinds(), [PING, GOAWAY]);
}

#[test]
fn a_client_that_answers_stays_beyond_its_timeout() {
    let (_program, mut frames, _directory) = client(true);
    for id in [1, 3] {
        frames.send(HEADERS, END, id, GET);
        assert_eq!(frames.next(), Some((HEADERS, id)));
        // Longer than the client's timeout.
        for _ in 0..12 {
            assert_eq!(frames.next(), Some((PING, 0)));
        }
    }
}

#[test]
fn servers_are_asked_too_and_those_that_do_not_answer_are_connected_to_anew() {
    for answers in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (directory, port) = (Directory::new(), Port::hold());
        let config = format!(
            "global\n nbthread 1\n{DEFAULTS} timeout client 5s\nlisten l\n bind 127.0.0.1:{}\n http-reuse always\n \
             server s 127.0.0.1:{} proto h2 idle-ping 50ms\n",
            port.number,
            listener.local_addr().expect("its address").port()
        );
        let _program = Program::start(&under_test(), &directory, &config, &[port.number]);
        let mut client = Client::connect(port.number);
        let own = client.stream().try_clone().expect("a second handle");
        let accept = || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.read_exact(&mut [0; PREFACE.len()]).expect("the preface");
            Frames::new(stream, answers)
        };
        let mut serve = |server: &mut Frames, id: u8| {
            assert_eq!(server.next(), Some((HEADERS, id)));
            server.send(HEADERS, END, id, b"\x88");
            assert_eq!(client.status(), 200);
        };
        let ask = |stream: &TcpStream| {
            let mut stream = stream;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        };
        ask(&own);
        let mut server = accept();
        serve(&mut server, 1);
        if answers {
            for _ in 0..3 {
                assert_eq!(server.next(), Some((PING, 0)));
            }
            ask(&own);
            serve(&mut server, 3);
        } else {
            assert_eq!(server.kinds(), [PING, GOAWAY]);
            ask(&own);
            serve(&mut accept(), 1);
        }
    }
}
