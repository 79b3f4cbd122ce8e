//! The server side's settings: what a ClientHello is answered with. Who chooses by name and certificate stands behind
//! [`ServerChooser`] (`model::certificates`); here a set of options becomes a library configuration.

use super::hello::ClientHello;
use super::keys::ToMoment;
use super::moment::{self, Binding, LoopTime};
use super::policy::Policy;
use super::session::TlsError;
use super::session_cache::SessionCache;
use super::tickets::TicketKeys;
use super::verify::ClientVerifier;
use rustls::ServerConfig;
use rustls::server::{ClientHello as LibraryHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Answers a ClientHello. Shared by workers; must not block.
pub trait ServerChooser: Send + Sync {
    fn choose(&self, hello: &ClientHello) -> Result<Choice, TlsError>;

    /// The version that is told of a connection before its ClientHello has been answered, in HAProxy's spelling.
    fn highest_version(&self) -> &'static str {
        "TLSv1.3"
    }

    /// `tune.ssl.capture-buffer-size`.
    fn capture_size(&self) -> usize {
        0
    }
}

/// What a connection runs with.
#[derive(Clone)]
pub struct Choice {
    pub config: Arc<ServerConfig>,
    pub certificate: Arc<CertifiedKey>,
    /// The name the certificate was loaded under.
    pub name: Arc<str>,
    /// What its sessions are bound to.
    pub binding: Binding,
}

/// One set of options in the library's form: with its ALPN list, and without for clients that share none of it.
#[derive(Clone)]
pub struct ServerOptions {
    with_alpn: Arc<ServerConfig>,
    without_alpn: Arc<ServerConfig>,
    alpn: Vec<Vec<u8>>,
    /// Whether TLS 1.2 suites of each kind are offered: RSA, ECDSA.
    rsa_12: bool,
    ecdsa_12: bool,
    tls13: bool,
}

/// What the options are made of.
pub struct ServerSettings<'a> {
    pub policy: &'a Policy,
    pub alpn: Vec<Vec<u8>>,
    pub verifier: Option<Arc<ClientVerifier>>,
    /// `None`: no tickets.
    pub tickets: Option<Arc<TicketKeys>>,
    pub sessions: Option<Arc<SessionCache>>,
    pub prefer_client_ciphers: bool,
    /// Whether secrets are kept (`tune.ssl.keylog`).
    pub keylog: bool,
}

/// Hands out the certificate that was chosen for the connection.
#[derive(Debug)]
struct Chosen;

impl ResolvesServerCert for Chosen {
    fn resolve(&self, _: LibraryHello<'_>) -> Option<Arc<CertifiedKey>> {
        moment::with(|m| m.certificate.clone())
    }
}

impl ServerOptions {
    /// Errs if the library refuses the combination, with its words.
    pub fn new(settings: ServerSettings) -> Result<ServerOptions, String> {
        let policy = settings.policy;
        let builder = ServerConfig::builder_with_details(policy.provider.clone(), Arc::new(LoopTime))
            .with_protocol_versions(policy.protocol_versions())
            .map_err(|e| e.to_string())?;
        let builder = match settings.verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Chosen));
        // HAProxy 3.4 manual 5.1, "prefer-client-ciphers": without it the server's order counts.
        config.ignore_client_order = !settings.prefer_client_ciphers;
        config.enable_secret_extraction = true;
        if settings.keylog {
            config.key_log = Arc::new(ToMoment);
        }
        config.session_storage = match settings.sessions {
            Some(sessions) => sessions,
            None => Arc::new(NoServerSessionStorage {}),
        };
        if let Some(tickets) = settings.tickets {
            config.ticketer = tickets;
        }
        let without_alpn = Arc::new(config.clone());
        config.alpn_protocols = settings.alpn.clone();
        let suites = &policy.provider.cipher_suites;
        let has = |needle: &str| suites.iter().any(|s| super::policy::cipher_name(s.suite()).starts_with(needle));
        Ok(ServerOptions {
            with_alpn: Arc::new(config),
            without_alpn,
            alpn: settings.alpn,
            rsa_12: policy.tls12 && has("ECDHE-RSA"),
            ecdsa_12: policy.tls12 && has("ECDHE-ECDSA"),
            tls13: policy.tls13,
        })
    }

    /// In HAProxy's spelling.
    pub fn highest_version(&self) -> &'static str {
        if self.tls13 { "TLSv1.3" } else { "TLSv1.2" }
    }

    /// The configuration for this client. Without a protocol in common the handshake goes on without ALPN, as OpenSSL's
    /// callback in HAProxy lets it; the library would refuse it.
    pub fn config(&self, hello: &ClientHello) -> &Arc<ServerConfig> {
        let common = hello.alpn_names().any(|name| self.alpn.iter().any(|ours| ours == name));
        if common { &self.with_alpn } else { &self.without_alpn }
    }

    /// Whether this client can be shown an ECDSA (true) or RSA (false) certificate under these options.
    pub fn supports(&self, hello: &ClientHello, ecdsa: bool) -> bool {
        let suites = |ids: &[u16]| super::hello::pairs(hello.cipher_suites).any(|s| ids.contains(&s));
        let schemes = |test: fn(u16) -> bool| {
            // RFC 5246 §7.4.1.4.1: absent means SHA-1 with the suite's kind of key; no client with TLS 1.2 leaves it out.
            hello.signature_algorithms.is_none_or(|list| super::hello::pairs(list).any(test))
        };
        let signs = match ecdsa {
            true => schemes(|s| matches!(s, 0x0403 | 0x0503 | 0x0603 | 0x0807)),
            false => schemes(|s| matches!(s, 0x0804..=0x0806 | 0x0809..=0x080b | 0x0401 | 0x0501 | 0x0601)),
        };
        let tls13 = self.tls13 && hello.offers_version(0x0304);
        let tls12 = match ecdsa {
            true => self.ecdsa_12 && suites(&[0xc02b, 0xc02c, 0xcca9]),
            false => self.rsa_12 && suites(&[0xc02f, 0xc030, 0xcca8]),
        };
        signs && (tls13 || tls12)
    }
}
