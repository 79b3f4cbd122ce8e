//! Scripted HTTP/2 origins: what they are asked is recorded as text, and what they answer is up to a function. Frames
//! come from the product's codec.

use super::BOUND;
use super::h2::write_fields;
use ringway::proto::h2::{Config, Connection, ErrorCode, Event, Role, StreamId};
use ringway::proto::http::head::{Head, Version};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// A request as it has come so far.
#[derive(Clone, Default)]
pub struct Asked {
    /// The connection's number.
    pub connection: usize,
    pub stream: StreamId,
    pub path: String,
    /// Method, path and fields, trailers last. A host is shown as a field, whichever way it came.
    pub text: String,
    pub body: Vec<u8>,
    /// `complete`, or the code of a reset; empty while it is under way.
    pub end: String,
}

/// When the answer is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The request has come whole.
    Complete,
    Head,
}

/// What an origin answers with.
pub struct Reply<'a> {
    codec: &'a mut Connection,
    out: &'a mut Vec<u8>,
    pub stream: StreamId,
    pub close: bool,
    /// Sent data waits for room here.
    waiting: &'a mut BTreeMap<StreamId, (Vec<u8>, bool)>,
}

impl Reply<'_> {
    /// A head; `end` when nothing follows.
    pub fn head(&mut self, status: u16, fields: &[(&str, &str)], end: bool) -> &mut Self {
        let mut head = Head::response(status, b"", Version::Http2);
        fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
        self.codec.send_head(self.stream, &head, end, self.out);
        self
    }

    pub fn data(&mut self, data: &[u8], end: bool) -> &mut Self {
        self.waiting.insert(self.stream, (data.to_vec(), end));
        push(self.codec, self.waiting, self.out);
        self
    }

    pub fn trailers(&mut self, fields: &[(&str, &str)]) {
        let mut head = Head::response(200, b"", Version::Http2);
        fields.iter().for_each(|(name, value)| head.append(name.as_bytes(), value.as_bytes()));
        self.codec.send_trailers(self.stream, &head, self.out);
    }

    pub fn reset(&mut self, code: ErrorCode) {
        self.codec.reset(self.stream, code, self.out);
    }

    pub fn go_away(&mut self, last: StreamId) -> &mut Self {
        self.codec.go_away(Some(last), ErrorCode::NO_ERROR, self.out);
        self
    }

    /// `ok`, with its length.
    pub fn ok(&mut self) {
        self.head(200, &[("content-length", "2")], false).data(b"ok", true);
    }
}

/// Sends what the windows let pass.
fn push(codec: &mut Connection, waiting: &mut BTreeMap<StreamId, (Vec<u8>, bool)>, out: &mut Vec<u8>) {
    waiting.retain(|&stream, (data, end)| {
        while !data.is_empty() {
            let n = codec.room(stream).min(data.len());
            if n == 0 || !codec.send_data_header(stream, n, *end && n == data.len(), out) {
                return true;
            }
            out.extend(data.drain(..n));
        }
        false
    });
}

type Answer = dyn Fn(&Asked, &mut Reply<'_>) + Send + Sync;

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    changed: Condvar,
    connections: Mutex<Vec<TcpStream>>,
    stopped: Mutex<bool>,
}

pub struct H2Origin {
    pub port: u16,
    shared: Arc<Shared>,
}

impl H2Origin {
    pub fn start(when: When, answer: impl Fn(&Asked, &mut Reply<'_>) + Send + Sync + 'static) -> H2Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an origin's port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        let (state, answer): (_, Arc<Answer>) = (shared.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let Ok(stream) = stream else { return };
                if *state.stopped.lock().expect("state") {
                    return;
                }
                state.connections.lock().expect("connections").push(stream.try_clone().expect("a handle"));
                let (state, answer) = (state.clone(), answer.clone());
                std::thread::spawn(move || serve(connection, stream, when, &state, &*answer));
            }
        });
        H2Origin { port, shared }
    }

    /// What was asked, in the order of connections and streams.
    pub fn asked(&self) -> Vec<Asked> {
        let mut asked = self.shared.asked.lock().expect("requests").clone();
        asked.sort_by_key(|a| (a.connection, a.stream));
        asked
    }

    /// Waits until the requests satisfy something.
    pub fn wait_for(&self, what: &str, ready: impl Fn(&[Asked]) -> bool) {
        let end = Instant::now() + BOUND;
        let mut asked = self.shared.asked.lock().expect("requests");
        while !ready(&asked) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the origin waits in vain for {what}");
            asked = self.shared.changed.wait_timeout(asked, left).expect("requests").0;
        }
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        *self.shared.stopped.lock().expect("state") = true;
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        for stream in self.shared.connections.lock().expect("connections").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(connection: usize, mut stream: TcpStream, when: When, shared: &Shared, answer: &Answer) {
    let _ = stream.set_nodelay(true);
    let mut out = Vec::new();
    let config = Config { initial_window_size: 65_535, head_bytes: 65_536, ..Config::new(Role::Server) };
    let mut codec = Connection::new(config, &mut out);
    let (mut waiting, mut buffer) = (BTreeMap::new(), vec![0; 65_536]);
    let note = |id: StreamId, change: &dyn Fn(&mut Asked)| -> Asked {
        let mut asked = shared.asked.lock().expect("requests");
        let at = asked.iter().position(|a| (a.connection, a.stream) == (connection, id)).unwrap_or_else(|| {
            asked.push(Asked { connection, stream: id, ..Asked::default() });
            asked.len() - 1
        });
        change(&mut asked[at]);
        shared.changed.notify_all();
        asked[at].clone()
    };
    loop {
        if !out.is_empty() && stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
        codec.drained();
        let Ok(n @ 1..) = stream.read(&mut buffer) else { return };
        let mut at = 0;
        loop {
            let Ok((used, event)) = codec.receive(&buffer[at..n], &mut out) else {
                let _ = stream.write_all(&out);
                return;
            };
            let input = &buffer[at..n];
            at += used;
            let ended = |a: &mut Asked, end: bool| {
                if end {
                    a.end = "complete".into();
                }
            };
            let (asked, due) = match &event {
                Event::NeedMore => break,
                Event::Head { stream, end } => {
                    let head = codec.head();
                    let asked = note(*stream, &|a| {
                        let method = head.method().escape_ascii();
                        let path = ringway::proto::http::uri::Uri::split(head.uri()).path_and_query;
                        a.path = path.escape_ascii().to_string();
                        a.text = format!("{method} {}\n", a.path);
                        write_fields(head, &mut a.text);
                        ended(a, *end);
                    });
                    (asked, *end || when == When::Head)
                }
                Event::Data { stream, range, end } => {
                    codec.release(*stream, range.len(), &mut out);
                    let asked = note(*stream, &|a| {
                        a.body.extend_from_slice(&input[range.clone()]);
                        ended(a, *end);
                    });
                    (asked, *end && when == When::Complete)
                }
                Event::Trailers { stream } => {
                    let asked = note(*stream, &|a| {
                        a.text.push_str("trailers\n");
                        write_fields(codec.head(), &mut a.text);
                        ended(a, true);
                    });
                    (asked, when == When::Complete)
                }
                Event::Reset { stream, code } => (note(*stream, &|a| a.end = format!("{code:?}")), false),
                _ => {
                    push(&mut codec, &mut waiting, &mut out);
                    continue;
                }
            };
            if due {
                let mut reply = Reply {
                    codec: &mut codec,
                    out: &mut out,
                    stream: asked.stream,
                    close: false,
                    waiting: &mut waiting,
                };
                answer(&asked, &mut reply);
                if reply.close {
                    let _ = stream.write_all(&out);
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
    }
}
