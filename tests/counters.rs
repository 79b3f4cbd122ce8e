//! Figures of `show stat`, `show info` and the Prometheus exporter against what HAProxy 3.4.0 shows after the same traffic
//! (the numbers are from running it): columns that older versions lack, and what only makes sense against one's own start.

mod common;

use common::cli::ask;
use common::client::Client;
use common::directory::Directory;
use common::dns::{A, Dns};
use common::origin::{Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::wait_until;
use std::os::unix::net::UnixStream;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

struct Bench {
    port: Port,
    socket: String,
    _program: Program,
    _directory: Directory,
}

impl Bench {
    /// `global` lines, and a frontend `fe` with these lines and this rest; `{port}` in it is another port, held.
    fn start(global: &str, frontend: &str, rest: &str) -> Bench {
        let directory = Directory::new();
        let (port, socket) = (Port::hold(), directory.join("sock"));
        let config = format!(
            "global\n stats socket {socket} level admin\n {global}\ndefaults\n mode http\n timeout connect 5s\n \
             timeout client 9s\n timeout server 9s\nfrontend fe\n bind 127.0.0.1:{}\n {frontend}\n{rest}\n",
            port.number
        );
        let program = Program::start(&under_test(), &directory, &config, &[port.number]);
        wait_until("the socket is there", || UnixStream::connect(&socket).is_ok());
        Bench { port, socket, _program: program, _directory: directory }
    }

    fn client(&self) -> Client {
        Client::connect(self.port.number)
    }

    /// A column of `show stat`.
    fn stat(&self, line: &str, column: &str) -> u64 {
        let text = ask(&self.socket, "show stat");
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().expect("a header").trim_start_matches("# ").split(',').collect();
        let at = names.iter().position(|n| *n == column).expect("a column of that name");
        let found = lines.find(|l| l.starts_with(&format!("{line},"))).unwrap_or_else(|| panic!("no {line}: {text}"));
        found.split(',').nth(at).and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("{line} {column}: {found}"))
    }

    /// `reqbin reqbout resbin resbout`.
    fn bytes(&self, line: &str) -> [u64; 4] {
        ["reqbin", "reqbout", "resbin", "resbout"].map(|column| self.stat(line, column))
    }

    /// Waits for these bytes on all lines.
    fn wait_for_bytes(&self, lines: &[&str], bytes: [u64; 4]) {
        for line in lines {
            wait_until(&format!("{line}: {bytes:?}, not {:?}", self.bytes(line)), || self.bytes(line) == bytes);
        }
    }

    /// A key of `show info`.
    fn info(&self, key: &str) -> u64 {
        let text = ask(&self.socket, "show info");
        let value = text.lines().find_map(|l| l.strip_prefix(&format!("{key}: "))).expect("a key of that name");
        value.parse().unwrap_or_else(|_| panic!("{key}: {value}"))
    }

    fn metrics(&self, query: &str) -> String {
        let mut client = self.client();
        client.send(format!("GET /metrics{query} HTTP/1.0\r\n\r\n"));
        let (answer, _) = client.closed();
        String::from_utf8_lossy(&answer).split_once("\r\n\r\n").expect("a body").1.to_owned()
    }
}

const ALL: [&str; 4] = ["fe,FRONTEND", "fe,sock-1", "be,s", "be,BACKEND"];

#[test]
fn bytes_are_counted_where_they_come_in_and_where_they_leave() {
    let origin = Origin::start(vec![
        Step::Request,
        Step::Send(OK.into()),
        Step::Request,
        Step::Send(OK.into()),
        Step::Request,
        Step::Send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into()),
        Step::Serve(OK.into()),
    ]);
    let bench = Bench::start(
        "",
        "option socket-stats\n http-request return status 200 content-type text/plain string hello if { path /own }\n \
         http-request set-header x-long yyyyyyyyyy if { path /more }\n default_backend be",
        &format!("backend be\n server s 127.0.0.1:{}", origin.port),
    );
    let mut client = bench.client();
    client.send(GET);
    client.response();
    bench.wait_for_bytes(&ALL, [38, 38, 51, 51]);
    client.send(format!("POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1000)));
    client.response();
    bench.wait_for_bytes(&ALL, [1096, 1096, 102, 102]);
    client.send("POST /chunked HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    client.response();
    bench.wait_for_bytes(&ALL, [1172, 1172, 166, 166]);
    // A field that a rule adds leaves, and did not come.
    client.send("GET /more HTTP/1.1\r\nhost: a\r\n\r\n");
    client.response();
    bench.wait_for_bytes(&ALL, [1214, 1230, 217, 217]);
    // What is answered here neither goes to a server nor comes from one.
    client.send("GET /own HTTP/1.1\r\nhost: a\r\n\r\n");
    client.response();
    bench.wait_for_bytes(&ALL[..2], [1255, 1230, 217, 293]);
    bench.wait_for_bytes(&ALL[2..], [1214, 1230, 217, 217]);
}

#[test]
fn rules_see_what_left_for_either_side() {
    let origin = Origin::start(vec![Step::Serve(OK.into())]);
    let log = common::syslog::Syslog::udp();
    let bench = Bench::start(
        &format!("log {} local0", log.address),
        "log global\n log-format \"%[req.bytes_in] %[req.bytes_out] %[res.bytes_in] %[res.bytes_out]\"\n \
         http-response set-header x-more yyyy\n default_backend be",
        &format!("backend be\n server s 127.0.0.1:{}", origin.port),
    );
    let mut client = bench.client();
    client.send(GET);
    client.response();
    let line = log.line();
    assert!(line.trim_end().ends_with(" 38 38 51 61"), "{line}");
}

#[test]
fn a_request_that_is_sent_again_leaves_once() {
    let no = "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";
    let origin = Origin::start(vec![Step::Serve(no.into())]);
    let bench = Bench::start(
        "",
        "default_backend be",
        &format!("backend be\n retries 2\n retry-on 500\n server s 127.0.0.1:{}", origin.port),
    );
    let mut client = bench.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello");
    client.response();
    wait_until("three attempts", || origin.requests("/") == 3);
    wait_until("the stream has ended", || bench.stat("fe,FRONTEND", "hrsp_5xx") == 1);
    let [received, sent, ..] = bench.bytes("be,BACKEND");
    assert_eq!((received, sent), (59, 59));
}

#[test]
fn a_tunnel_counts_both_ends() {
    let origin = Origin::start(vec![Step::Echo]);
    let port = Port::hold();
    let bench = Bench::start(
        "",
        "",
        &format!("listen tcp\n mode tcp\n bind 127.0.0.1:{}\n server s 127.0.0.1:{}", port.number, origin.port),
    );
    let mut client = Client::connect(port.number);
    client.send("hello");
    client.until(b"hello");
    client.half_close();
    client.closed();
    bench.wait_for_bytes(&["tcp,FRONTEND", "tcp,s", "tcp,BACKEND"], [5, 5, 5, 5]);
    let kinds = ["sess_other", "h1sess", "h2sess", "req_other"].map(|column| bench.stat("tcp,FRONTEND", column));
    assert_eq!(kinds, [1, 0, 0, 0]);
}

#[test]
fn a_session_counts_by_what_it_speaks() {
    let bench = Bench::start("", "http-request return status 200", "");
    let kinds = || ["sess_other", "h1sess", "h2sess", "h1req", "h2req"].map(|c| bench.stat("fe,FRONTEND", c));
    let idle = bench.client();
    wait_until("a connection is one of HTTP/1", || kinds() == [0, 1, 0, 0, 0]);
    assert_eq!(bench.stat("fe,FRONTEND", "h1_open_connections"), 1);
    let mut preface = bench.client();
    preface.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    // Until its preface has come, one of HTTP/2 is of HTTP/1 too.
    wait_until("the other one is of HTTP/2", || kinds() == [0, 2, 1, 0, 0]);
    assert_eq!(bench.stat("fe,FRONTEND", "h1_open_connections"), 1);
    assert_eq!(bench.stat("fe,FRONTEND", "h1_total_connections"), 2);
    drop((idle, preface));
    wait_until("nothing is open", || bench.stat("fe,FRONTEND", "scur") == 0);
    assert_eq!(bench.stat("fe,FRONTEND", "h1_open_connections"), 0);
}

#[test]
fn checks_over_http_count_for_the_backend() {
    let origin = Origin::start(vec![Step::Serve(OK.into())]);
    let bench = Bench::start(
        "",
        "",
        &format!("backend be\n option httpchk GET /\n server s 127.0.0.1:{} check inter 50ms", origin.port),
    );
    let read = |column| bench.stat("be,BACKEND", column);
    wait_until("two checks", || read("h1_total_streams") >= 2);
    wait_until("their bytes", || read("h1_bytes_in") >= 2 * OK.len() as u64);
    assert!(read("h1_bytes_out") >= 2 * "GET / HTTP/1.0\r\n\r\n".len() as u64);
    assert_eq!(read("stot"), 0);
}

#[test]
fn a_body_that_passes_through_a_pipe_is_counted_everywhere() {
    const LEN: u64 = 3_000_000;
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {LEN}\r\n\r\n").into_bytes();
    let head = answer.len() as u64;
    answer.resize((head + LEN) as usize, b'x');
    let origin = Origin::start(vec![Step::Serve(answer)]);
    let bench = Bench::start("", "default_backend be", &format!("backend be\n server s 127.0.0.1:{}", origin.port));
    let before = bench.info("TotalBytesOut");
    let mut client = bench.client();
    client.send(GET);
    client.response();
    wait_until("the stream has ended", || bench.stat("fe,FRONTEND", "hrsp_2xx") == 1);
    let out = bench.info("TotalBytesOut") - before;
    // The request and the answer, and what the runtime API has said meanwhile.
    let least = head + LEN + GET.len() as u64;
    assert!((least..least + 200_000).contains(&out), "{out}");
    let rate = bench.info("BytesOutRate");
    assert!(rate > 0, "{rate}");
    assert_eq!(bench.stat("fe,FRONTEND", "h1_bytes_out"), head + LEN);
    assert_eq!(bench.stat("be,BACKEND", "h1_bytes_in"), head + LEN);
    let spliced = bench.info("TotalSplicedBytesOut");
    assert!(spliced > LEN / 2, "{spliced}");
    assert_eq!(bench.stat("fe,FRONTEND", "h1_spliced_bytes_out"), spliced);
    assert_eq!(bench.stat("be,BACKEND", "h1_spliced_bytes_in"), spliced);
    assert_eq!((bench.info("PipesUsed"), bench.info("PipesFree")), (0, 0));
}

#[test]
fn listeners_jobs_and_full_houses_are_counted() {
    let (second, map) = (Port::hold(), Directory::new());
    let file = map.write("m", "a 1\nb 2\nc 3\n");
    let bench = Bench::start(
        "maxconn 2\n nbthread 2\n maxsslconn 7",
        &format!(
            "http-request set-header x %[path,map({file})]\n http-request return status 200 if {{ path /x /y }}"
        ),
        &format!("frontend second\n bind 127.0.0.1:{}\n http-request return status 200", second.number),
    );
    assert_eq!((bench.info("Listeners"), bench.info("MaxSslConns")), (3, 7));
    // The question itself is a job.
    wait_until("no other question is open", || bench.info("Jobs") == 4);
    assert_eq!(bench.info("MaxconnReached"), 0);
    let first = bench.client();
    wait_until("one connection", || bench.info("CurrConns") == 1);
    wait_until("a connection is a job", || bench.info("Jobs") == 5);
    assert_eq!(bench.info("MaxconnReached"), 0);
    let other = bench.client();
    wait_until("the last place is taken", || bench.info("MaxconnReached") == 1);
    drop((first, other));
    ask(&bench.socket, "shutdown frontend second");
    wait_until("a listener has gone", || bench.info("Listeners") == 2);
    let patterns = || (bench.info("PatternsAdded"), bench.info("PatternsFreed"));
    assert_eq!(patterns(), (5, 0));
    ask(&bench.socket, &format!("add map {file} d 4"));
    ask(&bench.socket, &format!("del map {file} a"));
    assert_eq!(patterns(), (6, 1));
    assert!(bench.info("PoolAlloc_bytes") > 0);
    let pools = ask(&bench.socket, "show pools");
    assert!(pools.contains("Total: 2 pools, ") && !pools.contains(" 0 bytes allocated"), "{pools}");
}

#[test]
fn the_engine_tells_what_it_has_in_hand() {
    let origin = Origin::start(vec![Step::Request, Step::Eof]);
    let bench = Bench::start("", "default_backend be", &format!("backend be\n server s 127.0.0.1:{}", origin.port));
    let read = |name: &str| {
        let text = ask(&bench.socket, "show activity");
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).expect("a line of that name");
        line.split(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number")
    };
    wait_until("nothing", || (read("engine_connections"), read("engine_operations")) == (0, 0));
    let mut client = bench.client();
    client.send(GET);
    wait_until("both sides", || read("engine_connections") == 2);
    drop((client, origin));
    wait_until("nothing again", || (read("engine_connections"), read("engine_operations")) == (0, 0));
}

/// Families in the order of the exporter, with HAProxy's words for them.
const RESOLVER: [(&str, &str); 15] = [
    ("sent", "Sent"),
    ("send_error", "Send error"),
    ("valid", "Valid"),
    ("update", "Update"),
    ("cname", "CNAME"),
    ("cname_error", "CNAME error"),
    ("any_err", "Any errors"),
    ("nx", "NX"),
    ("timeout", "Timeout"),
    ("refused", "Refused"),
    ("other", "Other"),
    ("invalid", "Invalid"),
    ("too_big", "Too big"),
    ("truncated", "Truncated"),
    ("outdated", "Outdated"),
];

#[test]
fn name_servers_have_their_families() {
    let dns = Dns::start();
    dns.set("there.example", A, &["127.0.0.1"]);
    let silent = Port::hold();
    let bench = Bench::start(
        "dns-accept-family ipv4",
        "http-request use-service prometheus-exporter if { path /metrics }",
        &format!(
            "resolvers r\n nameserver one 127.0.0.1:{}\n timeout resolve 100ms\n timeout retry 100ms\n resolve_retries 1\n\
             resolvers unused\n nameserver \"t\\\"wo\" 127.0.0.1:{}\n\
             backend be\n server s there.example:80 resolvers r init-addr none\n \
             server t gone.example:80 resolvers r init-addr none",
            dns.port, silent.number
        ),
    );
    wait_until("it has been asked", || dns.asked("gone.example", A) > 1);
    let sample = |text: &str, name: &str| -> u64 {
        let start = format!("haproxy_resolver_{name}{{resolver=\"r\",nameserver=\"one\"}} ");
        text.lines().find_map(|l| l.strip_prefix(&start)).and_then(|v| v.parse().ok()).expect("a sample")
    };
    wait_until("answers are counted", || {
        let text = bench.metrics("?scope=resolver");
        ["sent", "valid", "update", "nx"].iter().all(|name| sample(&text, name) > 0)
    });
    wait_until("a name was given up", || bench.info("FailedResolutions") > 0);
    let text = bench.metrics("?scope=resolver");
    let kinds: Vec<&str> = text.lines().filter(|l| l.starts_with('#')).collect();
    let wanted: Vec<String> = RESOLVER
        .iter()
        .flat_map(|(name, help)| {
            [format!("# HELP haproxy_resolver_{name} {help}"), format!("# TYPE haproxy_resolver_{name} gauge")]
        })
        .collect();
    assert_eq!(kinds, wanted);
    assert!(text.contains("haproxy_resolver_sent{resolver=\"unused\",nameserver=\"t\\\"wo\"} 0\n"), "{text}");
    // They come last, and of all where none is named.
    assert!(bench.metrics("").contains("\nhaproxy_resolver_outdated{"));
    assert!(!bench.metrics("?scope=server").contains("resolver"));
}

#[test]
fn a_connection_that_waits_for_its_own_session_is_private() {
    let origin = Origin::start(vec![Step::Serve(OK.into())]);
    let bench = Bench::start(
        "",
        "default_backend be",
        &format!("backend be\n http-reuse never\n server s 127.0.0.1:{}", origin.port),
    );
    let mut client = bench.client();
    for _ in 0..2 {
        client.send(GET);
        client.response();
        wait_until("it waits", || bench.stat("be,s", "priv_idle_cur") == 1);
        assert_eq!(bench.stat("be,s", "srv_icur"), 0);
    }
    assert_eq!(bench.stat("be,s", "reuse"), 1);
    drop(client);
    wait_until("it ends with the session", || bench.stat("be,s", "priv_idle_cur") == 0);
}
