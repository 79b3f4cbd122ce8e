//! Encodings (manual 7.3.1): hexadecimal, base64, URL, fixed-width numbers.

use super::{Convert, bytes_of, row};
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::sample::cast::{push_hex, push_int};
use crate::language::sample::{Args, Sample, Type};
use base64::Engine;
use base64::alphabet::URL_SAFE as URL_ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, URL_SAFE_NO_PAD};

const CHUNKS: &str = "string[,integer,integer]";
/// Decoding of base64 wants the padding; of base64url it may be left out.
const PADDED: GeneralPurpose = STANDARD;
const URL: GeneralPurpose = GeneralPurpose::new(
    &URL_ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub const ROWS: &[Convert] = &[
    row("hex", "", Type::Bin, Type::Str, |_, s, cx| {
        let mut out = cx.buf();
        push_hex(&mut out, bytes_of(s)?.as_slice());
        Some(Sample::str_buf(out))
    }),
    row("hex2i", "", Type::Str, Type::Sint, hex2i),
    row("base2", "", Type::Bin, Type::Str, |_, s, cx| {
        let mut out = cx.buf();
        for b in bytes_of(s)?.as_slice() {
            out.extend((0..8).rev().map(|bit| b'0' + (b >> bit & 1)));
        }
        Some(Sample::str_buf(out))
    }),
    row("base64", "", Type::Bin, Type::Str, |_, s, cx| encoded(&STANDARD, s, cx)),
    row("ub64enc", "", Type::Bin, Type::Str, |_, s, cx| encoded(&URL_SAFE_NO_PAD, s, cx)),
    row("b64dec", "", Type::Str, Type::Bin, |_, s, cx| decoded(&PADDED, s, cx)),
    row("ub64dec", "", Type::Str, Type::Bin, |_, s, cx| decoded(&URL, s, cx)),
    row("url_dec", "[integer]", Type::Str, Type::Str, url_dec),
    row("url_enc", "string", Type::Str, Type::Str, url_enc).checked(check_url_enc),
    row("be2dec", CHUNKS, Type::Bin, Type::Str, |a, s, cx| chunks(a, s, cx, Order::Big)).checked(check_chunks),
    row("le2dec", CHUNKS, Type::Bin, Type::Str, |a, s, cx| chunks(a, s, cx, Order::Little)).checked(check_chunks),
    row("be2hex", CHUNKS, Type::Bin, Type::Str, be2hex).checked(check_chunks_hex),
];

fn encoded<'c>(engine: &GeneralPurpose, s: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let bytes = bytes_of(s)?;
    let mut out = cx.buf();
    out.resize(base64::encoded_len(bytes.as_slice().len(), true)?, 0);
    let len = engine.encode_slice(bytes.as_slice(), &mut out).ok()?;
    out.truncate(len);
    Some(Sample::str_buf(out))
}

fn decoded<'c>(engine: &GeneralPurpose, s: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    engine.decode_vec(bytes_of(s)?.as_slice(), &mut out).ok()?;
    Some(Sample::bin_buf(out))
}

fn hex_digit(b: u8) -> Option<u8> {
    (b as char).to_digit(16).map(|d| d as u8)
}

/// Hexadecimal digits as a number; no sample when there is anything else.
fn hex2i<'c>(_: &'c Args, s: Sample<'c>, _: &'c Context<'_>) -> Option<Sample<'c>> {
    let bytes = bytes_of(s)?;
    let text = bytes.as_slice();
    let digits = text.iter().map(|b| hex_digit(*b));
    let n = digits.into_iter().try_fold(0i64, |n, d| Some((n << 4).wrapping_add(d? as i64)))?;
    Some(Sample::Sint(n))
}

/// Undoes `%XX`; a `+` is a blank behind the first `?`, or everywhere with a non-zero argument.
fn url_dec<'c>(args: &'c Args, s: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let bytes = bytes_of(s)?;
    let text = bytes.as_slice();
    let mut out = cx.buf();
    let mut in_form = args.int(0).unwrap_or(0) != 0;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'+' if in_form => out.push(b' '),
            b'%' => {
                // A broken escape means that this is no URL at all.
                let pair = text.get(at + 1..at + 3)?;
                out.push(hex_digit(pair[0])? << 4 | hex_digit(pair[1])?);
                at += 2;
            }
            b => {
                in_form |= b == b'?';
                out.push(b);
            }
        }
        at += 1;
    }
    Some(Sample::str_buf(out))
}

fn check_url_enc(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    match args.str(0) {
        None | Some(b"" | b"query") => Ok(()),
        Some(other) => {
            Err(format!("Unsupported encoding type '{}'. Should be 'query'", String::from_utf8_lossy(other)))
        }
    }
}

/// Everything but RFC 3986's unreserved characters becomes `%XX`.
fn url_enc<'c>(_: &'c Args, s: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    for b in bytes_of(s)?.as_slice() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*b),
            _ => {
                out.push(b'%');
                push_hex(&mut out, &[*b]);
            }
        }
    }
    Some(Sample::str_buf(out))
}

fn check_chunks(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    match args.int(1) {
        Some(n) if (1..=8).contains(&n) => Ok(()),
        n => Err(format!("chunk_size out of [1..8] range ({})", n.unwrap_or(0))),
    }
}

fn check_chunks_hex(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    match (args.str(0), args.int(1)) {
        (Some(separator), None | Some(0)) if !separator.is_empty() => {
            Err("chunk size needed when separator is set".into())
        }
        (_, Some(n)) if n < 0 => Err("chunk size must be positive".into()),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Big,
    Little,
}

/// Fixed-width numbers in decimal between separators; a last part that is too short counts unless told otherwise.
fn chunks<'c>(args: &'c Args, s: Sample<'c>, cx: &'c Context<'_>, order: Order) -> Option<Sample<'c>> {
    let width = args.int(1).unwrap_or(2).clamp(1, 8) as usize;
    let whole_only = args.int(2).unwrap_or(0) != 0;
    let bytes = bytes_of(s)?;
    let mut out = cx.buf();
    for chunk in bytes.as_slice().chunks(width).filter(|c| !whole_only || c.len() == width) {
        if !out.is_empty() {
            out.extend_from_slice(args.str(0).unwrap_or_default());
        }
        let n = match order {
            Order::Big => chunk.iter().fold(0u64, |n, b| n << 8 | *b as u64),
            Order::Little => chunk.iter().rev().fold(0u64, |n, b| n << 8 | *b as u64),
        };
        push_int(&mut out, n as i64);
    }
    Some(Sample::str_buf(out))
}

fn be2hex<'c>(args: &'c Args, s: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let width = args.int(1).unwrap_or(0).max(0) as usize;
    let whole_only = args.int(2).unwrap_or(0) != 0;
    let bytes = bytes_of(s)?;
    let text = bytes.as_slice();
    let mut out = cx.buf();
    if width == 0 {
        push_hex(&mut out, text);
        return Some(Sample::str_buf(out));
    }
    for chunk in text.chunks(width).filter(|c| !whole_only || c.len() == width) {
        if !out.is_empty() {
            out.extend_from_slice(args.str(0).unwrap_or_default());
        }
        push_hex(&mut out, chunk);
    }
    Some(Sample::str_buf(out))
}
