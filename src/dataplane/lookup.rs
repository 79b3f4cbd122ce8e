//! Names that rules ask for (`do-resolve`): the question goes to the control thread, which resolves; the stream waits and its
//! rule is tried again when the answer is here.

use super::worker::{Mail, Worker};
use crate::base::slab::{Key, Slab};
use crate::engine::reactor::TaskId;
use crate::language::world::Answer;
use crate::model::server::ResolvePrefer;
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::Poll;

/// What the control thread is asked.
#[derive(Debug)]
pub struct Question {
    /// Names the question in the answer.
    pub number: Key,
    /// Of the plan's resolvers.
    pub section: usize,
    pub name: Box<str>,
    pub prefer: ResolvePrefer,
}

/// The questions of one worker that streams wait for: as many as there are streams at most.
#[derive(Default)]
pub struct Lookups(RefCell<Slab<Waiting>>);

struct Waiting {
    task: TaskId,
    answer: Option<Option<IpAddr>>,
}

impl Lookups {
    /// The answer has come.
    pub fn found(&self, w: &Worker, number: Key, ip: Option<IpAddr>) {
        if let Some(waiting) = self.0.borrow_mut().get_mut(number) {
            waiting.answer = Some(ip);
            w.rt.wake(waiting.task);
        }
    }
}

/// What a stream has asked for. Dropped with the question unanswered, the answer finds nobody.
#[derive(Default)]
pub struct Lookup(RefCell<Option<Asked>>);

struct Asked {
    lookups: Rc<Lookups>,
    number: Key,
    section: usize,
    name: Box<str>,
}

impl Lookup {
    /// The answer to this question if it is the one that was asked and has come; else it is asked.
    pub fn ask(&self, w: &Worker, section: usize, name: &str, prefer: ResolvePrefer) -> Answer<Option<IpAddr>> {
        if let Some(answer) = self.recall(section, name) {
            return answer;
        }
        let waiting = Waiting { task: w.rt.current(), answer: None };
        let number = w.lookups.0.borrow_mut().insert(waiting);
        let name: Box<str> = name.into();
        self.0.replace(Some(Asked { lookups: w.lookups.clone(), number, section, name: name.clone() }));
        w.send(w.board.workers(), Mail::LookUp(Question { number, section, name, prefer }));
        Answer::Later
    }

    /// What is known of this question; `None`: it was not asked.
    fn recall(&self, section: usize, name: &str) -> Option<Answer<Option<IpAddr>>> {
        let mut asked = self.0.borrow_mut();
        let this = asked.as_ref().filter(|a| (a.section, &*a.name) == (section, name))?;
        let answer = this.lookups.0.borrow().get(this.number).and_then(|waiting| waiting.answer);
        Some(match answer {
            None => Answer::Later,
            Some(ip) => {
                // Another rule may ask for the same name.
                *asked = None;
                Answer::Now(ip)
            }
        })
    }

    /// The stream is over.
    pub fn settle(&self) {
        self.0.take();
    }

    /// Waits until the answer is here.
    pub async fn wait(&self) {
        poll_fn(|_| {
            let asked = self.0.borrow();
            let Some(asked) = &*asked else { return Poll::Ready(()) };
            let lookups = asked.lookups.0.borrow();
            match lookups.get(asked.number) {
                Some(Waiting { answer: None, .. }) => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.lookups.0.borrow_mut().remove(self.number);
    }
}
