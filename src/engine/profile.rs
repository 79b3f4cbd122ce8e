//! What tasks cost, by the function that they run: calls, time on the processor, time between a wake-up and the run. It is
//! measured only while somebody asks for it: two looks at the clock for each run of a task, and one for each wake-up.

use std::collections::VecDeque;

/// What one function's tasks took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The type of the future.
    pub name: &'static str,
    pub calls: u64,
    pub cpu_ns: u64,
    pub latency_ns: u64,
}

/// The tasks of one thread.
#[derive(Clone, Debug, Default)]
pub struct TaskReport {
    /// Function and number of the tasks that are to run.
    pub ready: Vec<(&'static str, u64)>,
    pub costs: Vec<Cost>,
}

/// A thread's measures.
#[derive(Debug, Default)]
pub(super) struct Profile {
    costs: Vec<Cost>,
    /// Since when each of the tasks that are to run waits, in nanoseconds.
    waits: VecDeque<u64>,
}

impl Profile {
    /// For a thread whose `ready` tasks wait from now on.
    pub fn begin(ready: usize, now_ns: u64) -> Profile {
        Profile { costs: Vec::new(), waits: std::iter::repeat_n(now_ns, ready).collect() }
    }

    pub fn woken(&mut self, now_ns: u64) {
        self.waits.push_back(now_ns);
    }

    /// The longest waiting task is about to run.
    pub fn begins(&mut self) -> Option<u64> {
        self.waits.pop_front()
    }

    pub fn ran(&mut self, name: &'static str, cpu_ns: u64, latency_ns: u64) {
        let index = match self.costs.iter().position(|c| std::ptr::eq(c.name, name)) {
            Some(index) => index,
            None => {
                self.costs.push(Cost { name, calls: 0, cpu_ns: 0, latency_ns: 0 });
                self.costs.len() - 1
            }
        };
        let cost = &mut self.costs[index];
        cost.calls += 1;
        cost.cpu_ns += cpu_ns;
        cost.latency_ns += latency_ns;
    }

    pub fn costs(&self) -> &[Cost] {
        &self.costs
    }
}
