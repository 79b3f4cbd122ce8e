//! The task of one `resolvers` section: carries questions and answers between [`Names`] and the name servers.

use super::ResolverContext;
use super::names::{Names, Output};
use super::nameserver::{Nameserver, over_tcp};
use crate::base::clock::Millis;
use crate::base::slab::Key;
use crate::engine::driver::sockets;
use crate::engine::operation::Sending;
use crate::engine::reactor::TaskId;
use crate::engine::task::{before, yield_now};
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::resolvers::Families;
use crate::model::state::counters::ProcessCounter;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Datagrams read before other tasks have their turn.
const TURN_MAX: usize = 256;
/// Connections to one name server over TCP at once; what is beyond counts as an error of sending.
const STREAMS_MAX: usize = 64;
/// How long it is believed that the system has, or has not, a way to IPv6 addresses (manual 3.1 "dns-accept-family").
const ROUTE_MS: u64 = 30_000;
/// Some address of the internet: nothing is sent there.
const ELSEWHERE: &str = "[2001:db8::1]:53";

/// What came over TCP.
struct Arrival {
    nameserver: usize,
    /// Of the question.
    id: u16,
    /// `None`: the connection failed.
    answer: Option<Vec<u8>>,
}

pub struct Section {
    cx: Rc<ResolverContext>,
    /// Of the section in the plan.
    index: usize,
    pub names: RefCell<Names>,
    nameservers: RefCell<Vec<Nameserver>>,
    /// Datagrams on their way to the kernel.
    sending: RefCell<Vec<(usize, Sending)>>,
    streams: RefCell<Vec<usize>>,
    arrived: RefCell<Vec<Arrival>>,
    task: Cell<TaskId>,
    route_checked: Cell<Option<Millis>>,
}

impl Section {
    pub fn start(cx: &Rc<ResolverContext>, index: usize) -> Rc<Section> {
        let mut ids = [0; 64];
        let mut left = 0;
        let random = move || {
            if left < 2 {
                // It fails only where the system has no randomness at all.
                let _ = aws_lc_rs::rand::fill(&mut ids);
                left = ids.len();
            }
            left -= 2;
            u16::from_be_bytes([ids[left], ids[left + 1]])
        };
        let names = Names::new(&cx.plan, &cx.board.live, index, Box::new(random), cx.rt.now().mono);
        let servers = &cx.plan.resolvers[index].nameservers;
        let section = Rc::new(Section {
            cx: cx.clone(),
            index,
            names: RefCell::new(names),
            nameservers: RefCell::new(servers.iter().map(|n| Nameserver::new(n.address.clone(), n.tcp)).collect()),
            sending: RefCell::default(),
            streams: RefCell::new(vec![0; servers.len()]),
            arrived: RefCell::default(),
            task: Cell::new(Key::NONE),
            route_checked: Cell::new(None),
        });
        section.task.set(cx.rt.spawn(run(section.clone())));
        section
    }

    pub fn task(&self) -> TaskId {
        self.task.get()
    }

    pub fn wake(&self) {
        self.cx.rt.wake(self.task.get());
    }

    pub fn rename(&self, server: (ProxyIndex, ServerIndex), name: &str, by: &str) -> Option<Result<String, String>> {
        let now = self.cx.rt.now().mono;
        self.names.borrow_mut().rename(&self.cx.board.live, server, name, by, now)
    }

    /// Not the turn's time: a question's time begins when it is sent, however long the turn was before.
    fn now(&self) -> Millis {
        self.cx.rt.fresh_now().mono
    }

    /// Reads what has come; true when there may be more.
    fn receive(&self) -> bool {
        let (live, plan, now) = (&self.cx.board.live, &self.cx.plan, self.now());
        for Arrival { nameserver, id, answer } in self.arrived.take() {
            let mut names = self.names.borrow_mut();
            match answer {
                Some(bytes) => names.received(live, plan, nameserver, &bytes, true, now),
                None => names.unanswered(live, plan, nameserver, id, now),
            }
        }
        let mut read = 0;
        for (number, nameserver) in self.nameservers.borrow_mut().iter_mut().enumerate() {
            while let Poll::Ready(datagram) = nameserver.poll_recv() {
                self.names.borrow_mut().received(live, plan, number, &datagram, false, now);
                read += 1;
                if read >= TURN_MAX {
                    return true;
                }
            }
        }
        false
    }

    fn note_sent(&self, cx: &mut Context<'_>) {
        self.sending.borrow_mut().retain_mut(|(nameserver, sending)| match Pin::new(sending).poll(cx) {
            Poll::Pending => true,
            Poll::Ready(sent) => {
                if sent.result.is_err() {
                    self.names.borrow_mut().counters[*nameserver].send_error += 1;
                }
                false
            }
        });
    }

    /// Does what the names want done.
    fn act(self: &Rc<Self>) {
        let outputs = self.names.borrow_mut().outputs();
        for output in outputs {
            match output {
                Output::Ask(question) => self.ask(&question),
                Output::AskOverTcp(nameserver, question) => self.ask_over_tcp(nameserver, question),
                Output::Found(asker, ip) => (self.cx.on_found)(asker, ip),
                Output::Happened(events) => (self.cx.on_events)(events),
            }
        }
    }

    fn ask(self: &Rc<Self>, question: &[u8]) {
        let payload = self.names.borrow().settings().accepted_payload_size as usize;
        let count = self.nameservers.borrow().len();
        for number in 0..count {
            if self.nameservers.borrow()[number].tcp {
                self.ask_over_tcp(number, question.to_vec());
                continue;
            }
            let sending = self.nameservers.borrow_mut()[number].send(&self.cx.rt, question, payload);
            let counters = &mut self.names.borrow_mut().counters[number];
            match sending {
                Ok(sending) => {
                    counters.sent += 1;
                    self.sending.borrow_mut().push((number, sending));
                }
                Err(_) => counters.send_error += 1,
            }
        }
    }

    fn ask_over_tcp(self: &Rc<Self>, nameserver: usize, question: Vec<u8>) {
        let counters = &mut self.names.borrow_mut().counters[nameserver];
        if self.streams.borrow()[nameserver] >= STREAMS_MAX {
            counters.send_error += 1;
            return;
        }
        counters.sent += 1;
        self.streams.borrow_mut()[nameserver] += 1;
        self.cx.rt.spawn(stream(self.clone(), nameserver, question));
    }

    /// Puts on the board what was counted.
    fn publish(&self) {
        let mut names = self.names.borrow_mut();
        for (cell, counters) in self.cx.board.nameservers(self.index).iter().zip(&names.counters) {
            cell.set(counters);
        }
        self.cx.board.control().process().add(ProcessCounter::FailedResolutions, names.take_failures());
    }

    /// The address families that are accepted now.
    fn families(&self) -> Families {
        if let Some(families) = self.cx.plan.global.dns_accept_family {
            return families;
        }
        let now = self.cx.rt.now().mono;
        let known = self.names.borrow().families;
        if self.route_checked.get().is_some_and(|at| now.since(at) < ROUTE_MS) {
            return known;
        }
        self.route_checked.set(Some(now));
        Families { ipv4: true, ipv6: self.reaches_ipv6() }
    }

    fn reaches_ipv6(&self) -> bool {
        let Ok(there) = ELSEWHERE.parse().map(crate::base::address::Address::Ip) else { return false };
        let Ok(fd) = self.cx.rt.datagram(&there) else { return false };
        let reached = sockets::connect_now(fd, &there).is_ok();
        self.cx.rt.close_fd(fd);
        reached
    }
}

/// One turn after the other, as long as the task lives.
async fn run(section: Rc<Section>) {
    loop {
        let more = poll_fn(|cx| {
            let more = section.receive();
            section.note_sent(cx);
            let families = section.families();
            section.names.borrow_mut().families = families;
            let (live, plan, now) = (&section.cx.board.live, &section.cx.plan, section.now());
            let next = section.names.borrow_mut().advance(live, plan, now);
            section.act();
            section.publish();
            if more || section.cx.rt.reached(next) { Poll::Ready(()) } else { Poll::Pending }
        });
        more.await;
        yield_now(&section.cx.rt).await;
    }
}

/// One question over TCP; its time is that of an attempt.
async fn stream(section: Rc<Section>, nameserver: usize, question: Vec<u8>) {
    let rt = &section.cx.rt;
    let (to, retry_ms) = {
        let names = section.names.borrow();
        (names.settings().nameservers[nameserver].address.clone(), names.settings().timeout_retry_ms)
    };
    let answer = before(rt, rt.now().mono.plus(retry_ms), over_tcp(rt, &to, &question)).await;
    section.streams.borrow_mut()[nameserver] -= 1;
    // Silence is for the attempt to notice.
    if let Ok(answer) = answer {
        let id = u16::from_be_bytes([question[0], question[1]]);
        section.arrived.borrow_mut().push(Arrival { nameserver, id, answer: answer.ok() });
        section.wake();
    }
}
