//! The reactor: one thread's driver, its tables of tasks, connections and operations, and the loop that turns
//! completions into wake-ups. A task is woken by what it waits for; there are no wakers to keep.

use super::chain::{Chain, Lease, Piece};
use super::conn::{ConnState, Receive};
use super::driver::{BUFFER_SIZE, Completion, ConnectOptions, Driver, Fd, Group, MSG_PIECES, MsgBlock, Op, Socket};
use super::driver::{Token, WAKE_TOKEN, WakeHandle, sockets, sockets::Name};
use super::emitted::Emitted;
use super::frame::Frame;
use super::lending::Lending;
use super::listener::ListenerState;
use super::operation::{Hold, OpState, Operation, Polling};
use super::profile::{Profile, TaskReport};
use crate::base::address::Address;
use crate::base::buf::Block;
use crate::base::clock::{Millis, Now};
use crate::base::slab::{Key, Slab};
use crate::base::wheel::Wheel;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub type Rt = Rc<Reactor>;
/// A task of this thread.
pub type TaskId = Key;

/// Bits of a generation that fit into a token beside kind and index.
const GENERATION_BITS: u32 = 24;
/// Deadlines further away than so many milliseconds are looked at on the way.
const REGISTERED_MS: u64 = 60_000;
/// Turns in a row whose `enter` may fail.
const FAILING_MAX: u32 = 1000;
/// Turns a shutdown waits for operations to come back, each at most 10 ms.
const SHUTDOWN_TURNS: usize = 500;
/// Bytes of a receive that found no buffer of its group.
const OWN_SIZE: [usize; 2] = [4096, 16384];
/// Message blocks kept for the next vectored sends.
const MESSAGES_KEPT: usize = 256;

/// What a token's key points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    RecvSmall = 1,
    RecvLarge = 2,
    Operation = 3,
    Accept = 4,
    RecvOwn = 5,
}

pub(super) fn token(kind: Kind, key: Key) -> Token {
    Token((kind as u64) << 56 | (key.generation as u64) << 32 | key.index as u64)
}

pub(super) fn receive_token(group: Group, key: Key) -> Token {
    token(if group == Group::Small { Kind::RecvSmall } else { Kind::RecvLarge }, key)
}

fn parse(token: Token) -> Option<(Kind, Key)> {
    let kind = match token.0 >> 56 {
        1 => Kind::RecvSmall,
        2 => Kind::RecvLarge,
        3 => Kind::Operation,
        4 => Kind::Accept,
        5 => Kind::RecvOwn,
        _ => return None,
    };
    Some((kind, Key { index: token.0 as u32, generation: (token.0 >> 32) as u32 & ((1 << GENERATION_BITS) - 1) }))
}

struct Task {
    /// Taken out while it runs.
    future: Option<Frame<'static, ()>>,
    queued: bool,
    /// The earliest moment the task waits for, set anew each time it runs.
    deadline: Millis,
    /// The wheel's earliest entry for this task.
    registered: Millis,
}

/// A receive into memory of its own, and whose it is.
struct Own {
    conn: Key,
    memory: Box<[u8]>,
}

/// Counters of the loop, for `show activity` and `show info`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Activity {
    pub loops: u64,
    pub completions: u64,
    /// Completions for something that no longer exists.
    pub late: u64,
    /// Receives that found no buffer.
    pub starved: u64,
    pub enter_errors: u64,
    pub polls: u64,
    /// Nanoseconds spent waiting for the kernel.
    pub idle_ns: u64,
}

pub struct Reactor {
    driver: RefCell<Box<dyn Driver>>,
    now: Cell<Now>,
    current: Cell<TaskId>,
    tasks: RefCell<Slab<Task>>,
    ready: RefCell<VecDeque<TaskId>>,
    /// Tasks that are to run in the next turn, behind those that the kernel has news for.
    next: RefCell<Vec<TaskId>>,
    /// What tasks cost, while that is asked for or until it is asked for again.
    profile: RefCell<Profile>,
    is_profiled: Cell<bool>,
    wheel: RefCell<Wheel<TaskId>>,
    pub(super) conns: RefCell<Slab<ConnState>>,
    pub(super) listeners: RefCell<Slab<ListenerState>>,
    operations: RefCell<Slab<OpState>>,
    messages: RefCell<Vec<Box<MsgBlock>>>,
    /// Receives into memory of their own, while no buffer is left.
    own: RefCell<Slab<Own>>,
    /// Woken by [`Op::Wake`] of another reactor.
    mail_task: Cell<TaskId>,
    activity: Cell<Activity>,
    emitted: Emitted,
    /// Receive buffers that are handed out, by group.
    lending: RefCell<[Lending; 2]>,
    stopping: Cell<bool>,
    detached_failures: Cell<u64>,
    /// Turns in a row whose `enter` failed.
    failing: Cell<u32>,
}

impl Reactor {
    pub fn new(driver: Box<dyn Driver>) -> Rt {
        let now = driver.now();
        let lending = [Group::Small, Group::Large].map(|group| Lending::new(now.mono, driver.buffers(group)));
        Rc::new(Reactor {
            driver: RefCell::new(driver),
            now: Cell::new(now),
            current: Cell::new(Key::NONE),
            tasks: RefCell::default(),
            ready: RefCell::default(),
            next: RefCell::default(),
            profile: RefCell::default(),
            is_profiled: Cell::new(false),
            wheel: RefCell::new(Wheel::new(now.mono)),
            conns: RefCell::new(Slab::with_generation_bits(GENERATION_BITS)),
            listeners: RefCell::new(Slab::with_generation_bits(GENERATION_BITS)),
            operations: RefCell::new(Slab::with_generation_bits(GENERATION_BITS)),
            messages: RefCell::default(),
            own: RefCell::new(Slab::with_generation_bits(GENERATION_BITS)),
            mail_task: Cell::new(Key::NONE),
            activity: Cell::default(),
            emitted: Emitted::default(),
            lending: RefCell::new(lending),
            stopping: Cell::new(false),
            detached_failures: Cell::new(0),
            failing: Cell::new(0),
        })
    }

    /// The time of this turn of the loop.
    pub fn now(&self) -> Now {
        self.now.get()
    }

    /// Reads the clock again, for a measure finer than a turn.
    pub fn fresh_now(&self) -> Now {
        self.driver.borrow().now()
    }

    pub fn engine_name(&self) -> &'static str {
        self.driver.borrow().name()
    }

    pub fn activity(&self) -> Activity {
        self.activity.get()
    }

    pub fn emitted(&self) -> &Emitted {
        &self.emitted
    }

    /// Bytes of the receive buffers that are in use, and of those of them that are handed out.
    pub fn buffer_memory(&self) -> (u64, u64) {
        let driver = self.driver.borrow();
        let bytes = |count: [usize; 2]| (count[0] * BUFFER_SIZE[0] + count[1] * BUFFER_SIZE[1]) as u64;
        (
            bytes([driver.buffers(Group::Small), driver.buffers(Group::Large)]),
            bytes(self.lending.borrow().each_ref().map(Lending::lent)),
        )
    }

    /// Tasks that are to run in this turn or the next.
    pub fn ready(&self) -> usize {
        self.ready.borrow().len() + self.next.borrow().len()
    }

    /// Connections, operations and tasks that exist.
    pub fn in_use(&self) -> (usize, usize, usize) {
        let operations = self.operations.borrow().len() + self.own.borrow().len();
        (self.conns.borrow().len(), operations, self.tasks.borrow().len())
    }

    // ---- tasks ----

    /// The running task.
    pub fn current(&self) -> TaskId {
        self.current.get()
    }

    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> TaskId {
        let task = Task {
            future: Some(Frame::new(future)),
            queued: true,
            deadline: Millis::NEVER,
            registered: Millis::NEVER,
        };
        let id = self.tasks.borrow_mut().insert(task);
        self.make_ready(id);
        id
    }

    /// Lets a task run in this turn or the next. A task that is gone is none of our business.
    pub fn wake(&self, id: TaskId) {
        if let Some(task) = self.tasks.borrow_mut().get_mut(id)
            && !task.queued
        {
            task.queued = true;
            self.make_ready(id);
        }
    }

    /// Lets a task run in the next turn, not in this.
    pub fn wake_next_turn(&self, id: TaskId) {
        self.next.borrow_mut().push(id);
    }

    fn make_ready(&self, id: TaskId) {
        self.ready.borrow_mut().push_back(id);
        if self.is_profiled.get() {
            self.profile.borrow_mut().woken(self.fresh_now().nanos);
        }
    }

    /// Measures what tasks cost from now on, or no longer.
    pub fn profile_tasks(&self, on: bool) {
        if on {
            *self.profile.borrow_mut() = Profile::begin(self.ready.borrow().len(), self.fresh_now().nanos);
        }
        self.is_profiled.set(on);
    }

    /// The tasks that are to run, and what was measured last.
    pub fn task_report(&self) -> TaskReport {
        let tasks = self.tasks.borrow();
        let mut report = TaskReport { ready: Vec::new(), costs: self.profile.borrow().costs().to_vec() };
        for name in self.ready.borrow().iter().filter_map(|id| Some(tasks.get(*id)?.future.as_ref()?.name())) {
            match report.ready.iter_mut().find(|(n, _)| *n == name) {
                Some((_, count)) => *count += 1,
                None => report.ready.push((name, 1)),
            }
        }
        report
    }

    /// Ends a task: its future is dropped, and with it what it owns. Not for the running task.
    pub fn kill(&self, id: TaskId) {
        let task = self.tasks.borrow_mut().remove(id);
        drop(task);
    }

    /// Whether `deadline` has come; if not, the running task is woken then at the latest.
    pub fn reached(&self, deadline: Millis) -> bool {
        if self.now.get().mono >= deadline {
            return true;
        }
        if let Some(task) = self.tasks.borrow_mut().get_mut(self.current.get()) {
            task.deadline = task.deadline.min(deadline);
        }
        false
    }

    fn run_profiled(&self, id: TaskId) {
        let name = self.tasks.borrow().get(id).and_then(|t| Some(t.future.as_ref()?.name()));
        let woken = self.profile.borrow_mut().begins();
        let begin = self.fresh_now().nanos;
        self.run_task(id);
        let (Some(name), Some(woken)) = (name, woken) else { return };
        let cpu_ns = self.fresh_now().nanos.saturating_sub(begin);
        self.profile.borrow_mut().ran(name, cpu_ns, begin.saturating_sub(woken));
    }

    fn run_task(&self, id: TaskId) {
        let future = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(task) = tasks.get_mut(id) else { return };
            task.queued = false;
            task.deadline = Millis::NEVER;
            task.future.take()
        };
        let Some(mut future) = future else { return };
        self.current.set(id);
        let polled = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
        self.current.set(Key::NONE);
        match polled {
            Poll::Ready(()) => {
                drop(future);
                self.tasks.borrow_mut().remove(id);
            }
            Poll::Pending => {
                let mut tasks = self.tasks.borrow_mut();
                let Some(task) = tasks.get_mut(id) else {
                    // Killed by itself through another hand: its future ends here.
                    drop(tasks);
                    drop(future);
                    return;
                };
                task.future = Some(future);
                if task.deadline < task.registered {
                    task.registered = self.registered_at(task.deadline);
                    self.wheel.borrow_mut().insert(task.registered, id);
                }
            }
        }
    }

    /// When the wheel is to look at a deadline. An entry stays until then even if its task ends before, so that none is
    /// further away than [`REGISTERED_MS`]: a task that still waits is registered again.
    fn registered_at(&self, deadline: Millis) -> Millis {
        deadline.min(self.now.get().mono.plus(REGISTERED_MS))
    }

    fn fire_timers(&self) {
        let now = self.now.get().mono;
        let mut wheel = self.wheel.borrow_mut();
        let mut again: Vec<(Millis, TaskId)> = Vec::new();
        wheel.advance(now, |at, id| {
            let mut tasks = self.tasks.borrow_mut();
            let Some(task) = tasks.get_mut(id) else { return };
            if at != task.registered {
                return; // An entry that an earlier deadline has overtaken.
            }
            task.registered = Millis::NEVER;
            if task.deadline <= now {
                if !task.queued {
                    task.queued = true;
                    self.make_ready(id);
                }
            } else if task.deadline < Millis::NEVER {
                task.registered = self.registered_at(task.deadline);
                again.push((task.registered, id));
            }
        });
        for (at, id) in again {
            wheel.insert(at, id);
        }
    }

    // ---- the loop ----

    /// Runs until `done` says so between running tasks and waiting.
    pub fn run(self: &Rc<Self>, mut done: impl FnMut(&Rt) -> bool) {
        let mut completions = Vec::with_capacity(256);
        loop {
            self.run_ready();
            if done(self) {
                break;
            }
            self.wait(&mut completions, None);
        }
    }

    /// One turn: tasks that are ready run, then news are taken.
    pub fn turn(self: &Rc<Self>) {
        self.run_ready();
        self.wait(&mut Vec::new(), None);
    }

    /// Hands over what was pushed, without waiting.
    pub fn submit(self: &Rc<Self>) {
        self.wait(&mut Vec::new(), Some(0));
    }

    /// Runs the tasks that are ready.
    fn run_ready(&self) {
        // Tasks that wake each other do not keep the kernel's news away for ever.
        let budget = self.ready.borrow().len() * 2 + 64;
        let mut polls = 0;
        while polls < budget {
            let Some(id) = self.ready.borrow_mut().pop_front() else { break };
            if self.is_profiled.get() {
                self.run_profiled(id);
            } else {
                self.run_task(id);
            }
            polls += 1;
        }
        let mut activity = self.activity.get();
        activity.polls += polls as u64;
        self.activity.set(activity);
    }

    /// Submits, waits for completions (at most `wait_ms`, not at all while tasks are ready) and hands them out.
    fn wait(self: &Rc<Self>, completions: &mut Vec<Completion>, wait_ms: Option<u64>) {
        let wait = if self.ready() > 0 {
            Some(0)
        } else {
            let timer = self.wheel.borrow().next().map(|at| at.since(self.driver.borrow().now().mono));
            match (timer, wait_ms) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        };
        completions.clear();
        // A turn that does not wait is not idle, and is not measured.
        let waits_from = (wait != Some(0)).then(|| self.driver.borrow().now().nanos);
        let entered = self.driver.borrow_mut().enter(wait, completions);
        self.failing.set(if entered.is_err() { self.failing.get() + 1 } else { 0 });
        if let Err(e) = &entered
            && self.failing.get() > FAILING_MAX
        {
            // Nothing would ever complete again: better a process that ends, and is started anew, than one that spins.
            panic!("the kernel refuses to wait for completions: {e}");
        }
        let mut activity = self.activity.get();
        activity.loops += 1;
        activity.completions += completions.len() as u64;
        activity.enter_errors += entered.is_err() as u64;
        self.now.set(self.driver.borrow().now());
        activity.idle_ns += waits_from.map_or(0, |from| self.now.get().nanos.saturating_sub(from));
        self.activity.set(activity);
        for c in completions.drain(..) {
            self.complete(c);
        }
        self.fire_timers();
        for id in self.next.take() {
            self.wake(id);
        }
    }

    fn complete(self: &Rc<Self>, c: Completion) {
        if c.token == WAKE_TOKEN {
            self.wake(self.mail_task.get());
            return;
        }
        match parse(c.token) {
            Some((Kind::RecvSmall, key)) => self.complete_recv(Group::Small, key, c),
            Some((Kind::RecvLarge, key)) => self.complete_recv(Group::Large, key, c),
            Some((Kind::Operation, key)) => self.complete_operation(key, c),
            Some((Kind::Accept, key)) => self.complete_accept(key, c),
            Some((Kind::RecvOwn, key)) => self.complete_own(key, c),
            None => self.late(),
        }
    }

    fn late(&self) {
        let mut a = self.activity.get();
        a.late += 1;
        self.activity.set(a);
    }

    fn complete_recv(self: &Rc<Self>, group: Group, key: Key, c: Completion) {
        if c.buffer.is_some() {
            self.lending.borrow_mut()[group as usize].lend();
        }
        let mut conns = self.conns.borrow_mut();
        let Some(conn) = conns.get_mut(key) else {
            drop(conns);
            if let Some(id) = c.buffer {
                self.recycle(group, id);
            }
            self.late();
            return;
        };
        let verdict = conn.received(group, &c);
        let task = conn.waiter;
        if !c.more
            && !matches!(verdict, Receive::Starved)
            && !matches!(verdict, Receive::Data(..))
            && conn.is_forsaken()
        {
            self.arm(key, conn);
        }
        let (fd, target) = (conn.fd, receive_token(group, key));
        drop(conns);
        match verdict {
            Receive::Data(id, len) => {
                let lease = Lease::new(self.clone(), group, id, len);
                if let Some(conn) = self.conns.borrow_mut().get_mut(key) {
                    conn.queue.push_back(lease);
                }
            }
            Receive::DataThenPause(id, len) => {
                let lease = Lease::new(self.clone(), group, id, len);
                if let Some(conn) = self.conns.borrow_mut().get_mut(key) {
                    conn.queue.push_back(lease);
                }
                self.push(token(Kind::Operation, Key::NONE), Op::Cancel { fd, target });
            }
            Receive::Starved => {
                let mut a = self.activity.get();
                a.starved += 1;
                self.activity.set(a);
                self.lending.borrow_mut()[group as usize].starve();
                if !self.driver.borrow_mut().grow(group) {
                    return self.arm_own(group, key);
                }
                self.arm_forsaken(key);
            }
            Receive::Ended => {
                if let Some(id) = c.buffer {
                    self.recycle(group, id);
                }
            }
        }
        self.wake(task);
    }

    /// Starts the receive of a connection.
    pub(super) fn arm(&self, key: Key, conn: &mut ConnState) {
        let group = conn.arm();
        self.push(receive_token(group, key), Op::Recv { fd: conn.fd, group });
    }

    /// A watched connection is armed again without anyone's asking.
    fn arm_forsaken(&self, key: Key) {
        let mut conns = self.conns.borrow_mut();
        if let Some(conn) = conns.get_mut(key)
            && conn.is_forsaken()
        {
            self.arm(key, conn);
        }
    }

    /// Receives once without a buffer of the group: all are out, perhaps for long, with peers that do not read. Nobody
    /// has to wait for them.
    fn arm_own(&self, group: Group, key: Key) {
        let mut conns = self.conns.borrow_mut();
        let Some(conn) = conns.get_mut(key) else { return };
        let mut memory = vec![0; OWN_SIZE[group as usize]].into_boxed_slice();
        let (data, len) = (memory.as_mut_ptr(), memory.len() as u32);
        let own = self.own.borrow_mut().insert(Own { conn: key, memory });
        conn.arm_own(own);
        self.push(token(Kind::RecvOwn, own), Op::RecvInto { fd: conn.fd, data, len });
    }

    fn complete_own(self: &Rc<Self>, key: Key, c: Completion) {
        let own = self.own.borrow_mut().remove(key);
        let mut conns = self.conns.borrow_mut();
        let Some((own, conn)) = own.and_then(|own| conns.get_mut(own.conn).map(|conn| (own, conn))) else {
            return self.late();
        };
        let lease = (c.result > 0).then(|| Lease::own(self.clone(), own.memory, c.result as u32));
        conn.received_own(c.result, lease);
        if conn.is_forsaken() {
            self.arm(own.conn, conn);
        }
        let task = conn.waiter;
        drop(conns);
        self.wake(task);
    }

    fn complete_operation(&self, key: Key, c: Completion) {
        let mut operations = self.operations.borrow_mut();
        let Some(op) = operations.get_mut(key) else {
            drop(operations);
            self.late();
            return;
        };
        op.result = Some(c.result);
        if c.result > 0 && !op.detached && matches!(op.hold, Hold::Chain(_) | Hold::Message(..)) {
            self.emitted.add(c.result as u64, self.now.get().mono);
        }
        if op.detached && c.result < 0 {
            self.detached_failures.set(self.detached_failures.get() + 1);
        }
        if op.abandoned {
            let op = operations.remove(key);
            drop(operations);
            if let Some(op) = op {
                if let Some(fd) = op.owned_fd {
                    self.push(token(Kind::Operation, Key::NONE), Op::Close { fd });
                }
                self.release(op.hold);
            }
            return;
        }
        let task = op.task;
        drop(operations);
        self.wake(task);
    }

    fn complete_accept(&self, key: Key, c: Completion) {
        let mut listeners = self.listeners.borrow_mut();
        let Some(listener) = listeners.get_mut(key) else {
            drop(listeners);
            if c.result >= 0 {
                self.push(token(Kind::Operation, Key::NONE), Op::Close { fd: c.result });
            }
            self.late();
            return;
        };
        listener.accepted(&c);
        let task = listener.waiter;
        drop(listeners);
        self.wake(task);
    }

    // ---- operations ----

    pub(super) fn push(&self, token: Token, op: Op) {
        // SAFETY: what the operation names is held by the operation table, by a lease-owning ring buffer or by nothing
        // at all (cancel, close, accept, receive), until its final completion.
        unsafe { self.driver.borrow_mut().push(token, op) };
    }

    fn start(self: &Rc<Self>, fd: Fd, hold: Hold, owned_fd: Option<Fd>, op: impl FnOnce(&Hold) -> Op) -> Operation {
        let state =
            OpState { task: self.current.get(), result: None, abandoned: false, detached: false, hold, fd, owned_fd };
        let key = self.operations.borrow_mut().insert(state);
        let op = op(&self.operations.borrow().get(key).expect("just inserted").hold);
        self.push(token(Kind::Operation, key), op);
        Operation::new(self.clone(), key)
    }

    pub(super) fn start_send(self: &Rc<Self>, fd: Fd, chain: Chain) -> Operation {
        if chain.pieces().len() == 1 {
            return self.start(fd, Hold::Chain(chain), None, |hold| match hold {
                Hold::Chain(chain) => {
                    let bytes = chain.pieces()[0].bytes();
                    Op::Send { fd, data: bytes.as_ptr(), len: bytes.len() as u32 }
                }
                _ => unreachable!("a send holds its chain"),
            });
        }
        let mut message = self.message();
        for (slice, piece) in message.slices.iter_mut().zip(chain.pieces()) {
            let bytes: &[u8] = Piece::bytes(piece);
            *slice = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        }
        message.header.msg_iov = message.slices.as_mut_ptr();
        message.header.msg_iovlen = chain.pieces().len();
        self.start(fd, Hold::Message(chain, message), None, |hold| match hold {
            Hold::Message(_, message) => Op::SendMsg { fd, message: &raw const **message },
            _ => unreachable!("a send holds its message"),
        })
    }

    /// Sends a datagram and forgets it: one that is not taken at once is lost and counted.
    pub fn send_detached(&self, fd: Fd, block: Block) {
        let hold = Hold::Chain(block.into());
        let state =
            OpState { task: Key::NONE, result: None, abandoned: true, detached: true, hold, fd, owned_fd: None };
        let key = self.operations.borrow_mut().insert(state);
        let op = match &self.operations.borrow().get(key).expect("just inserted").hold {
            Hold::Chain(chain) => {
                let bytes = chain.pieces()[0].bytes();
                Op::SendNow { fd, data: bytes.as_ptr(), len: bytes.len() as u32 }
            }
            _ => unreachable!("a datagram is one piece"),
        };
        self.push(token(Kind::Operation, key), op);
    }

    /// Sends the last bytes of a connection that is about to close and forgets them: what is not taken at once is lost.
    pub fn send_last(&self, fd: Fd, block: Block) {
        let len = block.len() as u32;
        if len == 0 {
            return;
        }
        let hold = Hold::Chain(block.into());
        let state =
            OpState { task: Key::NONE, result: None, abandoned: true, detached: false, hold, fd, owned_fd: None };
        let key = self.operations.borrow_mut().insert(state);
        let data = match &self.operations.borrow().get(key).expect("just inserted").hold {
            Hold::Chain(chain) => chain.pieces()[0].bytes().as_ptr(),
            _ => unreachable!("what was just inserted is a chain"),
        };
        self.push(token(Kind::Operation, key), Op::SendNow { fd, data, len });
    }

    /// Datagrams lost since the start.
    pub fn detached_failures(&self) -> u64 {
        self.detached_failures.get()
    }

    /// Writes to a descriptor that is no socket (a terminal, a pipe), without waiting for completion.
    pub fn write_now(&self, fd: Fd, bytes: &[u8]) -> bool {
        sockets::write(fd, bytes)
    }

    /// A TCP socket listens with this backlog, or refuses who connects until it is told to listen again.
    pub fn listening(&self, fd: Fd, backlog: Option<i32>) {
        self.driver(|d| d.listening(fd, backlog));
    }

    pub fn close_fd(&self, fd: Fd) {
        self.push(token(Kind::Operation, Key::NONE), Op::Close { fd });
    }

    /// Lets every task look again: something that all may care about has changed.
    pub fn wake_all(&self) {
        let keys: Vec<TaskId> = self.tasks.borrow().iter().map(|(k, _)| k).collect();
        for key in keys {
            self.wake(key);
        }
    }

    pub(super) fn start_connect(self: &Rc<Self>, fd: Fd, name: Name) -> Operation {
        self.start(fd, Hold::Name(Box::new(name)), Some(fd), |hold| match hold {
            Hold::Name(name) => Op::Connect { fd, address: &raw const **name },
            _ => unreachable!("a connect holds its name"),
        })
    }

    /// Waits for events (poll(2)) on any descriptor.
    pub fn poll_fd(self: &Rc<Self>, fd: Fd, events: i16) -> Polling {
        Polling(self.start(fd, Hold::Nothing, None, |_| Op::Poll { fd, events }))
    }

    pub(super) fn cancel_operation(&self, key: Key) {
        let Some(fd) = self.operations.borrow().get(key).map(|op| op.fd) else { return };
        self.push(token(Kind::Operation, Key::NONE), Op::Cancel { fd, target: token(Kind::Operation, key) });
    }

    /// The result and what was held, once the operation is over.
    pub(super) fn take_operation(&self, key: Key) -> Option<(i32, Hold)> {
        let mut operations = self.operations.borrow_mut();
        let op = operations.get_mut(key)?;
        let Some(result) = op.result else {
            op.task = self.current.get();
            return None;
        };
        let op = operations.remove(key)?;
        Some((result, op.hold))
    }

    pub(super) fn abandon_operation(&self, key: Key) {
        let mut operations = self.operations.borrow_mut();
        let Some(op) = operations.get_mut(key) else { return };
        if op.result.is_none() {
            op.abandoned = true;
            drop(operations);
            self.cancel_operation(key);
            return;
        }
        let op = operations.remove(key);
        drop(operations);
        if let Some(op) = op {
            if let Some(fd) = op.owned_fd {
                self.push(token(Kind::Operation, Key::NONE), Op::Close { fd });
            }
            self.release(op.hold);
        }
    }

    fn message(&self) -> Box<MsgBlock> {
        self.messages.borrow_mut().pop().unwrap_or_else(|| {
            // SAFETY: all-zero is a valid msghdr and iovec: null pointers and zero lengths.
            Box::new(unsafe { std::mem::zeroed() })
        })
    }

    /// Keeps a message block for the next send.
    pub(super) fn keep_message(&self, message: Box<MsgBlock>) {
        let mut messages = self.messages.borrow_mut();
        if messages.len() < MESSAGES_KEPT {
            messages.push(message);
        }
    }

    fn release(&self, hold: Hold) {
        if let Hold::Message(chain, message) = hold {
            drop(chain);
            self.keep_message(message);
        }
    }

    // ---- buffers and sockets ----

    pub(super) fn buffer(&self, group: Group, id: u16) -> *mut u8 {
        self.driver.borrow().buffer(group, id)
    }

    /// One lease of a buffer became two.
    pub(super) fn share(&self, group: Group, id: u16) {
        self.lending.borrow_mut()[group as usize].share(id);
    }

    pub(super) fn recycle(&self, group: Group, id: u16) {
        let lending = &mut self.lending.borrow_mut()[group as usize];
        if !lending.was_last(id) {
            return;
        }
        let mut driver = self.driver.borrow_mut();
        if lending.came_home(self.now().mono, || driver.buffers(group)) {
            driver.recycle(group, id);
        } else {
            driver.retire(group, id);
        }
    }

    pub(super) fn driver<T>(&self, f: impl FnOnce(&mut dyn Driver) -> T) -> T {
        f(&mut **self.driver.borrow_mut())
    }

    /// A datagram socket connected to `to`, for logs.
    pub fn datagram(&self, to: &Address) -> io::Result<Fd> {
        self.driver(|d| d.open(Socket::Datagram, to, &ConnectOptions::default()))
    }

    // ---- between reactors ----

    pub fn wake_handle(&self) -> WakeHandle {
        self.driver.borrow().wake_handle()
    }

    /// Makes the reactor behind `peer` take a turn and run its mail task.
    pub fn wake_peer(&self, peer: WakeHandle) {
        self.push(token(Kind::Operation, Key::NONE), Op::Wake { peer });
    }

    /// The task that is woken when another reactor calls.
    pub fn set_mail_task(&self, task: TaskId) {
        self.mail_task.set(task);
    }

    /// Wakes it from this reactor's own tasks: something is left to be sent.
    pub fn wake_mail_task(&self) {
        self.wake(self.mail_task.get());
    }

    /// Drops all tasks and what they own, then drains the driver until nothing is in flight. What the kernel does not
    /// give back within the bound is leaked, never freed under it.
    pub fn shutdown(self: &Rc<Self>) {
        self.stopping.set(true);
        loop {
            let keys: Vec<TaskId> = self.tasks.borrow().iter().map(|(k, _)| k).collect();
            if keys.is_empty() {
                break;
            }
            for key in keys {
                self.kill(key);
            }
        }
        let mut completions = Vec::new();
        for _ in 0..SHUTDOWN_TURNS {
            self.run_ready();
            self.wait(&mut completions, Some(10));
            if self.operations.borrow().is_empty() && self.own.borrow().is_empty() {
                return;
            }
        }
        let left = std::mem::take(&mut *self.operations.borrow_mut());
        std::mem::forget(left);
        std::mem::forget(std::mem::take(&mut *self.own.borrow_mut()));
    }
}

const _: () = assert!(MSG_PIECES <= 8);
