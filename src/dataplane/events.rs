//! Events on their way from the threads that write them to the rings, which the control thread keeps: a bounded queue of
//! bytes for each thread. Nobody waits: what does not fit is lost and counted. The reader is woken once and then looks by
//! itself as long as events come, so that a busy worker wakes nobody.

use crate::base::sync::{Mutex, atomic::AtomicBool, atomic::AtomicU64, atomic::Ordering, tell_then_look};
use crate::model::logging::{LogSink, LogTarget};
use crate::model::plan::Plan;
use crate::model::ring::RingIndex;
use rtrb::{Consumer, Producer, RingBuffer};
use std::cell::RefCell;

/// Bytes that wait in a thread's queue at most: some milliseconds of the busiest worker. A line has 65535 at most.
const QUEUE_BYTES: usize = 256 << 10;
/// Ring, facility and length before each event.
const HEAD_BYTES: usize = 8;

/// The queues of all threads.
pub struct Events {
    queues: Vec<Ends>,
    /// The reader will look by itself.
    is_awake: AtomicBool,
    /// For each ring: events that found no room in a queue.
    lost: Vec<AtomicU64>,
}

/// Both ends of a queue until the threads that own them take them.
type Ends = (Mutex<Option<Producer<u8>>>, Mutex<Option<Consumer<u8>>>);

impl Events {
    /// Queues for `threads`, where a `log` line names a ring.
    pub fn new(plan: &Plan, threads: usize) -> Events {
        let names_ring = |targets: &[LogTarget]| targets.iter().any(|t| matches!(t.sink, LogSink::Ring(_)));
        let used = names_ring(&plan.global.log_targets)
            || plan.proxies.iter().any(|p| names_ring(&p.log.targets))
            || plan.peers.iter().any(|p| names_ring(&p.log_targets));
        let queue = |_| {
            let (producer, consumer) = RingBuffer::new(QUEUE_BYTES);
            (Mutex::new(Some(producer)), Mutex::new(Some(consumer)))
        };
        Events {
            queues: (0..if used { threads } else { 0 }).map(queue).collect(),
            is_awake: AtomicBool::new(false),
            lost: plan.rings.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The end of this thread, which takes it once.
    pub fn writer(&self, thread: usize) -> EventWriter {
        let end = self.queues.get(thread).and_then(|(end, _)| end.lock().ok()?.take());
        EventWriter { queue: RefCell::new(end) }
    }

    /// The other ends, taken once.
    pub fn reader(&self) -> EventReader {
        EventReader { queues: self.queues.iter().filter_map(|(_, end)| end.lock().ok()?.take()).collect() }
    }

    /// The reader is wanted, or reads.
    pub fn is_awake(&self) -> bool {
        self.is_awake.load(Ordering::Acquire)
    }

    /// The reader goes to sleep, and must look once more afterwards.
    pub fn rest(&self) {
        self.is_awake.store(false, Ordering::Release);
        tell_then_look();
    }

    /// Events of a ring that were lost since this was last asked.
    pub fn take_lost(&self, ring: RingIndex) -> u64 {
        let lost = &self.lost[ring];
        if lost.load(Ordering::Relaxed) == 0 { 0 } else { lost.swap(0, Ordering::Relaxed) }
    }
}

/// A thread's end.
pub struct EventWriter {
    queue: RefCell<Option<Producer<u8>>>,
}

impl EventWriter {
    /// Sends an event. True when the reader is to be woken.
    pub fn write(&self, events: &Events, ring: RingIndex, facility: u8, event: &[u8]) -> bool {
        let mut queue = self.queue.borrow_mut();
        let Some(queue) = &mut *queue else { return false };
        match queue.write_chunk(HEAD_BYTES + event.len()) {
            Ok(mut chunk) => {
                let mut head = [0; HEAD_BYTES];
                head[..2].copy_from_slice(&(ring as u16).to_ne_bytes());
                head[2] = facility;
                head[4..].copy_from_slice(&(event.len() as u32).to_ne_bytes());
                let (first, second) = chunk.as_mut_slices();
                put(&head, 0, first, second);
                put(event, HEAD_BYTES, first, second);
                chunk.commit_all();
            }
            Err(_) => drop(events.lost[ring].fetch_add(1, Ordering::Relaxed)),
        }
        tell_then_look();
        if events.is_awake.load(Ordering::Relaxed) {
            // Half full: its next look may be too late.
            return queue.slots() < QUEUE_BYTES / 2;
        }
        !events.is_awake.swap(true, Ordering::AcqRel)
    }
}

/// Copies to where both parts, seen as one, begin at `at`.
fn put(bytes: &[u8], at: usize, first: &mut [u8], second: &mut [u8]) {
    let split = first.len().saturating_sub(at).min(bytes.len());
    if split > 0 {
        first[at..at + split].copy_from_slice(&bytes[..split]);
    }
    if split < bytes.len() {
        let at = at + split - first.len();
        second[at..at + bytes.len() - split].copy_from_slice(&bytes[split..]);
    }
}

/// The control thread's ends.
pub struct EventReader {
    queues: Vec<Consumer<u8>>,
}

impl EventReader {
    /// Hands on all that has come: ring, facility, event. True when there was any.
    pub fn read(&mut self, mut each: impl FnMut(RingIndex, u8, &[u8])) -> bool {
        let mut event = Vec::new();
        let mut any = false;
        for queue in &mut self.queues {
            // No more than there are now: a worker may write as fast as this reads.
            let mut left = queue.slots();
            while left >= HEAD_BYTES {
                event.clear();
                if !take(queue, HEAD_BYTES, &mut event) {
                    break;
                }
                let ring = u16::from_ne_bytes([event[0], event[1]]);
                let facility = event[2];
                let len = u32::from_ne_bytes([event[4], event[5], event[6], event[7]]) as usize;
                event.clear();
                // Both were written at once.
                if !take(queue, len, &mut event) {
                    break;
                }
                each(ring.into(), facility, &event);
                left -= HEAD_BYTES + len;
                any = true;
            }
        }
        any
    }
}

fn take(queue: &mut Consumer<u8>, len: usize, into: &mut Vec<u8>) -> bool {
    let Ok(chunk) = queue.read_chunk(len) else { return false };
    let (first, second) = chunk.as_slices();
    into.extend_from_slice(first);
    into.extend_from_slice(second);
    chunk.commit_all();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> (Events, EventWriter, EventReader) {
        let (producer, consumer) = RingBuffer::new(QUEUE_BYTES);
        let events = Events { queues: Vec::new(), is_awake: AtomicBool::new(false), lost: vec![AtomicU64::new(0)] };
        let writer = EventWriter { queue: RefCell::new(Some(producer)) };
        (events, writer, EventReader { queues: vec![consumer] })
    }

    #[test]
    fn events_of_any_length_arrive_whole_and_in_order_round_the_queue_s_end() {
        let (events, writer, mut reader) = queue();
        let mut expected = Vec::new();
        for round in 0..200_usize {
            let event = vec![round as u8; round * 37 % 5000];
            writer.write(&events, 0, (round % 24) as u8, &event);
            expected.push(((round % 24) as u8, event));
            if round % 7 == 6 {
                let mut got = Vec::new();
                assert!(reader.read(|ring, facility, e| got.push((ring, facility, e.to_vec()))));
                let wanted: Vec<_> = expected.drain(..).map(|(facility, e)| (0, facility, e)).collect();
                assert!(got == wanted, "round {round}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_nobody_is_woken_twice() {
        let (events, writer, mut reader) = queue();
        let event = [b'x'; 60_000];
        assert!(writer.write(&events, 0, 0, &event), "the first wakes the reader");
        assert!(!writer.write(&events, 0, 0, &event), "it looks by itself from then on");
        for _ in 0..4 {
            assert!(writer.write(&events, 0, 0, &event), "it would look too late");
        }
        assert_eq!((events.take_lost(0), events.take_lost(0)), (2, 0));
        let mut count = 0;
        reader.read(|_, _, _| count += 1);
        assert_eq!(count, 4);
        events.rest();
        assert!(!events.is_awake() && writer.write(&events, 0, 0, &event));
    }
}
