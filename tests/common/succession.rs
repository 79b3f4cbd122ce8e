//! One port that a process after the other serves: the one is started with `-x` and `-sf` of the one before, or a master is
//! told to reload.

use super::cli::stat;
use super::directory::Directory;
use super::port::{Port, is_listened_on};
use super::program::under_test;
use super::wait_until;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

pub const ENGINES: [&str; 2] = ["uring", "epoll"];

/// A process that is killed with the test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub fn id(&self) -> String {
        self.0.id().to_string()
    }

    pub fn signal(&self, signal: i32) {
        let pid = rustix::process::Pid::from_raw(self.0.id() as i32).expect("a pid");
        let signal = rustix::process::Signal::from_named_raw(signal).expect("a signal");
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).map_or(0, Iterator::count)
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("wait").is_some()
    }
}

pub struct Site {
    pub directory: Directory,
    pub port: Port,
    pub socket: String,
    pub engine: &'static str,
}

impl Site {
    pub fn new(engine: &'static str) -> Site {
        let directory = Directory::new();
        let socket = directory.join("admin.sock");
        Site { directory, port: Port::hold(), socket, engine }
    }

    pub fn command(&self, config: &str, words: &[&str]) -> Command {
        let mut command = Command::new(under_test());
        command.args(["-f", config]).args(words).env("RINGWAY_ENGINE", self.engine);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub fn start(&self, config: &str, words: &[&str]) -> Process {
        let mut command = self.command(config, &[&["-db"], words].concat());
        let process = Process(command.spawn().expect("it starts"));
        wait_until("it serves", || {
            is_listened_on(self.port.number) && self.pid() == Some(process.0.id().to_string())
        });
        process
    }

    /// Who answers on the socket; nobody for a moment, perhaps, while one process follows the other.
    pub fn pid(&self) -> Option<String> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.write_all(b"show info\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.lines().find_map(|l| l.strip_prefix("Pid: ").map(str::to_owned))
    }

    /// A process that follows `old`.
    pub fn succeed(&self, old: &Process, config: &str) -> Process {
        self.start(config, &["-x", &self.socket, "-sf", &old.id()])
    }

    /// The same, once that has left.
    pub fn follow(&self, old: &mut Process, config: &str) -> Process {
        let new = self.succeed(old, config);
        wait_until("the old one has finished", || old.has_ended());
        new
    }

    /// A master with its worker, and the master's socket.
    pub fn master(&self, config: &str) -> (Process, String) {
        let socket = self.directory.join("master.sock");
        let master = Process(self.command(config, &["-W", "-S", &socket]).spawn().expect("it starts"));
        wait_until("it serves", || is_listened_on(self.port.number) && self.pid().is_some());
        (master, socket)
    }

    /// Lets the master reload; comes back when the next worker answers.
    pub fn reload(&self, master: &str) {
        let former = self.pid();
        let mut said = String::new();
        wait_until("the master answers", || {
            let Ok(mut stream) = UnixStream::connect(master) else { return false };
            let asked = stream.write_all(b"reload\n").and_then(|()| stream.shutdown(std::net::Shutdown::Write));
            asked.is_ok() && stream.read_to_string(&mut said).is_ok() && !said.is_empty()
        });
        assert!(said.starts_with("Success=1\n"), "on {}: {said}", self.engine);
        wait_until("the next worker answers", || self.pid().is_some_and(|pid| Some(pid) != former));
    }

    /// A number of `show stat`, `wanted` soon.
    pub fn comes_to(&self, proxy: &str, server: &str, field: &str, wanted: &str) {
        let mut is = String::new();
        wait_until(&format!("{proxy}/{server} {field} is {wanted}"), || {
            is = stat(&self.socket, proxy, server, field);
            is == wanted
        });
    }
}
