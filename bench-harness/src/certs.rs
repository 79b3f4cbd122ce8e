//! Throwaway certificates for one run: an EC (P-256) and an RSA (2048) key, and both ends' rustls configurations.
//! Clients here check the handshake's signature but trust any certificate: names and chains are not what we measure.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, Resumption as ClientResumption, Tls12Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme, SupportedProtocolVersion};

use crate::scenario::{Key, Resumption, Tls, TlsVersion};

/// One file with certificate and key, the way HAProxy reads it; nginx and rustls read the same file.
pub fn pem_path(folder: &Path, key: Key) -> PathBuf {
    folder.join(match key {
        Key::Ec => "ec.pem",
        Key::Rsa => "rsa.pem",
    })
}

pub fn write_all(folder: &Path) -> Result<(), String> {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
    let readable = |error: rcgen::Error| error.to_string();
    for key in [Key::Ec, Key::Rsa] {
        let pair = match key {
            Key::Ec => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Key::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        }
        .map_err(readable)?;
        let parameters = CertificateParams::new(vec!["localhost".to_owned()]).map_err(readable)?;
        let certificate = parameters.self_signed(&pair).map_err(readable)?;
        let pem = format!("{}{}", certificate.pem(), pair.serialize_pem());
        std::fs::write(pem_path(folder, key), pem).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The origin's side, for the `direct` peer.
pub fn server_config(folder: &Path, key: Key, resumption: Resumption) -> Result<Arc<ServerConfig>, String> {
    let path = pem_path(folder, key);
    let certificate = CertificateDer::from_pem_file(&path).map_err(|error| error.to_string())?;
    let private = PrivateKeyDer::from_pem_file(&path).map_err(|error| error.to_string())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], private))
        .map_err(|error| error.to_string())?;
    if resumption == Resumption::SessionId {
        config.session_storage = rustls::server::ServerSessionMemoryCache::new(20_000);
    } else {
        // Tickets only: a server that also remembers would resume clients that brought none.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
    }
    Ok(Arc::new(config))
}

/// A client with a session store of its own: what one slot learned, no other slot uses up.
pub fn client_config(tls: Tls) -> Result<Arc<ClientConfig>, String> {
    const V12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    const V13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    let versions = if tls.version == TlsVersion::V12 { V12 } else { V13 };
    // X25519 first and, where servers choose (TLS 1.2), their configuration knows no other: what they would prefer
    // among several differs, and with it the price of a handshake. TLS 1.2 clients must also name the curve of an EC
    // certificate (RFC 8422 §5.1).
    let mut kx_groups = vec![aws_lc_rs::kx_group::X25519];
    if tls.version == TlsVersion::V12 {
        kx_groups.push(aws_lc_rs::kx_group::SECP256R1);
    }
    let provider = CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() };
    let provider = Arc::new(provider);
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let store = Arc::new(ClientSessionMemoryCache::new(16));
    config.resumption = match tls.resumption {
        Resumption::None => ClientResumption::disabled(),
        Resumption::Ticket => ClientResumption::store(store).tls12_resumption(Tls12Resumption::SessionIdOrTickets),
        Resumption::SessionId => ClientResumption::store(store).tls12_resumption(Tls12Resumption::SessionIdOnly),
    };
    Ok(Arc::new(config))
}

pub fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a constant name")
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
