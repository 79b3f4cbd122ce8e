//! Options of the command line at work: what they limit, and what they dump.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::dns::Dns;
use common::port::Port;
use common::program::{Program, peer, under_test};
use common::wait_until;
use std::path::PathBuf;
use std::process::{Command, Output};

const DEFAULTS: &str = "defaults\n mode http\n timeout connect 2s\n timeout client 5s\n timeout server 5s\n";

/// A program with two frontends, of which the second has a limit of its own, and its runtime API.
struct Bench {
    program: Program,
    socket: String,
    _directory: Directory,
    ports: [Port; 2],
}

/// `front`: lines of the first frontend.
fn started(binary: &PathBuf, (global, front): (&str, &str), options: &[&str]) -> Bench {
    let directory = Directory::new();
    let (socket, ports) = (directory.join("admin.sock"), [Port::hold(), Port::hold()]);
    let config = format!(
        "global\n stats socket {socket} level admin\n {global}\n{DEFAULTS}frontend f\n bind 127.0.0.1:{}\n {front}\n \
         http-request redirect location /\nfrontend g\n maxconn 77\n bind 127.0.0.1:{}\n",
        ports[0].number, ports[1].number
    );
    let program = Program::start_with(binary, &directory, &config, &[ports[0].number, ports[1].number], options);
    wait_until("the socket is there", || std::path::Path::new(&socket).exists());
    Bench { program, socket, _directory: directory, ports }
}

impl Bench {
    /// The value of a line of `show info`.
    fn info(&self, name: &str) -> u64 {
        let info = common::cli::ask(&self.socket, "show info");
        let line =
            info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_else(|| panic!("{info}"));
        line.parse().expect("a number")
    }

    /// The limits of the frontends `f` and `g`.
    fn limits(&self) -> [String; 2] {
        let stat = common::cli::ask(&self.socket, "show stat");
        ["f,", "g,"].map(|name| {
            let line = stat.lines().find(|l| l.starts_with(name)).expect("a line");
            line.split(',').nth(6).expect("a column").to_owned()
        })
    }
}

#[test]
fn a_frontends_limit_is_that_of_the_option_where_it_has_none() {
    for binary in [under_test(), peer()] {
        let bench = started(&binary, ("maxconn 500", ""), &["-N", "7"]);
        assert_eq!((bench.limits(), bench.info("Maxconn")), (["7".to_owned(), "77".to_owned()], 500));
        // What is written holds, and 0 is the limit of the process.
        let bench = started(&binary, ("maxconn 500", "maxconn 0"), &["-N", "7"]);
        assert_eq!(bench.info("Maxconn"), 500);
        assert!(matches!(bench.limits()[0].as_str(), "500" | "0"), "{:?}", bench.limits());
        let bench = started(&binary, ("maxconn 500", ""), &["-N", "7", "-n", "60"]);
        assert_eq!((bench.limits(), bench.info("Maxconn")), (["7".to_owned(), "77".to_owned()], 60));
    }
}

#[test]
fn memory_is_limited_and_connections_to_what_fits() {
    let bench = started(&under_test(), ("nbthread 1", ""), &["-m", "200"]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", bench.program.pid())).expect("its limits");
    let data = limits.lines().find(|l| l.starts_with("Max data size")).expect("a line");
    assert_eq!(data.split_ascii_whitespace().nth(3), Some("209715200"), "{data}");
    assert_eq!((bench.info("Memmax_MB"), bench.info("Memmax_bytes")), (200, 200 << 20));
    assert!(bench.info("Maxconn") <= 5600);
    let mut client = Client::connect(bench.ports[0].number);
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 302);
    // What is written is not changed.
    assert_eq!(started(&under_test(), ("nbthread 1\n maxconn 333", ""), &["-m", "200"]).info("Maxconn"), 333);
}

/// A run on a configuration that is only read.
fn read(binary: &PathBuf, config: &str, options: &[&str]) -> Output {
    let directory = Directory::new();
    let file = directory.write("c.cfg", config);
    Command::new(binary).args(["-f", &file]).args(options).output().expect("it runs")
}

fn listening() -> String {
    format!("{DEFAULTS}frontend f\n bind 127.0.0.1:1 # a comment\n http-request set-header  a \"b c\"\n")
}

fn output(run: &Output) -> String {
    String::from_utf8_lossy(&run.stdout).into_owned()
}

#[test]
fn memory_of_a_master_and_of_its_worker_is_limited() {
    let bench = started(&under_test(), ("nbthread 1", ""), &["-W", "-m", "200"]);
    let master = bench.program.pid();
    let children = format!("/proc/{master}/task/{master}/children");
    let worker = std::fs::read_to_string(children).expect("its children").trim().parse::<u32>().expect("one child");
    for pid in [master, worker] {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
        let data = limits.lines().find(|l| l.starts_with("Max data size")).expect("a line");
        assert_eq!(data.split_ascii_whitespace().nth(3), Some("209715200"), "{data}");
    }
}

#[test]
fn memory_that_the_workers_cannot_start_in_ends_the_start() {
    let config = format!("global\n nbthread 2\n{}", listening());
    let run = read(&under_test(), &config, &["-db", "-m", "10"]);
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1));
    let least = said.split_once("-m 10 : 2 threads need ").and_then(|(_, rest)| rest.split_once(" MB of data"));
    let least = least.unwrap_or_else(|| panic!("{said}")).0;
    // With so much they do start.
    let bench = started(&under_test(), ("nbthread 2", ""), &["-m", least]);
    let mut client = Client::connect(bench.ports[0].number);
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 302);
}

#[test]
fn resolvers_ask_for_ipv4_alone() {
    let asked = |options: &[&str]| {
        let (dns, directory, port) = (Dns::start(), Directory::new(), Port::hold());
        dns.set("a.test", 1, &["127.0.0.7"]);
        let config = format!(
            "global\n dns-accept-family ipv4,ipv6\nresolvers r\n nameserver n 127.0.0.1:{}\n hold valid 50ms\n\
             {DEFAULTS}frontend f\n bind 127.0.0.1:{}\nbackend b\n server s a.test:80 resolvers r init-addr none check\n",
            dns.port, port.number
        );
        let _program = Program::start_with(&under_test(), &directory, &config, &[port.number], options);
        wait_until("it is asked", || dns.asked("a.test", 1) > 3);
        dns.asked("a.test", 28)
    };
    assert!(asked(&[]) > 0);
    assert_eq!(asked(&["-4"]), 0);
}

#[test]
fn programs_may_run_by_option() {
    let config = format!(
        "{DEFAULTS}listen l\n bind 127.0.0.1:1\n option external-check\n external-check command /bin/true\n \
         server s 127.0.0.1:1 check\n"
    );
    let said = |options: &[&str]| String::from_utf8_lossy(&read(&under_test(), &config, options).stderr).into_owned();
    assert!(said(&["-c"]).contains("'insecure-fork-wanted' not enabled"));
    assert!(!said(&["-c", "-dI"]).contains("insecure-fork-wanted"), "{}", said(&["-c", "-dI"]));
}

#[test]
fn the_configuration_is_dumped_without_being_started() {
    let run = read(&under_test(), &listening(), &["-dC"]);
    let wanted = "frontend f \n\tbind 127.0.0.1:1 \n\thttp-request set-header a b c \n";
    assert_eq!(run.status.code(), Some(0));
    assert!(output(&run).ends_with(wanted), "{}", output(&run));
    let numbered = output(&read(&under_test(), &listening(), &["-dC,line"]));
    assert!(numbered.contains("\n6\tfrontend f \n7\t\tbind 127.0.0.1:1 \n"), "{numbered}");
    let hidden = output(&read(&under_test(), &listening(), &["-dC123"]));
    assert!(hidden.contains("\nfrontend ID(8cfedc) \n") && !hidden.contains("set-header"), "{hidden}");
    let broken = read(&under_test(), "global\n a \"b\n", &["-dC"]);
    assert_eq!((broken.status.code(), output(&broken).as_str()), (Some(1), ""));
}

#[test]
fn libraries_are_listed_once_the_configuration_is_read() {
    let list = |binary: &PathBuf, options: &[&str]| output(&read(binary, &listening(), options));
    for binary in [under_test(), peer()] {
        let text = list(&binary, &["-c", "-q", "-dL"]);
        let own = std::fs::canonicalize(&binary).expect("a path");
        // Versions before 3.4 have no title.
        let mut lines = text.lines().skip_while(|l| *l == "List of loaded object files:");
        assert_eq!(lines.next(), own.to_str());
        assert!(text.contains("/libc.so.6\n"), "{text}");
    }
    assert!(list(&under_test(), &["-c", "-V", "-dL"]).contains(" (0x"));
    let broken = read(&under_test(), "global\n nonsense\n", &["-c", "-dL", "-dKall"]);
    assert_eq!((broken.status.code(), output(&broken).as_str()), (Some(1), ""));
}

#[test]
fn words_of_the_catalogues_are_dumped_as_the_peer_dumps_them() {
    let lines = |binary: &PathBuf| output(&read(binary, &listening(), &["-c", "-q", "-dKsmp,cnv,acl,svc"]));
    let (ours, theirs) = (lines(&under_test()), lines(&peer()));
    let shared = ["# List of registered ACL keywords:", "hdr_beg = req.hdr -m beg", "prometheus-exporter"];
    for line in shared {
        assert!(ours.lines().any(|l| l == line) && theirs.lines().any(|l| l == line), "{line}");
    }
    let matrix = |text: &str| text.lines().find(|l| l.ends_with(" ] path: str")).map(str::to_owned);
    assert!(matrix(&ours).is_some());
    assert_eq!(matrix(&ours), matrix(&theirs));
}

#[test]
fn options_that_have_nothing_to_act_on_say_so() {
    let run = read(&under_test(), &listening(), &["-c", "-dM", "-dp", "-dQ"]);
    let said = String::from_utf8_lossy(&run.stderr);
    let notices: Vec<_> = said.lines().filter(|l| l.contains("has no effect")).collect();
    assert!(notices.len() == 2 && notices[0].contains("'-dM'") && notices[1].contains("'-dp'"), "{said}");
    let refused = read(&under_test(), &listening(), &["-c", "-dMnonsense"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said.contains("-dM: unknown pool debugging feature <nonsense>"), "{said}");
    let help = Command::new(under_test()).arg("-dMhelp").output().expect("it runs");
    assert!(help.status.success() && output(&help).contains("no-merge"));
}
