//! How clients and servers are reached, beside plain TCP: Multipath TCP (`mptcp@`) and SOCKS4 proxies (`socks4`,
//! `check-via-socks4`).

mod common;

use common::client::Client;
use common::directory::Directory;
use common::origin::{Origin, Step};
use common::port::Port;
use common::program::{Program, peer, under_test};
use common::syslog::Syslog;
use common::{pattern, show, wait_until};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const DEFAULTS: &str =
    "defaults\n mode http\n retries 0\n timeout connect 2s\n timeout client 5s\n timeout server 5s\n";

// ---- Multipath TCP ----

/// A listening socket of Multipath TCP; `None` where the kernel has none.
fn multipath() -> Option<(TcpListener, u16)> {
    let socket = match Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)) {
        Ok(socket) => socket,
        Err(e) => {
            eprintln!("the kernel speaks no Multipath TCP ({e}): nothing to see here");
            return None;
        }
    };
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    socket.listen(16).expect("listen");
    let listener = TcpListener::from(socket);
    let port = listener.local_addr().expect("its address").port();
    Some((listener, port))
}

/// The protocols of a program's sockets that are bound to a port, as the kernel names them.
fn protocols(program: &Program) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{}/fd", program.pid())) else { return Vec::new() };
    let name = |path: std::path::PathBuf| {
        let mut name = [0u8; 64];
        let length = rustix::fs::getxattr(&path, "system.sockprotoname", &mut name[..]).ok()?;
        Some(String::from_utf8_lossy(&name[..length]).trim_end_matches('\0').to_owned())
    };
    entries.flatten().filter_map(|entry| name(entry.path())).collect()
}

#[test]
fn servers_are_reached_by_multipath_tcp_where_the_address_says_so() {
    let Some((listener, port)) = multipath() else { return };
    let spoken = Arc::new(Mutex::new(Vec::new()));
    let of_origin = spoken.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let protocol = Socket::from(stream.try_clone().expect("a second handle")).protocol().expect("a protocol");
            of_origin.lock().expect("state").push(protocol == Some(Protocol::MPTCP));
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(OK);
        }
    });
    let directory = Directory::new();
    let ports = [Port::hold(), Port::hold()];
    let config = format!(
        "{DEFAULTS}listen a\n bind 127.0.0.1:{}\n server s mptcp4@127.0.0.1:{port}\n\
         listen b\n bind 127.0.0.1:{}\n server s tcp4@127.0.0.1:{port}\n",
        ports[0].number, ports[1].number
    );
    let _program = Program::start(&under_test(), &directory, &config, &[ports[0].number, ports[1].number]);
    for port in &ports {
        assert_eq!(Client::connect(port.number).send(GET).status(), 200);
    }
    assert_eq!(*spoken.lock().expect("state"), [true, false]);
}

#[test]
fn listeners_speak_multipath_tcp_where_the_address_says_so() {
    if multipath().is_none() {
        return;
    }
    let directory = Directory::new();
    let (ports, body) = ([Port::hold(), Port::hold()], pattern(300_000, 7));
    let mut message = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    message.extend_from_slice(&body);
    let origin = Origin::start(vec![Step::Request, Step::Send(message), Step::Close]);
    let config = format!(
        "global\n nbthread 1\n{DEFAULTS}listen f\n bind mptcp@127.0.0.1:{},127.0.0.1:{}\n server s 127.0.0.1:{}\n",
        ports[0].number, ports[1].number, origin.port
    );
    let program = Program::start(&under_test(), &directory, &config, &[ports[0].number, ports[1].number]);
    let protocols = protocols(&program);
    assert_eq!(protocols.iter().filter(|p| p.as_str() == "MPTCP").count(), 1, "{protocols:?}");
    // A client that speaks it, and one that does not.
    let address = SocketAddr::from(([127, 0, 0, 1], ports[0].number));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).expect("a socket");
    socket.connect(&address.into()).expect("it listens");
    for mut stream in [TcpStream::from(socket), TcpStream::connect(address).expect("it listens")] {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        assert!(answer.ends_with(&body), "{} bytes: {}", answer.len(), show(&answer[..answer.len().min(300)]));
    }
}

// ---- SOCKS4 ----

/// A SOCKS4 proxy that keeps what it was told and speaks for the servers behind it.
struct Socks {
    port: u16,
    told: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Socks {
    /// One that answers a request with `reply`; where that grants it, bytes up to an empty line are answered with 200.
    fn start(reply: &'static [u8]) -> Socks {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let told = Arc::new(Mutex::new(Vec::new()));
        let of_proxy = told.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = of_proxy.clone();
                std::thread::spawn(move || converse(stream, reply, &told));
            }
        });
        Socks { port, told }
    }

    fn told(&self) -> Vec<Vec<u8>> {
        self.told.lock().expect("state").clone()
    }
}

fn converse(mut stream: TcpStream, reply: &[u8], told: &Mutex<Vec<Vec<u8>>>) {
    let mut request = [0; 16];
    if stream.read_exact(&mut request).is_err() {
        return;
    }
    told.lock().expect("state").push(request.to_vec());
    // In two pieces, of which the second may bring more.
    let _ = stream.set_nodelay(true);
    let _ = stream.write_all(&reply[..3]);
    let _ = stream.write_all(&reply[3..]);
    if reply[1] != 90 {
        return;
    }
    let (mut said, mut bytes) = (Vec::new(), [0; 4096]);
    while !said.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(n @ 1..) => said.extend_from_slice(&bytes[..n]),
            _ => return,
        }
    }
    told.lock().expect("state").push(said);
    let _ = stream.write_all(OK);
}

const GRANTED: &[u8] = b"\0\x5a\0\0\0\0\0\0";
const DENIED: &[u8] = b"\0\x5b\0\0\0\0\0\0";
/// What is said to the proxy for 192.0.2.7:81.
const ASKED: &[u8] = b"\x04\x01\x00Q\xc0\x00\x02\x07HAProxy\0";

#[test]
fn servers_are_reached_through_a_socks4_proxy() {
    for binary in [under_test(), peer()] {
        let (socks, directory) = (Socks::start(GRANTED), Directory::new());
        let ports = [Port::hold(), Port::hold()];
        let config = format!(
            "{DEFAULTS}listen a\n bind 127.0.0.1:{}\n http-response set-header to %[bc_dst]:%[bc_dst_port]\n \
             server s 192.0.2.7:81 socks4 127.0.0.1:{}\n\
             listen b\n bind 127.0.0.1:{}\n server s 192.0.2.7:81 socks4 127.0.0.1:{} send-proxy\n",
            ports[0].number, socks.port, ports[1].number, socks.port
        );
        let _program = Program::start(&binary, &directory, &config, &[ports[0].number, ports[1].number]);
        let answer = Client::connect(ports[0].number).send(GET).response();
        assert!(
            answer.starts_with(b"HTTP/1.1 200") && show(&answer).contains("to: 192.0.2.7:81"),
            "{}",
            show(&answer)
        );
        assert_eq!(Client::connect(ports[1].number).send(GET).status(), 200);
        let told = socks.told();
        assert_eq!([&*told[0], &*told[2]], [ASKED, ASKED]);
        assert!(told[1].starts_with(b"GET /x HTTP/1.1\r\n"), "{}", show(&told[1]));
        let header = show(&told[3]);
        assert!(
            header.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 ") && header.contains("GET /x HTTP/1.1"),
            "{header}"
        );
    }
}

#[test]
fn what_a_server_says_at_once_follows_the_proxys_reply() {
    let (socks, directory, port) =
        (Socks::start(b"\x00\x5a\x00\x00\x00\x00\x00\x00220 hello\r\n"), Directory::new(), Port::hold());
    let config = format!(
        "{DEFAULTS}listen a\n mode tcp\n bind 127.0.0.1:{}\n server s 192.0.2.7:81 socks4 127.0.0.1:{}\n",
        port.number, socks.port
    );
    let _program = Program::start(&under_test(), &directory, &config, &[port.number]);
    assert_eq!(Client::connect(port.number).until(b"\r\n"), b"220 hello\r\n");
}

#[test]
fn a_proxy_that_refuses_and_an_address_it_cannot_have_are_failed_connections() {
    for binary in [under_test(), peer()] {
        let (socks, directory) = (Socks::start(DENIED), Directory::new());
        let log = Syslog::udp();
        let ports = [Port::hold(), Port::hold()];
        let config = format!(
            "{DEFAULTS} log {} local0\n option httplog\nlisten a\n bind 127.0.0.1:{}\n \
             server s 192.0.2.7:81 socks4 127.0.0.1:{}\nlisten b\n bind 127.0.0.1:{}\n \
             server s [2001:db8::1]:81 socks4 127.0.0.1:{}\n",
            log.address, ports[0].number, socks.port, ports[1].number, socks.port
        );
        let _program = Program::start(&binary, &directory, &config, &[ports[0].number, ports[1].number]);
        for (port, name) in ports.iter().zip(["a a/s", "b b/s"]) {
            assert_eq!(Client::connect(port.number).send(GET).status(), 503);
            log.line_with(&[name, " 503 ", " SC-- "]);
        }
        assert_eq!(socks.told(), [ASKED]);
    }
}

#[test]
fn checks_go_through_the_proxy_where_that_is_asked_for() {
    for binary in [under_test(), peer()] {
        let (open, shut) = (Socks::start(GRANTED), Socks::start(DENIED));
        let (directory, port, log) = (Directory::new(), Port::hold(), Syslog::udp());
        let socket = directory.join("admin.sock");
        let config = format!(
            "global\n stats socket {socket} level admin\n{DEFAULTS} log {} local0\nfrontend f\n bind 127.0.0.1:{}\n\
             backend b\n option httpchk\n default-server inter 200ms fall 1 rise 1\n \
             server through 192.0.2.7:81 socks4 127.0.0.1:{open} check check-via-socks4\n \
             server refused 192.0.2.7:82 socks4 127.0.0.1:{shut} check check-via-socks4\n \
             server direct 127.0.0.1:{shut} socks4 127.0.0.1:{open} check\n\
             backend c\n option tcp-check\n tcp-check connect port 81 via-socks4\n tcp-check connect addr 127.0.0.1 port {shut}\n \
             server both 192.0.2.7:1 socks4 127.0.0.1:{open} check inter 200ms\n",
            log.address,
            port.number,
            open = open.port,
            shut = shut.port
        );
        let _program = Program::start(&binary, &directory, &config, &[port.number]);
        wait_until("the socket is there", || std::path::Path::new(&socket).exists());
        let stat = |server: &str, column: usize| {
            let stat = common::cli::ask(&socket, "show stat");
            let line = stat.lines().find(|l| l.contains(server)).expect("a line").to_owned();
            line.split(',').nth(column).expect("a column").to_owned()
        };
        wait_until("through the proxy", || stat("b,through,", 36) == "L7OK");
        wait_until("not through the proxy that refuses", || stat("b,refused,", 36) == "SOCKERR");
        log.line_with(&["b/refused is DOWN", "reason: Socket error, info: \"SOCKS4 Proxy deny the request"]);
        wait_until("each connect by itself", || stat("c,both,", 36) == "L4OK");
        assert!(open.told().iter().any(|told| told == ASKED));
        assert!(shut.told().iter().any(|told| told == &b"\x04\x01\x00R\xc0\x00\x02\x07HAProxy\0".to_vec()));
        wait_until("the server itself is asked", || shut.told().iter().any(|told| told.starts_with(b"OPTIONS")));
    }
}
