//! Keys of stick tables (manual 11.1 "type"): samples become bytes, bytes become text. Fixed sizes for addresses and numbers,
//! at most `len` bytes for strings, exactly `len` for binary keys.

use super::KeyType;
use crate::base::hash::xxh64;
use crate::language::sample::Sample;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl KeyType {
    /// Bytes of a key at most.
    pub fn size(self) -> usize {
        match self {
            KeyType::Ip | KeyType::Integer => 4,
            KeyType::Ipv6 => 16,
            KeyType::String(n) | KeyType::Binary(n) => n,
        }
    }

    /// HAProxy's word for the type.
    pub fn name(self) -> &'static str {
        match self {
            KeyType::Ip => "ip",
            KeyType::Ipv6 => "ipv6",
            KeyType::Integer => "integer",
            KeyType::String(_) => "string",
            KeyType::Binary(_) => "binary",
        }
    }

    /// Appends the key that a sample makes; false when it makes none.
    pub fn encode(self, sample: &Sample<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            KeyType::Ip => match sample.to_ip() {
                Some(IpAddr::V4(a)) => out.extend_from_slice(&a.octets()),
                Some(IpAddr::V6(a)) => match a.to_ipv4_mapped() {
                    Some(a) => out.extend_from_slice(&a.octets()),
                    None => return false,
                },
                None => return false,
            },
            KeyType::Ipv6 => match sample.to_ip() {
                Some(IpAddr::V4(a)) => out.extend_from_slice(&a.to_ipv6_mapped().octets()),
                Some(IpAddr::V6(a)) => out.extend_from_slice(&a.octets()),
                None => return false,
            },
            // No number in an empty text (observed), though a conversion to one gives 0.
            KeyType::Integer if sample.bytes().is_some_and(<[u8]>::is_empty) => return false,
            KeyType::Integer => match sample.to_sint() {
                // The lower half of the number, as HAProxy keeps it.
                Some(n) => out.extend_from_slice(&(n as u32).to_be_bytes()),
                None => return false,
            },
            KeyType::String(len) => {
                let from = out.len();
                match sample {
                    // A binary sample ends at its first NUL when it becomes text.
                    Sample::Bin(b) => {
                        let b = b.as_slice();
                        out.extend_from_slice(&b[..memchr::memchr(0, b).unwrap_or(b.len())]);
                    }
                    other => other.write_text(out),
                }
                // An empty string is a key too (observed).
                out.truncate(from + len);
            }
            KeyType::Binary(len) => {
                let from = out.len();
                match sample {
                    Sample::Sint(n) => out.extend_from_slice(&n.to_be_bytes()),
                    Sample::Ip(IpAddr::V4(a)) => out.extend_from_slice(&a.octets()),
                    Sample::Ip(IpAddr::V6(a)) => out.extend_from_slice(&a.octets()),
                    other => match other.bytes() {
                        Some(b) => out.extend_from_slice(b),
                        None => return false,
                    },
                }
                // Empty bytes are a key too: zeros (observed).
                out.resize(from + len, 0);
            }
        }
        true
    }

    /// The key that a word of the runtime API means; `None`: none. Binary keys have no such word.
    pub fn parse(self, word: &str) -> Option<Vec<u8>> {
        match self {
            KeyType::Ip => ipv4(word).or_else(|| embedded(word.parse().ok()?)).map(|a| a.octets().to_vec()),
            KeyType::Ipv6 => match word.parse::<Ipv6Addr>() {
                Ok(a) => Some(a.octets().to_vec()),
                Err(_) => ipv4(word).map(|a| a.to_ipv6_mapped().octets().to_vec()),
            },
            KeyType::Integer => Some((leading_integer(word) as u32).to_be_bytes().to_vec()),
            KeyType::String(len) => Some(word.as_bytes()[..word.len().min(len)].to_vec()),
            KeyType::Binary(_) => None,
        }
    }

    /// Appends a key's text, as `show table` prints it.
    pub fn write_text(self, key: &[u8], out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to a Vec cannot fail.
        let _ = match self {
            KeyType::Ip => <[u8; 4]>::try_from(key).map(|a| write!(out, "{}", Ipv4Addr::from(a))).unwrap_or(Ok(())),
            KeyType::Ipv6 => {
                <[u8; 16]>::try_from(key).map(|a| write!(out, "{}", Ipv6Addr::from(a))).unwrap_or(Ok(()))
            }
            KeyType::Integer => {
                <[u8; 4]>::try_from(key).map(|a| write!(out, "{}", u32::from_be_bytes(a))).unwrap_or(Ok(()))
            }
            KeyType::String(_) => {
                for &c in key {
                    match c {
                        b' ' => out.extend_from_slice(b"\\ "),
                        b'=' => out.extend_from_slice(b"\\="),
                        b'\\' => out.extend_from_slice(b"\\\\"),
                        b'\t' => out.extend_from_slice(b"\\t"),
                        b'\n' => out.extend_from_slice(b"\\n"),
                        b'\r' => out.extend_from_slice(b"\\r"),
                        b'\x1b' => out.extend_from_slice(b"\\e"),
                        c if c.is_ascii_graphic() => out.push(c),
                        c => out.extend_from_slice(format!("\\x{c:02X}").as_bytes()),
                    }
                }
                Ok(())
            }
            KeyType::Binary(_) => key.iter().try_for_each(|c| write!(out, "{c:02X}")),
        };
    }

    /// A key as a sample: what `sc_key` gives.
    pub fn sample_text(self, key: &[u8], out: &mut Vec<u8>) {
        match self {
            KeyType::String(_) | KeyType::Binary(_) => out.extend_from_slice(key),
            _ => self.write_text(key, out),
        }
    }
}

/// The address that a word begins with. A port, a mask or other text may follow, as in HAProxy.
fn ipv4(word: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut rest = word;
    for (i, octet) in octets.iter_mut().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix('.')?;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        *octet = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
    }
    (!rest.starts_with('.')).then(|| Ipv4Addr::from(octets))
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible or 6to4.
fn embedded(a: Ipv6Addr) -> Option<Ipv4Addr> {
    match a.octets() {
        [0x20, 0x02, a, b, c, d, ..] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => a.to_ipv4(),
    }
}

/// The number that a word begins with, as far as it goes; 0 without one.
fn leading_integer(word: &str) -> i64 {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    let digits = digits.bytes().take_while(u8::is_ascii_digit);
    let number = digits.fold(0i64, |n, d| n.saturating_mul(10).saturating_add((d - b'0') as i64));
    if negative { -number } else { number }
}

/// The hash that chooses a key's home and its place there. `seed` differs from process to process.
pub fn hash(key: &[u8], table: u16, seed: u64) -> u64 {
    xxh64(key, seed ^ (table as u64) << 48)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: KeyType, sample: &Sample<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        kind.encode(sample, &mut out).then_some(out)
    }

    fn text(kind: KeyType, key: &[u8]) -> String {
        let mut out = Vec::new();
        kind.write_text(key, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_become_each_other_where_they_can() {
        let v4 = Sample::Ip("10.1.2.3".parse().unwrap());
        let v6 = Sample::Ip("2001:db8::1".parse().unwrap());
        let mapped = Sample::Ip("::ffff:10.1.2.3".parse().unwrap());
        assert_eq!(key(KeyType::Ip, &v4), key(KeyType::Ip, &mapped));
        assert_eq!(key(KeyType::Ip, &v6), None);
        assert_eq!(text(KeyType::Ipv6, &key(KeyType::Ipv6, &v4).unwrap()), "::ffff:10.1.2.3");
    }

    #[test]
    fn words_of_the_runtime_api_become_keys() {
        let parsed = |kind: KeyType, word| kind.parse(word).map(|k| text(kind, &k));
        for word in ["1.2.3.4", "1.2.3.4:80", "1.2.3.4/33", "01.2.3.4", "1.2.3.4x", "::ffff:1.2.3.4", "::1.2.3.4"] {
            assert_eq!(parsed(KeyType::Ip, word).as_deref(), Some("1.2.3.4"), "{word}");
        }
        assert_eq!(parsed(KeyType::Ip, "2002:102:304::1").as_deref(), Some("1.2.3.4"));
        assert_eq!(parsed(KeyType::Ip, "::1").as_deref(), Some("0.0.0.1"));
        for word in ["300.2.3.4", "1.2.3", "1.2.3.4.5", " 1.2.3.4", "16909060", "localhost", "2001:db8::1"] {
            assert_eq!(parsed(KeyType::Ip, word), None, "{word}");
        }
        assert_eq!(parsed(KeyType::Ipv6, "1.2.3.4").as_deref(), Some("::ffff:1.2.3.4"));
        assert_eq!(parsed(KeyType::Ipv6, "fe80::1/64"), None);
        let numbers = [("-5", "4294967291"), ("99999999999", "1215752191"), ("12x", "12"), ("+5", "5"), ("x", "0")];
        for (word, number) in numbers {
            assert_eq!(parsed(KeyType::Integer, word).as_deref(), Some(number), "{word}");
        }
        assert_eq!(parsed(KeyType::Integer, "99999999999999999999999").as_deref(), Some("4294967295"));
        assert_eq!(parsed(KeyType::String(3), "abcd").as_deref(), Some("abc"));
        assert_eq!(text(KeyType::String(9), "a= \\é".as_bytes()), "a\\=\\ \\\\\\xC3\\xA9");
    }

    #[test]
    fn strings_are_cut_and_binaries_filled() {
        let long = Sample::str(b"verylongkey");
        assert_eq!(key(KeyType::String(8), &long).unwrap(), b"verylong");
        assert_eq!(key(KeyType::String(8), &Sample::str(b"")).unwrap(), b"");
        assert_eq!(key(KeyType::Binary(4), &Sample::bin(b"ab")).unwrap(), b"ab\0\0");
        assert_eq!(key(KeyType::Binary(4), &Sample::bin(b"")).unwrap(), [0; 4]);
        assert_eq!(key(KeyType::Integer, &Sample::str(b"")), None);
        assert_eq!(text(KeyType::Binary(4), b"ab\0\xff"), "616200FF");
        assert_eq!(text(KeyType::Integer, &key(KeyType::Integer, &Sample::Sint(-1)).unwrap()), "4294967295");
    }
}
