//! The main thread while the workers serve: its own reactor takes signals and the post, and ends the process when the last
//! worker has nothing left to do.

use super::about::Standing;
use super::api::{self, Desk, Door, gather::Gathering};
use super::master::channel::{Leash, Order};
use super::sockets::{CLAIM_MS, CLAIMED, Exposed, open_alone, share};
use super::{bequest, carry, transfer};
use crate::admin::runtime_api::command::profiling::Profiling;
use crate::base::mailbox::Post;
use crate::dataplane::log::LogOut;
use crate::dataplane::tables::handle::TablesHandle;
use crate::dataplane::worker::{Followed, Mail, Shared, publish_traffic};
use crate::engine::driver::{Fd, WakeHandle, sockets};
use crate::engine::process::Signals;
use crate::engine::task::{before, sleep};
use crate::engine::{Conn, Reactor, Rt};
use crate::model::plan::Plan;
use crate::services::check::CheckHandle;
use crate::services::peers::{Listening, PeersHandle};
use crate::services::resolvers::ResolversHandle;
use crate::services::rings::{self, Rings};
use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::{Rc, Weak};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};

/// Sockets of the runtime API: the number of the `stats socket` line, and the descriptor.
pub type Api = Vec<(usize, Fd)>;

/// Connections to the runtime API that may wait to be served.
const API_BACKLOG: u32 = 1024;

/// Peers that may wait to be accepted.
const PEERS_BACKLOG: u32 = 128;

/// Sockets of `peers` sections, and whether an old process is expected to teach this one.
#[derive(Debug, Default)]
pub struct Peering {
    pub peers: Vec<Listening>,
    pub succeeds: bool,
}

/// Opens the sockets of `peers` sections. On failure: HAProxy's lines.
pub fn open_peers(plan: &Plan) -> Result<Vec<Listening>, Vec<String>> {
    let mut sockets = Vec::new();
    let mut errors = Vec::new();
    for (number, section) in plan.peers.iter().enumerate().filter(|(_, s)| !s.disabled) {
        for (address, bind) in section.listeners() {
            let bind = Arc::new(bind);
            let listening = |fd| Listening { section: number, bind: bind.clone(), fd };
            match open_alone(&address, &bind, PEERS_BACKLOG, &section.name) {
                Ok(fds) => sockets.extend(fds.into_iter().map(listening)),
                Err(line) => errors.push(line),
            }
        }
    }
    if errors.is_empty() { Ok(sockets) } else { Err(errors) }
}

/// What is known from the start and told by the runtime API.
pub struct Launch {
    /// Messages of the start, as they were written.
    pub logs: String,
    /// `NAME=value` lines, with the variables of the configuration.
    pub environment: Vec<String>,
    /// Sockets that a successor may have, while workers accept on them.
    pub exposed: RefCell<Vec<Exposed>>,
    /// Those to which the kernel gives what would go to old processes, for a while.
    pub claimed: RefCell<Vec<Fd>>,
    pub followed: Cell<Followed>,
    /// The process as it began.
    pub boot: Standing,
    /// What ties this process to a master, if it has one.
    pub leash: Option<Leash>,
    /// The runtime API of the worker that served before, until its tables are here.
    pub former: RefCell<Option<UnixStream>>,
    /// Where idle server connections and TCP sessions of the process before come.
    pub bequests: RefCell<Option<bequest::Channels>>,
}

/// Opens the `stats socket` lines. On failure: HAProxy's lines.
pub fn open_api(plan: &Plan) -> Result<Api, Vec<String>> {
    let mut api = Api::new();
    let mut errors = Vec::new();
    for (number, bind) in plan.global.stats_sockets.iter().enumerate() {
        for address in &bind.addresses {
            match open_alone(address, bind, API_BACKLOG, "GLOBAL") {
                Ok(fds) => api.extend(fds.into_iter().map(|fd| (number, fd))),
                Err(line) => errors.push(line),
            }
        }
    }
    if errors.is_empty() { Ok(api) } else { Err(errors) }
}

/// The CPUs of each worker: `cpu-map`, or one core of the inherited mask for each worker when there are enough.
pub fn cpus(plan: &Plan, workers: usize) -> Vec<Vec<usize>> {
    if !plan.global.cpu_map.is_empty() {
        return plan.global.cpu_map.clone();
    }
    let Ok(mask) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    let mine: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|c| mask.is_set(*c)).collect();
    if mine.len() < workers {
        return Vec::new();
    }
    mine.into_iter().take(workers).map(|c| vec![c]).collect()
}

/// Binds the calling thread to these CPUs. A refusal is no reason not to serve.
pub fn pin(cpus: &[usize]) {
    let mut set = rustix::thread::CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    let _ = rustix::thread::sched_setaffinity(None, &set);
}

/// The control thread's state.
pub struct Control {
    pub(super) me: Weak<Control>,
    /// A task moves slow starts on.
    pub(super) ramping: Cell<bool>,
    pub rt: Rt,
    pub shared: Arc<Shared>,
    post: Rc<RefCell<Post<Mail>>>,
    /// Stick tables, for the runtime API.
    pub tables: Rc<TablesHandle>,
    pub(super) stopping: Cell<bool>,
    /// The soft stop has lasted as long as it may (`hard-stop-after`): nothing is waited for any more.
    pub(super) overdue: Cell<bool>,
    /// The soft stop has closed the listeners.
    pub(super) accepts_no_more: Cell<bool>,
    pub(super) bequests: bequest::Bequests,
    pub(super) transfers: transfer::Transfers,
    /// Workers that have not finished.
    working: RefCell<Vec<usize>>,
    pub log: LogOut,
    pub launch: Launch,
    pub desk: Desk,
    pub gathering: Gathering,
    pub checks: RefCell<Option<CheckHandle>>,
    pub resolvers: RefCell<Option<ResolversHandle>>,
    pub peers: RefCell<Option<PeersHandle>>,
    pub rings: Rc<Rings>,
    /// `set profiling tasks`.
    pub profiling: Cell<Profiling>,
    last_events: Cell<LastEvents>,
    done: Cell<Option<End>>,
    /// The signal that ends the process.
    signal: Cell<Option<i32>>,
}

/// Whether the servers of rings know how the process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LastEvents {
    #[default]
    Untold,
    Telling,
    Told,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with code 0.
    Finished,
    /// By this signal.
    Signal(i32),
}

/// Time that workers have to close their sockets when the process is told to end, in milliseconds.
const STOP_MS: u64 = 500;

impl Control {
    /// Sends a message to every worker.
    pub fn tell_all(&self, mail: impl Fn() -> Mail) {
        for worker in 0..self.shared.board.workers() {
            self.tell(worker, mail());
        }
    }

    pub fn tell(&self, worker: usize, mail: Mail) {
        if self.post.borrow_mut().send(worker, mail) {
            self.rt.wake_mail_task();
        }
        self.wake(worker);
    }

    fn wake(&self, worker: usize) {
        let handle = self.shared.wakes[worker].load(Ordering::Acquire);
        if handle >= 0 {
            self.rt.wake_peer(WakeHandle(handle));
        }
    }

    /// Puts on the board what this thread's loop has counted.
    pub fn publish(&self) {
        publish_traffic(&self.rt, self.shared.board.control());
    }

    /// Workers that can still answer.
    pub fn working(&self) -> Vec<usize> {
        self.working.borrow().clone()
    }

    /// Ends the process, by this signal.
    fn end(self: &Rc<Self>, signal: i32) {
        if self.signal.get().is_none() {
            self.signal.set(Some(signal));
            self.tell_all(|| Mail::Stop);
            self.rt.spawn(give_up(self.clone()));
        }
    }
}

impl Control {
    /// Ends when no worker has anything left to do and a successor knows all that it is to know.
    pub fn leave(&self) {
        let teaches = self.bequests.is_busy() || self.peers.borrow().as_ref().is_some_and(PeersHandle::is_busy);
        let waits = self.signal.get().is_none() && !self.overdue.get();
        if self.working.borrow().is_empty() && !(teaches && waits) {
            if self.rings.is_heard() && self.last_events.get() != LastEvents::Told {
                let Some(me) = self.me.upgrade() else { return };
                if self.last_events.replace(LastEvents::Telling) == LastEvents::Untold {
                    self.rt.spawn(tell_last(me));
                }
                return;
            }
            self.tell_all(|| Mail::Leave);
            self.done.set(Some(self.signal.get().map_or(End::Finished, End::Signal)));
        }
    }
}

/// Ends the process once the servers of rings have the last events.
async fn tell_last(control: Rc<Control>) {
    control.rings.tell_last().await;
    control.last_events.set(LastEvents::Told);
    control.leave();
}

/// A reactor for one more thread, on the engine that was chosen. It was tried at the start: a refusal now is the end.
pub fn reactor(shared: &Shared) -> Rt {
    match shared.about.engine.driver() {
        Ok(driver) => Reactor::new(driver),
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(1);
        }
    }
}

/// Serves until the workers are done, or a signal ends the process.
pub fn run(
    shared: Arc<Shared>,
    post: Post<Mail>,
    api: Api,
    peering: Peering,
    launch: Launch,
    signals: Signals,
    ready: &Barrier,
) -> End {
    let rt = reactor(&shared);
    let workers = shared.board.workers();
    shared.wakes[workers].store(rt.wake_handle().0, Ordering::Release);
    let post = Rc::new(RefCell::new(post));
    let tables = {
        let (post, shared, rt) = (post.clone(), shared.clone(), rt.clone());
        let (control_rt, registry) = (rt.clone(), shared.tables.clone());
        let send = move |to: usize, letter| {
            if post.borrow_mut().send(to, Mail::Table(letter)) {
                rt.wake_mail_task();
            }
            let handle = shared.wakes[to].load(Ordering::Acquire);
            if handle >= 0 {
                rt.wake_peer(WakeHandle(handle));
            }
        };
        TablesHandle::new(control_rt, registry, Box::new(send))
    };
    let control = Rc::new_cyclic(|me| Control {
        me: me.clone(),
        ramping: Cell::new(false),
        rt: rt.clone(),
        log: LogOut::new(rt.clone(), shared.clone(), workers),
        launch,
        working: RefCell::new((0..workers).collect()),
        desk: Desk::default(),
        gathering: Gathering::default(),
        checks: RefCell::default(),
        resolvers: RefCell::default(),
        peers: RefCell::default(),
        rings: rings::start(&rt, &shared),
        last_events: Cell::default(),
        profiling: Cell::default(),
        shared,
        post,
        tables,
        stopping: Cell::new(false),
        overdue: Cell::new(false),
        accepts_no_more: Cell::new(false),
        bequests: bequest::Bequests::default(),
        transfers: transfer::Transfers::default(),
        done: Cell::new(None),
        signal: Cell::new(None),
    });
    ready.wait();
    rt.spawn(watch_signals(control.clone(), signals));
    if let Err(faults) = control.start_checks() {
        for fault in faults {
            let place = fault.origin.map_or(String::new(), |o| format!("[{o}] : "));
            eprintln!("[ALERT]    ({}) : config : {place}{}", control.shared.pid, fault.text);
        }
        std::process::exit(1);
    }
    control.start_resolvers();
    if control.launch.leash.is_some() {
        rt.spawn(obey(control.clone()));
    }
    let claimed = control.launch.claimed.take();
    if !claimed.is_empty() {
        rt.spawn(share_later(rt.clone(), claimed));
    }
    if let Some(channels) = control.launch.bequests.take() {
        rt.spawn(bequest::take(control.clone(), channels.idle));
        rt.spawn(transfer::take(control.clone(), channels.sessions));
    }
    control.start_peers(peering);
    for (number, fd) in &api {
        rt.spawn(api::accept(control.clone(), *number, *fd));
    }
    if control.shared.plan.credentials.is_some() {
        rt.spawn(rotate_tickets(control.clone()));
    }
    let mail = rt.spawn(read_post(control.clone()));
    rt.set_mail_task(mail);
    // Workers end when they are told to: a full mailbox must have taken that.
    rt.run(|_| match control.done.get() {
        Some(End::Finished) => control.post.borrow().is_delivered(),
        end => end.is_some(),
    });
    for (_, fd) in api {
        sockets::close(fd);
    }
    control.checks.take();
    control.resolvers.take();
    if let Some(peers) = control.peers.take() {
        peers.stop();
    }
    rt.shutdown();
    control.done.get().unwrap_or(End::Finished)
}

/// New keys for session tickets, as often as the old ones' tickets live (`tune.ssl.lifetime`). Those of `tls-ticket-keys` stay.
async fn rotate_tickets(control: Rc<Control>) {
    let Some(credentials) = &control.shared.plan.credentials else { return };
    let lifetime_s = credentials.tickets.lifetime_s().max(1);
    loop {
        sleep(&control.rt, u64::from(lifetime_s) * 1000).await;
        credentials.tickets.rotate();
    }
}

/// Tells the master that this worker serves, and does what it asks.
async fn obey(control: Rc<Control>) {
    let Some(leash) = &control.launch.leash else { return };
    let former = control.launch.former.take().and_then(|stream| Conn::adopt(&control.rt, stream.into()).ok());
    if let Some(former) = former.filter(|_| !control.shared.tables.is_empty()) {
        let deadline = control.rt.now().mono.plus(carry::TABLES_MS);
        let _ = before(&control.rt, deadline, carry::take_tables(&control, &former)).await;
    }
    leash.ready();
    loop {
        let _ = control.rt.poll_fd(leash.fd(), libc::POLLIN).await;
        match leash.order(api::session) {
            Some(Order::Serve(session, socket)) => {
                if let Ok(conn) = Conn::adopt(&control.rt, socket) {
                    let door = Door { session: *session, exposes: true, heir: true };
                    control.rt.spawn(api::serve(control.clone(), door, conn));
                }
            }
            Some(Order::Leave) => return control.end(libc::SIGTERM),
            None => {}
        }
    }
}

async fn watch_signals(control: Rc<Control>, signals: Signals) {
    loop {
        let _ = control.rt.poll_fd(signals.fd(), libc::POLLIN).await;
        while let Some((signal, value)) = signals.next() {
            match signal {
                libc::SIGUSR1 => {
                    if value == CLAIMED && control.launch.followed.get() == Followed::ByNobody {
                        control.launch.followed.set(Followed::AtAddresses);
                    }
                    control.soft_stop();
                }
                libc::SIGTERM | libc::SIGINT => control.end(signal),
                libc::SIGTTOU => control.pause(true),
                libc::SIGTTIN => control.pause(false),
                libc::SIGHUP => control.dump_states(),
                _ => {}
            }
        }
    }
}

/// Ends the process even if a worker does not answer.
async fn give_up(control: Rc<Control>) {
    sleep(&control.rt, STOP_MS).await;
    control.done.set(control.signal.get().map(End::Signal));
}

/// Reads what workers send, and counts those that have finished.
async fn read_post(control: Rc<Control>) {
    loop {
        let mail = control.post.borrow_mut().receive();
        match mail {
            Some((worker, Mail::Finished)) => {
                control.working.borrow_mut().retain(|w| *w != worker);
                control.gathering.finished(&control, worker);
                control.leave();
            }
            Some((worker, Mail::Pong(number))) => control.gathering.pong(&control, worker, number),
            Some((worker, Mail::Streams(number, streams))) => {
                control.gathering.streams(&control, worker, number, streams);
            }
            Some((_, Mail::Bequest(bequest))) => bequest::send(&control, *bequest),
            Some((worker, Mail::Transfer(message))) => transfer::receive(&control, worker, message),
            Some((worker, Mail::Tasks(number, report))) => control.gathering.tasks(&control, worker, number, report),
            Some((_, Mail::Acted(acted))) => control.acted(acted),
            Some((_, Mail::Table(letter))) => control.tables.receive(letter),
            Some((worker, Mail::LookUp(question))) => control.look_up(worker, question),
            Some((_, Mail::Ping(_))) => control.publish(),
            Some(_) => {}
            None => {
                control.rings.look();
                // A full mailbox is tried again soon: its worker may be slow to read.
                let full = control.post.borrow_mut().flush(|to| control.wake(to));
                let again = if full { control.rt.now().mono.plus(1) } else { crate::base::clock::Millis::NEVER };
                let mut first = true;
                std::future::poll_fn(|_| {
                    if !std::mem::replace(&mut first, false) || control.rt.reached(again) {
                        return std::task::Poll::Ready(());
                    }
                    std::task::Poll::Pending
                })
                .await;
            }
        }
    }
}

/// The old processes have had time to close their sockets.
async fn share_later(rt: Rt, claimed: Vec<Fd>) {
    sleep(&rt, CLAIM_MS).await;
    share(&claimed);
}
