//! HTTP semantics that every version shares: head, URI, cookies, dates (RFC 9110).

pub mod cookie;
pub mod date;
pub mod head;
pub mod message;
pub mod status;
pub mod uri;

/// Writes `number` in decimal into `digits` and gives the part that was written.
pub(crate) fn decimal(number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &digits[at..];
        }
    }
}

/// Appends `number` in decimal.
pub(crate) fn push_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(decimal(number, &mut [0; 20]));
}
