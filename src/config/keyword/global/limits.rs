//! Limits and threads (manual 3.1, 3.2): how many, and on which cores.

use super::{GlobalRow, g, switch};
use crate::config::{
    diagnostic::Severity,
    keyword::{
        Prefix,
        args::{Args, Fault, atol, count},
    },
    section::Loading,
};

/// Threads HAProxy can be given at most.
const THREADS_MAX: i64 = 1024;
/// CPUs that a `cpu-map` can name.
const CPUS: usize = 1024;

pub static ROWS: &[GlobalRow] = &[
    g("maxconn", maxconn),
    g("ulimit-n", ulimit_n),
    g("fd-hard-limit", |cx, a| {
        a.at_most(1)?;
        cx.global.fd_hard_limit = Some(u64::from(integer(a)?));
        Ok(())
    }),
    g("maxpipes", |cx, a| {
        a.at_most(1)?;
        cx.global.maxpipes = Some(integer(a)?);
        Ok(())
    }),
    g("maxconnrate", |cx, a| {
        a.at_most(1)?;
        cx.global.maxconnrate = Some(integer(a)?);
        Ok(())
    }),
    g("maxsessrate", |cx, a| {
        a.at_most(1)?;
        cx.global.maxsessrate = Some(integer(a)?);
        Ok(())
    }),
    g("maxsslrate", |cx, a| {
        a.at_most(1)?;
        cx.global.tls.maxsslrate = Some(integer(a)?);
        Ok(())
    }),
    g("maxsslconn", |cx, a| {
        a.at_most(1)?;
        cx.global.tls.maxsslconn = Some(integer(a)?);
        Ok(())
    }),
    g("maxcomprate", |cx, a| {
        a.at_most(1)?;
        if a.get(1).is_empty() {
            return Err(a.fault(1, "'maxcomprate' expects an integer argument in kb/s."));
        }
        cx.global.maxcomprate = Some(count(a.get(1)).saturating_mul(1024));
        Ok(())
    }),
    g("maxcompcpuusage", |cx, a| {
        a.at_most(1)?;
        match (a.get(1), atol(a.get(1))) {
            (word, percent @ 0..=100) if !word.is_empty() => cx.global.maxcompcpuusage = percent as u32,
            _ => return Err(a.fault(1, "'maxcompcpuusage' expects an integer argument between 0 and 100.")),
        }
        Ok(())
    }),
    g("maxzlibmem", |cx, a| {
        a.at_most(1)?;
        cx.global.maxzlibmem = Some(u64::from(integer(a)?) << 20);
        Ok(())
    }),
    g("strict-limits", |cx, a| {
        a.at_most(0)?;
        cx.global.strict_limits = cx.prefix == Prefix::None;
        Ok(())
    }),
    g("nosplice", switch!(nosplice)),
    g("h2-workaround-bogus-websocket-clients", switch!(h2_workaround_bogus_websocket_clients)),
    g("noreuseport", switch!(noreuseport)),
    g("nbthread", nbthread),
    g("thread-groups", |cx, a| {
        before_sections(cx, a)?;
        a.at_most(1)?;
        whole(a, 64)?;
        notice(cx, a, "every thread is a worker of its own here, so groups of threads change nothing");
        Ok(())
    }),
    g("thread-group", |cx, a| {
        notice(cx, a, "every thread is a worker of its own here, so groups of threads change nothing");
        Ok(())
    }),
    g("cpu-map", cpu_map),
    g("busy-polling", |cx, a| {
        a.at_most(0)?;
        cx.global.busy_polling = cx.prefix == Prefix::None;
        if cx.global.busy_polling {
            notice(cx, a, "a worker sleeps in the kernel when it has nothing to do; it never polls busily");
        }
        Ok(())
    }),
    g("numa-cpu-mapping", |cx, a| {
        a.at_most(0)?;
        if cx.prefix != Prefix::No {
            notice(cx, a, "threads are pinned to the cores of the inherited mask, one each");
        }
        Ok(())
    }),
    g("noepoll", |cx, a| {
        a.at_most(0)?;
        cx.global.noepoll = true;
        Ok(())
    }),
    g("nopoll", other_poller),
    g("nokqueue", other_poller),
    g("noevports", other_poller),
];

fn other_poller(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(0)?;
    notice(cx, a, "events come from io_uring or epoll, so there is no such poller to switch off");
    Ok(())
}

/// Says what a sizing or tuning keyword does here.
pub fn notice(cx: &mut Loading<'_>, a: &Args<'_>, text: &str) {
    let text = format!("'{}': {text}.", a.get(0));
    cx.diagnostics.at(Severity::Notice, a.line, a.word(0), text);
}

fn integer(a: &Args<'_>) -> Result<u32, Fault> {
    match a.get(1) {
        "" => Err(a.fault(1, format!("'{}' expects an integer argument.", a.get(0)))),
        word => Ok(count(word)),
    }
}

/// A second `maxconn` is an alert that does not fail the load, and the first one stays.
fn maxconn(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    if cx.written.maxconn {
        cx.diagnostics.harmless_alert(a.line, a.word(0), "'maxconn' already specified. Continuing.");
        return Ok(());
    }
    let word = a.get(1);
    if word.is_empty() {
        return Err(a.fault(1, "'maxconn' expects an integer argument."));
    }
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(a.fault(1, format!("cannot parse 'maxconn' value '{word}', an integer is expected.")));
    }
    cx.written.maxconn = true;
    // 0 and less: computed from the descriptor limit, as without the keyword.
    cx.global.maxconn = Some(count(word)).filter(|&n| n > 0);
    Ok(())
}

fn ulimit_n(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    if cx.global.ulimit_n.is_some() {
        cx.diagnostics.harmless_alert(a.line, a.word(0), "'ulimit-n' already specified. Continuing.");
        return Ok(());
    }
    let limit = integer(a)?;
    cx.global.ulimit_n = Some(u64::from(limit)).filter(|&n| n > 0);
    Ok(())
}

/// A count of at most `max` with the text of HAProxy's thread keywords.
fn whole(a: &Args<'_>, max: i64) -> Result<u32, Fault> {
    let (keyword, word) = (a.get(0), a.get(1));
    let Ok(value) = word.parse::<i64>() else {
        return Err(a.fault(1, format!("'{keyword}' passed a missing or unparsable integer value in '{word}'")));
    };
    if !(1..=max).contains(&value) {
        return Err(a.fault(1, format!("'{keyword}' value must be between 1 and {max} (was {value})")));
    }
    Ok(value as u32)
}

/// Threads are decided before anything else is read.
fn before_sections(cx: &Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    if !cx.written.other_section {
        return Ok(());
    }
    let text = format!(
        "'{}' not allowed if a non-global section was previously defined. This parameter must be declared in the first global \
         section",
        a.get(0)
    );
    Err(a.fault(0, text))
}

fn nbthread(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    before_sections(cx, a)?;
    a.at_most(1)?;
    cx.global.nbthread = whole(a, THREADS_MAX)? as usize;
    Ok(())
}

/// `cpu-map [auto:]<group>[/<threads>] <cpus>...` (manual 3.1). There is one group here.
fn cpu_map(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let (target, cpus) = (a.get(1), a.strings(2));
    if target.is_empty() || cpus.is_empty() {
        return Err(a.fault(
            1,
            "cpu-map expects a thread group number  ('all', 'odd', 'even', a number from 1 to 64 or a range),  followed by a \
             list of CPU ranges with numbers from 0 to 63.",
        ));
    }
    let (auto, target) = match target.strip_prefix("auto:") {
        Some(rest) => (true, rest),
        None => (false, target),
    };
    let (group, threads) = match target.split_once('/') {
        Some((group, threads)) => (group, Some(threads)),
        None => (target, None),
    };
    let bad = |word: &str| a.fault(1, format!("cpu-map : '{word}' is not a valid number/range."));
    // Without a slash the number is that of the process of old, or the group: all its threads.
    let groups = range(group, 64).ok_or_else(|| bad(group))?;
    let wanted = match threads {
        Some(words) => range(words, THREADS_MAX as usize).ok_or_else(|| bad(words))?,
        None => (1..=THREADS_MAX as usize).collect(),
    };
    let mut set = Vec::new();
    for word in cpus.iter().flat_map(|w| w.split(',')) {
        let ok = word.split_once('-').map_or_else(
            || word.parse::<usize>().ok().map(|n| (n, n)),
            |(low, high)| Some((low.parse().ok()?, high.parse().ok()?)),
        );
        let Some((low, high)) = ok.filter(|(low, high)| low < &CPUS && high < &CPUS) else {
            return Err(a.fault(2, format!("cpu-map : '{word}' is not a CPU range.")));
        };
        set.extend(low.min(high)..=low.max(high));
    }
    set.sort_unstable();
    set.dedup();
    if !groups.contains(&1) {
        return Ok(());
    }
    let map = &mut cx.global.cpu_map;
    let highest = if threads.is_some() { wanted.iter().copied().max().unwrap_or(1) } else { set.len().max(1) };
    if map.len() < highest {
        map.resize(highest, Vec::new());
    }
    for (nth, thread) in wanted.into_iter().take_while(|&t| t <= highest).enumerate() {
        map[thread - 1] = if auto { set.get(nth).map(|&c| vec![c]).unwrap_or_default() } else { set.clone() };
    }
    Ok(())
}

/// `all`, `odd`, `even`, a number, or `low-high` (`low-` up to the end), counted from 1.
fn range(word: &str, max: usize) -> Option<Vec<usize>> {
    let all = 1..=max;
    match word {
        "all" => return Some(all.collect()),
        "odd" => return Some(all.filter(|n| n % 2 == 1).collect()),
        "even" => return Some(all.filter(|n| n % 2 == 0).collect()),
        _ => {}
    }
    let (low, high) = match word.split_once('-') {
        Some((low, "")) => (low.parse().ok()?, max),
        Some((low, high)) => (low.parse().ok()?, high.parse().ok()?),
        None => (word.parse().ok()?, word.parse().ok()?),
    };
    let (low, high): (usize, usize) = (low, high);
    (low >= 1 && low <= high && high <= max).then(|| (low..=high).collect())
}
