//! Places of a limit that all workers take, each counting in counters of its own: with a fence alone while there is room for
//! all of them, one worker at a time where there is not, and never more than the limit.

use super::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::*},
    tell_then_look,
};

#[derive(Debug)]
pub struct Places {
    passing: Box<[Passing]>,
    last: Mutex<()>,
}

/// A worker looks and counts without the lock just now.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Passing(AtomicBool);

impl Places {
    pub fn new(workers: usize) -> Places {
        Places { passing: (0..workers).map(|_| Passing::default()).collect(), last: Mutex::new(()) }
    }

    /// Takes a place: calls `count`, which adds one. `None`: the limit is reached, or another worker takes one of the last
    /// places just now. `is_full(n)`: one more would pass a limit if there were `n` more than are counted.
    pub fn take<T>(&self, worker: usize, is_full: impl Fn(u64) -> bool, count: impl FnOnce() -> T) -> Option<T> {
        let passing = &self.passing[worker].0;
        passing.store(true, Relaxed);
        // Who takes a last place sees us pass, or we see what he has counted.
        tell_then_look();
        if !is_full(self.passing.len() as u64) {
            let counted = count();
            passing.store(false, Release);
            return Some(counted);
        }
        passing.store(false, Release);
        let _turn = self.last.try_lock().ok()?;
        tell_then_look();
        let others = self.passing.iter().filter(|p| p.0.load(Acquire)).count();
        (!is_full(others as u64)).then(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::counter::Counter;

    #[test]
    fn places_are_taken_up_to_the_limit() {
        let (places, taken) = (Places::new(4), Counter::default());
        let take = |worker| places.take(worker, |others| taken.get() + others >= 10, || taken.add(1)).is_some();
        assert_eq!((0..20).filter(|n| take(n % 4)).count(), 10);
        taken.sub(1);
        assert!(take(0) && !take(1));
    }

    #[cfg(loom)]
    #[test]
    fn under_loom_a_limit_is_reached_and_never_passed() {
        loom::model(|| {
            const LIMIT: u64 = 3;
            let shared = loom::sync::Arc::new((Places::new(2), [Counter::default(), Counter::default()]));
            let worker = |own: usize, times: u64| {
                let shared = shared.clone();
                move || {
                    let (places, taken) = &*shared;
                    let is_full = |others| taken[0].get() + taken[1].get() + others >= LIMIT;
                    for _ in 0..times {
                        places.take(own, is_full, || taken[own].add(1));
                    }
                }
            };
            let other = loom::thread::spawn(worker(1, LIMIT));
            worker(0, 1)();
            other.join().unwrap();
            let (places, taken) = &*shared;
            let sum = || taken[0].get() + taken[1].get();
            assert!(sum() <= LIMIT, "{} of {LIMIT}", sum());
            // What two left to each other is taken by the next.
            while places.take(0, |others| sum() + others >= LIMIT, || taken[0].add(1)).is_some() {}
            assert_eq!(sum(), LIMIT);
        });
    }
}
