//! OpenSSL's cipher string language (openssl-ciphers(1), "CIPHER LIST FORMAT"): an ordered list is edited word by word.
//! `A` adds, `-A` takes away, `+A` moves to the end, `!A` takes away for good; `A+B` selects what is both; `@STRENGTH`
//! sorts, `@SECLEVEL=n` sets a floor. Words that select nothing are ignored, as OpenSSL does.

use super::table::{Au, CIPHERS, Cipher, Enc, Kx, Mac};
use crate::proto::tls::version::Version;

/// What a cipher string selects, in order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    pub ciphers: Vec<&'static Cipher>,
    /// `@SECLEVEL=n`.
    pub security_level: Option<u8>,
}

/// Evaluates a cipher string. An empty result is OpenSSL's "no cipher match".
pub fn select(text: &str) -> Selected {
    let mut list = List::new();
    let mut level = None;
    let mut words = text.split([':', ' ', ';', ',']).filter(|w| !w.is_empty()).peekable();
    // `DEFAULT` has a meaning as first word only. `PROFILE=SYSTEM` is Red Hat's name for what the system prefers.
    if let Some(first) = words.peek() {
        match *first {
            "DEFAULT" | "PROFILE=SYSTEM" => {
                list.add(|_| true);
                list.kill(|c| c.complement_of_default || c.enc == Enc::None);
                words.next();
            }
            "SUITEB128" => return suite_b(&[0xc02b, 0xc02c]),
            "SUITEB128ONLY" => return suite_b(&[0xc02b]),
            "SUITEB192" => return suite_b(&[0xc02c]),
            _ => {}
        }
    }
    for word in words {
        if let Some(command) = word.strip_prefix('@') {
            if command == "STRENGTH" {
                list.sort_by_strength();
            } else if let Some(n) = command.strip_prefix("SECLEVEL=") {
                level = n.parse().ok().filter(|n| *n <= 5).or(level);
            }
            continue;
        }
        let (operator, selector) = match word.as_bytes()[0] {
            op @ (b'-' | b'+' | b'!') => (op, &word[1..]),
            _ => (b' ', word),
        };
        let Some(terms) = selector.split('+').map(Term::parse).collect::<Option<Vec<_>>>() else { continue };
        let matches = |c: &Cipher| terms.iter().all(|t| t.matches(c));
        match operator {
            b'-' => list.delete(matches),
            b'+' => list.move_last(matches),
            b'!' => list.kill(matches),
            _ => list.add(matches),
        }
    }
    let mut ciphers = list.active();
    if let Some(level) = level {
        // SSL_CTX_set_security_level(3): bits of security, and forward secrecy from level 3.
        let bits = [0, 80, 112, 128, 192, 256][usize::from(level)];
        ciphers.retain(|c| c.bits >= bits && (level < 3 || matches!(c.kx, Kx::Ecdhe | Kx::Dhe)));
    }
    Selected { ciphers, security_level: level }
}

fn suite_b(ids: &[u16]) -> Selected {
    let ciphers = ids.iter().filter_map(|id| CIPHERS.iter().find(|c| c.id == *id)).collect();
    Selected { ciphers, security_level: None }
}

/// All suites in their present order, each in the selection or not.
struct List(Vec<(&'static Cipher, bool)>);

impl List {
    fn new() -> List {
        List(CIPHERS.iter().map(|c| (c, false)).collect())
    }

    /// Selected ones go to the end.
    fn add(&mut self, matches: impl Fn(&Cipher) -> bool) {
        let (mut added, rest): (Vec<_>, Vec<_>) = self.0.drain(..).partition(|(c, active)| !active && matches(c));
        added.iter_mut().for_each(|e| e.1 = true);
        self.0 = rest;
        self.0.append(&mut added);
    }

    /// Those taken away go to the start, so that adding them again finds them in their old order.
    fn delete(&mut self, matches: impl Fn(&Cipher) -> bool) {
        let (mut gone, mut rest): (Vec<_>, Vec<_>) = self.0.drain(..).partition(|(c, active)| *active && matches(c));
        gone.iter_mut().for_each(|e| e.1 = false);
        gone.append(&mut rest);
        self.0 = gone;
    }

    fn move_last(&mut self, matches: impl Fn(&Cipher) -> bool) {
        let (mut moved, mut rest): (Vec<_>, Vec<_>) = self.0.drain(..).partition(|(c, active)| *active && matches(c));
        rest.append(&mut moved);
        self.0 = rest;
    }

    fn kill(&mut self, matches: impl Fn(&Cipher) -> bool) {
        self.0.retain(|(c, _)| !matches(c));
    }

    fn sort_by_strength(&mut self) {
        let mut active = self.active();
        active.sort_by_key(|c| std::cmp::Reverse(c.bits));
        self.0.retain(|e| !e.1);
        self.0.extend(active.into_iter().map(|c| (c, true)));
    }

    fn active(&self) -> Vec<&'static Cipher> {
        self.0.iter().filter(|e| e.1).map(|e| e.0).collect()
    }
}

/// One word of a selector.
enum Term {
    Keyword(fn(&Cipher) -> bool),
    Name(u16),
}

impl Term {
    fn parse(word: &str) -> Option<Term> {
        if let Some((_, matches)) = KEYWORDS.iter().find(|(names, _)| names.contains(&word)) {
            return Some(Term::Keyword(*matches));
        }
        if let Some(cipher) = CIPHERS.iter().find(|c| c.name == word) {
            return Some(Term::Name(cipher.id));
        }
        STANDARD_NAMES.iter().find(|(name, _)| *name == word).map(|(_, id)| Term::Name(*id))
    }

    fn matches(&self, cipher: &Cipher) -> bool {
        match self {
            Term::Keyword(matches) => matches(cipher),
            Term::Name(id) => cipher.id == *id,
        }
    }
}

/// RFC names of what the library has: many configurations use them by mistake, and newer OpenSSL takes them.
const STANDARD_NAMES: &[(&str, u16)] = &[
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca8),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc02f),
];

/// openssl-ciphers(1), "CIPHER STRINGS". Words for what no suite of the table has are known and match nothing.
#[allow(clippy::type_complexity)]
const KEYWORDS: &[(&[&str], fn(&Cipher) -> bool)] = &[
    (&["ALL"], |c| c.enc != Enc::None),
    (&["COMPLEMENTOFALL", "eNULL", "NULL"], |c| c.enc == Enc::None),
    (&["COMPLEMENTOFDEFAULT"], |c| c.complement_of_default && c.enc != Enc::None),
    (&["HIGH"], |c| c.enc != Enc::None),
    (&["MEDIUM", "LOW", "EXP", "EXPORT", "EXPORT40", "EXPORT56"], |_| false),
    (&["FIPS"], |c| matches!(c.enc, Enc::Aes | Enc::AesGcm | Enc::AesCcm | Enc::AesCcm8)),
    (&["aNULL"], |c| c.au == Au::None),
    (&["kRSA"], |c| c.kx == Kx::Rsa),
    (&["aRSA"], |c| c.au == Au::Rsa),
    (&["RSA"], |c| c.kx == Kx::Rsa && c.au == Au::Rsa),
    (&["kDHE", "kEDH", "DH"], |c| c.kx == Kx::Dhe),
    (&["DHE", "EDH"], |c| c.kx == Kx::Dhe && c.au != Au::None),
    (&["ADH"], |c| c.kx == Kx::Dhe && c.au == Au::None),
    (&["kEECDH", "kECDHE", "ECDH"], |c| c.kx == Kx::Ecdhe),
    (&["ECDHE", "EECDH"], |c| c.kx == Kx::Ecdhe && c.au != Au::None),
    (&["AECDH"], |c| c.kx == Kx::Ecdhe && c.au == Au::None),
    (&["aDSS", "DSS"], |c| c.au == Au::Dss),
    (&["aECDSA", "ECDSA"], |c| c.au == Au::Ecdsa),
    (&["TLSv1.2"], |c| c.version == Version::Tlsv12),
    (&["TLSv1", "TLSv1.0"], |c| c.version == Version::Tlsv10),
    (&["SSLv3"], |c| c.version == Version::Sslv3),
    (&["AES"], |c| matches!(c.enc, Enc::Aes | Enc::AesGcm | Enc::AesCcm | Enc::AesCcm8)),
    (&["AES128"], |c| c.bits == 128 && matches!(c.enc, Enc::Aes | Enc::AesGcm | Enc::AesCcm | Enc::AesCcm8)),
    (&["AES256"], |c| c.bits == 256 && matches!(c.enc, Enc::Aes | Enc::AesGcm | Enc::AesCcm | Enc::AesCcm8)),
    (&["AESGCM"], |c| c.enc == Enc::AesGcm),
    (&["AESCCM"], |c| matches!(c.enc, Enc::AesCcm | Enc::AesCcm8)),
    (&["AESCCM8"], |c| c.enc == Enc::AesCcm8),
    (&["ARIA", "ARIAGCM"], |c| c.enc == Enc::AriaGcm),
    (&["ARIA128"], |c| c.enc == Enc::AriaGcm && c.bits == 128),
    (&["ARIA256"], |c| c.enc == Enc::AriaGcm && c.bits == 256),
    (&["CAMELLIA"], |c| c.enc == Enc::Camellia),
    (&["CAMELLIA128"], |c| c.enc == Enc::Camellia && c.bits == 128),
    (&["CAMELLIA256"], |c| c.enc == Enc::Camellia && c.bits == 256),
    (&["CHACHA20"], |c| c.enc == Enc::Chacha20),
    (&["CBC"], |c| matches!(c.enc, Enc::Aes | Enc::Camellia)),
    (&["3DES", "DES", "RC4", "RC2", "IDEA", "SEED"], |_| false),
    (&["MD5"], |c| c.mac == Mac::Md5),
    (&["SHA1", "SHA"], |c| c.mac == Mac::Sha1),
    (&["SHA256"], |c| c.mac == Mac::Sha256),
    (&["SHA384"], |c| c.mac == Mac::Sha384),
    (&["PSK"], |c| matches!(c.kx, Kx::Psk | Kx::DhePsk | Kx::EcdhePsk | Kx::RsaPsk)),
    (&["kPSK"], |c| c.kx == Kx::Psk),
    (&["kDHEPSK"], |c| c.kx == Kx::DhePsk),
    (&["kECDHEPSK"], |c| c.kx == Kx::EcdhePsk),
    (&["kRSAPSK"], |c| c.kx == Kx::RsaPsk),
    (&["aPSK"], |c| c.au == Au::Psk),
    (&["kSRP", "SRP"], |c| c.kx == Kx::Srp),
    (&["aSRP"], |c| c.au == Au::Srp),
    (&["aGOST", "aGOST01", "aGOST12", "kGOST", "kGOST18", "GOST94", "GOST12", "GOST89MAC", "GOST89"], |_| false),
];

#[cfg(test)]
mod tests;
