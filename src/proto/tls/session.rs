//! One TLS connection without its socket: received bytes go in, plain text and bytes to send come out. A session is born
//! with a ClientHello to read (server side) or to send (client side), lets the library make the handshake, then takes the
//! keys out of it and protects records itself ([`super::records`]), so that data is decrypted where it was received and
//! an idle connection keeps keys and facts only.

use super::client::ClientContext;
use super::handshake::drive;
use super::hello::{self, NotHello, Peek};
use super::moment::{self, Moment};
use super::records::{self, ALERT, APPLICATION_DATA, Protection, RecordError};
use super::server::{Choice, ServerChooser};
use super::traffic::{Kernel, Traffic};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};
use std::ops::Range;
use std::sync::Arc;

pub use super::facts::{Captured, Facts};

/// Bytes kept while a handshake message is incomplete, at most: the library's own bound of 64 kB with record headers.
pub(super) const HANDSHAKE_CARRY_MAX: usize = 80 * 1024;
/// Records of a transfer that `tune.ssl.maxrecord` keeps small.
const SMALL_RECORDS: u16 = 40;

/// A TLS session, either side.
pub struct Session {
    stage: Stage,
    /// Received bytes that are no whole record (or, in the handshake, no whole message). Without capacity when empty.
    carry: Vec<u8>,
    facts: Box<Facts>,
    sizes: RecordSizes,
    small_records_left: u16,
    closed_by_peer: bool,
}

enum Stage {
    /// Server side: the ClientHello is not complete.
    Hello(Arc<dyn ServerChooser>),
    Server(Box<UnbufferedServerConnection>, Choice),
    Client(Box<UnbufferedClientConnection>),
    Traffic(Box<Traffic>),
    /// An alert was sent or received, or the library gave up.
    Failed,
}

/// `tune.ssl.maxrecord` and `tune.ssl.hard-maxrecord`; 0: no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordSizes {
    pub maxrecord: usize,
    pub hard_maxrecord: usize,
}

/// What a call of [`Session::feed`] brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Plain text that precedes `plain`; from records that began in an earlier call. Usually empty.
    pub carried: Vec<u8>,
    /// Plain text within the slice that was given.
    pub plain: Range<usize>,
    /// The handshake ended in this call.
    pub established: bool,
    /// The peer sent close_notify; nothing will follow.
    pub closed: bool,
    /// What was put into `out` cannot wait for a response: a handshake flight, or the refusal of one. Without it (tickets, key
    /// updates) the bytes may leave together with what the caller sends next.
    pub send_now: bool,
}

/// Why a session ended. What `out` holds then is the alert; it is sent before closing.
#[derive(Debug, Clone, PartialEq)]
pub enum TlsError {
    /// The first bytes are no TLS; `http` if they are a request in the clear.
    NotTls { http: bool },
    /// A ClientHello whose parts do not fit, or a record that does not.
    Malformed,
    /// No certificate for the name asked for, under `strict-sni`.
    UnknownName,
    /// The peer sent this fatal alert.
    AlertReceived(AlertDescription),
    /// A record was altered.
    BadMac,
    /// A message that has no place here.
    Unexpected,
    /// More bytes were kept than a handshake may need.
    TooLong,
    /// The peer's certificate was refused; the number is in [`Facts::verify`].
    Certificate(u32),
    /// The client sent no certificate and `verify required` stands on the line.
    NoCertificate,
    /// The client speaks no version that we do.
    Version,
    /// Nothing in common: cipher, group or signature.
    NoneInCommon(String),
    /// The library's own words for anything else.
    Library(String),
    /// The session failed before, or is not established.
    NotReady,
}

impl Session {
    /// The server side of a connection.
    pub fn server(chooser: Arc<dyn ServerChooser>, sizes: RecordSizes) -> Session {
        let facts = Facts { version: chooser.highest_version(), ..Facts::default() };
        Session::new(Stage::Hello(chooser), sizes, facts)
    }

    /// The client side: appends the ClientHello to `out`. `sni` is the name sent and verified; an address is verified only;
    /// `None` (or an empty name) does neither. Errs if it is no name at all.
    pub fn client(
        context: Arc<ClientContext>,
        sni: Option<&str>,
        sizes: RecordSizes,
        now_s: u64,
        out: &mut Vec<u8>,
    ) -> Result<Session, TlsError> {
        let name = match sni.filter(|n| !n.is_empty()) {
            // What cannot be a name must not pass as "no name to verify".
            Some(name) => ServerName::try_from(name.to_owned())
                .map_err(|_| TlsError::Library(format!("'{name}' is no server name")))?,
            // The library wants a name for its session cache; an address is never sent as SNI (RFC 6066 §3).
            None => ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()),
        };
        let sent = match &name {
            ServerName::DnsName(name) => Some(name.as_ref().into()),
            _ => None,
        };
        // The ClientHello is made here, with the age of the ticket that it offers.
        moment::set_time(now_s);
        let connection = UnbufferedClientConnection::new(context.config(), name).map_err(library_error)?;
        let facts = Facts { sni: sent, ..Facts::default() };
        let start = out.len();
        let mut session = Session::new(Stage::Client(Box::new(connection)), sizes, facts);
        session.handshake(now_s, &mut [], out, &mut Fed::default())?;
        if let Some(random) = out.get(start + 11..start + 43) {
            session.facts.client_random.copy_from_slice(random);
        }
        Ok(session)
    }

    fn new(stage: Stage, sizes: RecordSizes, facts: Facts) -> Session {
        Session {
            stage,
            carry: Vec::new(),
            facts: Box::new(facts),
            sizes,
            small_records_left: SMALL_RECORDS,
            closed_by_peer: false,
        }
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The facts, for good: what the session needs of them it has used once the handshake is over.
    pub fn take_facts(&mut self) -> Box<Facts> {
        std::mem::take(&mut self.facts)
    }

    /// Whether data can be sent and received.
    pub fn is_established(&self) -> bool {
        matches!(self.stage, Stage::Traffic(_))
    }

    /// Whether bytes of an incomplete record are kept.
    pub fn holds_bytes(&self) -> bool {
        !self.carry.is_empty()
    }

    /// Takes received bytes, whatever their cut. Handshake messages, tickets and alerts to send are appended to `out`,
    /// also when this errs. `now_s` is in seconds since 1970.
    pub fn feed(&mut self, now_s: u64, incoming: &mut [u8], out: &mut Vec<u8>) -> Result<Fed, TlsError> {
        moment::set_time(now_s);
        let mut fed = Fed::default();
        let result = self.feed_inner(now_s, incoming, out, &mut fed);
        if self.carry.is_empty() {
            self.carry = Vec::new();
        }
        match result {
            Ok(()) => {
                fed.closed = self.closed_by_peer;
                Ok(fed)
            }
            Err(error) => {
                self.fail(&error, out);
                Err(error)
            }
        }
    }

    fn feed_inner(
        &mut self,
        now_s: u64,
        incoming: &mut [u8],
        out: &mut Vec<u8>,
        fed: &mut Fed,
    ) -> Result<(), TlsError> {
        if self.is_established() {
            return self.traffic(incoming, 0, out, fed);
        }
        if self.carry.is_empty() {
            let used = self.handshake(now_s, incoming, out, fed)?;
            if self.is_established() {
                return self.traffic(incoming, used, out, fed);
            }
            self.keep(&incoming[used..])
        } else {
            self.keep(incoming)?;
            let mut kept = std::mem::take(&mut self.carry);
            let used = self.handshake(now_s, &mut kept, out, fed)?;
            if self.is_established() {
                let mut rest = Fed::default();
                self.traffic(&mut kept, used, out, &mut rest)?;
                fed.carried.extend_from_slice(&kept[rest.plain]);
                fed.send_now |= rest.send_now;
            } else {
                kept.drain(..used);
                self.carry = kept;
            }
            Ok(())
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        if self.carry.len() + bytes.len() > HANDSHAKE_CARRY_MAX {
            return Err(TlsError::TooLong);
        }
        self.carry.extend_from_slice(bytes);
        Ok(())
    }

    /// Gives `bytes` to the library; returns how many it is done with.
    fn handshake(
        &mut self,
        now_s: u64,
        bytes: &mut [u8],
        out: &mut Vec<u8>,
        fed: &mut Fed,
    ) -> Result<usize, TlsError> {
        if let Stage::Hello(chooser) = &self.stage {
            let chosen = match hello::peek(bytes) {
                Peek::Partial => return Ok(0),
                Peek::No(NotHello::NotTls) => return Err(TlsError::NotTls { http: is_http(bytes) }),
                Peek::No(NotHello::OtherMessage(_)) => return Err(TlsError::Unexpected),
                Peek::No(_) => return Err(TlsError::Malformed),
                Peek::Complete(hello) => {
                    let fields = hello.parse().ok_or(TlsError::Malformed)?;
                    self.facts.note_hello(&fields, chooser.capture_size());
                    if !fields.offers_version(0x0303) && !fields.offers_version(0x0304) {
                        return Err(TlsError::Version);
                    }
                    let chosen = chooser.choose(&fields)?;
                    self.facts.note_chosen(&fields);
                    chosen
                }
            };
            let connection = UnbufferedServerConnection::new(chosen.config.clone()).map_err(library_error)?;
            self.facts.certificate = Some(chosen.certificate.clone());
            self.facts.certificate_name = Some(chosen.name.clone());
            self.stage = Stage::Server(Box::new(connection), chosen);
        }
        let sent_before = out.len();
        let secrets = self.facts.secrets.take();
        let mut moment = Moment { now_s, verify: self.facts.verify, secrets, ..Moment::default() };
        let driven = match &mut self.stage {
            Stage::Server(connection, choice) => {
                moment.certificate = Some(choice.certificate.clone());
                moment.binding = choice.binding;
                moment::enter(moment);
                drive(connection.as_mut(), bytes, out, &mut fed.carried)
            }
            Stage::Client(connection) => {
                if self.facts.server_random == [0; 32] {
                    self.facts.note_server_hello(bytes);
                }
                moment::enter(moment);
                drive(connection.as_mut(), bytes, out, &mut fed.carried)
            }
            _ => return Err(TlsError::NotReady),
        };
        let moment = moment::leave();
        self.facts.verify = moment.verify;
        self.facts.secrets = moment.secrets;
        if let Some(refused) = moment.refused {
            self.facts.peer_chain = vec![refused];
        }
        if self.facts.server_random == [0; 32] && matches!(self.stage, Stage::Server(..)) {
            self.facts.note_server_hello(&out[sent_before..]);
        }
        match driven.outcome {
            Ok(done) => {
                let sent = out.len() > sent_before;
                if done {
                    self.establish()?;
                    fed.established = true;
                }
                // Server side, TLS 1.3: what is sent at the end are tickets, which no one waits for. TLS 1.2's last
                // flight and a client's Finished are waited for.
                let tickets_only = done
                    && self.facts.version == "TLSv1.3"
                    && matches!(&self.stage, Stage::Traffic(t) if matches!(t.kernel, Some(Kernel::Server(_))));
                fed.send_now |= sent && !tickets_only;
                self.closed_by_peer |= driven.closed;
                Ok(driven.used)
            }
            Err(error) => {
                // For the log: what had been agreed on so far.
                match &self.stage {
                    Stage::Server(connection, _) => self.facts.note_progress(connection),
                    Stage::Client(connection) => self.facts.note_progress(connection),
                    _ => {}
                }
                Err(self.refused(error))
            }
        }
    }

    /// Takes facts and keys out of the library once the handshake is over.
    fn establish(&mut self) -> Result<(), TlsError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Failed);
        let (secrets, kernel) = match stage {
            Stage::Server(connection, _) => {
                self.facts.note_negotiated(&connection);
                let (secrets, kernel) = connection.dangerous_into_kernel_connection().map_err(library_error)?;
                (secrets, Kernel::Server(Box::new(kernel)))
            }
            Stage::Client(connection) => {
                self.facts.note_negotiated(&connection);
                let (secrets, kernel) = connection.dangerous_into_kernel_connection().map_err(library_error)?;
                (secrets, Kernel::Client(Box::new(kernel)))
            }
            _ => return Err(TlsError::NotReady),
        };
        let tls13 = self.facts.version == "TLSv1.3";
        let unknown = || TlsError::Library("unknown kind of traffic secret".into());
        self.stage = Stage::Traffic(Box::new(Traffic {
            receive: Protection::new(secrets.rx.1, secrets.rx.0, tls13).ok_or_else(unknown)?,
            send: Protection::new(secrets.tx.1, secrets.tx.0, tls13).ok_or_else(unknown)?,
            kernel: tls13.then_some(kernel),
            message: Vec::new(),
            idle_messages: 0,
            renegotiation_refused: false,
            close_notify_sent: false,
        }));
        Ok(())
    }

    /// Opens the records in `bytes[from..]` in place; plain text is moved together.
    fn traffic(
        &mut self,
        bytes: &mut [u8],
        mut from: usize,
        out: &mut Vec<u8>,
        fed: &mut Fed,
    ) -> Result<(), TlsError> {
        let Stage::Traffic(traffic) = &mut self.stage else { return Err(TlsError::NotReady) };
        let mut key_update = false;
        let refused = traffic.renegotiation_refused;
        if !self.carry.is_empty() {
            let Some(used) = complete(&mut self.carry, bytes)? else { return Ok(()) };
            from = used;
            let mut record = std::mem::take(&mut self.carry);
            let (kind, plain) = traffic.receive.open(&mut record)?;
            if kind == APPLICATION_DATA {
                if !plain.is_empty() {
                    traffic.idle_messages = 0;
                }
                // The buffer itself becomes the plain text.
                record.truncate(plain.end);
                record.drain(..plain.start);
                match fed.carried.is_empty() {
                    true => fed.carried = record,
                    false => fed.carried.append(&mut record),
                }
            } else {
                self.closed_by_peer |= traffic.control(kind, &record[plain], &mut key_update, out)?;
            }
        }
        let mut plain_end = 0;
        let mut plain_start = 0;
        while !self.closed_by_peer {
            let rest = &mut bytes[from..];
            let Some(length) = records::record_length(rest)?.filter(|l| *l <= rest.len()) else {
                self.carry.extend_from_slice(rest);
                break;
            };
            let (kind, plain) = traffic.receive.open(&mut rest[..length])?;
            let plain = from + plain.start..from + plain.end;
            from += length;
            if kind != APPLICATION_DATA {
                self.closed_by_peer |= traffic.control(kind, &bytes[plain], &mut key_update, out)?;
                continue;
            }
            if !plain.is_empty() {
                traffic.idle_messages = 0;
            }
            if plain_end == plain_start {
                (plain_start, plain_end) = (plain.start, plain.end);
            } else {
                let length = plain.len();
                bytes.copy_within(plain, plain_end);
                plain_end += length;
            }
        }
        fed.plain = plain_start..plain_end;
        fed.send_now |= traffic.renegotiation_refused != refused;
        if key_update {
            traffic.update_send_keys(out)?;
        }
        Ok(())
    }

    /// Appends records with `plain` to `out`. Errs before the handshake is over and after close_notify.
    pub fn encrypt(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.encrypt_parts(&[plain], out)
    }

    /// The same for text in several pieces (a head and a body), each a record or more.
    pub fn encrypt_parts(&mut self, parts: &[&[u8]], out: &mut Vec<u8>) -> Result<(), TlsError> {
        let Stage::Traffic(traffic) = &mut self.stage else { return Err(TlsError::NotReady) };
        if traffic.close_notify_sent {
            return Err(TlsError::NotReady);
        }
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let limit = self.sizes.limit(self.small_records_left);
                self.small_records_left = self.small_records_left.saturating_sub(1);
                let (now, later) = rest.split_at(rest.len().min(limit));
                traffic.seal(APPLICATION_DATA, now, out)?;
                rest = later;
            }
        }
        Ok(())
    }

    /// A new transfer begins after a pause: `tune.ssl.maxrecord` applies again.
    pub fn begin_transfer(&mut self) {
        self.small_records_left = SMALL_RECORDS;
    }

    /// Appends close_notify to `out`, once.
    pub fn close_notify(&mut self, out: &mut Vec<u8>) {
        if let Stage::Traffic(traffic) = &mut self.stage
            && !traffic.close_notify_sent
            && traffic.seal(ALERT, &[1, 0], out).is_ok()
        {
            traffic.close_notify_sent = true;
        }
    }

    /// Names what the library refused; verification errors come with their number.
    fn refused(&self, error: Error) -> TlsError {
        match error {
            Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) => {
                TlsError::Certificate(self.facts.verify.result)
            }
            Error::NoCertificatesPresented => TlsError::NoCertificate,
            Error::AlertReceived(alert) => TlsError::AlertReceived(alert),
            Error::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            ) => TlsError::Version,
            Error::PeerIncompatible(why) => TlsError::NoneInCommon(format!("{why:?}")),
            Error::DecryptError => TlsError::BadMac,
            Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsError::NotTls { http: false },
            Error::InvalidMessage(_) => TlsError::Malformed,
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => TlsError::Unexpected,
            other => library_error(other),
        }
    }

    /// Puts the alert that belongs to `error` into `out` where the library has not, and ends the session.
    fn fail(&mut self, error: &TlsError, out: &mut Vec<u8>) {
        if *error == TlsError::Version && matches!(self.stage, Stage::Hello(_) | Stage::Server(..)) {
            self.facts.note_no_version();
        }
        let alert = match error {
            TlsError::UnknownName => Some(112),
            TlsError::Version => Some(70),
            TlsError::Malformed => Some(50),
            TlsError::TooLong => Some(22),
            TlsError::BadMac => Some(20),
            TlsError::Unexpected => Some(10),
            _ => None,
        };
        match (&mut self.stage, alert) {
            // The library's alert is one of TLS 1.3 only; before it, this is a failed handshake (RFC 5246 §7.4.6).
            (Stage::Server(..), None)
                if *error == TlsError::NoCertificate
                    && self.facts.version == "TLSv1.2"
                    && out.ends_with(&[2, 116]) =>
            {
                out.truncate(out.len() - 1);
                out.push(40);
            }
            (Stage::Hello(_), Some(alert)) => {
                // In a version that the client knows, so that it reads why.
                let minor = (self.facts.hello_version.clamp(0x0300, 0x0303) & 0xff) as u8;
                let minor = if *error == TlsError::Version { minor } else { 3 };
                out.extend_from_slice(&[ALERT, 3, minor, 0, 2, 2, alert]);
            }
            (Stage::Traffic(traffic), Some(alert)) if !traffic.close_notify_sent => {
                let _ = traffic.seal(ALERT, &[2, alert], out);
            }
            _ => {}
        }
        self.stage = Stage::Failed;
        self.carry = Vec::new();
    }
}

impl RecordSizes {
    fn limit(&self, small_records_left: u16) -> usize {
        let mut limit = records::PLAIN_MAX;
        if self.maxrecord > 0 && small_records_left > 0 {
            limit = limit.min(self.maxrecord);
        }
        if self.hard_maxrecord > 0 {
            limit = limit.min(self.hard_maxrecord);
        }
        limit
    }
}

/// Completes the record in `carry` from the start of `bytes`; returns how many bytes that took, or `None` if all were
/// taken and the record is still incomplete.
fn complete(carry: &mut Vec<u8>, bytes: &[u8]) -> Result<Option<usize>, RecordError> {
    let mut used = 0;
    loop {
        let wanted = records::record_length(carry)?.unwrap_or(records::HEADER);
        if carry.len() == wanted && wanted > records::HEADER {
            return Ok(Some(used));
        }
        if carry.len() == wanted {
            // A record without content is no whole one: at least a tag is due.
            return Err(RecordError::BadMac);
        }
        let now = (wanted - carry.len()).min(bytes.len() - used);
        if now == 0 {
            return Ok(None);
        }
        carry.reserve_exact(wanted - carry.len());
        carry.extend_from_slice(&bytes[used..used + now]);
        used += now;
    }
}

/// Whether bytes begin with one of the methods that OpenSSL looks for.
fn is_http(bytes: &[u8]) -> bool {
    [&b"GET "[..], b"POST ", b"HEAD ", b"PUT ", b"CONNECT"].iter().any(|m| bytes.starts_with(m))
}

pub(super) fn library_error(error: Error) -> TlsError {
    TlsError::Library(error.to_string())
}

impl From<RecordError> for TlsError {
    fn from(error: RecordError) -> TlsError {
        match error {
            RecordError::BadMac => TlsError::BadMac,
            RecordError::TooLong => TlsError::TooLong,
            RecordError::UnexpectedType => TlsError::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests;
