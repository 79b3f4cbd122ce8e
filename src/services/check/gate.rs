//! Bounds how many checks run at once (manual 3.2 "tune.max-checks-per-thread"): those above it wait in order.

use crate::engine::Rt;
use crate::engine::reactor::TaskId;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

pub struct Gate {
    /// 0: no bound.
    limit: u32,
    running: Cell<u32>,
    waiting: RefCell<VecDeque<TaskId>>,
}

/// The right to run; given back on drop.
pub struct Turn(Rc<Gate>, Rt);

impl Gate {
    pub fn new(limit: u32) -> Rc<Gate> {
        Rc::new(Gate { limit, running: Cell::new(0), waiting: RefCell::default() })
    }

    pub async fn enter(self: &Rc<Self>, rt: &Rt) -> Turn {
        let mut queued = false;
        poll_fn(|_| {
            let mut waiting = self.waiting.borrow_mut();
            let me = rt.current();
            let first = if queued { waiting.front() == Some(&me) } else { waiting.is_empty() };
            if self.limit == 0 || (first && self.running.get() < self.limit) {
                if queued {
                    waiting.pop_front();
                }
                self.running.set(self.running.get() + 1);
                // A place may be free for the next one too.
                if let Some(next) = waiting.front() {
                    rt.wake(*next);
                }
                return Poll::Ready(());
            }
            if !queued {
                waiting.push_back(me);
                queued = true;
            }
            Poll::Pending
        })
        .await;
        Turn(self.clone(), rt.clone())
    }

    /// Forgets a task that was ended while it may have waited. It may have been woken for a place just before, which is
    /// the next one's then.
    pub fn forget(&self, rt: &Rt, task: TaskId) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|t| *t != task);
        if let Some(next) = waiting.front() {
            rt.wake(*next);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        if let Some(next) = self.0.waiting.borrow().front() {
            self.1.wake(*next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::driver::sim::{SimNet, Weather};
    use crate::engine::task::sleep;

    #[test]
    fn a_place_that_an_ended_task_was_woken_for_goes_to_the_next() {
        let net = SimNet::new(1, Weather::fair());
        let (rt, gate, entered) = (net.reactor(), Gate::new(1), Rc::new(Cell::new(0)));
        let (own, passed) = (rt.clone(), entered.clone());
        rt.spawn(async move {
            let turn = gate.enter(&own).await;
            let tasks = [0; 2].map(|_| {
                let (rt, gate, passed) = (own.clone(), gate.clone(), passed.clone());
                own.spawn(async move {
                    let _turn = gate.enter(&rt).await;
                    passed.set(passed.get() + 1);
                })
            });
            sleep(&own, 1).await;
            drop(turn);
            gate.forget(&own, tasks[0]);
            own.kill(tasks[0]);
        });
        net.run_all(std::slice::from_ref(&rt), || rt.in_use().2 == 0).unwrap();
        assert_eq!(entered.get(), 1);
    }
}
