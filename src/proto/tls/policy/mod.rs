//! From the words of a configuration (`ciphers`, `ciphersuites`, `curves`, `ssl-min-ver` and kin, manual 5.1) to what
//! the library offers, and the account of what it cannot: TLS 1.0 and 1.1, CBC, finite-field Diffie-Hellman, RSA key
//! exchange. Nothing left is an error; something missing is told once, with what is offered instead.

pub mod cipher_string;
pub mod table;

use super::version::{Version, Versions};
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{CipherSuite, SupportedCipherSuite};
use std::fmt::Write;
use std::sync::Arc;
use table::Cipher;

/// What is written on a line, defaults of `global` applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct Written<'a> {
    pub versions: Versions,
    pub ciphers: Option<&'a str>,
    pub ciphersuites: Option<&'a str>,
    pub curves: Option<&'a str>,
}

/// What is offered.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Suites and groups in order of preference, and everything else the library needs.
    pub provider: Arc<CryptoProvider>,
    pub tls12: bool,
    pub tls13: bool,
    /// What was asked for and is not there.
    pub missing: Missing,
}

/// What a configuration asks for that the library lacks, by HAProxy's and OpenSSL's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    pub versions: Vec<Version>,
    pub ciphers: Vec<&'static str>,
    pub ciphersuites: Vec<String>,
    pub curves: Vec<String>,
}

/// Why a line offers nothing, in words that follow "Proxy 'x': " … see [`PolicyError::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    NoVersion,
    /// The cipher string selects no suite at all.
    BadCiphers(String),
    /// It selects suites, none of which the library has.
    NoCipher(String),
    BadCiphersuites(String),
    BadCurves(String),
}

impl PolicyError {
    /// HAProxy's text; `line` is `bind '<address>' at [<file>:<line>]` or the like.
    pub fn text(&self, line: &str) -> String {
        match self {
            PolicyError::NoVersion => format!("all SSL/TLS versions are disabled for {line}."),
            PolicyError::BadCiphers(s) => format!("unable to set SSL cipher list to '{s}' for {line}."),
            PolicyError::NoCipher(s) => format!(
                "unable to set SSL cipher list to '{s}' for {line}: none of its ciphers is available here (TLS 1.2 with \
                 ECDHE and AES-GCM or CHACHA20-POLY1305, and TLS 1.3)."
            ),
            PolicyError::BadCiphersuites(s) => {
                format!("unable to set TLS 1.3 cipher suites to '{s}' for {line}.")
            }
            PolicyError::BadCurves(s) => format!("unable to set SSL curves list to '{s}' for {line}."),
        }
    }
}

impl PolicyError {
    /// HAProxy's text on a server line; follows `[<file>:<line>] : 'server <backend>/<name>' : `.
    pub fn server_text(&self) -> String {
        match self {
            PolicyError::NoVersion => "all SSL/TLS versions are disabled.".to_owned(),
            PolicyError::BadCiphers(s) => format!("unable to set SSL cipher list to '{s}'."),
            PolicyError::NoCipher(s) => format!(
                "unable to set SSL cipher list to '{s}': none of its ciphers is available here (TLS 1.2 with ECDHE and \
                 AES-GCM or CHACHA20-POLY1305, and TLS 1.3)."
            ),
            PolicyError::BadCiphersuites(s) => format!("unable to set TLS 1.3 cipher suites to '{s}'."),
            PolicyError::BadCurves(s) => format!("unable to set SSL curves list to '{s}'."),
        }
    }
}

/// Suites of TLS 1.3: OpenSSL's order of preference.
const SUITES_13: &[(&str, CipherSuite)] = &[
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
];
/// Those OpenSSL has and the library lacks.
const SUITES_13_MISSING: &[&str] = &["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"];

/// Resolves what is written.
pub fn resolve(written: &Written) -> Result<Policy, PolicyError> {
    let mut missing = Missing::default();
    let (mut tls12, mut tls13) = versions(&written.versions, &mut missing)?;
    let suites_12 = match tls12 {
        true => ciphers(written.ciphers.unwrap_or("DEFAULT"), written.ciphers.is_some(), &mut missing)?,
        false => Vec::new(),
    };
    let suites_13 = match tls13 {
        true => ciphersuites(written.ciphersuites, &mut missing)?,
        false => Vec::new(),
    };
    tls12 &= !suites_12.is_empty();
    tls13 &= !suites_13.is_empty();
    if !tls12 && !tls13 {
        return Err(match written.ciphers {
            Some(s) => PolicyError::NoCipher(s.to_owned()),
            None => PolicyError::NoVersion,
        });
    }
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = suites_13.into_iter().chain(suites_12).collect();
    if let Some(curves) = written.curves {
        provider.kx_groups = groups(curves, &mut missing)?;
    }
    Ok(Policy { provider: Arc::new(provider), tls12, tls13, missing })
}

fn versions(versions: &Versions, missing: &mut Missing) -> Result<(bool, bool), PolicyError> {
    // A range that only begins low is no wish for old versions, but it is told: the reader expects them to answer.
    missing.versions =
        [Version::Sslv3, Version::Tlsv10, Version::Tlsv11].into_iter().filter(|v| versions.allows(*v)).collect();
    let (tls12, tls13) = (versions.allows(Version::Tlsv12), versions.allows(Version::Tlsv13));
    if tls12 || tls13 { Ok((tls12, tls13)) } else { Err(PolicyError::NoVersion) }
}

/// Suites up to TLS 1.2 that the library has, in the string's order.
fn ciphers(text: &str, told: bool, missing: &mut Missing) -> Result<Vec<SupportedCipherSuite>, PolicyError> {
    let selected = cipher_string::select(text);
    if selected.ciphers.is_empty() {
        return Err(PolicyError::BadCiphers(text.to_owned()));
    }
    let mut suites = Vec::new();
    for cipher in selected.ciphers {
        match supported(CipherSuite::from(cipher.id)) {
            Some(suite) => suites.push(suite),
            // Suites without a certificate, and with passwords, need keys that HAProxy cannot be given.
            None if told && usable(cipher) => missing.ciphers.push(cipher.name),
            None => {}
        }
    }
    Ok(suites)
}

/// Whether HAProxy could negotiate this suite with an RSA or ECDSA certificate.
fn usable(cipher: &Cipher) -> bool {
    matches!(cipher.au, table::Au::Rsa | table::Au::Ecdsa)
        && matches!(cipher.kx, table::Kx::Ecdhe | table::Kx::Dhe | table::Kx::Rsa)
}

fn ciphersuites(text: Option<&str>, missing: &mut Missing) -> Result<Vec<SupportedCipherSuite>, PolicyError> {
    let Some(text) = text else {
        return Ok(SUITES_13.iter().filter_map(|(_, id)| supported(*id)).collect());
    };
    let mut suites = Vec::new();
    for name in text.split(':').map(str::trim).filter(|n| !n.is_empty()) {
        if let Some((_, id)) = SUITES_13.iter().find(|(n, _)| *n == name) {
            suites.extend(supported(*id));
        } else if SUITES_13_MISSING.contains(&name) {
            missing.ciphersuites.push(name.to_owned());
        } else {
            return Err(PolicyError::BadCiphersuites(text.to_owned()));
        }
    }
    Ok(suites)
}

fn supported(id: CipherSuite) -> Option<SupportedCipherSuite> {
    aws_lc_rs::ALL_CIPHER_SUITES.iter().copied().find(|s| s.suite() == id)
}

/// Curves by all the names OpenSSL knows them under.
const GROUPS: &[(&[&str], &'static dyn SupportedKxGroup)] = &[
    (&["X25519"], kx_group::X25519),
    (&["P-256", "PRIME256V1", "SECP256R1"], kx_group::SECP256R1),
    (&["P-384", "SECP384R1"], kx_group::SECP384R1),
    (&["X25519MLKEM768"], kx_group::X25519MLKEM768),
    (&["SECP256R1MLKEM768"], kx_group::SECP256R1MLKEM768),
];
const GROUPS_MISSING: &[&str] = &[
    "P-521",
    "SECP521R1",
    "X448",
    "SECP384R1MLKEM1024",
    "P-192",
    "PRIME192V1",
    "P-224",
    "SECP224R1",
    "SECP256K1",
    "BRAINPOOLP256R1",
    "BRAINPOOLP384R1",
    "BRAINPOOLP512R1",
    "FFDHE2048",
    "FFDHE3072",
    "FFDHE4096",
    "FFDHE6144",
    "FFDHE8192",
];

fn groups(text: &str, missing: &mut Missing) -> Result<Vec<&'static dyn SupportedKxGroup>, PolicyError> {
    let bad = || PolicyError::BadCurves(text.to_owned());
    let mut groups = Vec::new();
    for name in text.split([':', ',']).map(str::trim) {
        // OpenSSL 3.5: `?` before a name ignores it where unknown, `*` asks for a key share.
        let optional = name.starts_with('?');
        let upper = name.trim_start_matches(['?', '*']).to_ascii_uppercase();
        if let Some((_, group)) = GROUPS.iter().find(|(names, _)| names.contains(&upper.as_str())) {
            groups.push(*group);
        } else if GROUPS_MISSING.contains(&upper.as_str()) {
            missing.curves.push(name.to_owned());
        } else if !optional {
            return Err(bad());
        }
    }
    if groups.is_empty() { Err(bad()) } else { Ok(groups) }
}

impl Missing {
    pub fn is_empty(&self) -> bool {
        *self == Missing::default()
    }

    /// One sentence for the warning: what is missing.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut part = |what: &str, names: &[&str]| {
            if let Some((first, rest)) = names.split_first() {
                let separator = if text.is_empty() { "" } else { "; " };
                let _ = write!(text, "{separator}{what} {first}");
                rest.iter().for_each(|n| {
                    let _ = write!(text, ", {n}");
                });
            }
        };
        part("versions", &self.versions.iter().map(|v| v.name()).collect::<Vec<_>>());
        part("ciphers", &self.ciphers);
        part("ciphersuites", &self.ciphersuites.iter().map(String::as_str).collect::<Vec<_>>());
        part("curves", &self.curves.iter().map(String::as_str).collect::<Vec<_>>());
        text
    }
}

impl Policy {
    /// One sentence for the warning: versions and suites offered.
    pub fn offered(&self) -> String {
        let mut text = match (self.tls12, self.tls13) {
            (true, true) => "TLSv1.2 and TLSv1.3".to_owned(),
            (true, false) => "TLSv1.2".to_owned(),
            _ => "TLSv1.3".to_owned(),
        };
        text.push_str(" with ");
        let names: Vec<_> = self.provider.cipher_suites.iter().map(|s| cipher_name(s.suite())).collect();
        text.push_str(&names.join(", "));
        text
    }

    /// The warning of a line, if it needs one. `line` as in [`PolicyError::text`].
    pub fn warning(&self, line: &str) -> Option<String> {
        (!self.missing.is_empty()).then(|| {
            format!(
                "{line} asks for what this TLS library does not have: {}. Offered instead: {}.",
                self.missing.text(),
                self.offered()
            )
        })
    }

    /// The versions for the library's configuration.
    pub fn protocol_versions(&self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        static BOTH: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
        match (self.tls12, self.tls13) {
            (true, true) => &BOTH,
            (true, false) => &BOTH[1..],
            _ => &BOTH[..1],
        }
    }
}

/// OpenSSL's name of a suite, as `%sslc` and `ssl_fc_cipher` tell it.
pub fn cipher_name(suite: CipherSuite) -> &'static str {
    let id = u16::from(suite);
    SUITES_13
        .iter()
        .find(|(_, s)| u16::from(*s) == id)
        .map(|(name, _)| *name)
        .or_else(|| table::CIPHERS.iter().find(|c| c.id == id).map(|c| c.name))
        .unwrap_or("(NONE)")
}

/// OpenSSL's name of a group, as `ssl_fc_curve` tells it.
pub fn curve_name(group: rustls::NamedGroup) -> &'static str {
    use rustls::NamedGroup as G;
    match group {
        G::X25519 => "X25519",
        G::secp256r1 => "prime256v1",
        G::secp384r1 => "secp384r1",
        G::X25519MLKEM768 => "X25519MLKEM768",
        G::secp256r1MLKEM768 => "SecP256r1MLKEM768",
        _ => "",
    }
}

/// Bits of the suite's key: `ssl_fc_alg_keysize` and `ssl_fc_use_keysize`.
pub fn cipher_bits(suite: CipherSuite) -> u16 {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 128,
        CipherSuite::TLS13_AES_256_GCM_SHA384 | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 256,
        other => table::CIPHERS.iter().find(|c| c.id == u16::from(other)).map_or(0, |c| c.bits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites(written: &Written) -> Vec<&'static str> {
        resolve(written).unwrap().provider.cipher_suites.iter().map(|s| cipher_name(s.suite())).collect()
    }

    #[test]
    fn nothing_written_is_openssl_default_without_a_warning() {
        let policy = resolve(&Written::default()).unwrap();
        assert!(policy.tls12 && policy.tls13 && policy.warning("bind ':443'").is_none());
        assert_eq!(
            suites(&Written::default())[..4],
            [
                "TLS_AES_256_GCM_SHA384",
                "TLS_CHACHA20_POLY1305_SHA256",
                "TLS_AES_128_GCM_SHA256",
                "ECDHE-ECDSA-AES256-GCM-SHA384",
            ]
        );
    }

    #[test]
    fn what_the_library_lacks_is_named_once() {
        let mut versions = Versions { min: Some(Version::Tlsv10), ..Versions::default() };
        let written = Written {
            versions,
            ciphers: Some("ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:AES128-SHA"),
            curves: Some("X25519:P-521:P-256"),
            ..Written::default()
        };
        let policy = resolve(&written).unwrap();
        assert_eq!(
            policy.warning("bind ':443'").unwrap(),
            "bind ':443' asks for what this TLS library does not have: versions TLSv1.0, TLSv1.1; ciphers \
             DHE-RSA-AES256-GCM-SHA384, AES128-SHA; curves P-521. Offered instead: TLSv1.2 and TLSv1.3 with \
             TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_GCM_SHA256, ECDHE-RSA-AES128-GCM-SHA256."
        );
        assert_eq!(policy.provider.kx_groups.len(), 2);
        versions.force(Version::Tlsv11);
        assert_eq!(resolve(&Written { versions, ..written }).unwrap_err(), PolicyError::NoVersion);
    }

    #[test]
    fn nothing_left_is_an_error() {
        let mut versions = Versions::default();
        versions.force(Version::Tlsv12);
        let written = Written { versions, ciphers: Some("AES128-SHA"), ..Written::default() };
        assert_eq!(resolve(&written).unwrap_err(), PolicyError::NoCipher("AES128-SHA".into()));
        let written = Written { ciphers: Some("NOSUCH"), ..Written::default() };
        assert_eq!(resolve(&written).unwrap_err(), PolicyError::BadCiphers("NOSUCH".into()));
        let written = Written { ciphersuites: Some("AES128-SHA"), ..Written::default() };
        assert_eq!(resolve(&written).unwrap_err(), PolicyError::BadCiphersuites("AES128-SHA".into()));
        let written = Written { curves: Some("nosuch"), ..Written::default() };
        assert_eq!(resolve(&written).unwrap_err(), PolicyError::BadCurves("nosuch".into()));
    }
}
