//! Where a message body ends (RFC 9112 §6.3), decided once per head from its Content-Length and Transfer-Encoding.

use super::error::Fault;
use crate::proto::http::{self, head::Head};

/// How the bytes after a head are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body: the next message follows.
    None,
    /// This many bytes.
    Length(u64),
    /// Chunks; see [`super::chunked::Decoder`].
    Chunked,
    /// Everything until the server closes.
    UntilClose,
    /// No message any more: bytes both ways (CONNECT with 2xx, 101).
    Tunnel,
}

/// What the request of a response was, as far as it decides the framing of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Asked {
    #[default]
    Other,
    Head,
    Connect,
    /// A request with an Upgrade that was passed on.
    Upgrade,
    /// The same to `websocket`.
    WebSocket,
}

impl Asked {
    pub fn of_method(method: &[u8]) -> Asked {
        match method {
            b"HEAD" => Asked::Head,
            b"CONNECT" => Asked::Connect,
            _ => Asked::Other,
        }
    }
}

/// What Transfer-Encoding said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Coding {
    #[default]
    Absent,
    Chunked,
    /// `chunked` at the end, something else below it.
    OtherThenChunked,
    /// Codings, without `chunked` so far.
    Other,
}

impl Coding {
    /// Takes one field line into account. RFC 9112 §6.1: `chunked` is applied at most once, and last.
    pub fn and_line(self, value: &[u8]) -> Result<Coding, Fault> {
        let mut coding = self;
        for token in value.split(|&b| b == b',') {
            let token = token.trim_ascii();
            coding = match (coding, token.eq_ignore_ascii_case(b"chunked")) {
                // An empty element, or anything after `chunked`.
                _ if token.is_empty() => return Err(Fault::TransferEncoding),
                (Coding::Chunked | Coding::OtherThenChunked, _) => return Err(Fault::TransferEncoding),
                (Coding::Absent, true) => Coding::Chunked,
                (Coding::Other, true) => Coding::OtherThenChunked,
                (_, false) => Coding::Other,
            };
        }
        Ok(coding)
    }

    /// The same for a server whose violations are accepted: empty elements and repeated `chunked` say nothing.
    pub fn and_lenient_line(self, value: &[u8]) -> Result<Coding, Fault> {
        let mut coding = self;
        for token in value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty()) {
            if coding != Coding::Chunked || !token.eq_ignore_ascii_case(b"chunked") {
                coding = coding.and_line(token)?;
            }
        }
        Ok(coding)
    }
}

/// Takes one Content-Length line into account: digits only, and repetitions of the same number are one number
/// (RFC 9110 §8.6; HAProxy 3.4 merges `5, 5` and equal lines, and refuses every other list).
pub fn content_length(known: Option<u64>, value: &[u8]) -> Result<u64, Fault> {
    // One short number, as nearly always.
    if known.is_none() && (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit) {
        return Ok(value.iter().fold(0, |n, &b| n * 10 + u64::from(b - b'0')));
    }
    let mut length = known;
    for number in value.split(|&b| b == b',') {
        let number = decimal(number.trim_ascii()).ok_or(Fault::ContentLength)?;
        if *length.get_or_insert(number) != number {
            return Err(Fault::ContentLength);
        }
    }
    length.ok_or(Fault::ContentLength)
}

/// Decimal digits, nothing else, without overflow.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, &b| {
        if !b.is_ascii_digit() {
            return None;
        }
        n.checked_mul(10)?.checked_add(u64::from(b - b'0'))
    })
}

/// Framing of a request. `connect`: the method is CONNECT.
pub fn of_request(coding: Coding, length: Option<u64>, connect: bool) -> Result<Framing, Fault> {
    match (coding, length) {
        // RFC 9110 §9.3.6 gives it no body; HAProxy drops an announced one, and then bytes would mean two things.
        (c, l) if connect && (c != Coding::Absent || l.unwrap_or(0) != 0) => Err(Fault::ConnectBody),
        _ if connect => Ok(Framing::None),
        // RFC 9112 §6.3: chunked wins over Content-Length (which the parser removes, and the connection closes).
        (Coding::Chunked, _) => Ok(Framing::Chunked),
        (Coding::OtherThenChunked, _) => Err(Fault::TransferCoding),
        (Coding::Other, _) => Err(Fault::TransferEncoding),
        (Coding::Absent, None | Some(0)) => Ok(Framing::None),
        (Coding::Absent, Some(n)) => Ok(Framing::Length(n)),
    }
}

/// Framing of a response.
pub fn of_response(status: u16, asked: Asked, coding: Coding, length: Option<u64>) -> Result<Framing, Fault> {
    match (status, asked) {
        // Unasked, it would turn what the server sends next into the answer to somebody else.
        (101, Asked::Upgrade | Asked::WebSocket) => return Ok(Framing::Tunnel),
        (101, _) => return Err(Fault::UnexpectedSwitch),
        (200..=299, Asked::Connect) => return Ok(Framing::Tunnel),
        (100..=199 | 204 | 304, _) | (_, Asked::Head) => return Ok(Framing::None),
        _ => {}
    }
    match (coding, length) {
        (Coding::Chunked, _) => Ok(Framing::Chunked),
        (Coding::OtherThenChunked | Coding::Other, _) => Err(Fault::TransferEncoding),
        (Coding::Absent, Some(0)) => Ok(Framing::None),
        (Coding::Absent, Some(n)) => Ok(Framing::Length(n)),
        (Coding::Absent, None) => Ok(Framing::UntilClose),
    }
}

/// Makes Content-Length and Transfer-Encoding of a head that is about to be written say how its body is sent, `sent`, and
/// nothing else: rules may have edited them, and two readings of one message are a smuggled one. A head without any word
/// is right for [`Framing::None`]; `UntilClose` and `Tunnel` have no word.
pub fn tell(head: &mut Head, sent: Framing) {
    if is_told(head, sent) {
        return;
    }
    head.remove(b"content-length");
    head.remove(b"transfer-encoding");
    match sent {
        Framing::Length(n) => head.append(b"content-length", http::decimal(n, &mut [0; 20])),
        Framing::Chunked => head.append(b"transfer-encoding", b"chunked"),
        Framing::None | Framing::UntilClose | Framing::Tunnel => {}
    }
}

fn is_told(head: &Head, sent: Framing) -> bool {
    let mut told = matches!(sent, Framing::None | Framing::UntilClose | Framing::Tunnel);
    for (name, value) in head.fields() {
        told = match (name.len(), sent) {
            (14, Framing::Length(n)) if name == b"content-length" => !told && decimal(value) == Some(n),
            (14, Framing::None) if name == b"content-length" => value == b"0",
            (14, _) if name == b"content-length" => false,
            (17, Framing::Chunked) if name == b"transfer-encoding" => {
                !told && Coding::Absent.and_line(value) == Ok(Coding::Chunked)
            }
            (17, _) if name == b"transfer-encoding" => false,
            _ => continue,
        };
        if !told {
            return false;
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::head::Version;

    #[test]
    fn a_head_tells_what_is_sent_and_nothing_else() {
        let told = |sent, fields: &[(&str, &str)]| {
            let mut head = Head::response(200, b"OK", Version::Http11);
            for (name, value) in fields {
                head.append(name.as_bytes(), value.as_bytes());
            }
            tell(&mut head, sent);
            let fields = head.fields().map(|(n, v)| format!("{}: {}", n.escape_ascii(), v.escape_ascii()));
            fields.collect::<Vec<_>>().join("|")
        };
        let (length, coding) = (("content-length", "5"), ("transfer-encoding", "chunked"));
        assert_eq!(told(Framing::Length(5), &[length, ("x", "y")]), "content-length: 5|x: y");
        assert_eq!(told(Framing::Length(5), &[("x", "y")]), "x: y|content-length: 5");
        assert_eq!(told(Framing::Length(6), &[length]), "content-length: 6");
        assert_eq!(told(Framing::Length(5), &[length, length]), "content-length: 5");
        assert_eq!(told(Framing::Length(5), &[length, coding]), "content-length: 5");
        assert_eq!(told(Framing::Chunked, &[coding]), "transfer-encoding: chunked");
        assert_eq!(told(Framing::Chunked, &[("transfer-encoding", "gzip")]), "transfer-encoding: chunked");
        assert_eq!(told(Framing::Chunked, &[coding, length]), "transfer-encoding: chunked");
        assert_eq!(told(Framing::None, &[length, coding]), "");
        assert_eq!(told(Framing::None, &[("content-length", "0")]), "content-length: 0");
        assert_eq!(told(Framing::UntilClose, &[length, ("x", "y")]), "x: y");
    }

    #[test]
    fn equal_lengths_are_one_and_others_are_refused() {
        assert_eq!(content_length(None, b"5"), Ok(5));
        assert_eq!(content_length(Some(5), b"5,5 , 05"), Ok(5));
        assert_eq!(content_length(None, b"18446744073709551615"), Ok(u64::MAX));
        for bad in [&b""[..], b"5,", b",5", b"+5", b"-5", b"5 5", b"0x5", b"5.0", b"18446744073709551616", b"5,6"] {
            assert_eq!(content_length(None, bad), Err(Fault::ContentLength), "{}", bad.escape_ascii());
        }
        assert_eq!(content_length(Some(5), b"6"), Err(Fault::ContentLength));
    }

    #[test]
    fn chunked_is_the_last_coding_and_comes_once() {
        let line = |v: &[u8]| Coding::Absent.and_line(v);
        assert_eq!(line(b"Chunked"), Ok(Coding::Chunked));
        assert_eq!(line(b"gzip;q=1 ,chunked"), Ok(Coding::OtherThenChunked));
        assert_eq!(line(b"gzip"), Ok(Coding::Other));
        assert_eq!(Coding::Other.and_line(b"chunked"), Ok(Coding::OtherThenChunked));
        for bad in [&b""[..], b"chunked,", b",chunked", b"chunked, chunked", b"chunked, gzip", b"gzip,,chunked"] {
            assert_eq!(line(bad), Err(Fault::TransferEncoding), "{}", bad.escape_ascii());
        }
    }
}
