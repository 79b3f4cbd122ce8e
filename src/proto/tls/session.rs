//! One TLS connection without its socket: received bytes go in, plain text and bytes to send come out. A session is born
//! with a ClientHello to read (server side) or to send (client side), lets the library make the handshake, then takes the
//! keys out of it and protects records itself ([`super::records`]), so that data is decrypted where it was received and
//! an idle connection keeps keys and facts only.

use super::client::ClientContext;
use super::hello::{self, NotHello, Peek};
use super::moment::{self, Moment};
use super::policy::{cipher_bits, cipher_name};
use super::records::{self, ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, Protection, RecordError};
use super::server::{Choice, ServerChooser};
use super::verify_code::VerifyResult;
use rustls::client::UnbufferedClientConnection;
use rustls::kernel::KernelConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{AlertDescription, Error, HandshakeKind, ProtocolVersion};
use std::ops::Range;
use std::sync::Arc;

/// Bytes kept while a handshake message is incomplete, at most: the library's own bound of 64 kB with record headers.
const HANDSHAKE_CARRY_MAX: usize = 80 * 1024;
/// Post-handshake messages without data between them, at most; also warnings (RFC 8446 leaves the bound to us).
const IDLE_MESSAGES_MAX: u8 = 32;
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

struct Traffic {
    receive: Protection,
    send: Protection,
    /// Makes new keys and takes tickets (TLS 1.3).
    kernel: Option<Kernel>,
    /// A post-handshake message that spans records.
    message: Vec<u8>,
    idle_messages: u8,
    close_notify_sent: bool,
}

enum Kernel {
    Server(Box<KernelConnection<rustls::server::ServerConnectionData>>),
    Client(Box<KernelConnection<rustls::client::ClientConnectionData>>),
}

/// `tune.ssl.maxrecord` and `tune.ssl.hard-maxrecord`; 0: no limit.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordSizes {
    pub maxrecord: usize,
    pub hard_maxrecord: usize,
}

/// What became known of a session; for fetches, logs and PROXY protocol headers.
#[derive(Debug, Default, Clone)]
pub struct Facts {
    /// HAProxy's spelling (`TLSv1.3`); empty before it is negotiated.
    pub version: &'static str,
    /// OpenSSL's spelling; empty before it is negotiated.
    pub cipher: &'static str,
    /// `ssl_fc_alg_keysize`, `ssl_fc_use_keysize`.
    pub cipher_bits: u16,
    /// `ssl_fc_curve`.
    pub curve: &'static str,
    /// The name the client asked for (or that we ask for, client side), as sent.
    pub sni: Option<Box<str>>,
    /// Negotiated protocol.
    pub alpn: Option<Box<[u8]>>,
    pub resumed: bool,
    /// The id of the ServerHello.
    pub session_id: Vec<u8>,
    pub client_random: [u8; 32],
    pub server_random: [u8; 32],
    /// `ssl_fc_protocol_hello_id`: the highest version of the ClientHello.
    pub hello_version: u16,
    /// Lists of the ClientHello, if `tune.ssl.capture-buffer-size` asks for them.
    pub captured: Option<Box<Captured>>,
    /// The peer's certificate and those above it, as sent (or as kept with the session).
    pub peer_chain: Vec<CertificateDer<'static>>,
    pub verify: VerifyResult,
    /// What we presented (server side), and the name it was loaded under.
    pub certificate: Option<Arc<rustls::sign::CertifiedKey>>,
    pub certificate_name: Option<Arc<str>>,
}

/// Lists of a ClientHello in wire form (`ssl_fc_cipherlist_bin` and kin), cut to the configured size.
#[derive(Debug, Default, Clone)]
pub struct Captured {
    pub ciphers: Vec<u8>,
    pub extensions: Vec<u8>,
    pub groups: Vec<u8>,
    pub ec_formats: Vec<u8>,
    pub sigalgs: Vec<u8>,
    pub versions: Vec<u8>,
}

impl Captured {
    pub fn from_hello(hello: &hello::ClientHello, max: usize) -> Captured {
        let cut = |list: Option<&[u8]>| list.map_or_else(Vec::new, |l| l[..l.len().min(max)].to_vec());
        let mut extensions = Vec::new();
        hello.extension_types(&mut extensions);
        extensions.truncate(max);
        Captured {
            ciphers: cut(Some(hello.cipher_suites)),
            extensions,
            groups: cut(hello.supported_groups),
            ec_formats: cut(hello.ec_point_formats),
            sigalgs: cut(hello.signature_algorithms),
            versions: cut(hello.supported_versions),
        }
    }
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
    /// What was put into `out` cannot wait for a response: a handshake flight. Without it (tickets, key updates) the bytes
    /// may leave together with what the caller sends next.
    pub send_now: bool,
}

/// Why a session ended. What `out` holds then is the alert; it is sent before closing.
#[derive(Debug, Clone, PartialEq)]
pub enum TlsError {
    /// The first bytes are no TLS (`Connection error during SSL handshake`, HTTP on a TLS port).
    NotTls,
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
    /// Nothing in common: version, cipher or group.
    NoneInCommon(String),
    /// The library's own words for anything else.
    Library(String),
    /// The session failed before, or is not established.
    NotReady,
}

impl Session {
    /// The server side of a connection.
    pub fn server(chooser: Arc<dyn ServerChooser>, sizes: RecordSizes) -> Session {
        Session::new(Stage::Hello(chooser), sizes, Facts::default())
    }

    /// The client side: appends the ClientHello to `out`. `sni` is the name sent and checked; `None` sends none.
    pub fn client(
        context: Arc<ClientContext>,
        sni: Option<&str>,
        sizes: RecordSizes,
        now_s: u64,
        out: &mut Vec<u8>,
    ) -> Result<Session, TlsError> {
        // Names that are no DNS names (addresses) are not sent, as RFC 6066 §3 wants.
        let name = sni.and_then(|n| ServerName::try_from(n.to_owned()).ok());
        let sent = name.is_some().then(|| sni.unwrap_or_default().into());
        // The library wants a name for its session cache; an address is never sent as SNI (RFC 6066 §3).
        let name = name.unwrap_or(ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into()));
        let connection = UnbufferedClientConnection::new(context.config(), name).map_err(library_error)?;
        let facts = Facts { sni: sent, ..Facts::default() };
        let mut session = Session::new(Stage::Client(Box::new(connection)), sizes, facts);
        session.handshake(now_s, &mut [], out, &mut Fed::default())?;
        if let Some(random) = out.get(11..43) {
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
                Peek::No(NotHello::NotTls) => return Err(TlsError::NotTls),
                Peek::No(NotHello::OtherMessage(_)) => return Err(TlsError::Unexpected),
                Peek::No(_) => return Err(TlsError::Malformed),
                Peek::Complete(hello) => {
                    let fields = hello.parse().ok_or(TlsError::Malformed)?;
                    self.facts.note_hello(&fields, chooser.capture_size());
                    chooser.choose(&fields)?
                }
            };
            let connection = UnbufferedServerConnection::new(chosen.config.clone()).map_err(library_error)?;
            self.facts.certificate = Some(chosen.certificate.clone());
            self.facts.certificate_name = Some(chosen.name.clone());
            self.stage = Stage::Server(Box::new(connection), chosen);
        }
        let sent_before = out.len();
        let mut moment = Moment { now_s, verify: self.facts.verify, ..Moment::default() };
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
        self.facts.verify = moment::leave().verify;
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
            Err(error) => Err(self.refused(error)),
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
        if !self.carry.is_empty() {
            let Some(used) = complete(&mut self.carry, bytes)? else { return Ok(()) };
            from = used;
            let mut record = std::mem::take(&mut self.carry);
            let (kind, plain) = traffic.receive.open(&mut record)?;
            if kind == APPLICATION_DATA {
                traffic.idle_messages = 0;
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
            traffic.idle_messages = 0;
            if plain_end == plain_start {
                (plain_start, plain_end) = (plain.start, plain.end);
            } else {
                let length = plain.len();
                bytes.copy_within(plain, plain_end);
                plain_end += length;
            }
        }
        fed.plain = plain_start..plain_end;
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
            Error::PeerIncompatible(why) => TlsError::NoneInCommon(format!("{why:?}")),
            Error::DecryptError => TlsError::BadMac,
            Error::InvalidMessage(_) => TlsError::Malformed,
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => TlsError::Unexpected,
            other => library_error(other),
        }
    }

    /// Puts the alert that belongs to `error` into `out` where the library has not, and ends the session.
    fn fail(&mut self, error: &TlsError, out: &mut Vec<u8>) {
        let alert = match error {
            TlsError::UnknownName => Some(112),
            TlsError::Malformed => Some(50),
            TlsError::TooLong => Some(22),
            TlsError::BadMac => Some(20),
            TlsError::Unexpected => Some(10),
            _ => None,
        };
        match (&mut self.stage, alert) {
            (Stage::Hello(_), Some(alert)) => out.extend_from_slice(&[ALERT, 3, 3, 0, 2, 2, alert]),
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

impl Traffic {
    /// Seals a record; takes new keys when the old ones have sealed as many records as is safe (RFC 8446 §5.5: 2^24.5 for
    /// AES-GCM). TLS 1.2 has no way to; there the nonces stay unique and the limit is left to administrators, as in OpenSSL.
    fn seal(&mut self, kind: u8, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        if self.send.is_tls13() && self.send.sequence() >= 1 << 23 {
            self.update_send_keys(out)?;
        }
        Ok(self.send.seal(kind, plain, out)?)
    }

    /// Alerts and post-handshake messages. True for close_notify.
    fn control(
        &mut self,
        kind: u8,
        content: &[u8],
        key_update: &mut bool,
        out: &mut Vec<u8>,
    ) -> Result<bool, TlsError> {
        self.idle_messages += 1;
        if self.idle_messages > IDLE_MESSAGES_MAX {
            return Err(TlsError::Unexpected);
        }
        match kind {
            ALERT => self.alert(content),
            HANDSHAKE => self.handshake_bytes(content, key_update, out).map(|()| false),
            CHANGE_CIPHER_SPEC => Err(TlsError::Unexpected),
            _ => Err(TlsError::Unexpected),
        }
    }

    fn alert(&mut self, content: &[u8]) -> Result<bool, TlsError> {
        let [level, description] = *content else { return Err(TlsError::Malformed) };
        let user_canceled = 90;
        match description {
            0 => Ok(true),
            d if d == user_canceled || (level == 1 && !self.send.is_tls13()) => Ok(false),
            d => Err(TlsError::AlertReceived(AlertDescription::from(d))),
        }
    }

    fn handshake_bytes(&mut self, content: &[u8], key_update: &mut bool, out: &mut Vec<u8>) -> Result<(), TlsError> {
        if content.is_empty() || self.message.len() + content.len() > HANDSHAKE_CARRY_MAX {
            return Err(TlsError::Unexpected);
        }
        let mut kept = std::mem::take(&mut self.message);
        kept.extend_from_slice(content);
        let mut rest = &kept[..];
        while let [kind, a, b, c, after @ ..] = rest {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            let Some((body, later)) = after.split_at_checked(length) else { break };
            let aligned = later.is_empty();
            self.message(*kind, body, aligned, key_update, out)?;
            rest = later;
        }
        self.message = rest.to_vec();
        Ok(())
    }

    fn message(
        &mut self,
        kind: u8,
        body: &[u8],
        aligned: bool,
        key_update: &mut bool,
        out: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        const HELLO_REQUEST: u8 = 0;
        const CLIENT_HELLO: u8 = 1;
        const NEW_SESSION_TICKET: u8 = 4;
        const KEY_UPDATE: u8 = 24;
        match (kind, &mut self.kernel) {
            (KEY_UPDATE, Some(kernel)) => {
                // RFC 8446 §4.6.3, and §5.1: keys change at a record boundary.
                let requested = match body {
                    _ if !aligned => return Err(TlsError::Unexpected),
                    [0] => false,
                    [1] => true,
                    _ => return Err(TlsError::Malformed),
                };
                let (sequence, secret) = match kernel {
                    Kernel::Server(k) => k.update_rx_secret(),
                    Kernel::Client(k) => k.update_rx_secret(),
                }
                .map_err(library_error)?;
                self.receive = Protection::new(secret, sequence, true).ok_or(TlsError::NotReady)?;
                *key_update |= requested;
                Ok(())
            }
            (NEW_SESSION_TICKET, Some(Kernel::Client(kernel))) => {
                kernel.handle_new_session_ticket(body).map_err(library_error)
            }
            // Renegotiation of TLS 1.2 is refused with a warning (RFC 5246 §7.2.2), as HAProxy does.
            (HELLO_REQUEST | CLIENT_HELLO, None) => Ok(self.send.seal(ALERT, &[1, 100], out)?),
            _ => Err(TlsError::Unexpected),
        }
    }

    /// Sends KeyUpdate under the old keys and takes new ones.
    fn update_send_keys(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.send.seal(HANDSHAKE, &[24, 0, 0, 1, 0], out)?;
        let (sequence, secret) = match &mut self.kernel {
            Some(Kernel::Server(k)) => k.update_tx_secret(),
            Some(Kernel::Client(k)) => k.update_tx_secret(),
            None => return Err(TlsError::NotReady),
        }
        .map_err(library_error)?;
        self.send = Protection::new(secret, sequence, true).ok_or(TlsError::NotReady)?;
        Ok(())
    }
}

impl Facts {
    fn note_hello(&mut self, hello: &hello::ClientHello, capture: usize) {
        self.sni = hello.sni.and_then(|n| std::str::from_utf8(n).ok()).map(Into::into);
        self.client_random.copy_from_slice(&hello.random[..32]);
        self.hello_version = hello.highest_version();
        if capture > 0 {
            self.captured = Some(Box::new(Captured::from_hello(hello, capture)));
        }
    }

    /// Reads random and session id from the flight we send; the library does not tell them.
    fn note_server_hello(&mut self, flight: &[u8]) {
        // Record header, message header, version, random, session id.
        let Some((&[HANDSHAKE, _, _, _, _, 2, ..], rest)) = flight.split_first_chunk::<11>() else { return };
        let Some((random, rest)) = rest.split_first_chunk::<32>() else { return };
        // RFC 8446 §4.1.3: this random is a HelloRetryRequest's.
        if random[..4] == [0xcf, 0x21, 0xad, 0x74] {
            return;
        }
        self.server_random = *random;
        if let Some((length, rest)) = rest.split_first() {
            self.session_id = rest.get(..usize::from(*length)).unwrap_or_default().to_vec();
        }
    }

    fn note_negotiated(&mut self, common: &rustls::CommonState) {
        self.version = match common.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        };
        if let Some(suite) = common.negotiated_cipher_suite() {
            self.cipher = cipher_name(suite.suite());
            self.cipher_bits = cipher_bits(suite.suite());
        }
        self.curve = common.negotiated_key_exchange_group().map_or("", |g| super::policy::curve_name(g.name()));
        self.alpn = common.alpn_protocol().map(Into::into);
        self.resumed = common.handshake_kind() == Some(HandshakeKind::Resumed);
        self.peer_chain = common.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
        self.verify.presented |= !self.peer_chain.is_empty();
    }
}

/// What [`drive`] did.
struct Driven {
    used: usize,
    closed: bool,
    /// Whether the handshake is over.
    outcome: Result<bool, Error>,
}

/// The two kinds of connection the library has.
trait Handshaking {
    type Data;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn is_over(&self) -> bool;
}

impl Handshaking for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
    fn is_over(&self) -> bool {
        !self.is_handshaking()
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
}

/// Runs the library over `bytes` until it wants more, is done, or errs. What it has to send goes to `out`, alerts too.
fn drive<C: Handshaking>(connection: &mut C, bytes: &mut [u8], out: &mut Vec<u8>, early: &mut Vec<u8>) -> Driven {
    let mut driven = Driven { used: 0, closed: false, outcome: Ok(false) };
    loop {
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
            Err(error) => {
                // The alert is fetched with the calls that follow.
                if driven.outcome.is_err() {
                    return driven;
                }
                driven.outcome = Err(error);
            }
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

fn library_error(error: Error) -> TlsError {
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
