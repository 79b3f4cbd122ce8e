//! All certificates and trust files of the process by the name they were loaded under: each file is read once, and can be
//! replaced at run time (management guide "set ssl cert" and its kin). Used by configuration and runtime API, behind a
//! mutex; the data path reads [`Slot`]s, which are replaced atomically.

use super::bind::BindContext;
use super::certificate::{Beside, Certificate, LoadError, reason};
use super::pem;
use crate::proto::tls::client::Identity;
use crate::proto::tls::tickets::{TLS_TICKETS_NO, TicketKeys, TicketKeysError};
use crate::proto::tls::verify::{Trust, TrustError};
use arc_swap::ArcSwapOption;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::sign::CertifiedKey;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A certificate's place: the name stays, the certificate may be replaced.
#[derive(Debug)]
pub struct Slot {
    pub name: Arc<str>,
    /// Empty after `new ssl cert`.
    pub certificate: ArcSwapOption<Certificate>,
}

/// The store of a process.
#[derive(Default)]
pub struct Store {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    slots: BTreeMap<Arc<str>, Arc<Slot>>,
    /// The open transaction: HAProxy has one at a time.
    transaction: Option<(Arc<str>, Certificate)>,
    binds: Vec<Weak<BindContext>>,
    servers: Vec<Weak<Shown>>,
    lists: BTreeMap<String, Vec<ListLine>>,
    trust: HashMap<(PathBuf, Option<PathBuf>), Arc<Trust>>,
    ticket_keys: HashMap<PathBuf, Arc<TicketKeys>>,
    beside: Beside,
}

/// The certificate of a server line, which shows what its slot holds. Contexts of the workers learn of another one when
/// they connect.
pub struct Shown(Arc<Slot>);

impl Identity for Shown {
    fn key(&self) -> Option<Arc<CertifiedKey>> {
        self.0.certificate.load().as_ref().map(|c| c.key.clone())
    }
}

/// A line of a `crt-list` as `show ssl crt-list` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListLine {
    pub number: usize,
    pub file: String,
    /// Options in brackets and filters.
    pub rest: String,
}

/// Answer of a runtime command: HAProxy's text, and whether it went well.
pub type Answer = Result<String, String>;

/// What `ca-file @system-ca` may stand for; SSL_CERT_FILE is heeded by `config`, which knows the environment.
const SYSTEM_CA: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Store {
    pub fn new(beside: Beside) -> Arc<Store> {
        let store = Store::default();
        store.lock().beside = beside;
        Arc::new(store)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn beside(&self) -> Beside {
        self.lock().beside
    }

    /// The slot of `file`, loaded on first use.
    pub fn load(&self, file: &Path, key: Option<&Path>, ocsp: Option<&Path>) -> Result<Arc<Slot>, LoadError> {
        let name: Arc<str> = file.display().to_string().into();
        let beside = {
            let inner = self.lock();
            if let Some(slot) = inner.slots.get(&name) {
                return Ok(slot.clone());
            }
            inner.beside
        };
        let certificate = Certificate::load(file, key, ocsp, beside)?;
        Ok(self.insert(name, Some(certificate)))
    }

    fn insert(&self, name: Arc<str>, certificate: Option<Certificate>) -> Arc<Slot> {
        let slot = Arc::new(Slot { name: name.clone(), certificate: ArcSwapOption::from(certificate.map(Arc::new)) });
        self.lock().slots.insert(name, slot.clone());
        slot
    }

    /// The slot of this name.
    pub fn find(&self, name: &str) -> Option<Arc<Slot>> {
        self.lock().slots.get(name).cloned()
    }

    /// What a server line shows; `counted`: as a user of its own.
    pub fn shown(&self, slot: Arc<Slot>, counted: bool) -> Arc<Shown> {
        let shown = Arc::new(Shown(slot));
        if counted {
            self.lock().servers.push(Arc::downgrade(&shown));
        }
        shown
    }

    /// Remembers what a `crt-list` says.
    pub fn list_read(&self, file: &str, lines: Vec<ListLine>) {
        self.lock().lists.insert(file.to_owned(), lines);
    }

    /// `show ssl crt-list [-n] [<file>]`.
    pub fn show_lists(&self, file: Option<&str>, numbers: bool) -> Answer {
        let inner = self.lock();
        let Some(file) = file else {
            return Ok(inner.lists.keys().map(|name| format!("{name}\n")).collect());
        };
        let lines = inner.lists.get(file).ok_or_else(|| "didn't find the specified filename\n".to_owned())?;
        let mut text = format!("# {file}\n");
        for line in lines {
            text.push_str(&line.file);
            if numbers {
                text.push_str(&format!(":{}", line.number));
            }
            if !line.rest.is_empty() {
                text.push_str(&format!(" {}", line.rest));
            }
            text.push('\n');
        }
        Ok(text)
    }

    /// Tells the store of a context that must learn of replaced certificates.
    pub fn register(&self, bind: &Arc<BindContext>) {
        self.lock().binds.push(Arc::downgrade(bind));
    }

    /// Trusted certificates of `ca-file` with the lists of `crl-file`. Errs with the reason in parentheses of HAProxy's
    /// `Couldn't open the ca-file '<file>' (<reason>).`, and the file.
    pub fn trust(&self, ca: &Path, crl: Option<&Path>) -> Result<Arc<Trust>, (PathBuf, String)> {
        let key = (ca.to_owned(), crl.map(Path::to_owned));
        if let Some(trust) = self.lock().trust.get(&key) {
            return Ok(trust.clone());
        }
        let certificates = read_authorities(ca).map_err(|e| (ca.to_owned(), e))?;
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
        self.lock().trust.insert(key, trust.clone());
        Ok(trust)
    }

    /// The lists of a `crl-file`.
    pub fn revocations(&self, path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
        let text = std::fs::read(path).map_err(|e| reason(&e))?;
        let pem = pem::read(&text).map_err(|e| e.text().to_owned())?;
        match pem.crls.is_empty() && pem.certificates.is_empty() {
            true => Err("no certificate or crl found".to_owned()),
            false => Ok(pem.crls),
        }
    }

    /// The keys of a `tls-ticket-keys` file, shared by all lines that name it. Errs with HAProxy's text.
    pub fn ticket_keys(&self, file: &Path, lifetime_s: u32) -> Result<Arc<TicketKeys>, String> {
        if let Some(keys) = self.lock().ticket_keys.get(file) {
            return Ok(keys.clone());
        }
        let at = file.display();
        let text =
            std::fs::read_to_string(file).map_err(|_| format!("'{at}' : unable to load ssl tickets keys file"))?;
        let keys = TicketKeys::from_file(&text, lifetime_s).map_err(|e| match e {
            TicketKeysError::BadBase64 { line } => format!("'{at}' : unable to decode base64 key on line {line}"),
            TicketKeysError::BadKey { line } | TicketKeysError::MixedLengths { line } => {
                format!("'{at}' : wrong sized key on line {line}")
            }
            TicketKeysError::TooFew => {
                format!("'{at}' : please supply at least {TLS_TICKETS_NO} keys in the tls-tickets-file")
            }
        })?;
        self.lock().ticket_keys.insert(file.to_owned(), keys.clone());
        Ok(keys)
    }

    /// `set ssl cert <name> <payload>`.
    pub fn set(&self, name: &str, payload: &[u8]) -> Answer {
        let mut inner = self.lock();
        if let Some((open, _)) = inner.transaction.as_ref().filter(|(open, _)| &**open != name) {
            return Err(format!(
                "The ongoing transaction is about '{open}' but you are trying to set '{name}'\n\
                 Can't update {name}!\n"
            ));
        }
        let Some(slot) = inner.slots.get(name).cloned() else {
            let why = "Can't replace a certificate which is not referenced by the configuration!";
            return Err(format!("{why}\nCan't update {name}!\n"));
        };
        let loaded = slot.certificate.load();
        let old = inner.transaction.as_ref().map(|(_, certificate)| certificate).or(loaded.as_deref());
        match Certificate::from_text(payload, name, old) {
            Ok(certificate) => {
                let word = if inner.transaction.is_some() { "updated" } else { "created" };
                inner.transaction = Some((slot.name.clone(), certificate));
                Ok(format!("Transaction {word} for certificate {name}!\n"))
            }
            Err(LoadError(why)) => Err(format!("{why}\nCan't load the payload\nCan't update {name}!\n")),
        }
    }

    /// `commit ssl cert <name>`: replaces the certificate and has bind lines learn its names.
    pub fn commit(&self, name: &str) -> Answer {
        let mut inner = self.lock();
        let Some((open, certificate)) = inner.transaction.take() else {
            return Err(format!("No ongoing transaction! !\nCan't commit {name}!\n"));
        };
        if &*open != name {
            let text = format!(
                "The ongoing transaction is about '{open}' but you are trying to set '{name}'\nCan't commit {name}!\n"
            );
            inner.transaction = Some((open, certificate));
            return Err(text);
        }
        if let Some(slot) = inner.slots.get(name) {
            slot.certificate.store(Some(Arc::new(certificate)));
        }
        inner.binds.retain(|b| b.strong_count() > 0);
        inner.servers.retain(|s| s.strong_count() > 0);
        let users: Vec<_> = inner.binds.iter().filter_map(Weak::upgrade).filter(|b| b.uses(name)).collect();
        let servers = inner.servers.iter().filter_map(Weak::upgrade).filter(|s| &*s.0.name == name).count();
        drop(inner);
        users.iter().for_each(|b| b.rebuild());
        let instances = users.iter().map(|b| b.lines_of(name)).sum::<usize>() + servers;
        Ok(format!("Committing {name}{}\nSuccess!\n", ".".repeat(instances)))
    }

    /// `abort ssl cert <name>`.
    pub fn abort(&self, name: &str) -> Answer {
        let mut inner = self.lock();
        match &inner.transaction {
            None => Err("No ongoing transaction!\n".to_owned()),
            Some((open, _)) if &**open != name => Err(format!(
                "The ongoing transaction is about '{open}' but you are trying to abort a transaction for '{name}'\n"
            )),
            Some(_) => {
                inner.transaction = None;
                Ok(format!("Transaction aborted for certificate '{name}'!\n"))
            }
        }
    }

    /// `new ssl cert <name>`.
    pub fn create(&self, name: &str) -> Answer {
        if self.find(name).is_some() {
            return Err(format!("Certificate '{name}' already exists!\n"));
        }
        self.insert(name.into(), None);
        Ok(format!("New empty certificate store '{name}'!\n"))
    }

    /// `del ssl cert <name>`.
    pub fn delete(&self, name: &str) -> Answer {
        let mut inner = self.lock();
        let why = if inner.transaction.as_ref().is_some_and(|(open, _)| &**open == name) {
            format!("ongoing transaction for the certificate '{name}'")
        } else {
            match inner.slots.get(name) {
                None => format!("certificate '{name}' doesn't exist!"),
                Some(slot) if used(slot) => format!("certificate '{name}' in use, can't be deleted!"),
                Some(_) => {
                    inner.slots.remove(name);
                    return Ok(format!("Certificate '{name}' deleted!\n"));
                }
            }
        };
        Err(format!("Can't remove the certificate: {why}\n"))
    }

    /// `show ssl cert`: names, an open transaction first.
    pub fn list(&self) -> String {
        let inner = self.lock();
        let mut text = String::new();
        if let Some((open, _)) = &inner.transaction {
            text.push_str(&format!("# transaction\n*{open}\n"));
        }
        text.push_str("# filename\n");
        inner.slots.keys().for_each(|name| text.push_str(&format!("{name}\n")));
        text
    }

    /// `show ssl cert <name>`; a `*` before the name shows the open transaction.
    pub fn show(&self, name: &str) -> Answer {
        let missing = || "Can't display the certificate: Not found or the certificate is a bundle!\n".to_owned();
        let inner = self.lock();
        if let Some(name) = name.strip_prefix('*') {
            let (_, certificate) =
                inner.transaction.as_ref().filter(|(open, _)| &**open == name).ok_or_else(missing)?;
            return Ok(format!("Filename: *{name}\n{}", describe(name, Some(certificate), "Uncommitted")));
        }
        let name = name.strip_prefix('\\').unwrap_or(name);
        let slot = inner.slots.get(name).ok_or_else(missing)?;
        let certificate = slot.certificate.load();
        let status = match (&*certificate, used(slot)) {
            (None, _) => "Empty",
            (_, true) => "Used",
            (_, false) => "Unused",
        };
        Ok(format!("Filename: {name}\n{}", describe(name, certificate.as_deref(), status)))
    }

    /// Calls `visit` with each slot, in order of names.
    pub fn each(&self, mut visit: impl FnMut(&Slot)) {
        self.lock().slots.values().for_each(|slot| visit(slot));
    }
}

/// Whether a line of the configuration holds it, beside the store.
fn used(slot: &Arc<Slot>) -> bool {
    Arc::strong_count(slot) > 1
}

fn describe(name: &str, certificate: Option<&Certificate>, status: &str) -> String {
    let Some(certificate) = certificate else {
        return format!("Option: ocsp-update off\nOption: jwt off\nStatus: {status}\nOCSP Response Key: \n");
    };
    let mut files = String::new();
    if !certificate.key_file.as_os_str().is_empty() {
        let key = certificate.key_file.display();
        files = format!(
            "Crt filename: {name}\nKey filename: {key}\nOCSP filename: {name}.ocsp\nSCTL filename: {name}.sctl\n"
        );
    }
    format!(
        "{files}Option: ocsp-update off\nOption: jwt off\nStatus: {status}\n{}OCSP Response Key: \n",
        certificate.show()
    )
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
