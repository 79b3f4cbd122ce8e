//! Hashes, digests and keyed digests (manual 7.3.1).

use super::{Convert, bytes_of, row};
use crate::base::hash;
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::sample::{Arg, Args, Sample, Type};
use crate::language::vars::VarName;
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use std::sync::Arc;

const OPTION: &str = "[integer]";

pub const ROWS: &[Convert] = &[
    row("crc32", OPTION, Type::Bin, Type::Sint, |a, s, _| hash32(a, s, hash::crc32)),
    row("crc32c", OPTION, Type::Bin, Type::Sint, |a, s, _| hash32(a, s, hash::crc32c)),
    row("djb2", OPTION, Type::Bin, Type::Sint, |a, s, _| hash32(a, s, hash::djb2)),
    row("sdbm", OPTION, Type::Bin, Type::Sint, |a, s, _| hash32(a, s, hash::sdbm)),
    row("xxh32", OPTION, Type::Bin, Type::Sint, |a, s, _| {
        Some(Sample::Sint(hash::xxh32(bytes_of(s)?.as_slice(), a.int(0).unwrap_or(0) as u32) as i64))
    }),
    row("xxh64", OPTION, Type::Bin, Type::Sint, |a, s, _| {
        Some(Sample::Sint(hash::xxh64(bytes_of(s)?.as_slice(), a.int(0).unwrap_or(0) as u64) as i64))
    }),
    row("xxh3", OPTION, Type::Bin, Type::Sint, |a, s, _| {
        Some(Sample::Sint(hash::xxh3(bytes_of(s)?.as_slice(), a.int(0).unwrap_or(0) as u64) as i64))
    }),
    row("sha1", "", Type::Bin, Type::Bin, |_, s, cx| digested(&digest::SHA1_FOR_LEGACY_USE_ONLY, s, cx)),
    row("sha2", OPTION, Type::Bin, Type::Bin, |a, s, cx| digested(sha2(a.int(0).unwrap_or(256))?, s, cx))
        .checked(check_sha2),
    row("digest", "string", Type::Bin, Type::Bin, |a, s, cx| digested(algorithm(a.str(0)?)?, s, cx))
        .checked(check_digest),
    row("hmac", "string,string", Type::Bin, Type::Bin, keyed).checked(check_hmac),
    row("secure_memcmp", "string", Type::Bin, Type::Bool, |a, s, cx| {
        let Arg::Var(name) = a.get(0) else { return None };
        let other = cx.vars.get(name, cx.pool)?;
        let (a, b) = (bytes_of(s)?, other.bytes()?);
        let a = a.as_slice();
        Some(Sample::Bool(a.len() == b.len() && aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()))
    })
    .checked(crate::language::sample::fetch::check_var),
];

/// With 1 as its argument the hash is mixed by the full avalanche.
fn hash32<'c>(args: &'c Args, s: Sample<'c>, hash: fn(&[u8]) -> u32) -> Option<Sample<'c>> {
    let h = hash(bytes_of(s)?.as_slice());
    Some(Sample::Sint(if args.int(0).unwrap_or(0) != 0 { hash::avalanche(h) } else { h } as i64))
}

fn sha2(bits: i64) -> Option<&'static digest::Algorithm> {
    Some(match bits {
        224 => &digest::SHA224,
        256 => &digest::SHA256,
        384 => &digest::SHA384,
        512 => &digest::SHA512,
        _ => return None,
    })
}

fn check_sha2(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    let bits = args.int(0).unwrap_or(256);
    sha2(bits).map(drop).ok_or_else(|| format!("Unsupported number of bits: '{bits}'"))
}

/// A digest by OpenSSL's name.
fn algorithm(name: &[u8]) -> Option<&'static digest::Algorithm> {
    Some(match name.to_ascii_lowercase().as_slice() {
        b"sha1" | b"sha-1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        b"sha224" | b"sha-224" | b"sha2-224" => &digest::SHA224,
        b"sha256" | b"sha-256" | b"sha2-256" => &digest::SHA256,
        b"sha384" | b"sha-384" | b"sha2-384" => &digest::SHA384,
        b"sha512" | b"sha-512" | b"sha2-512" => &digest::SHA512,
        b"sha3-256" => &digest::SHA3_256,
        b"sha3-384" => &digest::SHA3_384,
        b"sha3-512" => &digest::SHA3_512,
        _ => return None,
    })
}

fn hmac_algorithm(name: &[u8]) -> Option<hmac::Algorithm> {
    Some(match name.to_ascii_lowercase().as_slice() {
        b"sha1" | b"sha-1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        b"sha224" | b"sha-224" => hmac::HMAC_SHA224,
        b"sha256" | b"sha-256" => hmac::HMAC_SHA256,
        b"sha384" | b"sha-384" => hmac::HMAC_SHA384,
        b"sha512" | b"sha-512" => hmac::HMAC_SHA512,
        _ => return None,
    })
}

fn check_digest(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    known(args, |n| algorithm(n).is_some())
}

/// Digests that OpenSSL has and our provider lacks are refused by name.
fn known(args: &Args, has: impl Fn(&[u8]) -> bool) -> Result<(), String> {
    let name = args.str(0).unwrap_or_default();
    let text = String::from_utf8_lossy(name);
    match has(name) {
        true => Ok(()),
        false
            if ["md5", "ripemd160", "sm3", "blake2b512", "blake2s256"]
                .contains(&text.to_ascii_lowercase().as_str()) =>
        {
            Err(crate::language::words::unsupported(&text))
        }
        false => Err(format!("Algorithm '{text}' is not supported")),
    }
}

/// The key is base64 text or a variable that holds such text.
fn check_hmac(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    known(args, |n| hmac_algorithm(n).is_some())?;
    let word = args.text(1).unwrap_or_default();
    let arg = match VarName::parse(word) {
        Ok(name) => Arg::Var(Arc::new(name)),
        Err(_) => match base64::engine::general_purpose::STANDARD.decode(word) {
            Ok(key) => Arg::Str(key.into()),
            Err(_) => return Err("failed to parse key".into()),
        },
    };
    args.put(1, arg);
    Ok(())
}

fn digested<'c>(algorithm: &'static digest::Algorithm, s: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let mut out = cx.buf();
    out.extend_from_slice(digest::digest(algorithm, bytes_of(s)?.as_slice()).as_ref());
    Some(Sample::bin_buf(out))
}

fn keyed<'c>(args: &'c Args, s: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let mut decoded = cx.buf();
    let key = match args.get(1) {
        Arg::Str(key) => &**key,
        Arg::Var(name) => {
            let value = cx.vars.get(name, cx.pool)?;
            base64::engine::general_purpose::STANDARD.decode_vec(value.bytes()?, &mut decoded).ok()?;
            &decoded
        }
        _ => return None,
    };
    let key = hmac::Key::new(hmac_algorithm(args.str(0)?)?, key);
    let mut out = cx.buf();
    out.extend_from_slice(hmac::sign(&key, bytes_of(s)?.as_slice()).as_ref());
    Some(Sample::bin_buf(out))
}
