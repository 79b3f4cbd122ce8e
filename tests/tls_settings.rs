//! Settings of TLS one by one, in `global` and on `bind` and `server` lines: each is set to what only it brings about, and the
//! other end tells whether it did. Handshakes as such are in `tls.rs`.

mod common;

use common::cli::ask;
use common::client::Client;
use common::directory::Directory;
use common::port::Port;
use common::program::{Program, under_test};
use common::tls::{self, Authority, Settings, field};
use common::wait_until;
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

const DEFAULTS: &str =
    "defaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n mode http\n retries 0\n";

/// Answers with what it knows of its connection.
const TELL: &str = " http-request return status 200 hdr x-version %[ssl_fc_protocol] hdr x-cipher %[ssl_fc_cipher] \
                    hdr x-sni %[ssl_fc_sni] hdr x-alpn %[ssl_fc_alpn] hdr x-curve %[ssl_fc_curve]\n";

const CHACHA_12: &str = "ECDHE-ECDSA-CHACHA20-POLY1305";
const CHACHA_13: &str = "TLS_CHACHA20_POLY1305_SHA256";

struct House {
    directory: Directory,
    authority: Authority,
    port: Port,
    inner: Port,
}

impl House {
    /// `server.pem` is for `localhost`, with serial 10; `ca.pem` has issued it.
    fn new() -> House {
        let (directory, authority) = (Directory::new(), Authority::new("Test"));
        authority.write(&directory);
        directory.write("server.pem", authority.issue(&["localhost"], false, 10).pem);
        House { directory, authority, port: Port::hold(), inner: Port::hold() }
    }

    fn text(&self, global: &str, sections: &str) -> String {
        format!("global\n maxconn 100\n{global}{DEFAULTS}{sections}")
            .replace("{port}", &self.port.number.to_string())
            .replace("{inner}", &self.inner.number.to_string())
            .replace("{dir}", self.directory.path().to_str().expect("UTF-8"))
    }

    /// A frontend with this `bind` line, which answers with what it knows.
    fn tells(&mut self, global: &str, bind: &str) -> Program {
        // Another port each time: the kernel may keep a dead program's sockets for a moment.
        self.port = Port::hold();
        let text = self.text(global, &format!("frontend f\n {bind}\n{TELL}"));
        Program::start(&under_test(), &self.directory, &text, &[self.port.number])
    }

    /// What the client is told behind `bind`; an error where it is not served.
    fn ask(&self, settings: Settings) -> std::io::Result<String> {
        tls::ask(&mut tls::connect(&settings.build(), self.port.number, "localhost")?, "/")
    }

    /// What a server with TLS tells of the connection that this `server` line makes; a 503 where it makes none.
    fn reached(&mut self, global: &str, server: &str, inner: &str) -> String {
        (self.port, self.inner) = (Port::hold(), Port::hold());
        let sections = format!(
            "frontend f\n bind 127.0.0.1:{{port}}\n default_backend b\nbackend b\n {server}\nfrontend inner\n \
             bind 127.0.0.1:{{inner}} ssl crt server.pem {inner}\n{TELL}"
        );
        let text = self.text(global, &sections);
        let _program = Program::start(&under_test(), &self.directory, &text, &[self.port.number, self.inner.number]);
        let mut client = Client::connect(self.port.number);
        client.send("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        String::from_utf8_lossy(&client.closed().0).into_owned()
    }

    /// What `-c` says of a configuration with this `bind` line, and whether it takes it.
    fn check(&self, global: &str, bind: &str) -> (bool, String) {
        let file = self.directory.write("check.cfg", self.text(global, &format!("frontend f\n {bind}\n{TELL}")));
        let check = Command::new(under_test()).args(["-c", "-f", &file]).current_dir(self.directory.path()).output();
        let check = check.expect("the program runs");
        (check.status.success(), String::from_utf8_lossy(&check.stderr).into_owned())
    }
}

fn is_unavailable(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 503 ")
}

#[test]
fn files_are_looked_for_in_ca_base_and_crt_base() {
    let mut house = House::new();
    for folder in ["roots", "sites"] {
        std::fs::create_dir(house.directory.join(folder)).expect("a folder");
    }
    house.directory.write("roots/root.pem", house.authority.pem());
    house.directory.write("sites/site.pem", house.authority.issue(&["localhost"], false, 11).pem);
    let global = " ca-base {dir}/roots\n crt-base {dir}/sites\n";
    let _program = house.tells(global, "bind 127.0.0.1:{port} ssl crt site.pem ca-file root.pem verify required");
    let alice = house.authority.issue(&["alice"], false, 20);
    house.ask(house.authority.client().identity(&alice)).expect("served");
    house.ask(house.authority.client()).expect_err("a certificate is required");
}

#[test]
fn default_ciphers_and_curves_of_binds_hold_where_the_line_names_none() {
    let mut house = House::new();
    let global = " ssl-default-bind-ciphers ECDHE-ECDSA-CHACHA20-POLY1305\n \
                  ssl-default-bind-ciphersuites TLS_CHACHA20_POLY1305_SHA256\n ssl-default-bind-curves P-384\n";
    let program = house.tells(global, "bind 127.0.0.1:{port} ssl crt server.pem");
    let old = house.ask(house.authority.client().version(&TLS12)).expect("TLS 1.2");
    assert_eq!((field(&old, "x-cipher"), field(&old, "x-curve")), (Some(CHACHA_12), Some("secp384r1")));
    let new = house.ask(house.authority.client().version(&TLS13)).expect("TLS 1.3");
    assert_eq!((field(&new, "x-cipher"), field(&new, "x-curve")), (Some(CHACHA_13), Some("secp384r1")));
    drop(program);
    let bind = "bind 127.0.0.1:{port} ssl crt server.pem ciphers ECDHE-ECDSA-AES128-GCM-SHA256 \
                ciphersuites TLS_AES_128_GCM_SHA256 curves P-256";
    let _program = house.tells(global, bind);
    let old = house.ask(house.authority.client().version(&TLS12)).expect("TLS 1.2");
    assert_eq!(field(&old, "x-cipher"), Some("ECDHE-ECDSA-AES128-GCM-SHA256"));
    let new = house.ask(house.authority.client().version(&TLS13)).expect("TLS 1.3");
    assert_eq!(
        (field(&new, "x-cipher"), field(&new, "x-curve")),
        (Some("TLS_AES_128_GCM_SHA256"), Some("prime256v1"))
    );
}

#[test]
fn ciphers_of_servers_are_those_of_the_line_or_the_defaults() {
    let mut house = House::new();
    let cipher = |answer: String| field(&answer, "x-cipher").map(str::to_owned);
    let global = " ssl-default-server-ciphers ECDHE-ECDSA-CHACHA20-POLY1305\n \
                  ssl-default-server-ciphersuites TLS_CHACHA20_POLY1305_SHA256\n";
    let plain = "server s 127.0.0.1:{inner} ssl verify none";
    assert_eq!(cipher(house.reached(global, plain, "ssl-max-ver TLSv1.2")).as_deref(), Some(CHACHA_12));
    assert_eq!(cipher(house.reached(global, plain, "")).as_deref(), Some(CHACHA_13));
    let line = "server s 127.0.0.1:{inner} ssl verify none ciphers ECDHE-ECDSA-CHACHA20-POLY1305 \
                ciphersuites TLS_CHACHA20_POLY1305_SHA256";
    assert_eq!(cipher(house.reached("", line, "ssl-max-ver TLSv1.2")).as_deref(), Some(CHACHA_12));
    assert_eq!(cipher(house.reached("", line, "")).as_deref(), Some(CHACHA_13));
}

#[test]
fn versions_of_servers_are_limited_by_the_line_and_by_the_defaults() {
    let mut house = House::new();
    let version = |answer: String| field(&answer, "x-version").map(str::to_owned);
    let plain = "server s 127.0.0.1:{inner} ssl verify none";
    assert_eq!(version(house.reached("", plain, "")).as_deref(), Some("TLSv1.3"));
    let global = " ssl-default-server-options ssl-max-ver TLSv1.2\n";
    assert_eq!(version(house.reached(global, plain, "")).as_deref(), Some("TLSv1.2"));
    let old = "server s 127.0.0.1:{inner} ssl verify none no-tlsv13";
    assert_eq!(version(house.reached("", old, "")).as_deref(), Some("TLSv1.2"));
    let new = "server s 127.0.0.1:{inner} ssl verify none no-tlsv12";
    assert_eq!(version(house.reached("", new, "")).as_deref(), Some("TLSv1.3"));
    assert!(is_unavailable(&house.reached("", new, "ssl-max-ver TLSv1.2")));
    // Those that the library has not got are told where they would be offered, unless they are switched off.
    let ancient = "server s 127.0.0.1:{inner} ssl verify none no-sslv3 no-tlsv10 no-tlsv11";
    assert_eq!(version(house.reached("", ancient, "")).as_deref(), Some("TLSv1.3"));
}

#[test]
fn versions_that_a_bind_line_switches_off_are_not_spoken() {
    let mut house = House::new();
    let client = |house: &House, version| house.ask(house.authority.client().version(version)).is_ok();
    for (bind, spoken) in [
        ("bind 127.0.0.1:{port} ssl crt server.pem no-tlsv12", (false, true)),
        ("bind 127.0.0.1:{port} ssl crt server.pem no-tlsv13", (true, false)),
        ("bind 127.0.0.1:{port} ssl crt server.pem no-sslv3 no-tlsv10 no-tlsv11", (true, true)),
    ] {
        let _program = house.tells("", bind);
        assert_eq!((client(&house, &TLS12), client(&house, &TLS13)), spoken, "{bind}");
    }
    let none = "bind 127.0.0.1:{port} ssl crt server.pem no-sslv3 no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13";
    let (taken, said) = house.check("", none);
    assert!(!taken && said.contains("all SSL/TLS versions are disabled"), "{said}");
}

#[test]
fn versions_that_the_library_lacks_are_told_unless_they_are_switched_off() {
    let house = House::new();
    let told = |words: &str| {
        let bind = format!("bind 127.0.0.1:{{port}} ssl crt server.pem ssl-min-ver SSLv3 {words}");
        let (taken, said) = house.check("", &bind);
        assert!(taken, "{said}");
        ["SSLv3", "TLSv1.0", "TLSv1.1"].map(|version| said.contains(version))
    };
    assert_eq!(told(""), [true, true, true]);
    assert_eq!(told("no-sslv3"), [false, true, true]);
    assert_eq!(told("no-sslv3 no-tlsv10"), [false, false, true]);
    assert_eq!(told("no-sslv3 no-tlsv10 no-tlsv11"), [false, false, false]);
}

#[test]
fn a_server_is_asked_for_the_protocol_and_the_name_of_its_line() {
    let mut house = House::new();
    let server = "server s 127.0.0.1:{inner} ssl verify none alpn http/1.1 sni str(named.example)";
    let answer = house.reached("", server, "alpn h2,http/1.1");
    assert_eq!((field(&answer, "x-alpn"), field(&answer, "x-sni")), (Some("http/1.1"), Some("named.example")));
    let server = "server s 127.0.0.1:{inner} ssl verify none alpn h2 sni req.hdr(host)";
    let answer = house.reached("", server, "alpn h2,http/1.1");
    assert_eq!((field(&answer, "x-alpn"), field(&answer, "x-sni")), (Some("h2"), Some("localhost")));
}

#[test]
fn no_alpn_takes_back_what_was_offered() {
    let mut house = House::new();
    let offer = ["h2", "http/1.1"];
    for (bind, chosen) in [
        ("bind 127.0.0.1:{port} ssl crt server.pem alpn http/1.1", Some("http/1.1")),
        ("bind 127.0.0.1:{port} ssl crt server.pem alpn http/1.1 no-alpn", None),
    ] {
        let _program = house.tells("", bind);
        let client = house.authority.client().alpn(&offer).build();
        let stream = tls::connect(&client, house.port.number, "localhost").expect("a handshake");
        let protocol = stream.conn.alpn_protocol().map(|p| String::from_utf8_lossy(p).into_owned());
        assert_eq!(protocol.as_deref(), chosen, "{bind}");
    }
}

#[test]
fn a_revoked_server_is_not_spoken_to() {
    let mut house = House::new();
    let server = "server s 127.0.0.1:{inner} ssl verify required ca-file ca.pem sni str(localhost) crl-file crl.pem";
    house.directory.write("crl.pem", house.authority.revocations(99));
    assert!(house.reached("", server, "").starts_with("HTTP/1.1 200 "));
    house.directory.write("crl.pem", house.authority.revocations(10));
    assert!(is_unavailable(&house.reached("", server, "")));
}

#[test]
fn verifyhost_names_the_server_where_no_sni_does() {
    let mut house = House::new();
    let right = "server s 127.0.0.1:{inner} ssl verify required ca-file ca.pem no-sni-auto verifyhost localhost";
    let answer = house.reached("", right, "");
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && field(&answer, "x-sni").unwrap_or_default().is_empty(),
        "{answer}"
    );
    let wrong = "server s 127.0.0.1:{inner} ssl verify required ca-file ca.pem no-sni-auto verifyhost elsewhere";
    assert!(is_unavailable(&house.reached("", wrong, "")));
}

/// Whether the second of two connections with TLS 1.2 session ids resumes the first.
fn resumes(house: &House) -> bool {
    let config = house.authority.client().version(&TLS12).build();
    let mut kind = None;
    for _ in 0..2 {
        let mut stream = tls::connect(&config, house.port.number, "localhost").expect("a connection");
        tls::ask(&mut stream, "/").expect("an answer");
        kind = stream.conn.handshake_kind();
    }
    kind == Some(HandshakeKind::Resumed)
}

#[test]
fn sessions_are_kept_where_the_cache_has_room_and_for_their_lifetime() {
    let mut house = House::new();
    let bind = "bind 127.0.0.1:{port} ssl crt server.pem no-tls-tickets";
    for (global, kept) in [(" tune.ssl.cachesize 100\n", true), (" tune.ssl.cachesize 0\n", false)] {
        let _program = house.tells(global, bind);
        assert_eq!(resumes(&house), kept, "{global}");
    }
    let _program = house.tells(" tune.ssl.lifetime 1\n", bind);
    let config = house.authority.client().version(&TLS12).build();
    let mut resumed = 0;
    wait_until("a session is too old", || {
        let mut stream = tls::connect(&config, house.port.number, "localhost").expect("a connection");
        tls::ask(&mut stream, "/").expect("an answer");
        let is_full = stream.conn.handshake_kind() != Some(HandshakeKind::Resumed);
        resumed += usize::from(!is_full);
        is_full && resumed > 0
    });
}

/// The longest record of application data that a server sends on a connection.
struct Records<'a> {
    tcp: &'a TcpStream,
    bytes: Vec<u8>,
}

impl Read for Records<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = self.tcp.read(into)?;
        self.bytes.extend_from_slice(&into[..n]);
        Ok(n)
    }
}

impl Write for Records<'_> {
    fn write(&mut self, from: &[u8]) -> std::io::Result<usize> {
        self.tcp.write(from)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Records<'_> {
    fn longest(&self) -> usize {
        let (mut rest, mut longest) = (&self.bytes[..], 0);
        while let [kind, _, _, high, low, behind @ ..] = rest {
            let length = usize::from(*high) << 8 | usize::from(*low);
            longest = if *kind == 23 { longest.max(length) } else { longest };
            rest = behind.get(length..).unwrap_or_default();
        }
        longest
    }
}

#[test]
fn records_are_no_longer_than_tune_ssl_maxrecord() {
    let mut house = House::new();
    house.directory.write("big", "x".repeat(15_000));
    let mut longest = |global: &str| {
        let (port, text) = (
            Port::hold(),
            "frontend f\n bind 127.0.0.1:{port} ssl crt server.pem\n http-request return \
                             status 200 content-type text/plain file {dir}/big\n",
        );
        house.port = port;
        let text = house.text(global, text);
        let _program = Program::start(&under_test(), &house.directory, &text, &[house.port.number]);
        let tcp = TcpStream::connect(("127.0.0.1", house.port.number)).expect("a connection");
        tcp.set_read_timeout(Some(common::BOUND)).expect("a timeout");
        let mut records = Records { tcp: &tcp, bytes: Vec::new() };
        let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
        let config = house.authority.client().version(&TLS12).build();
        let mut client = rustls::ClientConnection::new(config, name).expect("a client");
        let mut stream = rustls::Stream::new(&mut client, &mut records);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sending");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.len() > 15_000);
        records.longest()
    };
    // A record of TLS 1.2 has up to 29 bytes beside its data (RFC 5246 §6.2.3.3: a nonce and a tag).
    assert!(longest(" tune.ssl.maxrecord 1400\n") <= 1400 + 29);
    assert!(longest("") > 4000);
}

#[test]
fn settings_of_what_there_is_not_are_told() {
    let house = House::new();
    house.directory.write("dh.pem", "");
    let bind = "bind 127.0.0.1:{port} ssl crt server.pem";
    for (global, text) in [
        (
            " tune.ssl.default-dh-param 2048\n",
            "'tune.ssl.default-dh-param': there is no finite-field Diffie-Hellman here",
        ),
        (" ssl-dh-param-file {dir}/dh.pem\n", "'ssl-dh-param-file': there is no finite-field Diffie-Hellman here"),
        (" ssl-mode-async\n", "'ssl-mode-async': there is no asynchronous engine here"),
    ] {
        let (taken, said) = house.check(global, bind);
        assert!(taken && said.contains("[NOTICE]") && said.contains(text), "{said}");
    }
    let (taken, said) = house.check(" ssl-engine rdrand\n", bind);
    assert!(!taken && said.contains("'ssl-engine' is not supported (built without USE_ENGINE"), "{said}");
}

#[test]
fn names_that_bind_lines_answer_are_shown() {
    let mut house = House::new();
    let socket = house.directory.join("admin.sock");
    let global = format!(" stats socket {socket} level admin\n");
    let _program = house.tells(&global, "bind 127.0.0.1:{port} ssl crt server.pem");
    wait_until("the socket is there", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    let shown = ask(&socket, "show ssl sni");
    assert!(
        shown.lines().any(|l| l.starts_with("f/") && l.contains("\tlocalhost\t") && l.contains("server.pem")),
        "{shown}"
    );
    // Nothing is fetched, so nothing is due.
    let due = ask(&socket, "show ssl ocsp-updates");
    assert!(due.starts_with("OCSP Certid | Path | Next Update") && !due.contains("server.pem"), "{due}");
}
