//! The request-smuggling corpus: each case of `smuggling.tsv` has one allowed outcome, however its bytes are split, and
//! what is passed on has the same reading again.

use super::*;
use crate::proto::http::head::Head;

const CORPUS: &str = include_str!("smuggling.tsv");

struct Case {
    name: &'static str,
    expected: Outcome,
    input: Vec<u8>,
}

/// What became of a connection's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Refused(u16),
    Wait,
    Forwarded { method: Vec<u8>, uri: Vec<u8>, body: Vec<u8>, left: Vec<u8> },
}

fn corpus() -> Vec<Case> {
    let lines = CORPUS.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [name, outcome, _haproxy, input] = columns[..] else { panic!("{line}") };
            Case { name, expected: outcome_of(outcome), input: bytes_of(input) }
        })
        .collect()
}

fn outcome_of(text: &str) -> Outcome {
    if text == "wait" {
        return Outcome::Wait;
    }
    if let Ok(status) = text.parse() {
        return Outcome::Refused(status);
    }
    let (line, rest) = text.split_once('|').unwrap();
    let (method, uri) = line.split_once(' ').unwrap();
    let (body, left) = rest.split_once('|').unwrap();
    Outcome::Forwarded { method: bytes_of(method), uri: bytes_of(uri), body: bytes_of(body), left: bytes_of(left) }
}

/// Bytes from their notation: `\r \n \t \\ \xNN` and `{x*9}`.
fn bytes_of(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        rest = &rest[1..];
        match first {
            '{' => {
                let (group, after) = rest.split_once('}').unwrap();
                let (what, times) = group.rsplit_once('*').unwrap();
                out.extend(bytes_of(what).repeat(times.parse().unwrap()));
                rest = after;
            }
            '\\' => {
                let (kind, after) = rest.split_at(1);
                rest = after;
                out.push(match kind {
                    "r" => b'\r',
                    "n" => b'\n',
                    "t" => b'\t',
                    "\\" => b'\\',
                    _ => {
                        let (digits, after) = rest.split_at(2);
                        rest = after;
                        u8::from_str_radix(digits, 16).unwrap()
                    }
                });
            }
            other => out.push(other as u8),
        }
    }
    out
}

/// A connection that reads one message from bytes that arrive in pieces.
struct Reader {
    buffer: Vec<u8>,
    head: Head,
    message: Option<Message>,
    body: Vec<u8>,
    chunks: chunked::Decoder,
}

impl Reader {
    fn new() -> Reader {
        Reader {
            buffer: Vec::new(),
            head: Head::new(),
            message: None,
            body: Vec::new(),
            chunks: chunked::Decoder::new(Side::Client, &Limits::REQUEST),
        }
    }

    /// Takes a piece; tells what is known by now.
    fn take(&mut self, piece: &[u8]) -> Outcome {
        self.buffer.extend_from_slice(piece);
        match self.advance() {
            Ok(done) if done => Outcome::Forwarded {
                method: self.head.method().to_vec(),
                uri: self.head.uri().to_vec(),
                body: self.body.clone(),
                left: self.buffer.clone(),
            },
            Ok(_) => Outcome::Wait,
            Err(error) => Outcome::Refused(error.status()),
        }
    }

    fn advance(&mut self) -> Result<bool, ParseError> {
        if self.message.is_none() {
            match parse_request(&self.buffer, &Limits::REQUEST, &mut self.head)? {
                Parsed::Complete(message) => {
                    self.buffer.drain(..message.consumed);
                    self.message = Some(message);
                }
                _ => return Ok(false),
            }
        }
        match self.message.as_ref().unwrap().framing {
            Framing::None => Ok(true),
            Framing::Length(length) => {
                let wanted = usize::try_from(length).unwrap() - self.body.len();
                let n = wanted.min(self.buffer.len());
                self.body.extend(self.buffer.drain(..n));
                Ok(n == wanted)
            }
            Framing::Chunked => loop {
                let (n, event) = self.chunks.next(&self.buffer)?;
                if let chunked::Event::Data(range) = &event {
                    self.body.extend_from_slice(&self.buffer[range.clone()]);
                }
                self.buffer.drain(..n);
                match event {
                    chunked::Event::End => return Ok(true),
                    chunked::Event::NeedMore => return Ok(false),
                    chunked::Event::Data(_) => {}
                }
            },
            other => panic!("a request is never framed as {other:?}"),
        }
    }
}

/// The outcome when the input arrives in these pieces: pieces after a refusal or an end do not change it.
fn outcome(pieces: &[&[u8]]) -> Outcome {
    let mut reader = Reader::new();
    let mut last = Outcome::Wait;
    for piece in pieces {
        match &mut last {
            Outcome::Wait => last = reader.take(piece),
            Outcome::Forwarded { left, .. } => left.extend_from_slice(piece),
            Outcome::Refused(_) => break,
        }
    }
    last
}

/// What would be sent to the server for the message that `input` begins with.
fn passed_on(input: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new();
    reader.take(input);
    let mut out = Vec::new();
    encode::head(&reader.head, &mut out);
    if reader.message.unwrap().framing != Framing::Chunked {
        out.extend_from_slice(&reader.body);
        return out;
    }
    if !reader.body.is_empty() {
        encode::chunk_start(reader.body.len() as u64, &mut out);
        out.extend_from_slice(&reader.body);
        out.extend_from_slice(encode::CHUNK_END);
    }
    encode::last_chunk(reader.chunks.trailers(), &mut out);
    out
}

#[test]
fn every_case_has_its_one_outcome() {
    let cases = corpus();
    assert!(cases.len() >= 150);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let got = outcome(&[&case.input]);
            (got != case.expected).then(|| {
                let shown = case.input[..case.input.len().min(300)].escape_ascii();
                format!("{}: {shown}\n  expected {:?}\n  got {got:?}", case.name, case.expected)
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_case_split_at_every_byte_has_the_same_outcome() {
    for case in corpus() {
        let input = &case.input;
        // Of the huge ones, some places are enough.
        let step = (input.len() / 400).max(1);
        for split in (0..input.len()).step_by(step) {
            let got = outcome(&[&input[..split], &input[split..]]);
            assert_eq!(got, case.expected, "{} split at {split}", case.name);
        }
        if input.len() < 2000 {
            let bytes: Vec<&[u8]> = input.chunks(1).collect();
            assert_eq!(outcome(&bytes), case.expected, "{} byte by byte", case.name);
        }
    }
}

#[test]
fn what_is_passed_on_is_one_message_of_the_same_reading() {
    for case in corpus() {
        let Outcome::Forwarded { method, uri, body, .. } = &case.expected else { continue };
        let sent = passed_on(&case.input);
        let again = outcome(&[&sent]);
        let expected =
            Outcome::Forwarded { method: method.clone(), uri: uri.clone(), body: body.clone(), left: Vec::new() };
        assert_eq!(again, expected, "{}: {}", case.name, sent.escape_ascii());
        let head = sent.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let framed = |name: &[u8]| sent[..head].windows(name.len()).filter(|w| *w == name).count();
        assert!(framed(b"\r\ncontent-length:") + framed(b"\r\ntransfer-encoding:") <= 1, "{}", case.name);
        assert!(!sent[..head].windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r'), "{}", case.name);
    }
}
