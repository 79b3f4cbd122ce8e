//! The request of an HTTP check as bytes, and the view of what came back (manual 4.2 "option httpchk", "http-check send").

use super::script::HttpSend;
use crate::proto::h1::chunked::{Decoder, Event};
use crate::proto::h1::error::Side;
use crate::proto::h1::framing::{Asked, Framing};
use crate::proto::h1::parse::{Limits, Parsed, parse_response};
use crate::proto::http::head::Head;

/// The values of a request's templates, written.
pub struct Written {
    pub uri: Vec<u8>,
    /// In the order of the script.
    pub headers: Vec<Vec<u8>>,
    pub body: Option<Vec<u8>>,
    /// Value of `x-haproxy-server-state`.
    pub state: Option<String>,
}

impl Written {
    /// The body; empty where there is none.
    pub fn body(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }
}

/// Appends the request.
pub fn request(send: &HttpSend, written: &Written, out: &mut Vec<u8>) {
    out.extend_from_slice(send.method.as_bytes());
    out.push(b' ');
    push_uri(send, written, out);
    out.extend_from_slice(if send.v11 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
    let (mut connection, mut said): (Option<&[u8]>, bool) = (None, false);
    for ((name, _), value) in send.headers.iter().zip(&written.headers) {
        match &name[..] {
            b"content-length" | b"transfer-encoding" => {}
            b"connection" if is_persistence(value) => connection = Some(value),
            b"connection" => {
                // `upgrade` and the like stand where they are written.
                said = true;
                push_field(name, value, out);
            }
            _ => push_field(name, value, out),
        }
    }
    if let Some(state) = &written.state {
        push_field(b"x-haproxy-server-state", state.as_bytes(), out);
    }
    let body = written.body();
    if tells_length(send, written) {
        push_field(b"content-length", body.len().to_string().as_bytes(), out);
    }
    // What is the version's own way is not said.
    match connection {
        None if send.v11 && !said => push_field(b"connection", b"close", out),
        Some(value) if send.v11 != value.eq_ignore_ascii_case(b"keep-alive") => push_field(b"connection", value, out),
        _ => {}
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

fn is_persistence(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"close") || value.eq_ignore_ascii_case(b"keep-alive")
}

/// Whether the request tells the length of its body.
pub fn tells_length(send: &HttpSend, written: &Written) -> bool {
    !written.body().is_empty() || matches!(send.method.as_str(), "POST" | "PUT" | "PATCH")
}

/// An absolute URI takes its authority from the Host field (manual, "http-check send").
pub fn push_uri(send: &HttpSend, written: &Written, out: &mut Vec<u8>) {
    let host = send.headers.iter().position(|(name, _)| name == b"host").map(|i| &written.headers[i]);
    let uri = &written.uri[..];
    let start = memchr::memmem::find(uri, b"://").filter(|_| !uri.starts_with(b"/"));
    match (start, host) {
        (Some(at), Some(host)) => {
            let authority = at + 3;
            let end = uri[authority..]
                .iter()
                .position(|b| matches!(b, b'/' | b'?' | b'#'))
                .unwrap_or(uri.len() - authority);
            out.extend_from_slice(&uri[..authority]);
            out.extend_from_slice(host);
            out.extend_from_slice(&uri[authority + end..]);
        }
        _ => out.extend_from_slice(uri),
    }
}

fn push_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// A response whose head is complete.
pub struct Response<'h> {
    pub head: &'h Head,
    /// What came of the body, decoded.
    pub body: Vec<u8>,
    pub complete: bool,
}

/// What the bytes received so far are.
pub enum Received<'h> {
    /// The head is not complete.
    Partial,
    Response(Response<'h>),
    /// No HTTP.
    Malformed,
    /// The head was fine, the body's coding is not.
    BadBody,
}

/// Reads what came back to a request by `method`. `buffer_bytes` bounds the head.
pub fn received<'h>(input: &[u8], method: &str, buffer_bytes: usize, head: &'h mut Head) -> Received<'h> {
    let limits = Limits { head_bytes: buffer_bytes, bare_lf: true, ..Limits::REQUEST };
    let (consumed, framing) = match parse_response(input, &limits, Asked::of_method(method.as_bytes()), head) {
        Ok(Parsed::Complete(message)) => (message.consumed, message.framing),
        Ok(_) => return Received::Partial,
        Err(_) => return Received::Malformed,
    };
    let rest = input.get(consumed..).unwrap_or_default();
    let whole = |body: &[u8], complete| (body.to_vec(), complete, false);
    let (body, complete, broken) = match framing {
        Framing::None => whole(&[], true),
        Framing::Length(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            whole(&rest[..rest.len().min(length)], rest.len() >= length)
        }
        Framing::UntilClose | Framing::Tunnel => whole(rest, false),
        Framing::Chunked => unchunk(rest, &limits),
    };
    if broken { Received::BadBody } else { Received::Response(Response { head, body, complete }) }
}

/// The reason phrase as it came, which a parsed head completes when it is missing.
pub fn reason(input: &[u8]) -> &[u8] {
    let line = input.split(|b| *b == b'\n').next().unwrap_or_default();
    line.splitn(3, |b| *b == b' ').nth(2).unwrap_or_default().trim_ascii()
}

/// The data of a chunked body, whether it is complete, whether it is broken.
fn unchunk(mut rest: &[u8], limits: &Limits) -> (Vec<u8>, bool, bool) {
    let mut decoder = Decoder::new(Side::Server, limits);
    let mut body = Vec::new();
    loop {
        match decoder.next(rest) {
            Ok((used, Event::Data(range))) => {
                body.extend_from_slice(rest.get(range).unwrap_or_default());
                rest = rest.get(used..).unwrap_or_default();
            }
            Ok((_, Event::NeedMore)) => return (body, false, false),
            Ok((_, Event::End)) => return (body, true, false),
            Err(_) => return (body, false, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Template;
    use super::*;

    fn sent(method: &str, uri: &str, v11: bool, fields: &[(&str, &str)], body: Option<&str>) -> String {
        let headers = fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), Template::Bytes(v.as_bytes().to_vec())));
        let send = HttpSend {
            method: method.to_owned(),
            uri: Template::Bytes(Vec::new()),
            v11,
            headers: headers.collect(),
            body: None,
            state: false,
        };
        let written = Written {
            uri: uri.as_bytes().to_vec(),
            headers: fields.iter().map(|(_, v)| v.as_bytes().to_vec()).collect(),
            body: body.map(|b| b.as_bytes().to_vec()),
            state: None,
        };
        let mut out = Vec::new();
        request(&send, &written, &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Each as HAProxy 3.4.0 put it on the wire.
    #[test]
    fn requests_are_those_on_the_wire() {
        assert_eq!(sent("OPTIONS", "/", false, &[], None), "OPTIONS / HTTP/1.0\r\n\r\n");
        assert_eq!(
            sent("GET", "/healthcheck", false, &[("user-agent", "osa-haproxy-healthcheck")], None),
            "GET /healthcheck HTTP/1.0\r\nuser-agent: osa-haproxy-healthcheck\r\n\r\n"
        );
        assert_eq!(
            sent("HEAD", "/", true, &[("host", "example.org")], None),
            "HEAD / HTTP/1.1\r\nhost: example.org\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(
            sent("POST", "/a", true, &[("host", "x"), ("x-a", "b c")], Some("abc")),
            "POST /a HTTP/1.1\r\nhost: x\r\nx-a: b c\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc"
        );
        let own =
            [("host", "x"), ("content-length", "99"), ("connection", "keep-alive"), ("transfer-encoding", "chunked")];
        assert_eq!(
            sent("POST", "/a", true, &own, Some("abc")),
            "POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"
        );
        assert_eq!(
            sent("POST", "/x", true, &[], None),
            "POST /x HTTP/1.1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(sent("PUT", "/x", false, &[], None), "PUT /x HTTP/1.0\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(
            sent("GET", "/", true, &[("connection", "close"), ("x", "y")], None),
            "GET / HTTP/1.1\r\nx: y\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(
            sent("GET", "/", false, &[("connection", "keep-alive"), ("x", "y")], None),
            "GET / HTTP/1.0\r\nx: y\r\nconnection: keep-alive\r\n\r\n"
        );
        assert_eq!(
            sent("GET", "/", false, &[("connection", "close"), ("x", "y")], None),
            "GET / HTTP/1.0\r\nx: y\r\n\r\n"
        );
        assert_eq!(
            sent("GET", "/", true, &[("connection", "upgrade"), ("upgrade", "x")], None),
            "GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
        );
        assert_eq!(
            sent("GET", "http://a.b/x", true, &[("host", "c.d")], None),
            "GET http://c.d/x HTTP/1.1\r\nhost: c.d\r\nconnection: close\r\n\r\n"
        );
    }

    fn view(input: &[u8], method: &str) -> String {
        let mut head = Head::new();
        match received(input, method, 16384, &mut head) {
            Received::Partial => "partial".to_owned(),
            Received::Malformed => "malformed".to_owned(),
            Received::Response(r) => {
                format!("{} {} {}", r.head.status(), String::from_utf8_lossy(&r.body), r.complete)
            }
            Received::BadBody => "bad body".to_owned(),
        }
    }

    #[test]
    fn responses_are_read_up_to_where_they_came() {
        let table: [(&[u8], &str, &str); 12] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "GET", "200 hello true"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhel", "GET", "200 hel false"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", "200  true"),
            (b"HTTP/1.0 200 OK\r\n\r\nall", "GET", "200 all false"),
            (b"HTTP/1.1 503\r\n\r\n", "GET", "503  false"),
            (b"HTTP/1.1 200 OK\r\nFoo: b", "GET", "partial"),
            (b"", "GET", "partial"),
            (b"\x00\x01garbage\r\n\r\n", "GET", "malformed"),
            (b"200 OK\r\n\r\n", "GET", "malformed"),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
                "GET",
                "200 hello true",
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3", "GET", "200 he false"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nheXX", "GET", "bad body"),
        ];
        for (input, method, expected) in table {
            assert_eq!(view(input, method), expected, "{}", input.escape_ascii());
        }
    }
}
