//! The process as one connection to the runtime API sees and changes it.

use super::super::supervise::Control;
use super::super::{about, process_vars, services};
use super::gather::News;
use crate::admin::runtime_api::command::profiling::Profiling;
use crate::admin::runtime_api::command::table::Table;
use crate::admin::runtime_api::{Change, Need, Process, Sessions};
use crate::admin::stats;
use crate::base::clock::{Millis, Now};
use crate::config::keyword::{global::variables, server::dynamic};
use crate::config::tls::dynamic_server;
use crate::dataplane::persist::server_of_word;
use crate::dataplane::registry::Listed;
use crate::dataplane::stream::termination::Failure;
use crate::dataplane::worker::Mail;
use crate::engine::profile::TaskReport;
use crate::language::logformat::write_log_date;
use crate::language::pattern::Registry;
use crate::language::sample::Sample;
use crate::language::scratch::Pool;
use crate::language::vars::{Scope, VarName};
use crate::model::bind::Level;
use crate::model::guid::Guids;
use crate::model::plan::{Plan, ProxyIndex, ServerIndex};
use crate::model::proxy::Mode;
use crate::model::ring::RingIndex;
use crate::model::server::Server;
use crate::model::state::board::Board;
use crate::model::state::counters::ServerCounter;
use crate::model::state::event::Event;
use std::io::Write;
use std::rc::Rc;

pub struct Seat<'c> {
    control: &'c Rc<Control>,
    timeout_ms: u64,
    /// What was gathered for the command that runs next.
    counters: bool,
    streams: Option<Vec<(usize, Listed)>>,
    tasks: Option<Vec<TaskReport>>,
}

impl<'c> Seat<'c> {
    pub fn new(control: &'c Rc<Control>) -> Seat<'c> {
        let timeout_ms = control.shared.plan.global.stats_timeout_ms;
        Seat { control, timeout_ms, counters: false, streams: None, tasks: None }
    }

    pub fn timeout(&self) -> u64 {
        self.timeout_ms
    }

    pub fn deadline(&self) -> Millis {
        self.control.rt.now().mono.plus(self.timeout_ms)
    }

    pub fn take(&mut self, need: Need, news: News) {
        match need {
            Need::Counters => self.counters = true,
            Need::Sessions => self.streams = Some(news.streams),
            Need::Tasks => {
                let own = std::iter::once(self.control.rt.task_report());
                self.tasks = Some(news.tasks.into_iter().chain(own).collect());
            }
        }
    }

    /// The next command asks anew.
    pub fn forget(&mut self) {
        (self.counters, self.streams, self.tasks) = (false, None, None);
    }

    fn server_name(&self, place: Option<(ProxyIndex, ServerIndex)>) -> Option<(String, u32)> {
        let (proxy, server) = place?;
        let live = self.board().live.server(proxy, server)?;
        Some((live.settings.name.clone(), live.settings.id))
    }
}

/// A value as `get var` tells it: bytes that do not print become dots.
fn told(sample: &Sample<'_>) -> (&'static str, String) {
    let printable = |bytes: &[u8]| -> String {
        let shown = |b: &u8| if matches!(b, 0x20..=0x7e) { *b as char } else { '.' };
        bytes.iter().map(shown).collect()
    };
    match sample {
        Sample::Bool(b) => ("bool", u8::from(*b).to_string()),
        Sample::Sint(n) => ("sint", n.to_string()),
        Sample::Ip(ip @ std::net::IpAddr::V4(_)) => ("ipv4", ip.to_string()),
        Sample::Ip(ip) => ("ipv6", ip.to_string()),
        Sample::Str(_) => ("str", printable(sample.bytes().unwrap_or_default())),
        Sample::Bin(_) => ("bin", printable(sample.bytes().unwrap_or_default())),
        Sample::Meth(_) => ("meth", printable(sample.bytes().unwrap_or_default())),
    }
}

/// A stream's id as `show sess` writes it.
fn handle(stream: &Listed) -> String {
    format!("{:#x}", stream.id)
}

impl Seat<'_> {
    fn line(&self, s: &Listed, out: &mut Vec<u8>) {
        let plan = self.plan();
        let age = s.age_ms / 1000;
        let source = s.source.map_or_else(|| format!("unix:{}", s.bind + 1), |a| a.to_string());
        let proto = match s.source {
            Some(a) if a.is_ipv6() => "tcpv6",
            Some(_) => "tcpv4",
            None => "unix_stream",
        };
        let backend = s.backend.map_or("<NONE>", |b| plan.proxies[b].name.as_str());
        let server = self.server_name(s.server).map_or("<none>".to_owned(), |(name, _)| name);
        // Writing to a Vec cannot fail.
        let _ = writeln!(
            out,
            "{}: proto={proto} src={source} fe={} be={backend} srv={server} ts=00 epoch=0 age={age}s calls=1 rate=0 cpu=0 \
             lat=0",
            handle(s),
            plan.proxies[s.frontend].name,
        );
    }

    fn full(&self, worker: usize, s: &Listed, out: &mut Vec<u8>) {
        let plan = self.plan();
        let mode = |p: usize| if plan.proxies[p].mode == Mode::Http { "http" } else { "tcp" };
        let age = s.age_ms / 1000;
        let source = s.source.map_or_else(|| format!("unix:{}", s.bind + 1), |a| a.to_string());
        let proto = if s.source.is_some() { "tcp" } else { "unix_stream" };
        let frontend = &plan.proxies[s.frontend];
        let bind = frontend.frontend.binds.get(s.bind);
        let listener = bind.and_then(|b| b.name.clone()).unwrap_or_else(|| "?".into());
        let address = bind.and_then(|b| b.addresses.first()).map_or("?".into(), |a| a.to_string());
        let mut date = Vec::new();
        write_log_date(s.start_us, self.control.shared.utc_offset, &mut date);
        let date = String::from_utf8_lossy(&date).into_owned();
        let _ = writeln!(out, "{}: [{date}] id={} proto={proto} source={source}", handle(s), s.id);
        let _ = writeln!(
            out,
            "  frontend={} (id={} mode={}), listener={listener} (id={}) addr={address}",
            frontend.name,
            frontend.id,
            mode(s.frontend),
            s.bind + 1
        );
        let _ = match s.backend {
            Some(b) => {
                writeln!(out, "  backend={} (id={} mode={})", plan.proxies[b].name, plan.proxies[b].id, mode(b))
            }
            None => writeln!(out, "  backend=<NONE> (id=-1 mode=-)"),
        };
        let _ = match self.server_name(s.server) {
            Some((name, id)) => writeln!(out, "  server={name} (id={id})"),
            None => writeln!(out, "  server=<NONE> (id=-1)"),
        };
        let _ = writeln!(out, "  task={} (tid={worker} age={age}s)", handle(s));
    }
}

impl Process for Seat<'_> {
    fn profile_tasks(&mut self, on: bool) {
        let control = self.control;
        let before = control.profiling.get();
        let now_ns = control.rt.fresh_now().nanos;
        control.profiling.set(match on {
            true => Profiling { is_on: true, since_ns: now_ns, until_ns: 0 },
            false if before.is_on => Profiling { is_on: false, until_ns: now_ns, ..before },
            false => before,
        });
        control.rt.profile_tasks(on);
        control.tell_all(|| Mail::ProfileTasks(on));
    }

    fn about(&self) -> String {
        let shared = &self.control.shared;
        about::text(self.control.launch.boot, &shared.plan, &shared.about.engine_choice, shared.board.workers())
    }

    fn profiling(&self) -> Profiling {
        self.control.profiling.get()
    }

    fn task_reports(&self) -> &[TaskReport] {
        self.tasks.as_deref().unwrap_or_default()
    }

    fn dropped_events(&self, ring: RingIndex) -> u64 {
        self.control.rings.dropped(ring)
    }

    fn plan(&self) -> &Plan {
        &self.control.shared.plan
    }

    fn board(&self) -> &Board {
        &self.control.shared.board
    }

    fn facts(&self) -> stats::Process<'_> {
        services::facts(&self.control.shared)
    }

    fn now(&self) -> Now {
        self.control.rt.now()
    }

    fn gathered(&self, need: Need) -> bool {
        match need {
            Need::Counters => self.counters,
            Need::Sessions => self.streams.is_some(),
            Need::Tasks => self.tasks.is_some(),
        }
    }

    fn stick_tables(&self) -> Vec<Table<'_>> {
        super::table::all(&self.control.tables.registry)
    }

    fn server_key(&self, word: u64, address: bool) -> Option<String> {
        let (proxy, server) = server_of_word(word)?;
        let live = self.board().live.server(proxy, server)?;
        if address { live.address().map(|a| a.to_string()) } else { Some(live.settings.name.clone()) }
    }

    fn rename_server(
        &mut self,
        server: (ProxyIndex, ServerIndex),
        name: &str,
        by: &str,
    ) -> Option<Result<String, String>> {
        self.control.resolvers.borrow().as_ref()?.rename(server, name, by)
    }

    fn peers(&self, section: &str, dict: bool, out: &mut String) -> bool {
        let shared = &self.control.shared;
        let peers = self.control.peers.borrow();
        let shown = peers.as_ref().map(|p| p.show(section, dict, shared.utc_offset, out).is_ok());
        shown.unwrap_or(section.is_empty())
    }

    fn patterns(&self) -> &Registry {
        &self.control.shared.plan.patterns
    }

    fn events(&mut self, events: Vec<Event>) {
        self.control.happened(events);
    }

    fn change(&mut self, change: Change) -> Result<(), String> {
        let control = self.control;
        match change {
            Change::PauseFrontend(proxy) => control.tell_all(|| Mail::FrontendPaused(proxy, true)),
            Change::ResumeFrontend(proxy) => control.tell_all(|| Mail::FrontendPaused(proxy, false)),
            Change::StopFrontend(proxy) => {
                control.launch.exposed.borrow_mut().retain(|e| e.proxy != proxy);
                control.tell_all(|| Mail::FrontendStopped(proxy));
            }
            Change::ShutdownSession(id) => {
                let streams = self.streams.as_deref().unwrap_or_default();
                match streams.iter().find(|(_, s)| handle(s) == id) {
                    Some((worker, s)) => control.tell(*worker, Mail::ShutdownStream(s.id)),
                    None => return Err("No such session (use 'show sess').".into()),
                }
            }
            Change::ShutdownSessions(proxy, server) => {
                control.tell_all(|| Mail::ShutdownSessions(proxy, server, Failure::Killed));
            }
            Change::ChecksChanged(..) => control.checks_changed(),
            Change::ServerAdded(proxy, _) => {
                control.checks_changed();
                control.tell_all(|| Mail::ServersChanged(proxy));
            }
            Change::ServerDeleted(proxy, _) => {
                control.checks_changed();
                control.tell_all(|| Mail::ServersChanged(proxy));
            }
            Change::LimitsChanged => control.tell_all(|| Mail::LimitsChanged),
            Change::SessionTimeout(ms) => self.timeout_ms = ms,
        }
        Ok(())
    }

    fn parse_server(&self, proxy: ProxyIndex, name: &str, words: &[&str]) -> Result<Server, String> {
        let servers = self.board().live.backend(proxy).servers();
        let taken = servers.map(|(_, s)| (s.settings.id, s.settings.name.clone(), s.settings.origin.clone()));
        let mut guids = Guids::of_plan(self.plan());
        for (index, backend) in self.plan().proxies.iter().enumerate() {
            for (_, s) in self.board().live.backend(index).servers() {
                if let Some(guid) = &s.settings.guid {
                    let _ = guids.take(guid, format!("server {}/{}", backend.name, s.settings.name));
                }
            }
        }
        let mut server = dynamic::read(self.plan(), proxy, name, words, taken, &mut guids)?;
        dynamic_server(&mut server, self.plan())?;
        Ok(server)
    }

    fn server_options(&self) -> Vec<&'static str> {
        dynamic::served().collect()
    }

    fn sessions(&self, which: Sessions<'_>, out: &mut Vec<u8>) -> Option<()> {
        let streams = self.streams.as_deref().unwrap_or_default();
        let mut found = false;
        let wanted = |s: &Listed| {
            which.id.is_none_or(|id| handle(s) == id)
                && s.age_ms / 1000 >= which.older_s
                && which.frontend.is_none_or(|f| s.frontend == f)
                && which.backend.is_none_or(|b| s.backend == Some(b))
                && which.server.is_none_or(|server| s.server == Some(server))
        };
        for (worker, stream) in streams.iter().filter(|(_, s)| wanted(s)) {
            found = true;
            match which.in_full {
                true => self.full(*worker, stream, out),
                false => self.line(stream, out),
            }
        }
        (found || which.id.is_none()).then_some(())
    }

    fn variable(&self, name: &str) -> Option<(&'static str, String)> {
        let name = VarName::parse(name).ok().filter(|n| n.scope == Scope::Proc)?;
        let pool = Pool::new();
        let sample = self.control.shared.proc_vars.get(name.id, &pool)?;
        Some(told(&sample))
    }

    fn set_variable(&mut self, name: &str, format: bool, value: &str) -> Result<(), String> {
        let shared = &self.control.shared;
        let var = variables::at_run_time(name, format, value, &shared.plan)?;
        process_vars::set_again(&shared.proc_vars, &var, &shared.plan.global, &shared.hostname, self.now());
        Ok(())
    }

    fn maps(&self) -> Option<String> {
        std::fs::read_to_string("/proc/self/maps").ok()
    }

    fn environment(&self) -> Vec<String> {
        self.control.launch.environment.clone()
    }

    fn startup_logs(&self) -> String {
        self.control.launch.logs.clone()
    }

    fn errors(&self, proxy: Option<ProxyIndex>, request: bool, response: bool, out: &mut Vec<u8>) -> u64 {
        let shared = &self.control.shared;
        shared.captures.write(&shared.plan, &shared.board, proxy, (request, response), shared.utc_offset, out)
    }

    fn cli_sockets(&self) -> Vec<(String, Level)> {
        let sockets = self.plan().global.stats_sockets.iter();
        let all = sockets.flat_map(|b| b.addresses.iter().map(|a| (a.to_string(), b.level)));
        all.map(|(a, level)| (if a.starts_with('/') { format!("unix@{a}") } else { a }, level)).collect()
    }

    fn removable(&self, proxy: ProxyIndex, server: ServerIndex) -> Result<(), String> {
        let board = self.board();
        let read = |id| board.server(proxy, server, id);
        if read(ServerCounter::Scur) > 0 || read(ServerCounter::Qcur) > 0 || read(ServerCounter::UsedConnCur) > 0 {
            return Err("Server still has connections attached to it, cannot remove it.".into());
        }
        Ok(())
    }
}
