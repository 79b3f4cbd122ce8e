//! The codec against itself, against a list of faults, against chance, and against another implementation.

mod conformance;
mod conversation;
mod heads;
mod hostile;
mod peer;
mod random;

use super::frame::{self, FrameHeader, HEADER_LEN};
use super::hpack::Encoder;
use super::*;
use crate::proto::http::head::{Head, Version};

/// What a connection told, with payloads copied.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Event(Event),
    Data { stream: StreamId, bytes: Vec<u8>, end: bool },
    Head { stream: StreamId, text: String, end: bool },
    Error(ConnectionError),
}

/// Feeds `input` in pieces that end at `splits`; DATA is released at once, and neighbouring pieces of it are joined.
fn feed_in(connection: &mut Connection, input: &[u8], splits: &[usize], out: &mut Vec<u8>) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    let ends = splits.iter().copied().chain([input.len()]);
    let mut start = 0;
    for end in ends {
        let piece = &input[start..end];
        start = end;
        let mut at = 0;
        loop {
            let (used, event) = match connection.receive(&piece[at..], out) {
                Ok(done) => done,
                Err(error) => {
                    told.push(Told::Error(error));
                    return told;
                }
            };
            assert!(at + used <= piece.len());
            match event {
                Event::NeedMore => {
                    assert_eq!(at + used, piece.len(), "all is used before more is asked for");
                    break;
                }
                Event::Data { stream, range, end } => {
                    let bytes = &piece[at..][range];
                    connection.release(stream, bytes.len(), out);
                    match told.last_mut() {
                        Some(Told::Data { stream: s, bytes: b, end: e }) if *s == stream && !*e => {
                            b.extend_from_slice(bytes);
                            *e = end;
                        }
                        _ => told.push(Told::Data { stream, bytes: bytes.to_vec(), end }),
                    }
                }
                Event::Head { stream, end } => told.push(Told::Head { stream, text: text(connection.head()), end }),
                Event::Trailers { stream } => {
                    told.push(Told::Head { stream, text: text(connection.head()), end: true });
                }
                event => told.push(Told::Event(event)),
            }
            at += used;
        }
    }
    told
}

fn feed(connection: &mut Connection, input: &[u8], out: &mut Vec<u8>) -> Vec<Told> {
    feed_in(connection, input, &[], out)
}

/// A head on one line: start line, then `name: value`, parted by `|`.
fn text(head: &Head) -> String {
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut text = match head.status() {
        0 => format!("{} {}", show(head.method()), show(head.uri())),
        status => format!("{status}"),
    };
    for (name, value) in head.fields() {
        text += &format!("|{}: {}", show(name), show(value));
    }
    text
}

/// A server that has seen preface and SETTINGS, and whose first words are forgotten.
fn server() -> (Connection, Vec<u8>) {
    server_with(Config::new(Role::Server))
}

fn server_with(config: Config) -> (Connection, Vec<u8>) {
    let mut out = Vec::new();
    let mut connection = Connection::new(config, &mut out);
    let told = feed(&mut connection, &[&PREFACE[..], &raw(4, 0, 0, b""), &raw(4, 1, 0, b"")].concat(), &mut out);
    assert_eq!(told, [Told::Event(Event::Settings), Told::Event(Event::Opened(0))]);
    out.clear();
    (connection, out)
}

/// A client whose server has sent SETTINGS.
fn client() -> (Connection, Vec<u8>) {
    let mut out = Vec::new();
    let mut connection = Connection::new(Config::new(Role::Client), &mut out);
    feed(&mut connection, &[raw(4, 0, 0, b""), raw(4, 1, 0, b"")].concat(), &mut out);
    out.clear();
    (connection, out)
}

fn raw(kind: u8, flags: u8, stream: StreamId, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::header(kind, flags, stream, payload.len(), &mut out);
    out.extend_from_slice(payload);
    out
}

/// A block without use of the dynamic table.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        // A new encoder each time: nothing repeats.
        Encoder::default().field(name.as_bytes(), value.as_bytes(), &mut out);
    }
    out
}

fn headers(stream: StreamId, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    raw(1, flags, stream, &block(fields))
}

const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/p?q")];
const POST: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "https"), (":authority", "a.example"), (":path", "/p?q")];
/// END_STREAM and END_HEADERS.
const WHOLE: u8 = 5;
/// END_HEADERS.
const OPEN: u8 = 4;

/// The frames in `bytes`, with their payloads.
fn frames(bytes: &[u8]) -> Vec<(FrameHeader, Vec<u8>)> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<HEADER_LEN>() {
        let header = FrameHeader::parse(*header);
        let (payload, next) = after.split_at(header.len as usize);
        frames.push((header, payload.to_vec()));
        rest = next;
    }
    assert!(rest.is_empty());
    frames
}
