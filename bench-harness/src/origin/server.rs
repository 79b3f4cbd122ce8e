//! The origin's loop: sockets, readiness, timers. What an answer says is `http`'s and `body`'s affair.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll;
use rustls::{ServerConfig, ServerConnection};

use super::Ports;
use super::http::{Answers, Asker, Counters, Found};
use crate::certs;
use crate::scenario::{Key, Resumption};
use crate::wire::{Got, Session, Wire};

#[derive(Clone)]
enum Service {
    Http(Option<Arc<ServerConfig>>),
    Echo,
    Bulk,
}

struct Connection {
    wire: Wire,
    service: Service,
    number: u64,
    requests: u64,
    input: Vec<u8>,
    output: VecDeque<(Rc<[u8]>, usize)>,
    /// Bytes that `bulk` still owes.
    owed: u64,
    close_after: bool,
    delayed: bool,
    wants_write: bool,
}

pub struct Origin {
    epoll: OwnedFd,
    listeners: Vec<(TcpListener, Service)>,
    log: UnixDatagram,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    timers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    answers: Answers,
    counters: Counters,
    scratch: Vec<u8>,
    filler: Rc<[u8]>,
}

const LOG_KEY: u64 = 1 << 32;
const LISTENER_KEY: u64 = 1 << 33;
/// Answers longer than this leave the scratch buffer's size to the kernel's own pace.
const SCRATCH_BYTES: usize = 256 << 10;

impl Origin {
    /// Opens everything; the ports are the kernel's choice.
    pub fn bind(folder: &Path) -> Result<(Self, Ports), String> {
        let readable = |error: io::Error| format!("origin: {error}");
        let mut services = vec![Service::Http(None), Service::Echo, Service::Bulk];
        for key in [Key::Ec, Key::Rsa] {
            for resumption in [Resumption::Ticket, Resumption::SessionId] {
                services.push(Service::Http(Some(certs::server_config(folder, key, resumption)?)));
            }
        }
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let mut listeners = Vec::new();
        let mut numbers = Vec::new();
        for (index, service) in services.into_iter().enumerate() {
            let listener = listen().map_err(readable)?;
            numbers.push(listener.local_addr().map_err(readable)?.port());
            let key = epoll::EventData::new_u64(LISTENER_KEY | index as u64);
            epoll::add(&epoll, &listener, key, epoll::EventFlags::IN).map_err(|error| error.to_string())?;
            listeners.push((listener, service));
        }
        let log = UnixDatagram::bind(folder.join("log.sock")).map_err(readable)?;
        log.set_nonblocking(true).map_err(readable)?;
        let key = epoll::EventData::new_u64(LOG_KEY);
        epoll::add(&epoll, &log, key, epoll::EventFlags::IN).map_err(|error| error.to_string())?;
        let ports = Ports {
            http: numbers[0],
            echo: numbers[1],
            bulk: numbers[2],
            tls_ec_ticket: numbers[3],
            tls_ec_id: numbers[4],
            tls_rsa_ticket: numbers[5],
            tls_rsa_id: numbers[6],
        };
        let origin = Self {
            epoll,
            listeners,
            log,
            connections: Vec::new(),
            free: Vec::new(),
            timers: BinaryHeap::new(),
            answers: Answers::default(),
            counters: Counters::default(),
            scratch: vec![0; SCRATCH_BYTES],
            filler: vec![0x5a; 1 << 20].into(),
        };
        Ok((origin, ports))
    }

    pub fn run(&mut self) -> Result<(), String> {
        let mut events = Vec::with_capacity(256);
        loop {
            events.clear();
            let timeout =
                self.timers.peek().map(|Reverse((at, ..))| timespec(at.saturating_duration_since(Instant::now())));
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(format!("origin: epoll: {error}")),
            }
            for event in &events {
                let key = { event.data }.u64();
                if key & LISTENER_KEY != 0 {
                    self.accept((key ^ LISTENER_KEY) as usize);
                } else if key == LOG_KEY {
                    self.drain_log();
                } else {
                    self.serve(key as usize);
                }
            }
            self.run_timers();
        }
    }

    fn accept(&mut self, listener: usize) {
        while let Ok((socket, _)) = self.listeners[listener].0.accept() {
            let service = self.listeners[listener].1.clone();
            let Some(wire) = open(socket, &service) else { continue };
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let key = epoll::EventData::new_u64(index as u64);
            if epoll::add(&self.epoll, &wire.socket, key, epoll::EventFlags::IN).is_err() {
                self.free.push(index);
                continue;
            }
            self.counters.connections += 1;
            self.connections[index] = Some(Connection {
                wire,
                service,
                number: self.counters.connections,
                requests: 0,
                input: Vec::new(),
                output: VecDeque::new(),
                owed: 0,
                close_after: false,
                delayed: false,
                wants_write: false,
            });
        }
    }

    fn drain_log(&mut self) {
        while let Ok(n) = self.log.recv(&mut self.scratch) {
            if n > 0 {
                self.counters.log_lines += 1;
            }
        }
    }

    /// Whatever a connection can do now. Errors and ends close it.
    fn serve(&mut self, index: usize) {
        let Some(mut connection) = self.connections.get_mut(index).and_then(Option::take) else { return };
        let keep = self.advance(index, &mut connection).unwrap_or(false);
        if !keep {
            connection.wire.close();
            let _ = epoll::delete(&self.epoll, &connection.wire.socket);
            self.free.push(index);
            return;
        }
        let wants_write =
            !connection.output.is_empty() || connection.owed > 0 || !connection.wire.flush().unwrap_or(true);
        if wants_write != connection.wants_write {
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, wants_write);
            let key = epoll::EventData::new_u64(index as u64);
            let _ = epoll::modify(&self.epoll, &connection.wire.socket, key, flags);
            connection.wants_write = wants_write;
        }
        self.connections[index] = Some(connection);
    }

    fn advance(&mut self, index: usize, connection: &mut Connection) -> io::Result<bool> {
        if !self.send(connection)? {
            return Ok(true);
        }
        // One read a wake-up: the poll is level-triggered, and a further read would mostly find nothing.
        if connection.wire.read(&mut self.scratch, &mut connection.input)? == Got::End {
            return Ok(false);
        }
        self.answer(index, connection);
        let all_sent = self.send(connection)?;
        Ok(!(all_sent && connection.close_after && !connection.delayed))
    }

    fn answer(&mut self, index: usize, connection: &mut Connection) {
        match connection.service {
            Service::Echo => {
                if !connection.input.is_empty() {
                    connection.output.push_back((std::mem::take(&mut connection.input).into(), 0));
                }
            }
            Service::Bulk => {
                while let Some((count, _)) = connection.input.split_first_chunk::<8>() {
                    connection.owed += u64::from_be_bytes(*count);
                    connection.input.drain(..8);
                }
            }
            Service::Http(_) => self.answer_http(index, connection),
        }
    }

    fn answer_http(&mut self, index: usize, connection: &mut Connection) {
        let mut used = 0;
        while !connection.delayed && !connection.close_after && used < connection.input.len() {
            let asker = Asker { connection: connection.number, request: connection.requests + 1 };
            match self.answers.next(&connection.input[used..], asker, &mut self.counters) {
                Found::Incomplete => break,
                Found::Request { bytes, reply } => {
                    used += bytes;
                    connection.requests += 1;
                    connection.close_after = reply.close;
                    connection.output.push_back((reply.bytes, 0));
                    if reply.delay_ms > 0 {
                        connection.delayed = true;
                        let at = Instant::now() + Duration::from_millis(reply.delay_ms);
                        self.timers.push(Reverse((at, index, connection.number)));
                    }
                }
            }
        }
        connection.input.drain(..used);
    }

    /// True when nothing is left to send.
    fn send(&mut self, connection: &mut Connection) -> io::Result<bool> {
        if connection.delayed {
            return Ok(true);
        }
        while let Some((bytes, sent)) = connection.output.front_mut() {
            let n = connection.wire.write(&bytes[*sent..])?;
            *sent += n;
            if *sent == bytes.len() {
                connection.output.pop_front();
            } else if n == 0 || !connection.wire.flush()? {
                return Ok(false);
            }
        }
        while connection.owed > 0 {
            let want = connection.owed.min(self.filler.len() as u64) as usize;
            let n = connection.wire.write(&self.filler[..want])?;
            connection.owed -= n as u64;
            if n < want {
                return Ok(false);
            }
        }
        connection.wire.flush()
    }

    fn run_timers(&mut self) {
        while let Some(Reverse((at, index, number))) = self.timers.peek().copied() {
            if at > Instant::now() {
                return;
            }
            self.timers.pop();
            if let Some(Some(connection)) = self.connections.get_mut(index)
                && connection.number == number
            {
                connection.delayed = false;
                self.release(index);
            }
        }
    }

    /// Sends an answer whose delay is over, and what waited behind it.
    fn release(&mut self, index: usize) {
        let Some(mut connection) = self.connections[index].take() else { return };
        self.answer(index, &mut connection);
        let sent = self.send(&mut connection);
        if matches!(sent, Ok(true)) && connection.close_after && !connection.delayed || sent.is_err() {
            connection.wire.close();
            let _ = epoll::delete(&self.epoll, &connection.wire.socket);
            self.free.push(index);
        } else {
            self.connections[index] = Some(connection);
        }
    }
}

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // The standard library's backlog of 128 overflows when hundreds of connections start at once.
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn open(socket: TcpStream, service: &Service) -> Option<Wire> {
    socket.set_nonblocking(true).ok()?;
    socket.set_nodelay(true).ok()?;
    let session = match service {
        Service::Http(Some(config)) => {
            let mut connection = ServerConnection::new(config.clone()).ok()?;
            // Answers are handed over whole.
            connection.set_buffer_limit(None);
            Session::Server(Box::new(connection))
        }
        _ => Session::Plain,
    };
    Some(Wire::new(socket, session))
}

pub fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}
