//! One name server's sockets. Over UDP a socket asks for a few seconds from a port of the kernel's
//! choice, then the next one does, while it still hears what comes late. Over TCP (RFC 7766) each question has a
//! connection of its own.

use crate::base::address::Address;
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::chain::Lease;
use crate::engine::driver::{BUFFER_SIZE, ConnectOptions, Group};
use crate::engine::operation::Sending;
use crate::engine::{Chain, Conn, Piece, Rt};
use std::io;
use std::task::Poll;

/// How long one source port asks: off-path guesses must hit the port and the id of a question.
const PORT_MS: u64 = 5_000;

pub struct Nameserver {
    pub address: Address,
    pub tcp: bool,
    /// The socket that asks, and since when.
    asking: Option<(Conn, Millis)>,
    /// The one before it.
    late: Option<Conn>,
}

impl Nameserver {
    pub fn new(address: Address, tcp: bool) -> Nameserver {
        Nameserver { address, tcp, asking: None, late: None }
    }

    /// Sends a question as one datagram. An answer of `payload_max` bytes must fit the buffers. The future is done when
    /// the kernel has the datagram.
    ///
    /// # Errors
    /// When there is no socket to be had.
    pub fn send(&mut self, rt: &Rt, question: &[u8], payload_max: usize) -> io::Result<Sending> {
        let now = rt.now().mono;
        if self.asking.as_ref().is_none_or(|(_, since)| now.since(*since) >= PORT_MS) {
            // One byte more than may come shows that it is too much.
            let fits = payload_max < BUFFER_SIZE[Group::Small as usize];
            let conn = Conn::datagram(rt, &self.address, if fits { Group::Small } else { Group::Large })?;
            self.late = self.asking.replace((conn, now)).map(|(conn, _)| conn);
        }
        let Some((conn, _)) = &self.asking else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut chain = Chain::new();
        chain.push(Piece::Block(Block::copy_of(question), 0));
        Ok(conn.send(chain))
    }

    /// The next datagram; wakes the running task when one comes. A socket that fails is given up.
    pub fn poll_recv(&mut self) -> Poll<Lease> {
        while let Some((conn, _)) = &self.asking {
            match conn.poll_recv() {
                Poll::Ready(Ok(Some(lease))) => return Poll::Ready(lease),
                Poll::Ready(_) => self.asking = None,
                Poll::Pending => break,
            }
        }
        while let Some(conn) = &self.late {
            match conn.poll_recv() {
                Poll::Ready(Ok(Some(lease))) => return Poll::Ready(lease),
                Poll::Ready(_) => self.late = None,
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }
}

/// Asks over TCP: the question and the answer with two bytes of length before each (RFC 1035 §4.2.2).
///
/// # Errors
/// Those of the connection; `UnexpectedEof` when it ends before the answer does.
pub async fn over_tcp(rt: &Rt, to: &Address, question: &[u8]) -> io::Result<Vec<u8>> {
    let conn = Conn::connect(rt, to, &ConnectOptions::default()).await?;
    let mut framed = Block::copy_of(&(question.len() as u16).to_be_bytes());
    framed.extend_from_slice(question);
    conn.send_all(framed).await?;
    let mut answer = Vec::new();
    loop {
        if let Some((len, rest)) = answer.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len));
            if rest.len() >= len {
                return Ok(rest[..len].to_vec());
            }
        }
        match conn.recv().await? {
            Some(bytes) => answer.extend_from_slice(&bytes),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
