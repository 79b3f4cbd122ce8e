//! A bind line's TLS: its certificates with their names and options, ready to answer ClientHellos. Built from the settings;
//! what serves is replaced as a whole when certificates, trust files or lists change while running, and read without a
//! lock.

use super::list::{self, Entry};
use super::names::{LineIndex, Names};
use super::store::Store;
use crate::model::tls::{BindTls, CertificateSource, TlsGlobal, TlsOptions, Verify};
use crate::proto::tls::hello::ClientHello;
use crate::proto::tls::moment::Binding;
use crate::proto::tls::policy::{self, Written};
use crate::proto::tls::server::{Choice, ServerChooser, ServerOptions, ServerSettings};
use crate::proto::tls::session::TlsError;
use crate::proto::tls::session_cache::SessionCache;
use crate::proto::tls::tickets::TicketKeys;
use crate::proto::tls::verify::{ClientVerifier, Trust};
use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The TLS of a bind line. Shared by workers.
pub struct BindContext {
    serving: ArcSwap<Serving>,
    strict_sni: bool,
    capture: usize,
    /// What `serving` is made of anew.
    tls: BindTls,
    around: Surroundings,
}

/// What answers ClientHellos.
#[derive(Clone)]
pub struct Serving {
    lines: Vec<Line>,
    options: Vec<Options>,
    names: Names,
}

/// A certificate and the number of its options.
#[derive(Clone)]
struct Line {
    entry: Arc<Entry>,
    options: usize,
    /// The line's own default, which stays.
    default: bool,
}

/// One set of options, shared by the lines that have it.
#[derive(Clone)]
struct Options {
    written: TlsOptions,
    server: ServerOptions,
    /// Of the client-auth policy; sessions are bound to it.
    fingerprint: Binding,
}

/// What a bind line is built in.
#[derive(Clone)]
pub struct Surroundings {
    pub global: Arc<TlsGlobal>,
    pub store: Arc<Store>,
    /// Name of the proxy.
    pub proxy: String,
    /// `<file>:<line>`.
    pub origin: String,
    /// `bind '<address>' at [<file>:<line>]`, for messages.
    pub line: String,
    /// Without an `alpn`, an HTTP frontend offers HTTP.
    pub http: bool,
    /// Keys of the process, for lines without `tls-ticket-keys`.
    pub tickets: Arc<TicketKeys>,
    pub sessions: Arc<SessionCache>,
}

/// A message that keeps the line from working; texts are HAProxy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindError {
    /// Stands alone, after `config : `.
    Alert(String),
    /// Follows `parsing [f:l] : 'bind <address>' in section 'frontend' : `.
    Parse(String),
    /// Follows `Proxy '<name>': `.
    Proxy(String),
}

impl BindContext {
    /// Loads certificates and builds options. All errors found are returned.
    pub fn build(
        tls: &BindTls,
        around: Surroundings,
        warnings: &mut Vec<String>,
    ) -> Result<Arc<BindContext>, Vec<BindError>> {
        let mut lines = Vec::new();
        let mut errors = Vec::new();
        for source in &tls.sources {
            if let Err(error) = read_source(source, &around.global, &around.store, &mut lines) {
                errors.push(BindError::Parse(error));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let strict_sni = tls.strict_sni || around.global.bind_strict_sni;
        if let Some(first) = lines.first_mut() {
            first.default = true;
        } else if strict_sni {
            let line = &around.line;
            warnings.push(format!("no SSL certificate specified for {line}, ssl connections will fail (use 'crt')."));
        } else {
            return Err(vec![BindError::Proxy(format!(
                "no SSL certificate specified for {} (use 'crt').",
                around.line
            ))]);
        }
        let mut serving = Serving { lines: Vec::new(), options: Vec::new(), names: Names::default() };
        for mut line in lines {
            match serving.options_for(&line.entry, tls, &around, warnings) {
                Ok(options) => line.options = options,
                Err(found) => errors.extend(found.into_iter().filter(|e| !errors.contains(e)).collect::<Vec<_>>()),
            }
            serving.lines.push(line);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        serving.index();
        let capture = around.global.capture_buffer_size;
        let (serving, tls) = (ArcSwap::from_pointee(serving), tls.clone());
        let context = Arc::new(BindContext { serving, strict_sni, capture, tls, around });
        context.around.store.register(&context);
        Ok(context)
    }

    /// Whether the line names this list, or directory.
    pub fn names_list(&self, name: &str) -> bool {
        self.tls.sources.iter().any(|source| {
            let (CertificateSource::Crt(path)
            | CertificateSource::DefaultCrt(path)
            | CertificateSource::CrtList(path)) = source;
            path.to_str().is_some_and(|p| p.trim_end_matches('/') == name)
        })
    }

    /// How many certificates of the line are this one.
    pub fn lines_of(&self, name: &str) -> usize {
        self.serving.load().lines.iter().filter(|l| &*l.entry.slot.name == name).count()
    }

    /// How many certificates have options that verify clients by this trust file.
    pub fn lines_trusting(&self, file: &str) -> usize {
        let serving = self.serving.load();
        serving.lines.iter().filter(|l| serving.options[l.options].trusts(file)).count()
    }

    /// Learns the names of certificates that were replaced.
    pub fn rebuild(&self) {
        let mut next = Serving::clone(&self.serving.load());
        next.index();
        self.put(next);
    }

    /// Puts into force what was made ready.
    pub fn put(&self, next: Serving) {
        self.serving.store(Arc::new(next));
    }

    /// What will serve when this trust file has changed in the store; `None`: the line does not use it.
    pub fn renewed(&self, file: &str) -> Result<Option<Serving>, Vec<BindError>> {
        if self.lines_trusting(file) == 0 {
            return Ok(None);
        }
        let mut next = Serving::clone(&self.serving.load());
        for options in next.options.iter_mut().filter(|o| o.trusts(file)) {
            *options = build_options(&options.written, &self.tls, &self.around, &mut Vec::new())?;
        }
        Ok(Some(next))
    }

    /// What will serve with one certificate more.
    pub fn with(&self, entry: &Arc<Entry>) -> Result<Serving, Vec<BindError>> {
        let mut next = Serving::clone(&self.serving.load());
        let options = next.options_for(entry, &self.tls, &self.around, &mut Vec::new())?;
        next.lines.push(Line { entry: entry.clone(), options, default: false });
        next.index();
        Ok(next)
    }

    /// What will serve without an entry of a list.
    pub fn without(&self, entry: &Arc<Entry>) -> Serving {
        let mut next = Serving::clone(&self.serving.load());
        next.lines.retain(|l| !Arc::ptr_eq(&l.entry, entry));
        next.index();
        next
    }

    /// Whether the line answers with this entry where no name matches, and so cannot be without it.
    pub fn needs(&self, entry: &Arc<Entry>) -> bool {
        self.serving.load().lines.iter().any(|l| l.default && Arc::ptr_eq(&l.entry, entry))
    }

    /// `<proxy>` and `<file>:<line>`.
    pub fn place(&self) -> (&str, &str) {
        (&self.around.proxy, &self.around.origin)
    }

    /// Calls `visit` with each name that is answered, the names it excludes, and the certificate's slot: exact names in
    /// order, then wildcards in order (`show ssl sni`).
    pub fn each_name(&self, mut visit: impl FnMut(&str, &[String], &super::store::Slot)) {
        let serving = self.serving.load();
        let mut names: Vec<(String, &[LineIndex])> = serving.names.all().collect();
        names.push(("*".to_owned(), serving.names.defaults()));
        names.sort_by(|(a, _), (b, _)| (a.starts_with('*'), a).cmp(&(b.starts_with('*'), b)));
        for (name, lines) in names {
            for line in lines.iter().map(|at| &serving.lines[*at as usize]) {
                visit(&name, &line.entry.filters, &line.entry.slot);
            }
        }
    }

    /// Certificates on this line.
    pub fn len(&self) -> usize {
        self.serving.load().lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Serving {
    /// The number of an entry's options over the line's, built when no other entry has the same.
    fn options_for(
        &mut self,
        entry: &Entry,
        tls: &BindTls,
        around: &Surroundings,
        warnings: &mut Vec<String>,
    ) -> Result<usize, Vec<BindError>> {
        let written = entry.options.over(&tls.options.over(&around.global.bind));
        if let Some(at) = self.options.iter().position(|o| o.written == written) {
            return Ok(at);
        }
        self.options.push(build_options(&written, tls, around, warnings)?);
        Ok(self.options.len() - 1)
    }

    fn index(&mut self) {
        let mut names = Names::default();
        for (at, line) in self.lines.iter().enumerate() {
            let at = at as LineIndex;
            if line.default {
                names.add_default(at);
            }
            if !line.entry.filters.is_empty() {
                line.entry.filters.iter().for_each(|f| names.add(f, at));
            } else if let Some(certificate) = &*line.entry.slot.certificate.load() {
                certificate.names.iter().for_each(|n| names.add(n, at));
            }
        }
        self.names = names;
    }

    /// The line for this client: by name, else a default; of each the kind of key it supports, ECDSA first.
    fn line(&self, hello: &ClientHello, strict_sni: bool) -> Option<&Line> {
        let mut best = Best::default();
        if let Some(name) = hello.sni {
            self.names.find(name, |at| self.consider(at, hello, &mut best));
        }
        if best.is_none() && !strict_sni {
            self.names.defaults().iter().all(|at| self.consider(*at, hello, &mut best));
        }
        best.first().map(|at| &self.lines[at as usize])
    }

    /// Returns whether to look on.
    fn consider(&self, at: LineIndex, hello: &ClientHello, best: &mut Best) -> bool {
        let line = &self.lines[at as usize];
        let Some(certificate) = &*line.entry.slot.certificate.load() else { return true };
        let supported = self.options[line.options].server.supports(hello, certificate.ecdsa);
        let place = match (certificate.ecdsa, supported) {
            (true, true) => &mut best.ecdsa,
            (false, true) => &mut best.rsa,
            (_, false) => &mut best.any,
        };
        place.get_or_insert(at);
        best.ecdsa.is_none()
    }
}

impl Options {
    /// Whether clients are verified by this file.
    fn trusts(&self, file: &str) -> bool {
        let written = &self.written;
        let files = [&written.ca_file, &written.ca_verify_file, &written.crl_file];
        written.verify.unwrap_or_default() != Verify::None
            && files.into_iter().flatten().any(|f| f.as_os_str() == file)
    }
}

#[derive(Default)]
struct Best {
    ecdsa: Option<LineIndex>,
    rsa: Option<LineIndex>,
    /// Matches, but the client does not support its key: shown all the same, the handshake says why not.
    any: Option<LineIndex>,
}

impl Best {
    fn first(&self) -> Option<LineIndex> {
        self.ecdsa.or(self.rsa).or(self.any)
    }

    fn is_none(&self) -> bool {
        self.first().is_none()
    }
}

impl ServerChooser for BindContext {
    fn choose(&self, hello: &ClientHello) -> Result<Choice, TlsError> {
        let serving = self.serving.load();
        let line = serving.line(hello, self.strict_sni).ok_or(TlsError::UnknownName)?;
        let slot = &line.entry.slot;
        let certificate = slot.certificate.load_full().ok_or(TlsError::UnknownName)?;
        let options = &serving.options[line.options];
        let mut binding = options.fingerprint;
        binding.iter_mut().zip(certificate.digest).for_each(|(b, d)| *b ^= d);
        Ok(Choice {
            config: options.server.config(hello).clone(),
            certificate: certificate.key.clone(),
            name: slot.name.clone(),
            binding,
        })
    }

    fn highest_version(&self) -> &'static str {
        let serving = self.serving.load();
        serving.lines.first().map_or("TLSv1.3", |line| serving.options[line.options].server.highest_version())
    }

    fn capture_size(&self) -> usize {
        self.capture
    }
}

/// Loads all files that a line names into the store, so that errors are told where the line is read.
pub fn preload(tls: &BindTls, global: &TlsGlobal, store: &Arc<Store>) -> Result<(), Vec<BindError>> {
    let mut errors = Vec::new();
    let mut lines = Vec::new();
    for source in &tls.sources {
        errors.extend(read_source(source, global, store, &mut lines).err().map(BindError::Parse));
    }
    if let Some(file) = &tls.tls_ticket_keys {
        errors.extend(store.ticket_keys(file, global.lifetime_s).err().map(BindError::Parse));
    }
    let options = &tls.options;
    for ca in [&options.ca_verify_file, &options.ca_file].into_iter().flatten() {
        if let Err(found) = trust(store, ca, options.crl_file.as_deref()) {
            errors.extend(found);
            break;
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn unusable(ca: &Path) -> Vec<BindError> {
    vec![BindError::Parse(format!("'ca-file' : unable to load {}", ca.display()))]
}

/// Trusted certificates with the lists that revoke some.
fn trust(store: &Store, ca: &Path, crl: Option<&Path>) -> Result<Arc<Trust>, Vec<BindError>> {
    store.trust(ca, crl).map_err(|(file, why)| {
        let word = if Some(file.as_path()) == crl { "crl-file" } else { "ca-file" };
        vec![
            BindError::Alert(format!("Couldn't open the ca-file '{}' ({why}).", file.display())),
            BindError::Parse(format!("'{word}' : unable to load {}", file.display())),
        ]
    })
}

fn read_source(
    source: &CertificateSource,
    global: &TlsGlobal,
    store: &Arc<Store>,
    lines: &mut Vec<Line>,
) -> Result<(), String> {
    let (entries, default) = match source {
        // A bundle that comes first is the default with all its keys; of a directory the first file is.
        CertificateSource::Crt(path) => (list::of_crt(path, store)?, lines.is_empty() && !path.is_dir()),
        CertificateSource::DefaultCrt(path) => (list::of_crt(path, store)?, true),
        CertificateSource::CrtList(path) => (list::of_file(path, global, store)?, false),
    };
    lines.extend(entries.into_iter().map(|entry| Line { entry, options: 0, default }));
    Ok(())
}

fn build_options(
    set: &TlsOptions,
    tls: &BindTls,
    around: &Surroundings,
    warnings: &mut Vec<String>,
) -> Result<Options, Vec<BindError>> {
    let global = &around.global;
    let written = Written {
        versions: set.versions,
        ciphers: set.ciphers.as_deref(),
        ciphersuites: set.ciphersuites.as_deref(),
        curves: set.curves.as_deref(),
    };
    let policy = policy::resolve(&written).map_err(|e| vec![BindError::Proxy(e.text(&around.line))])?;
    if let Some(warning) = policy.warning(&around.line)
        && !warnings.contains(&warning)
    {
        warnings.push(warning);
    }
    let (verifier, fingerprint) = client_auth(set, tls, around, &policy)?;
    let tickets = match (&tls.tls_ticket_keys, tls.no_tls_tickets || global.bind_no_tls_tickets) {
        (_, true) => None,
        (Some(file), false) => {
            Some(around.store.ticket_keys(file, global.lifetime_s).map_err(|e| vec![BindError::Parse(e)])?)
        }
        (None, false) => Some(around.tickets.clone()),
    };
    let server = ServerOptions::new(ServerSettings {
        policy: &policy,
        alpn: offered(set.alpn.as_deref(), around),
        verifier,
        tickets,
        sessions: Some(around.sessions.clone()),
        prefer_client_ciphers: tls.prefer_client_ciphers || global.bind_prefer_client_ciphers,
        keylog: global.keylog,
    })
    .map_err(|e| vec![BindError::Proxy(format!("unable to set up TLS for {}: {e}.", around.line))])?;
    Ok(Options { written: set.clone(), server, fingerprint })
}

/// The ALPN list to offer.
fn offered(alpn: Option<&[String]>, around: &Surroundings) -> Vec<Vec<u8>> {
    match alpn {
        Some(list) => list.iter().map(|p| p.as_bytes().to_vec()).collect(),
        // HAProxy 3.4 manual 5.1, "alpn": HTTP frontends offer h2 and http/1.1 by default.
        None if around.http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        None => Vec::new(),
    }
}

/// The verifier and the fingerprint of the policy it stands for.
fn client_auth(
    set: &TlsOptions,
    tls: &BindTls,
    around: &Surroundings,
    policy: &policy::Policy,
) -> Result<(Option<Arc<ClientVerifier>>, Binding), Vec<BindError>> {
    let verify = set.verify.unwrap_or_default();
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"ringway client policy 1");
    let mut verifier = None;
    if verify != Verify::None {
        let files: Vec<&PathBuf> = set.ca_file.iter().chain(&set.ca_verify_file).collect();
        let Some(ca) = files.last() else {
            let text = format!("verify is enabled but no CA file specified for {}.", around.line);
            return Err(vec![BindError::Proxy(text)]);
        };
        let crl = set.crl_file.as_deref();
        // HAProxy 3.4 manual 5.1, "ca-verify-file": trusted as well, but not named to clients.
        let mut trusted = trust(&around.store, files[0], crl)?;
        let named = trusted.clone();
        if let [_, more] = files[..] {
            trusted = trusted.and(&*trust(&around.store, more, crl)?).map(Arc::new).map_err(|_| unusable(ca))?;
        }
        context.update(&[verify as u8]);
        context.update(&trusted.fingerprint());
        context.update(format!("{:?}{:?}", tls.crt_ignore_err, tls.ca_ignore_err).as_bytes());
        let built = ClientVerifier::new(
            trusted,
            &policy.provider,
            verify == Verify::Required,
            tls.crt_ignore_err.clone(),
            tls.ca_ignore_err.clone(),
            (!set.no_ca_names && set.ca_file.is_some()).then_some(&*named),
        )
        .map_err(|_| unusable(ca))?;
        verifier = Some(built);
    }
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&context.finish().as_ref()[..16]);
    Ok((verifier, fingerprint))
}

#[cfg(test)]
mod tests;
