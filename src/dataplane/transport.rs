//! A connection to a client or server as streams see it: pieces of plain bytes in, chains of plain bytes out, whatever
//! lies between (nothing, or TLS).

use super::tls::Layer;
use crate::base::clock::Millis;
use crate::engine::driver::Group;
use crate::engine::task::before;
use crate::engine::{Chain, Conn, Piece, Rt};
use crate::language::facts;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

/// One side's connection.
pub struct Transport {
    conn: Conn,
    tls: Option<Box<Layer>>,
}

/// Why a send did not complete.
#[derive(Debug)]
pub enum SendError {
    /// Nothing moved for the whole timeout.
    TimedOut,
    Broken(io::Error),
}

impl From<Conn> for Transport {
    fn from(conn: Conn) -> Transport {
        Transport { conn, tls: None }
    }
}

impl Transport {
    pub fn conn(&self) -> &Conn {
        &self.conn
    }

    pub fn rt(&self) -> &Rt {
        self.conn.rt()
    }

    /// From now on bytes go through this layer.
    pub fn set_tls(&mut self, layer: Layer) {
        self.tls = Some(Box::new(layer));
    }

    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// What is known of a server's TLS.
    pub fn tls_facts(&self) -> Option<Rc<facts::Tls>> {
        self.tls.as_ref()?.facts().cloned()
    }

    /// The name that the server was asked for.
    pub fn sni(&self) -> Option<&str> {
        self.tls.as_ref()?.sni()
    }

    /// The next plain bytes; `None` at the end of the stream.
    pub fn poll_recv(&self) -> Poll<io::Result<Option<Piece>>> {
        match &self.tls {
            None => self.conn.poll_recv().map(|r| r.map(|lease| lease.map(Piece::Lease))),
            Some(tls) => tls.poll_recv(&self.conn),
        }
    }

    pub async fn recv(&self) -> io::Result<Option<Piece>> {
        poll_fn(|_| self.poll_recv()).await
    }

    /// Whether an end or failure was received, even behind unread bytes.
    pub fn end_seen(&self) -> bool {
        self.conn.end_seen()
    }

    /// Nothing has arrived that a stream would read, and the connection lives: it may wait for its next stream.
    pub fn is_quiet(&self) -> bool {
        match &self.tls {
            None => self.conn.is_quiet(),
            Some(tls) => tls.is_quiet(&self.conn),
        }
    }

    /// Larger buffers from now on: a body is coming.
    pub fn expect_bulk(&self) {
        self.conn.set_group(Group::Large);
    }

    /// Sends all of `chain`. The timeout starts anew whenever bytes have left.
    ///
    /// # Errors
    /// When nothing moved for `timeout_ms`, or the connection broke.
    pub async fn send(&self, chain: Chain, timeout_ms: Option<u64>) -> Result<usize, SendError> {
        match &self.tls {
            None => send_plain(&self.conn, chain, timeout_ms).await,
            Some(tls) => tls.send(&self.conn, chain, timeout_ms).await,
        }
    }

    /// Ends our direction.
    pub async fn shutdown_write(&self) {
        if let Some(tls) = &self.tls {
            tls.send_close_notify(&self.conn, None).await;
        }
        self.conn.shutdown_write();
    }

    /// The connection will be closed without a word.
    pub fn mute(&self) {
        if let Some(tls) = &self.tls {
            tls.mute();
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        if let Some(tls) = &self.tls {
            tls.close(&self.conn);
        }
    }
}

/// Sends bytes as they are.
pub(super) async fn send_plain(conn: &Conn, mut chain: Chain, timeout_ms: Option<u64>) -> Result<usize, SendError> {
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
