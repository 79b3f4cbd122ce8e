//! From one process to the next: sockets are handed over (`expose-fd listeners`, `-x`), the old process finishes, and no
//! request is lost on the way. Server states come back from a file.

mod common;

use common::cli::ask;
use common::client::Client;
use common::directory::Directory;
use common::http::{header_values, status};
use common::load::Load;
use common::port::{Port, is_listened_on};
use common::program::{peer, under_test};
use common::{BOUND, wait_until};
use ringway::engine::steering;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A process that is killed with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(config: &str, words: &[&str]) -> Process {
    let mut command = Command::new(under_test());
    command.arg0("haproxy").args(["-db", "-f", config]).args(words);
    Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
}

/// Who answers on the socket; nobody for a moment, perhaps, while one process follows the other.
fn pid_behind(socket: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(b"show info\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().find_map(|l| l.strip_prefix("Pid: ").map(str::to_owned))
}

#[test]
fn no_request_is_lost_from_process_to_process() {
    requests_go_from_process_to_process(true);
}

/// Each process opens sockets of its own; who waits at those of the old one comes to the new one.
#[test]
fn no_request_is_lost_without_passing_sockets_on() {
    if connections_can_be_steered() {
        requests_go_from_process_to_process(false);
    }
}

fn requests_go_from_process_to_process(passing: bool) {
    let directory = Directory::new();
    let port = Port::hold();
    let socket = directory.join("admin.sock");
    // The number of workers changes on the way, both up and down.
    let config = |threads: usize| {
        directory.write(
            &format!("{threads}.cfg"),
            format!(
                "global\n nbthread {threads}\n stats socket {socket} level admin expose-fd listeners\ndefaults\n mode http\n \
                 timeout client 5s\n timeout connect 5s\n timeout server 5s\nfrontend f\n bind 127.0.0.1:{}\n \
                 http-request return status 200\n",
                port.number
            ),
        )
    };
    let mut old = start(&config(2), &[]);
    wait_until("it listens", || is_listened_on(port.number) && UnixStream::connect(&socket).is_ok());
    let load = Load::start(port.number, 4, false);
    for threads in [1, 3, 2, 2, 1, 2] {
        let pid = old.0.id().to_string();
        let words = ["-x", &socket, "-sf", &pid];
        let new = start(&config(threads), if passing { &words } else { &words[2..] });
        wait_until("the new one answers", || pid_behind(&socket) == Some(new.0.id().to_string()));
        wait_until("the old one has finished", || old.0.try_wait().expect("wait").is_some());
        assert!(old.0.wait().expect("wait").success());
        old = new;
        let before = load.counts().get(&200).copied().unwrap_or(0);
        wait_until("traffic goes on", || load.counts().get(&200).copied().unwrap_or(0) > before + 50);
    }
    let counts = load.stop();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [200], "{counts:?}");
}

/// A frontend that says who it is, or has a server answer.
fn answers_as(name: &str, maxconn: u32, port: u16, server: u16) -> String {
    format!(
        "global\n nbthread 1\ndefaults\n mode http\n timeout client 20s\n timeout connect 5s\n timeout server 20s\nfrontend f\n \
         maxconn {maxconn}\n backlog 200\n bind 127.0.0.1:{port}\n \
         http-request return status 200 hdr x-from {name} unless {{ path /slow }}\n default_backend b\nbackend b\n \
         server s 127.0.0.1:{server}\n"
    )
}

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Who made this answer.
fn from(answer: &[u8]) -> String {
    header_values(answer, "x-from").first().map(|from| (*from).to_owned()).unwrap_or_default()
}

/// Whether somebody who asks now is answered by `name`.
fn is_answered_by(name: &str, port: u16) -> bool {
    Client::try_connect_to(([127, 0, 0, 1], port).into())
        .is_ok_and(|mut client| from(&client.send(REQUEST).response()) == name)
}

/// Whether this kernel lets this user steer connections; elsewhere what waits at closed sockets is lost, as with HAProxy.
fn connections_can_be_steered() -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(true).expect("SO_REUSEPORT");
    socket.listen(1).expect("it listens");
    let steered = steering::steer(&[socket.as_raw_fd()]);
    if let Err(e) = &steered {
        eprintln!("not run: bpf(2): {e}");
    }
    steered.is_ok()
}

fn who_waits_is_answered_by_the_new_one(start_old: impl FnOnce(&str) -> Process) {
    if !connections_can_be_steered() {
        return;
    }
    let directory = Directory::new();
    let port = Port::hold();
    let origin = TcpListener::bind("127.0.0.1:0").expect("an origin");
    let server = origin.local_addr().expect("its address").port();
    let old = start_old(&directory.write("old.cfg", answers_as("old", 1, port.number, server)));
    wait_until("it listens", || is_listened_on(port.number));
    let mut first = Client::connect(port.number);
    first.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut served = origin.accept().expect("the first request").0;
    let mut waiting: Vec<Client> = (0..20).map(|_| Client::connect(port.number)).collect();
    for client in &mut waiting {
        client.send(REQUEST);
    }
    let config = directory.write("new.cfg", answers_as("new", 100, port.number, server));
    let _new = start(&config, &["-sf", &old.0.id().to_string()]);
    let answered: Vec<String> = waiting[1..].iter_mut().map(|client| from(&client.response())).collect();
    assert_eq!(answered, ["new"; 19]);
    // The very first of them may have been taken by the old one just before it was full.
    served.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("an answer");
    assert_eq!(status(&first.response()), Some(200));
    assert_eq!(status(&waiting[0].response()), Some(200));
}

#[test]
fn who_waits_at_a_full_process_is_answered_by_the_one_that_follows() {
    who_waits_is_answered_by_the_new_one(|config| start(config, &[]));
}

#[test]
fn who_waits_at_haproxy_is_answered_by_ringway_when_it_takes_over() {
    who_waits_is_answered_by_the_new_one(|config| {
        let mut command = Command::new(peer());
        command.args(["-db", "-f", config]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Process(command.spawn().expect("it starts"))
    });
}

/// The claim on an address ends by itself: a process that only stands beside another gets its share.
#[test]
fn a_process_beside_a_new_one_gets_connections_before_long() {
    let directory = Directory::new();
    let port = Port::hold();
    let config = |name: &str| directory.write(&format!("{name}.cfg"), answers_as(name, 100, port.number, 1));
    let old = start(&config("old"), &[]);
    wait_until("the old one answers", || is_answered_by("old", port.number));
    let _new = start(&config("new"), &["-sf", &old.0.id().to_string()]);
    wait_until("the new one answers", || is_answered_by("new", port.number));
    let _beside = start(&config("beside"), &[]);
    wait_until("the one beside it answers", || is_answered_by("beside", port.number));
}

#[test]
fn a_missing_socket_ends_the_start() {
    let directory = Directory::new();
    let port = Port::hold();
    let text = format!("defaults\n timeout client 1s\nfrontend f\n bind 127.0.0.1:{}\n", port.number);
    let config = directory.write("c.cfg", &text);
    let missing = directory.join("none.sock");
    let out = Command::new(under_test()).args(["-db", "-f", &config, "-x", &missing]).output().expect("it runs");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("Failed to connect to the old process socket '{missing}'")), "{said}");
    assert!(said.contains("Failed to get the sockets from the old process!"), "{said}");
}

#[test]
fn server_states_come_back_from_a_file() {
    let directory = Directory::new();
    let port = Port::hold();
    let (socket, states) = (directory.join("admin.sock"), directory.join("states"));
    let config = directory.write(
        "c.cfg",
        format!(
            "global\n stats socket {socket} level admin\n server-state-file {states}\ndefaults\n mode http\n \
             load-server-state-from-file global\n timeout client 5s\n timeout connect 5s\n timeout server 5s\nfrontend f\n \
             bind 127.0.0.1:{}\n default_backend b\nbackend b\n server s1 127.0.0.1:1 weight 10\n server s2 127.0.0.1:1\n",
            port.number
        ),
    );
    let mut old = start(&config, &[]);
    wait_until("it answers", || pid_behind(&socket).is_some());
    ask(&socket, "set server b/s1 weight 5");
    ask(&socket, "set server b/s2 state drain");
    std::fs::write(&states, ask(&socket, "show servers state")).expect("write");
    let _ = old.0.kill();
    let _ = old.0.wait();
    let new = start(&config, &[]);
    wait_until("it answers", || pid_behind(&socket) == Some(new.0.id().to_string()));
    assert_eq!(ask(&socket, "get weight b/s1"), "5 (initial 10)\n\n");
    assert!(ask(&socket, "show stat b 4 -1").contains("b,s2,") && ask(&socket, "show stat").contains(",DRAIN,"));
    let mut client = Client::connect(port.number);
    client.stream().set_read_timeout(Some(BOUND)).expect("timeout");
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(status(&client.response()), Some(503));
}
