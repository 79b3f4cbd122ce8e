//! The runtime API's sockets (management guide 9.3) on the control thread's reactor: an accept loop for each, a task for
//! each connection. At most `stats maxconn` are served at once, the others wait; a connection that neither asks nor reads
//! for `stats timeout` ends. Commands run here, between two turns of the loop; what they need from workers is gathered
//! before (`gather`), and what may be long is written piece by piece (`report`, `table`, `descriptors`, `events`).

mod descriptors;
mod events;
pub mod gather;
mod pace;
mod process;
mod report;
mod table;

use super::supervise::Control;
use super::{bequest, carry, inherit};
use crate::admin::runtime_api::{
    catalogue,
    session::{CliSession, SeverityOutput, Then},
};
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::dataplane::worker::Followed;
use crate::engine::driver::{Fd, sockets};
use crate::engine::handover;
use crate::engine::listener::Listener;
use crate::engine::task::{Either, before, race, sleep, until};
use crate::engine::{Chain, Conn, Piece};
use crate::model::bind::{Bind, Level, SeverityOutput as Written};
use crate::model::state::counters::ProcessCounter;
use process::Seat;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE_MS: u64 = 100;
/// How often a waiting command looks again.
const WAIT_STEP_MS: u64 = 20;
/// Bytes of an answer that are given to the kernel at once.
pub const PIECE: usize = 16 << 10;

/// What all connections share.
#[derive(Default)]
pub struct Desk {
    open: Cell<u32>,
    /// Accept loops that wait for a connection to end.
    full: RefCell<Vec<crate::engine::reactor::TaskId>>,
    pace: pace::Pace,
}

/// Serves the connections of one socket.
pub async fn accept(control: Rc<Control>, number: usize, fd: Fd) {
    let listener = Listener::new(&control.rt, fd);
    let most = control.shared.plan.global.stats_maxconn.max(1);
    loop {
        while control.desk.open.get() >= most {
            listener.pause();
            control.desk.full.borrow_mut().push(control.rt.current());
            wait_for_wake().await;
        }
        match listener.accept(None).await {
            Ok(conn) => {
                while control.desk.open.get() >= most {
                    listener.pause();
                    control.desk.full.borrow_mut().push(control.rt.current());
                    wait_for_wake().await;
                }
                let place = Place::take(&control);
                let Some(bind) = control.shared.plan.global.stats_sockets.get(number) else { return };
                let door = Door { session: open(bind), exposes: bind.expose_fd_listeners, heir: false };
                let control = control.clone();
                control.rt.clone().spawn(async move {
                    serve(control, door, conn).await;
                    drop(place);
                });
            }
            Err(_) => sleep(&control.rt, ACCEPT_PAUSE_MS).await,
        }
    }
}

/// Counts a connection while it lives.
struct Place(Rc<Control>);

impl Place {
    fn take(control: &Rc<Control>) -> Place {
        control.desk.open.set(control.desk.open.get() + 1);
        Place(control.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let desk = &self.0.desk;
        desk.open.set(desk.open.get() - 1);
        for task in desk.full.borrow_mut().drain(..) {
            self.0.rt.wake(task);
        }
    }
}

/// Counts a session for `show info`.
struct Counted(Rc<Control>);

impl Counted {
    fn new(control: &Rc<Control>) -> Counted {
        control.shared.board.control().process().add(ProcessCounter::ApiConns, 1);
        Counted(control.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.shared.board.control().process().sub(ProcessCounter::ApiConns, 1);
    }
}

async fn wait_for_wake() {
    let mut first = true;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut first, false) { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await
}

/// What a connection may do.
pub struct Door {
    pub session: CliSession,
    /// Listening sockets and idle server connections are given to who asks.
    pub exposes: bool,
    /// It comes from our master: secrets are given to who asks.
    pub heir: bool,
}

/// Serves one connection to its end.
pub async fn serve(control: Rc<Control>, door: Door, conn: Conn) {
    let Door { mut session, exposes, heir } = door;
    let _counted = Counted::new(&control);
    let mut seat = Seat::new(&control);
    let mut out = Vec::new();
    let mut then = Then::Read;
    let mut ended = false;
    loop {
        then = match then {
            Then::Read if ended => break,
            Then::Read => {
                if !flush(&conn, &mut out, seat.timeout()).await {
                    return;
                }
                match before(&control.rt, seat.deadline(), conn.recv()).await {
                    Ok(Ok(Some(bytes))) if exposes && *bytes == *inherit::REQUEST => {
                        hand_over(&control, &conn, seat.deadline()).await;
                        Then::Read
                    }
                    Ok(Ok(Some(bytes))) if exposes && *bytes == *bequest::REQUEST => {
                        bequest::open(&control, &conn);
                        Then::Read
                    }
                    Ok(Ok(Some(bytes))) if heir && *bytes == *carry::STATE => {
                        if !carry::give_state(&control, &conn, seat.timeout()).await {
                            return;
                        }
                        Then::Read
                    }
                    Ok(Ok(Some(bytes))) if heir && *bytes == *carry::TABLES => {
                        if !carry::give_tables(&control, &conn, seat.timeout()).await {
                            return;
                        }
                        Then::Read
                    }
                    Ok(Ok(Some(bytes))) => session.feed(&bytes, &mut seat, &mut out),
                    // A client may end its direction and still wait for its answer; what is no whole line is none.
                    Ok(Ok(None)) => {
                        ended = true;
                        Then::Read
                    }
                    Ok(Err(_)) | Err(_) => return,
                }
            }
            Then::Flush => {
                if !flush(&conn, &mut out, seat.timeout()).await {
                    return;
                }
                session.resume(&mut seat, &mut out)
            }
            Then::Gather(need) => {
                let wanted = gather::gather(&control, need, seat.deadline());
                // Who hangs up meanwhile is not waited for.
                match wanted.await {
                    Some(news) => seat.take(need, news),
                    None => return,
                }
                let before = out.len();
                let then = session.resume(&mut seat, &mut out);
                seat.forget();
                let due = control.desk.pace.begin().due(control.rt.now().mono, out.len() - before);
                until(&control.rt, due).await;
                then
            }
            Then::Report(report) => {
                let level = session.state().level;
                match report::run(&control, &conn, &seat, level, report, &mut out).await {
                    Some(answer) => session.answered(answer, &mut seat, &mut out),
                    None => return,
                }
            }
            Then::Table(job) => match table::run(&control, &conn, &seat, job, &mut out).await {
                Some(answer) => session.answered(answer, &mut seat, &mut out),
                None => return,
            },
            Then::Descriptors(wanted) => match descriptors::run(&control, &conn, &seat, wanted, &mut out).await {
                Some(answer) => session.answered(answer, &mut seat, &mut out),
                None => return,
            },
            Then::Events(reading) => match events::run(&control, &conn, &seat, reading, &mut out).await {
                Some(answer) => session.answered(answer, &mut seat, &mut out),
                None => return,
            },
            Then::Wait { until_ms } => {
                if !flush(&conn, &mut out, seat.timeout()).await {
                    return;
                }
                let step = Millis(until_ms.min(control.rt.now().mono.plus(WAIT_STEP_MS).0));
                if ended {
                    until(&control.rt, step).await;
                    match sockets::has_hung_up(conn.fd()) {
                        // Whoever has gone interrupts as if it said something: nobody waits for the rest.
                        true => session.feed(&[], &mut seat, &mut out),
                        false => session.resume(&mut seat, &mut out),
                    }
                } else {
                    match race(conn.recv(), until(&control.rt, step)).await {
                        Either::First(Ok(Some(bytes))) => session.feed(&bytes, &mut seat, &mut out),
                        Either::First(Ok(None)) => {
                            ended = true;
                            Then::Wait { until_ms }
                        }
                        Either::First(Err(_)) => return,
                        Either::Second(()) => session.resume(&mut seat, &mut out),
                    }
                }
            }
            // A worker is no master.
            Then::Close | Then::Forward(_) | Then::Reload { .. } => break,
        };
    }
    if flush(&conn, &mut out, seat.timeout()).await {
        // What the client still sends must not destroy the answer on its way.
        conn.shutdown_write();
        if !ended {
            let _ = before(&control.rt, seat.deadline(), drain(&conn)).await;
        }
    }
}

/// Gives all listening sockets to a successor.
async fn hand_over(control: &Control, conn: &Conn, deadline: Millis) {
    control.launch.followed.set(Followed::AtSockets);
    let exposed = control.launch.exposed.borrow().iter().map(|e| (e.name.clone(), e.fd)).collect::<Vec<_>>();
    for (bytes, fds) in inherit::answer(&exposed) {
        let (mut rest, mut fds) = (bytes.as_slice(), fds);
        while !rest.is_empty() {
            match handover::send(conn.fd(), rest, &fds) {
                Ok(n) => {
                    rest = &rest[n..];
                    fds.clear();
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    let room = control.rt.poll_fd(conn.fd(), libc::POLLOUT);
                    if before(&control.rt, deadline, room).await.is_err() {
                        return;
                    }
                    // A soft stop meanwhile: the numbers may stand for something else by now.
                    if control.launch.exposed.borrow().len() != exposed.len() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

/// Takes what arrives until the client has ended its direction too, within reason.
pub async fn drain(conn: &Conn) {
    let mut left = 4 << 20;
    while let Ok(Some(bytes)) = conn.recv().await {
        left -= bytes.len().min(left);
        if left == 0 {
            return;
        }
    }
}

/// Waits until the client is gone that has ended its direction before: engines tell one as the other.
pub async fn hangs_up(conn: &Conn) {
    while !sockets::has_hung_up(conn.fd()) {
        sleep(conn.rt(), WAIT_STEP_MS).await;
    }
}

/// A session with all commands.
pub fn session(level: Level) -> CliSession {
    CliSession::new(level, catalogue::TABLES.to_vec())
}

fn open(bind: &Bind) -> CliSession {
    let mut session = session(bind.level);
    session.set_severity(match bind.severity_output {
        Written::None => SeverityOutput::None,
        Written::Number => SeverityOutput::Number,
        Written::String => SeverityOutput::String,
    });
    session
}

/// Sends what there is, piece by piece; false when the client does not take it within the timeout or has gone.
pub async fn flush(conn: &Conn, out: &mut Vec<u8>, timeout_ms: u64) -> bool {
    if out.is_empty() {
        return true;
    }
    let rt = conn.rt();
    let bytes = std::mem::take(out);
    for piece in bytes.chunks(PIECE) {
        let mut chain = Chain::new();
        chain.push(Piece::Block(Block::copy_of(piece), 0));
        while !chain.is_empty() {
            let sending = conn.send(chain);
            let Ok(done) = before(rt, rt.now().mono.plus(timeout_ms), sending).await else { return false };
            match done.result {
                Ok(n) => {
                    chain = done.chain;
                    chain.advance(n);
                }
                Err(_) => return false,
            }
        }
    }
    true
}
