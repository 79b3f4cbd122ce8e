//! The client side's settings: how a server is spoken to over TLS, with the sessions it can resume. Each worker has its
//! own for each server, so that its session cache is never contended.

use super::keys::ToMoment;
use super::moment::LoopTime;
use super::policy::Policy;
use super::verify::ServerVerifier;
use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::client::{ClientSessionMemoryCache, Resumption, Tls12Resumption};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::sync::Arc;

/// Server names whose sessions are kept; one is usual, `sni` expressions may make more.
const NAMES_MAX: usize = 32;

/// The certificate that is shown to a server, if it asks for one; it may be replaced while running.
pub trait Identity: Send + Sync {
    /// The one in force; `None`: none is shown.
    fn key(&self) -> Option<Arc<CertifiedKey>>;
}

impl Identity for Arc<CertifiedKey> {
    fn key(&self) -> Option<Arc<CertifiedKey>> {
        Some(self.clone())
    }
}

/// What a server line's words come to.
#[derive(Clone)]
pub struct ClientSettings {
    pub policy: Policy,
    pub alpn: Vec<Vec<u8>>,
    /// May be replaced while running.
    pub verifier: Arc<ArcSwap<ServerVerifier>>,
    /// `crt`.
    pub certificate: Option<Arc<dyn Identity>>,
    /// False after `no-ssl-reuse`.
    pub reuse: bool,
    /// False after `no-tls-tickets`.
    pub tickets: bool,
    /// Whether secrets are kept (`tune.ssl.keylog`).
    pub keylog: bool,
}

/// What of the settings is in force at a moment: the certificate and the verifier. A context is of one moment, and must be
/// built anew when they have changed.
#[derive(Clone)]
pub struct InForce {
    certificate: Option<Arc<CertifiedKey>>,
    verifier: Arc<ServerVerifier>,
}

impl PartialEq for InForce {
    fn eq(&self, other: &InForce) -> bool {
        let certificate = |x: &InForce| x.certificate.as_ref().map(Arc::as_ptr);
        certificate(self) == certificate(other) && Arc::ptr_eq(&self.verifier, &other.verifier)
    }
}

/// The settings of one server in the library's form, with a cache of sessions.
pub struct ClientContext {
    config: Arc<ClientConfig>,
}

impl ClientSettings {
    pub fn in_force(&self) -> InForce {
        InForce { certificate: self.certificate.as_ref().and_then(|c| c.key()), verifier: self.verifier.load_full() }
    }
}

impl ClientContext {
    /// One for each worker. Errs if the library refuses the combination, with its words.
    pub fn new(settings: &ClientSettings, in_force: &InForce) -> Result<Arc<ClientContext>, String> {
        let policy = &settings.policy;
        let builder = ClientConfig::builder_with_details(policy.provider.clone(), Arc::new(LoopTime))
            .with_protocol_versions(policy.protocol_versions())
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(in_force.verifier.clone());
        let mut config = match in_force.certificate.clone() {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = settings.alpn.clone();
        config.enable_secret_extraction = true;
        if settings.keylog {
            config.key_log = Arc::new(ToMoment);
        }
        config.resumption = match settings.reuse {
            true => Resumption::store(Arc::new(ClientSessionMemoryCache::new(NAMES_MAX))).tls12_resumption(
                if settings.tickets { Tls12Resumption::SessionIdOrTickets } else { Tls12Resumption::SessionIdOnly },
            ),
            false => Resumption::disabled(),
        };
        Ok(Arc::new(ClientContext { config: Arc::new(config) }))
    }

    /// The same with other protocols to offer, by names between commas.
    pub fn offering(&self, alpn: &str) -> Arc<ClientContext> {
        let mut config = (*self.config).clone();
        let names = alpn.split(',').filter(|p| !p.is_empty());
        config.alpn_protocols = names.map(|p| p.as_bytes().to_vec()).collect();
        Arc::new(ClientContext { config: Arc::new(config) })
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}
