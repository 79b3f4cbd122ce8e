//! Health checks and agents as the configuration words them: what the server is sent, and what `show stat` then says of it.
//! How each kind of check judges is tested beside it (`src/services/check/tests`).

mod common;

use common::cli::{ask, stat};
use common::client::Client;
use common::directory::Directory;
use common::http::status;
use common::origin::{Gate, Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::syslog::Syslog;
use common::tls::Authority;
use common::wait_until;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// A program that checks servers.
struct Watch {
    _program: Program,
    port: Port,
    socket: String,
    _directory: Directory,
}

impl Watch {
    /// `global` lines and sections of backends.
    fn start(global: &str, sections: &str) -> Watch {
        Watch::start_in(Directory::new(), global, sections)
    }

    fn start_in(directory: Directory, global: &str, sections: &str) -> Watch {
        let (port, socket) = (Port::hold(), directory.join("admin.sock"));
        let config = format!(
            "global\n stats socket {socket} level admin\n maxconn 100\n{global}defaults\n mode http\n timeout connect 2s\n \
             timeout client 5s\n timeout server 5s\n timeout check 2s\nfrontend f\n bind 127.0.0.1:{}\n{sections}",
            port.number
        );
        let program = Program::start(&under_test(), &directory, &config, &[port.number]);
        wait_until("the socket is there", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        Watch { _program: program, port, socket, _directory: directory }
    }

    /// Waits until a column of the server in backend `b` begins so.
    fn becomes(&self, server: &str, column: &str, value: &str) {
        self.becomes_in("b", server, column, value);
    }

    fn becomes_in(&self, backend: &str, server: &str, column: &str, value: &str) {
        let mut last = String::new();
        let end = Instant::now() + common::BOUND;
        while !last.starts_with(value) {
            last = stat(&self.socket, backend, server, column);
            assert!(Instant::now() < end, "{backend}/{server}: {column} is {last:?}, not {value:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn asked(origin: &Origin) -> String {
    let records = origin.wait_for("a check", |records| records.iter().any(|r| r.bytes.ends_with(b"\r\n\r\n")));
    String::from_utf8_lossy(&records[0].bytes).into_owned()
}

#[test]
fn http_check_send_says_what_is_asked() {
    let origin = Origin::start(vec![Step::Request, Step::Send(HELLO.into())]);
    let watch = Watch::start(
        "",
        &format!(
            "backend b\n option httpchk\n http-check send meth OPTIONS uri /health?x ver HTTP/1.1 hdr Host h.example hdr X-A b\n \
             server s 127.0.0.1:{} check inter 100ms\n",
            origin.port
        ),
    );
    let sent = asked(&origin);
    assert!(sent.starts_with("OPTIONS /health?x HTTP/1.1\r\nhost: h.example\r\nx-a: b\r\n"), "{sent}");
    watch.becomes("s", "check_status", "L7OK");
}

#[test]
fn http_check_expect_judges_the_answer() {
    let origin = Origin::start(vec![Step::Request, Step::Send(HELLO.into())]);
    let expectations = [
        ("http-check expect status 200", "L7OK"),
        ("http-check expect status 201-299", "L7STS"),
        ("http-check expect rstatus ^2", "L7OK"),
        ("http-check expect rstatus ^[345]", "L7STS"),
        ("http-check expect string ell", "L7OK"),
        ("http-check expect string bye", "L7RSP"),
        ("http-check expect rstring ^h.*o$", "L7OK"),
        ("http-check expect rstring ^o", "L7RSP"),
        ("http-check expect ! string ell", "L7RSP"),
    ];
    let sections = expectations.iter().enumerate().map(|(n, (line, _))| {
        format!("backend b{n}\n option httpchk\n {line}\n server s 127.0.0.1:{} check inter 100ms\n", origin.port)
    });
    let watch = Watch::start("", &sections.collect::<String>());
    for (n, (_, status)) in expectations.iter().enumerate() {
        watch.becomes_in(&format!("b{n}"), "s", "check_status", status);
    }
}

#[test]
fn tcp_check_connects_where_it_is_told_sends_and_expects() {
    let origin = Origin::start(vec![Step::Until(b"PING\r\n".to_vec()), Step::Send(b"+PONG\r\n".to_vec())]);
    let section = |connect: &str, answer: &str| {
        format!(
            " option tcp-check\n {connect}\n tcp-check send PING\\r\\n\n tcp-check expect string {answer}\n \
             server s 127.0.0.1:{} check inter 100ms\n",
            Port::hold().number
        )
    };
    let there = format!("tcp-check connect port {}", origin.port);
    let watch = Watch::start(
        "",
        &format!(
            "backend b\n{}backend other\n{}backend here\n{}",
            section(&there, "+PONG"),
            section(&there, "-ERR"),
            section("tcp-check connect", "+PONG")
        ),
    );
    watch.becomes("s", "check_status", "L7OK");
    watch.becomes_in("other", "s", "check_status", "L7TOUT");
    watch.becomes_in("here", "s", "check_status", "L4CON");
}

#[test]
fn checks_go_to_addr_and_port_where_the_line_has_them() {
    let origin = Origin::start(vec![Step::Request, Step::Send(HELLO.into())]);
    let (other, away) = (Port::hold(), origin.port);
    let watch = Watch::start(
        "",
        &format!(
            "backend b\n option httpchk\n server plain 127.0.0.2:{away} check inter 100ms\n \
             server addr 127.0.0.2:{away} check inter 100ms addr 127.0.0.1\n \
             server port 127.0.0.1:{} check inter 100ms port {away}\n",
            other.number
        ),
    );
    watch.becomes("plain", "check_status", "L4CON");
    watch.becomes("addr", "check_status", "L7OK");
    watch.becomes("port", "check_status", "L7OK");
}

#[test]
fn checks_speak_tls_and_the_protocol_of_the_line_to_plain_servers() {
    let (directory, authority, inner) = (Directory::new(), Authority::new("Test"), Port::hold());
    let certificate = directory.write("server.pem", authority.issue(&["localhost"], false, 10).pem);
    let port = inner.number;
    let watch = Watch::start_in(
        directory,
        "",
        &format!(
            "frontend inner\n bind 127.0.0.1:{port} ssl crt {certificate} alpn h2,http/1.1\n \
             http-request return status 200 if {{ ssl_fc_alpn http/1.1 }}\n http-request return status 500\n\
             backend b\n option httpchk\n server plain 127.0.0.1:{port} check inter 100ms\n \
             server tls 127.0.0.1:{port} check inter 100ms check-ssl verify none\n \
             server both 127.0.0.1:{port} check inter 100ms check-ssl check-alpn http/1.1 verify none\n"
        ),
    );
    watch.becomes("plain", "status", "DOWN");
    watch.becomes("tls", "check_status", "L7STS");
    watch.becomes("both", "check_status", "L7OK");
}

#[test]
fn results_of_checks_are_logged_where_that_is_wanted() {
    let (log, dead) = (Syslog::udp(), Port::hold());
    let line = format!(" server s 127.0.0.1:{} check inter 50ms fall 2\n", dead.number);
    let _watch = Watch::start(
        "",
        &format!(
            "backend silent\n log {0} local0\n{line}backend told\n log {0} local0\n option log-health-checks\n{line}",
            log.address
        ),
    );
    let mut seen = Vec::new();
    wait_until("both are down", || {
        seen.extend(log.next(Duration::from_millis(50)));
        ["silent", "told"].iter().all(|b| seen.iter().any(|l: &String| l.contains(&format!("{b}/s is DOWN"))))
    });
    let failed = |backend: &str| {
        let text = format!("Health check for server {backend}/s failed, reason: Layer4 connection problem");
        seen.iter().any(|l| l.contains(&text))
    };
    assert!(failed("told") && !failed("silent"), "{seen:#?}");
}

#[test]
fn spread_checks_lets_some_come_before_their_interval_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let _watch =
        Watch::start(" spread-checks 50\n", &format!("backend b\n server s 127.0.0.1:{port} check inter 400ms\n"));
    listener.set_nonblocking(true).expect("a listener that is asked");
    let next = || {
        let mut moment = None;
        wait_until("a check comes", || {
            moment = listener.accept().ok().map(|_| Instant::now());
            moment.is_some()
        });
        moment.expect("a moment")
    };
    let mut last = next();
    // Half of the intervals are shorter; that sixteen are not happens once in 65536 runs.
    let early = (0..16).any(|_| {
        let before = std::mem::replace(&mut last, next());
        last - before < Duration::from_millis(390)
    });
    assert!(early, "none came early");
}

#[test]
fn checks_come_faster_between_states_and_at_another_pace_while_down() {
    const BAD: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
    let answers = |text: &str| vec![Step::Request, Step::Send(text.into())];
    let failing = Origin::start(answers(BAD));
    let mending = Origin::start_with(vec![answers(BAD), answers(HELLO)]);
    let watch = Watch::start(
        " max-spread-checks 10ms\n",
        &format!(
            "backend b\n option httpchk\n server failing 127.0.0.1:{} check inter 60s fastinter 20ms fall 3\n \
             server mending 127.0.0.1:{} check inter 60s downinter 20ms fall 1 rise 1\n",
            failing.port, mending.port
        ),
    );
    watch.becomes("failing", "status", "DOWN");
    watch.becomes("mending", "check_status", "L7OK");
    watch.becomes("mending", "status", "UP");
}

#[test]
fn an_agent_is_asked_at_its_own_address_with_its_own_words() {
    let agent = Origin::start(vec![Step::Until(b"how are you\n".to_vec()), Step::Send(b"drain\n".to_vec())]);
    let watch = Watch::start(
        "",
        &format!(
            "backend b\n server s 127.0.0.2:{0} agent-check agent-addr 127.0.0.1 agent-port {0} agent-inter 100ms \
             agent-send \"how are you\\n\"\n server t 127.0.0.2:{0} agent-check agent-port {0} agent-inter 100ms\n",
            agent.port
        ),
    );
    watch.becomes("s", "status", "DRAIN (agent)");
    // The other one's agent would be at the server's address, where nobody is; an agent alone is no check.
    assert_eq!(stat(&watch.socket, "b", "t", "status"), "no check");
}

#[test]
fn a_server_is_checked_at_its_own_port_again_and_shows_no_check_that_is_disabled() {
    let (origin, nobody) = (Origin::start(vec![]), Port::hold());
    let watch = Watch::start(
        "",
        &format!(
            "backend b\n server s 127.0.0.1:{} check inter 20ms rise 1 fall 1\n server t 127.0.0.1:1 track s\n",
            origin.port
        ),
    );
    watch.becomes("s", "check_status", "L4OK");
    assert_eq!(ask(&watch.socket, &format!("set server b/s check-port {}", nobody.number)).trim(), "");
    watch.becomes("s", "status", "DOWN");
    assert_eq!(ask(&watch.socket, "set server b/s check-port 0").trim(), "");
    watch.becomes("s", "status", "UP");
    ask(&watch.socket, "disable health b/s");
    for (server, column, value) in
        [("s", "status", "no check"), ("t", "status", "no check"), ("s", "check_status", "")]
    {
        assert_eq!(stat(&watch.socket, "b", server, column), value, "{server} {column}");
    }
    ask(&watch.socket, "enable health b/s");
    watch.becomes("s", "check_status", "L4OK");
    assert_eq!(stat(&watch.socket, "b", "t", "status"), "UP");
}

#[test]
fn who_waits_is_served_once_an_agent_gives_the_server_more_slots() {
    let (gate, busy) = (Gate::new(), Gate::new());
    let agent = Origin::start(vec![Step::Gate(gate.clone()), Step::Send(b"maxconn:2\n".to_vec())]);
    let ok = Step::Send(HELLO.into());
    let origin =
        Origin::start_with(vec![vec![Step::Request, Step::Gate(busy.clone()), ok.clone()], vec![Step::Request, ok]]);
    let watch = Watch::start(
        "",
        &format!(
            " default_backend b\nbackend b\n timeout queue 1m\n timeout server 1m\n \
             server s 127.0.0.1:{} maxconn 1 agent-check agent-port {} agent-inter 60s\n",
            origin.port, agent.port
        ),
    );
    let mut clients = [Client::connect(watch.port.number), Client::connect(watch.port.number)];
    clients[0].send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    origin.wait_for("the first has the slot", |records| !records.is_empty());
    clients[1].send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    watch.becomes("BACKEND", "qcur", "1");
    gate.open();
    assert_eq!(status(&clients[1].response()), Some(200));
    busy.open();
}

#[test]
fn protocols_of_their_own_are_spoken_to_mail_directory_and_tls_servers() {
    let smtp = Origin::start(vec![
        Step::Send(b"220 mail ready\r\n".to_vec()),
        Step::Until(b"EHLO mail.example\r\n".to_vec()),
        Step::Send(b"250 hello\r\n".to_vec()),
        Step::Until(b"QUIT\r\n".to_vec()),
        Step::Send(b"221 bye\r\n".to_vec()),
    ]);
    // A bind request of LDAPv3 without a name (RFC 4511 §4.2), and that it succeeded.
    let bind = b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00";
    let bound = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
    let ldap = Origin::start(vec![Step::Until(bind.to_vec()), Step::Send(bound.to_vec())]);
    // A hello of SSLv3 is the record type 22; an alert of TLS answers it.
    let tls = Origin::start(vec![
        Step::Until(b"\x16\x03\x00".to_vec()),
        Step::Send(b"\x15\x03\x00\x00\x02\x02\x28".to_vec()),
    ]);
    let section = |name: &str, option: &str, port: u16| {
        format!("backend {name}\n mode tcp\n {option}\n server s 127.0.0.1:{port} check inter 100ms\n")
    };
    let watch = Watch::start(
        "",
        &[
            section("mail", "option smtpchk EHLO mail.example", smtp.port),
            section("directory", "option ldap-check", ldap.port),
            section("tls", "option ssl-hello-chk", tls.port),
        ]
        .concat(),
    );
    watch.becomes_in("mail", "s", "check_status", "L7OK");
    watch.becomes_in("directory", "s", "check_status", "L7OK");
    watch.becomes_in("tls", "s", "check_status", "L6OK");
}

#[test]
fn first_checks_are_spread_no_longer_than_max_spread_checks() {
    let origin = Origin::start(vec![Step::Close]);
    let servers: String =
        (0..4).map(|n| format!(" server s{n} 127.0.0.1:{} check inter 60s\n", origin.port)).collect();
    let watch = Watch::start(" max-spread-checks 100ms\n", &format!("backend b\n{servers}"));
    for n in 0..4 {
        watch.becomes(&format!("s{n}"), "check_status", "L4OK");
    }
}

#[test]
fn a_server_that_is_added_tracks_only_one_that_is_there_and_watched() {
    let watch = Watch::start(
        "",
        "backend b\n server s 127.0.0.1:1 check\n server u 127.0.0.1:1\nbackend c\n server a 127.0.0.1:1 check\n",
    );
    let add =
        |target: &str| ask(&watch.socket, &format!("add server b/n 127.0.0.1:1 track {target}")).trim().to_owned();
    for (target, answer) in [
        ("zz", "unable to find required server 'zz' for tracking."),
        ("nope/a", "unable to find required proxy 'nope' for tracking."),
        ("f/a", "unable to find required proxy 'f' for tracking."),
        ("u", "unable to use b/u for tracking as it does not have any check nor agent enabled."),
        ("c/a", "New server registered."),
    ] {
        assert_eq!(add(target), answer, "{target}");
    }
    let answer = ask(&watch.socket, "add server b/m 127.0.0.1:1 track n");
    assert_eq!(answer.trim(), "unable to use b/n for tracking as it is a dynamic server.");
}
