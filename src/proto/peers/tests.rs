//! The codec against what HAProxy was heard to say, against itself cut anywhere, and against damage.

use super::Fault;
use super::definition::{Column, Definition, Form, Key};
use super::dictionary::{Received, Sent, WORDS};
use super::entry::{self, Update, Value};
use super::handshake::{HELLO_MAX, Hello, Status};
use super::message::{self, Control, Kind, MESSAGE_MAX, Message};
use super::varint::{Reader, encode};
use crate::base::hash::xxh64;

/// Numbers that look random, from a seed that a failure shows.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = xxh64(&self.0.to_ne_bytes(), 7);
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
}

const FULL: Kind = Kind { incremental: false, timed: false };

#[test]
fn integers_have_the_documents_bytes_and_come_back() {
    let bytes = |n| {
        let mut out = Vec::new();
        encode(n, &mut out);
        out
    };
    assert_eq!(bytes(0x1234), [0xf4, 0x94, 0x01]);
    assert_eq!(bytes(0xef), [0xef]);
    assert_eq!(bytes(0xf0), [0xf0, 0]);
    assert_eq!(
        [240, 2288, 264_432, 33_818_864].map(|n| (bytes(n - 1).len(), bytes(n).len())),
        [(1, 2), (2, 3), (3, 4), (4, 5)]
    );
    let mut random = Random(1);
    let odd = (0..2000).map(|_| random.next() >> random.below(64));
    for n in (0..64).flat_map(|shift| [1u64 << shift, (1 << shift) - 1]).chain([u64::MAX]).chain(odd) {
        let bytes = bytes(n);
        let mut reader = Reader(&bytes);
        assert_eq!((reader.integer(), reader.is_empty()), (Ok(n), true), "{n} {bytes:?}");
        for cut in 0..bytes.len() {
            assert_eq!(Reader(&bytes[..cut]).integer(), Err(Fault::Protocol), "{n} {bytes:?}");
        }
    }
    assert_eq!(Reader(&[0xff; 16]).integer(), Err(Fault::Protocol));
}

#[test]
fn hellos_are_read_however_they_arrive_and_bad_ones_are_told_why() {
    let hello = Hello { to: "B".into(), from: "host.a".into(), pid: 42 };
    let mut bytes = Vec::new();
    hello.write(&mut bytes);
    assert_eq!(bytes, b"HAProxyS 2.1\nB\nhost.a 42 0\n");
    let length = bytes.len();
    bytes.extend(b"\x00\x00");
    for cut in 0..length {
        assert_eq!(Hello::read(&bytes[..cut]), Ok(None), "{cut}");
    }
    assert_eq!(Hello::read(&bytes), Ok(Some((hello, length))));
    for (text, status) in [
        ("GET / HTTP/1.1\n", Status::ProtocolError),
        ("HAProxyS 3.0\nB\nA 1 0\n", Status::BadVersion),
        ("HAProxyS x\nB\nA 1 0\n", Status::BadVersion),
        ("HAProxyS 2.1\nB\nA\n", Status::ProtocolError),
        ("HAProxyS 2.1\nB\nA x 0\n", Status::ProtocolError),
        ("HAProxyS 2.1\n\nA 1 0\n", Status::ProtocolError),
    ] {
        assert_eq!(Hello::read(text.as_bytes()), Err(status), "{text}");
    }
    assert_eq!(Hello::read(&[b'x'; HELLO_MAX]), Err(Status::ProtocolError));
    assert_eq!(Hello::read(b"HAProxyS 2.1\n\xff\nA 1 0\n"), Err(Status::ProtocolError));
}

#[test]
fn statuses_come_back() {
    use Status::*;
    for status in [Succeeded, TryAgain, ProtocolError, BadVersion, LocalMismatch, RemoteMismatch] {
        let mut bytes = Vec::new();
        status.write(&mut bytes);
        assert_eq!(Status::read(&bytes), Ok(Some((status, 4))));
        assert_eq!(Status::read(&bytes[..3]), Ok(None));
    }
    assert_eq!(Status::read(b"999\n"), Err(ProtocolError));
    assert_eq!(Status::read(&[b'2'; 16]), Err(ProtocolError));
}

#[test]
fn definitions_of_haproxy_are_read_and_written_as_recorded() {
    let t2 = hex("030274320615f0f1826f00160317021804f0e203");
    let column = |data, elements, period_ms| Column { data, elements, period_ms };
    let definition = Definition {
        id: 3,
        name: b"t2".to_vec(),
        key: Key::String(20),
        expire_ms: 0,
        columns: vec![column(13, 1, 0), column(22, 3, 0), column(23, 2, 0), column(24, 4, 10_000)],
    };
    assert_eq!(Definition::read(&t2), Ok(definition.clone()));
    let mut bytes = Vec::new();
    definition.write(&mut bytes);
    assert_eq!(bytes, t2);
    for recorded in [
        "020274310404fff0fe0ef0d9dc0c03f0e20305f0e20308f0e2030af0e2030cf0e2030ef0e20310f0e20312f0e20315f0e203",
        "04027433020404f0af9100",
        "05027434070804f0af9100",
        "06027435051004f0af9100",
        "01032f7074040404f0d9dc0c",
    ] {
        let mut bytes = Vec::new();
        Definition::read(&hex(recorded)).unwrap().write(&mut bytes);
        assert_eq!(bytes, hex(recorded));
    }
    // Without what old versions do not send, and with types of later ones.
    assert!(Definition::read(&hex("04027433020404")).is_ok());
    for bad in ["", "0402", "040274330a0404", "04027433020504", "0402743306000400", "020274310404 f8 00 0900"] {
        assert_eq!(Definition::read(&hex(bad)), Err(Fault::Protocol), "{bad}");
    }
}

#[test]
fn updates_of_haproxy_are_read_as_recorded() {
    let t2 = Definition::read(&hex("030274320615f0f1826f00160317021804f0e203")).unwrap();
    let data = hex("0000000103616263000006000009f481fefe7e0000f481fefe7e0000000800f481fefe7e0000");
    let mut values = Vec::new();
    let update = entry::read(&t2, FULL, &data, &mut Received::default(), |column, index, value| match value {
        Value::Number(n) => values.push((column.data, index, n)),
        Value::Rate { current, .. } => values.push((column.data, index, current as u64)),
        Value::Word(_) => panic!("no words here"),
    });
    assert_eq!(update, Ok(Update { number: Some(1), left_ms: None, key: b"abc" }));
    let expected = [(13, 0, 0), (22, 0, 0), (22, 1, 6), (22, 2, 0), (23, 0, 0), (23, 1, 9)];
    assert_eq!(values[..6], expected);
    assert_eq!(values[6..], [(24, 0, 0), (24, 1, 0), (24, 2, 8), (24, 3, 0)]);
    let t5 = Definition::read(&hex("06027435051004f0af9100")).unwrap();
    let data = hex("00000001000491eb20010db800000000000000000000000106");
    let timed = Kind { incremental: false, timed: true };
    let update = entry::read(&t5, timed, &data, &mut Received::default(), |_, _, v| assert_eq!(v, Value::Number(6)));
    assert_eq!(update.map(|u| (u.number, u.left_ms)), Ok((Some(1), Some(299_499))));
}

#[test]
fn words_are_sent_once_and_forgotten_in_the_order_in_which_they_came() {
    let (mut sent, mut received) = (Sent::default(), Received::default());
    let mut exchange = |word: Option<&[u8]>| {
        let mut bytes = Vec::new();
        sent.write(word, &mut bytes);
        let mut reader = Reader(&bytes);
        assert_eq!(received.read(&mut reader).unwrap(), word);
        assert!(reader.is_empty());
        bytes
    };
    assert_eq!(exchange(Some(b"s1")), [4, 1, 2, b's', b'1']);
    assert_eq!(exchange(Some(b"s1")), [1, 1]);
    assert_eq!(exchange(None), [0]);
    for n in 0..WORDS {
        exchange(Some(format!("server{n}").as_bytes()));
    }
    assert_eq!(exchange(Some(b"server0")), [1, 2]);
    // Its place was taken.
    assert_eq!(exchange(Some(b"s1")).len(), 5);
    for bad in [&[1, 0][..], &[1, 129], &[4, 1, 9, b'a', b'b'], &[3, 1], &[5, 0xff, 0xff, 0xff, 0xff, 0xff]] {
        assert_eq!(Received::default().read(&mut Reader(bad)).err(), Some(Fault::Protocol), "{bad:?}");
    }
    assert_eq!(Received::default().read(&mut Reader(&[1, 7])), Ok(None));
}

/// A table of any kind.
fn random_definition(random: &mut Random) -> Definition {
    let key = match random.below(5) {
        0 => Key::Integer,
        1 => Key::Ipv4,
        2 => Key::Ipv6,
        3 => Key::String(random.below(40) as u32),
        _ => Key::Binary(1 + random.below(40) as u32),
    };
    let mut columns = Vec::new();
    for data in 0..27 {
        let mut column = Column { data, elements: 1, period_ms: 0 };
        if column.is_array() {
            column.elements = 1 + random.below(100) as u32;
        }
        if column.form() == Form::Rate {
            column.period_ms = random.next() >> random.below(64);
        }
        if random.below(2) == 0 {
            columns.push(column);
        }
    }
    let name = (0..random.below(20)).map(|_| random.next() as u8).collect();
    Definition { id: random.below(1 << 20), name, key, expire_ms: random.below(1 << 40), columns }
}

/// Messages of a conversation as text, for comparison.
fn transcript(bytes: &[u8]) -> Result<(Vec<String>, usize), Fault> {
    let (mut lines, mut used) = (Vec::new(), 0);
    let (mut definition, mut words) = (None, Received::default());
    while let Some((message, n)) = Message::read(&bytes[used..])? {
        used += n;
        match message {
            Message::Definition(data) => {
                let read = Definition::read(data)?;
                lines.push(format!("{read:?}"));
                definition = Some(read);
            }
            Message::Update(kind, data) => {
                let Some(definition) = &definition else { continue };
                let mut line = String::new();
                let update = entry::read(definition, kind, data, &mut words, |c, i, v| {
                    line.push_str(&format!(" {}[{i}]={v:?}", c.data))
                })?;
                lines.push(format!("{update:?}{line}"));
            }
            other => lines.push(format!("{other:?}")),
        }
    }
    Ok((lines, used))
}

fn conversation(random: &mut Random) -> (Vec<u8>, Vec<String>) {
    let (mut out, mut lines, mut sent) = (Vec::new(), Vec::new(), Sent::default());
    for _ in 0..2 {
        let definition = random_definition(random);
        let mut data = Vec::new();
        definition.write(&mut data);
        message::definition(&data, &mut out);
        lines.push(format!("{definition:?}"));
        for _ in 0..3 {
            let kind = Kind { incremental: random.below(2) == 0, timed: random.below(2) == 0 };
            let length = match definition.key {
                Key::Integer | Key::Ipv4 => 4,
                Key::Ipv6 => 16,
                Key::String(most) => random.below(most as u64 + 1) as u32,
                Key::Binary(n) => n,
            };
            let key: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            let update = Update {
                number: (!kind.incremental).then(|| random.next() as u32),
                left_ms: kind.timed.then(|| random.next() as u32),
                key: &key,
            };
            let mut data = Vec::new();
            entry::write_head(definition.key, &update, &mut data);
            let mut line = format!("{update:?}");
            for column in &definition.columns {
                for index in 0..column.elements {
                    let word = format!("s{}", random.below(300));
                    let value = match column.form() {
                        Form::Number => Value::Number(random.next() >> random.below(64)),
                        Form::Rate => Value::Rate {
                            elapsed_ms: random.next() >> random.below(64),
                            current: random.next() as u32,
                            past: random.next() as u32,
                        },
                        Form::Word => Value::Word((random.below(4) > 0).then_some(word.as_bytes())),
                    };
                    line.push_str(&format!(" {}[{index}]={value:?}", column.data));
                    entry::write_value(value, &mut sent, &mut data);
                }
            }
            message::update(kind, &data, &mut out);
            lines.push(line);
        }
        let (table, number) = (random.below(1 << 30), random.next() as u32);
        message::ack(table, number, &mut out);
        lines.push(format!("{:?}", Message::Ack { table, update: number }));
        message::control(Control::Heartbeat, &mut out);
        lines.push(format!("{:?}", Message::Control(Control::Heartbeat)));
    }
    (out, lines)
}

#[test]
fn what_is_written_is_read_wherever_it_is_cut() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let (bytes, lines) = conversation(&mut random);
        assert_eq!(transcript(&bytes), Ok((lines, bytes.len())), "seed {seed}");
    }
    let (bytes, _) = conversation(&mut Random(3));
    let (whole, _) = transcript(&bytes).unwrap();
    for cut in 0..bytes.len() {
        let (start, used) = transcript(&bytes[..cut]).unwrap();
        assert_eq!(start[..], whole[..start.len()], "cut {cut}");
        assert!(used <= cut);
    }
}

#[test]
fn damaged_conversations_end_in_an_error_at_most() {
    for seed in 0..600 {
        let mut random = Random(seed);
        let (mut bytes, _) = conversation(&mut random);
        for _ in 0..1 + random.below(8) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(3) {
                0 => bytes[at] = random.next() as u8,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, 0xff),
            }
        }
        let _ = transcript(&bytes);
        let noise: Vec<u8> = (0..64).map(|_| random.next() as u8).collect();
        let _ = transcript(&noise);
        let _ = Hello::read(&noise);
        let _ = Status::read(&noise);
    }
}

#[test]
fn messages_beyond_the_bound_are_refused_before_they_are_stored() {
    let mut bytes = vec![10, 128];
    encode(MESSAGE_MAX + 1, &mut bytes);
    assert_eq!(Message::read(&bytes), Err(Fault::TooLong));
    assert_eq!(Message::read(&[&[10, 128][..], &[0xff; 10]].concat()), Err(Fault::Protocol));
    assert_eq!(Message::read(&[10, 5]), Err(Fault::Protocol));
    assert_eq!(Message::read(&[0, 77]), Ok(Some((Message::Other, 2))));
    assert_eq!(Message::read(&[200, 200, 1, 9, 9]), Ok(Some((Message::Other, 4))));
}
