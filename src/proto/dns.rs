//! DNS messages as a resolver of names of servers needs them (RFC 1035 §4, RFC 2782, RFC 6891): a question out, an answer
//! in. Addresses, SRV records and aliases are read, everything else is passed over. Bounded: names of 255 bytes, pointers
//! that only lead backwards, as many records as the message has room for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a name on the wire at most (RFC 1035 §2.3.4), and of a label.
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;
/// Pointers in one name: compression needs few, and each costs a step.
const POINTERS_MAX: usize = 32;
const HEADER: usize = 12;
const CLASS_IN: u16 = 1;
const OPT: u16 = 41;
const CNAME: u16 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    A,
    Aaaa,
    Srv,
}

impl Kind {
    pub fn number(self) -> u16 {
        match self {
            Kind::A => 1,
            Kind::Aaaa => 28,
            Kind::Srv => 33,
        }
    }
}

/// What a server's answer is, by its code (RFC 1035 §4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    NoError,
    FormatError,
    ServerFailure,
    /// There is no such name.
    NameError,
    NotImplemented,
    Refused,
    Other(u8),
}

/// A record of an answer. Names are in lower case, without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub ttl_s: u32,
    pub data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    Address(IpAddr),
    Alias(String),
    Service { priority: u16, weight: u16, port: u16, target: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub id: u16,
    pub code: Code,
    /// The message was cut: ask again over TCP.
    pub truncated: bool,
    /// The question that is answered: name and type.
    pub question: (String, u16),
    pub answers: Vec<Record>,
    /// Addresses of the targets of SRV records, mostly.
    pub additional: Vec<Record>,
}

/// Why a message is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends before it is complete.
    Short,
    /// It is a question.
    NoResponse,
    /// A name longer than a name may be, or a pointer that leads nowhere.
    Name,
    /// Other than one question.
    Questions,
}

/// Appends a question for `name`, announcing that answers of `payload_max` bytes are taken (RFC 6891 §6.2.3; 0: says
/// nothing). False when it is no name.
pub fn question(id: u16, name: &str, kind: Kind, payload_max: u16, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(&id.to_be_bytes());
    // Recursion is desired; one question, and one additional record when a payload size is told.
    out.extend_from_slice(&[0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, u8::from(payload_max > 0)]);
    let at = out.len();
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        if label.is_empty() || label.len() > LABEL_MAX {
            out.truncate(start);
            return false;
        }
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    if out.len() - at > NAME_MAX {
        out.truncate(start);
        return false;
    }
    out.extend_from_slice(&kind.number().to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    if payload_max > 0 {
        out.push(0);
        out.extend_from_slice(&OPT.to_be_bytes());
        out.extend_from_slice(&payload_max.to_be_bytes());
        out.extend_from_slice(&[0; 6]);
    }
    true
}

/// Reads an answer.
///
/// # Errors
/// When the message is no well-formed response to one question.
pub fn answer(message: &[u8]) -> Result<Answer, Fault> {
    let mut reader = Reader { message, at: 0 };
    let id = reader.u16()?;
    let flags = reader.u16()?;
    let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    if flags & 0x8000 == 0 {
        return Err(Fault::NoResponse);
    }
    if counts[0] != 1 {
        return Err(Fault::Questions);
    }
    let question = (reader.name()?, reader.u16()?);
    reader.u16()?;
    let truncated = flags & 0x0200 != 0;
    let mut answer = Answer {
        id,
        code: match flags & 0x0f {
            0 => Code::NoError,
            1 => Code::FormatError,
            2 => Code::ServerFailure,
            3 => Code::NameError,
            4 => Code::NotImplemented,
            5 => Code::Refused,
            other => Code::Other(other as u8),
        },
        truncated,
        question,
        answers: Vec::new(),
        additional: Vec::new(),
    };
    // A cut message ends anywhere: what was whole is kept, and the flag says that it is not all.
    let read = reader.records(counts[1], Some(&mut answer.answers)).and_then(|()| {
        reader.records(counts[2], None)?;
        reader.records(counts[3], Some(&mut answer.additional))
    });
    match read {
        Err(Fault::Short) if truncated => Ok(answer),
        Err(fault) => Err(fault),
        Ok(()) => Ok(answer),
    }
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self.message.get(self.at..self.at + N).ok_or(Fault::Short)?;
        self.at += N;
        bytes.try_into().map_err(|_| Fault::Short)
    }

    fn u16(&mut self) -> Result<u16, Fault> {
        self.bytes().map(u16::from_be_bytes)
    }

    /// A name (RFC 1035 §4.1.4). Bytes that are no part of a host name are kept as they are, where they are text.
    fn name(&mut self) -> Result<String, Fault> {
        let mut name = String::new();
        let mut at = self.at;
        // A pointer may only lead to what came before it, so that following them ends.
        let mut bound = self.message.len();
        let mut jumped = false;
        let mut pointers = 0;
        loop {
            let length = *self.message.get(at).ok_or(Fault::Short)?;
            match length {
                0 => {
                    if !jumped {
                        self.at = at + 1;
                    }
                    return Ok(name);
                }
                1..=0x3f => {
                    let end = at + 1 + usize::from(length);
                    let label = self.message.get(at + 1..end).ok_or(Fault::Short)?;
                    if name.len() + label.len() + 1 > NAME_MAX {
                        return Err(Fault::Name);
                    }
                    if !name.is_empty() {
                        name.push('.');
                    }
                    name.extend(label.iter().map(|b| b.to_ascii_lowercase() as char));
                    at = end;
                }
                0xc0..=0xff => {
                    let low = *self.message.get(at + 1).ok_or(Fault::Short)?;
                    let to = usize::from(length & 0x3f) << 8 | usize::from(low);
                    pointers += 1;
                    if to >= bound.min(at) || to < HEADER || pointers > POINTERS_MAX {
                        return Err(Fault::Name);
                    }
                    if !jumped {
                        self.at = at + 2;
                        jumped = true;
                    }
                    (at, bound) = (to, to);
                }
                _ => return Err(Fault::Name),
            }
        }
    }

    fn records(&mut self, count: u16, mut into: Option<&mut Vec<Record>>) -> Result<(), Fault> {
        for _ in 0..count {
            let record = self.record()?;
            if let (Some(into), Some(record)) = (&mut into, record) {
                into.push(record);
            }
        }
        Ok(())
    }

    /// The next record; `None` for one that is of no use here.
    fn record(&mut self) -> Result<Option<Record>, Fault> {
        let name = self.name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        let ttl_s = u32::from_be_bytes(self.bytes()?);
        let len = usize::from(self.u16()?);
        let end = self.at + len;
        if end > self.message.len() {
            return Err(Fault::Short);
        }
        let data = match (kind, len) {
            _ if class != CLASS_IN => None,
            (1, 4) => Some(Data::Address(Ipv4Addr::from(self.bytes::<4>()?).into())),
            (28, 16) => Some(Data::Address(Ipv6Addr::from(self.bytes::<16>()?).into())),
            (CNAME, _) => Some(Data::Alias(self.name()?)),
            (33, 7..) => {
                let (priority, weight, port) = (self.u16()?, self.u16()?, self.u16()?);
                Some(Data::Service { priority, weight, port, target: self.name()? })
            }
            _ => None,
        };
        if self.at > end {
            return Err(Fault::Name);
        }
        self.at = end;
        Ok(data.map(|data| Record { name, ttl_s, data }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to `example.org A` with these records behind the question.
    fn message(flags: u16, answers: u16, additional: u16, records: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(question(0x1234, "example.org", Kind::A, 0, &mut out));
        out[2..4].copy_from_slice(&flags.to_be_bytes());
        out[6..8].copy_from_slice(&answers.to_be_bytes());
        out[10..12].copy_from_slice(&additional.to_be_bytes());
        out.extend_from_slice(records);
        out
    }

    const ADDRESS: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\x01\x02\x03";

    #[test]
    fn questions_on_the_wire() {
        let mut out = Vec::new();
        assert!(question(0xabcd, "a.example.org.", Kind::Aaaa, 512, &mut out));
        let wire =
            b"\xab\xcd\x01\0\0\x01\0\0\0\0\0\x01\x01a\x07example\x03org\0\0\x1c\0\x01\0\0\x29\x02\0\0\0\0\0\0\0";
        assert_eq!(out, wire);
        for name in ["", ".", "a..b", &"x".repeat(64), &"abc.".repeat(64)] {
            let mut out = b"kept".to_vec();
            assert!(!question(1, name, Kind::A, 0, &mut out), "{name}");
            assert_eq!(out, b"kept");
        }
    }

    #[test]
    fn addresses_aliases_and_services_are_read() {
        let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01W\xc0\x0c";
        let service = b"\xc0\x0c\0\x21\0\x01\0\0\0\x05\0\x0a\0\x01\0\x02\x1f\x90\x01s\xc0\x0c";
        let text = b"\xc0\x0c\0\x10\0\x01\0\0\0\x05\0\x03\x02hi";
        let records = [ADDRESS, alias, text, service, ADDRESS].concat();
        let read = answer(&message(0x8180, 4, 1, &records)).unwrap();
        assert_eq!((read.id, read.code, read.truncated), (0x1234, Code::NoError, false));
        assert_eq!(read.question, ("example.org".to_owned(), 1));
        let data: Vec<Data> = read.answers.into_iter().map(|r| r.data).collect();
        let target = "s.example.org".to_owned();
        assert_eq!(
            data,
            [
                Data::Address("10.1.2.3".parse().unwrap()),
                Data::Alias("w.example.org".to_owned()),
                Data::Service { priority: 1, weight: 2, port: 8080, target },
            ]
        );
        assert_eq!(read.additional.len(), 1);
        assert_eq!(read.additional[0].ttl_s, 60);
    }

    #[test]
    fn codes_and_truncation_are_told() {
        assert_eq!(answer(&message(0x8183, 0, 0, b"")).unwrap().code, Code::NameError);
        assert_eq!(answer(&message(0x8185, 0, 0, b"")).unwrap().code, Code::Refused);
        let cut = answer(&message(0x8380, 2, 0, &[ADDRESS, &ADDRESS[..9]].concat())).unwrap();
        assert_eq!((cut.truncated, cut.answers.len()), (true, 1));
        assert_eq!(answer(&message(0x8180, 2, 0, &[ADDRESS, &ADDRESS[..9]].concat())), Err(Fault::Short));
        assert_eq!(answer(&message(0x0100, 0, 0, b"")), Err(Fault::NoResponse));
    }

    #[test]
    fn names_that_loop_or_overflow_are_refused() {
        // Points at itself, forwards, and into the header.
        for pointer in [b"\xc0\x1d", b"\xc0\xff", b"\xc0\x02"] {
            let records = [&pointer[..], &ADDRESS[2..]].concat();
            assert_eq!(answer(&message(0x8180, 1, 0, &records)), Err(Fault::Name), "{pointer:?}");
        }
        let long = [&b"\x3f"[..], &[b'x'; 63]].concat().repeat(5);
        let records = [&long[..], b"\0", &ADDRESS[2..]].concat();
        assert_eq!(answer(&message(0x8180, 1, 0, &records)), Err(Fault::Name));
        // A staircase of pointers, each to the one before: a few steps are taken, many are not.
        for (steps, read) in [(30, true), (40, false)] {
            let base = message(0x8180, 0, 0, b"").len();
            let mut stairs = b"\0\0\x10\0\x01\0\0\0\0".to_vec();
            stairs.extend(((2 * steps + 2) as u16).to_be_bytes());
            let first = base + stairs.len();
            stairs.extend([0xc0, 0x0c]);
            (0..steps).for_each(|n| stairs.extend((0xc000 | (first + 2 * n) as u16).to_be_bytes()));
            let last = (0xc000 | (first + 2 * steps) as u16).to_be_bytes();
            let records = [&stairs[..], &last, &ADDRESS[2..]].concat();
            assert_eq!(answer(&message(0x8180, 2, 0, &records)).is_ok(), read, "{steps} steps");
        }
        // The data of a service ends within its name.
        let short = b"\xc0\x0c\0\x21\0\x01\0\0\0\x05\0\x07\0\x01\0\x02\x1f\x90\x01s\xc0\x0c";
        assert_eq!(answer(&message(0x8180, 1, 0, short)), Err(Fault::Name));
    }

    #[test]
    fn no_message_is_too_bent_to_be_refused() {
        let whole = message(0x8180, 2, 0, &ADDRESS.repeat(2));
        for end in 0..whole.len() {
            let _ = answer(&whole[..end]);
        }
        for (at, byte) in (0..whole.len()).flat_map(|at| [0, 1, 63, 64, 0xc0, 0xff].map(|byte| (at, byte))) {
            let mut bent = whole.clone();
            bent[at] = byte;
            let _ = answer(&bent);
        }
        let _ = answer(&[0xff; 65535]);
    }
}
