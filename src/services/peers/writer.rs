//! What a connection sends: answers that are due, then all entries where the peer asked for them, then those that changed.
//! At most one piece is prepared ahead of what the peer takes.

use super::session::{Session, State};
use super::table::{PIECE_ENTRIES, write_update};
use super::{Section, count};
use crate::base::clock::Millis;
use crate::dataplane::tables::handle::Cursor;
use crate::dataplane::tables::message::Listed;
use crate::engine::task::before;
use crate::proto::peers::message::{self, Control, Kind};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// After so long without anything to say a sign of life is sent (`doc/peers.txt`).
const HEARTBEAT_MS: u64 = 3000;
/// Changes of this time go out together: an entry that changes all the time is sent once for each.
const PAUSE_MS: u64 = 5;
/// A peer that takes nothing for this long is given up.
const STALL_MS: u64 = 30_000;
/// Bytes that are enough to be sent.
const PIECE: usize = 16 << 10;
/// Pieces that may wait for an acknowledgement and are remembered one by one; of more, the oldest is forgotten: what it
/// held is sent again after a break.
const UNACKED_MAX: usize = 1024;

/// Where the telling of everything is.
#[derive(Default)]
struct Teaching {
    table: usize,
    cursor: Cursor,
    /// The last change of each home when the table's turn came: what changed before is told with everything.
    changes: Vec<u64>,
}

impl State {
    /// What was sent until now holds the home's changes up to this one.
    fn await_ack(&mut self, home: usize, change: u64) {
        if self.unacked.len() >= UNACKED_MAX {
            self.unacked.pop_front();
        }
        self.unacked.push_back((self.number, home, change));
    }
}

struct Writer {
    session: Rc<Session>,
    out: Vec<u8>,
    teaching: Option<Teaching>,
    /// The table of the last definition, and whether an update has followed it.
    defined: Option<(usize, bool)>,
    sent_at: Millis,
    pushed_at: Millis,
}

pub async fn run(session: Rc<Session>) {
    let now = session.section.cx.now();
    let out = Vec::with_capacity(PIECE);
    let mut writer = Writer { session, out, teaching: None, defined: None, sent_at: now, pushed_at: Millis(0) };
    while writer.turn().await {}
    writer.session.close();
}

impl Writer {
    fn section(&self) -> &Rc<Section> {
        &self.session.section
    }

    /// Sends once, or waits. False: the connection has ended.
    async fn turn(&mut self) -> bool {
        self.answers();
        if self.session.orders.teach.take() {
            self.teaching = Some(Teaching::default());
        }
        if self.teaching.is_some() {
            self.teach().await;
        } else if self.section().cx.now() >= self.next_push() {
            self.push().await;
        }
        if self.out.is_empty() {
            self.rest().await;
        }
        self.out.is_empty() || self.send().await
    }

    /// What is short and due.
    fn answers(&mut self) {
        let session = &self.session;
        for _ in 0..session.orders.confirm.take().min(64) {
            message::control(Control::ResyncConfirm, &mut self.out);
        }
        if session.orders.ask_for_all.take() {
            message::control(Control::ResyncRequest, &mut self.out);
        }
        for state in session.tables.borrow_mut().iter_mut() {
            if state.got != state.got_acked {
                state.got_acked = state.got;
                message::ack(state.remote_id, state.got, &mut self.out);
            }
        }
    }

    fn next_push(&self) -> Millis {
        self.pushed_at.plus(PAUSE_MS)
    }

    /// A home that has changes to send: table and home.
    fn pending(&self) -> Option<(usize, usize)> {
        let tables = self.session.tables.borrow();
        let home = |state: &State| state.pushed.iter().position(|(_, more)| *more);
        tables.iter().enumerate().find_map(|(table, state)| Some((table, home(state)?)))
    }

    /// Prepares a piece of what changed.
    async fn push(&mut self) {
        while self.out.len() < PIECE {
            let Some((table, home)) = self.pending() else {
                self.pushed_at = self.section().cx.now();
                return;
            };
            let after = {
                let place = &mut self.session.tables.borrow_mut()[table].pushed[home];
                // News that come while the home is asked set it again.
                place.1 = false;
                place.0
            };
            let section = self.section().clone();
            let number = section.tables[table].number;
            let (list, last, more) = section.cx.tables.updates(number, home, after, PIECE_ENTRIES).await;
            for entry in &list {
                self.update(table, entry, false);
            }
            let state = &mut self.session.tables.borrow_mut()[table];
            state.pushed[home].0 = last;
            state.pushed[home].1 |= more;
            if last != after {
                state.await_ack(home, last);
            }
        }
    }

    /// Prepares a piece of everything.
    async fn teach(&mut self) {
        let section = self.section().clone();
        while self.out.len() < PIECE {
            let Some(teaching) = &mut self.teaching else { return };
            let table = teaching.table;
            let Some(shared) = section.tables.get(table) else {
                self.teaching = None;
                let complete = section.resync.is_done();
                let end = if complete { Control::ResyncFinished } else { Control::ResyncPartial };
                message::control(end, &mut self.out);
                self.session.orders.unconfirmed.set(true);
                return;
            };
            if teaching.changes.is_empty() {
                for home in 0..section.cx.tables.registry.workers() {
                    // News that come from here on are told after everything.
                    self.session.tables.borrow_mut()[table].pushed[home].1 = false;
                    let (_, last, _) = section.cx.tables.updates(shared.number, home, 0, 0).await;
                    teaching.changes.push(last);
                    self.session.tables.borrow_mut()[table].pushed[home].0 = last;
                }
            }
            match section.cx.tables.list(shared.number, &mut teaching.cursor).await {
                // What this connection has told us needs no echo: the peer may have changed it since.
                Some(list) => {
                    let own = self.session.number;
                    list.iter().filter(|entry| entry.source != own).for_each(|entry| self.update(table, entry, true));
                }
                None => {
                    for (home, change) in teaching.changes.iter().enumerate() {
                        self.session.tables.borrow_mut()[table].await_ack(home, *change);
                    }
                    self.teaching = Some(Teaching { table: table + 1, ..Teaching::default() });
                }
            }
        }
    }

    /// Appends an entry, with the definition of its table where another was spoken of.
    fn update(&mut self, table: usize, entry: &Listed, timed: bool) {
        let section = self.session.section.clone();
        let shared = &section.tables[table];
        if !section.is_for(&self.session.peer, shared, &entry.key) {
            return;
        }
        if self.defined.is_none_or(|(defined, _)| defined != table) {
            message::definition(&shared.definition, &mut self.out);
            self.defined = Some((table, false));
            self.session.local_table.set(Some(table));
        }
        let incremental = self.defined == Some((table, true));
        self.defined = Some((table, true));
        let number = {
            let state = &mut self.session.tables.borrow_mut()[table];
            state.number = state.number.wrapping_add(1);
            state.number
        };
        let kind = Kind { incremental, timed };
        write_update(&section, shared, kind, number, entry, &mut self.session.sent.borrow_mut(), &mut self.out);
    }

    fn has_work(&self) -> bool {
        let (session, orders) = (&self.session, &self.session.orders);
        let asked = orders.confirm.get() > 0 || orders.ask_for_all.get() || orders.teach.get();
        let acks = || session.tables.borrow().iter().any(|s| s.got != s.got_acked);
        // News within the pause wake the task at its end.
        let push = || self.pending().is_some() && self.section().cx.rt.reached(self.next_push());
        asked || acks() || push()
    }

    /// Waits for something to do; sends a sign of life where there is nothing for long.
    async fn rest(&mut self) {
        let (rt, heartbeat) = (self.section().cx.rt.clone(), self.sent_at.plus(HEARTBEAT_MS));
        self.session.heartbeat_at.set(heartbeat);
        let waits = self.pending().is_some();
        let deadline = if waits { heartbeat.min(self.next_push()) } else { heartbeat };
        // What was ordered while homes were asked must not wait either.
        let work = poll_fn(|_| if self.has_work() { Poll::Ready(()) } else { Poll::Pending });
        let _ = before(&rt, deadline, work).await;
        if rt.now().mono >= heartbeat {
            count(&self.session.peer.told.heartbeats_sent);
            message::control(Control::Heartbeat, &mut self.out);
        }
    }

    async fn send(&mut self) -> bool {
        let cx = self.section().cx.clone();
        self.sent_at = cx.now();
        let sent = before(&cx.rt, cx.now().plus(STALL_MS), self.session.line.send(&self.out)).await == Ok(true);
        self.out.clear();
        sent
    }
}
