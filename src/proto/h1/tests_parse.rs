//! Heads: what is read from good ones, and that the way they are split over reads does not matter.

use super::*;
use crate::proto::http::head::{Head, Version};

fn request(input: &[u8]) -> (Head, Message) {
    let mut head = Head::new();
    match parse_request(input, &Limits::REQUEST, &mut head) {
        Ok(Parsed::Complete(message)) => (head, message),
        other => panic!("{other:?} for {}", input.escape_ascii()),
    }
}

fn response(input: &[u8], asked: Asked) -> Result<(Head, Message), u16> {
    let mut head = Head::new();
    match parse_response(input, &Limits::RESPONSE, asked, &mut head) {
        Ok(Parsed::Complete(message)) => Ok((head, message)),
        Err(error) => Err(error.status()),
        other => panic!("{other:?} for {}", input.escape_ascii()),
    }
}

/// The head as it would be passed on, without the empty line's CRLF CRLF noise.
fn passed_on(head: &Head) -> String {
    let mut out = Vec::new();
    encode::head(head, &mut out);
    String::from_utf8_lossy(&out).replace("\r\n", "|")
}

#[test]
fn a_plain_request_is_read() {
    let (head, message) = request(b"GET /a?b HTTP/1.1\r\nHost: a\r\nX-Y:  z \r\nEmpty:\r\n\r\nrest");
    assert_eq!((head.method(), head.uri(), head.version()), (&b"GET"[..], &b"/a?b"[..], Version::Http11));
    assert_eq!(passed_on(&head), "GET /a?b HTTP/1.1|host: a|x-y: z|empty: ||");
    assert_eq!((message.consumed, message.framing), (48, Framing::None));
    assert!(message.is_persistent(head.version()));
}

#[test]
fn heads_split_at_every_byte_are_the_same() {
    let inputs: [&[u8]; 4] = [
        b"POST http://a:80/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\nX: a\r\n\t b\r\nConnection: close, x\r\n\r\n",
        b"\r\n\r\nGET  /  HTTP/1.0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost:a\r\nTransfer-Encoding: chunked\r\nUpgrade: h2c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\nTE: gzip, trailers\r\n\r\n",
    ];
    for input in inputs {
        let whole = request(input);
        let mut head = Head::new();
        for split in 0..input.len() {
            let part = parse_request(&input[..split], &Limits::REQUEST, &mut head);
            assert_eq!(part, Ok(Parsed::Partial), "{}", input[..split].escape_ascii());
        }
        let more = [input, b"GET /next"].concat();
        let again = request(&more);
        assert_eq!((passed_on(&again.0), again.1), (passed_on(&whole.0), whole.1));
    }
}

#[test]
fn lengths_and_hosts_become_one_line() {
    let (head, message) = request(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 05\r\nhost: A\r\ncontent-length: 5,5\r\nX: 1\r\n\r\nhello",
    );
    assert_eq!(passed_on(&head), "POST / HTTP/1.1|host: a|content-length: 5|x: 1||");
    assert_eq!(message.framing, Framing::Length(5));
}

#[test]
fn chunked_beside_a_length_wins_and_closes() {
    let (head, message) =
        request(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(passed_on(&head), "POST / HTTP/1.1|host: a|transfer-encoding: chunked||");
    assert_eq!(message.framing, Framing::Chunked);
    assert!(message.must_close && !message.is_persistent(head.version()));
}

#[test]
fn nothing_follows_a_204_that_announces_a_body() {
    for (length, keeps) in [("", true), ("Content-Length: 0\r\n", true), ("Content-Length: 3\r\n", false)] {
        let mut head = Head::new();
        let input = format!("HTTP/1.1 204 No Content\r\n{length}\r\n");
        let parsed = parse_response(input.as_bytes(), &Limits::RESPONSE, Asked::Other, &mut head);
        let Ok(Parsed::Complete(message)) = parsed else { panic!("{input}: {parsed:?}") };
        assert_eq!((message.framing, message.is_persistent(head.version())), (Framing::None, keeps), "{input}");
    }
}

#[test]
fn targets_are_normalised_as_haproxy_does() {
    for (target, host, uri, passed) in [
        ("GET http://a:80/x", "a", "http://a/x", "a"),
        ("GET http://a", "a", "http://a/", "a"),
        ("GET http://A/x", "a:80", "http://A/x", "a:80"),
        ("GET https://[::1]:443/", "[::1]", "https://[::1]/", "[::1]"),
        ("GET http://u@a:/", "a", "http://u@a/", "a"),
        ("OPTIONS http://a", "a", "http://a", "a"),
        ("OPTIONS *", "a", "*", "a"),
        ("CONNECT a:80", "a:80", "a:80", "a"),
        ("CONNECT a:444", "a:444", "a:444", "a:444"),
        ("CONNECT a:443", "a", "a:443", "a"),
    ] {
        let (head, _) = request(format!("{target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert_eq!((head.uri(), head.first(b"host")), (uri.as_bytes(), Some(passed.as_bytes())), "{target}");
    }
}

#[test]
fn the_connection_header_loses_what_is_for_this_hop() {
    for (fields, passed) in [
        ("Connection: close\r\n", ""),
        ("Connection: keep-alive, X-A\r\nKeep-Alive: 5\r\n", "connection: X-A|keep-alive: 5|"),
        ("Connection: , close,,\r\nConnection: X-B\r\n", "connection: X-B|"),
        ("Connection: Upgrade\r\nUpgrade: foo\r\n", "connection: Upgrade|upgrade: foo|"),
        ("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n", "connection: HTTP2-Settings|"),
        ("Connection: Upgrade\r\nUpgrade: h2c, foo\r\n", "connection: Upgrade|upgrade: foo|"),
        ("Upgrade: foo\r\n", ""),
        ("Connection: upgrade\r\n", ""),
        ("TE: gzip, trailers\r\n", "te: trailers|"),
        ("TE: gzip\r\n", ""),
    ] {
        let (head, _) = request(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes());
        assert_eq!(passed_on(&head), format!("GET / HTTP/1.1|{passed}|"), "{fields:?}");
    }
}

#[test]
fn persistence_follows_version_and_tokens() {
    for (line, fields, persistent) in [
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Connection: xclose\r\n", true),
        ("HTTP/1.1", "Connection: foo, Close\r\n", false),
        ("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
        ("HTTP/1.0", "Proxy-Connection: keep-alive\r\n", false),
    ] {
        let (head, message) = request(format!("GET / {line}\r\n{fields}\r\n").as_bytes());
        assert_eq!(message.is_persistent(head.version()), persistent, "{line} {fields:?}");
    }
}

#[test]
fn expectations_count_from_http_1_1_on() {
    let expects = |version: &str, value: &str| {
        let input = format!("POST / {version}\r\nContent-Length: 5\r\nExpect: {value}\r\n\r\n");
        request(input.as_bytes()).1.expects_continue
    };
    assert!(expects("HTTP/1.1", "100-Continue"));
    assert!(!expects("HTTP/1.0", "100-continue"));
    assert!(!expects("HTTP/1.1", "foo"));
}

#[test]
fn the_preface_of_http2_is_seen() {
    let mut head = Head::new();
    let mut parse = |input: &[u8]| parse_request(input, &Limits::REQUEST, &mut head).map_err(|e| e.status());
    assert_eq!(parse(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Ok(Parsed::Http2Preface));
    assert_eq!(parse(b"PRI * HTTP/2"), Ok(Parsed::Partial));
    assert_eq!(parse(b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n"), Err(400));
}

#[test]
fn responses_are_framed_by_status_and_request() {
    let text = |status: &str, fields: &str| format!("HTTP/1.1 {status} X\r\n{fields}\r\n").into_bytes();
    let (cl, te) = ("Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n");
    let up = "Connection: upgrade\r\nUpgrade: foo\r\n";
    for (status, fields, asked, framing) in [
        ("200", cl, Asked::Other, Ok(Framing::Length(2))),
        ("200", te, Asked::Other, Ok(Framing::Chunked)),
        ("200", "", Asked::Other, Ok(Framing::UntilClose)),
        ("200", cl, Asked::Head, Ok(Framing::None)),
        ("204", cl, Asked::Other, Ok(Framing::None)),
        ("304", te, Asked::Other, Ok(Framing::None)),
        ("100", cl, Asked::Other, Ok(Framing::None)),
        ("205", cl, Asked::Other, Ok(Framing::Length(2))),
        ("200", cl, Asked::Connect, Ok(Framing::Tunnel)),
        ("404", cl, Asked::Connect, Ok(Framing::Length(2))),
        ("101", up, Asked::Upgrade, Ok(Framing::Tunnel)),
        ("101", up, Asked::Other, Err(502)),
        ("101", "", Asked::Upgrade, Err(502)),
        ("101", up, Asked::WebSocket, Err(502)),
        ("200", "Transfer-Encoding: gzip\r\n", Asked::Other, Err(502)),
        ("200", "Transfer-Encoding: gzip, chunked\r\n", Asked::Other, Err(502)),
        ("200", "Transfer-Encoding: identity\r\n", Asked::Other, Err(502)),
        ("200", "Content-Length: 2\r\nContent-Length: 3\r\n", Asked::Other, Err(502)),
        ("099", cl, Asked::Other, Err(502)),
        ("2000", cl, Asked::Other, Err(502)),
        ("2xx", cl, Asked::Other, Err(502)),
    ] {
        let read = response(&text(status, fields), asked).map(|(_, message)| message.framing);
        assert_eq!(read, framing, "{status} {fields:?} {asked:?}");
    }
}

#[test]
fn responses_keep_their_reason_or_get_one() {
    for (line, reason) in [
        (&b"HTTP/1.1 200 Fine\r\n"[..], &b"Fine"[..]),
        (b"HTTP/1.1 200\r\n", b"OK"),
        (b"HTTP/1.1 200 \r\n", b"OK"),
        (b"HTTP/1.0 404 O\xe9K\n", b"O\xe9K"),
    ] {
        let (head, _) = response(&[line, b"X: y\r\n\r\n"].concat(), Asked::Other).unwrap();
        assert_eq!(head.reason(), reason);
    }
}

#[test]
fn what_a_bodiless_response_cannot_have_is_dropped() {
    for status in [100, 103, 204] {
        let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n");
        let (head, _) = response(text.as_bytes(), Asked::Other).unwrap();
        assert_eq!(passed_on(&head), format!("HTTP/1.1 {status} X|a: b||"));
    }
}

#[test]
fn heads_beyond_the_bounds_are_refused_even_when_partial() {
    let status = |input: &[u8]| {
        let mut head = Head::new();
        parse_request(input, &Limits::REQUEST, &mut head).map_err(|e| e.status())
    };
    let field = |n: usize| [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec(), vec![b'a'; n]].concat();
    assert_eq!(status(&field(17000)), Err(431));
    assert_eq!(status(&[field(15400), b"\r\n\r\n".to_vec()].concat()), Err(431));
    assert_eq!(status(&[b"GET /".to_vec(), vec![b'a'; 16000]].concat()), Err(414));
    assert_eq!(status(&vec![b'A'; 20000]), Err(414));
    let lines = |n: usize| [b"GET / HTTP/1.1\r\n".to_vec(), b"X: 1\r\n".repeat(n), b"\r\n".to_vec()].concat();
    assert!(matches!(status(&lines(100)), Ok(Parsed::Complete(_))));
    assert_eq!(status(&lines(101)), Err(400));
}

#[test]
fn more_field_lines_are_read_where_configured() {
    let limits = Limits { fields: 300, ..Limits::REQUEST };
    let input = [b"GET / HTTP/1.1\r\n".to_vec(), b"X: 1\r\n".repeat(300), b"\r\n".to_vec()].concat();
    let mut head = Head::new();
    assert!(matches!(parse_request(&input, &limits, &mut head), Ok(Parsed::Complete(_))));
    assert_eq!(head.len(), 300);
}

#[test]
fn joining_folded_lines_stops_at_the_end_of_the_head() {
    for input in [
        &b"HTTP/1.1 200 OK\nX: a\n b\nContent-Length: 2\n\n x"[..],
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\n x",
        b"HTTP/1.1 200 OK\nX: a\n\tb\nContent-Length: 2\n\n\n x",
    ] {
        let (head, message) = response(input, Asked::Other).unwrap();
        assert_eq!(message.framing, Framing::Length(2), "{}", input.escape_ascii());
        assert!(head.first(b"x").is_some_and(|v| v.starts_with(b"a ")));
        assert!(matches!(&input[message.consumed..], b" x" | b"\n x"), "{}", input.escape_ascii());
    }
}

#[test]
fn a_length_beside_chunks_ends_the_connection_unless_that_is_switched_off() {
    let input = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(request(input).1.must_close);
    let mut head = Head::new();
    let limits = Limits { keep_insecure: true, ..Limits::REQUEST };
    let Ok(Parsed::Complete(message)) = parse_request(input, &limits, &mut head) else { panic!("not complete") };
    assert_eq!((message.must_close, message.framing), (false, Framing::Chunked));
    assert_eq!(passed_on(&head), "POST / HTTP/1.1|host: a|transfer-encoding: chunked||");
}

#[test]
fn violations_of_a_server_are_accepted_where_that_is_said() {
    let lenient = Limits { unsafe_violations: true, ..Limits::RESPONSE };
    let cases: [(&[u8], &str); 6] = [
        (b"b@d name: x\r\nA: b\r\nContent-Length: 2", "a: b|content-length: 2"),
        (b"A: b\r\nb\x00d: x\r\n y\r\nContent-Length: 2", "a: b|content-length: 2"),
        (b"foo : x\r\nContent-Length: 2", "content-length: 2"),
        (b"Transfer-Encoding:\r\nContent-Length: 2", "content-length: 2"),
        (b"Transfer-Encoding: chunked, chunked", "transfer-encoding: chunked"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: ,chunked", "transfer-encoding: chunked"),
    ];
    for (fields, wanted) in cases {
        let input = [b"HTTP/1.1 200 OK\r\n", fields, b"\r\n\r\nok"].concat();
        assert!(response(&input, Asked::Other).is_err(), "{}", input.escape_ascii());
        let mut head = Head::new();
        for split in 0..input.len() - 2 {
            let part = parse_response(&input[..split], &lenient, Asked::Other, &mut head);
            assert_eq!(part, Ok(Parsed::Partial), "{}", input[..split].escape_ascii());
        }
        match parse_response(&input, &lenient, Asked::Other, &mut head) {
            Ok(Parsed::Complete(message)) => assert_eq!(message.consumed, input.len() - 2),
            other => panic!("{other:?} for {}", input.escape_ascii()),
        }
        assert_eq!(passed_on(&head), format!("HTTP/1.1 200 OK|{wanted}||"));
    }
    for fields in [&b": x"[..], b"foo", b"A: b\x00c", b"Transfer-Encoding: gzip"] {
        let input = [b"HTTP/1.1 200 OK\r\n", fields, b"\r\n\r\n"].concat();
        let parsed = parse_response(&input, &lenient, Asked::Other, &mut Head::new());
        assert!(parsed.is_err(), "{}", input.escape_ascii());
    }
}
