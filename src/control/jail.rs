//! What a process gives up before it serves: its limits are raised first, then root directory, groups and user.

use crate::config::diagnostic::Severity;
use crate::engine::{driver, process};
use crate::model::global::Global;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are needed beside connections: rings, logs, listeners and checks.
pub const RESERVE: u64 = 64;

/// What HAProxy 3.4 was seen to add to twice the connections, with one listener.
const RESERVE_OF_HAPROXY: u64 = 17;

/// Descriptors at most where the limit is nobody's choice (manual 3.1 "fd-hard-limit"): more of them cost memory.
const FD_HARD_LIMIT: u64 = 1 << 20;

/// What the process may hold.
pub struct Limits {
    /// Connections at once.
    pub maxconn: u32,
    /// What is to be told of limits that could not be had (`no strict-limits`).
    pub messages: Vec<(Severity, String)>,
}

/// Raises the limit of descriptors to what the configuration needs (manual 3.1 "maxconn", "ulimit-n", "fd-hard-limit"). It
/// is never lowered.
///
/// # Errors
/// HAProxy's line, where the limit can't be had and `strict-limits` stands.
pub fn raise_limits(
    global: &Global,
    listeners: usize,
    memory_mb: Option<u64>,
    program: &str,
) -> Result<Limits, String> {
    raise_locked_memory();
    let now = getrlimit(Resource::Nofile);
    let (soft, hard) = (now.current.unwrap_or(u64::MAX), now.maximum.unwrap_or(u64::MAX));
    let cap = global.fd_hard_limit.unwrap_or(FD_HARD_LIMIT);
    let overhead = RESERVE + listeners as u64;
    let needed = |maxconn: u32| 2 * u64::from(maxconn) + overhead;
    let wanted = match (global.ulimit_n, global.maxconn) {
        (Some(n), _) => n,
        (None, Some(maxconn)) => needed(maxconn),
        (None, None) => hard.min(cap),
    };
    let set = |current: u64, maximum: u64| {
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: Some(maximum) }).is_ok()
    };
    let least = soft.min(cap);
    let limit = if wanted <= least || wanted <= cap && set(wanted, wanted.max(hard)) {
        wanted.max(least)
    } else if soft < hard.min(cap) && set(hard.min(cap), hard) {
        hard.min(cap)
    } else {
        least
    };
    // HAProxy keeps fewer descriptors beside its connections: where it starts, so do we.
    let required = global.ulimit_n.or(global.maxconn.map(|n| 2 * u64::from(n) + RESERVE_OF_HAPROXY)).unwrap_or(0);
    let mut messages = Vec::new();
    if limit < required {
        let fits = hard.saturating_sub(overhead) / 2;
        let text = format!(
            "[{program}.main()] Cannot raise FD limit to {wanted}, current limit is {limit} and hard limit is {hard}. You \
             may prefer to let HAProxy adjust the limit by itself; for this, please just drop any 'maxconn' and 'ulimit-n' \
             from the global section, and possibly add 'fd-hard-limit' lower than this hard limit. You may also force a \
             new 'maxconn' value that is a bit lower than half of the hard limit minus listeners and checks. This results \
             in roughly {fits} here."
        );
        if global.strict_limits {
            return Err(text);
        }
        messages.push((Severity::Warning, text));
    }
    let fits = || {
        let by_descriptors = limit.saturating_sub(overhead) / 2;
        let by_memory = memory_mb.map_or(u64::MAX, |mb| connections_in(mb, global.tune.bufsize as u64));
        by_descriptors.min(by_memory).min(u64::from(u32::MAX)) as u32
    };
    let maxconn = global.maxconn.unwrap_or_else(fits);
    if limit < needed(maxconn) && !messages.is_empty() {
        let maxsock = needed(maxconn);
        let text = format!(
            "[{program}.main()] FD limit ({limit}) too low for maxconn={maxconn}/maxsock={maxsock}. Please raise \
             'ulimit-n' to {maxsock} or more to avoid any trouble."
        );
        messages.push((Severity::Alert, text));
    }
    Ok(Limits { maxconn, messages })
}

/// Connections that fit into so much memory, each with two buffers and its state, in two digits (observed).
fn connections_in(megabytes: u64, bufsize: u64) -> u64 {
    let most = megabytes.saturating_mul(1 << 20) / (2 * bufsize + 4096);
    let unit = 10u64.pow(most.checked_ilog10().unwrap_or(0).saturating_sub(1));
    (most / unit * unit).max(1)
}

/// `-m`: limits the data of the process (RLIMIT_DATA). The address space that `workers` (a master has none) and
/// the main thread reserve for their buffers counts.
///
/// # Errors
/// A line, where the workers cannot start within the limit or it cannot be had.
pub fn limit_memory(megabytes: u64, workers: usize, program: &str) -> Result<(), String> {
    // One more was tried before, and what a ring may read stays mapped.
    let reserved = (driver::RESERVED * (workers + 2)) as u64;
    let least = (reserved + RESERVE_OF_DATA * (workers as u64 + 1)).div_ceil(1 << 20);
    if megabytes < least {
        let who = if workers == 0 { "a master needs".to_owned() } else { format!("{workers} threads need") };
        let text = format!("-m {megabytes} : {who} {least} MB of data for buffers at the start.");
        return Err(format!("[{program}.main()] {text}"));
    }
    let limit = Some(megabytes.saturating_mul(1 << 20));
    setrlimit(Resource::Data, Rlimit { current: limit, maximum: limit })
        .map_err(|_| format!("[{program}.main()] Cannot set the memory limit to {megabytes} MB."))
}

/// Data of a thread beside its buffers: its stack and first allocations, with room to spare.
const RESERVE_OF_DATA: u64 = 8 << 20;

/// Rings are set up by the user that serves, and there are kernels (6.18 is one) that count half a megabyte of each worker's
/// ring against what this user may lock, over all its processes. The usual 8 MB would not hold a reload on ten cores.
fn raise_locked_memory() {
    let none = Rlimit { current: None, maximum: None };
    if setrlimit(Resource::Memlock, none).is_err() {
        let maximum = getrlimit(Resource::Memlock).maximum;
        // What is still too little is said when a ring cannot be set up.
        let _ = setrlimit(Resource::Memlock, Rlimit { current: maximum, maximum });
    }
}

/// How many descriptors the process may have open.
pub fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// `chroot`, `group`, `user`, `set-dumpable`, `insecure-setuid-wanted`. The error is HAProxy's line.
pub fn enter(global: &Global, program: &str) -> Result<(), String> {
    if let Some(path) = &global.chroot {
        rustix::process::chroot(path.as_path())
            .and_then(|()| rustix::process::chdir("/"))
            .map_err(|_| format!("[{program}.main()] Cannot chroot({}).", path.display()))?;
    }
    process::become_user(global.uid, global.gid).map_err(|(call, _)| match (call, global.uid, global.gid) {
        ("setuid", Some(uid), _) => format!("[{program}.main()] Cannot set uid {uid}."),
        (_, _, gid) => format!("[{program}.main()] Cannot set gid {}.", gid.unwrap_or_default()),
    })?;
    if global.set_dumpable {
        let unlimited = Rlimit { current: None, maximum: None };
        // Where it may not be raised, what there is serves.
        let _ = setrlimit(Resource::Core, unlimited);
        process::allow_core_dumps();
    }
    if !global.insecure_setuid_wanted {
        process::forbid_new_privileges();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn connections_follow_memory_as_haproxys_do() {
        let seen = [50, 100, 200, 300].map(|mb| super::connections_in(mb, 16384));
        assert_eq!(seen, [1400, 2800, 5600, 8500]);
        assert_eq!(super::connections_in(0, 16384), 1);
    }
}
