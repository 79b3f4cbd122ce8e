//! Peers end to end: stick tables between processes of ringway, and between ringway and the packaged haproxy, as users see
//! them on the stats socket. A peer of our own speaks the protocol where a process would not do (`common::peers`).

mod common;

use common::cli::ask;
use common::client::Client;
use common::directory::Directory;
use common::http::status;
use common::origin::{Origin, Step};
use common::peers::Peer;
use common::port::Port;
use common::program::{Program, peer, under_test};
use common::tls::Authority;
use common::wait_until;
use ringway::proto::peers::definition::{Column, Definition, Key};
use ringway::proto::peers::handshake::Status;
use ringway::proto::peers::message::Control;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Three names, each with a port: A and B are processes, F is played by the test.
struct House {
    a: Port,
    b: Port,
    f: Port,
}

const TABLES: &str = "backend numbers\n stick-table type integer size 200k expire 1h peers all store gpc0,gpc0_rate(1h)\n\
    backend names\n stick-table type string len 20 size 1k expire 1h peers all store \
    gpt(3),gpc(2),gpc_rate(4,1h),bytes_in_cnt\n\
    backend sixes\n stick-table type ipv6 size 1k peers all store gpt0,server_id\n\
    backend blobs\n stick-table type binary len 4 size 1k expire 5m peers all store gpc1\n\
    backend every\n stick-table type ip size 1k expire 1h peers all store server_id,gpt0,gpc0,gpc0_rate(1h),conn_cnt,\
    conn_rate(1h),sess_cnt,sess_rate(1h),http_req_cnt,http_req_rate(1h),http_err_cnt,http_err_rate(1h),bytes_in_cnt,\
    bytes_in_rate(1h),bytes_out_cnt,bytes_out_rate(1h),gpc1,gpc1_rate(1h),http_fail_cnt,http_fail_rate(1h)\n";

impl House {
    fn new() -> House {
        House { a: Port::hold(), b: Port::hold(), f: Port::hold() }
    }

    fn section(&self) -> String {
        format!(
            "peers all\n peer A 127.0.0.1:{}\n peer B 127.0.0.1:{}\n peer F 127.0.0.1:{}\n \
             table own type ip size 1k expire 1h store gpc0\n",
            self.a.number, self.b.number, self.f.number
        )
    }

    fn config(&self, name: &str, socket: &str, rest: &str) -> String {
        format!(
            "global\n nbthread 2\n localpeer {name}\n stats socket {socket} level admin\n\
             defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n{}{rest}",
            self.section()
        )
    }

    fn port(&self, name: &str) -> u16 {
        if name == "A" { self.a.number } else { self.b.number }
    }

    fn start(&self, binary: &PathBuf, name: &str, rest: &str) -> Node {
        let directory = Directory::new();
        let socket = directory.join("s");
        let config = self.config(name, &socket, rest);
        let program = Program::start(binary, &directory, &config, &[self.port(name)]);
        wait_until("the socket is there", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        Node { program, socket, _directory: directory }
    }
}

struct Node {
    program: Program,
    socket: String,
    _directory: Directory,
}

impl Node {
    fn ask(&self, command: &str) -> String {
        ask(&self.socket, command)
    }

    fn set(&self, words: &str) {
        let answer = self.ask(&format!("set table {words}"));
        assert_eq!(answer.trim(), "", "set table {words}");
    }

    /// The entries of a table without what two processes need not have alike, sorted.
    fn entries(&self, table: &str) -> Vec<String> {
        let text = self.ask(&format!("show table {table}"));
        let own = ["0x", "exp=", "shard=", "use="];
        let line = |l: &str| {
            let words: Vec<&str> = l.split(' ').filter(|w| !own.iter().any(|o| w.starts_with(o))).collect();
            words.join(" ")
        };
        let mut lines: Vec<String> = text.lines().filter(|l| l.starts_with("0x")).map(line).collect();
        lines.sort();
        lines
    }

    fn used(&self, table: &str) -> usize {
        let text = self.ask("show table");
        let line = text.lines().find(|l| l.starts_with(&format!("# table: {table},"))).expect("the table");
        line.rsplit("used:").next().and_then(|n| n.parse().ok()).expect("a number")
    }

    /// What others know was asked for and has come, so that no entry arrives that is older than one's own.
    fn has_learned(&self) -> bool {
        let text = self.ask("show peers all");
        let flags = text.split("flags=0x").nth(1).and_then(|t| t.split(' ').next()).expect("flags of the section");
        u32::from_str_radix(flags, 16).expect("a number") & 3 == 3
    }

    fn is_connected_to(&self, name: &str) -> bool {
        let start = format!("id={name}(remote");
        self.ask("show peers").lines().any(|l| l.contains(&start) && l.contains("last_status=ESTA"))
    }
}

/// Polls for longer than usual: HAProxy waits five seconds before it tries a peer again, or asks a remote one.
fn wait_long(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !ready() {
        assert!(Instant::now() < end, "it never happened: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_met(a: &Node, b: &Node) {
    wait_long("they have met", || a.is_connected_to("B") && b.is_connected_to("A"));
    wait_long("they have learned", || a.has_learned() && b.has_learned());
}

const ALL: [&str; 5] = ["numbers", "names", "sixes", "every", "all/own"];

fn wait_same(a: &Node, b: &Node, counts: [usize; 5]) {
    for (table, count) in ALL.into_iter().zip(counts) {
        let same = || (a.entries(table).len() == count && a.entries(table) == b.entries(table)).then_some(());
        let end = Instant::now() + Duration::from_secs(20);
        while same().is_none() {
            let (a, b) = (a.entries(table), b.entries(table));
            assert!(Instant::now() < end, "{table} differs:\n{}\n--\n{}", a.join("\n"), b.join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn fill(node: &Node, n: u32) {
    node.set(&format!("numbers key {} data.gpc0 {n} data.gpc0_rate 9", u32::MAX - n));
    let arrays = format!("names key name{n} data.gpt[1] 7 data.gpc[1] 70000 data.gpc_rate[2] 3");
    // HAProxy 2.6 has no such words; the arrays of what it is told come back from it all the same.
    if node.ask(&format!("set table {arrays}")).contains("Unknown data type") {
        node.set(&format!("names key name{n}"));
    }
    node.set(&format!("names key name{n} data.bytes_in_cnt 99999999999"));
    node.set(&format!("sixes key 2001:db8::{n} data.gpt0 5 data.server_id 3"));
    node.set(&format!("every key 10.0.0.{n} data.server_id 2 data.gpt0 {n} data.gpc0 1 data.gpc0_rate 2"));
    let sums =
        "data.conn_cnt 3 data.sess_cnt 4 data.http_req_cnt 300 data.http_err_cnt 6 data.bytes_in_cnt 5000000000";
    node.set(&format!("every key 10.0.1.{n} {sums} data.bytes_out_cnt 1 data.gpc1 8 data.http_fail_cnt 9"));
    let rates =
        "data.conn_rate 3 data.sess_rate 4 data.http_req_rate 5 data.http_err_rate 6 data.bytes_in_rate 700000";
    node.set(&format!("every key 10.0.2.{n} {rates} data.bytes_out_rate 8 data.gpc1_rate 9 data.http_fail_rate 10"));
    node.set(&format!("all/own key 10.1.0.{n} data.gpc0 {n}"));
}

/// Entries go both ways, as they change and after either side was restarted.
fn both_ways(first: &PathBuf, second: &PathBuf) {
    let house = House::new();
    let mut a = house.start(first, "A", TABLES);
    let mut b = house.start(second, "B", TABLES);
    wait_met(&a, &b);
    fill(&a, 1);
    fill(&b, 2);
    wait_same(&a, &b, [2, 2, 2, 6, 2]);
    // An entry that changes again.
    a.set("every key 10.0.0.2 data.gpt0 77");
    b.set("numbers key 4294967294 data.gpc0 88");
    wait_long("changes arrive", || {
        b.entries("every").join("\n").contains("gpt0=77") && a.entries("numbers").join("\n").contains("gpc0=88")
    });
    wait_same(&a, &b, [2, 2, 2, 6, 2]);
    drop(b);
    fill(&a, 3);
    b = house.start(second, "B", TABLES);
    wait_same(&a, &b, [3, 3, 3, 9, 3]);
    drop(a);
    a = house.start(first, "A", TABLES);
    wait_same(&a, &b, [3, 3, 3, 9, 3]);
    a.program.assert_runs();
    b.program.assert_runs();
}

#[test]
fn entries_go_both_ways_between_two_of_ours() {
    both_ways(&under_test(), &under_test());
}

#[test]
fn entries_go_both_ways_with_haproxy_which_starts_later() {
    both_ways(&under_test(), &peer());
}

#[test]
fn entries_go_both_ways_with_haproxy_which_was_there_before() {
    both_ways(&peer(), &under_test());
}

/// Each checks the other's certificate.
fn over_tls(first: &PathBuf, second: &PathBuf) {
    let house = House::new();
    let directory = Directory::new();
    let authority = Authority::new("peers");
    let certificate = directory.write("peer.pem", authority.issue(&["peer"], false, 7).pem);
    let trusted = authority.write(&directory);
    let start = |binary: &PathBuf, name: &str| {
        let directory = Directory::new();
        let socket = directory.join("s");
        let line = |peer: &str, port: &Port| match peer == name {
            true => format!(" server {peer}\n"),
            false => format!(" server {peer} 127.0.0.1:{}\n", port.number),
        };
        let section = format!(
            "peers all\n default-bind ssl crt {certificate}\n bind 127.0.0.1:{}\n \
             default-server ssl verify required ca-file {trusted}\n{}{} table own type ip size 1k expire 1h store gpc0\n",
            house.port(name),
            line("A", &house.a),
            line("B", &house.b)
        );
        let config = house.config(name, &socket, TABLES).replace(&house.section(), &section);
        let program = Program::start(binary, &directory, &config, &[house.port(name)]);
        wait_until("the socket is there", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        Node { program, socket, _directory: directory }
    };
    let a = start(first, "A");
    let b = start(second, "B");
    wait_met(&a, &b);
    fill(&a, 1);
    fill(&b, 2);
    wait_same(&a, &b, [2, 2, 2, 6, 2]);
    // Who speaks no TLS is not heard.
    let mut stranger = TcpStream::connect(("127.0.0.1", house.a.number)).expect("it listens");
    stranger.write_all(b"HAProxyS 2.1\nA\nB 1 0\n").expect("written");
    stranger.set_read_timeout(Some(common::BOUND)).expect("a timeout");
    let mut answer = Vec::new();
    let _ = stranger.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"200"), "{answer:?}");
    assert!(a.is_connected_to("B"));
}

#[test]
fn peers_of_ours_speak_tls() {
    over_tls(&under_test(), &under_test());
}

#[test]
fn a_peer_of_ours_connects_to_haproxy_over_tls() {
    over_tls(&peer(), &under_test());
}

#[test]
fn haproxy_connects_to_a_peer_of_ours_over_tls() {
    over_tls(&under_test(), &peer());
}

fn numbers() -> Definition {
    let columns =
        vec![Column { data: 2, elements: 1, period_ms: 0 }, Column { data: 3, elements: 1, period_ms: 3_600_000 }];
    Definition { id: 7, name: b"numbers".to_vec(), key: Key::Integer, expire_ms: 3_600_000, columns }
}

/// A hundred thousand entries, from the test to one process and from there to another that starts then.
fn very_many(first: &PathBuf, second: &PathBuf) {
    const MANY: u32 = 100_000;
    let house = House::new();
    let a = house.start(first, "A", TABLES);
    let teach = || {
        let mut teacher = Peer::connect(house.a.number, "A", "F").expect("it is welcome");
        teacher.define(&numbers());
        for n in 0..MANY {
            teacher.tell(n + 1, None, &n.to_be_bytes(), &[n as u64, 0, 0, 0]);
        }
        teacher.flush();
        teacher
    };
    let began = Instant::now();
    let mut teacher = teach();
    wait_long("all are learned", || {
        // HAProxy drops who comes while it tries to connect to the same peer itself.
        if teacher.is_closed() {
            teacher = teach();
        }
        teacher.keep_alive();
        a.used("numbers") == MANY as usize
    });
    let learned = began.elapsed();
    let b = house.start(second, "B", TABLES);
    let began = Instant::now();
    wait_long("all are taught", || {
        teacher.keep_alive();
        b.used("numbers") == MANY as usize
    });
    eprintln!("{MANY} entries: learned in {learned:?}, taught in {:?}", began.elapsed());
    // HAProxy waits five seconds for an old process before it asks for them.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(b.ask("show table numbers key 99999").contains("gpc0=99999"));
}

#[test]
fn a_hundred_thousand_entries_pass_between_two_of_ours() {
    very_many(&under_test(), &under_test());
}

#[test]
fn a_hundred_thousand_entries_go_to_haproxy() {
    very_many(&under_test(), &peer());
}

#[test]
fn a_hundred_thousand_entries_come_from_haproxy() {
    very_many(&peer(), &under_test());
}

#[test]
fn a_node_that_takes_over_keeps_stickiness_and_limits() {
    takes_over(&under_test(), &under_test());
}

#[test]
fn a_node_that_takes_over_from_haproxy_keeps_stickiness_and_limits() {
    takes_over(&peer(), &under_test());
}

#[test]
fn haproxy_that_takes_over_keeps_stickiness_and_limits() {
    takes_over(&under_test(), &peer());
}

fn takes_over(first: &PathBuf, second: &PathBuf) {
    let house = House::new();
    let servers: Vec<Origin> = ["one", "two", "three"]
        .iter()
        .map(|name| {
            let body = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            Origin::start(vec![Step::Serve(body.into())])
        })
        .collect();
    let fronts = [Port::hold(), Port::hold()];
    let traffic = |front: &Port| {
        let lines = servers.iter().enumerate().map(|(i, s)| format!(" server s{i} 127.0.0.1:{}\n", s.port));
        format!(
            "frontend web\n bind 127.0.0.1:{}\n http-request track-sc0 src table all/limits\n \
             http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 6 }}\n default_backend app\n\
             backend app\n balance roundrobin\n stick-table type string len 16 size 1k expire 1h peers all\n \
             stick on req.hdr(x-user)\n{}",
            front.number,
            lines.collect::<String>()
        )
    };
    let with_limits = |text: String| {
        text.replace("table own", "table limits type ip size 1k expire 1h store http_req_rate(1h)\n table own")
    };
    let start = |binary: &PathBuf, name: &str, front: &Port| {
        let directory = Directory::new();
        let socket = directory.join("s");
        let config = with_limits(house.config(name, &socket, &traffic(front)));
        let program = Program::start(binary, &directory, &config, &[house.port(name), front.number]);
        wait_until("the socket is there", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        Node { program, socket, _directory: directory }
    };
    let (a, b) = (start(first, "A", &fronts[0]), start(second, "B", &fronts[1]));
    wait_met(&a, &b);
    let get = |front: &Port, user: &str| {
        let mut client = Client::connect(front.number);
        client.send(format!("GET / HTTP/1.1\r\nHost: x\r\nX-User: {user}\r\n\r\n"));
        client.response()
    };
    let served: Vec<(&str, Vec<u8>)> = ["ann", "bob", "cid"].map(|user| (user, get(&fronts[0], user))).into();
    assert!(served.iter().all(|(_, answer)| status(answer) == Some(200)));
    wait_until("B knows them", || b.entries("app").len() == 3);
    assert!(b.entries("app").iter().all(|e| e.contains("server_key=s")), "{:?}", b.entries("app"));
    let end = Instant::now() + common::BOUND;
    while !b.entries("all/limits").join("").ends_with("=3") {
        let (known, told) = (b.entries("all/limits"), a.entries("all/limits"));
        assert!(
            Instant::now() < end,
            "B knows {known:?}, A {told:?}\n{}{}",
            a.ask("show peers"),
            b.ask("show peers")
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(a);
    let body = |answer: &[u8]| answer.rsplit(|c| *c == b'\n').next().map(<[u8]>::to_vec);
    // In another order than round robin would have it.
    for (user, answer) in served.iter().rev() {
        assert_eq!(body(&get(&fronts[1], user)), body(answer), "{user}");
    }
    // Three before, three now: the next is one too many.
    assert_eq!(status(&get(&fronts[1], "ann")), Some(429));
}

#[test]
fn a_successor_learns_from_the_process_before_it_ends() {
    let house = House::new();
    let directory = Directory::new();
    let config = |number: u32| {
        let socket = directory.join(&format!("s{number}"));
        (directory.write(&format!("{number}.cfg"), house.config("A", &socket, TABLES)), socket)
    };
    let start = |file: &str, words: &[&str]| {
        let mut command = std::process::Command::new(under_test());
        command.args(["-db", "-f", file]).args(words).stdout(std::process::Stdio::null());
        Killed(command.stderr(std::process::Stdio::null()).spawn().expect("it starts"))
    };
    let (file, socket) = config(1);
    let mut old = start(&file, &[]);
    wait_until("the socket is there", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    for n in 0..20 {
        ask(&socket, &format!("set table numbers key {n} data.gpc0 {n} data.gpc0_rate 5"));
    }
    let (file, socket) = config(2);
    let _new = start(&file, &["-sf", &old.0.id().to_string()]);
    wait_until("the socket is there", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    let list = || ask(&socket, "show table numbers");
    wait_until("the new process knows all", || list().matches("gpc0_rate(3600000)=5").count() == 20);
    wait_until("the old process has ended", || old.0.try_wait().expect("wait").is_some());
    assert_eq!(old.0.wait().expect("wait").code(), Some(0));
}

/// A process that is killed with the test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_is_not_meant_or_not_known_is_told_so() {
    let house = House::new();
    let mut a = house.start(&under_test(), "A", TABLES);
    for (to, from, status) in
        [("B", "F", Status::LocalMismatch), ("A", "X", Status::RemoteMismatch), ("A", "F", Status::Succeeded)]
    {
        assert_eq!(Peer::connect(house.a.number, to, from).err().unwrap_or(Status::Succeeded), status, "{to} {from}");
    }
    for (text, answer) in [("HAProxyS 3.0\nA\nF 1 0\n", "502\n"), ("GET / HTTP/1.1\r\n\r\n", "501\n")] {
        let mut stream = TcpStream::connect(("127.0.0.1", house.a.number)).expect("it listens");
        stream.write_all(text.as_bytes()).expect("written");
        stream.set_read_timeout(Some(common::BOUND)).expect("a timeout");
        let mut read = String::new();
        let _ = stream.read_to_string(&mut read);
        assert_eq!(read, answer, "{text}");
    }
    a.program.assert_runs();
}

#[test]
fn a_peer_that_talks_nonsense_loses_its_connection_and_nothing_else() {
    let house = House::new();
    let mut a = house.start(&under_test(), "A", TABLES);
    for bytes in [
        vec![10, 128, 3, 1, 2],
        vec![10, 130, 4, 1, 200, 1, 1],
        vec![10, 128, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        vec![10, 3],
        vec![0xff; 4000],
    ] {
        let mut liar = Peer::connect(house.a.number, "A", "F").expect("it is welcome");
        liar.define(&numbers());
        liar.raw(&bytes);
        // An update with a length that is none of the table's.
        liar.raw(&[10, 128, 1, 0]);
        liar.flush();
        wait_until("it is closed", || liar.is_closed());
    }
    let mut honest = Peer::connect(house.a.number, "A", "F").expect("it is welcome");
    honest.define(&numbers());
    honest.tell(1, None, &5u32.to_be_bytes(), &[6, 0, 0, 0]);
    honest.flush();
    wait_until("it is believed", || a.entries("numbers") == ["key=5 gpc0=6 gpc0_rate(3600000)=0"]);
    a.program.assert_runs();
}

#[test]
fn what_was_acknowledged_is_not_told_again_after_a_break() {
    let house = House::new();
    let a = house.start(&under_test(), "A", TABLES);
    let mut f = Peer::connect(house.a.number, "A", "F").expect("it is welcome");
    a.set("numbers key 1 data.gpc0 1");
    a.set("numbers key 2 data.gpc0 1");
    let first = f.updates(2);
    let keys = |list: &[common::peers::Told]| {
        let mut keys: Vec<_> = list.iter().map(|t| t.key[3]).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(&first), [1, 2]);
    f.ack(first[1].table, first[1].number);
    a.set("numbers key 3 data.gpc0 1");
    assert_eq!(keys(&f.updates(1)), [3]);
    drop(f);
    let mut f = Peer::connect(house.a.number, "A", "F").expect("it is welcome");
    assert_eq!(keys(&f.updates(1)), [3], "only what was not acknowledged");
    f.control(Control::ResyncRequest);
    f.flush();
    let all = f.updates(3);
    assert_eq!(keys(&all), [1, 2, 3]);
    assert!(all.iter().all(|t| t.left_ms.is_some_and(|ms| ms > 3_500_000)));
}

#[test]
fn a_peer_is_not_told_again_what_it_has_told() {
    let house = House::new();
    let a = house.start(&under_test(), "A", TABLES);
    let mut f = Peer::connect(house.a.number, "A", "F").expect("it is welcome");
    a.set("numbers key 1 data.gpc0 1");
    f.define(&numbers());
    f.tell(1, None, &2u32.to_be_bytes(), &[6, 0, 0, 0]);
    f.tell(2, None, &3u32.to_be_bytes(), &[6, 0, 0, 0]);
    f.flush();
    wait_until("it is believed", || a.used("numbers") == 3);
    a.set("numbers key 3 data.gpc0 7");
    assert_eq!(f.updates(2).len(), 2, "what changed here");
    f.control(Control::ResyncRequest);
    f.flush();
    let mut keys: Vec<u8> = f.updates(2).iter().map(|told| told.key[3]).collect();
    keys.sort_unstable();
    assert_eq!(keys, [1, 3]);
}

#[test]
fn a_peer_that_does_not_read_holds_nobody_up() {
    let house = House::new();
    let a = house.start(&under_test(), "A", TABLES);
    let b = house.start(&under_test(), "B", TABLES);
    wait_long("they have met", || a.is_connected_to("B"));
    let mut lazy = Peer::connect(house.a.number, "A", "F").expect("it is welcome");
    for _ in 0..200 {
        lazy.control(Control::ResyncRequest);
    }
    lazy.flush();
    for n in 0..300 {
        a.set(&format!("numbers key {n} data.gpc0 {n}"));
    }
    wait_until("B has all", || b.used("numbers") == 300);
}

#[test]
fn tags_and_servers_are_written_to_a_second_table_and_counters_are_not() {
    let house = House::new();
    let tables = "backend far\n stick-table type ip size 1k expire 1h peers all recv-only write-to near store \
                  gpt0,gpc0,conn_cur\n\
                  backend near\n stick-table type ip size 1k expire 1h store gpt0,gpc0\n";
    let a = house.start(&under_test(), "A", tables);
    let mut f = Peer::connect(house.a.number, "A", "F").expect("it is welcome");
    let columns = [1, 2, 6].map(|data| Column { data, elements: 1, period_ms: 0 }).to_vec();
    f.define(&Definition { id: 1, name: b"far".to_vec(), key: Key::Ipv4, expire_ms: 0, columns });
    f.tell(1, Some(60_000), &[10, 0, 0, 9], &[4, 5, 6]);
    f.flush();
    wait_until("it is learned", || a.entries("near").len() == 1);
    assert_eq!(a.entries("far"), ["key=10.0.0.9 gpt0=4 gpc0=5 conn_cur=6"]);
    assert_eq!(a.entries("near"), ["key=10.0.0.9 gpt0=4 gpc0=0"]);
    let text = a.ask("show table far");
    let left: u64 = text.split("exp=").nth(1).and_then(|t| t.split(' ').next()?.parse().ok()).expect("a time");
    assert!(left <= 60_000, "{text}");
}

#[test]
fn peers_are_shown_in_haproxys_layout() {
    let house = House::new();
    let a = house.start(&under_test(), "A", TABLES);
    assert_eq!(a.ask("show peers nobody"), "No such peers\n\n");
    let _f = Peer::connect(house.a.number, "A", "F").expect("it is welcome");
    wait_until("it is there", || a.is_connected_to("F"));
    let text = a.ask("show peers all");
    let mask = |line: &str| {
        let words = line.split(' ').map(|w| match w.split_once('=') {
            _ if w.starts_with("0x") => "0x:".to_owned(),
            Some((name, _)) if !matches!(name, "local_id" | "app_state" | "id") => format!("{name}="),
            _ => w.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let lines: Vec<String> = text.lines().map(mask).collect();
    let about = |name: &str, place: &str, active: &str, state: &str| {
        format!("  0x: id={name}({place},{active}) addr= app_state={state} learn_state= last_status= last_hdshk=")
    };
    assert!(lines[0].ends_with("id=all disabled= flags= resync_timeout= task_calls="), "{text}");
    assert_eq!(lines[1], about("F", "remote", "active", "RUNNING"), "{text}");
    let times = "        reconnect= heartbeat= confirm= tx_hbt= rx_hbt= no_hbt= new_conn= proto_err= coll=";
    assert_eq!(lines[2], times, "{text}");
    assert!(lines.contains(&about("B", "remote", "inactive", "STOPPED")), "{text}");
    assert!(lines.contains(&about("A", "local", "inactive", "STOPPED")), "{text}");
    assert!(lines.contains(&"        shared tables:".to_owned()), "{text}");
    let dictionaries = a.ask("show peers dict all");
    assert!(dictionaries.contains("        RX dictionary cache:\n            0 -> -    1 -> -    2 -> -"), "{text}");
    let info = a.ask("show info");
    assert!(info.contains("ConnectedPeers: 1\n"), "{info}");
}

/// Who follows has said hello and learns for ever: the process ends all the same.
#[test]
fn a_soft_stop_that_is_overdue_does_not_wait_for_its_successor_to_learn() {
    let (directory, own) = (Directory::new(), Port::hold());
    let config = format!(
        "global\n localpeer A\n hard-stop-after 200ms\ndefaults\n timeout client 5s\npeers all\n peer A 127.0.0.1:{}\n \
         table t type ip size 1k store gpc0\n",
        own.number
    );
    let mut program = Program::start(&under_test(), &directory, &config, &[own.number]);
    let successor = Origin::start_on(own.number, vec![vec![Step::Send(b"200\n".to_vec()), Step::Eof]]);
    program.signal(rustix::process::Signal::USR1);
    let begun = Instant::now();
    assert_eq!(program.wait(), 0);
    assert!(successor.connections() > 0, "it was not taught");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
