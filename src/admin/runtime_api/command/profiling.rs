//! `show tasks`, `show profiling`, `set profiling` (management guide 9.3): what the tasks of all threads cost, measured
//! while it is asked for. A task is named by the function that it runs; who woke it is not known.

use super::super::{Answer, Call, catalogue::Command, catalogue::command};
use crate::engine::profile::{Cost, TaskReport};
use crate::language::words::unsupported;
use crate::model::bind::Level;

pub static COMMANDS: &[Command] = &[
    command(
        &["set", "profiling"],
        Level::Admin,
        set,
        "set profiling <what> {auto|on|off}      : enable/disable resource profiling (tasks,memory)",
    ),
    command(
        &["show", "profiling"],
        Level::Admin,
        show,
        "show profiling [<what>|<#lines>|<opts>]*: show profiling state (all,status,tasks,memory)",
    ),
    command(&["show", "tasks"], Level::User, tasks, "show tasks                              : show running tasks"),
];

/// When profiling was switched, in nanoseconds of the monotonic clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Profiling {
    pub is_on: bool,
    pub since_ns: u64,
    pub until_ns: u64,
}

fn set(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "tasks" => {}
        "memory" => return Answer::error("Memory profiling not compiled in."),
        _ => return Answer::error("Expects either 'tasks' or 'memory'."),
    }
    match call.argument(1) {
        "on" => call.process.profile_tasks(true),
        "off" => call.process.profile_tasks(false),
        // It would measure all the time to know when to begin; locks and allocations are not measured.
        word @ ("auto" | "lock" | "no-lock" | "memory" | "no-memory") => return Answer::error(unsupported(word)),
        _ => {
            let words = "'on', 'auto', 'off', 'lock', 'no-lock', 'memory' or 'no-memory'";
            return Answer::error(format!("Expects a combination of either {words}."));
        }
    }
    Answer::Confirmed
}

/// The order of lines.
#[derive(Clone, Copy)]
enum By {
    Calls,
    Name,
    Time,
}

fn show(call: &mut Call<'_>) -> Answer {
    let (mut status, mut tasks, mut by, mut most) = (true, true, By::Calls, usize::MAX);
    for at in 0.. {
        match call.argument(at) {
            "" => break,
            "all" => (status, tasks) = (true, true),
            "status" => (status, tasks) = (true, false),
            "tasks" => (status, tasks) = (false, true),
            "memory" => (status, tasks) = (false, false),
            "byaddr" | "byctx" => by = By::Name,
            "bytime" => by = By::Time,
            // One line tells of a function as it is.
            "aggr" => {}
            word => match word.parse() {
                Ok(lines) => most = lines,
                Err(_) => {
                    return Answer::error(
                        "Expects either 'all', 'status', 'tasks', 'memory', 'byaddr', 'bytime', 'byctx', 'aggr' or a max \
                         number of output lines.",
                    );
                }
            },
        }
    }
    let profiling = call.process.profiling();
    let mut text = String::new();
    if status {
        let is_on = if profiling.is_on { "on" } else { "off" };
        text.push_str(&format!(
            "Per-task CPU profiling              : {is_on:<13} # set profiling tasks {{on|off}}\n"
        ));
        text.push_str("Memory usage profiling              : off           # set profiling memory {on|off}\n");
    }
    if tasks {
        let now_ns = call.process.now().nanos;
        let until_ns = if profiling.is_on { now_ns } else { profiling.until_ns };
        text.push_str(&format!(
            "Tasks activity over {:.3} sec till {:.3} sec ago:\n",
            until_ns.saturating_sub(profiling.since_ns) as f64 / 1e9,
            if profiling.until_ns == 0 { 0.0 } else { now_ns.saturating_sub(until_ns) as f64 / 1e9 },
        ));
        text.push_str(
            "  function                      calls   cpu_tot   cpu_avg   lkw_avg   lkd_avg   mem_avg   lat_avg\n",
        );
        let mut costs = total(call.process.task_reports());
        match by {
            By::Calls => costs.sort_by_key(|c| std::cmp::Reverse(c.calls)),
            By::Name => costs.sort_by_key(|c| c.name),
            By::Time => costs.sort_by_key(|c| std::cmp::Reverse(c.cpu_ns)),
        }
        for cost in costs.iter().take(most) {
            text.push_str(&line(cost));
        }
    }
    Answer::Text(text.into_bytes())
}

fn line(cost: &Cost) -> String {
    let calls = cost.calls.max(1);
    let unmeasured = "      -         -         -   ";
    format!(
        "  {:<25}{:>10}{:>10}{:>10}{unmeasured}{:>10}\n",
        function(cost.name),
        cost.calls,
        duration(cost.cpu_ns as f64),
        duration(cost.cpu_ns as f64 / calls as f64),
        duration(cost.latency_ns as f64 / calls as f64)
    )
}

/// The costs of all threads, by function.
fn total(reports: &[TaskReport]) -> Vec<Cost> {
    let mut all: Vec<Cost> = Vec::new();
    for cost in reports.iter().flat_map(|r| &r.costs) {
        match all.iter_mut().find(|c| function(c.name) == function(cost.name)) {
            Some(sum) => {
                sum.calls += cost.calls;
                sum.cpu_ns += cost.cpu_ns;
                sum.latency_ns += cost.latency_ns;
            }
            None => all.push(*cost),
        }
    }
    all
}

fn tasks(call: &mut Call<'_>) -> Answer {
    let reports = call.process.task_reports();
    let costs = total(reports);
    let mut ready: Vec<(&str, u64)> = Vec::new();
    for (name, count) in reports.iter().flat_map(|r| &r.ready) {
        match ready.iter_mut().find(|(n, _)| *n == function(name)) {
            Some((_, sum)) => *sum += count,
            None => ready.push((function(name), *count)),
        }
    }
    ready.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let running: u64 = ready.iter().map(|(_, count)| count).sum();
    let all_calls: u64 = costs.iter().map(|c| c.calls).sum();
    let mut text = format!("Running tasks: {running} ({} threads)\n", call.process.board().workers());
    text.push_str("  function                     places     %    lat_tot   lat_avg  calls_tot  calls_avg calls%\n");
    for (name, count) in ready {
        let share = count as f64 * 100.0 / running as f64;
        text.push_str(&format!("  {name:<25}{count:>10} {share:>5.1}"));
        // As far as it is measured.
        match costs.iter().find(|c| function(c.name) == name).filter(|c| c.calls > 0) {
            Some(c) => text.push_str(&format!(
                " {:>10} {:>9} {:>10} {:>10} {:>6.1}\n",
                duration(c.latency_ns as f64),
                duration(c.latency_ns as f64 / c.calls as f64),
                c.calls,
                c.calls / count,
                c.calls as f64 * 100.0 / all_calls as f64
            )),
            None => text.push_str(&format!(" {:>10} {:>9} {:>10} {:>10} {:>6}\n", "-", "-", "-", "-", "-")),
        }
    }
    Answer::Text(text.into_bytes())
}

/// A future's type as the function that makes it: `dataplane::session::run`.
fn function(name: &'static str) -> &'static str {
    let name = name.split_once("::").map_or(name, |(_, rest)| rest);
    name.split('<').next().unwrap_or(name).trim_end_matches("::{{closure}}")
}

/// Four digits and a unit.
fn duration(ns: f64) -> String {
    let (value, unit) = match ns {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "us"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let digits = match value {
        v if v < 10.0 => 3,
        v if v < 100.0 => 2,
        v if v < 1000.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_four_digits_and_their_unit() {
        for (ns, text) in [
            (0.0, "0.000ns"),
            (895.0, "895.0ns"),
            (4_002.0, "4.002us"),
            (44_020.0, "44.02us"),
            (130_500.0, "130.5us"),
            (12_345_678.0, "12.35ms"),
            (75e9, "75.00s"),
            (4e12, "4000s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn a_task_is_named_by_its_function() {
        assert_eq!(function("ringway::dataplane::session::run::{{closure}}"), "dataplane::session::run");
        assert_eq!(function("ringway::control::api::accept::{{closure}}::{{closure}}"), "control::api::accept");
    }
}
