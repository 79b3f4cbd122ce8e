//! What becomes known of a session while it is made: for fetches, logs and PROXY protocol headers (manual 7.3.4, 8.2.4).

use super::hello;
use super::keys::Secrets;
use super::policy::{cipher_bits, cipher_name, curve_name};
use super::records::HANDSHAKE;
use super::verify_code::VerifyResult;
use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion};
use std::sync::Arc;

/// What became known of a session; for fetches, logs and PROXY protocol headers.
#[derive(Debug, Default, Clone)]
pub struct Facts {
    /// HAProxy's spelling (`TLSv1.3`); before it is negotiated the highest that the client offers, or empty.
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
    /// `ssl_fc_protocol_hello_id`: the version field of the ClientHello, which TLS 1.3 leaves at 1.2.
    pub hello_version: u16,
    /// Lists of the ClientHello, if `tune.ssl.capture-buffer-size` asks for them.
    pub captured: Option<Box<Captured>>,
    /// The peer's certificate and those above it, as sent (or as kept with the session).
    pub peer_chain: Vec<CertificateDer<'static>>,
    pub verify: VerifyResult,
    /// Under `tune.ssl.keylog`.
    pub secrets: Option<Box<Secrets>>,
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
        // One buffer for all, as HAProxy has it: what comes late may find no room.
        let mut left = max;
        let mut cut = |list: &[u8]| {
            let list = &list[..list.len().min(left)];
            left -= list.len();
            list.to_vec()
        };
        let mut extensions = Vec::new();
        hello.extension_types(&mut extensions);
        Captured {
            ciphers: cut(hello.cipher_suites),
            extensions: cut(&extensions),
            groups: cut(hello.supported_groups.unwrap_or_default()),
            ec_formats: cut(hello.ec_point_formats.unwrap_or_default()),
            sigalgs: cut(hello.signature_algorithms.unwrap_or_default()),
            versions: cut(hello.supported_versions.unwrap_or_default()),
        }
    }
}

fn version_name(version: u16) -> &'static str {
    match version {
        0x0300 => "SSLv3",
        0x0301 => "TLSv1",
        0x0302 => "TLSv1.1",
        0x0303 => "TLSv1.2",
        _ => "TLSv1.3",
    }
}

impl Facts {
    pub(super) fn note_hello(&mut self, hello: &hello::ClientHello, capture: usize) {
        self.sni = hello.sni.and_then(|n| std::str::from_utf8(n).ok()).map(Into::into);
        self.client_random.copy_from_slice(&hello.random[..32]);
        self.hello_version = hello.version;
        if capture > 0 {
            self.captured = Some(Box::new(Captured::from_hello(hello, capture)));
        }
    }

    /// What a failed handshake is logged with once a certificate has been chosen; negotiation replaces it.
    pub(super) fn note_chosen(&mut self, hello: &hello::ClientHello) {
        self.version = version_name(hello.highest_version());
    }

    /// No version in common: OpenSSL has read no more than the hello's version then.
    pub(super) fn note_no_version(&mut self) {
        self.version = version_name(self.hello_version);
        self.sni = None;
    }

    /// Reads random and session id from the flight we send; the library does not tell them.
    pub(super) fn note_server_hello(&mut self, flight: &[u8]) {
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

    pub(super) fn note_progress(&mut self, common: &rustls::CommonState) {
        match common.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => self.version = "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => self.version = "TLSv1.2",
            _ => {}
        }
        if let Some(suite) = common.negotiated_cipher_suite() {
            self.cipher = cipher_name(suite.suite());
            self.cipher_bits = cipher_bits(suite.suite());
        }
        self.curve = common.negotiated_key_exchange_group().map_or("", |g| curve_name(g.name()));
        self.alpn = common.alpn_protocol().map(Into::into);
    }

    pub(super) fn note_negotiated(&mut self, common: &rustls::CommonState) {
        self.note_progress(common);
        self.resumed = common.handshake_kind() == Some(HandshakeKind::Resumed);
        self.peer_chain = common.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
        self.verify.presented |= !self.peer_chain.is_empty();
    }
}
