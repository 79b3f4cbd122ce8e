//! An HTTP/2 client of the tests: requests one after the other or many at once on one connection, answers as text. Frames
//! come from the product's codec; independent clients (curl, nghttp) have tests of their own.

use super::{BOUND, show};
use ringway::proto::h2::{Config, Connection, Event, Role, StreamId};
use ringway::proto::http::head::{Head, Version};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// What has come on a stream.
#[derive(Default)]
pub struct Answer {
    /// Status and fields of each head, trailers last.
    pub text: String,
    pub body: Vec<u8>,
    pub status: u16,
    /// `complete`, or how else it ended.
    pub end: Option<String>,
}

impl Answer {
    /// Heads, body and end.
    pub fn show(&self) -> String {
        let body = if self.body.is_empty() { String::new() } else { format!("{}\n", show(&self.body)) };
        format!("{}{body}{}", self.text, self.end.as_deref().unwrap_or("unfinished"))
    }
}

pub struct H2Client<S: Read + Write = TcpStream> {
    stream: S,
    pub codec: Connection,
    pub out: Vec<u8>,
    input: Vec<u8>,
    answers: BTreeMap<StreamId, Answer>,
    /// The connection's own end.
    pub ended: Option<String>,
    /// Answers to PING.
    pub pongs: usize,
    /// Data whose room in the windows was not given back.
    kept: Option<Vec<(StreamId, usize)>>,
}

/// A request without fields but its host.
pub fn get(path: &str) -> Head {
    request("GET", path, &[])
}

/// A request; `host` goes first as HTTP/2 has it in `:authority`.
pub fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::request(method.as_bytes(), path.as_bytes(), Version::Http2);
    head.append(b"host", b"a.example");
    for (name, value) in fields {
        head.append(name.as_bytes(), value.as_bytes());
    }
    head
}

impl H2Client<TcpStream> {
    pub fn connect(port: u16) -> H2Client {
        let stream =
            TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), BOUND).expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(BOUND)).expect("a read timeout");
        H2Client::over(stream, false)
    }

    pub fn port(&self) -> u16 {
        self.stream.local_addr().expect("a local address").port()
    }
}

impl<S: Read + Write> H2Client<S> {
    pub fn over(stream: S, https: bool) -> H2Client<S> {
        H2Client::with_window(stream, https, 65_535)
    }

    /// `window`: bytes that may come on each stream before they are taken.
    pub fn with_window(stream: S, https: bool, window: u32) -> H2Client<S> {
        let config = Config {
            role: Role::Client,
            max_concurrent_streams: u32::MAX,
            initial_window_size: window,
            connection_window: window.max(1 << 20),
            shared_window: 0,
            header_table_size: 4096,
            max_frame_size: 16_384,
            head_bytes: 65_536,
            head_fields: 200,
            extended_connect: false,
            scheme: if https { "https" } else { "http" },
        };
        let mut out = Vec::new();
        let codec = Connection::new(config, &mut out);
        H2Client {
            stream,
            codec,
            out,
            input: Vec::new(),
            answers: BTreeMap::new(),
            ended: None,
            pongs: 0,
            kept: None,
        }
    }

    /// From now on what is received gives the proxy no room for more.
    pub fn keep_windows(&mut self) {
        self.kept.get_or_insert_default();
    }

    /// Room for as much as was received since, on all streams at once.
    pub fn give_windows(&mut self) {
        for (stream, len) in self.kept.take().unwrap_or_default() {
            self.codec.release(stream, len, &mut self.out);
        }
        self.flush();
    }

    /// Sends what was made so far.
    pub fn flush(&mut self) {
        let out = std::mem::take(&mut self.out);
        self.codec.drained();
        // A connection that the other side has ended already swallows the bytes, as it may.
        let _ = self.stream.write_all(&out);
    }

    /// Sends a request without waiting for its answer.
    pub fn send(&mut self, head: &Head, body: &[u8]) -> StreamId {
        self.try_send(head, body).expect("room for a stream")
    }

    /// The same; `None` when the other side takes no more streams.
    pub fn try_send(&mut self, head: &Head, body: &[u8]) -> Option<StreamId> {
        let id = self.codec.open()?;
        self.answers.insert(id, Answer::default());
        self.codec.send_head(id, head, body.is_empty(), &mut self.out);
        self.flush();
        self.data(id, body, true);
        Some(id)
    }

    /// Sends a head whose body or end follows.
    pub fn begin(&mut self, head: &Head) -> StreamId {
        let id = self.codec.open().expect("room for a stream");
        self.answers.insert(id, Answer::default());
        self.codec.send_head(id, head, false, &mut self.out);
        self.flush();
        id
    }

    /// Asks for another protocol (RFC 8441), once the other side has said that it takes that.
    pub fn begin_upgrade(&mut self, head: &Head, protocol: &[u8]) -> StreamId {
        self.flush();
        while !self.codec.extended_connect_allowed() && self.step() {}
        let id = self.codec.open().expect("room for a stream");
        self.answers.insert(id, Answer::default());
        self.codec.send_extended_connect(id, head, protocol, &mut self.out);
        self.flush();
        id
    }

    /// Sends data under the windows.
    pub fn data(&mut self, id: StreamId, data: &[u8], end: bool) {
        let mut left = data;
        while !left.is_empty() {
            let n = self.codec.room(id).min(left.len());
            if n == 0 {
                if !self.step() {
                    return;
                }
                continue;
            }
            if !self.codec.send_data_header(id, n, end && n == left.len(), &mut self.out) {
                return;
            }
            self.out.extend_from_slice(&left[..n]);
            left = &left[n..];
            self.flush();
        }
    }

    /// A request and its answer.
    pub fn ask(&mut self, head: &Head, body: &[u8]) -> Answer {
        let id = self.send(head, body);
        self.answer(id)
    }

    /// Bytes of body that have come on a stream so far.
    pub fn received(&self, id: StreamId) -> usize {
        self.answers.get(&id).map_or(0, |a| a.body.len())
    }

    /// What comes on a stream until it ends.
    pub fn answer(&mut self, id: StreamId) -> Answer {
        let until = Instant::now() + BOUND;
        while self.answers.get(&id).is_some_and(|a| a.end.is_none()) && Instant::now() < until && self.step() {}
        self.answers.remove(&id).unwrap_or_default()
    }

    /// Reads until the connection ends.
    pub fn closed(&mut self) -> String {
        let until = Instant::now() + BOUND;
        while Instant::now() < until && self.step() {}
        self.ended.clone().unwrap_or_default()
    }

    /// One more read; false at the end.
    pub fn step(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        let n = match self.stream.read(&mut buffer) {
            Ok(n) if n > 0 => n,
            _ => {
                let end = self.ended.get_or_insert_with(|| "closed".into()).clone();
                for answer in self.answers.values_mut() {
                    answer.end.get_or_insert(end.clone());
                }
                return false;
            }
        };
        self.input.extend_from_slice(&buffer[..n]);
        let input = std::mem::take(&mut self.input);
        let mut at = 0;
        while at < input.len() {
            let (used, event) = match self.codec.receive(&input[at..], &mut self.out) {
                Ok(step) => step,
                Err(error) => panic!("the proxy broke the protocol: {error:?}"),
            };
            self.take(&event, &input[at..]);
            at += used;
            if matches!(event, Event::NeedMore) {
                break;
            }
        }
        self.input = input[at..].to_vec();
        if !self.out.is_empty() {
            self.flush();
        }
        true
    }

    fn take(&mut self, event: &Event, bytes: &[u8]) {
        let complete = |answer: &mut Answer, end: bool| {
            if end {
                answer.end = Some("complete".into());
            }
        };
        match event {
            Event::Head { stream, end } => {
                let Some(answer) = self.answers.get_mut(stream) else { return };
                answer.status = self.codec.head().status();
                let _ = writeln!(answer.text, ":status {}", answer.status);
                write_fields(self.codec.head(), &mut answer.text);
                complete(answer, *end);
            }
            Event::Data { stream, range, end } => {
                match &mut self.kept {
                    Some(kept) => kept.push((*stream, range.len())),
                    None => self.codec.release(*stream, range.len(), &mut self.out),
                }
                let Some(answer) = self.answers.get_mut(stream) else { return };
                answer.body.extend_from_slice(&bytes[range.clone()]);
                complete(answer, *end);
            }
            Event::Trailers { stream } => {
                let Some(answer) = self.answers.get_mut(stream) else { return };
                answer.text.push_str("trailers\n");
                write_fields(self.codec.head(), &mut answer.text);
                complete(answer, true);
            }
            Event::Reset { stream, code } | Event::Refused { stream, code } => {
                if let Some(answer) = self.answers.get_mut(stream) {
                    answer.end.get_or_insert(format!("reset {code:?}"));
                }
            }
            Event::GoAway { code, .. } => {
                self.ended = Some(format!("goaway {code:?}"));
            }
            Event::Pong => self.pongs += 1,
            Event::NeedMore | Event::Opened(_) | Event::Settings => {}
        }
    }
}

pub fn write_fields(head: &Head, out: &mut String) {
    for (name, value) in head.fields() {
        let _ = writeln!(out, "{}: {}", show(name), show(value));
    }
}
