//! Casts between sample types (manual 7.3.1): which are possible, and what they give.

use super::{Bytes, Sample, Type};
use crate::language::scratch::Pool;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a value of type `from` may be given where `to` is wanted; a bad chain is an error at load time.
pub fn possible(from: Type, to: Type) -> bool {
    use Type::*;
    match (from, to) {
        (Any | Same, _) | (_, Any | Same) => true,
        (a, b) if a == b => true,
        (Bool, Sint | Str) => true,
        (Sint, Bool | Addr | Ipv4 | Ipv6 | Str | Bin) => true,
        (Addr | Ipv4 | Ipv6, Addr | Ipv4 | Ipv6 | Str | Bin) => true,
        (Ipv4, Sint) => true,
        (Str, Bool | Sint | Addr | Ipv4 | Ipv6 | Bin | Meth) => true,
        (Bin, Str | Sint | Addr | Ipv4 | Ipv6) => !matches!(to, Sint | Addr | Ipv4 | Ipv6),
        (Meth, Str | Bin) => true,
        _ => false,
    }
}

impl<'c> Sample<'c> {
    /// This value as `to`; `None` when it cannot be.
    pub fn cast(self, to: Type, pool: &'c Pool) -> Option<Sample<'c>> {
        match to {
            Type::Any | Type::Same => Some(self),
            Type::Bool => self.to_bool().map(Sample::Bool),
            Type::Sint => self.to_sint().map(Sample::Sint),
            Type::Addr => self.to_ip().map(Sample::Ip),
            Type::Ipv4 => match self.to_ip()? {
                IpAddr::V6(v6) => v6.to_ipv4_mapped().map(|v4| Sample::Ip(IpAddr::V4(v4))),
                v4 => Some(Sample::Ip(v4)),
            },
            Type::Ipv6 => match self.to_ip()? {
                IpAddr::V4(v4) => Some(Sample::Ip(IpAddr::V6(v4.to_ipv6_mapped()))),
                v6 => Some(Sample::Ip(v6)),
            },
            Type::Str => Some(Sample::Str(self.into_str(pool))),
            Type::Bin => self.into_bin(pool).map(Sample::Bin),
            Type::Meth => Some(Sample::Meth(self.into_str(pool))),
        }
    }

    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Sample::Bool(b) => Some(*b),
            Sample::Sint(n) => Some(*n != 0),
            Sample::Ip(_) => None,
            other => number_of(other.bytes()?).map(|n| n != 0),
        }
    }

    pub fn to_sint(&self) -> Option<i64> {
        match self {
            Sample::Bool(b) => Some(*b as i64),
            Sample::Sint(n) => Some(*n),
            Sample::Ip(IpAddr::V4(a)) => Some(u32::from(*a) as i64),
            Sample::Ip(_) => None,
            Sample::Str(b) | Sample::Meth(b) => number_of(b.as_slice()),
            Sample::Bin(b) => Some(int_of_bytes(b.as_slice())),
        }
    }

    pub fn to_ip(&self) -> Option<IpAddr> {
        match self {
            Sample::Ip(a) => Some(*a),
            Sample::Sint(n) => Some(IpAddr::V4(Ipv4Addr::from(*n as u32))),
            Sample::Str(b) => parse_ip(b.as_slice()),
            Sample::Bin(b) => match b.as_slice() {
                s if s.len() == 4 => Some(IpAddr::V4(Ipv4Addr::new(s[0], s[1], s[2], s[3]))),
                s => <[u8; 16]>::try_from(s).ok().map(|o| IpAddr::V6(Ipv6Addr::from(o))),
            },
            _ => None,
        }
    }

    /// The value as text: numbers in decimal, addresses in their usual form, binary up to its first NUL.
    pub fn into_str(self, pool: &'c Pool) -> Bytes<'c> {
        match self {
            Sample::Str(b) | Sample::Meth(b) => b,
            Sample::Bool(b) => Bytes::Ref(if b { b"1" } else { b"0" }),
            Sample::Bin(b) => {
                let end = until_nul(b.as_slice()).len();
                b.slice(0, end)
            }
            other => {
                let mut out = pool.buf();
                other.write_text(&mut out);
                out.into()
            }
        }
    }

    fn into_bin(self, pool: &'c Pool) -> Option<Bytes<'c>> {
        match self {
            Sample::Str(b) | Sample::Bin(b) | Sample::Meth(b) => Some(b),
            Sample::Bool(_) => None,
            Sample::Sint(n) => {
                let mut out = pool.buf();
                out.extend_from_slice(&n.to_be_bytes());
                Some(out.into())
            }
            Sample::Ip(a) => {
                let mut out = pool.buf();
                match a {
                    IpAddr::V4(a) => out.extend_from_slice(&a.octets()),
                    IpAddr::V6(a) => out.extend_from_slice(&a.octets()),
                }
                Some(out.into())
            }
        }
    }

    /// Appends the value's text, without a copy in between.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Sample::Str(b) | Sample::Meth(b) => out.extend_from_slice(b.as_slice()),
            Sample::Bin(b) => out.extend_from_slice(until_nul(b.as_slice())),
            Sample::Bool(b) => out.push(b'0' + *b as u8),
            Sample::Sint(n) => push_int(out, *n),
            Sample::Ip(a) => push_ip(out, a),
        }
    }
}

/// Text ends at a NUL.
pub fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())]
}

/// Appends a number in decimal.
pub fn push_int(out: &mut Vec<u8>, n: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends an address in its usual form.
pub fn push_ip(out: &mut Vec<u8>, ip: &IpAddr) {
    match ip {
        IpAddr::V4(a) => {
            for (i, o) in a.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                push_int(out, o as i64);
            }
        }
        // Writing to a Vec cannot fail.
        IpAddr::V6(a) => drop(write!(out, "{a}")),
    }
}

/// Appends upper-case hexadecimal digits.
pub fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for b in bytes {
        out.push(DIGITS[(b >> 4) as usize]);
        out.push(DIGITS[(b & 15) as usize]);
    }
}

/// Text as a number: empty text is none (observed).
fn number_of(text: &[u8]) -> Option<i64> {
    if text.is_empty() { None } else { int_prefix(text) }
}

/// The number that a field, cookie or parameter begins with (`hdr_val` and its kin): 32 bits that wrap, and a byte below
/// `0` counts as a digit below zero (observed).
pub fn int32_prefix(text: &[u8]) -> i64 {
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let digits = digits.iter().take_while(|b| **b <= b'9').map(|b| i32::from(*b) - i32::from(b'0'));
    let n = digits.fold(0i32, |n, digit| n.wrapping_mul(10).wrapping_add(digit));
    i64::from(if negative { n.wrapping_neg() } else { n })
}

/// The number that text begins with, as HAProxy reads integers: an optional sign, digits, and anything after them is
/// ignored; saturates at 64 bits. Text that begins with no number gives `Some(0)`; empty text gives `Some(0)` as
/// well.
pub fn int_prefix(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let mut n: i64 = 0;
    for d in digits.iter().take_while(|d| d.is_ascii_digit()) {
        let digit = (d - b'0') as i64;
        n = n.saturating_mul(10);
        n = if negative { n.saturating_sub(digit) } else { n.saturating_add(digit) };
    }
    Some(n)
}

/// Binary to integer: the first eight bytes, most significant first.
fn int_of_bytes(bytes: &[u8]) -> i64 {
    bytes.iter().take(8).fold(0u64, |n, b| (n << 8) | *b as u64) as i64
}

/// An address in text, IPv4 or IPv6.
pub fn parse_ip(text: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
