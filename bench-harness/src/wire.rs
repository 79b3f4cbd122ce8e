//! A non-blocking byte stream, plain or TLS, that both the origin and the generator stand on. It moves bytes between
//! a socket and two buffers and says what it waits for; it knows neither HTTP nor epoll.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use rustls::{ClientConnection, ServerConnection};

pub enum Session {
    Plain,
    Client(Box<ClientConnection>),
    Server(Box<ServerConnection>),
}

pub struct Wire {
    pub socket: TcpStream,
    pub session: Session,
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    Bytes,
    /// Nothing now; more may come.
    Nothing,
    End,
}

impl Wire {
    pub fn new(socket: TcpStream, session: Session) -> Self {
        Self { socket, session }
    }

    /// Appends what is there to `buffer`; reads the socket at most `scratch.len()` bytes at a time.
    pub fn read(&mut self, scratch: &mut [u8], buffer: &mut Vec<u8>) -> io::Result<Got> {
        match &mut self.session {
            Session::Plain => match self.socket.read(scratch) {
                Ok(0) => Ok(Got::End),
                Ok(n) => {
                    buffer.extend_from_slice(&scratch[..n]);
                    Ok(Got::Bytes)
                }
                Err(error) if would_block(&error) => Ok(Got::Nothing),
                Err(error) => Err(error),
            },
            Session::Client(tls) => read_tls(&mut **tls, &mut self.socket, scratch, buffer),
            Session::Server(tls) => read_tls(&mut **tls, &mut self.socket, scratch, buffer),
        }
    }

    /// Takes bytes for sending; returns how many (TLS takes all and keeps them).
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.session {
            Session::Plain => match self.socket.write(bytes) {
                Ok(n) => Ok(n),
                Err(error) if would_block(&error) => Ok(0),
                Err(error) => Err(error),
            },
            Session::Client(tls) => {
                let n = tls.writer().write(bytes)?;
                flush_tls(&mut **tls, &mut self.socket)?;
                Ok(n)
            }
            Session::Server(tls) => {
                let n = tls.writer().write(bytes)?;
                flush_tls(&mut **tls, &mut self.socket)?;
                Ok(n)
            }
        }
    }

    /// Sends what TLS holds back (handshake flights, records); true when nothing is left.
    pub fn flush(&mut self) -> io::Result<bool> {
        match &mut self.session {
            Session::Plain => Ok(true),
            Session::Client(tls) => flush_tls(&mut **tls, &mut self.socket),
            Session::Server(tls) => flush_tls(&mut **tls, &mut self.socket),
        }
    }

    pub fn is_handshaking(&self) -> bool {
        match &self.session {
            Session::Plain => false,
            Session::Client(tls) => tls.is_handshaking(),
            Session::Server(tls) => tls.is_handshaking(),
        }
    }

    /// Says goodbye the way the protocol wants; the caller drops the wire.
    pub fn close(&mut self) {
        match &mut self.session {
            Session::Plain => {}
            Session::Client(tls) => tls.send_close_notify(),
            Session::Server(tls) => tls.send_close_notify(),
        }
        let _ = self.flush();
    }
}

/// The parts of both rustls connections that are the same but share no trait.
trait Records {
    fn pending(&self) -> bool;
    fn send(&mut self, socket: &mut TcpStream) -> io::Result<usize>;
    fn receive(&mut self, socket: &mut TcpStream) -> io::Result<usize>;
    fn process(&mut self) -> Result<(), rustls::Error>;
    fn plaintext(&mut self, scratch: &mut [u8]) -> io::Result<usize>;
}

macro_rules! records {
    ($connection:ty) => {
        impl Records for $connection {
            fn pending(&self) -> bool {
                self.wants_write()
            }
            fn send(&mut self, socket: &mut TcpStream) -> io::Result<usize> {
                self.write_tls(socket)
            }
            fn receive(&mut self, socket: &mut TcpStream) -> io::Result<usize> {
                self.read_tls(socket)
            }
            fn process(&mut self) -> Result<(), rustls::Error> {
                self.process_new_packets().map(drop)
            }
            fn plaintext(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
                self.reader().read(scratch)
            }
        }
    };
}
records!(ClientConnection);
records!(ServerConnection);

fn flush_tls(tls: &mut impl Records, socket: &mut TcpStream) -> io::Result<bool> {
    while tls.pending() {
        match tls.send(socket) {
            Ok(_) => {}
            Err(error) if would_block(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn read_tls(
    tls: &mut impl Records,
    socket: &mut TcpStream,
    scratch: &mut [u8],
    buffer: &mut Vec<u8>,
) -> io::Result<Got> {
    let ended = match tls.receive(socket) {
        Ok(n) => n == 0,
        Err(error) if would_block(&error) => return Ok(Got::Nothing),
        Err(error) => return Err(error),
    };
    tls.process().map_err(io::Error::other)?;
    flush_tls(tls, socket)?;
    let before = buffer.len();
    loop {
        match tls.plaintext(scratch) {
            // A clean end: close_notify came.
            Ok(0) => return Ok(if buffer.len() > before { Got::Bytes } else { Got::End }),
            Ok(n) => buffer.extend_from_slice(&scratch[..n]),
            Err(error) if would_block(&error) => break,
            // The peer closed without close_notify; for a benchmark that is an end like any other.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Ok(if buffer.len() > before { Got::Bytes } else { Got::End });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(if ended {
        Got::End
    } else if buffer.len() > before {
        Got::Bytes
    } else {
        Got::Nothing
    })
}

pub fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
