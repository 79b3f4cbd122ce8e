//! Judges an answer by `tcp-check expect` and `http-check expect` (manual 4.2). Pure: bytes come in, a verdict goes out.

use super::http::Response;
use super::script::{Expect, Fault, Find, Pattern};
use crate::language::logformat::LogFormat;
use crate::language::regex::Regex;
use memchr::memmem;

/// How an expectation stands with the bytes received so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Wait,
    Met,
    Missed,
    /// The pattern of a negated expectation is there.
    Unwanted,
    /// A pattern for the body, and there is no body.
    NoBody,
    /// Nothing was received at all.
    Empty,
}

/// Writes a format; the caller has the facts.
pub type Write<'a> = dyn FnMut(&LogFormat) -> Vec<u8> + 'a;

/// Looks for a pattern in all that was received; `last` says that no more will come.
pub fn bytes(expect: &Expect, find: &Find, input: &[u8], last: bool, write: &mut Write<'_>) -> Verdict {
    if last && input.is_empty() && !expect.negated {
        return Verdict::Empty;
    }
    let least = match find {
        Find::String(text) => text.len(),
        Find::Binary(bytes) => bytes.len(),
        _ => 1,
    };
    // Manual, "min-recv": for an exact string the smaller of both counts; fewer bytes than the string never match.
    let wanted = match expect.min_recv {
        Some(min) if !is_exact(find) => min as usize,
        _ => least,
    };
    if !last && input.len() < wanted {
        return Verdict::Wait;
    }
    match (is_found(find, input, write), expect.negated) {
        (true, true) => Verdict::Unwanted,
        (true, false) => Verdict::Met,
        (false, _) if !last && expect.min_recv != Some(0) => Verdict::Wait,
        (false, true) => Verdict::Met,
        (false, false) => Verdict::Missed,
    }
}

fn is_exact(find: &Find) -> bool {
    matches!(find, Find::String(_) | Find::Binary(_))
}

fn is_found(find: &Find, input: &[u8], write: &mut Write<'_>) -> bool {
    match find {
        Find::String(text) => memmem::find(input, text.as_bytes()).is_some(),
        Find::Binary(bytes) => memmem::find(input, bytes).is_some(),
        Find::Regex(regex) => regex.is_match(input),
        Find::BinaryRegex(regex) => regex.is_match(&hex_dump(input)),
        Find::Format(format) => memmem::find(input, &write(format)).is_some(),
        Find::BinaryFormat(format) => match unhex(&write(format)) {
            Some(bytes) => memmem::find(input, &bytes).is_some(),
            None => false,
        },
    }
}

/// Judges a response whose head is complete.
pub fn response(expect: &Expect, response: &Response<'_>, last: bool, write: &mut Write<'_>) -> Verdict {
    let head = response.head;
    let met = match &expect.pattern {
        Pattern::Judge(_) => return Verdict::Missed,
        Pattern::Status(ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&head.status())),
        Pattern::StatusRegex(regex) => regex.is_match(head.status().to_string().as_bytes()),
        Pattern::Header { full, name, value } => {
            let name_met = |field: &[u8]| name.is_met(field, true, &mut *write);
            let named: Vec<&[u8]> = {
                let mut name_met = name_met;
                head.fields().filter(|(field, _)| name_met(field)).map(|(_, v)| v).collect()
            };
            match value {
                None => !named.is_empty(),
                Some(value) if *full => named.iter().any(|v| value.is_met(v, false, &mut *write)),
                Some(value) => named
                    .iter()
                    .any(|v| v.split(|b| *b == b',').any(|part| value.is_met(part.trim_ascii(), false, &mut *write))),
            }
        }
        Pattern::Find(find) => return body(expect, find, response, last, write),
    };
    match (met, expect.negated) {
        (true, false) | (false, true) => Verdict::Met,
        (true, true) => Verdict::Unwanted,
        (false, false) => Verdict::Missed,
    }
}

fn body(expect: &Expect, find: &Find, response: &Response<'_>, last: bool, write: &mut Write<'_>) -> Verdict {
    let whole = last || response.complete;
    if response.body.is_empty() && !whole {
        return Verdict::Wait;
    }
    if response.body.is_empty() {
        return Verdict::NoBody;
    }
    let wanted = expect.min_recv.map_or(0, |min| min as usize);
    if !whole && response.body.len() < wanted {
        return Verdict::Wait;
    }
    match (is_found(find, &response.body, write), expect.negated) {
        (true, true) => Verdict::Unwanted,
        (true, false) => Verdict::Met,
        (false, _) if !whole && expect.min_recv != Some(0) => Verdict::Wait,
        (false, true) => Verdict::Met,
        (false, false) => Verdict::Missed,
    }
}

fn hex_dump(input: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    input.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).collect()
}

/// The bytes of hexadecimal digits.
pub fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| (b as char).to_digit(16);
    digits.chunks_exact(2).map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8)).collect()
}

/// A pattern for a field's name or value.
#[derive(Debug)]
pub struct HeaderMatch {
    how: How,
    text: Words,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Str,
    Beg,
    End,
    Sub,
    Reg,
}

#[derive(Debug)]
enum Words {
    Text(Vec<u8>),
    Format(LogFormat),
    Regex(Regex),
}

impl HeaderMatch {
    fn is_met(&self, subject: &[u8], ignore_case: bool, write: &mut Write<'_>) -> bool {
        let written;
        let pattern: &[u8] = match &self.text {
            Words::Regex(regex) => return regex.is_match(subject),
            Words::Text(text) => text,
            Words::Format(format) => {
                written = write(format);
                &written
            }
        };
        let same = |a: &[u8], b: &[u8]| if ignore_case { a.eq_ignore_ascii_case(b) } else { a == b };
        match self.how {
            How::Str | How::Reg => same(subject, pattern),
            How::Beg => subject.get(..pattern.len()).is_some_and(|s| same(s, pattern)),
            How::End => subject.len().checked_sub(pattern.len()).is_some_and(|at| same(&subject[at..], pattern)),
            How::Sub if pattern.is_empty() => true,
            How::Sub => subject.windows(pattern.len()).any(|s| same(s, pattern)),
        }
    }
}

pub mod header {
    //! The words behind `hdr` and `fhdr`.

    /// Why they cannot be read.
    pub enum Error {
        Text(String),
        Fault(super::Fault),
    }
}

/// Reads `{name|name-lf} [-m <how>] <name> [{value|value-lf} [-m <how>] <value>]`.
pub fn header(
    words: &[String],
    mut format: impl FnMut(&str) -> Result<LogFormat, Fault>,
) -> Result<(HeaderMatch, Option<HeaderMatch>), header::Error> {
    let mut at = words;
    let name = part(&mut at, "name", true, &mut format)?
        .ok_or_else(|| header::Error::Text("expects a 'name' as first argument".to_owned()))?;
    let value = part(&mut at, "value", false, &mut format)?;
    match at.first() {
        Some(word) => Err(header::Error::Text(format!("unexpected word '{word}' behind a header pattern"))),
        None => Ok((name, value)),
    }
}

fn part(
    words: &mut &[String],
    what: &str,
    ignore_case: bool,
    format: &mut impl FnMut(&str) -> Result<LogFormat, Fault>,
) -> Result<Option<HeaderMatch>, header::Error> {
    let Some(first) = words.first() else { return Ok(None) };
    let is_format = match first.strip_prefix(what) {
        Some("") => false,
        Some("-lf") => true,
        _ => return Ok(None),
    };
    let mut rest = &words[1..];
    let mut how = How::Str;
    if rest.first().is_some_and(|w| w == "-m") {
        let method = rest.get(1).map(String::as_str).unwrap_or_default();
        how = match method {
            "str" => How::Str,
            "beg" => How::Beg,
            "end" => How::End,
            "sub" => How::Sub,
            "reg" if !is_format => How::Reg,
            other => return Err(header::Error::Text(format!("'-m' : unsupported matching method '{other}' here"))),
        };
        rest = &rest[2..];
    }
    let Some(pattern) = rest.first() else {
        return Err(header::Error::Text(format!("'{first}' expects a pattern as argument")));
    };
    let text = match (is_format, how) {
        (true, _) => Words::Format(format(pattern).map_err(header::Error::Fault)?),
        (false, How::Reg) => Words::Regex(Regex::new(pattern, ignore_case).map_err(header::Error::Text)?),
        (false, _) => Words::Text(pattern.as_bytes().to_vec()),
    };
    *words = &rest[1..];
    Ok(Some(HeaderMatch { how, text }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::head::{Head, Version};

    fn judge(find: Find, negated: bool, min_recv: Option<i64>, input: &[u8], last: bool) -> Verdict {
        let expect = Expect { negated, min_recv, ..Expect::new(Pattern::Status(Vec::new())) };
        bytes(&expect, &find, input, last, &mut |_| Vec::new())
    }

    #[test]
    fn bytes_are_judged_as_they_come() {
        use Verdict::*;
        let pong = || Find::String("+PONG".to_owned());
        let table = [
            (pong(), false, None, &b"+PONG\r\n"[..], false, Met),
            (pong(), false, None, b"+PO", false, Wait),
            (pong(), false, None, b"-ERR no", false, Wait),
            (pong(), false, None, b"-ERR no", true, Missed),
            (pong(), false, None, b"", true, Empty),
            (pong(), true, None, b"xx+PONG", false, Unwanted),
            (pong(), true, None, b"other", false, Wait),
            (pong(), true, None, b"other", true, Met),
            (pong(), true, None, b"", true, Met),
            (pong(), false, Some(0), b"-ERR no", false, Missed),
            (pong(), false, Some(0), b"-E", false, Wait),
            (Find::Binary(vec![0x2b, 0x50]), false, None, b"+PONG", false, Met),
            (Find::Regex(Regex::new("^.P", false).unwrap()), false, None, b"+PONG", false, Met),
            (Find::Regex(Regex::new("^.P", false).unwrap()), false, Some(10), b"+PONG", false, Wait),
            (Find::BinaryRegex(Regex::new("^2B50", false).unwrap()), false, None, b"+PONG", false, Met),
            (Find::BinaryRegex(Regex::new("^2B51", false).unwrap()), false, None, b"+PONG", true, Missed),
        ];
        for (find, negated, min, input, last, verdict) in table {
            let told = format!("{find:?} {negated} {min:?} {} {last}", input.escape_ascii());
            assert_eq!(judge(find, negated, min, input, last), verdict, "{told}");
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn fields_are_found_by_name_and_value() {
        let mut head = Head::response(200, b"OK", Version::Http11);
        head.append(b"X-Multi", b"a, b");
        head.append(b"Content-Length", b"5");
        let view = Response { head: &head, body: Vec::new(), complete: true };
        let table = [
            ("name content-length value 5", true, true),
            ("name Content-Length value 6", false, false),
            ("name x-none", false, false),
            ("name -m beg cont", true, true),
            ("name -m end length value -m sub 5", true, true),
            ("name -m reg ^CONTENT value -m reg ^5$", true, true),
            ("name x-multi value b", true, false),
            ("name x-multi value -m end b", true, true),
        ];
        for (text, listed, full) in table {
            for (is_full, met) in [(false, listed), (true, full)] {
                let (name, value) = header(&words(text), |_| unreachable!()).ok().unwrap();
                let expect = Expect::new(Pattern::Header { full: is_full, name, value });
                let verdict = response(&expect, &view, false, &mut |_| Vec::new());
                assert_eq!(verdict == Verdict::Met, met, "{text} full={is_full}");
            }
        }
        for text in ["value x", "name", "name -m foo x", "name -m reg (", "name x value y z"] {
            assert!(header(&words(text), |_| unreachable!()).is_err(), "{text}");
        }
    }

    #[test]
    fn hexadecimal_digits() {
        assert_eq!(unhex(b"2b50"), Some(b"+P".to_vec()));
        assert_eq!(unhex(b"2b5"), None);
        assert_eq!(unhex(b"zz"), None);
    }
}
