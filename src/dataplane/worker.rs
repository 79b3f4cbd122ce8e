//! A worker: one thread, one reactor, and everything of the data plane that lives on it. Its tasks share it by `Rc`;
//! workers share only the plan, the board and the post between them.

use super::bequest::{self, Bequest};
use super::capture::Captures;
use super::events::Events;
use super::filter::compression;
use super::filter::deflate::Deflates;
use super::idle::{self, IdlePool};
use super::log::LogOut;
use super::lookup::{Lookups, Question};
use super::meter::{Meter, Side};
use super::mux::backend::Connections;
use super::page;
use super::queue::{self, Queue};
use super::registry::{Listed, Registry};
use super::session;
use super::stream::{Exchanges, http::Heads, termination::Failure};
use super::tables::message::Letter;
use super::tables::registry::Registry as TableRegistry;
use super::tables::{self, Tables};
use super::transfer::{self, Transfers};
use super::transport::Transport;
use crate::base::address::Address;
use crate::base::clock::Millis;
use crate::base::mailbox::Post;
use crate::base::slab::Key;
use crate::engine::driver::{Fd, KeepAlive, WakeHandle};
use crate::engine::listener::Listener;
use crate::engine::probe::Engine;
use crate::engine::profile::TaskReport;
use crate::engine::reactor::TaskId;
use crate::engine::task::sleep;
use crate::engine::{Conn, Piece, Rt};
use crate::language::facts::{self, Named};
use crate::language::scratch::Pool;
use crate::language::vars::ProcStore;
use crate::model::balance::Balancer;
use crate::model::bind::Bind;
use crate::model::logging::LogSink;
use crate::model::plan::{Plan, ProxyIndex, ServerIndex};
use crate::model::proxy::Proxy;
use crate::model::state::board::{self, Board, FrontendRate, ProcessRate};
use crate::model::state::counters::{FrontendCounter, ListenerCounter, ProcessCounter};
use crate::model::state::event::Event;
use crate::proto::http::head::Head;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::hash::RandomState;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::task::Poll;

/// Who gets those that wait at our addresses when we stop to accept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Followed {
    /// We ourselves.
    #[default]
    ByNobody,
    /// The kernel gives who waits at an IP address to another process once our sockets close.
    AtAddresses,
    /// Another process has our sockets.
    AtSockets,
}

/// Messages to workers.
#[derive(Debug)]
pub enum Mail {
    /// No new connections; leave when the present ones are done.
    SoftStop(Followed),
    /// Another process takes idle server connections: they go there through the control thread.
    Bequeath,
    /// To the control thread, or from it in that process: such a connection.
    Bequest(Box<Bequest>),
    /// About TCP sessions that go on in the process that follows.
    Transfer(transfer::Message),
    /// Leave now.
    Stop,
    /// A slot of this server is free: a stream that waits here may take it.
    SlotFreed(ProxyIndex, ServerIndex),
    /// Servers of this backend changed: whoever waits looks again, idle connections to servers that are gone close.
    ServersChanged(ProxyIndex),
    /// End the sessions on this server, with this failure.
    ShutdownSessions(ProxyIndex, ServerIndex, Failure),
    /// End the stream with this id.
    ShutdownStream(u64),
    /// From the control thread: publish what you count, and answer with the number.
    Ping(u64),
    /// From the control thread: answer with the streams.
    ListStreams(u64),
    /// From the control thread: answer with the tasks.
    ListTasks(u64),
    /// From the control thread: measure what tasks cost, or no longer.
    ProfileTasks(bool),
    /// To the control thread.
    Pong(u64),
    Tasks(u64, TaskReport),
    Streams(u64, Vec<Listed>),
    /// To the control thread: what followed from an action on the statistics page, to be logged and carried out.
    Acted(Acted),
    /// Listeners of this frontend close for good.
    FrontendStopped(ProxyIndex),
    /// To the control thread: this worker has nothing left to do.
    Finished,
    /// Every worker has finished: none needs the tables of another any more.
    Leave,
    /// About stick tables.
    Table(Letter),
    /// Listeners of this frontend pause or resume.
    FrontendPaused(ProxyIndex, bool),
    /// To the control thread: a rule asks for the address of a name.
    LookUp(Question),
    /// From the control thread: the answer to the question of this number.
    Found(Key, Option<IpAddr>),
    /// Limits were changed: who waits for them looks again.
    LimitsChanged,
}

/// The least time over which the idle share is measured.
const IDLE_WINDOW_NS: u64 = 200_000_000;

/// What an action on the statistics page did.
#[derive(Debug, Default)]
pub struct Acted {
    pub events: Vec<Event>,
    /// Servers whose sessions are to end.
    pub shutdown: Vec<(ProxyIndex, ServerIndex)>,
    /// Servers whose checks were switched.
    pub checks: Vec<(ProxyIndex, ServerIndex)>,
    /// Servers whose next check is to come soon.
    pub hurry: Vec<(ProxyIndex, ServerIndex)>,
}

/// What statistics tell of the process and only its start knew.
#[derive(Debug, Clone, Default)]
pub struct About {
    pub warnings: u64,
    pub boot_ms: u64,
    pub ulimit_n: u64,
    pub maxsock: u64,
    pub memmax_mb: u64,
    pub engine: Engine,
    /// The engine and why that one, as statistics tell it.
    pub engine_choice: String,
}

/// What all threads of the process share.
pub struct Shared {
    pub plan: Arc<Plan>,
    pub board: Arc<Board>,
    pub proc_vars: Arc<ProcStore>,
    /// Name the program was started by, for syslog tags.
    pub program: String,
    pub hostname: String,
    pub pid: u32,
    pub utc_offset: i32,
    pub started: crate::base::clock::Now,
    /// Where each thread is woken; -1 before it runs.
    pub wakes: Vec<AtomicI32>,
    pub stream_ids: AtomicU64,
    pub services: Services,
    pub tables: Arc<TableRegistry>,
    pub about: About,
    /// For `show errors`.
    pub captures: Captures,
    /// Sockets to log targets that the process's root directory hides.
    pub outside_logs: Vec<(LogSink, Fd)>,
    /// Log lines on their way to rings.
    pub events: Events,
    /// Bytes of the compression states of all workers.
    pub compression_memory: AtomicU64,
}

/// What answers instead of a server; given by the floors above.
#[derive(Clone, Copy)]
pub struct Services {
    /// `http-request use-service <name>`; false: there is no such service.
    pub service: fn(&Worker, name: &str, request: &Head, answer: &mut Answer) -> bool,
    /// `observe`: traffic tells of a server's health.
    pub observe: fn(&Worker, ProxyIndex, ServerIndex, Seen),
    /// `stats enable`: the page of a proxy.
    pub stats: fn(&Worker, asked: &page::Asked<'_>, answer: &mut Answer),
}

/// What traffic showed of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Connected,
    ConnectFailed,
    /// A response with this status.
    Status(u16),
    /// A response that is none, or none in time, or one that broke off.
    ResponseFailed,
}

/// The response of a service: a head without framing fields, and the body.
#[derive(Default)]
pub struct Answer {
    pub head: Head,
    pub body: AnswerBody,
}

pub enum AnswerBody {
    /// All of it, sent with a length.
    Whole(Vec<u8>),
    /// Made as the client takes it; chunked, as HAProxy's services answer an HTTP/1.1 client.
    Slices(Slices),
}

/// Appends the next slice of a body, of about so many bytes or of fewer, even none; false when the body is complete.
pub type Slices = Box<dyn FnMut(&Worker, usize, &mut Vec<u8>) -> bool>;

impl Default for AnswerBody {
    fn default() -> AnswerBody {
        AnswerBody::Whole(Vec::new())
    }
}

/// Names as language and log show them, made once.
pub struct Names {
    pub backend: Named,
    pub listeners: Vec<Rc<facts::Listener>>,
    /// Counts HTTP/1 connections of clients.
    pub h1: Rc<Meter>,
}

/// One worker's state for one backend.
pub struct BackendState {
    pub balancer: RefCell<Balancer>,
    pub idle: IdlePool,
    /// Connections that several requests share at a time (HTTP/2).
    pub connections: Connections,
    pub queue: Queue,
    /// Counts HTTP/1 connections to its servers.
    pub h1: Rc<Meter>,
}

pub struct Worker {
    pub rt: Rt,
    pub index: usize,
    pub shared: Arc<Shared>,
    pub plan: Arc<Plan>,
    pub board: Arc<Board>,
    pub backends: Vec<BackendState>,
    pub names: Vec<Names>,
    server_names: RefCell<Vec<Vec<Option<Named>>>>,
    pub exchanges: Exchanges,
    pub heads: Heads,
    pub spare_streams: super::mux::Spare,
    pub pool: Pool,
    pub deflates: Deflates,
    pub log: LogOut,
    pub handshakes: super::tls::Gate,
    pub tls_clients: super::tls::Clients,
    pub post: RefCell<Post<Mail>>,
    pub tables: Rc<Tables>,
    pub lookups: Rc<Lookups>,
    pub janitor: Cell<TaskId>,
    /// The janitor waits for a connection to look after.
    pub janitor_rests: Cell<bool>,
    pub stopping: Cell<bool>,
    /// The control thread knows that nothing is left to do here.
    pub has_reported: Cell<bool>,
    /// Since when.
    stopped_at: Cell<Millis>,
    followed: Cell<Followed>,
    pub stopped: Cell<bool>,
    /// No other worker needs this one any more.
    released: Cell<bool>,
    /// Server connections that would idle go to another process.
    pub bequeaths: Cell<bool>,
    /// Those that are on their way out of here.
    pub leaving: Cell<usize>,
    /// TCP sessions on their way from process to process.
    pub transfers: Transfers,
    /// Client connections that are open on this worker.
    pub sessions: Cell<usize>,
    stream_ids: Cell<(u64, u64)>,
    random: Cell<u64>,
    /// Hashes what peers may choose.
    pub keyed: RandomState,
    accepting: RefCell<Vec<AcceptLoop>>,
    /// Accept loops that wait for a connection to end.
    full: RefCell<Vec<TaskId>>,
    /// When the idle share was measured last, and the idle time until then, in nanoseconds.
    measured: Cell<(u64, u64)>,
    /// The streams that run.
    pub registry: Registry,
}

fn listeners(plan: &Plan, proxy: &Proxy) -> Vec<Rc<facts::Listener>> {
    let frontend = Named::new(proxy.name.as_str(), proxy.id);
    let default_backend: Option<Arc<str>> =
        proxy.frontend.default_backend.map(|b| Arc::from(plan.proxies[b].name.as_str()));
    let listener = |(index, bind): (usize, &Bind)| {
        Rc::new(facts::Listener {
            frontend: frontend.clone(),
            default_backend: default_backend.clone(),
            name: bind.name.as_deref().map(Arc::from),
            id: bind.id.unwrap_or(index as u32 + 1),
            use_proxy_header: proxy.options.http_use_proxy_header,
        })
    };
    proxy.frontend.binds.iter().enumerate().map(listener).collect()
}

impl Worker {
    pub fn new(rt: Rt, index: usize, shared: Arc<Shared>, post: Post<Mail>) -> Rc<Worker> {
        let plan = shared.plan.clone();
        let board = shared.board.clone();
        let seed = rt.now().wall_us ^ ((index as u64 + 1) << 40);
        let backends = plan.proxies.iter().enumerate().map(|(proxy, p)| BackendState {
            balancer: RefCell::new(Balancer::new(&p.backend, p.options.allbackups, seed)),
            idle: IdlePool::default(),
            connections: Connections::default(),
            queue: Queue::default(),
            h1: Meter::new(&board, index, proxy, Side::Server),
        });
        let names = plan.proxies.iter().enumerate().map(|(proxy, p)| Names {
            backend: Named::new(p.name.as_str(), p.id),
            listeners: listeners(&plan, p),
            h1: Meter::new(&board, index, proxy, Side::Client),
        });
        Rc::new(Worker {
            index,
            backends: backends.collect(),
            names: names.collect(),
            server_names: RefCell::new(plan.proxies.iter().map(|_| Vec::new()).collect()),
            exchanges: Exchanges::default(),
            heads: Heads::default(),
            spare_streams: Default::default(),
            pool: Pool::bounded(shared.plan.global.tune.bufsize),
            log: LogOut::new(rt.clone(), shared.clone(), index),
            handshakes: Default::default(),
            tls_clients: Default::default(),
            deflates: Deflates::new(compression::sizes(&plan.global)),
            post: RefCell::new(post),
            janitor: Cell::new(crate::base::slab::Key::NONE),
            janitor_rests: Cell::new(false),
            stopping: Cell::new(false),
            has_reported: Cell::new(false),
            stopped_at: Cell::new(Millis::NEVER),
            followed: Cell::default(),
            stopped: Cell::new(false),
            released: Cell::new(false),
            tables: Tables::new(rt.clone(), index, shared.tables.clone()),
            lookups: Rc::default(),
            bequeaths: Cell::new(false),
            leaving: Cell::new(0),
            transfers: Transfers::default(),
            sessions: Cell::new(0),
            stream_ids: Cell::new((0, 0)),
            random: Cell::new(seed | 1),
            keyed: RandomState::new(),
            accepting: RefCell::default(),
            full: RefCell::default(),
            measured: Cell::new((rt.now().nanos, 0)),
            registry: Registry::default(),
            plan,
            board,
            shared,
            rt,
        })
    }

    /// Starts the tasks of a worker: its post, its janitor and an accept loop for each listener (proxy, bind, socket).
    pub fn start(self: &Rc<Self>, listeners: Vec<(ProxyIndex, usize, Fd)>) {
        let handle = self.rt.wake_handle();
        self.shared.wakes[self.index].store(handle.0, Ordering::Release);
        self.counts().process().set(ProcessCounter::IdlePct, 100);
        let mail = self.rt.spawn(read_post(self.clone()));
        self.rt.set_mail_task(mail);
        self.rt.spawn(idle::janitor(self.clone()));
        if !self.shared.tables.is_empty() {
            self.rt.spawn(tables::run(self.clone()));
        }
        for (proxy, bind, fd) in listeners {
            let state = Rc::new(Cell::new(Accepting::On));
            let task = self.rt.spawn(accept(self.clone(), (proxy, bind, fd), state.clone()));
            self.accepting.borrow_mut().push((proxy, task, state));
        }
    }

    /// This worker's block of the board.
    pub fn counts(&self) -> board::Worker<'_> {
        self.board.worker(self.index)
    }

    /// A server as logs name it.
    pub fn server_name(&self, proxy: ProxyIndex, server: ServerIndex) -> Option<Named> {
        let mut names = self.server_names.borrow_mut();
        let list = &mut names[proxy];
        if list.len() <= server {
            list.resize(server + 1, None);
        }
        if list[server].is_none() {
            let live = self.board.live.server(proxy, server)?;
            list[server] = Some(Named::new(live.settings.name.as_str(), live.settings.id));
        }
        list[server].clone()
    }

    /// A number that no other stream of the process has. Taken in blocks, so that no line is shared by each request.
    pub fn next_stream_id(&self) -> u64 {
        const BLOCK: u64 = 1024;
        let (next, end) = self.stream_ids.get();
        let (next, end) = if next == end {
            let start = self.shared.stream_ids.fetch_add(BLOCK, Ordering::Relaxed);
            (start, start + BLOCK)
        } else {
            (next, end)
        };
        self.stream_ids.set((next + 1, end));
        next
    }

    /// 64 random bits; not secret.
    pub fn random(&self) -> u64 {
        // splitmix64
        let x = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(x);
        let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub fn rate_session(&self, now: Millis) {
        self.counts().process().rate(ProcessRate::Sessions, 1, now);
        self.counts().process().rate(ProcessRate::Connections, 1, now);
    }

    /// The running accept loop is to be woken when a connection ends.
    fn await_room(&self) {
        let (me, mut full) = (self.rt.current(), self.full.borrow_mut());
        if !full.contains(&me) {
            full.push(me);
        }
    }

    /// A connection ended: accept loops that were full may go on.
    pub fn connection_left(&self, _proxy: ProxyIndex) {
        for task in self.full.borrow_mut().drain(..) {
            self.rt.wake(task);
        }
    }

    /// Nothing is left to do: stopped, or stopping without sessions.
    pub fn is_finished(&self) -> bool {
        let busy = self.sessions.get() > 0 || self.leaving.get() > 0 || !self.accepting.borrow().is_empty();
        self.stopped.get() || self.stopping.get() && !busy
    }

    /// Whether a connection that could be kept is to close, since this worker stops: each of them, or with
    /// `close-spread-time` (manual 3.1) ever more of them as that time passes.
    pub fn closes_kept(&self) -> bool {
        if !self.stopping.get() {
            return false;
        }
        match self.plan.global.close_spread_time_ms {
            None | Some(0) => true,
            Some(u64::MAX) => false,
            Some(spread) => self.random() % spread < self.rt.now().mono.since(self.stopped_at.get()),
        }
    }

    /// When a connection that idles is to close, since this worker stops; `share` chooses within `close-spread-time`.
    fn idle_until(&self, share: u64) -> Millis {
        let spread = match self.plan.global.close_spread_time_ms {
            None | Some(0) => 0,
            Some(u64::MAX) => return Millis::NEVER,
            Some(spread) => share % spread,
        };
        self.stopped_at.get().plus(IDLE_GRACE_MS.max(spread))
    }

    /// Whether the thread may end: others may still ask for entries of tables whose home is here.
    pub fn may_leave(&self) -> bool {
        self.released.get() || self.shared.tables.is_empty()
    }

    /// Tells the control thread.
    pub fn report_finished(&self) {
        self.has_reported.set(true);
        self.send(self.board.workers(), Mail::Finished);
    }

    // ---- waiting ----

    /// Waits until someone wakes the running task.
    pub async fn wait_for_wake(&self) {
        let mut first = true;
        poll_fn(|_| if std::mem::replace(&mut first, false) { Poll::Pending } else { Poll::Ready(()) }).await
    }

    /// Receives, but gives up at `deadline`, or soon when the worker stops: an idle connection ends then.
    /// A `patient` one (`option idle-close-on-response`) waits for its next request even then.
    pub async fn stoppable(
        &self,
        deadline: Millis,
        transport: &Transport,
        patient: bool,
    ) -> Option<io::Result<Option<Piece>>> {
        let share = self.random();
        poll_fn(|_| {
            if let Poll::Ready(r) = transport.poll_recv() {
                return Poll::Ready(Some(r));
            }
            let leaves = self.stopping.get() && !patient && self.rt.reached(self.idle_until(share));
            if leaves || self.rt.reached(deadline) { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    // ---- other threads ----

    pub fn send(&self, to: usize, mail: Mail) {
        self.put_in_post(to, mail);
        self.wake_worker(to);
    }

    /// Sends without waking: the caller does, once for all it sends. What does not fit is tried again by [`read_post`].
    pub fn put_in_post(&self, to: usize, mail: Mail) {
        if self.post.borrow_mut().send(to, mail) {
            self.rt.wake_mail_task();
        }
    }

    pub fn wake_worker(&self, to: usize) {
        let handle = self.shared.wakes[to].load(Ordering::Acquire);
        if handle >= 0 && to != self.index {
            self.rt.wake_peer(WakeHandle(handle));
        }
    }

    fn read(self: &Rc<Self>, from: usize, mail: Mail) {
        match mail {
            Mail::SoftStop(followed) => {
                self.followed.set(followed);
                self.stop_accepting();
            }
            Mail::Bequeath => bequest::begin(self),
            Mail::Bequest(bequest) => bequest::adopt(self, *bequest),
            Mail::Transfer(message) => transfer::receive(self, message),
            Mail::Stop => {
                self.stop_accepting();
                self.stopped.set(true);
            }
            Mail::SlotFreed(proxy, server) => {
                queue::pass_on(self, proxy, server);
            }
            Mail::ServersChanged(proxy) => {
                let live = self.board.live.backend(proxy);
                for (server, s) in live.servers() {
                    if s.is_deleted() || s.in_maintenance() {
                        self.backends[proxy].idle.drop_server(self, proxy, server);
                        self.backends[proxy].connections.drop_server(server);
                    }
                }
                self.backends[proxy].queue.wake_all(self);
            }
            Mail::ShutdownSessions(proxy, server, failure) => {
                self.registry.kill_on_server(self, proxy, server, failure);
            }
            Mail::Leave => self.released.set(true),
            Mail::Table(letter) => self.tables.receive(from, letter),
            Mail::ShutdownStream(id) => self.registry.kill_stream(self, id),
            Mail::Ping(number) => {
                self.publish();
                self.send(self.board.workers(), Mail::Pong(number));
            }
            Mail::ListTasks(number) => {
                self.send(self.board.workers(), Mail::Tasks(number, self.rt.task_report()));
            }
            Mail::ProfileTasks(on) => self.rt.profile_tasks(on),
            Mail::ListStreams(number) => {
                self.send(self.board.workers(), Mail::Streams(number, self.registry.list(self.rt.now().mono)));
            }
            Mail::LimitsChanged => {
                for backend in &self.backends {
                    backend.queue.wake_all(self);
                }
                self.connection_left(0);
            }
            Mail::FrontendStopped(proxy) => {
                self.turn_accepting(Accepting::Over, |p| p == proxy);
            }
            Mail::Found(number, ip) => self.lookups.found(self, number, ip),
            Mail::Finished
            | Mail::Pong(_)
            | Mail::Streams(..)
            | Mail::Tasks(..)
            | Mail::Acted(_)
            | Mail::LookUp(_) => {}
            Mail::FrontendPaused(proxy, paused) => {
                let how = if paused { Accepting::Paused } else { Accepting::On };
                self.turn_accepting(how, |p| p == proxy);
            }
        }
    }

    /// Lets the other workers publish what they count, for whoever asks next; this one does it now.
    pub fn publish_all(&self) {
        self.publish();
        for other in (0..=self.board.workers()).filter(|o| *o != self.index) {
            self.send(other, Mail::Ping(0));
        }
    }

    /// Puts on the board what this thread's loop has counted.
    fn publish(&self) {
        publish_traffic(&self.rt, self.counts());
        let activity = self.rt.activity();
        let counts = self.counts();
        let process = counts.process();
        process.set(ProcessCounter::Loops, activity.loops);
        process.set(ProcessCounter::Wakeups, activity.polls);
        process.set(ProcessCounter::EngineCompletionsDead, activity.late);
        process.set(ProcessCounter::EngineBuffersShort, activity.starved);
        process.set(ProcessCounter::EngineEnterErrors, activity.enter_errors);
        let (since, idle) = self.measured.get();
        let spent = self.rt.now().nanos.saturating_sub(since);
        if spent >= IDLE_WINDOW_NS {
            let share = activity.idle_ns.saturating_sub(idle) * 100 / spent;
            process.set(ProcessCounter::IdlePct, share.min(100));
            self.measured.set((self.rt.now().nanos, activity.idle_ns));
        }
        let (conns, operations, tasks) = self.rt.in_use();
        process.set(ProcessCounter::EngineConns, conns as u64);
        process.set(ProcessCounter::EngineOperations, operations as u64);
        process.set(ProcessCounter::Tasks, tasks as u64);
        process.set(ProcessCounter::RunQueue, self.rt.ready() as u64);
    }

    /// Connections that may wait to be accepted (manual 4.2 "backlog").
    fn backlog(&self, proxy: ProxyIndex, bind: usize) -> i32 {
        let frontend = &self.plan.proxies[proxy].frontend;
        let wanted = frontend.binds[bind].backlog.or(frontend.backlog).or(frontend.maxconn);
        let wanted = wanted.unwrap_or_else(|| self.board.live.process.hard_maxconn.load(Ordering::Relaxed));
        wanted.clamp(1, i32::MAX as u32) as i32
    }

    fn stop_accepting(&self) {
        self.stopping.set(true);
        self.stopped_at.set(self.rt.now().mono);
        self.turn_accepting(Accepting::Over, |_| true);
        // Idle connections notice when they are woken.
        self.rt.wake_all();
    }

    /// Lets accept loops pause, go on or end.
    fn turn_accepting(&self, how: Accepting, which: impl Fn(ProxyIndex) -> bool) {
        let accepting = self.accepting.borrow();
        for (_, task, state) in accepting.iter().filter(|a| which(a.0) && a.2.get() != Accepting::Over) {
            state.set(how);
            self.rt.wake(*task);
        }
    }
}

/// Puts on the board what a reactor has sent and the memory of its receive buffers.
pub fn publish_traffic(rt: &Rt, counts: board::Worker<'_>) {
    let (process, emitted) = (counts.process(), rt.emitted());
    process.set(ProcessCounter::TotalBytesOut, emitted.bytes());
    process.set(ProcessCounter::TotalSplicedBytesOut, emitted.spliced());
    process.set_rate(ProcessRate::BytesOut, emitted.rate());
    let (made, lent) = rt.buffer_memory();
    process.set(ProcessCounter::BufferBytes, made);
    process.set(ProcessCounter::BufferBytesUsed, lent);
}

async fn read_post(w: Rc<Worker>) {
    loop {
        loop {
            let mail = w.post.borrow_mut().receive();
            let Some((from, mail)) = mail else { break };
            w.read(from, mail);
        }
        if w.post.borrow_mut().flush(|to| w.wake_worker(to)) {
            race_wake(sleep(&w.rt, 1)).await;
        } else {
            w.wait_for_wake().await;
        }
    }
}

/// Waits for a wake-up or for `other`.
pub async fn race_wake(other: impl Future<Output = ()>) {
    let mut other = pin!(other);
    let mut first = true;
    poll_fn(|cx| {
        if other.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if std::mem::replace(&mut first, false) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await
}

/// How long an idle connection may still bring a request when the worker stops, in milliseconds: closing it the moment that
/// a request arrives would lose that. Its answer says that the connection closes.
const IDLE_GRACE_MS: u64 = 1000;
/// Pause after an accept that failed for want of descriptors.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Proxy, the task, and whether it is to go on.
type AcceptLoop = (ProxyIndex, TaskId, Rc<Cell<Accepting>>);

/// Whether an accept loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepting {
    On,
    /// It takes nobody until it is to go on.
    Paused,
    /// It ends and closes the socket.
    Over,
}

/// Takes the connections of one listener.
async fn accept(w: Rc<Worker>, (proxy, bind, fd): (ProxyIndex, usize, Fd), state: Rc<Cell<Accepting>>) {
    let settings = &w.plan.proxies[proxy];
    let keepalive = settings.options.clitcpka.then_some(KeepAlive {
        count: settings.frontend.clitcpka_cnt,
        idle_s: settings.frontend.clitcpka_idle_s,
        interval_s: settings.frontend.clitcpka_intvl_s,
    });
    loop {
        let listener = Listener::new(&w.rt, fd);
        let local = listener.local();
        let is_ip = matches!(local, Ok(Address::Ip(_)));
        let bound = match local {
            Ok(Address::Ip(a)) if !a.ip().is_unspecified() => Some(a),
            _ => None,
        };
        while state.get() == Accepting::On {
            accept_next(&w, (proxy, bind), &listener, keepalive, bound, &state).await;
        }
        // What the kernel has accepted until then is still served.
        let mut late = Vec::new();
        while let Some(conn) = listener.last(keepalive).await {
            late.push(conn);
        }
        let how = state.get();
        let is_followed = match w.followed.get() {
            Followed::ByNobody => false,
            Followed::AtAddresses => is_ip,
            Followed::AtSockets => true,
        };
        if how == Accepting::Over && !is_followed {
            // Nobody else would answer who waits in the kernel; there are as many as the backlog holds.
            while let Some(conn) = listener.take(keepalive) {
                late.push(conn);
            }
        }
        drop(listener);
        match how {
            Accepting::Over => w.rt.close_fd(fd),
            // Who connects is refused, so that a balancer in front asks another. UNIX sockets could not listen again.
            Accepting::Paused if is_ip => w.rt.listening(fd, None),
            _ => {}
        }
        for conn in late {
            admit(&w, proxy, bind, conn, bound).await;
        }
        if how == Accepting::Over {
            break;
        }
        while state.get() == Accepting::Paused {
            w.wait_for_wake().await;
        }
        if how == Accepting::Paused && state.get() == Accepting::On {
            w.rt.listening(fd, Some(w.backlog(proxy, bind)));
        }
    }
    let me = w.rt.current();
    w.accepting.borrow_mut().retain(|a| a.1 != me);
}

/// Takes the next connection, when there is room for one more.
async fn accept_next(
    w: &Rc<Worker>,
    (proxy, bind): (ProxyIndex, usize),
    listener: &Listener,
    keepalive: Option<KeepAlive>,
    bound: Option<SocketAddr>,
    state: &Cell<Accepting>,
) {
    let on = || state.get() == Accepting::On;
    while on() && is_full(w, proxy, bind, 0) {
        listener.pause();
        w.await_room();
        // Another worker's connection may be the one that ends.
        race_wake(sleep(&w.rt, 20)).await;
    }
    // Who still waits in the kernel then is for the process that follows.
    if !on() {
        return;
    }
    let accepted = {
        let mut next = pin!(listener.accept(keepalive));
        poll_fn(|cx| match next.as_mut().poll(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending if on() => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        })
        .await
    };
    match accepted {
        Some(Ok(conn)) => {
            if is_full(w, proxy, bind, 0) {
                // Another worker took the last place: whoever comes now waits in the kernel, not here.
                listener.pause();
            }
            admit(w, proxy, bind, conn, bound).await;
        }
        Some(Err(_)) => sleep(&w.rt, ACCEPT_PAUSE_MS).await,
        None => {}
    }
}

/// Begins the session of an accepted connection, when there is room for it.
async fn admit(w: &Rc<Worker>, proxy: ProxyIndex, bind: usize, conn: Conn, bound: Option<SocketAddr>) {
    let counted = loop {
        if let Some(counted) = count(w, proxy, bind) {
            break counted;
        }
        w.await_room();
        race_wake(sleep(&w.rt, 20)).await;
    };
    w.rt.spawn(session::run(w.clone(), counted, conn, bound));
}

/// Counts a connection unless a limit is reached. Each worker adds to counters of its own, so that two could take the last
/// place at once: as many places as there are workers are given out by one worker at a time.
fn count(w: &Rc<Worker>, proxy: ProxyIndex, bind: usize) -> Option<session::Counted> {
    let is_full = |others| is_full(w, proxy, bind, others);
    let counted = w.board.places.take(w.index, is_full, || session::Counted::new(w, proxy, bind))?;
    let most = u64::from(w.board.live.process.maxconn.load(Ordering::Relaxed));
    if most > 0 && w.board.process(ProcessCounter::CurrConns) >= most {
        w.counts().process().add(ProcessCounter::MaxconnReached, 1);
    }
    Some(counted)
}

/// A limit would be passed with `others` more connections than there are, and one.
fn is_full(w: &Worker, proxy: ProxyIndex, bind: usize, others: u64) -> bool {
    has_no_room(w, proxy, bind, others) || is_too_fast(w, proxy, others) || tls_is_full(w, proxy, bind)
}

/// The same, as far as it is about how many there are and not about how fast they come.
pub(super) fn has_no_room(w: &Worker, proxy: ProxyIndex, bind: usize, others: u64) -> bool {
    let over = |limit: u64, used: &dyn Fn() -> u64| limit > 0 && used() + others >= limit;
    over(w.board.live.frontend(proxy).maxconn.load(Ordering::Relaxed).into(), &|| {
        w.board.frontend(proxy, FrontendCounter::Scur)
    }) || over(w.board.live.process.maxconn.load(Ordering::Relaxed).into(), &|| {
        w.board.process(ProcessCounter::CurrConns)
    }) || over(w.plan.proxies[proxy].frontend.binds[bind].maxconn.unwrap_or(0).into(), &|| {
        w.board.listener(proxy, bind, ListenerCounter::Scur)
    })
}

/// `maxconnrate`, `maxsessrate`, `set rate-limit`, and a frontend's `rate-limit sessions`.
fn is_too_fast(w: &Worker, proxy: ProxyIndex, others: u64) -> bool {
    let (process, now) = (&w.board.live.process, w.rt.now().mono);
    let (conns, sessions) = (&process.connections_per_second, &process.sessions_per_second);
    let over = |limit: u32, rate: &dyn Fn() -> u32| limit > 0 && u64::from(rate()) + others >= limit.into();
    over(conns.load(Ordering::Relaxed), &|| w.board.process_rate(ProcessRate::Connections, now).0)
        || over(sessions.load(Ordering::Relaxed), &|| w.board.process_rate(ProcessRate::Sessions, now).0)
        || over(w.plan.proxies[proxy].frontend.rate_limit_sessions.unwrap_or(0), &|| {
            w.board.frontend_rate(proxy, FrontendRate::Sessions, now).0
        })
}

/// `maxsslconn` and `maxsslrate` (manual 3.2).
fn tls_is_full(w: &Worker, proxy: ProxyIndex, bind: usize) -> bool {
    let tls = &w.plan.global.tls;
    let (conns, rate) =
        (tls.maxsslconn.unwrap_or(0), w.board.live.process.ssl_sessions_per_second.load(Ordering::Relaxed));
    if conns == 0 && rate == 0 || !w.plan.proxies[proxy].frontend.binds[bind].ssl {
        return false;
    }
    conns > 0 && w.board.process(ProcessCounter::CurrSslConns) >= conns.into()
        || rate > 0 && w.board.process_rate(ProcessRate::Ssl, w.rt.now().mono).0 >= rate
}
