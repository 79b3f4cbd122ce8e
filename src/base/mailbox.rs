//! Messages between the threads of the process: a bounded lock-free queue for each ordered pair. What does not fit waits
//! with its sender, in order, and is tried again when the sender next looks after its post.

use super::sync::rtrb::{Consumer, Producer, PushError, RingBuffer};
use std::collections::VecDeque;

/// One thread's end: it sends to every other and receives from every other.
pub struct Post<M> {
    to: Vec<Option<Producer<M>>>,
    from: Vec<Option<Consumer<M>>>,
    waiting: Vec<VecDeque<M>>,
}

/// Ends for `count` threads, with room for `capacity` messages between any two.
pub fn office<M>(count: usize, capacity: usize) -> Vec<Post<M>> {
    let mut posts: Vec<Post<M>> = (0..count)
        .map(|_| Post { to: Vec::new(), from: Vec::new(), waiting: (0..count).map(|_| VecDeque::new()).collect() })
        .collect();
    for from in 0..count {
        for to in 0..count {
            if from == to {
                posts[from].to.push(None);
                posts[to].from.push(None);
                continue;
            }
            let (producer, consumer) = RingBuffer::new(capacity);
            posts[from].to.push(Some(producer));
            posts[to].from.push(Some(consumer));
        }
    }
    posts
}

impl<M> Post<M> {
    /// How many threads there are.
    pub fn len(&self) -> usize {
        self.to.len()
    }

    pub fn is_empty(&self) -> bool {
        self.to.is_empty()
    }

    /// Sends a message to thread `to`; one to oneself is dropped. True when it does not fit yet: somebody must call
    /// [`Post::flush`] soon.
    pub fn send(&mut self, to: usize, message: M) -> bool {
        self.waiting[to].push_back(message);
        self.flush_to(to)
    }

    /// Tries again what did not fit, and names who has got something of it: that thread must be woken. True while
    /// something still waits.
    pub fn flush(&mut self, mut got: impl FnMut(usize)) -> bool {
        let mut left = false;
        for to in 0..self.to.len() {
            let waited = self.waiting[to].len();
            left |= self.flush_to(to);
            if self.waiting[to].len() < waited {
                got(to);
            }
        }
        left
    }

    /// All that was sent is where it is read.
    pub fn is_delivered(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }

    fn flush_to(&mut self, to: usize) -> bool {
        let waiting = &mut self.waiting[to];
        let Some(producer) = &mut self.to[to] else {
            waiting.clear();
            return false;
        };
        if producer.is_abandoned() {
            // That thread has ended: nobody will read what is left.
            waiting.clear();
            return false;
        }
        while let Some(message) = waiting.pop_front() {
            if let Err(PushError::Full(message)) = producer.push(message) {
                waiting.push_front(message);
                return true;
            }
        }
        false
    }

    /// The next message and its sender.
    pub fn receive(&mut self) -> Option<(usize, M)> {
        self.from.iter_mut().enumerate().find_map(|(from, c)| c.as_mut()?.pop().ok().map(|m| (from, m)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_to_a_thread_that_has_ended_is_dropped() {
        let mut posts = office::<u32>(2, 2);
        posts.pop();
        for n in 0..10 {
            posts[0].send(1, n);
        }
        assert!(!posts[0].flush(|_| {}) && posts[0].waiting[1].is_empty());
    }

    #[test]
    fn messages_arrive_in_order_even_beyond_the_capacity() {
        let mut posts = office::<u32>(3, 2);
        for n in 0..10 {
            assert_eq!(posts[0].send(2, n), n >= 2, "{n} waits");
            assert_eq!(posts[0].is_delivered(), n < 2);
        }
        let mut woken = Vec::new();
        assert!(posts[0].flush(|to| woken.push(to)) && woken.is_empty(), "nothing has moved");
        posts[2].receive();
        assert!(posts[0].flush(|to| woken.push(to)));
        assert_eq!(woken, [2], "who has got something is woken");
        let mut got = vec![0];
        while got.len() < 10 {
            while let Some((from, n)) = posts[2].receive() {
                assert_eq!(from, 0);
                got.push(n);
            }
            posts[0].flush(|_| {});
        }
        assert_eq!(got, (0..10).collect::<Vec<_>>());
        assert!(posts[1].receive().is_none() && !posts[0].flush(|_| {}) && posts[0].is_delivered());
    }

    #[cfg(loom)]
    #[test]
    fn under_loom_messages_arrive_in_order_while_both_are_at_work() {
        loom::model(|| {
            let mut posts = office::<u32>(2, 1);
            let (mut to, mut from) = (posts.pop().unwrap(), posts.pop().unwrap());
            let sender = loom::thread::spawn(move || {
                from.send(1, 0);
                let mut waits = from.send(1, 1);
                while waits {
                    loom::thread::yield_now();
                    let mut got = false;
                    waits = from.flush(|_| got = true);
                    assert!(waits || got, "who has got something is told");
                }
                from
            });
            for expected in 0..2 {
                let message = loop {
                    match to.receive() {
                        Some((_, message)) => break message,
                        None => loom::thread::yield_now(),
                    }
                };
                assert_eq!(message, expected);
            }
            sender.join().unwrap();
            assert!(to.receive().is_none());
        });
    }

    #[cfg(loom)]
    #[test]
    fn under_loom_nothing_waits_for_who_has_ended() {
        loom::model(|| {
            let mut posts = office::<u32>(2, 1);
            let (to, mut from) = (posts.pop().unwrap(), posts.pop().unwrap());
            let ends = loom::thread::spawn(move || drop(to));
            from.send(1, 0);
            from.send(1, 1);
            ends.join().unwrap();
            assert!(!from.flush(|_| {}));
        });
    }
}
