//! Encodings: hexadecimal, base64 (manual 7.3.1).

use super::{Convert, bytes_of, row};
use crate::language::sample::cast::push_hex;
use crate::language::sample::{Sample, Type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub const ROWS: &[Convert] = &[
    row("hex", "", Type::Bin, Type::Str, |_, s, cx| {
        let mut out = cx.buf();
        push_hex(&mut out, bytes_of(s)?.as_slice());
        Some(Sample::str_buf(out))
    }),
    row("base64", "", Type::Bin, Type::Str, |_, s, cx| {
        let mut out = cx.buf();
        let bytes = bytes_of(s)?;
        let len = bytes.as_slice().len().div_ceil(3) * 4;
        out.resize(len, 0);
        STANDARD.encode_slice(bytes.as_slice(), &mut out).ok()?;
        Some(Sample::str_buf(out))
    }),
];
