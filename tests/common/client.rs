//! A raw client: sends exactly the bytes it is told and keeps every byte it receives. Each wait is bounded.

use super::http::{Extent, response_extent, status};
use super::{BOUND, show};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How the other side ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
}

pub struct Client {
    stream: TcpStream,
    /// Everything received, and how much of it has been handed out as messages.
    pub received: Vec<u8>,
    taken: usize,
    ended: Option<End>,
    pub port: u16,
}

impl Client {
    pub fn connect(port: u16) -> Client {
        Client::connect_to(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    pub fn connect_to(address: SocketAddr) -> Client {
        Client::try_connect_to(address).unwrap_or_else(|e| panic!("connect {address}: {e}"))
    }

    /// # Errors
    /// Those of connect(2).
    pub fn try_connect_to(address: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, BOUND)?;
        stream.set_nodelay(true).expect("nodelay");
        let port = stream.local_addr().expect("a local address").port();
        Ok(Client { stream, received: Vec::new(), taken: 0, ended: None, port })
    }

    /// Sends; a connection that the other side has ended already swallows the bytes, as it may.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends in pieces with a pause between them, so that the proxy sees several reads.
    pub fn send_split(&mut self, bytes: impl AsRef<[u8]>, size: usize) -> &mut Client {
        for piece in bytes.as_ref().chunks(size) {
            self.send(piece);
            std::thread::sleep(Duration::from_millis(2));
        }
        self
    }

    pub fn half_close(&mut self) -> &mut Client {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Leaves with a reset instead of a FIN.
    pub fn reset(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// One more read; false when the time is over.
    fn receive(&mut self, until: Instant) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        self.stream.set_read_timeout(Some(left)).expect("a read timeout");
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = Some(End::Closed),
            Ok(n) => self.received.extend_from_slice(&buffer[..n]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return false,
                ErrorKind::Interrupted => {}
                _ => self.ended = Some(End::Reset),
            },
        }
        true
    }

    /// The next whole response, or what there was of it when the connection ended.
    pub fn response(&mut self) -> Vec<u8> {
        self.next_response(false)
    }

    /// The next response to a HEAD request (a head without body whatever its length says).
    pub fn response_to_head(&mut self) -> Vec<u8> {
        self.next_response(true)
    }

    fn next_response(&mut self, to_head: bool) -> Vec<u8> {
        let until = Instant::now() + BOUND;
        loop {
            let rest = &self.received[self.taken..];
            let length = match (response_extent(rest, to_head), self.ended) {
                (Extent::Complete(length), _) => length,
                (_, Some(_)) => rest.len(),
                _ => {
                    if !self.receive(until) && self.ended.is_none() {
                        panic!("no whole response in time, but: {}", show(&self.received[self.taken..]));
                    }
                    continue;
                }
            };
            let message = rest[..length].to_vec();
            self.taken += length;
            return message;
        }
    }

    /// The status of the next response; 0 when the connection ended without one.
    pub fn status(&mut self) -> u16 {
        status(&self.response()).unwrap_or(0)
    }

    /// Reads until these bytes have come (they and what precedes them are taken).
    pub fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let until = Instant::now() + BOUND;
        loop {
            let rest = &self.received[self.taken..];
            let found = rest.windows(end.len()).position(|window| window == end);
            if let Some(length) = found.map(|at| at + end.len()).or(self.ended.map(|_| rest.len())) {
                let bytes = rest[..length].to_vec();
                self.taken += length;
                return bytes;
            }
            if !self.receive(until) && self.ended.is_none() {
                panic!("{} did not come in time, but: {}", show(end), show(&self.received[self.taken..]));
            }
        }
    }

    /// Reads until the other side ends: what had not been taken, and how it ended.
    pub fn closed(&mut self) -> (Vec<u8>, End) {
        let until = Instant::now() + BOUND;
        while self.receive(until) {}
        let Some(end) = self.ended else {
            panic!("the connection is still open; received: {}", show(&self.received[self.taken..]));
        };
        // A real client closes too: a proxy may be waiting for that to end its side.
        let _ = self.stream.shutdown(Shutdown::Both);
        let rest = self.received[self.taken..].to_vec();
        self.taken = self.received.len();
        (rest, end)
    }

    /// What comes within a while, when nothing may be known about it; None when the connection stays open.
    pub fn drain(&mut self, during: Duration) -> (Vec<u8>, Option<End>) {
        let until = Instant::now() + during;
        while self.receive(until) {}
        let rest = self.received[self.taken..].to_vec();
        self.taken = self.received.len();
        (rest, self.ended)
    }
}
