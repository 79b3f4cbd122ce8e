//! The runtime API (management guide 9.3) without its sockets: [`session::CliSession`] takes bytes and gives answers,
//! [`catalogue`] says which commands there are and who may use them, [`command`] holds what they do. The process is
//! reached through [`Process`].

pub mod catalogue;
pub mod command;
pub mod session;
#[cfg(test)]
mod tests;

use crate::{
    admin::stats::{self, Scene, report::Report},
    base::clock::Now,
    engine::profile::TaskReport,
    language::pattern::Registry,
    model::{
        bind::Level,
        plan::{Plan, ProxyIndex, ServerIndex},
        ring::RingIndex,
        server::Server,
        state::{board::Board, event::Event},
    },
};

/// The process as commands see it; the control plane implements it.
pub trait Process {
    fn plan(&self) -> &Plan;
    fn board(&self) -> &Board;
    fn facts(&self) -> stats::Process<'_>;
    fn now(&self) -> Now;

    /// Whether what a command needs from the workers is at hand; where not, the session asks its owner to gather it.
    fn gathered(&self, _need: Need) -> bool {
        true
    }

    /// Stick tables, in the order of `show table`.
    fn stick_tables(&self) -> Vec<command::table::Table<'_>>;
    /// What tasks cost is measured from now on, or no longer.
    fn profile_tasks(&mut self, _on: bool) {}
    fn profiling(&self) -> command::profiling::Profiling {
        Default::default()
    }
    /// The tasks of each thread.
    fn task_reports(&self) -> &[TaskReport] {
        &[]
    }

    /// Events of a ring that were lost so far.
    fn dropped_events(&self, _ring: RingIndex) -> u64 {
        0
    }

    /// The server that an entry's word means, by name or by address; `None`: none.
    fn server_key(&self, word: u64, address: bool) -> Option<String>;

    /// `set server … fqdn`: the sentence for the answer. `None`: nothing resolves this server's name.
    fn rename_server(
        &mut self,
        _server: (ProxyIndex, ServerIndex),
        _name: &str,
        _by: &str,
    ) -> Option<Result<String, String>> {
        None
    }

    /// `show peers`: the listing of one section, or of all when none is named. False: there is no such section.
    fn peers(&self, section: &str, _dict: bool, _out: &mut String) -> bool {
        section.is_empty()
    }

    /// Maps and patterns of the plan in force.
    fn patterns(&self) -> &Registry;

    /// Logs what changed and lets the data plane act on it (queues, `on-marked-down`).
    fn events(&mut self, events: Vec<Event>);
    /// Seconds since this process started, or that worker of a master.
    fn uptime_s(&self, _pid: u32) -> u64 {
        self.now().mono.since(self.facts().started.mono) / 1000
    }
    /// The worker that a master's `@` prefix means: `1`, `!1234`; 0 is the master itself. `None`: there is none.
    fn worker(&self, _prefix: &str) -> Option<u32> {
        None
    }
    /// A master as its prompt names it.
    fn name(&self) -> String {
        "master".into()
    }
    /// `show proc` of a master.
    fn processes(&self, _debug: bool) -> String {
        String::new()
    }

    /// Makes a change that live state alone does not make. The error is the answer's text.
    fn change(&mut self, change: Change) -> Result<(), String>;

    /// `add server`: the words after the name, read as a `server` line of this backend.
    fn parse_server(&self, proxy: ProxyIndex, name: &str, words: &[&str]) -> Result<Server, String>;
    /// What such a line may hold.
    fn server_options(&self) -> Vec<&'static str> {
        Vec::new()
    }
    /// `show sess`: HAProxy's lines for the listing, one session or all in full. `None`: no such session.
    fn sessions(&self, which: Sessions<'_>, out: &mut Vec<u8>) -> Option<()>;
    /// A variable of the process: its type's name and its value as text.
    fn variable(&self, _name: &str) -> Option<(&'static str, String)> {
        None
    }
    /// `set var`: an expression, or a format. The error is the answer's text.
    fn set_variable(&mut self, _name: &str, _format: bool, _value: &str) -> Result<(), String> {
        Err("Variables cannot be set here.".into())
    }
    /// The process's `/proc/self/maps`; `None`: it cannot be read, as in a chroot.
    fn maps(&self) -> Option<String> {
        None
    }
    /// `NAME=value` lines.
    fn environment(&self) -> Vec<String>;
    fn startup_logs(&self) -> String;
    /// `show dev`.
    fn about(&self) -> String {
        String::new()
    }
    /// `show errors`: the captured messages after the head line.
    fn errors(&self, proxy: Option<ProxyIndex>, request: bool, response: bool, out: &mut Vec<u8>) -> u64;
    /// Address, level and processes of each stats socket.
    fn cli_sockets(&self) -> Vec<(String, Level)>;
    /// A server may be deleted now: in maintenance, without sessions, connections or queue; else why not.
    fn removable(&self, proxy: ProxyIndex, server: ServerIndex) -> Result<(), String>;
}

/// What only the workers know, or must confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Every worker is alive and has published its counters.
    Counters,
    /// Every worker has listed its sessions.
    Sessions,
    /// Every worker has told of its tasks.
    Tasks,
}

/// `show sess …`: which streams, and how much of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sessions<'a> {
    /// This one alone.
    pub id: Option<&'a str>,
    pub in_full: bool,
    /// Of at least this age.
    pub older_s: u64,
    pub frontend: Option<ProxyIndex>,
    pub backend: Option<ProxyIndex>,
    pub server: Option<(ProxyIndex, ServerIndex)>,
}

/// What only the control plane or the workers can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    PauseFrontend(ProxyIndex),
    ResumeFrontend(ProxyIndex),
    StopFrontend(ProxyIndex),
    /// Id as `show sess` writes it.
    ShutdownSession(String),
    ShutdownSessions(ProxyIndex, ServerIndex),
    /// A server's checks or agent checks were switched, moved or both.
    ChecksChanged(ProxyIndex, ServerIndex),
    /// Appended; its workers' parts are to be made.
    ServerAdded(ProxyIndex, ServerIndex),
    ServerDeleted(ProxyIndex, ServerIndex),
    /// Limits of the process or a frontend were raised or lowered.
    LimitsChanged,
    /// Idle time of this session, in milliseconds.
    SessionTimeout(u64),
}

/// How grave an answer is (`set severity-output`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Alert = 1,
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Alert => "alert",
            Severity::Error => "err",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
            Severity::Info => "info",
        }
    }
}

/// What a command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Success, nothing to say.
    Empty,
    /// A sentence; the session adds the line end and, if wanted, the severity.
    Message(Severity, String),
    /// A listing, with its own line ends.
    Text(Vec<u8>),
    /// A listing that may be long, which the session's owner writes piece by piece.
    Report(Report),
    /// Success, once every worker has heard of it.
    Confirmed,
    /// Ask again until it is true or the time is over.
    Wait { until_ms: u64, removable: Option<(String, String)> },
    /// Success, without even an empty line.
    Silent,
    /// The process is to read its configuration again; on a master's socket.
    Reload { hard: bool },
    /// Work on a stick table, which the session's owner does.
    Table(command::table::Job),
    /// Descriptors of the process, which the session's owner looks at.
    Descriptors(command::descriptors::Wanted),
    /// Events of a ring, which the session's owner reads.
    Events(command::events::Reading),
    /// The last answer; the session ends.
    Quit,
}

impl Answer {
    pub fn error(text: impl Into<String>) -> Answer {
        Answer::Message(Severity::Error, text.into())
    }

    pub fn info(text: impl Into<String>) -> Answer {
        Answer::Message(Severity::Info, text.into())
    }
}

/// One command being run.
pub struct Call<'a> {
    /// All words, the command's name included.
    pub words: &'a [&'a str],
    /// How many of them are the name.
    pub named: usize,
    pub payload: Option<&'a str>,
    pub process: &'a mut dyn Process,
    pub state: &'a mut session::State,
}

impl Call<'_> {
    /// The `n`th word after the name; empty when it is not there, as HAProxy sees it.
    pub fn argument(&self, n: usize) -> &str {
        self.words.get(self.named + n).copied().unwrap_or("")
    }

    /// Runs `write` over the process's statistics.
    pub fn with_scene<T>(&self, write: impl FnOnce(&Scene<'_>) -> T) -> T {
        with_scene(self.process, self.state.level, write)
    }
}

/// Runs `write` over a process's statistics, as someone of this level sees them.
pub fn with_scene<T>(process: &dyn Process, level: Level, write: impl FnOnce(&Scene<'_>) -> T) -> T {
    let facts = process.facts();
    write(&Scene {
        plan: process.plan(),
        board: process.board(),
        process: &facts,
        now: process.now(),
        legends: level >= Level::Operator,
    })
}
