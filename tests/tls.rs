//! TLS on both sides, from outside: versions, certificates by name and kind, client certificates, resumption over two
//! workers, servers that are verified, and bytes in every shape. Clients are rustls's, OpenSSL's and curl.

mod common;

use common::cli;
use common::client::Client;
use common::directory::Directory;
use common::h2::{self, H2Client};
use common::origin::{Origin, Step};
use common::port::{Port, is_listened_on};
use common::program::{Program, under_test};
use common::syslog::Syslog;
use common::tls::{self, Authority, Settings, field};
use common::{pattern, wait_until};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const HEAD: &str = "global\n nbthread 2\n maxconn 500\ndefaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n mode http\n";

const TELL: &str = " http-request return status 200 hdr x-version %[ssl_fc_protocol] hdr x-sni %[ssl_fc_sni] \
                    hdr x-client %[ssl_c_s_dn(CN)] hdr x-verify %[ssl_c_verify] hdr x-resumed %[ssl_fc_is_resumed] \
                    hdr x-alpn %[ssl_fc_alpn]\n";

struct Setup {
    directory: Directory,
    authority: Authority,
    port: Port,
}

impl Setup {
    /// `server.pem` (ECDSA) and `rsa.pem` are for `localhost`.
    fn new() -> Setup {
        let (directory, authority) = (Directory::new(), Authority::new("Test"));
        authority.write(&directory);
        directory.write("server.pem", authority.issue(&["localhost"], false, 10).pem);
        Setup { directory, authority, port: Port::hold() }
    }

    /// Another port, for another program: the kernel may keep a dead one's sockets for a moment.
    fn renew(&mut self) {
        self.port = Port::hold();
    }

    /// A frontend that tells what it knows; `words` follow `ssl`.
    fn tell(&self, words: &str) -> Program {
        self.start(&format!("frontend f\n bind 127.0.0.1:{} ssl {words}\n{TELL}", self.port.number))
    }

    fn start(&self, sections: &str) -> Program {
        Program::start(&under_test(), &self.directory, &format!("{HEAD}{sections}"), &[self.port.number])
    }

    fn ask(&self, settings: Settings, name: &str) -> std::io::Result<String> {
        tls::ask(&mut tls::connect(&settings.build(), self.port.number, name)?, "/")
    }
}

#[test]
fn both_versions_are_spoken_and_limits_are_kept() {
    let mut setup = Setup::new();
    let program = setup.tell("crt server.pem");
    for (version, shown) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        let answer = setup.ask(setup.authority.client().version(version), "localhost").expect("an answer");
        assert_eq!(field(&answer, "x-version"), Some(shown));
        assert_eq!(field(&answer, "x-sni"), Some("localhost"));
    }
    drop(program);
    setup.renew();
    let _program = setup.tell("crt server.pem ssl-min-ver TLSv1.3");
    setup.ask(setup.authority.client().version(&TLS12), "localhost").expect_err("TLS 1.2 is off");
    setup.ask(setup.authority.client(), "localhost").expect("TLS 1.3 is on");
}

/// What the client's library tells of its secrets: label and digits.
#[derive(Debug, Default)]
struct Kept(Mutex<BTreeMap<String, String>>);

impl rustls::KeyLog for Kept {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let digits = secret.iter().map(|b| format!("{b:02x}")).collect();
        self.0.lock().expect("state").insert(label.to_owned(), digits);
    }
}

#[test]
fn secrets_are_those_of_the_other_side_where_keylog_is_on() {
    let fields = "hdr x-session %[ssl_fc_session_key,hex,lower] hdr x-client %[ssl_fc_client_traffic_secret_0] \
                  hdr x-server %[ssl_fc_server_traffic_secret_0] hdr x-exporter %[ssl_fc_exporter_secret] \
                  hdr x-hand %[ssl_fc_client_handshake_traffic_secret] hdr x-of %[ssl_fc_server_handshake_traffic_secret] \
                  hdr x-early %[ssl_fc_client_early_traffic_secret]";
    let labels = [
        ("x-session", "CLIENT_RANDOM"),
        ("x-client", "CLIENT_TRAFFIC_SECRET_0"),
        ("x-server", "SERVER_TRAFFIC_SECRET_0"),
        ("x-exporter", "EXPORTER_SECRET"),
        ("x-hand", "CLIENT_HANDSHAKE_TRAFFIC_SECRET"),
        ("x-of", "SERVER_HANDSHAKE_TRAFFIC_SECRET"),
        ("x-early", "CLIENT_EARLY_TRAFFIC_SECRET"),
    ];
    let mut setup = Setup::new();
    for keylog in ["on", "off"] {
        setup.renew();
        let _program = setup.start(&format!(
            "global\n tune.ssl.keylog {keylog}\nfrontend f\n bind 127.0.0.1:{} ssl crt server.pem\n \
             http-request return status 200 {fields}\n",
            setup.port.number
        ));
        for version in [&TLS12, &TLS13] {
            let kept = Arc::new(Kept::default());
            let mut client = (*setup.authority.client().version(version).build()).clone();
            client.key_log = kept.clone();
            let mut stream = tls::connect(&Arc::new(client), setup.port.number, "localhost").expect("a handshake");
            let answer = tls::ask(&mut stream, "/").expect("an answer");
            let kept = kept.0.lock().expect("state");
            for (name, label) in labels {
                let known = kept.get(label).map(String::as_str).filter(|_| keylog == "on");
                assert_eq!(field(&answer, name).unwrap_or_default(), known.unwrap_or_default(), "{label}: {answer}");
            }
        }
    }
}

#[test]
fn certificates_are_chosen_by_name_and_by_what_the_client_knows() {
    let setup = Setup::new();
    let rsa = setup.authority.issue(&["localhost"], true, 11);
    let ecdsa = setup.authority.issue(&["localhost"], false, 12);
    let wild = setup.authority.issue(&["*.wild.example"], false, 13);
    for (name, issued) in [("a-rsa.pem", &rsa), ("b-ec.pem", &ecdsa), ("c-wild.pem", &wild)] {
        setup.directory.write(name, &issued.pem);
    }
    let _program = setup.tell("crt a-rsa.pem crt b-ec.pem crt c-wild.pem strict-sni");
    let shown = |settings: Settings, name: &str| {
        let stream = tls::connect(&settings.build(), setup.port.number, name)?;
        Ok::<_, std::io::Error>(stream.conn.peer_certificates().expect("a certificate")[0].clone())
    };
    let client = || setup.authority.client();
    assert_eq!(shown(client(), "localhost").expect("13"), ecdsa.der);
    assert_eq!(shown(client().version(&TLS12), "localhost").expect("12"), ecdsa.der);
    assert_eq!(shown(client().version(&TLS12).rsa_only(), "localhost").expect("RSA"), rsa.der);
    assert_eq!(shown(client(), "x.wild.example").expect("wildcard"), wild.der);
    let refused = shown(client(), "unknown.example").expect_err("strict-sni").to_string();
    assert!(refused.contains("UnrecognisedName"), "{refused}");
}

#[test]
fn alpn_offers_what_is_spoken() {
    let setup = Setup::new();
    let _program = setup.tell("crt server.pem alpn h2,http/1.1");
    let chosen = |offer: &[&str]| {
        let client = setup.authority.client().alpn(offer).build();
        let stream = tls::connect(&client, setup.port.number, "localhost").expect("a handshake");
        stream.conn.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned())
    };
    assert_eq!(chosen(&["h2", "http/1.1"]).as_deref(), Some("h2"));
    assert_eq!(chosen(&["http/1.1"]).as_deref(), Some("http/1.1"));
    // Without a protocol in common the connection goes on without one.
    assert_eq!(chosen(&["other"]), None);
    let answer = setup.ask(setup.authority.client().alpn(&["http/1.1"]), "localhost").expect("an answer");
    assert_eq!(field(&answer, "x-alpn"), Some("http/1.1"));
    let stream = tls::connect(&setup.authority.client().alpn(&["h2"]).build(), setup.port.number, "localhost");
    let mut client = H2Client::over(stream.expect("a handshake"), true);
    let answer = client.ask(&h2::get("/"), b"");
    assert_eq!((answer.status, answer.text.contains("x-alpn: h2\n")), (200, true), "{}", answer.text);
}

#[test]
fn client_certificates_are_required_verified_and_told() {
    let mut setup = Setup::new();
    let (good, revoked) = (setup.authority.issue(&["alice"], false, 20), setup.authority.issue(&["eve"], false, 21));
    let stranger = Authority::new("Other").issue(&["mallory"], false, 22);
    setup.directory.write("crl.pem", setup.authority.revocations(21));
    let program = setup.tell("crt server.pem ca-file ca.pem crl-file crl.pem verify required");
    for version in [&TLS12, &TLS13] {
        let client = || setup.authority.client().version(version);
        let answer = setup.ask(client().identity(&good), "localhost").expect("alice");
        assert_eq!((field(&answer, "x-client"), field(&answer, "x-verify")), (Some("alice"), Some("0")));
        setup.ask(client(), "localhost").expect_err("no certificate");
        setup.ask(client().identity(&stranger), "localhost").expect_err("another authority's");
        setup.ask(client().identity(&revoked), "localhost").expect_err("revoked");
    }
    drop(program);
    setup.renew();
    let _program = setup.tell(
        "crt server.pem ca-file ca.pem crl-file crl.pem verify optional crt-ignore-err X509_V_ERR_CERT_REVOKED",
    );
    let answer = setup.ask(setup.authority.client(), "localhost").expect("none is fine");
    assert_eq!(field(&answer, "x-client").unwrap_or_default(), "");
    let answer = setup.ask(setup.authority.client().identity(&revoked), "localhost").expect("ignored");
    assert_eq!((field(&answer, "x-client"), field(&answer, "x-verify")), (Some("eve"), Some("23")));
}

/// Twenty connections after the first, all resumed, whichever worker takes them.
fn resumes(words: &str, version: &'static rustls::SupportedProtocolVersion) {
    let setup = Setup::new();
    let _program = setup.tell(&format!("crt server.pem {words}"));
    let config = setup.authority.client().version(version).build();
    for number in 0..=20 {
        let mut stream = tls::connect(&config, setup.port.number, "localhost").expect("a connection");
        let answer = tls::ask(&mut stream, "/").expect("an answer");
        let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        assert_eq!(resumed, number > 0, "connection {number}");
        assert_eq!(field(&answer, "x-resumed"), Some(if number > 0 { "1" } else { "0" }));
    }
}

#[test]
fn tls_12_sessions_resume_by_ticket() {
    resumes("", &TLS12);
}

#[test]
fn tls_12_sessions_resume_by_id() {
    resumes("no-tls-tickets", &TLS12);
}

#[test]
fn tls_13_sessions_resume_by_ticket() {
    resumes("", &TLS13);
}

#[test]
fn sessions_resume_after_a_restart_with_shared_keys() {
    use std::fmt::Write;
    let mut setup = Setup::new();
    let keys = (0..3u8).fold(String::new(), |mut all, n| {
        let _ = writeln!(all, "{}", base64(&[n + 1; 80]));
        all
    });
    setup.directory.write("keys", keys);
    let config = setup.authority.client().build();
    for round in 0..2 {
        setup.renew();
        let _program = setup.tell("crt server.pem tls-ticket-keys keys");
        let mut stream = tls::connect(&config, setup.port.number, "localhost").expect("a connection");
        tls::ask(&mut stream, "/").expect("an answer");
        assert_eq!(stream.conn.handshake_kind() == Some(HandshakeKind::Resumed), round > 0);
    }
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn servers_are_verified_and_their_sessions_resume() {
    let setup = Setup::new();
    let inner = Port::hold();
    setup.directory.write("other.pem", Authority::new("Other").pem());
    let server = |words: &str| format!(" server s 127.0.0.1:{} ssl {words}\n", inner.number);
    let program = setup.start(&format!(
        "frontend f\n bind 127.0.0.1:{}\n retries 0\n use_backend %[path,field(2,/)]\n\
         backend good\n option http-server-close\n http-response set-header x-bc %[ssl_bc_protocol]/%[ssl_bc_is_resumed]/%[ssl_s_s_dn(CN)]\n{}\
         backend unknown-ca\n retries 0\n{}backend wrong-name\n retries 0\n{}backend unverified\n{}backend old\n{}\
         frontend inner\n bind 127.0.0.1:{} ssl crt server.pem\n{TELL}",
        setup.port.number,
        server("verify required ca-file ca.pem sni str(localhost)"),
        server("verify required ca-file other.pem sni str(localhost)"),
        server("verify required ca-file ca.pem sni str(elsewhere)"),
        server("verify none no-sni-auto"),
        server("verify none ssl-max-ver TLSv1.2 sni str(localhost)"),
        inner.number,
    ));
    let mut client = common::client::Client::connect(setup.port.number);
    let mut ask = |path: &str| {
        client.send(format!("GET /{path}/ HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        String::from_utf8_lossy(&client.response()).into_owned()
    };
    let first = ask("good");
    assert_eq!(field(&first, "x-sni"), Some("localhost"), "{first}");
    assert_eq!(field(&first, "x-bc"), Some("TLSv1.3/0/localhost"));
    for _ in 0..4 {
        assert_eq!(field(&ask("good"), "x-bc"), Some("TLSv1.3/1/localhost"));
    }
    assert!(ask("unverified").starts_with("HTTP/1.1 200"));
    assert_eq!(field(&ask("old"), "x-version"), Some("TLSv1.2"));
    assert!(ask("unknown-ca").starts_with("HTTP/1.1 503"));
    assert!(ask("wrong-name").starts_with("HTTP/1.1 503"));
    drop(program);
}

#[test]
fn a_connection_is_kept_for_many_requests() {
    let setup = Setup::new();
    let _program = setup.tell("crt server.pem");
    let mut stream =
        tls::connect(&setup.authority.client().build(), setup.port.number, "localhost").expect("a connection");
    for _ in 0..50 {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("a request");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut piece = [0; 4096];
            let n = stream.read(&mut piece).expect("an answer");
            answer.extend_from_slice(&piece[..n]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
}

#[test]
fn megabytes_pass_both_ways_in_tcp_mode_and_ends_are_passed_on() {
    for version in [&TLS12, &TLS13] {
        let setup = Setup::new();
        let origin = Origin::start(vec![Step::Echo]);
        let _program = setup.start(&format!(
            "listen l\n mode tcp\n bind 127.0.0.1:{} ssl crt server.pem\n server s 127.0.0.1:{}\n",
            setup.port.number, origin.port
        ));
        let config = setup.authority.client().version(version).build();
        let mut stream = tls::connect(&config, setup.port.number, "localhost").expect("a connection");
        let sent = pattern(1 << 20, 7);
        let mut received = Vec::new();
        for piece in sent.chunks(100_000) {
            stream.write_all(piece).expect("sending");
            let mut back = vec![0; piece.len()];
            stream.read_exact(&mut back).expect("the echo");
            received.extend(back);
        }
        assert!(received == sent, "bytes changed on their way");
        // Our close_notify reaches the origin as its end, whose end comes back as close_notify.
        stream.write_all(b"last").expect("sending");
        stream.conn.send_close_notify();
        stream.flush().expect("close_notify");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("an orderly end");
        assert_eq!(rest, b"last");
    }
}

#[test]
fn megabytes_pass_both_ways_in_http_mode_over_tls_on_both_sides() {
    let setup = Setup::new();
    let inner = Port::hold();
    let data = pattern(1 << 20, 9);
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", data.len()).into_bytes();
    answer.extend_from_slice(&data);
    let request =
        format!("POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", data.len());
    let origin = Origin::start(vec![Step::Until(data[data.len() - 64..].to_vec()), Step::Send(answer)]);
    let _program = setup.start(&format!(
        "listen outer\n bind 127.0.0.1:{} ssl crt server.pem\n server s 127.0.0.1:{} ssl verify required ca-file ca.pem\n\
         listen inner\n bind 127.0.0.1:{} ssl crt server.pem\n server s 127.0.0.1:{}\n",
        setup.port.number, inner.number, inner.number, origin.port
    ));
    for version in [&TLS12, &TLS13] {
        let config = setup.authority.client().version(version).build();
        let mut stream = tls::connect(&config, setup.port.number, "localhost").expect("a connection");
        stream.write_all(request.as_bytes()).expect("a head");
        stream.write_all(&data).expect("a body");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        assert!(answer.ends_with(&data), "the body changed on its way");
    }
    for record in origin.records() {
        assert!(record.bytes.ends_with(&data), "the request's body changed on its way");
    }
}

#[test]
fn the_server_learns_of_the_clients_certificate_by_the_proxy_protocol() {
    let setup = Setup::new();
    let origin = Origin::start(vec![Step::Until(b"ping".to_vec()), Step::Send(b"pong".to_vec())]);
    let _program = setup.start(&format!(
        "listen l\n mode tcp\n bind 127.0.0.1:{} ssl crt server.pem ca-file ca.pem verify required\n \
         server s 127.0.0.1:{} send-proxy-v2-ssl-cn\n",
        setup.port.number, origin.port
    ));
    let alice = setup.authority.issue(&["alice"], false, 30);
    let config = setup.authority.client().identity(&alice).build();
    let mut stream = tls::connect(&config, setup.port.number, "localhost").expect("a connection");
    stream.write_all(b"ping").expect("sending");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).expect("an answer");
    let bytes = origin.records()[0].bytes.clone();
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
    // PP2_TYPE_SSL with all three flags and a good certificate, version, common name (proxy-protocol.txt 2.2.6).
    assert!(has(&[7, 0, 0, 0, 0, 0x21, 0, 7]) && has(b"TLSv1.3") && has(b"\x22\x00\x05alice"), "{bytes:?}");
}

#[test]
fn failed_handshakes_are_logged() {
    let setup = Setup::new();
    let log = Syslog::udp();
    let _program = setup.start(&format!(
        "frontend f\n log {} local0\n option httplog\n bind 127.0.0.1:{} ssl crt server.pem\n{TELL}",
        log.address, setup.port.number
    ));
    common::client::Client::connect(setup.port.number).send("GET / HTTP/1.0\r\n\r\n").closed();
    log.line_with(&["f/1: SSL handshake failure (error:0A00009C:SSL routines::http request)"]);
    common::client::Client::connect(setup.port.number).half_close().closed();
    log.line_with(&["f/1: Connection closed during SSL handshake"]);
    setup.ask(Authority::new("Other").client(), "localhost").expect_err("the client does not trust it");
    log.line_with(&["f/1: SSL handshake failure", "unknown ca"]);
    setup.ask(setup.authority.client(), "localhost").expect("an answer");
    log.line_with(&[" f~ f/<NOSRV> "]);
}

#[test]
fn names_are_read_from_a_hello_that_is_not_terminated() {
    let setup = Setup::new();
    let inner = Port::hold();
    let program = setup.start(&format!(
        "frontend f\n mode tcp\n bind 127.0.0.1:{}\n tcp-request inspect-delay 5s\n\
         \x20tcp-request content accept if {{ req.ssl_hello_type 1 }}\n use_backend b if {{ req.ssl_sni localhost }}\n\
         backend b\n mode tcp\n server s 127.0.0.1:{}\nfrontend inner\n bind 127.0.0.1:{} ssl crt server.pem\n{TELL}",
        setup.port.number, inner.number, inner.number
    ));
    let answer = setup.ask(setup.authority.client(), "localhost").expect("an answer");
    assert_eq!(field(&answer, "x-sni"), Some("localhost"));
    setup.ask(setup.authority.client(), "other.example").expect_err("no backend for it");
    drop(program);
}

#[test]
fn pythons_ssl_is_served_with_a_certificate_of_its_own_and_resumes() {
    let setup = Setup::new();
    let alice = setup.authority.issue(&["alice"], false, 30);
    setup.directory.write("alice.pem", &alice.pem);
    let _program = setup.tell("crt server.pem ca-file ca.pem verify optional alpn http/1.1");
    let script = format!(
        "import socket, ssl\n\
         for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):\n\
         \x20   context = ssl.create_default_context(cafile='{ca}')\n\
         \x20   context.load_cert_chain('{own}')\n\
         \x20   context.minimum_version = context.maximum_version = version\n\
         \x20   context.set_alpn_protocols(['http/1.1'])\n\
         \x20   session = None\n\
         \x20   for _ in range(2):\n\
         \x20       plain = socket.create_connection(('127.0.0.1', {port}))\n\
         \x20       tls = context.wrap_socket(plain, server_hostname='localhost', session=session)\n\
         \x20       tls.sendall(b'GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n')\n\
         \x20       text = b''\n\
         \x20       while piece := tls.recv(4096): text += piece\n\
         \x20       fields = dict(l.split(': ', 1) for l in text.decode().splitlines()[1:] if ': ' in l)\n\
         \x20       print(tls.version(), tls.selected_alpn_protocol(), tls.session_reused, fields['x-client'], fields['x-resumed'])\n\
         \x20       session = tls.session\n",
        ca = setup.directory.join("ca.pem"),
        own = setup.directory.join("alice.pem"),
        port = setup.port.number
    );
    let done = Command::new("python3").args(["-c", &script]).output().expect("python3");
    let told = String::from_utf8_lossy(&done.stdout);
    let complaint = String::from_utf8_lossy(&done.stderr);
    let wanted =
        ["TLSv1.2", "TLSv1.3"].map(|v| format!("{v} http/1.1 False alice 0\n{v} http/1.1 True alice 1\n")).concat();
    assert_eq!(told, wanted, "{complaint}");
}

#[test]
fn openssl_and_curl_are_served() {
    let setup = Setup::new();
    let _program = setup.tell("crt server.pem");
    let port = setup.port.number;
    let ca = setup.directory.join("ca.pem");
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let out = Command::new("curl")
            .args(["-s", "-i", "--http1.1", version, "--cacert", &ca, &format!("https://localhost:{port}/")])
            .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
            .output()
            .expect("curl runs");
        assert!(out.status.success() && out.stdout.starts_with(b"HTTP/1.1 200"), "{out:?}");
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let out = Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-servername", "localhost", version])
            .args(["-CAfile", &ca, "-verify_return_error", "-brief"])
            .stdin(Stdio::null())
            .output()
            .expect("openssl runs");
        assert!(out.status.success(), "{out:?}");
    }
}

#[test]
fn who_asks_for_renegotiation_is_answered_at_once() {
    let setup = Setup::new();
    let _program = setup.tell("crt server.pem");
    let mut asks = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{}", setup.port.number), "-tls1_2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    // It ends when it is refused, and not before.
    asks.stdin.as_mut().expect("a pipe").write_all(b"R\n").expect("it reads");
    let begun = Instant::now();
    wait_until("a refusal", || asks.try_wait().expect("a child").is_some());
    assert!(begun.elapsed() < Duration::from_secs(5), "refused after {:?}", begun.elapsed());
}

#[test]
fn unusable_files_are_named_with_their_line() {
    let setup = Setup::new();
    setup.directory.write("junk.pem", "junk");
    let mismatch = format!(
        "{}{}",
        setup
            .authority
            .issue(&["a"], false, 40)
            .pem
            .split_inclusive("-----END CERTIFICATE-----\n")
            .next()
            .unwrap_or(""),
        setup.authority.issue(&["b"], false, 41).pem.split_once("-----END CERTIFICATE-----\n").map_or("", |(_, k)| k)
    );
    setup.directory.write("mismatch.pem", mismatch);
    for (words, text) in [
        ("crt junk.pem", "unable to load certificate from file 'junk.pem': no start line."),
        ("crt ca.pem", "No Private Key found in 'ca.pem.key'."),
        ("crt gone.pem", "unable to stat SSL certificate from file 'gone.pem' : No such file or directory."),
        ("crt mismatch.pem", "inconsistencies between private key and certificate loaded 'mismatch.pem'."),
        ("crt server.pem ca-file junk.pem verify required", "'ca-file' : unable to load junk.pem"),
        (
            "crt server.pem crt-ignore-err foo",
            "'crt-ignore-err' : error constant 'foo' unknown in error IDs list 'foo'",
        ),
    ] {
        let config = format!("{HEAD}frontend f\n bind 127.0.0.1:1 ssl {words}\n{TELL}");
        let file = setup.directory.write("bad.cfg", &config);
        let out = Command::new(under_test())
            .args(["-c", "-f", &file])
            .current_dir(setup.directory.path())
            .output()
            .expect("the program runs");
        let messages = String::from_utf8_lossy(&out.stderr);
        let line = format!("bad.cfg:10] : 'bind 127.0.0.1:1' in section 'frontend' : {text}");
        assert!(!out.status.success() && messages.contains(&line), "{words}: {messages}");
    }
}

#[test]
fn sessions_are_of_the_version_asked_for() {
    let setup = Setup::new();
    let _program = setup.tell("crt server.pem force-tlsv12");
    let stream =
        tls::connect(&setup.authority.client().build(), setup.port.number, "localhost").expect("a connection");
    assert_eq!(stream.conn.protocol_version(), Some(ProtocolVersion::TLSv1_2));
}

/// The certificate that a new handshake shows.
fn shown(setup: &Setup, name: &str) -> std::io::Result<rustls::pki_types::CertificateDer<'static>> {
    let stream = tls::connect(&setup.authority.client().build(), setup.port.number, name)?;
    Ok(stream.conn.peer_certificates().expect("a certificate")[0].clone())
}

#[test]
fn certificates_are_replaced_while_clients_are_served() {
    let setup = Setup::new();
    let (socket, file) = (setup.directory.join("admin.sock"), setup.directory.join("server.pem"));
    let inner = Port::hold();
    let _program = Program::start(
        &under_test(),
        &setup.directory,
        &format!(
            "global\n stats socket {socket} level admin\n{}frontend f\n bind 127.0.0.1:{} ssl crt {file}\n\
             http-request return status 200 if {{ path /own }}\n default_backend b\nbackend b\n\
             option http-server-close\n server s 127.0.0.1:{} ssl verify none crt {file}\n\
             frontend inner\n bind 127.0.0.1:{} ssl crt {file} ca-file ca.pem verify required\n\
             http-request return status 200 hdr x-serial %[ssl_c_serial,hex]\n",
            HEAD.trim_start_matches("global\n"),
            setup.port.number,
            inner.number,
            inner.number,
        ),
        &[setup.port.number, inner.number],
    );
    common::wait_until("the socket is there", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    let ask = |command: &str| common::cli::ask(&socket, command);
    let put = |name: &str, pem: &str| ask(&format!("set ssl cert {name} <<\n{}\n", pem.trim_end()));
    let new = setup.authority.issue(&["localhost", "new.example"], false, 77);
    let before = shown(&setup, "localhost").expect("the first certificate");
    let mut old = tls::connect(&setup.authority.client().build(), setup.port.number, "localhost").expect("a client");
    let serial = |stream: &mut tls::Stream| {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("a request");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut piece = [0; 4096];
            let n = stream.read(&mut piece).expect("an answer");
            assert!(n > 0, "an end");
            answer.extend_from_slice(&piece[..n]);
        }
        field(&String::from_utf8_lossy(&answer), "x-serial").map(str::to_owned)
    };
    let first = serial(&mut old);
    assert_eq!(first.as_deref(), Some("0A"));

    // What cannot be used changes nothing.
    let bad = put(&file, "foo\n");
    assert!(bad.starts_with(&format!("unable to load certificate from file '{file}': no start line.\n")), "{bad}");
    assert!(bad.ends_with(&format!("Can't load the payload\nCan't update {file}!\n\n")), "{bad}");
    let unknown = put("/unknown.pem", &new.pem);
    assert!(unknown.starts_with("Can't replace a certificate which is not referenced by the configuration!\n"));
    assert_eq!(
        ask(&format!("commit ssl cert {file}")),
        format!("No ongoing transaction! !\nCan't commit {file}!\n\n")
    );

    assert_eq!(put(&file, &new.pem), format!("Transaction created for certificate {file}!\n\n"));
    assert_eq!(ask("show ssl cert"), format!("# transaction\n*{file}\n# filename\n{file}\n\n"));
    assert_eq!(shown(&setup, "localhost").expect("before the commit"), before);
    // Two bind lines and a server show it.
    assert_eq!(ask(&format!("commit ssl cert {file}")), format!("Committing {file}...\nSuccess!\n\n"));
    assert_eq!(shown(&setup, "new.example").expect("after the commit"), new.der);
    assert!(ask(&format!("show ssl cert {file}")).contains("Status: Used\nSerial: 4D\n"));
    // The connection of before goes on; the server is shown the new certificate.
    assert_eq!(serial(&mut old).as_deref(), Some("4D"));
    let used = ask(&format!("del ssl cert {file}"));
    assert_eq!(used, format!("Can't remove the certificate: certificate '{file}' in use, can't be deleted!\n\n"));

    // A server that comes while running speaks TLS.
    assert!(
        ask(&format!("add server b/n 127.0.0.1:{} ssl verify none crt {file}", inner.number)).contains("registered")
    );
    ask("disable server b/s");
    ask("enable server b/n");
    assert_eq!(serial(&mut old).as_deref(), Some("4D"));
}

/// What a renewal hook and an administrator of client certificates do, with several workers that all must know.
#[test]
fn lists_and_trust_files_change_while_clients_are_served() {
    let setup = Setup::new();
    let (socket, dir) = (setup.directory.join("admin.sock"), setup.directory.join(""));
    let other = Authority::new("Other");
    let (alice, mallory) = (setup.authority.issue(&["alice"], false, 20), other.issue(&["mallory"], false, 30));
    setup.directory.write("list", format!("{dir}server.pem\n"));
    setup.directory.write("crl.pem", setup.authority.revocations(21) + &other.revocations(31));
    let program = Program::start(
        &under_test(),
        &setup.directory,
        &format!(
            "global\n stats socket {socket} level admin\n{}frontend f\n bind 127.0.0.1:{} ssl crt-list {dir}list \
             ca-file {dir}ca.pem crl-file {dir}crl.pem verify optional\n{TELL}",
            HEAD.trim_start_matches("global\n"),
            setup.port.number,
        ),
        &[setup.port.number],
    );
    common::wait_until("the socket is there", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    let ask = |command: &str| common::cli::ask(&socket, command);
    let put = |command: &str, text: &str| ask(&format!("{command} <<\n{}\n", text.trim_end()));
    // Connections go to either worker: each is asked often enough.
    let new = setup.authority.issue(&["a.new.example"], false, 77);
    let served = || (0..8).filter(|_| shown(&setup, "a.new.example").is_ok_and(|c| c == new.der)).count();
    let file = format!("{dir}new.pem");
    assert_eq!(served(), 0);
    ask(&format!("new ssl cert {file}"));
    put(&format!("set ssl cert {file}"), &new.pem);
    assert_eq!(ask(&format!("commit ssl cert {file}")), format!("Committing {file}\nSuccess!\n\n"));
    let added = put(&format!("add ssl crt-list {dir}list"), &format!("{file} [ssl-max-ver TLSv1.2] *.new.example"));
    assert_eq!(added, format!("Inserting certificate '{file}' in crt-list '{dir}list'.\nSuccess!\n\n"));
    assert_eq!(served(), 8);
    let answer = setup.ask(setup.authority.client(), "a.new.example").expect("an answer");
    assert_eq!(field(&answer, "x-version"), Some("TLSv1.2"));
    let deleted = ask(&format!("del ssl crt-list {dir}list {file}:2"));
    assert_eq!(deleted, format!("Entry '{file}' deleted in crtlist '{dir}list'!\n\n"));
    assert_eq!(served(), 0);
    assert_eq!(ask(&format!("del ssl cert {file}")), format!("Certificate '{file}' deleted!\n\n"));

    let client = |issued| setup.ask(setup.authority.client().identity(issued), "localhost");
    client(&alice).expect("alice is trusted");
    client(&mallory).expect_err("nobody knows mallory");
    put(&format!("add ssl ca-file {dir}ca.pem"), &other.pem());
    client(&mallory).expect_err("not before the commit");
    assert_eq!(ask(&format!("commit ssl ca-file {dir}ca.pem")), format!("Committing {dir}ca.pem.\nSuccess!\n\n"));
    (0..8).for_each(|_| drop(client(&mallory).expect("mallory is trusted now")));
    put(&format!("set ssl crl-file {dir}crl.pem"), &setup.authority.revocations(20));
    client(&alice).expect("not before the commit");
    assert_eq!(ask(&format!("commit ssl crl-file {dir}crl.pem")), format!("Committing {dir}crl.pem.\nSuccess!\n\n"));
    (0..8).for_each(|_| drop(client(&alice).expect_err("alice is revoked")));
    drop(program);
}

#[test]
fn servers_that_come_at_run_time_are_asked_for_by_name() {
    let (setup, behind) = (Setup::new(), Port::hold());
    let socket = setup.directory.join("admin.sock");
    let _program = setup.start(&format!(
        "global\n stats socket {socket} level admin\nlisten l\n bind 127.0.0.1:{}\n balance roundrobin\n \
         server s 127.0.0.1:1 disabled\nfrontend behind\n bind 127.0.0.1:{} ssl crt server.pem\n{TELL}",
        setup.port.number, behind.number
    ));
    wait_until("it listens", || is_listened_on(behind.number) && std::path::Path::new(&socket).exists());
    for (at, (words, name)) in [("", "a.test"), ("sni str(b.test)", "b.test"), ("no-sni-auto", "")].iter().enumerate()
    {
        let line = format!("add server l/n{at} 127.0.0.1:{} ssl verify none {words}", behind.number);
        assert!(cli::ask(&socket, &line).contains("New server registered."), "{line}");
        cli::ask(&socket, &format!("enable server l/n{at}"));
        let answer = Client::connect(setup.port.number).send("GET / HTTP/1.1\r\nHost: a.test:80\r\n\r\n").response();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(field(&answer, "x-sni").unwrap_or_default(), *name, "{answer}");
        cli::ask(&socket, &format!("disable server l/n{at}"));
    }
}
