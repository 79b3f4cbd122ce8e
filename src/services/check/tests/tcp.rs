//! `option tcp-check` and the plain connect.

use super::Part::*;
use super::*;

#[test]
fn a_connect_is_enough_by_default() {
    assert_eq!(probe(&[Hold], |_| {}).0, "L4OK");
    assert_eq!(probe_closed(|_| {}), REFUSED);
    // A listener whose queue is full answers no SYN.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = full.local_addr().unwrap();
    socket2::SockRef::from(&full).listen(0).unwrap();
    let held: Vec<_> = (0..2)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            socket
        })
        .collect();
    let late = |edit: fn(&mut Proxy)| {
        short(&report_of(plan_of(|p| {
            p.backend.servers[0].address = Some(Address::Ip(address));
            p.backend.servers[0].check = Some(CheckSettings { inter_ms: 40, ..Default::default() });
            edit(p);
        })))
    };
    assert_eq!(late(|_| {}), "L4TOUT");
    let place = "L4TOUT  at initial connection step of tcp-check";
    assert_eq!(late(|p| p.backend.check_kind = CheckKind::Tcp), place);
    drop(held);
}

#[test]
fn variables_live_from_step_to_step() {
    let name = "check.a".to_owned();
    let set = CheckAction::SetVar { name, format: false, value: "str(zz)".to_owned() };
    let kept = "check.a,ifnotset".to_owned();
    let kept = CheckAction::SetVar { name: kept, format: false, value: "str(yy)".to_owned() };
    let text = Text::Format("q%[var(check.a)]".to_owned());
    let steps = vec![
        step(set, None),
        step(kept, None),
        step(CheckAction::Send(CheckSend::Text(text.clone())), None),
        expect(CheckPattern::String(text)),
    ];
    let (report, sent) = probe(&[Take, Give(b"-qzz-"), Hold], tcp(steps));
    assert_eq!((report.as_str(), &sent[..]), ("L7OK/0 (tcp-check)", &b"qzz"[..]));
}

#[test]
fn tcp_check_connects_sends_and_expects() {
    let ping = |last| tcp(vec![send("PING\r\n"), last]);
    let pong: &[Part] = &[Take, Give(b"+PONG"), Hold];
    let (report, sent) = probe(pong, ping(expect(string("+PONG"))));
    assert_eq!((report.as_str(), &sent[..]), ("L7OK/0 (tcp-check)", &b"PING\r\n"[..]));
    let answered: &[Part] = &[Take, Give(b"+PONG")];
    let table = [
        (expect(string("-ERR")), "L7RSP TCPCHK did not match content '-ERR' at step 2"),
        (not(string("PO")), "L7RSP TCPCHK matched unwanted content 'PO' at step 2"),
        (expect(CheckPattern::Regex("^P".to_owned())), "L7RSP TCPCHK did not match content (regex) at step 2"),
        (expect(CheckPattern::Regex("^.P".to_owned())), "L7OK/0 (tcp-check)"),
        (expect(CheckPattern::Binary(vec![0x2b, 0x50])), "L7OK/0 (tcp-check)"),
        (expect(CheckPattern::Binary(vec![0x2b, 0x51])), "L7RSP TCPCHK did not match content (binary) at step 2"),
        (expect(CheckPattern::BinaryRegex("^2B50".to_owned())), "L7OK/0 (tcp-check)"),
        (not(CheckPattern::BinaryRegex("^2B50".to_owned())), {
            "L7RSP TCPCHK matched unwanted content (binary regex) at step 2"
        }),
        (
            expect(CheckPattern::String(Text::Format("%[str(pp)]".to_owned()))),
            "L7RSP TCPCHK did not match content (log-format string) at step 2",
        ),
        (
            expect(CheckPattern::BinaryFormat("%[str(2b51)]".to_owned())),
            "L7RSP TCPCHK did not match content (log-format binary) at step 2",
        ),
        (
            step(CheckAction::Expect(expectation(string("A"))), Some("looks for A")),
            "L7RSP TCPCHK did not match content 'A' at step 2 comment: looks for A",
        ),
    ];
    for (line, report) in table {
        let told = format!("{line:?}");
        assert_eq!(probe(answered, ping(line)).0, report, "{told}");
    }
    let lost = ping(expect(string("ZZ")));
    assert_eq!(probe(&[Take, Flood(10 << 20)], lost).0, "L7RSP TCPCHK did not match content 'ZZ' at step 2");
    let none = ping(expect(string("A")));
    assert_eq!(probe(&[Take], none).0, "L7RSP TCPCHK got an empty response at step 2");
    let reset =
        "SOCKERR ECONNRESET returned by OS (Connection reset by peer) at step 2 of tcp-check (expect string 'A')";
    assert_eq!(probe(&[Take, Reset], ping(expect(string("A")))).0, reset);
}

#[test]
fn tcp_check_tells_the_step_that_failed() {
    let refused = |place: &str| format!("{REFUSED}{place}");
    assert_eq!(probe_closed(tcp(Vec::new())), refused(" at initial connection step of tcp-check"));
    let connect = |comment| step(CheckAction::Connect(CheckConnect::default()), comment);
    assert_eq!(probe_closed(tcp(vec![connect(None)])), refused(" at step 1 of tcp-check (connect)"));
    let told = refused(" at step 1 of tcp-check (connect) comment: 'to db'");
    assert_eq!(probe_closed(tcp(vec![connect(Some("to db"))])), told);
    let (_socket, address) = closed();
    let port = Some(address.port().to_string());
    let elsewhere = step(CheckAction::Connect(CheckConnect { port, ..CheckConnect::default() }), None);
    let told = refused(&format!(" at step 2 of tcp-check (connect port {})", address.port()));
    assert_eq!(probe(&[Hold], tcp(vec![connect(None), elsewhere])).0, told);
    assert_eq!(probe(&[Hold], tcp(Vec::new())).0, "L4OK");
    assert_eq!(probe(&[Hold], tcp(vec![connect(None)])).0, "L4OK (tcp-check)");
    assert_eq!(probe(&[Take, Hold], tcp(vec![send("x")])).0, "L7OK/0 (tcp-check)");
    let late = |steps| probe_late(&[Hold], tcp(steps));
    assert_eq!(late(vec![expect(string("A"))]), "L7TOUT  at step 1 of tcp-check (expect string 'A')");
    let comment = step(CheckAction::Comment, Some("hello"));
    assert_eq!(
        late(vec![comment, expect(CheckPattern::Regex("A".to_owned()))]),
        "L7TOUT  at step 2 of tcp-check (expect regex) comment: 'hello'"
    );
    assert_eq!(late(vec![expect(CheckPattern::Binary(vec![0x2b, 0x51]))]), {
        "L7TOUT  at step 1 of tcp-check (expect binary '2B51')"
    });
    let both: &[Part] = &[Give(b"abcd"), Hold];
    assert_eq!(probe(both, tcp(vec![expect(string("ab")), expect(string("cd"))])).0, "L7OK/0 (tcp-check)");
    // What was there before a send is forgotten.
    let again = tcp(vec![expect(string("ab")), send("x"), expect(string("ab"))]);
    assert_eq!(probe_late(both, again), "L7TOUT  at step 3 of tcp-check (expect string 'ab')");
}

#[test]
fn what_follows_an_answer_that_filled_the_buffer_is_waited_for() {
    // The default of `tune.bufsize`.
    let parts: &[Part] = &[Flood(16_384 - 3), Give(b"END"), Take, Give(b"+PONG"), Hold];
    let steps = vec![expect(string("END")), send("PING"), expect(string("+PONG"))];
    assert_eq!(probe(parts, tcp(steps)).0, "L7OK/0 (tcp-check)");
}
