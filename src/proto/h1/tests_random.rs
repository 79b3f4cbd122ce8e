//! Arbitrary bytes and arbitrary messages: nothing panics, and what is written is read again as the same.

use proptest::prelude::*;

use super::*;
use crate::proto::http::head::{Head, Version};
use crate::proto::proxy_protocol;

/// What requests and responses are made of, good and bad.
const TOKENS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101\r\n",
    b"CONNECT a:80 HTTP/1.1\r\n",
    b"GET http://a:80/ HTTP/1.0\r\n",
    b"Host: a\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close, upgrade\r\n",
    b"Upgrade: h2c, websocket\r\n",
    b"TE: gzip, trailers\r\n",
    b"X: y",
    b"\r\n",
    b"\n",
    b" ",
    b":",
    b"\r",
    b"5\r\n",
    b"0\r\n",
    b"hello",
];

/// Bytes that look a little like HTTP, so that they get past the first token.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(TOKENS);
    let piece = prop_oneof![6 => token.prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 0..4)];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn field() -> impl Strategy<Value = (String, String)> {
    ("[a-z][a-z0-9-]{0,8}", "([!-~]([ -~]{0,20}[!-~])?)?").prop_map(|(name, value)| (format!("x-{name}"), value))
}

fn same(a: &Head, b: &Head) -> bool {
    (a.method(), a.uri(), a.status(), a.reason(), a.version())
        == (b.method(), b.uri(), b.status(), b.reason(), b.version())
        && a.fields().eq(b.fields())
}

fn read_anything(bytes: &[u8]) {
    let mut head = Head::new();
    for limits in [Limits::REQUEST, Limits { bare_lf: true, unsafe_violations: true, ..Limits::REQUEST }] {
        if let Ok(Parsed::Complete(message)) = parse_request(bytes, &limits, &mut head) {
            assert!(message.consumed <= bytes.len());
            let mut out = Vec::new();
            encode::head(&head, &mut out);
            assert_eq!(out.len(), head.wire_len());
        }
        for asked in [Asked::Other, Asked::Head, Asked::Connect, Asked::Upgrade, Asked::WebSocket] {
            if let Ok(Parsed::Complete(message)) = parse_response(bytes, &limits, asked, &mut head) {
                assert!(message.consumed <= bytes.len());
            }
        }
    }
    let mut decoder = chunked::Decoder::new(Side::Client, &Limits::REQUEST);
    let mut at = 0;
    while let Ok((n, event)) = decoder.next(&bytes[at..]) {
        at += n;
        if !matches!(event, chunked::Event::Data(_)) {
            break;
        }
    }
    let _ = proxy_protocol::parse(bytes);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_anything(&bytes);
        read_anything(&[b"PROXY ", &bytes[..]].concat());
        read_anything(&[b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20", &bytes[..]].concat());
    }

    #[test]
    fn nearly_http_never_panics(bytes in nearly_http()) {
        read_anything(&bytes);
    }

    #[test]
    fn what_is_accepted_reads_the_same_when_written(bytes in nearly_http()) {
        let (mut head, mut again) = (Head::new(), Head::new());
        if let Ok(Parsed::Complete(message)) = parse_request(&bytes, &Limits::REQUEST, &mut head) {
            let mut out = Vec::new();
            encode::head(&head, &mut out);
            let reread = parse_request(&out, &Limits::REQUEST, &mut again);
            let Ok(Parsed::Complete(second)) = reread else { panic!("{reread:?}: {}", out.escape_ascii()) };
            prop_assert!(same(&head, &again), "{}", out.escape_ascii());
            prop_assert_eq!((second.consumed, second.framing), (out.len(), message.framing));
            prop_assert!(!second.must_close);
        }
    }

    #[test]
    fn a_written_request_is_read_as_it_was(
        method in "[A-Z]{1,8}",
        path in "/[!\"$-~]{0,30}",
        fields in prop::collection::vec(field(), 0..20),
        split in any::<prop::sample::Index>(),
    ) {
        prop_assume!(method != "CONNECT");
        let mut head = Head::request(method.as_bytes(), path.as_bytes(), Version::Http11);
        for (name, value) in &fields {
            head.append(name.as_bytes(), value.as_bytes());
        }
        let mut wire = Vec::new();
        encode::head(&head, &mut wire);
        let mut read = Head::new();
        let part = &wire[..split.index(wire.len())];
        prop_assert_eq!(parse_request(part, &Limits::REQUEST, &mut read), Ok(Parsed::Partial));
        let parsed = parse_request(&wire, &Limits::REQUEST, &mut read);
        prop_assert!(matches!(parsed, Ok(Parsed::Complete(m)) if m.consumed == wire.len()), "{:?}", parsed);
        prop_assert!(same(&head, &read));
    }

    #[test]
    fn a_written_response_is_read_as_it_was(
        status in 200u16..600,
        reason in "[!-~]([ -~]{0,10}[!-~])?",
        fields in prop::collection::vec(field(), 0..20),
    ) {
        let mut head = Head::response(status, reason.as_bytes(), Version::Http11);
        for (name, value) in &fields {
            head.append(name.as_bytes(), value.as_bytes());
        }
        let mut wire = Vec::new();
        encode::head(&head, &mut wire);
        let mut read = Head::new();
        let parsed = parse_response(&wire, &Limits::RESPONSE, Asked::Other, &mut read);
        prop_assert!(matches!(parsed, Ok(Parsed::Complete(m)) if m.consumed == wire.len()), "{:?}", parsed);
        prop_assert!(same(&head, &read));
    }

    #[test]
    fn chunks_come_back_whole_from_any_split(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        pieces in prop::collection::vec(1usize..20, 1..60),
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            encode::chunk_start(chunk.len() as u64, &mut wire);
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(encode::CHUNK_END);
        }
        wire.extend_from_slice(encode::LAST_CHUNK);
        let mut decoder = chunked::Decoder::new(Side::Server, &Limits::RESPONSE);
        let (mut body, mut rest, mut sizes) = (Vec::new(), &wire[..], pieces.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            rest = after;
            let mut at = 0;
            while at < piece.len() {
                let (n, event) = decoder.next(&piece[at..]).unwrap();
                if let chunked::Event::Data(range) = event {
                    body.extend_from_slice(&piece[at..][range]);
                }
                at += n;
            }
        }
        prop_assert!(decoder.is_done());
        prop_assert_eq!(body, chunks.concat());
    }
}
