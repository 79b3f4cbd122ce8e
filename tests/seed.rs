//! What the product promises its first users, promise by promise, over what exists so far: checked configurations,
//! balanced and checked servers, queues, modes, logs, and a well-behaved process.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::http::header_values;
use common::origin::{Gate, Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::syslog::Syslog;
use common::wait_until;
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn answer(name: &str) -> Vec<Step> {
    vec![Step::Serve(format!("HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Length: 0\r\n\r\n").into())]
}

/// A program with its log sink and the port of its frontend.
struct House {
    program: Program,
    sink: Syslog,
    port: Port,
    _directory: Directory,
}

impl House {
    /// `{port}` in the configuration is the frontend's.
    fn open(config: &str) -> House {
        let directory = Directory::new();
        let sink = Syslog::unix(&directory.join("log"));
        let port = Port::hold();
        let head = format!(
            "global\n maxconn 4000\n log {} local0\ndefaults\n log global\n timeout connect 2s\n timeout client 5s\n \
             timeout server 5s\n",
            sink.address
        );
        let config = format!("{head}{}", config.replace("{port}", &port.number.to_string()));
        let program = Program::start(&under_test(), &directory, &config, &[port.number]);
        House { program, sink, port, _directory: directory }
    }

    fn client(&self) -> Client {
        Client::connect(self.port.number)
    }

    /// The server that answers a request on a new connection.
    fn server(&self) -> String {
        let mut client = self.client();
        client.send(GET);
        header_values(&client.response(), "x-server").join(" ")
    }
}

fn check(arguments: &[&str], config: &str) -> (Option<i32>, String) {
    let directory = Directory::new();
    let file = directory.write("a.cfg", config);
    let run = Command::new(under_test()).args(arguments).args(["-f", &file]).output().expect("it runs");
    let text = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    (run.status.code(), text)
}

#[test]
fn a_valid_file_exits_0_and_says_so_with_v() {
    let config = "global\n maxconn 4000\n daemon\ndefaults\n timeout connect 1s\n timeout client 1s\n \
                  timeout server 1s\nfrontend f\n bind 127.0.0.1:65100\n default_backend b\n\
                  backend b\n server s 127.0.0.1:1\n";
    let (code, text) = check(&["-c", "-V"], config);
    assert!(code == Some(0) && text.contains("Configuration file is valid"), "{code:?} {text}");
}

#[test]
fn a_broken_file_exits_1_and_names_file_and_line() {
    let config =
        "defaults\n mode http\nfrontend f\n bind 127.0.0.1:65100\n default_backend nope\n blance roundrobin\n";
    let (code, text) = check(&["-c"], config);
    assert!(code == Some(1) && text.contains("a.cfg:6") && text.contains("blance"), "{code:?} {text}");
}

#[test]
fn two_tcp_servers_take_turns() {
    let (one, two) = (Origin::start(answer("s1")), Origin::start(answer("s2")));
    let house = House::open(&format!(
        "frontend nova_api_front\n bind 127.0.0.1:{{port}}\n mode tcp\n default_backend nova_api_back\n\
         backend nova_api_back\n mode tcp\n balance roundrobin\n \
         server s1 127.0.0.1:{} check inter 200 rise 2 fall 3\n \
         server s2 127.0.0.1:{} check inter 200 rise 2 fall 3\n",
        one.port, two.port
    ));
    let seen: Vec<String> = (0..10).map(|_| house.server()).collect();
    assert_eq!(seen.iter().filter(|name| *name == "s1").count(), 5, "{seen:?}");
}

#[test]
fn a_dead_server_leaves_after_fall_and_returns_after_rise() {
    let second = Port::hold();
    let one = Origin::start(answer("s1"));
    let two = Origin::start_on(second.number, vec![answer("s2")]);
    let house = House::open(&format!(
        "listen l\n bind 127.0.0.1:{{port}}\n mode http\n option redispatch\n retries 3\n balance roundrobin\n \
         server s1 127.0.0.1:{} check inter 100 rise 2 fall 3\n \
         server s2 127.0.0.1:{} check inter 100 rise 2 fall 3\n",
        one.port, second.number
    ));
    two.kill();
    let line = house.sink.line_with(&["Server l/s2 is DOWN"]);
    assert!(line.contains("reason: Layer4 connection problem") && line.contains("1 active"), "{line}");
    assert_eq!((0..6).map(|_| house.server()).collect::<BTreeSet<_>>(), ["s1".to_string()].into());
    let _two = Origin::start_on(second.number, vec![answer("s2")]);
    house.sink.line_with(&["Server l/s2 is UP", "reason: Layer4 check passed"]);
    assert_eq!((0..6).map(|_| house.server()).collect::<BTreeSet<_>>().len(), 2);
}

#[test]
fn httpchk_takes_out_a_server_that_answers_500() {
    let bad = Origin::start(vec![Step::Serve("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n".into())]);
    let good = Origin::start(answer("good"));
    let house = House::open(&format!(
        "listen l\n bind 127.0.0.1:{{port}}\n mode http\n option httpchk GET /health\n \
         server bad 127.0.0.1:{} check inter 100\n server good 127.0.0.1:{} check inter 100\n",
        bad.port, good.port
    ));
    let line = house.sink.line_with(&["Server l/bad is DOWN"]);
    assert!(line.contains("Layer7 wrong status, code: 500"), "{line}");
    assert_eq!((0..6).map(|_| house.server()).collect::<BTreeSet<_>>(), ["good".to_string()].into());
    let check = &bad.records()[0].bytes;
    assert_eq!(String::from_utf8_lossy(check), "GET /health HTTP/1.0\r\n\r\n");
}

#[test]
fn no_usable_server_is_503_and_a_log_line_says_so() {
    let dead = Port::hold();
    let house = House::open(&format!(
        "frontend f\n bind 127.0.0.1:{{port}}\n mode http\n option httplog\n default_backend b\n\
         backend b\n mode http\n server s1 127.0.0.1:{} check inter 100\n",
        dead.number
    ));
    house.sink.line_with(&["Server b/s1 is DOWN"]);
    house.sink.line_with(&["backend b has no server available!"]);
    let mut client = house.client();
    client.send(GET);
    let response = String::from_utf8_lossy(&client.response()).into_owned();
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("503 Service Unavailable"), "{response}");
    let line = house.sink.line();
    assert!(line.contains("f b/<NOSRV> ") && line.contains(" 503 ") && line.contains(" SC-- "), "{line}");
}

#[test]
fn http_server_close_closes_the_server_side_only() {
    for (option, most) in [("http-server-close", 8), ("http-keep-alive", 2)] {
        let origin = Origin::start(answer("s1"));
        let house = House::open(&format!(
            "listen l\n bind 127.0.0.1:{{port}}\n mode http\n option {option}\n http-reuse always\n \
             server s1 127.0.0.1:{}\n",
            origin.port
        ));
        let mut client = house.client();
        for _ in 0..8 {
            client.send(GET);
            assert_eq!(client.status(), 200, "{option}");
        }
        let connections = origin.connections();
        assert!(connections <= most && (most == 2 || connections == 8), "{option}: {connections} connections");
    }
}

#[test]
fn balance_source_keeps_a_client_at_its_server() {
    let (one, two) = (Origin::start(answer("s1")), Origin::start(answer("s2")));
    let house = House::open(&format!(
        "listen horizon\n bind 127.0.0.1:{{port}}\n mode http\n balance source\n \
         server s1 127.0.0.1:{}\n server s2 127.0.0.1:{}\n",
        one.port, two.port
    ));
    assert_eq!((0..12).map(|_| house.server()).collect::<BTreeSet<_>>().len(), 1);
}

#[test]
fn more_clients_than_slots_wait_and_are_all_served() {
    let gate = Gate::new();
    let ok = Step::Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into());
    let origin = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), ok, Step::Close]);
    let house = House::open(&format!(
        "listen l\n bind 127.0.0.1:{{port}}\n mode http\n timeout queue 5s\n server s1 127.0.0.1:{} maxconn 2\n",
        origin.port
    ));
    let mut clients: Vec<Client> = (0..10).map(|_| house.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    wait_until("both slots are taken", || origin.connections() == 2);
    // The limit must hold while the others wait.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(origin.connections(), 2, "more connections than maxconn");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.status(), 200);
    }
}

#[test]
fn client_address_is_forwarded() {
    let origin = Origin::start(answer("s1"));
    let house = House::open(&format!(
        "frontend f\n bind 127.0.0.1:{{port}}\n mode http\n option forwardfor\n default_backend b\n\
         backend b\n mode http\n server s1 127.0.0.1:{}\n",
        origin.port
    ));
    house.server();
    assert_eq!(header_values(&origin.records()[0].bytes, "x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn the_process_is_named_after_the_file_it_was_started_by() {
    let directory = Directory::new();
    let link = directory.path().join("haproxy");
    std::os::unix::fs::symlink(under_test(), &link).expect("a symbolic link");
    let port = Port::hold();
    let config = format!(
        "global\n maxconn 100\ndefaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
         frontend f\n bind 127.0.0.1:{}\n http-request return status 200\n",
        port.number
    );
    // Tools look for it with `killall -0 haproxy`.
    let program = Program::start(&link, &directory, &config, &[port.number]);
    let threads = program.threads();
    assert!(!threads.is_empty() && threads.iter().all(|name| name == "haproxy"), "{threads:?}");
}

#[test]
fn user_and_group_are_given_up() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can become somebody else: nothing to see here");
        return;
    }
    let directory = Directory::new();
    let port = Port::hold();
    let config = format!(
        "global\n user nobody\n group nogroup\n maxconn 100\ndefaults\n mode http\n timeout connect 1s\n \
         timeout client 1s\n timeout server 1s\nfrontend f\n bind 127.0.0.1:{}\n http-request return status 200\n",
        port.number
    );
    let program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let mut client = Client::connect(port.number);
    client.send(GET);
    assert_eq!(client.status(), 200);
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("its status");
    let ids = status.lines().find(|line| line.starts_with("Uid:")).expect("a Uid line");
    assert!(ids.split_whitespace().skip(1).all(|id| id != "0"), "{ids}");
}

#[test]
fn daemon_goes_to_the_background_and_writes_its_pid() {
    let directory = Directory::new();
    let port = Port::hold();
    let pidfile = directory.join("pid");
    let config = format!(
        "global\n daemon\n pidfile {pidfile}\n maxconn 100\ndefaults\n mode http\n timeout connect 1s\n \
         timeout client 1s\n timeout server 1s\nfrontend f\n bind 127.0.0.1:{}\n \
         http-request return status 200\n",
        port.number
    );
    let file = directory.write("c.cfg", config);
    let run = Command::new(under_test()).arg0("haproxy").args(["-f", &file]).output().expect("it runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = std::fs::read_to_string(&pidfile).expect("a pid file");
    let pid = text.lines().next().and_then(|line| line.parse::<i32>().ok()).expect("a pid");
    let mut client = Client::connect(port.number);
    client.send(GET);
    let status = client.status();
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    assert_eq!(status, 200);
}

#[test]
fn term_and_int_exit_as_haproxy_does() {
    use rustix::process::Signal;
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::USR1, 0)] {
        let config = "frontend f\n bind 127.0.0.1:{port}\n mode http\n http-request return status 200\n";
        let mut house = House::open(config);
        let mut client = house.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(client.status(), 200);
        drop(client);
        house.program.signal(signal);
        assert_eq!(house.program.wait(), code, "{signal:?}");
    }
}

#[test]
fn a_port_in_use_ends_the_start_with_1() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = holder.local_addr().expect("its address").port();
    let config = format!(
        "global\n maxconn 10\ndefaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
         frontend f\n bind 127.0.0.1:{port}\n http-request return status 200\n"
    );
    let (code, text) = check(&["-db"], &config);
    assert_eq!(code, Some(1), "{text}");
    let wanted = format!("cannot bind socket (Address already in use) for [127.0.0.1:{port}]");
    assert!(
        text.contains(&wanted) && text.contains("Some protocols failed to start their listeners! Exiting."),
        "{text}"
    );
}
