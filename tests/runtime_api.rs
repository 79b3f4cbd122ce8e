//! The runtime API over its sockets, as scripts and daemons use it: framing, recorded answers, levels, servers that come
//! and go under traffic, statistics that agree with the client's own count, and abuse that must not matter.

mod common;

use common::BOUND;
use common::cli::{ask, stat};
use common::client::Client;
use common::directory::Directory;
use common::http::status;
use common::load::Load;
use common::origin::{Gate, Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::wait_until;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const DEFAULTS: &str = "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n";

struct Bench {
    program: Program,
    port: Port,
    socket: String,
    directory: Directory,
}

impl Bench {
    /// `global` lines, and what follows the frontend's `bind`.
    fn start(global: &str, rest: &str) -> Bench {
        let directory = Directory::new();
        let port = Port::hold();
        let socket = directory.join("admin.sock");
        let config = format!(
            "global\n stats socket {socket} level admin\n {global}\n{DEFAULTS}frontend web\n bind 127.0.0.1:{}\n{rest}\n",
            port.number
        );
        let program = Program::start(&under_test(), &directory, &config, &[port.number]);
        // The port listens a moment before the socket does.
        wait_until("the socket is there", || UnixStream::connect(&socket).is_ok());
        Bench { program, port, socket, directory }
    }

    fn ask(&self, command: &str) -> String {
        ask(&self.socket, command)
    }

    /// Sends bytes, ends the direction and reads all there is.
    fn raw(&self, bytes: &[u8]) -> String {
        raw(&self.socket, bytes)
    }

    /// A field of `show stat`.
    fn stat(&self, proxy: &str, server: &str, field: &str) -> String {
        stat(&self.socket, proxy, server, field)
    }
}

fn raw(socket: &str, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).expect("connect");
    stream.set_read_timeout(Some(BOUND)).expect("timeout");
    // It may answer and close before all is written.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const BACKEND: &str = " default_backend be_web\nbackend be_web\n balance roundrobin\n server s1 127.0.0.1:1\n \
                       server s2 127.0.0.1:2 weight 50\n server s4 127.0.0.1:4 disabled\nbackend fixed\n \
                       balance static-rr\n server a 127.0.0.1:1\n";

#[test]
fn answers_are_framed_as_scripts_expect() {
    let bench = Bench::start("stats timeout 2s", BACKEND);
    let version = format!("{}\n", bench.ask("show version").trim_end());
    for (bytes, answer) in [
        ("\n", "\n".to_owned()),
        ("", String::new()),
        ("show version\n", format!("{version}\n")),
        ("show version\r\n", format!("{version}\n")),
        ("show version;show version\n", format!("{version}\n{version}\n")),
        ("get weight be_web/s2; enable server be_web/s2\n", "50 (initial 50)\n\n\n".to_owned()),
        // One line a connection, unless it is interactive.
        ("show version\nshow version\n", format!("{version}\n")),
        ("prompt\nshow version\n", format!("\n> {version}\n> ")),
        ("prompt;show version\nquit\nshow version\n", format!("\n{version}\n> ")),
        // Without its end a line is none.
        ("show version", String::new()),
        ("set severity-output number;get weight be_web/x\n", "\n[3]: No such server.\n\n".to_owned()),
    ] {
        assert_eq!(bench.raw(bytes.as_bytes()), answer, "{bytes:?}");
    }
}

#[test]
fn recorded_exchanges_have_the_same_answers() {
    let bench = Bench::start("", BACKEND);
    for (command, answer) in [
        ("disable server be_web/s1", ""),
        ("disable server be_web/nope", "No such server.\n"),
        ("disable server nope/s1", "No such backend.\n"),
        ("disable server", "Require 'backend/server'.\n"),
        ("enable server be_web/s1", ""),
        ("enable server be_web/s4", ""),
        ("get weight be_web/s2", "50 (initial 50)\n"),
        ("set weight be_web/s2 10", ""),
        ("set weight be_web/s2 50%", ""),
        ("get weight be_web/s2", "25 (initial 50)\n"),
        ("set weight be_web/s2 257", "Absolute weight can only be between 0 and 256 inclusive.\n"),
        ("set weight be_web/s2 abc", "Empty weight string empty or preceded by garbage\n"),
        ("set server be_web/s2 state drain", ""),
        ("set server be_web/s2 state ready", ""),
        ("set server be_web/s2 state foo", "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"),
        ("set server be_web/s2 health foo", "'set server <srv> health' expects 'up', 'stopping', or 'down'.\n"),
        ("set server be_web/s2 agent up", "agent checks are not enabled on this server.\n"),
        ("set server be_web/s2 addr 127.0.0.1", "nothing changed\n"),
        (
            "set server be_web/s2 addr 127.0.0.2",
            "IP changed from '127.0.0.1' to '127.0.0.2' by 'stats socket command'\n",
        ),
        ("set server be_web/s2 addr nohost", "Invalid addr 'nohost'\n"),
        ("add server be_web/s2 127.0.0.1:9", "Already exists a server with the same name in backend.\n"),
        ("add server be_web/n 127.0.0.1:9 foo", "unknown keyword 'foo'; did you mean 'tfo' maybe ?\n"),
        ("add server be_web/n", "'server' expects <name> and <addr>[:<port>] as arguments.\n"),
        ("add server nope/n 127.0.0.1:9", "No such backend.\n"),
        ("add server be_web/n 127.0.0.1:9 resolvers r", "'resolvers' option is not accepted for dynamic server\n"),
        (
            "add server fixed/n 127.0.0.1:9",
            "Backend does not support dynamic servers : backend 'fixed' uses a non dynamic load balancing method.\n",
        ),
        ("add server be_web/n 127.0.0.1:9", "New server registered.\n"),
        ("del server be_web/s1", "Only servers in maintenance mode can be deleted.\n"),
        ("del server be_web/n", "Server deleted.\n"),
        ("del server be_web/n", "No such server.\n"),
        ("disable frontend nope", "No such frontend.\n"),
        ("set maxconn frontend web 100", ""),
        ("shutdown session 0x123", "No such session (use 'show sess').\n"),
        ("shutdown sessions server be_web/s1", ""),
        ("clear counters", ""),
        ("clear counters all", ""),
        ("show cli level", "admin\n"),
        ("show backend", "# name\nbe_web\nfixed\n"),
        ("wait 1ms", "Done.\n"),
    ] {
        assert_eq!(bench.ask(command), format!("{answer}\n"), "{command}");
    }
}

#[test]
fn a_level_is_the_sockets() {
    let directory = Directory::new();
    let (socket, plain) = (directory.join("user.sock"), directory.join("plain.sock"));
    let bench = Bench::start(&format!("stats socket {socket} level user\n stats socket {plain}"), BACKEND);
    wait_until("the other sockets are there", || {
        [&socket, &plain].map(UnixStream::connect).iter().all(Result::is_ok)
    });
    assert_eq!(ask(&socket, "show sess"), "Permission denied\n\n");
    assert_eq!(ask(&socket, "disable server be_web/s1"), "Permission denied\n\n");
    assert!(ask(&socket, "show info").starts_with("Name: "));
    assert_eq!(ask(&plain, "show cli level"), "operator\n\n");
    assert_eq!(ask(&plain, "clear counters all"), "Permission denied\n\n");
    assert!(bench.ask("show cli sockets").contains(&format!("unix@{socket} user all\n")));
}

#[test]
fn statistics_equal_the_clients_count() {
    let origin = Origin::start(vec![Step::Serve(OK.into())]);
    let bench =
        Bench::start("nbthread 2", &format!(" default_backend b\nbackend b\n server s 127.0.0.1:{}", origin.port));
    let mut done = 0;
    for connection in 0..20 {
        let mut client = Client::connect(bench.port.number);
        for _ in 0..=connection % 5 {
            client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
            assert_eq!(status(&client.response()), Some(200));
            done += 1;
        }
    }
    wait_until("the last request is counted", || bench.stat("web", "FRONTEND", "hrsp_2xx") == done.to_string());
    let bytes = bench.stat("web", "FRONTEND", "bin");
    assert_ne!(bytes, "0");
    for (proxy, server) in [("b", "s"), ("b", "BACKEND")] {
        assert_eq!(bench.stat(proxy, server, "hrsp_2xx"), done.to_string(), "{proxy}/{server}");
        assert_eq!(bench.stat(proxy, server, "bin"), bytes, "{proxy}/{server}");
    }
    assert_eq!(bench.stat("web", "FRONTEND", "req_tot"), done.to_string());
    assert_eq!(bench.stat("web", "FRONTEND", "conn_tot"), "20");
}

#[test]
fn servers_come_and_go_under_traffic() {
    let (old, new) = (Origin::start(vec![Step::Serve(OK.into())]), Origin::start(vec![Step::Serve(OK.into())]));
    let rest = format!(" default_backend b\nbackend b\n server old 127.0.0.1:{} weight 1", old.port);
    let mut bench = Bench::start("nbthread 2", &rest);
    let load = Load::start(bench.port.number, 4, true);
    wait_until("traffic flows", || load.counts().get(&200).copied().unwrap_or(0) > 50);
    for round in 0..5 {
        let name = format!("b/n{round}");
        assert_eq!(
            bench.ask(&format!("add server {name} 127.0.0.1:{} weight 256", new.port)),
            "New server registered.\n\n"
        );
        assert_eq!(bench.ask(&format!("enable server {name}")), "\n");
        let server = name.trim_start_matches("b/").to_owned();
        wait_until("the new server serves", || bench.stat("b", &server, "hrsp_2xx").parse::<u64>().unwrap_or(0) > 20);
        assert_eq!(bench.ask(&format!("set server {name} state drain")), "\n");
        assert_eq!(bench.ask(&format!("set server {name} state maint")), "\n");
        assert_eq!(bench.ask(&format!("wait 5s srv-removable {name}")), "Done.\n\n");
        assert_eq!(bench.ask(&format!("del server {name}")), "Server deleted.\n\n");
    }
    let counts = load.stop();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [200], "{counts:?}");
    let total: usize = counts.values().sum();
    wait_until("all is counted", || bench.stat("web", "FRONTEND", "hrsp_2xx") == total.to_string());
    assert_eq!(bench.stat("b", "BACKEND", "hrsp_2xx"), total.to_string());
    bench.program.assert_runs();
}

/// As an orchestrator does it: a whole generation of servers comes, serves, is drained and goes.
#[test]
fn a_hundred_servers_come_and_go_and_every_request_is_counted_once() {
    const SERVERS: usize = 100;
    let (old, new) = (Origin::start(vec![Step::Serve(OK.into())]), Origin::start(vec![Step::Serve(OK.into())]));
    let rest = format!(" default_backend b\nbackend b\n server old 127.0.0.1:{}", old.port);
    let mut bench = Bench::start("nbthread 2", &rest);
    let load = Load::start(bench.port.number, 4, true);
    let all = |command: &dyn Fn(usize) -> String, answer: &str| {
        for n in 0..SERVERS {
            assert_eq!(bench.ask(&command(n)), answer, "{}", command(n));
        }
    };
    // Answers of each of the new servers, by number.
    let served = || {
        let text = bench.ask("show stat b 4 -1");
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().expect("a header").trim_start_matches("# ").split(',').collect();
        let column = names.iter().position(|n| *n == "hrsp_2xx").expect("a known field");
        let fields = lines.map(|line| line.split(',').collect::<Vec<_>>());
        let new = fields.filter(|f| f.len() > column && f[1].starts_with('n'));
        new.map(|f| f[column].parse::<usize>().expect("a number")).collect::<Vec<_>>()
    };
    all(&|n| format!("add server b/n{n} 127.0.0.1:{} check", new.port), "New server registered.\n\n");
    all(&|n| format!("enable health b/n{n}; enable server b/n{n}"), "\n\n");
    wait_until("every server serves", || served().iter().filter(|count| **count > 0).count() == SERVERS);
    all(&|n| format!("set server b/n{n} state drain"), "\n");
    all(&|n| format!("set server b/n{n} state maint"), "\n");
    all(&|n| format!("wait 5s srv-removable b/n{n}"), "Done.\n\n");
    let by_new: usize = served().iter().sum();
    all(&|n| format!("del server b/n{n}"), "Server deleted.\n\n");
    assert!(served().is_empty());
    let before = load.counts().values().sum::<usize>();
    wait_until("the old server serves alone", || load.counts().values().sum::<usize>() > before + 20);
    let counts = load.stop();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [200], "{counts:?}");
    let total: usize = counts.values().sum();
    wait_until("all is counted", || bench.stat("web", "FRONTEND", "hrsp_2xx") == total.to_string());
    assert_eq!(bench.stat("b", "BACKEND", "hrsp_2xx"), total.to_string());
    let by_old: usize = bench.stat("b", "old", "hrsp_2xx").parse().expect("a number");
    assert_eq!(by_old + by_new, total);
    bench.program.assert_runs();
}

#[test]
fn a_weight_of_zero_is_no_drain_and_a_drained_server_shows_its_weight() {
    let origin = Origin::start(vec![Step::Serve(OK.into())]);
    let bench = Bench::start(
        "",
        &format!(
            " default_backend be\nbackend be\n balance roundrobin\n server s 127.0.0.1:{0} check inter 50ms weight 3\n \
             server t 127.0.0.1:{0}",
            origin.port
        ),
    );
    wait_until("it is checked", || bench.stat("be", "s", "status") == "UP");
    assert_eq!(bench.ask("set weight be/s 10%").trim(), "");
    assert_eq!([bench.stat("be", "s", "status"), bench.stat("be", "s", "weight")], ["UP", "0"]);
    bench.ask("set weight be/s 3");
    bench.ask("set server be/s state drain");
    assert_eq!([bench.stat("be", "s", "status"), bench.stat("be", "s", "weight")], ["DRAIN", "3"]);
    assert_eq!(bench.stat("be", "BACKEND", "weight"), "1");
}

/// By its own weight, or since a weight of 0 leaves all to backup servers.
#[test]
fn who_waits_for_a_slot_goes_to_a_server_that_a_weight_lets_in() {
    for (settings, command) in [("weight 0", "set weight b/free 1"), ("backup", "set weight b/busy 0")] {
        let gate = Gate::new();
        let busy = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), Step::Send(OK.into())]);
        let free = Origin::start(vec![Step::Serve(OK.into())]);
        let rest = format!(
            " default_backend b\nbackend b\n timeout queue 1m\n server busy 127.0.0.1:{} maxconn 1\n \
             server free 127.0.0.1:{} {settings}",
            busy.port, free.port
        );
        let bench = Bench::start("", &rest);
        let mut clients = [Client::connect(bench.port.number), Client::connect(bench.port.number)];
        for (client, waiting) in clients.iter_mut().zip(["0", "1"]) {
            client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
            wait_until("it is served or waits", || {
                busy.connections() == 1 && bench.stat("b", "BACKEND", "qcur") == waiting
            });
        }
        assert_eq!(bench.ask(command), "\n");
        assert_eq!(status(&clients[1].response()), Some(200), "{command}");
        gate.open();
        assert_eq!(status(&clients[0].response()), Some(200));
    }
}

#[test]
fn who_waits_for_the_server_of_the_last_request_goes_elsewhere_when_it_leaves() {
    let gate = Gate::new();
    let ok = Step::Send(OK.into());
    let first = vec![Step::Request, ok.clone(), Step::Eof];
    let last = Origin::start_with(vec![first, vec![Step::Request, Step::Gate(gate.clone()), ok]]);
    let other = Origin::start(vec![Step::Serve(OK.into())]);
    let rest = format!(
        " default_backend b\nbackend b\n timeout queue 1m\n balance first\n option prefer-last-server\n http-reuse never\n \
         server last 127.0.0.1:{} maxconn 1\n server other 127.0.0.1:{} maxconn 1",
        last.port, other.port
    );
    let bench = Bench::start("", &rest);
    let mut clients = [Client::connect(bench.port.number), Client::connect(bench.port.number)];
    let get = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
    assert_eq!(status(&clients[0].send(get).response()), Some(200));
    clients[1].send(get);
    wait_until("another client has its slot", || last.connections() == 2);
    clients[0].send(get);
    wait_until("it waits", || bench.stat("b", "last", "qcur") == "1");
    assert_eq!(bench.ask("disable server b/last"), "\n");
    assert_eq!(status(&clients[0].response()), Some(200));
    gate.open();
}

#[test]
fn a_slow_start_ends_with_the_whole_weight() {
    let backend =
        " default_backend b\nbackend b\n server s1 127.0.0.1:1 weight 100 slowstart 2s\n server s2 127.0.0.1:1\n";
    let bench = Bench::start("", backend);
    bench.ask("disable server b/s1; enable server b/s1");
    let mut seen = Vec::new();
    wait_until("the whole weight", || {
        let weight: u32 = bench.stat("b", "s1", "weight").parse().expect("a number");
        if seen.last() != Some(&weight) {
            seen.push(weight);
        }
        weight == 100
    });
    assert!(seen[0] < 60 && seen.is_sorted() && seen.len() > 2, "{seen:?}");
    assert_eq!(bench.stat("b", "s1", "throttle"), "");
}

#[test]
fn sessions_are_listed_and_shut_down() {
    let silent = Origin::start(vec![Step::Eof]);
    let rest = format!(" default_backend b\nbackend b\n server s 127.0.0.1:{}", silent.port);
    let bench = Bench::start("", &rest);
    let waiting = |n: usize| {
        let clients: Vec<Client> = (0..n)
            .map(|_| {
                let mut client = Client::connect(bench.port.number);
                client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
                client
            })
            .collect();
        wait_until("they wait for the server", || bench.ask("show sess").matches("fe=web be=b srv=s ").count() == n);
        clients
    };
    let mut clients = waiting(2);
    let list = bench.ask("show sess");
    let id = list.split(':').next().expect("an id").to_owned();
    assert!(bench.ask(&format!("show sess {id}")).contains("frontend=web (id="), "{list}");
    assert_eq!(bench.ask(&format!("shutdown session {id}")), "\n");
    wait_until("one is gone", || bench.ask("show sess").matches("fe=web").count() == 1);
    assert_eq!(bench.ask("shutdown sessions server b/s"), "\n");
    wait_until("all are gone", || bench.ask("show sess").matches("fe=web").count() == 0);
    for client in &mut clients {
        assert!(client.closed().0.is_empty(), "a killed session gets no answer");
    }
}

#[test]
fn a_server_marked_down_ends_its_sessions() {
    let silent = Origin::start(vec![Step::Eof]);
    let rest = format!(
        " default_backend b\nbackend b\n server s 127.0.0.1:{} on-marked-down shutdown-sessions",
        silent.port
    );
    let bench = Bench::start("", &rest);
    let mut client = Client::connect(bench.port.number);
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    wait_until("it waits for the server", || bench.ask("show sess").contains("srv=s "));
    assert_eq!(bench.ask("disable server b/s"), "\n");
    assert_eq!(status(&client.response()), Some(503));
    assert!(bench.program.messages().contains("Server b/s is going DOWN for maintenance"));
}

/// It could not connect, and waits for another server.
#[test]
fn a_server_marked_down_ends_no_session_that_has_left_it() {
    let (gate, closed) = (Gate::new(), Port::hold());
    let busy = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), Step::Send(OK.into()), Step::Close]);
    let rest = format!(
        " default_backend b\nbackend b\n timeout queue 1m\n timeout connect 200ms\n option redispatch 1\n retries 9\n \
         server closed 127.0.0.1:{} weight 0 on-marked-down shutdown-sessions\n server busy 127.0.0.1:{} maxconn 1",
        closed.number, busy.port
    );
    let bench = Bench::start("", &rest);
    let mut clients = [0; 2].map(|_| Client::connect(bench.port.number));
    clients[0].send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    wait_until("the slot is taken", || busy.connections() == 1);
    bench.ask("set weight b/closed 1");
    clients[1].send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    wait_until("it has failed", || bench.stat("b", "closed", "wretr") != "0");
    bench.ask("set weight b/closed 0");
    wait_until("it waits", || bench.stat("b", "BACKEND", "qcur") == "1");
    bench.ask("set server b/closed health down");
    gate.open();
    assert_eq!(clients.each_mut().map(|client| status(&client.response())), [Some(200); 2]);
}

#[test]
fn a_frontend_is_paused_resumed_and_stopped() {
    let bench = Bench::start("", " http-request return status 200\n");
    let get = || {
        let mut client = Client::connect(bench.port.number);
        client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
        status(&client.response())
    };
    assert_eq!(get(), Some(200));
    assert_eq!(bench.ask("disable frontend web"), "\n");
    assert_eq!(bench.ask("disable frontend web"), "All sockets are already disabled.\n\n");
    assert_eq!(bench.ask("enable frontend web"), "\n");
    assert_eq!(get(), Some(200));
    assert_eq!(bench.ask("shutdown frontend web"), "\n");
    assert_eq!(bench.ask("enable frontend web"), "Frontend was previously shut down, cannot enable.\n\n");
    wait_until("nobody listens", || std::net::TcpStream::connect(("127.0.0.1", bench.port.number)).is_err());
}

#[test]
fn invalid_messages_are_kept_for_show_errors() {
    let bench = Bench::start("", " http-request return status 200\n");
    let mut client = Client::connect(bench.port.number);
    client.send("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n");
    client.closed();
    let shown = bench.ask("show errors");
    assert!(shown.contains("frontend web (#2): invalid request\n"), "{shown}");
    assert!(
        shown.contains("  00000  GET / HTTP/1.1\\r\\n\n") && shown.contains("event #0, src 127.0.0.1:"),
        "{shown}"
    );
}

#[test]
fn abuse_of_the_socket_does_not_touch_traffic() {
    let bench = Bench::start("stats timeout 500ms\n stats maxconn 5", " http-request return status 200\n");
    let get = || {
        let mut client = Client::connect(bench.port.number);
        client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
        assert_eq!(status(&client.response()), Some(200));
    };
    // A megabyte without a line's end, and one of short commands.
    let answer = bench.raw(&vec![b'g'; 1 << 20]);
    assert!(answer.is_empty() || answer.starts_with("The command line is too big"), "{answer}");
    bench.raw(&b"\xff\xfe;".repeat(1 << 18));
    get();
    // Clients that never read.
    let silent: Vec<UnixStream> = (0..5)
        .map(|_| {
            let mut stream = UnixStream::connect(&bench.socket).expect("connect");
            stream.write_all(format!("{}\n", "show stat;".repeat(1500)).as_bytes()).expect("write");
            stream
        })
        .collect();
    get();
    // They are given up, and the others have their turn.
    let threads: Vec<_> = (0..200)
        .map(|_| {
            let socket = bench.socket.clone();
            std::thread::spawn(move || ask(&socket, "show version"))
        })
        .collect();
    for thread in threads {
        assert!(thread.join().expect("an asker").contains('.'));
    }
    drop(silent);
    get();
    assert!(bench.ask("show info").contains("Pid: "));
    let _ = &bench.directory;
}

#[test]
fn a_client_that_leaves_while_its_command_waits_gives_its_place_back() {
    let bench = Bench::start("stats maxconn 1", "");
    for ends_first in [false, true] {
        let mut client = UnixStream::connect(&bench.socket).expect("connect");
        client.write_all(b"show version; wait 1h\n").expect("a command");
        if ends_first {
            client.shutdown(Shutdown::Write).expect("its end");
        }
        // The second command has begun then.
        client.read_exact(&mut [0; b"3.4.0\n\n".len()]).expect("the first answer");
        drop(client);
        assert!(bench.ask("show version").starts_with('3'));
    }
}

#[test]
fn the_statistics_page_asks_who_you_are_and_acts() {
    let rest =
        format!(" stats enable\n stats uri /st\n stats auth a:b\n stats admin if {{ hdr(x-admin) yes }}\n{BACKEND}");
    let bench = Bench::start("", &rest);
    let request = |method: &str, target: &str, fields: &str, body: &str| {
        let mut client = Client::connect(bench.port.number);
        let length = body.len();
        client.send(format!(
            "{method} {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n{body}"
        ));
        String::from_utf8_lossy(&client.closed().0).into_owned()
    };
    let auth = "authorization: Basic YTpi\r\n";
    let refused = request("GET", "/st", "", "");
    assert!(
        refused.starts_with("HTTP/1.1 401 ")
            && refused.contains("www-authenticate: Basic realm=\"HAProxy Statistics\"")
    );
    let page = request("GET", "/st", auth, "");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("Statistics Report for HAProxy"), "{page}");
    assert!(request("GET", "/st;csv;norefresh", auth, "").contains("# pxname,svname,"));
    let form = "s=s1&action=maint&b=be_web";
    assert!(request("POST", "/st", auth, form).contains("location: /st;st=DENY\r\n"));
    assert!(request("POST", "/st", &format!("{auth}x-admin: yes\r\n"), form).contains("location: /st;st=DONE\r\n"));
    assert_eq!(bench.stat("be_web", "s1", "status"), "MAINT");
}

#[test]
fn tables_are_shown_changed_and_cleared() {
    let rest = " http-request track-sc0 src table t\n http-request return status 200\nbackend t\n \
                stick-table type ip size 10k expire 30m store conn_cnt,http_req_rate(10s),gpt(2)\nbackend names\n \
                stick-table type string len 8 size 64k store gpc0";
    let bench = Bench::start("nbthread 2", rest);
    let mut client = Client::connect(bench.port.number);
    client.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    client.closed();
    common::wait_until("the stream is over", || bench.ask("show table t").contains(" use=0 "));
    let header = "# table: t, type: ip, size:10240, used:1\n";
    assert_eq!(bench.ask("show table"), format!("# table: names, type: string, size:65536, used:0\n{header}\n"));
    let shown = bench.ask("show table t");
    let (head, entry) = shown.split_once(": key=").expect("an entry");
    assert!(head.starts_with(&format!("{header}0x")), "{shown}");
    assert!(
        entry.starts_with("127.0.0.1 use=0 exp=")
            && entry.contains(" shard=0 conn_cnt=1 http_req_rate(10000)=1 gpt0=0 gpt1=0\n"),
        "{shown}"
    );
    assert_eq!(bench.ask("set table t key 10.0.0.1 data.conn_cnt 5 data.gpt[1] 7"), "\n");
    assert!(bench.ask("show table t key 10.0.0.1").contains(" conn_cnt=5 http_req_rate(10000)=0 gpt0=0 gpt1=7\n"));
    assert_eq!(bench.ask("show table t data.conn_cnt gt 2").matches("key=").count(), 1);
    for (command, answer) in [
        ("show table t key foo", "Invalid key\n"),
        ("show table nope", "No such table\n"),
        ("show table t data.foo gt 1", "Filter entry #1: Unknown data type\n"),
        ("set table t key 10.0.0.1 data.gpc0 5", "Data type not stored in this table\n"),
        ("clear table t key 10.0.0.1", ""),
        ("show table t key 10.0.0.1", ""),
    ] {
        assert_eq!(bench.ask(command), format!("{answer}\n"), "{command}");
    }
    // More entries than one piece of a listing holds, in one line of commands each.
    for ten in 0..120 {
        let line: Vec<String> =
            (0..10).map(|n| format!("set table names key k{} data.gpc0 1", ten * 10 + n)).collect();
        assert_eq!(bench.ask(&line.join(";")), "\n".repeat(10));
    }
    assert_eq!(bench.ask("show table names").matches("key=k").count(), 1200);
    assert_eq!(bench.ask("clear table names"), "\n");
    assert_eq!(bench.ask("show table names"), "# table: names, type: string, size:65536, used:0\n\n");
}
