//! The `global` section (manual 3).

use super::{bind::Bind, logging::LogTarget, tls::TlsGlobal};
use crate::language::{logformat::LogFormat, sample::Expr, vars::VarName};
use crate::proto::h1::case::CaseMap;
use std::{path::PathBuf, sync::Arc};

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
    /// `master-worker no-exit-on-failure`.
    pub no_exit_on_failure: bool,
    pub pidfile: Option<PathBuf>,
    pub chroot: Option<PathBuf>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub ulimit_n: Option<u64>,
    /// The epoll engine is not used, even where io_uring is refused.
    pub noepoll: bool,
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
    /// Milliseconds at most between two rounds of checks that `spread-checks` moves apart.
    pub max_spread_checks_ms: Option<u64>,
    pub tune: Tune,
    pub tls: TlsGlobal,
    /// `set-var` and `set-var-fmt`, in the order written.
    pub process_vars: Vec<Arc<ProcessVar>>,
    /// `h1-case-adjust`, `h1-case-adjust-file`.
    pub h1_case_adjust: CaseMap,
    pub h1_accept_payload_with_any_method: bool,
    pub h1_do_not_close_on_insecure_transfer_encoding: bool,
    /// `external-check`, and whether the environment is passed on (`preserve-env`).
    pub external_check: Option<bool>,
    pub insecure_fork_wanted: bool,
    /// Programs that this process runs may gain rights by their set-user-id bits.
    pub insecure_setuid_wanted: bool,
    /// `set-dumpable`: the process may dump its core.
    pub set_dumpable: bool,
    /// A descriptor limit that can't be raised is an error (`strict-limits`, on by default).
    pub strict_limits: bool,
    pub busy_polling: bool,
    pub nosplice: bool,
    /// WebSocket over HTTP/2 is not offered to clients.
    pub h2_workaround_bogus_websocket_clients: bool,
    /// Workers share one socket for each address instead of having one each (`noreuseport`, `-dR`).
    pub noreuseport: bool,
    /// A process that has finished leaves without tearing its threads down.
    pub quick_exit: bool,
    pub unix_bind: UnixBind,
    pub maxconnrate: Option<u32>,
    pub maxsessrate: Option<u32>,
    /// Bytes of compressed output a second (written in kB).
    pub maxcomprate: Option<u32>,
    pub maxcompcpuusage: u32,
    /// Bytes of compression state at most (written in MB).
    pub maxzlibmem: Option<u64>,
    /// Pipes for splicing at once; `None`: a quarter of `maxconn`.
    pub maxpipes: Option<u32>,
    pub fd_hard_limit: Option<u64>,
    pub mworker_max_reloads: Option<u32>,
    pub expose_deprecated_directives: bool,
    pub expose_experimental_directives: bool,
    /// Statuses that `http_err_cnt` of stick tables counts (`http-err-codes`).
    pub http_err_codes: Statuses,
    /// Statuses that `http_fail_cnt` of stick tables counts (`http-fail-codes`).
    pub http_fail_codes: Statuses,
    /// `close-spread-time`; `u64::MAX` is `infinite`.
    pub close_spread_time_ms: Option<u64>,
    pub grace_ms: Option<u64>,
    /// `dns-accept-family`; `None`: `auto`.
    pub dns_accept_family: Option<super::resolvers::Families>,
    /// Greatest values are shown (`stats calculate-max-counters`, on by default).
    pub stats_calculate_max_counters: bool,
}

/// A variable of the process and what it is set to when the process starts.
#[derive(Debug)]
pub struct ProcessVar {
    pub name: VarName,
    pub value: ProcessValue,
}

#[derive(Debug)]
pub enum ProcessValue {
    Expr(Expr),
    Format(LogFormat),
}

/// A set of statuses from 100 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statuses([u64; 8]);

impl Statuses {
    /// With all of `range` in it, or none of it; what is no status is left out.
    pub fn with(mut self, range: std::ops::RangeInclusive<u16>, member: bool) -> Statuses {
        for bit in range.filter(|status| (100..600).contains(status)).map(|status| status - 100) {
            let (word, mask) = (&mut self.0[usize::from(bit / 64)], 1 << (bit % 64));
            *word = if member { *word | mask } else { *word & !mask };
        }
        self
    }

    pub fn contains(&self, status: u16) -> bool {
        (100..600).contains(&status) && self.0[usize::from((status - 100) / 64)] >> ((status - 100) % 64) & 1 == 1
    }
}

/// `unix-bind`: defaults for UNIX listening sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnixBind {
    pub prefix: Option<String>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// `default-path`: what relative file names are relative to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DefaultPath {
    #[default]
    Current,
    /// The folder of the configuration file.
    Config,
    /// The folder above it.
    Parent,
    Origin(PathBuf),
}

/// `tune.*` settings that change what ringway does.
#[derive(Debug, Clone)]
pub struct Tune {
    /// Bytes of a request or response head at most (with `maxrewrite` kept free for edits).
    pub bufsize: usize,
    pub maxrewrite: usize,
    /// Header fields in a head at most.
    pub http_maxhdr: usize,
    /// Bytes of a captured cookie at most.
    pub http_cookielen: usize,
    pub rcvbuf_server: Option<usize>,
    pub sndbuf_server: Option<usize>,
    pub comp_maxlevel: u32,
    pub zlib_memlevel: u32,
    pub zlib_windowsize: u32,
    pub h2_initial_window_size: u32,
    pub h2_be_initial_window_size: Option<u32>,
    pub h2_fe_initial_window_size: Option<u32>,
    pub h2_max_concurrent_streams: u32,
    pub h2_be_max_concurrent_streams: Option<u32>,
    pub h2_fe_max_concurrent_streams: Option<u32>,
    pub h2_fe_max_total_streams: Option<u32>,
    pub h2_header_table_size: u32,
    pub h2_max_frame_size: Option<u32>,
    /// Bytes of a connection's streams that wait to be read.
    pub h2_fe_rxbuf: u32,
    pub h2_be_rxbuf: u32,
    /// Glitches after which a connection ends; 0: never.
    pub h2_fe_glitches_threshold: u32,
    pub h2_be_glitches_threshold: u32,
    /// Bytes of the variables of one scope at most; 0: no bound.
    pub vars_global_max_size: usize,
    pub vars_sess_max_size: usize,
    pub vars_txn_max_size: usize,
    pub vars_reqres_max_size: usize,
    pub stick_counters: u32,
    pub max_checks_per_thread: u32,
}

impl Tune {
    /// Bytes of a buffer without what rewriting needs: what a head, or a body that rules look at, may take (manual 3.2
    /// "tune.maxrewrite").
    pub fn buffer_room(&self) -> usize {
        self.bufsize.saturating_sub(self.maxrewrite)
    }

    /// Bytes that the variables of a session, of a transaction, and of a request or response may take. A scope has no more
    /// room than the one around it (manual 3.2 "tune.vars.global-max-size").
    pub fn vars_bounds(&self) -> [usize; 3] {
        let bound = |n: usize| if n == 0 { usize::MAX } else { n };
        let session = bound(self.vars_global_max_size).min(bound(self.vars_sess_max_size));
        let transaction = session.min(bound(self.vars_txn_max_size));
        [session, transaction, transaction.min(bound(self.vars_reqres_max_size))]
    }
}

impl Default for Tune {
    fn default() -> Self {
        Tune {
            bufsize: 16384,
            maxrewrite: 1024,
            http_maxhdr: 101,
            http_cookielen: 63,
            rcvbuf_server: None,
            sndbuf_server: None,
            comp_maxlevel: 1,
            zlib_memlevel: 8,
            zlib_windowsize: 15,
            h2_initial_window_size: 65536,
            h2_be_initial_window_size: None,
            h2_fe_initial_window_size: None,
            h2_max_concurrent_streams: 100,
            h2_be_max_concurrent_streams: None,
            h2_fe_max_concurrent_streams: None,
            h2_fe_max_total_streams: None,
            h2_header_table_size: 4096,
            h2_max_frame_size: None,
            h2_fe_rxbuf: 1_638_400,
            h2_be_rxbuf: 1_638_400,
            h2_fe_glitches_threshold: 0,
            h2_be_glitches_threshold: 0,
            vars_global_max_size: 0,
            vars_sess_max_size: 0,
            vars_txn_max_size: 0,
            vars_reqres_max_size: 0,
            stick_counters: 3,
            max_checks_per_thread: 0,
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
            no_exit_on_failure: false,
            pidfile: None,
            chroot: None,
            uid: None,
            gid: None,
            ulimit_n: None,
            noepoll: false,
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
            max_spread_checks_ms: None,
            tune: Tune::default(),
            tls: TlsGlobal::default(),
            process_vars: Vec::new(),
            h1_case_adjust: CaseMap::default(),
            h1_accept_payload_with_any_method: false,
            h1_do_not_close_on_insecure_transfer_encoding: false,
            external_check: None,
            insecure_fork_wanted: false,
            insecure_setuid_wanted: false,
            set_dumpable: false,
            strict_limits: true,
            busy_polling: false,
            nosplice: false,
            h2_workaround_bogus_websocket_clients: false,
            noreuseport: false,
            quick_exit: false,
            unix_bind: UnixBind::default(),
            maxconnrate: None,
            maxsessrate: None,
            maxcomprate: None,
            maxcompcpuusage: 100,
            maxzlibmem: None,
            maxpipes: None,
            fd_hard_limit: None,
            mworker_max_reloads: None,
            expose_deprecated_directives: false,
            expose_experimental_directives: false,
            http_err_codes: Statuses::default().with(400..=499, true),
            http_fail_codes: Statuses::default().with(500..=599, true).with(501..=501, false).with(505..=505, false),
            close_spread_time_ms: None,
            grace_ms: None,
            dns_accept_family: None,
            stats_calculate_max_counters: true,
        }
    }
}
