//! `tune.*` (manual 3.2): what changes behaviour is honoured, what sizes machinery that HAProxy has and ringway lacks is
//! accepted with a notice that says what it does here.

use super::{GlobalRow, g, limits::notice};
use crate::config::{
    keyword::args::{Args, Fault, atol, size},
    section::Loading,
};

pub static ROWS: &[GlobalRow] = &[
    g("tune.bufsize", |cx, a| {
        a.at_most(1)?;
        cx.global.tune.bufsize = match bytes(a)? {
            0 => return Err(a.fault(1, "'tune.bufsize' expects a positive integer argument.")),
            n => n as usize,
        };
        Ok(())
    }),
    g("tune.maxrewrite", |cx, a| {
        a.at_most(1)?;
        cx.global.tune.maxrewrite = match required(a)? {
            n @ 0.. => n as usize,
            _ => return Err(a.fault(1, "'tune.maxrewrite' expects a positive integer argument.")),
        };
        Ok(())
    }),
    g("tune.maxaccept", |cx, a| {
        a.at_most(1)?;
        required(a)?;
        notice(cx, a, "the ring accepts by itself; connections are taken with the other events of a turn");
        Ok(())
    }),
    g("tune.http.maxhdr", |cx, a| {
        a.at_most(1)?;
        cx.global.tune.http_maxhdr = match required(a)? {
            n @ 1..=32767 => n as usize,
            _ => return Err(a.fault(1, "'tune.http.maxhdr' expects a numeric value between 1 and 32767")),
        };
        Ok(())
    }),
    g("tune.http.logurilen", |cx, a| {
        a.at_most(1)?;
        required(a)?;
        notice(cx, a, "the log shows requests as long as they are");
        Ok(())
    }),
    g("tune.http.cookielen", |cx, a| {
        a.at_most(1)?;
        cx.global.tune.http_cookielen = (required(a)? - 1).max(0) as usize;
        Ok(())
    }),
    g("tune.idle-pool.shared", |cx, a| {
        a.at_most(1)?;
        if !matches!(a.get(1), "full" | "on" | "off") {
            let text = format!("'tune.idle-pool.shared' expects 'full', 'on' or 'off' but got '{}'.", a.get(1));
            return Err(a.fault(1, text));
        }
        if a.get(1) != "off" {
            notice(cx, a, "every worker keeps its own idle server connections");
        }
        Ok(())
    }),
    g("tune.pool-low-fd-ratio", |cx, a| {
        percent(a)?;
        notice(cx, a, "an idle server connection is closed when its time is over, not when descriptors get few");
        Ok(())
    }),
    g("tune.pool-high-fd-ratio", |cx, a| {
        percent(a)?;
        notice(cx, a, "an idle server connection is closed when its time is over, not when descriptors get few");
        Ok(())
    }),
    g("tune.rcvbuf.client", client_buffer),
    g("tune.sndbuf.client", client_buffer),
    g("tune.rcvbuf.server", |cx, a| once(cx, a, |t| &mut t.rcvbuf_server)),
    g("tune.sndbuf.server", |cx, a| once(cx, a, |t| &mut t.sndbuf_server)),
    g("tune.pipesize", |cx, a| {
        a.at_most(1)?;
        bytes(a)?;
        notice(cx, a, "the pipes of splicing have a size of their own");
        Ok(())
    }),
    g("tune.comp.maxlevel", |cx, a| {
        a.at_most(1)?;
        cx.global.tune.comp_maxlevel = match required(a)? {
            n @ 1..=9 => n as u32,
            _ => return Err(a.fault(1, "'tune.comp.maxlevel' expects a numeric value between 1 and 9")),
        };
        Ok(())
    }),
    g("tune.h2.initial-window-size", |cx, a| {
        cx.global.tune.h2_initial_window_size = unless_zero(a)?.unwrap_or(Tune::default().h2_initial_window_size);
        Ok(())
    }),
    g("tune.h2.be.initial-window-size", |cx, a| {
        cx.global.tune.h2_be_initial_window_size = unless_zero(a)?;
        Ok(())
    }),
    g("tune.h2.fe.initial-window-size", |cx, a| {
        cx.global.tune.h2_fe_initial_window_size = unless_zero(a)?;
        Ok(())
    }),
    g("tune.h2.max-concurrent-streams", |cx, a| {
        cx.global.tune.h2_max_concurrent_streams = lenient(a)?;
        Ok(())
    }),
    g("tune.h2.be.max-concurrent-streams", |cx, a| {
        cx.global.tune.h2_be_max_concurrent_streams = unless_zero(a)?;
        Ok(())
    }),
    g("tune.h2.fe.max-concurrent-streams", |cx, a| {
        cx.global.tune.h2_fe_max_concurrent_streams = unless_zero(a)?;
        Ok(())
    }),
    g("tune.h2.fe.max-total-streams", |cx, a| {
        cx.global.tune.h2_fe_max_total_streams = Some(lenient(a)?);
        Ok(())
    }),
    g("tune.h2.header-table-size", |cx, a| {
        cx.global.tune.h2_header_table_size = between(a, 4096, 65536)?;
        Ok(())
    }),
    g("tune.h2.max-frame-size", |cx, a| {
        cx.global.tune.h2_max_frame_size = Some(between(a, 16384, 16_777_215)?);
        Ok(())
    }),
    g("tune.h2.fe.rxbuf", |cx, a| {
        cx.global.tune.h2_fe_rxbuf = buffer(a)?;
        Ok(())
    }),
    g("tune.h2.be.rxbuf", |cx, a| {
        cx.global.tune.h2_be_rxbuf = buffer(a)?;
        Ok(())
    }),
    g("tune.h2.fe.glitches-threshold", |cx, a| {
        cx.global.tune.h2_fe_glitches_threshold = lenient(a)?;
        Ok(())
    }),
    g("tune.h2.be.glitches-threshold", |cx, a| {
        cx.global.tune.h2_be_glitches_threshold = lenient(a)?;
        Ok(())
    }),
    g("tune.vars.global-max-size", |cx, a| variables(cx, a, |t| &mut t.vars_global_max_size)),
    g("tune.vars.proc-max-size", |cx, a| {
        bytes(a)?;
        notice(cx, a, "variables of the process have no bound of their own");
        Ok(())
    }),
    g("tune.vars.sess-max-size", |cx, a| variables(cx, a, |t| &mut t.vars_sess_max_size)),
    g("tune.vars.txn-max-size", |cx, a| variables(cx, a, |t| &mut t.vars_txn_max_size)),
    g("tune.vars.reqres-max-size", |cx, a| variables(cx, a, |t| &mut t.vars_reqres_max_size)),
    g("tune.vars.check-max-size", |cx, a| {
        bytes(a)?;
        notice(cx, a, "variables of checks have no bound of their own");
        Ok(())
    }),
    g("tune.stick-counters", |cx, a| {
        let word = a.get(1);
        let Ok(n) = word.parse::<u32>() else {
            return Err(a.fault(1, format!("tune.stick-counters: '{word}' is an invalid number")));
        };
        cx.global.tune.stick_counters = n;
        Ok(())
    }),
    g("tune.pattern.cache-size", |cx, a| {
        a.at_most(1)?;
        required(a)?;
        notice(cx, a, "patterns are looked up in indexes, without a cache of answers");
        Ok(())
    }),
    g("tune.max-checks-per-thread", |cx, a| {
        a.at_most(1)?;
        cx.global.tune.max_checks_per_thread = required(a)?.max(0) as u32;
        Ok(())
    }),
    g("tune.max-rules-at-once", |cx, a| {
        a.at_most(1)?;
        required(a)?;
        notice(cx, a, "a set of rules runs until one of them waits");
        Ok(())
    }),
    // What follows sizes parts that ringway does not have.
    g("tune.applet.zero-copy-forwarding", |cx, a| on_off(cx, a, ZERO_COPY)),
    g("tune.h1.zero-copy-fwd-recv", |cx, a| on_off(cx, a, ZERO_COPY)),
    g("tune.h1.zero-copy-fwd-send", |cx, a| on_off(cx, a, ZERO_COPY)),
    g("tune.h2.zero-copy-fwd-send", |cx, a| on_off(cx, a, ZERO_COPY)),
    g("tune.pt.zero-copy-forwarding", |cx, a| on_off(cx, a, ZERO_COPY)),
    g("tune.disable-zero-copy-forwarding", |cx, a| sized(cx, a, ZERO_COPY)),
    g("tune.disable-fast-forward", |cx, a| sized(cx, a, ZERO_COPY)),
    g("tune.buffers.limit", |cx, a| sized(cx, a, BUFFERS)),
    g("tune.buffers.reserve", |cx, a| sized(cx, a, BUFFERS)),
    g("tune.bufsize.large", |cx, a| sized(cx, a, BUFFERS)),
    g("tune.bufsize.small", |cx, a| sized(cx, a, BUFFERS)),
    g("tune.memory.hot-size", |cx, a| sized(cx, a, "memory is kept by the allocator, without a cache of this name")),
    g("tune.recv_enough", |cx, a| {
        bytes(a)?;
        notice(cx, a, "the kernel tells with each receive whether more is there");
        Ok(())
    }),
    g("tune.runqueue-depth", |cx, a| sized(cx, a, TASKS)),
    g("tune.sched.low-latency", |cx, a| on_off(cx, a, TASKS)),
    g("tune.maxpollevents", |cx, a| sized(cx, a, "news are taken from the kernel as they come")),
    g("tune.events.max-events-at-once", |cx, a| sized(cx, a, "news are taken from the kernel as they come")),
    g("tune.epoll.mask-events", |cx, a| sized(cx, a, "io_uring has no such events, and on epoll none is masked")),
    g("tune.listener.multi-queue", |cx, a| {
        a.at_most(1)?;
        if !matches!(a.get(1), "on" | "fair" | "off") {
            let text =
                format!("'tune.listener.multi-queue' expects either 'on', 'fair', or 'off' but got '{}'.", a.get(1));
            return Err(a.fault(1, text));
        }
        notice(cx, a, LISTENERS);
        Ok(())
    }),
    g("tune.listener.default-shards", |cx, a| {
        a.at_most(1)?;
        if !matches!(a.get(1), "by-process" | "by-thread" | "by-group") {
            let text = format!(
                "'tune.listener.default-shards' expects either 'by-process', 'by-group', or 'by-thread' but got '{}'.",
                a.get(1)
            );
            return Err(a.fault(1, text));
        }
        notice(cx, a, LISTENERS);
        Ok(())
    }),
    g("tune.takeover-other-tg-connections", |cx, a| sized(cx, a, "there are no groups of threads")),
    g("tune.idletimer", |cx, a| sized(cx, a, "reading does not wait for idle clients, so none is timed here")),
    g("tune.zlib.memlevel", |cx, a| {
        cx.global.tune.zlib_memlevel = between(a, 1, 9)?;
        Ok(())
    }),
    g("tune.zlib.windowsize", |cx, a| {
        cx.global.tune.zlib_windowsize = between(a, 8, 15)?;
        Ok(())
    }),
    g("tune.defaults.purge", |cx, a| {
        a.at_most(0)?;
        notice(cx, a, "defaults sections are never kept after the load");
        Ok(())
    }),
    g("tune.ring.queues", |cx, a| sized(cx, a, "there are no rings for logs yet")),
    g("tune.lua.bool-sample-conversion", |cx, a| {
        if !matches!(a.get(1), "normal" | "pre-3.1-bug") {
            let text = "'tune.lua.bool-sample-conversion' expects 'normal' or 'pre-3.1-bug'.";
            return Err(a.fault(1, text));
        }
        notice(cx, a, "there is no Lua here yet");
        Ok(())
    }),
    g("no-memory-trimming", |cx, a| sized(cx, a, "memory is never trimmed on a reload")),
    g("prealloc-fd", |cx, a| sized(cx, a, "the descriptor table grows by itself")),
];

const ZERO_COPY: &str = "bodies are handed from receive to send without a copy, or spliced; there is no such switch";
const BUFFERS: &str = "buffers belong to the ring and grow with the traffic";
const TASKS: &str = "tasks run in the order of their events";
const LISTENERS: &str = "every worker has a listening socket of its own";

fn sized(cx: &mut Loading<'_>, a: &Args<'_>, text: &str) -> Result<(), Fault> {
    a.at_most(1)?;
    notice(cx, a, text);
    Ok(())
}

fn on_off(cx: &mut Loading<'_>, a: &Args<'_>, text: &str) -> Result<(), Fault> {
    a.at_most(1)?;
    let (keyword, word) = (a.get(0), a.get(1));
    if !matches!(word, "on" | "off") {
        return Err(a.fault(1, format!("'{keyword}' expects 'on' or 'off'.")));
    }
    notice(cx, a, text);
    Ok(())
}

fn required(a: &Args<'_>) -> Result<i64, Fault> {
    match a.get(1) {
        "" => {
            let dot = if a.get(0).starts_with("tune.http.") { "." } else { "" };
            Err(a.fault(1, format!("'{}' expects an integer argument{dot}", a.get(0))))
        }
        word => Ok(atol(word)),
    }
}

fn lenient(a: &Args<'_>) -> Result<u32, Fault> {
    a.at_most(1)?;
    Ok(u32::try_from(atol(a.get(1)).max(0)).unwrap_or(u32::MAX))
}

/// Zero sets nothing: what holds without the line does (observed).
fn unless_zero(a: &Args<'_>) -> Result<Option<u32>, Fault> {
    lenient(a).map(|n| Some(n).filter(|n| *n > 0))
}

fn between(a: &Args<'_>, low: i64, high: i64) -> Result<u32, Fault> {
    a.at_most(1)?;
    match atol(a.get(1)) {
        n if (low..=high).contains(&n) => Ok(n as u32),
        _ => Err(a.fault(1, format!("'{}' expects a numeric value between {low} and {high}.", a.get(0)))),
    }
}

fn percent(a: &Args<'_>) -> Result<u32, Fault> {
    a.at_most(1)?;
    match (a.get(1), atol(a.get(1))) {
        (word, n @ 0..=100) if !word.is_empty() => Ok(n as u32),
        _ => Err(a.fault(1, format!("'{}' expects an integer argument between 0 and 100.", a.get(0)))),
    }
}

fn bytes(a: &Args<'_>) -> Result<u64, Fault> {
    let (keyword, word) = (a.get(0), a.get(1));
    if word.is_empty() {
        return Err(a.fault(1, format!("'{keyword}' expects an integer argument")));
    }
    size(word).map_err(|rest| a.fault(1, format!("unexpected '{rest}' after size passed to '{keyword}'")))
}

fn client_buffer(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    bytes(a)?;
    notice(cx, a, "the kernel sizes the buffers of clients' sockets");
    Ok(())
}

type Tune = crate::model::global::Tune;

fn once(cx: &mut Loading<'_>, a: &Args<'_>, field: fn(&mut Tune) -> &mut Option<usize>) -> Result<(), Fault> {
    a.at_most(1)?;
    if field(&mut cx.global.tune).is_some() {
        cx.warn(a, 0, format!("'{}' already specified. Continuing.", a.get(0)));
        return Ok(());
    }
    let value = bytes(a)?;
    *field(&mut cx.global.tune) = Some(value as usize).filter(|&n| n > 0);
    Ok(())
}

/// A size in bytes, of at least a window.
fn buffer(a: &Args<'_>) -> Result<u32, Fault> {
    a.at_most(1)?;
    match size(a.get(1)) {
        Ok(n) => Ok(u32::try_from(n).unwrap_or(u32::MAX).clamp(65_535, i32::MAX as u32)),
        Err(_) => Err(a.fault(1, format!("'{}' expects a size, with or without a unit.", a.get(0)))),
    }
}

fn variables(cx: &mut Loading<'_>, a: &Args<'_>, field: fn(&mut Tune) -> &mut usize) -> Result<(), Fault> {
    let word = a.get(1);
    match size(word) {
        Ok(n) => *field(&mut cx.global.tune) = n as usize,
        Err(_) => return Err(a.fault(1, format!("{}: '{word}' is an invalid size", a.get(0)))),
    }
    Ok(())
}
