//! Lines of the runtime API, on a process that has a plan and a board and nothing else.

use ringway::{
    admin::{
        runtime_api::{
            Answer, Change, Process, Sessions, catalogue, command::table::Table, session::CliSession, session::Then,
            with_scene,
        },
        stats,
    },
    base::clock::{Millis, Now},
    language::pattern::Registry,
    model::{
        bind::Level,
        plan::{Plan, ProxyIndex, ServerIndex},
        server::Server,
        state::{board::Board, event::Event},
    },
};

struct Still {
    plan: Plan,
    board: Board,
}

impl Process for Still {
    fn plan(&self) -> &Plan {
        &self.plan
    }
    fn board(&self) -> &Board {
        &self.board
    }
    fn facts(&self) -> stats::Process<'_> {
        stats::Process {
            pid: 1,
            node: "box",
            started: Now::default(),
            boot_ms: 1,
            ulimit_n: 100,
            maxsock: 100,
            warnings: 0,
            memmax_mb: 0,
            compression_bytes: 0,
            engine: "none",
        }
    }
    fn now(&self) -> Now {
        Now { mono: Millis(5000), nanos: 5_000_000_000, wall_us: 1_795_345_450_400_000 }
    }
    fn stick_tables(&self) -> Vec<Table<'_>> {
        Vec::new()
    }
    fn server_key(&self, _: u64, _: bool) -> Option<String> {
        None
    }
    fn patterns(&self) -> &Registry {
        &self.plan.patterns
    }
    fn events(&mut self, _: Vec<Event>) {}
    fn change(&mut self, _: Change) -> Result<(), String> {
        Ok(())
    }
    fn parse_server(&self, _: ProxyIndex, _: &str, _: &[&str]) -> Result<Server, String> {
        Err("no".into())
    }
    fn sessions(&self, which: Sessions<'_>, _: &mut Vec<u8>) -> Option<()> {
        which.id.is_none().then_some(())
    }
    fn environment(&self) -> Vec<String> {
        Vec::new()
    }
    fn startup_logs(&self) -> String {
        String::new()
    }
    fn errors(&self, _: Option<ProxyIndex>, _: bool, _: bool, _: &mut Vec<u8>) -> u64 {
        0
    }
    fn cli_sockets(&self) -> Vec<(String, Level)> {
        Vec::new()
    }
    fn removable(&self, _: ProxyIndex, _: ServerIndex) -> Result<(), String> {
        Ok(())
    }
}

const PLAN: &[u8] = b"frontend f\n mode http\n bind 127.0.0.1:80\n acl a path -m beg /a /b\n http-request deny if a\n default_backend b\n\
                      backend b\n mode http\n server s 127.0.0.1:81 check\n server t 127.0.0.1:82 weight 3 backup\n";

/// A whole dialogue. Every line gets an answer or a request to its owner, none of which loops.
pub fn session(data: &[u8]) {
    let Some(plan) = super::configuration::load(PLAN).plan else { return };
    let board = Board::new(&plan, 1);
    let mut process = Still { plan, board };
    let mut session = CliSession::new(Level::Admin, catalogue::TABLES.to_vec());
    session.set_modes(|state| (state.interactive, state.expert, state.experimental) = (true, true, true));
    let mut out = Vec::new();
    for piece in data.chunks(97) {
        let mut then = session.feed(piece, &mut process, &mut out);
        for _ in 0..1000 {
            then = match then {
                Then::Read => break,
                Then::Close
                | Then::Wait { .. }
                | Then::Table(_)
                | Then::Events(_)
                | Then::Descriptors(_)
                | Then::Forward(_)
                | Then::Reload { .. } => return,
                Then::Flush | Then::Gather(_) => session.resume(&mut process, &mut out),
                Then::Report(mut report) => {
                    let level = session.state().level;
                    while with_scene(&process, level, |scene| report.write_slice(scene, 1, &mut out)) {}
                    session.answered(Answer::Empty, &mut process, &mut out)
                }
            };
            out.clear();
        }
    }
}

pub fn lines() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = catalogue::TABLES
        .iter()
        .flat_map(|t| t.iter())
        .map(|c| format!("{} b/s 1 2\n", c.words.join(" ")).into_bytes())
        .collect();
    seeds.push(b"show stat;show info json;set server b/s weight 50%\n".to_vec());
    seeds.push(b"add map #0 <<\n/c d\n/e f\n\nshow acl #0\n".to_vec());
    seeds.push(b"set server b/s addr 127.0.0.2 port 90\nset server b/s state drain;disable health b/s\n".to_vec());
    seeds
}
