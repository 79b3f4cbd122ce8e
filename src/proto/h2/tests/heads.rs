//! Requests and responses by field lines: what HAProxy 3.4 was seen to make of each.

use super::*;

/// What becomes of a request with these fields and END_STREAM: the head, or the code of the reset.
fn request(fields: &[(&str, &str)]) -> Result<String, ErrorCode> {
    let (mut connection, mut out) = server();
    match &feed(&mut connection, &headers(1, WHOLE, fields), &mut out)[..] {
        [Told::Head { stream: 1, text, end: true }] => Ok(text.clone()),
        [Told::Event(Event::Refused { stream: 1, code })] => {
            // The connection lives on.
            let told = feed(&mut connection, &headers(3, WHOLE, GET), &mut out);
            assert!(matches!(told[..], [Told::Head { stream: 3, .. }]), "{told:?}");
            assert_eq!(connection.glitches(), 1);
            Err(*code)
        }
        other => panic!("{other:?}"),
    }
}

fn get_and<'a>(more: &[(&'a str, &'a str)]) -> Result<String, ErrorCode> {
    request(&[GET, more].concat())
}

#[test]
fn requests_become_heads_as_in_haproxy() {
    let start = "GET https://a.example/p?q|host: a.example";
    for (more, rest) in [
        (&[][..], ""),
        (&[("x-a", "1"), ("cookie", "a=1"), ("x-b", "2"), ("cookie", "b=2")], "|x-a: 1|x-b: 2|cookie: a=1; b=2"),
        (&[("x", "y"), ("host", "a.example")], "|x: y"),
        (&[("host", "other.example"), ("x", "y")], "|x: y"),
        (&[("x", " \ty ")], "|x: y"),
        (&[("x", " ")], "|x: "),
        (&[("x", "y\u{1}z\t\u{e9}")], "|x: y\u{1}z\t\u{e9}"),
        (&[("te", "trailers")], "|te: trailers"),
        (&[("content-length", "0")], "|content-length: 0"),
    ] {
        assert_eq!(get_and(more), Ok(format!("{start}{rest}")));
    }
}

#[test]
fn targets_become_uris_as_in_haproxy() {
    let of = |method, scheme, authority, path| {
        let all = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)];
        request(&all.into_iter().filter(|(_, value)| *value != "-").collect::<Vec<_>>())
    };
    for (given, expected) in [
        (("GET", "https", "a:443", "/"), "GET https://a/|host: a"),
        (("GET", "http", "a:443", "/"), "GET http://a:443/|host: a:443"),
        (("GET", "https", "a:", "/"), "GET https://a/|host: a"),
        (("GET", "https", "[::1]:80", "/"), "GET https://[::1]:80/|host: [::1]:80"),
        (("GET", "ftp", "a", "/"), "GET ftp://a/|host: a"),
        (("get", "https", "A", "/\u{e9}"), "get https://A/\u{e9}|host: A"),
        (("OPTIONS", "https", "a", "*"), "OPTIONS https://a|host: a"),
        (("GET", "https", "-", "/p"), "GET /p"),
        (("CONNECT", "-", "a:80", "-"), "CONNECT a:80|host: a:80"),
    ] {
        assert_eq!(of(given.0, given.1, given.2, given.3).as_deref(), Ok(expected));
    }
    for (method, scheme, authority, path) in [
        ("-", "https", "a", "/"),
        ("", "https", "a", "/"),
        ("G T", "https", "a", "/"),
        ("GET", "-", "a", "/"),
        ("GET", "", "a", "/"),
        ("GET", "h tp", "a", "/"),
        ("GET", "https", "a", "-"),
        ("GET", "https", "a", ""),
        ("GET", "https", "a", "*"),
        ("GET", "https", "a", "p"),
        ("GET", "https", "a", "http://x/y"),
        ("GET", "https", "a", "/a b"),
        ("GET", "https", "a", "/a#b"),
        ("GET", "https", "a", "/a\u{7f}"),
        ("OPTIONS", "https", "a", ""),
        ("GET", "https", "", "/"),
        ("GET", "https", "a b", "/"),
        ("GET", "https", " a", "/"),
        ("GET", "https ", "a", "/"),
        ("GET", "https", "u@a", "/"),
        ("GET", "https", "u:p@a", "/"),
        ("GET", "https", "a/b", "/"),
        ("GET", "https", "a?b", "/"),
        ("GET", "https", "a,b", "/"),
        ("GET", "https", "a:b", "/"),
        ("GET", "https", ":80", "/"),
        ("GET", "https", "a\u{1}", "/"),
        ("CONNECT", "-", "a", "-"),
        ("CONNECT", "-", "-", "-"),
        ("CONNECT", "-", "a:80", "/"),
        ("CONNECT", "https", "a:80", "/"),
    ] {
        assert_eq!(
            of(method, scheme, authority, path),
            Err(ErrorCode::PROTOCOL_ERROR),
            "{method} {scheme} {authority} {path}"
        );
    }
}

#[test]
fn a_host_field_serves_without_authority() {
    let fields = [(":method", "GET"), (":scheme", "https"), (":path", "/p")];
    let with = |more: &[(&'static str, &'static str)]| request(&[&fields[..], more].concat());
    assert_eq!(with(&[("x", "y"), ("host", "b")]).as_deref(), Ok("GET /p|x: y|host: b"));
    assert_eq!(with(&[("host", "b"), ("host", "c")]).as_deref(), Ok("GET /p|host: b"));
    assert_eq!(with(&[("host", "a b")]), Err(ErrorCode::PROTOCOL_ERROR));
}

#[test]
fn malformed_requests_are_stream_errors() {
    for more in [
        &[("X", "y")][..],
        &[("x y", "z")],
        &[("", "y")],
        &[("x:", "y")],
        &[("x\u{e9}", "y")],
        &[("x", "y\0z")],
        &[("x", "y\nz")],
        &[("x", "y\rz")],
        &[("te", "gzip")],
        &[("te", "trailers, gzip")],
        &[("connection", "close")],
        &[("keep-alive", "x")],
        &[("proxy-connection", "x")],
        &[("transfer-encoding", "chunked")],
        &[("upgrade", "x")],
        &[(":path", "/")],
        &[(":x", "y")],
        &[(":status", "200")],
        &[(":protocol", "websocket")],
        &[("x", "y"), (":protocol", "websocket")],
        &[("content-length", "3")],
        &[("content-length", "x")],
        &[("content-length", "0"), ("content-length", "1")],
    ] {
        assert_eq!(get_and(more), Err(ErrorCode::PROTOCOL_ERROR), "{more:?}");
    }
}

#[test]
fn pseudo_headers_come_before_fields() {
    let late = [(":method", "GET"), (":scheme", "https"), ("x", "y"), (":path", "/")];
    assert_eq!(request(&late), Err(ErrorCode::PROTOCOL_ERROR));
}

#[test]
fn heads_beyond_the_limits_are_stream_errors_and_keep_the_table_right() {
    let long = "y".repeat(5500);
    let many = vec![("x", "1"); 101];
    let crumbs = vec![("cookie", &long[..]); 3];
    for more in [&[("x", &long[..]), ("z", &long), ("w", &long)][..], &many, &crumbs] {
        assert_eq!(get_and(more), Err(ErrorCode::PROTOCOL_ERROR));
    }
    assert!(get_and(&many[1..]).is_ok());
    // The parts of a divided Cookie are one field, and a head may be as large as HTTP/1 would write it.
    assert!(get_and(&[&many[2..], &[("cookie", "a=1"); 197]].concat()).is_ok());
    let value = "v".repeat(145);
    assert!(get_and(&vec![("x", &value[..]); 100]).is_ok());
    // Indexed fields in a refused head serve the next one.
    let (mut connection, mut out) = server();
    let mut large = block(&[&many[..], &[("x", "1")]].concat());
    large.splice(0..0, block(GET));
    large.extend_from_slice(b"\x40\x01k\x01v");
    let mut next = block(GET);
    next.push(0xbe);
    let told = feed(&mut connection, &[raw(1, WHOLE, 1, &large), raw(1, WHOLE, 3, &next)].concat(), &mut out);
    assert!(matches!(&told[1], Told::Head { stream: 3, text, .. } if text.ends_with("|k: v")), "{told:?}");
}

#[test]
fn extended_connect_gives_its_protocol() {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "a"),
        (":path", "/chat"),
    ];
    let (mut connection, mut out) = server();
    let told = feed(&mut connection, &headers(1, OPEN, &fields), &mut out);
    assert!(matches!(&told[..], [Told::Head { text, .. }] if text == "CONNECT https://a/chat|host: a"), "{told:?}");
    assert_eq!(connection.protocol(), Some(&b"websocket"[..]));
    feed(&mut connection, &headers(3, WHOLE, GET), &mut out);
    assert_eq!(connection.protocol(), None);
    let (mut connection, mut out) = server_with(Config { extended_connect: false, ..Config::new(Role::Server) });
    let told = feed(&mut connection, &headers(1, OPEN, &fields), &mut out);
    assert!(matches!(told[..], [Told::Event(Event::Refused { .. })]), "{told:?}");
}

/// Sends a head through a client and a server; gives what arrives.
fn through(head: &Head) -> String {
    let (mut client, mut wire) = client();
    let stream = client.open().unwrap();
    client.send_head(stream, head, true, &mut wire);
    let (mut server, mut out) = server();
    match &feed(&mut server, &wire, &mut out)[..] {
        [Told::Head { text, .. }] => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_http2_does_not_have_is_left_out() {
    let mut head = Head::request(b"GET", b"/p?q", Version::Http11);
    for (name, value) in [
        ("Host", "a"),
        ("Connection", "close"),
        ("Keep-Alive", "1"),
        ("Proxy-Connection", "x"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "x"),
        ("TE", "gzip, trailers"),
        ("X-Other", "y"),
        ("Cookie", "a=1; b=2"),
    ] {
        head.append(name.as_bytes(), value.as_bytes());
    }
    assert_eq!(through(&head), "GET http://a/p?q|host: a|te: trailers|x-other: y|cookie: a=1; b=2");
    let mut response = Head::response(404, b"Not Found", Version::Http11);
    response.append(b"Connection", b"close");
    response.append(b"Server", b"s");
    let (mut server, mut out) = server();
    feed(&mut server, &headers(1, WHOLE, GET), &mut out);
    server.send_head(1, &response, true, &mut out);
    let (mut client, mut wire) = client();
    client.open();
    client.send_head(1, &head, true, &mut wire);
    let told = feed(&mut client, &out, &mut wire);
    assert_eq!(told, [Told::Head { stream: 1, text: "404|server: s".into(), end: true }]);
    assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
}

#[test]
fn targets_of_every_form_go_out() {
    for (method, uri, host, arrives) in [
        ("GET", "http://b:81/x", "a", "GET http://a/x|host: a"),
        ("GET", "https://b/x", "", "GET https://b/x|host: b"),
        ("GET", "https://b?x", "", "-"),
        ("OPTIONS", "*", "a", "OPTIONS http://a|host: a"),
        ("OPTIONS", "http://a", "a", "OPTIONS http://a|host: a"),
        ("GET", "/", "", "GET /"),
        ("CONNECT", "a:1", "a", "CONNECT a:1|host: a:1"),
    ] {
        let mut head = Head::request(method.as_bytes(), uri.as_bytes(), Version::Http11);
        if !host.is_empty() {
            head.append(b"host", host.as_bytes());
        }
        if arrives != "-" {
            assert_eq!(through(&head), arrives);
        }
    }
}

#[test]
fn extended_connect_announces_no_length_and_is_not_http2_again() {
    let connect = |protocol: &'static str, more: &[(&'static str, &'static str)]| {
        let base = [
            (":method", "CONNECT"),
            (":protocol", protocol),
            (":scheme", "https"),
            (":authority", "a.example"),
            (":path", "/chat"),
        ];
        request(&[&base[..], more].concat())
    };
    assert_eq!(connect("websocket", &[("content-length", "20")]), Err(ErrorCode::PROTOCOL_ERROR));
    let head = connect("websocket", &[("content-length", "0")]).expect("no content");
    assert!(!head.contains("content-length"), "{head}");
    for protocol in ["h2", "h2c", "H2C"] {
        assert_eq!(connect(protocol, &[]), Err(ErrorCode::PROTOCOL_ERROR), "{protocol}");
    }
}
