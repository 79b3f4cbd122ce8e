//! Statistics for tools and people: one catalogue of fields ([`catalogue`]) whose values are read from the board
//! ([`fields`]), written as CSV, typed lines, JSON, Prometheus text or a page. Pure: everything is given, nothing is
//! asked of a socket or clock; answers are appended to a `Vec<u8>`. Those about many objects are a [`report::Report`],
//! which is written piece by piece while it goes through them ([`walk`]).

pub mod action;
pub mod catalogue;
pub mod csv;
pub mod fields;
pub mod html;
pub mod info;
pub mod json;
pub mod listing;
pub mod prometheus;
pub mod report;
pub mod servers;
pub mod typed;
mod value {
    pub mod backend;
    pub mod frontend;
    pub mod listener;
    pub mod server;
}
pub mod walk;

use crate::{
    base::clock::Now,
    model::{plan::Plan, state::board::Board},
};

/// What every answer is made from.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub plan: &'a Plan,
    pub board: &'a Board,
    pub process: &'a Process<'a>,
    pub now: Now,
    /// Addresses, cookies and algorithms are shown (level operator and admin, or `stats show-legends`).
    pub legends: bool,
}

/// Facts about the process that neither plan nor board hold.
#[derive(Debug, Clone, Copy)]
pub struct Process<'a> {
    pub pid: u32,
    pub node: &'a str,
    /// Moment of the start, on the clock of `Scene::now`.
    pub started: Now,
    pub boot_ms: u64,
    pub ulimit_n: u64,
    pub maxsock: u64,
    pub warnings: u64,
    pub memmax_mb: u64,
    /// Bytes of memory that compression holds.
    pub compression_bytes: u64,
    /// Name of the engine: `io_uring` or `epoll`, and why.
    pub engine: &'a str,
}

/// The version that tools see.
pub const VERSION: &str = "3.4.0";
pub const RELEASE_DATE: &str = "2026/06/03";

impl Scene<'_> {
    /// Whole seconds since the start.
    pub fn uptime_s(&self) -> u64 {
        self.now.mono.since(self.process.started.mono) / 1000
    }

    /// `0d 0h00m16s`.
    pub fn uptime(&self) -> String {
        let s = self.uptime_s();
        format!("{}d {}h{:02}m{:02}s", s / 86_400, s % 86_400 / 3600, s % 3600 / 60, s % 60)
    }
}

#[cfg(test)]
mod tests;
