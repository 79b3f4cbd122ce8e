//! All certificates and trust files of the process by the name they were loaded under: each file is read once, and can be
//! replaced at run time (management guide "set ssl cert" and its kin). Used by configuration and runtime API, behind a
//! mutex; the data path reads what stands in [`Slot`]s and contexts, which is replaced atomically.

use super::bind::{BindContext, BindError};
use super::certificate::{Beside, Certificate, LoadError, hex};
use super::crt_list;
use super::list::{self, Entry, List};
use super::trust::{Kind, ServerTrust, TrustFiles};
use crate::model::tls::TlsGlobal;
use crate::proto::tls::client::Identity;
use crate::proto::tls::ocsp::{self, OcspError};
use crate::proto::tls::tickets::{TLS_TICKETS_NO, TicketKeys, TicketKeysError};
use crate::proto::tls::verify::Trust;
use arc_swap::ArcSwapOption;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
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
    /// `crt-list` files and directories.
    lists: BTreeMap<String, List>,
    trust: TrustFiles,
    /// In the order they were met: the place is the key's id on the runtime API.
    ticket_keys: Vec<(PathBuf, Arc<TicketKeys>)>,
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

/// Answer of a runtime command: HAProxy's text, and whether it went well.
pub type Answer = Result<String, String>;

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

    /// The entries of a list that was read.
    pub fn list_entries(&self, name: &str) -> Option<Vec<Arc<Entry>>> {
        self.lock().lists.get(list_name(name)).map(|l| l.entries.clone())
    }

    /// Keeps a list for all lines that name it; its entries.
    pub fn add_list(&self, name: String, list: List) -> Vec<Arc<Entry>> {
        let entries = list.entries.clone();
        self.lock().lists.insert(list_name(&name).to_owned(), list);
        entries
    }

    /// `show ssl crt-list [-n] [<file>]`.
    pub fn show_lists(&self, file: Option<&str>, numbers: bool) -> Answer {
        let inner = self.lock();
        let Some(file) = file else {
            return Ok(inner.lists.keys().map(|name| format!("{name}\n")).collect());
        };
        let list = inner.lists.get(file).ok_or_else(|| "didn't find the specified filename\n".to_owned())?;
        let mut text = format!("# {file}\n");
        list.entries.iter().for_each(|entry| entry.show(numbers, &mut text));
        Ok(text)
    }

    /// `add ssl crt-list <list> <line>`: the line as it would stand in the list.
    pub fn add_to_list(&self, name: &str, line: &str, global: &TlsGlobal) -> Answer {
        let name = list_name(name);
        let cannot = |why: String| format!("Can't edit the crt-list: {why}\n");
        let Some(lines) = self.lock().lists.get(name).map(|l| l.lines) else {
            return Err(cannot(format!("crt-list '{name}' does not exist!")));
        };
        let line = crt_list::line(line.trim(), "CLI", 1, list::bases(global)).map_err(cannot)?;
        let options = &line.options;
        for (word, file) in [
            ("ca-file", &options.ca_file),
            ("ca-verify-file", &options.ca_verify_file),
            ("crl-file", &options.crl_file),
        ] {
            if let Some(file) = file.as_ref().filter(|f| !self.lock().trust.has(f)) {
                return Err(cannot(format!("'{word}' : unable to load {}", file.display())));
            }
        }
        if line.key.is_some() || line.ocsp.is_some() {
            return Err(cannot("'key' and 'ocsp' are of no use to a certificate that is loaded already".to_owned()));
        }
        let file = line.file.display().to_string();
        let Some(slot) = self.find(&file) else {
            return Err(cannot(format!("certificate '{file}' does not exist!")));
        };
        if slot.certificate.load().is_none() {
            return Err(cannot(format!("certificate '{file}' is empty!")));
        }
        let entry = Arc::new(Entry::of(&line, slot, lines + 1));
        let mut text = format!("Inserting certificate '{file}' in crt-list '{name}'");
        let mut ready = Vec::new();
        for bind in self.binds().into_iter().filter(|b| b.names_list(name)) {
            text.push('.');
            match bind.with(&entry) {
                Ok(next) => ready.push((bind, next)),
                Err(errors) => {
                    return Err(format!("{text}\n{}Failed!\n", said(&bind, &errors)));
                }
            }
        }
        ready.into_iter().for_each(|(bind, next)| bind.put(next));
        if let Some(list) = self.lock().lists.get_mut(name) {
            list.entries.push(entry);
            list.lines += 1;
        }
        Ok(format!("{text}\nSuccess!\n"))
    }

    /// `del ssl crt-list <list> <file>[:<line>]`.
    pub fn delete_from_list(&self, name: &str, which: &str) -> Answer {
        let name = list_name(name);
        let cannot = |why: String| format!("Can't delete the entry: {why}\n");
        let Some(entries) = self.list_entries(name) else {
            return Err(cannot(format!("crt-list '{name}' does not exist!")));
        };
        let (file, number) = match which.rsplit_once(':') {
            Some((file, number)) => match number.parse::<usize>() {
                Ok(number) => (file, Some(number)),
                Err(_) => return Err(cannot(format!("wrong line number after colons in '{which}'!"))),
            },
            None => (which, None),
        };
        if self.find(file).is_none() {
            return Err(cannot(format!("certificate '{file}' does not exist!")));
        }
        let of_file: Vec<_> = entries.iter().filter(|e| &*e.slot.name == file).collect();
        let numbers = of_file.iter().map(|e| e.number.to_string()).collect::<Vec<_>>().join(", ");
        let found = match (number, &of_file[..]) {
            (_, []) => {
                return Err(cannot(format!("can't find the certificate '{file}' in the crt-list '{name}'")));
            }
            (None, [one]) => *one,
            (None, _) => {
                return Err(cannot(format!(
                    "found the certificate '{file}' in several entries, please specify a line number preceded by colons \
                     ({numbers})!"
                )));
            }
            (Some(number), of_file) => of_file.iter().find(|e| e.number == number).ok_or_else(|| {
                cannot(format!(
                    "found a certificate '{file}' but the line number is incorrect, please specify a correct line \
                     number preceded by colons ({numbers})!"
                ))
            })?,
        };
        let users: Vec<_> = self.binds().into_iter().filter(|b| b.names_list(name)).collect();
        let needed: String =
            users.iter().filter(|b| b.needs(found)).map(|b| format!("\t- {}\n", b.place().1)).collect();
        if !needed.is_empty() {
            return Err(format!(
                "Can't delete the entry: certificate '{file}' cannot be deleted, it is used as default certificate by the \
                 following frontends:\n{needed}"
            ));
        }
        users.iter().for_each(|bind| bind.put(bind.without(found)));
        if let Some(list) = self.lock().lists.get_mut(name) {
            list.entries.retain(|e| !Arc::ptr_eq(e, found));
        }
        Ok(format!("Entry '{file}' deleted in crtlist '{name}'!\n"))
    }

    /// The contexts of bind lines that there are, in the order of the configuration.
    pub fn binds(&self) -> Vec<Arc<BindContext>> {
        let mut inner = self.lock();
        inner.binds.retain(|b| b.strong_count() > 0);
        inner.binds.iter().filter_map(Weak::upgrade).collect()
    }

    /// Tells the store of a context that must learn of replaced certificates.
    pub fn register(&self, bind: &Arc<BindContext>) {
        self.lock().binds.push(Arc::downgrade(bind));
    }

    /// Trusted certificates of `ca-file` with the lists of `crl-file`; see [`TrustFiles::trust`].
    pub fn trust(&self, ca: &Path, crl: Option<&Path>) -> Result<Arc<Trust>, (PathBuf, String)> {
        self.lock().trust.trust(ca, crl)
    }

    /// The lists of a `crl-file`.
    pub fn revocations(&self, path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
        self.lock().trust.revocations(path)
    }

    /// Tells the store of a verifier that must learn of replaced trust files.
    pub fn register_server(&self, server: ServerTrust) {
        self.lock().trust.register(server);
    }

    /// Runs a command about trust files that changes none in use.
    pub fn with_trust<T>(&self, run: impl FnOnce(&mut TrustFiles) -> T) -> T {
        run(&mut self.lock().trust)
    }

    /// Lines that verify by a trust file.
    pub fn users_of_trust(&self, name: &str) -> usize {
        let lines: usize = self.binds().iter().map(|b| b.lines_trusting(name)).sum();
        lines + self.lock().trust.servers_trusting(name)
    }

    /// `commit ssl ca-file`, `commit ssl crl-file`: everything is made ready before anything is put into force.
    pub fn commit_trust(&self, kind: Kind, name: &str) -> Answer {
        let old = self.with_trust(|files| files.take(kind, name))?;
        let failed = |why: String| {
            self.with_trust(|files| files.replace(name, old.clone()));
            format!("Committing {name}\n{why}\nCan't commit {name}!\n")
        };
        let mut ready = Vec::new();
        for bind in self.binds() {
            match bind.renewed(name) {
                Ok(Some(next)) => ready.push((bind, next)),
                Ok(None) => {}
                Err(errors) => return Err(failed(said(&bind, &errors).trim_end().to_owned())),
            }
        }
        let servers = self.with_trust(|files| files.servers_renewed(name)).map_err(failed)?;
        ready.into_iter().for_each(|(bind, next)| bind.put(next));
        servers.into_iter().for_each(|(place, verifier)| place.store(verifier));
        Ok(format!("Committing {name}{}\nSuccess!\n", ".".repeat(self.users_of_trust(name))))
    }

    /// The keys of a `tls-ticket-keys` file, shared by all lines that name it. Errs with HAProxy's text.
    pub fn ticket_keys(&self, file: &Path, lifetime_s: u32) -> Result<Arc<TicketKeys>, String> {
        if let Some((_, keys)) = self.lock().ticket_keys.iter().find(|(name, _)| name == file) {
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
        self.lock().ticket_keys.push((file.to_owned(), keys.clone()));
        Ok(keys)
    }

    /// The `tls-ticket-keys` files; the place in the list is the file's id.
    pub fn ticket_key_files(&self) -> Vec<(PathBuf, Arc<TicketKeys>)> {
        self.lock().ticket_keys.clone()
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
        inner.servers.retain(|s| s.strong_count() > 0);
        let servers = inner.servers.iter().filter_map(Weak::upgrade).filter(|s| &*s.0.name == name).count();
        drop(inner);
        let users: Vec<_> = self.binds().into_iter().filter(|b| b.lines_of(name) > 0).collect();
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

    /// `show ssl ocsp-response`: the responses that are stapled, a block each.
    pub fn list_ocsp(&self) -> String {
        let mut text = String::new();
        for slot in self.lock().slots.values() {
            let certificate = slot.certificate.load();
            let Some(id) = certificate.as_ref().and_then(|c| c.ocsp_id()) else { continue };
            text.push_str(&format!(
                "Certificate ID key : {}\nCertificate path : {}\n Certificate ID:\n   Issuer Name Hash: {}\n   \
                 Issuer Key Hash: {}\n   Serial Number: {}\n",
                ocsp_key(&id),
                slot.name,
                hex(id.issuer_name_hash),
                hex(id.issuer_key_hash),
                hex(id.serial),
            ));
        }
        if text.is_empty() { text } else { format!("# Certificate IDs\n{text}") }
    }

    /// The response with this key, or of the certificate with this name.
    pub fn ocsp(&self, which: &str) -> Option<Vec<u8>> {
        let inner = self.lock();
        inner.slots.values().find_map(|slot| {
            let certificate = slot.certificate.load();
            let certificate = certificate.as_ref()?;
            let named = &*slot.name == which || ocsp_key(&certificate.ocsp_id()?) == which;
            named.then(|| certificate.key.ocsp.clone())?
        })
    }

    /// `set ssl ocsp-response`: takes the place of the response about the same certificate.
    pub fn set_ocsp(&self, response: Vec<u8>) -> Answer {
        let id = match ocsp::certificate_id(&response) {
            Ok(id) => id.der,
            Err(OcspError::Unreadable) => return Err("Unable to parse OCSP response.\n".to_owned()),
            Err(OcspError::NotSuccessful) => return Err("OCSP response status not successful.\n".to_owned()),
        };
        let inner = self.lock();
        let mut known = false;
        for slot in inner.slots.values() {
            let certificate = slot.certificate.load_full();
            if let Some(certificate) = certificate.filter(|c| c.ocsp_id().is_some_and(|old| old.der == id)) {
                slot.certificate.store(Some(Arc::new(certificate.with_ocsp(response.clone()))));
                known = true;
            }
        }
        match known {
            true => Ok("OCSP Response updated!\n".to_owned()),
            false => {
                Err("OCSP single response: Certificate ID does not match any certificate or issuer.\n".to_owned())
            }
        }
    }
}

/// Lists are known without the slash that may end a directory's name.
fn list_name(name: &str) -> &str {
    name.trim_end_matches('/')
}

/// What keeps a line from working, a message a line.
fn said(bind: &BindContext, errors: &[BindError]) -> String {
    let one = |e: &BindError| match e {
        BindError::Alert(text) | BindError::Parse(text) => format!("{text}\n"),
        BindError::Proxy(text) => format!("Proxy '{}': {text}\n", bind.place().0),
    };
    errors.iter().map(one).collect()
}

/// A response's key on the runtime API.
fn ocsp_key(id: &ocsp::CertificateId<'_>) -> String {
    hex(id.der).to_ascii_lowercase()
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
        "{files}Option: ocsp-update off\nOption: jwt off\nStatus: {status}\n{}OCSP Response Key: {}\n",
        certificate.show(),
        certificate.ocsp_id().map(|id| ocsp_key(&id)).unwrap_or_default()
    )
}
