//! Asking all workers something and waiting for the last answer: a worker that is stuck makes the asker late, and
//! nothing is made up in its place.

use super::super::supervise::Control;
use crate::admin::runtime_api::Need;
use crate::base::clock::Millis;
use crate::dataplane::registry::Listed;
use crate::dataplane::worker::Mail;
use crate::engine::profile::TaskReport;
use crate::engine::reactor::TaskId;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// Questions whose answers are not complete yet.
#[derive(Default)]
pub struct Gathering {
    open: RefCell<Vec<Question>>,
    next: std::cell::Cell<u64>,
}

struct Question {
    number: u64,
    asker: TaskId,
    /// Workers that have not answered.
    left: Vec<usize>,
    news: News,
}

impl Question {
    /// No more is to be expected of this worker. Whom to wake when it was the last one.
    fn settle(&mut self, worker: usize) -> Option<TaskId> {
        let waited = self.left.len();
        self.left.retain(|w| *w != worker);
        (waited > 0 && self.left.is_empty()).then_some(self.asker)
    }
}

/// What came back.
#[derive(Debug, Default)]
pub struct News {
    /// Worker, stream.
    pub streams: Vec<(usize, Listed)>,
    /// One for each thread.
    pub tasks: Vec<TaskReport>,
}

impl Gathering {
    fn answer(&self, control: &Control, worker: usize, number: u64, add: impl FnOnce(&mut News)) {
        let mut open = self.open.borrow_mut();
        let Some(question) = open.iter_mut().find(|q| q.number == number) else { return };
        add(&mut question.news);
        if let Some(asker) = question.settle(worker) {
            control.rt.wake(asker);
        }
    }

    pub fn pong(&self, control: &Control, worker: usize, number: u64) {
        self.answer(control, worker, number, |_| {});
    }

    pub fn streams(&self, control: &Control, worker: usize, number: u64, streams: Vec<Listed>) {
        self.answer(control, worker, number, |news| news.streams.extend(streams.into_iter().map(|s| (worker, s))));
    }

    pub fn tasks(&self, control: &Control, worker: usize, number: u64, report: TaskReport) {
        self.answer(control, worker, number, |news| news.tasks.push(report));
    }

    /// A worker has finished: what it was asked and has not answered, it never will.
    pub fn finished(&self, control: &Control, worker: usize) {
        self.open.borrow_mut().iter_mut().filter_map(|q| q.settle(worker)).for_each(|asker| control.rt.wake(asker));
    }
}

/// A question that is no longer asked when its asker has gone.
struct Asked<'a>(&'a Gathering, u64);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.open.borrow_mut().retain(|q| q.number != self.1);
    }
}

/// Asks every worker. `None`: not all had answered at `deadline`.
pub async fn gather(control: &Rc<Control>, need: Need, deadline: Millis) -> Option<News> {
    control.publish();
    let gathering = &control.gathering;
    let number = gathering.next.get() + 1;
    gathering.next.set(number);
    let left = control.working();
    let question = Question { number, asker: control.rt.current(), left, news: News::default() };
    gathering.open.borrow_mut().push(question);
    let asked = Asked(gathering, number);
    control.tell_all(|| match need {
        Need::Counters => Mail::Ping(number),
        Need::Sessions => Mail::ListStreams(number),
        Need::Tasks => Mail::ListTasks(number),
    });
    let news = poll_fn(|_| {
        let mut open = gathering.open.borrow_mut();
        let Some(question) = open.iter_mut().find(|q| q.number == number) else { return Poll::Ready(None) };
        if question.left.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut question.news)));
        }
        drop(open);
        if control.rt.reached(deadline) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await;
    drop(asked);
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slab::Key;

    #[test]
    fn an_answer_is_whole_when_each_worker_has_answered_or_finished() {
        let asker = Key { index: 7, ..Key::NONE };
        let mut question = Question { number: 1, asker, left: vec![0, 1, 3], news: News::default() };
        assert_eq!(question.settle(1), None);
        assert_eq!(question.settle(1), None, "it has answered, and then it finishes");
        assert_eq!(question.settle(2), None, "it was not asked");
        assert_eq!(question.settle(3), None);
        assert_eq!(question.settle(0), Some(asker), "it finishes and has not answered");
        assert_eq!(question.settle(0), None, "the asker knows");
    }
}
