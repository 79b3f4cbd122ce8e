//! Commands about the process and about the session itself.

use super::integer;
use crate::{
    admin::runtime_api::{Answer, Call, Change, catalogue, session::SeverityOutput},
    model::bind::Level,
};
use std::sync::atomic::Ordering::Relaxed;

pub fn set_maxconn(call: &mut Call<'_>) -> Answer {
    let word = call.argument(0);
    if word.is_empty() {
        return Answer::error("Expects an integer value.");
    }
    let limits = &call.process.board().live.process;
    let hard = limits.hard_maxconn.load(Relaxed);
    match integer(word).and_then(|v| u32::try_from(v).ok()) {
        Some(value) if hard == 0 || value <= hard => {
            // Zero goes back to the hard limit.
            limits.maxconn.store(if value == 0 { hard } else { value }, Relaxed);
        }
        _ => return Answer::error("Value out of range."),
    }
    changed(call)
}

const RATE_LIMITS: &str = "'set rate-limit' only supports :
   - 'connections global' to set the per-process maximum connection rate
   - 'sessions global' to set the per-process maximum session rate
   - 'ssl-sessions global' to set the per-process maximum SSL session rate
   - 'http-compression global' to set the per-process maximum compression speed in kB/s
";

pub fn set_rate_limit(call: &mut Call<'_>) -> Answer {
    let (what, scope, word) = (call.argument(0), call.argument(1), call.argument(2));
    let limits = &call.process.board().live.process;
    if scope != "global" || !matches!(what, "connections" | "sessions" | "ssl-sessions" | "http-compression") {
        return Answer::error(RATE_LIMITS);
    }
    if word.is_empty() {
        return Answer::error("Expects an integer value.");
    }
    // Like HAProxy's: what is no number is zero.
    let value = integer(word).unwrap_or(0);
    let Ok(value) = u32::try_from(value) else { return Answer::error("Value out of range.") };
    match what {
        "connections" => limits.connections_per_second.store(value, Relaxed),
        "sessions" => limits.sessions_per_second.store(value, Relaxed),
        "ssl-sessions" => limits.ssl_sessions_per_second.store(value, Relaxed),
        _ => limits.compression_bytes_per_second.store(value as u64 * 1024, Relaxed),
    }
    changed(call)
}

fn changed(call: &mut Call<'_>) -> Answer {
    match call.process.change(Change::LimitsChanged) {
        Ok(()) => Answer::Empty,
        Err(text) => Answer::error(text),
    }
}

/// A duration; bare numbers are in units of `bare_ms`. `None`: not one.
pub(super) fn duration_ms(word: &str, bare_ms: u64) -> Option<u64> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = word[..digits].parse().ok()?;
    let ms = match &word[digits..] {
        "" => number.checked_mul(bare_ms)?,
        "us" => number / 1000,
        "ms" => number,
        "s" => number.checked_mul(1000)?,
        "m" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        "d" => number.checked_mul(86_400_000)?,
        _ => return None,
    };
    (ms <= i32::MAX as u64).then_some(ms)
}

pub fn set_timeout(call: &mut Call<'_>) -> Answer {
    if call.argument(0) != "cli" {
        return Answer::error("'set timeout' only supports 'cli'.");
    }
    let word = call.argument(1);
    if word.is_empty() {
        return Answer::error("Expects an integer value.");
    }
    match duration_ms(word, 1000) {
        Some(ms) if ms > 0 => {
            call.state.timeout_ms = Some(ms);
            match call.process.change(Change::SessionTimeout(ms)) {
                Ok(()) => Answer::Empty,
                Err(text) => Answer::error(text),
            }
        }
        _ => Answer::error("Invalid timeout value."),
    }
}

pub fn set_severity(call: &mut Call<'_>) -> Answer {
    call.state.severity = match call.argument(0) {
        "none" => SeverityOutput::None,
        "number" => SeverityOutput::Number,
        "string" => SeverityOutput::String,
        _ => return Answer::error("one of 'none', 'number', 'string' is a required argument"),
    };
    Answer::Empty
}

/// The plain form needs level operator, `all` level admin.
pub fn clear_counters(call: &mut Call<'_>) -> Answer {
    if call.argument(0) != "all" {
        call.process.board().clear_maxima();
        return Answer::Empty;
    }
    if call.state.level < Level::Admin {
        return Answer::Message(crate::admin::runtime_api::Severity::Alert, "Permission denied".into());
    }
    call.process.board().clear_all();
    Answer::Empty
}

pub fn shutdown_session(call: &mut Call<'_>) -> Answer {
    let id = call.argument(0).to_owned();
    if id.is_empty() || !id.starts_with(|c: char| c.is_ascii_digit()) {
        return Answer::error("Session pointer expected (use 'show sess').");
    }
    match call.process.change(Change::ShutdownSession(id)) {
        Ok(()) => Answer::Empty,
        Err(text) => Answer::error(text),
    }
}

pub fn echo(call: &mut Call<'_>) -> Answer {
    Answer::info(call.words[call.named..].join(" "))
}

pub fn operator(call: &mut Call<'_>) -> Answer {
    call.state.level = call.state.level.min(Level::Operator);
    Answer::Empty
}

pub fn user(call: &mut Call<'_>) -> Answer {
    call.state.level = Level::User;
    Answer::Empty
}

const WAIT_HELP: &str = "Usage: wait {-h|<duration>} [condition [args...]]
  - '-h' displays this help
  - <duration> is the maximum wait time, optionally suffixed by the unit among
    'us', 'ms', 's', 'm', 'h', and 'd'. ; the default unit is milliseconds.
  - <condition> indicates what to wait for, no longer than the specified
    duration. Supported conditions are:
    - <none> : by default, just sleep for the specified duration.
    - srv-removable <px>/<sv> : wait for this server to become removable.
";

pub fn wait(call: &mut Call<'_>) -> Answer {
    let word = call.argument(0);
    if word.is_empty() {
        return Answer::error("Expects a duration in milliseconds.");
    }
    if word == "-h" {
        return Answer::Text(WAIT_HELP.into());
    }
    let Some(ms) = duration_ms(word, 1) else { return Answer::error("Invalid duration.") };
    let until_ms = call.process.now().mono.plus(ms).0;
    match call.argument(1) {
        "" => Answer::Wait { until_ms, removable: None },
        "srv-removable" => match call.argument(2).split_once('/') {
            Some((backend, server)) => {
                Answer::Wait { until_ms, removable: Some((backend.to_owned(), server.to_owned())) }
            }
            None => Answer::error("Require 'backend/server'."),
        },
        _ => Answer::error("Unsupported condition name. Use '-h' for help."),
    }
}

pub fn help(call: &mut Call<'_>) -> Answer {
    let mut text = String::from("The following commands are valid at this level:\n");
    for line in catalogue::help_lines(&call.state.tables, &call.words[call.named..], call.state.level) {
        text.push_str(&format!("  {line}\n"));
    }
    Answer::Text(text.into_bytes())
}

const PROMPT_HELP: &str = "Usage: prompt [help | n | i | p | timed]*
Changes the default prompt and interactive mode. Available options:
  help    display this help
  n       set to single-command mode (no prompt, single command)
  i       set to interactive mode only (no prompt, multi-command)
  p       set to prompt+interactive mode (prompt + multi-command)
  timed   toggle displaying the current date in the prompt
Without any argument, toggles between n/i->p, p->n.
";

pub fn prompt(call: &mut Call<'_>) -> Answer {
    let state = &mut *call.state;
    let words = &call.words[call.named..];
    if words.is_empty() {
        let on = !state.prompt;
        (state.prompt, state.interactive) = (on, on);
    }
    for word in words {
        match *word {
            "help" => return Answer::Text(PROMPT_HELP.into()),
            "n" => (state.prompt, state.interactive) = (false, false),
            "i" => (state.prompt, state.interactive) = (false, true),
            "p" => (state.prompt, state.interactive) = (true, true),
            "timed" => {
                state.timed = !state.timed;
                (state.prompt, state.interactive) = (true, true);
            }
            _ => return Answer::Text(PROMPT_HELP.into()),
        }
    }
    Answer::Empty
}

pub fn reload(_: &mut Call<'_>) -> Answer {
    Answer::Reload { hard: false }
}

pub fn hard_reload(_: &mut Call<'_>) -> Answer {
    Answer::Reload { hard: true }
}

/// Rows of a master's `help` that are no commands by themselves.
pub fn prefix(_: &mut Call<'_>) -> Answer {
    Answer::Silent
}

pub fn processes(call: &mut Call<'_>) -> Answer {
    Answer::Text(call.process.processes(call.argument(0) == "debug").into_bytes())
}

pub fn quit(_: &mut Call<'_>) -> Answer {
    Answer::Quit
}

fn switch(word: &str, name: &str, flag: &mut bool) -> Answer {
    match word {
        "" => Answer::info(format!("{name} is {}", if *flag { "ON" } else { "OFF" })),
        word => {
            *flag = word == "on";
            Answer::Empty
        }
    }
}

pub fn expert_mode(call: &mut Call<'_>) -> Answer {
    let word = call.argument(0).to_owned();
    switch(&word, "expert-mode", &mut call.state.expert)
}

pub fn experimental_mode(call: &mut Call<'_>) -> Answer {
    let word = call.argument(0).to_owned();
    switch(&word, "experimental-mode", &mut call.state.experimental)
}

/// On a master's socket, for the sessions in its workers.
pub fn switch_expert_mode(call: &mut Call<'_>) -> Answer {
    call.state.expert = call.argument(0) == "on";
    Answer::Silent
}

pub fn switch_experimental_mode(call: &mut Call<'_>) -> Answer {
    call.state.experimental = call.argument(0) == "on";
    Answer::Silent
}
