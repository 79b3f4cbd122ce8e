//! Which engine runs, as an administrator sees it: where the kernel refuses io_uring, epoll serves and one notice says why;
//! what was asked for and cannot be had is an error; processes on different engines follow each other.

mod common;

use common::cli::ask;
use common::client::Client;
use common::directory::Directory;
use common::http::status;
use common::load::Load;
use common::port::{Port, is_listened_on};
use common::program::under_test;
use common::wait_until;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

const VARIABLE: &str = "RINGWAY_ENGINE";

/// The program, with no engine named.
fn program(words: &[&str]) -> Command {
    let mut command = Command::new(under_test());
    command.args(words).env_remove(VARIABLE).stdin(Stdio::null());
    command
}

/// Makes io_uring_setup(2) fail with `errno` in a program and all it starts, as containers do (seccomp(2)).
fn without_ring(command: &mut Command, errno: i32) -> &mut Command {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let number = libc::SYS_io_uring_setup as u32;
    let filter = [
        // The number of the call is the first word of what the filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter { jf: 1, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number) },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let mut filter = filter;
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: the filter is a live local of the length that is told; prctl(2) is safe between fork and exec.
        let refused = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
        };
        if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: the hook makes two system calls and touches nothing but its own copy of the filter.
    unsafe { command.pre_exec(install) }
}

/// The value of a line of `show info`; none while one process follows the other, perhaps.
fn info(socket: &str, name: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(b"show info\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
}

/// A program that serves, with its messages.
struct Running {
    child: Child,
    directory: Directory,
    port: Port,
    socket: String,
}

impl Running {
    fn start(command: &mut Command, directory: Directory, port: Port) -> Running {
        let said = std::fs::File::create(directory.join("said")).expect("a file");
        let child = command.stdout(Stdio::null()).stderr(said).spawn().expect("it starts");
        let socket = directory.join("admin.sock");
        let running = Running { child, directory, port, socket };
        wait_until("it serves", || {
            is_listened_on(running.port.number) && UnixStream::connect(&running.socket).is_ok()
        });
        running
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.join("said")).unwrap_or_default()
    }

    fn info(&self, name: &str) -> String {
        info(&self.socket, name).unwrap_or_else(|| panic!("no {name}"))
    }

    fn assert_serves(&self) {
        for _ in 0..3 {
            let mut client = Client::connect(self.port.number);
            for _ in 0..3 {
                client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
                assert_eq!(status(&client.response()), Some(200));
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("messages of the program:\n{}", self.said());
        }
    }
}

/// A site that answers everything itself.
fn site(directory: &Directory, port: &Port, global: &str) -> String {
    let socket = directory.join("admin.sock");
    let text = format!(
        "global\n nbthread 2\n stats socket {socket} level admin expose-fd listeners\n {global}\ndefaults\n mode http\n \
         timeout client 5s\n timeout connect 5s\n timeout server 5s\nfrontend f\n bind 127.0.0.1:{}\n \
         http-request return status 200\n",
        port.number
    );
    directory.write("c.cfg", text)
}

/// Lines that speak of the engine.
fn notices(said: &str) -> Vec<&str> {
    said.lines().filter(|l| l.contains("io_uring")).collect()
}

#[test]
fn where_the_kernel_refuses_io_uring_epoll_serves_and_one_notice_says_why() {
    let reasons =
        [(libc::EPERM, "seccomp filter"), (libc::ENOSYS, "without io_uring"), (libc::ENOMEM, "RLIMIT_MEMLOCK")];
    for (errno, why) in reasons {
        let (directory, port) = (Directory::new(), Port::hold());
        // As root it gives up what it can before it asks for an engine anew.
        let root = rustix::process::geteuid().is_root();
        let jail =
            if root { format!("chroot {}\n uid 65534\n gid 65534", directory.join("")) } else { String::new() };
        let config = site(&directory, &port, &jail);
        // A notice is no warning.
        let mut command = program(&["-db", "-dW", "-f", &config]);
        let running = Running::start(without_ring(&mut command, errno), directory, port);
        running.assert_serves();
        let said = running.said();
        let told = notices(&said);
        assert_eq!(told.len(), 1, "{said}");
        assert!(told[0].starts_with("[NOTICE] ") && told[0].contains(why), "{said}");
        assert!(told[0].contains("Using epoll instead"), "{said}");
        let engine = running.info("Engine");
        assert!(engine.starts_with("epoll (cannot set up io_uring, ") && engine.contains(why), "{engine}");
    }
}

#[test]
fn a_master_and_its_worker_run_on_epoll_too() {
    let (directory, port) = (Directory::new(), Port::hold());
    let config = site(&directory, &port, "");
    let master = directory.join("master.sock");
    let mut command = program(&["-W", "-S", &master, "-f", &config]);
    let running = Running::start(without_ring(&mut command, libc::EPERM), directory, port);
    running.assert_serves();
    let former = running.info("Pid");
    assert!(ask(&master, "show proc").contains(&former));
    assert!(ask(&master, "reload").contains("Success=1"));
    wait_until("a new worker serves", || info(&running.socket, "Pid").is_some_and(|pid| pid != former));
    running.assert_serves();
    // One for each worker.
    wait_until("each worker says why", || notices(&running.said()).len() >= 2);
    assert_eq!(notices(&running.said()).len(), 2, "{}", running.said());
}

#[test]
fn an_engine_that_is_asked_for_runs_and_none_other() {
    for (word, name) in [("uring", "io_uring"), ("io_uring", "io_uring"), ("epoll", "epoll")] {
        let (directory, port) = (Directory::new(), Port::hold());
        let config = site(&directory, &port, "");
        let mut command = program(&["-db", "-f", &config]);
        let running = Running::start(command.env(VARIABLE, word), directory, port);
        running.assert_serves();
        assert_eq!(running.info("Engine"), format!("{name} (RINGWAY_ENGINE asks for it)"));
        assert!(notices(&running.said()).is_empty(), "{}", running.said());
    }
    let (directory, port) = (Directory::new(), Port::hold());
    let without = directory.join("without.cfg");
    std::fs::rename(site(&directory, &port, "noepoll"), &without).expect("rename");
    let plain = site(&directory, &port, "");
    for (config, words, asked, error) in [
        (&plain, &[][..], "uring", "RINGWAY_ENGINE: cannot set up io_uring: "),
        (&plain, &[], "kqueue", "RINGWAY_ENGINE expects 'uring' or 'epoll', not 'kqueue'."),
        (&plain, &["-de"], "", "epoll is switched off by 'noepoll' or '-de'."),
        (
            &plain,
            &["-de"],
            "epoll",
            "RINGWAY_ENGINE asks for epoll, and epoll is switched off by 'noepoll' or '-de'.",
        ),
        (&without, &[], "", "epoll is switched off by 'noepoll' or '-de'."),
    ] {
        let mut command = program(&["-db", "-f", config]);
        let out = without_ring(command.args(words).env(VARIABLE, asked), libc::EPERM).output().expect("it runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(said.contains(error), "{error}: {said}");
    }
}

#[test]
fn the_version_lists_the_engines() {
    let all = program(&["-vv"]).output().expect("it runs");
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    let both = "Available engines :\n   io_uring : test result OK\n      epoll : test result OK\n";
    assert!(all.contains(both) && all.contains("\nTotal: 2 (2 usable), will use io_uring.\n"), "{all}");
    let one = without_ring(&mut program(&["-vv"]), libc::EPERM).output().expect("it runs");
    let one = String::from_utf8_lossy(&one.stdout).into_owned();
    assert!(one.contains("   io_uring : test result FAILED (cannot set up io_uring: "), "{one}");
    assert!(one.contains("\nTotal: 2 (1 usable), will use epoll.\n"), "{one}");
}

#[test]
fn no_request_is_lost_from_engine_to_engine() {
    let (directory, port) = (Directory::new(), Port::hold());
    let config = site(&directory, &port, "");
    let socket = directory.join("admin.sock");
    let number = port.number;
    let start = |engine: &str, words: &[&str]| {
        let mut command = program(&["-db", "-f", &config]);
        command.args(words).env(VARIABLE, engine).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("it starts")
    };
    let pid = || info(&socket, "Pid")?.parse::<u32>().ok();
    let mut old = start("uring", &[]);
    wait_until("it serves", || is_listened_on(number) && pid() == Some(old.id()));
    let load = Load::start(number, 4, false);
    for engine in ["epoll", "uring", "epoll", "epoll", "uring"] {
        let mut new = start(engine, &["-x", &socket, "-sf", &old.id().to_string()]);
        wait_until("the new one answers", || pid() == Some(new.id()));
        wait_until("the old one has finished", || old.try_wait().expect("wait").is_some());
        std::mem::swap(&mut old, &mut new);
        let before = load.counts().get(&200).copied().unwrap_or(0);
        wait_until("traffic goes on", || load.counts().get(&200).copied().unwrap_or(0) > before + 50);
    }
    let counts = load.stop();
    let _ = old.kill();
    let _ = old.wait();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [200], "{counts:?}");
}
