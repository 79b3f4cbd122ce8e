//! What `show dev` tells (management guide 9.3): the program, the machine, and this process at its start and now.

use super::startup::{features, kernel};
use super::supervise;
use crate::admin::stats::VERSION;
use crate::model::plan::Plan;
use rustix::process::{Resource, getgid, getrlimit, getuid};
use std::fmt::Write;

/// Identity and limits of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    uid: u32,
    gid: u32,
    /// Soft and hard; `None`: unlimited.
    descriptors: (Option<u64>, Option<u64>),
    memory: (Option<u64>, Option<u64>),
}

impl Standing {
    pub fn now() -> Standing {
        let of = |resource| {
            let limit = getrlimit(resource);
            (limit.current, limit.maximum)
        };
        Standing {
            uid: getuid().as_raw(),
            gid: getgid().as_raw(),
            descriptors: of(Resource::Nofile),
            memory: of(Resource::As),
        }
    }
}

/// The whole answer. `engine` is the one in use and why.
pub fn text(boot: Standing, plan: &Plan, engine: &str, workers: usize) -> String {
    let mut out = format!("HAProxy version {VERSION}\nProgram:\n  ringway {}\n", env!("CARGO_PKG_VERSION"));
    let list: String = features().iter().map(|f| format!(" +{f}")).collect();
    let system = rustix::system::uname();
    let word = |w: &std::ffi::CStr| w.to_string_lossy().into_owned();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "Features:\n {list}\nEngine:\n  {engine}");
    let _ = writeln!(out, "Platform info:\n  system: {}", kernel());
    let _ = writeln!(out, "  OS name: {}\n  OS release: {}", word(system.sysname()), word(system.release()));
    let _ = writeln!(out, "  OS version: {}\n  OS architecture: {}", word(system.version()), word(system.machine()));
    let _ = writeln!(out, "  node name: {}", word(system.nodename()));
    let arguments: Vec<String> = std::env::args().collect();
    let _ = writeln!(out, "Process info:\n  pid: {}\n  cmdline: {} ", std::process::id(), arguments.join(" "));
    let now = Standing::now();
    let mut row = |name: &str, boot: String, now: String| {
        // A heading stands further left.
        let indent = if boot == "-boot-" { 2 } else { 6 };
        let _ = writeln!(out, "{:indent$}{name:<1$}{boot:<12} {now:<12}", "", 26 - indent);
    };
    let limit = |n: Option<u64>| n.map_or("unlimited".to_owned(), |n| n.to_string());
    row("identity:", "-boot-".to_owned(), "-runtime-".to_owned());
    row("uid:", boot.uid.to_string(), now.uid.to_string());
    row("gid:", boot.gid.to_string(), now.gid.to_string());
    row("limits:", "-boot-".to_owned(), "-runtime-".to_owned());
    row("fd limit (soft):", limit(boot.descriptors.0), limit(now.descriptors.0));
    row("fd limit (hard):", limit(boot.descriptors.1), limit(now.descriptors.1));
    row("ram limit (soft):", limit(boot.memory.0), limit(now.memory.0));
    row("ram limit (hard):", limit(boot.memory.1), limit(now.memory.1));
    out.push_str("Thread CPU Bindings:\n  Tgrp/Thr  Tid        CPU set\n");
    let cpus = supervise::cpus(plan, workers);
    for thread in 0..workers {
        let set = cpus.get(thread).cloned().unwrap_or_default();
        let list: Vec<String> = set.iter().map(usize::to_string).collect();
        let list = if list.is_empty() { "any".to_owned() } else { format!("{}: {}", list.len(), list.join(",")) };
        let number = thread + 1;
        let _ = writeln!(out, "  {:<9} {number:<10} {list}", format!("1/{number}"));
    }
    out
}
