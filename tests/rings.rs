//! Rings (manual 12.5): log lines kept in memory, read with `show events`, and sent to servers that may be slow, gone, or
//! back again.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::port::Port;
use common::program::{Program, under_test};
use common::tls::Authority;
use common::{BOUND, cli, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

struct Site {
    program: Program,
    web: Port,
    socket: String,
    _directory: Directory,
}

/// A frontend whose lines say the path; `targets` are `log` lines of `global`.
fn start(targets: &str, rings: &str) -> Site {
    start_in(Directory::new(), targets, rings)
}

fn start_in(directory: Directory, targets: &str, rings: &str) -> Site {
    let web = Port::hold();
    let socket = directory.join("admin.sock");
    let config = format!(
        "global\n stats socket {socket} level admin\n nbthread 2\n log-tag edge\n{targets}defaults\n mode http\n timeout client \
         5s\n timeout connect 5s\n timeout server 5s\nfrontend f\n bind 127.0.0.1:{}\n log global\n log-format \"path \
         %HP\"\n http-request return status 200\n{rings}",
        web.number
    );
    let program = Program::start(&under_test(), &directory, &config, &[web.number]);
    Site { program, web, socket, _directory: directory }
}

impl Site {
    /// One request for each path, on connections of their own: several workers log.
    fn ask(&self, paths: impl IntoIterator<Item = String>) {
        for path in paths {
            let mut client = Client::connect(self.web.number);
            client.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"));
            assert_eq!(client.status(), 200);
        }
    }

    fn cli(&self, command: &str) -> String {
        cli::ask(&self.socket, command)
    }

    /// Waits until a ring shows this.
    fn shows(&self, ring: &str, text: &str) -> String {
        let mut all = String::new();
        wait_until(&format!("{ring} shows {text:?}"), || {
            all = self.cli(&format!("show events {ring}"));
            all.contains(text)
        });
        all
    }

    fn dropped(&self, ring: &str) -> u64 {
        let list = self.cli("show events");
        let line = list.lines().find(|l| l.split_whitespace().next() == Some(ring)).expect("the ring");
        let (_, rest) = line.split_once("type=buffer, ").expect("a buffer");
        rest.split(' ').next().and_then(|n| n.parse().ok()).expect("a number")
    }
}

/// A syslog server of a ring.
struct Collector(TcpListener);

impl Collector {
    fn open() -> (Collector, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        (Collector(listener), port)
    }

    fn accept(&self) -> BufReader<TcpStream> {
        let (stream, _) = self.0.accept().expect("a connection");
        stream.set_read_timeout(Some(BOUND)).expect("a read timeout");
        BufReader::new(stream)
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("a line in time");
    line
}

/// One event framed by its length.
fn counted(from: &mut impl BufRead) -> String {
    let mut length = Vec::new();
    from.read_until(b' ', &mut length).expect("a length in time");
    let length = String::from_utf8(length).expect("text").trim().parse().expect("a number");
    let mut event = vec![0; length];
    from.read_exact(&mut event).expect("an event in time");
    String::from_utf8(event).expect("text")
}

#[test]
fn a_ring_keeps_lines_in_its_own_format_and_show_events_lists_it() {
    let rings = "ring plain\nring five\n description \"of five\"\n format rfc5424\nring short\n format short\n maxlen 9\nring three\n \
                 format rfc3164\nring priority\n format priority\nring timed\n format timed\nring iso\n format iso\nring local\n \
                 format local\nring raw\n format raw\nring cut\n";
    let targets = " log ring@plain format rfc5424 local0\n log ring@five local1\n log ring@short local0\n log ring@three \
                   local2\n log ring@priority local3 debug err\n log ring@timed local0\n log ring@iso local0\n log ring@local \
                   local0\n log ring@raw local0\n log ring@cut len 80 local0\n log ring@buf0 local0\n log ring@plain local0 err\n";
    let site = start(targets, rings);
    site.ask(["/one".to_owned()]);
    // The next may be another worker's, whose line could come first.
    site.shows("buf0", "path /one\n");
    site.ask([format!("/{}", "y".repeat(100))]);
    let pid = site.program.pid();
    assert_eq!(
        site.shows("plain", "yyy\n"),
        format!("path /one\npath /{}\n\n", "y".repeat(100)),
        "the ring's format"
    );
    let five = site.shows("five", "yyy\n");
    let (first, _) = five.split_once('\n').expect("two lines");
    assert!(first.starts_with("<142>1 20") && first.ends_with(&format!(" - edge {pid} - - path /one")), "{first}");
    assert_eq!(site.shows("short", "/\n<6>").trim_end(), "<6>path /\n<6>path /", "`maxlen` holds for the whole");
    let three = site.shows("three", "yyy\n");
    assert!(three.starts_with("<150>") && three.contains(&format!(" localhost edge[{pid}]: path /one\n")), "{three}");
    assert!(site.shows("priority", "yyy\n").starts_with("<158>path /one\n"));
    assert!(site.shows("timed", "yyy\n").starts_with("<6>20"));
    assert!(site.shows("iso", "yyy\n").starts_with("20"));
    assert!(site.shows("local", "yyy\n").contains(&format!(" edge[{pid}]: path /one\n")));
    assert!(site.shows("raw", "yyy\n").starts_with("path /one\n"));
    assert!(site.shows("buf0", "yyy\n").starts_with("<6>20"), "there without a section");
    let cut = format!("path /{}", "y".repeat(73));
    assert_eq!(site.shows("cut", "yyy\n").lines().nth(1), Some(cut.as_str()), "`len` counts the newline");
    assert_eq!(site.cli("show events raw -0").matches('\0').count(), 2);
    assert_eq!(site.cli("show events raw -n"), "\n");
    let list = site.cli("show events");
    for line in [
        "    stdout     : type=fd, 0 dropped, standard output (fd#1)\n",
        "    buf0       : type=buffer, 0 dropped, in-memory ring buffer\n",
        "    plain      : type=buffer, 0 dropped, plain\n",
        "    five       : type=buffer, 0 dropped, of five\n",
    ] {
        assert!(list.contains(line), "{list}");
    }
}

#[test]
fn the_newest_events_replace_the_oldest_and_none_counts_as_dropped() {
    let site = start(" log ring@small local0\n", "ring small\n size 1000\n");
    site.ask((0..200).map(|n| format!("/n{n:04}")));
    let all = site.shows("small", "/n0199");
    let lines: Vec<&str> = all.trim_end().lines().collect();
    assert_eq!(lines.len(), 808 / (11 + 5), "{all}");
    assert_eq!(site.dropped("small"), 0);
}

#[test]
fn show_events_w_tells_what_comes_until_the_client_says_anything() {
    let site = start(" log ring@r local0\n", "ring r\n");
    site.ask(["/before".to_owned()]);
    site.shows("r", "/before");
    let mut stream = UnixStream::connect(&site.socket).expect("the socket");
    stream.set_read_timeout(Some(BOUND)).expect("a read timeout");
    stream.write_all(b"prompt\n").expect("a command");
    let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
    assert_eq!(line(&mut reader), "\n");
    stream.write_all(b"show events r -w; show cli level\n").expect("a command");
    assert_eq!(line(&mut reader), "> path /before\n");
    site.ask(["/after".to_owned()]);
    assert_eq!(line(&mut reader), "path /after\n");
    stream.write_all(b"show events r\n").expect("any input");
    assert_eq!([line(&mut reader), line(&mut reader)], ["\n", "admin\n"], "the input is discarded, the line goes on");
    stream.write_all(b"show events r -wn\n").expect("a command");
    assert_eq!(line(&mut reader), "\n");
    let mut prompt = [0; 2];
    reader.read_exact(&mut prompt).expect("a prompt");
    // Nothing says when the command has begun: what was there before is not told.
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a read timeout");
    wait_until("new events are told", || {
        site.ask(["/new".to_owned()]);
        reader.fill_buf().is_ok_and(|b| b.starts_with(b"path /new"))
    });
}

#[test]
fn servers_get_every_event_framed_as_log_proto_says() {
    let ((legacy, a), (octets, b)) = (Collector::open(), Collector::open());
    let rings = format!(
        "ring one\n server s 127.0.0.1:{a} log-proto legacy\n timeout connect 5s\n timeout server 5s\nring two\n format \
         rfc5424\n server s 127.0.0.1:{b} log-proto octet-count\n timeout connect 5s\n timeout server 5s\n"
    );
    let site = start(" log ring@one local0\n log ring@two local4\n", &rings);
    site.ask((0..300).map(|n| format!("/{n}")));
    let (mut legacy, mut octets) = (legacy.accept(), octets.accept());
    let mut lines: Vec<String> = (0..300).map(|_| line(&mut legacy)).collect();
    let mut events: Vec<String> = (0..300).map(|_| counted(&mut octets)).collect();
    lines.sort();
    events.sort_by_key(|e| e.rsplit(' ').next().unwrap_or_default().to_owned());
    let mut expected: Vec<String> = (0..300).map(|n| format!("path /{n}\n")).collect();
    expected.sort();
    assert_eq!(lines, expected);
    for (event, line) in events.iter().zip(&expected) {
        assert!(event.starts_with("<166>1 ") && event.ends_with(line.trim_end()), "{event:?} for {line:?}");
    }
}

#[test]
fn a_server_that_comes_late_or_again_gets_what_waited_for_it() {
    let (collector, port) = Collector::open();
    let rings = format!("ring r\n server s 127.0.0.1:{port}\n timeout connect 1s\n timeout server 1s\n");
    let site = start(" log ring@r local0\n", &rings);
    let mut first = collector.accept();
    site.ask(["/one".to_owned()]);
    assert_eq!(line(&mut first), "path /one\n");
    drop(first);
    // Whatever was sent into the broken connection apart, all comes.
    let mut second = collector.accept();
    site.ask(["/two".to_owned()]);
    assert_eq!(line(&mut second), "path /two\n");
    assert_eq!(site.dropped("r"), 0);
}

#[test]
fn a_server_that_does_not_read_costs_events_of_its_ring_and_no_request() {
    let (collector, port) = Collector::open();
    socket2::SockRef::from(&collector.0).set_recv_buffer_size(4096).expect("a small buffer");
    let rings = format!(
        "ring r\n maxlen 8000\n server s 127.0.0.1:{port}\n timeout connect 9s\n timeout server 60s\nring other\n"
    );
    let site = start(" log ring@r len 8192 local0\n log ring@other local0\n", &rings);
    let stalled = collector.accept();
    let mut asked = 0;
    wait_until("the ring is full", || {
        site.ask((asked..asked + 50).map(|n| format!("/{n}/{}", "y".repeat(6000))));
        asked += 50;
        site.dropped("r") > 0
    });
    site.shows("other", &format!("/{}/", asked - 1));
    let mut reader = stalled;
    let (mut came, mut told) = (0, 0);
    // Once there is room again the ring tells how many were lost, before the next event.
    while told == 0 || came + told < asked as u64 {
        if told == 0 {
            site.ask(["/more".to_owned()]);
            asked += 1;
        }
        let line = line(&mut reader);
        match line.strip_suffix(" events dropped \n") {
            Some(count) => told += count.parse::<u64>().expect("a number"),
            None => came += 1,
        }
    }
    assert_eq!((came + told, told), (asked as u64, site.dropped("r")));
    assert!(site.cli("show info").contains("\nDroppedLogs: 0\n"), "as HAProxy counts it");
}

#[test]
fn the_last_events_reach_the_servers_before_a_soft_stop_ends_the_process() {
    let (collector, port) = Collector::open();
    let rings = format!("ring r\n server s 127.0.0.1:{port}\n timeout connect 5s\n timeout server 5s\n");
    let mut site = start(" log ring@r local0\n", &rings);
    let mut reader = collector.accept();
    let mut client = Client::connect(site.web.number);
    client.send("GET /first HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(client.status(), 200);
    assert_eq!(line(&mut reader), "path /first\n");
    site.program.signal(rustix::process::Signal::USR1);
    client.send("GET /last HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    assert_eq!(client.status(), 200);
    assert_eq!(site.program.wait(), 0);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).expect("all until the end");
    assert!(rest.contains("path /last\n"), "{rest:?}");
}

#[test]
fn max_reuse_ends_connections_to_a_ring_s_server() {
    let (collector, port) = Collector::open();
    let rings = format!("ring r\n server s 127.0.0.1:{port} max-reuse 0\n timeout connect 5s\n timeout server 5s\n");
    let site = start(" log ring@r local0\n", &rings);
    for name in ["/one", "/two"] {
        let mut reader = collector.accept();
        site.ask([name.to_owned()]);
        let mut all = String::new();
        reader.read_to_string(&mut all).expect("all until the end");
        assert_eq!(all, format!("path {name}\n"));
    }
}

#[test]
fn a_ring_s_server_is_reached_over_tls() {
    let directory = Directory::new();
    let (collector, port) = Collector::open();
    let tls = Port::hold();
    let certificate = directory.write("c.pem", Authority::new("rings").issue(&["localhost"], false, 1).pem);
    // A listener of the same process takes the TLS off again.
    let rings = format!(
        "listen tls\n mode tcp\n bind 127.0.0.1:{} ssl crt {certificate}\n server s 127.0.0.1:{port}\nring r\n server s \
         127.0.0.1:{} ssl verify none\n timeout connect 5s\n timeout server 5s\n",
        tls.number, tls.number
    );
    let site = start_in(directory, " log ring@r local0\n", &rings);
    let mut reader = collector.accept();
    site.ask(["/secret".to_owned()]);
    assert_eq!(line(&mut reader), "path /secret\n");
}

#[test]
fn a_log_line_that_names_a_stream_has_a_ring_of_its_own() {
    let ((tcp, a), directory) = (Collector::open(), Directory::new());
    let path = directory.join("log.sock");
    let unix = UnixListener::bind(&path).expect("a listener");
    let targets = format!(
        " log tcp@127.0.0.1:{a} format raw local0\n log tcp4@127.0.0.1:{a} len 80 format priority local1\n log uxst@{path} \
         local2\n"
    );
    let site = start_in(directory, &targets, "");
    let mut readers = [tcp.accept(), tcp.accept()];
    let (stream, _) = unix.accept().expect("a connection");
    stream.set_read_timeout(Some(BOUND)).expect("a read timeout");
    site.ask([format!("/{}", "y".repeat(100))]);
    let mut lines = [line(&mut readers[0]), line(&mut readers[1])];
    lines.sort();
    assert_eq!(lines[0], format!("<142>path /{}\n", "y".repeat(79 - 5 - 6)));
    assert_eq!(lines[1], format!("path /{}\n", "y".repeat(100)));
    let local = line(&mut BufReader::new(stream));
    assert!(local.starts_with("<150>") && local.contains("]: path /yyy"), "{local}");
    let list = site.cli("show events");
    assert!(list.contains(&format!("    tcp@127.0.0.1:{a} : type=buffer, 0 dropped, tcp@127.0.0.1:{a}\n")), "{list}");
}
