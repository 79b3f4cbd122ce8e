//! Names at run time against a little name server: servers that move, come and go by A and SRV records, outages and their
//! hold times, cut and forged answers, rules that resolve, and what the runtime API tells of it.

mod common;

use common::cli::ask;
use common::client::Client;
use common::directory::Directory;
use common::dns::{A, AAAA, CNAME, Dns, Mode, SRV};
use common::http::{body, status};
use common::origin::{Origin, Step};
use common::port::{BlackHole, Port};
use common::program::{Program, under_test};
use common::syslog::Syslog;
use common::wait_until;
use std::os::unix::net::UnixStream;

/// Short, but a name server that is kept waiting for its turn must still be in time.
const SECTION: &str = " resolve_retries 2\n timeout resolve 100ms\n timeout retry 250ms\n hold valid 100ms\n \
                       hold nx 500ms\n hold refused 500ms\n hold timeout 500ms\n hold other 500ms\n";
const LABEL: &str = "_http._tcp.svc.example";

struct Bench {
    program: Program,
    dns: Dns,
    port: Port,
    socket: String,
    log: Syslog,
    _directory: Directory,
}

impl Bench {
    /// A `listen l` whose further lines are `lines`, with the resolvers `r`.
    fn start(dns: Dns, lines: &str) -> Bench {
        Bench::with(dns, "", lines)
    }

    /// The same with more lines of the section.
    fn with(dns: Dns, section: &str, lines: &str) -> Bench {
        let directory = Directory::new();
        let (port, socket, log) = (Port::hold(), directory.join("admin.sock"), Syslog::udp());
        let config = format!(
            "global\n stats socket {socket} level admin\n log {} local0\n dns-accept-family ipv4,ipv6\n\
             defaults\n mode http\n log global\n timeout connect 2s\n timeout client 9s\n timeout server 9s\n\
             resolvers r\n nameserver n 127.0.0.1:{}\n{SECTION}{section}\
             listen l\n bind 127.0.0.1:{}\n{lines}\n",
            log.address, dns.port, port.number
        );
        let program = Program::start(&under_test(), &directory, &config, &[port.number]);
        wait_until("the socket is there", || UnixStream::connect(&socket).is_ok());
        Bench { program, dns, port, socket, log, _directory: directory }
    }

    fn ask(&self, command: &str) -> String {
        ask(&self.socket, command)
    }

    /// Address, port and words of `show servers state` of every server: `name address port admin fqdn record`.
    fn servers(&self) -> Vec<String> {
        let text = self.ask("show servers state l");
        let lines = text.lines().skip(2).filter(|l| !l.is_empty());
        let words = |line: &str| {
            let w: Vec<&str> = line.split(' ').collect();
            [w[3], w[4], w[18], w[6], w[17], w[19]].join(" ")
        };
        lines.map(words).collect()
    }

    fn wait_for(&self, servers: &[&str]) {
        wait_until(&format!("{servers:?}, but {:?}", self.servers()), || self.servers() == servers);
    }

    fn counter(&self, name: &str) -> u64 {
        let text = self.ask("show resolvers r");
        let line = text.lines().find(|l| l.trim_start().starts_with(&format!("{name}:"))).expect("a counter");
        line.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number")
    }

    fn get(&self, host: &str) -> Vec<u8> {
        let mut client = Client::connect(self.port.number);
        client.send(format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"));
        client.response()
    }
}

fn origin(text: &str) -> Origin {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    Origin::start(vec![Step::Serve(answer.into())])
}

#[test]
fn a_server_follows_its_name() {
    let (dns, web) = (Dns::start(), origin("here"));
    dns.set("app.example", A, &["127.0.0.1"]);
    let lines = format!(" server s app.example:{} resolvers r resolve-prefer ipv4 init-addr none", web.port);
    let mut b = Bench::start(dns, &lines);
    let at = |ip: &str, admin: u32| format!("s {ip} {} {admin} app.example -", web.port);
    b.wait_for(&[&at("127.0.0.1", 0)]);
    b.log.line_with(&["<133>", "l/s: IP changed from '(none)' to '127.0.0.1' by 'r/n'."]);
    b.log.line_with(&["<133>", "Server l/s ('app.example') is UP/READY (resolves again)."]);
    b.log.line_with(&["<133>", "Server l/s administratively READY thanks to valid DNS answer."]);
    assert_eq!(body(&b.get("x")), b"here");
    // An address where nobody is.
    b.dns.set("app.example", A, &["127.0.0.99"]);
    b.wait_for(&[&at("127.0.0.99", 0)]);
    b.log.line_with(&["l/s: IP changed from '127.0.0.1' to '127.0.0.99' by 'r/n'."]);
    assert_eq!(status(&b.get("x")), Some(503), "idle connections to the old address are not used");
    b.dns.set("app.example", CNAME, &["alias.example"]);
    b.dns.set("alias.example", A, &["127.0.0.1"]);
    b.wait_for(&[&at("127.0.0.1", 0)]);
    assert_eq!(body(&b.get("x")), b"here");
    assert!(b.counter("cname") > 0 && b.counter("update") == 3);
    b.program.assert_runs();
}

#[test]
fn outages_end_in_maintenance_after_their_hold_time_and_the_port_is_kept() {
    let (dns, web) = (Dns::start(), origin("here"));
    dns.set("app.example", A, &["127.0.0.1"]);
    let lines = format!(" server s app.example:{} resolvers r resolve-prefer ipv4 init-addr none", web.port);
    let b = Bench::start(dns, &lines);
    let up = format!("s 127.0.0.1 {} 0 app.example -", web.port);
    let down = format!("s - {} 32 app.example -", web.port);
    for (mode, reason) in [
        (Mode::Code(3), "DNS NX status"),
        (Mode::Code(5), "DNS refused status"),
        (Mode::Code(2), "unspecified DNS error"),
        (Mode::Silent, "DNS timeout status"),
    ] {
        b.wait_for(&[&up]);
        assert_eq!(status(&b.get("x")), Some(200));
        b.dns.mode(mode);
        b.wait_for(&[&down]);
        b.log.line_with(&["<129>", &format!("Server l/s is going DOWN for maintenance ({reason}). 0 active")]);
        b.log.line_with(&["<128>", "proxy l has no server available!"]);
        assert_eq!(status(&b.get("x")), Some(503));
        assert!(b.ask("show stat").contains(",MAINT (resolution),"));
        b.dns.mode(Mode::Zone);
    }
    b.wait_for(&[&up]);
    for counter in ["nx", "refused", "other", "timeout"] {
        assert!(b.counter(counter) > 0, "{counter}");
    }
}

#[test]
fn a_short_outage_within_the_hold_time_changes_nothing() {
    let dns = Dns::start();
    dns.set("app.example", A, &["127.0.0.1"]);
    let section = " hold nx 1h\n hold timeout 1h\n";
    let b = Bench::with(dns, section, " server s app.example:80 resolvers r resolve-prefer ipv4 init-addr none");
    b.wait_for(&["s 127.0.0.1 80 0 app.example -"]);
    for mode in [Mode::Code(3), Mode::Silent] {
        let asked = b.dns.asked("app.example", A);
        b.dns.mode(mode);
        wait_until("several runs have failed", || b.dns.asked("app.example", A) > asked + 6);
        b.wait_for(&["s 127.0.0.1 80 0 app.example -"]);
    }
}

#[test]
fn records_of_a_service_fill_the_slots_of_a_template() {
    let (dns, webs) = (Dns::start(), [origin("n0"), origin("n1"), origin("n2")]);
    let target = |weight: u16, n: usize| format!("{weight} {} n{n}.example", webs[n].port);
    for n in 0..3 {
        dns.set(&format!("n{n}.example"), A, &["127.0.0.1"]);
    }
    dns.set(LABEL, SRV, &[&target(256, 0), &target(5120, 1)]);
    let lines = format!(
        " balance roundrobin\n option redispatch\n server-template web 3 {LABEL} resolvers r init-addr none \
         check inter 50"
    );
    let b = Bench::start(dns, &lines);
    let slot = |name: &str, n: usize| format!("{name} 127.0.0.1 {} 64 n{n}.example {LABEL}", webs[n].port);
    b.wait_for(&[&slot("web1", 0), &slot("web2", 1), &format!("web3 - 0 32 - {LABEL}")]);
    assert_eq!(b.ask("get weight l/web2"), "20 (initial 1)\n\n");
    b.log.line_with(&[
        "l/web1: IP changed from '(none)' to '127.0.0.1', port changed from '+0' to",
        "additional record",
    ]);
    b.log.line_with(&["l/web1 changed its FQDN from (null) to n0.example by 'SRV record'"]);
    let who = |b: &Bench| {
        let mut all: Vec<String> =
            (0..30).map(|_| String::from_utf8_lossy(&body(&b.get("x"))).into_owned()).collect();
        all.sort();
        all.dedup();
        all
    };
    assert_eq!(who(&b), ["n0", "n1"]);
    // All of them gone at once, and others in their place.
    b.dns.set(LABEL, SRV, &[]);
    let empty = ["web1 - 0 96", "web2 - 0 96", "web3 - 0 32"].map(|s| format!("{s} - {LABEL}"));
    b.wait_for(&empty.each_ref().map(String::as_str));
    b.log.line_with(&["Server l/web1 is going DOWN for maintenance (entry removed from SRV record)."]);
    assert_eq!(status(&b.get("x")), Some(503));
    b.dns.set(LABEL, SRV, &[&target(1, 2), &target(1, 1)]);
    b.wait_for(&[&slot("web1", 2), &slot("web2", 1), &empty[2]]);
    assert_eq!(who(&b), ["n1", "n2"]);
    // A mass replacement without a gap.
    b.dns.set(LABEL, SRV, &[&target(1, 0)]);
    b.wait_for(&[&slot("web1", 0), &empty[1], &empty[2]]);
    assert_eq!(who(&b), ["n0"]);
    let said = "set server <b>/<s> fqdn failed because SRV resolution is configured.\n\n";
    assert_eq!(b.ask("set server l/web1 fqdn other.example"), said);
}

#[test]
fn a_template_takes_as_many_addresses_as_a_name_has() {
    let dns = Dns::start();
    dns.set("app.example", AAAA, &["::1", "::2"]);
    let b = Bench::start(dns, " server-template t 3 app.example:80 resolvers r init-addr none");
    let slots = |ips: [&str; 3]| {
        let line = |(n, ip): (usize, &str)| format!("t{} {ip} 80 {} app.example -", n + 1, 32 * u32::from(ip == "-"));
        ips.into_iter().enumerate().map(line).collect::<Vec<_>>()
    };
    let wait = |b: &Bench, ips| {
        let slots = slots(ips);
        b.wait_for(&slots.iter().map(String::as_str).collect::<Vec<_>>());
    };
    wait(&b, ["::1", "::2", "-"]);
    b.dns.set("app.example", AAAA, &["::2", "::3", "::4"]);
    wait(&b, ["::3", "::2", "::4"]);
    // The other family, when the preferred one has none.
    b.dns.set("app.example", AAAA, &[]);
    b.dns.set("app.example", A, &["127.0.0.1"]);
    wait(&b, ["127.0.0.1", "-", "-"]);
}

#[test]
fn cut_answers_are_asked_for_again_over_tcp() {
    let dns = Dns::start();
    let many: Vec<String> = (1..=200).map(|n| format!("127.0.1.{n}")).collect();
    dns.set("app.example", A, &many.iter().map(String::as_str).collect::<Vec<_>>());
    dns.mode(Mode::Cut);
    let b = Bench::start(dns, " server s app.example:80 resolvers r resolve-prefer ipv4 init-addr none");
    b.wait_for(&["s 127.0.1.1 80 0 app.example -"]);
    assert!(b.counter("truncated") > 0 && b.dns.over_tcp() > 0);
    // Too large for a datagram, and not marked as cut: dropped.
    b.dns.mode(Mode::Zone);
    b.wait_for(&["s - 80 32 app.example -"]);
    assert!(b.counter("too_big") > 0);
}

#[test]
fn a_name_server_may_speak_tcp_alone() {
    let dns = Dns::start();
    dns.set("app.example", A, &["127.0.0.7"]);
    let section = format!("resolvers t\n nameserver n tcp@127.0.0.1:{}\n timeout resolve 100ms\n", dns.port);
    let b = Bench::with(dns, &section, " server s app.example:80 resolvers t resolve-prefer ipv4 init-addr none");
    b.wait_for(&["s 127.0.0.7 80 0 app.example -"]);
    b.dns.set("app.example", A, &["127.0.0.8"]);
    b.wait_for(&["s 127.0.0.8 80 0 app.example -"]);
}

#[test]
fn forged_answers_are_not_taken() {
    let dns = Dns::start();
    dns.set("app.example", A, &["127.0.0.66"]);
    dns.mode(Mode::Forged);
    let b = Bench::start(dns, " server s app.example:80 resolvers r resolve-prefer ipv4 init-addr none");
    wait_until("forged answers have come", || b.counter("outdated") > 5);
    b.wait_for(&["s - 80 32 app.example -"]);
    assert_eq!((b.counter("valid"), b.counter("update")), (0, 0));
}

#[test]
fn rules_resolve_names_and_wait_for_the_answer() {
    let dns = Dns::start();
    dns.set("app.example", A, &["127.0.0.5"]);
    dns.set("six.example", AAAA, &["::5"]);
    let lines = " http-request do-resolve(txn.ip,r,ipv4) hdr(host),lower\n http-request return status 200 \
                 content-type text/plain lf-string %[var(txn.ip)] if { var(txn.ip) -m found }\n \
                 http-request return status 404";
    let b = Bench::with(dns, " hold valid 1h\n", lines);
    let text = |host: &str| String::from_utf8_lossy(&body(&b.get(host))).into_owned();
    assert_eq!(text("APP.example"), "127.0.0.5");
    let asked = b.dns.asked("app.example", A);
    assert_eq!((text("app.example").as_str(), b.dns.asked("app.example", A)), ("127.0.0.5", asked), "it was known");
    assert_eq!(text("six.example"), "::5");
    let long = "x".repeat(300);
    for host in ["none.example", "", "bad..name", &long] {
        assert_eq!(status(&b.get(host)), Some(404), "{host}");
    }
    b.dns.mode(Mode::Silent);
    assert_eq!(status(&b.get("late.example")), Some(404));
}

#[test]
fn a_server_without_an_address_is_wherever_the_rule_says() {
    let (dns, web) = (Dns::start(), origin("here"));
    dns.set("app.example", A, &["127.0.0.1"]);
    dns.set("nobody.example", A, &["127.0.0.99"]);
    let lines = format!(
        " http-reuse always\n retries 0\n http-request do-resolve(txn.ip,r,ipv4) hdr(host)\n \
         http-request set-dst var(txn.ip)\n server clear 0.0.0.0:{}",
        web.port
    );
    let b = Bench::start(dns, &lines);
    for (host, code) in [("app.example", 200), ("nobody.example", 503), ("app.example", 200)] {
        assert_eq!(status(&b.get(host)), Some(code), "{host}");
    }
}

#[test]
fn connections_resolve_names_too() {
    let (dns, web) = (Dns::start(), origin("here"));
    dns.set("app.example", A, &["127.0.0.1"]);
    let lines = format!(
        " server s 127.0.0.1:{0}\nlisten t\n mode tcp\n bind 127.0.0.1:PORT\n tcp-request inspect-delay 5s\n \
         tcp-request content do-resolve(sess.ip,r,ipv4) str(app.example)\n \
         tcp-request content reject unless {{ var(sess.ip) -m ip 127.0.0.1 }}\n server s 127.0.0.1:{0}",
        web.port
    );
    let port = Port::hold();
    let b = Bench::start(dns, &lines.replace("PORT", &port.number.to_string()));
    let get = || {
        let mut client = Client::connect(port.number);
        client.send("GET / HTTP/1.0\r\n\r\n");
        client.response()
    };
    assert_eq!(body(&get()), b"here");
    b.dns.set("app.example", A, &["127.0.0.2"]);
    wait_until("the rule sees the change", || get().is_empty());
}

#[test]
fn a_check_that_cannot_connect_has_the_name_asked_for() {
    let (dns, web, hole) = (Dns::start(), origin("here"), BlackHole::open());
    dns.set("app.example", A, &["127.0.0.1"]);
    let section = format!("resolvers slow\n nameserver n 127.0.0.1:{}\n timeout resolve 1h\n", dns.port);
    let lines = format!(
        " default-server resolvers slow resolve-prefer ipv4 init-addr none check inter 100ms\n \
         server s app.example:{}\n server t app.example:{}",
        hole.number, web.port
    );
    let b = Bench::with(dns, &section, &lines);
    wait_until("it is asked for again and again, long before its time", || b.dns.asked("app.example", A) > 4);
}

#[test]
fn the_state_file_gives_names_their_last_address() {
    let dns = Dns::start();
    dns.mode(Mode::Silent);
    let states = Directory::new();
    let file = states.write(
        "states",
        format!(
            "1\n# be_id be_name srv_id srv_name\n\
             2 l 1 s 127.0.0.7 2 0 1 1 16 8 2 0 6 0 0 0 nowhere.invalid 80 - 0 0 - - 0\n\
             2 l 2 t1 127.0.0.8 2 64 1 1 16 8 2 0 6 0 0 0 n0.example 8010 {LABEL} 0 0 - - 0\n"
        ),
    );
    let section = " hold timeout 1h\n";
    let lines = format!(
        " load-server-state-from-file local\n server-state-file-name {file}\n server s nowhere.invalid:80\n \
         server-template t 2 {LABEL} resolvers r init-addr none"
    );
    let b = Bench::with(dns, section, &lines);
    b.wait_for(&[
        "s 127.0.0.7 80 0 nowhere.invalid -",
        &format!("t1 127.0.0.8 8010 64 n0.example {LABEL}"),
        &format!("t2 - 0 32 - {LABEL}"),
    ]);
    b.dns.set("n0.example", A, &["127.0.0.9"]);
    b.dns.set(LABEL, SRV, &["256 8010 n0.example"]);
    b.dns.mode(Mode::Zone);
    b.wait_for(&[
        "s 127.0.0.7 80 0 nowhere.invalid -",
        &format!("t1 127.0.0.9 8010 64 n0.example {LABEL}"),
        &format!("t2 - 0 32 - {LABEL}"),
    ]);
}

#[test]
fn the_runtime_api_tells_and_changes_names() {
    let dns = Dns::start();
    dns.set("one.example", A, &["127.0.0.1"]);
    dns.set("two.example", A, &["127.0.0.2"]);
    let lines = " server s one.example:80 resolvers r resolve-prefer ipv4 init-addr none\n \
                 server plain 127.0.0.9:81\n server late nowhere.invalid:82 init-addr none";
    let b = Bench::start(dns, lines);
    let rest = ["plain 127.0.0.9 81 0 - -", "late - 82 32 nowhere.invalid -"];
    b.wait_for(&["s 127.0.0.1 80 0 one.example -", rest[0], rest[1]]);
    for (command, answer) in [
        ("set server l/s fqdn", "set server <b>/<s> fqdn requires a FQDN.\n\n"),
        ("set server l/s fqdn one.example", "no need to change the FDQN by 'stats socket command'\n\n"),
        (
            "set server l/plain fqdn two.example",
            "set server <b>/<s> fqdn failed because no resolution is configured.\n\n",
        ),
        (
            "set server l/late addr 127.0.0.3",
            "Update for the current server address family is only supported through configuration file.\n\n",
        ),
        (
            "set server l/s fqdn two.example",
            "l/s changed its FQDN from one.example to two.example by 'stats socket command'\n\n",
        ),
        ("show resolvers nope", "Can't find that resolvers section\n\n"),
    ] {
        assert_eq!(b.ask(command), answer, "{command}");
    }
    b.wait_for(&["s 127.0.0.2 80 64 two.example -", rest[0], rest[1]]);
    let shown = b.ask("show resolvers r");
    let names: Vec<&str> = shown.lines().map(|l| l.split(':').next().unwrap_or_default()).collect();
    assert_eq!(
        names,
        [
            "Resolvers section r",
            " nameserver n",
            "  sent",
            "  snd_error",
            "  valid",
            "  update",
            "  cname",
            "  cname_error",
            "  any_err",
            "  nx",
            "  timeout",
            "  refused",
            "  other",
            "  invalid",
            "  too_big",
            "  truncated",
            "  outdated",
            "",
        ]
    );
    assert!(shown.lines().nth(3).is_some_and(|l| l == "  snd_error:   0"), "{shown}");
    let csv = b.ask("show stat domain resolvers");
    assert!(csv.starts_with("# id,pid,sent,send_error,valid,") && csv.contains("\nn,r,"), "{csv}");
}

#[test]
fn answers_may_be_as_long_as_the_section_accepts() {
    let many: Vec<String> = (1..=60).map(|n| format!("127.0.1.{n}")).collect();
    for (line, taken) in [(" accepted_payload_size 512\n", false), (" accepted_payload_size 8192\n", true)] {
        let dns = Dns::start();
        dns.set("app.example", A, &many.iter().map(String::as_str).collect::<Vec<_>>());
        let lines = " server s app.example:80 resolvers r resolve-prefer ipv4 init-addr none";
        let b = Bench::with(dns, line, lines);
        match taken {
            true => wait_until("an address", || b.servers()[0].starts_with("s 127.0.1.")),
            false => wait_until("it is too long", || b.counter("too_big") > 0),
        }
    }
}

#[test]
fn addresses_that_an_answer_lacks_stay_until_they_are_obsolete() {
    for (line, last) in [("", ["::1", "::3", "-"]), (" hold obsolete 60s\n", ["::1", "::2", "::3"])] {
        let dns = Dns::start();
        dns.set("app.example", AAAA, &["::1", "::2"]);
        let b = Bench::with(dns, line, " server-template t 3 app.example:80 resolvers r init-addr none");
        let slots = |ips: [&str; 3]| {
            let slot =
                |(n, ip): (usize, &str)| format!("t{} {ip} 80 {} app.example -", n + 1, 32 * u32::from(ip == "-"));
            ips.into_iter().enumerate().map(slot).collect::<Vec<_>>()
        };
        let wait = |ips| b.wait_for(&slots(ips).iter().map(String::as_str).collect::<Vec<_>>());
        wait(["::1", "::2", "-"]);
        b.dns.set("app.example", AAAA, &["::1", "::3"]);
        wait(last);
    }
}

#[test]
fn the_systems_name_servers_are_taken_over() {
    let dns = Dns::start();
    let b = Bench::with(dns, "resolvers system\n parse-resolv-conf\n", " server s 127.0.0.1:80");
    let system = std::fs::read_to_string("/etc/resolv.conf").expect("the system's own");
    let theirs =
        system.lines().filter_map(|l| l.strip_prefix("nameserver")).map(|l| format!(" nameserver {}:", l.trim()));
    let shown = b.ask("show resolvers system");
    let ours: Vec<&str> = shown.lines().filter(|l| l.starts_with(" nameserver ")).collect();
    assert_eq!(ours, theirs.collect::<Vec<_>>(), "{shown}");
}
