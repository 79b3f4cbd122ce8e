//! How values are written: quoted (`+Q`), escaped (`+E`), hexadecimal (`+X`); what masks bytes that would break a
//! log line.

use super::Usage;
use crate::language::sample::Sample;
use crate::language::sample::cast::{push_int, push_ip, until_nul};
use std::net::IpAddr;

/// Flags of a tag and what the format is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub usage: Usage,
    pub quote: bool,
    pub escape: bool,
    pub hex: bool,
}

impl Style {
    pub fn new(usage: Usage) -> Self {
        Style { usage, quote: false, escape: usage == Usage::StructuredData, hex: false }
    }
}

/// Writes text, or `-` when there is none.
pub fn write_text(text: Option<&[u8]>, style: Style, out: &mut Vec<u8>) {
    let Some(text) = text else { return write_absent(style, out) };
    if style.quote {
        out.push(b'"');
    }
    write_masked(text, style, out);
    if style.quote {
        out.push(b'"');
    }
}

/// What stands for a value that is not there.
pub fn write_absent(style: Style, out: &mut Vec<u8>) {
    match (style.usage.is_log(), style.quote) {
        (_, true) => out.extend_from_slice(b"\"\""),
        (true, false) => out.push(b'-'),
        (false, false) => {}
    }
}

/// Writes an expression's value; in a head's lines `+Q` has no effect on one, as with HAProxy.
pub fn write_sample(sample: Option<&Sample<'_>>, style: Style, out: &mut Vec<u8>) {
    let style = Style { quote: style.quote && style.usage != Usage::Header, ..style };
    let Some(sample) = sample else { return write_absent(style, out) };
    // What binary values have behind a NUL is not text.
    let text = sample.bytes().map(|b| if let Sample::Bin(_) = sample { until_nul(b) } else { b });
    match text {
        Some(b"") if style.usage.is_log() && !style.quote => write_absent(style, out),
        Some(bytes) => write_value(bytes, style, out),
        None => {
            if style.quote {
                out.push(b'"');
            }
            sample.write_text(out);
            if style.quote {
                out.push(b'"');
            }
        }
    }
}

/// The bytes of an expression: as they are in a log, but for line ends. HAProxy lets those pass too, and with them
/// forged lines; they are masked here.
fn write_value(bytes: &[u8], style: Style, out: &mut Vec<u8>) {
    if !style.usage.is_log() {
        return write_text(Some(bytes), style, out);
    }
    if style.quote {
        out.push(b'"');
    }
    for b in bytes {
        match b {
            b'\r' | b'\n' => mask(b'#', *b, out),
            b'"' | b'\\' | b']' if style.escape => out.extend_from_slice(&[b'\\', *b]),
            _ => out.push(*b),
        }
    }
    if style.quote {
        out.push(b'"');
    }
}

/// Writes a number, in hexadecimal with `+X`.
pub fn write_number(n: i64, style: Style, out: &mut Vec<u8>) {
    if style.hex {
        return push_hex_number(out, n as u64, 1);
    }
    push_int(out, n);
}

/// Writes an address, in hexadecimal with `+X`.
pub fn write_ip(ip: IpAddr, style: Style, out: &mut Vec<u8>) {
    let quote = style.quote && !style.hex;
    if quote {
        out.push(b'"');
    }
    match (style.hex, ip) {
        (true, IpAddr::V4(a)) => push_hex_number(out, u32::from(a) as u64, 8),
        (true, IpAddr::V6(a)) => crate::language::sample::cast::push_hex(out, &a.octets()),
        (false, ip) => push_ip(out, &ip),
    }
    if quote {
        out.push(b'"');
    }
}

/// Upper-case hexadecimal digits, at least `width`.
pub fn push_hex_number(out: &mut Vec<u8>, n: u64, width: usize) {
    let digits = (64 - n.leading_zeros() as usize).div_ceil(4).max(width);
    for i in (0..digits).rev() {
        out.push(b"0123456789ABCDEF"[(n >> (i * 4)) as usize & 15]);
    }
}

fn write_masked(text: &[u8], style: Style, out: &mut Vec<u8>) {
    if style.usage == Usage::Value && !style.escape {
        return out.extend_from_slice(text);
    }
    for b in text {
        match b {
            b'"' | b'\\' | b']' if style.escape => out.extend_from_slice(&[b'\\', *b]),
            // What could break or forge a line becomes #XX; a quote does too inside quotes.
            0..=31 | 127.. if style.usage.is_log() => mask(b'#', *b, out),
            // A head's lines must stay lines.
            0..=8 | 10..=31 | 127 if style.usage == Usage::Header => mask(b'%', *b, out),
            b'"' | b'#' if style.usage.is_log() && !style.escape => mask(b'#', *b, out),
            _ => out.push(*b),
        }
    }
}

fn mask(mark: u8, b: u8, out: &mut Vec<u8>) {
    out.push(mark);
    push_hex_number(out, b as u64, 2);
}
