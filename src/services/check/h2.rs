//! The conversation of an HTTP check over HTTP/2 (RFC 9113): one request after the other, each on a stream of its own,
//! and what came back so far. Without socket and clock.

use super::http::{Received, Response, Written, push_uri, tells_length};
use super::script::HttpSend;
use crate::proto::h2::{Config, Connection, Event, Role, StreamId};
use crate::proto::http::head::{Head, Version};

pub struct Conversation {
    codec: Connection,
    stream: StreamId,
    /// The first head that came, be it an interim one: HAProxy 3.4 judges that.
    head: Option<Head>,
    body: Vec<u8>,
    /// The server's message came whole.
    complete: bool,
    /// Nothing more comes: the server reset the stream or broke the protocol.
    broken: bool,
    /// Of our body, what had no room yet.
    unsent: Vec<u8>,
    body_bytes_max: usize,
}

impl Conversation {
    /// Appends what is said first. `buffer_bytes` bounds head and body of a response.
    pub fn begin(buffer_bytes: usize, out: &mut Vec<u8>) -> Conversation {
        let config = Config {
            head_bytes: buffer_bytes,
            // What is not released must fit all the same.
            initial_window_size: u32::try_from(buffer_bytes).unwrap_or(u32::MAX),
            // As HAProxy 3.4 says it for all checks but those with an absolute URI.
            scheme: "https",
            ..Config::new(Role::Client)
        };
        Conversation {
            codec: Connection::new(config, out),
            stream: 0,
            head: None,
            body: Vec::new(),
            complete: false,
            broken: false,
            unsent: Vec::new(),
            body_bytes_max: buffer_bytes,
        }
    }

    /// Appends a request; what came before is forgotten.
    pub fn ask(&mut self, send: &HttpSend, written: &Written, out: &mut Vec<u8>) {
        (self.head, self.complete, self.broken) = (None, false, false);
        self.body.clear();
        let Some(stream) = self.codec.open() else {
            self.broken = true;
            return;
        };
        self.stream = stream;
        let body = written.body();
        self.codec.send_head(stream, &request(send, written), body.is_empty(), out);
        self.unsent = body.to_vec();
        self.push(out);
    }

    /// Appends what the windows let pass of our body.
    fn push(&mut self, out: &mut Vec<u8>) {
        while !self.unsent.is_empty() {
            let n = self.codec.room(self.stream).min(self.unsent.len());
            if n == 0 || !self.codec.send_data_header(self.stream, n, n == self.unsent.len(), out) {
                return;
            }
            out.extend(self.unsent.drain(..n));
        }
    }

    /// Takes what came; appends what is to be said to it.
    pub fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        loop {
            let Ok((used, event)) = self.codec.receive(input, out) else {
                self.broken = true;
                return;
            };
            match event {
                Event::NeedMore => break,
                Event::Head { stream, end } if stream == self.stream => {
                    if self.head.is_none() {
                        self.head = Some(self.codec.head().clone());
                    }
                    self.complete |= end;
                }
                Event::Data { stream, range, end } if stream == self.stream => {
                    // Nothing is released: a window holds no more than the buffer may.
                    self.body.extend_from_slice(&input[range]);
                    self.complete |= end;
                }
                Event::Trailers { stream } if stream == self.stream => self.complete = true,
                Event::Reset { stream, .. } | Event::Refused { stream, .. } if stream == self.stream => {
                    self.broken = true;
                }
                _ => {}
            }
            input = &input[used..];
        }
        self.codec.drained();
        self.push(out);
    }

    /// No more will come.
    pub fn is_over(&self) -> bool {
        self.broken || self.complete || self.body.len() >= self.body_bytes_max
    }

    /// What came so far.
    pub fn received<'h>(&self, head: &'h mut Head) -> Received<'h> {
        match &self.head {
            None => Received::Partial,
            Some(received) => {
                head.clone_from(received);
                let body = self.body[..self.body.len().min(self.body_bytes_max)].to_vec();
                Received::Response(Response { head, body, complete: self.complete })
            }
        }
    }
}

fn request(send: &HttpSend, written: &Written) -> Head {
    let mut uri = Vec::new();
    push_uri(send, written, &mut uri);
    let mut head = Head::request(send.method.as_bytes(), &uri, Version::Http2);
    for ((name, _), value) in send.headers.iter().zip(&written.headers) {
        // What belongs to one connection of HTTP/1 the codec leaves out.
        if name != b"content-length" {
            head.append(name, value);
        }
    }
    if let Some(state) = &written.state {
        head.append(b"x-haproxy-server-state", state.as_bytes());
    }
    if tells_length(send, written) {
        head.append(b"content-length", written.body().len().to_string().as_bytes());
    }
    head
}

#[cfg(test)]
mod tests {
    use super::super::script::Template;
    use super::*;

    fn sent(method: &str, uri: &str, fields: &[(&str, &str)], body: &str) -> Vec<u8> {
        let headers = fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), Template::Bytes(v.as_bytes().to_vec())));
        let send = HttpSend {
            method: method.to_owned(),
            uri: Template::Bytes(Vec::new()),
            v11: true,
            headers: headers.collect(),
            body: None,
            state: true,
        };
        let written = Written {
            uri: uri.as_bytes().to_vec(),
            headers: fields.iter().map(|(_, v)| v.as_bytes().to_vec()).collect(),
            body: Some(body.as_bytes().to_vec()),
            state: Some("UP".to_owned()),
        };
        let mut out = Vec::new();
        Conversation::begin(16_384, &mut out).ask(&send, &written, &mut out);
        out
    }

    /// The request as a server reads it.
    fn seen(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        let mut server = Connection::new(Config::new(Role::Server), &mut out);
        let (mut at, mut text) = (0, String::new());
        while let Ok((used, event)) = server.receive(&bytes[at..], &mut out) {
            match event {
                Event::NeedMore => break,
                Event::Head { end, .. } => {
                    let head = server.head();
                    text += &format!("{} {} {end}", head.method().escape_ascii(), head.uri().escape_ascii());
                    for (name, value) in head.fields() {
                        text += &format!("|{}: {}", name.escape_ascii(), value.escape_ascii());
                    }
                }
                Event::Data { range, end, .. } => {
                    text += &format!("|{} {end}", bytes[at..][range].escape_ascii());
                }
                _ => {}
            }
            at += used;
        }
        text
    }

    #[test]
    fn a_body_as_long_as_the_buffer_comes_whole() {
        for buffer_bytes in [1024, 16_383, 16_385, 65_536, 1 << 20] {
            let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
            let mut conversation = Conversation::begin(buffer_bytes, &mut to_server);
            let send = HttpSend {
                method: "GET".to_owned(),
                uri: Template::Bytes(Vec::new()),
                v11: true,
                headers: Vec::new(),
                body: None,
                state: false,
            };
            let written = Written { uri: b"/".to_vec(), headers: Vec::new(), body: None, state: None };
            conversation.ask(&send, &written, &mut to_server);
            let mut server = Connection::new(Config::new(Role::Server), &mut to_client);
            let mut answered = false;
            while !to_server.is_empty() {
                let mut at = 0;
                while at < to_server.len() {
                    at += server.receive(&to_server[at..], &mut to_client).unwrap().0;
                }
                to_server.clear();
                if !std::mem::replace(&mut answered, true) {
                    server.send_head(1, &Head::response(200, b"", Version::Http2), false, &mut to_client);
                }
                while let n @ 1.. = server.room(1) {
                    assert!(server.send_data_header(1, n, false, &mut to_client));
                    to_client.resize(to_client.len() + n, b'a');
                }
                conversation.feed(&to_client, &mut to_server);
                to_client.clear();
            }
            assert_eq!(conversation.body.len(), buffer_bytes);
            assert!(conversation.is_over());
        }
    }

    /// Each as HAProxy 3.4.0 sent it, but for the host, which goes as `:authority` (RFC 9113 §8.3.1).
    #[test]
    fn requests_are_those_on_the_wire() {
        assert_eq!(seen(&sent("GET", "/h", &[], "")), "GET /h true|x-haproxy-server-state: UP");
        assert_eq!(
            seen(&sent("GET", "http://a.b/x", &[("host", "c.d")], "")),
            "GET http://c.d/x true|host: c.d|x-haproxy-server-state: UP"
        );
        assert_eq!(seen(&sent("POST", "/p", &[], "")), "POST /p true|x-haproxy-server-state: UP|content-length: 0");
        let fields = [
            ("host", "ex.org"),
            ("x-a", "b"),
            ("connection", "close"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "77"),
        ];
        assert_eq!(
            seen(&sent("POST", "/p", &fields, "abc")),
            "POST https://ex.org/p false|host: ex.org|x-a: b|te: trailers|x-haproxy-server-state: UP|content-length: 3|abc true"
        );
    }
}
