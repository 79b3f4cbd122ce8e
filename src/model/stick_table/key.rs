//! Keys of stick tables (manual 11.1 "type"): samples become bytes, bytes become text. Fixed sizes for addresses and numbers,
//! at most `len` bytes for strings, exactly `len` for binary keys.

use super::KeyType;
use crate::base::hash::xxh64;
use crate::language::sample::Sample;
use crate::language::scratch::Pool;
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
    pub fn encode(self, sample: &Sample<'_>, pool: &Pool, out: &mut Vec<u8>) -> bool {
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
        let _ = pool;
        true
    }

    /// The key that a word of the runtime API means; the error is HAProxy's.
    pub fn parse(self, word: &str) -> Result<Vec<u8>, &'static str> {
        match self {
            KeyType::Ip => match word.parse::<Ipv4Addr>() {
                Ok(a) => Ok(a.octets().to_vec()),
                Err(_) => Ok(Ipv4Addr::UNSPECIFIED.octets().to_vec()),
            },
            KeyType::Ipv6 => match word.parse::<IpAddr>() {
                Ok(IpAddr::V6(a)) => Ok(a.octets().to_vec()),
                Ok(IpAddr::V4(a)) => Ok(a.to_ipv6_mapped().octets().to_vec()),
                Err(_) => Ok(Ipv6Addr::UNSPECIFIED.octets().to_vec()),
            },
            KeyType::Integer => {
                let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
                match word.parse::<i64>() {
                    Ok(n) => Ok((n as u32).to_be_bytes().to_vec()),
                    Err(_) if !digits.is_empty() => Err("Invalid key"),
                    Err(_) => Err("Invalid key"),
                }
            }
            KeyType::String(len) => {
                let mut key = word.as_bytes().to_vec();
                key.truncate(len);
                Ok(key)
            }
            KeyType::Binary(len) => {
                let mut key = Vec::new();
                for pair in word.as_bytes().chunks(2) {
                    let digit = |c: u8| (c as char).to_digit(16).map(|d| d as u8);
                    match (digit(pair[0]), pair.get(1).copied().and_then(digit)) {
                        (Some(high), Some(low)) => key.push(high << 4 | low),
                        _ => return Err("Invalid key"),
                    }
                }
                key.resize(len, 0);
                Ok(key)
            }
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
                        c => out.extend_from_slice(format!("\\x{c:02x}").as_bytes()),
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

/// The hash that chooses a key's home and its place there. `seed` differs from process to process.
pub fn hash(key: &[u8], table: u16, seed: u64) -> u64 {
    xxh64(key, seed ^ (table as u64) << 48)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: KeyType, sample: &Sample<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        kind.encode(sample, &Pool::new(), &mut out).then_some(out)
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
