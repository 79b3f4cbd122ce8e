//! Writing a report: a slice is made, the client takes it, and others have their turn before the next. The control thread
//! often shares its core with a worker, which waits as long as we compute; so the core is given up between two slices, and
//! a long report goes at the pace of all long answers (`pace`). Whoever does not read holds a slice and no more.

use super::process::Seat;
use super::{Control, flush};
use crate::admin::runtime_api::{Answer, with_scene};
use crate::admin::stats::report::Report;
use crate::engine::Conn;
use crate::engine::task::{next_turn, until};
use crate::model::bind::Level;
use std::rc::Rc;

/// Bytes of a slice, about: a dozen lines of `show stat`, which take a twentieth of a millisecond.
const SLICE: usize = 4 << 10;

/// Writes the report as someone of this level sees it. What remains to be answered, behind the last slice in `out`; `None`
/// when the client is not there any more.
pub async fn run(
    control: &Rc<Control>,
    conn: &Conn,
    seat: &Seat<'_>,
    level: Level,
    mut report: Report,
    out: &mut Vec<u8>,
) -> Option<Answer> {
    let mut answer = control.desk.pace.begin();
    while with_scene(seat, level, |scene| report.write_slice(scene, SLICE, out)) {
        let now = control.rt.now().mono;
        let due = answer.due(now, out.len());
        if due > now {
            until(&control.rt, due).await;
        }
        if !flush(conn, out, seat.timeout()).await {
            return None;
        }
        if due <= now {
            // Nobody waits for a short answer: but a worker that became ready meanwhile goes first.
            std::thread::yield_now();
            next_turn(&control.rt).await;
        }
    }
    Some(Answer::Empty)
}
