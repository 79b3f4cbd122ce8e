//! Connections through a SOCKS4 proxy (manual 5.2 "socks4", "check-via-socks4"): what is said to it before everything else.

use crate::base::address::Address;
use crate::base::buf::Block;
use crate::engine::Conn;
use crate::proto::socks4;
use std::net::{SocketAddr, SocketAddrV4};

/// A proxy, and who is reached through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    pub proxy: Address,
    pub to: SocketAddrV4,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// SOCKS4 has IPv4 addresses only.
    Unreachable,
    Denied,
    Unread,
    Unwritten,
}

impl Refusal {
    /// HAProxy's words.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::Unreachable => "General socket error (Invalid argument)",
            Refusal::Denied => "SOCKS4 Proxy deny the request",
            Refusal::Unread => "SOCKS4 Proxy read error during handshake",
            Refusal::Unwritten => "SOCKS4 Proxy write error during handshake",
        }
    }
}

impl Tunnel {
    /// The way to `to`; `None` where it does not go through a proxy.
    ///
    /// # Errors
    /// [`Refusal::Unreachable`].
    pub fn through(proxy: Option<SocketAddr>, to: &Address) -> Result<Option<Tunnel>, Refusal> {
        match (proxy, to) {
            (None, _) => Ok(None),
            (Some(proxy), Address::Ip(SocketAddr::V4(to))) => Ok(Some(Tunnel { proxy: Address::Ip(proxy), to: *to })),
            (Some(_), _) => Err(Refusal::Unreachable),
        }
    }

    /// Asks the proxy, to which `conn` is connected, for a connection. What the server says at once stays to be received.
    ///
    /// # Errors
    /// When the proxy refuses or the connection ends.
    pub async fn begin(&self, conn: &Conn) -> Result<(), Refusal> {
        let request = Block::copy_of(&socks4::connect(self.to));
        conn.send_all(request).await.map_err(|_| Refusal::Unwritten)?;
        let mut reply = [0; socks4::REPLY_BYTES];
        let mut filled = 0;
        while filled < reply.len() {
            let Ok(Some(mut lease)) = conn.recv().await else { return Err(Refusal::Unread) };
            let taken = lease.len().min(reply.len() - filled);
            reply[filled..filled + taken].copy_from_slice(&lease[..taken]);
            filled += taken;
            lease.advance(taken);
            if !lease.is_empty() {
                conn.unread(lease);
            }
        }
        if socks4::is_granted(&reply) { Ok(()) } else { Err(Refusal::Denied) }
    }
}
