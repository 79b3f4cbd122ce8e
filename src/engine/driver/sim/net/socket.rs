//! Virtual sockets: streams with windows, latency, half-close and resets; listeners with a backlog.

use super::*;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Listener,
    Datagram,
}

/// Connections a listener keeps before it stops answering.
const BACKLOG: usize = 128;
const SYN_AGAIN_NS: u64 = 1_000_000_000;
/// The kernel gives a connection up after about two minutes.
const SYN_LOST_NS: u64 = 127_000_000_000;

pub(super) struct Sock {
    pub host: usize,
    pub kind: Kind,
    /// The descriptor, and operations in flight.
    pub refs: u32,
    pub local: Option<Address>,
    pub peer: Option<Address>,
    /// The other end, while there is one.
    other: Option<SockId>,
    established: bool,
    /// A reset came.
    dead: bool,
    rx: VecDeque<u8>,
    rx_end: bool,
    rx_reset: bool,
    /// Segments of an earlier epoch were overtaken by a reset.
    epoch: u32,
    window: usize,
    in_flight: usize,
    latency: u64,
    /// Arrival of the last segment sent.
    last_arrival: u64,
    write_shut: bool,
    linger_zero: bool,
    /// A fault comes when so many bytes were sent.
    break_after: Option<u64>,
    sent: u64,
    sends: VecDeque<Token>,
    receive: Option<Token>,
    accept: Option<Token>,
    connect: Option<Token>,
    poll: Option<Token>,
    backlog: VecDeque<SockId>,
}

impl Sock {
    pub fn new(host: usize, kind: Kind, window: usize) -> Sock {
        Sock {
            host,
            kind,
            refs: 0,
            local: None,
            peer: None,
            other: None,
            established: false,
            dead: false,
            rx: VecDeque::new(),
            rx_end: false,
            rx_reset: false,
            epoch: 0,
            window,
            in_flight: 0,
            latency: 0,
            last_arrival: 0,
            write_shut: false,
            linger_zero: false,
            break_after: None,
            sent: 0,
            sends: VecDeque::new(),
            receive: None,
            accept: None,
            connect: None,
            poll: None,
            backlog: VecDeque::new(),
        }
    }

    /// An operation is over for this socket.
    pub fn forget(&mut self, token: Token) {
        self.sends.retain(|t| *t != token);
        for slot in [&mut self.receive, &mut self.accept, &mut self.connect, &mut self.poll] {
            if *slot == Some(token) {
                *slot = None;
            }
        }
    }
}

impl Net {
    fn live_sock(&self, host: usize, token: Token) -> SockId {
        self.ops.get(&(host, token)).map_or(0, |l| l.sock)
    }

    /// Ends an operation of a socket.
    fn end(&mut self, sock: SockId, token: Token, result: i32) {
        let Some(s) = self.socks.get_mut(&sock) else { return };
        s.forget(token);
        let host = s.host;
        self.post(host, token, result, false, None);
    }

    pub(super) fn unref(&mut self, id: SockId) {
        let Some(s) = self.socks.get_mut(&id) else { return };
        s.refs -= 1;
        if s.refs > 0 {
            return;
        }
        let Some(s) = self.socks.remove(&id) else { return };
        self.listeners.retain(|l| l.1 != id);
        self.refuse(s.backlog);
        if s.kind == Kind::Stream && s.established && !s.dead {
            if s.linger_zero || !s.rx.is_empty() {
                self.send_reset(s.other, s.latency);
            } else if !s.write_shut {
                self.send_fin(s.other, s.last_arrival, s.latency);
            }
        }
    }

    pub(super) fn close(&mut self, host: usize, fd: Fd) {
        let Some(sock) = self.sock_of(host, fd) else {
            return self.violation(format!("descriptor {fd} closed twice"));
        };
        self.fds.remove(&fd);
        // A listener that nobody holds takes no connections, even while an accept still ends.
        self.listeners.retain(|l| l.1 != sock);
        self.unref(sock);
    }

    // ---- connecting and accepting ----

    /// A listening socket takes connections, or refuses them until it is told otherwise.
    pub fn listening(&mut self, host: usize, fd: Fd, listens: bool) {
        let Some(id) = self.sock_of(host, fd) else {
            return self.violation(format!("descriptor {fd} was closed and is to listen"));
        };
        self.listeners.retain(|l| l.1 != id);
        let Some(s) = self.socks.get_mut(&id) else { return };
        match &s.local {
            Some(at) if listens => self.listeners.push((at.clone(), id)),
            _ => {
                let backlog = std::mem::take(&mut s.backlog);
                self.refuse(backlog);
            }
        }
    }

    /// Resets connections that nobody has accepted.
    fn refuse(&mut self, backlog: VecDeque<SockId>) {
        for waiting in backlog {
            if let Some(w) = self.socks.remove(&waiting) {
                self.send_reset(w.other, w.latency);
            }
        }
    }

    pub(super) fn start_connect(&mut self, host: usize, token: Token) {
        let sock = self.live_sock(host, token);
        let (low, high) = self.weather.latency_us;
        let latency = self.random.between(low, high) * 1000;
        if let Some(s) = self.socks.get_mut(&sock) {
            s.connect = Some(token);
            s.latency = latency;
        }
        self.schedule(self.nanos + latency, What::Syn { from: sock });
    }

    pub(super) fn syn_arrives(&mut self, from: SockId) {
        let Some(s) = self.socks.get(&from) else { return };
        let Some(token) = s.connect else { return };
        let (latency, client, host) = (s.latency, s.local.clone(), s.host);
        let Some(Live { what: LiveKind::Connect(to), .. }) = self.ops.get(&(host, token)) else { return };
        let to = to.clone();
        let faults = self.faults_of(&to);
        if self.random.chance(faults.hang) {
            return self.schedule(self.nanos + SYN_LOST_NS, What::Refused { sock: from, error: libc::ETIMEDOUT });
        }
        let there: Vec<SockId> = self.listeners.iter().filter(|l| l.0 == to).map(|l| l.1).collect();
        if there.is_empty() || self.random.chance(faults.refuse) {
            return self.schedule(self.nanos + latency, What::Refused { sock: from, error: libc::ECONNREFUSED });
        }
        let listener = *self.random.pick(&there);
        let Some(l) = self.socks.get(&listener) else { return };
        if l.backlog.len() >= BACKLOG {
            return self.schedule(self.nanos + SYN_AGAIN_NS, What::Syn { from });
        }
        let accepted = self.new_sock(l.host, Kind::Stream);
        let breaks = self.random.chance(faults.reset);
        let after = self.random.below(30_000);
        if let Some(a) = self.socks.get_mut(&accepted) {
            (a.local, a.peer) = (Some(to), client);
            (a.other, a.established, a.latency) = (Some(from), true, latency);
            a.break_after = breaks.then_some(after);
        }
        if breaks {
            let at = self.nanos + latency + self.random.below(40_000_000);
            self.schedule(at, What::Break { sock: accepted });
        }
        if let Some(l) = self.socks.get_mut(&listener) {
            l.backlog.push_back(accepted);
        }
        if let Some(s) = self.socks.get_mut(&from) {
            (s.other, s.established) = (Some(accepted), true);
            s.break_after = breaks.then_some(after);
        }
        self.schedule(self.nanos + latency, What::Refused { sock: from, error: 0 });
        self.kick_accept(listener);
    }

    pub(super) fn connect_ends(&mut self, sock: SockId, result: i32) {
        if let Some(token) = self.socks.get(&sock).and_then(|s| s.connect) {
            self.end(sock, token, result);
        }
    }

    pub(super) fn start_accept(&mut self, host: usize, token: Token) {
        let sock = self.live_sock(host, token);
        if let Some(s) = self.socks.get_mut(&sock) {
            s.accept = Some(token);
        }
        self.kick_accept(sock);
    }

    fn kick_accept(&mut self, listener: SockId) {
        loop {
            let Some(l) = self.socks.get_mut(&listener) else { return };
            let (Some(token), host) = (l.accept, l.host) else { return };
            if l.backlog.is_empty() {
                return;
            }
            if self.random.chance(self.weather.accept_error) {
                let error = *self.random.pick(&[libc::EMFILE, libc::ECONNABORTED, libc::ENOBUFS]);
                return self.end(listener, token, -error);
            }
            let Some(taken) = self.socks.get_mut(&listener).and_then(|l| l.backlog.pop_front()) else { return };
            let fd = self.new_fd(host, taken);
            if self.random.chance(self.weather.cut) {
                return self.end(listener, token, fd);
            }
            self.post(host, token, fd, true, None);
        }
    }

    // ---- receiving ----

    pub(super) fn start_recv(&mut self, host: usize, token: Token) {
        let sock = self.live_sock(host, token);
        let Some(s) = self.socks.get_mut(&sock) else { return };
        if let Some(other) = s.receive {
            return self.violation(format!("{token:?} receives where {other:?} does"));
        }
        s.receive = Some(token);
        self.kick_recv(sock);
    }

    fn kick_recv(&mut self, id: SockId) {
        self.kick_poll(id);
        loop {
            let Some(s) = self.socks.get(&id) else { return };
            let (Some(token), host) = (s.receive, s.host) else { return };
            if s.rx.is_empty() {
                if s.rx_reset {
                    if let Some(s) = self.socks.get_mut(&id) {
                        (s.rx_reset, s.rx_end) = (false, true);
                    }
                    self.end(id, token, -libc::ECONNRESET);
                } else if s.rx_end {
                    self.end(id, token, 0);
                } else if !s.established {
                    self.end(id, token, -libc::ENOTCONN);
                }
                return;
            }
            let most = match self.ops.get(&(host, token)).map(|l| &l.what) {
                Some(LiveKind::Recv(group)) => crate::engine::driver::BUFFER_SIZE[*group as usize],
                Some(LiveKind::RecvInto(_, len)) => *len,
                _ => return,
            };
            let mut n = s.rx.len().min(most);
            if self.random.chance(self.weather.short) {
                n = self.random.between(1, n as u64) as usize;
            }
            let (place, buffer) = match self.ops.get(&(host, token)).map(|l| &l.what) {
                Some(LiveKind::Recv(group)) => {
                    let buffers = &mut self.hosts[host].buffers[*group as usize];
                    let Some(buffer) = buffers.take(&mut self.random) else {
                        return self.end(id, token, -libc::ENOBUFS);
                    };
                    (buffers.fill(buffer, n), Some(buffer))
                }
                // SAFETY: the pusher keeps the memory until the final completion, and nobody else reads or writes it.
                Some(LiveKind::RecvInto(data, _)) => (unsafe { std::slice::from_raw_parts_mut(*data, n) }, None),
                _ => return,
            };
            let Some(s) = self.socks.get_mut(&id) else { return };
            let (a, b) = s.rx.as_slices();
            let first = a.len().min(n);
            place[..first].copy_from_slice(&a[..first]);
            place[first..].copy_from_slice(&b[..n - first]);
            s.rx.drain(..n);
            let (other, latency) = (s.other, s.latency);
            if let Some(other) = other {
                self.schedule(self.nanos + latency, What::Window { of: other });
            }
            let more = buffer.is_some() && !self.random.chance(self.weather.cut);
            if !more && let Some(s) = self.socks.get_mut(&id) {
                s.forget(token);
            }
            self.post(host, token, n as i32, more, buffer);
        }
    }

    pub(super) fn start_poll(&mut self, host: usize, token: Token) {
        let sock = self.live_sock(host, token);
        if let Some(s) = self.socks.get_mut(&sock) {
            s.poll = Some(token);
        }
        self.kick_poll(sock);
    }

    fn kick_poll(&mut self, id: SockId) {
        let Some(s) = self.socks.get(&id) else { return };
        let Some(token) = s.poll else { return };
        let Some(Live { what: LiveKind::Poll(events), .. }) = self.ops.get(&(s.host, token)) else { return };
        let mut there = 0;
        if !s.rx.is_empty() || s.rx_end || s.rx_reset {
            there |= libc::POLLIN;
        }
        if s.established && s.in_flight < s.window {
            there |= libc::POLLOUT;
        }
        let there = there & events | if s.dead { libc::POLLHUP } else { 0 };
        if there != 0 {
            self.end(id, token, there as i32);
        }
    }

    // ---- sending ----

    pub(super) fn start_send(&mut self, host: usize, token: Token) {
        let sock = self.live_sock(host, token);
        if let Some(s) = self.socks.get_mut(&sock) {
            s.sends.push_back(token);
        }
        self.pump(sock);
    }

    /// Moves bytes of pending sends onto the wire, as far as the window allows.
    pub(super) fn pump(&mut self, id: SockId) {
        self.kick_poll(id);
        loop {
            let Some(s) = self.socks.get(&id) else { return };
            let Some(&token) = s.sends.front() else { return };
            let (host, other, latency) = (s.host, s.other, s.latency);
            let Some(Live { what: LiveKind::Send(memory), .. }) = self.ops.get(&(host, token)) else { return };
            let (sent, total) = (memory.sent, memory.copy.len());
            if s.dead || s.write_shut || !s.established {
                let error = if s.dead && self.random.chance(500) { libc::ECONNRESET } else { libc::EPIPE };
                self.end(id, token, if sent > 0 { sent as i32 } else { -error });
                continue;
            }
            if sent == total {
                self.end(id, token, total as i32);
                continue;
            }
            let queued = other.and_then(|o| self.socks.get(&o)).map_or(0, |o| o.rx.len());
            let mut n = s.window.saturating_sub(s.in_flight + queued).min(total - sent);
            if n == 0 {
                return;
            }
            // SAFETY: the final completion of this send has not been handed out.
            if !unsafe { memory.is_intact() } {
                return self.violation(format!("memory of send {token:?} changed while it was sent"));
            }
            let short = self.random.chance(self.weather.short);
            if short {
                n = self.random.between(1, n as u64) as usize;
            }
            let Some(Live { what: LiveKind::Send(memory), .. }) = self.ops.get_mut(&(host, token)) else { return };
            let bytes = memory.copy[sent..sent + n].to_vec();
            memory.sent += n;
            let jitter = self.random.below(latency / 4 + 1);
            let Some(s) = self.socks.get_mut(&id) else { return };
            let at = (self.nanos + latency + jitter).max(s.last_arrival + 1);
            s.last_arrival = at;
            s.in_flight += n;
            s.sent += n as u64;
            let broken = s.break_after.is_some_and(|b| s.sent > b);
            let to = other.unwrap_or(0);
            let epoch = self.socks.get(&to).map_or(0, |o| o.epoch);
            self.schedule(at, What::Data { from: id, to, epoch, bytes });
            if broken {
                return self.break_now(id);
            }
            if short && sent + n < total {
                // A worker thread of the ring had the send and gave up: what has left is all that it tells.
                if self.random.chance(200) {
                    self.end(id, token, (sent + n) as i32);
                    continue;
                }
                // The rest leaves a little later.
                let pause = self.random.below(500_000);
                self.schedule(self.nanos + pause, What::Window { of: id });
                return;
            }
        }
    }

    pub(super) fn data_arrives(&mut self, from: SockId, to: SockId, epoch: u32, bytes: &[u8]) {
        if let Some(f) = self.socks.get_mut(&from) {
            f.in_flight -= bytes.len();
        }
        match self.socks.get_mut(&to) {
            Some(t) if t.dead || t.epoch != epoch => {}
            Some(t) => {
                t.rx.extend(bytes);
                self.kick_recv(to);
            }
            None => {
                // Nobody there any more.
                let latency = self.socks.get(&from).map_or(0, |f| f.latency);
                self.schedule(self.nanos + latency, What::Reset { to: from });
            }
        }
    }

    fn send_fin(&mut self, to: Option<SockId>, last_arrival: u64, latency: u64) {
        let Some(to) = to else { return };
        let epoch = self.socks.get(&to).map_or(0, |t| t.epoch);
        self.schedule((self.nanos + latency).max(last_arrival + 1), What::Fin { to, epoch });
    }

    /// A reset, which may overtake what is under way.
    fn send_reset(&mut self, to: Option<SockId>, latency: u64) {
        let Some(to) = to else { return };
        if self.random.chance(500)
            && let Some(t) = self.socks.get_mut(&to)
        {
            t.epoch += 1;
        }
        self.schedule(self.nanos + latency, What::Reset { to });
    }

    pub(super) fn fin_arrives(&mut self, to: SockId, epoch: u32) {
        if let Some(t) = self.socks.get_mut(&to)
            && t.epoch == epoch
        {
            t.rx_end = true;
            self.kick_recv(to);
        }
    }

    pub(super) fn reset_arrives(&mut self, to: SockId) {
        if let Some(t) = self.socks.get_mut(&to)
            && !t.dead
        {
            (t.dead, t.rx_reset) = (true, true);
            self.kick_recv(to);
            self.pump(to);
        }
    }

    pub(super) fn break_now(&mut self, sock: SockId) {
        let other = self.socks.get(&sock).and_then(|s| s.other);
        self.reset_arrives(sock);
        if let Some(other) = other {
            self.reset_arrives(other);
        }
    }

    pub fn shutdown_write(&mut self, host: usize, fd: Fd) {
        let Some(id) = self.sock_of(host, fd) else {
            return self.violation(format!("shutdown of a closed descriptor {fd}"));
        };
        let Some(s) = self.socks.get_mut(&id) else { return };
        if s.write_shut || !s.established || s.dead {
            return;
        }
        s.write_shut = true;
        let (other, last, latency) = (s.other, s.last_arrival, s.latency);
        self.send_fin(other, last, latency);
        self.pump(id);
    }

    pub fn undelivered(&mut self, host: usize, fd: Fd) -> u32 {
        let sock = self.sock_of(host, fd).and_then(|id| self.socks.get(&id));
        sock.map_or(0, |s| s.in_flight as u32)
    }

    pub fn linger_zero(&mut self, host: usize, fd: Fd) {
        let id = self.sock_of(host, fd);
        match id.and_then(|id| self.socks.get_mut(&id)) {
            Some(s) => s.linger_zero = true,
            None => self.violation(format!("linger on a closed descriptor {fd}")),
        }
    }
}
