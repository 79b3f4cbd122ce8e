//! The virtual kernel and network: hosts (one a reactor) with their operations and descriptors, and the events between
//! them in the order of virtual time. How streams behave is in `socket`.

mod socket;

use super::super::{Completion, ConnectOptions, Fd, Group, Op, Socket, Token, WAKE_TOKEN};
use super::memory::{Buffers, SendMemory};
use super::random::Random;
use super::{Faults, Leftovers, START_NS, Weather, clock};
use crate::base::address::Address;
use crate::base::clock::Now;
use socket::{Kind, Sock};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

pub(super) type SockId = u32;

/// Descriptors start far above those of the process, and are never given twice: a late use is seen.
const FIRST_FD: Fd = 1_000_000_000;

pub(super) struct Net {
    pub seed: u64,
    pub random: Random,
    pub weather: Weather,
    nanos: u64,
    sequence: u64,
    events: BinaryHeap<Reverse<Event>>,
    hosts: Vec<Host>,
    socks: HashMap<SockId, Sock>,
    fds: HashMap<Fd, (usize, SockId)>,
    /// Listening sockets by address.
    listeners: Vec<(Address, SockId)>,
    faults: Vec<(Address, Faults)>,
    ops: HashMap<(usize, Token), Live>,
    pub violations: Vec<String>,
    pub datagrams: Vec<Vec<u8>>,
    /// `run_all` moves the time, not the drivers.
    pub stepping: bool,
    next_fd: Fd,
    next_sock: SockId,
    next_port: u16,
}

struct Host {
    pushed: Vec<(Token, Op)>,
    cq: Vec<Completion>,
    buffers: [Buffers; 2],
    /// Has to turn again without waiting.
    busy: bool,
    /// When its wait ends.
    until: u64,
}

/// An operation in flight, until its final completion is handed out.
struct Live {
    sock: SockId,
    what: LiveKind,
    /// The final completion is on its way.
    ended: bool,
    /// Completions of a token keep their order.
    last_at: u64,
}

enum LiveKind {
    Accept,
    Recv(Group),
    RecvInto(*mut u8, usize),
    Send(SendMemory),
    Connect(Address),
    Poll(i16),
    Datagram,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at: u64,
    tie: u64,
    sequence: u64,
    what: What,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Complete {
        host: usize,
        token: u64,
        result: i32,
        more: bool,
        buffer: Option<u16>,
    },
    Data {
        from: SockId,
        to: SockId,
        epoch: u32,
        bytes: Vec<u8>,
    },
    Fin {
        to: SockId,
        epoch: u32,
    },
    Reset {
        to: SockId,
    },
    /// Room for more in the window of this sender.
    Window {
        of: SockId,
    },
    Syn {
        from: SockId,
    },
    Refused {
        sock: SockId,
        error: i32,
    },
    CancelDue {
        host: usize,
        token: u64,
    },
    /// A fault: both ends see a reset.
    Break {
        sock: SockId,
    },
}

impl Net {
    pub fn new(seed: u64, weather: Weather) -> Net {
        Net {
            seed,
            random: Random::new(seed),
            weather,
            nanos: START_NS,
            sequence: 0,
            events: BinaryHeap::new(),
            hosts: Vec::new(),
            socks: HashMap::new(),
            fds: HashMap::new(),
            listeners: Vec::new(),
            faults: Vec::new(),
            ops: HashMap::new(),
            violations: Vec::new(),
            datagrams: Vec::new(),
            stepping: false,
            next_fd: FIRST_FD,
            next_sock: 1,
            next_port: 10_000,
        }
    }

    pub fn add_host(&mut self) -> usize {
        let [(s, s_max), (l, l_max)] = self.weather.buffers;
        let buffers = [Buffers::new(Group::Small, s, s_max), Buffers::new(Group::Large, l, l_max)];
        self.hosts.push(Host { pushed: Vec::new(), cq: Vec::new(), buffers, busy: true, until: 0 });
        self.hosts.len() - 1
    }

    pub fn now(&self) -> Now {
        clock(self.nanos)
    }

    fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    // ---- time and events ----

    /// Schedules an event; those of one moment come in an order of the seed's choice.
    fn schedule(&mut self, at: u64, what: What) {
        self.sequence += 1;
        let tie = self.random.bits();
        self.events.push(Reverse(Event { at: at.max(self.nanos), tie, sequence: self.sequence, what }));
    }

    /// Lets happen what is due.
    pub fn run_due(&mut self) {
        while self.events.peek().is_some_and(|e| e.0.at <= self.nanos) {
            if let Some(Reverse(event)) = self.events.pop() {
                self.happen(event.what);
            }
        }
    }

    /// Moves to the next moment at which something happens or a wait ends. False: there is none.
    pub fn advance(&mut self, hosts: &[usize]) -> bool {
        let event = self.events.peek().map_or(u64::MAX, |e| e.0.at);
        let wait = hosts.iter().map(|h| self.hosts[*h].until).min().unwrap_or(u64::MAX);
        let next = event.min(wait);
        if next == u64::MAX {
            return false;
        }
        self.nanos = self.nanos.max(next);
        self.run_due();
        true
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Complete { host, token, result, more, buffer } => {
                self.hosts[host].cq.push(Completion { token: Token(token), result, more, buffer });
            }
            What::Data { from, to, epoch, bytes } => self.data_arrives(from, to, epoch, &bytes),
            What::Fin { to, epoch } => self.fin_arrives(to, epoch),
            What::Reset { to } => self.reset_arrives(to),
            What::Window { of } => self.pump(of),
            What::Syn { from } => self.syn_arrives(from),
            What::Refused { sock, error } => self.connect_ends(sock, -error),
            What::CancelDue { host, token } => self.cancel_now(host, Token(token)),
            What::Break { sock } => self.break_now(sock),
        }
    }

    // ---- hosts and turns ----

    pub fn rouse(&mut self, hosts: &[usize]) {
        for h in hosts {
            self.hosts[*h].busy = true;
        }
    }

    pub fn is_active(&self, host: usize) -> bool {
        self.hosts[host].busy || self.has_news(host) || self.waited(host)
    }

    pub fn has_news(&self, host: usize) -> bool {
        !self.hosts[host].cq.is_empty()
    }

    pub fn waited(&self, host: usize) -> bool {
        self.hosts[host].until <= self.nanos
    }

    pub fn enter(&mut self, host: usize, wait_ms: Option<u64>) {
        let pushed = std::mem::take(&mut self.hosts[host].pushed);
        for (token, op) in pushed {
            self.submit(host, token, op);
        }
        self.run_due();
        let now_ms = self.nanos / 1_000_000;
        let h = &mut self.hosts[host];
        h.until = wait_ms.map_or(u64::MAX, |ms| (now_ms + ms) * 1_000_000);
        h.busy = wait_ms == Some(0);
    }

    /// Hands completions out: all of them, or as many as the seed says.
    pub fn deliver(&mut self, host: usize, out: &mut Vec<Completion>) {
        let there = self.hosts[host].cq.len();
        let count = if self.random.chance(250) { self.random.between(1, there as u64) as usize } else { there };
        let taken: Vec<Completion> = self.hosts[host].cq.drain(..count.min(there)).collect();
        self.hosts[host].busy |= !taken.is_empty() || count < there;
        for c in taken {
            if !c.more && c.token != WAKE_TOKEN {
                self.hand_out_final(host, c.token);
            }
            out.push(c);
        }
    }

    fn hand_out_final(&mut self, host: usize, token: Token) {
        let Some(live) = self.ops.remove(&(host, token)) else {
            return self.violation(format!("{token:?} ended twice"));
        };
        if let LiveKind::Send(memory) = &live.what {
            // SAFETY: the final completion is only now handed out.
            if !unsafe { memory.is_intact() } {
                self.violation(format!("memory of send {token:?} changed before its end"));
            }
        }
    }

    /// A completion of `token` starts on its way to the reactor.
    fn post(&mut self, host: usize, token: Token, result: i32, more: bool, buffer: Option<u16>) {
        let delay = self.random.below(self.weather.completion_us * 1000 + 1);
        let Some(live) = self.ops.get_mut(&(host, token)) else { return };
        let at = (self.nanos + delay).max(live.last_at + 1);
        live.last_at = at;
        let sock = live.sock;
        if !more {
            live.ended = true;
        }
        self.schedule(at, What::Complete { host, token: token.0, result, more, buffer });
        if !more {
            self.unref(sock);
        }
    }

    fn is_running(&self, host: usize, token: Token) -> bool {
        self.ops.get(&(host, token)).is_some_and(|l| !l.ended)
    }

    // ---- operations ----

    /// # Safety
    /// As [`super::super::Driver::push`].
    pub unsafe fn push(&mut self, host: usize, token: Token, op: Op) {
        // What a send reads is copied now, so that a change before the submission is seen too.
        let what = match op {
            // SAFETY: the pusher keeps the memory until the final completion.
            Op::Send { data, len, .. } => Some(LiveKind::Send(unsafe { SendMemory::plain(data, len) })),
            // SAFETY: as above.
            Op::SendMsg { message, .. } => Some(LiveKind::Send(unsafe { SendMemory::message(message) })),
            Op::SendNow { data, len, .. } => {
                // SAFETY: as above.
                let memory = unsafe { SendMemory::plain(data, len) };
                self.datagrams.push(memory.copy);
                Some(LiveKind::Datagram)
            }
            // SAFETY: as above, the name is live.
            Op::Connect { address, .. } => unsafe { (*address).to_address() }.map(LiveKind::Connect),
            Op::Recv { group, .. } => Some(LiveKind::Recv(group)),
            Op::RecvInto { data, len, .. } => Some(LiveKind::RecvInto(data, len as usize)),
            Op::Accept { .. } => Some(LiveKind::Accept),
            Op::Poll { events, .. } => Some(LiveKind::Poll(events)),
            Op::Cancel { .. } | Op::Close { .. } | Op::Wake { .. } => None,
        };
        if let Some(what) = what {
            let Some(fd) = op.fd() else { return };
            let closing = self.hosts[host].pushed.iter().any(|(_, o)| matches!(o, Op::Close { fd: f } if *f == fd));
            let sock = if closing { None } else { self.sock_of(host, fd) };
            let Some(sock) = sock else {
                return self.violation(format!("{op:?} on a closed descriptor"));
            };
            if let Some(s) = self.socks.get_mut(&sock) {
                s.refs += 1;
            }
            let live = Live { sock, what, ended: false, last_at: 0 };
            if self.ops.insert((host, token), live).is_some() {
                self.violation(format!("{token:?} pushed again before its end"));
            }
        }
        self.hosts[host].pushed.push((token, op));
        self.hosts[host].busy = true;
    }

    fn submit(&mut self, host: usize, token: Token, op: Op) {
        match op {
            Op::Accept { .. } => self.start_accept(host, token),
            Op::Recv { .. } | Op::RecvInto { .. } => self.start_recv(host, token),
            Op::Send { .. } | Op::SendMsg { .. } => self.start_send(host, token),
            Op::SendNow { .. } => {
                let lost = self.random.chance(self.weather.lost_datagram);
                self.post(host, token, if lost { -libc::EAGAIN } else { 1 }, false, None);
            }
            Op::Connect { .. } => self.start_connect(host, token),
            Op::Poll { .. } => self.start_poll(host, token),
            Op::Cancel { target, .. } => {
                if self.is_running(host, target) && self.random.chance(self.weather.late_cancel) {
                    let delay = self.random.below(2_000_000);
                    self.schedule(self.nanos + delay, What::CancelDue { host, token: target.0 });
                } else {
                    self.cancel_now(host, target);
                }
            }
            Op::Close { fd } => self.close(host, fd),
            Op::Wake { peer } => {
                let delay = self.random.below(50_000);
                let peer = peer.0 as usize;
                if peer >= self.hosts.len() {
                    return self.violation(format!("{op:?}: nobody there"));
                }
                let what = What::Complete { host: peer, token: WAKE_TOKEN.0, result: 0, more: false, buffer: None };
                self.schedule(self.nanos + delay, what);
            }
        }
    }

    fn cancel_now(&mut self, host: usize, token: Token) {
        let Some(live) = self.ops.get(&(host, token)) else { return };
        if live.ended {
            return;
        }
        let result = match &live.what {
            LiveKind::Send(memory) if memory.sent > 0 => memory.sent as i32,
            _ => -libc::ECANCELED,
        };
        let sock = live.sock;
        if let Some(s) = self.socks.get_mut(&sock) {
            s.forget(token);
        }
        self.post(host, token, result, false, None);
        self.pump(sock);
    }

    // ---- buffers ----

    pub fn buffer(&self, host: usize, group: Group, id: u16) -> *mut u8 {
        self.hosts[host].buffers[group as usize].address(id)
    }

    pub fn recycle(&mut self, host: usize, group: Group, id: u16) {
        if !self.hosts[host].buffers[group as usize].recycle(id) {
            self.violation(format!("buffer {id} of {group:?} recycled twice"));
        }
    }

    pub fn retire(&mut self, host: usize, group: Group, id: u16) {
        if !self.hosts[host].buffers[group as usize].retire(id) {
            self.violation(format!("buffer {id} of {group:?} retired while it was not out"));
        }
    }

    pub fn grow(&mut self, host: usize, group: Group) -> bool {
        self.hosts[host].buffers[group as usize].grow()
    }

    pub fn buffers(&self, host: usize, group: Group) -> usize {
        self.hosts[host].buffers[group as usize].in_use()
    }

    // ---- descriptors ----

    fn sock_of(&self, host: usize, fd: Fd) -> Option<SockId> {
        self.fds.get(&fd).filter(|f| f.0 == host).map(|f| f.1)
    }

    pub fn check_open(&mut self, host: usize, fd: Fd, what: &str) {
        if self.sock_of(host, fd).is_none() {
            self.violation(format!("{what} on a closed descriptor {fd}"));
        }
    }

    fn new_fd(&mut self, host: usize, sock: SockId) -> Fd {
        let fd = self.next_fd;
        self.next_fd += 1;
        self.fds.insert(fd, (host, sock));
        if let Some(s) = self.socks.get_mut(&sock) {
            s.refs += 1;
            s.host = host;
        }
        fd
    }

    fn new_sock(&mut self, host: usize, kind: Kind) -> SockId {
        let id = self.next_sock;
        self.next_sock += 1;
        let (low, high) = self.weather.window;
        let window = self.random.between(low.max(1), high.max(1)) as usize;
        self.socks.insert(id, Sock::new(host, kind, window));
        id
    }

    pub fn listen(&mut self, host: usize, at: &Address) -> Fd {
        let id = self.new_sock(host, Kind::Listener);
        if let Some(s) = self.socks.get_mut(&id) {
            s.local = Some(at.clone());
        }
        self.listeners.push((at.clone(), id));
        self.new_fd(host, id)
    }

    pub fn set_faults(&mut self, to: &Address, faults: Faults) {
        self.faults.retain(|f| f.0 != *to);
        self.faults.push((to.clone(), faults));
    }

    fn faults_of(&self, to: &Address) -> Faults {
        self.faults.iter().find(|f| f.0 == *to).map_or_else(Faults::default, |f| f.1)
    }

    pub fn open(&mut self, host: usize, kind: Socket, to: &Address, options: &ConnectOptions) -> io::Result<Fd> {
        if matches!(to, Address::Inherited(_)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let kind = if kind == Socket::Stream { Kind::Stream } else { Kind::Datagram };
        let id = self.new_sock(host, kind);
        self.next_port = self.next_port.checked_add(1).unwrap_or(10_000);
        let ip = Ipv4Addr::new(10, 0, (host >> 8) as u8, host as u8);
        let local = options.source.map_or(SocketAddr::from((ip, 0)), |s| s);
        let port = if local.port() == 0 { self.next_port } else { local.port() };
        if let Some(s) = self.socks.get_mut(&id) {
            s.local = Some(Address::Ip(SocketAddr::new(local.ip(), port)));
            s.peer = Some(to.clone());
        }
        Ok(self.new_fd(host, id))
    }

    pub fn name(&self, host: usize, fd: Fd, peer: bool) -> io::Result<Address> {
        let s = self.sock_of(host, fd).and_then(|id| self.socks.get(&id));
        let s = s.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))?;
        let name = if peer { &s.peer } else { &s.local };
        name.clone().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTCONN))
    }

    pub fn leftovers(&self, host: usize) -> Leftovers {
        Leftovers {
            descriptors: self.fds.values().filter(|f| f.0 == host).count(),
            operations: self.ops.iter().filter(|o| o.0.0 == host).count(),
            buffers: self.hosts[host].buffers.iter().map(Buffers::away).sum(),
        }
    }
}
