//! TCP sessions that go on in the process that follows this one, so that a long connection keeps no old process alive. Once
//! that process is there, a stopping worker asks its sessions, a few at a time. One that is asked comes to rest
//! (`relay`), writes its [`account`] and offers its two sockets; the other process prepares a session of its own and says
//! so; only then is it told to begin, and this one lets go. Whatever fails on the way, the session goes on where it was.
//! Letters between the two go through their control threads.

pub mod account;

use super::connect::{self, Link};
use super::registry::{Moves, Place};
use super::relay::Progress;
use super::session::{Counted, Session};
use super::stream::{Exchange, tcp};
use super::tables::message::Ask;
use super::tables::slots::Slots;
use super::tables::{Place as Entry, Reached};
use super::transport::Transport;
use super::worker::{Mail, Worker, has_no_room};
use crate::base::slab::{Key, Slab};
use crate::engine::frame::{self, Frame};
use crate::engine::process;
use crate::engine::reactor::TaskId;
use crate::engine::task::{before, sleep};
use crate::engine::{Conn, Rt};
use crate::language::facts;
use crate::model::proxy::Mode;
use account::Account;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Poll;

/// Sessions of one worker that are between two processes at a time: they pass no bytes meanwhile.
const MOST: usize = 32;
/// After how many of them memory is given back.
const TRIMMED: usize = 8;
/// How long the two directions of a session may take to come to rest, in milliseconds: a peer that does not read may take for
/// ever. The first holds up nothing, as it could receive nothing until then anyway; it waits for the second.
pub const REST_MS: [u64; 2] = [2000, 1000];
/// How long the other process may take to answer, in milliseconds.
const ANSWER_MS: u64 = 1000;
/// After how long those that could not go are asked again, in milliseconds: at first, and at most when none of them ever can.
const AGAIN_MS: u64 = 1000;
const AGAIN_MAX_MS: u64 = 16_000;

/// Letters between workers and the control thread about sessions that move.
#[derive(Debug)]
pub enum Message {
    /// To the control thread: a session is offered, under this key of the worker's.
    Offer(Key, Offer),
    /// To the control thread: it was not answered in time. What has been decided until then holds.
    Withdraw(Key),
    /// From the control thread: what became of the offer.
    Decided(Key, Outcome),
    /// From the control thread: another process takes sessions, or none does any more.
    Heir(bool),
    /// From the control thread of the other process: a session, by its number.
    Offered(u64, Offer),
    /// To it: whether that was prepared.
    Prepared(u64, Outcome),
    /// From it: the session begins, or it does not come.
    Settled(u64, bool),
}

/// A session on its way: all that is to be known of it, and the client's and the server's socket.
#[derive(Debug)]
pub struct Offer {
    pub account: String,
    pub sockets: [OwnedFd; 2],
}

/// What becomes of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The other process has it.
    Taken,
    /// There is no place for it just now.
    Later,
    /// The other process serves nothing like it.
    Never,
}

/// One worker's part of it, leaving and arriving.
#[derive(Default)]
pub struct Transfers {
    has_heir: Cell<bool>,
    driver: Cell<Option<TaskId>>,
    /// A session has gone since the round before, or may well go soon.
    soon: Cell<bool>,
    /// Sessions that were asked and are not through with it.
    asked: Cell<usize>,
    offers: RefCell<Slab<Waiting>>,
    /// Sessions that have been offered to this process.
    arriving: RefCell<HashMap<u64, Expected>>,
}

struct Expected {
    task: TaskId,
    begins: Option<bool>,
}

struct Waiting {
    task: TaskId,
    outcome: Option<Outcome>,
}

impl Transfers {
    /// It is worth while to ask again.
    pub fn ask_soon(&self) {
        self.soon.set(true);
    }
}

/// A letter has come from the control thread.
pub fn receive(w: &Rc<Worker>, message: Message) {
    let transfers = &w.transfers;
    match message {
        Message::Heir(is_there) => {
            transfers.has_heir.set(is_there);
            if is_there && transfers.driver.get().is_none() {
                transfers.driver.set(Some(w.rt.spawn(ask_all(w.clone()))));
            }
        }
        Message::Decided(key, outcome) => {
            if let Some(waiting) = transfers.offers.borrow_mut().get_mut(key) {
                waiting.outcome = Some(outcome);
                w.rt.wake(waiting.task);
            }
        }
        Message::Offered(number, offer) => {
            let task = w.rt.spawn(arrive(w.clone(), number, offer));
            transfers.arriving.borrow_mut().insert(number, Expected { task, begins: None });
        }
        Message::Settled(number, begins) => {
            if let Some(expected) = transfers.arriving.borrow_mut().get_mut(&number) {
                expected.begins = Some(begins);
                w.rt.wake(expected.task);
            }
        }
        Message::Offer(..) | Message::Withdraw(_) | Message::Prepared(..) => {}
    }
}

// ---- the old process ----

/// Asks sessions to go on in the other process, and those that stayed again.
async fn ask_all(w: Rc<Worker>) {
    let transfers = &w.transfers;
    let (mut pause_ms, mut since) = (AGAIN_MS, 0);
    loop {
        for place in w.registry.movable() {
            while transfers.asked.get() >= MOST {
                w.wait_for_wake().await;
            }
            if transfers.has_heir.get() && place.moves.get() == Moves::May {
                transfers.asked.set(transfers.asked.get() + 1);
                place.moves.set(Moves::Asked);
                place.wake(&w);
                since += 1;
                if since % TRIMMED == 0 {
                    give_memory_back(&w);
                }
            }
        }
        sleep(&w.rt, pause_ms).await;
        give_memory_back(&w);
        pause_ms = if transfers.soon.take() { AGAIN_MS } else { (2 * pause_ms).min(AGAIN_MAX_MS) };
    }
}

/// What sessions had that have gone: the other process needs as much for them now.
fn give_memory_back(w: &Worker) {
    w.exchanges.forget();
    frame::forget();
    process::trim();
}

/// A session is asked no more, for now or for good (`then`).
pub fn not_asked(w: &Worker, place: &Place, then: Moves) {
    if place.moves.replace(then) == Moves::Asked {
        w.transfers.asked.set(w.transfers.asked.get() - 1);
        if let Some(driver) = w.transfers.driver.get() {
            w.rt.wake(driver);
        }
    }
}

/// Offers a session at rest. Until the outcome is known nothing may be received or sent on its connections.
pub async fn offer(w: &Rc<Worker>, account: Option<String>, connections: [&Conn; 2]) -> Outcome {
    let Some(account) = account else { return Outcome::Never };
    // Second descriptors: the engine closes its own as it does any other.
    let twin = |conn: &Conn| process::inherited(process::duplicate(conn.fd()).ok()?);
    let [Some(client), Some(server)] = connections.map(twin) else { return Outcome::Later };
    let waiting = Waiting { task: w.rt.current(), outcome: None };
    let key = w.transfers.offers.borrow_mut().insert(waiting);
    let offered = Offered(w, key);
    offered.tell(Message::Offer(key, Offer { account, sockets: [client, server] }));
    let deadline = w.rt.now().mono.plus(ANSWER_MS);
    let outcome = match before(&w.rt, deadline, offered.outcome()).await {
        Ok(outcome) => outcome,
        Err(_) => {
            offered.tell(Message::Withdraw(key));
            offered.outcome().await
        }
    };
    if outcome == Outcome::Taken {
        w.transfers.ask_soon();
    }
    outcome
}

/// An offer without an answer. Dropped, since its session is ended from outside, it is withdrawn.
struct Offered<'a>(&'a Rc<Worker>, Key);

impl Offered<'_> {
    fn tell(&self, message: Message) {
        self.0.send(self.0.board.workers(), Mail::Transfer(message));
    }

    async fn outcome(&self) -> Outcome {
        poll_fn(|_| {
            let offers = self.0.transfers.offers.borrow();
            offers.get(self.1).and_then(|offer| offer.outcome).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

impl Drop for Offered<'_> {
    fn drop(&mut self) {
        let waiting = self.0.transfers.offers.borrow_mut().remove(self.1);
        if waiting.is_some_and(|waiting| waiting.outcome.is_none()) {
            self.tell(Message::Withdraw(self.1));
        }
    }
}

// ---- the new process ----

/// A session of the former process, counted here and ready to begin.
struct Arrival {
    s: Session,
    ex: Box<Exchange>,
    link: Link,
    progress: Progress,
    _counted: Counted,
}

/// A number of `Transfers::arriving`, until it is settled.
struct Arriving<'a>(&'a Worker, u64);

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.0.transfers.arriving.borrow_mut().remove(&self.1);
    }
}

/// The life of a session that comes from the former process.
async fn arrive(w: Rc<Worker>, number: u64, offer: Offer) {
    let arriving = Arriving(&w, number);
    let tell = |outcome| w.send(w.board.workers(), Mail::Transfer(Message::Prepared(number, outcome)));
    let mut arrival = match prepare(&w, offer).await {
        Ok(arrival) => arrival,
        Err(outcome) => return tell(outcome),
    };
    tell(Outcome::Taken);
    let begins = poll_fn(|_| match w.transfers.arriving.borrow().get(&number) {
        Some(Expected { begins: None, .. }) => Poll::Pending,
        settled => Poll::Ready(settled.and_then(|s| s.begins) == Some(true)),
    });
    let begins = begins.await;
    drop(arriving);
    if begins {
        Frame::new(tcp::go_on(&mut arrival.s, arrival.ex, arrival.link, arrival.progress)).await;
    } else {
        tcp::leave(&w, &mut arrival.ex);
        w.exchanges.give(arrival.ex);
    }
}

/// Finds the session's place in this process and takes it.
async fn prepare(w: &Rc<Worker>, offer: Offer) -> Result<Arrival, Outcome> {
    use Outcome::{Later, Never};
    let account = Account::read(&offer.account).ok_or(Never)?;
    let (proxy, bind) = account.frontend(&w.plan).ok_or(Never)?;
    let backend = w.plan.backend(account.backend).ok_or(Never)?;
    let server = w.board.live.backend(backend).find(account.server).ok_or(Never)?;
    let live = w.board.live.server(backend, server).filter(|live| !live.is_deleted()).ok_or(Never)?;
    if w.plan.proxies[backend].mode != Mode::Tcp || account::encrypts(live) {
        return Err(Never);
    }
    // Its address may yet have to be resolved here.
    let is_same = account::address(live) == account.address;
    // Who stops takes only what can go on from here, and nothing once it may end at any moment.
    if !is_same || w.stopping.get() && !w.transfers.has_heir.get() || w.has_reported.get() {
        return Err(Later);
    }
    let is_full = |others| has_no_room(w, proxy, bind, others);
    let counted = w.board.places.take(w.index, is_full, || Counted::again(w, proxy, bind)).ok_or(Later)?;
    let slot = match live.maxconn() == 0 && !w.backends[backend].balancer.borrow().needs_slots() {
        true => None,
        false => Some(connect::slot(w, backend, server).ok_or(Later)?),
    };
    let adopt = |rt: &Rt, socket| Conn::adopt(rt, socket).map_err(|_| Later);
    let [client, upstream] = offer.sockets;
    let (client, upstream) = (adopt(&w.rt, client)?, adopt(&w.rt, upstream)?);
    let facts = facts::Session::new(w.names[proxy].listeners[bind].clone());
    let mut s = Session::new(w.clone(), (proxy, bind), client, facts, account.start);
    let mut ex = w.exchanges.take();
    ex.begin(&s, account.start);
    let Some(progress) = account.tell(&mut s, &mut ex) else {
        w.exchanges.give(ex);
        return Err(Never);
    };
    track(w, &account, &mut s, &mut ex).await;
    let mut transport = Transport::from(upstream);
    transport.note_ends(ex.facts.server_dst);
    let link = Link::again(w, (backend, server), transport, slot);
    ex.stays_with(w, backend, server);
    s.last_server.set(ex.server);
    Ok(Arrival { s, ex, link, progress, _counted: counted })
}

/// Tracks again what was tracked, in the tables that are still there.
async fn track(w: &Rc<Worker>, account: &Account<'_>, s: &mut Session, ex: &mut Exchange) {
    for tracked in account.tracked(w) {
        let (table, key) = (tracked.table, &tracked.key);
        let hash = w.shared.tables.hash(table, key);
        let reach = || w.tables.reach(table, key, hash, true);
        let mut found = reach();
        if let Reached::Elsewhere(_) = found {
            w.tables.wait_for(w.tables.ask(table, key, hash, Ask::Lease)).await;
            found = reach();
        }
        // Without room in the table nothing is tracked, as ever.
        let Reached::At(entry) = found else { continue };
        let attach = |slots: &mut Slots, entry: Entry| slots.attach_again(&w.tables, tracked.slot, table, entry);
        match tracked.of_stream {
            true => attach(ex.tracked.get_mut(), entry),
            false => attach(&mut s.tracked().borrow_mut(), entry),
        }
    }
}
