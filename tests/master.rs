//! A master and its workers, as an administrator and systemd see them: start, reload under load, a broken configuration,
//! the master's runtime API, what systemd is told, and what a worker's death brings about.

mod common;

use common::cli::ask;
use common::directory::Directory;
use common::load::Load;
use common::origin::{Gate, Origin, Step};
use common::port::{Port, is_listened_on};
use common::program::{peer, under_test};
use common::wait_until;
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A site with a program that goes by the name of haproxy, and its master once it runs.
struct Site {
    directory: Directory,
    port: Port,
    socket: String,
    master: Option<Child>,
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(master) = &mut self.master {
            // The worker leaves when its master is gone.
            let _ = master.kill();
            let _ = master.wait();
        }
    }
}

const ANSWER: &str = "http-request return status 200 hdr x-generation";

impl Site {
    fn new() -> Site {
        let directory = Directory::new();
        let socket = directory.join("master.sock");
        let site = Site { directory, port: Port::hold(), socket, master: None };
        site.link(&under_test());
        site
    }

    /// The program that goes by the name of haproxy is this one from now on.
    fn link(&self, program: &Path) {
        let _ = std::fs::remove_file(self.directory.join("haproxy"));
        std::os::unix::fs::symlink(program, self.directory.join("haproxy")).expect("a symlink");
    }

    fn configure(&self, global: &str, rule: &str) {
        let port = self.port.number;
        let text = format!(
            "global\n nbthread 2\n {global}\ndefaults\n mode http\n timeout client 5s\n timeout connect 5s\n timeout \
             server 5s\nfrontend f\n bind 127.0.0.1:{port}\n {rule}\n"
        );
        self.directory.write("c.cfg", text);
    }

    fn start(&mut self, words: &[&str], environment: &[(&str, &str)]) {
        let said = std::fs::File::create(self.directory.join("said")).expect("a file");
        let master = Command::new(self.directory.join("haproxy"))
            .args(["-f", &self.directory.join("c.cfg"), "-S", &self.socket, "-p", &self.directory.join("pid")])
            .args(words)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("it starts");
        self.master = Some(master);
        wait_until("it serves", || is_listened_on(self.port.number) && self.workers().len() == 1);
    }

    fn pid(&self) -> u32 {
        self.master.as_ref().expect("a master").id()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.join("said")).unwrap_or_default()
    }

    /// An answer of the master, once it has one: it closes its connections when it executes itself.
    fn ask(&self, command: &str) -> String {
        let mut answer = String::new();
        wait_until("the master answers", || {
            answer.clear();
            let Ok(mut stream) = UnixStream::connect(&self.socket) else { return false };
            let asked = stream.write_all(format!("{command}\n").as_bytes());
            // HAProxy's master waits for more otherwise.
            let _ = stream.shutdown(std::net::Shutdown::Write);
            asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && !answer.is_empty()
        });
        answer
    }

    /// Process ids in a part of `show proc`.
    fn listed(&self, part: &str) -> Vec<u32> {
        let text = self.ask("show proc");
        let lines = text.lines().skip_while(|l| *l != part).skip(1).take_while(|l| !l.starts_with('#'));
        lines.filter_map(|l| l.split_whitespace().next()?.parse().ok()).collect()
    }

    fn workers(&self) -> Vec<u32> {
        self.listed("# workers")
    }

    fn signal(&self, pid: u32, signal: i32) {
        let pid = rustix::process::Pid::from_raw(pid as i32).expect("a pid");
        let signal = rustix::process::Signal::from_named_raw(signal).expect("a signal");
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    fn generation(&self) -> Option<String> {
        let mut client = common::client::Client::connect(self.port.number);
        client.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        let answer = String::from_utf8_lossy(&client.response()).into_owned();
        answer.lines().find_map(|l| l.strip_prefix("x-generation: ").map(str::to_owned))
    }

    fn exit_code(&mut self) -> Option<i32> {
        let master = self.master.as_mut().expect("a master");
        let mut status = None;
        wait_until("the master ends", || {
            status = master.try_wait().expect("wait");
            status.is_some()
        });
        status.and_then(|s| s.code().or(s.signal().map(|s| 128 + s)))
    }
}

#[test]
fn reloads_under_load_lose_no_request() {
    let mut site = Site::new();
    site.configure("", &format!("{ANSWER} 0"));
    site.start(&["-W"], &[]);
    let load = Load::start(site.port.number, 4, false);
    for generation in 1..=4 {
        site.configure("", &format!("{ANSWER} {generation}"));
        if generation % 2 == 0 {
            assert!(site.ask("reload").starts_with("Success=1\n--\n"), "{}", site.said());
        } else {
            site.signal(site.pid(), libc::SIGUSR2);
        }
        wait_until("the new configuration serves", || site.generation() == Some(generation.to_string()));
    }
    let counts = load.stop();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [200], "{counts:?}");
    wait_until("old workers have left", || site.listed("# old workers").is_empty());
    let pid = std::fs::read_to_string(site.directory.join("pid")).expect("a pid file");
    assert_eq!(pid, format!("{}\n", site.pid()));
    let master = site.ask("show proc");
    assert!(master.contains("master          4 [failed: 0]"), "{master}");
    let name = std::fs::read_to_string(format!("/proc/{}/comm", site.workers()[0])).expect("a name");
    assert_eq!(name, "haproxy\n");
}

/// A master executes whatever stands under its program's name when it is told to reload.
/// Who asks all the time while the program changes.
const CLIENTS: usize = 4;

fn the_program_changes_at_a_reload(from: &Path, to: &Path) {
    let mut site = Site::new();
    site.link(from);
    site.configure("", &format!("{ANSWER} 0"));
    site.start(&["-W"], &[]);
    let old = site.workers()[0];
    let load = Load::start(site.port.number, CLIENTS, false);
    wait_until("there is load", || load.counts().values().sum::<usize>() > 50);
    site.link(to);
    site.configure("", &format!("{ANSWER} 1"));
    site.signal(site.pid(), libc::SIGUSR2);
    wait_until("the old worker has left", || !Path::new(&format!("/proc/{old}")).exists());
    for _ in 0..20 {
        assert_eq!(site.generation().as_deref(), Some("1"));
    }
    let mut counts = load.stop();
    // HAProxy opens sockets of its own: what is in the handshake when ours close is lost (management guide 4, "-sf").
    if to != under_test() && counts.get(&0).is_some_and(|lost| *lost <= CLIENTS) {
        counts.remove(&0);
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [200], "{counts:?}");
    site.signal(site.pid(), libc::SIGTERM);
    site.exit_code().expect("it ends");
}

#[test]
fn a_haproxy_that_reloads_after_the_swap_becomes_this_program() {
    the_program_changes_at_a_reload(&peer(), &under_test());
}

#[test]
fn this_program_becomes_a_haproxy_again_by_a_reload() {
    the_program_changes_at_a_reload(&under_test(), &peer());
}

#[test]
fn a_haproxy_worker_serves_on_when_this_program_refuses_its_configuration() {
    let mut site = Site::new();
    site.link(&peer());
    site.configure("", &format!("{ANSWER} 0"));
    site.start(&["-W"], &[]);
    site.link(&under_test());
    site.configure("", "http-request retrun");
    site.signal(site.pid(), libc::SIGUSR2);
    wait_until("the reload has failed", || site.said().contains("Failed to load worker"));
    assert_eq!(site.generation().as_deref(), Some("0"));
    site.configure("", &format!("{ANSWER} 2"));
    site.signal(site.pid(), libc::SIGUSR2);
    wait_until("the next one serves", || site.generation().as_deref() == Some("2"));
}

#[test]
fn a_broken_configuration_leaves_the_old_worker_serving() {
    let mut site = Site::new();
    site.configure("", &format!("{ANSWER} 0"));
    site.start(&["-W"], &[]);
    let worker = site.workers()[0];
    site.configure("", "http-request retrun");
    let answer = site.ask("reload");
    assert!(answer.starts_with("Success=0\n--\n") && answer.contains("retrun"), "{answer}");
    assert!(site.ask("show startup-logs").contains("retrun"));
    assert!(site.ask("show proc").contains("master          1 [failed: 1]"));
    assert_eq!((site.workers(), site.listed("# old workers")), (vec![], vec![worker]));
    assert_eq!(site.ask("prompt\nquit"), "master[ReloadFailed]> ");
    assert_eq!(site.generation().as_deref(), Some("0"));
    site.configure("", &format!("{ANSWER} 2"));
    assert!(site.ask("reload").starts_with("Success=1\n"));
    assert_eq!(site.generation().as_deref(), Some("2"));
    assert_eq!(site.ask("prompt\nquit"), "master> ");
}

#[test]
fn commands_go_to_workers_and_come_back() {
    let mut site = Site::new();
    let stats = site.directory.join("stats.sock");
    site.configure(&format!("stats socket {stats} level admin"), &format!("{ANSWER} 0"));
    site.start(&["-W"], &[]);
    let pid = site.workers()[0];
    let names = |text: &str| text.matches(&format!("Pid: {pid}\n")).count();
    assert_eq!(names(&site.ask(&format!("@1 show info;@!{pid} show info;@1;show info"))), 3);
    assert_eq!(site.ask("@1 show version;show version"), "3.4.0\n\n3.4.0\n\n");
    assert_eq!(site.ask("@@1 show version; show cli level"), "3.4.0\n\nadmin\n\n");
    let back = site.ask("@1;@master;show proc");
    assert!(back.contains("#<PID>") && !site.ask("@1;show proc").contains("#<PID>"), "{back}");
    assert_eq!(site.ask("@7 show info"), "Can't find the target PID matching the prefix '@7'\n");
    let session = site.ask("prompt\nexpert-mode on\n@1\nshow version\n@\nquit");
    assert_eq!(session, format!("master> master(e)> {pid}(e)> 3.4.0\n\n{pid}(e)> master(e)> "));
    assert_eq!(site.ask("user;@1 show cli level;reload"), "user\n\nPermission denied\n\n");
    assert!(ask(&stats, "show info").contains(&format!("Pid: {pid}\n")));
    let help = site.ask("help");
    assert!(help.contains("@!<pid>") && help.contains("hard-reload") && !help.contains("add server"), "{help}");
}

#[test]
fn clients_that_leave_while_a_worker_waits_for_them_give_their_places_back() {
    let mut site = Site::new();
    site.configure("", &format!("{ANSWER} 0"));
    site.start(&["-W"], &[]);
    let jobs = || {
        let info = site.ask("@1 show info");
        info.lines().find(|line| line.starts_with("Jobs: ")).expect("a number").to_owned()
    };
    let before = jobs();
    for _ in 0..8 {
        let mut client = UnixStream::connect(&site.socket).expect("the socket");
        client.write_all(b"@1 show version;@1 wait 1h\n").expect("a command");
        client.read_exact(&mut [0; b"3.4.0\n\n".len()]).expect("the first answer");
    }
    wait_until("the worker is asked for nothing else", || jobs() == before);
}

#[test]
// The keyword `daemon` counts for nothing there: systemd watches the process that it started.
fn the_service_manager_is_told() {
    let mut site = Site::new();
    site.configure("daemon\n ", &format!("{ANSWER} 0"));
    let place = site.directory.join("notify");
    let notify = UnixDatagram::bind(&place).expect("a socket");
    notify.set_read_timeout(Some(common::BOUND)).expect("a timeout");
    let next = || {
        let mut bytes = [0; 1024];
        let n = notify.recv(&mut bytes).expect("news");
        String::from_utf8_lossy(&bytes[..n]).into_owned()
    };
    site.start(&["-Ws"], &[("NOTIFY_SOCKET", &place)]);
    let ready = format!("READY=1\nMAINPID={}\nSTATUS=Ready.\n", site.pid());
    assert_eq!(next(), ready);
    site.signal(site.pid(), libc::SIGUSR2);
    let reloading = "RELOADING=1\nSTATUS=Reloading Configuration.\nMONOTONIC_USEC=";
    assert!(next().starts_with(reloading));
    assert_eq!(next(), ready);
    site.configure("", "nonsense");
    site.signal(site.pid(), libc::SIGHUP);
    assert!(next().starts_with(reloading));
    assert_eq!(next(), "READY=1\nSTATUS=Reload failed!\n");
    site.signal(site.pid(), libc::SIGTERM);
    assert_eq!((next().as_str(), site.exit_code()), ("STOPPING=1", Some(0)));
}

#[test]
fn a_worker_that_dies_takes_its_master_along() {
    for (signal, code) in [(libc::SIGKILL, 137), (libc::SIGSEGV, 139)] {
        let mut site = Site::new();
        site.configure("", &format!("{ANSWER} 0"));
        site.start(&["-W"], &[]);
        site.signal(site.workers()[0], signal);
        assert_eq!(site.exit_code(), Some(code), "{}", site.said());
        assert!(site.said().contains("exit-on-failure: killing every processes with SIGTERM"), "{}", site.said());
    }
}

#[test]
fn a_master_that_dies_takes_its_worker_along() {
    let mut site = Site::new();
    site.configure("", &format!("{ANSWER} 0"));
    site.start(&["-W"], &[]);
    let master = site.master.as_mut().expect("a master");
    master.kill().and_then(|()| master.wait()).expect("it ends");
    wait_until("nobody listens", || !is_listened_on(site.port.number));
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    for rule in ["nonsense", "bind 127.0.0.1:1 interface no-such-device"] {
        let site = Site::new();
        site.configure("", rule);
        let (config, pid) = (site.directory.join("c.cfg"), site.directory.join("pid"));
        for mode in [["-W", "-q"], ["-W", "-D"]] {
            let out =
                Command::new(under_test()).args(["-f", &config, "-p", &pid]).args(mode).output().expect("it runs");
            assert_eq!(out.status.code(), Some(1), "{}", String::from_utf8_lossy(&out.stderr));
            assert_eq!(out.stderr.is_empty(), mode[1] == "-q");
            assert!(!std::path::Path::new(&pid).exists());
        }
    }
}

#[test]
fn the_keyword_starts_a_master_too() {
    let mut site = Site::new();
    site.configure("master-worker no-exit-on-failure", &format!("{ANSWER} 0"));
    site.start(&[], &[]);
    assert_ne!(site.workers()[0], site.pid());
    site.configure("master-worker no-exit-on-failure", &format!("{ANSWER} 1"));
    site.signal(site.pid(), libc::SIGUSR2);
    wait_until("the new configuration serves", || site.generation().as_deref() == Some("1"));
    site.signal(site.pid(), libc::SIGINT);
    assert_eq!(site.exit_code(), Some(130));
}

#[test]
fn a_reload_keeps_counts_entries_and_who_is_down() {
    let mut site = Site::new();
    let (stats, dead) = (site.directory.join("stats.sock"), Port::hold());
    let configure = |site: &Site, generation: u32| {
        let rules = format!(
            "http-request track-sc0 src table t\n http-request sc-inc-gpc0(0)\n {ANSWER} {generation}\nbackend t\n \
             stick-table type ip size 1k expire 10m store gpc0,http_req_cnt\nbackend b\n server s 127.0.0.1:{} check \
             inter 100ms fall 1\n server kept 127.0.0.1:{}",
            dead.number, dead.number
        );
        site.configure(&format!("stats socket {stats} level admin"), &rules);
    };
    configure(&site, 0);
    site.start(&["-W"], &[]);
    for _ in 0..5 {
        assert_eq!(site.generation().as_deref(), Some("0"));
    }
    let status = |server: &str| -> String {
        let text = ask(&stats, "show stat");
        let line = text.lines().find(|l| l.starts_with(&format!("b,{server},"))).unwrap_or_default().to_owned();
        line.split(',').nth(17).unwrap_or_default().to_owned()
    };
    wait_until("it is found dead", || status("s").starts_with("DOWN"));
    // The next check is far away: what is known then was known before.
    configure(&site, 1);
    assert!(site.ask("reload").starts_with("Success=1\n"), "{}", site.said());
    assert!(status("s").starts_with("DOWN") && status("kept") == "no check", "{}", ask(&stats, "show stat"));
    assert_eq!(site.generation().as_deref(), Some("1"));
    let table = ask(&stats, "show table t");
    assert!(table.contains("gpc0=6 http_req_cnt=6"), "{table}");
    let text = ask(&stats, "show stat");
    let line: Vec<&str> =
        text.lines().find(|l| l.starts_with("f,FRONTEND,")).expect("a frontend").split(',').collect();
    assert_eq!((line[7], line[48]), ("6", "6"), "{text}");
}

#[test]
fn who_connects_right_after_a_reload_is_answered() {
    let mut site = Site::new();
    site.configure("", &format!("{ANSWER} 0"));
    site.start(&["-W"], &[]);
    // Nobody else connects who would wake the worker that is to answer.
    for generation in 1..=15 {
        site.configure("", &format!("{ANSWER} {generation}"));
        assert!(site.ask("reload").starts_with("Success=1\n"), "{}", site.said());
        assert_eq!(site.generation(), Some(generation.to_string()));
    }
}

#[test]
fn a_daemon_lets_go_of_whoever_reads_what_it_says() {
    let site = Site::new();
    site.configure("daemon", &format!("{ANSWER} 0"));
    let pid = site.directory.join("pid");
    // Comes back only when nobody holds the other end of its pipes any more.
    let said = Command::new(site.directory.join("haproxy"))
        .args(["-W", "-f", &site.directory.join("c.cfg"), "-p", &pid])
        .stdin(Stdio::null())
        .output()
        .expect("a start");
    let master: i32 = std::fs::read_to_string(&pid).expect("a pid file").trim().parse().expect("a pid");
    let _ = rustix::process::kill_process(
        rustix::process::Pid::from_raw(master).expect("a pid"),
        rustix::process::Signal::TERM,
    );
    assert!(said.status.success(), "{said:?}");
    wait_until("it has left", || !std::path::Path::new(&format!("/proc/{master}")).exists());
}

#[test]
fn a_worker_that_outlives_too_many_reloads_is_told_to_end() {
    let gate = Gate::new();
    let origin = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), Step::Close]);
    let mut site = Site::new();
    let rules = format!("default_backend b\nbackend b\n timeout server 60s\n server s 127.0.0.1:{}", origin.port);
    site.configure("mworker-max-reloads 1", &rules);
    site.start(&["-W"], &[]);
    let first = site.workers()[0];
    let mut client = common::client::Client::connect(site.port.number);
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    origin.wait_for("a request", |records| records.iter().any(|r| !r.bytes.is_empty()));
    assert!(site.ask("reload").starts_with("Success=1\n"), "{}", site.said());
    assert!(site.listed("# old workers").contains(&first), "it still has a client");
    assert!(site.ask("reload").starts_with("Success=1\n"), "{}", site.said());
    wait_until("it is gone", || !site.listed("# old workers").contains(&first));
    assert_eq!(client.closed().0, b"");
    gate.open();
}
