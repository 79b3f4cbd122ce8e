//! HTTP/2: connections of both roles fed with bytes and with frames, and HPACK.

use ringway::proto::{
    h2::{
        Config, Connection, Event, PREFACE, Role, frame,
        hpack::{Decoder, Encoder, huffman, integer},
    },
    http::head::{Head, Version},
};

/// What a connection told: events as text, DATA joined however it was split.
#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<String>,
    out: Vec<u8>,
}

fn converse(role: Role, pieces: &[&[u8]]) -> Told {
    let mut told = Told::default();
    let mut connection = Connection::new(Config::new(role), &mut told.out);
    if role == Role::Client {
        for _ in 0..3 {
            if let Some(stream) = connection.open() {
                let head = Head::request(b"GET", b"/", Version::Http2);
                connection.send_head(stream, &head, stream == 1, &mut told.out);
            }
        }
    }
    let mut data: Option<(u32, Vec<u8>)> = None;
    let tell = |told: &mut Told, data: &mut Option<(u32, Vec<u8>)>, text: String| {
        if let Some((stream, bytes)) = data.take() {
            told.events.push(format!("Data({stream}, {})", bytes.escape_ascii()));
        }
        told.events.push(text);
    };
    'all: for piece in pieces {
        let mut rest = *piece;
        loop {
            let (used, event) = match connection.receive(rest, &mut told.out) {
                Ok(answer) => answer,
                Err(error) => {
                    tell(&mut told, &mut data, format!("{error:?}"));
                    assert!(connection.receive(rest, &mut told.out).is_err());
                    break 'all;
                }
            };
            match event {
                Event::NeedMore => {
                    assert_eq!(used, rest.len());
                    break;
                }
                Event::Data { stream, range, end } => {
                    let bytes = &rest[range];
                    match &mut data {
                        Some((of, all)) if *of == stream => all.extend_from_slice(bytes),
                        _ => {
                            if let Some((of, all)) = data.replace((stream, bytes.to_vec())) {
                                told.events.push(format!("Data({of}, {})", all.escape_ascii()));
                            }
                        }
                    }
                    if end {
                        tell(&mut told, &mut data, format!("End({stream})"));
                    }
                }
                Event::Head { stream, end } => {
                    let head = format!("{:?}", connection.head().fields().collect::<Vec<_>>());
                    tell(&mut told, &mut data, format!("Head({stream}, {end}, {head})"));
                    if role == Role::Server && connection.is_open(stream) {
                        let answer = Head::response(200, b"", Version::Http2);
                        connection.send_head(stream, &answer, false, &mut told.out);
                        let room = connection.room(stream).min(100);
                        let _ = connection.send_data_header(stream, room, end, &mut told.out);
                    }
                }
                other => tell(&mut told, &mut data, format!("{other:?}")),
            }
            rest = &rest[used..];
        }
    }
    tell(&mut told, &mut data, "over".into());
    told
}

/// Any bytes, after a byte that gives the role and one that says where they are split: the same is told.
pub fn connection(data: &[u8]) {
    let [flags, split, rest @ ..] = data else { return };
    let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
    let mut bytes = Vec::new();
    if role == Role::Server && flags & 2 == 0 {
        bytes.extend_from_slice(PREFACE);
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    }
    bytes.extend_from_slice(rest);
    let whole = converse(role, &[&bytes]);
    let (a, b) = bytes.split_at(bytes.len() * *split as usize / 256);
    assert_eq!(converse(role, &[a, b]), whole);
    let single: Vec<&[u8]> = bytes.chunks(1 + (flags >> 2) as usize).collect();
    assert_eq!(converse(role, &single), whole);
}

/// Frames, each of kind, flags, stream and length bytes and its payload, so that lengths are always right.
pub fn frames(data: &[u8]) {
    let [flags, rest @ ..] = data else { return };
    let role = if flags & 1 == 0 { Role::Server } else { Role::Client };
    let mut bytes = Vec::new();
    if role == Role::Server {
        bytes.extend_from_slice(PREFACE);
    }
    frame::settings(&[], &mut bytes);
    let mut rest = rest;
    while let [kind, flags, stream, len, after @ ..] = rest {
        let payload = &after[..after.len().min(*len as usize)];
        frame::header(kind % 11, *flags, u32::from(stream & 15), payload.len(), &mut bytes);
        bytes.extend_from_slice(payload);
        rest = &after[payload.len()..];
    }
    assert_eq!(converse(role, &bytes.chunks(7).collect::<Vec<_>>()), converse(role, &[&bytes]));
}

/// What decodes is encoded and decoded again as the same, twice with the same tables.
pub fn hpack(data: &[u8]) {
    let mut fields = Vec::new();
    let mut decoder = Decoder::default();
    let mut bytes = 0;
    for block in data.split(|b| *b == b'\n') {
        let taken = decoder.decode(block, |name, value| {
            bytes += name.len() + value.len() + 32;
            fields.push((name.to_vec(), value.to_vec()));
            bytes < 60_000
        });
        if taken != Ok(true) {
            break;
        }
    }
    let (mut encoder, mut again) = (Encoder::default(), Decoder::default());
    for _ in 0..2 {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value) in &fields {
            encoder.field(name, value, &mut block);
        }
        let mut read = Vec::new();
        let whole = again.decode(&block, |name, value| {
            read.push((name.to_vec(), value.to_vec()));
            true
        });
        assert_eq!((whole, &read), (Ok(true), &fields));
    }
    let mut coded = Vec::new();
    huffman::encode(data, &mut coded);
    let mut text = Vec::new();
    assert!(coded.len() == huffman::encoded_len(data) && huffman::decode(&coded, &mut text).is_ok() && text == data);
    let _ = huffman::decode(data, &mut Vec::new());
    if let Ok((value, used)) = integer::decode(data, 5) {
        let mut coded = Vec::new();
        integer::encode(value, 5, 0, &mut coded);
        assert!(used <= data.len() && integer::decode(&coded, 5) == Ok((value, coded.len())));
    }
}

fn get() -> Vec<u8> {
    let (mut encoder, mut block) = (Encoder::default(), Vec::new());
    encoder.begin(&mut block);
    for (name, value) in [(":method", "GET"), (":scheme", "http"), (":path", "/x"), (":authority", "a"), ("x-y", "z")]
    {
        encoder.field(name.as_bytes(), value.as_bytes(), &mut block);
    }
    block
}

fn answer() -> Vec<u8> {
    let (mut encoder, mut block) = (Encoder::default(), Vec::new());
    encoder.begin(&mut block);
    for (name, value) in [(":status", "200"), ("content-length", "5"), ("x-y", "z")] {
        encoder.field(name.as_bytes(), value.as_bytes(), &mut block);
    }
    block
}

pub fn blocks() -> Vec<Vec<u8>> {
    vec![
        get(),
        answer(),
        [get(), b"\n".to_vec(), get()].concat(),
        b"\x3f\xe1\x1f\x82\x86".to_vec(),
        vec![0x20, 0x40, 1, b'a', 0],
    ]
}

pub fn frame_lists() -> Vec<Vec<u8>> {
    let list = |role: u8, head: &[u8]| {
        let framed = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
            [&[kind, flags, stream, payload.len() as u8], payload].concat()
        };
        [
            vec![role],
            framed(4, 0, 0, &[0, 4, 0, 0, 1, 0]),
            framed(1, 4, 1, head),
            framed(0, 8, 1, b"\x02hello\0\0"),
            framed(1, 1, 3, &head[..3]),
            framed(9, 4, 3, &head[3..]),
            framed(6, 0, 0, b"12345678"),
            framed(8, 0, 0, &[0, 0, 1, 0]),
            framed(3, 0, 1, &[0, 0, 0, 8]),
            framed(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
        ]
        .concat()
    };
    vec![list(0, &get()), list(1, &answer())]
}

pub fn conversations() -> Vec<Vec<u8>> {
    let frames = |role: u8, head: &[u8]| {
        let mut bytes = vec![role, 77];
        frame::header(1, 4, 1, head.len(), &mut bytes);
        bytes.extend_from_slice(head);
        frame::header(0, 1, 1, 5, &mut bytes);
        bytes.extend_from_slice(b"hello");
        frame::ping(0, *b"12345678", &mut bytes);
        frame::window_update(0, 9, &mut bytes);
        bytes
    };
    vec![frames(0, &get()), frames(1, &answer()), frames(5, &answer())]
}
