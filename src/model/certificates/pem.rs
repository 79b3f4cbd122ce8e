//! PEM files (RFC 7468): certificates, a key and revocation lists from one text, with OpenSSL's reasons where it cannot be
//! read, since HAProxy repeats them.

use crate::proto::tls::tickets::wipe;
use base64::Engine;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// What a file holds, in order.
#[derive(Debug, Default)]
pub struct Pem {
    pub certificates: Vec<CertificateDer<'static>>,
    /// The first key.
    pub key: Option<PrivateKeyDer<'static>>,
    pub crls: Vec<CertificateRevocationListDer<'static>>,
    /// There is a key, protected by a passphrase.
    pub encrypted_key: bool,
}

/// OpenSSL's reasons (`PEM_R_*`), as HAProxy prints them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PemError {
    BadEndLine,
    BadBase64,
}

impl PemError {
    pub fn text(self) -> &'static str {
        match self {
            PemError::BadEndLine => "bad end line",
            PemError::BadBase64 => "bad base64 decode",
        }
    }
}

/// Reads all blocks; text outside of them is ignored.
pub fn read(bytes: &[u8]) -> Result<Pem, PemError> {
    let mut pem = Pem::default();
    let mut lines = bytes.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        let Some(label) = label(line, b"-----BEGIN ") else { continue };
        let mut text = Vec::new();
        let mut encrypted = label == b"ENCRYPTED PRIVATE KEY";
        let mut ended = false;
        for line in lines.by_ref() {
            if line.starts_with(b"-----") {
                ended = self::label(line, b"-----END ") == Some(label);
                break;
            }
            // RFC 1421 headers of traditional encrypted keys.
            encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
            if !line.contains(&b':') {
                text.extend_from_slice(line);
            }
        }
        if !ended {
            wipe(&mut text);
            return Err(PemError::BadEndLine);
        }
        let der = base64::engine::general_purpose::STANDARD.decode(&text);
        wipe(&mut text);
        let is_key = label.ends_with(b"PRIVATE KEY");
        if is_key && encrypted {
            pem.encrypted_key = true;
            continue;
        }
        let der = der.map_err(|_| PemError::BadBase64)?;
        match label {
            b"CERTIFICATE" | b"X509 CERTIFICATE" | b"TRUSTED CERTIFICATE" => pem.certificates.push(der.into()),
            b"X509 CRL" => pem.crls.push(der.into()),
            b"PRIVATE KEY" if pem.key.is_none() => pem.key = Some(PrivateKeyDer::Pkcs8(der.into())),
            b"RSA PRIVATE KEY" if pem.key.is_none() => pem.key = Some(PrivateKeyDer::Pkcs1(der.into())),
            b"EC PRIVATE KEY" if pem.key.is_none() => pem.key = Some(PrivateKeyDer::Sec1(der.into())),
            _ if is_key => {
                let mut der = der;
                wipe(&mut der);
            }
            // EC PARAMETERS, DH PARAMETERS: the library has no use for them.
            _ => {}
        }
    }
    Ok(pem)
}

fn label<'l>(line: &'l [u8], start: &[u8]) -> Option<&'l [u8]> {
    line.strip_prefix(start)?.strip_suffix(b"-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_and_the_rest_ignored() {
        let text = b"bag\n-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\r\n\
            -----BEGIN CERTIFICATE-----\r\nAAEC\r\nAw==\r\n-----END CERTIFICATE-----\r\n\
            -----BEGIN PRIVATE KEY-----\nBAU=\n-----END PRIVATE KEY-----\n-----BEGIN X509 CRL-----\nBg==\n-----END X509 CRL-----";
        let pem = read(text).unwrap();
        assert_eq!(pem.certificates[0].as_ref(), [0, 1, 2, 3]);
        assert_eq!(pem.key.unwrap().secret_der(), [4, 5]);
        assert_eq!(pem.crls[0].as_ref(), [6]);
        assert!(read(b"nothing").unwrap().certificates.is_empty());
    }

    #[test]
    fn broken_blocks_have_openssls_reasons() {
        let cut = b"-----BEGIN CERTIFICATE-----\nAAEC\n";
        assert_eq!(read(cut).unwrap_err(), PemError::BadEndLine);
        let other = b"-----BEGIN CERTIFICATE-----\nAAEC\n-----END PRIVATE KEY-----\n";
        assert_eq!(read(other).unwrap_err(), PemError::BadEndLine);
        let bad = b"-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n";
        assert_eq!(read(bad).unwrap_err(), PemError::BadBase64);
    }

    #[test]
    fn encrypted_keys_are_told() {
        let traditional =
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAEC\n\
            -----END RSA PRIVATE KEY-----\n";
        assert!(read(traditional).unwrap().encrypted_key);
        let pkcs8 = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAEC\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let pem = read(pkcs8).unwrap();
        assert!(pem.encrypted_key && pem.key.is_none());
    }
}
