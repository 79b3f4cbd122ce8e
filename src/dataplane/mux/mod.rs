//! Connections that carry many streams at once (HTTP/2, RFC 9113). One task drives a connection: it reads, hands what
//! came to its streams and sends what they have made. Each stream is a task of its own that holds a [`Stream`] as its
//! transport. What streams put is gathered and leaves in one send a turn. [`frontend`] has the connections of clients,
//! [`backend`] those to servers.

pub mod backend;
pub mod frontend;
mod out;
mod ping;
mod stream;

pub use stream::{Reader, Stream};

use super::transport::{SendError, Transport};
use super::worker::Worker;
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::frame::Frame;
use crate::engine::reactor::TaskId;
use crate::engine::task::{before, yield_now};
use crate::engine::{Chain, Piece};
use crate::language::facts;
use crate::model::global::Tune;
use crate::proto::h2::{Config, Connection, ErrorCode, Event, Role, StreamId};
use crate::proto::http::head::Head;
use out::Out;
use ping::{Beat, IdlePing};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use stream::State;

/// Bytes that wait to be sent; a stream that has more waits until they have left.
const OUT_MAX: usize = 64 * 1024;
/// Nothing is read while so much waits: answers to a peer that does not read do not pile up.
const OUT_FULL: usize = 2 * OUT_MAX;
/// Streams that are opened before other tasks have their turn.
const OPENED_PER_TURN: usize = 32;
/// A peer that was told of the end is waited for so long.
const PARTING_MS: u64 = 1000;
/// How often it is looked whether the last answers have come to a client.
const LINGER_MS: u64 = 50;
/// Streams' memory that a worker keeps for the next ones.
const SPARE: usize = 256;

/// The memory of streams that are over, of all connections of a worker: an idle one keeps none.
#[derive(Default)]
pub struct Spare(RefCell<Vec<Rc<State>>>);

/// One connection and its streams.
pub struct Mux {
    w: Rc<Worker>,
    role: Role,
    codec: RefCell<Connection>,
    out: RefCell<Out>,
    /// What is sent is encrypted, which takes bytes in one piece.
    encrypts: Cell<bool>,
    /// In the order of their ids.
    streams: RefCell<Vec<Rc<State>>>,
    /// Tasks that have data to send, in their turn: the first of them puts some and goes behind the others.
    turns: RefCell<VecDeque<TaskId>>,
    /// Tasks that wait until what was put has room.
    breathing: RefCell<Vec<TaskId>>,
    /// Who drives the connection.
    driver: Cell<TaskId>,
    /// Nothing passes any more.
    ended: Cell<bool>,
    /// The server takes nothing more: what it has said so far is still read.
    deaf: Cell<bool>,
    /// The peer is told nothing more (`silent-drop`).
    silent: Cell<bool>,
    /// The peer's settings have come.
    introduced: Cell<bool>,
    /// A stream waits for them before its head leaves, and none begins behind it: heads leave in the order of their
    /// streams' ids (RFC 9113 §5.1.1).
    held: Cell<bool>,
    /// No further stream is to begin: either side has said so.
    closing: Cell<bool>,
    parting: Cell<Parting>,
    /// What the peer did amiss so far.
    glitches: Cell<u32>,
    /// Streams that have begun.
    begun: Cell<u32>,
    /// When the last stream ended.
    idle_since: Cell<Millis>,
    /// When the head began that is not whole yet.
    head_since: Cell<Option<Millis>>,
    idle_ping: Option<Box<IdlePing>>,
    /// What is known of a server's TLS.
    tls: Option<Rc<facts::Tls>>,
}

/// Why a connection is read no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The peer has closed, or the connection broke.
    Closed,
    /// The peer broke the protocol, and is being told.
    Fault,
    /// Its time is over.
    Idle,
}

/// How far a connection has parted from its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    Not,
    /// It was told that the end is near; at this moment it must have heard.
    Told(Millis),
    Heard,
}

/// What depends on the side a connection is on.
trait Side {
    /// A head has come on a stream that is not known yet.
    fn begin(&self, mux: &Rc<Mux>, stream: StreamId, ended: bool);
    /// Streams that the peer may have begun at once.
    fn streams_max(&self) -> usize;
    /// When the connection closes if nothing happens. Called while no stream is open.
    fn deadline(&self, mux: &Mux) -> Millis;
    /// The connection is to end once its streams have.
    fn retires(&self, mux: &Mux) -> bool;
    /// Milliseconds in which a send has to move something.
    fn send_timeout(&self) -> Option<u64>;
    /// An event was read; for counters.
    fn note(&self, event: &Event);
    /// The peer did what no well-behaved one does, `n` times more, `total` times by now. True: it is enough.
    fn glitched(&self, n: u32, total: u32) -> bool;
    /// The peer broke the protocol and is told so.
    fn faulted(&self);
}

/// What a connection of either side announces and bounds alike.
fn config(tune: &Tune, role: Role) -> Config {
    Config {
        header_table_size: tune.h2_header_table_size,
        max_frame_size: tune.h2_max_frame_size.unwrap_or(16_384),
        head_bytes: tune.buffer_room(),
        head_fields: tune.http_maxhdr.saturating_sub(1),
        ..Config::new(role)
    }
}

impl Mux {
    /// `idle_ping_ms`: as `idle-ping` has it.
    fn new(w: &Rc<Worker>, config: Config, idle_ping_ms: Option<u64>, tls: Option<Rc<facts::Tls>>) -> Rc<Mux> {
        let mut out = Out::default();
        let role = config.role;
        let codec = Connection::new(config, out.bytes());
        Rc::new(Mux {
            w: w.clone(),
            role,
            codec: RefCell::new(codec),
            out: RefCell::new(out),
            encrypts: Cell::new(false),
            streams: RefCell::default(),
            turns: RefCell::default(),
            breathing: RefCell::default(),
            driver: Cell::new(w.rt.current()),
            ended: Cell::new(false),
            deaf: Cell::new(false),
            silent: Cell::new(false),
            introduced: Cell::new(false),
            held: Cell::new(false),
            closing: Cell::new(false),
            parting: Cell::new(Parting::Not),
            glitches: Cell::new(0),
            begun: Cell::new(0),
            idle_since: Cell::new(w.rt.now().mono),
            head_since: Cell::default(),
            idle_ping: IdlePing::every(idle_ping_ms, w.rt.now().mono),
            tls,
        })
    }

    /// Nothing that is put leaves any more.
    fn is_cut(&self) -> bool {
        self.ended.get() || self.deaf.get()
    }

    /// Open streams.
    fn open(&self) -> usize {
        self.streams.borrow().len()
    }

    /// Where frames to be sent go.
    fn out(&self) -> RefMut<'_, Block> {
        RefMut::map(self.out.borrow_mut(), Out::bytes)
    }

    /// What an idle connection does not need goes back to the worker.
    fn rest(&self) {
        self.out.borrow_mut().rest();
        if self.open() == 0 && self.codec.borrow().head().capacity() > 0 {
            let mut head = Head::new();
            self.codec.borrow_mut().swap_head(&mut head);
            self.w.heads.give(head);
        }
    }

    fn wake(&self) {
        self.w.rt.wake(self.driver.get());
    }

    fn state(&self, id: StreamId) -> Option<Rc<State>> {
        let streams = self.streams.borrow();
        streams.binary_search_by_key(&id, |s| s.id.get()).ok().map(|i| streams[i].clone())
    }

    /// The place of a new stream; ids only grow.
    fn enter(self: &Rc<Mux>, id: StreamId) -> Stream {
        let state = self.w.spare_streams.0.borrow_mut().pop().unwrap_or_default();
        state.begin(id, self.w.rt.current());
        self.streams.borrow_mut().push(state.clone());
        self.begun.set(self.begun.get() + 1);
        if let Some(ping) = &self.idle_ping {
            ping.stir();
        }
        Stream::new(self.clone(), state)
    }

    /// A stream is over for those who held it.
    fn leave(&self, state: &Rc<State>) {
        let mut streams = self.streams.borrow_mut();
        if let Ok(i) = streams.binary_search_by_key(&state.id.get(), |s| s.id.get()) {
            let state = streams.remove(i);
            // Nobody will take what is left: the connection's window has to have it back.
            let left = state.clear();
            if left > 0 {
                self.released(state.id.get(), left);
            }
            let mut spare = self.w.spare_streams.0.borrow_mut();
            // A reader of its body may still hold it.
            if spare.len() < SPARE && Rc::strong_count(&state) <= 2 {
                spare.push(state);
            }
        }
        if streams.is_empty() {
            self.idle_since.set(self.w.rt.now().mono);
        }
        drop(streams);
        self.wake();
    }

    /// Drives the connection until it is over. `first`: what has been received already.
    async fn drive<S: Side>(self: &Rc<Mux>, transport: &Transport, first: Piece, side: &S) {
        self.driver.set(self.w.rt.current());
        self.encrypts.set(transport.encrypts());
        let ended = {
            let mut reading = pin!(self.read(transport, first, side));
            let mut writing = pin!(self.write(transport, side));
            let mut ended = None;
            poll_fn(|cx| {
                if ended.is_none()
                    && let Poll::Ready(end) = reading.as_mut().poll(cx)
                {
                    ended = Some(end);
                    self.end();
                    if end == End::Closed {
                        return Poll::Ready(());
                    }
                }
                // What was said last still leaves, behind what is on its way.
                let sent = writing.as_mut().poll(cx);
                if self.silent.get() { Poll::Ready(()) } else { sent }
            })
            .await;
            ended
        };
        self.end();
        if self.silent.get() {
            transport.drop_silently();
        } else if ended == Some(End::Idle) && self.role == Role::Server {
            Frame::new(self.linger(transport, side)).await;
        }
        // The streams notice and end; the connection counts until then.
        while self.open() > 0 {
            self.w.wait_for_wake().await;
        }
    }

    /// The last answers may still be on their way, and what the client says meanwhile (it gives windows back) would destroy
    /// them once the connection is closed: waits until they have come there, as long as a send may take.
    async fn linger<S: Side>(&self, transport: &Transport, side: &S) {
        let Some(conn) = transport.conn() else { return };
        let rt = &self.w.rt;
        let (mut left, mut moved) = (conn.undelivered(), rt.now().mono);
        while left > 0 && side.send_timeout().is_none_or(|ms| rt.now().mono.since(moved) < ms) {
            // Nothing tells of the last byte's coming there.
            let soon = rt.now().mono.plus(LINGER_MS);
            if let Ok(Ok(None) | Err(_)) = before(rt, soon, transport.recv()).await {
                return;
            }
            let last = std::mem::replace(&mut left, conn.undelivered());
            if left < last {
                moved = rt.now().mono;
            }
        }
    }

    /// Nothing passes any more: the streams notice.
    fn end(&self) {
        if !self.ended.replace(true) {
            self.for_each_stream(|state| state.fail(&self.w.rt));
        }
    }

    fn for_each_stream(&self, f: impl Fn(&State)) {
        for state in self.streams.borrow().iter() {
            f(state);
        }
    }

    /// Reads until the connection is over.
    async fn read<S: Side>(self: &Rc<Mux>, transport: &Transport, first: Piece, side: &S) -> End {
        let mut piece = first;
        loop {
            let mut at = 0;
            while at < piece.bytes().len() {
                let (used, pauses) = match self.take_in(&piece.bytes()[at..], side) {
                    Ok(taken) => taken,
                    Err(end) => return end,
                };
                at += used;
                if pauses {
                    yield_now(&self.w.rt).await;
                    // Streams that are over for the peer do not count for it, though we are not done with them: it has reset
                    // them, or a server still takes their requests. Here is their bound; what their ends wait for does not
                    // come from the peer.
                    while self.open() >= side.streams_max().saturating_mul(2) {
                        self.w.wait_for_wake().await;
                    }
                }
            }
            drop(std::mem::take(&mut piece));
            let received = poll_fn(|_| {
                if self.out.borrow().len() < OUT_FULL
                    && let Poll::Ready(received) = transport.poll_recv()
                {
                    return Poll::Ready(Some(received));
                }
                let over = self.part(side)
                    || self.open() == 0 && (self.w.rt.reached(side.deadline(self)) || self.is_forsaken());
                if over { Poll::Ready(None) } else { Poll::Pending }
            })
            .await;
            piece = match received {
                Some(Ok(Some(piece))) => piece,
                Some(_) => return End::Closed,
                None => {
                    self.take_no_more();
                    return End::Idle;
                }
            };
        }
    }

    /// Asks the peer of an idle connection now and then whether it is there. True if it is not.
    fn is_forsaken(&self) -> bool {
        let Some(ping) = &self.idle_ping else { return false };
        let beat = ping.beat(&self.w.rt, self.idle_since.get());
        if beat == Beat::Ask {
            self.codec.borrow_mut().ping(&mut self.out());
            self.wake();
        }
        beat == Beat::Dead
    }

    /// Parts from a peer when it is time: first it is told, then, once it has had the time to hear of it, no further
    /// stream is taken (RFC 9113 §6.8). True when nothing is left to do.
    fn part<S: Side>(&self, side: &S) -> bool {
        let rt = &self.w.rt;
        match self.parting.get() {
            // Whoever begins the streams just begins no more.
            Parting::Not if self.role == Role::Client => {
                if side.retires(self) {
                    self.closing.set(true);
                }
                self.closing.get() && self.open() == 0
            }
            Parting::Not if side.retires(self) => {
                self.closing.set(true);
                let mut codec = self.codec.borrow_mut();
                let mut out = self.out();
                codec.go_away(None, ErrorCode::NO_ERROR, &mut out);
                codec.ping(&mut out);
                drop((codec, out));
                self.parting.set(Parting::Told(rt.now().mono.plus(PARTING_MS)));
                self.wake();
                false
            }
            Parting::Not => false,
            Parting::Told(deadline) => {
                if rt.reached(deadline) {
                    self.take_no_more();
                }
                false
            }
            Parting::Heard => self.open() == 0,
        }
    }

    /// Streams that begin from now on are not looked at; those that run are finished.
    fn take_no_more(&self) {
        if self.parting.replace(Parting::Heard) != Parting::Heard {
            self.closing.set(true);
            self.say_goodbye(ErrorCode::NO_ERROR);
            self.wake();
        }
    }

    /// The final GOAWAY, with the last stream that the peer began: a server begins none.
    fn say_goodbye(&self, code: ErrorCode) {
        let mut codec = self.codec.borrow_mut();
        let last = if self.role == Role::Server { codec.last_stream() } else { 0 };
        codec.go_away(Some(last), code, &mut self.out());
    }

    /// Reads from a piece: how many bytes of it, and whether the streams that were opened are to have their turn before
    /// more is read.
    fn take_in<S: Side>(self: &Rc<Mux>, bytes: &[u8], side: &S) -> Result<(usize, bool), End> {
        if !bytes.is_empty() && self.codec.borrow().head().capacity() == 0 {
            self.codec.borrow_mut().swap_head(&mut self.w.heads.take());
        }
        let mut at = 0;
        let mut opened = 0;
        let mut pauses = false;
        while at < bytes.len() {
            let received = self.codec.borrow_mut().receive(&bytes[at..], &mut self.out());
            let Ok((used, event)) = received else {
                side.faulted();
                return Err(End::Fault);
            };
            side.note(&event);
            match event {
                Event::NeedMore => {
                    at = bytes.len();
                    break;
                }
                Event::Head { stream, end } => match self.state(stream) {
                    Some(state) => self.deliver_head(&state, end),
                    None => {
                        opened += 1;
                        side.begin(self, stream, end);
                        // Those that were reset meanwhile end then, and make room.
                        pauses = opened >= OPENED_PER_TURN || self.open() >= side.streams_max();
                    }
                },
                Event::Data { stream, range, end } => {
                    let data = &bytes[at + range.start..at + range.end];
                    match self.state(stream) {
                        Some(state) => state.deliver(&self.w.rt, data, end),
                        None => self.released(stream, data.len()),
                    }
                }
                Event::Trailers { stream } => {
                    if let Some(state) = self.state(stream) {
                        let mut trailers = Box::default();
                        self.codec.borrow_mut().swap_head(&mut trailers);
                        state.deliver_trailers(&self.w.rt, trailers);
                    }
                }
                Event::Reset { stream, code } | Event::Refused { stream, code } => {
                    if let Some(state) = self.state(stream) {
                        state.reset(&self.w.rt, code);
                    }
                }
                Event::Opened(0) => self.call_next(),
                Event::Opened(stream) => {
                    if let Some(state) = self.state(stream) {
                        state.wake(&self.w.rt);
                    }
                }
                Event::GoAway { last, .. } => {
                    self.closing.set(true);
                    // Requests beyond it were not looked at: they may be tried elsewhere. A client speaks of streams that
                    // we would have begun.
                    self.for_each_stream(|state| {
                        if self.role == Role::Client && state.id.get() > last {
                            state.reset(&self.w.rt, ErrorCode::REFUSED_STREAM);
                        }
                    });
                }
                Event::Settings => {
                    self.introduced.set(true);
                    // Every stream's window may have changed.
                    self.for_each_stream(|state| state.wake(&self.w.rt));
                }
                Event::Pong => {
                    let asked = self.idle_ping.as_ref().is_some_and(|ping| ping.hear(self.w.rt.now().mono));
                    if !asked {
                        self.take_no_more();
                    }
                }
            }
            at += used;
            if pauses {
                break;
            }
        }
        self.head_since.set(match self.codec.borrow().is_amid_head() {
            true => self.head_since.get().or(Some(self.w.rt.now().mono)),
            false => None,
        });
        let total = self.codec.borrow().glitches();
        let before = self.glitches.replace(total);
        if total > before && side.glitched(total - before, total) {
            self.say_goodbye(ErrorCode::ENHANCE_YOUR_CALM);
            return Err(End::Fault);
        }
        Ok((at, pauses))
    }

    fn deliver_head(&self, state: &State, end: bool) {
        let mut head = self.w.heads.take();
        let protocol = self.codec.borrow().protocol().map(<[u8]>::to_vec);
        self.codec.borrow_mut().swap_head(&mut head);
        if let Some(protocol) = protocol {
            // Extended CONNECT is the upgrade of HTTP/1.1 by another name (RFC 8441 §5); rules see it as that.
            head.set_method(b"GET");
            head.append(b"connection", b"upgrade");
            head.append(b"upgrade", &protocol);
        }
        if !state.deliver_head(&self.w.rt, head, end) {
            let mut codec = self.codec.borrow_mut();
            codec.reset(state.id.get(), ErrorCode::ENHANCE_YOUR_CALM, &mut self.out());
            state.fail(&self.w.rt);
        }
    }

    /// `n` bytes of a stream's data are out of our memory.
    fn released(&self, stream: StreamId, n: usize) {
        let mut out = self.out();
        let before = out.len();
        self.codec.borrow_mut().release(stream, n, &mut out);
        if out.len() > before {
            self.wake();
        }
    }

    /// Whoever has the next turn to send looks whether it can.
    fn call_next(&self) {
        if let Some(task) = self.turns.borrow().front() {
            self.w.rt.wake(*task);
        }
    }

    /// There is room again.
    fn make_room(&self) {
        for task in self.breathing.borrow_mut().drain(..) {
            self.w.rt.wake(task);
        }
        self.call_next();
    }

    /// Nobody is before this task.
    fn has_turn(&self, task: TaskId) -> bool {
        self.turns.borrow().front().is_none_or(|first| *first == task)
    }

    fn others_wait(&self, task: TaskId) -> bool {
        self.turns.borrow().iter().any(|other| *other != task)
    }

    fn queue_up(&self, task: TaskId) {
        let mut turns = self.turns.borrow_mut();
        if !turns.contains(&task) {
            turns.push_back(task);
        }
    }

    /// The task gives its turn away, if it has queued up.
    fn give_way(&self, task: TaskId) {
        let mut turns = self.turns.borrow_mut();
        let place = turns.iter().position(|other| *other == task);
        if let Some(place) = place {
            turns.remove(place);
        }
        drop(turns);
        if place == Some(0) && self.out.borrow().len() < OUT_MAX {
            self.call_next();
        }
    }

    /// Sends what has gathered, whenever something has; comes back when that fails, or when the connection has ended and
    /// all has left.
    async fn write<S: Side>(&self, transport: &Transport, side: &S) {
        loop {
            let chain = poll_fn(|_| {
                let mut out = self.out.borrow_mut();
                match out.is_empty() {
                    true if self.ended.get() => Poll::Ready(Chain::new()),
                    true => {
                        drop(out);
                        self.rest();
                        Poll::Pending
                    }
                    false => {
                        // Reading was held up, and goes on.
                        if out.len() >= OUT_FULL {
                            self.wake();
                        }
                        Poll::Ready(out.take())
                    }
                }
            })
            .await;
            if chain.is_empty() {
                return;
            }
            self.codec.borrow_mut().drained();
            self.make_room();
            if self.deaf.get() {
                continue;
            }
            match transport.send(chain, side.send_timeout()).await {
                Ok(()) => {}
                // It may have left behind its answers: these end where its connection does.
                Err(SendError::Broken(_)) if self.role == Role::Client => {
                    self.deaf.set(true);
                    self.closing.set(true);
                    self.for_each_stream(|state| state.wake(&self.w.rt));
                }
                Err(_) => return,
            }
        }
    }
}
