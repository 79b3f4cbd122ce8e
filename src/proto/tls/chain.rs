//! A second opinion on certificates that the library refuses for their form alone: leaves of X.509 version 1, which
//! `openssl x509 -req` makes unless told otherwise, and leaves that are authorities themselves. OpenSSL, and so HAProxy,
//! takes both. The chain is climbed by name and signature with the library's own primitives; nothing here is asked when the
//! library's verdict is about trust, time, purpose or revocation.

use super::verify_code as code;
use super::x509::{Certificate, Validity};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, Error};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// Certificates above the leaf at most.
const DEPTH_MAX: u32 = 8;

/// What a climb may use.
pub struct Climb<'a> {
    /// The certificates of `ca-file`.
    pub trusted: &'a [CertificateDer<'static>],
    pub sent: &'a [CertificateDer<'a>],
    pub crls: &'a [&'a [u8]],
    pub algorithms: &'a [&'static dyn SignatureVerificationAlgorithm],
    pub now_s: u64,
}

/// OpenSSL's number for what is wrong, and the depth.
pub type Verdict = Result<(), (u32, u32)>;

impl Climb<'_> {
    /// Climbs from `leaf` to a trusted certificate.
    pub fn verify(&self, leaf: &[u8], client: bool) -> Verdict {
        let unspecified = (code::UNSPECIFIED, 0);
        let mut below = Certificate::parse(leaf).ok_or(unspecified)?;
        if !below.allows_purpose(client) {
            return Err((code::INVALID_PURPOSE, 0));
        }
        for depth in 0..=DEPTH_MAX {
            self.check_validity(&below, depth)?;
            if self.trusted.iter().any(|t| t.as_ref() == below.der()) {
                return Ok(());
            }
            let above = self.issuer(&below).ok_or_else(|| self.no_issuer(&below, depth))?;
            self.check_revocation(&below, &above, depth)?;
            below = above;
        }
        Err((22, DEPTH_MAX))
    }

    fn check_validity(&self, certificate: &Certificate, depth: u32) -> Verdict {
        match certificate.validity_at(self.now_s) {
            Validity::Valid => Ok(()),
            Validity::NotYet => Err((code::CERT_NOT_YET_VALID, depth)),
            Validity::Expired => Err((code::CERT_HAS_EXPIRED, depth)),
        }
    }

    /// A trusted certificate, else one that was sent, that has the issuer's name, may sign and did sign.
    fn issuer<'c>(&'c self, below: &Certificate) -> Option<Certificate<'c>> {
        let trusted = self.trusted.iter().map(|c| (c.as_ref(), true));
        let sent = self.sent.iter().map(|c| (c.as_ref(), false));
        trusted.chain(sent).find_map(|(der, trusted)| {
            let above = Certificate::parse(der)?;
            // An authority of version 1 is one only where the administrator says so.
            let may_sign = above.is_authority() || (trusted && above.version() < 3);
            let issued = above.subject_der() == below.issuer_der() && above.der() != below.der();
            (issued && may_sign && self.signed(below.signed_parts()?, above.spki_der())).then_some(above)
        })
    }

    fn no_issuer(&self, top: &Certificate, depth: u32) -> (u32, u32) {
        match (top.is_self_issued(), depth) {
            (true, 0) => (code::DEPTH_ZERO_SELF_SIGNED_CERT, 0),
            (true, _) => (code::SELF_SIGNED_CERT_IN_CHAIN, depth),
            (false, _) => (code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY, depth),
        }
    }

    fn check_revocation(&self, below: &Certificate, above: &Certificate, depth: u32) -> Verdict {
        if self.crls.is_empty() {
            return Ok(());
        }
        for der in self.crls {
            let Ok((_, list)) = CertificateRevocationList::from_der(der) else { continue };
            if list.tbs_cert_list.issuer.as_raw() != below.issuer_der() {
                continue;
            }
            if !signed_parts(der).is_some_and(|parts| self.signed(parts, above.spki_der())) {
                return Err((8, depth));
            }
            let now = i64::try_from(self.now_s).unwrap_or(i64::MAX);
            if list.next_update().is_some_and(|t| t.timestamp() < now) {
                return Err((code::CRL_HAS_EXPIRED, depth));
            }
            let revoked = list.iter_revoked_certificates().any(|r| r.raw_serial() == below.raw_serial());
            return if revoked { Err((code::CERT_REVOKED, depth)) } else { Ok(()) };
        }
        Err((code::UNABLE_TO_GET_CRL, depth))
    }

    /// Whether the key signed the parts.
    fn signed(&self, parts: SignedParts, spki: &[u8]) -> bool {
        let Some((key_algorithm, key)) = key_parts(spki) else { return false };
        self.algorithms
            .iter()
            .filter(|a| a.public_key_alg_id().as_ref() == key_algorithm)
            .filter(|a| a.signature_alg_id().as_ref() == parts.algorithm)
            .any(|a| a.verify_signature(key, parts.message, parts.signature).is_ok())
    }
}

/// The outer SEQUENCE of a certificate or revocation list (RFC 5280 §4.1).
#[derive(Debug, Clone, Copy)]
pub struct SignedParts<'a> {
    /// What is signed, with its header.
    pub message: &'a [u8],
    /// Contents of the AlgorithmIdentifier.
    pub algorithm: &'a [u8],
    pub signature: &'a [u8],
}

pub fn signed_parts(der: &[u8]) -> Option<SignedParts<'_>> {
    let (outer, _) = element(der, 0x30)?;
    let (message, rest) = whole(outer, 0x30)?;
    let (algorithm, rest) = element(rest, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    let signature = bits.strip_prefix(&[0])?;
    Some(SignedParts { message, algorithm, signature })
}

/// Checks a handshake's signature by the key of a certificate whose form the library refuses.
pub fn verify_handshake(
    message: &[u8],
    certificate: &[u8],
    dss: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
    tls13: bool,
) -> Result<HandshakeSignatureValid, Error> {
    let bad = || Error::InvalidCertificate(CertificateError::BadSignature);
    let spki = Certificate::parse(certificate).ok_or_else(bad)?.spki_der();
    if tls13 {
        let spki = SubjectPublicKeyInfoDer::from(spki);
        return rustls::crypto::verify_tls13_signature_with_raw_key(message, &spki, dss, algorithms);
    }
    let (key_algorithm, key) = key_parts(spki).ok_or_else(bad)?;
    let (_, candidates) = algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme).ok_or_else(bad)?;
    candidates
        .iter()
        .filter(|a| a.public_key_alg_id().as_ref() == key_algorithm)
        .any(|a| a.verify_signature(key, message, dss.signature()).is_ok())
        .then(HandshakeSignatureValid::assertion)
        .ok_or_else(bad)
}

/// Algorithm and key of a SubjectPublicKeyInfo.
fn key_parts(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let (outer, _) = element(spki, 0x30)?;
    let (algorithm, rest) = element(outer, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    Some((algorithm, bits.strip_prefix(&[0])?))
}

/// Contents of the DER element at the start, which must have this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(der, tag)?;
    let (element, rest) = der.split_at_checked(header + length)?;
    Some((&element[header..], rest))
}

fn whole(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(der, tag)?;
    der.split_at_checked(header + length)
}

/// Lengths of the header and of the contents.
fn header(der: &[u8], tag: u8) -> Option<(usize, usize)> {
    let [t, first, rest @ ..] = der else { return None };
    if *t != tag {
        return None;
    }
    match first {
        0..=0x7f => Some((2, usize::from(*first))),
        0x81..=0x83 => {
            let count = usize::from(first & 0x7f);
            let bytes = rest.get(..count)?;
            Some((2 + count, bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;

    /// Made with `openssl req -x509` and `openssl x509 -req` (version 1), valid for 30 days from 26 November 2026.
    const AUTHORITY: &str = "\
MIIBhTCCASugAwIBAgIUPd7LpcADY6Usbzf1QvVpUTMln7IwCgYIKoZIzj0EAwIwEDEOMAwGA1UEAwwFbXkgY2EwHhcNMjYxMTI2\
MDE1OTI4WhcNMjYxMjI2MDE1OTI4WjAQMQ4wDAYDVQQDDAVteSBjYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEfzmFhEPHO2\
WK7O+BK1JuKGHnRMtDIhKrNJlgXBJZI2y+EXlC1wqXgkxB0pUjky2KYbA4nPz+/kEPqfzWl4QnijYzBhMB0GA1UdDgQWBBRw1Vjn\
rXZ798aPQ78d+7aQ/M+xXjAfBgNVHSMEGDAWgBRw1VjnrXZ798aPQ78d+7aQ/M+xXjAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB\
/wQEAwIBBjAKBggqhkjOPQQDAgNIADBFAiARy77o7reM/pO+16MUbKxTdgJ8pJtKgUxBLUZKqlyqwwIhAMYP3pQ5VreRtzVAiRu2\
R0RQRdwlQfzhwXLE7v0BzlGq";
    const VERSION_1: &str = "\
MIIB5TCCAYsCFEjq1irpVx+947mOKmVIbM0q+0dwMAoGCCqGSM49BAMCMBAxDjAMBgNVBAMMBW15IGNhMB4XDTI2MTEyNjAxNTky\
OFoXDTI2MTIyNjAxNTkyOFowDzENMAsGA1UEAwwEZ29vZDCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAKGav3RfK+7Q\
mK4j6DjihBow8xbpZUAuySStlB3oapqJtQ0bcYM4+TyaroNtboqnoqCUZEge6RO2BUUjLWSXqO4wFH84k39qoXD4pUNsclo4o6tH\
g8ZxGg6iG5VxHnoYCvFcSSSd4JhPDCRSaSRGswBo6AnMOtpcP8+dXvZ8Iiz5AMaZKIlW5L+wXe5NjHv7osLdH4GqYQYVbxFoLllS\
G0ymfgWfnpIn1cbG0+pNxvCidJAhsnXxM0oXYTyMcL/q4cS/wB0jO0Cx89+pWHCc19nmUP87F9TIXkMCKwzKh/S0/gKqumyxQFyp\
R8B9ENpb7nI4lNkEMgwNxCbPHSNQE5UCAwEAATAKBggqhkjOPQQDAgNIADBFAiAHKGZ+IdusvKupUMz7JI+YVoI3cSIgx2JKISb3\
gN5hewIhAJ0qFLpg2Vsw5uH6Ke7Y0ZFXSw0i8S+cNfxoYeQMVwH3";
    const THEN: u64 = 1_795_700_000;

    fn der(text: &str) -> CertificateDer<'static> {
        base64::engine::general_purpose::STANDARD.decode(text).unwrap().into()
    }

    fn climb<'a>(trusted: &'a [CertificateDer<'static>], crls: &'a [&'a [u8]], now_s: u64) -> Climb<'a> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
        Climb { trusted, sent: &[], crls, algorithms, now_s }
    }

    #[test]
    fn version_1_leaves_are_judged_like_others() {
        let (authority, leaf) = ([der(AUTHORITY)], der(VERSION_1));
        assert_eq!(Certificate::parse(&leaf).unwrap().version(), 1);
        assert_eq!(climb(&authority, &[], THEN).verify(&leaf, true), Ok(()));
        assert_eq!(climb(&authority, &[], THEN + 40 * 86_400).verify(&leaf, true), Err((code::CERT_HAS_EXPIRED, 0)));
        assert_eq!(climb(&authority, &[], 0).verify(&leaf, true), Err((code::CERT_NOT_YET_VALID, 0)));
        assert_eq!(climb(&[], &[], THEN).verify(&leaf, true), Err((code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY, 0)));
        assert_eq!(climb(&authority, &[&[]], THEN).verify(&leaf, true), Err((code::UNABLE_TO_GET_CRL, 0)));
        assert_eq!(climb(&[], &[], THEN).verify(&authority[0], true), Err((code::DEPTH_ZERO_SELF_SIGNED_CERT, 0)));
        let mut forged = leaf.to_vec();
        *forged.last_mut().unwrap() ^= 1;
        assert!(climb(&authority, &[], THEN).verify(&forged, true).is_err());
    }
}
