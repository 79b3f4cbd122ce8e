//! The epoll driver: the operations of the ring made from calls that do not wait. Each is tried when it is pushed, a send
//! when the turn's tasks have run; where the kernel says EAGAIN it waits at its descriptor for news (edge-triggered: each
//! told once) and is tried again then. For kernels and containers that refuse io_uring.
//!
//! A descriptor that the driver opened is registered once for its life. A cancel takes effect at once, so the kernel
//! never holds on to memory: an operation's memory is free when its final completion has been handed out.

mod calls;
mod descriptors;

use super::pool::Pool;
use super::sockets;
use super::{BUFFER_SIZE, Completion, ConnectOptions, Driver, Fd, Group, Op, Socket, Token, WAKE_TOKEN, WakeHandle};
use crate::base::address::Address;
use descriptors::{Descriptors, Waiting};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Buffers that a receive fills in one turn, by group: fewer than what pauses it, so that a reader who keeps up is not
/// paused.
const RECEIVES: [usize; 2] = [4, 2];
/// Connections that a listening socket gives in one turn.
const ACCEPTS: usize = 32;
/// Turns that end what was tried at once without asking the kernel for news.
const UNASKED_MAX: u32 = 4;
/// The data of the wake-up descriptor's events.
const WAKE: u64 = u64::MAX;

pub struct Epoll {
    epoll: OwnedFd,
    /// Others write to it. Never closed: another thread may still know its number when this driver is gone.
    wake: Fd,
    descriptors: Descriptors,
    pools: [Pool; 2],
    /// Completions that have not been handed out.
    done: Vec<Completion>,
    /// Sends of this turn and cancels of them, and descriptors to close. All are done when the turn's tasks have run, as the
    /// ring does: what a task tells other threads is on its way before its peer has an answer, or learns that it is gone.
    sending: Vec<(Fd, Token, Op)>,
    closing: Vec<Fd>,
    /// Descriptors that had their share of a turn and have more.
    again: Vec<Fd>,
    /// The list of the turn before, kept for its memory.
    spare: Vec<Fd>,
    events: Box<[libc::epoll_event]>,
    unasked: u32,
}

/// What became of an operation that was tried.
#[derive(PartialEq, Eq)]
enum Progress {
    /// Its final completion is there.
    Over,
    /// For news.
    Waits,
    /// It had its share of this turn.
    Again,
}

impl Epoll {
    /// # Errors
    /// Those of epoll_create1(2), eventfd(2) and mmap(2).
    pub fn new() -> io::Result<Epoll> {
        let epoll = calls::create()?;
        let wake = calls::event_fd()?;
        let watched = calls::control(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, wake, calls::NEWS, WAKE);
        if watched < 0 {
            return Err(io::Error::from_raw_os_error(-watched));
        }
        Ok(Epoll {
            epoll,
            wake,
            descriptors: Descriptors::default(),
            pools: [Pool::new(Group::Small)?, Pool::new(Group::Large)?],
            done: Vec::new(),
            sending: Vec::new(),
            closing: Vec::new(),
            again: Vec::new(),
            spare: Vec::new(),
            events: vec![libc::epoll_event { events: 0, u64: 0 }; calls::EVENTS].into(),
            unasked: 0,
        })
    }

    fn post(&mut self, token: Token, result: i32, more: bool, buffer: Option<u16>) {
        self.done.push(Completion { token, result, more, buffer });
    }

    /// The final completion.
    fn end(&mut self, token: Token, result: i32) -> Progress {
        self.post(token, result, false, None);
        Progress::Over
    }

    // ---- operations ----

    /// Tries an operation, and lets it wait when it cannot end now.
    fn begin(&mut self, fd: Fd, token: Token, op: Op) {
        if fd < 0 {
            self.end(token, -libc::EBADF);
            return;
        }
        let alone = self.descriptors.first(fd).is_none();
        if alone && !self.descriptors.of(fd).owned {
            self.descriptors.renew(fd);
        }
        let mut waiting = Waiting::new(token, op);
        // A send goes behind one that waits already.
        let behind = !alone && waiting.is_send() && self.descriptors.find(fd, Waiting::is_send).is_some();
        let progress = if behind { Progress::Waits } else { self.attempt(fd, &mut waiting) };
        if progress == Progress::Over {
            return;
        }
        let key = self.descriptors.add(fd, waiting);
        if progress == Progress::Again {
            self.go_on_later(fd);
        }
        let watched = self.watch(fd, &op);
        if watched < 0 {
            self.descriptors.remove(fd, key);
            self.end(token, watched);
        }
    }

    /// Does as much of an operation as goes without waiting.
    fn attempt(&mut self, fd: Fd, waiting: &mut Waiting) -> Progress {
        let token = waiting.token;
        match waiting.op {
            Op::Accept { .. } => self.accept(fd, token),
            Op::Recv { group, .. } => self.receive(fd, token, group),
            Op::RecvInto { data, len, .. } => {
                if !self.descriptors.of(fd).readable {
                    return Progress::Waits;
                }
                // SAFETY: the pusher keeps the memory until the final completion, and nobody else uses it.
                match unsafe { calls::receive(fd, data, len as usize) } {
                    e if e == -libc::EAGAIN => {
                        self.descriptors.of(fd).readable = false;
                        Progress::Waits
                    }
                    result => self.end(token, result),
                }
            }
            Op::Send { .. } | Op::SendMsg { .. } => self.send(fd, waiting),
            Op::SendNow { data, len, .. } => {
                // SAFETY: the pusher keeps the bytes until the final completion.
                let result = unsafe { calls::send(fd, data, len as usize) };
                self.end(token, result)
            }
            Op::Connect { address, .. } => {
                // SAFETY: the pusher keeps the name until the final completion.
                match unsafe { calls::connect(fd, address) } {
                    e if e == -libc::EINPROGRESS || e == -libc::EINTR => Progress::Waits,
                    // Also EAGAIN: the queue of a UNIX socket is full, and no news will come of room in it.
                    result => self.end(token, result),
                }
            }
            Op::Poll { events, .. } => match calls::poll(fd, events) {
                0 => Progress::Waits,
                there => self.end(token, there),
            },
            Op::Cancel { .. } | Op::Close { .. } | Op::Wake { .. } => Progress::Over,
        }
    }

    /// Goes on with an operation after these events.
    fn resume(&mut self, fd: Fd, waiting: &mut Waiting, events: u32) -> Progress {
        match waiting.op {
            Op::Connect { .. } => {
                let failed = events & (libc::EPOLLERR | libc::EPOLLHUP) as u32 != 0;
                self.end(waiting.token, if failed { calls::socket_error(fd) } else { 0 })
            }
            Op::Poll { events: mask, .. } => {
                self.end(waiting.token, (events & wanted(&Op::Poll { fd, events: mask })) as i32)
            }
            _ => self.attempt(fd, waiting),
        }
    }

    fn accept(&mut self, fd: Fd, token: Token) -> Progress {
        for _ in 0..ACCEPTS {
            match calls::accept(fd) {
                e if e == -libc::EAGAIN => return Progress::Waits,
                e if e == -libc::EINTR => {}
                e if e < 0 => return self.end(token, e),
                accepted => {
                    self.own(accepted, true);
                    self.post(token, accepted, true, None);
                }
            }
        }
        Progress::Again
    }

    fn receive(&mut self, fd: Fd, token: Token, group: Group) -> Progress {
        let size = BUFFER_SIZE[group as usize];
        for _ in 0..RECEIVES[group as usize] {
            if !self.descriptors.of(fd).readable {
                return Progress::Waits;
            }
            let pool = &mut self.pools[group as usize];
            let Some(id) = pool.take() else { return self.end(token, -libc::ENOBUFS) };
            // SAFETY: the buffer is out of the pool and nobody else's until it is posted or given back.
            let n = unsafe { calls::receive(fd, pool.address(id), size) };
            if n > 0 {
                let d = self.descriptors.of(fd);
                d.readable = n as usize == size || d.ended || !d.stream;
                self.post(token, n, true, Some(id));
                continue;
            }
            pool.give(id);
            match n {
                e if e == -libc::EAGAIN => self.descriptors.of(fd).readable = false,
                e if e == -libc::EINTR => {}
                // The end, or a failure.
                _ => return self.end(token, n),
            }
        }
        if self.descriptors.of(fd).readable { Progress::Again } else { Progress::Waits }
    }

    /// Sends until all has left or the socket is full. A failure after some bytes have left tells of those.
    fn send(&mut self, fd: Fd, waiting: &mut Waiting) -> Progress {
        loop {
            // SAFETY: the pusher keeps message and bytes until the final completion; `sent` is within them.
            let (total, n) = unsafe {
                match waiting.op {
                    Op::Send { data, len, .. } => {
                        (len as usize, calls::send(fd, data.add(waiting.sent), len as usize - waiting.sent))
                    }
                    Op::SendMsg { message, .. } => {
                        (calls::message_len(message), calls::send_message(fd, message, waiting.sent))
                    }
                    _ => return Progress::Over,
                }
            };
            match n {
                0.. => {
                    waiting.sent += n as usize;
                    if waiting.sent >= total {
                        return self.end(waiting.token, waiting.sent as i32);
                    }
                }
                // The latter: the first bytes of a fast open wait for the handshake.
                e if e == -libc::EAGAIN || e == -libc::EINPROGRESS => return Progress::Waits,
                e if e == -libc::EINTR => {}
                e => return self.end(waiting.token, if waiting.sent > 0 { waiting.sent as i32 } else { e }),
            }
        }
    }

    fn cancel(&mut self, fd: Fd, target: Token) {
        if fd >= 0
            && let Some((key, waiting)) = self.descriptors.find(fd, |w| w.token == target)
        {
            self.descriptors.remove(fd, key);
            self.end(target, waiting.cancelled());
            self.leave(fd);
        }
    }

    /// Ends all that waits at a descriptor.
    fn cancel_all(&mut self, fd: Fd) {
        while let Some((key, waiting)) = self.descriptors.first(fd) {
            self.descriptors.remove(fd, key);
            self.end(waiting.token, waiting.cancelled());
        }
        self.leave(fd);
    }

    fn send_all(&mut self) {
        let mut sending = std::mem::take(&mut self.sending);
        for (fd, token, op) in sending.drain(..) {
            match op {
                Op::Cancel { target, .. } => self.cancel(fd, target),
                _ => self.begin(fd, token, op),
            }
        }
        self.sending = sending;
    }

    fn close_all(&mut self) {
        let mut closing = std::mem::take(&mut self.closing);
        for fd in closing.drain(..).filter(|fd| *fd >= 0) {
            self.cancel_all(fd);
            self.descriptors.renew(fd);
            sockets::close(fd);
        }
        self.closing = closing;
    }

    // ---- what is watched ----

    /// A descriptor that is new and will be closed by [`Op::Close`].
    fn own(&mut self, fd: Fd, stream: bool) {
        // One of this number that others have closed may have left operations.
        self.cancel_all(fd);
        let d = self.descriptors.renew(fd);
        (d.owned, d.stream) = (true, stream);
    }

    /// Makes sure that news for an operation come. 0, or a negative errno.
    fn watch(&mut self, fd: Fd, op: &Op) -> i32 {
        let epoll = self.epoll.as_raw_fd();
        let d = self.descriptors.of(fd);
        let events = match op {
            Op::Accept { .. } => calls::CALLERS,
            // Room for a send is told of from the first that needs it: until then it would be no news.
            _ => calls::NEWS | d.watched | wanted(op),
        };
        if d.owned && d.watched == events {
            return 0;
        }
        let data = (d.epoch as u64) << 32 | fd as u64;
        let mut result = if d.owned && d.watched != 0 {
            calls::control(epoll, libc::EPOLL_CTL_MOD, fd, events, data)
        } else {
            calls::control(epoll, libc::EPOLL_CTL_ADD, fd, events, data)
        };
        if result == -libc::EEXIST {
            calls::control(epoll, libc::EPOLL_CTL_DEL, fd, 0, 0);
            result = calls::control(epoll, libc::EPOLL_CTL_ADD, fd, events, data);
        }
        if result == 0 {
            d.watched = events;
            // What is there already counts as news.
            d.readable &= !matches!(op, Op::Connect { .. });
        }
        result
    }

    /// Stops watching a descriptor of others when nothing waits at it.
    fn leave(&mut self, fd: Fd) {
        let d = *self.descriptors.of(fd);
        if !d.owned && d.watched != 0 && self.descriptors.first(fd).is_none() {
            calls::control(self.epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, 0, 0);
            self.descriptors.renew(fd);
        }
    }

    fn go_on_later(&mut self, fd: Fd) {
        if !std::mem::replace(&mut self.descriptors.of(fd).again, true) {
            self.again.push(fd);
        }
    }

    // ---- news ----

    fn news(&mut self, data: u64, events: u32) {
        if data == WAKE {
            return self.post(WAKE_TOKEN, 0, false, None);
        }
        let fd = data as u32 as Fd;
        let d = self.descriptors.of(fd);
        if d.epoch != (data >> 32) as u32 {
            return;
        }
        let over = events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0;
        d.readable |= over || events & libc::EPOLLIN as u32 != 0;
        d.ended |= over;
        self.go_on(fd, events);
    }

    /// Goes on with the operations that waited for these events.
    fn go_on(&mut self, fd: Fd, events: u32) {
        let mut sends_wait = false;
        let mut at = self.descriptors.first(fd);
        while let Some((key, mut waiting)) = at {
            at = self.descriptors.after(&waiting);
            if wanted(&waiting.op) & events == 0 || waiting.is_send() && sends_wait {
                continue;
            }
            match self.resume(fd, &mut waiting, events) {
                Progress::Over => self.descriptors.remove(fd, key),
                Progress::Waits if waiting.is_send() => {
                    sends_wait = true;
                    self.descriptors.advance(key, waiting.sent);
                }
                Progress::Waits => {}
                Progress::Again => self.go_on_later(fd),
            }
        }
        self.leave(fd);
    }

    /// Takes news from the kernel.
    fn ask(&mut self, wait_ms: Option<u64>) -> io::Result<()> {
        let wait_ms = wait_ms.map_or(-1, |ms| ms.min(i32::MAX as u64) as i32);
        let n = calls::wait(self.epoll.as_raw_fd(), &mut self.events, wait_ms);
        for at in 0..n.max(0) as usize {
            let libc::epoll_event { events, u64: data } = self.events[at];
            self.news(data, events);
        }
        if n < 0 && n != -libc::EINTR { Err(io::Error::from_raw_os_error(-n)) } else { Ok(()) }
    }
}

/// The events that an operation waits for.
fn wanted(op: &Op) -> u32 {
    let mask = match op {
        Op::Send { .. } | Op::SendMsg { .. } | Op::Connect { .. } => libc::EPOLLOUT,
        Op::Poll { events, .. } => *events as u16 as i32,
        _ => libc::EPOLLIN | libc::EPOLLRDHUP,
    };
    (mask | libc::EPOLLERR | libc::EPOLLHUP) as u32
}

impl Driver for Epoll {
    unsafe fn push(&mut self, token: Token, op: Op) {
        match op {
            // What was pushed before is tried before.
            Op::Cancel { fd, target } if self.sending.iter().any(|(_, token, _)| *token == target) => {
                self.sending.push((fd, target, op));
            }
            Op::Cancel { fd, target } => self.cancel(fd, target),
            Op::Close { fd } => self.closing.push(fd),
            Op::Wake { peer } => calls::signal(peer.0),
            Op::Send { fd, .. } | Op::SendMsg { fd, .. } | Op::SendNow { fd, .. } => {
                self.sending.push((fd, token, op));
            }
            Op::Accept { fd } => {
                calls::nonblocking(fd);
                self.begin(fd, token, op);
            }
            _ => {
                if let Some(fd) = op.fd() {
                    self.begin(fd, token, op);
                }
            }
        }
    }

    fn enter(&mut self, wait_ms: Option<u64>, out: &mut Vec<Completion>) -> io::Result<()> {
        self.send_all();
        self.close_all();
        if !self.done.is_empty() && self.unasked < UNASKED_MAX {
            self.unasked += 1;
            out.append(&mut self.done);
            return Ok(());
        }
        self.unasked = 0;
        let mut again = std::mem::replace(&mut self.again, std::mem::take(&mut self.spare));
        let busy = !self.done.is_empty() || !again.is_empty();
        let asked = self.ask(if busy { Some(0) } else { wait_ms });
        for fd in again.drain(..) {
            if std::mem::take(&mut self.descriptors.of(fd).again) {
                self.go_on(fd, libc::EPOLLIN as u32);
            }
        }
        self.spare = again;
        out.append(&mut self.done);
        asked
    }

    fn buffer(&self, group: Group, id: u16) -> *mut u8 {
        self.pools[group as usize].address(id)
    }

    fn recycle(&mut self, group: Group, id: u16) {
        self.pools[group as usize].give(id);
    }

    fn retire(&mut self, group: Group, id: u16) {
        self.pools[group as usize].retire(id);
    }

    fn grow(&mut self, group: Group) -> bool {
        self.pools[group as usize].grow()
    }

    fn buffers(&self, group: Group) -> usize {
        self.pools[group as usize].in_use()
    }

    fn wake_handle(&self) -> WakeHandle {
        WakeHandle(self.wake)
    }

    fn name(&self) -> &'static str {
        "epoll"
    }

    fn open(&mut self, kind: Socket, to: &Address, options: &ConnectOptions) -> io::Result<Fd> {
        let fd = sockets::open(kind, to, options)?;
        self.own(fd, kind == Socket::Stream);
        Ok(fd)
    }

    fn accept_now(&mut self, fd: Fd) -> Option<Fd> {
        let accepted = sockets::accept_now(fd)?;
        self.own(accepted, true);
        Some(accepted)
    }
}
