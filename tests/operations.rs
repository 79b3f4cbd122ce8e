//! The files for operators in `config/`, each tried with the tools that will read it: systemd's unit, the profile of system
//! calls, Keepalived's sample, error pages, manual page, what the package lists.

mod common;

use common::cli::ask;
use common::client::Client;
use common::directory::Directory;
use common::port::{Port, is_listened_on};
use common::program::{Program, under_test};
use common::{BOUND, wait_until};
use std::collections::BTreeSet;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn file(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a tool that `run-tests` installs.
fn run(command: &mut Command) -> Output {
    let name = command.get_program().to_owned();
    command.output().unwrap_or_else(|error| panic!("{}: {error}: run ./run-tests", name.display()))
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

fn signal(pid: u32, number: i32) {
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("a pid");
    let signal = rustix::process::Signal::from_named_raw(number).expect("a signal");
    rustix::process::kill_process(pid, signal).expect("it is there");
}

/// A program that ends with its test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Started {
    fn exit_code(&mut self) -> Option<i32> {
        let mut code = None;
        wait_until("it ends", || {
            code = self.0.try_wait().expect("wait");
            code.is_some()
        });
        code.and_then(|status| status.code())
    }
}

const UNIT: &str = "config/systemd/ringway.service";

/// The values of a setting of the unit.
fn settings(name: &str) -> Vec<String> {
    let unit = file(UNIT);
    unit.lines().filter_map(|l| l.strip_prefix(name)?.strip_prefix('=').map(str::to_owned)).collect()
}

/// The package's own configuration, moved into a directory.
fn packaged_configuration(directory: &Directory) -> String {
    let root = directory.join("root");
    std::fs::create_dir_all(&root).expect("a folder");
    let text = file("config/debian/ringway.cfg")
        .replace("/etc/ringway/errors", path("config/errors").to_str().expect("UTF-8"))
        .replace("/run/ringway/admin.sock", &directory.join("admin.sock"))
        .replace("/var/lib/ringway", &root)
        // They are made by the package.
        .replace("user ringway", "user nobody")
        .replace("group ringway", "group nogroup");
    directory.write("ringway.cfg", text)
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_hardened() {
    let directory = Directory::new();
    let unit = file(UNIT).replace("/usr/sbin/ringway", under_test().to_str().expect("UTF-8"));
    let unit = directory.write("ringway.service", unit);
    let verified = run(Command::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no", &unit]));
    // Units of the machine that runs the test may have faults of their own.
    let said = text(&verified);
    let ours: Vec<&str> = said.lines().filter(|l| l.contains("ringway")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
    let arguments = ["security", "--no-pager", "--offline=true", "--threshold=40", &unit];
    let security = run(Command::new("systemd-analyze").args(arguments));
    assert!(security.status.success(), "{}", text(&security));
}

#[test]
fn the_units_commands_start_check_reload_and_stop() {
    let directory = Directory::new();
    let (config, pid) = (packaged_configuration(&directory), directory.join("pid"));
    let master = format!("-S {}", directory.join("master.sock"));
    let defaults = &settings("Environment")[0];
    let own = directory.path().to_str().expect("UTF-8").to_owned();
    for (name, value) in
        [("CONFIG", "/etc/ringway/ringway.cfg"), ("PIDFILE", "/run/"), ("EXTRAOPTS", "-S /run/ringway-master.sock")]
    {
        assert!(defaults.contains(&format!("{name}={value}")), "{defaults}");
    }
    let words = |line: &str| -> Vec<String> {
        let line = line.replace("$CONFIG", &config).replace("$PIDFILE", &pid).replace("$EXTRAOPTS", &master);
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        assert_eq!(words.remove(0), "/usr/sbin/ringway");
        words
    };
    let place = directory.join("notify");
    let notify = UnixDatagram::bind(&place).expect("a socket");
    notify.set_read_timeout(Some(BOUND)).expect("a timeout");
    let next = || {
        let mut bytes = [0; 1024];
        let n = notify.recv(&mut bytes).expect("news");
        String::from_utf8_lossy(&bytes[..n]).into_owned()
    };
    let child = Command::new(under_test())
        .args(words(&settings("ExecStart")[0]))
        .env("NOTIFY_SOCKET", &place)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut service = Started(child);
    let ready = format!("READY=1\nMAINPID={}\nSTATUS=Ready.\n", service.0.id());
    assert_eq!(next(), ready);
    assert!(ask(&directory.join("admin.sock"), "show info").contains("Uptime_sec:"));
    let reload = settings("ExecReload");
    let check = run(Command::new(under_test()).args(words(&reload[0])));
    assert_eq!((check.status.code(), text(&check)), (Some(0), String::new()));
    assert_eq!(reload[1], "/bin/kill -USR2 $MAINPID");
    signal(service.0.id(), libc::SIGUSR2);
    assert!(next().starts_with("RELOADING=1\n"));
    assert_eq!(next(), ready);
    std::fs::write(&config, "nonsense\n").expect("written");
    let check = run(Command::new(under_test()).args(words(&reload[0])));
    assert_eq!(check.status.code(), Some(1), "{}", text(&check));
    signal(service.0.id(), libc::SIGTERM);
    assert_eq!(next(), "STOPPING=1");
    let code = service.exit_code();
    assert!(
        code == Some(0) || settings("SuccessExitStatus") == [code.unwrap_or(-1).to_string()],
        "{code:?} in {own}"
    );
}

/// System calls that systemd lets a group have, with those of the groups in it.
fn group_of_calls(name: &str, calls: &mut BTreeSet<String>) {
    let listed = text(&run(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", name])));
    for word in listed.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).skip(1) {
        if word.starts_with('@') {
            group_of_calls(word, calls);
        } else {
            calls.insert(word.to_owned());
        }
    }
}

/// The names of system calls in what `strace -f` wrote, those of programs that it did not run itself included.
fn traced(log: &str) -> BTreeSet<String> {
    let calls = log.lines().filter_map(|line| {
        let call = line.split_once(' ')?.1.trim_start();
        let name = call.split_once('(')?.0;
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then(|| name.to_owned())
    });
    calls.collect()
}

#[test]
// Start as root with chroot and another user, requests, a check that is a program, a reload, an end.
fn profiles_of_system_calls_hold_all_that_are_made() {
    let directory = Directory::new();
    let (front, back) = (Port::hold(), Port::hold());
    let root = directory.join("root");
    std::fs::create_dir_all(&root).expect("a folder");
    let jail =
        if rustix::process::geteuid().is_root() { format!(" chroot {root}\n user nobody\n") } else { String::new() };
    let config = directory.write(
        "c.cfg",
        format!(
            "global\n nbthread 2\n insecure-fork-wanted\n external-check\n stats socket {}\n log 127.0.0.1:9 local0\n{jail}\
             defaults\n mode http\n log global\n timeout client 5s\n timeout connect 5s\n timeout server 5s\nfrontend f\n \
             bind 127.0.0.1:{}\n use_backend c if {{ path /c }}\n default_backend b\nbackend b\n server s 127.0.0.1:{}\n\
             backend c\n option external-check\n external-check command /bin/true\n server s 127.0.0.1:{} check inter 100ms\n\
             frontend o\n bind 127.0.0.1:{}\n http-request return status 200\n",
            directory.join("s.sock"), front.number, back.number, back.number, back.number
        ),
    );
    let (log, socket) = (directory.join("trace"), directory.join("m.sock"));
    let child = Command::new("strace")
        .args(["-f", "-qq", "-o", &log])
        .arg(under_test())
        .args(["-W", "-f", &config, "-p", &directory.join("pid"), "-S", &socket])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(directory.join("said")).expect("a file"))
        .spawn()
        .unwrap_or_else(|error| panic!("strace: {error}: run ./run-tests"));
    let mut tracer = Started(child);
    let said = || std::fs::read_to_string(directory.join("said")).unwrap_or_default();
    wait_until("it serves", || is_listened_on(front.number) && UnixStream::connect(&socket).is_ok());
    let served = || {
        let mut client = Client::connect(front.number);
        client.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").status() == 200
    };
    assert!(served(), "{}", said());
    let answer = ask(&socket, "reload");
    assert!(answer.starts_with("Success=1\n"), "{answer}{}", said());
    assert!(served(), "{}", said());
    let master = std::fs::read_to_string(directory.join("pid")).expect("a pid file");
    signal(master.trim().parse().expect("a pid"), libc::SIGTERM);
    tracer.exit_code();
    let made = traced(&std::fs::read_to_string(&log).expect("a trace"));
    let engine = ["io_uring_setup", "epoll_wait"].iter().any(|call| made.contains(*call));
    assert!(engine && made.contains("execve"), "{made:?}");

    let profile: serde_json::Value = serde_json::from_str(&file("config/container/seccomp.json")).expect("JSON");
    let rules = profile["syscalls"].as_array().expect("rules");
    let allowed: BTreeSet<String> = rules
        .iter()
        .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW")
        .flat_map(|rule| rule["names"].as_array().expect("names"))
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect();
    // It is answered with ENOSYS, and the C library takes clone, whose flags the profile can see.
    let without = |allowed: &BTreeSet<String>| -> Vec<String> {
        made.iter().filter(|call| *call != "clone3" && !allowed.contains(*call)).cloned().collect()
    };
    assert_eq!(profile["defaultErrnoRet"], libc::ENOSYS);
    assert_eq!(without(&allowed), Vec::<String>::new(), "not in the container's profile");

    let mut filter = BTreeSet::new();
    for word in settings("SystemCallFilter")[0].split_whitespace() {
        if word.starts_with('@') {
            group_of_calls(word, &mut filter);
        } else {
            filter.insert(word.to_owned());
        }
    }
    assert!(filter.len() > 100, "{filter:?}");
    assert_eq!(without(&filter), Vec::<String>::new(), "not in the unit's filter");
}

#[test]
fn rings_fit_where_little_memory_may_be_locked() {
    let (directory, port) = (Directory::new(), Port::hold());
    // Rings are set up by a user that has no privilege, as under every package's unit.
    let user = if rustix::process::geteuid().is_root() { " user nobody\n" } else { "" };
    let config = directory.write(
        "c.cfg",
        format!(
            "global\n nbthread 4\n{user}defaults\n mode http\n timeout client 5s\nfrontend f\n bind \
             127.0.0.1:{}\n http-request return status 200\n",
            port.number
        ),
    );
    let child = Command::new("/bin/sh")
        .args(["-c", "ulimit -S -l 64; exec \"$@\"", "sh"])
        .arg(under_test())
        .args(["-db", "-f", &config])
        .spawn()
        .expect("it starts");
    let mut program = Started(child);
    wait_until("it serves", || {
        assert!(program.0.try_wait().expect("wait").is_none(), "it ended");
        is_listened_on(port.number)
    });
    let mut client = Client::connect(port.number);
    assert_eq!(client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").status(), 200);
}

#[test]
fn keepaliveds_script_tells_a_working_process_from_one_that_hangs_or_is_gone() {
    let directory = Directory::new();
    // Keepalived asks for an interface with an address that is no loopback: the one of the first route is.
    let routes = std::fs::read_to_string("/proc/net/route").expect("routes");
    let interface = routes.lines().nth(1).and_then(|l| l.split_whitespace().next()).expect("a route");
    let sample = file("config/keepalived/keepalived.conf").replace("eth0", interface);
    let sample = directory.write("keepalived.conf", sample);
    let checked = run(Command::new("keepalived").args(["--config-test", "--use-file", &sample]));
    assert!(checked.status.success(), "{}", text(&checked));

    let socket = directory.join("admin.sock");
    let config = format!("global\n stats socket {socket}\n");
    let mut program = Program::start(&under_test(), &directory, &config, &[]);
    wait_until("the socket is there", || UnixStream::connect(&socket).is_ok());
    let sample = file("config/keepalived/keepalived.conf");
    let line = sample.lines().find_map(|l| l.trim().strip_prefix("script \"")?.strip_suffix('"')).expect("a script");
    let line = line.replace("/run/ringway/admin.sock", &socket);
    let answers = || run(Command::new("/bin/sh").args(["-c", &line])).status.success();
    assert!(answers(), "{line}");
    program.signal(rustix::process::Signal::STOP);
    assert!(!answers(), "it is stopped");
    program.signal(rustix::process::Signal::CONT);
    wait_until("it answers again", answers);
    program.signal(rustix::process::Signal::KILL);
    program.wait();
    assert!(!answers(), "it is gone");
}

#[test]
fn error_pages_are_the_built_in_ones() {
    let mut count = 0;
    for entry in std::fs::read_dir(path("config/errors")).expect("the folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let status = name.strip_suffix(".http").and_then(|s| s.parse().ok()).expect("a status");
        let page = ringway::proto::http::message::page(status).expect("a page");
        let (head, body) = (file(&format!("config/errors/{name}")), page.body);
        let (head, rest) = head.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} {}\r\n", page.reason)), "{head}");
        assert!(head.contains(&format!("Content-length: {}\r\n", body.len())) && rest == body, "{name}");
        count += 1;
    }
    assert_eq!(count, 7);
}

#[test]
fn the_manual_page_names_options_that_there_are() {
    let help = text(&run(Command::new(under_test()).arg("-h")));
    let page = file("config/debian/ringway.8").replace("\\fR", "").replace("\\fB", "").replace('\\', "");
    let mut named = 0;
    for line in page.lines().filter(|l| l.starts_with(".B -") || l.starts_with(".BI -")) {
        let words = line.split_once(' ').expect("a macro's argument").1;
        for word in words.split([' ', ',', '"']).filter(|w| w.starts_with('-') && w.len() > 1) {
            let has = help.lines().any(|l| l.split([' ', ',']).any(|w| w == word));
            assert!(has, "{word} is not in:\n{help}");
            named += 1;
        }
    }
    assert!(named > 15, "{named}");
}

#[test]
fn what_the_package_lists_is_there() {
    let manifest = file("Cargo.toml");
    let assets =
        manifest.lines().filter_map(|l| l.trim().strip_prefix("[\"")?.split_once('"').map(|(source, _)| source));
    let mut count = 0;
    for source in assets.filter(|s| !s.starts_with("target/")) {
        let present = match source.rsplit_once('/') {
            Some((folder, pattern)) if pattern.starts_with('*') => {
                path(folder).read_dir().is_ok_and(|mut d| d.next().is_some())
            }
            _ => path(source).is_file(),
        };
        assert!(present, "{source}");
        count += 1;
    }
    assert!(count >= 10, "{count}");
    for script in ["postinst", "prerm", "postrm", "ringway-own-haproxy"] {
        let checked = run(Command::new("/bin/sh").arg("-n").arg(path("config/debian").join(script)));
        assert!(checked.status.success(), "{}", text(&checked));
    }
}
