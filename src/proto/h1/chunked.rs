//! The chunked coding (RFC 9112 §7.1), decoded without copying: the caller shows bytes as they arrive, split anywhere,
//! and gets back which of them are data. Sizes are hexadecimal digits and every line ends in CRLF, nothing looser;
//! chunk extensions are dropped, as HAProxy drops them; trailers are collected within the bounds of a head.

use std::ops::Range;

use super::error::{Fault, ParseError, Side};
use super::parse::{Limits, parse_trailers};
use crate::proto::http::head::Head;

/// What the decoder found at the start of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All input was consumed and more is needed.
    NeedMore,
    /// These bytes of the input are body data. Never empty.
    Data(Range<usize>),
    /// The body and its trailers are complete.
    End,
}

/// Bytes of one size line, extensions included. HAProxy's bound is its buffer; nobody sends such extensions.
const SIZE_LINE_MAX: u16 = 4096;

/// Chunks are smaller than 2^60 bytes (HAProxy 3.4 refuses from 2^63 on), so that sums cannot overflow.
const SIZE_MAX: u64 = 1 << 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    FirstDigit,
    Digits,
    /// Blanks after the digits.
    Blanks,
    Extension,
    /// After the CR of a size line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// In the trailers; the last bytes of `raw` tell where.
    Trailers,
    Done,
}

/// An incremental decoder of one chunked body.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    side: Side,
    line_len: u16,
    /// The size being read, then what is left of the chunk.
    remaining: u64,
    limits: Limits,
    /// Trailer lines as received.
    raw: Vec<u8>,
    trailers: Head,
}

impl Decoder {
    /// A decoder of what `side` sends.
    pub fn new(side: Side, limits: &Limits) -> Decoder {
        Decoder {
            state: State::FirstDigit,
            side,
            line_len: 0,
            remaining: 0,
            limits: *limits,
            raw: Vec::new(),
            trailers: Head::new(),
        }
    }

    /// Makes it ready for another body; keeps memory.
    pub fn reset(&mut self, side: Side, limits: &Limits) {
        self.state = State::FirstDigit;
        (self.side, self.limits, self.line_len, self.remaining) = (side, *limits, 0, 0);
        self.raw.clear();
        self.trailers.clear();
    }

    /// Looks at `input`: gives how many bytes of it are dealt with, and what they were. Call again with the rest until
    /// it answers `NeedMore` or `End`; data is always at the end of the bytes dealt with.
    pub fn next(&mut self, input: &[u8]) -> Result<(usize, Event), ParseError> {
        let mut at = 0;
        while at < input.len() {
            match self.state {
                State::Data => {
                    let n = self.remaining.min((input.len() - at) as u64) as usize;
                    self.remaining -= n as u64;
                    if self.remaining == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok((at + n, Event::Data(at..at + n)));
                }
                State::Trailers => {
                    at += self.take_trailer_line(&input[at..], at)?;
                    if self.state == State::Done {
                        return Ok((at, Event::End));
                    }
                }
                State::Done => return Ok((at, Event::End)),
                _ => {
                    self.framing_byte(input[at], at)?;
                    at += 1;
                }
            }
        }
        Ok((at, if self.state == State::Done { Event::End } else { Event::NeedMore }))
    }

    /// Whether the end of the body was seen.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer fields, once the end was seen.
    pub fn trailers(&self) -> &Head {
        &self.trailers
    }

    /// The bytes that are still data in the current chunk: a caller may pass that many on unseen (and must then call
    /// [`Decoder::skip`]).
    pub fn data_remaining(&self) -> u64 {
        if self.state == State::Data { self.remaining } else { 0 }
    }

    /// Accounts for `n` bytes of data that were moved without being shown, at most [`Decoder::data_remaining`].
    pub fn skip(&mut self, n: u64) {
        debug_assert!(n <= self.data_remaining());
        self.remaining = self.remaining.saturating_sub(n);
        if self.state == State::Data && self.remaining == 0 {
            self.state = State::DataCr;
        }
    }

    fn framing_byte(&mut self, byte: u8, at: usize) -> Result<(), ParseError> {
        if matches!(self.state, State::Digits | State::Blanks | State::Extension) {
            self.line_len += 1;
            if self.line_len > SIZE_LINE_MAX {
                return self.refuse(Fault::ChunkExtension, at);
            }
        }
        self.state = match (self.state, byte) {
            (State::FirstDigit | State::Digits, b) if b.is_ascii_hexdigit() => {
                let digit = (b as char).to_digit(16).unwrap_or(0);
                self.remaining = self.remaining << 4 | u64::from(digit);
                if self.remaining >= SIZE_MAX {
                    return self.refuse(Fault::ChunkSize, at);
                }
                State::Digits
            }
            (State::Digits | State::Blanks | State::Extension, b'\r') => State::SizeLf,
            (State::Digits | State::Blanks, b' ' | b'\t') => State::Blanks,
            (State::Digits | State::Blanks, b';') => State::Extension,
            // Stricter than HAProxy, which refuses only NUL, CR and LF in here.
            (State::Extension, b) if b == b'\t' || (b >= b' ' && b != 0x7f) => State::Extension,
            (State::SizeLf, b'\n') => {
                self.line_len = 0;
                if self.remaining == 0 { State::Trailers } else { State::Data }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::FirstDigit,
            (State::Extension, _) => return self.refuse(Fault::ChunkExtension, at),
            (State::DataCr | State::DataLf, _) => return self.refuse(Fault::ChunkEnd, at),
            _ => return self.refuse(Fault::ChunkSize, at),
        };
        Ok(())
    }

    /// Takes bytes up to the end of a trailer line; the empty line completes the body.
    fn take_trailer_line(&mut self, input: &[u8], at: usize) -> Result<usize, ParseError> {
        let n = memchr::memchr(b'\n', input).map_or(input.len(), |lf| lf + 1);
        if self.raw.len() + n > self.limits.head_bytes {
            return self.refuse(Fault::Trailer, at);
        }
        self.raw.extend_from_slice(&input[..n]);
        let ended = self.raw == b"\r\n" || self.raw.ends_with(b"\n\r\n");
        if !ended && (self.raw == b"\n" || self.raw.ends_with(b"\n\n")) {
            return self.refuse(Fault::LineEnd, at);
        }
        if ended {
            if self.raw.len() > 2 {
                parse_trailers(&self.raw, self.side, &self.limits, &mut self.trailers)?;
            }
            self.state = State::Done;
        }
        Ok(n)
    }

    fn refuse<T>(&self, fault: Fault, at: usize) -> Result<T, ParseError> {
        Err(ParseError { fault, side: self.side, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Outcome = Result<(Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>, Vec<u8>), Fault>;

    /// Feeds the pieces one after another: data, trailers and what was left over.
    fn decode(pieces: &[&[u8]]) -> Outcome {
        let mut decoder = Decoder::new(Side::Client, &Limits::REQUEST);
        let (mut data, mut left) = (Vec::new(), Vec::new());
        for piece in pieces {
            let mut at = 0;
            while at < piece.len() {
                if decoder.is_done() {
                    left.extend_from_slice(&piece[at..]);
                    break;
                }
                let (n, event) = decoder.next(&piece[at..]).map_err(|e| e.fault)?;
                if let Event::Data(range) = event {
                    assert_eq!(range.end, n);
                    data.extend_from_slice(&piece[at..][range]);
                }
                at += n;
            }
        }
        assert!(decoder.is_done(), "unfinished");
        let trailers = decoder.trailers().fields().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        Ok((data, trailers, left))
    }

    #[test]
    fn chunked_body_split_at_every_byte() {
        let body = b"5;x=\"y\"\r\nhello\r\n00a \r\n, world...\r\n0\r\nX-T: 1\r\nY:\r\n 2\r\n\r\nGET /next";
        let whole = decode(&[body]).unwrap();
        assert_eq!(whole.0, b"hello, world...");
        assert_eq!(whole.1, [(b"x-t".to_vec(), b"1".to_vec()), (b"y".to_vec(), b"2".to_vec())]);
        assert_eq!(whole.2, b"GET /next");
        for split in 0..body.len() {
            assert_eq!(decode(&[&body[..split], &body[split..]]).as_ref(), Ok(&whole), "split at {split}");
        }
        let single: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(decode(&single).as_ref(), Ok(&whole));
    }

    #[test]
    fn loose_chunk_syntax_is_refused() {
        for (body, fault) in [
            (&b"5\nhello\r\n0\r\n\r\n"[..], Fault::ChunkSize),
            (b"5\r\nhello\n0\r\n\r\n", Fault::ChunkEnd),
            (b"5\r\nhelloX\r\n", Fault::ChunkEnd),
            (b" 5\r\n", Fault::ChunkSize),
            (b"+5\r\n", Fault::ChunkSize),
            (b"0x5\r\n", Fault::ChunkSize),
            (b"\r\n", Fault::ChunkSize),
            (b";a\r\n", Fault::ChunkSize),
            (b"5 5\r\n", Fault::ChunkSize),
            (b"5\r\r\n", Fault::ChunkSize),
            (b"10000000000000005\r\n", Fault::ChunkSize),
            (b"5;a\nb\r\n", Fault::ChunkExtension),
            (b"5;a\rb\r\n", Fault::ChunkSize),
            (b"5;a\0\r\n", Fault::ChunkExtension),
            (b"0\r\n\n", Fault::LineEnd),
            (b"0\r\nX: 1\n\r\n", Fault::LineEnd),
            (b"0\r\nX Y: 1\r\n\r\n", Fault::FieldName),
            (b"0\r\nX: \0\r\n\r\n", Fault::FieldValue),
            (b"0\r\nContent-Length: 1\r\n\r\n", Fault::Trailer),
        ] {
            assert_eq!(decode(&[body]), Err(fault), "{}", body.escape_ascii());
        }
        let long = [b"5;".to_vec(), vec![b'a'; 5000], b"\r\nhello\r\n".to_vec()].concat();
        assert_eq!(decode(&[&long]), Err(Fault::ChunkExtension));
        let many = [b"0\r\n".to_vec(), b"X: 1\r\n".repeat(101), b"\r\n".to_vec()].concat();
        assert_eq!(decode(&[&many]), Err(Fault::TooManyFields));
        let large = [b"0\r\nX: ".to_vec(), vec![b'a'; 16000], b"\r\n\r\n".to_vec()].concat();
        assert_eq!(decode(&[&large]), Err(Fault::Trailer));
    }

    #[test]
    fn data_may_be_moved_unseen() {
        let mut decoder = Decoder::new(Side::Server, &Limits::RESPONSE);
        assert_eq!(decoder.next(b"10\r\nab"), Ok((6, Event::Data(4..6))));
        assert_eq!(decoder.data_remaining(), 14);
        decoder.skip(14);
        assert_eq!(decoder.next(b"\r\n0\r\n\r\nX"), Ok((7, Event::End)));
    }
}
