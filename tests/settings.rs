//! Settings of listeners, servers and the process, each by what the kernel, a server or `show stat` then says.

mod common;

use common::cli::{ask, stat};
use common::client::Client;
use common::directory::Directory;
use common::http::header_values;
use common::origin::{Gate, Origin, Step};
use common::port::Port;
use common::program::{Program, under_test};
use common::wait_until;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const DEFAULTS: &str =
    "defaults\n mode http\n timeout connect 2s\n timeout client 5s\n timeout server 5s\n timeout queue 5s\n";

/// A program with a stats socket.
struct House {
    program: Program,
    port: Port,
    socket: String,
    directory: Directory,
}

impl House {
    /// `global` lines and sections; `{port}` and `{dir}` stand for what is held.
    fn open(global: &str, sections: &str) -> House {
        let (directory, port) = (Directory::new(), Port::hold());
        let socket = directory.join("admin.sock");
        let config =
            format!("global\n stats socket {socket} level admin\n maxconn 100\n{global}{DEFAULTS}{sections}")
                .replace("{port}", &port.number.to_string())
                .replace("{dir}", directory.path().to_str().expect("UTF-8"));
        let program = Program::start(&under_test(), &directory, &config, &[port.number]);
        wait_until("the socket is there", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        House { program, port, socket, directory }
    }

    fn client(&self) -> Client {
        Client::connect(self.port.number)
    }
}

fn answering() -> Origin {
    Origin::start(vec![Step::Serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".into())])
}

#[test]
fn keep_alive_probes_are_sent_to_the_side_that_the_option_names() {
    for (option, expected) in [
        ("", (false, false)),
        (" option tcpka\n", (true, true)),
        (" option clitcpka\n", (true, false)),
        (" option srvtcpka\n", (false, true)),
    ] {
        let origin = Origin::start(vec![Step::Echo]);
        let server = format!(" server s 127.0.0.1:{}\n", origin.port);
        let house = House::open("", &format!("listen l\n mode tcp\n bind 127.0.0.1:{{port}}\n{option}{server}"));
        let mut client = house.client();
        client.send("x").until(b"x");
        let probes = |port: u16| {
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let sockets = house.program.sockets();
            let of_peer = sockets.iter().find(|s| s.peer_addr().is_ok_and(|a| a.as_socket() == Some(peer)));
            of_peer.expect("the connection").keepalive().expect("an option of the socket")
        };
        assert_eq!((probes(client.port), probes(origin.port)), expected, "{option:?}");
    }
}

/// Whether this process may do what `bit` of its capabilities allows (capabilities(7)).
fn may(bit: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let mask = status.lines().find_map(|l| l.strip_prefix("CapEff:")).expect("capabilities");
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask >> bit & 1 == 1)
}

#[test]
fn a_transparent_listener_takes_an_address_that_is_not_the_machines() {
    const NET_ADMIN: u32 = 12;
    const NET_RAW: u32 = 13;
    // An address for documentation (RFC 5737).
    let config = |port: &Port, words: &str| {
        format!(
            "{DEFAULTS}frontend f\n bind 192.0.2.7:{}{words}\n bind 127.0.0.1:{} transparent\n http-request return status 200\n",
            port.number, port.number
        )
    };
    let fails = |words: &str| {
        let (directory, port) = (Directory::new(), Port::hold());
        let file = directory.write("c.cfg", config(&port, words));
        let run = Command::new(under_test()).args(["-db", "-f", &file]).output().expect("it runs");
        assert_eq!(run.status.code(), Some(1));
        String::from_utf8_lossy(&run.stderr).into_owned()
    };
    if !may(NET_ADMIN) && !may(NET_RAW) {
        assert!(fails(" transparent").contains("cannot make listening socket transparent"));
        return;
    }
    let said = fails("");
    assert!(said.contains("cannot bind socket (Cannot assign requested address)"), "{said}");
    let (directory, port) = (Directory::new(), Port::hold());
    let program = Program::start(&under_test(), &directory, &config(&port, " transparent"), &[port.number]);
    let foreign = SocketAddr::from(([192, 0, 2, 7], port.number));
    wait_until("it listens there", || {
        let sockets = program.sockets();
        let there = sockets.iter().find(|s| s.local_addr().is_ok_and(|a| a.as_socket() == Some(foreign)));
        there.is_some_and(|s| s.ip_transparent_v4().unwrap_or(false))
    });
}

#[test]
fn a_listener_on_all_addresses_takes_ipv4_unless_it_is_for_ipv6_alone() {
    for (bind, taken) in [("bind :::{port} v4v6", true), ("bind :::{port} v6only", false)] {
        let house = House::open("", &format!("frontend f\n {bind}\n http-request return status 200\n"));
        let mut six = Client::connect_to(SocketAddr::from((Ipv6Addr::LOCALHOST, house.port.number)));
        assert_eq!(six.send(GET).status(), 200);
        let four = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, house.port.number));
        assert_eq!(four.is_ok(), taken, "{bind}");
        let sockets = house.program.sockets();
        let port = |s: &&socket2::Socket| s.local_addr().ok().and_then(|a| a.as_socket()).map(|a| a.port());
        let listener = sockets.iter().find(|s| port(s) == Some(house.port.number)).expect("a listener");
        assert_eq!(listener.only_v6().expect("an option of the socket"), !taken);
    }
}

#[test]
fn a_listening_path_belongs_to_whom_its_line_says() {
    use std::os::unix::fs::MetadataExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can give a file away: nothing to see here");
        return;
    }
    let house = House::open(
        "",
        "frontend f\n bind 127.0.0.1:{port}\n bind unix@{dir}/web.sock user nobody group nogroup mode 640\n \
         http-request return status 200\n",
    );
    let path = house.directory.join("web.sock");
    wait_until("the path is there", || std::fs::metadata(&path).is_ok());
    let file = std::fs::metadata(&path).expect("a path");
    let number = |table: &str, name: &str| {
        let table = std::fs::read_to_string(table).expect("a table of names");
        let row = table.lines().find(|l| l.starts_with(&format!("{name}:"))).expect("the name").to_owned();
        row.split(':').nth(2).and_then(|n| n.parse::<u32>().ok()).expect("a number")
    };
    let expected = (number("/etc/passwd", "nobody"), number("/etc/group", "nogroup"), 0o640);
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), expected);
}

#[test]
fn listeners_and_servers_have_the_numbers_of_their_lines() {
    let origin = answering();
    let house = House::open(
        "",
        &format!(
            "frontend f\n bind 127.0.0.1:{{port}} id 42\n http-request return status 200 hdr x-id %[so_id]\nbackend b\n \
             server s 127.0.0.1:{} id 77\n",
            origin.port
        ),
    );
    let mut client = house.client();
    client.send(GET);
    assert_eq!(header_values(&client.response(), "x-id"), ["42"]);
    assert_eq!(stat(&house.socket, "b", "s", "sid"), "77");
}

#[test]
fn a_server_is_enabled_though_the_others_begin_disabled() {
    let house = House::open(
        "",
        "frontend f\n bind 127.0.0.1:{port}\nbackend b\n default-server disabled\n server off 127.0.0.1:1\n \
         server on 127.0.0.1:1 enabled\n",
    );
    assert_eq!(stat(&house.socket, "b", "off", "status"), "MAINT");
    assert_eq!(stat(&house.socket, "b", "on", "status"), "no check");
}

#[test]
fn a_server_has_its_maxconn_when_the_backend_has_fullconn() {
    for (fullconn, at_once) in [("2", 2), ("1000", 1)] {
        let gate = Gate::new();
        let ok = Step::Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into());
        let origin = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), ok, Step::Close]);
        let house = House::open(
            "",
            &format!(
                "frontend f\n bind 127.0.0.1:{{port}}\n default_backend b\nbackend b\n fullconn {fullconn}\n \
                 server s 127.0.0.1:{} minconn 1 maxconn 2\n",
                origin.port
            ),
        );
        let mut clients = [house.client(), house.client()];
        clients.iter_mut().for_each(|client| {
            client.send(GET);
        });
        let waiting = (2 - at_once).to_string();
        wait_until("both are where they belong", || {
            origin.connections() == at_once && stat(&house.socket, "b", "BACKEND", "qcur") == waiting
        });
        gate.open();
        assert!(clients.iter_mut().all(|client| client.status() == 200));
    }
}

#[test]
fn a_server_that_has_as_many_as_its_load_allows_leaves_the_next_to_others() {
    let gate = Gate::new();
    let ok = Step::Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into());
    let busy = Origin::start(vec![Step::Request, Step::Gate(gate.clone()), ok.clone(), Step::Close]);
    let free = Origin::start(vec![Step::Request, ok, Step::Close]);
    let house = House::open(
        "",
        &format!(
            "frontend f\n bind 127.0.0.1:{{port}}\n default_backend b\nbackend b\n balance first\n fullconn 1000\n \
             default-server minconn 1 maxconn 100\n server busy 127.0.0.1:{}\n server free 127.0.0.1:{}\n",
            busy.port, free.port
        ),
    );
    let mut clients = [house.client(), house.client()];
    clients[0].send(GET);
    wait_until("the first is served", || busy.connections() == 1);
    clients[1].send(GET);
    assert_eq!(clients[1].status(), 200);
    gate.open();
    assert_eq!(clients[0].status(), 200);
}

#[test]
fn a_client_stays_with_its_server_where_that_is_preferred() {
    let named = |name: &str| {
        let text = format!("HTTP/1.1 200 OK\r\nX-Name: {name}\r\nContent-Length: 0\r\n\r\n");
        Origin::start(vec![Step::Serve(text.into())])
    };
    for (option, alone) in [("", false), (" option prefer-last-server\n", true)] {
        let (one, two) = (named("one"), named("two"));
        let servers = format!(" server one 127.0.0.1:{}\n server two 127.0.0.1:{}\n", one.port, two.port);
        let house = House::open(
            " nbthread 1\n",
            &format!("listen l\n bind 127.0.0.1:{{port}}\n balance roundrobin\n{option}{servers}"),
        );
        let mut client = house.client();
        let names: Vec<String> = (0..4)
            .map(|_| {
                client.send(GET);
                header_values(&client.response(), "x-name").concat()
            })
            .collect();
        assert_eq!(names.iter().all(|n| *n == names[0]), alone, "{option:?}: {names:?}");
    }
}

#[test]
fn random_servers_come_in_no_order() {
    let named = |name: &str| {
        let text = format!("HTTP/1.1 200 OK\r\nX-Name: {name}\r\nContent-Length: 0\r\n\r\n");
        Origin::start(vec![Step::Serve(text.into())])
    };
    let (one, two) = (named("one"), named("two"));
    let house = House::open(
        " nbthread 1\n",
        &format!(
            "listen l\n bind 127.0.0.1:{{port}}\n balance roundrobin\n balance random\n \
             server one 127.0.0.1:{}\n server two 127.0.0.1:{}\n",
            one.port, two.port
        ),
    );
    let mut client = house.client();
    let names: Vec<String> = (0..64)
        .map(|_| {
            client.send(GET);
            header_values(&client.response(), "x-name").concat()
        })
        .collect();
    // A round has no two of a kind in a row; that chance makes one happens once in 2^62 runs.
    assert!(names.windows(2).any(|w| w[0] == w[1]) && names.windows(2).any(|w| w[0] != w[1]), "{names:?}");
}

#[test]
fn threads_are_shown_one_by_one() {
    let house = House::open(" nbthread 2\n", "frontend f\n bind 127.0.0.1:{port}\n");
    let shown = ask(&house.socket, "show threads");
    assert!(shown.contains("Thread 1") && shown.contains("Thread 2") && !shown.contains("Thread 3"), "{shown}");
}

#[test]
fn words_for_what_there_is_not_are_told() {
    let directory = Directory::new();
    for (line, text) in [
        ("tune.maxaccept 10", "'tune.maxaccept': the ring accepts by itself"),
        ("thread-groups 2", "'thread-groups': every thread is a worker of its own here"),
        ("tune.lua.bool-sample-conversion normal", "'tune.lua.bool-sample-conversion': there is no Lua here yet"),
    ] {
        let file = directory.write("c.cfg", format!("global\n {line}\n{DEFAULTS}frontend f\n bind 127.0.0.1:1\n"));
        let check = Command::new(under_test()).args(["-c", "-f", &file]).output().expect("it runs");
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        assert!(check.status.success() && said.contains("[NOTICE]") && said.contains(text), "{said}");
    }
}

#[test]
fn files_are_found_from_the_folder_of_the_command_line() {
    let (directory, port) = (Directory::new(), Port::hold());
    std::fs::create_dir(directory.join("etc")).expect("a folder");
    let config = format!("{DEFAULTS}frontend f\n bind 127.0.0.1:{}\n", port.number);
    directory.write("etc/own.cfg", config);
    let check = |arguments: &[&str]| {
        Command::new(under_test()).args(arguments).current_dir("/").output().expect("it runs").status.success()
    };
    assert!(check(&["-c", "-C", &directory.join("etc"), "-f", "own.cfg"]));
    assert!(!check(&["-c", "-f", "own.cfg"]));
}

#[test]
fn paths_of_listeners_have_the_prefix_and_rights_that_unix_bind_gives() {
    use std::os::unix::fs::PermissionsExt;
    let house = House::open(
        " unix-bind prefix {dir} mode 620\n",
        "frontend f\n bind 127.0.0.1:{port}\n bind unix@/web.sock\n http-request return status 200\n",
    );
    let path = house.directory.join("web.sock");
    wait_until("the path has its rights", || {
        std::fs::metadata(&path).is_ok_and(|file| file.permissions().mode() & 0o777 == 0o620)
    });
}

#[test]
fn states_of_servers_are_read_from_below_server_state_base() {
    let sections = "frontend f\n bind 127.0.0.1:{port}\nbackend b\n load-server-state-from-file global\n \
                    server s 127.0.0.1:1\n";
    let before = House::open("", sections);
    ask(&before.socket, "set server b/s state drain");
    let states = ask(&before.socket, "show servers state");
    let folder = before.directory.join("states");
    std::fs::create_dir(&folder).expect("a folder");
    before.directory.write("states/own", states);
    let after = House::open(&format!(" server-state-base {folder}\n server-state-file own\n"), sections);
    assert_eq!(stat(&after.socket, "b", "s", "status"), "DRAIN");
}

#[test]
fn idle_clients_of_a_stopping_process_may_ask_once_more() {
    for (option, served) in [("", false), (" option idle-close-on-response\n", true)] {
        let house = House::open(
            "",
            &format!("frontend f\n bind 127.0.0.1:{{port}}\n{option} http-request return status 200\n"),
        );
        // A second connection keeps the process from ending before the first was looked at.
        let (mut client, mut other) = (house.client(), house.client());
        for client in [&mut client, &mut other] {
            assert_eq!(client.send(GET).status(), 200);
        }
        house.program.signal(rustix::process::Signal::USR1);
        wait_until("it stops", || std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, house.port.number)).is_err());
        match served {
            true => {
                client.send(GET);
                let answer = client.response();
                assert_eq!(header_values(&answer, "connection"), ["close"]);
                client.closed();
            }
            false => assert_eq!(client.closed().0, b""),
        }
    }
}

#[test]
fn remarks_of_the_configuration_are_shown_to_who_asks_for_them() {
    let directory = Directory::new();
    let file = directory.write("c.cfg", format!(".diag \"look here\"\n{DEFAULTS}frontend f\n bind 127.0.0.1:1\n"));
    let said = |arguments: &[&str]| {
        let check = Command::new(under_test()).args(arguments).args(["-f", &file]).output().expect("it runs");
        String::from_utf8_lossy(&check.stderr).contains("look here")
    };
    assert_eq!((said(&["-c", "-dD"]), said(&["-c"])), (true, false));
}

#[test]
fn what_the_process_is_made_of_is_shown() {
    let house = House::open("", "frontend f\n bind 127.0.0.1:{port}\n");
    let libs = ask(&house.socket, "show libs");
    assert!(libs.lines().any(|l| l.starts_with("0x") && l.contains("/libc")), "{libs}");
    assert!(ask(&house.socket, "show pools").contains("Total: 2 pools"));
    assert!(ask(&house.socket, "show profiling").contains("Per-task CPU profiling              : off"));
}

#[test]
fn patterns_of_an_acl_are_changed_by_its_own_number() {
    let house = House::open(
        "",
        "frontend f\n bind 127.0.0.1:{port}\n acl known path -u 77 /a\n http-request return status 200 if known\n \
         http-request return status 204\n",
    );
    let get = |path: &str| house.client().send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).status();
    assert_eq!((get("/a"), get("/b")), (200, 204));
    ask(&house.socket, "add acl #77 /b");
    ask(&house.socket, "del acl #77 /a");
    assert_eq!((get("/a"), get("/b")), (204, 200));
}

/// A fast open leaves with the first bytes that are sent. The kernel's own setting of it is that of a network: this test
/// runs again in one where both sides may, without a cookie (ip-sysctl).
#[test]
fn a_server_that_speaks_first_is_reached_though_its_line_says_tfo() {
    const NAME: &str = "a_server_that_speaks_first_is_reached_though_its_line_says_tfo";
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can have a network of its own: nothing to see here");
        return;
    }
    if std::env::var_os(NAME).is_none() {
        let itself = std::env::current_exe().expect("a path");
        let out = Command::new("unshare").arg("--net").arg(itself).args(["--exact", NAME]).env(NAME, "").output();
        let out = out.expect("unshare runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        return;
    }
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip runs").success());
    std::fs::write("/proc/sys/net/ipv4/tcp_fastopen", "1031").expect("a setting of this network");
    let origin = Origin::start(vec![Step::Send(b"welcome".into()), Step::Echo]);
    let server = format!(" server s 127.0.0.1:{} tfo\n", origin.port);
    let house = House::open("", &format!("listen l\n mode tcp\n bind 127.0.0.1:{{port}}\n{server}"));
    let mut client = house.client();
    assert_eq!(client.until(b"welcome"), b"welcome");
    client.send("x").until(b"x");
}
