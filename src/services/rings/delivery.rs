//! Sends a ring's events to one of its servers over a stream, framed as RFC 6587 says (`log-proto`), and connects again
//! when the stream breaks, at most once a second.

use super::Rings;
use crate::base::clock::Millis;
use crate::engine::task::{Either, before, race, until};
use crate::model::ring::RingIndex;
use crate::model::server::{LogProto, Server};
use crate::services::line::Line;
use std::io::Write;
use std::rc::Rc;

/// Time between two attempts to connect, in milliseconds.
const AGAIN_MS: u64 = 1000;
/// Bytes that are sent at once.
const BATCH: usize = 16 << 10;

/// Serves one server as long as the process lives.
pub async fn run(rings: Rc<Rings>, ring: RingIndex, number: usize) {
    let plan = rings.shared.plan.clone();
    let settings = &plan.rings[ring];
    let server = &settings.servers[number];
    let Some(address) = &server.address else { return };
    loop {
        let now = rings.rt.now().mono;
        let deadline = settings.timeout_connect_ms.map_or(Millis::NEVER, |ms| now.plus(ms));
        let line = before(&rings.rt, deadline, Line::open(&rings.rt, address, server, &rings.clients)).await;
        if let Ok(Some(line)) = line {
            rings.rings[ring].connected.borrow_mut()[number] = true;
            talk(&rings, &line, (ring, number), server, settings.timeout_server_ms).await;
            rings.rings[ring].connected.borrow_mut()[number] = false;
        }
        until(&rings.rt, now.plus(AGAIN_MS)).await;
    }
}

/// Sends what there is and what comes, until the stream ends. Events count as read once the kernel has taken them.
async fn talk(
    rings: &Rings,
    line: &Line,
    (ring, number): (RingIndex, usize),
    server: &Server,
    timeout_ms: Option<u64>,
) {
    let mut bytes = Vec::new();
    let mut sent = 0;
    loop {
        let mut place = rings.rings[ring].buffer.borrow().pin(number);
        bytes.clear();
        sent += batch(rings, ring, &mut place, server.log_proto, &mut bytes);
        if bytes.is_empty() {
            // What a server says is not looked at; that it goes is.
            let mut said = Vec::new();
            match race(line.recv(&mut said), rings.event_at(ring, place)).await {
                Either::First(false) => return,
                _ => continue,
            }
        }
        if line.conn.has_ended() {
            return;
        }
        let deadline = timeout_ms.map_or(Millis::NEVER, |ms| rings.rt.now().mono.plus(ms));
        if before(&rings.rt, deadline, line.send(&bytes)).await != Ok(true) {
            return;
        }
        rings.rings[ring].buffer.borrow_mut().set_pin(number, place);
        if server.max_reuse.is_some_and(|most| sent > u64::from(most)) {
            return;
        }
    }
}

/// Appends framed events, as many as are sent at once, and counts them.
fn batch(rings: &Rings, ring: RingIndex, place: &mut u64, proto: LogProto, bytes: &mut Vec<u8>) -> u64 {
    let mut event = Vec::new();
    let mut count = 0;
    while bytes.len() < BATCH && rings.next(ring, place, &mut event) {
        match proto {
            LogProto::Legacy => {
                bytes.append(&mut event);
                bytes.push(b'\n');
            }
            LogProto::OctetCount => {
                // Writing to a Vec cannot fail.
                let _ = write!(bytes, "{} ", event.len());
                bytes.append(&mut event);
            }
        }
        count += 1;
    }
    count
}
