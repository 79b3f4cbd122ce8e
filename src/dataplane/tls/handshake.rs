//! The handshakes of both sides: with clients that a bind line terminates, with servers that are spoken to over TLS.
//! Deadlines, counters, log lines, and what fetches are told of it.

use super::super::log;
use super::super::session::Session;
use super::super::stream::Exchange;
use super::super::stream::termination::Failure;
use super::super::transport::{SendError, send_plain};
use super::super::worker::Worker;
use super::{Counted, Layer, State, seconds};
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::task::{before, yield_now};
use crate::engine::{Conn, Piece, Rt};
use crate::language::facts::{self, ConnectionError};
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::state::board::ProcessRate;
use crate::model::state::counters::{
    BackendCounter, FrontendCounter, ListenerCounter, ProcessCounter, ServerCounter,
};
use crate::proto::tls::client::{ClientContext, ClientSettings, InForce};
use crate::proto::tls::failure::{CLOSED_DURING_HANDSHAKE, TIMEOUT_DURING_HANDSHAKE};
use crate::proto::tls::server::ServerChooser;
use crate::proto::tls::session::{self as proto, RecordSizes, TlsError};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Handshake messages answered in one turn of the loop: each costs up to a millisecond, and established connections wait.
const HANDSHAKES_PER_TURN: u32 = 4;
/// `fc_err` of what the library's own error explains.
const HANDSHAKE_FAILURE: u32 = 34;

/// Why a handshake did not come to its end.
#[derive(Debug)]
pub enum HandshakeError {
    TimedOut,
    Closed,
    Refused(TlsError),
}

/// Lets a few handshake messages through in each turn of the loop.
#[derive(Default)]
pub struct Gate(Cell<(u64, u32)>);

impl Gate {
    fn admits(&self, turn: u64) -> bool {
        let (seen, count) = self.0.get();
        let count = if seen == turn { count } else { 0 };
        if count < HANDSHAKES_PER_TURN {
            self.0.set((turn, count + 1));
        }
        count < HANDSHAKES_PER_TURN
    }

    async fn pass(&self, rt: &Rt) {
        while !self.admits(rt.activity().loops) {
            yield_now(rt).await;
        }
    }
}

impl Layer {
    /// Makes the handshake; plain text that came with its last message comes back.
    async fn handshake(
        &self,
        w: &Worker,
        conn: &Conn,
        first: Piece,
        deadline: Millis,
    ) -> Result<Option<Piece>, HandshakeError> {
        let rt = conn.rt();
        let mut received = first;
        loop {
            if received.bytes().is_empty() {
                received = match before(rt, deadline, conn.recv()).await {
                    Err(_) => return Err(HandshakeError::TimedOut),
                    Ok(Ok(Some(lease))) => Piece::Lease(lease),
                    Ok(_) => return Err(HandshakeError::Closed),
                };
            }
            w.handshakes.pass(rt).await;
            let now_s = seconds(rt.now());
            let fed = {
                let mut out = self.out.borrow_mut();
                let mut session = self.session.borrow_mut();
                match received.bytes_mut() {
                    Some(bytes) => session.feed(now_s, bytes, &mut out),
                    // Static and shared bytes are not received ones.
                    None => return Err(HandshakeError::Closed),
                }
            };
            let fed = fed.map_err(|e| {
                self.state.set(State::Failed);
                HandshakeError::Refused(e)
            })?;
            if fed.closed {
                self.state.set(State::Ended);
            }
            let (established, send_now) = (fed.established, fed.send_now);
            let plain = self.plain_of(fed, std::mem::take(&mut received));
            if send_now {
                self.flush(conn, deadline).await?;
            }
            if established {
                return Ok(plain);
            }
            if self.state.get() == State::Ended {
                return Err(HandshakeError::Closed);
            }
        }
    }

    /// Sends what waits.
    async fn flush(&self, conn: &Conn, deadline: Millis) -> Result<(), HandshakeError> {
        let out = self.out.take();
        if out.is_empty() {
            return Ok(());
        }
        let left = (deadline < Millis::NEVER).then(|| deadline.since(conn.rt().now().mono));
        match send_plain(conn, Block::from(out).into(), left).await {
            Ok(_) => Ok(()),
            Err(SendError::TimedOut) => Err(HandshakeError::TimedOut),
            Err(SendError::Broken(_)) => Err(HandshakeError::Closed),
        }
    }
}

fn sizes(w: &Worker) -> RecordSizes {
    let tls = &w.plan.global.tls;
    RecordSizes { maxrecord: tls.maxrecord, hard_maxrecord: tls.hard_maxrecord }
}

/// What fetches and logs are told of a session.
fn facts_of(known: &proto::Facts, established: bool, error: Option<&TlsError>) -> facts::Tls {
    let list = |bytes: &[u8]| bytes.chunks_exact(2).map(|p| u16::from_be_bytes([p[0], p[1]])).collect();
    let mut tls = facts::Tls {
        protocol: known.version,
        cipher: known.cipher,
        established,
        key_bits: known.cipher_bits.into(),
        sni: known.sni.as_ref().map(|n| n.as_bytes().into()),
        alpn: known.alpn.clone(),
        resumed: known.resumed,
        session_id: known.session_id.clone(),
        curve: known.curve,
        peer: known.peer_chain.first().map(|c| c.as_ref().into()),
        peer_chain: known.peer_chain.iter().map(|c| c.as_ref().into()).collect(),
        peer_used: known.verify.presented,
        own: known.certificate.clone(),
        own_name: known.certificate_name.clone(),
        verify_code: known.verify.result,
        verify_crt_code: known.verify.crt_err,
        verify_ca_code: known.verify.ca_err,
        verify_ca_depth: known.verify.ca_err_depth,
        client_random: Some(known.client_random),
        server_random: Some(known.server_random),
        secrets: known.secrets.clone(),
        error: error.map_or(0, TlsError::openssl_number),
        error_text: error.map(|e| e.openssl_text().into()),
        ..facts::Tls::default()
    };
    if !established && (known.cipher.is_empty() || known.version == "TLSv1.2") {
        // OpenSSL's word before the cipher is in use.
        tls.cipher = "(NONE)";
        tls.key_bits = 0;
    }
    if let Some(lists) = &known.captured {
        tls.client_hello_version = known.hello_version;
        tls.client_ciphers = list(&lists.ciphers);
        tls.client_extensions = list(&lists.extensions);
        tls.client_groups = list(&lists.groups);
        tls.client_ec_formats = lists.ec_formats.clone();
        tls.client_sigalgs = list(&lists.sigalgs);
        tls.client_versions = list(&lists.versions);
    }
    tls
}

/// What is told of TLS on a connection that failed before its handshake.
pub fn not_begun(line: &dyn ServerChooser) -> facts::Tls {
    let known = proto::Facts { version: line.highest_version(), ..proto::Facts::default() };
    facts_of(&known, false, None)
}

/// Terminates TLS on a client's connection whose bind line asks for it; bytes behind the handshake come back. `None`: it
/// failed and the connection is over.
pub async fn accept(s: &mut Session, pending: Piece) -> Option<Piece> {
    let Some(context) = s.bind().tls_context.clone() else { return Some(pending) };
    let w = s.w.clone();
    let wait = s.settings().timeouts.client_hs.or(s.settings().timeouts.client);
    let begun = w.rt.now();
    let deadline = wait.map_or(Millis::NEVER, |ms| s.accepted.mono.plus(ms));
    let layer = Layer::new(proto::Session::server(context.0, sizes(&w)), Counted::new(&w));
    let conn = s.transport.conn()?;
    let made = layer.handshake(&w, conn, pending, deadline).await;
    let now = w.rt.now();
    let session = layer.session.borrow_mut().take_facts();
    match made {
        Ok(plain) => {
            let tls = facts_of(&session, true, None);
            count(&w, s, tls.resumed, now.nanos.saturating_sub(begun.nanos) / 1000);
            let mut facts = s.facts.borrow_mut();
            facts.tls = Some(Rc::new(tls));
            facts.handshake_ms = now.mono.since(s.accepted.mono) as i64;
            drop(facts);
            s.transport.set_tls(layer);
            Some(plain.unwrap_or_default())
        }
        Err(error) => {
            refused(&w, s, &error, &session);
            s.transport.set_tls(layer);
            None
        }
    }
}

fn count(w: &Worker, s: &Session, resumed: bool, us: u64) {
    let counts = w.counts();
    counts.frontend(s.proxy).add(FrontendCounter::SslSess, 1);
    counts.listener(s.proxy, s.bind).add(ListenerCounter::SslSess, 1);
    counts.frontend(s.proxy).tls_handshake(us);
    if resumed {
        counts.frontend(s.proxy).add(FrontendCounter::SslReusedSess, 1);
        counts.listener(s.proxy, s.bind).add(ListenerCounter::SslReusedSess, 1);
        counts.process().add(ProcessCounter::SslFrontendReused, 1);
    } else {
        counts.process().rate(ProcessRate::SslFrontendKeys, 1, w.rt.now().mono);
    }
}

/// Counts and logs a client's handshake that failed.
fn refused(w: &Worker, s: &Session, error: &HandshakeError, known: &proto::Facts) {
    let (code, text, why) = error.told(known, true);
    if !matches!(error, HandshakeError::TimedOut) {
        w.counts().frontend(s.proxy).add(FrontendCounter::SslFailedHandshake, 1);
        w.counts().listener(s.proxy, s.bind).add(ListenerCounter::SslFailedHandshake, 1);
    }
    let mut facts = s.facts.borrow_mut();
    facts.error = Some(Box::new(ConnectionError::of(code as u16, text)));
    facts.tls = Some(Rc::new(facts_of(known, false, why)));
    drop(facts);
    // A connection that said nothing of use is none under `option dontlognull`.
    if why.is_none() && known.hello_version == 0 && s.settings().options.dontlognull {
        return;
    }
    match why {
        // What is said of certificates says enough.
        Some(e) if code == HANDSHAKE_FAILURE => log::embryonic(s, &format!("{text} ({})", e.openssl_text())),
        _ => log::embryonic(s, text),
    }
}

/// What a client's side says of its own accord.
#[derive(Clone, Copy, Default)]
pub struct Offer<'a> {
    pub sni: Option<&'a str>,
    /// Protocols between commas, instead of those of the settings.
    pub alpn: Option<&'a str>,
}

/// The client's side of a handshake over a fresh connection: what came of it, and what is known of the peer.
pub async fn client(
    w: &Rc<Worker>,
    conn: &Conn,
    settings: &Arc<ClientSettings>,
    Offer { sni, alpn }: Offer<'_>,
    deadline: Millis,
) -> (Result<Layer, HandshakeError>, Box<proto::Facts>) {
    let refused = |e| (Err(HandshakeError::Refused(e)), Box::default());
    let now_s = seconds(w.rt.now());
    let Some(context) = w.tls_clients.context(settings, alpn) else { return refused(TlsError::NotReady) };
    let mut hello = Vec::new();
    let session = match proto::Session::client(context, sni, sizes(w), now_s, &mut hello) {
        Ok(session) => session,
        Err(e) => return refused(e),
    };
    let mut layer = Layer::new(session, Counted::new(w));
    *layer.out.borrow_mut() = hello;
    let made = match layer.flush(conn, deadline).await {
        Ok(()) => layer.handshake(w, conn, Piece::Empty, deadline).await,
        Err(e) => Err(e),
    };
    let known = layer.session.borrow_mut().take_facts();
    match made {
        Ok(plain) => {
            if let Some(plain) = plain {
                layer.put_before(plain);
            }
            layer.sni = sni.map(Into::into);
            (Ok(layer), known)
        }
        Err(error) => {
            layer.close(conn);
            (Err(error), known)
        }
    }
}

/// Speaks TLS to a server for a stream.
///
/// # Errors
/// As for a connection that could not be made: it is tried again or goes to another server.
pub async fn connect(
    w: &Rc<Worker>,
    ex: &mut Exchange,
    (proxy, server): (ProxyIndex, ServerIndex),
    conn: &Conn,
    settings: &Arc<ClientSettings>,
    offer: Offer<'_>,
    deadline: Millis,
) -> Result<Layer, Failure> {
    let begun = w.rt.now();
    let (made, known) = client(w, conn, settings, offer, deadline).await;
    let now = w.rt.now();
    let counts = w.counts();
    match made {
        Ok(mut layer) => {
            counts.server(proxy, server).add(ServerCounter::SslSess, 1);
            counts.backend(proxy).add(BackendCounter::SslSess, 1);
            counts.server(proxy, server).tls_handshake(now.nanos.saturating_sub(begun.nanos) / 1000);
            if known.resumed {
                counts.server(proxy, server).add(ServerCounter::SslReusedSess, 1);
                counts.backend(proxy).add(BackendCounter::SslReusedSess, 1);
            } else {
                counts.process().rate(ProcessRate::SslBackendKeys, 1, now.mono);
            }
            layer.facts = Some(Rc::new(facts_of(&known, true, None)));
            Ok(layer)
        }
        Err(error) => {
            counts.server(proxy, server).add(ServerCounter::SslFailedHandshake, 1);
            counts.backend(proxy).add(BackendCounter::SslFailedHandshake, 1);
            let (code, text, why) = error.told(&known, false);
            ex.facts.server_error = Some(ConnectionError::of(code as u16, text));
            ex.facts.server_tls = Some(Rc::new(facts_of(&known, false, why)));
            Err(match error {
                HandshakeError::TimedOut => Failure::ConnectTimeout,
                _ => Failure::ConnectFailed,
            })
        }
    }
}

impl HandshakeError {
    /// Number and text of `fc_err` and `bc_err`, and the library's part in it.
    fn told(&self, known: &proto::Facts, server_side: bool) -> (u32, &'static str, Option<&TlsError>) {
        match self {
            HandshakeError::TimedOut => (TIMEOUT_DURING_HANDSHAKE.0, TIMEOUT_DURING_HANDSHAKE.1, None),
            // Closed before it began, seen from our side: no hello has come. Later it is a failure without a reason.
            HandshakeError::Closed if server_side && known.hello_version == 0 => {
                (CLOSED_DURING_HANDSHAKE.0, CLOSED_DURING_HANDSHAKE.1, None)
            }
            HandshakeError::Closed => (HANDSHAKE_FAILURE, "SSL handshake failure", None),
            HandshakeError::Refused(e) => {
                let (code, text) = e.connection_error(known, server_side);
                (code, text, Some(e))
            }
        }
    }
}

/// A worker's settings and sessions for each server that is spoken to over TLS.
#[derive(Default)]
pub struct Clients(RefCell<Vec<Client>>);

struct Client {
    settings: Arc<ClientSettings>,
    /// A rule's `alpn` in place of the line's.
    alpn: Option<Box<str>>,
    /// What the context was built with.
    in_force: InForce,
    context: Arc<ClientContext>,
}

impl Clients {
    /// The context of these settings, made when first needed. `alpn` (names between commas) replaces what they offer.
    pub fn context(&self, settings: &Arc<ClientSettings>, alpn: Option<&str>) -> Option<Arc<ClientContext>> {
        let mut clients = self.0.borrow_mut();
        let in_force = settings.in_force();
        let known =
            |c: &&Client| Arc::ptr_eq(&c.settings, settings) && c.alpn.as_deref() == alpn && c.in_force == in_force;
        if let Some(client) = clients.iter().find(known) {
            return Some(client.context.clone());
        }
        let mut context = ClientContext::new(settings, &in_force).ok()?;
        if let Some(alpn) = alpn {
            context = context.offering(alpn);
        }
        // Servers that were removed leave theirs behind until another one comes; sessions of a replaced certificate or
        // verifier go with it.
        let replaced = |c: &Client| Arc::ptr_eq(&c.settings, settings) && c.in_force != in_force;
        clients.retain(|c| Arc::strong_count(&c.settings) > 1 && !replaced(c));
        let (settings, alpn) = (settings.clone(), alpn.map(Into::into));
        let client = Client { settings, alpn, in_force, context: context.clone() };
        clients.push(client);
        Some(context)
    }
}
