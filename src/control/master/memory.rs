//! What a master remembers over its own re-execution, as text in a variable of its environment: numbers of descriptors
//! that it left open, its workers and its counters. A process with another id does not take it for its own.

use super::worker::{Stage, Worker};
use crate::config::env::Environment;
use crate::engine::process;
use std::fmt::Write;
use std::os::fd::{AsRawFd, OwnedFd};

/// Name of the variable.
pub const VARIABLE: &str = Environment::MASTER;

#[derive(Default)]
pub struct Memory {
    /// Microseconds on the system's monotonic clock.
    pub started_us: u64,
    pub reloads: u32,
    pub failed: u32,
    /// The version that was started first.
    pub version: String,
    /// Listening sockets of the `-S` options, in their order.
    pub doors: Vec<OwnedFd>,
    pub workers: Vec<Worker>,
    /// Who asked for the reload and waits for its outcome.
    pub reply: Option<OwnedFd>,
    pub hard: bool,
}

impl Memory {
    /// What the process was before it executed itself; `None`: it starts for the first time.
    pub fn recall() -> Option<Memory> {
        let text = std::env::var(VARIABLE).ok()?;
        let mut lines = text.lines();
        let own = lines.next()?.strip_prefix("pid ")?.parse::<u32>().ok()? == std::process::id();
        if !own {
            return None;
        }
        let mut memory = Memory::default();
        for line in lines {
            memory.take(line);
        }
        memory.keep_open(false);
        Some(memory)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let name = words.next()?;
        let mut number = || words.next().and_then(|w| w.parse::<u64>().ok());
        match name {
            "started" => self.started_us = number()?,
            "reloads" => self.reloads = number()? as u32,
            "failed" => self.failed = number()? as u32,
            "version" => self.version = words.next()?.to_owned(),
            "door" => self.doors.push(process::inherited(number()? as i32)?),
            "reply" => self.reply = process::inherited(number()? as i32),
            "hard" => self.hard = true,
            "worker" => {
                let (pid, reloads, started_us) = (number()? as i32, number()? as u32, number()?);
                let stage = if number()? == 0 { Stage::Leaving } else { Stage::Current };
                let channel = process::inherited(number()? as i32)?;
                let version = words.next()?.to_owned();
                self.workers.push(Worker { pid, reloads, started_us, stage, channel, version });
            }
            _ => {}
        }
        Some(())
    }

    /// As text for [`Memory::recall`].
    pub fn write(&self) -> String {
        let mut text = format!("pid {}\n", std::process::id());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "started {}\nreloads {}\nfailed {}", self.started_us, self.reloads, self.failed);
        let _ = writeln!(text, "version {}", self.version);
        for door in &self.doors {
            let _ = writeln!(text, "door {}", door.as_raw_fd());
        }
        for w in &self.workers {
            let current = u8::from(w.stage == Stage::Current);
            let (fd, version) = (w.channel.as_raw_fd(), &w.version);
            let _ = writeln!(text, "worker {} {} {} {current} {fd} {version}", w.pid, w.reloads, w.started_us);
        }
        if let Some(reply) = &self.reply {
            let _ = writeln!(text, "reply {}", reply.as_raw_fd());
        }
        if self.hard {
            text.push_str("hard\n");
        }
        text
    }

    /// Lets the descriptors outlive the execution of another program, or not.
    pub fn keep_open(&self, keep: bool) {
        let flags = if keep { rustix::io::FdFlags::empty() } else { rustix::io::FdFlags::CLOEXEC };
        for fd in self.doors.iter().chain(self.workers.iter().map(|w| &w.channel)).chain(&self.reply) {
            let _ = rustix::io::fcntl_setfd(fd, flags);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn what_is_written_is_recalled() {
        let channel = || OwnedFd::from(std::io::pipe().unwrap().0);
        let worker = Worker {
            pid: 77,
            reloads: 3,
            started_us: 12,
            stage: Stage::Current,
            channel: channel(),
            version: "3.4.0".into(),
        };
        let memory = Memory {
            started_us: 5,
            reloads: 4,
            failed: 1,
            version: "3.3.9".into(),
            doors: vec![channel()],
            workers: vec![worker],
            reply: Some(channel()),
            hard: true,
        };
        let text = memory.write();
        let mut recalled = Memory::default();
        // The descriptors are the recalling one's from here on.
        memory.doors.into_iter().chain(memory.workers.into_iter().map(|w| w.channel)).chain(memory.reply).for_each(
            |fd| {
                let _ = fd.into_raw_fd();
            },
        );
        text.lines().skip(1).for_each(|l| recalled.take(l).unwrap());
        assert_eq!(recalled.write(), text);
        assert_eq!((recalled.workers[0].pid, recalled.reloads, recalled.failed), (77, 4, 1));
    }
}
