//! What a process gives up before it serves: its limits are raised first, then root directory, groups and user.

use crate::engine::process;
use crate::model::global::Global;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are needed beside connections: rings, logs, listeners and checks.
pub const RESERVE: u64 = 64;

/// The connections at once that the process can hold: the configured number, or what the descriptor limit allows
/// (manual 3 "maxconn", "ulimit-n"). The limit is raised where that is possible; it is never lowered.
pub fn raise_limits(global: &Global, listeners: usize) -> u32 {
    raise_locked_memory();
    let now = getrlimit(Resource::Nofile);
    let (soft, hard) = (now.current.unwrap_or(u64::MAX), now.maximum.unwrap_or(u64::MAX));
    let overhead = RESERVE + listeners as u64;
    let wanted = match (global.ulimit_n, global.maxconn) {
        (Some(n), _) => n,
        (None, Some(maxconn)) => 2 * maxconn as u64 + overhead,
        (None, None) => hard.min(1 << 20),
    };
    let mut limit = soft;
    if wanted > soft {
        let raised = Rlimit { current: Some(wanted), maximum: Some(wanted.max(hard)) };
        let most = Rlimit { current: Some(hard), maximum: Some(hard) };
        limit = if setrlimit(Resource::Nofile, raised).is_ok() {
            wanted
        } else if setrlimit(Resource::Nofile, most).is_ok() {
            hard
        } else {
            soft
        };
    }
    match global.maxconn {
        Some(maxconn) => maxconn,
        None => (limit.saturating_sub(overhead) / 2).min(u32::MAX as u64) as u32,
    }
}

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

/// `chroot`, `group`, `user`. The error is HAProxy's line.
pub fn enter(global: &Global, program: &str) -> Result<(), String> {
    if let Some(path) = &global.chroot {
        rustix::process::chroot(path.as_path())
            .and_then(|()| rustix::process::chdir("/"))
            .map_err(|_| format!("[{program}.main()] Cannot chroot({}).", path.display()))?;
    }
    process::become_user(global.uid, global.gid).map_err(|(call, _)| match (call, global.uid, global.gid) {
        ("setuid", Some(uid), _) => format!("[{program}.main()] Cannot set uid {uid}."),
        (_, _, gid) => format!("[{program}.main()] Cannot set gid {}.", gid.unwrap_or_default()),
    })
}
