//! The master of `-W` (management guide 3, 4 and 9.4): one thread that reads of the configuration only what concerns
//! itself, starts a worker, watches it, and reloads by executing itself anew and starting another worker, which takes the
//! listening sockets over from the one before. It keeps running whatever the new configuration says.
//!
//! A worker is a fork of a master that has no ring and no thread yet: each life of the master forks once, at its start.
//! Signals are blocked and taken from a descriptor from the start to the end, over every execution; none is lost.

pub mod channel;
mod cli;
mod memory;
mod notify;
mod watch;
mod worker;

use super::args::Args;
use super::sockets;
use super::startup::Speaker;
use crate::base::clock;
use crate::config::diagnostic::Severity;
use crate::config::env::Environment;
use crate::config::{PERSONALITY, load};
use crate::engine::process::{self, Forked, Signals};
use crate::model::bind::{Bind, Level};
use crate::model::plan::Plan;
use crate::model::state::board::Board;
use channel::Leash;
use memory::Memory;
use std::cell::{Cell, RefCell};
use std::io::{PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use worker::{Stage, Worker};

/// Signals that a master takes.
const SIGNALS: [i32; 9] = [
    libc::SIGUSR2,
    libc::SIGHUP,
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGUSR1,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGCHLD,
    libc::SIGQUIT,
];
/// Bytes of startup logs that are kept; what is beyond is only written.
const LOGS_MAX: usize = 64 << 10;
/// Connections to the master's sockets that may wait.
const BACKLOG: u32 = 64;
/// `mworker-max-reloads` when it is not written.
const MAX_RELOADS: u32 = 50;

/// How the program was called.
pub struct Call {
    pub args: Args,
    /// All words, the program's name first.
    pub arguments: Vec<String>,
    /// Where it was called, before `-C`.
    pub directory: Option<PathBuf>,
    /// Where the program's file was found at its start.
    pub file: Option<PathBuf>,
}

/// What this process is from here on.
pub enum Role {
    Worker(Leash),
    /// It was the master, and has ended with this code.
    Ended(i32),
}

/// A socket of the master's own runtime API.
struct Door {
    bind: Bind,
    name: String,
    socket: OwnedFd,
}

pub struct Master {
    call: Call,
    environment: Vec<String>,
    doors: Vec<Door>,
    workers: RefCell<Vec<Worker>>,
    /// The first version of this master, and its start in microseconds on the system's monotonic clock.
    version: String,
    started_us: u64,
    reloads: Cell<u32>,
    /// Reloads that failed since the last that did not.
    failed: Cell<u32>,
    max_reloads: u32,
    exit_on_failure: bool,
    pidfile: Option<PathBuf>,
    daemon: bool,
    speaker: RefCell<Speaker>,
    /// What the worker that starts has said.
    hearing: RefCell<Option<OwnedFd>>,
    /// What was said since this start or reload.
    logs: RefCell<String>,
    /// The process that `-D` was called in waits for the first worker.
    caller: RefCell<Option<PipeWriter>>,
    /// Who asked for the present reload waits for its outcome, and whether old workers are ended hard.
    reply: RefCell<Option<OwnedFd>>,
    hard: bool,
    /// The master leaves when its workers have.
    leaving: Cell<bool>,
    /// What it leaves with.
    code: Cell<i32>,
    /// The epoll engine may be used.
    epoll: bool,
    /// An empty plan and its board: a master has none, its runtime API works without.
    plan: Plan,
    board: Board,
}

/// Becomes a master, and in a child its worker.
pub fn begin(call: Call, speaker: Speaker, options: &load::Options) -> Role {
    match Master::prepare(call, speaker, options) {
        Ok((master, signals)) => master.start(signals),
        Err(code) => Role::Ended(code),
    }
}

impl Master {
    /// Everything up to the fork of the worker. The error is an exit code.
    fn prepare(call: Call, mut speaker: Speaker, options: &load::Options) -> Result<(Rc<Master>, Signals), i32> {
        let memory = Memory::recall();
        let first = memory.is_none();
        let mut memory = memory.unwrap_or_else(|| Memory {
            started_us: clock::monotonic_us(),
            version: PERSONALITY.to_owned(),
            ..Memory::default()
        });
        let mut environment = Environment::of_process();
        let options = load::Options { startup_version: Some(memory.version.clone()), ..options.clone() };
        let global = load::globals(&call.args.files, &options, &mut environment);
        let foreground = call.args.foreground || call.args.debug;
        // Whom systemd watches stays where it is, whatever the keyword says (observed).
        let daemon = (call.args.daemon || global.daemon && !call.args.notify) && !foreground;
        speaker.quiet |= call.args.quiet || global.quiet;
        let mut caller = None;
        if first && daemon {
            caller = Some(detach(&mut speaker)?);
        }
        let signals = Signals::take(&SIGNALS).map_err(|e| {
            speaker.say(Severity::Alert, &format!("cannot take signals: {e}"));
            1
        })?;
        let doors = open(&call.args.master_sockets, std::mem::take(&mut memory.doors), &mut speaker)?;
        if !doors.is_empty() {
            let names: Vec<&str> = doors.iter().map(|d| d.name.as_str()).collect();
            environment.set("HAPROXY_MASTER_CLI", &names.join(";"));
        }
        let plan = Plan::default();
        let master = Master {
            environment: environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            doors,
            workers: RefCell::new(memory.workers),
            version: memory.version,
            started_us: memory.started_us,
            reloads: Cell::new(memory.reloads),
            failed: Cell::new(memory.failed),
            max_reloads: global.mworker_max_reloads.unwrap_or(MAX_RELOADS),
            exit_on_failure: !global.no_exit_on_failure,
            pidfile: call.args.pid_file.as_ref().map(PathBuf::from).or(global.pidfile).filter(|_| first),
            daemon,
            speaker: RefCell::new(speaker),
            hearing: RefCell::default(),
            logs: RefCell::default(),
            caller: RefCell::new(caller),
            reply: RefCell::new(memory.reply),
            hard: memory.hard,
            leaving: Cell::new(false),
            code: Cell::new(0),
            epoll: !call.args.no_epoll && !global.noepoll,
            board: Board::new(&plan, 1),
            plan,
            call,
        };
        Ok((Rc::new(master), signals))
    }

    /// Forks the worker; the parent watches until its end.
    fn start(self: Rc<Self>, signals: Signals) -> Role {
        let ends = channel::pair().and_then(|pair| {
            let (hearing, said) = std::io::pipe()?;
            Ok((pair, hearing, said, rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?))
        });
        let ((near, far), hearing, said, stderr) = match ends {
            Ok(ends) => ends,
            Err(e) => {
                self.say(Severity::Alert, &format!("Cannot create a pipe : {e}"));
                return Role::Ended(1);
            }
        };
        let predecessor = self.heir();
        match process::fork() {
            Err(e) => {
                self.say(Severity::Alert, &format!("Cannot fork : {e}"));
                Role::Ended(1)
            }
            Ok(Forked::Child) => {
                let first = self.workers.borrow().is_empty();
                let daemon = self.daemon;
                drop((near, hearing, signals));
                // All that is the master's closes, so that its end is seen by all.
                drop(Rc::into_inner(self));
                let _ = rustix::stdio::dup2_stderr(&said);
                process::restore(libc::SIGCHLD);
                Role::Worker(Leash { channel: far, stderr: Cell::new(Some(stderr)), predecessor, first, daemon })
            }
            Ok(Forked::Parent(pid)) => {
                drop((far, said, stderr, predecessor));
                let _ = rustix::io::ioctl_fionbio(&hearing, true);
                *self.hearing.borrow_mut() = Some(hearing.into());
                self.workers.borrow_mut().push(Worker {
                    pid,
                    reloads: 0,
                    started_us: clock::monotonic_us(),
                    stage: Stage::Starting,
                    channel: near,
                    version: PERSONALITY.to_owned(),
                });
                self.say(Severity::Notice, &format!("Initializing new worker ({pid})"));
                process::ignore(libc::SIGPIPE);
                Role::Ended(watch::watch(&self, signals))
            }
        }
    }

    /// A connection to the worker that serves, for the one that is to follow it. `-x /dev/null`: none.
    fn heir(&self) -> Option<UnixStream> {
        if self.call.args.old_socket.as_deref() == Some("/dev/null") {
            return None;
        }
        let workers = self.workers.borrow();
        let serving = workers.iter().rev().find(|w| w.stage == Stage::Current)?;
        channel::connect(&serving.channel, Level::Admin, None).ok()
    }

    /// A HAProxy's master has become this one, and its worker still serves: it waits on for its master, which may try again.
    fn serves_under_former(&self) -> bool {
        let args = &self.call.args;
        let lives = |pid: &i32| {
            rustix::process::Pid::from_raw(*pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
        };
        std::env::var_os("HAPROXY_MWORKER_REEXEC").is_some() && args.finish.iter().chain(&args.terminate).any(lives)
    }

    /// Executes the program anew; comes back when that failed, with the reason.
    fn execute(&self, hard: bool, reply: Option<OwnedFd>) -> (Option<OwnedFd>, std::io::Error) {
        let mut memory = Memory {
            started_us: self.started_us,
            reloads: self.reloads.get() + 1,
            failed: self.failed.get(),
            version: self.version.clone(),
            doors: self.doors.iter().filter_map(|d| d.socket.try_clone().ok()).collect(),
            workers: self.workers.take(),
            reply,
            hard,
        };
        memory.workers.iter_mut().for_each(|w| w.reloads += 1);
        memory.keep_open(true);
        if let Some(directory) = &self.call.directory {
            let _ = std::env::set_current_dir(directory);
        }
        let text = memory.write();
        let former: Vec<i32> = memory.workers.iter().map(|w| w.pid).collect();
        let arguments = successor(&self.call.arguments, &former);
        let mut error = process::execute(&arguments[0], &arguments, (memory::VARIABLE, &text));
        if let Some(file) = self.call.file.as_ref().and_then(|f| f.to_str()) {
            // The name that it was called by may be anything.
            error = process::execute(file, &arguments, (memory::VARIABLE, &text));
        }
        memory.keep_open(false);
        self.reloads.set(memory.reloads);
        *self.workers.borrow_mut() = memory.workers;
        (memory.reply, error)
    }

    /// Says it and keeps it for `show startup-logs`.
    fn say(&self, severity: Severity, text: &str) {
        let mut speaker = self.speaker.borrow_mut();
        speaker.said.clear();
        speaker.say(severity, text);
        self.keep(&speaker.said);
    }

    fn keep(&self, text: &str) {
        let mut logs = self.logs.borrow_mut();
        if logs.len() + text.len() <= LOGS_MAX {
            logs.push_str(text);
        }
    }

    /// Takes what the worker that starts has said until now; false when it says no more.
    fn hear(&self) -> bool {
        let hearing = self.hearing.borrow();
        let Some(hearing) = &*hearing else { return false };
        let mut piece = [0; 4096];
        loop {
            match rustix::io::read(hearing, &mut piece) {
                Ok(0) => return false,
                Ok(n) => {
                    let _ = std::io::stderr().write_all(&piece[..n]);
                    self.keep(&String::from_utf8_lossy(&piece[..n]));
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
                Err(_) => return false,
            }
        }
    }

    fn signal(&self, signal: i32, which: impl Fn(&Worker) -> bool) {
        for w in self.workers.borrow().iter().filter(|w| which(w)) {
            let _ = process::kill(w.pid, signal);
        }
    }
}

/// The words that the program is executed with anew: `-sf` with the workers of now. A ringway knows them without, but what
/// stands under the program's name may have become a HAProxy, which tells them to leave by these words only. What was said
/// of processes and sockets before the first start is over.
fn successor(arguments: &[String], former: &[i32]) -> Vec<String> {
    let mut words = arguments.iter().peekable();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-sf" | "-st" => while words.next_if(|w| w.parse::<i32>().is_ok()).is_some() {},
            // `/dev/null` says that no worker is to inherit sockets.
            "-x" if words.peek().is_some_and(|w| *w != "/dev/null") => drop(words.next()),
            _ => kept.push(word.clone()),
        }
    }
    if !former.is_empty() {
        kept.push("-sf".to_owned());
        kept.extend(former.iter().map(i32::to_string));
    }
    kept
}

/// Goes into the background: the caller stays until the first worker serves, and ends with 0 then, else as the master
/// does. The error is that code, in the caller.
fn detach(speaker: &mut Speaker) -> Result<PipeWriter, i32> {
    let mut failed = |what: &str, e: std::io::Error| {
        speaker.say(Severity::Alert, &format!("{what} : {e}"));
        1
    };
    let (mut heard, told) = std::io::pipe().map_err(|e| failed("Cannot create a pipe", e))?;
    match process::fork().map_err(|e| failed("Cannot fork", e))? {
        Forked::Child => {
            let _ = rustix::process::setsid();
            Ok(told)
        }
        Forked::Parent(pid) => {
            drop(told);
            if matches!(heard.read(&mut [0]), Ok(1)) {
                return Err(0);
            }
            let pid = rustix::process::Pid::from_raw(pid);
            let end = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).ok().flatten();
            Err(end.and_then(|(_, status)| status.exit_status()).unwrap_or(1))
        }
    }
}

/// The sockets that `-S` names; those that are `open` already come first. The error is an exit code.
fn open(words: &[String], open: Vec<OwnedFd>, speaker: &mut Speaker) -> Result<Vec<Door>, i32> {
    let mut open = open.into_iter();
    let mut doors = Vec::new();
    for word in words {
        let bind = load::master_socket(word).map_err(|text| {
            speaker.say(Severity::Alert, &text);
            speaker.say(Severity::Alert, "Can't create the master's CLI.");
            1
        })?;
        for address in &bind.addresses {
            let name = address.to_string();
            let name = if name.starts_with('/') { format!("unix@{name}") } else { name };
            let socket = open.next().map_or_else(
                || {
                    let fds = sockets::open(address, &bind, bind.backlog.unwrap_or(BACKLOG), sockets::Spread::ALONE)?;
                    let fd = fds.into_iter().next().and_then(process::inherited);
                    fd.ok_or(("cannot bind socket", std::io::ErrorKind::Other.into()))
                },
                Ok,
            );
            let socket = socket.map_err(|(what, e)| {
                let reason = crate::config::files::reason(&e);
                let text = format!("Binding [master-socket:0] for proxy MASTER: {what} ({reason}) [{address}].");
                speaker.say(Severity::Alert, &text);
                speaker.say_failed_listeners();
                1
            })?;
            doors.push(Door { bind: bind.clone(), name, socket });
        }
    }
    Ok(doors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_told_of_the_workers_of_now_only() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let was = words("haproxy -W -sf 11 12 -x /run/old.sock -f a.cfg -st 13 -S m.sock");
        assert_eq!(successor(&was, &[21]), words("haproxy -W -f a.cfg -S m.sock -sf 21"));
        assert_eq!(successor(&was, &[]), words("haproxy -W -f a.cfg -S m.sock"));
        let stays = words("haproxy -x /dev/null");
        assert_eq!(successor(&stays, &[]), stays);
    }
}
