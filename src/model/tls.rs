//! What `ssl` and the words after it ask for: on a `bind` line (manual 5.1), on a line of a `crt-list`, on a `server`
//! line (5.2) and in `global` (`ssl-default-*`, `tune.ssl.*`, manual 3). Plain data, filled by `config`; files are named
//! here, not read. `model::certificates` loads them and `proto::tls` turns the result into sessions.

pub use crate::proto::tls::verify_code::IgnoreErrors;
pub use crate::proto::tls::version::{Version, Versions};
use std::path::PathBuf;

/// `verify` of a `bind` line or `crt-list` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Verify {
    #[default]
    None,
    Optional,
    Required,
}

/// Settings that a `bind` line and each line of a `crt-list` may have (manual 5.1 "crt-list": sslbindconf). `None` is
/// "not written": inherited from the bind line, then from `global`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TlsOptions {
    /// Protocol names in order of preference, most preferred first. `Some(empty)` is `no-alpn`.
    pub alpn: Option<Vec<String>>,
    pub versions: Versions,
    /// OpenSSL cipher string for TLS up to 1.2, as written.
    pub ciphers: Option<String>,
    /// Cipher suites of TLS 1.3, as written.
    pub ciphersuites: Option<String>,
    /// `curves`, or `ecdhe` with its single name, as written.
    pub curves: Option<String>,
    /// `ca-file`, with `ca-base` applied. May be the name of a runtime file.
    pub ca_file: Option<PathBuf>,
    /// `ca-verify-file`: used to verify, but its names are not sent to the client.
    pub ca_verify_file: Option<PathBuf>,
    /// `crl-file`, with `ca-base` applied.
    pub crl_file: Option<PathBuf>,
    pub verify: Option<Verify>,
    /// `no-ca-names`: the names in `ca-file` are not sent to the client.
    pub no_ca_names: bool,
}

/// Everything after `ssl` on a `bind` line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BindTls {
    /// `crt`, `crt-list` and `default-crt` in the order of the line; the order decides the default certificate.
    pub sources: Vec<CertificateSource>,
    pub options: TlsOptions,
    pub strict_sni: bool,
    /// `prefer-client-ciphers`.
    pub prefer_client_ciphers: bool,
    pub crt_ignore_err: IgnoreErrors,
    pub ca_ignore_err: IgnoreErrors,
    /// `no-tls-tickets` (false: tickets are issued).
    pub no_tls_tickets: bool,
    /// `tls-ticket-keys`.
    pub tls_ticket_keys: Option<PathBuf>,
}

/// Where certificates of a `bind` line come from. Paths have `crt-base` applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// `crt`: a file, a directory or the base name of a bundle.
    Crt(PathBuf),
    /// `default-crt`: the same, and used when no name matches.
    DefaultCrt(PathBuf),
    CrtList(PathBuf),
}

/// Whom a `server` line with `ssl` trusts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TrustedCa {
    /// `ca-file <file>`, or a directory of files; with `ca-base` applied.
    File(PathBuf),
    /// `ca-file @system-ca`.
    System,
}

/// `verify` of a `server` line. The default is `required` unless `ssl-server-verify none` stands in `global`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ServerVerify {
    None,
    #[default]
    Required,
}

/// The TLS words of a `server` line, with `default-server` and `ssl-default-server-*` applied.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServerTls {
    /// `ssl`: traffic is encrypted.
    pub ssl: bool,
    /// `check-ssl`: checks are encrypted though traffic may not be.
    pub check_ssl: bool,
    pub verify: ServerVerify,
    pub ca: Option<TrustedCa>,
    pub crl_file: Option<PathBuf>,
    /// `verifyhost`: the name the certificate must bear where none is sent as SNI; else it must bear that.
    pub verifyhost: Option<String>,
    /// `sni <expression>`: the text; compiled by `config`.
    pub sni: Option<String>,
    /// `sni-auto` (false after `no-sni-auto`): the Host field is sent as SNI when there is no `sni`.
    pub sni_auto: bool,
    /// `check-sni <name>`.
    pub check_sni: Option<String>,
    /// `crt`: client certificate and key.
    pub crt: Option<PathBuf>,
    pub alpn: Vec<String>,
    /// `check-alpn`; `None`: as `alpn`.
    pub check_alpn: Option<Vec<String>>,
    pub versions: Versions,
    pub ciphers: Option<String>,
    pub ciphersuites: Option<String>,
    pub curves: Option<String>,
    pub no_ssl_reuse: bool,
    pub no_tls_tickets: bool,
}

/// TLS settings of `global`.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsGlobal {
    pub ca_base: Option<PathBuf>,
    pub crt_base: Option<PathBuf>,
    pub key_base: Option<PathBuf>,
    /// `ssl-default-bind-options` and `ssl-default-bind-{ciphers,ciphersuites,curves}`.
    pub bind: TlsOptions,
    pub bind_strict_sni: bool,
    pub bind_prefer_client_ciphers: bool,
    pub bind_no_tls_tickets: bool,
    /// `ssl-default-server-options` and `ssl-default-server-{ciphers,ciphersuites,curves}`.
    pub server: TlsOptions,
    pub server_no_tls_tickets: bool,
    /// `ssl-server-verify none`.
    pub server_verify: ServerVerify,
    /// `ssl-load-extra-files`.
    pub load_extra_files: ExtraFiles,
    /// `ssl-load-extra-del-ext`: the extension is taken off before `.key` and others are added.
    pub load_extra_del_ext: bool,
    /// `tune.ssl.cachesize`: sessions kept by id at most; 0: none.
    pub cachesize: usize,
    /// `tune.ssl.lifetime`, seconds.
    pub lifetime_s: u32,
    /// `tune.ssl.maxrecord`: plain bytes in the first records of a transfer at most; 0: no limit.
    pub maxrecord: usize,
    /// `tune.ssl.hard-maxrecord`: plain bytes in any record at most; 0: no limit.
    pub hard_maxrecord: usize,
    /// `tune.ssl.capture-buffer-size`: bytes of the ClientHello's lists kept for the fetches.
    pub capture_buffer_size: usize,
    /// `tune.ssl.keylog`: sessions keep their secrets for the fetches.
    pub keylog: bool,
    /// `tune.ssl.default-dh-param`: accepted; the library has no finite-field Diffie-Hellman.
    pub default_dh_param: Option<u32>,
    /// `maxsslconn`, `maxsslrate`.
    pub maxsslconn: Option<u32>,
    pub maxsslrate: Option<u32>,
}

/// `ssl-load-extra-files`: what is looked for beside a PEM file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtraFiles {
    pub bundle: bool,
    pub sctl: bool,
    pub ocsp: bool,
    pub issuer: bool,
    pub key: bool,
}

impl Default for ExtraFiles {
    fn default() -> Self {
        ExtraFiles { bundle: true, sctl: true, ocsp: true, issuer: true, key: true }
    }
}

impl Default for TlsGlobal {
    fn default() -> Self {
        TlsGlobal {
            ca_base: None,
            crt_base: None,
            key_base: None,
            bind: TlsOptions::default(),
            bind_strict_sni: false,
            bind_prefer_client_ciphers: false,
            bind_no_tls_tickets: false,
            server: TlsOptions::default(),
            server_no_tls_tickets: false,
            server_verify: ServerVerify::Required,
            load_extra_files: ExtraFiles::default(),
            load_extra_del_ext: false,
            cachesize: 20_000,
            lifetime_s: 300,
            maxrecord: 0,
            hard_maxrecord: 0,
            capture_buffer_size: 0,
            keylog: false,
            default_dh_param: None,
            maxsslconn: None,
            maxsslrate: None,
        }
    }
}

impl TlsOptions {
    /// These settings where something is written, `base`'s elsewhere: a `crt-list` line over its bind line, a bind line
    /// over `global`.
    pub fn over(&self, base: &TlsOptions) -> TlsOptions {
        TlsOptions {
            alpn: self.alpn.clone().or_else(|| base.alpn.clone()),
            versions: Versions {
                min: self.versions.min.or(base.versions.min),
                max: self.versions.max.or(base.versions.max),
                disabled: std::array::from_fn(|i| self.versions.disabled[i] || base.versions.disabled[i]),
            },
            ciphers: self.ciphers.clone().or_else(|| base.ciphers.clone()),
            ciphersuites: self.ciphersuites.clone().or_else(|| base.ciphersuites.clone()),
            curves: self.curves.clone().or_else(|| base.curves.clone()),
            ca_file: self.ca_file.clone().or_else(|| base.ca_file.clone()),
            ca_verify_file: self.ca_verify_file.clone().or_else(|| base.ca_verify_file.clone()),
            crl_file: self.crl_file.clone().or_else(|| base.crl_file.clone()),
            verify: self.verify.or(base.verify),
            no_ca_names: self.no_ca_names || base.no_ca_names,
        }
    }
}
