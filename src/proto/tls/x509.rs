//! What a certificate says, as HAProxy's fetches tell it (`ssl_c_*`, `ssl_f_*`, `ssl_s_*`, manual 7.3.4) and as `show ssl
//! cert` shows it: DER in, values out. Text forms were taken from runs of HAProxy 3.4.0.

use aws_lc_rs::digest;
use std::fmt::Write;
use x509_parser::prelude::*;

/// A parsed certificate, borrowing from its DER.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    der: &'a [u8],
    x509: X509Certificate<'a>,
}

/// Where a moment lies relative to a certificate's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    NotYet,
    Valid,
    Expired,
}

/// Which distinguished name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Subject,
    Issuer,
}

/// The arguments of `ssl_c_s_dn([<entry>[,<occ>[,<format>]]])`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DnSelector<'s> {
    /// Empty: the whole name.
    pub entry: &'s str,
    /// From 1 from the beginning, from -1 from the end; 0: none (seen with HAProxy 3.4.0).
    pub occurrence: i64,
    pub rfc2253: bool,
}

impl<'a> Certificate<'a> {
    pub fn parse(der: &'a [u8]) -> Option<Certificate<'a>> {
        let (rest, x509) = X509Certificate::from_der(der).ok()?;
        rest.is_empty().then_some(Certificate { der, x509 })
    }

    pub fn der(&self) -> &'a [u8] {
        self.der
    }

    pub fn validity_at(&self, now_s: u64) -> Validity {
        let now = i64::try_from(now_s).unwrap_or(i64::MAX);
        if now < self.x509.validity.not_before.timestamp() {
            Validity::NotYet
        } else if now > self.x509.validity.not_after.timestamp() {
            Validity::Expired
        } else {
            Validity::Valid
        }
    }

    pub fn subject_der(&self) -> &'a [u8] {
        self.x509.tbs_certificate.subject.as_raw()
    }

    pub fn issuer_der(&self) -> &'a [u8] {
        self.x509.tbs_certificate.issuer.as_raw()
    }

    pub fn is_self_issued(&self) -> bool {
        self.subject_der() == self.issuer_der()
    }

    /// The serial as it is encoded.
    pub fn raw_serial(&self) -> &'a [u8] {
        self.x509.tbs_certificate.raw_serial()
    }

    /// What is signed, and how.
    pub fn signed_parts(&self) -> Option<super::chain::SignedParts<'a>> {
        super::chain::signed_parts(self.der)
    }

    /// Whether basic constraints (and key usage, if it is there) allow it to sign certificates.
    pub fn is_authority(&self) -> bool {
        let usage = self.x509.key_usage().ok().flatten();
        self.x509.is_ca() && usage.is_none_or(|u| u.value.key_cert_sign())
    }

    /// Whether extended key usage allows it to speak as a client (or a server). Absent means any.
    pub fn allows_purpose(&self, client: bool) -> bool {
        match self.x509.extended_key_usage() {
            Ok(Some(usage)) => {
                usage.value.any || if client { usage.value.client_auth } else { usage.value.server_auth }
            }
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &'a [u8] {
        self.x509.tbs_certificate.subject_pki.raw
    }

    /// `ssl_c_s_dn`, `ssl_c_i_dn`: appended to `out`; false where the certificate has no such entry.
    pub fn dn(&self, which: Name, selector: DnSelector, out: &mut Vec<u8>) -> bool {
        let name = match which {
            Name::Subject => &self.x509.tbs_certificate.subject,
            Name::Issuer => &self.x509.tbs_certificate.issuer,
        };
        if !selector.entry.is_empty() {
            return entry(name, selector, out);
        }
        if selector.rfc2253 {
            rfc2253(name, out)
        } else {
            one_line(name, out)
        }
        true
    }

    /// `ssl_c_serial`: big-endian, without a sign byte.
    pub fn serial(&self) -> &'a [u8] {
        match self.x509.tbs_certificate.raw_serial() {
            [0, rest @ ..] if !rest.is_empty() => rest,
            serial => serial,
        }
    }

    /// `ssl_c_version`, from 1.
    pub fn version(&self) -> u32 {
        self.x509.version().0 + 1
    }

    /// `ssl_c_notbefore`, `ssl_c_notafter`: `YYMMDDhhmmssZ`. Empty outside this century, of which two digits tell (seen with
    /// HAProxy 3.4.0).
    pub fn not_before(&self) -> String {
        compact_time(self.x509.validity.not_before)
    }

    pub fn not_after(&self) -> String {
        compact_time(self.x509.validity.not_after)
    }

    /// Seconds since 1970.
    pub fn not_after_s(&self) -> i64 {
        self.x509.validity.not_after.timestamp()
    }

    /// `notBefore` and `notAfter` of `show ssl cert`: `Nov 26 01:39:42 2026 GMT`.
    pub fn validity_text(&self) -> (String, String) {
        (long_time(self.x509.validity.not_before), long_time(self.x509.validity.not_after))
    }

    /// `ssl_c_sha1`.
    pub fn sha1(&self) -> [u8; 20] {
        let mut sha1 = [0; 20];
        sha1.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.der).as_ref());
        sha1
    }

    /// `ssl_c_key_alg`: OpenSSL's short name of the key's algorithm.
    pub fn key_algorithm(&self) -> String {
        algorithm_name(&self.x509.tbs_certificate.subject_pki.algorithm.algorithm.to_id_string())
    }

    /// `ssl_c_sig_alg`.
    pub fn signature_algorithm(&self) -> String {
        algorithm_name(&self.x509.signature_algorithm.algorithm.to_id_string())
    }

    /// `Algorithm` of `show ssl cert`: `RSA2048`, `EC256`. Also PROXY protocol's key algorithm (2.2.6).
    pub fn key_description(&self) -> String {
        use x509_parser::public_key::PublicKey;
        match self.x509.public_key().parsed() {
            Ok(PublicKey::RSA(rsa)) => format!("RSA{}", rsa.key_size()),
            Ok(PublicKey::EC(ec)) => format!("EC{}", ec.key_size()),
            Ok(PublicKey::DSA(_)) => "DSA".to_owned(),
            _ => self.key_algorithm(),
        }
    }

    /// `ssl_c_san`: OpenSSL's text of the alternative names.
    pub fn san(&self) -> String {
        let names: Vec<String> = self.general_names().iter().map(general_name).collect();
        names.join(", ")
    }

    /// Alternative DNS names.
    pub fn dns_names(&self) -> Vec<&'a str> {
        let names = self.x509.subject_alternative_name().ok().flatten();
        names
            .map(|ext| &ext.value.general_names)
            .into_iter()
            .flatten()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            })
            .collect()
    }

    /// `Subject Alternative Name` of `show ssl cert`: an empty place for what is no DNS name.
    pub fn san_of_show(&self) -> String {
        let names: Vec<String> = self
            .general_names()
            .iter()
            .map(|name| match name {
                GeneralName::DNSName(name) => format!("DNS:{name}"),
                _ => String::new(),
            })
            .collect();
        names.join(", ")
    }

    fn general_names(&self) -> &[GeneralName<'a>] {
        match self.x509.subject_alternative_name() {
            Ok(Some(ext)) => &ext.value.general_names,
            _ => &[],
        }
    }

    /// Common names, first to last.
    pub fn common_names(&self) -> impl Iterator<Item = &str> {
        self.x509.subject().iter_common_name().filter_map(|cn| std::str::from_utf8(cn.attr_value().data).ok())
    }

    /// Whether the certificate bears the name `host`, as an alternative name or as a common name (HAProxy 3.4.0 looks at
    /// both, even where there are alternative names).
    pub fn matches_host(&self, host: &str) -> bool {
        if let Ok(ip) = host.parse::<std::net::IpAddr>() {
            let bytes: &[u8] = &match ip {
                std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
                std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            let listed = self.general_names().iter().any(|n| matches!(n, GeneralName::IPAddress(ip) if *ip == bytes));
            return listed || self.common_names().any(|cn| cn == host);
        }
        let mut names = self.dns_names().into_iter();
        names.any(|name| name_matches(name, host)) || self.common_names().any(|cn| name_matches(cn, host))
    }

    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.der)
    }
}

/// A `*` in the first label stands for the rest of one label, as HAProxy 3.4.0 has it (RFC 6125 §6.4.3 allows it).
pub fn name_matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let (Some((pattern_label, pattern_rest)), Some((label, rest))) = (pattern.split_once('.'), host.split_once('.'))
    else {
        return pattern.eq_ignore_ascii_case(host);
    };
    let Some((before, after)) = pattern_label.split_once('*') else { return pattern.eq_ignore_ascii_case(host) };
    let (label, before, after) = (label.as_bytes(), before.as_bytes(), after.as_bytes());
    !label.is_empty()
        && rest.eq_ignore_ascii_case(pattern_rest)
        && label.len() >= before.len() + after.len()
        && label[..before.len()].eq_ignore_ascii_case(before)
        && label[label.len() - after.len()..].eq_ignore_ascii_case(after)
}

/// DER as PEM with 64 characters a line.
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).unwrap_or_default());
        out.push('\n');
    }
    let _ = writeln!(out, "-----END {label}-----");
    out
}

fn entry(name: &X509Name, selector: DnSelector, out: &mut Vec<u8>) -> bool {
    let matches = |a: &&AttributeTypeAndValue| {
        let mut oid = Vec::new();
        write_oid(a.attr_type(), &mut oid);
        oid.eq_ignore_ascii_case(selector.entry.as_bytes())
    };
    let found: Vec<_> = name.iter_attributes().filter(matches).collect();
    let index = match selector.occurrence {
        0 => None,
        n if n < 0 => found.len().checked_sub(n.unsigned_abs() as usize),
        n => Some((n - 1) as usize),
    };
    match index.and_then(|i| found.get(i)) {
        Some(attribute) => {
            out.extend_from_slice(attribute.attr_value().data);
            true
        }
        None => false,
    }
}

/// `/O=Org/CN=name`.
fn one_line(name: &X509Name, out: &mut Vec<u8>) {
    for attribute in name.iter_attributes() {
        out.push(b'/');
        write_oid(attribute.attr_type(), out);
        out.push(b'=');
        out.extend_from_slice(attribute.attr_value().data);
    }
}

/// The same as text.
pub(super) fn name_text(name: &X509Name) -> String {
    let mut out = Vec::new();
    one_line(name, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// RFC 2253: last to first, escaped.
fn rfc2253(name: &X509Name, out: &mut Vec<u8>) {
    let rdns: Vec<_> = name.iter_rdn().collect();
    for (i, rdn) in rdns.iter().rev().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        for (j, attribute) in rdn.iter().enumerate() {
            if j > 0 {
                out.push(b'+');
            }
            write_oid(attribute.attr_type(), out);
            out.push(b'=');
            escape_2253(attribute.attr_value().data, out);
        }
    }
}

fn escape_2253(value: &[u8], out: &mut Vec<u8>) {
    let last = value.len().saturating_sub(1);
    for (i, byte) in value.iter().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend_from_slice(&[b'\\', *byte]),
            b'#' if i == 0 => out.extend_from_slice(b"\\#"),
            b' ' if i == 0 || i == last => out.extend_from_slice(b"\\ "),
            0x20..=0x7e => out.push(*byte),
            _ => out.extend_from_slice(format!("\\{byte:02X}").as_bytes()),
        }
    }
}

/// OpenSSL's short names of the attributes that occur in names.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("1.3.6.1.4.1.311.60.2.1.1", "jurisdictionL"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

fn write_oid(oid: &x509_parser::der_parser::oid::Oid, out: &mut Vec<u8>) {
    let dotted = oid.to_id_string();
    let name = ATTRIBUTES.iter().find(|(id, _)| *id == dotted).map_or(dotted.as_str(), |(_, name)| name);
    out.extend_from_slice(name.as_bytes());
}

/// OpenSSL's short names of key and signature algorithms.
pub(super) fn algorithm_name(dotted: &str) -> String {
    let name = match dotted {
        "1.2.840.113549.1.1.1" => "rsaEncryption",
        "1.2.840.113549.1.1.4" => "RSA-MD5",
        "1.2.840.113549.1.1.5" => "RSA-SHA1",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA-SHA256",
        "1.2.840.113549.1.1.12" => "RSA-SHA384",
        "1.2.840.113549.1.1.13" => "RSA-SHA512",
        "1.2.840.113549.1.1.14" => "RSA-SHA224",
        "1.2.840.10045.2.1" => "id-ecPublicKey",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.1" => "ecdsa-with-SHA224",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.2.840.10040.4.1" => "DSA",
        "1.2.840.10040.4.3" => "DSA-SHA1",
        "2.16.840.1.101.3.4.3.2" => "dsa_with_SHA256",
        "1.3.101.112" => "ED25519",
        "1.3.101.113" => "ED448",
        other => other,
    };
    name.to_owned()
}

fn general_name(name: &GeneralName) -> String {
    match name {
        GeneralName::DNSName(name) => format!("DNS:{name}"),
        GeneralName::RFC822Name(name) => format!("email:{name}"),
        GeneralName::URI(uri) => format!("URI:{uri}"),
        GeneralName::RegisteredID(oid) => format!("Registered ID:{}", oid.to_id_string()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => format!("IP Address:{}.{}.{}.{}", bytes[0], bytes[1], bytes[2], bytes[3]),
            16 => {
                let groups: Vec<String> =
                    bytes.chunks(2).map(|c| format!("{:X}", u16::from_be_bytes([c[0], c[1]]))).collect();
                format!("IP Address:{}", groups.join(":"))
            }
            _ => "IP Address:<invalid>".to_owned(),
        },
        GeneralName::DirectoryName(dn) => {
            let mut parts = Vec::new();
            for attribute in dn.iter_attributes() {
                let mut part = Vec::new();
                write_oid(attribute.attr_type(), &mut part);
                part.extend_from_slice(b" = ");
                part.extend_from_slice(attribute.attr_value().data);
                parts.push(String::from_utf8_lossy(&part).into_owned());
            }
            format!("DirName:{}", parts.join(", "))
        }
        GeneralName::OtherName(..) => "othername:<unsupported>".to_owned(),
        GeneralName::X400Address(_) => "X400Name:<unsupported>".to_owned(),
        GeneralName::EDIPartyName(_) => "EdiPartyName:<unsupported>".to_owned(),
        _ => String::new(),
    }
}

fn compact_time(time: ASN1Time) -> String {
    let t = time.to_datetime();
    if !(2000..2100).contains(&t.year()) {
        return String::new();
    }
    format!(
        "{:02}{:02}{:02}{:02}{:02}{:02}Z",
        t.year().rem_euclid(100),
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    )
}

pub(super) fn long_time(time: ASN1Time) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let t = time.to_datetime();
    let month = MONTHS[usize::from(u8::from(t.month())) - 1];
    format!("{month} {:2} {:02}:{:02}:{:02} {} GMT", t.day(), t.hour(), t.minute(), t.second(), t.year())
}

#[cfg(test)]
mod tests;
