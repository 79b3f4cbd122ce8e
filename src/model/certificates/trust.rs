//! Trust files of the process by the name they were loaded under: `ca-file` and `crl-file` (manual 5.1, 5.2), each read
//! once, replaced at run time (management guide "set ssl ca-file" and its kin) by a transaction of each kind. Both kinds
//! share one space of names. Texts are HAProxy 3.4's.

use super::certificate::{reason, show_one};
use super::pem;
use super::store::Answer;
use crate::proto::tls::crl;
use crate::proto::tls::verify::{ServerVerifier, Trust, TrustError};
use crate::proto::tls::x509;
use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ca,
    Crl,
}

impl Kind {
    /// As sentences name it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Ca => "CA",
            Kind::Crl => "CRL",
        }
    }
}

/// What one file holds.
#[derive(Debug, Clone)]
pub struct File {
    pub kind: Kind,
    pub certificates: Vec<CertificateDer<'static>>,
    pub crls: Vec<CertificateRevocationListDer<'static>>,
}

/// Every file, and what was made of them.
#[derive(Default)]
pub struct TrustFiles {
    files: BTreeMap<Arc<str>, File>,
    made: HashMap<(PathBuf, Option<PathBuf>), Arc<Trust>>,
    /// The open transactions: HAProxy has one of each kind at a time.
    open: [Option<(Arc<str>, File)>; 2],
    servers: Vec<ServerTrust>,
}

/// What a server line is verified by, and where that is replaced.
pub struct ServerTrust {
    pub ca: PathBuf,
    pub crl: Option<PathBuf>,
    pub provider: Arc<CryptoProvider>,
    pub verifyhost: Option<String>,
    pub verifier: Weak<ArcSwap<ServerVerifier>>,
    /// Counts as a user of its own; what checks use of a server that traffic reaches over TLS does not.
    pub counted: bool,
}

/// A verifier's place, and what is to stand there.
pub type RenewedServer = (Arc<ArcSwap<ServerVerifier>>, Arc<ServerVerifier>);

impl ServerTrust {
    fn names(&self, file: &str) -> bool {
        self.ca.as_os_str() == file || self.crl.as_ref().is_some_and(|c| c.as_os_str() == file)
    }
}

/// What `ca-file @system-ca` may stand for; SSL_CERT_FILE is heeded by `config`, which knows the environment.
const SYSTEM_CA: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl TrustFiles {
    /// Trusted certificates of `ca` with the lists of `crl`, read on first use. Errs with the file and the reason in
    /// parentheses of HAProxy's `Couldn't open the ca-file '<file>' (<reason>).`
    pub fn trust(&mut self, ca: &Path, crl: Option<&Path>) -> Result<Arc<Trust>, (PathBuf, String)> {
        let key = (ca.to_owned(), crl.map(Path::to_owned));
        if let Some(trust) = self.made.get(&key) {
            return Ok(trust.clone());
        }
        let certificates = self.read(ca, Kind::Ca).map_err(|e| (ca.to_owned(), e))?.certificates.clone();
        let crls = match crl {
            Some(path) => self.revocations(path).map_err(|why| (path.to_owned(), why))?,
            None => Vec::new(),
        };
        let trust = Trust::new(certificates, crls).map_err(|e| match e {
            TrustError::NoCertificate => (ca.to_owned(), "no certificate or crl found".to_owned()),
            TrustError::BadCertificate(n) => (ca.to_owned(), format!("certificate {n} cannot be read")),
            TrustError::BadRevocationList => {
                (crl.unwrap_or(ca).to_owned(), "revocation list cannot be read".to_owned())
            }
        })?;
        let trust = Arc::new(trust);
        self.made.insert(key, trust.clone());
        Ok(trust)
    }

    /// The lists of a `crl-file`, read on first use.
    pub fn revocations(&mut self, path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
        Ok(self.read(path, Kind::Crl)?.crls.clone())
    }

    /// The file of this path, read on first use.
    fn read(&mut self, path: &Path, kind: Kind) -> Result<&File, String> {
        let name: Arc<str> = path.display().to_string().into();
        if !self.files.contains_key(&name) {
            let file = match kind {
                Kind::Ca => File { kind, certificates: read_authorities(path)?, crls: Vec::new() },
                Kind::Crl => {
                    let text = std::fs::read(path).map_err(|e| reason(&e))?;
                    let pem = pem::read(&text).map_err(|e| e.text().to_owned())?;
                    if pem.crls.is_empty() && pem.certificates.is_empty() {
                        return Err("no certificate or crl found".to_owned());
                    }
                    File { kind, certificates: Vec::new(), crls: pem.crls }
                }
            };
            self.files.insert(name.clone(), file);
        }
        self.files.get(&name).ok_or_else(String::new)
    }

    /// A file of this name is known: nothing is read from disk for what is asked for while running.
    pub fn has(&self, path: &Path) -> bool {
        path.to_str().is_some_and(|name| self.files.contains_key(name))
    }

    pub fn register(&mut self, server: ServerTrust) {
        self.servers.retain(|s| s.verifier.strong_count() > 0);
        self.servers.push(server);
    }

    /// Server lines that are verified by this file.
    pub fn servers_trusting(&self, name: &str) -> usize {
        self.servers.iter().filter(|s| s.counted && s.verifier.strong_count() > 0 && s.names(name)).count()
    }

    /// `new ssl ca-file`, `new ssl crl-file`.
    pub fn create(&mut self, kind: Kind, name: &str) -> Answer {
        let word = kind.word();
        if self.files.contains_key(name) {
            return Err(format!("{word} file '{name}' already exists!\n"));
        }
        self.files.insert(name.into(), File { kind, certificates: Vec::new(), crls: Vec::new() });
        Ok(format!("New {word} file created '{name}'!\n"))
    }

    /// `set ssl ca-file`, `set ssl crl-file`; `more`: `add ssl ca-file`, which keeps what the file has.
    pub fn set(&mut self, kind: Kind, name: &str, payload: &[u8], more: bool) -> Answer {
        let word = kind.word();
        let cannot = |why: String| format!("{why}\nCan't update {name}!\n");
        let open = self.open[kind as usize].as_ref();
        if let Some((open, _)) = open.filter(|(open, _)| &**open != name) {
            let why = format!("The ongoing transaction is about '{open}' but you are trying to set '{name}'");
            return Err(cannot(why));
        }
        let known = self.files.get_key_value(name).filter(|(_, file)| file.kind == kind);
        let Some((name_kept, old)) = known.map(|(n, file)| (n.clone(), file)) else {
            let why = format!("Can't replace a {word} file which is not referenced by the configuration!");
            return Err(cannot(why));
        };
        let mut file = File { kind, certificates: Vec::new(), crls: Vec::new() };
        if more {
            file = open.map_or(old, |(_, file)| file).clone();
        }
        let pem = pem::read(payload).map_err(|_| cannot("Invalid payload".to_owned()))?;
        let usable = match kind {
            Kind::Ca => !pem.certificates.is_empty() && Trust::new(pem.certificates.clone(), Vec::new()).is_ok(),
            Kind::Crl => !pem.crls.is_empty() && pem.crls.iter().all(|c| crl::show(c).is_some()),
        };
        if !usable {
            return Err(cannot("Invalid payload".to_owned()));
        }
        match kind {
            Kind::Ca => {
                // What is there already is not there twice.
                let new = pem.certificates.into_iter().filter(|c| !file.certificates.contains(c)).collect::<Vec<_>>();
                file.certificates.extend(new);
            }
            Kind::Crl => file.crls.extend(pem.crls),
        }
        let done = if open.is_some() { "updated" } else { "created" };
        self.open[kind as usize] = Some((name_kept, file));
        Ok(format!("transaction {done} for {word} {name}!\n"))
    }

    /// Ends a transaction and puts its file in the place of the old one, which is returned. Errs with the whole answer.
    pub fn take(&mut self, kind: Kind, name: &str) -> Result<File, String> {
        let Some((open, file)) = self.open[kind as usize].take() else {
            return Err(format!("No ongoing transaction! !\nCan't commit {name}!\n"));
        };
        if &*open != name {
            let text = format!(
                "The ongoing transaction is about '{open}' but you are trying to set '{name}'\nCan't commit {name}!\n"
            );
            self.open[kind as usize] = Some((open, file));
            return Err(text);
        }
        Ok(self.replace(name, file))
    }

    /// Puts `file` in the place of another, which is returned.
    pub fn replace(&mut self, name: &str, file: File) -> File {
        self.made.retain(|(ca, crl), _| ca.as_os_str() != name && crl.as_ref().is_none_or(|c| c.as_os_str() != name));
        let empty = File { kind: file.kind, certificates: Vec::new(), crls: Vec::new() };
        self.files.insert(name.into(), file).unwrap_or(empty)
    }

    /// What servers will be verified by when this file has changed. Errs with the reason.
    pub fn servers_renewed(&mut self, name: &str) -> Result<Vec<RenewedServer>, String> {
        let users: Vec<_> = self
            .servers
            .iter()
            .filter(|s| s.names(name))
            .filter_map(|s| {
                let place = s.verifier.upgrade()?;
                Some((place, s.ca.clone(), s.crl.clone(), s.provider.clone(), s.verifyhost.clone()))
            })
            .collect();
        let mut ready = Vec::with_capacity(users.len());
        for (place, ca, crl, provider, verifyhost) in users {
            let trust = self.trust(&ca, crl.as_deref()).map_err(|(_, why)| why)?;
            let verifier = ServerVerifier::new(provider, Some(trust), verifyhost)
                .map_err(|_| "revocation list cannot be read".to_owned())?;
            ready.push((place, verifier));
        }
        Ok(ready)
    }

    /// `abort ssl ca-file`, `abort ssl crl-file`.
    pub fn abort(&mut self, kind: Kind, name: &str) -> Answer {
        match &self.open[kind as usize] {
            None => Err("No ongoing transaction!\n".to_owned()),
            Some((open, _)) if &**open != name => Err(format!(
                "The ongoing transaction is about '{open}' but you are trying to abort a transaction for '{name}'\n"
            )),
            Some(_) => {
                self.open[kind as usize] = None;
                Ok(format!("Transaction aborted for certificate '{name}'!\n"))
            }
        }
    }

    /// `del ssl ca-file`, `del ssl crl-file`; `used`: by how many lines.
    pub fn delete(&mut self, kind: Kind, name: &str, used: usize) -> Answer {
        let word = kind.word();
        let why = if self.open[kind as usize].as_ref().is_some_and(|(open, _)| &**open == name) {
            format!("ongoing transaction for the {word} file '{name}'")
        } else if self.files.get(name).is_none_or(|file| file.kind != kind) {
            format!("{word} file '{name}' doesn't exist!")
        } else if used > 0 {
            format!("{word} file '{name}' in use, can't be deleted!")
        } else {
            self.files.remove(name);
            self.made
                .retain(|(ca, crl), _| ca.as_os_str() != name && crl.as_ref().is_none_or(|c| c.as_os_str() != name));
            return Ok(format!("{word} file '{name}' deleted!\n"));
        };
        Err(format!("Can't remove the {word} file: {why}\n"))
    }

    /// `show ssl ca-file`, `show ssl crl-file`: names, an open transaction first.
    pub fn list(&self, kind: Kind) -> String {
        let line = |mark: &str, name: &str, file: &File| match kind {
            Kind::Ca => format!("{mark}{name} - {} certificate(s)\n", file.certificates.len()),
            Kind::Crl => format!("{mark}{name}\n"),
        };
        let mut text = String::new();
        if let Some((open, file)) = &self.open[kind as usize] {
            text.push_str("# transaction\n");
            text.push_str(&line("*", open, file));
        }
        text.push_str("# filename\n");
        self.files.iter().filter(|(_, f)| f.kind == kind).for_each(|(name, f)| text.push_str(&line("", name, f)));
        text
    }

    /// `show ssl ca-file [*]<name>[:<index>]` and its twin; `used`: whether a line uses the file.
    pub fn show(&self, kind: Kind, name: &str, used: bool) -> Answer {
        let word = kind.word();
        let (name, index) = match name.rsplit_once(':') {
            Some((file, index)) => match index.parse::<usize>() {
                Ok(index) if index > 0 => (file, Some(index)),
                _ => return Err(format!("wrong {word} index after colons in '{name}'!\n")),
            },
            None => (name, None),
        };
        let missing = || format!("Can't display the {word} file : Not found!\n");
        let (file, status) = match name.strip_prefix('*') {
            Some(open) => {
                let found = self.open[kind as usize].as_ref().filter(|(name, _)| &**name == open);
                (&found.ok_or_else(missing)?.1, "Uncommitted")
            }
            None => {
                let file = self.files.get(name).filter(|f| f.kind == kind).ok_or_else(missing)?;
                let empty = file.certificates.is_empty() && file.crls.is_empty();
                (
                    file,
                    if empty {
                        "Empty"
                    } else if used {
                        "Used"
                    } else {
                        "Unused"
                    },
                )
            }
        };
        let wanted = |at: usize| index.is_none_or(|wanted| wanted == at + 1);
        let mut parts = String::new();
        match kind {
            Kind::Ca => {
                for (at, der) in file.certificates.iter().enumerate().filter(|(at, _)| wanted(*at)) {
                    let text = x509::Certificate::parse(der).map(|c| show_one(&c)).unwrap_or_default();
                    parts.push_str(&format!(" \nCertificate #{}:\n{text}", at + 1));
                }
                // HAProxy 3.4.0 says nothing of an empty file, or of an index that it has not.
                if parts.is_empty() {
                    return Ok(String::new());
                }
            }
            Kind::Crl => {
                for (at, der) in file.crls.iter().enumerate().filter(|(at, _)| wanted(*at)) {
                    let text = crl::show(der).unwrap_or_default();
                    parts.push_str(&format!(" \nCertificate Revocation List #{}:\n{text}", at + 1));
                }
            }
        }
        Ok(format!("Filename: {name}\nStatus: {status}\n{parts}"))
    }
}

/// Certificates of a file, of all files of a directory, or of the system.
fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let path = match path.to_str() {
        Some("@system-ca") => {
            let found = SYSTEM_CA.iter().map(Path::new).find(|p| p.exists());
            found.ok_or_else(|| "no system authorities found".to_owned())?
        }
        _ => path,
    };
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|e| reason(&e))?;
        files = entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_file()).collect();
        files.sort();
    }
    let mut certificates = Vec::new();
    for file in files {
        let text = std::fs::read(&file).map_err(|e| reason(&e))?;
        let pem = pem::read(&text).map_err(|e| e.text().to_owned())?;
        certificates.extend(pem.certificates);
    }
    if certificates.is_empty() { Err("no certificate or crl found".to_owned()) } else { Ok(certificates) }
}
