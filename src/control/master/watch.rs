//! A master between two executions: signals, the worker that starts, children that end.

use super::worker::{Exit, Stage, Worker};
use super::{Master, channel, cli, notify};
use crate::config::diagnostic::Severity;
use crate::config::files::reason;
use crate::engine::probe::Choice;
use crate::engine::process::{self, Signals};
use crate::engine::task::before;
use crate::engine::{Conn, Reactor, Rt};
use rustix::process::{WaitOptions, WaitStatus};
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

/// How long a former worker may take to stop accepting before a reload is told all the same, in milliseconds.
const SETTLE_MS: u64 = 1000;

/// What a wait ends with.
pub enum End {
    Exit(i32),
    Reload { hard: bool, reply: Option<OwnedFd> },
}

/// A master with its reactor.
pub struct Watch {
    pub rt: Rt,
    pub master: Rc<Master>,
    end: RefCell<Option<End>>,
    /// A reload that was asked for while a worker starts; the last one counts.
    wanted: RefCell<Option<End>>,
    /// A reload is told soon.
    settling: Cell<bool>,
    /// Connections to the master's sockets.
    pub open: Cell<usize>,
}

/// Watches until the master ends; its exit code.
pub fn watch(master: &Rc<Master>, signals: Signals) -> i32 {
    let signals = Rc::new(signals);
    loop {
        let made = Choice::make(master.epoll).and_then(|c| c.engine.driver().map_err(|e| e.to_string()));
        let driver = match made {
            Ok(driver) => driver,
            Err(text) => {
                master.say(Severity::Alert, &text);
                return 1;
            }
        };
        let watch = Rc::new(Watch {
            rt: Reactor::new(driver),
            master: master.clone(),
            end: RefCell::default(),
            wanted: RefCell::default(),
            settling: Cell::new(false),
            open: Cell::new(0),
        });
        let rt = watch.rt.clone();
        rt.spawn(take_signals(watch.clone(), signals.clone()));
        for number in 0..master.doors.len() {
            rt.spawn(cli::accept(watch.clone(), number));
        }
        if master.hearing.borrow().is_some() {
            rt.spawn(hear(watch.clone()));
            rt.spawn(await_worker(watch.clone()));
        }
        rt.run(|_| watch.end.borrow().is_some());
        rt.shutdown();
        match watch.end.take() {
            Some(End::Reload { hard, reply }) => {
                let (reply, error) = master.execute(hard, reply);
                let text =
                    format!("Failed to reexecute the master process [{}]: {}", std::process::id(), reason(&error));
                master.say(Severity::Warning, &text);
                *master.reply.borrow_mut() = reply;
                watch.reload_failed();
            }
            Some(End::Exit(code)) => return code,
            None => return 1,
        }
    }
}

async fn take_signals(watch: Rc<Watch>, signals: Rc<Signals>) {
    loop {
        while let Some((signal, _)) = signals.next() {
            match signal {
                libc::SIGUSR2 | libc::SIGHUP => watch.reload(false, None),
                libc::SIGTERM | libc::SIGINT | libc::SIGUSR1 => watch.leave(signal),
                libc::SIGTTIN | libc::SIGTTOU => watch.master.signal(signal, |w| w.stage != Stage::Leaving),
                libc::SIGCHLD => watch.bury(),
                _ => {}
            }
        }
        let _ = watch.rt.poll_fd(signals.fd(), libc::POLLIN).await;
    }
}

/// Passes on what the worker that starts says.
async fn hear(watch: Rc<Watch>) {
    loop {
        let Some(fd) = watch.master.hearing.borrow().as_ref().map(|h| h.as_raw_fd()) else { return };
        let _ = watch.rt.poll_fd(fd, libc::POLLIN).await;
        if !watch.master.hear() {
            *watch.master.hearing.borrow_mut() = None;
            return;
        }
    }
}

/// Waits until the worker that starts says that it serves; its end is told by a signal.
async fn await_worker(watch: Rc<Watch>) {
    let starting = |w: &&Worker| w.stage == Stage::Starting;
    let Some(fd) = watch.master.workers.borrow().iter().find(starting).map(|w| w.channel.as_raw_fd()) else { return };
    let _ = watch.rt.poll_fd(fd, libc::POLLIN).await;
    let ready = watch.master.workers.borrow().iter().find(starting).is_some_and(|w| channel::is_ready(&w.channel));
    if ready {
        watch.loaded();
    }
}

/// Tells of the reload when the former worker accepts no more: who asks then is answered by the new one.
async fn settle(watch: Rc<Watch>, former: Vec<i32>) {
    let deadline = watch.rt.now().mono.plus(SETTLE_MS);
    for channel in former {
        let _ = before(&watch.rt, deadline, watch.rt.poll_fd(channel, libc::POLLIN)).await;
    }
    watch.settling.set(false);
    watch.tell(notify::State::Ready);
    watch.answer(true);
    watch.go_on();
}

impl Watch {
    /// Begins a reload, or keeps it in mind while the last one is under way.
    pub fn reload(&self, hard: bool, reply: Option<OwnedFd>) {
        if self.master.leaving.get() {
            return;
        }
        let end = End::Reload { hard, reply };
        if self.settling.get() || self.master.workers.borrow().iter().any(|w| w.stage == Stage::Starting) {
            *self.wanted.borrow_mut() = Some(end);
            return;
        }
        let text = if hard { "Reloading HAProxy (hard-reload)" } else { "Reloading HAProxy" };
        self.master.say(Severity::Notice, text);
        self.tell(notify::State::Reloading);
        *self.end.borrow_mut() = Some(end);
    }

    fn tell(&self, state: notify::State) {
        if self.master.call.args.notify {
            notify::tell(state);
        }
    }

    /// The worker that started serves.
    fn loaded(self: &Rc<Self>) {
        let master = &self.master;
        master.hear();
        *master.hearing.borrow_mut() = None;
        if let Some(path) = &master.pidfile {
            let _ = std::fs::remove_file(path);
            if std::fs::write(path, format!("{}\n", std::process::id())).is_err() {
                let program = &master.call.arguments[0];
                let text = format!("[{program}.main()] Cannot create pidfile {}", path.display());
                master.say(Severity::Alert, &text);
                master.code.set(1);
                return self.leave(libc::SIGTERM);
            }
        }
        master.failed.set(0);
        let mut former = Vec::new();
        for w in master.workers.borrow_mut().iter_mut() {
            match w.stage {
                Stage::Starting => w.stage = Stage::Current,
                stage => {
                    if stage == Stage::Current {
                        former.push(w.channel.as_raw_fd());
                    }
                    w.stage = Stage::Leaving;
                    let end = master.hard || w.reloads > master.max_reloads;
                    let _ = process::kill(w.pid, if end { libc::SIGTERM } else { libc::SIGUSR1 });
                }
            }
        }
        master.say(Severity::Notice, "Loading success.");
        if let Some(mut caller) = master.caller.take() {
            let _ = caller.write_all(&[1]);
        }
        if master.daemon {
            process::silence();
        }
        self.settling.set(true);
        self.rt.spawn(settle(self.clone(), former));
    }

    /// The new configuration does not serve; what served before goes on.
    fn reload_failed(&self) {
        self.master.failed.set(self.master.failed.get() + 1);
        self.tell(notify::State::ReloadFailed);
        self.answer(false);
        self.go_on();
    }

    /// Begins the reload that was asked for meanwhile.
    fn go_on(&self) {
        if let Some(End::Reload { hard, reply }) = self.wanted.take() {
            self.reload(hard, reply);
        }
    }

    /// Tells who asked for the reload how it went.
    fn answer(&self, success: bool) {
        let Some(reply) = self.master.reply.take() else { return };
        let text = format!("Success={}\n--\n{}\n", u8::from(success), self.master.logs.borrow());
        if let Ok(conn) = Conn::adopt(&self.rt, reply) {
            self.rt.spawn(cli::say_last(conn, text.into_bytes(), false));
        }
    }

    /// Ends all workers this way, and then the master.
    fn leave(&self, signal: i32) {
        if !self.master.leaving.replace(true) {
            self.tell(notify::State::Stopping);
        }
        self.wanted.take();
        self.master.say(Severity::Warning, "Exiting Master process...");
        self.master.signal(signal, |_| true);
    }

    /// Collects the children that have ended.
    fn bury(&self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let gone = {
                let mut workers = self.master.workers.borrow_mut();
                workers.iter().position(|w| w.pid == pid).map(|at| workers.remove(at))
            };
            if let (Some(worker), Some(exit)) = (gone, exit(status)) {
                self.ended(&worker, exit);
            }
        }
    }

    fn ended(&self, worker: &Worker, exit: Exit) {
        let master = &self.master;
        let text = format!("worker ({}) exited with code {} ({})", worker.pid, exit.code, exit.reason());
        match worker.stage {
            Stage::Starting => {
                master.hear();
                *master.hearing.borrow_mut() = None;
                master.say(Severity::Warning, &format!("Failed to load {text}"));
                if !master.workers.borrow().is_empty() || master.serves_under_former() {
                    return self.reload_failed();
                }
                let code = if master.leaving.get() && exit.was_wanted() { 0 } else { exit.code };
                *self.end.borrow_mut() = Some(End::Exit(code));
                return;
            }
            Stage::Leaving => master.say(Severity::Warning, &format!("Former {text}")),
            Stage::Current => {
                let severity = if exit.code == 0 { Severity::Warning } else { Severity::Alert };
                master.say(severity, &format!("Current {text}"));
                if exit.is_crash() {
                    let text = "A worker process unexpectedly died and this can only be explained by a bug in ringway or its \
                                dependencies.";
                    master.say(Severity::Warning, text);
                }
                if !matches!(exit.code, 0 | 143) {
                    master.code.set(exit.code);
                }
                if !exit.was_wanted() && !master.leaving.get() && master.exit_on_failure {
                    master.say(Severity::Alert, "exit-on-failure: killing every processes with SIGTERM");
                    master.leaving.set(true);
                    master.signal(libc::SIGTERM, |_| true);
                }
            }
        }
        if master.workers.borrow().is_empty() {
            let code = master.code.get();
            master.say(Severity::Warning, &format!("All workers exited. Exiting... ({code})"));
            *self.end.borrow_mut() = Some(End::Exit(code));
        }
    }
}

fn exit(status: WaitStatus) -> Option<Exit> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Exit { code, signal: None }),
        (_, Some(signal)) => Some(Exit { code: 128 + signal, signal: Some(signal) }),
        // Stopped or going on again.
        _ => None,
    }
}
