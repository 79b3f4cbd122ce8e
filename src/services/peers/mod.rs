//! Peers (manual 11.2, `doc/peers.txt`): what the stick tables of this process learn is told to other processes, and what
//! these tell is learned. All of it runs on the control thread: a task for each peer that connects out, one for each
//! listener, two for each connection (`session`, `writer`). Entries stay with their homes: the service asks homes for what
//! changed, at the pace of the slowest peer, and hands what peers tell to the homes piece by piece. A peer that lies or
//! stalls costs its own connection and its buffers.

mod handshake;
mod resync;
mod session;
pub mod show;
mod table;
mod writer;

use crate::base::address::Address;
use crate::base::clock::Millis;
use crate::base::hash::xxh64;
use crate::dataplane::tables::handle::TablesHandle;
use crate::dataplane::tables::registry::TableId;
use crate::dataplane::tls::Clients;
use crate::engine::Rt;
use crate::engine::driver::Fd;
use crate::engine::reactor::TaskId;
use crate::model::bind::Bind;
use crate::model::plan::Plan;
use crate::model::server::Server;
use crate::model::state::board::Board;
use crate::model::state::counters::ProcessCounter;
use crate::proto::peers::handshake::Status;
use resync::Resync;
use session::Session;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use table::Shared;

/// What the service needs of its surroundings.
pub struct PeersContext {
    pub rt: Rt,
    pub plan: Arc<Plan>,
    pub board: Arc<Board>,
    pub tables: Rc<TablesHandle>,
    pub pid: u32,
    random: Cell<u64>,
    /// Number of the last connection.
    sessions: Cell<u32>,
    /// TLS contexts of the peers that are spoken to over TLS.
    clients: Clients,
}

impl PeersContext {
    /// `seed` spreads reconnections.
    pub fn new(
        rt: Rt,
        plan: Arc<Plan>,
        board: Arc<Board>,
        tables: Rc<TablesHandle>,
        pid: u32,
        seed: u64,
    ) -> Rc<Self> {
        Rc::new(PeersContext {
            rt,
            plan,
            board,
            tables,
            pid,
            random: Cell::new(seed),
            sessions: Cell::new(0),
            clients: Clients::default(),
        })
    }

    fn now(&self) -> Millis {
        self.rt.now().mono
    }

    fn random(&self, below: u64) -> u64 {
        let next = xxh64(&self.random.get().to_ne_bytes(), self.rt.now().nanos);
        self.random.set(next);
        next % below.max(1)
    }

    /// Changes a gauge of `show info`.
    fn gauge(&self, id: ProcessCounter, by: i64) {
        let counts = self.board.worker(self.board.workers()).process();
        if by > 0 { counts.add(id, by as u64) } else { counts.sub(id, by.unsigned_abs()) }
    }
}

/// A `peers` section.
pub struct Section {
    cx: Rc<PeersContext>,
    name: String,
    /// Peers in the order of their lines.
    peers: Vec<Rc<Peer>>,
    /// The tables that are shared, in the order of their numbers on the wire.
    tables: Vec<Shared>,
    shards: u32,
    resync: Resync,
    tasks: RefCell<Vec<TaskId>>,
    /// Connections that have not said who they are.
    strangers: Cell<usize>,
    stopping: Cell<bool>,
}

/// A `peer` or `server` line.
pub struct Peer {
    name: String,
    /// It has our own name: our predecessor or successor.
    local: bool,
    address: Option<Address>,
    /// The settings of its line.
    server: Server,
    /// `shard`: the part of the entries that it is told; 0: all.
    shard: u32,
    session: RefCell<Option<Rc<Session>>>,
    /// The task that connects to it.
    connector: Cell<TaskId>,
    /// What it has acknowledged, for each table and home: the number of the last change.
    acked: RefCell<Vec<Vec<u64>>>,
    /// It was asked for all it knows and does not know all.
    spent: Cell<bool>,
    told: Told,
}

/// What `show peers` tells of a peer.
#[derive(Default)]
struct Told {
    last_status: Cell<Option<LastStatus>>,
    handshake: Cell<Option<Millis>>,
    reconnect: Cell<Option<Millis>>,
    heartbeats_sent: Cell<u64>,
    heartbeats_received: Cell<u64>,
    heartbeats_missed: Cell<u64>,
    connections: Cell<u64>,
    faults: Cell<u64>,
    collisions: Cell<u64>,
}

/// How far the last connection came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastStatus {
    Connecting,
    Handshake,
    Refused(Status),
    Established,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

/// The running service.
pub struct PeersHandle {
    rt: Rt,
    sections: Vec<Rc<Section>>,
    listeners: RefCell<Vec<Listening>>,
    /// What a soft stop still has to do: sections that teach a successor.
    teaching: Rc<Cell<usize>>,
}

/// A listening socket.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Number of the `peers` section.
    pub section: usize,
    pub bind: Arc<Bind>,
    pub fd: Fd,
}

/// Starts what is configured. `succeeds`: an old process is expected to teach this one.
pub fn start(cx: &Rc<PeersContext>, listeners: Vec<Listening>, succeeds: bool) -> PeersHandle {
    let mut sections = Vec::new();
    for (index, settings) in cx.plan.peers.iter().enumerate().filter(|(_, s)| !s.disabled) {
        let tables = Shared::of_section(cx, index);
        let homes = cx.tables.registry.workers();
        let peers = settings.peers.iter().map(|p| {
            Rc::new(Peer {
                name: p.name.clone(),
                local: p.local,
                address: if p.local { settings.local_address() } else { p.server.address.clone() },
                server: p.server.clone(),
                shard: p.server.shard,
                session: RefCell::default(),
                connector: Cell::default(),
                acked: RefCell::new(vec![vec![0; homes]; tables.len()]),
                spent: Cell::new(false),
                told: Told::default(),
            })
        });
        let section = Rc::new(Section {
            peers: peers.collect(),
            cx: cx.clone(),
            name: settings.name.clone(),
            shards: settings.shards,
            tables,
            resync: Resync::default(),
            tasks: RefCell::default(),
            strangers: Cell::new(0),
            stopping: Cell::new(false),
        });
        for listening in listeners.iter().filter(|l| l.section == index) {
            let accept = cx.rt.spawn(handshake::accept(section.clone(), listening.clone()));
            section.tasks.borrow_mut().push(accept);
        }
        resync::begin(&section, succeeds);
        for peer in section.peers.iter().filter(|p| !p.local) {
            let connector = cx.rt.spawn(handshake::connect(section.clone(), peer.clone()));
            peer.connector.set(connector);
            section.tasks.borrow_mut().push(connector);
        }
        sections.push(section);
    }
    let hearing: Vec<Rc<Section>> = sections.clone();
    cx.tables.on_news(Box::new(move |table, home| hearing.iter().for_each(|s| s.news(table, home))));
    PeersHandle { rt: cx.rt.clone(), sections, listeners: RefCell::new(listeners), teaching: Rc::default() }
}

impl Section {
    /// Entries of a table changed.
    fn news(&self, table: TableId, home: usize) {
        let Some(at) = self.tables.iter().position(|t| t.number == table) else { return };
        for peer in &self.peers {
            if let Some(session) = &*peer.session.borrow() {
                session.news(at, home);
            }
        }
    }

    fn local(&self) -> Option<&Rc<Peer>> {
        self.peers.iter().find(|p| p.local)
    }

    /// Ends all that connects, listens or talks.
    fn close(&self) {
        for task in self.tasks.borrow_mut().drain(..) {
            self.cx.rt.kill(task);
        }
        for peer in &self.peers {
            if let Some(session) = &*peer.session.borrow() {
                session.close();
            }
        }
    }
}

impl PeersHandle {
    /// A successor may have started: it is told everything. `done` is called when a section has nothing left to tell.
    pub fn soft_stop(&self, done: impl Fn() + 'static) {
        let done = Rc::new(done);
        self.stop();
        for section in &self.sections {
            if section.local().is_some_and(|p| p.address.is_some()) {
                self.teaching.set(self.teaching.get() + 1);
                let (section, teaching, done) = (section.clone(), self.teaching.clone(), done.clone());
                let rt = section.cx.rt.clone();
                rt.spawn(async move {
                    handshake::teach_successor(&section).await;
                    teaching.set(teaching.get() - 1);
                    done();
                });
            }
        }
    }

    /// A successor is still being told.
    pub fn is_busy(&self) -> bool {
        self.teaching.get() > 0
    }

    /// Ends everything now.
    pub fn stop(&self) {
        for section in &self.sections {
            section.stopping.set(true);
            section.close();
        }
        for listening in self.listeners.borrow_mut().drain(..) {
            self.rt.close_fd(listening.fd);
        }
    }
}
