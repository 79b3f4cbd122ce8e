//! A haproxy-like program: started in the foreground on a configuration, awaited without connecting to it, killed on
//! drop. It is started under the name `haproxy`, as the product's symlink would: log tags then agree.

use super::BOUND;
use super::directory::Directory;
use super::port::is_listened_on;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program under test.
pub fn under_test() -> PathBuf {
    std::env::var_os("RINGWAY_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_ringway")), PathBuf::from)
}

/// The packaged haproxy that the differential suite compares with.
pub fn peer() -> PathBuf {
    let path = std::env::var_os("HAPROXY_BIN").map_or_else(|| PathBuf::from("/usr/sbin/haproxy"), PathBuf::from);
    assert!(path.exists(), "{} is missing: install haproxy, or name one in HAPROXY_BIN", path.display());
    path
}

/// Whether the program under test is a HAProxy (then ringway's own decisions are not expected of it).
pub fn under_test_is_haproxy() -> bool {
    let out = Command::new(under_test()).arg("-v").output().expect("the program under test runs");
    out.stdout.starts_with(b"HAProxy version")
}

/// Resident memory of a process in kB.
pub fn memory_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let memory = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
    memory.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
}

pub struct Program {
    child: Child,
    errors: String,
}

impl Program {
    /// Starts `binary` on a configuration text and waits until it listens on all `ports`.
    pub fn start(binary: &PathBuf, directory: &Directory, config: &str, ports: &[u16]) -> Program {
        Program::start_with(binary, directory, config, ports, &[])
    }

    /// As [`Program::start`], with further options.
    pub fn start_with(
        binary: &PathBuf,
        directory: &Directory,
        config: &str,
        ports: &[u16],
        options: &[&str],
    ) -> Program {
        let file = directory.write("haproxy.cfg", config);
        let errors = directory.join("stderr");
        let output = std::fs::File::create(&errors).expect("a file for the program's messages");
        let child = Command::new(binary)
            .arg0("haproxy")
            .args(["-db", "-f", &file])
            .args(options)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let mut program = Program { child, errors };
        let end = Instant::now() + BOUND;
        for port in ports {
            while !is_listened_on(*port) {
                let ended = program.child.try_wait().expect("wait");
                assert!(
                    ended.is_none() && Instant::now() < end,
                    "{} does not listen on {port} ({ended:?}):\n{}\n{config}",
                    binary.display(),
                    program.messages()
                );
                std::thread::sleep(Duration::from_millis(3));
            }
        }
        program
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to standard output and error.
    pub fn messages(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }

    /// Panics when the program has ended: a crash must not look like a closed connection.
    pub fn assert_runs(&mut self) {
        let ended = self.child.try_wait().expect("wait");
        assert!(ended.is_none(), "the program ended: {ended:?}\n{}", self.messages());
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("a pid");
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// Waits for the end: the exit code, or 128 plus the signal as a shell says it.
    pub fn wait(&mut self) -> i32 {
        let end = Instant::now() + BOUND;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            }
            assert!(Instant::now() < end, "the program does not end:\n{}", self.messages());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many file descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, |entries| entries.count())
    }

    /// Second handles of its sockets (pidfd_getfd(2)), of which the kernel tells what it set.
    pub fn sockets(&self) -> Vec<socket2::Socket> {
        use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
        let pid = Pid::from_raw(self.pid() as i32).expect("a pid");
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("a pidfd");
        let names = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("descriptors");
        let numbers = names.flatten().filter_map(|n| n.file_name().to_str()?.parse::<i32>().ok());
        let handles = numbers.filter_map(|n| pidfd_getfd(&process, n, PidfdGetfdFlags::empty()).ok());
        handles.map(socket2::Socket::from).collect()
    }

    /// The names of its threads.
    pub fn threads(&self) -> Vec<String> {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{}/task", self.pid())) else { return Vec::new() };
        tasks
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
            .map(|name| name.trim_end().to_string())
            .collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let ended = self.child.try_wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let ended = ended.ok().flatten().map(|status| format!(", which had ended ({status})"));
            eprintln!("messages of the program{}:\n{}", ended.unwrap_or_default(), self.messages());
        }
    }
}
