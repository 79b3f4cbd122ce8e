//! `show …`: what the process is and does.

use super::{backend_of, integer, process::duration_ms, server_of};
use crate::{
    admin::{
        runtime_api::{Answer, Call, Sessions},
        stats::{
            VERSION, info, json,
            listing::Form,
            report::Report,
            walk::{SERVERS, Selection},
        },
    },
    model::{bind::Level, state::counters::ProcessCounter},
};

fn has(call: &Call<'_>, word: &str) -> bool {
    call.words[call.named..].contains(&word)
}

/// `show info [desc|json|typed|float]*`.
pub fn info(call: &mut Call<'_>) -> Answer {
    let format = match (has(call, "json"), has(call, "typed")) {
        (true, _) => info::Format::Json,
        (_, true) => info::Format::Typed,
        _ => info::Format::Plain,
    };
    let mut out = Vec::new();
    call.with_scene(|scene| info::write(scene, format, has(call, "desc"), &mut out));
    Answer::Text(out)
}

/// `show stat [<iid|px> <type> <sid>] [desc|json|no-maint|typed|up]*`. Unknown words are passed over, as HAProxy does.
pub fn stat(call: &mut Call<'_>) -> Answer {
    if call.argument(0) == "domain" && call.argument(1) == "resolvers" {
        return super::resolvers::stat(call);
    }
    let mut selection = Selection { up: has(call, "up"), no_maint: has(call, "no-maint"), ..Selection::default() };
    let first = call.argument(0);
    let mut none = false;
    // Three arguments or none; what is no number is zero.
    if !call.argument(2).is_empty() {
        let number = |n| integer(call.argument(n)).unwrap_or(0);
        let (kinds, sid) = (number(1), number(2));
        none = kinds == 0;
        match integer(first) {
            Some(iid) if iid > 0 => {
                let found = call.process.plan().proxies.iter().position(|p| p.id as i64 == iid);
                none |= found.is_none();
                selection.proxy = found;
            }
            Some(_) => {}
            None => match call.process.plan().proxies.iter().position(|p| p.name == first) {
                Some(proxy) => selection.proxy = Some(proxy),
                None => return Answer::error("No such proxy."),
            },
        }
        selection.kinds = if kinds < 0 { 0 } else { kinds as u32 & 15 };
        selection.sid = u32::try_from(sid).ok();
    }
    let form = match (has(call, "json"), has(call, "typed")) {
        (true, _) => Form::Json,
        (_, true) => Form::Typed { descriptions: has(call, "desc") },
        _ => Form::Csv,
    };
    Answer::Report(Report::listing(form, (!none).then_some(selection)))
}

/// `show peers [dict|-] [<peers section>]`.
pub fn peers(call: &mut Call<'_>) -> Answer {
    let dict = call.argument(0) == "dict";
    let section = if matches!(call.argument(0), "dict" | "-") { call.argument(1) } else { call.argument(0) };
    let mut out = String::new();
    if !call.process.peers(section, dict, &mut out) {
        return Answer::error("No such peers");
    }
    Answer::Text(out.into_bytes())
}

pub fn schema(_: &mut Call<'_>) -> Answer {
    Answer::Text(format!("{}\n", json::SCHEMA.trim_end()).into_bytes())
}

/// The program, the machine and the process, for who looks into a problem.
pub fn dev(call: &mut Call<'_>) -> Answer {
    Answer::Text(call.process.about().into_bytes())
}

pub fn version(_: &mut Call<'_>) -> Answer {
    Answer::info(VERSION)
}

pub fn backend(call: &mut Call<'_>) -> Answer {
    let names = call.process.plan().proxies.iter().filter(|p| p.has_backend).map(|p| format!("{}\n", p.name));
    Answer::Text(format!("# name\n{}", names.collect::<String>()).into_bytes())
}

/// `show servers state [<backend>]`.
pub fn servers_state(call: &mut Call<'_>) -> Answer {
    servers(call, Form::ServersState)
}

/// `show servers conn [<backend>]`.
pub fn servers_conn(call: &mut Call<'_>) -> Answer {
    servers(call, Form::ServersConn)
}

/// The servers of the backend that an optional argument names, even if it is disabled, or of all.
fn servers(call: &Call<'_>, form: Form) -> Answer {
    let mut selection = Selection { kinds: SERVERS, ..Selection::default() };
    let word = call.argument(0);
    if !word.is_empty() {
        let Some(found) = backend_of(call.process, word) else { return Answer::error("Can't find backend.") };
        (selection.proxy, selection.disabled) = (Some(found), true);
    }
    Answer::Report(Report::listing(form, Some(selection)))
}

pub fn env(call: &mut Call<'_>) -> Answer {
    let name = call.argument(0);
    let all = call.process.environment();
    let mut wanted = all.iter().filter(|line| name.is_empty() || line.split('=').next() == Some(name)).peekable();
    if !name.is_empty() && wanted.peek().is_none() {
        return Answer::error("Variable not found");
    }
    Answer::Text(wanted.map(|line| format!("{line}\n")).collect::<String>().into_bytes())
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::User => "user",
        Level::Operator => "operator",
        Level::Admin => "admin",
    }
}

pub fn cli_level(call: &mut Call<'_>) -> Answer {
    Answer::info(level_name(call.state.level))
}

pub fn cli_sockets(call: &mut Call<'_>) -> Answer {
    let sockets = call.process.cli_sockets();
    let mut text = String::from(if sockets.is_empty() { "" } else { "# socket lvl processes\n" });
    for (address, level) in sockets {
        text.push_str(&format!("{address} {} all\n", level_name(level)));
    }
    Answer::Text(text.into_bytes())
}

/// `show activity [-1|0|thread]`: each counter's sum and, in brackets, each worker's share.
pub fn activity(call: &mut Call<'_>) -> Answer {
    let board = call.process.board();
    let now = call.process.now();
    let only = integer(call.argument(0)).filter(|n| *n > 0).map(|n| n as usize - 1);
    let workers: Vec<usize> = (0..board.workers()).filter(|w| only.is_none_or(|o| o == *w)).collect();
    let uptime = now.mono.since(call.process.facts().started.mono);
    let mut text = format!("thread_id: {} (1..{})\n", only.map_or(1, |o| o + 1), board.workers());
    text.push_str(&format!("date_now: {}.{:06}\n", now.wall_us / 1_000_000, now.wall_us % 1_000_000));
    text.push_str(&format!("uptime_now: {}.{:03}000\n", uptime / 1000, uptime % 1000));
    let rows = [
        ("loops", ProcessCounter::Loops),
        ("wake_tasks", ProcessCounter::Wakeups),
        ("curr_rq", ProcessCounter::RunQueue),
        ("accepted", ProcessCounter::CumConns),
        ("stream_calls", ProcessCounter::CumStreams),
        ("pool_fail", ProcessCounter::PoolFailed),
        ("engine_connections", ProcessCounter::EngineConns),
        ("engine_operations", ProcessCounter::EngineOperations),
        ("engine_dead_completions", ProcessCounter::EngineCompletionsDead),
        ("engine_buffers_short", ProcessCounter::EngineBuffersShort),
        ("engine_enter_errors", ProcessCounter::EngineEnterErrors),
    ];
    for (name, id) in rows {
        let shares: Vec<u64> = workers.iter().map(|w| board.process_of(*w, id)).collect();
        let sum: u64 = shares.iter().sum();
        match shares.len() {
            1 => text.push_str(&format!("{name}: {sum}\n")),
            _ => {
                let shares: Vec<String> = shares.iter().map(u64::to_string).collect();
                text.push_str(&format!("{name}: {sum} [ {} ]\n", shares.join(" ")));
            }
        }
    }
    Answer::Text(text.into_bytes())
}

/// `show errors [<px>] [request|response]`.
pub fn errors(call: &mut Call<'_>) -> Answer {
    let (request, response) = (has(call, "request"), has(call, "response"));
    let word = call.argument(0);
    let named = !word.is_empty() && word != "request" && word != "response";
    let plan = call.process.plan();
    let proxy = match integer(word) {
        Some(id) if id > 0 => plan.proxies.iter().position(|p| p.id as i64 == id),
        _ if named => plan.proxies.iter().position(|p| p.name == word),
        _ => None,
    };
    if named && proxy.is_none() && word != "-1" {
        return Answer::error("No such proxy.");
    }
    let mut dumps = Vec::new();
    let (request, response) = if request == response { (true, true) } else { (request, response) };
    let total = call.process.errors(proxy, request, response, &mut dumps);
    let mut out = format!("Total events captured on [{}] : {total}\n", date(call.process.now().wall_us)).into_bytes();
    out.extend_from_slice(&dumps);
    Answer::Text(out)
}

/// `22/Nov/2026:11:04:10.400`, UTC.
fn date(wall_us: u64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (seconds, ms) = (wall_us / 1_000_000, wall_us / 1000 % 1000);
    let (days, rest) = ((seconds / 86_400) as i64, seconds % 86_400);
    // Days to a date of the Gregorian calendar, with years that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12;
    let year = year_of_era + era * 400 + (month < 2) as i64;
    format!(
        "{day:02}/{}/{year}:{:02}:{:02}:{:02}.{ms:03}",
        MONTHS[month as usize],
        rest / 3600,
        rest % 3600 / 60,
        rest % 60
    )
}

const SESS_HELP: &str = "Usage: show sess [<id> | all | help] [<options>*]
Dumps active streams (formerly called 'sessions'). Available selectors:
   <id>         dump only this stream identifier (0x...)
   all          dump all matching streams in large format
   help         show this message
Available options: \n   older <age>  only display streams older than <age> seconds
   server <b/s> only show streams attached to this backend+server
   backend <b>  only show streams attached to this backend
   frontend <f> only show streams attached to this frontend
Without any argument, all streams are dumped in a shorter format.
";

/// The words of `show sess`. Errs with the answer.
fn sessions_of<'c>(call: &'c Call<'_>) -> Result<Sessions<'c>, Answer> {
    let mut which = Sessions::default();
    let mut n = 0;
    while !call.argument(n).is_empty() {
        let (word, value) = (call.argument(n), call.argument(n + 1));
        match word {
            "help" => return Err(Answer::Text(SESS_HELP.into())),
            "all" => which.in_full = true,
            id if id.starts_with("0x") => which = Sessions { id: Some(id), in_full: true, ..which },
            "older" if value.is_empty() => {
                return Err(Answer::error("Expects a minimum age (in seconds by default)."));
            }
            "frontend" if value.is_empty() => return Err(Answer::error("Missing frontend name.")),
            "backend" if value.is_empty() => return Err(Answer::error("Missing backend name.")),
            "server" if value.is_empty() => {
                return Err(Answer::error("Missing server name (<backend>/<server>)."));
            }
            "older" => match duration_ms(value, 1000) {
                Some(ms) => which.older_s = ms / 1000,
                None => return Err(Answer::error("Invalid age.")),
            },
            "frontend" => match call.process.plan().frontend(value) {
                Some(found) => which.frontend = Some(found),
                None => return Err(Answer::error("No such frontend.")),
            },
            "backend" => match backend_of(call.process, value) {
                Some(found) => which.backend = Some(found),
                None => return Err(Answer::error("No such backend.")),
            },
            "server" => match server_of(call.process, value) {
                Ok(found) => which.server = Some(found),
                Err(text) => return Err(Answer::error(text)),
            },
            _ => return Err(Answer::error(format!("Unsupported option '{word}', try 'help' for more info."))),
        }
        n += if matches!(word, "older" | "frontend" | "backend" | "server") { 2 } else { 1 };
    }
    Ok(which)
}

/// `show sess [help|<id>|all] [older <age>] [frontend <f>] [backend <b>] [server <b/s>]`.
pub fn sess(call: &mut Call<'_>) -> Answer {
    let which = match sessions_of(call) {
        Ok(which) => which,
        Err(answer) => return answer,
    };
    let lists = which == Sessions::default();
    let mut out = Vec::new();
    match call.process.sessions(which, &mut out) {
        Some(()) => {
            if lists {
                // Whoever asks is a session too.
                let line = format!(
                    "{:p}: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none> ts=00 epoch=0 age=0s calls=1 \
                     rate=0 cpu=0 lat=0\n",
                    call.state
                );
                out.extend_from_slice(line.as_bytes());
            }
            Answer::Text(out)
        }
        None => Answer::error("Session not found."),
    }
}

pub fn startup_logs(call: &mut Call<'_>) -> Answer {
    Answer::Text(call.process.startup_logs().into_bytes())
}

/// One line for each worker: what its last loop turns did.
pub fn threads(call: &mut Call<'_>) -> Answer {
    let board = call.process.board();
    let mut text = String::new();
    for worker in 0..board.workers() {
        let read = |id| board.process_of(worker, id);
        text.push_str(&format!(
            "  Thread {} : act={} rq={}\n      1/{}    loops={} stuck=0 idle={}%\n",
            worker + 1,
            (read(ProcessCounter::RunQueue) > 0) as u8,
            read(ProcessCounter::RunQueue),
            worker + 1,
            read(ProcessCounter::Loops),
            read(ProcessCounter::IdlePct),
        ));
    }
    Answer::Text(text.into_bytes())
}
