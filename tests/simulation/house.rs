//! One seed's house: a configuration, workers, origins and clients on one virtual network, run to the end and then looked
//! over for what is left.

use crate::{client, h2, origin, tcp};
use ringway::base::address::Address;
use ringway::base::mailbox::{Post, office};
use ringway::config::diagnostic::Diagnostics;
use ringway::config::env::Environment;
use ringway::config::files::Source;
use ringway::config::load::{Options, load_sources};
use ringway::dataplane::capture::Captures;
use ringway::dataplane::events::Events;
use ringway::dataplane::tables::Asking;
use ringway::dataplane::tables::message::{Ask, Reply};
use ringway::dataplane::tables::registry::Registry;
use ringway::dataplane::worker::{About, Followed, Mail, Services, Shared, Worker};
use ringway::engine::Rt;
use ringway::engine::driver::WakeHandle;
use ringway::engine::driver::sim::random::Random;
use ringway::engine::driver::sim::{Faults, Leftovers, SimNet, Weather};
use ringway::engine::listener::Listener;
use ringway::engine::task::{sleep, until};
use ringway::language::vars::ProcStore;
use ringway::language::world::Counter;
use ringway::model::plan::Plan;
use ringway::model::state::board::Board;
use ringway::model::state::counters::{
    BackendCounter, FrontendCounter, ListenerCounter, ProcessCounter, ServerCounter,
};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// What clients and origins find out.
#[derive(Default)]
pub struct Book {
    wrongs: RefCell<Vec<String>>,
    ids: Cell<u64>,
    rude: RefCell<HashSet<u64>>,
    /// The workers were told to stop: from now on anything may end early.
    pub stopped: Cell<bool>,
    pub right: Cell<u64>,
    pub refused: Cell<u64>,
    pub cut: Cell<u64>,
}

impl Book {
    pub fn wrong(&self, text: String) {
        self.wrongs.borrow_mut().push(text);
    }

    pub fn wrongs(&self) -> String {
        self.wrongs.borrow().join("\n")
    }

    /// A number for a body; the next one is the other direction's.
    pub fn next_id(&self) -> u64 {
        self.ids.set(self.ids.get() + 2);
        self.ids.get()
    }

    pub fn note_rude(&self, id: u64) {
        self.rude.borrow_mut().insert(id);
    }

    pub fn is_rude(&self, id: u64) -> bool {
        self.rude.borrow().contains(&id)
    }
}

pub struct Front {
    pub port: u16,
    pub address: Address,
    /// The way to its servers suffers faults.
    pub faulty: bool,
    /// Clients may leave when they like.
    pub rude_allowed: bool,
}

impl Front {
    /// No request waits that long, not even for a slot of a busy server. Behind a faulty front that takes one connection
    /// at a time, four others may come first, HTTP/2 among them: each of up to twelve requests that fail after seconds.
    pub fn long_ms(&self) -> u64 {
        if self.faulty { 400_000 } else { 30_000 }
    }

    /// An end before its time is no surprise here.
    pub fn forgives(&self, book: &Book) -> bool {
        self.faulty || book.stopped.get()
    }
}

pub struct Origin {
    pub port: u16,
    pub tcp: bool,
    pub may_fail: bool,
    /// The `maxconn` of its server line; 0: none, or not to be held here.
    pub limit: u32,
    pub busy: Cell<u32>,
}

const FRONT_IP: &str = "192.0.2.1";
const ORIGIN_IP: &str = "198.51.100.1";
/// No client needs longer, in milliseconds of virtual time.
const PATIENCE_MS: u64 = 600_000;

pub fn at(ip: &str, port: u16) -> Address {
    Address::Ip(format!("{ip}:{port}").parse().unwrap())
}

struct Setting {
    text: String,
    queue_limits: [u32; 2],
}

fn setting(random: &mut Random) -> Setting {
    let reuse = random.pick(&["safe", "aggressive", "always", "never"]);
    let balance = random.pick(&["roundrobin", "leastconn", "random", "first", "source"]);
    let mode = random.pick(&["", "", "", "option http-server-close"]);
    let redispatch = random.pick(&["", "option redispatch"]);
    let pool = random.pick(&["", "pool-max-conn 1", "pool-purge-delay 500ms", "pool-max-conn 0"]);
    let retry =
        random.pick(&["", "retry-on all-retryable-errors", "retry-on conn-failure empty-response response-timeout"]);
    let limits = [random.between(1, 3) as u32, random.between(1, 4) as u32];
    let (a, b) = (limits[0], limits[1]);
    let few = random.pick(&["", "", "maxconn 1", "maxconn 2"]);
    let reused = random.pick(&["", "max-reuse 3", "max-reuse 0"]);
    let windows = [(); 2].map(|()| random.pick(&["1", "100", "16383", "16384", "16385", "65535", "65536", "200000"]));
    let [window, server_window] = windows;
    let rxbuf = random.pick(&["0", "16384", "40000", "100000", "1600k"]);
    // Clients have up to eight streams before they know what is allowed.
    let (streams, server_streams) = (random.pick(&["8", "9", "100"]), random.pick(&["1", "2", "3", "100"]));
    let frame = random.pick(&["16384", "16385", "100000"]);
    let log = random.pick(&["", "log 203.0.113.9:514 local0\n option httplog"]);
    let text = format!(
        "global
 tune.h2.fe.initial-window-size {window}
 tune.h2.be.initial-window-size {server_window}
 tune.h2.fe.rxbuf {rxbuf}
 tune.h2.be.rxbuf {rxbuf}
 tune.h2.fe.max-concurrent-streams {streams}
 tune.h2.be.max-concurrent-streams {server_streams}
 tune.h2.max-frame-size {frame}
defaults
 mode http
 timeout client 60s
 timeout server 60s
 timeout connect 5s
 timeout queue 500s
 http-reuse {reuse}
 balance {balance}
 {mode}
 {redispatch}
 {log}
 default-server {pool}
backend counts
 stick-table type string len 16 size 1k store http_req_cnt,conn_cur,conn_cnt
frontend clean
 http-request track-sc0 fe_name table counts
 bind {FRONT_IP}:80
 {few}
 default_backend clean
backend clean
 server c1 {ORIGIN_IP}:8001
 server c2 {ORIGIN_IP}:8002
frontend faulty
 http-request track-sc0 fe_name table counts
 bind {FRONT_IP}:81
 {few}
 timeout client 3s
 default_backend faulty
backend faulty
 {retry}
 timeout server 2s
 timeout connect 400ms
 server f1 {ORIGIN_IP}:8003
 server f2 {ORIGIN_IP}:8004
 server f3 {ORIGIN_IP}:8009
frontend chain
 http-request track-sc0 fe_name table counts
 bind {FRONT_IP}:86
 default_backend chain
backend chain
 server h2 {FRONT_IP}:87 proto h2 {reused}
frontend inner
 http-request track-sc0 fe_name table counts
 bind {FRONT_IP}:87
 default_backend clean
frontend queue
 http-request track-sc0 fe_name table counts
 bind {FRONT_IP}:82
 default_backend queue
backend queue
 server q1 {ORIGIN_IP}:8005 maxconn {a}
 server q2 {ORIGIN_IP}:8006 maxconn {b}
frontend rush
 http-request track-sc0 fe_name table counts
 bind {FRONT_IP}:85
 timeout client 3s
 default_backend rush
backend rush
 timeout queue 300ms
 timeout server 1s
 timeout connect 400ms
 server r1 {ORIGIN_IP}:8010 maxconn {a}
 server r2 {ORIGIN_IP}:8011 maxconn {b} maxqueue 2
listen stream
 mode tcp
 bind {FRONT_IP}:83
 balance roundrobin
 server t1 {ORIGIN_IP}:8007
listen broken
 mode tcp
 bind {FRONT_IP}:84
 timeout client 3s
 timeout server 3s
 balance leastconn
 server t2 {ORIGIN_IP}:8008 maxconn 2
"
    );
    Setting { text, queue_limits: limits }
}

fn plan(text: &str) -> Plan {
    let sources = vec![Source { name: "sim.cfg".into(), content: text.as_bytes().to_vec() }];
    let outcome = load_sources(sources, &Options::default(), &mut Environment::default(), Diagnostics::new(false));
    outcome.plan.unwrap_or_else(|| panic!("{:?}", outcome.diagnostics))
}

pub struct House {
    pub net: SimNet,
    pub workers: Vec<Rc<Worker>>,
    rts: Vec<Rt>,
    /// The control thread's.
    post: Rc<RefCell<Post<Mail>>>,
    pub clients: Rt,
    pub origins: Rt,
    plan: Arc<Plan>,
    board: Arc<Board>,
}

/// Mostly few; each 16th seed has many, up to 64, and `SIM_WORKERS` says another number for all.
pub fn workers(seed: u64, random: &mut Random) -> usize {
    let few = random.between(1, 8) as usize;
    match std::env::var("SIM_WORKERS").ok().and_then(|v| v.parse().ok()) {
        Some(0) => random.between(2, 64) as usize,
        Some(number) => number,
        None if seed % 16 == 15 => random.between(9, 64) as usize,
        None => few,
    }
}

pub fn run(seed: u64) {
    let mut random = Random::new(seed ^ 0xA11CE);
    let setting = setting(&mut random);
    let house = build(seed, Weather::of(seed), workers(seed, &mut random), &setting.text);
    let book = Rc::new(Book::default());
    open_origins(&house, &setting, &book, &mut random);
    send_clients(&house, &book, &mut random);
    let start = house.net.now().mono;
    if random.chance(150) {
        stop_after(&house, &book, random.below(400));
    }
    run_to_end(&house);
    let wrongs = book.wrongs();
    assert!(wrongs.is_empty(), "seed {seed}:\n{wrongs}\n{}", setting.text);
    let sessions: Vec<(&str, u64)> = house
        .plan
        .proxies
        .iter()
        .enumerate()
        .map(|(i, p)| (p.name.as_str(), house.board.frontend(i, FrontendCounter::Scur)))
        .filter(|s| s.1 > 0)
        .collect();
    let waiting = house.clients.in_use().2;
    assert!(waiting == 0, "seed {seed}: {waiting} clients wait in vain; sessions: {sessions:?}\n{}", setting.text);
    if !book.stopped.get() {
        rest(&house, 100);
        sums_agree(seed, &house);
    }
    rest(&house, 70_000);
    leave(seed, &house, book.stopped.get());
    if std::env::var_os("SIM_SEED").is_some() {
        let took = house.net.now().mono.since(start);
        eprintln!(
            "seed {seed}: right {}, refused {}, cut {}; {took} ms",
            book.right.get(),
            book.refused.get(),
            book.cut.get()
        );
    }
}

/// Each request that a frontend has counted was counted in the table, whichever worker saw it.
fn sums_agree(seed: u64, house: &House) {
    let tables = &house.workers[0].tables.registry;
    let table = tables.named("counts").expect("the table");
    const TRACKING: [&str; 6] = ["clean", "faulty", "chain", "inner", "queue", "rush"];
    for (proxy, p) in house
        .plan
        .proxies
        .iter()
        .enumerate()
        .filter(|(_, p)| !p.frontend.binds.is_empty() && TRACKING.contains(&&p.name[..]))
    {
        let hash = tables.hash(table, p.name.as_bytes());
        let home = &house.workers[tables.home(hash)].tables;
        let counted = |counter| match home.ask(table, p.name.as_bytes(), hash, Ask::Read(counter)) {
            Asking::Now(Reply::Value(value)) => value.unwrap_or(0) as u64,
            _ => panic!("seed {seed}: the home answers at once"),
        };
        let requests = house.board.frontend(proxy, FrontendCounter::ReqTot);
        let (seen, name) = (counted(Counter::HttpReqCnt), &p.name);
        // A request whose client leaves while the rule waits for the home is not tracked.
        let rude = ["clean", "faulty", "rush"].contains(&&name[..]);
        assert!(seen == requests || rude && seen < requests, "seed {seed}: {seen} of {requests} requests of {name}");
    }
}

/// Tells all workers to stop softly, in a moment.
fn stop_after(house: &House, book: &Rc<Book>, ms: u64) {
    let (rt, book, post) = (house.clients.clone(), book.clone(), house.post.clone());
    let shared = house.workers[0].shared.clone();
    house.clients.spawn(async move {
        sleep(&rt, ms).await;
        book.stopped.set(true);
        tell_all(&rt, &shared, &post, || Mail::SoftStop(Followed::ByNobody));
    });
}

/// As the control thread does it.
fn tell_all(rt: &Rt, shared: &Shared, post: &RefCell<Post<Mail>>, mail: impl Fn() -> Mail) {
    for (index, wake) in shared.wakes.iter().enumerate().take(shared.board.workers()) {
        post.borrow_mut().send(index, mail());
        rt.wake_peer(WakeHandle(wake.load(Ordering::Relaxed)));
    }
}

impl House {
    pub fn tell_all(&self, mail: impl Fn() -> Mail) {
        tell_all(&self.clients, &self.workers[0].shared, &self.post, mail);
    }
}

/// Lets time pass with nobody there.
pub fn rest(house: &House, ms: u64) {
    let rt = house.clients.clone();
    let timer = house.clients.spawn({
        let rt = rt.clone();
        async move { sleep(&rt, ms).await }
    });
    let _ = timer;
    house.net.run_all(&house.rts, || rt.in_use().2 == 0).unwrap();
}

/// Lets time pass, whoever is there.
pub fn pass(house: &House, ms: u64) {
    let rt = house.origins.clone();
    let end = house.net.now().mono.plus(ms);
    house.origins.spawn(async move { until(&rt, end).await });
    house.net.run_all(&house.rts, || house.net.now().mono >= end).unwrap();
}

/// Workers for a configuration, and reactors for clients and origins.
pub fn build(seed: u64, weather: Weather, count: usize, text: &str) -> House {
    let net = SimNet::new(seed, weather);
    let plan = Arc::new(plan(text));
    let board = Arc::new(Board::new(&plan, count));
    let shared = Arc::new(Shared {
        outside_logs: Vec::new(),
        events: Events::new(&plan, count + 1),
        tables: Arc::new(Registry::new(&plan, count, seed)),
        plan: plan.clone(),
        board: board.clone(),
        proc_vars: Arc::new(ProcStore::default()),
        program: "ringway".into(),
        hostname: "house".into(),
        pid: 1,
        utc_offset: 0,
        started: net.now(),
        wakes: (0..=count).map(|_| AtomicI32::new(-1)).collect(),
        stream_ids: AtomicU64::new(1),
        about: About::default(),
        captures: Captures::new(plan.proxies.len()),
        services: Services { service: |_, _, _, _| false, observe: |_, _, _, _| {}, stats: |_, _, _| {} },
        compression_memory: AtomicU64::new(0),
    });
    let mut posts = office(count + 1, 16);
    let post = Rc::new(RefCell::new(posts.pop().unwrap()));
    let mut workers = Vec::new();
    let mut rts = Vec::new();
    for (index, post) in posts.into_iter().enumerate() {
        let rt = net.reactor();
        let mut listeners = Vec::new();
        for (proxy, p) in plan.proxies.iter().enumerate() {
            for (bind, b) in p.frontend.binds.iter().enumerate() {
                listeners.extend(b.addresses.iter().map(|a| (proxy, bind, net.listen(&rt, a))));
            }
        }
        let worker = Worker::new(rt.clone(), index, shared.clone(), post);
        worker.start(listeners);
        workers.push(worker);
        rts.push(rt);
    }
    let (clients, origins) = (net.reactor(), net.reactor());
    rts.extend([clients.clone(), origins.clone()]);
    House { net, workers, rts, post, clients, origins, plan, board }
}

fn open_origins(house: &House, setting: &Setting, book: &Rc<Book>, random: &mut Random) {
    let [a, b] = setting.queue_limits;
    // Port, TCP, suffers faults, limit. Nobody listens at 8009.
    let all = [
        (8001, false, false, 0),
        (8002, false, false, 0),
        (8003, false, true, 0),
        (8004, false, true, 0),
        (8005, false, false, a),
        (8006, false, false, b),
        (8007, true, false, 0),
        (8008, true, true, 0),
        (8010, false, true, 0),
        (8011, false, true, 0),
    ];
    for (port, tcp, may_fail, limit) in all {
        open_origin(house, port, tcp, may_fail, limit, book, random);
    }
}

pub fn open_origin(
    house: &House,
    port: u16,
    tcp: bool,
    may_fail: bool,
    limit: u32,
    book: &Rc<Book>,
    random: &mut Random,
) {
    let address = at(ORIGIN_IP, port);
    if may_fail {
        house.net.faults(&address, Faults { refuse: 100, hang: 50, reset: 200 });
    }
    let listener = Listener::new(&house.origins, house.net.listen(&house.origins, &address));
    let origin = Rc::new(Origin { port, tcp, may_fail, limit, busy: Cell::new(0) });
    let r = Random::new(random.bits());
    house.origins.spawn(origin::serve(house.origins.clone(), listener, origin, book.clone(), r));
}

/// Runs until all clients have left.
pub fn run_to_end(house: &House) {
    let start = house.net.now().mono;
    let ended = || house.clients.in_use().2 == 0 || house.net.now().mono.since(start) > PATIENCE_MS;
    house.net.run_all(&house.rts, ended).unwrap();
}

fn send_clients(house: &House, book: &Rc<Book>, random: &mut Random) {
    for (port, faulty, rude_allowed) in [
        (80, false, true),
        (81, true, true),
        (82, false, false),
        (85, true, true),
        (86, false, false),
        (83, false, true),
        (84, true, true),
    ] {
        if faulty && random.chance(500) {
            house.net.faults(&at(FRONT_IP, port), Faults { reset: 150, ..Faults::default() });
        }
        let front = Rc::new(Front { port, address: at(FRONT_IP, port), faulty, rude_allowed });
        for _ in 0..random.between(1, 5) {
            let (rt, r) = (house.clients.clone(), Random::new(random.bits()));
            let count = random.between(1, 6);
            if matches!(port, 83 | 84) {
                house.clients.spawn(tcp::client(rt, front.clone(), book.clone(), r, count.min(3)));
            } else if random.chance(400) {
                house.clients.spawn(h2::run(rt, front.clone(), book.clone(), r, count * 2));
            } else {
                house.clients.spawn(client::run(rt, front.clone(), book.clone(), r, count));
            }
        }
    }
}

/// Looks over the house after all have left.
pub fn leave(seed: u64, house: &House, stopped: bool) {
    let board = &house.board;
    for (proxy, p) in house.plan.proxies.iter().enumerate() {
        let name = &p.name;
        assert_eq!(board.frontend(proxy, FrontendCounter::Scur), 0, "seed {seed}: frontend {name} has sessions");
        for bind in 0..p.frontend.binds.len() {
            assert_eq!(board.listener(proxy, bind, ListenerCounter::Scur), 0, "seed {seed}: listener of {name}");
        }
        assert_eq!(board.backend(proxy, BackendCounter::Scur), 0, "seed {seed}: backend {name} has sessions");
        assert_eq!(board.backend(proxy, BackendCounter::Qcur), 0, "seed {seed}: backend {name} has a queue");
        for server in 0..p.backend.servers.len() {
            for id in [
                ServerCounter::Scur,
                ServerCounter::Qcur,
                ServerCounter::SrvIcur,
                ServerCounter::IdleConnCur,
                ServerCounter::SafeConnCur,
                ServerCounter::UsedConnCur,
            ] {
                assert_eq!(board.server(proxy, server, id), 0, "seed {seed}: {name}/{server}: {id:?}");
            }
            let served = board.live.server(proxy, server).map_or(0, |s| s.served());
            assert_eq!(served, 0, "seed {seed}: {name}/{server} has slots taken");
        }
    }
    for id in [ProcessCounter::CurrConns, ProcessCounter::CurrStreams] {
        assert_eq!(board.process(id), 0, "seed {seed}: {id:?}");
    }
    // Once the workers were told to stop, their listeners are closed.
    let binds = house.plan.proxies.iter().flat_map(|p| &p.frontend.binds);
    let listeners: usize = if stopped { 0 } else { binds.map(|b| b.addresses.len()).sum() };
    for w in &house.workers {
        assert_eq!(w.is_finished(), stopped, "seed {seed}: worker {}", w.index);
        let (conns, operations, tasks) = w.rt.in_use();
        assert_eq!((conns, operations), (0, 0), "seed {seed}: worker {}", w.index);
        let tables = usize::from(!w.shared.tables.is_empty());
        assert_eq!(tasks, 2 + tables + listeners, "seed {seed}: tasks of worker {}", w.index);
        let left = house.net.leftovers(&w.rt);
        assert_eq!(left.buffers, 0, "seed {seed}: worker {}", w.index);
        // A log socket may stay.
        assert!(left.descriptors <= listeners + 1, "seed {seed}: {left:?} on worker {}", w.index);
        assert!(left.operations <= listeners, "seed {seed}: {left:?} on worker {}", w.index);
        assert_eq!(w.sessions.get(), 0);
        if !stopped {
            assert_eq!(
                w.tables.held(),
                (false, 0, 0),
                "seed {seed}: copies, questions or leases of worker {}",
                w.index
            );
        }
    }
    assert_eq!(house.origins.in_use().0, 0, "seed {seed}: origins have connections");
    assert_eq!(house.net.leftovers(&house.clients), Leftovers { descriptors: 0, operations: 0, buffers: 0 });
    for rt in &house.rts {
        rt.shutdown();
        assert_eq!(rt.in_use(), (0, 0, 0));
    }
    assert_eq!(house.net.violations(), Vec::<String>::new(), "seed {seed}");
}
