//! The Huffman code of HPACK (RFC 7541 §5.2 and appendix B).
//!
//! The code is canonical: its lengths alone give every code, so the lengths are the only table here and what is looked
//! up at run time is computed from them by the compiler.

use super::HpackError;

/// Bits of the code of each byte, and of EOS at the end.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// Symbols in the order of their codes: by length, then by value.
const ORDERED: [u16; 257] = {
    let mut ordered = [0; 257];
    let (mut length, mut at) = (1, 0);
    while length <= 30 {
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol as usize] == length {
                ordered[at] = symbol;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    ordered
};

/// Codes of all bytes, in the low bits.
const CODES: [u32; 257] = {
    let mut codes = [0; 257];
    let (mut code, mut at) = (0u32, 0);
    while at < 257 {
        let symbol = ORDERED[at] as usize;
        if at > 0 {
            code = (code + 1) << (LENGTHS[symbol] - LENGTHS[ORDERED[at - 1] as usize]);
        }
        codes[symbol] = code;
        at += 1;
    }
    // RFC 7541 appendix B: EOS is all ones; also proves that the lengths make a complete code.
    assert!(codes[256] == 0x3fff_ffff);
    codes
};

/// Bits that the first look at a code takes: nearly all text needs no second one.
const SHORT: u32 = 8;

/// For each first byte: the symbol and the bits of its code, 0 if that is longer.
const FIRST: [(u8, u8); 1 << SHORT] = {
    let mut first = [(0, 0); 1 << SHORT];
    let mut symbol = 0;
    while symbol < 256 {
        let length = LENGTHS[symbol] as u32;
        if length <= SHORT {
            let start = CODES[symbol] << (SHORT - length);
            let mut at = 0;
            while at < 1 << (SHORT - length) {
                first[(start + at) as usize] = (symbol as u8, length as u8);
                at += 1;
            }
        }
        symbol += 1;
    }
    first
};

/// Of each length: the end of its codes, in the high bits of 32; the first code; where its symbols are in ORDERED.
struct Class {
    end: u64,
    first: u32,
    at: u16,
    bits: u8,
}

/// How many lengths above [`SHORT`] there are.
const LONG_CLASSES: usize = 17;

const LONG: [Class; LONG_CLASSES] = {
    let mut classes = [const { Class { end: 0, first: 0, at: 0, bits: 0 } }; LONG_CLASSES];
    let (mut class, mut at) = (0, 0);
    while at < 257 {
        let bits = LENGTHS[ORDERED[at] as usize];
        let mut last = at;
        while last + 1 < 257 && LENGTHS[ORDERED[last + 1] as usize] == bits {
            last += 1;
        }
        if bits as u32 > SHORT {
            let end = (CODES[ORDERED[last] as usize] as u64 + 1) << (32 - bits);
            classes[class] = Class { end, first: CODES[ORDERED[at] as usize], at: at as u16, bits };
            class += 1;
        }
        at = last + 1;
    }
    assert!(class == LONG_CLASSES);
    classes
};

/// Code and bits of each byte, side by side.
const ENCODED: [(u32, u32); 256] = {
    let mut encoded = [(0, 0); 256];
    let mut byte = 0;
    while byte < 256 {
        encoded[byte] = (CODES[byte], LENGTHS[byte] as u32);
        byte += 1;
    }
    encoded
};

/// Bytes that `text` takes when encoded.
#[inline]
pub fn encoded_len(text: &[u8]) -> usize {
    let bits: u32 = text.iter().map(|&b| u32::from(LENGTHS[usize::from(b)])).sum();
    bits.div_ceil(8) as usize
}

/// Appends the code of `text`, padded with ones.
pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut pending, mut held) = (0u64, 0u32);
    for &byte in text {
        let (code, bits) = ENCODED[usize::from(byte)];
        pending = pending << bits | u64::from(code);
        held += bits;
        if held >= 32 {
            held -= 32;
            out.extend_from_slice(&((pending >> held) as u32).to_be_bytes());
        }
    }
    // Under 32 bits are left.
    let bytes = held.div_ceil(8);
    if bytes > 0 {
        let padding = bytes * 8 - held;
        let last = (pending << padding | ((1 << padding) - 1)) as u32;
        out.extend_from_slice(&last.to_be_bytes()[4 - bytes as usize..]);
    }
}

/// Appends the text of `coded`: at most 8/5 of its length.
pub fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let start = out.len();
    out.resize(start + coded.len() * 8 / 5, 0);
    let len = decode_into(coded, &mut out[start..])?;
    out.truncate(start + len);
    Ok(())
}

/// Bits of the longest code.
const LONGEST: u32 = 30;

/// Gives the length of the text.
fn decode_into(coded: &[u8], text: &mut [u8]) -> Result<usize, HpackError> {
    let mut len = 0;
    // The next bits are the high ones of `window`; the first `held` of them count.
    let (mut window, mut held) = (0u64, 0u32);
    let mut rest = coded;
    while let Some(eight) = rest.first_chunk::<8>() {
        window |= u64::from_be_bytes(*eight) >> held;
        let whole = (64 - held) / 8;
        rest = &rest[whole as usize..];
        held += whole * 8;
        while held >= LONGEST {
            let (symbol, bits) = next(window).ok_or(HpackError::Huffman)?;
            text[len] = symbol;
            len += 1;
            window <<= bits;
            held -= bits;
        }
    }
    loop {
        while held <= 56 {
            let Some((&byte, after)) = rest.split_first() else { break };
            window |= u64::from(byte) << (56 - held);
            held += 8;
            rest = after;
        }
        if held == 0 {
            return Ok(len);
        }
        match next(window) {
            Some((symbol, bits)) if bits <= held => {
                text[len] = symbol;
                len += 1;
                window <<= bits;
                held -= bits;
            }
            // RFC 7541 §5.2: what is left is fewer than 8 bits, all ones, so the beginning of EOS.
            _ if held < 8 && window >> (64 - held) == (1 << held) - 1 => return Ok(len),
            _ => return Err(HpackError::Huffman),
        }
    }
}

/// The symbol at the high end and the bits of its code; None for EOS.
#[inline]
fn next(window: u64) -> Option<(u8, u32)> {
    let (symbol, bits) = FIRST[(window >> 56) as usize];
    if bits > 0 {
        return Some((symbol, u32::from(bits)));
    }
    next_long((window >> 32) as u32)
}

fn next_long(high: u32) -> Option<(u8, u32)> {
    let class = LONG.iter().find(|class| u64::from(high) < class.end)?;
    let code = high >> (32 - class.bits);
    let symbol = ORDERED[usize::from(class.at) + (code - class.first) as usize];
    Some((u8::try_from(symbol).ok()?, u32::from(class.bits)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    #[test]
    fn strings_of_the_rfc() {
        // RFC 7541 C.4.1, C.4.2, C.6.1.
        for (text, coded) in [
            (&b"www.example.com"[..], &b"\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..]),
            (b"no-cache", b"\xa8\xeb\x10\x64\x9c\xbf"),
            (b"302", b"\x64\x02"),
            (b"private", b"\xae\xc3\x77\x1a\x4b"),
        ] {
            let mut out = Vec::new();
            encode(text, &mut out);
            assert_eq!(out, coded);
            assert_eq!(encoded_len(text), coded.len());
            assert_eq!(decoded(coded), Ok(text.to_vec()));
        }
    }

    #[test]
    fn every_pair_of_bytes_comes_back() {
        for a in 0..=255 {
            for b in 0..=255 {
                let text = [a, b, b'x', a];
                let mut coded = Vec::new();
                encode(&text, &mut coded);
                assert_eq!(coded.len(), encoded_len(&text));
                assert_eq!(decoded(&coded), Ok(text.to_vec()));
            }
        }
    }

    #[test]
    fn wrong_padding_and_eos_are_refused() {
        // `a` is 00011; then padding of zeros, of a whole byte, and EOS.
        assert_eq!(decoded(b"\x1f"), Ok(b"a".to_vec()));
        assert_eq!(decoded(b"\x18"), Err(HpackError::Huffman));
        assert_eq!(decoded(b"\x1f\xff"), Err(HpackError::Huffman));
        assert_eq!(decoded(b"\xff\xff\xff\xff"), Err(HpackError::Huffman));
        assert_eq!(decoded(b"\xff\xff\xff\xfc"), Err(HpackError::Huffman));
        assert_eq!(decoded(b"\xff"), Err(HpackError::Huffman));
        assert_eq!(decoded(b""), Ok(Vec::new()));
    }
}
