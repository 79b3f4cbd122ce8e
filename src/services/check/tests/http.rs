//! `option httpchk` and `http-check`.

use super::Part::*;
use super::*;
use crate::model::bind::Proto;
use crate::proto::h2;
use crate::proto::http::head::{Head, Version};

#[test]
fn http_checks_judge_the_status() {
    let get = || http(Vec::new());
    let (report, sent) = probe(&[Take, Give(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), Hold], get());
    assert_eq!((report.as_str(), &sent[..]), ("L7OK/200", &b"GET /h HTTP/1.0\r\n\r\n"[..]));
    let table: [(&'static [Part], &str); 13] = [
        (&[Take, Give(b"HTTP/1.0 302 Found\r\n\r\n")], "L7OK/302"),
        (&[Take, Give(b"HTTP/1.1 500 Oops, bad\r\nContent-Length: 0\r\n\r\n")], "L7STS/500 Oops, bad"),
        (&[Take, Give(b"HTTP/1.0 404 Not Found\r\n\r\n")], "L7STS/404 Not Found"),
        (&[Take, Give(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")], "L7STS/100 Continue"),
        (&[Take, Give(b"HTTP/1.1 503\r\n\r\n")], "L7STS/503 TCPCHK did not match content(status codes) at step 2"),
        (&[Take], "SOCKERR"),
        (&[Take, Give(b"\x00\x01garbage\r\n\r\n")], "SOCKERR"),
        (&[Take, Give(b"HTTP/1.1 200 OK\r\nFoo: b")], "SOCKERR"),
        (&[Take, Give(b"HTTP/1.1 200 OK\r\nFoo bar\r\n\r\n")], "SOCKERR"),
        (&[Take, Give(b"HTTP/1.1 200 OK\r\nX: "), Flood(10 << 20)], "SOCKERR"),
        (&[Take, Give(b"HTTP/1.1 200 OK\r\n\r\n"), Flood(10 << 20)], "L7OK/200"),
        (&[Take, Reset], "SOCKERR ECONNRESET returned by OS (Connection reset by peer)"),
        (&[Take, Give(b"garbage without end"), Hold], "SOCKERR"),
    ];
    for (i, (parts, report)) in table.into_iter().enumerate() {
        assert_eq!(probe(parts, get()).0, report, "case {i}");
    }
    assert_eq!(probe_closed(get()), REFUSED);
    assert_eq!(probe_late(&[Hold], get()), "L7TOUT");
    assert_eq!(probe_late(&[Take, Give(b"HTTP/1.1 200 OK\r\nFoo: b"), Hold], get()), "L7TOUT");
}

const NAMELESS: &[Part] = &[Take, Give(b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"), Hold];

fn status(low: u16, high: u16) -> CheckPattern {
    CheckPattern::Status(vec![(low, high)])
}

#[test]
fn http_check_expect_judges_status_fields_and_body() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    let field = |text: &str| CheckPattern::Header { full: false, words: words(text) };
    let regex = |text: &str| CheckPattern::Regex(text.to_owned());
    let table = [
        (HELLO, expect(status(200, 299)), "L7OK/200"),
        (HELLO, expect(status(300, 310)), "L7STS/200 OK"),
        (HELLO, not(status(200, 200)), "L7STS/200 OK"),
        (HELLO, expect(CheckPattern::StatusRegex("^2".to_owned())), "L7OK/200"),
        (HELLO, expect(CheckPattern::StatusRegex("^3".to_owned())), "L7STS/200 OK"),
        (HELLO, expect(string("hello")), "L7OK/200"),
        (HELLO, expect(string("nope")), "L7RSP HTTP content check did not match"),
        (HELLO, not(string("hell")), "L7RSP HTTP check matched unwanted content"),
        (HELLO, not(string("zz")), "L7OK/200"),
        (HELLO, expect(regex("^h.l")), "L7OK/200"),
        (HELLO, expect(regex("^n")), "L7RSP HTTP content check did not match"),
        (HELLO, expect(field("name content-length value 5")), "L7OK/200"),
        (HELLO, expect(field("name x-y")), "L7STS/200 OK"),
        (NAMELESS, expect(status(201, 201)), "L7STS/200 TCPCHK did not match content(status codes) at step 1"),
        (NAMELESS, expect(field("name x-y")), "L7STS/200 TCPCHK did not match content (header pattern) at step 1"),
        (
            NAMELESS,
            expect(CheckPattern::StatusRegex("^3".to_owned())),
            "L7STS/200 TCPCHK did not match content (regex) at step 1",
        ),
    ];
    for (parts, line, report) in table {
        let told = format!("{line:?}");
        assert_eq!(probe(parts, http(vec![line])).0, report, "{told}");
    }
    let body = |parts| probe(parts, http(vec![expect(string("hello"))])).0;
    let missed = "L7RSP HTTP content check did not match";
    assert_eq!(body(&[Take, Give(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhel")]), missed);
    assert_eq!(body(&[Take, Give(b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n"), Flood(10 << 20)]), missed);
    let none = "L7RSP HTTP content check could not find a response body";
    assert_eq!(body(&[Take, Give(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Hold]), none);
    let chunked =
        &[Take, Give(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), Hold];
    assert_eq!(body(chunked), "L7OK/200");
    let broken = &[Take, Give(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nheXX")];
    assert_eq!(body(broken), "L7RSP TCPCHK did not match content 'hello' at step 1");
    let two = http(vec![expect(status(200, 200)), expect(string("nope"))]);
    assert_eq!(probe(HELLO, two).0, missed);
}

#[test]
fn statuses_codes_and_texts_can_be_chosen() {
    let with = |edit: fn(&mut CheckExpect), pattern| {
        let mut e = expectation(pattern);
        edit(&mut e);
        probe(HELLO, http(vec![step(CheckAction::Expect(e), None)])).0
    };
    assert_eq!(with(|e| e.ok_status = Some("L6OK".to_owned()), status(200, 200)), "L6OK");
    assert_eq!(with(|e| e.error_status = Some("L4CON".to_owned()), status(201, 201)), "L4CON OK");
    assert_eq!(with(|e| e.on_success = Some("fine %[int(3)] x".to_owned()), status(200, 200)), "L7OK/200 fine 3 x");
    assert_eq!(with(|e| e.on_error = Some("bad %[int(17)]".to_owned()), status(201, 201)), "L7STS/200 bad 17");
    assert_eq!(with(|e| e.status_code = Some("int(77)".to_owned()), status(200, 200)), "L7OK/77");
    let told = http(vec![step(CheckAction::Expect(expectation(status(201, 201))), Some("mycomment"))]);
    assert_eq!(probe(HELLO, told).0, "L7STS/200 OK comment: mycomment");
}

#[test]
fn http_check_send_builds_the_request() {
    let request = |method: Option<&str>, uri: Option<Text>, version: Option<&str>, headers: &[(&str, &str)], body| {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let (method, version) = (method.map(str::to_owned), version.map(str::to_owned));
        step(CheckAction::Send(CheckSend::Http { method, uri, version, headers, body }), None)
    };
    let uri = Some(Text::Format("/%[str(q)]".to_owned()));
    let body = Some(Text::Format("abc%[str(d)]".to_owned()));
    let line = request(Some("POST"), uri, Some("HTTP/1.1"), &[("Host", "%[str(x)]"), ("X-A", "b c")], body);
    let (report, sent) = probe(HELLO, http(vec![line]));
    assert_eq!(report, "L7OK/200");
    let expected = b"POST /q HTTP/1.1\r\nhost: x\r\nx-a: b c\r\ncontent-length: 4\r\nconnection: close\r\n\r\nabcd";
    assert_eq!(String::from_utf8_lossy(&sent), String::from_utf8_lossy(expected));
    let line = request(None, None, None, &[("X", "1")], None);
    let sent = probe(HELLO, |p| {
        http(vec![line])(p);
        p.backend.check_kind = CheckKind::Http(HttpRequest {
            method: "HEAD".to_owned(),
            uri: "/".to_owned(),
            version: Some("HTTP/1.0".to_owned()),
            hidden_headers: vec!["User-agent: osa".to_owned()],
            host: None,
        });
    });
    assert_eq!(String::from_utf8_lossy(&sent.1), "HEAD / HTTP/1.0\r\nx: 1\r\n\r\n");
    // What openstack-ansible writes: header lines behind the version.
    let (_, sent) = probe(HELLO, |p| {
        p.backend.check_kind = CheckKind::Http(HttpRequest {
            method: "HEAD".to_owned(),
            uri: "/".to_owned(),
            version: Some("HTTP/1.0".to_owned()),
            hidden_headers: vec!["User-agent: osa".to_owned()],
            host: None,
        });
    });
    assert_eq!(String::from_utf8_lossy(&sent), "HEAD / HTTP/1.0\r\nuser-agent: osa\r\n\r\n");
}

#[test]
fn disable_on_404_passes_conditionally() {
    let parts: &[Part] = &[Take, Give(b"HTTP/1.0 404 Not Found\r\n\r\n")];
    let (report, _) = probe(parts, |p| {
        http(Vec::new())(p);
        p.backend.http_check.disable_on_404 = true;
    });
    assert_eq!(report, "L7OKC/404");
}

/// What an HTTP/2 server says to its first request: frames that `answer` makes.
fn h2(answer: impl FnOnce(&mut h2::Connection, &mut Vec<u8>)) -> &'static [Part] {
    let (mut request, mut out) = (Vec::new(), Vec::new());
    let mut client = h2::Connection::new(h2::Config::new(h2::Role::Client), &mut request);
    let stream = client.open().unwrap();
    client.send_head(stream, &Head::request(b"GET", b"/", Version::Http2), true, &mut request);
    let mut server = h2::Connection::new(h2::Config::new(h2::Role::Server), &mut out);
    let mut at = 0;
    while at < request.len() {
        at += server.receive(&request[at..], &mut Vec::new()).unwrap().0;
    }
    answer(&mut server, &mut out);
    Vec::leak(vec![Take, Give(out.leak()), Hold])
}

/// Status, and a body whose length is told.
fn h2_response(status: u16, body: &'static [u8], told: &'static [u8]) -> &'static [Part] {
    h2(|server, out| {
        let mut head = Head::response(status, b"", Version::Http2);
        head.append(b"content-length", told);
        server.send_head(1, &head, told == b"0", out);
        if !body.is_empty() {
            assert!(server.send_data_header(1, body.len(), told == body.len().to_string().as_bytes(), out));
            out.extend_from_slice(body);
        }
    })
}

/// As HAProxy 3.4.0 reported the same servers.
#[test]
fn checks_over_http2_judge_as_those_over_http1() {
    let over_h2 = |steps: Vec<CheckStep>| {
        move |p: &mut Proxy| {
            http(steps)(p);
            p.backend.servers[0].proto = Some(Proto::H2);
        }
    };
    let plain = || over_h2(Vec::new());
    let said = "TCPCHK did not match content(status codes) at step 2";
    assert_eq!(probe(h2_response(200, b"hello", b"5"), plain()).0, "L7OK/200");
    assert_eq!(probe(h2_response(200, b"", b"0"), plain()).0, "L7OK/200");
    assert_eq!(probe(h2_response(200, b"hel", b"50"), plain()).0, "L7OK/200");
    assert_eq!(probe(h2_response(500, b"", b"0"), plain()).0, format!("L7STS/500 {said}"));
    assert_eq!(probe(h2_response(103, b"", b"1"), plain()).0, format!("L7STS/103 {said}"));
    let string = |text: &str| over_h2(vec![expect(string(text))]);
    assert_eq!(probe(h2_response(200, b"hello", b"5"), string("hello")).0, "L7OK/200");
    assert_eq!(probe(h2_response(200, b"hello", b"5"), string("nope")).0, "L7RSP HTTP content check did not match");
    let none = "L7RSP HTTP content check could not find a response body";
    assert_eq!(probe(h2_response(200, b"", b"0"), string("nope")).0, none);
    let broken = h2(|server, out| {
        let head = Head::response(200, b"", Version::Http2);
        server.send_head(1, &head, false, out);
        assert!(server.send_data_header(1, 3, false, out));
        out.extend_from_slice(b"hel");
        server.reset(1, h2::ErrorCode::INTERNAL_ERROR, out);
    });
    assert_eq!(probe(broken, string("nope")).0, "L7RSP HTTP content check did not match");
    assert_eq!(probe(h2(|server, out| server.reset(1, h2::ErrorCode::REFUSED_STREAM, out)), plain()).0, "SOCKERR");
    assert_eq!(probe(&[Take, Give(b"HTTP/1.1 400 Bad\r\n\r\n"), Hold], plain()).0, "SOCKERR");
    assert_eq!(probe(HELLO, plain()).0, "SOCKERR");
    assert_eq!(probe_late(&[Hold], plain()), "L7TOUT");
    assert_eq!(probe_late(h2_response(200, b"hel", b"50"), string("nope")), "L7TOUT");
}

#[test]
fn a_check_speaks_http2_where_its_rule_or_its_line_says_so() {
    type Edit = fn(&mut Proxy);
    let connect = |default, proto| {
        let connect = CheckConnect { default, proto, ..CheckConnect::default() };
        vec![step(CheckAction::Connect(connect), None)]
    };
    let by_check: Edit = |p| p.backend.servers[0].check.as_mut().unwrap().proto = Some(Proto::H2);
    let by_line: Edit = |p| p.backend.servers[0].proto = Some(Proto::H2);
    let back: Edit = |p| {
        p.backend.servers[0].proto = Some(Proto::H2);
        p.backend.servers[0].check.as_mut().unwrap().proto = Some(Proto::H1);
    };
    let table: [(Vec<CheckStep>, Edit, bool); 9] = [
        (Vec::new(), |_| {}, false),
        (Vec::new(), by_check, true),
        (Vec::new(), by_line, true),
        (Vec::new(), back, false),
        (connect(false, Some(Proto::H2)), |_| {}, true),
        (connect(true, None), by_line, true),
        (connect(true, Some(Proto::H1)), by_line, false),
        // What is written and says no `default` does not look at the line.
        (connect(false, None), by_line, false),
        (connect(false, None), by_check, false),
    ];
    for (i, (steps, edit, speaks)) in table.into_iter().enumerate() {
        let (_, sent) = probe(&[Take, Take], |p| {
            http(steps)(p);
            edit(p);
        });
        assert_eq!(sent.starts_with(h2::PREFACE), speaks, "case {i}: {}", sent.escape_ascii());
    }
}
