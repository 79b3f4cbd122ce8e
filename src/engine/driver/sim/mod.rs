//! The simulation: a virtual network and clock that any number of reactors on one thread share, every choice drawn from
//! one seed. Time moves only when all reactors are idle. The driver watches its users: buffers come home once, nothing is
//! pushed on a closed descriptor, memory of sends stays as it was, every token ends once.

mod memory;
mod net;
pub mod random;

use super::{Completion, ConnectOptions, Driver, Fd, Group, KeepAlive, Op, Socket, Token, WakeHandle};
use crate::base::address::Address;
use crate::base::clock::{Millis, Now};
use crate::engine::{Reactor, Rt};
use net::Net;
use random::Random;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// How unkind the network and the kernel are; chances are per mille.
#[derive(Clone, Debug)]
pub struct Weather {
    /// A read or write moves less than it could.
    pub short: u32,
    /// A multishot operation ends although it could go on.
    pub cut: u32,
    /// A cancel takes effect later; what completes before it wins.
    pub late_cancel: u32,
    /// An accept fails (out of descriptors, aborted connection).
    pub accept_error: u32,
    /// A datagram finds no room.
    pub lost_datagram: u32,
    /// Receive buffers at the start and at most, by group.
    pub buffers: [(usize, usize); 2],
    /// One way, in microseconds, drawn for each connection.
    pub latency_us: (u64, u64),
    /// Bytes under way in one direction at most, drawn for each connection.
    pub window: (u64, u64),
    /// Completions take up to this many microseconds.
    pub completion_us: u64,
}

impl Weather {
    /// Nothing goes wrong.
    pub fn fair() -> Weather {
        Weather {
            short: 0,
            cut: 0,
            late_cancel: 0,
            accept_error: 0,
            lost_datagram: 0,
            buffers: [(64, 64), (16, 16)],
            latency_us: (50, 50),
            window: (65536, 65536),
            completion_us: 1,
        }
    }

    /// What a seed brings.
    pub fn of(seed: u64) -> Weather {
        let mut r = Random::new(seed ^ 0x5EA5);
        let small = r.between(2, 24) as usize;
        let large = r.between(1, 6) as usize;
        let window = *r.pick(&[700, 4096, 20_000, 150_000]);
        Weather {
            short: *r.pick(&[0, 100, 500]),
            cut: *r.pick(&[0, 20, 300]),
            late_cancel: *r.pick(&[0, 300, 900]),
            accept_error: *r.pick(&[0, 0, 50]),
            lost_datagram: *r.pick(&[0, 0, 50]),
            buffers: [(small, small << r.below(3)), (large, large << r.below(3))],
            latency_us: *r.pick(&[(0, 0), (10, 300), (200, 20_000)]),
            window: (window / 2, window * 2),
            completion_us: *r.pick(&[0, 5, 100, 2000]),
        }
    }
}

/// What happens to connections to one address; chances are per mille.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub refuse: u32,
    /// No answer to the connection attempt.
    pub hang: u32,
    /// A reset at a random moment or byte.
    pub reset: u32,
}

/// What a reactor has not given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leftovers {
    pub descriptors: usize,
    pub operations: usize,
    pub buffers: usize,
}

/// Nothing will ever happen again, or too much happens without end.
#[derive(Debug)]
pub struct Stalled(pub String);

/// The network, shared by its reactors.
#[derive(Clone)]
pub struct SimNet(Rc<RefCell<Net>>);

/// Turns of one `run_all` before it is called endless.
const TURNS_MAX: u64 = 20_000_000;

impl SimNet {
    pub fn new(seed: u64, weather: Weather) -> SimNet {
        SimNet(Rc::new(RefCell::new(Net::new(seed, weather))))
    }

    /// A driver for one more reactor.
    pub fn driver(&self) -> SimDriver {
        let host = self.0.borrow_mut().add_host();
        SimDriver { net: self.0.clone(), host }
    }

    pub fn reactor(&self) -> Rt {
        Reactor::new(Box::new(self.driver()))
    }

    /// A listening socket of `rt`; several at one address share its connections.
    pub fn listen(&self, rt: &Rt, at: &Address) -> Fd {
        self.0.borrow_mut().listen(rt.wake_handle().0 as usize, at)
    }

    /// From now on connections to `to` suffer these faults.
    pub fn faults(&self, to: &Address, faults: Faults) {
        self.0.borrow_mut().set_faults(to, faults);
    }

    pub fn now(&self) -> Now {
        self.0.borrow().now()
    }

    /// Datagrams sent so far.
    pub fn datagrams(&self) -> Vec<Vec<u8>> {
        self.0.borrow().datagrams.clone()
    }

    /// What went against the driver's rules.
    pub fn violations(&self) -> Vec<String> {
        self.0.borrow().violations.clone()
    }

    pub fn leftovers(&self, rt: &Rt) -> Leftovers {
        self.0.borrow().leftovers(rt.wake_handle().0 as usize)
    }

    /// Turns all reactors until `done`. Tasks are woken by their own reactor's turns only, not from `done`.
    ///
    /// # Errors
    /// When `done` can't come any more, or a rule was broken.
    pub fn run_all(&self, reactors: &[Rt], mut done: impl FnMut() -> bool) -> Result<(), Stalled> {
        self.0.borrow_mut().stepping = true;
        let mut result = self.step_all(reactors, &mut done);
        let mut net = self.0.borrow_mut();
        net.stepping = false;
        if let Some(first) = net.violations.first() {
            result = Err(Stalled(format!("seed {}: {first}", net.seed)));
        }
        result
    }

    fn step_all(&self, reactors: &[Rt], done: &mut dyn FnMut() -> bool) -> Result<(), Stalled> {
        let hosts: Vec<usize> = reactors.iter().map(|r| r.wake_handle().0 as usize).collect();
        self.0.borrow_mut().rouse(&hosts);
        let mut active = Vec::new();
        for _ in 0..TURNS_MAX {
            if done() {
                return Ok(());
            }
            active.clear();
            {
                let mut net = self.0.borrow_mut();
                if !net.violations.is_empty() {
                    return Ok(());
                }
                net.run_due();
                active.extend((0..hosts.len()).filter(|i| net.is_active(hosts[*i])));
                if active.is_empty() {
                    if !net.advance(&hosts) {
                        let text = format!("seed {}: nothing will ever happen at {} ns", net.seed, net.now().nanos);
                        return Err(Stalled(text));
                    }
                    continue;
                }
                net.random.shuffle(&mut active);
            }
            for &index in &active {
                reactors[index].turn();
            }
        }
        Err(Stalled(format!("seed {}: no end in sight", self.0.borrow().seed)))
    }
}

/// One reactor's side of a [`SimNet`].
pub struct SimDriver {
    net: Rc<RefCell<Net>>,
    host: usize,
}

impl Driver for SimDriver {
    unsafe fn push(&mut self, token: Token, op: Op) {
        // SAFETY: passed on from the caller.
        unsafe { self.net.borrow_mut().push(self.host, token, op) };
    }

    fn enter(&mut self, wait_ms: Option<u64>, out: &mut Vec<Completion>) -> io::Result<()> {
        let mut net = self.net.borrow_mut();
        net.enter(self.host, wait_ms);
        if !net.stepping && wait_ms != Some(0) {
            // A reactor alone: its waiting is what moves the time.
            while !net.has_news(self.host) && !net.waited(self.host) {
                if !net.advance(&[self.host]) {
                    panic!("seed {}: waiting for what will never happen", net.seed);
                }
            }
        }
        net.deliver(self.host, out);
        Ok(())
    }

    fn buffer(&self, group: Group, id: u16) -> *mut u8 {
        self.net.borrow().buffer(self.host, group, id)
    }

    fn recycle(&mut self, group: Group, id: u16) {
        self.net.borrow_mut().recycle(self.host, group, id);
    }

    fn retire(&mut self, group: Group, id: u16) {
        self.net.borrow_mut().retire(self.host, group, id);
    }

    fn grow(&mut self, group: Group) -> bool {
        self.net.borrow_mut().grow(self.host, group)
    }

    fn buffers(&self, group: Group) -> usize {
        self.net.borrow().buffers(self.host, group)
    }

    fn now(&self) -> Now {
        self.net.borrow().now()
    }

    fn wake_handle(&self) -> WakeHandle {
        WakeHandle(self.host as i32)
    }

    fn name(&self) -> &'static str {
        "sim"
    }

    fn open(&mut self, kind: Socket, to: &Address, options: &ConnectOptions) -> io::Result<Fd> {
        self.net.borrow_mut().open(self.host, kind, to, options)
    }

    fn shutdown_write(&mut self, fd: Fd) {
        self.net.borrow_mut().shutdown_write(self.host, fd);
    }

    fn peer(&self, fd: Fd) -> io::Result<Address> {
        self.net.borrow().name(self.host, fd, true)
    }

    fn local(&self, fd: Fd) -> io::Result<Address> {
        self.net.borrow().name(self.host, fd, false)
    }

    fn linger_zero(&mut self, fd: Fd) {
        self.net.borrow_mut().linger_zero(self.host, fd);
    }

    fn undelivered(&mut self, fd: Fd) -> u32 {
        self.net.borrow_mut().undelivered(self.host, fd)
    }

    fn accepted(&mut self, fd: Fd, _keepalive: Option<KeepAlive>) {
        self.net.borrow_mut().check_open(self.host, fd, "accepted");
    }

    fn accept_now(&mut self, _fd: Fd) -> Option<Fd> {
        None
    }

    fn listening(&mut self, fd: Fd, backlog: Option<i32>) {
        self.net.borrow_mut().listening(self.host, fd, backlog.is_some());
    }

    fn splice(&mut self, _from: Fd, _to: Fd, _len: usize) -> Option<io::Result<usize>> {
        None
    }
}

/// The clock of the simulation starts here, some seconds after the wall's 2026-01-01.
const WALL_START_US: u64 = 1_767_225_600_000_000;
const START_NS: u64 = 5_000_000_000;

fn clock(nanos: u64) -> Now {
    Now { mono: Millis(nanos / 1_000_000), nanos, wall_us: WALL_START_US + nanos / 1000 }
}
