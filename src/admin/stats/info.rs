//! `show info`: every key of 3.4 with its tags, description and value (management guide 9.3). The keys of zlib's memory are
//! left out, as by a HAProxy that compresses without zlib.

use super::{RELEASE_DATE, Scene, VERSION, fields::Value};
use crate::engine::emitted;
use crate::model::state::{board::ProcessRate, counters::ProcessCounter, live::FrontendState};
use std::{
    io::Write,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// A row of the catalogue.
pub struct Key {
    pub position: usize,
    pub name: &'static str,
    pub tags: &'static str,
    pub description: &'static str,
    value: for<'a> fn(&Scene<'a>) -> Value<'a>,
}

/// A key with its value.
pub struct Item<'a> {
    pub position: usize,
    pub name: &'static str,
    pub tags: &'static str,
    pub description: &'static str,
    pub value: Value<'a>,
}

/// How `show info` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Plain,
    Typed,
    Json,
}

pub static KEYS: &[Key] = &[
    key(0, "Name", "POS", "Product name", |_| Value::str("HAProxy")),
    key(1, "Version", "POS", "Product version", |_| Value::str(VERSION)),
    key(2, "Release_date", "POS", "Date of latest source code update", |_| Value::str(RELEASE_DATE)),
    key(3, "Nbthread", "CGS", "Number of started threads (global.nbthread)", |s| n32(s.board.workers() as u64)),
    key(4, "Nbproc", "CGS", "Number of started worker processes (historical, always 1)", |_| n32(1)),
    key(5, "Process_num", "KGP", "Relative worker process number (1)", |_| n32(1)),
    key(6, "Pid", "SGP", "This worker process identifier for the system", |s| n32(s.process.pid as u64)),
    key(7, "Uptime", "MDP", "How long ago this worker process was started (days+hours+minutes+seconds)", |s| {
        Value::str(s.uptime())
    }),
    key(8, "Uptime_sec", "MDP", "How long ago this worker process was started (seconds)", |s| n32(s.uptime_s())),
    key(9, "Memmax_MB", "CLP", "Worker process's hard limit on memory usage in MB (-m on command line)", |s| {
        n32(s.process.memmax_mb)
    }),
    key(10, "PoolAlloc_MB", "MGP", "Amount of memory allocated in pools (in MB)", |s| {
        n32(memory(s, ProcessCounter::BufferBytes) >> 20)
    }),
    key(11, "PoolUsed_MB", "MGP", "Amount of pool memory currently used (in MB)", |s| {
        n32(memory(s, ProcessCounter::BufferBytesUsed) >> 20)
    }),
    key(12, "PoolFailed", "MCP", "Number of failed pool allocations since this worker was started", |s| {
        n32(s.board.process(ProcessCounter::PoolFailed))
    }),
    key(13, "Ulimit-n", "CLP", "Hard limit on the number of per-process file descriptors", |s| {
        n32(s.process.ulimit_n)
    }),
    key(14, "Maxsock", "CLP", "Hard limit on the number of per-process sockets", |s| n32(s.process.maxsock)),
    key(
        15,
        "Maxconn",
        "CLP",
        "Hard limit on the number of per-process connections (configured or imposed by Ulimit-n)",
        |s| n32(limit(&s.board.live.process.maxconn)),
    ),
    key(
        16,
        "Hard_maxconn",
        "CLP",
        "Hard limit on the number of per-process connections (imposed by Memmax_MB or Ulimit-n)",
        |s| n32(limit(&s.board.live.process.hard_maxconn)),
    ),
    key(17, "CurrConns", "MGP", "Current number of connections on this worker process", |s| {
        n32(s.board.process(ProcessCounter::CurrConns))
    }),
    key(18, "CumConns", "MCP", "Total number of connections on this worker process since started", |s| {
        n32(s.board.process(ProcessCounter::CumConns))
    }),
    key(19, "CumReq", "MCP", "Total number of requests on this worker process since started", |s| {
        n32(s.board.process(ProcessCounter::CumReq))
    }),
    key(
        20,
        "MaxSslConns",
        "MMP",
        "Hard limit on the number of per-process SSL endpoints (front+back), 0=unlimited",
        |s| n32(s.plan.global.tls.maxsslconn.unwrap_or(0).into()),
    ),
    key(21, "CurrSslConns", "MGP", "Current number of SSL endpoints on this worker process (front+back)", |s| {
        n32(s.board.process(ProcessCounter::CurrSslConns))
    }),
    key(
        22,
        "CumSslConns",
        "MCP",
        "Total number of SSL endpoints on this worker process since started (front+back)",
        |s| n32(s.board.process(ProcessCounter::CumSslConns)),
    ),
    key(23, "Maxpipes", "CLP", "Hard limit on the number of pipes for splicing, 0=unlimited", |s| {
        n32(s.plan.global.maxpipes.unwrap_or(0).into())
    }),
    key(24, "PipesUsed", "MGP", "Current number of pipes in use in this worker process", |s| {
        n32(s.board.process(ProcessCounter::PipesUsed))
    }),
    // A pipe is closed when its transfer ends: none waits for the next one.
    key(25, "PipesFree", "MGP", "Current number of allocated and available pipes in this worker process", |_| n32(0)),
    key(
        26,
        "ConnRate",
        "MRP",
        "Number of front connections created on this worker process over the last second",
        |s| rate(s, ProcessRate::Connections).0,
    ),
    key(27, "ConnRateLimit", "CLP", "Hard limit for ConnRate (global.maxconnrate)", |s| {
        n32(limit(&s.board.live.process.connections_per_second))
    }),
    key(
        28,
        "MaxConnRate",
        "MMP",
        "Highest ConnRate reached on this worker process since started (in connections per second)",
        |s| rate(s, ProcessRate::Connections).1,
    ),
    key(29, "SessRate", "MRP", "Number of sessions created on this worker process over the last second", |s| {
        rate(s, ProcessRate::Sessions).0
    }),
    key(30, "SessRateLimit", "CLP", "Hard limit for SessRate (global.maxsessrate)", |s| {
        n32(limit(&s.board.live.process.sessions_per_second))
    }),
    key(
        31,
        "MaxSessRate",
        "MRP",
        "Highest SessRate reached on this worker process since started (in sessions per second)",
        |s| rate(s, ProcessRate::Sessions).1,
    ),
    key(32, "SslRate", "MRP", "Number of SSL connections created on this worker process over the last second", |s| {
        rate(s, ProcessRate::Ssl).0
    }),
    key(33, "SslRateLimit", "CLP", "Hard limit for SslRate (global.maxsslrate)", |s| {
        n32(limit(&s.board.live.process.ssl_sessions_per_second))
    }),
    key(
        34,
        "MaxSslRate",
        "MMP",
        "Highest SslRate reached on this worker process since started (in connections per second)",
        |s| rate(s, ProcessRate::Ssl).1,
    ),
    key(
        35,
        "SslFrontendKeyRate",
        "MGP",
        "Number of SSL keys created on frontends in this worker process over the last second",
        |s| rate(s, ProcessRate::SslFrontendKeys).0,
    ),
    key(
        36,
        "SslFrontendMaxKeyRate",
        "MMP",
        "Highest SslFrontendKeyRate reached on this worker process since started (in SSL keys per second)",
        |s| rate(s, ProcessRate::SslFrontendKeys).1,
    ),
    key(
        37,
        "SslFrontendSessionReuse_pct",
        "MGP",
        "Percent of frontend SSL connections which did not require a new key",
        |s| n32(reuse(s)),
    ),
    key(
        38,
        "SslBackendKeyRate",
        "MRP",
        "Number of SSL keys created on backends in this worker process over the last second",
        |s| rate(s, ProcessRate::SslBackendKeys).0,
    ),
    key(
        39,
        "SslBackendMaxKeyRate",
        "MMP",
        "Highest SslBackendKeyRate reached on this worker process since started (in SSL keys per second)",
        |s| rate(s, ProcessRate::SslBackendKeys).1,
    ),
    key(
        40,
        "SslCacheLookups",
        "MCP",
        "Total number of SSL session ID lookups in the SSL session cache on this worker since started",
        |s| n32(s.plan.credentials.as_ref().map_or(0, |c| c.sessions.counters().0)),
    ),
    key(
        41,
        "SslCacheMisses",
        "MCP",
        "Total number of SSL session ID lookups that didn't find a session in the SSL session cache on this worker since started",
        |s| n32(s.plan.credentials.as_ref().map_or(0, |c| c.sessions.counters().1)),
    ),
    key(
        42,
        "CompressBpsIn",
        "MRP",
        "Number of bytes submitted to the HTTP compressor in this worker process over the last second",
        |s| rate(s, ProcessRate::CompressIn).0,
    ),
    key(
        43,
        "CompressBpsOut",
        "MRP",
        "Number of bytes emitted by the HTTP compressor in this worker process over the last second",
        |s| rate(s, ProcessRate::CompressOut).0,
    ),
    key(
        44,
        "CompressBpsRateLim",
        "CLP",
        "Limit of CompressBpsOut beyond which HTTP compression is automatically disabled",
        |s| n32(s.board.live.process.compression_bytes_per_second.load(Relaxed)),
    ),
    key(45, "Tasks", "MGP", "Total number of tasks in the current worker process (active + sleeping)", |s| {
        n32(s.board.process(ProcessCounter::Tasks))
    }),
    key(46, "Run_queue", "MGP", "Total number of active tasks+tasklets in the current worker process", |s| {
        n32(s.board.process(ProcessCounter::RunQueue))
    }),
    key(47, "Idle_pct", "MaP", "Percentage of last second spent waiting in the current worker thread", |s| {
        n32(idle(s))
    }),
    key(48, "node", "COS", "Node name (global.node)", |s| Value::str(s.process.node)),
    key(49, "description", "COS", "Node description (global.description)", description),
    key(50, "Stopping", "MGP", "1 if the worker process is currently stopping, otherwise zero", |s| {
        n32(s.board.live.process.stopping.load(Relaxed) as u64)
    }),
    key(
        51,
        "Jobs",
        "MGP",
        "Current number of active jobs on the current worker process (frontend connections, master connections, listeners)",
        |s| {
            n32(listeners(s) + s.board.process(ProcessCounter::CurrConns) + s.board.process(ProcessCounter::ApiConns))
        },
    ),
    key(
        52,
        "Unstoppable Jobs",
        "MGP",
        "Current number of unstoppable jobs on the current worker process (master connections)",
        |_| n32(0),
    ),
    key(53, "Listeners", "MGP", "Current number of active listeners on the current worker process", |s| {
        n32(listeners(s))
    }),
    key(
        54,
        "ActivePeers",
        "MGP",
        "Current number of verified active peers connections on the current worker process",
        |s| n32(s.board.process(ProcessCounter::ActivePeers)),
    ),
    key(
        55,
        "ConnectedPeers",
        "MGP",
        "Current number of peers having passed the connection step on the current worker process",
        |s| n32(s.board.process(ProcessCounter::ConnectedPeers)),
    ),
    key(56, "DroppedLogs", "MGP", "Total number of dropped logs for current worker process since started", |s| {
        n32(s.board.process(ProcessCounter::DroppedLogs))
    }),
    key(
        57,
        "BusyPolling",
        "MGP",
        "1 if busy-polling is currently in use on the worker process, otherwise zero (config.busy-polling)",
        |_| n32(0),
    ),
    key(
        58,
        "FailedResolutions",
        "MGP",
        "Total number of failed DNS resolutions in current worker process since started",
        |s| n32(s.board.process(ProcessCounter::FailedResolutions)),
    ),
    key(59, "TotalBytesOut", "MGP", "Total number of bytes emitted by current worker process since started", |s| {
        Value::U64(s.board.process(ProcessCounter::TotalBytesOut))
    }),
    key(
        60,
        "TotalSplicedBytesOut",
        "MGP",
        "Total number of bytes emitted by current worker process through a kernel pipe since started",
        |s| Value::U64(s.board.process(ProcessCounter::TotalSplicedBytesOut)),
    ),
    key(61, "BytesOutRate", "MRP", "Number of bytes emitted by current worker process over the last second", |s| {
        Value::U64(s.board.process_rate(ProcessRate::BytesOut, s.now.mono).0 as u64 * emitted::UNIT)
    }),
    key(
        62,
        "DebugCommandsIssued",
        "MGP",
        "Number of debug commands issued on this process (anything > 0 is unsafe)",
        |_| n32(0),
    ),
    key(
        63,
        "CumRecvLogs",
        "MCP",
        "Total number of log messages received by log-forwarding listeners on this worker process since started",
        |s| n32(s.board.process(ProcessCounter::CumRecvLogs)),
    ),
    key(64, "Build info", "POS", "Build info", |_| Value::str(VERSION)),
    key(
        65,
        "Memmax_bytes",
        "CLP",
        "Worker process's hard limit on memory usage in bytes (-m on command line)",
        |s| n32(s.process.memmax_mb << 20),
    ),
    key(66, "PoolAlloc_bytes", "MGP", "Amount of memory allocated in pools (in bytes)", |s| {
        Value::U64(memory(s, ProcessCounter::BufferBytes))
    }),
    key(67, "PoolUsed_bytes", "MGP", "Amount of pool memory currently used (in bytes)", |s| {
        Value::U64(memory(s, ProcessCounter::BufferBytesUsed))
    }),
    key(68, "Start_time_sec", "MDP", "Start time in seconds", |s| n32(s.process.started.wall_us / 1_000_000)),
    key(69, "Tainted", "SGP", "Experimental features used", |_| Value::str("0")),
    key(70, "TotalWarnings", "MCP", "Total warnings issued", |s| n32(s.process.warnings)),
    key(
        71,
        "MaxconnReached",
        "MCP",
        "Number of times an accepted connection resulted in Maxconn being reached",
        |s| n32(s.board.process(ProcessCounter::MaxconnReached)),
    ),
    key(
        72,
        "BootTime_ms",
        "MDP",
        "How long ago it took to parse and process the config before being ready (milliseconds)",
        |s| n32(s.process.boot_ms),
    ),
    key(
        73,
        "Niced_tasks",
        "MGP",
        "Total number of active tasks+tasklets in the current worker process (Run_queue) that are niced",
        |s| n32(s.board.process(ProcessCounter::NicedTasks)),
    ),
    key(74, "CurrStreams", "MGP", "Current number of streams on this worker process", |s| {
        Value::U64(s.board.process(ProcessCounter::CurrStreams))
    }),
    key(75, "CumStreams", "MGP", "Total number of streams created on this worker process since started", |s| {
        Value::U64(s.board.process(ProcessCounter::CumStreams))
    }),
    key(
        76,
        "BlockedTrafficWarnings",
        "MGP",
        "Total number of warnings issued about traffic being blocked by too slow a task",
        |s| n32(s.board.process(ProcessCounter::BlockedTrafficWarnings)),
    ),
    key(77, "PatternsAdded", "MGP", "Total number of patterns added (acl/map entries)", |s| {
        Value::U64(s.plan.patterns.counts().0)
    }),
    key(78, "PatternsFreed", "MGP", "Total number of patterns freed (acl/map entries)", |s| {
        Value::U64(s.plan.patterns.counts().1)
    }),
    key(79, "NbThreadGroups", "CGS", "Number of started thread groups (global.thread-groups)", |_| n32(1)),
    // Ours alone, behind all of HAProxy's.
    key(80, "Engine", "POS", "What events come from, and why where it is not io_uring", |s| {
        Value::str(s.process.engine)
    }),
];

const fn key(
    position: usize,
    name: &'static str,
    tags: &'static str,
    description: &'static str,
    value: for<'a> fn(&Scene<'a>) -> Value<'a>,
) -> Key {
    Key { position, name, tags, description, value }
}

/// The value of one key; none for an unknown one.
pub fn value<'a>(scene: &Scene<'a>, name: &str) -> Value<'a> {
    KEYS.iter().find(|k| k.name == name).map_or(Value::None, |k| (k.value)(scene))
}

/// The whole answer, without the empty line after it.
pub fn write(scene: &Scene<'_>, format: Format, descriptions: bool, out: &mut Vec<u8>) {
    let items = KEYS.iter().map(|k| Item {
        position: k.position,
        name: k.name,
        tags: k.tags,
        description: k.description,
        value: (k.value)(scene),
    });
    let items: Vec<Item<'_>> = items.filter(|i| i.value != Value::None).collect();
    if format == Format::Json {
        super::json::info(&items, out);
        out.push(b'\n');
        return;
    }
    for item in &items {
        let value = &item.value;
        // Writing to a Vec cannot fail.
        let _ = match format {
            Format::Typed => {
                write!(out, "{}.{}.1:{}V:{}:{value}", item.position, item.name, item.tags, value.type_name())
            }
            _ => write!(out, "{}: {value}", item.name),
        };
        if descriptions {
            let _ = write!(out, ":\"{}\"", item.description);
        }
        out.push(b'\n');
    }
}

fn n32<'a>(n: u64) -> Value<'a> {
    Value::U32(n.min(u32::MAX as u64) as u32)
}

fn limit(value: &AtomicU32) -> u64 {
    value.load(Relaxed) as u64
}

fn rate<'a>(s: &Scene<'a>, which: ProcessRate) -> (Value<'a>, Value<'a>) {
    let (rate, most) = s.board.process_rate(which, s.now.mono);
    (Value::U32(rate), Value::U32(most))
}

/// Receive buffers, by this counter, and what compression holds.
fn memory(s: &Scene<'_>, buffers: ProcessCounter) -> u64 {
    s.board.process(buffers) + s.process.compression_bytes
}

/// Places that are listened at: of frontends that have not stopped, of the runtime API and of `peers` sections. A place is
/// one listener, however many workers have a socket there.
fn listeners(s: &Scene<'_>) -> u64 {
    let stopping = s.board.live.process.stopping.load(Relaxed);
    let open = |p: &usize| !stopping && s.board.live.frontend(*p).state() != FrontendState::Stopped;
    let proxies =
        s.plan.proxies.iter().enumerate().filter(|(p, proxy)| proxy.has_frontend && !proxy.disabled && open(p));
    let frontends: usize = proxies.flat_map(|(_, proxy)| &proxy.frontend.binds).map(|b| b.addresses.len()).sum();
    let api: usize = s.plan.global.stats_sockets.iter().map(|b| b.addresses.len()).sum();
    let peers: usize = s.plan.peers.iter().filter(|p| !p.disabled).map(|p| p.listeners().len()).sum();
    (frontends + api + peers) as u64
}

/// Percentage of frontend handshakes that needed no new key in the last second.
fn reuse(s: &Scene<'_>) -> u64 {
    let all = s.board.process_rate(ProcessRate::Ssl, s.now.mono).0 as u64;
    let keys = s.board.process_rate(ProcessRate::SslFrontendKeys, s.now.mono).0 as u64;
    (all.saturating_sub(keys) * 100).checked_div(all).unwrap_or(0)
}

/// Mean over the workers.
fn idle(s: &Scene<'_>) -> u64 {
    let workers = s.board.workers().max(1);
    (0..workers).map(|w| s.board.process_of(w, ProcessCounter::IdlePct)).sum::<u64>() / workers as u64
}

fn description<'a>(s: &Scene<'a>) -> Value<'a> {
    s.plan.global.description.as_deref().map_or(Value::None, Value::str)
}
