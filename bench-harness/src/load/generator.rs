//! Our generator: one thread, one epoll, a fixed set of slots with at most one operation each. An operation is a
//! request, a connection with a request, a handshake with a request, an echo or a transfer.
//!
//! At a rate, operation `i` belongs to the moment `i / rate` and its latency counts from there, whether or not a
//! slot was free: a slow proxy cannot make the generator ask less (no coordinated omission).

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use super::h2_once;
use super::response::{Progress, Response};
use super::{Outcome, Spec};
use crate::certs;
use crate::scenario::{Resumption, Shape};
use crate::stats::Histogram;
use crate::wire::{Got, Session, Wire};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Connecting,
    Handshaking,
    /// Connected, nothing asked.
    Ready,
    /// Asked, not yet answered.
    Waiting,
    /// Answered; the other side is expected to close.
    Draining,
}

struct Slot {
    wire: Option<Wire>,
    state: State,
    tls: Option<Arc<ClientConfig>>,
    /// Has a session to resume.
    seasoned: bool,
    input: Vec<u8>,
    response: Response,
    received: u64,
    sent: usize,
    /// When the operation should have begun.
    due: Instant,
    wants_write: bool,
}

pub struct Generator {
    spec: Spec,
    epoll: OwnedFd,
    slots: Vec<Slot>,
    ready: VecDeque<usize>,
    request: Vec<u8>,
    scratch: Vec<u8>,
    latency: Histogram,
    late: Histogram,
    errors: u64,
    full: u64,
    resumed: u64,
    first_error: Option<String>,
}

/// After the last operation's moment, so long may answers take.
const GRACE: Duration = Duration::from_secs(5);

impl Generator {
    pub fn new(spec: Spec) -> Result<Self, String> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| error.to_string())?;
        let mut slots = Vec::with_capacity(spec.connections);
        let mut shared = None;
        for _ in 0..spec.connections {
            let tls = match spec.tls {
                // Resuming slots have a store each; others can share one configuration.
                Some(tls) if tls.resumption == Resumption::None || spec.shape != Shape::Handshake => {
                    if shared.is_none() {
                        shared = Some(certs::client_config(tls)?);
                    }
                    shared.clone()
                }
                Some(tls) => Some(certs::client_config(tls)?),
                None => None,
            };
            slots.push(Slot {
                wire: None,
                state: State::Closed,
                tls,
                seasoned: false,
                input: Vec::new(),
                response: Response::default(),
                received: 0,
                sent: 0,
                due: Instant::now(),
                wants_write: false,
            });
        }
        let request = request(&spec);
        Ok(Self {
            spec,
            epoll,
            slots,
            ready: VecDeque::new(),
            request,
            scratch: vec![0; 256 << 10],
            latency: Histogram::default(),
            late: Histogram::default(),
            errors: 0,
            full: 0,
            resumed: 0,
            first_error: None,
        })
    }

    /// One operation a slot, one slot after the other: connections stand, sessions are known. Nothing of it counts.
    pub fn prime(&mut self) -> Result<(), String> {
        for index in 0..self.slots.len() {
            self.begin(index, Instant::now());
            let limit = Instant::now() + GRACE;
            while !self.ready.contains(&index) {
                self.wait(Some(Duration::from_millis(200)))?;
                if let Some(error) = &self.first_error {
                    return Err(format!("connection {index}: {error}"));
                }
                if Instant::now() > limit {
                    return Err(format!("connection {index}: no answer, {:?}", self.slots[index].state));
                }
            }
            self.ready.clear();
        }
        self.latency = Histogram::default();
        self.late = Histogram::default();
        (self.full, self.resumed, self.errors) = (0, 0, 0);
        self.ready = (0..self.slots.len()).collect();
        Ok(())
    }

    pub fn run(&mut self) -> Result<Outcome, String> {
        let begin = Instant::now();
        match self.spec.rate {
            Some(rate) => self.open_loop(begin, rate)?,
            None => self.closed_loop(begin)?,
        }
        let seconds = begin.elapsed().as_secs_f64();
        let us = |quantile| self.latency.quantile(quantile) as f64 / 1000.0;
        let handshakes = self.spec.shape == Shape::Handshake;
        Ok(Outcome {
            requests: self.latency.len(),
            errors: self.errors,
            seconds,
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: us(1.0),
            late_p99_us: self.spec.rate.map(|_| self.late.quantile(0.99) as f64 / 1000.0),
            handshakes_full: handshakes.then_some(self.full),
            handshakes_resumed: handshakes.then_some(self.resumed),
            first_error: self.first_error.clone(),
        })
    }

    fn open_loop(&mut self, begin: Instant, rate: u64) -> Result<(), String> {
        let total = rate * self.spec.seconds;
        let due = |number: u64| begin + Duration::from_nanos(number * 1_000_000_000 / rate);
        let give_up = due(total) + GRACE;
        let mut next = 0;
        let mut starved = false;
        loop {
            let now = Instant::now();
            while next < total && due(next) <= now {
                let Some(index) = self.ready.pop_front() else {
                    starved = true;
                    break;
                };
                if !starved {
                    self.late.record(now.duration_since(due(next)).as_nanos() as u64);
                }
                self.begin(index, due(next));
                next += 1;
            }
            if next < total && due(next) > now {
                starved = false;
            }
            if next == total && self.ready.len() == self.slots.len() {
                return Ok(());
            }
            if now > give_up {
                // What was never answered is as slow as the run is long; leaving it out would flatter.
                let unanswered = self.slots.iter().filter(|slot| slot.state == State::Waiting);
                let waits: Vec<Instant> = unanswered.map(|slot| slot.due).collect();
                for due in waits.into_iter().chain((next..total).map(due)) {
                    self.errors += 1;
                    self.latency.record(now.saturating_duration_since(due).as_nanos() as u64);
                }
                return Ok(());
            }
            let pause = if self.ready.is_empty() || next == total {
                Duration::from_millis(100)
            } else {
                due(next).saturating_duration_since(Instant::now())
            };
            self.wait(Some(pause))?;
        }
    }

    fn closed_loop(&mut self, begin: Instant) -> Result<(), String> {
        let mut left = self.spec.requests.unwrap_or(u64::MAX);
        let end = match self.spec.requests {
            Some(_) => begin + Duration::from_secs(3600),
            None => begin + Duration::from_secs(self.spec.seconds),
        };
        loop {
            let now = Instant::now();
            if now < end {
                while left > 0
                    && let Some(index) = self.ready.pop_front()
                {
                    self.begin(index, Instant::now());
                    left -= 1;
                }
            }
            let idle = self.ready.len() == self.slots.len();
            if (idle && (left == 0 || now >= end)) || now > end + GRACE {
                self.errors += (self.slots.len() - self.ready.len()) as u64;
                return Ok(());
            }
            self.wait(Some(Duration::from_millis(100)))?;
        }
    }

    /// Starts a slot's next operation.
    fn begin(&mut self, index: usize, due: Instant) {
        let slot = &mut self.slots[index];
        slot.due = due;
        slot.received = 0;
        slot.sent = 0;
        let result = if slot.state == State::Ready {
            slot.state = State::Waiting;
            self.send(index)
        } else {
            self.connect(index)
        };
        if let Err(error) = result {
            self.fail(index, &error.to_string());
        }
    }

    fn connect(&mut self, index: usize) -> io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &self.spec.address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true)?;
        let slot = &mut self.slots[index];
        let session = match &slot.tls {
            Some(config) => {
                let tls = ClientConnection::new(config.clone(), certs::server_name()).map_err(io::Error::other)?;
                Session::Client(Box::new(tls))
            }
            None => Session::Plain,
        };
        let events = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(index as u64), events)?;
        slot.input.clear();
        slot.response = Response::default();
        slot.wire = Some(Wire::new(socket, session));
        slot.state = State::Connecting;
        slot.wants_write = true;
        Ok(())
    }

    /// Sends what is left of the request.
    fn send(&mut self, index: usize) -> io::Result<()> {
        let slot = &mut self.slots[index];
        let Some(wire) = &mut slot.wire else { return Ok(()) };
        while slot.sent < self.request.len() {
            let n = wire.write(&self.request[slot.sent..])?;
            if n == 0 {
                break;
            }
            slot.sent += n;
        }
        let wants_write = !wire.flush()? || slot.sent < self.request.len();
        if wants_write != slot.wants_write {
            let mut events = epoll::EventFlags::IN;
            events.set(epoll::EventFlags::OUT, wants_write);
            epoll::modify(&self.epoll, &wire.socket, epoll::EventData::new_u64(index as u64), events)?;
            slot.wants_write = wants_write;
        }
        Ok(())
    }

    fn wait(&mut self, pause: Option<Duration>) -> Result<(), String> {
        let timeout =
            pause.map(|pause| Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: i64::from(pause.subsec_nanos()) });
        let mut events: Vec<epoll::Event> = Vec::with_capacity(128);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("epoll: {error}")),
        }
        for event in &events {
            let index = { event.data }.u64() as usize;
            if let Err(error) = self.advance(index) {
                self.fail(index, &error);
            }
        }
        Ok(())
    }

    fn advance(&mut self, index: usize) -> Result<(), String> {
        let readable = |error: io::Error| error.to_string();
        let slot = &mut self.slots[index];
        let Some(wire) = &mut slot.wire else { return Ok(()) };
        if slot.state == State::Connecting {
            if let Some(error) = wire.socket.take_error().map_err(readable)? {
                return Err(format!("connect: {error}"));
            }
            slot.state = if slot.tls.is_some() { State::Handshaking } else { State::Waiting };
            wire.flush().map_err(readable)?;
            return if slot.state == State::Waiting { self.send(index).map_err(readable) } else { Ok(()) };
        }
        let got = wire.read(&mut self.scratch, &mut slot.input).map_err(readable)?;
        if slot.state == State::Handshaking {
            if got == Got::End {
                return Err("closed in the handshake".to_owned());
            }
            if wire.is_handshaking() {
                return Ok(());
            }
            slot.state = State::Waiting;
            self.note_handshake(index)?;
            self.send(index).map_err(readable)?;
            return Ok(());
        }
        let ended = got == Got::End;
        match slot.state {
            State::Waiting => {
                if slot.sent < self.request.len() {
                    self.send(index).map_err(readable)?;
                }
                self.take_answer(index, ended)
            }
            State::Draining if ended => {
                self.hang_up(index);
                self.ready.push_back(index);
                Ok(())
            }
            // The other side closed a kept connection between requests: the next operation opens a new one.
            State::Ready if ended => {
                self.hang_up(index);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A handshake that should have been resumed and was not falsifies the figure, so it is an error.
    fn note_handshake(&mut self, index: usize) -> Result<(), String> {
        let slot = &mut self.slots[index];
        let Some(Wire { session: Session::Client(tls), .. }) = &slot.wire else { return Ok(()) };
        let resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
        if resumed {
            self.resumed += 1;
        } else {
            self.full += 1;
        }
        let wanted = self.spec.tls.is_some_and(|tls| tls.resumption != Resumption::None);
        let expected = wanted && slot.seasoned && self.spec.shape == Shape::Handshake;
        slot.seasoned = true;
        if expected && !resumed {
            return Err("a session was offered and not resumed".to_owned());
        }
        if resumed && !wanted {
            return Err("resumed although nothing was to be".to_owned());
        }
        Ok(())
    }

    fn take_answer(&mut self, index: usize, ended: bool) -> Result<(), String> {
        let slot = &mut self.slots[index];
        let done = match self.spec.shape {
            Shape::PingPong | Shape::Bulk => {
                slot.received += slot.input.len() as u64;
                slot.input.clear();
                if ended {
                    return Err("closed before the answer".to_owned());
                }
                slot.received >= self.spec.bytes
            }
            Shape::IdleH2 if ended => return Err("closed before the answer".to_owned()),
            Shape::IdleH2 => h2_once::is_answered(&mut slot.input)?,
            _ => slot.response.feed(&mut slot.input, ended)? == Progress::Done,
        };
        if !done {
            return Ok(());
        }
        let http = !matches!(self.spec.shape, Shape::PingPong | Shape::Bulk | Shape::IdleH2);
        if http && slot.response.status != 200 {
            return Err(format!("status {}", slot.response.status));
        }
        self.latency.record(slot.due.elapsed().as_nanos() as u64);
        let one_shot = matches!(self.spec.shape, Shape::Connection | Shape::Handshake);
        if ended {
            self.hang_up(index);
            self.ready.push_back(index);
        } else if one_shot || (http && slot.response.closes) {
            self.slots[index].state = State::Draining;
        } else {
            self.slots[index].state = State::Ready;
            self.ready.push_back(index);
        }
        Ok(())
    }

    fn hang_up(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if let Some(mut wire) = slot.wire.take() {
            wire.close();
            let _ = epoll::delete(&self.epoll, &wire.socket);
        }
        slot.state = State::Closed;
    }

    fn fail(&mut self, index: usize, error: &str) {
        self.errors += 1;
        if self.first_error.is_none() {
            self.first_error = Some(error.to_owned());
        }
        self.hang_up(index);
        self.ready.push_back(index);
    }
}

/// The bytes that every operation sends.
fn request(spec: &Spec) -> Vec<u8> {
    match spec.shape {
        Shape::PingPong => vec![b'p'; spec.bytes as usize],
        Shape::Bulk => spec.bytes.to_be_bytes().to_vec(),
        Shape::IdleH2 => h2_once::request(&spec.path, &spec.address.to_string()),
        _ => {
            let mut text = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", spec.path, spec.address);
            for header in &spec.headers {
                text.push_str(header);
                text.push_str("\r\n");
            }
            if matches!(spec.shape, Shape::Connection | Shape::Handshake) {
                text.push_str("Connection: close\r\n");
            }
            text.push_str("\r\n");
            text.into_bytes()
        }
    }
}
