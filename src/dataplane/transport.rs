//! A connection to a client or server as streams see it: pieces of plain bytes in, chains of plain bytes out, whatever
//! lies between: nothing, TLS, or one stream among many of an HTTP/2 connection.

use super::meter::{Meter, Metered};
use super::mux::Stream;
use super::tls::Layer;
use crate::base::address::Address;
use crate::base::clock::Millis;
use crate::engine::driver::{Group, sockets};
use crate::engine::operation::Sending;
use crate::engine::reactor::TaskId;
use crate::engine::{Chain, Conn, Piece, Rt};
use crate::language::facts;
use crate::proto::h1::encode;
use crate::proto::http::head::Head;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

/// One side's connection.
pub struct Transport(Under);

enum Under {
    Connection {
        conn: Conn,
        tls: Option<Box<Layer>>,
        ends: Option<Box<(SocketAddr, SocketAddr)>>,
        /// Counts what passes while it speaks HTTP/1.
        metered: Option<Metered>,
    },
    Stream(Stream),
}

/// Why a send did not complete.
#[derive(Debug)]
pub enum SendError {
    /// Nothing moved for the whole timeout.
    TimedOut,
    Broken(io::Error),
}

/// How long a send waits for bytes to leave.
pub trait Patience {
    /// When it ends, as things are: asked whenever the sender looks.
    fn ends(&self) -> Millis;
    /// Bytes have left.
    fn renew(&self);
}

/// A timeout that starts anew whenever bytes have left.
pub(super) struct Timeout<'a> {
    rt: &'a Rt,
    ms: Option<u64>,
    since: Cell<Millis>,
}

impl Timeout<'_> {
    pub(super) fn of(rt: &Rt, ms: Option<u64>) -> Timeout<'_> {
        Timeout { rt, ms, since: Cell::new(rt.now().mono) }
    }
}

impl Patience for Timeout<'_> {
    fn ends(&self) -> Millis {
        self.ms.map_or(Millis::NEVER, |ms| self.since.get().plus(ms))
    }

    fn renew(&self) {
        self.since.set(self.rt.now().mono);
    }
}

impl From<Conn> for Transport {
    fn from(conn: Conn) -> Transport {
        Transport(Under::Connection { conn, tls: None, ends: None, metered: None })
    }
}

impl From<Stream> for Transport {
    fn from(stream: Stream) -> Transport {
        Transport(Under::Stream(stream))
    }
}

impl Transport {
    /// The connection, if it is this transport's alone.
    pub fn conn(&self) -> Option<&Conn> {
        match &self.0 {
            Under::Connection { conn, .. } => Some(conn),
            Under::Stream(_) => None,
        }
    }

    /// The connection, if what is sent on it leaves as it is.
    pub fn plain(&self) -> Option<&Conn> {
        match &self.0 {
            Under::Connection { conn, tls: None, .. } => Some(conn),
            _ => None,
        }
    }

    /// The stream, if others share its connection.
    pub fn stream(&self) -> Option<&Stream> {
        match &self.0 {
            Under::Connection { .. } => None,
            Under::Stream(stream) => Some(stream),
        }
    }

    /// Source and destination of a connection to a server, where they were noted.
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match &self.0 {
            Under::Connection { ends, .. } => ends.as_deref().copied(),
            Under::Stream(_) => None,
        }
    }

    /// Notes them, as long as the connection is this transport's alone: a system call once for each connection. `beyond`: who
    /// is reached through the peer.
    pub fn note_ends(&mut self, beyond: Option<SocketAddr>) {
        if let Under::Connection { conn, ends, .. } = &mut self.0
            && let (Ok(Address::Ip(source)), Ok(Address::Ip(destination))) = (conn.local(), conn.peer())
        {
            *ends = Some(Box::new((source, beyond.unwrap_or(destination))));
        }
    }

    fn tls(&self) -> Option<&Layer> {
        match &self.0 {
            Under::Connection { tls, .. } => tls.as_deref(),
            Under::Stream(_) => None,
        }
    }

    pub fn rt(&self) -> &Rt {
        match &self.0 {
            Under::Connection { conn, .. } => conn.rt(),
            Under::Stream(stream) => stream.rt(),
        }
    }

    /// From now on bytes go through this layer.
    pub fn set_tls(&mut self, layer: Layer) {
        if let Under::Connection { tls, .. } = &mut self.0 {
            *tls = Some(Box::new(layer));
        }
    }

    /// It speaks HTTP/1 from now on, or no longer.
    pub fn meter(&mut self, meter: Option<&Rc<Meter>>) {
        if let Under::Connection { metered, .. } = &mut self.0 {
            *metered = meter.map(Metered::new);
        }
    }

    /// It speaks HTTP/1, as it did in the former process.
    pub fn meter_again(&mut self, meter: &Rc<Meter>) {
        if let Under::Connection { metered, .. } = &mut self.0 {
            *metered = Some(Metered::again(meter));
        }
    }

    /// What counts it, while it speaks HTTP/1.
    pub fn metered(&self) -> Option<&Metered> {
        match &self.0 {
            Under::Connection { metered, .. } => metered.as_ref(),
            Under::Stream(_) => None,
        }
    }

    /// What is sent is encrypted on its way.
    pub fn encrypts(&self) -> bool {
        self.tls().is_some()
    }

    /// What is known of a server's TLS.
    pub fn tls_facts(&self) -> Option<Rc<facts::Tls>> {
        match &self.0 {
            Under::Connection { tls, .. } => tls.as_ref()?.facts().cloned(),
            Under::Stream(stream) => stream.tls_facts(),
        }
    }

    /// The major version of the HTTP that is spoken on it.
    pub fn http_major(&self) -> u8 {
        if self.stream().is_some() { 2 } else { 1 }
    }

    /// The name that the server was asked for.
    pub fn sni(&self) -> Option<&str> {
        self.tls()?.sni()
    }

    /// The next plain bytes; `None` at the end of the stream.
    pub fn poll_recv(&self) -> Poll<io::Result<Option<Piece>>> {
        let received = match &self.0 {
            Under::Connection { conn, tls: None, .. } => {
                conn.poll_recv().map(|r| r.map(|lease| lease.map(Piece::Lease)))
            }
            Under::Connection { conn, tls: Some(tls), .. } => tls.poll_recv(conn),
            Under::Stream(stream) => return stream.poll_recv(),
        };
        if let Some(metered) = self.metered()
            && let Poll::Ready(Ok(Some(piece))) = &received
        {
            metered.received(piece.bytes().len() as u64);
        }
        received
    }

    pub async fn recv(&self) -> io::Result<Option<Piece>> {
        poll_fn(|_| self.poll_recv()).await
    }

    /// Whether an end or failure was received, even behind unread bytes.
    pub fn end_seen(&self) -> bool {
        match &self.0 {
            Under::Connection { conn, .. } => conn.end_seen(),
            Under::Stream(stream) => stream.is_broken(),
        }
    }

    /// Whether a failure was received: the peer has reset its connection or stream, or that broke.
    pub fn is_broken(&self) -> bool {
        match &self.0 {
            Under::Connection { conn, .. } => conn.is_broken(),
            Under::Stream(stream) => stream.is_broken(),
        }
    }

    /// Wakes `task` on any news from the peer, though nobody reads.
    pub fn watch(&self, task: TaskId) {
        match &self.0 {
            Under::Connection { conn, .. } => conn.watch(task),
            Under::Stream(stream) => stream.watch(task),
        }
    }

    /// Nothing has arrived that a stream would read, and the connection lives: it may wait for its next stream.
    pub fn is_quiet(&self) -> bool {
        match &self.0 {
            Under::Connection { conn, tls: None, .. } => conn.is_quiet(),
            Under::Connection { conn, tls: Some(tls), .. } => tls.is_quiet(conn),
            // A stream carries one message each way.
            Under::Stream(_) => false,
        }
    }

    /// Larger buffers from now on: a body is coming.
    pub fn expect_bulk(&self) {
        if let Under::Connection { conn, .. } = &self.0 {
            conn.set_group(Group::Large);
        }
    }

    /// Begins a message. What its protocol writes as bytes goes to the end of `wire`, for the caller to send; a head
    /// for HTTP/2 is on its way when this returns. `last`: neither body nor trailers follow.
    pub fn put_head(&self, head: &Head, last: bool, wire: &mut Vec<u8>) {
        match &self.0 {
            Under::Connection { .. } => encode::head(head, wire),
            Under::Stream(stream) => stream.put_head(head, last),
        }
    }

    /// Sends all of `chain`. The timeout starts anew whenever bytes have left.
    ///
    /// # Errors
    /// When nothing moved for `timeout_ms`, or the connection broke.
    pub async fn send(&self, chain: Chain, timeout_ms: Option<u64>) -> Result<(), SendError> {
        match &self.0 {
            Under::Connection { conn, .. } => self.send_on(conn, chain, &Timeout::of(conn.rt(), timeout_ms)).await,
            Under::Stream(stream) => stream.send(chain, timeout_ms).await,
        }
    }

    /// The same, on a `conn` of its own and with a patience of the sender's own.
    pub async fn send_on(&self, conn: &Conn, chain: Chain, patience: &impl Patience) -> Result<(), SendError> {
        let n = chain.byte_len() as u64;
        let sent = match self.tls() {
            None => send_patiently(conn, chain, patience).await,
            Some(tls) => tls.send(conn, chain, patience).await,
        };
        if let Some(metered) = self.metered()
            && sent.is_ok()
        {
            metered.sent(n);
        }
        sent
    }

    /// Ends our direction.
    pub async fn shutdown_write(&self) {
        match &self.0 {
            Under::Connection { conn, tls, .. } => {
                if let Some(tls) = tls {
                    tls.send_close_notify(conn).await;
                }
                conn.shutdown_write();
            }
            Under::Stream(stream) => {
                stream.end(None);
                // Without data nothing has to be waited for.
                let _ = stream.send(Chain::new(), None).await;
            }
        }
    }

    /// The end of the connection says that not all has come: by a reset, without an orderly end of TLS before it. A stream
    /// that is not complete says so anyway.
    pub fn abort(&self) {
        if let Under::Connection { conn, tls, .. } = &self.0 {
            if let Some(tls) = tls {
                tls.mute();
            }
            conn.reset_on_close();
        }
    }

    /// The peer is not told that its connection is gone (manual 4.4 "silent-drop"): the socket is put into repair mode,
    /// in which closing sends nothing. Without the right to do so a reset is sent.
    pub fn drop_silently(&self) {
        const TCP_REPAIR: i32 = 19;
        match &self.0 {
            Under::Connection { conn, tls, .. } => {
                if let Some(tls) = tls {
                    tls.mute();
                }
                if sockets::set(conn.fd(), libc::IPPROTO_TCP, TCP_REPAIR, 1i32).is_err() {
                    conn.reset_on_close();
                }
            }
            Under::Stream(stream) => stream.drop_connection(),
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        if let Under::Connection { conn, tls: Some(tls), .. } = &self.0 {
            tls.close(conn);
        }
    }
}

/// Sends bytes as they are.
pub(super) async fn send_plain(conn: &Conn, chain: Chain, timeout_ms: Option<u64>) -> Result<(), SendError> {
    send_patiently(conn, chain, &Timeout::of(conn.rt(), timeout_ms)).await
}

/// The same, as long as there is patience.
pub(super) async fn send_patiently(conn: &Conn, chain: Chain, patience: &impl Patience) -> Result<(), SendError> {
    if chain.is_empty() {
        return Ok(());
    }
    finish(conn, conn.send(chain), patience).await
}

/// Brings a send that has begun to its end, as long as there is patience.
pub(super) async fn finish(conn: &Conn, mut sending: Sending, patience: &impl Patience) -> Result<(), SendError> {
    loop {
        let total = sending.total();
        let sent = poll_fn(|cx| match Pin::new(&mut sending).poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if conn.rt().reached(patience.ends()) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let (done, late) = match sent.await {
            Some(done) => (done, false),
            None => {
                // The kernel says how much has left; if that is something, the peer is slow, not gone.
                sending.cancel();
                ((&mut sending).await, true)
            }
        };
        match done.result {
            Ok(0) if late => return Err(SendError::TimedOut),
            Ok(n) => {
                if n == total {
                    return Ok(());
                }
                patience.renew();
                let mut chain = done.chain;
                chain.advance(n);
                sending = conn.send(chain);
            }
            Err(_) if late => return Err(SendError::TimedOut),
            Err(e) => return Err(SendError::Broken(e)),
        }
    }
}
