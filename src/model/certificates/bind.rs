//! A bind line's TLS: its certificates with their names and options, ready to answer ClientHellos. Built once from the
//! settings; names are indexed anew when a certificate is replaced.

use super::crt_list::{self, Bases};
use super::names::{LineIndex, Names};
use super::store::{ListLine, Slot, Store};
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
    lines: Vec<Line>,
    names: ArcSwap<Names>,
    options: Vec<Options>,
    strict_sni: bool,
    capture: usize,
}

/// A certificate with what its `crt-list` line says.
struct Line {
    slot: Arc<Slot>,
    options: usize,
    filters: Vec<String>,
    default: bool,
}

/// One set of options, shared by the lines that have it.
struct Options {
    server: ServerOptions,
    /// Of the client-auth policy; sessions are bound to it.
    fingerprint: Binding,
}

/// What a bind line is built in.
pub struct Surroundings<'a> {
    pub global: &'a TlsGlobal,
    pub store: &'a Arc<Store>,
    /// `bind '<address>' at [<file>:<line>]`, for messages.
    pub line: &'a str,
    /// Without an `alpn`, an HTTP frontend offers HTTP.
    pub http: bool,
    /// Keys of the process, for lines without `tls-ticket-keys`.
    pub tickets: &'a Arc<TicketKeys>,
    pub sessions: &'a Arc<SessionCache>,
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

/// A line before its certificates and options are resolved.
struct Draft {
    slot: Arc<Slot>,
    options: TlsOptions,
    filters: Vec<String>,
    default: bool,
}

impl BindContext {
    /// Loads certificates and builds options. All errors found are returned.
    pub fn build(
        tls: &BindTls,
        around: &Surroundings,
        warnings: &mut Vec<String>,
    ) -> Result<Arc<BindContext>, Vec<BindError>> {
        let mut drafts = Vec::new();
        let mut errors = Vec::new();
        for source in &tls.sources {
            if let Err(error) = read_source(source, tls, around.global, around.store, &mut drafts) {
                errors.push(BindError::Parse(error));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let strict_sni = tls.strict_sni || around.global.bind_strict_sni;
        if let Some(first) = drafts.first_mut() {
            first.default = true;
        } else if strict_sni {
            let line = around.line;
            warnings.push(format!("no SSL certificate specified for {line}, ssl connections will fail (use 'crt')."));
        } else {
            return Err(vec![BindError::Proxy(format!(
                "no SSL certificate specified for {} (use 'crt').",
                around.line
            ))]);
        }
        let mut known: Vec<TlsOptions> = Vec::new();
        let mut lines = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let at = known.iter().position(|o| *o == draft.options).unwrap_or(known.len());
            if at == known.len() {
                known.push(draft.options);
            }
            lines.push(Line { slot: draft.slot, options: at, filters: draft.filters, default: draft.default });
        }
        let mut options = Vec::with_capacity(known.len());
        for set in &known {
            match build_options(set, tls, around, warnings) {
                Ok(built) => options.push(built),
                Err(found) => errors.extend(found),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let names = ArcSwap::from_pointee(index(&lines));
        let capture = around.global.capture_buffer_size;
        let context = Arc::new(BindContext { lines, names, options, strict_sni, capture });
        around.store.register(&context);
        Ok(context)
    }

    /// Whether a line of this context shows the certificate of this name.
    pub fn uses(&self, name: &str) -> bool {
        self.lines.iter().any(|l| &*l.slot.name == name)
    }

    /// How many lines show it.
    pub fn lines_of(&self, name: &str) -> usize {
        self.lines.iter().filter(|l| &*l.slot.name == name).count()
    }

    /// Learns the names of certificates that were replaced.
    pub fn rebuild(&self) {
        self.names.store(Arc::new(index(&self.lines)));
    }

    /// Certificates on this line.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The line for this client: by name, else a default; of each the kind of key it supports, ECDSA first.
    fn line(&self, hello: &ClientHello) -> Option<&Line> {
        let names = self.names.load();
        let mut best = Best::default();
        if let Some(name) = hello.sni {
            names.find(name, |at| self.consider(at, hello, &mut best));
        }
        if best.is_none() && !self.strict_sni {
            names.defaults().iter().all(|at| self.consider(*at, hello, &mut best));
        }
        best.first().map(|at| &self.lines[at as usize])
    }

    /// Returns whether to look on.
    fn consider(&self, at: LineIndex, hello: &ClientHello, best: &mut Best) -> bool {
        let line = &self.lines[at as usize];
        let Some(certificate) = &*line.slot.certificate.load() else { return true };
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
        let line = self.line(hello).ok_or(TlsError::UnknownName)?;
        let certificate = line.slot.certificate.load_full().ok_or(TlsError::UnknownName)?;
        let options = &self.options[line.options];
        let mut binding = options.fingerprint;
        binding.iter_mut().zip(certificate.digest).for_each(|(b, d)| *b ^= d);
        Ok(Choice {
            config: options.server.config(hello).clone(),
            certificate: certificate.key.clone(),
            name: line.slot.name.clone(),
            binding,
        })
    }

    fn capture_size(&self) -> usize {
        self.capture
    }
}

fn index(lines: &[Line]) -> Names {
    let mut names = Names::default();
    for (at, line) in lines.iter().enumerate() {
        let at = at as LineIndex;
        if line.default {
            names.add_default(at);
        }
        if !line.filters.is_empty() {
            line.filters.iter().for_each(|f| names.add(f, at));
        } else if let Some(certificate) = &*line.slot.certificate.load() {
            certificate.names.iter().for_each(|n| names.add(n, at));
        }
    }
    names
}

/// Loads all files that a line names into the store, so that errors are told where the line is read.
pub fn preload(tls: &BindTls, global: &TlsGlobal, store: &Arc<Store>) -> Result<(), Vec<BindError>> {
    let mut errors = Vec::new();
    let mut drafts = Vec::new();
    for source in &tls.sources {
        errors.extend(read_source(source, tls, global, store, &mut drafts).err().map(BindError::Parse));
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
    tls: &BindTls,
    global: &TlsGlobal,
    store: &Arc<Store>,
    drafts: &mut Vec<Draft>,
) -> Result<(), String> {
    let base = tls.options.over(&global.bind);
    let (path, default) = match source {
        CertificateSource::Crt(path) => (path, false),
        CertificateSource::DefaultCrt(path) => (path, true),
        CertificateSource::CrtList(path) => {
            let file = path.display();
            let text = std::fs::read_to_string(path).map_err(|e| {
                format!("'crt-list' : cannot open file '{file}' : {}", super::certificate::reason(&e))
            })?;
            let bases = Bases {
                ca: global.ca_base.as_deref(),
                crt: global.crt_base.as_deref(),
                key: global.key_base.as_deref(),
            };
            let in_list = |e: String| format!("'crt-list' : {e}");
            let mut listed = Vec::new();
            for line in crt_list::parse(&text, &file.to_string(), bases).map_err(in_list)? {
                let rest = text.lines().nth(line.number - 1).map_or("", crt_list::after_file).to_owned();
                listed.push(ListLine { number: line.number, file: line.file.display().to_string(), rest });
                for file in expand(&line.file, store).map_err(in_list)? {
                    let loaded = store.load(&file, line.key.as_deref(), line.ocsp.as_deref());
                    drafts.push(Draft {
                        slot: loaded.map_err(|e| in_list(e.0))?,
                        options: line.options.over(&base),
                        filters: line.filters.clone(),
                        default: false,
                    });
                }
            }
            store.list_read(&file.to_string(), listed);
            return Ok(());
        }
    };
    // A bundle that comes first is the default with all its keys; of a directory the first file is.
    let first = drafts.is_empty() && !path.is_dir();
    for file in expand(path, store)? {
        let slot = store.load(&file, None, None).map_err(|e| e.0)?;
        drafts.push(Draft { slot, options: base.clone(), filters: Vec::new(), default: default || first });
    }
    Ok(())
}

/// Extensions that are no certificates of their own in a directory.
const BESIDE: [&str; 4] = ["issuer", "ocsp", "sctl", "key"];

/// The files that `path` stands for: itself, the files of a directory, or those of a bundle.
fn expand(path: &Path, store: &Store) -> Result<Vec<PathBuf>, String> {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|e| {
            format!("unable to scan directory '{}' : {}.", path.display(), super::certificate::reason(&e))
        })?;
        let mut files: Vec<PathBuf> = entries
            .filter_map(|e| Some(e.ok()?.path()))
            .filter(|p| {
                let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                let extension = p.extension().and_then(|e| e.to_str()).unwrap_or_default();
                !name.starts_with('.') && !BESIDE.contains(&extension) && p.is_file()
            })
            .collect();
        files.sort();
        return Ok(files);
    }
    // Names given on the runtime API before need no file.
    if !path.exists() && store.beside().files.bundle && store.find(&path.display().to_string()).is_none() {
        let bundle: Vec<PathBuf> = ["rsa", "dsa", "ecdsa"]
            .iter()
            .map(|kind| {
                let mut name = path.as_os_str().to_owned();
                name.push(".");
                name.push(kind);
                PathBuf::from(name)
            })
            .filter(|p| p.exists())
            .collect();
        if !bundle.is_empty() {
            return Ok(bundle);
        }
    }
    Ok(vec![path.to_owned()])
}

fn build_options(
    set: &TlsOptions,
    tls: &BindTls,
    around: &Surroundings,
    warnings: &mut Vec<String>,
) -> Result<Options, Vec<BindError>> {
    let global = around.global;
    let written = Written {
        versions: set.versions,
        ciphers: set.ciphers.as_deref(),
        ciphersuites: set.ciphersuites.as_deref(),
        curves: set.curves.as_deref(),
    };
    let policy = policy::resolve(&written).map_err(|e| vec![BindError::Proxy(e.text(around.line))])?;
    if let Some(warning) = policy.warning(around.line)
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
    })
    .map_err(|e| vec![BindError::Proxy(format!("unable to set up TLS for {}: {e}.", around.line))])?;
    Ok(Options { server, fingerprint })
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
        let Some(ca) = set.ca_verify_file.as_ref().or(set.ca_file.as_ref()) else {
            let text = format!("verify is enabled but no CA file specified for {}.", around.line);
            return Err(vec![BindError::Proxy(text)]);
        };
        let crl = set.crl_file.as_deref();
        let trust = trust(around.store, ca, crl)?;
        context.update(&[verify as u8]);
        context.update(&trust.fingerprint());
        context.update(format!("{:?}{:?}", tls.crt_ignore_err, tls.ca_ignore_err).as_bytes());
        // Names of `ca-verify-file` are not for the client's eyes.
        let send_names = !set.no_ca_names && set.ca_verify_file.is_none();
        let built = ClientVerifier::new(
            trust,
            &policy.provider,
            verify == Verify::Required,
            tls.crt_ignore_err.clone(),
            tls.ca_ignore_err.clone(),
            send_names,
        )
        .map_err(|_| vec![BindError::Parse(format!("'ca-file' : unable to load {}", ca.display()))])?;
        verifier = Some(built);
    }
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&context.finish().as_ref()[..16]);
    Ok((verifier, fingerprint))
}

#[cfg(test)]
mod tests;
