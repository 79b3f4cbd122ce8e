//! Idle server connections from a process to its successor, beside its sockets (`inherit`) and state (`carry`). The new one
//! asks early; it gets a channel of its own, on which connections come once the old one has been told to leave, and then as
//! its requests end, until it is gone. A message is some lines, each with its descriptor: names of backend and server,
//! milliseconds idle, requests carried, whether it was shared, and what it was made with.

use super::inherit;
use super::master::channel;
use super::supervise::Control;
use super::transfer;
use crate::dataplane::bequest::{Bequest, likeness};
use crate::dataplane::worker::Mail;
use crate::engine::driver::Fd;
use crate::engine::task::before;
use crate::engine::{Conn, handover, process};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// What a successor asks for.
pub const REQUEST: &[u8] = b"_getidle\n";
/// The answer, which comes with the two channels.
const MAGIC: &str = "ringway-idle 2";
/// Connections in a message, and bytes of a line, at most.
const BATCH: usize = 16;
const LINE_MAX: usize = 1024;
/// How long the successor may take to make room for a message, in milliseconds.
const PATIENCE_MS: u64 = 1000;

// ---- the old process ----

/// Who takes the idle connections, and those that wait to be sent there.
#[derive(Default)]
pub struct Bequests {
    heir: RefCell<Option<Rc<OwnedFd>>>,
    waiting: RefCell<VecDeque<Bequest>>,
    sending: Cell<bool>,
}

impl Bequests {
    /// Some are still on their way.
    pub fn is_busy(&self) -> bool {
        self.sending.get()
    }

    pub fn has_heir(&self) -> bool {
        self.heir.borrow().is_some()
    }
}

/// Answers [`REQUEST`]. The last one who asks gets them.
pub fn open(control: &Rc<Control>, conn: &Conn) {
    let (Ok((near, far)), Ok((sessions, theirs))) = (channel::pair(), channel::pair()) else { return };
    let channels = [far.as_raw_fd(), theirs.as_raw_fd()];
    if handover::send(conn.fd(), format!("{MAGIC}\n").as_bytes(), &channels).is_err() {
        return;
    }
    transfer::open(control, sessions);
    *control.bequests.heir.borrow_mut() = Some(Rc::new(near));
    if control.accepts_no_more.get() {
        control.tell_all(|| Mail::Bequeath);
    }
}

/// A worker lets go of a connection.
pub fn send(control: &Rc<Control>, bequest: Bequest) {
    let bequests = &control.bequests;
    bequests.waiting.borrow_mut().push_back(bequest);
    if !bequests.sending.replace(true) {
        control.rt.spawn(send_all(control.clone()));
    }
}

async fn send_all(control: Rc<Control>) {
    let bequests = &control.bequests;
    loop {
        let batch: Vec<Bequest> = {
            let mut waiting = bequests.waiting.borrow_mut();
            let n = waiting.len().min(BATCH);
            waiting.drain(..n).collect()
        };
        let Some(heir) = bequests.heir.borrow().clone().filter(|_| !batch.is_empty()) else { break };
        if !send_batch(&control, heir.as_raw_fd(), &batch).await {
            *bequests.heir.borrow_mut() = None;
        }
    }
    bequests.waiting.borrow_mut().clear();
    bequests.sending.set(false);
    control.leave();
}

/// False when nobody takes them.
async fn send_batch(control: &Control, heir: Fd, batch: &[Bequest]) -> bool {
    let (mut text, mut fds) = (String::new(), Vec::new());
    for bequest in batch {
        if let Some(line) = write_line(control, bequest) {
            text.push_str(&line);
            fds.push(bequest.socket.as_raw_fd());
        }
    }
    while !fds.is_empty() {
        match handover::send(heir, text.as_bytes(), &fds) {
            Ok(_) => break,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let deadline = control.rt.now().mono.plus(PATIENCE_MS);
                if before(&control.rt, deadline, control.rt.poll_fd(heir, libc::POLLOUT)).await.is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}

fn write_line(control: &Control, bequest: &Bequest) -> Option<String> {
    let Bequest { proxy, server, idle_ms, requests, safe, .. } = *bequest;
    let (plan, board) = (&control.shared.plan, &control.shared.board);
    let live = board.live.server(proxy, server)?;
    let made_with = likeness(plan, proxy, live)?.replace(['\t', '\n'], " ");
    let mut line = format!("{}\t{}\t", plan.proxies[proxy].name, live.settings.name);
    let _ = writeln!(line, "{idle_ms}\t{requests}\t{}\t{made_with}", u8::from(safe));
    (line.len() <= LINE_MAX).then_some(line)
}

// ---- the new process ----

/// Where what the former process leaves will come.
pub struct Channels {
    pub idle: OwnedFd,
    /// TCP sessions (`transfer`).
    pub sessions: OwnedFd,
}

/// Asks on a connection to the runtime API of the old process for its idle connections and TCP sessions.
///
/// # Errors
/// Those of reading and writing; what is no answer is `InvalidData`.
pub fn ask(mut stream: &UnixStream) -> io::Result<Channels> {
    stream.write_all(REQUEST)?;
    let mut fds = VecDeque::new();
    let head = inherit::line(stream, &mut fds);
    let mut channels = fds.into_iter().filter_map(process::inherited);
    match (head?, channels.next(), channels.next()) {
        (head, Some(idle), Some(sessions)) if head == MAGIC => Ok(Channels { idle, sessions }),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Takes what comes until the old process has gone: as many connections as this process may have from clients.
pub async fn take(control: Rc<Control>, channel: OwnedFd) {
    if rustix::io::ioctl_fionbio(&channel, true).is_err() {
        return;
    }
    let most = control.shared.board.live.process.hard_maxconn.load(Ordering::Relaxed);
    let mut message = vec![0; BATCH * LINE_MAX];
    let mut taken = 0;
    loop {
        let _ = control.rt.poll_fd(channel.as_raw_fd(), libc::POLLIN).await;
        let (n, fds) = match handover::receive(channel.as_raw_fd(), &mut message) {
            Ok((0, _)) => return,
            Ok(received) => received,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => continue,
            Err(_) => return,
        };
        let sockets: Vec<Option<OwnedFd>> = fds.into_iter().map(process::inherited).collect();
        let Ok(text) = std::str::from_utf8(&message[..n]) else { return };
        for (line, socket) in text.lines().zip(sockets) {
            let bequest = socket.filter(|_| taken < most).and_then(|socket| read_line(&control, line, socket));
            if let Some(bequest) = bequest {
                let worker = taken as usize % control.shared.board.workers();
                control.tell(worker, Mail::Bequest(Box::new(bequest)));
                taken += 1;
            }
        }
    }
}

/// A connection that this process would have made the same way.
fn read_line(control: &Control, line: &str, socket: OwnedFd) -> Option<Bequest> {
    let [backend, server, idle_ms, requests, safe, made_with] = line.split('\t').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (plan, board) = (&control.shared.plan, &control.shared.board);
    let proxy = plan.backend(backend)?;
    let server = board.live.backend(proxy).find(server)?;
    let ours = likeness(plan, proxy, board.live.server(proxy, server)?)?.replace(['\t', '\n'], " ");
    (ours == made_with).then_some(())?;
    let (idle_ms, requests) = (idle_ms.parse().ok()?, requests.parse().ok()?);
    Some(Bequest { proxy, server, socket, idle_ms, requests, safe: safe == "1" })
}
