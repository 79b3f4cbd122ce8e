//! The origin's HTTP/1.1: finds one request in a buffer and makes its answer. Knows no sockets. It keeps to what
//! RFC 9112 asks of a server that only ever meets a proxy or a generator, and answers 400 to the rest.

use std::collections::HashMap;
use std::rc::Rc;

use super::body;

/// One request's outcome for the connection that asked.
#[derive(Debug)]
pub struct Reply {
    pub bytes: Rc<[u8]>,
    /// Send after so many milliseconds.
    pub delay_ms: u64,
    pub close: bool,
}

/// What `/count` tells.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counters {
    pub connections: u64,
    pub requests: u64,
    pub log_lines: u64,
}

/// Who asks, for `/e`.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    pub connection: u64,
    pub request: u64,
}

#[derive(Default)]
pub struct Answers {
    ready: HashMap<(String, bool), Rc<[u8]>>,
}

/// A request found at the front of the buffer: how long it is, and its answer.
pub enum Found {
    Incomplete,
    Request { bytes: usize, reply: Reply },
}

impl Answers {
    pub fn next(&mut self, input: &[u8], asker: Asker, counters: &mut Counters) -> Found {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let head_bytes = match request.parse(input) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            Ok(httparse::Status::Partial) => return Found::Incomplete,
            Err(_) => return self.bad(input.len()),
        };
        let mut close = request.version == Some(0);
        let mut length = 0;
        let mut chunked = false;
        for header in request.headers.iter() {
            if header.name.eq_ignore_ascii_case("connection") {
                close |= header.value.eq_ignore_ascii_case(b"close");
            } else if header.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).unwrap_or("");
                let Ok(bytes) = text.parse::<usize>() else { return self.bad(input.len()) };
                length = bytes;
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = true;
            }
        }
        let body = &input[head_bytes..];
        let body_bytes = if chunked { chunked_end(body) } else { (body.len() >= length).then_some(length) };
        let Some(body_bytes) = body_bytes else { return Found::Incomplete };
        counters.requests += 1;
        let target = request.path.unwrap_or("/");
        let target = target.split_once('?').map_or(target, |(path, _)| path);
        let reply = match target {
            "/e" => {
                let mut body = format!("connection {} request {}\n", asker.connection, asker.request).into_bytes();
                body.extend_from_slice(&input[..head_bytes]);
                Reply { bytes: render("200 OK", "text/plain", &body, close), delay_ms: 0, close }
            }
            "/count" => {
                let body = format!(
                    "{{\"connections\":{},\"requests\":{},\"log_lines\":{}}}",
                    counters.connections, counters.requests, counters.log_lines
                );
                Reply { bytes: render("200 OK", "application/json", body.as_bytes(), close), delay_ms: 0, close }
            }
            _ => self.of_path(target, close),
        };
        Found::Request { bytes: head_bytes + body_bytes, reply }
    }

    fn of_path(&mut self, path: &str, close: bool) -> Reply {
        let delay_ms = path.strip_prefix("/d/").and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let key = (path.to_owned(), close);
        if let Some(bytes) = self.ready.get(&key) {
            return Reply { bytes: bytes.clone(), delay_ms, close };
        }
        let bytes = match body::of_path(path) {
            Some(body) if path.starts_with("/c/") => render_chunked(&body, close),
            Some(body) if path.starts_with("/j/") => render("200 OK", "application/json", &body, close),
            Some(body) => render("200 OK", "application/octet-stream", &body, close),
            None => render("404 Not Found", "text/plain", b"no such path\n", close),
        };
        self.ready.insert(key, bytes.clone());
        Reply { bytes, delay_ms, close }
    }

    fn bad(&self, bytes: usize) -> Found {
        let answer = render("400 Bad Request", "text/plain", b"not understood\n", true);
        Found::Request { bytes, reply: Reply { bytes: answer, delay_ms: 0, close: true } }
    }
}

fn render(status: &str, kind: &str, body: &[u8], close: bool) -> Rc<[u8]> {
    let closing = if close { "Connection: close\r\n" } else { "" };
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{closing}\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes.into()
}

/// Chunks of 4 kB, the last one shorter.
fn render_chunked(body: &[u8], close: bool) -> Rc<[u8]> {
    let closing = if close { "Connection: close\r\n" } else { "" };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked";
    let mut bytes = format!("{head}\r\n{closing}\r\n").into_bytes();
    for chunk in body.chunks(4096) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes.into()
}

/// Where a chunked body without trailers ends, once it is all there.
fn chunked_end(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = body.get(at..)?.windows(2).position(|pair| pair == b"\r\n")?;
        let digits = std::str::from_utf8(&body[at..at + line]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(digits.trim(), 16).ok()?;
        at = at.checked_add(line + 2)?.checked_add(size)?.checked_add(2)?;
        if body.len() < at {
            return None;
        }
        if size == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKER: Asker = Asker { connection: 3, request: 4 };

    fn answer(input: &str) -> (usize, String, Reply) {
        match Answers::default().next(input.as_bytes(), ASKER, &mut Counters::default()) {
            Found::Request { bytes, reply } => (bytes, String::from_utf8_lossy(&reply.bytes).into_owned(), reply),
            Found::Incomplete => panic!("incomplete: {input:?}"),
        }
    }

    #[test]
    fn a_pipelined_request_is_left_in_the_buffer() {
        let (bytes, text, reply) = answer("GET /s/3 HTTP/1.1\r\nHost: a\r\n\r\nGET /");
        assert_eq!(bytes, 30);
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("Content-Length: 3\r\n"), "{text}");
        assert!(!reply.close);
    }

    #[test]
    fn request_bodies_are_consumed() {
        assert_eq!(answer("POST /s/1 HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcdX").0, 45);
        let chunked = "POST /s/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(answer(chunked).0, chunked.len());
    }

    #[test]
    fn a_body_cut_anywhere_is_incomplete() {
        let whole = "POST /s/1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        for cut in 0..whole.len() {
            let found = Answers::default().next(&whole.as_bytes()[..cut], ASKER, &mut Counters::default());
            assert!(matches!(found, Found::Incomplete), "cut at {cut}");
        }
    }

    #[test]
    fn the_echo_shows_the_head_and_the_connection() {
        let text = answer("GET /e HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n").1;
        assert!(text.contains("connection 3 request 4\nGET /e HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4"), "{text}");
    }

    #[test]
    fn close_is_obeyed_and_said() {
        let (_, text, reply) = answer("GET /c/5000 HTTP/1.1\r\nConnection: close\r\n\r\n");
        assert!(reply.close && text.contains("Connection: close\r\n"));
    }
}
