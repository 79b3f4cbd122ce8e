//! Clients that speak TLS: what is agreed on in the handshake, or what alert says that nothing is, goes into the
//! transcript, and what comes after it.

use super::{Run, Transcript};
use crate::common::http::{Extent, response_extent, without_chunk_boundaries};
use crate::common::{show, tls};
use rustls::ClientConfig;
use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

/// A client over TLS whose responses go into the transcript.
pub struct TlsPeer {
    stream: tls::Stream,
    name: String,
    transcript: Rc<RefCell<Transcript>>,
    received: Vec<u8>,
}

impl Run {
    /// Makes the handshake with the frontend under this name; an address is no name and is not sent.
    pub fn tls(&mut self, config: &Arc<ClientConfig>, name: &str) -> Option<TlsPeer> {
        self.tls_to("fe", config, name, b"")
    }

    /// The same with another port, behind bytes in the clear.
    pub fn tls_to(&mut self, port: &str, config: &Arc<ClientConfig>, name: &str, before: &[u8]) -> Option<TlsPeer> {
        let mut tcp = TcpStream::connect(("127.0.0.1", self.ports[port])).expect("a connection");
        tcp.write_all(before).expect("sending");
        self.clients += 1;
        let who = format!("C{}", self.clients);
        let port = tcp.local_addr().expect("an address").port();
        self.transcript.borrow_mut().names.push((port.into(), who.clone()));
        match tls::handshake(config, tcp, name) {
            Ok(stream) => {
                self.note(&who, &format!("tls {}", agreed(&stream)));
                let transcript = self.transcript.clone();
                Some(TlsPeer { stream, name: who, transcript, received: Vec::new() })
            }
            Err(error) => {
                self.note(&who, &format!("refused: {}", ended(&error)));
                None
            }
        }
    }

    /// A handshake, a request and what answers it. In TLS 1.3 a server refuses a client's certificate after the
    /// client's handshake is over.
    pub fn tls_ask(&mut self, config: &Arc<ClientConfig>, name: &str, request: &str) -> Option<TlsPeer> {
        let mut peer = self.tls(config, name)?;
        peer.ask(request);
        Some(peer)
    }
}

impl TlsPeer {
    /// Sends a request and takes its response.
    pub fn ask(&mut self, request: &str) -> Vec<u8> {
        self.send(request);
        self.response()
    }

    /// Sends; an alert that has come already shows when the answer is read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
        let _ = self.stream.flush();
    }

    /// The next response, into the transcript, or what there was of it and how it ended.
    pub fn response(&mut self) -> Vec<u8> {
        loop {
            if let Extent::Complete(length) = response_extent(&self.received, false) {
                let message: Vec<u8> = self.received.drain(..length).collect();
                self.note(&message);
                return message;
            }
            if !self.receive() {
                return Vec::new();
            }
        }
    }

    /// Reads to the end.
    pub fn closed(&mut self) {
        while self.receive() {}
    }

    /// One more read; false at the end, which is noted with what came before it.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let end = match self.stream.read(&mut buffer) {
            Ok(0) => "closed".to_owned(),
            Ok(n) => {
                self.received.extend_from_slice(&buffer[..n]);
                return true;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return true,
            Err(error) => ended(&error),
        };
        let rest = std::mem::take(&mut self.received);
        self.note(&rest);
        self.transcript.borrow_mut().note(&self.name, &end);
        false
    }

    /// Says that nothing follows, and keeps reading.
    pub fn close_notify(&mut self) {
        self.stream.conn.send_close_notify();
        let _ = self.stream.flush();
    }

    fn note(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.transcript.borrow_mut().note(&format!("{} <", self.name), &show(&without_chunk_boundaries(bytes)));
        }
    }
}

/// What a client knows of its server after the handshake.
fn agreed(stream: &tls::Stream) -> String {
    let connection = &stream.conn;
    let alpn = connection.alpn_protocol().map_or("-".into(), String::from_utf8_lossy);
    let shown = connection.peer_certificates().map_or("-".to_owned(), |chain| tls::subject(&chain[0]));
    format!(
        "{:?} {:?} alpn {alpn} certificate {shown}",
        connection.protocol_version().expect("a version"),
        connection.negotiated_cipher_suite().expect("a suite").suite()
    )
}

/// How a connection ended. FIN without close_notify and RST count the same.
fn ended(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "cut off".to_owned(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => panic!("nothing came in time"),
        _ => error.to_string(),
    }
}
