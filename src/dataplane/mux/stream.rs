//! One stream of a connection that carries many, as the task that serves it sees it: a head, data and trailers in, the same
//! out, each under the stream's and the connection's windows.

use super::super::transport::SendError;
use super::{Mux, OUT_MAX};
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::reactor::{Rt, TaskId};
use crate::engine::{Chain, Piece};
use crate::language::facts;
use crate::proto::h1::framing::Framing;
use crate::proto::h1::parse::Message;
use crate::proto::h1::persistence::Tokens;
use crate::proto::h2::{ErrorCode, Role, StreamId};
use crate::proto::http::head::Head;
use crate::proto::websocket;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

/// Bytes of the heads of one message that wait for their reader: interim responses and the final one.
const HEADS_MAX: usize = 32 * 1024;
/// What a head that waits takes beyond its text, about.
const HEAD_OVERHEAD: usize = 128;
/// Data is gathered in blocks of about this size.
const BLOCK: usize = 16 * 1024;

/// What a stream has received, and how far it has come.
#[derive(Default)]
pub(super) struct State {
    pub id: Cell<StreamId>,
    /// Received heads; true when the message ended with it.
    heads: RefCell<VecDeque<(Head, bool)>>,
    input: RefCell<VecDeque<Piece>>,
    trailers: RefCell<Option<Box<Head>>>,
    /// The peer's message is complete.
    ended: Cell<bool>,
    /// It is, but for the frame that says so.
    settled: Cell<bool>,
    /// The peer reset it, or its connection is gone.
    broken: Cell<Option<ErrorCode>>,
    /// Who is to be woken by news.
    task: Cell<TaskId>,
    /// Our message is complete.
    sent_end: Cell<bool>,
    /// Our message ends behind what is sent next.
    ending: RefCell<Option<Ending>>,
}

enum Ending {
    Data,
    Trailers(Box<Head>),
}

impl State {
    pub fn begin(&self, id: StreamId, task: TaskId) {
        self.id.set(id);
        self.task.set(task);
    }

    /// As new, but for its memory. Gives the bytes of data that nobody took.
    pub fn clear(&self) -> usize {
        self.heads.borrow_mut().clear();
        let left = self.input.borrow_mut().drain(..).map(|piece| piece.bytes().len()).sum();
        self.trailers.take();
        self.ended.set(false);
        self.settled.set(false);
        self.broken.set(None);
        self.sent_end.set(false);
        self.ending.take();
        left
    }

    pub fn wake(&self, rt: &Rt) {
        rt.wake(self.task.get());
    }

    /// False when more heads wait than one message has: nothing else bounds them.
    pub fn deliver_head(&self, rt: &Rt, head: Head, end: bool) -> bool {
        let mut heads = self.heads.borrow_mut();
        let size = |head: &Head| head.counted_len() as usize + HEAD_OVERHEAD;
        let waiting: usize = heads.iter().map(|(head, _)| size(head)).sum();
        if waiting > 0 && waiting + size(&head) > HEADS_MAX {
            return false;
        }
        heads.push_back((head, end));
        self.wake(rt);
        true
    }

    pub fn deliver(&self, rt: &Rt, data: &[u8], end: bool) {
        if !data.is_empty() {
            let mut input = self.input.borrow_mut();
            match input.back_mut() {
                Some(Piece::Block(block, _)) if block.len() + data.len() <= BLOCK => block.extend_from_slice(data),
                _ => input.push_back(Piece::Block(Block::copy_of(data), 0)),
            }
        }
        if end {
            self.ended.set(true);
        }
        self.wake(rt);
    }

    pub fn deliver_trailers(&self, rt: &Rt, trailers: Box<Head>) {
        *self.trailers.borrow_mut() = Some(trailers);
        self.ended.set(true);
        self.wake(rt);
    }

    pub fn reset(&self, rt: &Rt, code: ErrorCode) {
        self.broken.set(Some(code));
        self.wake(rt);
    }

    /// The connection is gone.
    pub fn fail(&self, rt: &Rt) {
        if self.broken.get().is_none() {
            self.reset(rt, ErrorCode::CANCEL);
        }
    }
}

/// A stream in the service of one exchange. Dropping it before both messages are complete resets it.
pub struct Stream(Reader);

/// The receiving half, for the body of a message.
#[derive(Clone)]
pub struct Reader {
    mux: Rc<Mux>,
    state: Rc<State>,
}

impl Reader {
    /// Data that has arrived. `None`: nothing yet, or all of it was taken.
    pub fn take_data(&self) -> Option<Piece> {
        let piece = self.state.input.borrow_mut().pop_front()?;
        self.mux.released(self.state.id.get(), piece.bytes().len());
        Some(piece)
    }

    /// The peer's message is complete, and all of its data was taken.
    pub fn is_done(&self) -> bool {
        self.state.ended.get() && self.state.input.borrow().is_empty()
    }

    pub fn take_trailers(&self) -> Option<Box<Head>> {
        self.state.trailers.take()
    }

    pub fn is_broken(&self) -> bool {
        self.state.broken.get().is_some()
    }

    /// Whether there is something to be taken, or nothing will come any more. If not, the running task is woken then.
    pub fn has_news(&self) -> bool {
        self.state.task.set(self.mux.w.rt.current());
        self.state.ended.get() || self.is_broken() || !self.state.input.borrow().is_empty()
    }
}

impl Stream {
    pub(super) fn new(mux: Rc<Mux>, state: Rc<State>) -> Stream {
        Stream(Reader { mux, state })
    }

    pub fn reader(&self) -> Reader {
        self.0.clone()
    }

    pub fn rt(&self) -> &Rt {
        &self.0.mux.w.rt
    }

    pub fn tls_facts(&self) -> Option<Rc<facts::Tls>> {
        self.0.mux.tls.clone()
    }

    /// Reset by the peer, or without its connection.
    pub fn is_broken(&self) -> bool {
        self.0.is_broken()
    }

    /// The peer has not looked at the request: it may be sent again.
    pub fn was_refused(&self) -> bool {
        self.0.state.broken.get() == Some(ErrorCode::REFUSED_STREAM)
    }

    pub fn watch(&self, task: TaskId) {
        self.0.state.task.set(task);
    }

    /// The next head of the peer's message, into `head`.
    pub fn take_head(&self, head: &mut Head) -> Option<Message> {
        let (mut received, end) = self.0.state.heads.borrow_mut().pop_front()?;
        std::mem::swap(head, &mut received);
        self.0.mux.w.heads.give(received);
        if end {
            self.0.state.ended.set(true);
        }
        Some(message(head, end))
    }

    /// The answer has no body: what has come is all of it, and its stream may end when it likes.
    pub fn settle(&self) {
        self.0.state.settled.set(true);
    }

    /// The next head as it comes. An error when the stream is reset before.
    pub fn poll_head(&self, head: &mut Head) -> Poll<io::Result<Message>> {
        self.0.state.task.set(self.rt().current());
        match self.take_head(head) {
            Some(message) => Poll::Ready(Ok(message)),
            None if self.is_broken() => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            None => Poll::Pending,
        }
    }

    /// The next data; `None` at the end of the peer's message.
    pub fn poll_recv(&self) -> Poll<io::Result<Option<Piece>>> {
        if let Some(piece) = self.0.take_data() {
            return Poll::Ready(Ok(Some(piece)));
        }
        if self.0.state.ended.get() {
            return Poll::Ready(Ok(None));
        }
        if self.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.0.state.task.set(self.rt().current());
        Poll::Pending
    }

    // ---- sending ----

    /// Whether the server takes extended CONNECT (RFC 8441 §3): told by its settings, which come first.
    pub async fn takes_upgrades(&self) -> bool {
        let mux = &self.0.mux;
        let _held = Held::new(mux);
        poll_fn(|_| {
            self.watch(self.rt().current());
            match mux.introduced.get() || self.is_broken() || mux.ended.get() {
                true => Poll::Ready(mux.codec.borrow().extended_connect_allowed()),
                false => Poll::Pending,
            }
        })
        .await
    }

    /// Sends a request that asks for another protocol.
    pub fn put_upgrade(&self, head: &Head, protocol: &[u8]) {
        let Reader { mux, state } = &self.0;
        if self.is_broken() || mux.is_cut() {
            return;
        }
        let mut connect = mux.w.heads.take();
        connect.clone_from(head);
        connect.set_method(b"CONNECT");
        connect.remove(b"sec-websocket-key");
        mux.codec.borrow_mut().send_extended_connect(state.id.get(), &connect, protocol, &mut mux.out());
        mux.w.heads.give(connect);
        mux.wake();
    }

    /// Sends a head; `last` when nothing follows it.
    pub fn put_head(&self, head: &Head, last: bool) {
        let Reader { mux, state } = &self.0;
        if self.is_broken() || mux.is_cut() {
            return;
        }
        let mut switched = None;
        if head.status() == 101 {
            // HTTP/2 has no 101: an extended CONNECT succeeds with 200 (RFC 8441 §5).
            let mut ok = mux.w.heads.take();
            ok.clone_from(head);
            ok.set_status(200, b"OK");
            ok.remove(b"sec-websocket-accept");
            switched = Some(ok);
        }
        let head = switched.as_ref().unwrap_or(head);
        mux.codec.borrow_mut().send_head(state.id.get(), head, last, &mut mux.out());
        if let Some(ok) = switched {
            mux.w.heads.give(ok);
        }
        if last {
            state.sent_end.set(true);
        }
        mux.wake();
    }

    /// Waits until what was put has room to be sent: heads are put without asking for it.
    pub async fn breathe(&self, timeout_ms: Option<u64>) -> Result<(), SendError> {
        let rt = self.rt();
        let deadline = timeout_ms.map_or(Millis::NEVER, |ms| rt.now().mono.plus(ms));
        poll_fn(|_| {
            let mux = &self.0.mux;
            if self.is_broken() || mux.is_cut() {
                return Poll::Ready(Err(SendError::Broken(io::ErrorKind::ConnectionReset.into())));
            }
            if mux.out.borrow().len() < OUT_MAX {
                return Poll::Ready(Ok(()));
            }
            if rt.reached(deadline) {
                return Poll::Ready(Err(SendError::TimedOut));
            }
            let task = rt.current();
            self.watch(task);
            let mut breathing = mux.breathing.borrow_mut();
            if !breathing.contains(&task) {
                breathing.push(task);
            }
            Poll::Pending
        })
        .await
    }

    /// Our message ends behind what [`Stream::send`] sends next, with trailers if there are any.
    pub fn end(&self, trailers: Option<&Head>) {
        let ending = match trailers {
            None => Ending::Data,
            Some(trailers) => Ending::Trailers(Box::new(trailers.clone())),
        };
        *self.0.state.ending.borrow_mut() = Some(ending);
    }

    /// Sends all of `chain` as data, and the end if it was said. Waits for room in the windows and for its turn: streams that
    /// have data at the same time send a frame each, one after the other.
    pub async fn send(&self, mut chain: Chain, timeout_ms: Option<u64>) -> Result<(), SendError> {
        let mux = &self.0.mux;
        let rt = self.rt();
        let later = |ms: Option<u64>| ms.map_or(Millis::NEVER, |ms| rt.now().mono.plus(ms));
        let mut deadline = later(timeout_ms);
        let turn = Turn { mux, task: rt.current() };
        poll_fn(|_| {
            if self.is_broken() || mux.is_cut() {
                return Poll::Ready(Err(SendError::Broken(io::ErrorKind::ConnectionReset.into())));
            }
            let waits_for_itself = || mux.codec.borrow().waits_for_itself(self.0.state.id.get());
            if mux.has_turn(turn.task) {
                let moved = self.put_data(&mut chain, turn.task);
                if moved {
                    deadline = later(timeout_ms);
                    mux.wake();
                }
                // Where nothing can move, the turn is kept: giving it away would go round for ever.
                if moved || waits_for_itself() {
                    mux.give_way(turn.task);
                }
            }
            if chain.is_empty() {
                self.put_end();
                return Poll::Ready(Ok(()));
            }
            if rt.reached(deadline) {
                return Poll::Ready(Err(SendError::TimedOut));
            }
            self.watch(turn.task);
            // Who waits for its own window alone is told of that, and is in nobody's way.
            if !waits_for_itself() {
                mux.queue_up(turn.task);
            }
            Poll::Pending
        })
        .await
    }

    /// Moves what has room; true when something had. A frame is enough where others wait.
    fn put_data(&self, chain: &mut Chain, task: TaskId) -> bool {
        let Reader { mux, state } = &self.0;
        let mut codec = mux.codec.borrow_mut();
        let mut out = mux.out.borrow_mut();
        let mut moved = false;
        while !chain.is_empty() && out.len() < OUT_MAX {
            let left = chain.byte_len();
            let n = codec.room(state.id.get()).min(left);
            if n == 0 {
                break;
            }
            let last = n == left && matches!(&*state.ending.borrow(), Some(Ending::Data));
            if !codec.send_data_header(state.id.get(), n, last, out.bytes()) {
                break;
            }
            out.data(chain, n, mux.encrypts.get());
            if last {
                state.ending.take();
                state.sent_end.set(true);
            }
            moved = true;
            if mux.others_wait(task) {
                break;
            }
        }
        moved
    }

    fn put_end(&self) {
        let Reader { mux, state } = &self.0;
        let Some(ending) = state.ending.take() else { return };
        if state.sent_end.replace(true) {
            return;
        }
        let mut codec = mux.codec.borrow_mut();
        let mut out = mux.out();
        match ending {
            Ending::Data => {
                let _sent = codec.send_data_header(state.id.get(), 0, true, &mut out);
            }
            Ending::Trailers(trailers) => codec.send_trailers(state.id.get(), &trailers, &mut out),
        }
        mux.wake();
    }

    /// The whole connection ends, as a rule wants it (manual 4.4 "reject").
    pub fn reject_connection(&self) {
        let Reader { mux, state } = &self.0;
        mux.codec.borrow_mut().reset(state.id.get(), ErrorCode::ENHANCE_YOUR_CALM, &mut mux.out());
        mux.say_goodbye(ErrorCode::ENHANCE_YOUR_CALM);
        mux.end();
        mux.wake();
    }

    /// The whole connection ends without a word.
    pub fn drop_connection(&self) {
        self.0.mux.silent.set(true);
        self.0.mux.wake();
    }
}

/// No stream begins while this lives.
struct Held<'a>(&'a Mux);

impl<'a> Held<'a> {
    fn new(mux: &'a Mux) -> Held<'a> {
        mux.held.set(true);
        Held(mux)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.set(false);
    }
}

/// A place among those that have data to send; given away when it is dropped.
struct Turn<'a> {
    mux: &'a Mux,
    task: TaskId,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.mux.give_way(self.task);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Reader { mux, state } = &self.0;
        let (sent, received) = (state.sent_end.get(), state.ended.get() || state.settled.get());
        if !(sent && received || self.is_broken() || mux.ended.get()) {
            // RFC 9113 §8.1: an answer that is complete needs no more of the request.
            let answered = sent && mux.role == Role::Server;
            let code = if answered { ErrorCode::NO_ERROR } else { ErrorCode::CANCEL };
            mux.codec.borrow_mut().reset(state.id.get(), code, &mut mux.out());
        }
        mux.leave(state);
    }
}

/// What a received head says of its message.
fn message(head: &Head, end: bool) -> Message {
    let length = head.first(b"content-length").and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
    // HTTP/2 has no such field: it stands for an extended CONNECT.
    let upgrade = head.is_request() && head.contains(b"upgrade");
    let framing = match length {
        _ if end || upgrade || head.method() == b"CONNECT" => Framing::None,
        Some(n) => Framing::Length(n),
        None => Framing::Chunked,
    };
    let websocket = upgrade && websocket::is_asked_for(head);
    let tokens = Tokens { upgrade, websocket, ..Tokens::default() };
    let expects_continue =
        head.is_request() && head.first(b"expect").is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
    Message { consumed: 0, framing, tokens, must_close: false, expects_continue }
}
