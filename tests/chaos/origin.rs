//! A server as a process of its own, so that it can be killed and stopped as one: the test's program started again. It
//! answers HTTP/1.1 requests for `/<class>/<id>/<size>` with a body that follows from the id, sends back what comes on
//! its second port, and writes each POST down when its head has come, before anything else can happen to it.

use crate::common::http::{head_length, header_values};
use crate::common::pattern;
use socket2::{Domain, Socket, Type};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

/// Names the journal, the mark that slows the server, and both ports: `<directory> <name> <port> <port>`.
const ORDER: &str = "RINGWAY_CHAOS_ORIGIN";

/// A server's process; it leaves when this is dropped, or when the test's process dies.
pub struct Origin {
    child: Child,
    _life: ChildStdin,
}

impl Origin {
    pub fn start(directory: &str, name: &str, http: u16, echo: u16) -> Origin {
        let mut child = Command::new(std::env::current_exe().expect("the test's program"))
            .args(["--exact", "an_origin_in_a_process_of_its_own", "--nocapture"])
            .env(ORDER, format!("{directory} {name} {http} {echo}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("an origin");
        let life = child.stdin.take().expect("its input");
        Origin { child, _life: life }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it is there");
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves if this process was started for that.
pub fn serve_if_ordered() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let mut words = order.split(' ');
    let mut word = || words.next().expect("a word of the order").to_owned();
    let directory = PathBuf::from(word());
    let name = word();
    let mut port = || word().parse().expect("a port");
    let (http, echo) = (listen(port()), listen(port()));
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    std::thread::spawn(move || {
        each(&echo, |mut stream| {
            let mut out = stream.try_clone().expect("a second handle");
            let _ = std::io::copy(&mut stream, &mut out);
        });
    });
    each(&http, move |stream| {
        serve(stream, &directory, &name);
    });
}

fn listen(port: u16) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    socket.set_reuse_port(true).expect("SO_REUSEPORT");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("the port given");
    socket.listen(1024).expect("listen");
    socket.into()
}

fn each(listener: &TcpListener, serve: impl Fn(TcpStream) + Clone + Send + 'static) {
    for stream in listener.incoming().flatten() {
        let serve = serve.clone();
        let _ = std::thread::Builder::new().stack_size(128 << 10).spawn(move || {
            let _ = stream.set_nodelay(true);
            serve(stream);
        });
    }
}

/// The requests of one connection; ends where anything is not as it must be.
fn serve(mut stream: TcpStream, directory: &std::path::Path, name: &str) -> Option<()> {
    let note = |text: &str| {
        let file = OpenOptions::new().append(true).create(true).open(directory.join(format!("{name}.journal")));
        file.expect("a journal").write_all(text.as_bytes()).expect("a line of the journal");
    };
    let slow = directory.join(format!("{name}.slow"));
    let mut buffer = Vec::new();
    loop {
        let head = read_until(&mut stream, &mut buffer, head_length)?;
        let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
        let length = header_values(text.as_bytes(), "content-length").first().map_or(0, |v| v.parse().unwrap_or(0));
        let (method, path) = text.split_once(' ')?;
        let mut parts = path.split(['/', ' ']).skip(2);
        let (id, size): (u64, usize) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        if method == "POST" {
            note(&format!("{id}\n"));
        }
        let whole = read_until(&mut stream, &mut buffer, |b| (b.len() >= head + length).then_some(head + length))?;
        if buffer[head..whole] != pattern(length, id + 1) {
            note(&format!("bad {id}\n"));
        }
        buffer.drain(..whole);
        let is_slow = slow.exists();
        if is_slow {
            std::thread::sleep(Duration::from_millis(id % 300));
        }
        let mut answer = format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\nContent-Length: {size}\r\n\r\n").into_bytes();
        answer.extend_from_slice(&pattern(size, id));
        let (first, rest) = answer.split_at(answer.len() - size / 2);
        stream.write_all(first).ok()?;
        if is_slow {
            std::thread::sleep(Duration::from_millis(id % 200));
        }
        stream.write_all(rest).ok()?;
    }
}

fn read_until(stream: &mut TcpStream, buffer: &mut Vec<u8>, ready: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    let mut piece = [0; 16384];
    loop {
        if let Some(length) = ready(buffer) {
            return Some(length);
        }
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => buffer.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
}
