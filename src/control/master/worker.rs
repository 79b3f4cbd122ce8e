//! A worker as its master sees it.

use crate::base::clock;
use std::os::fd::OwnedFd;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It reads its configuration; nobody counts on it yet.
    Starting,
    Current,
    /// A newer one serves; it finishes what it has.
    Leaving,
}

#[derive(Debug)]
pub struct Worker {
    pub pid: i32,
    /// Reloads that it has outlived.
    pub reloads: u32,
    /// Microseconds on the system's monotonic clock.
    pub started_us: u64,
    pub stage: Stage,
    pub channel: OwnedFd,
    pub version: String,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// As a shell tells it: the code, or 128 and the signal.
    pub code: i32,
    pub signal: Option<i32>,
}

impl Exit {
    /// What stands behind the code in messages.
    pub fn reason(self) -> String {
        let name = match self.signal {
            None => "Exit",
            Some(libc::SIGHUP) => "Hangup",
            Some(libc::SIGINT) => "Interrupt",
            Some(libc::SIGQUIT) => "Quit",
            Some(libc::SIGILL) => "Illegal instruction",
            Some(libc::SIGTRAP) => "Trace/breakpoint trap",
            Some(libc::SIGABRT) => "Aborted",
            Some(libc::SIGBUS) => "Bus error",
            Some(libc::SIGFPE) => "Floating point exception",
            Some(libc::SIGKILL) => "Killed",
            Some(libc::SIGUSR1) => "User defined signal 1",
            Some(libc::SIGSEGV) => "Segmentation fault",
            Some(libc::SIGUSR2) => "User defined signal 2",
            Some(libc::SIGPIPE) => "Broken pipe",
            Some(libc::SIGALRM) => "Alarm clock",
            Some(libc::SIGTERM) => "Terminated",
            Some(other) => return format!("Unknown signal {other}"),
        };
        name.to_owned()
    }

    /// Whether only a fault of the program explains it.
    pub fn is_crash(self) -> bool {
        let crash = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTRAP];
        self.signal.is_some_and(|s| crash.contains(&s))
    }

    /// An end that was asked for: by itself, SIGTERM or SIGINT.
    pub fn was_wanted(self) -> bool {
        matches!(self.code, 0 | 130 | 143)
    }
}

/// `0d00h02m07s` since a moment.
pub fn uptime(started_us: u64) -> String {
    let s = uptime_s(started_us);
    format!("{}d{:02}h{:02}m{:02}s", s / 86_400, s % 86_400 / 3600, s % 3600 / 60, s % 60)
}

pub fn uptime_s(started_us: u64) -> u64 {
    clock::monotonic_us().saturating_sub(started_us) / 1_000_000
}
