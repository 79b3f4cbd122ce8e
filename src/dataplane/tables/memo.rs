//! What a rule has asked of tables so far. A rule that must wait for an answer is evaluated again from its start; the memo
//! gives it the same answers in the same order, so that nothing is asked or counted twice.

use super::message::Reply;
use super::{Asking, Tables};
use crate::base::slab::Key;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

enum Note {
    Done(Option<i64>),
    Asked(Key),
}

#[derive(Default)]
struct State {
    /// The evaluation can wait; else what is elsewhere is unknown.
    patient: bool,
    at: usize,
    notes: Vec<Note>,
    waiting: bool,
    /// Set once something was asked, to take it back.
    tables: Option<Rc<Tables>>,
}

#[derive(Default)]
pub struct Memo(RefCell<State>);

/// What the memo says of the next question.
pub enum Recall {
    /// It was not asked yet.
    New,
    Known(Option<i64>),
    /// The answer is on its way.
    Waiting,
}

impl Memo {
    pub fn is_patient(&self) -> bool {
        self.0.borrow().patient
    }

    pub fn set_patient(&self, patient: bool) {
        self.0.borrow_mut().patient = patient;
    }

    /// The evaluation starts (again).
    pub fn rewind(&self) {
        let s = &mut *self.0.borrow_mut();
        s.at = 0;
        s.waiting = false;
    }

    pub fn is_waiting(&self) -> bool {
        self.0.borrow().waiting
    }

    /// The evaluation is over: the next one asks anew.
    pub fn settle(&self) {
        let s = &mut *self.0.borrow_mut();
        s.at = 0;
        s.waiting = false;
        for note in s.notes.drain(..) {
            if let (Note::Asked(id), Some(tables)) = (note, &s.tables) {
                tables.abandon(id);
            }
        }
    }

    /// What is known of the next question.
    pub fn recall(&self) -> Recall {
        let s = &mut *self.0.borrow_mut();
        let at = s.at;
        s.at += 1;
        let Some(note) = s.notes.get_mut(at) else { return Recall::New };
        match note {
            Note::Done(value) => Recall::Known(*value),
            Note::Asked(id) => match s.tables.as_ref().and_then(|t| t.take_reply(*id)) {
                None => {
                    s.waiting = true;
                    Recall::Waiting
                }
                Some(reply) => {
                    let value = match reply {
                        Reply::Value(value) => value,
                        // The server's number and its word do not fit into one answer: see `persist`.
                        Reply::Leased(granted) => granted.map(|_| 1),
                        Reply::Server(_)
                        | Reply::Listing(..)
                        | Reply::Removed(_)
                        | Reply::Cleared(_)
                        | Reply::Set(_)
                        | Reply::Updates(..)
                        | Reply::Learned => None,
                    };
                    *note = Note::Done(value);
                    Recall::Known(value)
                }
            },
        }
    }

    /// Notes the answer to the question that [`Memo::recall`] did not know.
    pub fn know(&self, value: Option<i64>) {
        self.0.borrow_mut().notes.push(Note::Done(value));
    }

    /// Notes that the answer is on its way.
    pub fn asked(&self, tables: &Rc<Tables>, id: Key) {
        let s = &mut *self.0.borrow_mut();
        s.notes.push(Note::Asked(id));
        s.waiting = true;
        if s.tables.is_none() {
            s.tables = Some(tables.clone());
        }
    }

    pub fn is_answered(&self) -> bool {
        let s = self.0.borrow();
        let Some(tables) = &s.tables else { return true };
        s.notes.iter().all(|n| match n {
            Note::Done(_) => true,
            Note::Asked(id) => tables.is_replied(*id),
        })
    }

    /// Waits until every answer has come.
    pub async fn wait(&self) {
        poll_fn(|_| if self.is_answered() { Poll::Ready(()) } else { Poll::Pending }).await
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        self.settle();
    }
}

impl Tables {
    fn is_replied(&self, id: Key) -> bool {
        self.inner.borrow().asks.get(id).is_none_or(|a| a.reply.is_some())
    }

    /// Waits for one answer.
    pub async fn wait_for(self: &Rc<Self>, asking: Asking) -> Reply {
        let id = match asking {
            Asking::Now(reply) => return reply,
            Asking::Later(id) => id,
        };
        let guard = Guard(self.clone(), id);
        poll_fn(|_| match guard.0.take_reply(id) {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        })
        .await
    }
}

/// A question whose asker may go away.
struct Guard(Rc<Tables>, Key);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abandon(self.1);
    }
}
