//! What a revocation list (RFC 5280 §5) says, as `show ssl crl-file` tells it; the form was taken from runs of HAProxy
//! 3.4.0.

use super::x509::{algorithm_name, long_time, name_text};
use std::fmt::Write;
use x509_parser::prelude::{CertificateRevocationList, FromDer};

/// The lines from `Version` on; `None`: this is no revocation list.
pub fn show(der: &[u8]) -> Option<String> {
    let (rest, crl) = CertificateRevocationList::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let version = crl.version().map_or(1, |v| v.0 + 1);
    let algorithm = algorithm_name(&crl.signature_algorithm.algorithm.to_id_string());
    let next = crl.next_update().map_or_else(|| "NONE".to_owned(), long_time);
    let mut text = format!(
        "Version {version}\nSignature Algorithm: {algorithm}\nIssuer: {}\nLast Update: {}\nNext Update: {next}\n",
        name_text(crl.issuer()),
        long_time(crl.last_update()),
    );
    let mut revoked = crl.iter_revoked_certificates().peekable();
    if revoked.peek().is_none() {
        text.push_str("No Revoked Certificates.\n");
        return Some(text);
    }
    text.push_str("Revoked Certificates:\n");
    for entry in revoked {
        let serial: String = entry.raw_serial().iter().map(|b| format!("{b:02X}")).collect();
        let _ = write!(
            text,
            "    Serial Number: {serial}\n        Revocation Date: {}\n",
            long_time(entry.revocation_date)
        );
    }
    Some(text)
}
