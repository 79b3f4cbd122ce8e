//! TCP sessions go on in the process that follows, so that no long connection keeps an old one alive. By `-x` with `-sf` and
//! by a master's reload, on both engines.

mod common;

use common::cli::{ask, stat};
use common::client::{Client, End};
use common::origin::{Gate, Origin, Step};
use common::port::Port;
use common::succession::{ENGINES, Process, Site};
use common::syslog::Syslog;
use common::tls::{self, Authority};
use common::{BOUND, pattern, raise_open_files, wait_until};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A frontend and a backend in TCP mode, with more lines for each section.
struct Config<'a> {
    global: &'a str,
    frontend: &'a str,
    backend: &'a str,
    server: &'a str,
    more: &'a str,
}

const PLAIN: Config<'static> = Config { global: "", frontend: "", backend: "", server: "", more: "" };

impl Site {
    fn configure(&self, origin: u16, config: &Config<'_>) -> String {
        let Config { global, frontend, backend, server, more } = config;
        let text = format!(
            "global\n nbthread 2\n stats socket {} level admin expose-fd listeners\n {global}\ndefaults\n mode tcp\n \
             timeout client 20s\n timeout connect 5s\n timeout server 20s\nfrontend f\n bind 127.0.0.1:{}\n {frontend}\n \
             default_backend b\nbackend b\n {backend}\n server s 127.0.0.1:{origin} {server}\n{more}\n",
            self.socket, self.port.number
        );
        self.directory.write("c.cfg", text)
    }

    /// A connection that has carried a word there and back.
    fn client(&self) -> Client {
        let mut client = Client::connect(self.port.number);
        client.stream().set_read_timeout(Some(BOUND)).expect("timeout");
        echoes(&mut client, "hello");
        client
    }

    fn numbers(&self, field: &str) -> [String; 3] {
        [("f", "FRONTEND"), ("b", "BACKEND"), ("b", "s")].map(|(p, s)| stat(&self.socket, p, s, field))
    }
}

fn echoes(client: &mut Client, word: &str) {
    client.send(format!("{word}\n"));
    assert_eq!(client.until(b"\n"), format!("{word}\n").into_bytes());
}

/// Words go there and back for so long.
fn echoes_for(client: &mut Client, during: Duration) {
    let begun = Instant::now();
    let mut n = 0;
    while begun.elapsed() < during {
        n += 1;
        echoes(client, &format!("word {n}"));
    }
}

fn echo() -> Origin {
    Origin::start(vec![Step::Echo])
}

/// Waits until a process that has been followed is gone.
fn has_left(old: &mut Process, engine: &str) {
    wait_until(&format!("the old one has finished on {engine}"), || old.has_ended());
}

#[test]
fn idle_sessions_go_on_in_the_process_that_follows() {
    for engine in ENGINES {
        let (mut site, origin) = (Site::new(engine), echo());
        let config = site.configure(origin.port, &PLAIN);
        let mut process = site.start(&config, &[]);
        let mut client = site.client();
        let descriptors = process.descriptors();
        for word in ["first", "second"] {
            process = site.follow(&mut process, &config);
            echoes(&mut client, word);
            assert_eq!(site.numbers("scur"), ["1", "1", "1"], "on {engine}");
        }
        // When it was counted, whoever looked whether the first process is there may still have been connected.
        wait_until("no more descriptors are open than before", || process.descriptors() <= descriptors);
        // Engines know nothing of each other.
        site.engine = ENGINES[usize::from(engine == ENGINES[0])];
        let _last = site.follow(&mut process, &config);
        echoes(&mut client, "third");
        client.half_close();
        assert_eq!(client.closed(), (Vec::new(), End::Closed));
        assert_eq!(origin.connections(), 1);
        site.comes_to("f", "FRONTEND", "scur", "0");
        assert_eq!(site.numbers("scur"), ["0", "0", "0"], "on {engine}");
    }
}

#[test]
fn a_master_keeps_no_worker_for_a_session_and_counts_it_once() {
    for engine in ENGINES {
        let (site, origin) = (Site::new(engine), echo());
        let config = site.configure(origin.port, &PLAIN);
        let (master, socket) = site.master(&config);
        let mut client = site.client();
        let workers = || {
            let children = format!("/proc/{0}/task/{0}/children", master.id());
            std::fs::read_to_string(children).expect("its children").split_whitespace().count()
        };
        assert_eq!(workers(), 1);
        for word in ["first", "second"] {
            site.reload(&socket);
            wait_until(&format!("one worker is left on {engine}"), || workers() == 1);
            echoes(&mut client, word);
            assert_eq!(site.numbers("scur"), ["1", "1", "1"], "on {engine}");
            assert_eq!(site.numbers("stot"), ["1", "1", "1"], "on {engine}");
        }
        client.half_close();
        client.closed();
        site.comes_to("f", "FRONTEND", "scur", "0");
        assert_eq!(
            (site.numbers("bin"), site.numbers("bout")),
            (["19"; 3].map(String::from), ["19"; 3].map(String::from))
        );
    }
}

#[test]
fn a_session_that_may_outlive_one_reload_ends_with_its_process_at_the_second() {
    for engine in ENGINES {
        let (site, origin) = (Site::new(engine), echo());
        let config = site.configure(origin.port, &Config { global: "mworker-max-reloads 1", ..PLAIN });
        let (_master, socket) = site.master(&config);
        let mut client = site.client();
        site.reload(&socket);
        echoes(&mut client, "after the first");
        site.reload(&socket);
        assert!(client.closed().0.is_empty(), "on {engine}");
    }
}

/// Sends bytes without end and compares what comes back, until told to stop.
fn stream(port: u16, seed: u64, stop: &AtomicBool, received: &AtomicU64) {
    const PIECE: usize = 1 << 20;
    let mut writer = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let mut reader = writer.try_clone().expect("clone");
    writer.set_write_timeout(Some(BOUND)).expect("timeout");
    reader.set_read_timeout(Some(BOUND)).expect("timeout");
    let bytes = pattern(PIECE, seed);
    let sent = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                writer.write_all(&bytes).expect("the session takes bytes");
                sent += PIECE;
            }
            writer.shutdown(Shutdown::Write).expect("shutdown");
            sent
        });
        let (mut at, mut buffer) = (0, vec![0; 1 << 16]);
        loop {
            let n = reader.read(&mut buffer).unwrap_or_else(|e| panic!("seed {seed}, after {at} bytes: {e}"));
            // Whole pieces at once: a byte at a time takes an unoptimised test longer than all else.
            let mut left = &buffer[..n];
            while !left.is_empty() {
                let wanted = &bytes[at % PIECE..];
                let (some, more) = left.split_at(left.len().min(wanted.len()));
                assert!(*some == wanted[..some.len()], "seed {seed}, from byte {at} on");
                at += some.len();
                left = more;
            }
            received.fetch_add(n as u64, Ordering::Relaxed);
            if n == 0 {
                assert_eq!(Some(at), writing.join().ok(), "seed {seed}");
                return at;
            }
        }
    });
    assert!(sent > 0);
}

/// Streams end with the test, however that ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_byte_is_lost_or_doubled_at_full_speed_both_ways() {
    for (engine, splice) in ENGINES.into_iter().flat_map(|e| [(e, ""), (e, "option splice-auto")]) {
        let (site, origin) = (Site::new(engine), echo());
        let config = site.configure(origin.port, &Config { backend: splice, ..PLAIN });
        let mut process = site.start(&config, &[]);
        let stop = AtomicBool::new(false);
        let received = [const { AtomicU64::new(0) }; 3];
        std::thread::scope(|scope| {
            let _ends = Ends(&stop);
            for (seed, received) in received.iter().enumerate() {
                let (stop, port) = (&stop, site.port.number);
                scope.spawn(move || stream(port, seed as u64 + 1, stop, received));
            }
            let flows = |_: &str| {
                let before = received.each_ref().map(|r| r.load(Ordering::Relaxed));
                wait_until("all flow", || {
                    received.iter().zip(before).all(|(now, before)| now.load(Ordering::Relaxed) > before + (2 << 20))
                });
            };
            flows("at first");
            for _ in 0..3 {
                process = site.succeed(&process, &config).after(&mut process, engine);
                flows("after");
            }
        });
        assert_eq!(origin.connections(), 3, "on {engine} {splice}");
    }
}

impl Process {
    /// This one, once the `old` one has left.
    fn after(self, old: &mut Process, engine: &str) -> Process {
        has_left(old, engine);
        self
    }
}

#[test]
fn two_hundred_sessions_move_at_once() {
    raise_open_files();
    for engine in ENGINES {
        let (site, origin) = (Site::new(engine), echo());
        let config = site.configure(origin.port, &PLAIN);
        let mut old = site.start(&config, &[]);
        let mut clients: Vec<Client> = (0..200).map(|_| site.client()).collect();
        let _new = site.follow(&mut old, &config);
        for (n, client) in clients.iter_mut().enumerate() {
            echoes(client, &format!("word {n}"));
        }
        assert_eq!(site.numbers("scur"), ["200", "200", "200"], "on {engine}");
        assert_eq!(origin.connections(), 200);
    }
}

#[test]
fn half_closed_sessions_move_with_each_side_s_end() {
    for engine in ENGINES {
        let (site, gate) = (Site::new(engine), Gate::new());
        let script = |steps: Vec<Step>| [vec![Step::Bytes(4), Step::Send(b"ok".into())], steps].concat();
        let origin = Origin::start_with(vec![
            script(vec![Step::Eof, Step::Gate(gate.clone()), Step::Send(b"late".into()), Step::Close]),
            script(vec![Step::HalfClose, Step::Bytes(12), Step::Eof, Step::Close]),
        ]);
        let config = site.configure(origin.port, &PLAIN);
        let mut old = site.start(&config, &[]);
        let begin = || {
            let mut client = Client::connect(site.port.number);
            client.send("ping");
            assert_eq!(client.until(b"ok"), b"ok");
            client
        };
        let mut first = begin();
        first.half_close();
        let mut second = begin();
        let mut byte = [0];
        second.stream().set_read_timeout(Some(BOUND)).expect("timeout");
        assert_eq!(second.stream().read(&mut byte).expect("the server's end"), 0, "on {engine}");
        origin.wait_for("both", |r| r.len() == 2);
        let _new = site.follow(&mut old, &config);
        gate.open();
        assert_eq!(first.closed(), (b"late".to_vec(), End::Closed), "on {engine}");
        second.send("and more").half_close();
        assert_eq!(origin.ended(1).bytes, b"pingand more", "on {engine}");
        assert_eq!(origin.ended(0).bytes, b"ping");
        site.comes_to("f", "FRONTEND", "scur", "0");
    }
}

#[test]
fn the_log_line_at_the_end_tells_of_the_whole_session() {
    for engine in ENGINES {
        let (site, origin, log) = (Site::new(engine), echo(), Syslog::udp());
        let lines = format!(
            "log {} local0\n log-format \"%ci:%cp [%t] %ft %b/%s %Th/%Tw/%Tc %Tt %U/%B %ts %rc %[var(sess.word)] \
             %[var(txn.number)] %[capture.req.hdr(0)]\"\n tcp-request connection set-var(sess.word) str(a\\ word)\n \
             tcp-request inspect-delay 5s\n tcp-request content capture src len 15\n \
             tcp-request content set-var(txn.number) int(-7)",
            log.address
        );
        let config = site.configure(origin.port, &Config { frontend: &lines, ..PLAIN });
        let mut process = site.start(&config, &[]);
        let begun = Instant::now();
        let mut client = site.client();
        let mut lasted = Duration::ZERO;
        for word in ["1", "22"] {
            lasted = begun.elapsed();
            process = site.follow(&mut process, &config);
            echoes(&mut client, word);
        }
        client.half_close();
        client.closed();
        let line = log.line_with(&["127.0.0.1:"]);
        let most = begun.elapsed();
        let (head, rest) = line.split_once(&format!(" 127.0.0.1:{} [", client.port)).expect(&line);
        let words: Vec<&str> = rest.trim_end().split(' ').collect();
        assert_eq!(words[1..3], ["f", "b/s"], "{head} on {engine}: {line}");
        let total: u128 = words[4].parse().expect("a time");
        assert!(
            (lasted.as_millis()..=most.as_millis() + 1).contains(&total),
            "{lasted:?} {most:?} on {engine}: {line}"
        );
        assert!(words[3].split('/').all(|t| t.parse::<u64>().is_ok_and(|ms| ms < 1000)), "{line}");
        assert_eq!(words[5..], ["11/11", "--", "0", "a", "word", "-7", "127.0.0.1"], "on {engine}: {line}");
        let more = std::iter::from_fn(|| log.next(Duration::ZERO)).find(|l| l.contains("127.0.0.1:"));
        assert_eq!(more, None, "one line for one session");
    }
}

#[test]
fn tracked_entries_count_a_moved_session_as_open_and_not_as_new() {
    for engine in ENGINES {
        let (site, origin) = (Site::new(engine), echo());
        let config = site.configure(
            origin.port,
            &Config {
                frontend: "tcp-request connection track-sc0 src table t\n tcp-request inspect-delay 5s\n \
                           tcp-request content track-sc1 dst table t",
                more: "backend t\n stick-table type ip size 100 expire 1m store conn_cur,conn_cnt,bytes_in_cnt",
                ..PLAIN
            },
        );
        let (_master, socket) = site.master(&config);
        let mut client = site.client();
        let mut other = site.client();
        site.reload(&socket);
        let wanted = |text: &str| {
            wait_until(&format!("{text} on {engine}"), || ask(&site.socket, "show table t").contains(text))
        };
        wanted("conn_cnt=4 conn_cur=4");
        echoes(&mut client, "more");
        client.half_close();
        client.closed();
        wanted("conn_cnt=4 conn_cur=2 bytes_in_cnt=22");
        other.half_close();
        other.closed();
        wanted("conn_cnt=4 conn_cur=0 bytes_in_cnt=34");
    }
}

#[test]
fn a_session_that_the_new_configuration_has_no_place_for_stays_until_its_end() {
    for engine in ENGINES {
        let cases: [fn(&str) -> String; 5] = [
            |text| text.replace("server s ", "server other "),
            |text| text.replace("frontend f", "frontend g"),
            |text| text.replace("mode tcp", "mode http"),
            |text| text.replace("server s 127.0.0.1:", "server s 127.0.0.2:"),
            |text| text.replace(" server s ", " default-server ssl verify none\n server s "),
        ];
        for (n, change) in cases.into_iter().enumerate() {
            let (site, origin) = (Site::new(engine), echo());
            let config = site.configure(origin.port, &PLAIN);
            let mut old = site.start(&config, &[]);
            let mut client = site.client();
            let text = std::fs::read_to_string(&config).expect("it was written");
            let changed = site.directory.write("changed.cfg", change(&text));
            let new = site.succeed(&old, &changed);
            // It is asked more than once meanwhile.
            echoes_for(&mut client, Duration::from_millis(1500));
            assert!(!old.has_ended(), "case {n} on {engine}");
            drop(new);
            echoes(&mut client, "even now");
            client.half_close();
            client.closed();
            has_left(&mut old, engine);
        }
    }
}

#[test]
fn an_encrypted_session_stays_and_keeps_its_process() {
    for engine in ENGINES {
        let (site, origin) = (Site::new(engine), echo());
        let authority = Authority::new("authority");
        let pem = site.directory.write("server.pem", &authority.issue(&["localhost"], false, 1).pem);
        let text = std::fs::read_to_string(site.configure(origin.port, &PLAIN)).expect("it was written");
        let bind = format!("bind 127.0.0.1:{}", site.port.number);
        let config = site.directory.write("c.cfg", text.replace(&bind, &format!("{bind} ssl crt {pem}")));
        let mut old = site.start(&config, &[]);
        let mut client =
            tls::connect(&authority.client().build(), site.port.number, "localhost").expect("a connection");
        let mut says = |word: &[u8]| {
            client.write_all(word).expect("sending");
            let mut back = vec![0; word.len()];
            client.read_exact(&mut back).expect("its echo");
            assert_eq!(back, word);
        };
        says(b"hello");
        let _new = site.succeed(&old, &config);
        says(b"still");
        assert!(!old.has_ended(), "on {engine}");
        drop(client);
        has_left(&mut old, engine);
    }
}

#[test]
fn a_session_above_a_limit_moves_once_there_is_room() {
    for engine in ENGINES {
        let (site, origin) = (Site::new(engine), echo());
        let mut old = site.start(&site.configure(origin.port, &PLAIN), &[]);
        let mut clients = [site.client(), site.client()];
        let limited = site.configure(origin.port, &Config { server: "maxconn 1", ..PLAIN });
        let new = site.succeed(&old, &limited);
        site.comes_to("b", "s", "scur", "1");
        clients.iter_mut().for_each(|c| echoes(c, "both go on"));
        assert!(!old.has_ended(), "on {engine}");
        // One ends there, whichever it is that moved: ask who is left.
        let listed = ask(&site.socket, "show sess");
        let moved = clients.iter().position(|c| listed.contains(&format!("src=127.0.0.1:{} ", c.port)));
        let moved = moved.unwrap_or_else(|| panic!("on {engine}: {listed}"));
        clients[moved].half_close();
        clients[moved].closed();
        has_left(&mut old, engine);
        echoes(&mut clients[1 - moved], "here too");
        assert_eq!(site.numbers("scur"), ["1", "1", "1"], "on {engine}");
        drop(new);
    }
}

#[test]
fn a_moved_session_is_listed_timed_out_and_shut_down_as_any_other() {
    for engine in ENGINES {
        let (site, origin, log) = (Site::new(engine), echo(), Syslog::udp());
        let config = site.configure(origin.port, &PLAIN);
        let mut process = site.start(&config, &[]);
        let (mut idle, mut shut) = (site.client(), site.client());
        let lines = format!("log {} local0\n log-format \"%cp %ts\"", log.address);
        let logged = site.configure(origin.port, &Config { frontend: &lines, ..PLAIN });
        process = site.follow(&mut process, &logged);
        let listed = ask(&site.socket, "show sess");
        let mark = format!("src=127.0.0.1:{} fe=f be=b srv=s ", shut.port);
        let line = listed.lines().find(|l| l.contains(&mark)).unwrap_or_else(|| panic!("on {engine}: {listed}"));
        ask(&site.socket, &format!("shutdown session {}", line.split(':').next().expect("an id")));
        shut.closed();
        log.line_with(&[&format!("{} K-", shut.port)]);
        let lines = format!("{lines}\n timeout client 700ms");
        let _last = site.follow(&mut process, &site.configure(origin.port, &Config { frontend: &lines, ..PLAIN }));
        let begun = Instant::now();
        idle.closed();
        assert!(begun.elapsed() < Duration::from_secs(5), "on {engine}");
        log.line_with(&[&format!("{} cD", idle.port)]);
    }
}

#[test]
fn a_session_goes_on_where_it_was_when_who_follows_dies() {
    for engine in ENGINES {
        let (site, origin) = (Site::new(engine), echo());
        let config = site.configure(origin.port, &PLAIN);
        let mut old = site.start(&config, &[]);
        let mut client = site.client();
        let stopped = site.start(&config, &["-x", &site.socket]);
        // It is there but does not answer: the offer is withdrawn.
        stopped.signal(libc::SIGSTOP);
        old.signal(libc::SIGUSR1);
        echoes_for(&mut client, Duration::from_millis(2500));
        drop(stopped);
        echoes_for(&mut client, Duration::from_millis(100));
        assert!(!old.has_ended(), "on {engine}");
        client.half_close();
        client.closed();
        has_left(&mut old, engine);
    }
}

#[test]
fn a_session_does_not_move_to_a_thread_that_only_waits_for_the_others() {
    for engine in ENGINES {
        let (site, origin, other) = (Site::new(engine), echo(), Port::hold());
        let plain = site.configure(origin.port, &PLAIN);
        let text = std::fs::read_to_string(&plain).expect("it was written");
        let mut first = site.start(&plain, &[]);
        let mut moves = site.client();
        // Threads wait for each other where there are tables.
        let more = format!(
            "frontend g\n bind 127.0.0.1:{} thread 1\n default_backend b\nbackend t\n stick-table type ip size 10\n",
            other.number
        );
        let config = site.directory.write("second.cfg", text.clone() + &more);
        let mut second = site.start(&config, &["-x", &site.socket]);
        let mut stays = Client::connect(other.number);
        echoes(&mut stays, "the first thread is busy");
        let third = site.directory.write("third.cfg", text.replace("server s ", "server other "));
        let _third = site.succeed(&second, &third);
        first.signal(libc::SIGUSR1);
        has_left(&mut first, engine);
        stays.half_close();
        stays.closed();
        echoes_for(&mut moves, Duration::from_millis(200));
        moves.half_close();
        moves.closed();
        has_left(&mut second, engine);
    }
}

#[test]
fn a_session_whose_client_does_not_read_moves_once_it_does() {
    for engine in ENGINES {
        let (site, gate) = (Site::new(engine), Gate::new());
        let bytes = pattern(16 << 20, 7);
        let origin =
            Origin::start(vec![Step::Bytes(2), Step::Send(bytes.clone()), Step::Gate(gate.clone()), Step::Echo]);
        let config = site.configure(origin.port, &PLAIN);
        let mut old = site.start(&config, &[]);
        let mut client = Client::connect(site.port.number);
        client.send("go");
        wait_until("bytes wait for the client", || {
            let before = stat(&site.socket, "b", "s", "scur");
            before == "1" && origin.records().first().is_some_and(|r| r.bytes == b"go")
        });
        let _new = site.succeed(&old, &config);
        let mut got = vec![0; bytes.len()];
        client.stream().set_read_timeout(Some(BOUND)).expect("timeout");
        client.stream().read_exact(&mut got).expect("all bytes");
        assert!(got == bytes, "on {engine}");
        has_left(&mut old, engine);
        gate.open();
        echoes(&mut client, "then");
    }
}

#[test]
fn sessions_behind_a_proxy_header_and_on_unix_sockets_move_too() {
    for engine in ENGINES {
        let (site, origin, log, held) = (Site::new(engine), echo(), Syslog::udp(), Port::hold());
        let path = site.directory.join("front.sock");
        let more = format!(
            "frontend u\n bind {path}\n default_backend b\nfrontend p\n bind 127.0.0.1:{} accept-proxy\n log {} local0\n \
             log-format \"%ci:%cp %[dst]:%[dst_port] %[fc_pp_authority]\"\n default_backend b",
            held.number, log.address
        );
        let config = site.configure(origin.port, &Config { more: &more, ..PLAIN });
        let mut old = site.start(&config, &[]);
        let mut local = std::os::unix::net::UnixStream::connect(&path).expect("connect");
        local.set_read_timeout(Some(BOUND)).expect("timeout");
        let mut says = |word: &[u8]| {
            local.write_all(word).expect("write");
            let mut back = vec![0; word.len()];
            local.read_exact(&mut back).expect("its echo");
            assert_eq!(back, word);
        };
        says(b"one");
        let mut remote = Client::connect(held.number);
        remote.send("PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n");
        echoes(&mut remote, "hello");
        let _new = site.follow(&mut old, &config);
        says(b"two");
        echoes(&mut remote, "more");
        remote.half_close();
        remote.closed();
        log.line_with(&["192.0.2.1:1234 198.51.100.2:443 -"]);
    }
}
