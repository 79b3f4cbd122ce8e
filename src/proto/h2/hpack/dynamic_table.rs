//! The dynamic table (RFC 7541 §2.3.2, §4): a queue of field lines with a bound in bytes.
//!
//! Names and values lie one after another in an arena; evicting moves a mark, and what is dead is squeezed out when the
//! arena has grown to twice the table's size. Nothing is allocated before the first insertion.

use std::collections::VecDeque;
use std::ops::Range;

use super::ENTRY_OVERHEAD;

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u32,
    name: u32,
    value: u32,
    hash: u32,
}

impl Entry {
    fn len(&self) -> usize {
        self.name as usize + self.value as usize
    }

    fn name(&self) -> Range<usize> {
        self.start as usize..(self.start + self.name) as usize
    }

    fn value(&self) -> Range<usize> {
        self.name().end..self.name().end + self.value as usize
    }
}

#[derive(Debug)]
pub struct DynamicTable {
    arena: Vec<u8>,
    /// Oldest first.
    entries: VecDeque<Entry>,
    /// Bytes as RFC 7541 §4.1 counts them; at most `max`.
    size: usize,
    max: usize,
}

impl DynamicTable {
    pub fn new(max: usize) -> DynamicTable {
        DynamicTable { arena: Vec::new(), entries: VecDeque::new(), size: 0, max }
    }

    pub fn max(&self) -> usize {
        self.max
    }

    /// Name and value of the entry at `index`; 0 is the youngest.
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.at(index)?;
        Some((&self.arena[entry.name()], &self.arena[entry.value()]))
    }

    /// The index of an entry that is this field line. `hash` is that of the insertion.
    pub fn find(&self, hash: u32, name: &[u8], value: &[u8]) -> Option<usize> {
        let same = |e: &Entry| e.hash == hash && &self.arena[e.name()] == name && &self.arena[e.value()] == value;
        let (old, young) = self.entries.as_slices();
        if let Some(at) = young.iter().position(same) {
            return Some(young.len() - 1 - at);
        }
        old.iter().position(same).map(|at| self.entries.len() - 1 - at)
    }

    /// Sets the bound; evicts what no longer fits.
    pub fn resize(&mut self, max: usize) {
        self.max = max;
        self.evict(max);
        if max == 0 {
            (self.arena, self.entries) = (Vec::new(), VecDeque::new());
        }
    }

    /// Adds an entry; one that is larger than the table empties it (RFC 7541 §4.4).
    pub fn insert(&mut self, name: &[u8], value: &[u8], hash: u32) {
        let Some(start) = self.make_room(name.len() + value.len()) else { return };
        self.arena.extend_from_slice(name);
        self.push(start, name.len(), value, hash);
    }

    /// Adds an entry with the name of the one at `index`, which this may evict.
    pub fn insert_named(&mut self, index: usize, value: &[u8]) {
        let Some(name_len) = self.at(index).map(|e| e.name as usize) else { return };
        self.squeeze_for(name_len + value.len());
        let name = self.at(index).map_or(0..0, |e| e.name());
        // Evicted bytes stay in the arena until it is squeezed next.
        let Some(start) = self.make_room(name_len + value.len()) else { return };
        self.arena.extend_from_within(name);
        self.push(start, name_len, value, 0);
    }

    fn at(&self, index: usize) -> Option<Entry> {
        let from_oldest = self.entries.len().checked_sub(index + 1)?;
        self.entries.get(from_oldest).copied()
    }

    fn push(&mut self, start: usize, name: usize, value: &[u8], hash: u32) {
        self.arena.extend_from_slice(value);
        self.size += name + value.len() + ENTRY_OVERHEAD;
        self.entries.push_back(Entry { start: start as u32, name: name as u32, value: value.len() as u32, hash });
    }

    /// Where in the arena `len` bytes of a new entry go; None if they are too many for the table.
    fn make_room(&mut self, len: usize) -> Option<usize> {
        let Some(left) = self.max.checked_sub(len + ENTRY_OVERHEAD) else {
            self.evict(0);
            return None;
        };
        self.squeeze_for(len);
        self.evict(left);
        Some(self.arena.len())
    }

    /// Moves the living to the front if `len` more bytes would pass twice the table's size.
    fn squeeze_for(&mut self, len: usize) {
        if self.arena.len() + len <= self.max * 2 {
            return;
        }
        let dead = self.entries.front().map_or(self.arena.len(), |e| e.start as usize);
        self.arena.drain(..dead);
        for entry in &mut self.entries {
            entry.start -= dead as u32;
        }
    }

    fn evict(&mut self, max: usize) {
        while self.size > max {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.size -= oldest.len() + ENTRY_OVERHEAD;
        }
    }
}
