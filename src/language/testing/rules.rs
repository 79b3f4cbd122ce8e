//! Rules at work: what they change and what they decide.

use super::Bench;
use crate::language::logformat::{HTTP, TCP, Usage};
use crate::language::rules::reply::Source;
use crate::language::rules::{Phase, Verdict, Wait};

fn header(bench: &Bench, name: &str) -> Vec<String> {
    bench.request.values(name.as_bytes()).map(|v| String::from_utf8_lossy(v).into_owned()).collect()
}

#[test]
fn header_actions_edit_the_request() {
    let mut bench = Bench::default();
    let verdict = bench.rules(
        Phase::HttpRequest,
        &[
            "set-header X-Path %[path]",
            "add-header x-list e",
            "replace-header user-agent ^(..) <\\1>",
            "replace-header user-agent ^<(..)> \\1%[str(+)]",
            "replace-value x-list ^([a-c])$ \\1\\1",
            "del-header ^coo -m reg",
            "set-header x-bad %[str(a%0d%0ab),url_dec]",
        ],
    );
    assert!(matches!(verdict, Ok(Verdict::Continue)));
    assert_eq!(header(&bench, "x-path"), ["/path/a"]);
    assert_eq!(header(&bench, "x-list"), ["aa,bb,cc", "d", "e"]);
    assert_eq!(header(&bench, "user-agent"), ["ua+"]);
    assert!(header(&bench, "cookie").is_empty());
    assert_eq!(header(&bench, "x-bad"), ["a%0D%0Ab"]);
}

#[test]
fn uri_actions_keep_the_other_parts() {
    for (rule, uri) in [
        ("set-path /new", "/new?x=1&y=2"),
        ("set-query a=b", "/path/a?a=b"),
        ("set-pathq /z", "/z"),
        ("set-uri /u?%[url_param(x)]", "/u?1"),
        ("replace-path (.*)/a \\1/b", "/path/b?x=1&y=2"),
        ("replace-pathq ([^?]*)[?](.*) \\1/q?\\2", "/path/a/q?x=1&y=2"),
        ("replace-uri ^/path(.*) /p\\1", "/p/a?x=1&y=2"),
    ] {
        let mut bench = Bench::default();
        bench.rules(Phase::HttpRequest, &[rule]).unwrap();
        assert_eq!(String::from_utf8_lossy(bench.request.uri()), uri, "{rule}");
    }
}

#[test]
fn a_named_acl_is_evaluated_where_it_is_used() {
    let mut bench = Bench::default();
    bench.acl("moved path /new").unwrap();
    bench
        .rules(
            Phase::HttpRequest,
            &["set-header x-before 1 if moved", "set-path /new", "set-header x-after 1 if moved"],
        )
        .unwrap();
    assert!(header(&bench, "x-before").is_empty());
    assert_eq!(header(&bench, "x-after"), ["1"]);
}

#[test]
fn deny_return_and_redirect_build_their_replies() {
    let mut bench = Bench::default();
    let Ok(Verdict::Deny(reply)) = bench.rules(Phase::HttpRequest, &["deny deny_status 429 if TRUE"]) else {
        panic!()
    };
    assert_eq!((reply.status, &reply.source), (429, &Source::Proxy));
    let rule = "return status 201 content-type text/plain lf-string '%[path] ok' hdr X-A %[src]";
    let Ok(Verdict::Return(reply)) = bench.rules(Phase::HttpRequest, &[rule]) else { panic!() };
    assert_eq!((reply.status, reply.body.as_slice()), (201, &b"/path/a ok"[..]));
    let fields: Vec<_> = reply.head.fields().collect();
    let expected: [(&[u8], &[u8]); 3] =
        [(b"x-a", b"127.0.0.1"), (b"content-length", b"10"), (b"content-type", b"text/plain")];
    assert_eq!(fields, expected);
    for (rule, location) in [
        ("redirect location https://%[hdr(host)]/x", "https://www.acme.org:8080/x"),
        ("redirect scheme https code 301", "https://www.acme.org:8080/path/a?x=1&y=2"),
        ("redirect prefix http://o", "http://o/path/a?x=1&y=2"),
        ("redirect prefix http://o drop-query append-slash", "http://o/path/a/"),
        ("redirect location /y keep-query", "/y?x=1&y=2"),
    ] {
        let Ok(Verdict::Redirect(reply)) = bench.rules(Phase::HttpRequest, &[rule]) else { panic!("{rule}") };
        assert_eq!(reply.head.first(b"location").map(String::from_utf8_lossy).unwrap(), location, "{rule}");
    }
    let rule = "redirect location %[hdr(none)] ignore-empty";
    assert!(matches!(bench.rules(Phase::HttpRequest, &[rule]), Ok(Verdict::Continue)));
}

#[test]
fn rules_wait_for_bytes_and_decide_at_the_last_chance() {
    let mut bench = Bench { complete: false, tcp: true, ..Bench::default() };
    let rules = ["accept if { req.len gt 3 }", "reject"];
    assert!(matches!(
        bench.rules(Phase::TcpRequestContent, &rules),
        Ok(Verdict::Wait { what: Wait::Payload, resume: 0 })
    ));
    bench.body = b"12345".to_vec();
    assert!(matches!(bench.rules(Phase::TcpRequestContent, &rules), Ok(Verdict::Accept)));
    (bench.body, bench.complete) = (b"1".to_vec(), true);
    assert!(matches!(bench.rules(Phase::TcpRequestContent, &rules), Ok(Verdict::Reject)));
    bench.complete = false;
    assert!(matches!(
        bench.rules(Phase::TcpRequestContent, &["accept if WAIT_END"]),
        Ok(Verdict::Wait { what: Wait::Payload, resume: 0 })
    ));
    assert!(matches!(
        bench.rules(Phase::HttpRequest, &["set-var(txn.a) int(1)", "wait-for-body time 1s"]),
        Ok(Verdict::Wait { what: Wait::Body { time_ms: 1000, at_least: 0 }, resume: 2 })
    ));
}

#[test]
fn the_hello_of_a_tls_client_is_read() {
    // A ClientHello with the server name "a.org" and ALPN "h2".
    let mut extensions = Vec::new();
    extensions.extend_from_slice(b"\x00\x00\x00\x0a\x00\x08\x00\x00\x05a.org");
    extensions.extend_from_slice(b"\x00\x10\x00\x05\x00\x03\x02h2");
    let mut body = b"\x03\x03".to_vec();
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(b"\x00\x00\x02\x13\x01\x01\x00");
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    let mut hello = b"\x16\x03\x01".to_vec();
    hello.extend_from_slice(&(body.len() as u16 + 4).to_be_bytes());
    hello.extend_from_slice(b"\x01\x00");
    hello.extend_from_slice(&(body.len() as u16).to_be_bytes());
    hello.extend_from_slice(&body);
    let rules =
        ["accept if { req.ssl_sni -m end .org } { req.ssl_hello_type 1 } { req.ssl_alpn h2 } { req.ssl_ver 3.3 }"];
    for cut in 0..hello.len() {
        let mut bench = Bench { body: hello[..cut].to_vec(), complete: false, tcp: true, ..Bench::default() };
        let verdict = bench.rules(Phase::TcpRequestContent, &rules);
        assert!(matches!(verdict, Ok(Verdict::Wait { .. })), "cut at {cut}: {verdict:?}");
    }
    let mut bench = Bench { body: hello, complete: false, tcp: true, ..Bench::default() };
    assert!(matches!(bench.rules(Phase::TcpRequestContent, &rules), Ok(Verdict::Accept)));
    let mut bench = Bench { body: b"GET / HTTP/1.1\r\n".to_vec(), complete: false, tcp: true, ..Bench::default() };
    assert!(matches!(bench.rules(Phase::TcpRequestContent, &rules), Ok(Verdict::Continue)));
}

#[test]
fn built_in_formats_give_haproxys_lines() {
    let mut bench = Bench::default();
    bench.stream.status = 200;
    assert_eq!(
        bench.format_as(HTTP, Usage::Log),
        "127.0.0.1:54321 [22/Nov/2026:11:03:58.727] f f/<NOSRV> -1/-1/-1/-1/-1 200 0 - - ---- 0/0/0/0/0 0/0 \
         \"GET /path/a?x=1&y=2 HTTP/1.1\""
    );
    bench.stream.request_captures = vec![Some(b"host".to_vec()), None];
    assert!(bench.format_as(HTTP, Usage::Log).contains(" 0/0 {host|} \"GET "));
    assert_eq!(
        bench.format_as(TCP, Usage::Log),
        "127.0.0.1:54321 [22/Nov/2026:11:03:58.727] f f/<NOSRV> -1/-1/-1 0 -- 0/0/0/0/0 0/0"
    );
    assert_eq!(bench.format_as("%{+X}o %ci:%cp %rt", Usage::Log), "7F000001:D431 0000");
    assert_eq!(bench.format_as("%{+Q}o %s %{-Q}b %[var(txn.x)] %tsc", Usage::Log), "\"<NOSRV>\" f \"\" ----");
}

#[test]
fn quotes_of_a_format_in_a_head_are_those_of_its_tags() {
    let mut bench = Bench::default();
    let format = "%{+Q}[str(a)]|%{+Q}[var(txn.x)]|%{+Q}s|%{+Q,+X}ci";
    assert_eq!(bench.format_as(format, Usage::Header), "a||\"<NOSRV>\"|7F000001");
    assert_eq!(bench.format_as(format, Usage::Value), "\"a\"|\"\"|\"<NOSRV>\"|7F000001");
}

#[test]
fn every_tag_can_be_written() {
    let mut bench = Bench::with_tls();
    for name in crate::language::logformat::tag_names() {
        for flags in ["", "{+Q}", "{+E}", "{+X}"] {
            let line = bench.format_as(&format!("<%{flags}{name}>"), Usage::Log);
            assert!(line.starts_with('<') && line.ends_with('>'), "{flags}{name}: {line}");
        }
    }
    assert_eq!(bench.format_as("%ft %sslv/%sslc", Usage::Log), "f~ TLSv1.3/TLS_AES_128_GCM_SHA256");
}

#[test]
fn users_are_checked_against_lists() {
    use crate::language::auth::{Pending, Userlist};
    let mut bench = Bench::default();
    let (mut list, mut pending) = (Userlist::default(), Pending::default());
    list.parse_line(&["group", "admins", "users", "joe"], &mut pending).unwrap();
    list.parse_line(&["user", "joe", "insecure-password", "secret"], &mut pending).unwrap();
    list.join(pending).unwrap();
    bench.userlists.insert("u".into(), list.into());
    let rules = ["auth realm here if !{ http_auth(u) }", "deny if !{ http_auth_group(u) admins }"];
    let Ok(Verdict::Auth(reply)) = bench.rules(Phase::HttpRequest, &rules) else { panic!() };
    assert_eq!(reply.status, 401);
    assert_eq!(reply.head.first(b"www-authenticate"), Some(&b"Basic realm=\"here\""[..]));
    bench.request.append(b"authorization", b"Basic am9lOnNlY3JldA==");
    assert!(matches!(bench.rules(Phase::HttpRequest, &rules), Ok(Verdict::Continue)));
}

#[test]
fn pattern_files_are_edited_while_rules_use_them() {
    let mut bench = Bench { shelf: super::Shelf(vec![("/m/l", "/x\n")]), ..Bench::default() };
    let rules = ["deny if { path -f /m/l }"];
    assert!(matches!(bench.rules(Phase::HttpRequest, &rules), Ok(Verdict::Continue)));
    bench.patterns.find("/m/l").unwrap().add(b"/path/a", b"").unwrap();
    assert!(matches!(bench.rules(Phase::HttpRequest, &rules), Ok(Verdict::Deny(_))));
    bench.patterns.find("#0").unwrap().delete(b"/path/a").unwrap();
    assert!(matches!(bench.rules(Phase::HttpRequest, &rules), Ok(Verdict::Continue)));
    assert_eq!(bench.patterns.find("/m/l").unwrap().delete(b"/none").unwrap_err(), "Key not found.");
}

#[test]
fn an_acl_that_names_itself_comes_to_an_end() {
    let mut bench = Bench::default();
    bench.acl("a path /nope").unwrap();
    bench.acl("b acl(a)").unwrap();
    bench.acl("a acl(b)").unwrap();
    assert!(matches!(bench.rules(Phase::HttpRequest, &["deny if a"]), Ok(Verdict::Continue)));
}
