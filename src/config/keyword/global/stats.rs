//! `stats socket`, `stats timeout`, `stats maxconn` (manual 3.1, management guide 9): where the runtime API listens.

use super::{GlobalRow, g};
use crate::config::{
    keyword::{
        args::{Args, Bare, Fault, TimeFault, atol, time_ms},
        bind,
    },
    section::Loading,
};

pub static ROWS: &[GlobalRow] = &[g("stats", stats)];

fn stats(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    match a.get(1) {
        "socket" => socket(cx, a),
        "timeout" => timeout(cx, a),
        "maxconn" => match atol(a.get(2)) {
            n @ 1.. => {
                cx.global.stats_maxconn = u32::try_from(n).unwrap_or(u32::MAX);
                Ok(())
            }
            _ => Err(a.fault(2, "'stats maxconn' expects a positive value")),
        },
        "calculate-max-counters" => {
            cx.global.stats_calculate_max_counters = match a.get(2) {
                "on" => true,
                "off" => false,
                _ => return Err(a.fault(2, "'stats calculate-max-counters' expects 'on' or 'off'")),
            };
            Ok(())
        }
        "bind-process" => Err(a.fault(1, "'stats bind-process' is not supported anymore.")),
        other => Err(a.fault(
            1,
            format!(
                "'stats' only supports 'socket', 'maxconn', 'bind-process', 'calculate-max-counters'  and 'timeout' (got \
                 '{other}')"
            ),
        )),
    }
}

fn socket(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let address = a.get(2);
    if address.is_empty() {
        let text = "'stats socket' in global section expects an address or a path to a UNIX socket";
        return Err(a.fault(2, text));
    }
    let bind = bind::stats_socket(cx, a)?;
    cx.global.stats_sockets.push(bind);
    Ok(())
}

fn timeout(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let word = a.get(2);
    match time_ms(word, Bare::Ms) {
        Ok(0) => Err(a.fault(2, "'stats timeout' expects a positive value")),
        Ok(ms) => {
            cx.global.stats_timeout_ms = ms;
            Ok(())
        }
        Err(TimeFault::Overflow) => Err(a.fault(2, super::process_overflow(word, "stats timeout"))),
        Err(TimeFault::Char('\0')) => Err(a.fault(2, "'stats timeout' expects a time as argument")),
        Err(TimeFault::Char(c)) => Err(a.fault(2, format!("'stats timeout' : unexpected character '{c}'"))),
    }
}
