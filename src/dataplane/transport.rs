//! A connection to a client or server as streams see it: pieces of plain bytes in, chains of plain bytes out, whatever
//! lies between (nothing, or TLS).

use super::session::Session;
use crate::base::clock::Millis;
use crate::engine::driver::Group;
use crate::engine::task::before;
use crate::engine::{Chain, Conn, Piece, Rt};
use std::future::poll_fn;
use std::io;
use std::task::Poll;

/// One side's connection.
pub enum Transport {
    Plain(Conn),
}

/// Why a send did not complete.
#[derive(Debug)]
pub enum SendError {
    /// Nothing moved for the whole timeout.
    TimedOut,
    Broken(io::Error),
}

impl Transport {
    pub fn conn(&self) -> &Conn {
        match self {
            Transport::Plain(conn) => conn,
        }
    }

    pub fn rt(&self) -> &Rt {
        self.conn().rt()
    }

    /// The next plain bytes; `None` at the end of the stream.
    pub fn poll_recv(&self) -> Poll<io::Result<Option<Piece>>> {
        match self {
            Transport::Plain(conn) => conn.poll_recv().map(|r| r.map(|lease| lease.map(Piece::Lease))),
        }
    }

    pub async fn recv(&self) -> io::Result<Option<Piece>> {
        poll_fn(|_| self.poll_recv()).await
    }

    /// Whether an end or failure was received, even behind unread bytes.
    pub fn end_seen(&self) -> bool {
        self.conn().end_seen()
    }

    /// Larger buffers from now on: a body is coming.
    pub fn expect_bulk(&self) {
        self.conn().set_group(Group::Large);
    }

    /// Sends all of `chain`. The timeout starts anew whenever bytes have left.
    ///
    /// # Errors
    /// When nothing moved for `timeout_ms`, or the connection broke.
    pub async fn send(&self, chain: Chain, timeout_ms: Option<u64>) -> Result<usize, SendError> {
        match self {
            Transport::Plain(conn) => send_plain(conn, chain, timeout_ms).await,
        }
    }

    /// Ends our direction.
    pub fn shutdown_write(&self) {
        self.conn().shutdown_write();
    }
}

/// Terminates TLS on a connection that asks for it. `None`: the handshake failed and the connection is over.
pub async fn accept_tls(_s: &mut Session, pending: Piece) -> Option<Piece> {
    Some(pending)
}

async fn send_plain(conn: &Conn, mut chain: Chain, timeout_ms: Option<u64>) -> Result<usize, SendError> {
    let rt = conn.rt();
    let mut sent = 0;
    while !chain.is_empty() {
        let deadline = timeout_ms.map_or(Millis::NEVER, |ms| rt.now().mono.plus(ms));
        let sending = conn.send(chain);
        let total = sending.total();
        let mut sending = std::pin::pin!(sending);
        let (done, late) = match before(rt, deadline, sending.as_mut()).await {
            Ok(done) => (done, false),
            Err(_) => {
                // The kernel says how much has left; if that is something, the peer is slow, not gone.
                sending.cancel();
                (sending.await, true)
            }
        };
        match done.result {
            Ok(0) if late => return Err(SendError::TimedOut),
            Ok(n) => {
                sent += n;
                if n == total {
                    return Ok(sent);
                }
                chain = done.chain;
                chain.advance(n);
            }
            Err(_) if late => return Err(SendError::TimedOut),
            Err(e) => return Err(SendError::Broken(e)),
        }
    }
    Ok(sent)
}
