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
/// Ring, facility, length and time before each event.
const HEAD_BYTES: usize = 16;

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
        EventReader::new(self.queues.iter().filter_map(|(_, end)| end.lock().ok()?.take()).collect())
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
    /// Sends an event of this moment. True when the reader is to be woken.
    pub fn write(&self, events: &Events, now_ns: u64, ring: RingIndex, facility: u8, event: &[u8]) -> bool {
        let mut queue = self.queue.borrow_mut();
        let Some(queue) = &mut *queue else { return false };
        match queue.write_chunk(HEAD_BYTES + event.len()) {
            Ok(mut chunk) => {
                let mut head = [0; HEAD_BYTES];
                head[..2].copy_from_slice(&(ring as u16).to_ne_bytes());
                head[2] = facility;
                head[4..8].copy_from_slice(&(event.len() as u32).to_ne_bytes());
                head[8..].copy_from_slice(&now_ns.to_ne_bytes());
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
    queues: Vec<Source>,
    event: Vec<u8>,
}

struct Source {
    queue: Consumer<u8>,
    /// Bytes that were there when reading began.
    left: usize,
    next: Option<Head>,
}

struct Head {
    now_ns: u64,
    ring: RingIndex,
    facility: u8,
    len: usize,
}

impl EventReader {
    fn new(queues: Vec<Consumer<u8>>) -> EventReader {
        let source = |queue| Source { queue, left: 0, next: None };
        EventReader { queues: queues.into_iter().map(source).collect(), event: Vec::new() }
    }

    /// Hands on all that has come, in the order of time: ring, facility, event. True when there was any.
    pub fn read(&mut self, mut each: impl FnMut(RingIndex, u8, &[u8])) -> bool {
        let mut any = false;
        for source in &mut self.queues {
            // No more than there are now: a worker may write as fast as this reads.
            source.left = source.queue.slots();
            source.look();
        }
        let time = |s: &Source| s.next.as_ref().map(|head| head.now_ns);
        while let Some(source) = self.queues.iter_mut().filter(|s| s.next.is_some()).min_by_key(|s| time(s)) {
            let Some(head) = source.next.take() else { break };
            self.event.clear();
            // Both were written at once.
            if !take(&mut source.queue, head.len, &mut self.event) {
                break;
            }
            each(head.ring, head.facility, &self.event);
            source.left -= HEAD_BYTES + head.len;
            source.look();
            any = true;
        }
        any
    }
}

impl Source {
    /// Reads the head of the next event.
    fn look(&mut self) {
        if self.left < HEAD_BYTES {
            return;
        }
        let Ok(chunk) = self.queue.read_chunk(HEAD_BYTES) else { return };
        let mut head = [0; HEAD_BYTES];
        let (first, second) = chunk.as_slices();
        head[..first.len()].copy_from_slice(first);
        head[first.len()..].copy_from_slice(second);
        chunk.commit_all();
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let mut now_ns = [0; 8];
        now_ns.copy_from_slice(&head[8..]);
        self.next = Some(Head {
            now_ns: u64::from_ne_bytes(now_ns),
            ring: u16::from_ne_bytes([head[0], head[1]]).into(),
            facility: head[2],
            len: word(4) as usize,
        });
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
        (events, writer, EventReader::new(vec![consumer]))
    }

    #[test]
    fn events_of_any_length_arrive_whole_and_in_order_round_the_queue_s_end() {
        let (events, writer, mut reader) = queue();
        let mut expected = Vec::new();
        for round in 0..200_usize {
            let event = vec![round as u8; round * 37 % 5000];
            writer.write(&events, 1, 0, (round % 24) as u8, &event);
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
    fn events_of_several_threads_come_in_the_order_of_time() {
        let (events, first, _) = queue();
        let ends = [(); 2].map(|()| RingBuffer::new(QUEUE_BYTES));
        drop(first);
        let (producers, consumers): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        let writers: Vec<_> = producers.into_iter().map(|p| EventWriter { queue: RefCell::new(Some(p)) }).collect();
        for (writer, now_ns) in [(0, 5), (0, 9), (1, 2), (1, 7)] {
            writers[writer].write(&events, now_ns, 0, 0, now_ns.to_string().as_bytes());
        }
        let mut got = Vec::new();
        EventReader::new(consumers).read(|_, _, e| got.push(String::from_utf8(e.to_vec()).unwrap()));
        assert_eq!(got, ["2", "5", "7", "9"]);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_nobody_is_woken_twice() {
        let (events, writer, mut reader) = queue();
        let event = [b'x'; 60_000];
        assert!(writer.write(&events, 0, 0, 0, &event), "the first wakes the reader");
        assert!(!writer.write(&events, 0, 0, 0, &event), "it looks by itself from then on");
        for _ in 0..4 {
            assert!(writer.write(&events, 0, 0, 0, &event), "it would look too late");
        }
        assert_eq!((events.take_lost(0), events.take_lost(0)), (2, 0));
        let mut count = 0;
        reader.read(|_, _, _| count += 1);
        assert_eq!(count, 4);
        events.rest();
        assert!(!events.is_awake() && writer.write(&events, 0, 0, 0, &event));
    }
}
