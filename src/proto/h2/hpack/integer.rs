//! Integers with a prefix of N bits (RFC 7541 §5.1).

use super::HpackError;

/// The largest integer that is taken: far above any string that fits a head and any table.
pub const MAX: usize = (1 << 28) - 1;

/// Reads an integer whose first byte is `input[0]` and whose prefix has `bits` bits. Gives value and length.
#[inline]
pub fn decode(input: &[u8], bits: u32) -> Result<(usize, usize), HpackError> {
    let mask = (1usize << bits) - 1;
    let first = *input.first().ok_or(HpackError::Truncated)?;
    let value = usize::from(first) & mask;
    if value < mask {
        return Ok((value, 1));
    }
    decode_long(input, value)
}

/// The bytes after a full prefix. At most four of 7 bits, and zeros after them are as wrong as what is too large.
fn decode_long(input: &[u8], prefix: usize) -> Result<(usize, usize), HpackError> {
    let mut value = prefix;
    for at in 1..=4 {
        let byte = *input.get(at).ok_or(HpackError::Truncated)?;
        value += usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte < 0x80 {
            return if value <= MAX { Ok((value, at + 1)) } else { Err(HpackError::IntegerTooLarge) };
        }
    }
    Err(HpackError::IntegerTooLarge)
}

/// Appends `value`; the bits above the prefix in the first byte are those of `first`.
#[inline]
pub fn encode(value: usize, bits: u32, first: u8, out: &mut Vec<u8>) {
    let mask = (1usize << bits) - 1;
    if value < mask {
        out.push(first | value as u8);
        return;
    }
    out.push(first | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_the_rfc() {
        // RFC 7541 C.1.1 to C.1.3.
        for (value, bits, bytes) in [(10, 5, &[10][..]), (1337, 5, &[31, 154, 10]), (42, 8, &[42])] {
            let mut out = Vec::new();
            encode(value, bits, 0, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(decode(bytes, bits), Ok((value, bytes.len())));
        }
    }

    #[test]
    fn every_integer_is_read_as_written() {
        for bits in 1..=8 {
            for value in (0..3000).chain([MAX - 1, MAX]) {
                let mut out = Vec::new();
                encode(value, bits, 0, &mut out);
                assert_eq!(decode(&out, bits), Ok((value, out.len())), "{value} in {bits}");
            }
        }
    }

    #[test]
    fn integers_without_end_are_refused() {
        assert_eq!(decode(&[], 7), Err(HpackError::Truncated));
        assert_eq!(decode(&[0x7f], 7), Err(HpackError::Truncated));
        assert_eq!(decode(&[0x7f, 0x80], 7), Err(HpackError::Truncated));
        assert_eq!(decode(&[0x7f, 0xff, 0xff, 0xff, 0x7f], 7), Err(HpackError::IntegerTooLarge));
        assert_eq!(decode(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0x00], 7), Err(HpackError::IntegerTooLarge));
    }
}
