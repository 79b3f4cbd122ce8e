//! Scripted raw-byte origins. Each connection follows a script of steps; every byte received is recorded with the way
//! the connection ended. One thread per connection: clarity over speed.

use super::client::End;
use super::http::{Extent, request_extent};
use super::{BOUND, show};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What an origin does on a connection, in order. After the last step it reads until the other side ends.
#[derive(Clone)]
pub enum Step {
    /// Reads one whole HTTP request.
    Request,
    /// Reads until these bytes have come.
    Until(Vec<u8>),
    /// Reads this many bytes.
    Bytes(usize),
    /// Reads to the end of the stream.
    Eof,
    Send(Vec<u8>),
    /// Sends in pieces of so many bytes with a pause between them.
    Split(Vec<u8>, usize),
    /// Answers every request with these bytes until the other side ends.
    Serve(Vec<u8>),
    /// Sends back all it receives until the other side's FIN, then closes.
    Echo,
    Pause(u64),
    /// Waits until the gate is opened.
    Gate(Gate),
    HalfClose,
    Close,
    Reset,
}

/// Something that a test opens once and origins wait for.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn new() -> Gate {
        Gate::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().expect("gate") = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let guard = self.0.0.lock().expect("gate");
        let _ = self.0.1.wait_timeout_while(guard, BOUND, |open| !*open);
    }
}

/// What one connection brought.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub bytes: Vec<u8>,
    /// How the proxy ended it, or None while it is open or when the script closed it.
    pub end: Option<End>,
    /// The script is over and the socket closed.
    pub over: bool,
}

#[derive(Default)]
struct Shared {
    records: Mutex<Vec<Record>>,
    changed: Condvar,
    stopped: Mutex<bool>,
    /// Second handles of the connections, where the origin may be killed.
    streams: Mutex<Vec<TcpStream>>,
}

pub struct Origin {
    pub port: u16,
    shared: Arc<Shared>,
    listener: Arc<Socket>,
    acceptor: Option<std::thread::JoinHandle<()>>,
}

impl Origin {
    /// Every connection follows the same script.
    pub fn start(script: Vec<Step>) -> Origin {
        Origin::start_with(vec![script])
    }

    /// The n-th connection follows the n-th script; the last script repeats.
    pub fn start_with(scripts: Vec<Vec<Step>>) -> Origin {
        Origin::start_on(0, scripts)
    }

    /// On a given port, which a [`super::port::Port`] should hold.
    pub fn start_on(port: u16, scripts: Vec<Vec<Step>>) -> Origin {
        let is_port_given = port != 0;
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.set_reuse_address(true).expect("SO_REUSEADDR");
        listener.set_reuse_port(true).expect("SO_REUSEPORT");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("an origin's port");
        listener.listen(4096).expect("listen");
        let port = listener.local_addr().expect("address").as_socket().expect("internet").port();
        let listener = Arc::new(listener);
        let shared = Arc::new(Shared::default());
        let (accepting, state) = (listener.clone(), shared.clone());
        let is_killable = is_port_given;
        let acceptor = std::thread::spawn(move || {
            loop {
                let accepted = accepting.accept();
                if *state.stopped.lock().expect("state") {
                    return;
                }
                let Ok((socket, _)) = accepted else {
                    // ECONNABORTED: reset before it was accepted, as a check by connection does.
                    let mut records = state.records.lock().expect("records");
                    records.push(Record { bytes: Vec::new(), end: Some(End::Reset), over: true });
                    state.changed.notify_all();
                    continue;
                };
                let index = {
                    let mut records = state.records.lock().expect("records");
                    records.push(Record::default());
                    state.changed.notify_all();
                    records.len() - 1
                };
                let stream: TcpStream = socket.into();
                if is_killable && let Ok(second) = stream.try_clone() {
                    state.streams.lock().expect("streams").push(second);
                }
                let script = scripts[index.min(scripts.len() - 1)].clone();
                let state = state.clone();
                std::thread::spawn(move || {
                    Connection { stream, shared: state, index, taken: 0, end: None }.follow(script);
                });
            }
        });
        Origin { port, shared, listener, acceptor: Some(acceptor) }
    }

    /// Dies as a process would: no listener, and every connection ends. Only for an origin on a given port.
    pub fn kill(self) {
        for stream in self.shared.streams.lock().expect("streams").drain(..) {
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many requests with this path have come.
    pub fn requests(&self, path: &str) -> usize {
        let needle = format!(" {path} ");
        let records = self.shared.records.lock().expect("records");
        records.iter().map(|r| String::from_utf8_lossy(&r.bytes).matches(&needle).count()).sum()
    }

    pub fn records(&self) -> Vec<Record> {
        self.shared.records.lock().expect("records").clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.records.lock().expect("records").len()
    }

    /// Waits until the records satisfy something.
    pub fn wait_for(&self, what: &str, ready: impl Fn(&[Record]) -> bool) -> Vec<Record> {
        let end = Instant::now() + BOUND;
        let mut records = self.shared.records.lock().expect("records");
        while !ready(&records) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seen: Vec<_> = records.iter().map(|r| (show(&r.bytes), r.end, r.over)).collect();
                drop(records);
                panic!("the origin waits in vain for {what}; it has seen {seen:#?}");
            }
            records = self.shared.changed.wait_timeout(records, left).expect("records").0;
        }
        records.clone()
    }

    /// Waits until a connection has ended, and says how.
    pub fn ended(&self, index: usize) -> Record {
        let records = self.wait_for("the end of a connection", |r| r.get(index).is_some_and(|record| record.over));
        records[index].clone()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        *self.shared.stopped.lock().expect("state") = true;
        let _ = self.listener.shutdown(Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    index: usize,
    taken: usize,
    end: Option<End>,
}

impl Connection {
    fn follow(mut self, script: Vec<Step>) {
        let _ = self.stream.set_nodelay(true);
        let mut closed_here = false;
        for step in script {
            match step {
                Step::Request => self.request(),
                Step::Until(end) => self.until(&end),
                Step::Bytes(count) => while self.length() < self.taken + count && self.receive() {},
                Step::Eof => while self.receive() {},
                Step::Send(bytes) => self.send(&bytes),
                Step::Split(bytes, size) => {
                    for piece in bytes.chunks(size) {
                        self.send(piece);
                        std::thread::sleep(Duration::from_millis(2));
                    }
                }
                Step::Serve(bytes) => {
                    while self.end.is_none() {
                        self.request();
                        if self.end.is_none() {
                            self.send(&bytes);
                        }
                    }
                }
                Step::Echo => {
                    self.echo();
                    closed_here = true;
                    break;
                }
                Step::Pause(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
                Step::Gate(gate) => gate.wait(),
                Step::HalfClose => drop(self.stream.shutdown(Shutdown::Write)),
                Step::Close => {
                    closed_here = true;
                    break;
                }
                Step::Reset => {
                    let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                    closed_here = true;
                    break;
                }
            }
        }
        if !closed_here {
            while self.receive() {}
        }
        let (shared, index, end) = (self.shared.clone(), self.index, self.end);
        drop(self);
        let mut records = shared.records.lock().expect("records");
        records[index].over = true;
        records[index].end = end;
        shared.changed.notify_all();
    }

    fn length(&self) -> usize {
        self.shared.records.lock().expect("records")[self.index].bytes.len()
    }

    fn receive(&mut self) -> bool {
        if self.end.is_some() {
            return false;
        }
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.end = Some(End::Closed),
            Ok(n) => {
                let mut records = self.shared.records.lock().expect("records");
                records[self.index].bytes.extend_from_slice(&buffer[..n]);
                self.shared.changed.notify_all();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.end = Some(End::Reset),
        }
        self.end.is_none()
    }

    fn request(&mut self) {
        loop {
            let extent = {
                let records = self.shared.records.lock().expect("records");
                request_extent(&records[self.index].bytes[self.taken..])
            };
            if let Extent::Complete(length) = extent {
                self.taken += length;
                return;
            }
            if !self.receive() {
                return;
            }
        }
    }

    fn until(&mut self, end: &[u8]) {
        loop {
            let found = {
                let records = self.shared.records.lock().expect("records");
                records[self.index].bytes[self.taken..].windows(end.len()).position(|window| window == end)
            };
            if let Some(at) = found {
                self.taken += at + end.len();
                return;
            }
            if !self.receive() {
                return;
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    fn echo(&mut self) {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    self.end = Some(End::Closed);
                    return;
                }
                Ok(n) => {
                    if self.stream.write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
                Err(_) => {
                    self.end = Some(End::Reset);
                    return;
                }
            }
        }
    }
}
