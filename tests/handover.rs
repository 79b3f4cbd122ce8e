//! From one process to the next: sockets are handed over (`expose-fd listeners`, `-x`), the old process finishes, and no
//! request is lost on the way. Server states come back from a file.

mod common;

use common::cli::ask;
use common::client::Client;
use common::directory::Directory;
use common::http::status;
use common::load::Load;
use common::port::{Port, is_listened_on};
use common::program::under_test;
use common::{BOUND, wait_until};
use std::io::{Read, Write};
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
        let new = start(&config(threads), &["-x", &socket, "-sf", &pid]);
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
