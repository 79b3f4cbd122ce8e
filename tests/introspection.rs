//! What the runtime API tells of the process itself: what its tasks cost, where it runs, which descriptors it has.

mod common;

use common::cli;
use common::client::Client;
use common::directory::Directory;
use common::port::Port;
use common::program::{Program, under_test};
use std::net::TcpListener;

struct Site {
    program: Program,
    web: Port,
    socket: String,
    _directory: Directory,
}

impl Site {
    /// Two workers, a frontend, and a server at this port.
    fn start(server: u16) -> Site {
        let (directory, web) = (Directory::new(), Port::hold());
        let socket = directory.join("admin.sock");
        let config = format!(
            "global\n stats socket {socket} level admin\n nbthread 2\ndefaults\n mode http\n timeout client 9s\n timeout \
             connect 9s\n timeout server 9s\n retries 0\nfrontend web\n bind 127.0.0.1:{}\n default_backend app\nbackend app\n server one \
             127.0.0.1:{server}\n",
            web.number
        );
        let program = Program::start(&under_test(), &directory, &config, &[web.number]);
        Site { program, web, socket, _directory: directory }
    }

    fn cli(&self, command: &str) -> String {
        cli::ask(&self.socket, command)
    }
}

/// Function and calls of each line of `show profiling`.
fn calls(text: &str) -> Vec<(String, u64)> {
    let lines = text.lines().skip_while(|l| !l.starts_with("  function")).skip(1).filter(|l| !l.is_empty());
    lines
        .map(|l| {
            let words: Vec<&str> = l.split_whitespace().collect();
            assert_eq!(words.len(), 8, "{l}");
            (words[0].to_owned(), words[1].parse().expect("a number"))
        })
        .collect()
}

#[test]
fn profiling_counts_what_tasks_cost_while_it_is_on() {
    let site = Site::start(1);
    assert_eq!(calls(&site.cli("show profiling")), []);
    assert_eq!(site.cli("set profiling tasks on"), "\n");
    for _ in 0..20 {
        let mut client = Client::connect(site.web.number);
        client.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        assert_eq!(client.status(), 503);
    }
    let text = site.cli("show profiling");
    assert!(text.starts_with("Per-task CPU profiling              : on  "), "{text}");
    let all = calls(&text);
    let of = |name: &str| all.iter().find(|(n, _)| n == name).map_or(0, |(_, calls)| *calls);
    assert!(of("dataplane::session::run") >= 20 && of("dataplane::worker::accept") >= 1, "{text}");
    assert!(all.windows(2).all(|w| w[0].1 >= w[1].1), "the most calls first: {text}");
    assert_eq!(calls(&site.cli("show profiling tasks 2")).len(), 2);
    let by_name = calls(&site.cli("show profiling tasks byaddr"));
    assert!(by_name.is_sorted_by_key(|(name, _)| name.clone()), "{by_name:?}");
    assert_eq!(site.cli("set profiling tasks off"), "\n");
    let sessions = |text: &str| calls(text).into_iter().find(|(n, _)| n == "dataplane::session::run");
    let before = sessions(&site.cli("show profiling"));
    Client::connect(site.web.number).send("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").status();
    assert_eq!(sessions(&site.cli("show profiling")), before, "nothing is measured any more");
    assert_eq!(site.cli("set profiling tasks on"), "\n");
    let again = sessions(&site.cli("show profiling")).map_or(0, |(_, calls)| calls);
    assert!(again < before.map_or(0, |(_, calls)| calls), "it begins anew");
    let tasks = site.cli("show tasks");
    assert!(tasks.starts_with("Running tasks: ") && tasks.contains(" (2 threads)\n  function "), "{tasks}");
}

#[test]
fn show_fd_tells_whose_descriptors_are_and_what_waits_in_them() {
    let origin = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let site = Site::start(origin.local_addr().expect("its address").port());
    let mut client = Client::connect(site.web.number);
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    let (_server, from) = origin.accept().expect("a connection to the server");
    let all = site.cli("show fd");
    let with = |words: &[&str]| all.lines().filter(|l| words.iter().all(|w| l.contains(w))).collect::<Vec<_>>();
    let port = format!("lport={}", site.web.number);
    assert_eq!(with(&["type=listener", "fe=web", "fam=ipv4", &port]).len(), 2, "one for each worker: {all}");
    assert_eq!(with(&["type=listener", "fe=GLOBAL", "fam=unix"]).len(), 1, "{all}");
    let source = format!("src={}", client.stream().local_addr().expect("an address"));
    assert_eq!(with(&["type=connection back=0", "fe=web", &port, &source, "rq=0 sq=0"]).len(), 1, "{all}");
    let behind = with(&["type=connection back=1", "sv=one/app", &format!("lport={} ", from.port())]);
    assert_eq!(behind.len(), 1, "{all}");
    assert_eq!(with(&["type=connection back=0", "fe=GLOBAL"]).len(), 1, "the asker: {all}");
    let number = behind[0].split_whitespace().next().expect("a number");
    for command in
        [format!("show fd {number}"), format!("show fd 1/{number}"), "show fd b".into(), "show fd c!f".into()]
    {
        assert_eq!(site.cli(&command), format!("{}\n\n", behind[0]), "{command}");
    }
    assert_eq!(site.cli("show fd l").lines().filter(|l| !l.is_empty()).count(), 3);
    assert!(!site.cli("show fd !l").contains("type=listener") && !site.cli("show fd -lc").contains(" back="));
    assert_eq!(site.cli("show fd 99999"), "\n");
}

#[test]
fn show_dev_tells_the_program_the_machine_and_the_limits() {
    let site = Site::start(1);
    let text = site.cli("show dev");
    assert!(text.starts_with("HAProxy version 3.4"), "{text}");
    let pid = format!("  pid: {}\n", site.program.pid());
    for part in
        ["Features:\n", "Engine:\n", "Platform info:\n", "  OS name: Linux\n", "Process info:\n", &pid, "  limits: "]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("\n  1/1       1 ") && text.contains("\n  1/2       2 "), "{text}");
}
