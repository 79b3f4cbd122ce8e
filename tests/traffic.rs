//! Volume and endurance: every byte of 64 MB arrives both ways, thousands of connections leave nothing behind, no
//! kernel worker thread appears under load, and a server that dies under load is left and taken back.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::load::Load;
use common::origin::{Gate, Origin, Step};
use common::port::Port;
use common::program::{Program, memory_kb, under_test};
use common::syslog::Syslog;
use common::{pattern, raise_open_files, wait_until};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const HEAD: &str = "global\n maxconn 3000\ndefaults\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n";

/// A `listen` section on a port of its own.
fn listen(directory: &Directory, lines: &str) -> (Program, Port) {
    let port = Port::hold();
    let config = format!("{HEAD}listen l\n bind 127.0.0.1:{}\n {lines}\n", port.number);
    let program = Program::start(&under_test(), directory, &config, &[port.number]);
    (program, port)
}

fn bulk_through(options: &str) {
    let directory = Directory::new();
    let origin = Origin::start(vec![Step::Echo]);
    let (mut program, port) =
        listen(&directory, &format!("mode tcp\n {options}\n server s 127.0.0.1:{}", origin.port));
    let sent = pattern(64 << 20, 42);
    let mut client = Client::connect(port.number);
    let mut writer = client.stream().try_clone().expect("a second handle");
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).expect("sending 64 MB");
            writer.shutdown(Shutdown::Write).expect("half-close");
        });
        client.closed().0
    });
    assert_eq!(received.len(), sent.len(), "bytes back");
    assert!(received == sent, "first difference at {:?}", received.iter().zip(&sent).position(|(a, b)| a != b));
    program.assert_runs();
}

#[test]
fn sixty_four_megabytes_both_ways_with_half_close() {
    bulk_through("");
}

#[test]
fn sixty_four_megabytes_both_ways_with_splice() {
    bulk_through("option splice-auto");
}

/// Two who send and do not read: each waits for the other, and we for both.
fn gives_up_when_nobody_reads(options: &str) {
    let directory = Directory::new();
    let origin = Origin::start(vec![Step::Echo]);
    let lines = format!(
        "mode tcp\n timeout client 300ms\n timeout server 300ms\n {options}\n server s 127.0.0.1:{}",
        origin.port
    );
    let (_program, port) = listen(&directory, &lines);
    let client = Client::connect(port.number);
    client.stream().set_write_timeout(Some(Duration::from_secs(8))).expect("a timeout");
    let sent = client.stream().write_all(&pattern(64 << 20, 42));
    let kind = sent.expect_err("nobody read it").kind();
    assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
}

#[test]
fn two_who_do_not_read_are_given_up() {
    gives_up_when_nobody_reads("");
}

#[test]
fn two_who_do_not_read_are_given_up_with_splice() {
    gives_up_when_nobody_reads("option splice-auto");
}

/// Nobody reads what a client sends while the server takes none of what it has sent: its silence is not its own.
#[test]
fn a_client_whose_upload_waits_has_time_to_take_an_answer() {
    let directory = Directory::new();
    let origin = Origin::start(vec![Step::Pause(600), Step::Send(b"an answer".into()), Step::Eof]);
    let lines = format!("mode tcp\n timeout client 300ms\n server s 127.0.0.1:{}", origin.port);
    let (_program, port) = listen(&directory, &lines);
    let mut client = Client::connect(port.number);
    let mut writer = client.stream().try_clone().expect("a second handle");
    let (answer, _) = std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&pattern(16 << 20, 42)).expect("all is taken");
            writer.shutdown(Shutdown::Write).expect("half-close");
        });
        client.closed()
    });
    assert_eq!(answer, b"an answer");
}

#[test]
fn sixty_four_megabytes_of_a_chunked_response() {
    let directory = Directory::new();
    let data = pattern(64 << 20, 43);
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in data.chunks(100_000) {
        answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
        answer.extend(chunk);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    let origin = Origin::start(vec![Step::Request, Step::Send(answer)]);
    let (mut program, port) = listen(&directory, &format!("mode http\n server s 127.0.0.1:{}", origin.port));
    let mut client = Client::connect(port.number);
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (answer, _) = client.closed();
    let body = common::http::body(&answer);
    assert_eq!(body.len(), data.len());
    assert!(body == data, "first difference at {:?}", body.iter().zip(&data).position(|(a, b)| a != b));
    program.assert_runs();
}

/// A response long enough to go through a pipe, `sent` bytes of it, then `next` at the origin.
struct LongResponse {
    log: Syslog,
    origin: Origin,
    data: Vec<u8>,
    program: Program,
    port: Port,
    _directory: Directory,
}

impl LongResponse {
    fn start(options: &str, sent: usize, next: &[Step]) -> LongResponse {
        let directory = Directory::new();
        let log = Syslog::unix(&directory.join("log"));
        let data = pattern(5 << 20, 44);
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", data.len()).into_bytes();
        answer.extend(&data[..sent]);
        let script = [&[Step::Request, Step::Send(answer)], next].concat();
        let origin = Origin::start(script);
        let lines = format!(
            "mode http\n log {} local0\n option httplog\n {options}\n server s 127.0.0.1:{}",
            log.address, origin.port
        );
        let (program, port) = listen(&directory, &lines);
        LongResponse { log, origin, data, program, port, _directory: directory }
    }

    fn get(&self) -> Client {
        let mut client = Client::connect(self.port.number);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client
    }
}

#[test]
fn after_a_long_response_both_connections_carry_another() {
    let whole = 5 << 20;
    let then = [Step::Request, Step::Send(OK.into())];
    let mut run = LongResponse::start("", whole, &then);
    let mut client = run.get();
    assert!(common::http::body(&client.response()) == run.data, "bytes differ");
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.status(), 200);
    assert_eq!(run.origin.connections(), 1, "the server's connection is used again");
    let line = run.log.line();
    // The body's 5,242,880 bytes and some of the head.
    assert!(line.contains(" 200 52429") && line.contains(" ---- "), "{line}");
    run.program.assert_runs();
}

#[test]
fn a_server_that_ends_amid_a_long_response_is_told_to_client_and_log() {
    let sent = (3 << 20) + 17;
    let mut run = LongResponse::start("", sent, &[Step::Close]);
    let (answer, _) = run.get().closed();
    assert!(common::http::body(&answer) == run.data[..sent], "what was sent arrives");
    let line = run.log.line();
    assert!(line.contains(" SD-- "), "{line}");
    run.program.assert_runs();
}

#[test]
fn a_server_that_stalls_amid_a_long_response_has_its_timeout() {
    let mut run = LongResponse::start("timeout server 300ms", 3 << 20, &[Step::Eof]);
    let (answer, _) = run.get().closed();
    assert_eq!(common::http::body(&answer).len(), 3 << 20);
    let line = run.log.line();
    assert!(line.contains(" sD-- "), "{line}");
    run.program.assert_runs();
}

#[test]
fn a_client_that_stops_reading_a_long_response_has_its_timeout() {
    // More than the sockets between take.
    let mut run = LongResponse::start("timeout client 300ms", 5 << 20, &[Step::Eof]);
    let client = Client::connect(run.port.number);
    socket2::SockRef::from(client.stream()).set_recv_buffer_size(4096).expect("a small window");
    let mut client = client;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let line = run.log.line();
    assert!(line.contains(" cD-- "), "{line}");
    run.program.assert_runs();
}

#[test]
fn a_client_that_leaves_amid_a_long_response_is_logged() {
    let gate = Gate::new();
    let mut run = LongResponse::start("", 2 << 20, &[Step::Gate(gate.clone()), Step::Send(pattern(3 << 20, 1))]);
    let mut client = run.get();
    client.until(b"\r\n\r\n");
    client.reset();
    gate.open();
    let line = run.log.line();
    assert!(line.contains(" CD-- "), "{line}");
    run.program.assert_runs();
}

/// Lines that nobody reads are dropped, as HAProxy does; the worker does not wait for their reader.
#[test]
fn a_log_pipe_that_nobody_reads_stops_no_request() {
    use std::os::fd::AsRawFd;
    let directory = Directory::new();
    let origin = Origin::start(vec![Step::Serve(OK.into())]);
    // Inherited by the program, its read end kept open here.
    let (_reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let lines = format!(
        "mode http\n log fd@{} format raw local0\n log-format {}\n server s 127.0.0.1:{}",
        writer.as_raw_fd(),
        "x".repeat(900),
        origin.port
    );
    let (mut program, port) = listen(&directory, &lines);
    let mut client = Client::connect(port.number);
    // More than a pipe holds.
    for _ in 0..200 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.status(), 200);
    }
    program.assert_runs();
}

#[test]
fn rules_mark_the_packets_of_a_clients_connection() {
    let directory = Directory::new();
    let rules = "mode http\n tcp-request connection set-tos 0x20\n http-request set-fc-tos 0x48 if { path /b }\n \
                 http-request return status 200";
    let (program, port) = listen(&directory, rules);
    let mut client = Client::connect(port.number);
    let me = client.stream().local_addr().expect("an address");
    // What the program's socket for this client says of itself.
    let tos = || {
        let sockets = program.sockets();
        let ours = sockets.iter().find(|s| s.peer_addr().is_ok_and(|a| a.as_socket() == Some(me)));
        ours.expect("the client's connection").tos_v4().expect("a TOS")
    };
    for (path, expected) in [("/a", 0x20), ("/b", 0x48)] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((client.status(), tos()), (200, expected));
    }
}

/// Runs the connections and checks that as many descriptors are open afterwards as before.
fn leaks_nothing(program: &mut Program, warm_up: impl FnOnce(), connections: impl FnOnce()) {
    warm_up();
    // What the first connections left to be closed must be gone before counting.
    let mut before = program.descriptors();
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(2));
        before = before.min(program.descriptors());
    }
    connections();
    let mut now = 0;
    wait_until("as few descriptors as before", || {
        now = program.descriptors();
        now <= before
    });
    program.assert_runs();
}

#[test]
fn ten_thousand_connections_one_after_the_other_leak_nothing() {
    let directory = Directory::new();
    let origin = Origin::start(vec![Step::Serve(OK.into())]);
    let echo = Origin::start(vec![Step::Echo]);
    let (http, tcp) = (Port::hold(), Port::hold());
    let config = format!(
        "{HEAD}listen h\n bind 127.0.0.1:{}\n mode http\n http-reuse never\n server s 127.0.0.1:{}\n\
         listen t\n bind 127.0.0.1:{}\n mode tcp\n server s 127.0.0.1:{}\n",
        http.number, origin.port, tcp.number, echo.port
    );
    let mut program = Program::start(&under_test(), &directory, &config, &[http.number, tcp.number]);
    let ask = |count: usize| {
        for number in 0..count {
            let mut client = Client::connect(http.number);
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.status(), 200, "request {number}");
        }
    };
    let echoed = |count: usize| {
        for number in 0..count {
            let mut client = Client::connect(tcp.number);
            client.send("ping").half_close();
            assert_eq!(client.closed().0, b"ping", "connection {number}");
        }
    };
    let warm_up = || {
        ask(50);
        echoed(50);
    };
    leaks_nothing(&mut program, warm_up, || {
        ask(5_000);
        echoed(5_000);
    });
}

#[test]
fn two_thousand_connections_at_once_leak_nothing() {
    raise_open_files();
    let directory = Directory::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("an origin's port");
    let origin = listener.local_addr().expect("its address").port();
    let (mut program, port) = listen(&directory, &format!("mode tcp\n server s 127.0.0.1:{origin}"));
    // One thread that answers in the order of accepting, when all are there.
    let serve = |count: usize| {
        let mut streams: Vec<_> = (0..count).map(|_| listener.accept().expect("accept").0).collect();
        for stream in &mut streams {
            let mut bytes = [0; 8];
            stream.read_exact(&mut bytes).expect("eight bytes");
            stream.write_all(&bytes).expect("eight bytes back");
        }
    };
    let talk = |count: usize| {
        std::thread::scope(|scope| {
            scope.spawn(|| serve(count));
            let mut clients: Vec<_> = (0..count).map(|_| Client::connect(port.number)).collect();
            for (number, client) in clients.iter_mut().enumerate() {
                client.send((number as u64).to_be_bytes());
            }
            for (number, client) in clients.iter_mut().enumerate() {
                assert_eq!(client.until(&(number as u64).to_be_bytes()).len(), 8, "client {number}");
            }
        });
    };
    leaks_nothing(&mut program, || talk(50), || talk(2_000));
}

#[test]
fn an_idle_connection_is_small() {
    raise_open_files();
    let directory = Directory::new();
    let (program, port) = listen(&directory, "mode http\n http-request return status 200");
    let open = |count: usize| -> Vec<Client> {
        let mut clients: Vec<_> = (0..count).map(|_| Client::connect(port.number)).collect();
        for client in &mut clients {
            assert_eq!(client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").status(), 200);
        }
        clients
    };
    let _first = open(500);
    let before = memory_kb(program.pid());
    let _more = open(2_000);
    let each = (memory_kb(program.pid()).saturating_sub(before) << 10) / 2_000;
    // Whatever an idle connection needs is not kept beside what it needed to begin.
    println!("{each} bytes");
    // The epoll engine's table of descriptors grows by doubling.
    let most = if std::env::var("RINGWAY_ENGINE").is_ok_and(|engine| engine == "epoll") { 1_600 } else { 1_400 };
    assert!(each < most, "{each} bytes");
}

#[test]
fn no_kernel_worker_thread_exists_under_load() {
    let directory = Directory::new();
    let origin = Origin::start(vec![Step::Serve(OK.into())]);
    let echo = Origin::start(vec![Step::Echo]);
    let (http, tcp) = (Port::hold(), Port::hold());
    let config = format!(
        "{HEAD}listen h\n bind 127.0.0.1:{}\n mode http\n server s 127.0.0.1:{}\n\
         listen t\n bind 127.0.0.1:{}\n mode tcp\n option splice-auto\n server s 127.0.0.1:{}\n",
        http.number, origin.port, tcp.number, echo.port
    );
    let program = Program::start(&under_test(), &directory, &config, &[http.number, tcp.number]);
    let (kept, short) = (Load::start(http.number, 4, true), Load::start(http.number, 2, false));
    let bulk = pattern(8 << 20, 1);
    std::thread::scope(|scope| {
        let pumping = scope.spawn(|| {
            for _ in 0..4 {
                let mut client = Client::connect(tcp.number);
                let mut writer = client.stream().try_clone().expect("a second handle");
                std::thread::scope(|inner| {
                    inner.spawn(|| {
                        writer.write_all(&bulk).expect("sending");
                        writer.shutdown(Shutdown::Write).expect("half-close");
                    });
                    assert!(client.closed().0 == bulk, "bytes differ");
                });
            }
        });
        let mut looks = 0;
        while !pumping.is_finished() || looks < 100 {
            let threads = program.threads();
            assert!(!threads.iter().any(|name| name.starts_with("iou-wrk")), "{threads:?}");
            looks += 1;
            std::thread::sleep(Duration::from_millis(3));
        }
    });
    for load in [kept, short] {
        let counts = load.stop();
        assert!(counts.len() == 1 && counts.contains_key(&200), "{counts:?}");
    }
}

#[test]
fn a_server_killed_under_load_is_left_and_taken_back() {
    let directory = Directory::new();
    let sink = Syslog::unix(&directory.join("log"));
    let (port, second) = (Port::hold(), Port::hold());
    let script = || vec![vec![Step::Serve(OK.into())]];
    let one = Origin::start(script().remove(0));
    let two = Origin::start_on(second.number, script());
    let config = format!(
        "global\n maxconn 500\n log {} local0 notice\ndefaults\n log global\n mode http\n timeout connect 2s\n \
         timeout client 5s\n timeout server 5s\n retries 3\n option redispatch\n retry-on all-retryable-errors\n\
         listen l\n bind 127.0.0.1:{}\n balance roundrobin\n server s1 127.0.0.1:{} check inter 100 rise 3 fall 2\n \
         server s2 127.0.0.1:{} check inter 100 rise 3 fall 2\n",
        sink.address, port.number, one.port, second.number
    );
    let mut program = Program::start(&under_test(), &directory, &config, &[port.number]);
    let load = Load::start(port.number, 4, true);
    wait_until("both servers get requests", || one.requests("/load") > 20 && two.requests("/load") > 20);
    while sink.next(Duration::from_millis(1)).is_some() {}

    two.kill();
    sink.line_with(&["Server l/s2 is DOWN"]);
    let before = load.counts()[&200];
    wait_until("the other server goes on", || load.counts()[&200] > before + 50);

    let two = Origin::start_on(second.number, script());
    let started = Instant::now();
    loop {
        let early = two.requests("/load");
        let patience = Duration::from_millis(if early == 0 { 5 } else { 200 });
        match sink.next(patience) {
            Some(line) if line.contains("Server l/s2 is UP") => break,
            _ => assert_eq!(early, 0, "requests before `rise` checks had passed"),
        }
        assert!(started.elapsed() < common::BOUND, "never UP again");
    }
    // Three checks 100 ms apart. (They cannot be counted: they may be reset before the handshake is complete.)
    assert!(started.elapsed() >= Duration::from_millis(180), "UP after {:?}", started.elapsed());
    wait_until("the server is back", || two.requests("/load") > 20);

    let counts = load.stop();
    assert!(counts.keys().all(|status| *status == 200), "no request may fail: {counts:?}");
    program.assert_runs();
}

#[test]
fn rules_that_wait_for_a_body_larger_than_a_buffer_hold_nobody_up() {
    let directory = Directory::new();
    let large = "x".repeat(100_000);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{large}", large.len());
    let origin = Origin::start(vec![Step::Serve(answer.into())]);
    let lines = format!(
        "mode http\n http-request wait-for-body time 10s\n http-request wait-for-body time 10s at-least 90000\n \
         http-response wait-for-body time 10s\n server s 127.0.0.1:{}",
        origin.port
    );
    let (mut program, port) = listen(&directory, &lines);
    let mut client = Client::connect(port.number);
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}", large.len(), &large[..50_000]));
    // Whoever spins while the rest is missing serves nobody else.
    let mut other = Client::connect(port.number);
    other.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(other.status(), 200);
    client.send(&large[50_000..]);
    assert_eq!(client.status(), 200);
    assert!(
        origin.records().iter().any(|r| r.bytes.ends_with(large.as_bytes())),
        "the body reaches the server whole"
    );
    program.assert_runs();
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_response_leaves_its_server() {
    let directory = Directory::new();
    let begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let origin = Origin::start(vec![Step::Request, Step::Send(begin.to_vec()), Step::Eof]);
    let (mut program, port) = listen(&directory, &format!("mode http\n server s 127.0.0.1:{}", origin.port));
    for index in 0..3 {
        let mut client = Client::connect(port.number);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.until(b"hello");
        match index {
            0 => client.reset(),
            1 => {
                client.half_close();
                client.closed();
            }
            _ => drop(client),
        }
        origin.ended(index);
    }
    program.assert_runs();
}

/// As in HAProxy 3.4: who answers before the request's end reads the rest of it, else the answer could be lost on its way.
#[test]
fn a_request_that_we_answer_early_is_read_to_its_end() {
    let directory = Directory::new();
    let rules =
        "http-request deny if { path /denied }\n http-request return status 200 content-type text/plain string ok";
    let (mut program, port) = listen(&directory, &format!("mode http\n {rules}"));
    let body = vec![b'a'; 3 << 20];
    let long = format!("content-length: {}", body.len());
    let chunks: Vec<u8> =
        body.chunks(9_999).flat_map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat()).collect();
    let whole = [&chunks[..], b"0\r\n\r\n"].concat();
    let broken = [&chunks[..], b"zz\r\n\r\n"].concat();
    // Version, fields, body, and whether another request is answered on the connection.
    for (version, fields, body, keeps) in [
        ("1.1", long.as_str(), &body, true),
        ("1.1", "transfer-encoding: chunked", &whole, true),
        ("1.1", "transfer-encoding: chunked", &broken, false),
        ("1.1", &format!("{long}\r\nconnection: close"), &body, false),
        ("1.0", &long, &body, false),
        // Whoever waits for 100 may never send it.
        ("1.1", "content-length: 5\r\nexpect: 100-continue", &Vec::new(), false),
    ] {
        let mut client = Client::connect(port.number);
        client.send(format!("POST /denied HTTP/{version}\r\nhost: a\r\n{fields}\r\n\r\n").as_bytes());
        let answer = client.response();
        assert!(answer.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(&answer));
        client.stream().write_all(body.as_slice()).expect("all of the request is taken");
        client.stream().write_all(b"GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").ok();
        let rest = String::from_utf8(client.closed().0).expect("text");
        assert_eq!(rest.contains("HTTP/1.1 200 OK\r\n"), keeps, "{fields}: {rest}");
    }
    program.assert_runs();
}
