//! How a check reaches the server: paths, PROXY protocol, TLS.

use super::Part::*;
use super::*;

#[test]
fn a_path_that_leads_nowhere_is_a_socket_error() {
    let report =
        report_of(plan_of(|p| p.backend.servers[0].address = Some(Address::Unix("/nonexistent/x.sock".into()))));
    assert_eq!(short(&report), "SOCKERR General socket error (No such file or directory)");
}

#[test]
fn proxy_protocol_goes_in_front_of_checks() {
    let sent = |edit: fn(&mut Server)| {
        let (report, sent) = probe(HELLO, |p| {
            http(Vec::new())(p);
            edit(&mut p.backend.servers[0]);
        });
        assert_eq!(report, "L7OK/200");
        String::from_utf8_lossy(&sent).into_owned()
    };
    let by_check = sent(|s| s.check.as_mut().unwrap().send_proxy = true);
    assert!(by_check.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{by_check}");
    let by_line = sent(|s| s.send_proxy = Some(SendProxy::default()));
    assert!(by_line.starts_with("PROXY TCP4 "), "{by_line}");
    let v2 = sent(|s| s.send_proxy = Some(SendProxy { v2: true, ..SendProxy::default() }));
    assert!(v2.starts_with("\r\n\r\n\0\r\nQUIT\n \0\0\0GET /h"), "{v2:?}");
    // A check that goes elsewhere is not for the server's own listener.
    let elsewhere = sent(|s| {
        s.send_proxy = Some(SendProxy::default());
        s.check.as_mut().unwrap().address = Some("127.0.0.1".parse().unwrap());
    });
    assert!(elsewhere.starts_with("GET /h"), "{elsewhere}");
}

#[test]
fn tls_without_settings_fails_as_a_handshake() {
    let (report, _) = probe(&[Hold], |p| p.backend.servers[0].check.as_mut().unwrap().ssl = true);
    assert_eq!(report, "L6RSP SSL handshake failure");
}

/// A TLS server for one connection: takes a request, gives a response. What it received.
fn serve_tls(listener: TcpListener) -> Vec<u8> {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let mut config =
        rustls::ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut session = rustls::ServerConnection::new(Arc::new(config)).unwrap();
    let mut stream = listener.accept().unwrap().0;
    let mut tls = rustls::Stream::new(&mut session, &mut stream);
    let mut buffer = [0; 4096];
    let n = tls.read(&mut buffer).unwrap_or(0);
    let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let _ = tls.flush();
    while tls.read(&mut buffer[n..]).is_ok_and(|n| n > 0) {}
    let mut received = session.alpn_protocol().unwrap_or_default().to_vec();
    received.extend_from_slice(session.server_name().unwrap_or_default().as_bytes());
    received.push(b' ');
    received.extend_from_slice(&buffer[..n]);
    received
}

/// As a server line with `verify none` makes it.
fn unverified() -> Option<crate::model::credentials::Shared<crate::proto::tls::client::ClientSettings>> {
    use crate::model::certificates::{server, store::Store};
    use crate::model::tls::{ServerTls, ServerVerify, TlsGlobal};
    let words = ServerTls { verify: ServerVerify::None, ..ServerTls::default() };
    let store = Store::new(Default::default());
    let (settings, _) = server::settings(&words, true, &TlsGlobal::default(), &store).ok().unwrap();
    Some(crate::model::credentials::Shared(Arc::new(settings)))
}

#[test]
fn checks_go_through_tls() {
    let ask = |edit: &dyn Fn(&mut Proxy)| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || serve_tls(listener));
        let report = report_of(plan_of(|p| {
            p.timeouts.check = Some(5000);
            http(vec![expect(string("hello"))])(p);
            p.backend.servers[0].address = Some(Address::Ip(address));
            p.backend.servers[0].tls_check = unverified();
            edit(p);
        }));
        (short(&report), String::from_utf8_lossy(&server.join().unwrap()).into_owned())
    };
    let by_check = ask(&|p| {
        p.backend.servers[0].check.as_mut().unwrap().ssl = true;
        p.backend.servers[0].tls.check_sni = Some("check.test".to_owned());
    });
    assert_eq!(by_check, ("L7OK/200".to_owned(), "check.test GET /h HTTP/1.0\r\n\r\n".to_owned()));
    let by_server = ask(&|p| p.backend.servers[0].ssl = true);
    assert_eq!(by_server, ("L7OK/200".to_owned(), " GET /h HTTP/1.0\r\n\r\n".to_owned()));
    let by_rule = ask(&|p| {
        let (sni, alpn) = (Some("rule.test".to_owned()), Some("h2,http/1.1".to_owned()));
        let connect = CheckConnect { ssl: true, sni, alpn, ..CheckConnect::default() };
        p.backend.http_check.steps.insert(0, step(CheckAction::Connect(connect), None));
    });
    assert_eq!(by_rule, ("L7OK/200".to_owned(), "http/1.1rule.test GET /h HTTP/1.0\r\n\r\n".to_owned()));
    let alone = ask(&|p| {
        p.backend.check_kind = CheckKind::Connect;
        p.backend.servers[0].check.as_mut().unwrap().ssl = true;
    });
    assert_eq!(alone.0, "L6OK");
}

#[test]
fn a_server_that_speaks_no_tls_fails_the_handshake() {
    let check = |parts, check_ms| {
        probe(parts, |p| {
            p.timeouts.check = Some(3000);
            let s = &mut p.backend.servers[0];
            s.tls_check = unverified();
            s.check = Some(CheckSettings { ssl: true, inter_ms: check_ms, ..Default::default() });
        })
        .0
    };
    let failed = "L6RSP SSL handshake failure";
    assert_eq!(check(&[Take, Give(b"garbage\r\n\r\n"), Hold], 5000), failed);
    assert_eq!(check(&[Take, Give(b"\x16\x03")], 5000), failed);
    assert_eq!(check(&[Take, Flood(10 << 20)], 5000), failed);
    assert_eq!(check(&[], 5000), failed);
    assert_eq!(check(&[Hold], 40), "L6TOUT");
}
