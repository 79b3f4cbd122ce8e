//! The connection to a peer or to a ring's server: bytes in, bytes out, with or without TLS. One task receives and one sends;
//! what TLS itself has to say goes out with what is sent next. Deadlines are the caller's.

use crate::base::address::Address;
use crate::base::buf::Block;
use crate::dataplane::socks4::Tunnel;
use crate::dataplane::tls::Clients;
use crate::engine::driver::{ConnectOptions, KeepAlive};
use crate::engine::{Conn, Rt};
use crate::model::bind::Bind;
use crate::model::server::Server;
use crate::proto::tls::session::{RecordSizes, Session};
use crate::services::handshake::shake_hands;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::Poll;

/// Answers of TLS that wait to be sent at most; who asks for more is no peer.
const WAITING_MAX: usize = 64 << 10;

pub struct Line {
    pub conn: Conn,
    tls: Option<RefCell<Session>>,
    /// Records that TLS wants to send.
    waiting: RefCell<Vec<u8>>,
    /// Plain bytes that came with the end of the handshake.
    early: RefCell<Vec<u8>>,
    ended: Cell<bool>,
}

impl Line {
    fn plain(conn: Conn) -> Line {
        Line { conn, tls: None, waiting: RefCell::default(), early: RefCell::default(), ended: Cell::new(false) }
    }

    /// Sends `hello` and makes the handshake. `None`: it failed.
    async fn secure(conn: Conn, mut session: Session, hello: Vec<u8>) -> Option<Line> {
        let mut early = Vec::new();
        let ended = shake_hands(&conn, &mut session, hello, &mut early).await.ok()?;
        let (tls, early) = (Some(RefCell::new(session)), RefCell::new(early));
        Some(Line { conn, tls, waiting: RefCell::default(), early, ended: Cell::new(ended) })
    }

    /// The server's side, as the line of the listener says. `None`: the handshake failed.
    pub async fn accepted(conn: Conn, bind: &Bind) -> Option<Line> {
        if !bind.ssl {
            return Some(Line::plain(conn));
        }
        let session = Session::server(bind.tls_context.clone()?.0, RecordSizes::default());
        Line::secure(conn, session, Vec::new()).await
    }

    /// Connects to a server as its line says. `None`: that failed.
    pub async fn open(rt: &Rt, address: &Address, server: &Server, clients: &Clients) -> Option<Line> {
        let source = server.source.as_ref();
        let options = ConnectOptions {
            source: source.map(|s| s.address),
            interface: source.and_then(|s| s.interface.clone()),
            keepalive: Some(KeepAlive::default()),
            fast_open: server.tfo,
            user_timeout_ms: server.tcp_ut_ms,
            mptcp: server.mptcp,
            ..ConnectOptions::default()
        };
        let tunnel = Tunnel::through(server.socks4, address).ok()?;
        let next = tunnel.as_ref().map_or(address, |t| &t.proxy);
        let conn = Conn::connect(rt, next, &options).await.ok()?;
        if let Some(tunnel) = &tunnel {
            tunnel.begin(&conn).await.ok()?;
        }
        Line::connected(conn, server, clients).await
    }

    /// The client's side, as the peer's line says. `None`: the handshake failed.
    async fn connected(conn: Conn, server: &Server, clients: &Clients) -> Option<Line> {
        if !server.tls.ssl {
            return Some(Line::plain(conn));
        }
        let context = clients.context(&server.tls_traffic.as_ref()?.0, None)?;
        let mut hello = Vec::new();
        let now_s = conn.rt().now().wall_us / 1_000_000;
        let session = Session::client(context, None, RecordSizes::default(), now_s, &mut hello).ok()?;
        Line::secure(conn, session, hello).await
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Takes in what was received; false when it was no TLS.
    fn take_in(&self, piece: &mut [u8], into: &mut Vec<u8>) -> bool {
        let Some(tls) = &self.tls else {
            into.extend_from_slice(piece);
            return true;
        };
        let now_s = self.conn.rt().now().wall_us / 1_000_000;
        let mut waiting = self.waiting.borrow_mut();
        let Ok(fed) = tls.borrow_mut().feed(now_s, piece, &mut waiting) else { return false };
        into.extend_from_slice(&fed.carried);
        into.extend_from_slice(piece.get(fed.plain).unwrap_or_default());
        self.ended.set(self.ended.get() || fed.closed);
        waiting.len() <= WAITING_MAX
    }

    /// Appends what comes next; false at the end or after a failure.
    pub fn poll_recv(&self, into: &mut Vec<u8>) -> Poll<bool> {
        let before = into.len();
        into.append(&mut self.early.borrow_mut());
        while into.len() == before {
            if self.ended.get() {
                return Poll::Ready(false);
            }
            match self.conn.poll_recv() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(mut piece))) => {
                    if !self.take_in(&mut piece, into) {
                        return Poll::Ready(false);
                    }
                }
                Poll::Ready(_) => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    }

    pub async fn recv(&self, into: &mut Vec<u8>) -> bool {
        poll_fn(|_| self.poll_recv(into)).await
    }

    fn sealed(&self, bytes: &[u8]) -> Option<Block> {
        let Some(tls) = &self.tls else { return Some(Block::copy_of(bytes)) };
        let mut out = self.waiting.take();
        tls.borrow_mut().encrypt(bytes, &mut out).ok()?;
        Some(Block::copy_of(&out))
    }

    /// Sends all of it; false when that failed.
    pub async fn send(&self, bytes: &[u8]) -> bool {
        match self.sealed(bytes) {
            Some(block) => self.conn.send_all(block).await.is_ok(),
            None => false,
        }
    }

    /// Sends the last bytes before the line is dropped, without waiting for them to be taken.
    pub fn send_last(&self, bytes: &[u8]) {
        if let Some(block) = self.sealed(bytes) {
            self.conn.send_last(block);
        }
    }
}
