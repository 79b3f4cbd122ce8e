//! Exchanges over the stats sockets: each is sent to ringway and to the packaged haproxy, and the answers must agree. They
//! stand in `cli/*.txt`, one a line: the level of the socket, and the bytes to send. In these `\n`, `\r`, `\t`, `\\` and
//! `\x..` stand for bytes, `{dir}` for the test's directory, `{9 a}` for nine times `a`, `{pem}`, `{crl}` and `{key}` for a
//! certificate with its key, a revocation list and a ticket key.
//!
//! A line `= …` below an exchange is the answer of HAProxy 3.4.0, which 2.6 gives otherwise: ringway must give it. With a
//! line `! <reason>` before it, it is ringway's own answer, on purpose.

use crate::common::BOUND;
use crate::common::directory::Directory;
use crate::common::port::Port;
use crate::common::program::{Program, peer, under_test, under_test_is_haproxy};
use crate::common::tls::Authority;
use crate::common::wait_until;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

const FILES: [(&str, &str); 8] = [
    ("certificates", include_str!("cli/certificates.txt")),
    ("general", include_str!("cli/general.txt")),
    ("hostile", include_str!("cli/hostile.txt")),
    ("levels", include_str!("cli/levels.txt")),
    ("patterns", include_str!("cli/patterns.txt")),
    ("process", include_str!("cli/process.txt")),
    ("servers", include_str!("cli/servers.txt")),
    ("tables", include_str!("cli/tables.txt")),
];

const CONFIGURATION: &str = "global
 stats socket {dir}admin.sock level admin
 stats socket {dir}operator.sock level operator
 stats socket {dir}user.sock level user
 maxconn 500
 nbthread 1
 set-var proc.known str(word)
defaults
 mode http
 timeout connect 3s
 timeout client 5s
 timeout server 5s
frontend fe
 bind 127.0.0.1:{FE}
 acl nets src -f {dir}a.acl
 http-request deny if nets
 http-request set-header x %[path,map({dir}m.map)]
 default_backend be
frontend other
 bind 127.0.0.1:{OTHER}
 bind 127.0.0.1:{TLS} ssl crt-list {dir}list tls-ticket-keys {dir}keys
 bind 127.0.0.1:{TLS2} ssl crt {dir}a.pem verify required ca-file {dir}ca.pem
 default_backend be
backend be
 server s1 127.0.0.1:80
 server s2 127.0.0.1:81 weight 50
 server s3 127.0.0.1:82 backup disabled
 server ck 127.0.0.1:{FE} check inter 1h disabled
 server ag 127.0.0.1:83 agent-check agent-port 4444 agent-inter 1h disabled
backend static
 balance static-rr
 server s1 127.0.0.1:80
backend ip
 stick-table type ip size 100 expire 1h store gpc0,conn_cnt
backend str
 stick-table type string len 12 size 100 store gpt0
backend int
 stick-table type integer size 100 store gpc0
";

/// One line of a file, with what stands below it.
struct Exchange<'f> {
    text: &'f str,
    level: &'f str,
    send: &'f str,
    /// The answer that is wanted where the packaged haproxy does not give it.
    wanted: Option<String>,
    /// It is ringway's alone.
    own: bool,
}

fn exchanges(file: &str) -> Vec<Exchange<'_>> {
    let mut found: Vec<Exchange<'_>> = Vec::new();
    for line in file.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        match (line.split_once(' ').expect("two words"), found.last_mut()) {
            (("=", answer), Some(last)) => {
                last.wanted = Some(String::from_utf8(unescape(answer)).expect("text"));
            }
            (("!", _), Some(last)) => last.own = true,
            ((level, send), _) => found.push(Exchange { text: line, level, send, wanted: None, own: false }),
        }
    }
    found
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut chars) = (Vec::new(), text.chars());
    while let Some(c) = chars.next() {
        match (c, chars.as_str().chars().next()) {
            ('\\', Some(next)) => {
                chars.next();
                match next {
                    'n' => out.push(b'\n'),
                    'r' => out.push(b'\r'),
                    't' => out.push(b'\t'),
                    '\\' => out.push(b'\\'),
                    'x' => {
                        let digits: String = chars.by_ref().take(2).collect();
                        out.push(u8::from_str_radix(&digits, 16).expect("two digits"));
                    }
                    other => out.extend(format!("\\{other}").bytes()),
                }
            }
            (c, _) => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    out
}

/// `{9 a}` becomes nine times `a`.
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once('{') else { return text.to_owned() };
    let Some((inside, after)) = rest.split_once('}') else { return text.to_owned() };
    let expanded = inside.split_once(' ').and_then(|(n, what)| Some(what.repeat(n.parse().ok()?)));
    format!("{before}{}{}", expanded.unwrap_or_else(|| format!("{{{inside}}}")), repeated(after))
}

/// What both programs are given.
struct Material {
    pem: String,
    own: String,
    authority: String,
    crl: String,
}

impl Material {
    fn new() -> Material {
        let authority = Authority::new("Authority");
        Material {
            pem: authority.issue(&["b.example"], false, 11).pem,
            own: authority.issue(&["a.example"], false, 12).pem,
            crl: authority.revocations(11),
            authority: authority.pem(),
        }
    }
}

/// The answers of one program, in order. `spare`: what it need not answer is not sent.
fn answers(binary: PathBuf, exchanges: &[Exchange<'_>], material: &Material, spare: bool) -> Vec<String> {
    let directory = Directory::new();
    let dir = directory.join("");
    let ports = ["FE", "OTHER", "TLS", "TLS2"].map(|name| (name, Port::hold()));
    directory.write("a.acl", "10.0.0.0/8\n");
    directory.write("m.map", "a b\nb c\n");
    directory.write("list", format!("{dir}a.pem\n"));
    directory.write("a.pem", &material.own);
    directory.write("ca.pem", &material.authority);
    directory.write("keys", ["A", "B", "C"].map(|c| c.repeat(64) + "\n").concat());
    let mut configuration = CONFIGURATION.replace("{dir}", &dir);
    for (name, port) in &ports {
        configuration = configuration.replace(&format!("{{{name}}}"), &port.number.to_string());
    }
    let numbers: Vec<u16> = ports.iter().map(|(_, port)| port.number).collect();
    let mut program = Program::start(&binary, &directory, &configuration, &numbers);
    for level in ["admin", "operator", "user"] {
        let socket = directory.join(&format!("{level}.sock"));
        wait_until("a socket that answers", || UnixStream::connect(&socket).is_ok());
    }
    let names: Vec<(u32, String)> =
        ports.iter().map(|(name, port)| (port.number.into(), (*name).to_owned())).collect();
    let mut found = Vec::with_capacity(exchanges.len());
    for exchange in exchanges {
        if spare && exchange.wanted.is_some() {
            found.push(String::new());
            continue;
        }
        let mut send = unescape(&repeated(&exchange.send.replace("{dir}", &dir)));
        for (word, text) in [("{pem}", &material.pem), ("{crl}", &material.crl), ("{key}", &"A".repeat(64))] {
            send = replaced(&send, word.as_bytes(), text.as_bytes());
        }
        let answer = ask(&directory.join(&format!("{}.sock", exchange.level)), &send);
        let answer = String::from_utf8_lossy(&answer).replace(&dir, "DIR/");
        found.push(crate::common::mask::numbers(&masked(&answer), &names));
        program.assert_runs();
    }
    found
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|w| w == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// Sends all and reads to the end. That the program closes before it has read all is an answer like another.
fn ask(socket: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap_or_else(|error| panic!("{socket}: {error}"));
    stream.set_read_timeout(Some(BOUND)).expect("a read timeout");
    stream.set_write_timeout(Some(BOUND)).expect("a write timeout");
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let (mut answer, mut piece) = (Vec::new(), [0; 65536]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return answer,
            Ok(n) => answer.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answer,
            Err(error) => {
                panic!("{socket}: {error} after {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]))
            }
        }
    }
}

/// Addresses, times to live and times since a change are not compared.
fn masked(answer: &str) -> String {
    let mut out = String::with_capacity(answer.len());
    for line in answer.split_inclusive('\n') {
        let words: Vec<&str> = line.split(' ').collect();
        let is_state = words.len() == 25 && !words[0].is_empty() && words[0].bytes().all(|b| b.is_ascii_digit());
        for (at, word) in words.iter().enumerate() {
            if at > 0 {
                out.push(' ');
            }
            match word {
                _ if is_state && at == 9 => out.push('T'),
                word if word.starts_with("exp=") => out.push_str("exp=N"),
                word => out.push_str(&address_masked(word)),
            }
        }
    }
    out
}

/// `0x55d0…` becomes `0xADDR`.
fn address_masked(word: &str) -> String {
    let Some(at) = word.find("0x") else { return word.to_owned() };
    let rest = word[at + 2..].trim_start_matches(|c: char| matches!(c, '0'..='9' | 'a'..='f'));
    format!("{}0xADDR{rest}", &word[..at])
}

fn compare(name: &str) {
    let (_, file) = FILES.iter().find(|(n, _)| *n == name).expect("a file of that name");
    let (exchanges, material) = (exchanges(file), Material::new());
    // 2.6 does not end what it does not understand.
    let spare = name == "hostile";
    let (ours, theirs) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| answers(under_test(), &exchanges, &material, false));
        let theirs = scope.spawn(|| answers(peer(), &exchanges, &material, spare));
        (
            ours.join().expect("the run against the program under test"),
            theirs.join().expect("the run against haproxy"),
        )
    });
    let is_haproxy = under_test_is_haproxy();
    let mut wrong = Vec::new();
    for ((exchange, ours), theirs) in exchanges.iter().zip(&ours).zip(&theirs) {
        let wanted = exchange.wanted.as_ref().unwrap_or(theirs);
        if ours != wanted && !(is_haproxy && exchange.own) {
            wrong.push(format!("{}\n  ours:   {ours:?}\n  wanted: {wanted:?}", exchange.text));
        }
        if exchange.own && theirs == wanted {
            wrong.push(format!("{}\n  haproxy answers the same: there is no difference", exchange.text));
        }
    }
    assert!(wrong.is_empty(), "{} of {} exchanges:\n{}", wrong.len(), exchanges.len(), wrong.join("\n"));
}

macro_rules! files {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            compare(stringify!($name));
        })*
    };
}

files!(certificates general hostile levels patterns process servers tables);

#[test]
fn there_are_enough_exchanges() {
    let count: usize = FILES.iter().map(|(_, file)| exchanges(file).len()).sum();
    assert!(count >= 250, "{count} exchanges");
}
