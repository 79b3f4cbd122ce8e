//! How a process that has just started learns what others know ("Initial full resync process"): first from the process it
//! succeeds, then from one remote peer after the other until one says that it knows all. Nobody waits for it: traffic is
//! served meanwhile.

use super::Section;
use super::session::Session;
use crate::base::clock::Millis;
use crate::engine::reactor::TaskId;
use crate::engine::task::before;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// Each step waits so long for someone to learn from (`doc/peers.txt`).
const WAIT_MS: u64 = 5000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The old process is to connect.
    Local,
    /// A remote peer is asked.
    Remote,
    /// What is known counts as all.
    #[default]
    Done,
}

#[derive(Default)]
pub struct Resync {
    phase: Cell<Phase>,
    /// When the present step is given up.
    until: Cell<Millis>,
    /// Who was asked.
    teacher: RefCell<Option<Rc<Session>>>,
    task: Cell<TaskId>,
}

impl Resync {
    pub fn is_done(&self) -> bool {
        self.phase.get() == Phase::Done
    }

    pub fn until(&self) -> Option<Millis> {
        Some(self.until.get()).filter(|_| !self.is_done())
    }

    pub fn is_teacher(&self, session: &Rc<Session>) -> bool {
        self.teacher.borrow().as_ref().is_some_and(|t| Rc::ptr_eq(t, session))
    }

    fn wait(&self, section: &Section) {
        self.until.set(section.cx.now().plus(WAIT_MS));
        section.cx.rt.wake(self.task.get());
    }
}

/// Starts to learn. Who succeeds no process asks remote peers at once.
pub fn begin(section: &Rc<Section>, succeeds: bool) {
    let resync = &section.resync;
    resync.phase.set(if succeeds && section.local().is_some_and(|p| p.address.is_some()) {
        Phase::Local
    } else {
        Phase::Remote
    });
    resync.until.set(section.cx.now().plus(WAIT_MS));
    let task = section.cx.rt.spawn(keep_time(section.clone()));
    resync.task.set(task);
    section.tasks.borrow_mut().push(task);
}

/// Gives up the steps whose time is over.
async fn keep_time(section: Rc<Section>) {
    let (cx, resync) = (&section.cx, &section.resync);
    while !resync.is_done() {
        if cx.now() >= resync.until.get() {
            match resync.phase.get() {
                Phase::Local => {
                    resync.phase.set(Phase::Remote);
                    resync.until.set(cx.now().plus(WAIT_MS));
                    assign(&section);
                }
                Phase::Remote | Phase::Done => resync.phase.set(Phase::Done),
            }
            continue;
        }
        let until = resync.until.get();
        let changed = || resync.is_done() || resync.until.get() != until;
        let change = poll_fn(|_| if changed() { Poll::Ready(()) } else { Poll::Pending });
        let _ = before(&cx.rt, until, change).await;
    }
}

/// Chooses whom to ask, if someone is to be asked and someone is there.
pub fn assign(section: &Section) {
    let resync = &section.resync;
    if resync.phase.get() != Phase::Remote || resync.teacher.borrow().is_some() || section.stopping.get() {
        return;
    }
    let askable = section.peers.iter().filter(|p| !p.local && !p.spent.get());
    let sessions: Vec<Rc<Session>> = askable.filter_map(|p| p.session.borrow().clone()).collect();
    if sessions.is_empty() {
        return;
    }
    let chosen = sessions[section.cx.random(sessions.len() as u64) as usize].clone();
    chosen.ask_for_all();
    *resync.teacher.borrow_mut() = Some(chosen);
    // It takes as long as it takes.
    resync.until.set(Millis::NEVER);
    section.cx.rt.wake(resync.task.get());
}

/// Someone has told all that it knows, and whether that is all there is.
pub fn taught(section: &Section, session: &Rc<Session>, complete: bool) {
    let resync = &section.resync;
    let asked = resync.is_teacher(session);
    if resync.is_done() || !(asked || session.peer.local) {
        return;
    }
    if asked {
        resync.teacher.borrow_mut().take();
    }
    if complete {
        resync.phase.set(Phase::Done);
        section.cx.rt.wake(resync.task.get());
        return;
    }
    session.peer.spent.set(asked);
    resync.wait(section);
    assign(section);
}

/// A connection is no more.
pub fn lost(section: &Section, session: &Rc<Session>) {
    if section.resync.is_teacher(session) {
        section.resync.teacher.borrow_mut().take();
        section.resync.wait(section);
        assign(section);
    }
}
