//! TLS between a connection and its stream: received records are opened where they lie, what is sent leaves as records
//! in one send. Both sides' handshakes are in [`handshake`]; the records themselves are `proto::tls`'s. An idle connection
//! keeps keys and facts, no buffer.

mod handshake;

pub use handshake::{Clients, Gate, HandshakeError, Offer, accept, client, connect, not_begun};

use super::transport::{Patience, SendError, Timeout, finish, send_patiently};
use super::worker::Worker;
use crate::base::buf::Block;
use crate::base::clock::{Millis, Now};
use crate::engine::driver::{BUFFER_SIZE, Group};
use crate::engine::operation::Sending;
use crate::engine::{Chain, Conn, Lease, Piece};
use crate::language::facts;
use crate::model::state::board::ProcessRate;
use crate::model::state::counters::ProcessCounter;
use crate::proto::tls::session::{self as proto, Fed};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::Poll;

/// A pause after which a transfer begins anew with small records (`tune.ssl.maxrecord`).
const PAUSE_MS: u64 = 1000;
/// Sealed bytes that wait for the next send, at most: answers to what the peer asked for.
const WAITING_MAX: usize = 64 << 10;

/// What lies over a connection's bytes.
pub struct Layer {
    session: RefCell<proto::Session>,
    /// Plain text behind what was handed out last.
    pending: RefCell<Piece>,
    /// Records that wait for the next send: tickets, answers to key updates.
    out: RefCell<Vec<u8>>,
    sends: Cell<Sends>,
    /// What could not wait for a send, on its way; the next send goes behind it.
    answer: Cell<Option<Box<Sending>>>,
    state: Cell<State>,
    close_notify_sent: Cell<bool>,
    /// Small buffers that came back full one after the other.
    full: Cell<u8>,
    last_sent: Cell<Millis>,
    /// What became known in the handshake of a server's connection; each of its streams shows it.
    facts: Option<Rc<facts::Tls>>,
    /// The name that was asked for on the server's side.
    sni: Option<Box<str>>,
    _counted: Counted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The peer has said that nothing follows.
    Ended,
    Failed,
}

/// Whether a send is under way.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sends {
    #[default]
    Nothing,
    Something,
    /// What came into `out` meanwhile cannot wait for the next one.
    MoreToCome,
}

/// Counts a TLS connection as open while it lives.
struct Counted(Rc<Worker>);

impl Counted {
    fn new(w: &Rc<Worker>) -> Counted {
        w.counts().process().add(ProcessCounter::CurrSslConns, 1);
        w.counts().process().add(ProcessCounter::CumSslConns, 1);
        w.counts().process().rate(ProcessRate::Ssl, 1, w.rt.now().mono);
        Counted(w.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counts().process().sub(ProcessCounter::CurrSslConns, 1);
    }
}

impl Layer {
    fn new(session: proto::Session, counted: Counted) -> Layer {
        Layer {
            session: RefCell::new(session),
            pending: RefCell::default(),
            out: RefCell::default(),
            sends: Cell::default(),
            answer: Cell::default(),
            state: Cell::new(State::Open),
            close_notify_sent: Cell::new(false),
            full: Cell::new(0),
            last_sent: Cell::new(Millis::default()),
            facts: None,
            sni: None,
            _counted: counted,
        }
    }

    pub fn facts(&self) -> Option<&Rc<facts::Tls>> {
        self.facts.as_ref()
    }

    pub fn sni(&self) -> Option<&str> {
        self.sni.as_deref()
    }

    // ---- receiving ----

    /// The next plain bytes; `None` at close_notify, or at an end without one, as HAProxy takes it.
    pub fn poll_recv(&self, conn: &Conn) -> Poll<io::Result<Option<Piece>>> {
        let pending = self.pending.take();
        if !pending.bytes().is_empty() {
            return Poll::Ready(Ok(Some(pending)));
        }
        loop {
            match self.state.get() {
                State::Open => {}
                State::Ended => return Poll::Ready(Ok(None)),
                State::Failed => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            }
            let lease = match conn.poll_recv() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(lease))) => lease,
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(None)),
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
            };
            self.watch_size(conn, lease.len());
            if let Some(piece) = self.open(conn, lease) {
                return Poll::Ready(Ok(Some(piece)));
            }
        }
    }

    /// Buffers that come back full ask for larger ones: what is handed out never fills them.
    fn watch_size(&self, conn: &Conn, len: usize) {
        if len < BUFFER_SIZE[Group::Small as usize] {
            return self.full.set(0);
        }
        self.full.set(self.full.get().saturating_add(1));
        if self.full.get() == 2 {
            conn.set_group(Group::Large);
        }
    }

    /// Opens the records in a buffer; their plain text, if there is any.
    fn open(&self, conn: &Conn, mut lease: Lease) -> Option<Piece> {
        let now_s = seconds(conn.rt().now());
        let fed = self.session.borrow_mut().feed(now_s, &mut lease, &mut self.out.borrow_mut());
        match fed {
            // Who asks for answers and lets nothing be sent asks for memory.
            Ok(_) if self.out.borrow().len() > WAITING_MAX => {
                self.state.set(State::Failed);
                None
            }
            Ok(fed) => {
                if fed.closed {
                    self.state.set(State::Ended);
                }
                if fed.send_now {
                    self.answer(conn);
                }
                self.plain_of(fed, Piece::Lease(lease))
            }
            Err(_) => {
                // The alert leaves when the connection closes.
                self.state.set(State::Failed);
                None
            }
        }
    }

    /// What is in `out` leaves though nothing may be sent before the peer has it. Once in a connection's life: a second
    /// renegotiation ends it.
    fn answer(&self, conn: &Conn) {
        if self.close_notify_sent.get() {
            return;
        }
        if self.sends.get() != Sends::Nothing {
            return self.sends.set(Sends::MoreToCome);
        }
        let answer = Block::from(self.out.take());
        self.answer.set(Some(Box::new(conn.send(answer.into()))));
    }

    /// What a feed brought: text from earlier records first.
    fn plain_of(&self, fed: Fed, mut received: Piece) -> Option<Piece> {
        received.narrow(fed.plain);
        if fed.carried.is_empty() {
            return (!received.bytes().is_empty()).then_some(received);
        }
        if !received.bytes().is_empty() {
            *self.pending.borrow_mut() = received;
        }
        Some(Piece::Block(Block::from(fed.carried), 0))
    }

    /// Takes what arrived on an idle connection; false when that is more than tickets, or the end.
    pub fn is_quiet(&self, conn: &Conn) -> bool {
        while self.pending.borrow().bytes().is_empty() && self.state.get() == State::Open {
            let Some(lease) = conn.take_queued() else { return conn.is_quiet() };
            if let Some(piece) = self.open(conn, lease) {
                self.put_before(piece);
            }
        }
        false
    }

    /// Puts text before what is pending.
    fn put_before(&self, plain: Piece) {
        let mut pending = self.pending.borrow_mut();
        *pending = match pending.bytes().is_empty() {
            true => plain,
            false => {
                let mut both = Block::copy_of(plain.bytes());
                both.extend_from_slice(pending.bytes());
                Piece::Block(both, 0)
            }
        };
    }

    // ---- sending ----

    /// `chain` as records, behind those that wait.
    fn seal(&self, conn: &Conn, chain: &Chain) -> Result<Block, SendError> {
        let mut session = self.session.borrow_mut();
        let mut out = Block::from(self.out.take());
        if out.capacity() == 0 {
            out = Block::take();
        }
        let now = conn.rt().now().mono;
        if now.since(self.last_sent.replace(now)) > PAUSE_MS {
            session.begin_transfer();
        }
        let len = chain.byte_len();
        out.reserve_exact(sealed_len(len));
        let sealed = match chain.pieces() {
            [piece] => session.encrypt(piece.bytes(), &mut out),
            pieces => {
                // Pieces of one message share their records: a copy costs less than a record of its own for each.
                let mut whole = Block::take();
                whole.reserve(len);
                pieces.iter().for_each(|p| whole.extend_from_slice(p.bytes()));
                session.encrypt(&whole, &mut out)
            }
        };
        match sealed {
            Ok(()) => Ok(out),
            Err(_) => Err(SendError::Broken(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Sends all of `chain`.
    pub async fn send(&self, conn: &Conn, chain: Chain, patience: &impl Patience) -> Result<(), SendError> {
        self.answered(conn, patience).await?;
        let mut out = self.seal(conn, &chain)?;
        // Receive buffers go back before the send waits.
        drop(chain);
        loop {
            self.sends.set(Sends::Something);
            send_patiently(conn, out.into(), patience).await?;
            if self.sends.take() != Sends::MoreToCome {
                return Ok(());
            }
            out = Block::from(self.out.take());
        }
    }

    /// An answer that is on its way has left.
    async fn answered(&self, conn: &Conn, patience: &impl Patience) -> Result<(), SendError> {
        match self.answer.take() {
            Some(answer) => finish(conn, *answer, patience).await,
            None => Ok(()),
        }
    }

    /// Says that nothing follows.
    pub async fn send_close_notify(&self, conn: &Conn) {
        let patience = Timeout::of(conn.rt(), None);
        if self.answered(conn, &patience).await.is_ok()
            && let Some(last) = self.last_records()
        {
            let _ = send_patiently(conn, last.into(), &patience).await;
        }
    }

    /// What leaves last: records that waited, an alert, or close_notify.
    fn last_records(&self) -> Option<Block> {
        let mut out = self.out.take();
        if !self.close_notify_sent.replace(true) && self.state.get() != State::Failed {
            self.session.borrow_mut().close_notify(&mut out);
        }
        (!out.is_empty()).then(|| Block::from(out))
    }

    /// The connection closes: its last records leave before.
    pub fn close(&self, conn: &Conn) {
        self.answer.take();
        if let Some(last) = self.last_records() {
            conn.send_last(last);
        }
    }

    /// Nothing more is sent, not even the end.
    pub fn mute(&self) {
        self.answer.take();
        self.out.take();
        self.close_notify_sent.set(true);
    }
}

fn seconds(now: Now) -> u64 {
    now.wall_us / 1_000_000
}

/// Room that `len` plain bytes take as records at most, without small records.
fn sealed_len(len: usize) -> usize {
    const OVERHEAD: usize = 29;
    len + (len / 16_384 + 1) * OVERHEAD
}
