//! What a process and its workers cost, read from /proc: CPU time to the nanosecond, memory, context switches.
//! The total comes from `schedstat` (the scheduler's own clock); ticks of `stat` only say how user and system
//! share it, because they are sampled.

use std::fs;

/// Sums over all threads of all processes of one group.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    pub run_ns: u64,
    pub user_ticks: u64,
    pub system_ticks: u64,
    pub voluntary: u64,
    pub involuntary: u64,
}

/// Resident memory in bytes; PSS shares pages of libraries between the processes that map them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    pub rss: u64,
    pub pss: u64,
}

/// What was used between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    pub user_us: f64,
    pub system_us: f64,
    pub voluntary: u64,
    pub involuntary: u64,
}

impl Usage {
    /// Now, for the process group `group`.
    pub fn of_group(group: u32) -> Self {
        let mut usage = Self::default();
        for pid in group_members(group) {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if let Some(stat) = Stat::parse(&stat) {
                usage.user_ticks += stat.user_ticks;
                usage.system_ticks += stat.system_ticks;
            }
            for task in numbers(&format!("/proc/{pid}/task")) {
                let folder = format!("/proc/{pid}/task/{task}");
                let schedstat = fs::read_to_string(format!("{folder}/schedstat")).unwrap_or_default();
                usage.run_ns += first_number(&schedstat);
                let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
                usage.voluntary += field(&status, "voluntary_ctxt_switches:");
                usage.involuntary += field(&status, "nonvoluntary_ctxt_switches:");
            }
        }
        usage
    }

    /// CPU time of a process without its first thread.
    pub fn beside_the_first(pid: u32) -> Self {
        let others = numbers(&format!("/proc/{pid}/task")).into_iter().filter(|task| *task != u64::from(pid));
        let run_ns = |task| {
            first_number(&fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).unwrap_or_default())
        };
        Self { run_ns: others.map(run_ns).sum(), ..Self::default() }
    }

    pub fn until(&self, later: &Self) -> Spent {
        let user = later.user_ticks.saturating_sub(self.user_ticks) as f64;
        let system = later.system_ticks.saturating_sub(self.system_ticks) as f64;
        let ticks_us = (user + system) * 10_000.0;
        let run_us = later.run_ns.saturating_sub(self.run_ns) as f64 / 1000.0;
        // A thread that ended took its schedstat along; `stat` still counts it. It has a grain of 10 ms each.
        let total_us = if ticks_us > run_us * 1.02 + 20_000.0 { ticks_us } else { run_us };
        let share = if user + system > 0.0 { user / (user + system) } else { 0.5 };
        Spent {
            user_us: total_us * share,
            system_us: total_us * (1.0 - share),
            voluntary: later.voluntary.saturating_sub(self.voluntary),
            involuntary: later.involuntary.saturating_sub(self.involuntary),
        }
    }
}

impl Memory {
    pub fn of_group(group: u32) -> Self {
        let mut memory = Self::default();
        for pid in group_members(group) {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            memory.rss += field(&status, "VmRSS:") * 1024;
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            memory.pss += field(&rollup, "Pss:") * 1024;
        }
        memory
    }
}

struct Stat {
    group: u32,
    user_ticks: u64,
    system_ticks: u64,
}

impl Stat {
    /// The name in parentheses may hold spaces and parentheses: fields count from the last one (proc_pid_stat(5)).
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse().ok();
        Some(Self { group: number(2)? as u32, user_ticks: number(11)?, system_ticks: number(12)? })
    }
}

fn group_members(group: u32) -> Vec<u64> {
    let mut pids = numbers("/proc");
    pids.retain(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        Stat::parse(&stat).is_some_and(|stat| stat.group == group)
    });
    pids
}

fn numbers(folder: &str) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn field(text: &str, name: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(name)).map_or(0, first_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_fields() {
        let stat = Stat::parse("7 (a) b) S 1 42 42 0 -1 4194560 1 0 0 0 11 22 0 0 20 0 1 0").unwrap();
        assert_eq!((stat.group, stat.user_ticks, stat.system_ticks), (42, 11, 22));
    }

    #[test]
    fn the_split_follows_ticks_and_the_total_follows_the_scheduler() {
        let before = Usage::default();
        let after = Usage { run_ns: 1_000_000_000, user_ticks: 25, system_ticks: 75, voluntary: 3, involuntary: 1 };
        let spent = before.until(&after);
        assert_eq!((spent.user_us, spent.system_us), (250_000.0, 750_000.0));
        assert_eq!((spent.voluntary, spent.involuntary), (3, 1));
    }

    #[test]
    fn a_thread_that_ended_is_not_lost() {
        let after = Usage { run_ns: 100_000_000, user_ticks: 50, system_ticks: 50, ..Usage::default() };
        let spent = Usage::default().until(&after);
        assert_eq!(spent.user_us + spent.system_us, 1_000_000.0);
    }
}
