//! A ring's memory: events one after the other, the oldest given up for the newest. What a server has yet to read is kept
//! instead, and what finds no room then is dropped and counted.

use crate::model::ring::EVENT_HEAD;
use std::collections::VecDeque;

/// The length before an event.
const LENGTH_BYTES: usize = 4;

pub struct Buffer {
    bytes: VecDeque<u8>,
    /// Bytes at most, [`EVENT_HEAD`] for each event included.
    room: usize,
    /// Bytes of the events and of their heads.
    used: usize,
    /// Place of the oldest byte, counted from the first that ever was.
    first: u64,
    /// Places that servers have read up to.
    pins: Vec<u64>,
    dropped: u64,
}

impl Buffer {
    /// `room` in bytes; `servers` that read everything.
    pub fn new(room: usize, servers: usize) -> Buffer {
        Buffer { bytes: VecDeque::new(), room, used: 0, first: 0, pins: vec![0; servers], dropped: 0 }
    }

    /// Adds an event. False, and nothing counted, when there is no room for it.
    pub fn push(&mut self, event: &[u8]) -> bool {
        let needed = EVENT_HEAD + event.len();
        while self.used + needed > self.room {
            if !self.give_up_oldest() {
                return false;
            }
        }
        self.used += needed;
        self.bytes.extend((event.len() as u32).to_ne_bytes());
        self.bytes.extend(event);
        true
    }

    /// False when there is none, or a server has yet to read it.
    fn give_up_oldest(&mut self) -> bool {
        let Some(len) = self.length(0) else { return false };
        let next = self.first + (LENGTH_BYTES + len) as u64;
        if self.pins.iter().any(|pin| *pin < next) {
            return false;
        }
        self.bytes.drain(..LENGTH_BYTES + len);
        self.first = next;
        self.used -= EVENT_HEAD + len;
        true
    }

    fn length(&self, at: usize) -> Option<usize> {
        let mut bytes = [0; LENGTH_BYTES];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = *self.bytes.get(at + i)?;
        }
        Some(u32::from_ne_bytes(bytes) as usize)
    }

    /// The event at this place, which moves on to the next; of what was given up meanwhile to the oldest there is.
    pub fn next(&self, place: &mut u64) -> Option<impl Iterator<Item = &u8>> {
        *place = (*place).max(self.first);
        let at = (*place - self.first) as usize;
        let len = self.length(at)?;
        *place += (LENGTH_BYTES + len) as u64;
        Some(self.bytes.range(at + LENGTH_BYTES..at + LENGTH_BYTES + len))
    }

    /// Place of the oldest event.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Place behind the newest event.
    pub fn end(&self) -> u64 {
        self.first + self.bytes.len() as u64
    }

    /// What a server has read up to.
    pub fn pin(&self, server: usize) -> u64 {
        self.pins[server]
    }

    pub fn set_pin(&mut self, server: usize, place: u64) {
        self.pins[server] = place;
    }

    pub fn drop_events(&mut self, count: u64) {
        self.dropped += count;
    }

    /// Events that were lost so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(buffer: &Buffer, place: &mut u64) -> Vec<String> {
        let mut list = Vec::new();
        while let Some(event) = buffer.next(place) {
            list.push(String::from_utf8(event.copied().collect()).unwrap());
        }
        list
    }

    #[test]
    fn the_newest_events_are_there_and_the_oldest_go() {
        let mut buffer = Buffer::new(3 * (EVENT_HEAD + 2), 0);
        for n in 10..15 {
            assert!(buffer.push(n.to_string().as_bytes()));
        }
        let mut place = buffer.first();
        assert_eq!(all(&buffer, &mut place), ["12", "13", "14"]);
        assert_eq!(place, buffer.end());
        buffer.push(b"a longer one");
        assert_eq!(all(&buffer, &mut place), ["a longer one"]);
        assert_eq!(all(&buffer, &mut 0), ["a longer one"], "who was overtaken goes on with the oldest there is");
        assert!(!buffer.push(&[b'x'; 21]), "it would never fit");
    }

    #[test]
    fn what_a_server_has_not_read_stays() {
        let mut buffer = Buffer::new(2 * (EVENT_HEAD + 1), 2);
        assert!(buffer.push(b"a") && buffer.push(b"b") && !buffer.push(b"c"));
        let mut place = 0;
        buffer.next(&mut place);
        buffer.set_pin(0, place);
        assert!(!buffer.push(b"c"), "the slower of two servers counts");
        buffer.set_pin(1, buffer.end());
        assert!(buffer.push(b"c"));
        assert_eq!(all(&buffer, &mut place), ["b", "c"]);
    }
}
