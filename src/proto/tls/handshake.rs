//! Drives the library's connections, server and client alike, from received bytes to the end of the handshake.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{AlertDescription, Error};

/// What [`drive`] did.
pub(super) struct Driven {
    pub used: usize,
    pub closed: bool,
    /// Whether the handshake is over.
    pub outcome: Result<bool, Error>,
}

/// The two kinds of connection the library has.
pub(super) trait Handshaking {
    type Data;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn is_over(&self) -> bool;
    /// Whether the library has something to hand out, an alert say.
    fn has_output(&self) -> bool;
}

impl Handshaking for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
    fn is_over(&self) -> bool {
        !self.is_handshaking()
    }
    fn has_output(&self) -> bool {
        self.wants_write()
    }
}

impl Handshaking for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
    fn is_over(&self) -> bool {
        !self.is_handshaking()
    }
    fn has_output(&self) -> bool {
        self.wants_write()
    }
}

/// Runs the library over `bytes` until it wants more, is done, or errs. What it has to send goes to `out`, alerts too.
pub(super) fn drive<C: Handshaking>(
    connection: &mut C,
    bytes: &mut [u8],
    out: &mut Vec<u8>,
    early: &mut Vec<u8>,
) -> Driven {
    let mut driven = Driven { used: 0, closed: false, outcome: Ok(false) };
    loop {
        // After an error nothing more is read: the library is only asked for its alert, which it gives before it reads.
        if driven.outcome.is_err() && !connection.has_output() {
            return driven;
        }
        // Once the handshake is over the records that follow are ours; the library only gets rid of what it has to send.
        // (It insists on message boundaries at Finished, so that it has nothing left to look for in the bytes.)
        let input = if connection.is_over() { &mut [][..] } else { &mut bytes[driven.used..] };
        let UnbufferedStatus { discard, state } = connection.process(input);
        match state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, out),
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            // Data in the same call as the last handshake message.
            Ok(ConnectionState::ReadTraffic(mut data)) => {
                while let Some(Ok(record)) = data.next_record() {
                    early.extend_from_slice(record.payload);
                }
            }
            Ok(ConnectionState::WriteTraffic(_)) => {
                driven.used += discard;
                driven.outcome = driven.outcome.map(|_| true);
                return driven;
            }
            Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                driven.used += discard;
                driven.closed = true;
                if driven.outcome.is_ok() && !connection.is_over() {
                    driven.outcome = Err(Error::AlertReceived(AlertDescription::CloseNotify));
                }
                return driven;
            }
            // No early data is ever accepted.
            Ok(_) => {
                driven.used += discard;
                return driven;
            }
            Err(error) => driven.outcome = Err(error),
        }
        driven.used += discard;
    }
}

fn encode<D>(data: &mut rustls::unbuffered::EncodeTlsData<'_, D>, out: &mut Vec<u8>) {
    let at = out.len();
    // The library tells the size when the room is too small.
    let size = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(size)) => size.required_size,
        _ => return,
    };
    out.resize(at + size, 0);
    if data.encode(&mut out[at..]).is_err() {
        out.truncate(at);
    }
}
