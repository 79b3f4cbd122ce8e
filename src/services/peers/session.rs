//! One connection between two peers: what is received here, what is sent in `writer`. What a peer tells is handed to the
//! homes before more is read, so that a fast peer waits in its own socket.

use super::table::{Lessons, Remote};
use super::{LastStatus, Peer, Section, count, resync, writer};
use crate::base::clock::Millis;
use crate::engine::reactor::TaskId;
use crate::model::state::counters::ProcessCounter;
use crate::proto::peers::Fault;
use crate::proto::peers::definition::Definition;
use crate::proto::peers::dictionary::{Received, Sent};
use crate::proto::peers::entry;
use crate::proto::peers::message::{self, Control, Kind, Message};
use crate::proto::peers::varint::Reader;
use crate::services::line::Line;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// A peer that has sent nothing for this long is gone (`doc/peers.txt`).
const SILENCE_MS: u64 = 5000;
/// Tables that a peer may define; one that defines more is faulty.
const DEFINITIONS_MAX: usize = 1024;
/// Entries that are handed to the homes at once.
const LESSON_MAX: usize = 256;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Share,
    /// To tell all, and to end when the other side has confirmed it.
    TeachAndLeave,
}

pub struct Session {
    /// Not 0, and another for each connection.
    pub number: u32,
    pub section: Rc<Section>,
    pub peer: Rc<Peer>,
    pub line: Line,
    purpose: Purpose,
    reader: Cell<TaskId>,
    pub writer: Cell<TaskId>,
    pub closed: Cell<bool>,
    pub orders: Orders,
    /// For each shared table.
    pub tables: RefCell<Vec<State>>,
    pub sent: RefCell<Sent>,
    pub received: RefCell<Received>,
    /// The shared tables whose entries were received and defined last.
    pub remote_table: Cell<Option<usize>>,
    pub local_table: Cell<Option<usize>>,
    /// When a sign of life is due.
    pub heartbeat_at: Cell<Millis>,
}

/// What the writer is to send.
#[derive(Default)]
pub struct Orders {
    /// Ends of teaching to confirm.
    pub confirm: Cell<u32>,
    pub ask_for_all: Cell<bool>,
    /// All is to be told, from the start.
    pub teach: Cell<bool>,
    /// We have told all, and the other side has not confirmed.
    pub unconfirmed: Cell<bool>,
}

/// A table on a connection.
pub struct State {
    /// For each home: the last change that was sent, and whether there are more.
    pub pushed: Vec<(u64, bool)>,
    /// Number of the last update that was sent.
    pub number: u32,
    /// Numbers of updates with the homes' changes that they stand for, until they are acknowledged.
    pub unacked: VecDeque<(u32, usize, u64)>,
    pub acked_number: u32,
    /// The peer's number of the table; of the last update that it sent, and that we acknowledged.
    pub remote_id: u64,
    pub remote_data: u64,
    pub got: u32,
    pub got_acked: u32,
}

impl Session {
    /// Entries of a table changed at a home.
    pub fn news(&self, table: usize, home: usize) {
        if let Some(state) = self.tables.borrow_mut().get_mut(table) {
            state.pushed[home].1 = true;
        }
        self.stir();
    }

    /// The writer has something to do.
    pub fn stir(&self) {
        self.section.cx.rt.wake(self.writer.get());
    }

    pub fn ask_for_all(&self) {
        self.orders.ask_for_all.set(true);
        self.stir();
    }

    /// Ends the connection soon.
    pub fn close(&self) {
        self.closed.set(true);
        self.section.cx.rt.wake(self.reader.get());
    }
}

/// Talks with a peer until the connection ends. `start`: what was received after the handshake.
pub async fn run(section: Rc<Section>, peer: Rc<Peer>, line: Line, start: Vec<u8>, purpose: Purpose) {
    let cx = section.cx.clone();
    let fresh = |homes: &Vec<u64>| State {
        pushed: homes.iter().map(|acked| (*acked, true)).collect(),
        number: 0,
        unacked: VecDeque::new(),
        acked_number: 0,
        remote_id: 0,
        remote_data: 0,
        got: 0,
        got_acked: 0,
    };
    let tables: Vec<State> = peer.acked.borrow().iter().map(fresh).collect();
    cx.sessions.set(cx.sessions.get().wrapping_add(1).max(1));
    let session = Rc::new(Session {
        number: cx.sessions.get(),
        tables: RefCell::new(tables),
        section: section.clone(),
        peer: peer.clone(),
        line,
        purpose,
        reader: Cell::new(cx.rt.current()),
        writer: Cell::default(),
        closed: Cell::new(false),
        orders: Orders::default(),
        sent: RefCell::default(),
        received: RefCell::default(),
        remote_table: Cell::new(None),
        local_table: Cell::new(None),
        heartbeat_at: Cell::new(Millis::NEVER),
    });
    let old = peer.session.replace(Some(session.clone()));
    if let Some(old) = old {
        count(&peer.told.collisions);
        old.close();
    }
    session.orders.teach.set(purpose == Purpose::TeachAndLeave);
    peer.told.last_status.set(Some(LastStatus::Established));
    peer.told.handshake.set(Some(cx.now()));
    peer.spent.set(false);
    let held = Held(session.clone());
    held.gauges(1);
    session.writer.set(cx.rt.spawn(writer::run(session.clone())));
    // The task that connects rests while there is a session.
    cx.rt.wake(peer.connector.get());
    resync::assign(&section);
    if let Err(fault) = read(&session, start).await {
        count(&peer.told.faults);
        let mut last = Vec::new();
        message::error(fault, &mut last);
        session.line.send_last(&last);
    }
    drop(held);
}

/// Cleans up after a session however it ends.
struct Held(Rc<Session>);

impl Held {
    fn gauges(&self, by: i64) {
        self.0.section.cx.gauge(ProcessCounter::ActivePeers, by);
        self.0.section.cx.gauge(ProcessCounter::ConnectedPeers, by);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let session = &self.0;
        session.closed.set(true);
        self.gauges(-1);
        session.section.cx.rt.kill(session.writer.get());
        let peer = &session.peer;
        let mine = peer.session.borrow().as_ref().is_some_and(|s| Rc::ptr_eq(s, session));
        if mine {
            peer.session.take();
        }
        resync::lost(&session.section, session);
        session.section.cx.rt.wake(peer.connector.get());
    }
}

/// Receives until the connection ends.
///
/// # Errors
/// What the peer did wrong.
async fn read(session: &Rc<Session>, mut input: Vec<u8>) -> Result<(), Fault> {
    let mut school = School { session, definitions: HashMap::new(), current: None, lessons: Lessons::default() };
    loop {
        let mut used = 0;
        while let Some((message, length)) = Message::read(&input[used..])? {
            used += length;
            if !school.message(message).await? {
                return Ok(());
            }
        }
        school.hand_over().await;
        input.drain(..used);
        if !receive(session, &mut input).await {
            return Ok(());
        }
    }
}

/// Appends what comes next; false at the end.
async fn receive(session: &Session, input: &mut Vec<u8>) -> bool {
    let cx = &session.section.cx;
    let deadline: Millis = cx.now().plus(SILENCE_MS);
    poll_fn(|_| {
        if session.closed.get() {
            return Poll::Ready(false);
        }
        match session.line.poll_recv(input) {
            Poll::Ready(more) => Poll::Ready(more),
            Poll::Pending if cx.rt.reached(deadline) => {
                count(&session.peer.told.heartbeats_missed);
                Poll::Ready(false)
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// What a connection has taught so far.
struct School<'s> {
    session: &'s Rc<Session>,
    /// By the peer's numbers; `None`: a table that is not shared here, or not alike.
    definitions: HashMap<u64, Option<Rc<Remote>>>,
    /// Whose updates come.
    current: Option<Rc<Remote>>,
    lessons: Lessons,
}

impl School<'_> {
    /// Takes in one message. False: the connection has served its purpose.
    async fn message(&mut self, message: Message<'_>) -> Result<bool, Fault> {
        let session = self.session;
        match message {
            Message::Control(control) => return Ok(self.control(control).await),
            Message::Error(_) => return Ok(false),
            Message::Definition(data) => {
                self.hand_over().await;
                let definition = Definition::read(data)?;
                if self.definitions.len() >= DEFINITIONS_MAX && !self.definitions.contains_key(&definition.id) {
                    return Err(Fault::TooLong);
                }
                let id = definition.id;
                let remote = Remote::of(&session.section, definition).map(Rc::new);
                if let Some(remote) = &remote {
                    let state = &mut session.tables.borrow_mut()[remote.table];
                    (state.remote_id, state.remote_data) = (id, remote.bits());
                    session.remote_table.set(Some(remote.table));
                }
                self.current = remote.clone();
                self.definitions.insert(id, remote);
            }
            Message::Switch(data) => {
                self.hand_over().await;
                let id = Reader(data).integer()?;
                self.current = self.definitions.get(&id).cloned().flatten();
            }
            Message::Update(kind, data) => {
                self.update(kind, data)?;
                if self.lessons.len() >= LESSON_MAX {
                    self.hand_over().await;
                }
            }
            Message::Ack { table, update } => self.acknowledged(table, update),
            Message::Other => {}
        }
        Ok(true)
    }

    async fn control(&mut self, control: Control) -> bool {
        let session = self.session;
        match control {
            Control::ResyncRequest => session.orders.teach.set(true),
            Control::ResyncFinished | Control::ResyncPartial => {
                self.hand_over().await;
                session.orders.confirm.set(session.orders.confirm.get().saturating_add(1));
                resync::taught(&session.section, session, control == Control::ResyncFinished);
            }
            Control::ResyncConfirm => {
                session.orders.unconfirmed.set(false);
                return session.purpose != Purpose::TeachAndLeave;
            }
            Control::Heartbeat => count(&session.peer.told.heartbeats_received),
        }
        session.stir();
        true
    }

    fn update(&mut self, kind: Kind, data: &[u8]) -> Result<(), Fault> {
        // A table that is not shared here.
        let Some(remote) = &self.current else { return Ok(()) };
        let session = self.session;
        let mut learned = remote.begin();
        let mut words = session.received.borrow_mut();
        let update = entry::read(&remote.definition, kind, data, &mut words, |column, index, value| {
            remote.value(&session.section, &mut learned, column.data, index, value);
        })?;
        let state = &mut session.tables.borrow_mut()[remote.table];
        state.got = update.number.unwrap_or(state.got.wrapping_add(1));
        self.lessons.push(&session.section, remote, learned, update.key, update.left_ms);
        Ok(())
    }

    /// The peer has all updates of a table up to this one.
    fn acknowledged(&self, id: u64, number: u32) {
        let session = self.session;
        let Some(table) = session.section.tables.iter().position(|t| t.wire_id() == id) else { return };
        let state = &mut session.tables.borrow_mut()[table];
        state.acked_number = number;
        while let Some(&(sent, home, change)) = state.unacked.front() {
            // Numbers go round: what is less than half of it ahead is later.
            if sent.wrapping_sub(number) as i32 > 0 {
                break;
            }
            state.unacked.pop_front();
            session.peer.acked.borrow_mut()[table][home] = change;
        }
    }

    /// Gives what was gathered to the homes.
    async fn hand_over(&mut self) {
        if self.lessons.len() > 0 {
            self.lessons.hand_over(&self.session.section, self.session.number).await;
            self.session.stir();
        }
    }
}
