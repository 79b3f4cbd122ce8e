//! The ready-made checks: each passes, and fails rightly on a closed port, silence, garbage, half an answer, too much, nothing.

use super::Part::*;
use super::*;

/// `passes`, then closed port, silence, garbage, half an answer, ten megabytes, nothing.
fn one_of_each(check: CheckKind, passes: &'static [Part], ok: &str, failures: [(&'static [Part], &str); 4]) {
    assert_eq!(probe(passes, kind(check.clone())).0, ok);
    assert_eq!(probe_closed(kind(check.clone())), REFUSED);
    let late = if check == CheckKind::SslHello { "L6TOUT" } else { "L7TOUT" };
    assert_eq!(probe_late(&[Hold], kind(check.clone())), late);
    for (i, (parts, report)) in failures.into_iter().enumerate() {
        assert_eq!(probe(parts, kind(check.clone())).0, report, "{check:?} {i}");
    }
}

/// 127 bytes of `a`.
fn long_a(head: &str) -> String {
    format!("{head}{}", "a".repeat(127))
}

#[test]
fn redis_check() {
    let long = long_a("L7STS/0 ");
    let failures: [(&'static [Part], &str); 4] = [
        (&[Take, Give(b"garbage garbage")], "L7STS/0 garbage garbage"),
        (&[Take, Give(b"+PO")], "L7STS/0 +PO"),
        (&[Take, Flood(10 << 20)], &long),
        (&[Take], "L7STS/0"),
    ];
    one_of_each(CheckKind::Redis, &[Take, Give(b"+PONG\r\n"), Hold], "L7OK/0 Redis server is ok", failures);
}

#[test]
fn pgsql_check() {
    let failures: [(&'static [Part], &str); 4] = [
        (&[Take, Give(b"garbage garbage")], "L7STS/0 PostgreSQL unknown error"),
        (&[Take, Give(b"R\0\0")], "L7STS/0 PostgreSQL unknown error"),
        (&[Take, Flood(10 << 20)], "L7STS/0 PostgreSQL unknown error"),
        (&[Take], "L7STS/0 PostgreSQL unknown error"),
    ];
    let passes: &[Part] = &[Take, Give(b"R\0\0\0\x0c\0\0\0\x05abcd"), Hold];
    let check = CheckKind::Pgsql { user: "foo".to_owned() };
    one_of_each(check, passes, "L7OK/0 PostgreSQL server is ok", failures);
}

#[test]
fn mysql_check() {
    const HANDSHAKE: &[u8] = b"\x0a\x00\x00\x00\x0a5.5.5-x\0\x01";
    let failures: [(&'static [Part], &str); 4] = [
        (&[Give(b"garbage\r\n")], "L7RSP"),
        (&[Give(b"\x0a\x00\x00\x00\x0a5.")], "L7RSP"),
        (&[Give(b"\xff\xff\xff\x00"), Flood(10 << 20)], "L7RSP"),
        (&[], "L7RSP"),
    ];
    let passes: &[Part] = &[Give(HANDSHAKE), Take, Give(b"\x07\0\0\x02\0\0\0\x02\0\0\0"), Hold];
    let check = || CheckKind::Mysql { user: Some("haproxy".to_owned()), version: MysqlVersion::Post41 };
    one_of_each(check(), passes, "L7OK/0", failures);
    let refused: &[Part] = &[Give(HANDSHAKE), Take, Give(b"\x10\0\0\x02\xff\x15\x04Access denied"), Hold];
    assert_eq!(probe(refused, kind(check())).0, "L7STS/1045 Access denied");
    assert_eq!(probe(&[Give(HANDSHAKE), Take], kind(check())).0, "L7RSP");
    let alone = CheckKind::Mysql { user: None, version: MysqlVersion::Post41 };
    assert_eq!(probe(&[Give(HANDSHAKE), Hold], kind(alone)).0, "L7OK/0");
}

#[test]
fn smtp_check() {
    let long = format!("L7RSP 220-{}", "a".repeat(123));
    let failures: [(&'static [Part], &str); 4] = [
        (&[Give(b"garbage\r\n")], "L7RSP garbage"),
        (&[Give(b"22")], "L7RSP 22"),
        (&[Give(b"220-"), Flood(10 << 20)], &long),
        (&[], "L7RSP"),
    ];
    let check = || CheckKind::Smtp { hello: "EHLO".to_owned(), domain: "example.org".to_owned() };
    let passes: &[Part] =
        &[Give(b"220 hi\r\n"), Take, Give(b"250-x\r\n250 ok\r\n"), Take, Give(b"221 bye\r\n"), Hold];
    one_of_each(check(), passes, "L7OK/221 bye", failures);
    let (_, sent) = probe(passes, kind(check()));
    assert_eq!(String::from_utf8_lossy(&sent), "EHLO example.org\r\nQUIT\r\n");
    assert_eq!(probe(&[Give(b"421 busy now\r\n"), Hold], kind(check())).0, "L7STS/421 busy now");
    assert_eq!(probe_late(&[Give(b"220 hi\r\n"), Take, Give(b"500 no way\r\n"), Hold], kind(check())), "L7TOUT");
}

#[test]
fn ldap_check() {
    let failures: [(&'static [Part], &str); 4] = [
        (&[Take, Give(b"garbagegarbagegarbage")], "L7RSP Not LDAPv3 protocol"),
        (&[Take, Give(b"0\x0c\x02")], "L7RSP"),
        (&[Take, Flood(10 << 20)], "L7RSP Not LDAPv3 protocol"),
        (&[Take], "L7RSP Not LDAPv3 protocol"),
    ];
    let passes: &[Part] = &[Take, Give(b"0\x0c\x02\x01\x01a\x07\x0a\x01\x00\x04\x00\x04\x00"), Hold];
    one_of_each(CheckKind::Ldap, passes, "L7OK/0", failures);
}

#[test]
fn ssl_hello_check() {
    let failures: [(&'static [Part], &str); 4] = [
        (&[Take, Give(b"HTTP/1.1 400 Bad\r\n\r\n")], "L6RSP"),
        (&[Take, Give(b"\x16\x03")], "L6OK"),
        (&[Take, Flood(10 << 20)], "L6RSP"),
        (&[Take], "L6RSP TCPCHK got an empty response at step 2"),
    ];
    one_of_each(CheckKind::SslHello, &[Take, Give(b"\x15\x03\0\0\x02\x02\x28"), Hold], "L6OK", failures);
}

#[test]
fn spop_check() {
    let failures: [(&'static [Part], &str); 4] = [
        (&[Take, Give(b"garbage garbage")], "L7RSP invalid frame received"),
        (&[Take, Give(b"\0\0")], "L7RSP invalid frame received"),
        (&[Take, Flood(10 << 20)], "L7RSP invalid frame received"),
        (&[Take], "L7RSP TCPCHK got an empty response at step 3"),
    ];
    let passes: &[Part] = &[Take, Give(b"\0\0\0\x14\x65\0\0\0\x01\0\0\x07version\x08\x032.0"), Hold];
    one_of_each(CheckKind::Spop, passes, "L7OK/0", failures);
}
