//! Stick tables over the runtime API: exchanges recorded from HAProxy, entries that live with several workers, tables too
//! long for one piece, clients that do not read.

mod common;

use common::BOUND;
use common::cli::ask;
use common::client::Client;
use common::directory::Directory;
use common::http::status;
use common::origin::{Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::wait_until;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

struct Bench {
    _program: Program,
    port: Port,
    socket: String,
    user: String,
    _directory: Directory,
}

impl Bench {
    /// What follows the `bind` of a frontend `web`.
    fn start(rest: &str) -> Bench {
        let directory = Directory::new();
        let port = Port::hold();
        let (socket, user) = (directory.join("admin.sock"), directory.join("user.sock"));
        let config = format!(
            "global\n nbthread 3\n stats socket {socket} level operator\n stats socket {user} level user\n\
             defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             frontend web\n bind 127.0.0.1:{}\n{rest}\n",
            port.number
        );
        let program = Program::start(&under_test(), &directory, &config, &[port.number]);
        // The port listens a moment before the sockets do.
        wait_until("the sockets are there", || {
            UnixStream::connect(&socket).is_ok() && UnixStream::connect(&user).is_ok()
        });
        Bench { _program: program, port, socket, user, _directory: directory }
    }

    fn ask(&self, command: &str) -> String {
        ask(&self.socket, command)
    }
}

/// An answer without what differs from run to run: numbers and times of entries.
fn mask(answer: &str) -> String {
    let words = |line: &str| {
        let words = line.split(' ').map(|w| match w {
            w if w.starts_with("0x") => "0x:",
            w if w.starts_with("exp=") && w != "exp=0" => "exp=N",
            w => w,
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<String> = answer.lines().map(words).collect();
    // Entries have no order.
    let rank = |l: &str| {
        if l.starts_with("0x") { (1, l.to_owned()) } else { (if l.is_empty() { 2 } else { 0 }, String::new()) }
    };
    lines.sort_by_key(|l| rank(l));
    lines.join("\n")
}

#[test]
fn recorded_exchanges_have_the_same_answers() {
    let origin = Origin::start(vec![Step::Serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into())]);
    let bench = Bench::start(&format!(
        " default_backend be_web\nbackend be_web\n stick-table type ip size 10k expire 30m store \
         conn_cnt,http_req_rate(10s)\n stick on src\n server s1 127.0.0.1:{}\nbackend full\n \
         stick-table type integer size 1 nopurge store gpc0",
        origin.port
    ));
    let mut client = Client::connect(bench.port.number);
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(status(&client.response()), Some(200));
    wait_until("the server is remembered", || bench.ask("show table").contains("used:1"));
    let head = |used: u32| format!("# table: be_web, type: ip, size:10240, used:{used}");
    let mine = "0x: key=127.0.0.1 use=0 exp=N shard=0 server_id=1 conn_cnt=0 http_req_rate(10000)=0 server_key=s1";
    let set = "0x: key=10.9.9.9 use=0 exp=N shard=0 server_id=0 conn_cnt=5 http_req_rate(10000)=0 server_key=-";
    for (command, answer) in [
        ("show table", format!("# table: full, type: integer, size:1, used:0\n{}\n", head(1))),
        ("show table be_web", format!("{}\n{mine}\n", head(1))),
        ("set table be_web key 10.9.9.9 data.conn_cnt 5", String::new()),
        ("show table be_web", format!("{}\n{set}\n{mine}\n", head(2))),
        ("show table be_web key 10.9.9.9", format!("{}\n{set}\n", head(2))),
        ("show table be_web key 10.9.9.8", String::new()),
        ("show table be_web data.conn_cnt gt 2", format!("{}\n{set}\n", head(2))),
        ("show table be_web data.conn_cnt gt 2 data.server_id eq 1", format!("{}\n", head(2))),
        ("clear table be_web data.conn_cnt gt 5", String::new()),
        ("clear table be_web key 10.9.9.8", String::new()),
        ("show table be_web data.conn_cnt gt 2", format!("{}\n{set}\n", head(2))),
        ("clear table be_web key 10.9.9.9", String::new()),
        ("show table be_web", format!("{}\n{mine}\n", head(1))),
        ("clear table be_web", String::new()),
        ("show table be_web", format!("{}\n", head(0))),
        ("show table nope", "No such table\n".into()),
        ("set table be_web key notip data.conn_cnt 1", "Invalid key\n".into()),
        // What comes before a mistake is stored.
        ("set table be_web key 10.9.9.9 data.conn_cnt 5 data.gpc0 1", "Data type not stored in this table\n".into()),
        ("show table be_web", format!("{}\n{set}\n", head(1))),
        ("set table full key 1", String::new()),
        ("set table full key 2", "Unable to allocate a new entry\n".into()),
        ("show table full ptr 0x1", "No entry can be found matching ptr.\n".into()),
    ] {
        assert_eq!(mask(&bench.ask(command)), answer, "{command}");
    }
    let user = ask(&bench.user, "show table be_web");
    assert_eq!(user, format!("{}\n# contents not dumped due to insufficient privileges\n\n", head(1)));
    assert_eq!(ask(&bench.user, "clear table be_web"), "Permission denied\n\n");
    // The answers of a chain keep their order.
    let chain = bench.ask("show version;show table full key 7;set table full key 1 data.gpc0 3;show table full");
    assert!(chain.contains("\n\n\n\n# table: full") && chain.ends_with("gpc0=3\n\n"), "{chain}");
}

#[test]
fn an_entry_answers_to_the_number_it_is_shown_with() {
    let bench = Bench::start(" stick-table type string len 10 size 100 store gpc0");
    for key in ["a", "b", "c", "d", "e"] {
        assert_eq!(bench.ask(&format!("set table web key {key}")), "\n");
    }
    let all = bench.ask("show table web");
    let entries: Vec<(&str, &str)> = all.lines().filter_map(|l| l.split_once(": key=")).collect();
    assert_eq!(entries.len(), 5, "{all}");
    let (number, rest) = entries[3];
    let key = rest.split(' ').next().expect("a key");
    assert_eq!(bench.ask(&format!("set table web ptr {number} data.gpc0 9")), "\n");
    for one in [format!("show table web ptr {number}"), format!("show table web key {key}")] {
        assert!(bench.ask(&one).ends_with(&format!("{number}: key={key} use=0 exp=0 shard=0 gpc0=9\n\n")), "{one}");
    }
    assert_eq!(bench.ask(&format!("clear table web ptr {number}")), "\n");
    assert_eq!(bench.ask(&format!("show table web ptr {number}")), "No entry can be found matching ptr.\n\n");
}

#[test]
fn an_entry_in_use_stays() {
    let bench = Bench::start(" stick-table type ip size 100 store conn_cur\n tcp-request connection track-sc0 src");
    let client = Client::connect(bench.port.number);
    wait_until("the client is tracked", || bench.ask("show table web").contains("use=1"));
    assert_eq!(bench.ask("clear table web key 127.0.0.1"), "Entry currently in use, cannot remove\n\n");
    assert_eq!(bench.ask("clear table web"), "\n");
    assert!(bench.ask("show table web").contains("use=1"));
    drop(client);
    wait_until("nobody is tracked", || bench.ask("show table web").contains("use=0"));
    assert_eq!(bench.ask("clear table web key 127.0.0.1"), "\n");
    assert!(bench.ask("show table web").starts_with("# table: web, type: ip, size:100, used:0\n\n"));
}

#[test]
fn a_long_table_is_shown_whole_and_cleared() {
    const ENTRIES: usize = 20_000;
    let bench = Bench::start(" stick-table type integer size 100k store gpc0,http_req_rate(10s),bytes_in_cnt");
    let mut stream = UnixStream::connect(&bench.socket).expect("connect");
    stream.set_read_timeout(Some(BOUND)).expect("a read timeout");
    let mut reader = stream.try_clone().expect("a second handle");
    // Answers are taken meanwhile, for a client that only writes is not waited for.
    let answers = std::thread::spawn(move || {
        let mut answers = Vec::new();
        reader.read_to_end(&mut answers).map(|_| answers)
    });
    stream.write_all(b"prompt i\n").expect("writing");
    let lines: String = (0..ENTRIES).map(|n| format!("set table web key {n} data.gpc0 {}\n", n % 2)).collect();
    stream.write_all(lines.as_bytes()).expect("writing");
    stream.write_all(b"quit\n").expect("writing");
    answers.join().expect("a reader").expect("answers");
    // One that asks for everything and takes nothing holds up nobody.
    let mut idle = UnixStream::connect(&bench.socket).expect("connect");
    idle.write_all(b"show table web\n").expect("writing");
    let all = bench.ask("show table web");
    let keys: HashSet<&str> =
        all.lines().filter_map(|l| l.split_once("key=")).filter_map(|(_, l)| l.split(' ').next()).collect();
    assert_eq!(keys.len(), ENTRIES);
    assert_eq!(all.lines().count(), ENTRIES + 2);
    assert_eq!(bench.ask("clear table web data.gpc0 eq 1"), "\n");
    assert!(bench.ask("show table").contains(&format!("used:{}", ENTRIES / 2)));
    drop(idle);
    assert_eq!(bench.ask("clear table web"), "\n");
    assert_eq!(bench.ask("show table web"), "# table: web, type: integer, size:102400, used:0\n\n");
}
