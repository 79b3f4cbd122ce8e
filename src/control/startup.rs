//! From the command line to running workers, in the order that HAProxy's users see: arguments, configuration, sockets, old
//! processes, daemon, pid file, identity, threads. Whatever fails before the threads run tears nothing down.

use super::about::Standing;
use super::args::{self, Args, Refusal};
use super::inherit::{self, Inherited};
use super::master::{self, Role, channel::Leash};
use super::{bequest, carry, dump, jail, process_vars, services, sockets, state_file, supervise};
use crate::base::clock;
use crate::base::mailbox::office;
use crate::config::diagnostic::{self, Diagnostics, Mode, Rendering, Severity};
use crate::config::env::Environment;
use crate::config::{load, preprocess};
use crate::dataplane::capture::Captures;
use crate::dataplane::events::Events;
use crate::dataplane::log;
use crate::dataplane::tables::registry::Registry;
use crate::dataplane::worker::{About, Shared, Worker};
use crate::engine::probe::{Choice, Engine};
use crate::engine::process::{self, Forked, Signals};
use crate::model::plan::Plan;
use crate::model::state::board::Board;
use crate::services::check;
use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

/// Messages on their way between two threads at most; what is beyond waits with its sender.
const MAIL_CAPACITY: usize = 1024;

/// How often a process that follows another tries to bind what is taken, as HAProxy does.
const BIND_RETRIES: u32 = 50;

/// Runs the program; the value is its exit code.
pub fn main() -> i32 {
    process::small_pages();
    let directory = std::env::current_dir().ok();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let executable = std::env::args().next().unwrap_or_else(|| "ringway".into());
    let program = Path::new(&executable).file_name().map_or("ringway".into(), |n| n.to_string_lossy().into_owned());
    let kernel = kernel();
    let args = match args::parse(&words) {
        Ok(args) => args,
        Err(Refusal::Alert { text, usage: page }) => {
            say(Severity::Alert, &executable, &text);
            return if page { usage(&kernel, &program) } else { 1 };
        }
        Err(Refusal::Usage) => return usage(&kernel, &program),
    };
    if args.memory_debug_help {
        print(&args::memory_debug_help());
        return 0;
    }
    if let Some(version) = args.version {
        print(&args::version_text(version, &kernel, &features(), &engine_lines()));
        return 0;
    }
    if let Some(condition) = &args.condition {
        return check_condition(condition, &executable);
    }
    if let Some(directory) = &args.directory
        && let Err(e) = std::env::set_current_dir(directory)
    {
        say(Severity::Alert, &executable, &format!("Could not change to directory {directory} : {e}"));
        return 1;
    }
    if args.files.is_empty() {
        return usage(&kernel, &program);
    }
    match dump::configuration(&args) {
        None => {}
        Some(Ok(text)) => {
            print(&text);
            return 0;
        }
        Some(Err(text)) => {
            say(Severity::Alert, &executable, &text);
            return 1;
        }
    }
    if args.check || !args.master_worker {
        return run(args, &executable, program, None, directory);
    }
    begin_master(args, &executable, program, directory)
}

/// Becomes a master, and in a child its worker.
fn begin_master(mut args: Args, executable: &str, program: String, directory: Option<PathBuf>) -> i32 {
    args.master_worker = true;
    if let Some(mb) = args.memory_mb
        && let Err(text) = jail::limit_memory(mb, 0, executable)
    {
        say(Severity::Alert, executable, &text);
        return 1;
    }
    let call = master::Call {
        args: args.clone(),
        arguments: std::iter::once(executable.to_owned()).chain(std::env::args().skip(1)).collect(),
        directory: directory.clone(),
        file: std::env::current_exe().ok(),
    };
    let speaker = Speaker { announced: false, quiet: false, executable: executable.to_owned(), said: String::new() };
    match master::begin(call, speaker, &options(&args)) {
        Role::Ended(code) => code,
        Role::Worker(leash) => run(args, executable, program, Some(leash), directory),
    }
}

fn options(args: &Args) -> load::Options {
    let limit = |number: Option<u64>| number.map(|n| n.min(u32::MAX.into()) as u32);
    load::Options {
        local_peer: args.local_peer.clone(),
        hostname: hostname(),
        ignore_unresolvable: args.ignore_unresolved,
        diag: args.diag,
        refuse_unserved: true,
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        master_worker: args.master_worker,
        startup_version: None,
        no_server_verify: args.no_server_verify,
        maxconn: limit(args.maxconn),
        proxy_maxconn: limit(args.proxy_maxconn),
        ipv4_only: args.ipv4_only,
        insecure_fork: args.insecure_fork,
    }
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn run(mut args: Args, executable: &str, program: String, leash: Option<Leash>, directory: Option<PathBuf>) -> i32 {
    let began = clock::now();
    let boot = Standing::now();
    let mut environment = Environment::of_process();
    let mut outcome = load::load(&args.files, &options(&args), &mut environment);
    check_scripts(&mut outcome);
    for (option, why) in &args.without_effect {
        outcome.diagnostics.say(Severity::Notice, None, format!("'{option}' has no effect: {why}."));
    }
    let keyword = outcome.plan.as_ref().is_some_and(|p| p.global.master_worker);
    if keyword && leash.is_none() && !args.check {
        drop((outcome, environment));
        return begin_master(args, executable, program, directory);
    }
    let quiet = args.quiet || outcome.plan.as_ref().is_some_and(|p| p.global.quiet);
    let warnings = outcome.diagnostics.messages().iter().filter(|m| m.severity == Severity::Warning).count() as u64;
    let zero_warning = args.zero_warning || outcome.plan.as_ref().is_some_and(|p| p.global.zero_warning);
    let announced = !outcome.diagnostics.messages().is_empty();
    let how = Rendering {
        pid: std::process::id(),
        executable,
        terminal: std::io::stderr().is_terminal(),
        announced: false,
    };
    let mode =
        Mode { check: args.check, verbose: args.verbose, quiet, zero_warning, master_worker: args.master_worker };
    if outcome.plan.is_some() && leash.as_ref().is_none_or(|l| l.first) {
        print(&dump::catalogues(&args));
    }
    let conclusion = diagnostic::conclude(outcome.diagnostics, outcome.listeners, mode, &how);
    print(&conclusion.stdout);
    eprint(&conclusion.stderr);
    if let Some(code) = conclusion.exit {
        return code;
    }
    let Some(mut plan) = outcome.plan else { return 1 };
    plan.global.noreuseport |= args.no_reuseport;
    plan.global.nosplice |= args.no_splice || args.no_zero_copy;
    match &leash {
        // These are the master's matters.
        Some(leash) => {
            (plan.global.daemon, plan.global.pidfile) = (false, None);
            if !leash.first {
                (args.old_socket, args.finish, args.terminate) = (None, Vec::new(), Vec::new());
            }
            // A HAProxy's master that executes us names a socket in its own old worker: it speaks another protocol there.
            if args.old_socket.as_ref().is_some_and(|s| s.starts_with("sockpair@")) {
                args.old_socket = None;
            }
        }
        None => {
            plan.global.daemon = (plan.global.daemon || args.daemon) && !args.foreground && !args.debug;
            if let Some(file) = &args.pid_file {
                plan.global.pidfile = Some(file.into());
            }
        }
    }
    let launch = supervise::Launch {
        logs: conclusion.stderr,
        environment: environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        exposed: RefCell::default(),
        claimed: RefCell::default(),
        followed: Cell::default(),
        former: RefCell::default(),
        bequests: RefCell::default(),
        leash,
        boot,
    };
    let speaker = Speaker { executable: executable.to_owned(), announced, quiet, said: String::new() };
    start(plan, args, speaker, program, (launch, warnings, began))
}

/// Tells what is wrong with the scripts of health checks, which the load keeps as text.
fn check_scripts(outcome: &mut load::Outcome) {
    let faults = outcome.plan.as_ref().map(check::faults).unwrap_or_default();
    let mut files: Vec<_> = faults.iter().filter_map(|f| Some(f.origin.as_ref()?.file.clone())).collect();
    files.dedup();
    for fault in faults {
        let place = fault.origin.as_ref().map_or(String::new(), |o| format!("parsing [{o}] : "));
        let text = format!("config : {place}{}", fault.text);
        outcome.diagnostics.say(Severity::Alert, fault.origin.as_ref(), text);
    }
    for file in files {
        let text = format!("config : Error(s) found in configuration file : {file}");
        outcome.diagnostics.say(Severity::Alert, None, text);
    }
}

/// Writes messages of the start, with the two notices before the first.
pub struct Speaker {
    executable: String,
    announced: bool,
    pub quiet: bool,
    /// What was told until now.
    pub said: String,
}

impl Speaker {
    fn say_all(&mut self, messages: state_file::Messages) {
        for (severity, text) in messages {
            self.say(severity, &text);
        }
    }

    pub fn say_failed_listeners(&mut self) {
        let text = format!("[{}.main()] Some protocols failed to start their listeners! Exiting.", self.executable);
        self.say(Severity::Alert, &text);
    }

    pub fn say(&mut self, severity: Severity, text: &str) {
        if self.quiet {
            return;
        }
        let mut diagnostics = Diagnostics::new(false);
        diagnostics.say(severity, None, text);
        let how = Rendering {
            pid: std::process::id(),
            executable: &self.executable,
            terminal: false,
            // A notice is no reason to tell who speaks.
            announced: self.announced || severity == Severity::Notice,
        };
        let text = diagnostics.render(&how);
        eprint(&text);
        self.said.push_str(&text);
        self.announced |= severity != Severity::Notice;
    }
}

fn start(
    plan: Plan,
    args: Args,
    mut speaker: Speaker,
    program: String,
    (mut launch, warnings, began): (supervise::Launch, u64, clock::Now),
) -> i32 {
    if !args.master_sockets.is_empty() && launch.leash.is_none() {
        let text = "a master CLI socket was defined, but master-worker mode (-W) is not enabled.";
        speaker.say(Severity::Alert, text);
        return 1;
    }
    let workers = plan.global.nbthread.max(1);
    let binds: usize =
        plan.proxies.iter().map(|p| p.frontend.binds.iter().map(|b| b.addresses.len()).sum::<usize>()).sum();
    let limited = args.memory_mb.map_or(Ok(()), |mb| jail::limit_memory(mb, workers, &speaker.executable));
    let limits = || jail::raise_limits(&plan.global, binds * workers, args.memory_mb, &speaker.executable);
    let maxconn = match limited.and_then(|()| limits()) {
        Ok(limits) => {
            speaker.say_all(limits.messages);
            limits.maxconn
        }
        Err(text) => {
            speaker.say(Severity::Alert, &text);
            return 1;
        }
    };
    // The engine is tried before anything is opened, so that a refusal is told at once.
    let choice = match Choice::make(!args.no_epoll && !plan.global.noepoll) {
        Ok(choice) => choice,
        Err(text) => {
            speaker.say(Severity::Alert, &text);
            return 1;
        }
    };
    if let Some(text) = choice.notice() {
        speaker.say(Severity::Notice, &text);
    }
    let (saved, messages) = state_file::read(&plan);
    speaker.say_all(messages);
    let mut inherited = Inherited::default();
    let former = launch.leash.as_mut().and_then(|l| l.predecessor.take());
    if let Some(former) = &former {
        match inherit::ask(former) {
            Ok(sockets) => inherited = sockets,
            Err(e) => {
                let text = format!("the former worker does not pass its sockets on ({e}), they are opened anew");
                speaker.say(Severity::Warning, &text);
            }
        }
    }
    // "-x /dev/null" only says that nothing is to be passed on (management guide 3).
    if let Some(path) = args.old_socket.as_ref().filter(|p| *p != "/dev/null") {
        match inherit::fetch(path) {
            Ok((sockets, old)) => {
                inherited = sockets;
                launch.bequests = RefCell::new(bequest::ask(&old).ok());
            }
            Err(texts) => {
                for text in texts {
                    speaker.say(Severity::Alert, &text);
                }
                return 1;
            }
        }
    }
    let mut exposed = Vec::new();
    let follows = former.is_some() || !args.finish.is_empty() || !args.terminate.is_empty();
    let retries = if follows { BIND_RETRIES } else { 0 };
    // With none of their sockets.
    let displaces = follows && inherited.is_empty();
    let old = || args.finish.iter().chain(&args.terminate);
    // Without SO_REUSEPORT an address has one owner: the old processes let go of theirs for as long (management guide 4).
    let pauses = plan.global.noreuseport && inherited.is_empty();
    if pauses {
        old().for_each(|pid| drop(process::kill(*pid, libc::SIGTTOU)));
    }
    let listeners = match sockets::open_all(&plan, workers, maxconn, &mut inherited, &mut exposed, retries) {
        Ok(listeners) => listeners,
        Err(errors) => {
            for e in &errors {
                speaker.say(Severity::Alert, e);
            }
            if pauses {
                old().for_each(|pid| drop(process::kill(*pid, libc::SIGTTIN)));
            }
            speaker.say_failed_listeners();
            return 1;
        }
    };
    let api = match supervise::open_api(&plan) {
        Ok(api) => api,
        Err(errors) => {
            for e in &errors {
                speaker.say(Severity::Alert, e);
            }
            return 1;
        }
    };
    let peers = match supervise::open_peers(&plan) {
        Ok(peers) => peers,
        Err(errors) => {
            for e in &errors {
                speaker.say(Severity::Alert, e);
            }
            return 1;
        }
    };
    let succeeds = former.is_some() || !args.finish.is_empty();
    let peering = supervise::Peering { peers, succeeds };
    inherited.close();
    let claim = sockets::claim(&exposed, displaces);
    let value = if claim.is_whole { sockets::CLAIMED } else { 0 };
    launch.claimed = RefCell::new(claim.listeners);
    launch.exposed = RefCell::new(exposed);
    // The old processes leave only now that the new one can serve.
    for pid in &args.finish {
        let _ = process::queue(*pid, libc::SIGUSR1, value);
    }
    for pid in &args.terminate {
        let _ = process::kill(*pid, libc::SIGTERM);
    }
    if plan.global.daemon {
        match daemonise(&plan) {
            Ok(true) => {}
            Ok(false) => return 0,
            Err(text) => {
                speaker.say(Severity::Alert, &format!("[{}.main()] {text}", speaker.executable));
                return 1;
            }
        }
    } else if let Err(text) = write_pidfile(&plan, std::process::id()) {
        speaker.say(Severity::Alert, &format!("[{}.main()] {text}", speaker.executable));
        return 1;
    }
    let outside_logs = if plan.global.chroot.is_some() { log::open_outside(&plan) } else { Vec::new() };
    if let Err(text) = jail::enter(&plan.global, &speaker.executable) {
        speaker.say(Severity::Alert, &text);
        return 1;
    }
    process::ignore(libc::SIGPIPE);
    // Rust's handlers survive such a signal when another process sends it.
    process::restore(libc::SIGSEGV);
    process::restore(libc::SIGBUS);
    // An end by TERM or INT is taken in hand too: a ring that dies with its process keeps its sockets listening for a
    // moment, and whoever connects to them then is lost.
    let taken = [
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ];
    let signals = match Signals::take(&taken) {
        Ok(signals) => signals,
        Err(e) => {
            speaker.say(Severity::Alert, &format!("cannot take signals: {e}"));
            return 1;
        }
    };
    let now = clock::now();
    let board = Arc::new(Board::new(&plan, workers));
    board.live.process.maxconn.store(maxconn, Ordering::Relaxed);
    let limits = &board.live.process;
    limits.hard_maxconn.store(maxconn, Ordering::Relaxed);
    limits.connections_per_second.store(plan.global.maxconnrate.unwrap_or(0), Ordering::Relaxed);
    limits.sessions_per_second.store(plan.global.maxsessrate.unwrap_or(0), Ordering::Relaxed);
    limits.ssl_sessions_per_second.store(plan.global.tls.maxsslrate.unwrap_or(0), Ordering::Relaxed);
    for (index, proxy) in plan.proxies.iter().enumerate() {
        if proxy.has_frontend && proxy.frontend.maxconn.is_none() {
            board.live.frontend(index).maxconn.store(maxconn, Ordering::Relaxed);
        }
    }
    speaker.say_all(state_file::apply(&saved, &plan, &board.live, now.mono));
    drop(saved);
    if let Some(former) = &former
        && let Err(e) = carry::take_state(former, &plan, &board, now.mono)
    {
        speaker.say(Severity::Warning, &format!("the former worker does not tell its state ({e})"));
    }
    if let Some(former) = &former {
        launch.bequests = RefCell::new(bequest::ask(former).ok());
    }
    launch.former = RefCell::new(former);
    let seed = now.nanos ^ now.wall_us.rotate_left(32) ^ std::process::id() as u64;
    let tables = Arc::new(Registry::new(&plan, workers, seed));
    let about = About {
        warnings,
        boot_ms: now.mono.since(began.mono),
        ulimit_n: jail::descriptors(),
        maxsock: 2 * maxconn as u64 + jail::RESERVE + (binds * workers) as u64,
        memmax_mb: args.memory_mb.unwrap_or(0),
        engine: choice.engine,
        engine_choice: choice.to_string(),
    };
    if let Some(limit) = plan.global.maxcomprate {
        board.live.process.compression_bytes_per_second.store(limit.into(), Ordering::Relaxed);
    }
    let proc_vars = process_vars::set(&plan.global, &hostname(), now, seed);
    let shared = Arc::new(Shared {
        outside_logs,
        events: Events::new(&plan, workers + 1),
        captures: Captures::new(plan.proxies.len()),
        about,
        tables,
        plan: Arc::new(plan),
        board,
        proc_vars,
        program: program.clone(),
        hostname: hostname(),
        pid: std::process::id(),
        utc_offset: process::utc_offset((now.wall_us / 1_000_000) as i64),
        started: now,
        wakes: (0..=workers).map(|_| AtomicI32::new(-1)).collect(),
        stream_ids: AtomicU64::new(1),
        services: services::services(),
        compression_memory: AtomicU64::new(0),
    });
    launch.logs.push_str(&speaker.said);
    serve(shared, listeners, (api, peering), launch, signals, &program)
}

/// Starts the workers and supervises them.
fn serve(
    shared: Arc<Shared>,
    listeners: Vec<sockets::Listeners>,
    (api, peering): (supervise::Api, supervise::Peering),
    launch: supervise::Launch,
    signals: Signals,
    program: &str,
) -> i32 {
    let workers = listeners.len();
    let quick_exit = shared.plan.global.quick_exit;
    let mut posts = office(workers + 1, MAIL_CAPACITY);
    let Some(own_post) = posts.pop() else { return 1 };
    let ready = Arc::new(Barrier::new(workers + 1));
    let cpus = supervise::cpus(&shared.plan, workers);
    let _ = rustix::thread::set_name(&std::ffi::CString::new(program).unwrap_or_default());
    let mut threads = Vec::new();
    for (index, (listeners, post)) in listeners.into_iter().zip(posts).enumerate() {
        let (shared, ready, cpus) = (shared.clone(), ready.clone(), cpus.get(index).cloned());
        let spawned = std::thread::Builder::new().name(program.to_owned()).spawn(move || {
            if let Some(cpus) = cpus {
                supervise::pin(&cpus);
            }
            let rt = supervise::reactor(&shared);
            let worker = Worker::new(rt.clone(), index, shared, post);
            worker.start(listeners);
            ready.wait();
            rt.run(|_| worker.is_finished());
            if !worker.may_leave() {
                // Others may still ask for entries of stick tables whose home is here.
                worker.report_finished();
                rt.run(|_| worker.may_leave());
                rt.shutdown();
                return;
            }
            rt.shutdown();
            worker.report_finished();
            rt.submit();
        });
        match spawned {
            Ok(thread) => threads.push(thread),
            Err(_) => return 1,
        }
    }
    let end = supervise::run(shared, own_post, api, peering, launch, signals, &ready);
    match end {
        // The workers have nothing left to do; what they hold goes with the process.
        supervise::End::Finished if quick_exit => 0,
        supervise::End::Finished => {
            for thread in threads {
                let _ = thread.join();
            }
            0
        }
        supervise::End::Signal(signal) => {
            process::restore(signal);
            let _ = process::kill(std::process::id() as i32, signal);
            128 + signal
        }
    }
}

/// Goes into the background. True in the process that serves; false in the one that leaves.
fn daemonise(plan: &Plan) -> Result<bool, String> {
    let (mut detached, detaching) = std::io::pipe().map_err(|e| format!("Cannot create a pipe : {e}"))?;
    match process::fork() {
        Err(e) => Err(format!("Cannot fork : {e}")),
        Ok(Forked::Parent(pid)) => {
            write_pidfile(plan, pid as u32)?;
            drop(detaching);
            // The caller goes on when the child has left its session: its end of the pipe closes then.
            let _ = detached.read(&mut [0]);
            Ok(false)
        }
        Ok(Forked::Child) => {
            process::detach();
            drop(detaching);
            Ok(true)
        }
    }
}

fn write_pidfile(plan: &Plan, pid: u32) -> Result<(), String> {
    let Some(path) = &plan.global.pidfile else { return Ok(()) };
    let _ = std::fs::remove_file(path);
    std::fs::write(path, format!("{pid}\n")).map_err(|_| format!("Cannot create pidfile {}", path.display()))
}

fn usage(kernel: &str, program: &str) -> i32 {
    print(&args::version_block(kernel));
    eprint(&args::usage(program));
    1
}

fn check_condition(condition: &str, executable: &str) -> i32 {
    let (code, alert) = preprocess::check_condition(condition, &preprocess::FACTS, &Environment::of_process());
    if let Some(text) = alert {
        say(Severity::Alert, executable, &text);
    }
    code
}

fn say(severity: Severity, executable: &str, text: &str) {
    Speaker { executable: executable.to_owned(), announced: false, quiet: false, said: String::new() }
        .say(severity, text);
}

/// The kernel as `-v` shows it.
pub(super) fn kernel() -> String {
    let u = rustix::system::uname();
    let parts = [u.sysname(), u.release(), u.version(), u.machine()];
    parts.map(|p| p.to_string_lossy().into_owned()).join(" ")
}

pub(super) fn features() -> Vec<&'static str> {
    crate::config::preprocess::FACTS.features.to_vec()
}

fn engine_lines() -> Vec<String> {
    let probed = Engine::ALL.map(|engine| (engine, engine.driver()));
    let mut lines = vec!["Available engines :".to_owned()];
    for (engine, driver) in &probed {
        let result = driver.as_ref().map_or_else(|e| format!("FAILED ({e})"), |_| "OK".to_owned());
        lines.push(format!("{:>11} : test result {result}", engine.name()));
    }
    let usable = probed.iter().filter(|(_, driver)| driver.is_ok()).count();
    let end = match Choice::make(true) {
        Ok(choice) => format!("will use {}", choice.engine.name()),
        Err(text) => text,
    };
    lines.push(format!("Total: {} ({usable} usable), {}.", probed.len(), end.trim_end_matches('.')));
    lines
}

/// Standard output may be closed: nothing depends on it.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn eprint(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
