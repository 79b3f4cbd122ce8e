//! Reading a ring for `show events`, as long as the client listens. A slow reader costs no event but its own: what is
//! overwritten meanwhile it does not see.

use super::process::Seat;
use super::{Control, PIECE, flush};
use crate::admin::runtime_api::Answer;
use crate::admin::runtime_api::command::events::Reading;
use crate::engine::Conn;
use crate::engine::task::{Either, race};
use std::rc::Rc;

/// Writes events. What remains to be answered; `None` when the client is not there any more.
pub async fn run(
    control: &Rc<Control>,
    conn: &Conn,
    seat: &Seat<'_>,
    reading: Reading,
    out: &mut Vec<u8>,
) -> Option<Answer> {
    let (rings, ring) = (&control.rings, reading.ring);
    rings.take_in();
    let (first, end) = rings.places(ring);
    let mut place = if reading.new { end } else { first };
    loop {
        while out.len() < PIECE && rings.next(ring, &mut place, out) {
            out.push(reading.end);
        }
        if !out.is_empty() {
            if !flush(conn, out, seat.timeout()).await {
                return None;
            }
            continue;
        }
        if !reading.wait {
            return Some(Answer::Empty);
        }
        match race(conn.recv(), rings.event_at(ring, place)).await {
            // Any input ends it and is discarded, and so does the end of the session.
            Either::First(Ok(_)) => return Some(Answer::Empty),
            Either::First(Err(_)) => return None,
            Either::Second(()) => {}
        }
    }
}
