//! One run of a scenario against one program, and the comparison of two runs. A run writes a transcript: what each
//! client received, what each origin received on each connection, the log lines, with masks over what may differ.

use crate::allowed::{ALLOWED, DECISIONS, EITHER};
use crate::common::client::{Client, End};
use crate::common::directory::Directory;
use crate::common::h2::{Answer, H2Client};
use crate::common::h2_origin::{Asked, H2Origin, Reply, When};
use crate::common::http::without_chunk_boundaries;
use crate::common::origin::{Origin, Record, Step};
use crate::common::port::{BlackHole, Port};
use crate::common::program::{Program, peer, under_test, under_test_is_haproxy};
use crate::common::syslog::Syslog;
use crate::common::tls::{self, Authority};
use crate::common::tls_origin::{self, TlsOrigin};
use crate::common::{mask, show};
use ringway::proto::http::head::Head;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

#[path = "tls_peer.rs"]
pub mod tls_peer;

/// What was seen, in order, unmasked; and the numbers to mask.
#[derive(Default)]
struct Transcript {
    lines: Vec<String>,
    names: Vec<(u32, String)>,
}

impl Transcript {
    fn note(&mut self, who: &str, text: &str) {
        self.lines.extend(text.split('\n').map(|line| format!("{who} {line}")));
    }
}

pub struct Run {
    binary: PathBuf,
    directory: Directory,
    transcript: Rc<RefCell<Transcript>>,
    ports: BTreeMap<String, u16>,
    held: Vec<Port>,
    holes: Vec<BlackHole>,
    origins: Vec<(String, Origin)>,
    h2_origins: Vec<(String, H2Origin)>,
    tls_origins: Vec<(String, TlsOrigin)>,
    log: Syslog,
    clients: usize,
    quiet: bool,
    kept: Vec<Peer>,
    program: Option<Program>,
}

/// A client whose responses go into the transcript.
pub struct Peer {
    client: Client,
    name: String,
    transcript: Rc<RefCell<Transcript>>,
}

impl Run {
    fn new(binary: PathBuf) -> Run {
        let directory = Directory::new();
        let log = Syslog::unix(&directory.join("log"));
        Run {
            binary,
            directory,
            transcript: Rc::default(),
            ports: BTreeMap::new(),
            held: Vec::new(),
            holes: Vec::new(),
            origins: Vec::new(),
            h2_origins: Vec::new(),
            tls_origins: Vec::new(),
            log,
            clients: 0,
            quiet: false,
            kept: Vec::new(),
            program: None,
        }
    }

    fn name_port(&mut self, name: &str, port: u16) {
        self.ports.insert(name.to_string(), port);
        self.transcript.borrow_mut().names.push((port.into(), name.to_uppercase()));
    }

    /// A port for the program to listen on: `{name}` in the configuration.
    pub fn listen(&mut self, name: &str) {
        let port = Port::hold();
        self.name_port(name, port.number);
        self.held.push(port);
    }

    /// An origin whose connections all follow one script.
    pub fn origin(&mut self, name: &str, script: Vec<Step>) {
        self.origin_with(name, vec![script]);
    }

    /// An origin whose n-th connection follows the n-th script.
    pub fn origin_with(&mut self, name: &str, scripts: Vec<Vec<Step>>) {
        let origin = Origin::start_with(scripts);
        self.name_port(name, origin.port);
        self.origins.push((name.to_string(), origin));
    }

    /// An origin that speaks HTTP/2.
    pub fn h2_origin(
        &mut self,
        name: &str,
        when: When,
        answer: impl Fn(&Asked, &mut Reply<'_>) + Send + Sync + 'static,
    ) {
        let origin = H2Origin::start(when, answer);
        self.name_port(name, origin.port);
        self.h2_origins.push((name.to_string(), origin));
    }

    pub fn h2_origin_named(&self, name: &str) -> &H2Origin {
        &self.h2_origins.iter().find(|(n, _)| n == name).expect("an origin of that name").1
    }

    /// An origin that speaks TLS.
    pub fn tls_origin(&mut self, name: &str, settings: tls_origin::Settings<'_>) {
        let origin = TlsOrigin::start(settings);
        self.name_port(name, origin.port);
        self.tls_origins.push((name.to_string(), origin));
    }

    /// A server that refuses connections.
    pub fn refusing(&mut self, name: &str) {
        self.listen(name);
    }

    /// A server that never answers a SYN.
    pub fn black_hole(&mut self, name: &str) {
        let hole = BlackHole::open();
        self.name_port(name, hole.number);
        self.holes.push(hole);
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        self.directory.write(name, content);
    }

    /// Starts the program; `{log}`, `{dir}` and the names of ports stand in the configuration.
    pub fn start(&mut self, config: &str) {
        let mut text = config.replace("{log}", &self.log.address).replace("{dir}", &self.directory.join(""));
        for (name, port) in &self.ports {
            text = text.replace(&format!("{{{name}}}"), &port.to_string());
        }
        let listeners: Vec<u16> = self
            .ports
            .iter()
            .filter(|(name, _)| config.lines().any(|l| l.contains("bind ") && l.contains(&format!("{{{name}}}"))))
            .map(|(_, port)| *port)
            .collect();
        self.program = Some(Program::start(&self.binary, &self.directory, &text, &listeners));
    }

    /// The usual HTTP configuration: frontend `fe`, backend `be`; lines for both, indented as they come.
    pub fn http(&mut self, frontend: &str, backend: &str) {
        self.proxy("mode http\n option httplog", frontend, backend);
    }

    /// The usual TCP configuration.
    pub fn tcp(&mut self, frontend: &str, backend: &str) {
        self.proxy("mode tcp\n option tcplog", frontend, backend);
    }

    fn proxy(&mut self, defaults: &str, frontend: &str, backend: &str) {
        if !self.ports.contains_key("fe") {
            self.listen("fe");
        }
        let bind = if frontend.contains("bind ") { "" } else { " bind 127.0.0.1:{fe}\n" };
        self.start(&format!(
            "global\n log {{log}} local0\n maxconn 500\n nbthread 1\ndefaults\n log global\n {defaults}\n \
             timeout connect 3s\n timeout client 5s\n timeout server 5s\nfrontend fe\n{bind} {frontend}\n \
             default_backend be\nbackend be\n {backend}\n"
        ));
    }

    pub fn port(&self, name: &str) -> u16 {
        self.ports[name]
    }

    /// Leaves what origins received and what is logged out of the transcript, where the order is not certain.
    pub fn forget(&mut self) {
        self.origins.clear();
        self.quiet = true;
    }

    /// Connects to the frontend.
    pub fn client(&mut self) -> Peer {
        self.client_to("fe")
    }

    pub fn client_to(&mut self, name: &str) -> Peer {
        let port = self.ports[name];
        self.adopt(Client::connect(port))
    }

    pub fn adopt(&mut self, client: Client) -> Peer {
        self.clients += 1;
        let name = format!("C{}", self.clients);
        self.transcript.borrow_mut().names.push((client.port.into(), name.clone()));
        Peer { client, name, transcript: self.transcript.clone() }
    }

    /// Connects to the frontend and speaks HTTP/2.
    pub fn h2(&mut self) -> H2Peer {
        let client = H2Client::connect(self.ports["fe"]);
        let port = client.port();
        self.h2_over(client, port)
    }

    /// The same over TLS, under the certificate in `server.pem`.
    pub fn h2_tls(&mut self, authority: &Authority) -> H2Peer<tls::Stream> {
        let config = authority.client().alpn(&["h2"]).build();
        let stream = tls::connect(&config, self.ports["fe"], "localhost").expect("a handshake");
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
        let port = stream.sock.local_addr().expect("an address").port();
        self.h2_over(H2Client::over(stream, true), port)
    }

    fn h2_over<S: Read + Write>(&mut self, client: H2Client<S>, port: u16) -> H2Peer<S> {
        self.clients += 1;
        let name = format!("C{}", self.clients);
        self.transcript.borrow_mut().names.push((port.into(), name.clone()));
        H2Peer { client, name, transcript: self.transcript.clone() }
    }

    /// Keeps a client connected until the transcript is complete.
    pub fn keep(&mut self, client: Peer) {
        self.kept.push(client);
    }

    /// The next log lines, which must come.
    pub fn logs(&mut self, count: usize) {
        for _ in 0..count {
            let line = self.log.line();
            self.note_log(&line);
        }
    }

    /// The next log line as it came, not noted.
    pub fn log_line(&self) -> String {
        self.log.line()
    }

    /// A log line that came another way than through the usual sink.
    pub fn note_log_line(&self, line: &str) {
        self.note_log(line);
    }

    /// An origin started by the scenario itself, under a name of the configuration.
    pub fn adopt_origin(&mut self, name: &str, origin: Origin) {
        self.name_port(name, origin.port);
        self.origins.push((name.to_string(), origin));
    }

    /// Takes an origin out, so that its bytes do not go into the transcript as they are.
    pub fn forget_origin(&mut self, name: &str) -> Origin {
        let index = self.origins.iter().position(|(n, _)| n == name).expect("an origin of that name");
        self.origins.remove(index).1
    }

    fn note_log(&self, line: &str) {
        let pid = self.program.as_ref().map_or(0, Program::pid);
        let line = line.replace(&format!("[{pid}]"), "[PID]").replace(&format!(" {pid} "), " PID ");
        // The kernel may give a port again: of its clients this line is of the last.
        let names: Vec<_> = self.transcript.borrow().names.iter().rev().cloned().collect();
        let line = mask::numbers(&mask::log_line(&line), &names);
        self.note("log", &show(line.as_bytes()));
    }

    /// Something else that both programs must agree on.
    pub fn note(&self, who: &str, text: &str) {
        self.transcript.borrow_mut().note(who, text);
    }

    pub fn origin_named(&self, name: &str) -> &Origin {
        &self.origins.iter().find(|(n, _)| n == name).expect("an origin of that name").1
    }

    /// Waits for the end of an origin's connection and notes who ended it. FIN and RST count the same.
    pub fn origin_ended(&mut self, name: &str, index: usize) {
        let end = match self.origin_named(name).ended(index).end {
            Some(_) => "ended by the proxy",
            None => "closed by the origin",
        };
        self.note(&format!("{name}.{index}"), end);
    }

    /// The same, and whether the proxy ended it by FIN or by RST.
    pub fn origin_ended_how(&mut self, name: &str, index: usize) {
        let end = format!("{:?}", self.origin_named(name).ended(index).end);
        self.note(&format!("{name}.{index}"), &end);
    }

    /// Waits until what an origin's connection has received ends with these bytes.
    pub fn origin_received(&mut self, name: &str, index: usize, end: &[u8]) {
        let ready = |r: &[Record]| r.get(index).is_some_and(|connection| connection.bytes.ends_with(end));
        self.origin_named(name).wait_for("more bytes", ready);
    }

    pub fn program(&mut self) -> &mut Program {
        self.program.as_mut().expect("the program was started")
    }

    /// Notes what origins received and log lines nobody asked for, and masks all.
    fn finish(mut self) -> String {
        self.program().assert_runs();
        for (name, origin) in &self.origins {
            for (index, record) in origin.records().iter().enumerate() {
                self.note(&format!("{name}.{index} <"), &show(&without_chunk_boundaries(&record.bytes)));
            }
        }
        for (name, origin) in self.h2_origins.iter().filter(|_| !self.quiet) {
            for asked in origin.asked() {
                let who = format!("{name}.{}.{} <", asked.connection, asked.stream);
                self.note(&who, &format!("{}{}\n{}", asked.text, show(&asked.body), asked.end));
            }
        }
        for (name, origin) in self.tls_origins.iter().filter(|_| !self.quiet) {
            for (index, met) in origin.met().iter().enumerate() {
                let who = format!("{name}.{index}");
                self.note(&who, &format!("tls {}", met.handshake));
                self.note(&format!("{who} <"), &show(&[&met.before[..], &met.bytes[..]].concat()));
            }
        }
        while let Some(line) = self.log.next(Duration::from_millis(2)).filter(|_| !self.quiet) {
            self.note("log", "(unasked)");
            self.note_log(&line);
        }
        let transcript = self.transcript.borrow();
        let text = transcript.lines.join("\n").replace(&self.directory.join(""), "DIR/");
        mask::numbers(&text, &transcript.names)
    }
}

impl Peer {
    /// The next response, into the transcript.
    pub fn response(&mut self) -> Vec<u8> {
        let bytes = self.client.response();
        self.note(&bytes);
        bytes
    }

    pub fn response_to_head(&mut self) -> Vec<u8> {
        let bytes = self.client.response_to_head();
        self.note(&bytes);
        bytes
    }

    /// Reads up to and including these bytes.
    pub fn until(&mut self, end: &[u8]) -> Vec<u8> {
        let bytes = self.client.until(end);
        self.note(&bytes);
        bytes
    }

    /// Reads to the end. FIN and RST count the same: which of them comes depends on what was still unread.
    pub fn closed(&mut self) -> Vec<u8> {
        let (bytes, _) = self.client.closed();
        self.note(&bytes);
        self.transcript.borrow_mut().note(&self.name, "closed");
        bytes
    }

    /// Reads to the end where a FIN or a RST is the point.
    pub fn closed_how(&mut self) -> End {
        let (bytes, end) = self.client.closed();
        self.note(&bytes);
        self.transcript.borrow_mut().note(&self.name, &format!("{end:?}"));
        end
    }

    /// Sends a request and takes its response, which shows that the connection is still open.
    pub fn ask(&mut self, request: &str) -> Vec<u8> {
        self.client.send(request);
        self.response()
    }

    pub fn reset(self) {
        self.client.reset();
    }

    fn note(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.transcript.borrow_mut().note(&format!("{} <", self.name), &show(&without_chunk_boundaries(bytes)));
        }
    }
}

impl Deref for Peer {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Peer {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// An HTTP/2 client whose answers go into the transcript.
pub struct H2Peer<S: Read + Write = TcpStream> {
    client: H2Client<S>,
    name: String,
    transcript: Rc<RefCell<Transcript>>,
}

impl<S: Read + Write> H2Peer<S> {
    /// A request and its answer.
    pub fn ask(&mut self, head: &Head, body: &[u8]) {
        let id = self.client.send(head, body);
        self.answer(id);
    }

    /// The same, for the scenario alone.
    pub fn client_answer(&mut self, head: &Head) -> Answer {
        self.client.ask(head, b"")
    }

    /// The answer on a stream. Dates and the like are not sent by the proxies themselves.
    pub fn answer(&mut self, id: u32) {
        let answer = self.client.answer(id);
        self.transcript.borrow_mut().note(&format!("{}.{id} <", self.name), &answer.show());
    }
}

impl<S: Read + Write> Deref for H2Peer<S> {
    type Target = H2Client<S>;
    fn deref(&self) -> &H2Client<S> {
        &self.client
    }
}

impl<S: Read + Write> DerefMut for H2Peer<S> {
    fn deref_mut(&mut self) -> &mut H2Client<S> {
        &mut self.client
    }
}

/// Runs a scenario against both programs and compares.
pub fn compare(name: &str, scenario: fn(&mut Run)) {
    let name = name.strip_prefix("differential::").unwrap_or(name);
    let started = std::time::Instant::now();
    let one = |binary: PathBuf| {
        std::thread::spawn(move || {
            let mut run = Run::new(binary);
            scenario(&mut run);
            run.finish()
        })
    };
    let (ours, theirs) = (one(under_test()), one(peer()));
    let ours = ours.join().unwrap_or_else(|_| panic!("{name}: the run against the program under test failed"));
    let theirs = theirs.join().unwrap_or_else(|_| panic!("{name}: the run against haproxy failed"));
    let ours = crate::allowed::short_lines_of_handshakes_tell_no_error(&ours);
    let (ours, theirs) = (with_either(name, ours), with_either(name, theirs));
    let wanted = with_allowed_differences(name, &theirs);
    if std::env::var_os("DIFFERENTIAL_SHOW").is_some() {
        println!("{:?}", started.elapsed());
        println!("{name}\n{}", difference(&ours, &theirs));
    }
    assert!(
        ours == wanted,
        "{name} (+ ours, - expected of us):\n{}{}",
        difference(&ours, &wanted),
        reasons(name).join("\n")
    );
}

/// Why differences are allowed in this scenario: it helps to read a failure.
fn reasons(name: &str) -> Vec<String> {
    let allowed = ALLOWED.iter().filter(|rule| rule.scenario == name).map(|rule| rule.reason);
    let either = EITHER.iter().filter(|rule| rule.scenario == name).map(|rule| rule.reason);
    allowed.chain(either).map(|reason| format!("allowed: {reason}")).collect()
}

/// Texts of which either is right, made the same.
fn with_either(name: &str, mut transcript: String) -> String {
    for rule in EITHER.iter().filter(|rule| rule.scenario == name) {
        for text in rule.texts {
            transcript = transcript.replace(text, rule.becomes);
        }
    }
    transcript
}

/// What the peer's transcript would be if it behaved as it is right for us to behave.
fn with_allowed_differences(name: &str, theirs: &str) -> String {
    let mut wanted = theirs.to_string();
    for rule in ALLOWED.iter().filter(|rule| rule.scenario == "*" || rule.scenario == name) {
        let seen = wanted.contains(rule.theirs);
        assert!(
            seen || rule.scenario == "*",
            "{name}: haproxy no longer shows {:?}: {}\n{theirs}",
            rule.theirs,
            rule.reason
        );
        wanted = wanted.replace(rule.theirs, rule.ours);
    }
    if !under_test_is_haproxy() {
        for rule in DECISIONS.iter().filter(|rule| rule.scenario == name) {
            assert!(
                wanted.contains(rule.theirs),
                "{name}: haproxy no longer shows {:?}: {}",
                rule.theirs,
                rule.reason
            );
            wanted = wanted.replace(rule.theirs, rule.ours);
        }
    }
    crate::allowed::own_replies_count_no_bytes(&wanted)
}

/// Both texts line by line: common lines plain, the others marked.
fn difference(ours: &str, theirs: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
    if a == b || a.len() * b.len() > 4_000_000 {
        let at = a.iter().zip(&b).position(|(x, y)| x != y).unwrap_or(a.len().min(b.len()));
        return format!("  line {at}:\n+ {:?}\n- {:?}\n", a.get(at), b.get(at));
    }
    let mut common = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] =
                if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            out.push_str(&format!("  {}\n", a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j < b.len() && (i == a.len() || common[i][j + 1] >= common[i + 1][j]) {
            out.push_str(&format!("- {}\n", b[j]));
            j += 1;
        } else {
            out.push_str(&format!("+ {}\n", a[i]));
            i += 1;
        }
    }
    out
}
