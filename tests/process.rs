//! What a process asks of the system and keeps to: limits, its jail, and what it may become.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::origin::{Gate, Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::syslog::Syslog;
use common::wait_until;
use std::process::Command;
use std::time::Duration;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const DEFAULTS: &str = "defaults\n mode http\n timeout connect 2s\n timeout client 5s\n timeout server 5s\n";

#[test]
fn a_limit_of_descriptors_that_cannot_be_had_ends_the_start() {
    let directory = Directory::new();
    let port = Port::hold();
    let config = |lines: &str| {
        format!(
            "global\n {lines}\n{DEFAULTS}frontend f\n bind 127.0.0.1:{}\n http-request return status 200\n",
            port.number
        )
    };
    for lines in ["fd-hard-limit 100\n maxconn 3000", "fd-hard-limit 100\n ulimit-n 300"] {
        let file = directory.write("c.cfg", config(lines));
        let run = Command::new(under_test()).args(["-db", "-f", &file]).output().expect("it runs");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(1), "{lines}: {said}");
        assert!(said.contains("[ALERT]") && said.contains("Cannot raise FD limit to"), "{lines}: {said}");
    }
    let program = Program::start(
        &under_test(),
        &directory,
        &config("fd-hard-limit 100\n maxconn 3000\n no strict-limits"),
        &[port.number],
    );
    let said = program.messages();
    assert!(
        said.contains("[WARNING]") && said.contains("FD limit (100) too low for maxconn=3000/maxsock="),
        "{said}"
    );
    let mut client = Client::connect(port.number);
    assert_eq!(client.send(GET).status(), 200);
}

#[test]
fn connections_follow_fd_hard_limit() {
    let directory = Directory::new();
    let (port, socket) = (Port::hold(), directory.join("admin.sock"));
    let config = format!(
        "global\n fd-hard-limit 1000\n stats socket {socket}\n{DEFAULTS}frontend f\n bind 127.0.0.1:{}\n \
         http-request return status 200\n",
        port.number
    );
    let _program = Program::start(&under_test(), &directory, &config, &[port.number]);
    wait_until("the socket is there", || std::path::Path::new(&socket).exists());
    let info = common::cli::ask(&socket, "show info");
    let maxconn = info.lines().find_map(|l| l.strip_prefix("Maxconn: ")).expect("a line").parse::<u32>();
    assert!((300..500).contains(&maxconn.expect("a number")), "{info}");
}

#[test]
fn maxconn_of_a_bind_line_holds_for_that_line() {
    let gate = Gate::new();
    let ok = Step::Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into());
    let origin = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), ok, Step::Close]);
    let directory = Directory::new();
    let (small, other) = (Port::hold(), Port::hold());
    let config = format!(
        "{DEFAULTS}frontend f\n bind 127.0.0.1:{} maxconn 2\n bind 127.0.0.1:{}\n \
         http-request return status 204 if {{ path /other }}\n default_backend b\nbackend b\n server s 127.0.0.1:{}\n",
        small.number, other.number, origin.port
    );
    let _program = Program::start(&under_test(), &directory, &config, &[small.number, other.number]);
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(small.number)).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    wait_until("two are served", || origin.connections() == 2);
    assert_eq!(Client::connect(other.number).send("GET /other HTTP/1.1\r\nHost: a\r\n\r\n").status(), 204);
    // The limit must hold while the others wait.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(origin.connections(), 2, "more connections than maxconn");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.status(), 200);
    }
}

#[test]
fn a_log_socket_outside_the_jail_is_reached() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can change its root directory: nothing to see here");
        return;
    }
    let directory = Directory::new();
    let sink = Syslog::unix(&directory.join("log"));
    let port = Port::hold();
    std::fs::create_dir(directory.join("jail")).expect("a jail");
    let config = format!(
        "global\n chroot {}\n log {} local0\n{DEFAULTS} log global\n option httplog\nfrontend f\n \
         bind 127.0.0.1:{}\n http-request return status 200\n",
        directory.join("jail"),
        sink.address,
        port.number
    );
    let _program = Program::start(&under_test(), &directory, &config, &[port.number]);
    for _ in 0..2 {
        let mut client = Client::connect(port.number);
        assert_eq!(client.send(GET).status(), 200);
        drop(client);
        sink.line_with(&["f f/<NOSRV>", "GET / HTTP/1.1"]);
    }
}

fn status_only(directory: &Directory, global: &str) -> (Program, Port) {
    let port = Port::hold();
    let config = format!(
        "global\n {global}\n{DEFAULTS}frontend f\n bind 127.0.0.1:{}\n http-request return status 200\n",
        port.number
    );
    (Program::start(&under_test(), directory, &config, &[port.number]), port)
}

/// Sockets that listen on a port of 127.0.0.1.
fn listeners(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    table.lines().filter(|l| l.contains(&format!(" 0100007F:{port:04X} 00000000:0000 0A "))).count()
}

#[test]
fn without_reuseport_workers_share_a_socket_and_a_successor_takes_over() {
    let directory = Directory::new();
    let (_other, port) = status_only(&Directory::new(), "nbthread 3");
    wait_until("each worker has its own", || listeners(port.number) == 3);
    let port = Port::hold();
    let config = format!(
        "global\n nbthread 3\n noreuseport\n{DEFAULTS}frontend f\n bind 127.0.0.1:{}\n http-request return status 200\n",
        port.number
    );
    let mut old = Program::start(&under_test(), &directory, &config, &[port.number]);
    assert_eq!(listeners(port.number), 1);
    for _ in 0..20 {
        assert_eq!(Client::connect(port.number).send(GET).status(), 200);
    }
    let file = directory.write("new.cfg", &config);
    let pidfile = directory.join("pid");
    let words = ["-D", "-f", &file, "-p", &pidfile, "-sf", &old.pid().to_string()];
    let run = Command::new(under_test()).args(words).output().expect("it runs");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(old.wait(), 0);
    assert_eq!(listeners(port.number), 1);
    let answered = Client::connect(port.number).send(GET).status();
    let pid = std::fs::read_to_string(&pidfile).expect("a pid file").trim().parse().expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    assert_eq!(answered, 200);
}

#[test]
fn programs_gain_no_rights_unless_that_is_wanted() {
    let privileges = |global| {
        let directory = Directory::new();
        let (program, _port) = status_only(&directory, global);
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid())).expect("its status");
        status.lines().find_map(|l| l.strip_prefix("NoNewPrivs:\t").map(str::to_owned)).expect("a line")
    };
    assert_eq!([privileges("nbthread 1"), privileges("insecure-setuid-wanted")], ["1", "0"]);
}

#[test]
fn cores_are_dumped_where_that_is_set() {
    for (line, wanted) in [("set-dumpable", true), ("set-dumpable off", false)] {
        let directory = Directory::new();
        let (program, _port) = status_only(&directory, line);
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.pid())).expect("its limits");
        let core = limits.lines().find(|l| l.starts_with("Max core file size")).expect("a line");
        let own = std::fs::read_to_string("/proc/self/limits").expect("our limits");
        let own = own.lines().find(|l| l.starts_with("Max core file size")).expect("a line").to_owned();
        assert!(if wanted { core.contains("unlimited") } else { core == own }, "{line}: {core}");
    }
}

#[test]
fn a_process_that_exits_quickly_still_finishes() {
    let directory = Directory::new();
    let (mut program, port) = status_only(&directory, "quick-exit");
    let mut client = Client::connect(port.number);
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").status(), 200);
    drop(client);
    program.signal(rustix::process::Signal::USR1);
    assert_eq!(program.wait(), 0);
}

#[test]
fn connections_leave_from_the_ports_of_a_source_range() {
    let gate = Gate::new();
    let ok = Step::Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into());
    let origin = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), ok, Step::Close]);
    let directory = Directory::new();
    let (port, first) = (Port::hold(), Port::hold());
    // The range may run into ports that others hold: they are passed over.
    let (low, high) = (first.number.saturating_sub(40).max(1024), first.number);
    let config = format!(
        "global\n nbthread 2\n{DEFAULTS}frontend f\n bind 127.0.0.1:{}\n default_backend b\nbackend b\n retries 0\n \
         server s 127.0.0.1:{} source 127.0.0.1:{low}-{high}\n",
        port.number, origin.port
    );
    let _program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(port.number)).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    wait_until("all are there", || origin.connections() == clients.len());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let to = format!(" 0100007F:{:04X} 01 ", origin.port);
    let from = table.lines().filter(|l| l.contains(&to)).filter_map(|l| l.split_whitespace().nth(1)?.split_once(':'));
    let from: Vec<u16> = from.filter_map(|(_, port)| u16::from_str_radix(port, 16).ok()).collect();
    assert_eq!(from.len(), clients.len(), "{table}");
    assert!(from.iter().all(|p| (low..=high).contains(p)), "{low}-{high}: {from:?}");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.status(), 200);
    }
}
