//! Rings (manual 12.5) on the control thread: events come from the queues of all threads, stay in memory for `show events`,
//! and are sent to the servers of their ring by a task for each (`delivery`). A slow server costs its own ring, never the
//! traffic: what finds no room is dropped, counted, and told in the ring itself once there is room again.

mod buffer;
mod delivery;

use crate::base::clock::Millis;
use crate::dataplane::events::{EventReader, Events};
use crate::dataplane::tls::Clients;
use crate::dataplane::worker::Shared;
use crate::engine::Rt;
use crate::engine::reactor::TaskId;
use crate::engine::task::{before, sleep};
use crate::model::ring::RingIndex;
use crate::proto::syslog::{Framer, Header};
use buffer::Buffer;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// How often the queues are looked at while events come, in milliseconds.
const LOOK_MS: u64 = 5;
/// How long servers may take to hear the last events of a process that ends, in milliseconds.
const LAST_MS: u64 = 1000;
/// Level of what a ring says of itself.
const NOTICE: u8 = 5;

/// All rings of the process.
pub struct Rings {
    rt: Rt,
    shared: Arc<Shared>,
    rings: Vec<Ring>,
    reader: RefCell<EventReader>,
    framer: RefCell<Framer>,
    /// The task that empties the queues.
    pump: Cell<TaskId>,
    /// TLS contexts of the servers.
    clients: Clients,
}

struct Ring {
    buffer: RefCell<Buffer>,
    /// Dropped events that the ring does not tell of yet.
    untold: Cell<u64>,
    /// Tasks that wait for the next event.
    waiting: RefCell<Vec<TaskId>>,
    /// Servers that there is a connection to.
    connected: RefCell<Vec<bool>>,
}

/// Starts to take events in and to deliver them.
pub fn start(rt: &Rt, shared: &Arc<Shared>) -> Rc<Rings> {
    let ring = |r: &crate::model::ring::Ring| Ring {
        buffer: RefCell::new(Buffer::new(r.room(), r.servers.len())),
        untold: Cell::new(0),
        waiting: RefCell::default(),
        connected: RefCell::new(vec![false; r.servers.len()]),
    };
    let rings = Rc::new(Rings {
        rt: rt.clone(),
        shared: shared.clone(),
        rings: shared.plan.rings.iter().map(ring).collect(),
        reader: RefCell::new(shared.events.reader()),
        framer: RefCell::default(),
        pump: Cell::default(),
        clients: Clients::default(),
    });
    rings.pump.set(rt.spawn(pump(rings.clone())));
    for (number, ring) in shared.plan.rings.iter().enumerate() {
        for server in 0..ring.servers.len() {
            rt.spawn(delivery::run(rings.clone(), number, server));
        }
    }
    rings
}

/// Empties the queues as long as events come, then waits for the next.
async fn pump(rings: Rc<Rings>) {
    loop {
        if rings.take_in() {
            sleep(&rings.rt, LOOK_MS).await;
            continue;
        }
        rings.events().rest();
        if rings.take_in() {
            continue;
        }
        poll_fn(|_| if rings.events().is_awake() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl Rings {
    fn events(&self) -> &Events {
        &self.shared.events
    }

    /// Somebody may have written an event.
    pub fn look(&self) {
        if self.events().is_awake() {
            self.rt.wake(self.pump.get());
        }
    }

    /// Takes in what is in the queues. True when that was anything.
    pub fn take_in(&self) -> bool {
        let any = self.reader.borrow_mut().read(|ring, facility, event| self.add(ring, facility, event));
        for (number, ring) in self.rings.iter().enumerate() {
            ring.drop_events(self.events().take_lost(number));
        }
        any
    }

    fn add(&self, number: RingIndex, facility: u8, event: &[u8]) {
        let ring = &self.rings[number];
        let untold = ring.untold.get();
        if untold > 0 {
            let mut line = Vec::new();
            self.tell(number, facility, untold, &mut line);
            if !ring.buffer.borrow_mut().push(&line) {
                return ring.drop_events(1);
            }
            ring.untold.set(0);
        }
        if !ring.buffer.borrow_mut().push(event) {
            ring.drop_events(1);
        }
        for task in ring.waiting.borrow_mut().drain(..) {
            self.rt.wake(task);
        }
    }

    /// What a ring says of the events that it lost, in its format.
    fn tell(&self, number: RingIndex, facility: u8, count: u64, out: &mut Vec<u8>) {
        let (global, settings) = (&self.shared.plan.global, &self.shared.plan.rings[number]);
        let hostname = global.log_send_hostname.as_ref().map(|n| n.as_ref().unwrap_or(&self.shared.hostname));
        let header = Header {
            format: settings.format,
            facility,
            level: NOTICE,
            hostname: hostname.map(|name| name.as_bytes()),
            tag: global.log_tag.as_ref().unwrap_or(&self.shared.program).as_bytes(),
            pid: self.shared.pid,
            structured_data: &[],
            len_max: settings.length_max + 1,
        };
        let text = format!("{count} events dropped ");
        let wall_us = self.rt.now().wall_us;
        self.framer.borrow_mut().frame(&header, wall_us, self.shared.utc_offset, text.as_bytes(), out);
        out.pop();
    }

    /// Events of a ring that were lost so far.
    pub fn dropped(&self, ring: RingIndex) -> u64 {
        self.rings[ring].buffer.borrow().dropped()
    }

    /// Place of the oldest event, and behind the newest.
    pub fn places(&self, ring: RingIndex) -> (u64, u64) {
        let buffer = self.rings[ring].buffer.borrow();
        (buffer.first(), buffer.end())
    }

    /// Appends the event at this place to `out`; false when there is none yet.
    pub fn next(&self, ring: RingIndex, place: &mut u64, out: &mut Vec<u8>) -> bool {
        let buffer = self.rings[ring].buffer.borrow();
        match buffer.next(place) {
            Some(event) => {
                out.extend(event);
                true
            }
            None => false,
        }
    }

    /// Waits until there is an event at this place.
    pub async fn event_at(&self, ring: RingIndex, place: u64) {
        let ring = &self.rings[ring];
        poll_fn(|_| {
            if ring.buffer.borrow().end() > place {
                return Poll::Ready(());
            }
            let (me, mut waiting) = (self.rt.current(), ring.waiting.borrow_mut());
            if !waiting.contains(&me) {
                waiting.push(me);
            }
            Poll::Pending
        })
        .await
    }

    /// Waits, within reason, until the servers that listen have heard all there is.
    pub async fn tell_last(&self) {
        self.take_in();
        let deadline: Millis = self.rt.now().mono.plus(LAST_MS);
        for number in 0..self.rings.len() {
            let ring = &self.rings[number];
            let all_told = || {
                let (buffer, connected) = (ring.buffer.borrow(), ring.connected.borrow());
                connected.iter().enumerate().all(|(s, there)| !there || buffer.pin(s) == buffer.end())
            };
            let told = async {
                while !all_told() {
                    sleep(&self.rt, LOOK_MS).await;
                }
            };
            let _ = before(&self.rt, deadline, told).await;
        }
    }

    /// Whether a server listens.
    pub fn is_heard(&self) -> bool {
        self.rings.iter().any(|r| r.connected.borrow().contains(&true))
    }
}

impl Ring {
    fn drop_events(&self, count: u64) {
        if count > 0 {
            self.untold.set(self.untold.get() + count);
            self.buffer.borrow_mut().drop_events(count);
        }
    }
}
