//! Where and why the tokenizer refused a head: for `show errors`, and for the status of the reply. Decides nothing.

use super::error::Fault;

/// Finds what `httparse` stumbled over, for the error and its place.
pub(super) fn explain(input: &[u8], error: httparse::Error) -> (Fault, usize) {
    let start = input.iter().take_while(|&&b| b == b'\r' || b == b'\n').count();
    let line_len = memchr::memchr(b'\n', &input[start..]).unwrap_or(input.len() - start);
    let line = &input[start..start + line_len];
    let word = |n: usize| line.split(|&b| b == b' ').take(n).map(|w| w.len() + 1).sum::<usize>() + start;
    match error {
        httparse::Error::Token => {
            let is_method = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
            match line.iter().position(|b| !is_method(b)) {
                Some(at) if at > 0 && line[at] == b' ' => (Fault::Uri, word(1)),
                at => (Fault::Method, start + at.unwrap_or(0)),
            }
        }
        httparse::Error::Version if input.starts_with(b"HTTP/") => (Fault::Version, start),
        httparse::Error::Version => (Fault::Version, word(2)),
        httparse::Error::Status => (Fault::Status, word(1)),
        httparse::Error::NewLine => (Fault::LineEnd, start + line_len),
        httparse::Error::TooManyHeaders => (Fault::TooManyFields, input.len()),
        httparse::Error::HeaderName => (Fault::FieldName, bad_field(&input[start..], true) + start),
        httparse::Error::HeaderValue => (Fault::FieldValue, bad_field(&input[start..], false) + start),
    }
}

/// The first byte that no field name (or value) may have, from the second line on.
fn bad_field(input: &[u8], name: bool) -> usize {
    let mut at = 0;
    for line in input.split_inclusive(|&b| b == b'\n') {
        if at > 0 {
            let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
            let bad = if name {
                line[..colon].iter().position(|b| !(b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)))
            } else {
                let text = line.strip_suffix(b"\n").unwrap_or(line);
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                text.iter().position(|&b| (b < 0x20 && b != b'\t') || b == 0x7f)
            };
            if let Some(bad) = bad {
                return at + bad;
            }
        }
        at += line.len();
    }
    at
}
