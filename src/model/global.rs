//! The `global` section (manual 3).

use super::{bind::Bind, logging::LogTarget};
use std::path::PathBuf;

#[derive(Debug, Clone)]
pub struct Global {
    /// Worker threads; resolved from `nbthread` or the CPUs of the inherited mask.
    pub nbthread: usize,
    /// CPU sets by thread (`cpu-map`); empty: one pinned thread per core of the mask.
    pub cpu_map: Vec<Vec<usize>>,
    /// `maxconn` as written; the effective one is computed at start from the descriptor limit.
    pub maxconn: Option<u32>,
    pub daemon: bool,
    pub master_worker: bool,
    pub pidfile: Option<PathBuf>,
    pub chroot: Option<PathBuf>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub ulimit_n: Option<u64>,
    pub quiet: bool,
    pub zero_warning: bool,
    pub node: Option<String>,
    pub description: Option<String>,
    pub localpeer: Option<String>,
    pub hard_stop_after_ms: Option<u64>,
    pub log_targets: Vec<LogTarget>,
    /// Syslog tag; default: the name the program was started by.
    pub log_tag: Option<String>,
    /// `log-send-hostname`: `Some(None)` means the machine's own name.
    pub log_send_hostname: Option<Option<String>>,
    /// `stats socket` lines.
    pub stats_sockets: Vec<Bind>,
    pub stats_timeout_ms: u64,
    pub stats_maxconn: u32,
    /// Percentage by which checks are spread (`spread-checks`).
    pub spread_checks: u32,
    pub server_state_base: Option<PathBuf>,
    pub server_state_file: Option<PathBuf>,
    pub tune: Tune,
}

/// `tune.*` settings that change what ringway does.
#[derive(Debug, Clone)]
pub struct Tune {
    /// Bytes of a request or response head at most (with `maxrewrite` kept free for edits).
    pub bufsize: usize,
    pub maxrewrite: usize,
    /// Connections accepted per listener and loop turn.
    pub maxaccept: usize,
    /// Header fields in a head at most.
    pub http_maxhdr: usize,
    /// Bytes of a URI kept for the log.
    pub http_logurilen: usize,
    pub http_cookielen: usize,
    /// Idle server connections kept per process and server.
    pub idle_pool_shared: bool,
    pub pool_low_fd_ratio: u32,
    pub rcvbuf_client: Option<usize>,
    pub sndbuf_client: Option<usize>,
    pub rcvbuf_server: Option<usize>,
    pub sndbuf_server: Option<usize>,
    pub comp_maxlevel: u32,
}

impl Default for Tune {
    fn default() -> Self {
        Tune {
            bufsize: 16384,
            maxrewrite: 1024,
            maxaccept: 64,
            http_maxhdr: 101,
            http_logurilen: 1024,
            http_cookielen: 63,
            idle_pool_shared: true,
            pool_low_fd_ratio: 20,
            rcvbuf_client: None,
            sndbuf_client: None,
            rcvbuf_server: None,
            sndbuf_server: None,
            comp_maxlevel: 1,
        }
    }
}

impl Default for Global {
    fn default() -> Self {
        Global {
            nbthread: 0,
            cpu_map: Vec::new(),
            maxconn: None,
            daemon: false,
            master_worker: false,
            pidfile: None,
            chroot: None,
            uid: None,
            gid: None,
            ulimit_n: None,
            quiet: false,
            zero_warning: false,
            node: None,
            description: None,
            localpeer: None,
            hard_stop_after_ms: None,
            log_targets: Vec::new(),
            log_tag: None,
            log_send_hostname: None,
            stats_sockets: Vec::new(),
            stats_timeout_ms: 10_000,
            stats_maxconn: 10,
            spread_checks: 0,
            server_state_base: None,
            server_state_file: None,
            tune: Tune::default(),
        }
    }
}
