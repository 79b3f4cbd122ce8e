//! Whether a peer's certificate is trusted (`ca-file`, `crl-file`, `verify`, manual 5.1 and 5.2), with the answer in
//! OpenSSL's numbers. The chain is the library's work (webpki); here is what HAProxy's users expect beyond it: errors
//! that are ignored by number, certificates that are trusted because they stand in the file themselves, and names in
//! the common name where there is no alternative name.

use super::chain;
use super::moment;
use super::verify_code::{self as code, IgnoreErrors, VerifyResult};
use super::x509::{self, Certificate};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertRevocationListError, CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use std::collections::HashSet;
use std::sync::Arc;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// Certificates that are trusted, with the revocation lists that go with them.
#[derive(Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    /// The certificates as they stand in the file: OpenSSL trusts a leaf that is among them.
    exact: HashSet<Box<[u8]>>,
    certificates: Vec<CertificateDer<'static>>,
    subjects: Vec<DistinguishedName>,
    crls: Vec<CertificateRevocationListDer<'static>>,
}

/// Why trusted certificates or revocation lists cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustError {
    NoCertificate,
    /// Number of the certificate in the file, from 1.
    BadCertificate(usize),
    BadRevocationList,
}

impl Trust {
    pub fn new(
        certificates: Vec<CertificateDer<'static>>,
        crls: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Trust, TrustError> {
        let mut roots = RootCertStore::empty();
        let mut exact = HashSet::new();
        for (at, certificate) in certificates.iter().enumerate() {
            // One that is no authority at all can still be trusted as itself.
            if roots.add(certificate.clone()).is_err() && Certificate::parse(certificate).is_none() {
                return Err(TrustError::BadCertificate(at + 1));
            }
            exact.insert(certificate.as_ref().into());
        }
        if exact.is_empty() || roots.is_empty() {
            return Err(TrustError::NoCertificate);
        }
        let subjects = roots.subjects();
        Ok(Trust { roots: Arc::new(roots), exact, certificates, subjects, crls })
    }

    /// What both trust; the revocation lists are the same.
    pub fn and(&self, other: &Trust) -> Result<Trust, TrustError> {
        let both = self.certificates.iter().chain(&other.certificates).cloned().collect();
        Trust::new(both, self.crls.clone())
    }

    /// Whether one of the revocation lists is of this issuer.
    fn has_list_of(&self, issuer: &[u8]) -> bool {
        let mut lists = self.crls.iter().filter_map(|der| CertificateRevocationList::from_der(der).ok());
        lists.any(|(_, list)| list.tbs_cert_list.issuer.as_raw() == issuer)
    }

    /// Sixteen bytes that differ where the trusted certificates or the revocation lists do; sessions are bound to them.
    pub fn fingerprint(&self) -> [u8; 16] {
        let mut sorted: Vec<&[u8]> = self.exact.iter().map(|c| &**c).collect();
        sorted.sort_unstable();
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for part in sorted.into_iter().chain(self.crls.iter().map(|c| c.as_ref())) {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&context.finish().as_ref()[..16]);
        fingerprint
    }

    pub fn len(&self) -> usize {
        self.exact.len()
    }

    pub fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }

    fn client_verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
        let mut builder = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider.clone());
        if !self.crls.is_empty() {
            builder = builder.with_crls(self.crls.iter().cloned()).enforce_revocation_expiration();
        }
        builder.build().map_err(builder_error)
    }

    fn server_verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TrustError> {
        let mut builder = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), provider.clone());
        if !self.crls.is_empty() {
            builder = builder.with_crls(self.crls.iter().cloned()).enforce_revocation_expiration();
        }
        builder.build().map_err(builder_error)
    }

    /// What is left to say when the library refuses `leaf`: OpenSSL's number and depth, or that it is fine all the same.
    fn judge(
        &self,
        error: Error,
        provider: &CryptoProvider,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        client: bool,
        now: UnixTime,
    ) -> Result<(), (Error, u32, u32)> {
        if self.exact.contains(leaf.as_ref())
            && !matches!(error, Error::InvalidCertificate(CertificateError::Revoked))
        {
            // OpenSSL ends the chain there.
            let validity = Certificate::parse(leaf).map(|c| c.validity_at(now.as_secs()));
            return match validity {
                Some(x509::Validity::Valid) => Ok(()),
                _ => {
                    let (number, depth) = number(&error, leaf, sent, now);
                    Err((error, number, depth))
                }
            };
        }
        // The library has no name for what it dislikes about the leaf's form.
        if matches!(error, Error::InvalidCertificate(CertificateError::Other(_))) {
            let crls: Vec<&[u8]> = self.crls.iter().map(|c| c.as_ref()).collect();
            let climb = chain::Climb {
                trusted: &self.certificates,
                sent,
                crls: &crls,
                algorithms: provider.signature_verification_algorithms.all,
                now_s: now.as_secs(),
            };
            return climb.verify(leaf, client).map_err(|(number, depth)| {
                let error = match number {
                    code::CERT_HAS_EXPIRED => CertificateError::Expired.into(),
                    code::CERT_REVOKED => CertificateError::Revoked.into(),
                    code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY
                    | code::DEPTH_ZERO_SELF_SIGNED_CERT
                    | code::SELF_SIGNED_CERT_IN_CHAIN => CertificateError::UnknownIssuer.into(),
                    _ => error,
                };
                (error, number, depth)
            });
        }
        let (number, depth) = number(&error, leaf, sent, now);
        Err((error, number, depth))
    }
}

fn builder_error(error: VerifierBuilderError) -> TrustError {
    match error {
        VerifierBuilderError::InvalidCrl(_) => TrustError::BadRevocationList,
        _ => TrustError::NoCertificate,
    }
}

/// `verify optional` and `verify required` of a bind line.
#[derive(Debug)]
pub struct ClientVerifier {
    trust: Arc<Trust>,
    provider: Arc<CryptoProvider>,
    inner: Arc<dyn ClientCertVerifier>,
    required: bool,
    crt_ignore_err: IgnoreErrors,
    ca_ignore_err: IgnoreErrors,
    hints: Vec<DistinguishedName>,
}

impl ClientVerifier {
    /// `named`: whose names are sent to the client (nobody's after `no-ca-names`).
    pub fn new(
        trust: Arc<Trust>,
        provider: &Arc<CryptoProvider>,
        required: bool,
        crt_ignore_err: IgnoreErrors,
        ca_ignore_err: IgnoreErrors,
        named: Option<&Trust>,
    ) -> Result<Arc<ClientVerifier>, TrustError> {
        let inner = trust.client_verifier(provider)?;
        let hints = named.map_or_else(Vec::new, |named| named.subjects.clone());
        let provider = provider.clone();
        Ok(Arc::new(ClientVerifier { trust, provider, inner, required, crt_ignore_err, ca_ignore_err, hints }))
    }
}

impl ClientVerifier {
    /// Whether a chain that ended at an unknown authority has to do without its revocation list.
    fn lacks_list(&self, number: u32, leaf: &[u8]) -> bool {
        matches!(number, code::DEPTH_ZERO_SELF_SIGNED_CERT | code::SELF_SIGNED_CERT_IN_CHAIN)
            && !self.trust.crls.is_empty()
            && !Certificate::parse(leaf).is_some_and(|leaf| self.trust.has_list_of(leaf.issuer_der()))
    }

    fn ignores_lack(&self, found: &mut VerifyResult) -> bool {
        found.result = code::UNABLE_TO_GET_CRL;
        if found.crt_err == 0 {
            found.crt_err = code::UNABLE_TO_GET_CRL;
        }
        self.crt_ignore_err.ignores(code::UNABLE_TO_GET_CRL)
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let mut found = VerifyResult { presented: true, ..VerifyResult::default() };
        let outcome = self.inner.verify_client_cert(end_entity, intermediates, now).map(|_| ());
        let outcome = outcome.or_else(|e| self.trust.judge(e, &self.provider, end_entity, intermediates, true, now));
        let outcome = match outcome {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err((error, number, depth)) => {
                found.result = number;
                let ignored = if depth == 0 {
                    found.crt_err = number;
                    self.crt_ignore_err.ignores(number)
                } else {
                    found.ca_err = number;
                    found.ca_err_depth = depth;
                    self.ca_ignore_err.ignores(number)
                };
                // OpenSSL goes on and finds what follows next; the last error is what is told.
                if ignored && depth == 0 && number == code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY {
                    found.result = code::UNABLE_TO_VERIFY_LEAF_SIGNATURE;
                }
                let ignored = ignored && (!self.lacks_list(number, end_entity) || self.ignores_lack(&mut found));
                match (ignored, number) {
                    (true, _) => Ok(ClientCertVerified::assertion()),
                    // The library's alert would be "certificate expired", OpenSSL's is not.
                    (false, code::CERT_NOT_YET_VALID) => Err(CertificateError::BadEncoding.into()),
                    (false, _) => Err(error),
                }
            }
        };
        note(found, end_entity, outcome.is_err());
        outcome
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(&self.provider, message, cert, dss, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(&self.provider, message, cert, dss, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// `verify none` and `verify required` of a server line.
#[derive(Debug)]
pub struct ServerVerifier {
    provider: Arc<CryptoProvider>,
    /// `None`: `verify none`.
    trust: Option<(Arc<Trust>, Arc<WebPkiServerVerifier>)>,
    /// `verifyhost`: the name to verify where none is sent as SNI.
    verifyhost: Option<String>,
}

impl ServerVerifier {
    pub fn new(
        provider: Arc<CryptoProvider>,
        trust: Option<Arc<Trust>>,
        verifyhost: Option<String>,
    ) -> Result<Arc<ServerVerifier>, TrustError> {
        let trust = match trust {
            Some(trust) => {
                let inner = trust.server_verifier(&provider)?;
                Some((trust, inner))
            }
            None => None,
        };
        Ok(Arc::new(ServerVerifier { provider, trust, verifyhost }))
    }

    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), (Error, u32, u32)> {
        let Some((trust, inner)) = &self.trust else { return Ok(()) };
        // Names are checked below, after HAProxy's rules.
        match inner.verify_server_cert(end_entity, intermediates, server_name, &[], now) {
            Ok(_) => {}
            Err(error) if is_name_error(&error) => {}
            Err(error) => trust.judge(error, &self.provider, end_entity, intermediates, false, now)?,
        }
        let sent = match server_name {
            ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
            ServerName::IpAddress(ip) => {
                Some(std::net::IpAddr::from(*ip)).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string())
            }
            _ => None,
        };
        // HAProxy 3.4 manual 5.2, "verifyhost": it counts when no SNI was sent.
        let Some(wanted) = sent.as_deref().or(self.verifyhost.as_deref()) else { return Ok(()) };
        let matches = Certificate::parse(end_entity).is_some_and(|c| c.matches_host(wanted));
        match matches {
            true => Ok(()),
            false => Err((CertificateError::NotValidForName.into(), code::HOSTNAME_MISMATCH, 0)),
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let outcome = self.check(end_entity, intermediates, server_name, now);
        let mut found = VerifyResult { presented: true, ..VerifyResult::default() };
        if let Err((_, number, depth)) = &outcome {
            found.result = *number;
            match depth {
                0 => found.crt_err = *number,
                _ => (found.ca_err, found.ca_err_depth) = (*number, *depth),
            }
        }
        note(found, end_entity, outcome.is_err());
        outcome.map(|()| ServerCertVerified::assertion()).map_err(|(error, ..)| error)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(&self.provider, message, cert, dss, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(&self.provider, message, cert, dss, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Checks the handshake's signature; the library reads no key from a certificate whose form it refuses, so we do.
fn signature(
    provider: &CryptoProvider,
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
    tls13: bool,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = &provider.signature_verification_algorithms;
    let verified = match tls13 {
        true => rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms),
        false => rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms),
    };
    match verified {
        Err(Error::InvalidCertificate(CertificateError::Other(_))) => {
            chain::verify_handshake(message, cert, dss, algorithms, tls13)
        }
        other => other,
    }
}

/// Leaves what was found to the session.
fn note(found: VerifyResult, end_entity: &CertificateDer<'_>, refused: bool) {
    moment::with(|m| {
        m.verify = found;
        m.refused = refused.then(|| end_entity.clone().into_owned());
    });
}

fn is_name_error(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

/// OpenSSL's number for the library's error, and the depth at which OpenSSL would meet it. The library does not tell
/// where in the chain it failed, so the depth is worked out from the certificates.
fn number(error: &Error, end_entity: &[u8], intermediates: &[CertificateDer<'_>], now: UnixTime) -> (u32, u32) {
    use CertificateError as E;
    let leaf_is = |validity: x509::Validity| {
        Certificate::parse(end_entity).is_some_and(|c| c.validity_at(now.as_secs()) == validity)
    };
    let at = |leaf: bool| if leaf { 0 } else { 1 };
    match error {
        Error::InvalidCertificate(error) => match error {
            E::Expired | E::ExpiredContext { .. } => (code::CERT_HAS_EXPIRED, at(leaf_is(x509::Validity::Expired))),
            E::NotValidYet | E::NotValidYetContext { .. } => {
                (code::CERT_NOT_YET_VALID, at(leaf_is(x509::Validity::NotYet)))
            }
            E::Revoked => (code::CERT_REVOKED, 0),
            E::UnknownIssuer => unknown_issuer(end_entity, intermediates),
            E::UnknownRevocationStatus => (code::UNABLE_TO_GET_CRL, 0),
            E::ExpiredRevocationList | E::ExpiredRevocationListContext { .. } => (code::CRL_HAS_EXPIRED, 0),
            E::BadSignature => (code::CERT_SIGNATURE_FAILURE, 0),
            E::NotValidForName | E::NotValidForNameContext { .. } => (code::HOSTNAME_MISMATCH, 0),
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => (code::INVALID_PURPOSE, 0),
            E::UnhandledCriticalExtension => (code::UNHANDLED_CRITICAL_EXTENSION, 0),
            E::UnsupportedSignatureAlgorithmContext { .. } => (code::CA_MD_TOO_WEAK, 0),
            _ => (code::UNSPECIFIED, 0),
        },
        Error::InvalidCertRevocationList(CertRevocationListError::BadSignature) => (8, 0),
        Error::InvalidCertRevocationList(_) => (code::UNABLE_TO_GET_CRL, 0),
        _ => (code::UNSPECIFIED, 0),
    }
}

/// Climbs from the leaf as far as the certificates sent allow. (OpenSSL: 18 for a lone self-signed certificate, 19 for a
/// self-signed one above others, else 20 where the climb ends.)
fn unknown_issuer(end_entity: &[u8], intermediates: &[CertificateDer<'_>]) -> (u32, u32) {
    let Some(mut top) = Certificate::parse(end_entity) else { return (code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0) };
    let parsed: Vec<_> = intermediates.iter().filter_map(|c| Certificate::parse(c)).collect();
    let mut left: Vec<&Certificate> = parsed.iter().collect();
    let mut depth = 0;
    while !top.is_self_issued() {
        let Some(at) = left.iter().position(|c| c.subject_der() == top.issuer_der()) else { break };
        top = left.swap_remove(at).clone();
        depth += 1;
    }
    match (top.is_self_issued(), depth) {
        (true, 0) => (code::DEPTH_ZERO_SELF_SIGNED_CERT, 0),
        (true, depth) => (code::SELF_SIGNED_CERT_IN_CHAIN, depth),
        (false, depth) => (code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY, depth),
    }
}
