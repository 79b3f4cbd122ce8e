//! Protocol versions as HAProxy's keywords name them (manual 5.1 "ssl-min-ver").

/// A protocol version that can be named by `ssl-min-ver`, `ssl-max-ver`, `no-*` and `force-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    Sslv3,
    Tlsv10,
    Tlsv11,
    Tlsv12,
    Tlsv13,
}

impl Version {
    pub const ALL: [Version; 5] =
        [Version::Sslv3, Version::Tlsv10, Version::Tlsv11, Version::Tlsv12, Version::Tlsv13];

    /// The version named by an argument of `ssl-min-ver` or `ssl-max-ver` (`TLSv1.2`).
    pub fn parse(word: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.name() == word)
    }

    /// The version named by the end of `no-tlsv12` or `force-tlsv12`.
    pub fn parse_suffix(word: &str) -> Option<Version> {
        match word {
            "sslv3" => Some(Version::Sslv3),
            "tlsv10" => Some(Version::Tlsv10),
            "tlsv11" => Some(Version::Tlsv11),
            "tlsv12" => Some(Version::Tlsv12),
            "tlsv13" => Some(Version::Tlsv13),
            _ => None,
        }
    }

    /// As `ssl-min-ver` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Version::Sslv3 => "SSLv3",
            Version::Tlsv10 => "TLSv1.0",
            Version::Tlsv11 => "TLSv1.1",
            Version::Tlsv12 => "TLSv1.2",
            Version::Tlsv13 => "TLSv1.3",
        }
    }
}

/// The versions a line allows, as written; [`super::policy`] resolves them to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Versions {
    /// `ssl-min-ver`; `None`: inherited, finally TLSv1.2.
    pub min: Option<Version>,
    /// `ssl-max-ver`; `None`: inherited, finally the highest there is.
    pub max: Option<Version>,
    /// `no-sslv3` … `no-tlsv13`, indexed by [`Version`] (`as usize`).
    pub disabled: [bool; 5],
}

impl Versions {
    /// `no-<version>`.
    pub fn disable(&mut self, version: Version) {
        self.disabled[version as usize] = true;
    }

    /// `force-<version>`: this one only.
    pub fn force(&mut self, version: Version) {
        self.min = Some(version);
        self.max = Some(version);
    }

    /// Whether the line said anything about versions.
    pub fn is_set(&self) -> bool {
        *self != Versions::default()
    }

    /// Whether this version is among those allowed.
    pub fn allows(&self, version: Version) -> bool {
        version >= self.min.unwrap_or(Version::Tlsv12)
            && self.max.is_none_or(|max| version <= max)
            && !self.disabled[version as usize]
    }
}
