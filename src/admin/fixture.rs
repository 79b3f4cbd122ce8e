//! For tests: the configuration of HAProxy's recorded transcripts, a board for it, and a process without a network.

use super::{
    runtime_api::{Change, Process, Sessions, command::table::Table},
    stats,
};
use crate::{
    base::{
        address::Address,
        clock::{Millis, Now},
        origin::Origin,
    },
    language::pattern::{Method, PatternSet, Registry},
    model::{
        backend::Balance,
        bind::Level,
        plan::{Plan, ProxyIndex, ServerIndex},
        proxy::{Mode, Proxy},
        server::{CheckSettings, Server},
        state::{
            board::Board,
            event::{Event, Load},
            health::{CheckReport, CheckStatus},
        },
        stick_table::{KeyType, data::Layout},
    },
};
use std::sync::Arc;
use std::time::Duration;

pub struct Fake {
    pub plan: Plan,
    pub board: Board,
    pub now: Now,
    pub log: Vec<String>,
    pub changes: Vec<Change>,
    pub patterns: Registry,
    /// Who looks things up in them.
    pub indexes: Vec<Arc<PatternSet>>,
    /// Stick tables: name, key, data.
    pub tables: Vec<(&'static str, KeyType, Layout)>,
}

fn proxy(name: &str, id: u32, front: bool, back: bool, mode: Mode) -> Proxy {
    let mut proxy = Proxy::new(name, Origin::none(), front, back);
    proxy.id = id;
    proxy.mode = mode;
    proxy
}

fn server(name: &str, id: u32, port: u16, checked: bool) -> Server {
    Server {
        name: name.into(),
        id,
        port,
        host: "127.0.0.1".into(),
        address: Some(Address::Ip(([127, 0, 0, 1], port).into())),
        check: checked.then(CheckSettings::default),
        ..Server::new(Origin::none())
    }
}

impl Fake {
    /// `web`, `be_web` with four servers, `be_down`, `b1`, `down`, `tcp1`, `stats`, sixteen seconds after the start.
    pub fn new() -> Fake {
        let mut plan = Plan::default();
        let mut web = proxy("web", 2, true, false, Mode::Http);
        web.frontend.default_backend = Some(1);
        let mut be_web = proxy("be_web", 3, false, true, Mode::Http);
        be_web.backend.balance = Balance::Roundrobin;
        be_web.backend.servers = vec![
            server("s1", 1, 18081, true),
            Server { weight: 50, ..server("s2", 2, 18082, true) },
            Server { backup: true, ..server("s3", 3, 18083, true) },
            Server { disabled: true, ..server("s4", 4, 18084, false) },
        ];
        let mut be_down = proxy("be_down", 4, false, true, Mode::Http);
        be_down.backend.servers = vec![server("d1", 1, 18085, true)];
        let mut b1 = proxy("b1", 5, false, true, Mode::Http);
        b1.backend.servers = vec![server("x1", 1, 18081, false)];
        let mut down = proxy("down", 6, true, false, Mode::Http);
        down.frontend.default_backend = Some(2);
        let mut tcp1 = proxy("tcp1", 7, true, true, Mode::Tcp);
        tcp1.frontend.default_backend = Some(5);
        tcp1.backend.balance = Balance::Source;
        tcp1.backend.servers = vec![server("t1", 1, 18081, true)];
        let stats = proxy("stats", 8, true, true, Mode::Http);
        plan.proxies = vec![web, be_web, be_down, b1, down, tcp1, stats];
        let board = Board::new(&plan, 2);
        use std::sync::atomic::Ordering::Relaxed;
        board.live.process.maxconn.store(1000, Relaxed);
        board.live.process.hard_maxconn.store(1000, Relaxed);
        let now = Now { mono: Millis(16_500), nanos: 16_500_000_000, wall_us: 1_795_345_450_400_000 };
        let mut fake = Fake {
            plan,
            board,
            now,
            log: Vec::new(),
            changes: Vec::new(),
            patterns: Registry::new(),
            indexes: Vec::new(),
            tables: Vec::new(),
        };
        let report =
            |status, code, info: &str| CheckReport { status, code, duration: Duration::ZERO, info: info.into() };
        let refused = "ECONNREFUSED returned by OS (Connection refused)";
        let live = &fake.board.live;
        let at = Millis(10);
        let mut events = Vec::new();
        for s in [0, 1, 0, 1] {
            events.extend(live.check_passed(1, s, report(CheckStatus::L7Ok, 200, ""), false, at));
        }
        events.extend(live.check_failed(1, 2, report(CheckStatus::L4Connection, 0, refused), at));
        events.extend(live.check_failed(2, 0, report(CheckStatus::L4Connection, 0, refused), at));
        for _ in 0..2 {
            events.extend(live.check_passed(5, 0, report(CheckStatus::L4Ok, 0, ""), false, at));
        }
        fake.events(events);
        let main = |line| Origin::new("main.cfg", line);
        let patterns = &fake.patterns;
        let read = |text: &'static str| move |_: &str| Ok(text.as_bytes().to_vec());
        let nets = read("10.0.0.0/8\n192.168.0.0/16\n");
        let nets = patterns.file("/etc/haproxy/nets.acl", false, &main(27), nets).unwrap();
        nets.used_by("acl at file 'main.cfg' line 27".into());
        let networks = nets.set(Method::Ip, false).unwrap();
        let hosts = read("foo.example b1\nbar.example b2\n");
        let hosts = patterns.file("/etc/haproxy/hosts.map", true, &main(28), hosts).unwrap();
        hosts.used_by("map at file 'main.cfg' line 28".into());
        fake.indexes = vec![networks, hosts.set(Method::Str, false).unwrap()];
        fake
    }
}

impl Process for Fake {
    fn plan(&self) -> &Plan {
        &self.plan
    }
    fn board(&self) -> &Board {
        &self.board
    }
    fn facts(&self) -> stats::Process<'_> {
        stats::Process {
            pid: 20328,
            node: "vm",
            started: Now { wall_us: 1_795_345_433_000_000, ..Now::default() },
            boot_ms: 336,
            ulimit_n: 2037,
            maxsock: 2037,
            warnings: 3,
            memmax_mb: 0,
            compression_bytes: 315_200,
            engine: "io_uring",
        }
    }
    fn now(&self) -> Now {
        self.now
    }
    fn stick_tables(&self) -> Vec<Table<'_>> {
        let numbered = (0..).zip(&self.tables);
        let view = numbered.map(|(number, (name, key, layout))| Table {
            number,
            name,
            key: *key,
            layout,
            size: 10_240,
            used: 1,
            server_key_address: false,
        });
        view.collect()
    }
    fn server_key(&self, word: u64, _: bool) -> Option<String> {
        (word > 0).then(|| format!("s{word}"))
    }
    fn patterns(&self) -> &Registry {
        &self.patterns
    }
    fn events(&mut self, events: Vec<Event>) {
        let line = |e: &Event| Some(format!("<{}>{}", 128 + e.level, e.text(Load::default())?));
        self.log.extend(events.iter().filter_map(line));
    }
    fn change(&mut self, change: Change) -> Result<(), String> {
        if matches!(change, Change::ShutdownSession(_)) {
            return Err("No such session (use 'show sess').".into());
        }
        self.changes.push(change);
        Ok(())
    }
    fn parse_server(&self, _: ProxyIndex, name: &str, words: &[&str]) -> Result<Server, String> {
        if words.contains(&"foo") {
            return Err("unknown keyword 'foo'; did you mean 'tfo' maybe ?".into());
        }
        Ok(server(name, 0, 18081, words.contains(&"check")))
    }
    fn sessions(&self, which: Sessions<'_>, _: &mut Vec<u8>) -> Option<()> {
        which.id.is_none().then_some(())
    }
    fn environment(&self) -> Vec<String> {
        vec!["HOME=/root".into(), "LANG=C".into()]
    }
    fn startup_logs(&self) -> String {
        String::new()
    }
    fn errors(&self, _: Option<ProxyIndex>, _: bool, _: bool, _: &mut Vec<u8>) -> u64 {
        0
    }
    fn cli_sockets(&self) -> Vec<(String, Level)> {
        vec![("unix@/etc/haproxy/admin.sock".into(), Level::Admin)]
    }
    fn removable(&self, _: ProxyIndex, _: ServerIndex) -> Result<(), String> {
        Ok(())
    }
}
