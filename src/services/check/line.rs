//! The connection of a check: bytes in, bytes out, with or without TLS. Deadlines are the caller's.

use crate::base::address::Address;
use crate::base::buf::Block;
use crate::dataplane::socks4::{Refusal, Tunnel};
use crate::engine::driver::ConnectOptions;
use crate::engine::{Conn, Rt};
use crate::proto::tls::client::ClientContext;
use crate::proto::tls::session::{RecordSizes, Session, TlsError};
use crate::services::handshake::shake_hands;
use std::io;
use std::sync::Arc;

pub struct Line {
    conn: Conn,
    tls: Option<Box<Session>>,
    /// Plain bytes that came with the end of the handshake.
    early: Vec<u8>,
    linger: bool,
    /// Where it goes on through a SOCKS4 proxy.
    tunnel: Option<Tunnel>,
}

impl Line {
    pub async fn connect(rt: &Rt, to: &Address, options: &ConnectOptions, linger: bool) -> io::Result<Line> {
        let conn = Conn::connect(rt, to, options).await?;
        Ok(Line { conn, tls: None, early: Vec::new(), linger, tunnel: None })
    }

    /// Our end and the server's.
    pub fn ends(&self) -> Option<(Address, Address)> {
        let server = match &self.tunnel {
            Some(tunnel) => Address::Ip(tunnel.to.into()),
            None => self.conn.peer().ok()?,
        };
        Some((self.conn.local().ok()?, server))
    }

    /// Goes on through the SOCKS4 proxy that it is connected to.
    ///
    /// # Errors
    /// When the proxy refuses or the connection ends.
    pub async fn go_on(&mut self, tunnel: Tunnel) -> Result<(), Refusal> {
        self.tunnel.insert(tunnel).begin(&self.conn).await
    }

    /// Makes TLS of a plain connection.
    ///
    /// # Errors
    /// When the handshake fails, whatever the reason.
    pub async fn secure(&mut self, context: Arc<ClientContext>, name: Option<&str>) -> Result<(), TlsError> {
        let mut out = Vec::new();
        let mut session = Session::client(context, name, RecordSizes::default(), self.now_s(), &mut out)?;
        shake_hands(&self.conn, &mut session, out, &mut self.early).await?;
        self.tls = Some(Box::new(session));
        Ok(())
    }

    /// The protocol that was agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.tls.as_ref()?.facts().alpn.as_deref()
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.send_raw(bytes).await,
            Some(session) => {
                let mut out = Vec::new();
                session.encrypt(bytes, &mut out).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
                self.send_raw(&out).await
            }
        }
    }

    async fn send_raw(&self, bytes: &[u8]) -> io::Result<()> {
        self.conn.send_all(Block::copy_of(bytes)).await
    }

    /// Appends what comes next; false at the end of the stream.
    pub async fn recv(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        if !self.early.is_empty() {
            into.append(&mut self.early);
            return Ok(true);
        }
        loop {
            let Some(mut lease) = self.conn.recv().await? else { return Ok(false) };
            let now_s = self.now_s();
            let Some(session) = &mut self.tls else {
                into.extend_from_slice(&lease);
                return Ok(true);
            };
            let mut out = Vec::new();
            let fed =
                session.feed(now_s, &mut lease, &mut out).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            let before = into.len();
            into.extend_from_slice(&fed.carried);
            into.extend_from_slice(lease.get(fed.plain.clone()).unwrap_or_default());
            // An answer to a key update too: the keys that it is sealed with are no longer ours.
            self.send_raw(&out).await?;
            if into.len() > before {
                return Ok(true);
            }
            if fed.closed {
                return Ok(false);
            }
        }
    }

    fn now_s(&self) -> u64 {
        self.conn.rt().now().wall_us / 1_000_000
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A check is over when its verdict is: a reset spares both ends a TIME_WAIT (manual, "linger").
        if !self.linger {
            self.conn.reset_on_close();
        }
    }
}
