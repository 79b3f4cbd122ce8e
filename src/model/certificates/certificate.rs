//! One certificate with its chain and key, loaded from a PEM file and what lies beside it (`.key`, `.ocsp`, `.issuer`;
//! manual 3.1 "ssl-load-extra-files"). Error texts are HAProxy's, from "unable to ..." on.

use super::pem::{self, Pem};
use crate::model::tls::ExtraFiles;
use crate::proto::tls::moment::Binding;
use crate::proto::tls::ocsp;
use crate::proto::tls::tickets::wipe;
use crate::proto::tls::x509;
use ::aws_lc_rs::digest;
use rustls::SignatureAlgorithm;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certificate that can be shown to clients or servers.
#[derive(Debug)]
pub struct Certificate {
    /// Chain, key and OCSP response, as the library wants them.
    pub key: Arc<CertifiedKey>,
    /// Shown to clients that know ECDSA (or Ed25519); else RSA.
    pub ecdsa: bool,
    /// DNS names it is for, in lower case: alternative names and the common name. Wildcards keep their `*`.
    pub names: Box<[Box<str>]>,
    /// Of the leaf: part of what sessions are bound to.
    pub digest: Binding,
    /// Empty for what came by the runtime API alone.
    pub key_file: PathBuf,
    pub has_ocsp: bool,
}

/// Why a certificate cannot be loaded; the text is HAProxy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError(pub String);

/// Where to look beside the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside {
    pub files: ExtraFiles,
    /// `ssl-load-extra-del-ext`.
    pub del_ext: bool,
}

impl Beside {
    /// `file` with an extension that names what lies beside it.
    pub fn path(&self, file: &Path, extension: &str) -> PathBuf {
        if self.del_ext {
            return file.with_extension(extension);
        }
        let mut name = file.as_os_str().to_owned();
        name.push(".");
        name.push(extension);
        name.into()
    }
}

impl Certificate {
    /// Loads `file`. `key` and `ocsp` name other files than those beside it (crt-list and crt-store).
    pub fn load(
        file: &Path,
        key: Option<&Path>,
        ocsp: Option<&Path>,
        beside: Beside,
    ) -> Result<Certificate, LoadError> {
        let mut text = std::fs::read(file).map_err(|e| {
            LoadError(format!("unable to stat SSL certificate from file '{}' : {}.", file.display(), reason(&e)))
        })?;
        let read = Certificate::pem(&text, &file.display().to_string());
        wipe(&mut text);
        let mut pem = read?;
        let mut key_file = file.to_owned();
        if pem.key.is_none() {
            let path = key.map_or_else(|| beside.path(file, "key"), Path::to_owned);
            if key.is_some() || beside.files.key {
                pem.key = read_key(&path);
            }
            if pem.key.is_none() {
                return Err(LoadError(format!("No Private Key found in '{}'.", path.display())));
            }
            key_file = path;
        }
        let ocsp_path = ocsp.map_or_else(|| beside.path(file, "ocsp"), Path::to_owned);
        let ocsp = match ocsp.is_some() || beside.files.ocsp {
            true => read_ocsp(&ocsp_path)?,
            false => None,
        };
        Certificate::assemble(pem, ocsp, &file.display().to_string(), key_file)
    }

    /// From a text given on the runtime API (`set ssl cert`); the key may be left out if `old` has the matching one.
    pub fn from_text(text: &[u8], name: &str, old: Option<&Certificate>) -> Result<Certificate, LoadError> {
        let pem = Certificate::pem(text, name)?;
        let key_file = old.map_or_else(|| name.into(), |o| o.key_file.clone());
        if let (None, Some(old)) = (&pem.key, old) {
            let mut certified = CertifiedKey::new(pem.certificates, old.key.key.clone());
            certified.ocsp = old.key.ocsp.clone();
            return Certificate::finish(certified, name, key_file);
        }
        if pem.key.is_none() {
            return Err(LoadError(format!("No Private Key found in '{name}'.")));
        }
        let mut certificate = Certificate::assemble(pem, None, name, key_file)?;
        if old.is_none() {
            certificate.key_file = PathBuf::new();
        }
        Ok(certificate)
    }

    fn pem(text: &[u8], name: &str) -> Result<Pem, LoadError> {
        let error = |why: &str| LoadError(format!("unable to load certificate from file '{name}': {why}."));
        let pem = pem::read(text).map_err(|e| error(e.text()))?;
        if pem.certificates.is_empty() {
            return Err(error("no start line"));
        }
        if pem.certificates.iter().any(|c| x509::Certificate::parse(c).is_none()) {
            return Err(error("wrong tag"));
        }
        Ok(pem)
    }

    fn assemble(pem: Pem, ocsp: Option<Vec<u8>>, name: &str, key_file: PathBuf) -> Result<Certificate, LoadError> {
        let no_key = || LoadError(format!("No Private Key found in '{}'.", key_file.display()));
        // The key's DER is wiped by the library.
        let key = aws_lc_rs::default_provider()
            .key_provider
            .load_private_key(pem.key.ok_or_else(no_key)?)
            .map_err(|_| no_key())?;
        let mut certified = CertifiedKey::new(pem.certificates, key);
        certified.ocsp = ocsp;
        Certificate::finish(certified, name, key_file)
    }

    fn finish(certified: CertifiedKey, name: &str, key_file: PathBuf) -> Result<Certificate, LoadError> {
        let inconsistent =
            || LoadError(format!("inconsistencies between private key and certificate loaded '{name}'."));
        if certified.keys_match().is_err() {
            return Err(inconsistent());
        }
        let leaf = certified.cert[0].clone();
        let parsed = x509::Certificate::parse(&leaf).ok_or_else(inconsistent)?;
        let mut names: Vec<Box<str>> = parsed
            .dns_names()
            .into_iter()
            .chain(parsed.common_names())
            .map(|n| n.to_ascii_lowercase().into_boxed_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        let mut binding = [0; 16];
        binding.copy_from_slice(&digest::digest(&digest::SHA256, &leaf).as_ref()[..16]);
        Ok(Certificate {
            ecdsa: certified.key.algorithm() != SignatureAlgorithm::RSA,
            names: names.into(),
            digest: binding,
            key_file,
            has_ocsp: certified.ocsp.is_some(),
            key: Arc::new(certified),
        })
    }

    /// The same with another OCSP response.
    pub fn with_ocsp(&self, response: Vec<u8>) -> Certificate {
        let mut key = CertifiedKey::new(self.key.cert.clone(), self.key.key.clone());
        key.ocsp = Some(response);
        Certificate {
            key: Arc::new(key),
            ecdsa: self.ecdsa,
            names: self.names.clone(),
            digest: self.digest,
            key_file: self.key_file.clone(),
            has_ocsp: true,
        }
    }

    /// What the OCSP response says it is about.
    pub fn ocsp_id(&self) -> Option<ocsp::CertificateId<'_>> {
        ocsp::certificate_id(self.key.ocsp.as_deref()?).ok()
    }

    /// The leaf, parsed.
    pub fn leaf(&self) -> Option<x509::Certificate<'_>> {
        x509::Certificate::parse(self.key.cert.first()?)
    }

    /// The lines of `show ssl cert <file>` that tell of the certificate, from `Serial:` on.
    pub fn show(&self) -> String {
        let Some(leaf) = self.leaf() else { return String::new() };
        let mut text = show_one(&leaf);
        for above in self.key.cert.iter().skip(1).filter_map(|c| x509::Certificate::parse(c)) {
            let (subject, issuer) = (dn(&above, x509::Name::Subject), dn(&above, x509::Name::Issuer));
            text.push_str(&format!("Chain Subject: {subject}\nChain Issuer: {issuer}\n"));
        }
        text
    }
}

/// The lines that tell of one certificate, from `Serial:` to `Issuer:`.
pub fn show_one(certificate: &x509::Certificate<'_>) -> String {
    let (from, to) = certificate.validity_text();
    format!(
        "Serial: {}\nnotBefore: {from}\nnotAfter: {to}\nSubject Alternative Name: {}\nAlgorithm: {}\n\
         SHA1 FingerPrint: {}\nSubject: {}\nIssuer: {}\n",
        hex(certificate.serial()),
        certificate.san_of_show(),
        certificate.key_description(),
        hex(&certificate.sha1()),
        dn(certificate, x509::Name::Subject),
        dn(certificate, x509::Name::Issuer),
    )
}

/// Two capital digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

fn dn(certificate: &x509::Certificate<'_>, which: x509::Name) -> String {
    let mut dn = Vec::new();
    certificate.dn(which, x509::DnSelector::default(), &mut dn);
    String::from_utf8_lossy(&dn).into_owned()
}

fn read_key(path: &Path) -> Option<rustls::pki_types::PrivateKeyDer<'static>> {
    let mut text = std::fs::read(path).ok()?;
    let key = pem::read(&text).ok()?.key;
    wipe(&mut text);
    key
}

/// An OCSP response beside the certificate; absent or empty files are none. That it is a successful response is checked;
/// its signature and age are the client's to judge.
fn read_ocsp(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    let Ok(der) = std::fs::read(path) else { return Ok(None) };
    if der.is_empty() {
        return Ok(None);
    }
    if ocsp::certificate_id(&der).is_err() {
        return Err(LoadError(format!("'{}' : Unsupported OCSP response.", path.display())));
    }
    Ok(Some(der))
}

/// strerror's words, without the number that Rust appends.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
