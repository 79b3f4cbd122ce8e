//! The last invalid request and response of each proxy, for `show errors` (management guide 9.3). Bounded: one message of
//! at most a buffer for each proxy and direction.

use super::session::Session;
use super::stream::Exchange;
use crate::language::logformat::write_log_date;
use crate::model::plan::{Plan, ProxyIndex, ServerIndex};
use crate::model::state::board::Board;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Bytes of a message that are kept.
const KEPT: usize = 16_384;

/// What was wrong, and with whom.
#[derive(Debug)]
pub struct Capture {
    pub wall_us: u64,
    /// The frontend of an invalid request, the backend of an invalid response.
    pub proxy: ProxyIndex,
    /// The other proxy, once known.
    pub other: Option<ProxyIndex>,
    pub server: Option<(ProxyIndex, ServerIndex)>,
    pub source: Option<SocketAddr>,
    pub position: usize,
    pub bytes: Vec<u8>,
    event: u64,
}

#[derive(Debug)]
pub struct Captures {
    requests: Vec<Mutex<Option<Capture>>>,
    responses: Vec<Mutex<Option<Capture>>>,
    events: AtomicU64,
}

impl Captures {
    pub fn new(proxies: usize) -> Captures {
        let slots = || (0..proxies).map(|_| Mutex::default()).collect();
        Captures { requests: slots(), responses: slots(), events: AtomicU64::new(0) }
    }

    fn request(&self, capture: Capture) {
        self.keep(&self.requests, capture);
    }

    fn response(&self, capture: Capture) {
        self.keep(&self.responses, capture);
    }

    fn keep(&self, slots: &[Mutex<Option<Capture>>], mut capture: Capture) {
        capture.event = self.events.fetch_add(1, Ordering::Relaxed);
        capture.bytes.truncate(KEPT);
        if let Some(slot) = slots.get(capture.proxy) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(capture);
        }
    }

    /// The blocks of `show errors`; the value is how many events there were.
    pub fn write(
        &self,
        plan: &Plan,
        board: &Board,
        only: Option<ProxyIndex>,
        (request, response): (bool, bool),
        utc_offset: i32,
        out: &mut Vec<u8>,
    ) -> u64 {
        for proxy in (0..plan.proxies.len()).filter(|p| only.is_none_or(|o| o == *p)) {
            for (wanted, slots, is_request) in [(request, &self.requests, true), (response, &self.responses, false)] {
                let slot = slots[proxy].lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(capture) = slot.as_ref().filter(|_| wanted) {
                    capture.write(plan, board, is_request, utc_offset, out);
                }
            }
        }
        self.events.load(Ordering::Relaxed)
    }
}

/// Keeps what could not be read as a request. The message so far is in the exchange, or this piece is all of it.
pub fn bad_request(s: &Session, ex: &Exchange, piece: &[u8], position: usize) {
    let mut capture = Capture::new(s.proxy, s.w.rt.now().wall_us, message(ex, piece), position);
    capture.source = s.facts.borrow().src;
    s.w.shared.captures.request(capture);
}

/// Keeps what could not be read as a response.
pub fn bad_response(s: &Session, ex: &Exchange, piece: &[u8], position: usize) {
    let proxy = ex.backend.unwrap_or(s.proxy);
    let mut capture = Capture::new(proxy, s.w.rt.now().wall_us, message(ex, piece), position);
    capture.source = s.facts.borrow().src;
    capture.other = Some(s.proxy);
    capture.server = ex.server;
    s.w.shared.captures.response(capture);
}

fn message(ex: &Exchange, piece: &[u8]) -> Vec<u8> {
    let bytes = if ex.input.is_empty() { piece } else { &ex.input };
    bytes[..bytes.len().min(KEPT)].to_vec()
}

impl Capture {
    fn new(proxy: ProxyIndex, wall_us: u64, bytes: Vec<u8>, position: usize) -> Capture {
        Capture { wall_us, proxy, other: None, server: None, source: None, position, bytes, event: 0 }
    }

    fn write(&self, plan: &Plan, board: &Board, request: bool, utc_offset: i32, out: &mut Vec<u8>) {
        let title = |p: Option<ProxyIndex>| match p {
            Some(p) => format!("{} (#{})", plan.proxies[p].name, plan.proxies[p].id),
            None => "<NONE> (#-1)".to_owned(),
        };
        let server = self.server.and_then(|(p, s)| board.live.server(p, s));
        let server =
            server.map_or("<NONE> (#-1)".to_owned(), |s| format!("{} (#{})", s.settings.name, s.settings.id));
        let source = self.source.map_or("unix:0".to_owned(), |a| a.to_string());
        out.extend_from_slice(b" \n[");
        write_log_date(self.wall_us, utc_offset, out);
        let (what, side, other) =
            if request { ("request", "frontend", "backend") } else { ("response", "backend", "frontend") };
        // Writing to a Vec cannot fail.
        let _ = writeln!(out, "] {side} {}: invalid {what}", title(Some(self.proxy)));
        let _ =
            writeln!(out, "  {other} {}, server {server}, event #{}, src {source}", title(self.other), self.event);
        let free = KEPT.saturating_sub(self.bytes.len());
        let _ = writeln!(out, "  buffer starts at 0 (including 0 out), {free} free,");
        let _ = writeln!(out, "  len {}, wraps at {KEPT}, error at position {}", self.bytes.len(), self.position);
        let _ = writeln!(out, "  ");
        dump(&self.bytes, out);
    }
}

/// Lines of at most 64 bytes, each with its place; `+` marks one that continues the line before.
fn dump(bytes: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    let mut continues = false;
    while at < bytes.len() {
        let _ = write!(out, "  {at:05}{} ", if continues { "+" } else { " " });
        let mut width = 0;
        continues = true;
        while at < bytes.len() && width < 64 {
            let b = bytes[at];
            at += 1;
            let start = out.len();
            match b {
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b' '..=b'~' => out.push(b),
                _ => {
                    let _ = write!(out, "\\x{b:02X}");
                }
            }
            width += out.len() - start;
            if b == b'\n' {
                continues = false;
                break;
            }
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_line_by_line() {
        let mut out = Vec::new();
        dump(b"GET / HTTP/1.1\r\nHo\x01st", &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "  00000  GET / HTTP/1.1\\r\\n\n  00016  Ho\\x01st\n");
    }
}
