//! The entries of a stick table that one worker is home to: found by key, kept in the order of their last use, expired and
//! evicted in that order (manual 11.1 "expire", "size", "nopurge"). Memory per entry is fixed and comes in chunks, so that
//! a growing table never moves. Time is an argument.

use super::KeyType;
use super::data::Layout;
use crate::base::clock::Millis;
use crate::base::slab::Key as Slot;
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Entries in a chunk of memory.
const CHUNK: usize = 256;
const NONE: u32 = u32::MAX;

/// Entries of a table over all its homes, against its size.
#[derive(Debug)]
pub struct Usage {
    pub size: u64,
    used: AtomicU64,
}

impl Usage {
    pub fn new(size: u64) -> Usage {
        Usage { size, used: AtomicU64::new(0) }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }
}

/// What an entry is beside its data.
#[derive(Clone, Copy, Debug)]
struct Meta {
    hash: u64,
    /// Moment of the last use.
    touched: Millis,
    expires: Millis,
    /// How many track it.
    uses: u32,
    generation: u32,
    /// Neighbours in the order of use; `newer` of a free entry is the next free one.
    older: u32,
    newer: u32,
    /// Other workers that hold a copy, one bit each.
    holders: u64,
    /// Number of its last change that peers are to hear of; 0: none.
    update: u64,
    /// Connection with a peer that told what it holds now; 0: none did, or it changed here since.
    source: u32,
    key_len: u16,
    used: bool,
}

/// Entries in the order in which they changed, for a table that is shared with peers. As many as there are entries at
/// most: what changes again before it was read keeps its place.
#[derive(Default)]
struct Updates {
    order: BTreeMap<u64, u32>,
    last: u64,
    /// The greatest number that was read.
    read: u64,
    /// A reader has read all and waits for more.
    awaited: bool,
}

struct Chunk {
    metas: Box<[Meta]>,
    words: Box<[u64]>,
    keys: Box<[u8]>,
}

pub struct Shard {
    key: KeyType,
    layout: Arc<Layout>,
    expire_ms: Option<u64>,
    nopurge: bool,
    usage: Arc<Usage>,
    index: HashTable<u32>,
    chunks: Vec<Chunk>,
    free: u32,
    oldest: u32,
    newest: u32,
    updates: Option<Updates>,
}

/// What becomes of an entry that leaves: those who hold copies are told.
pub type Gone<'a> = &'a mut dyn FnMut(Slot, u64);

impl Shard {
    pub fn new(key: KeyType, layout: Arc<Layout>, expire_ms: Option<u64>, nopurge: bool, usage: Arc<Usage>) -> Shard {
        Shard {
            key,
            layout,
            expire_ms,
            nopurge,
            usage,
            index: HashTable::new(),
            chunks: Vec::new(),
            free: NONE,
            oldest: NONE,
            newest: NONE,
            updates: None,
        }
    }

    /// Its changes are noted for peers from now on.
    pub fn share(&mut self) {
        self.updates = Some(Updates::default());
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn meta(&self, i: u32) -> &Meta {
        &self.chunks[i as usize / CHUNK].metas[i as usize % CHUNK]
    }

    fn meta_mut(&mut self, i: u32) -> &mut Meta {
        &mut self.chunks[i as usize / CHUNK].metas[i as usize % CHUNK]
    }

    fn key_at(&self, i: u32) -> &[u8] {
        let from = i as usize % CHUNK * self.key.size();
        &self.chunks[i as usize / CHUNK].keys[from..from + self.meta(i).key_len as usize]
    }

    fn slot(&self, i: u32) -> Slot {
        Slot { index: i, generation: self.meta(i).generation }
    }

    fn alive(&self, slot: Slot) -> Option<u32> {
        let chunk = self.chunks.get(slot.index as usize / CHUNK)?;
        let meta = &chunk.metas[slot.index as usize % CHUNK];
        (meta.used && meta.generation == slot.generation).then_some(slot.index)
    }

    /// The entry of a key. One whose time is over is not there any more.
    pub fn find(&mut self, key: &[u8], hash: u64, now: Millis, gone: Gone<'_>) -> Option<Slot> {
        let i = *self.index.find(hash, |&i| self.meta(i).hash == hash && self.key_at(i) == key)?;
        let meta = self.meta(i);
        if meta.uses == 0 && meta.expires <= now {
            self.remove(self.slot(i), gone);
            return None;
        }
        Some(self.slot(i))
    }

    /// The entry of a key, made when it is new. `None`: the table is full of entries that may not go.
    pub fn find_or_create(&mut self, key: &[u8], hash: u64, now: Millis, gone: Gone<'_>) -> Option<Slot> {
        if let Some(slot) = self.find(key, hash, now, gone) {
            return Some(slot);
        }
        if key.len() > self.key.size() {
            return None;
        }
        if self.usage.used() >= self.usage.size && !self.make_room(now, gone) {
            return None;
        }
        if self.free == NONE {
            self.grow();
        }
        let i = self.free;
        let size = self.key.size();
        let words = self.layout.words();
        let chunk = &mut self.chunks[i as usize / CHUNK];
        let at = i as usize % CHUNK;
        chunk.keys[at * size..at * size + key.len()].copy_from_slice(key);
        chunk.words[at * words..(at + 1) * words].fill(0);
        let meta = &mut chunk.metas[at];
        self.free = meta.newer;
        *meta = Meta {
            hash,
            touched: now,
            expires: Millis::NEVER,
            uses: 0,
            generation: meta.generation,
            older: NONE,
            newer: NONE,
            holders: 0,
            update: 0,
            source: 0,
            key_len: key.len() as u16,
            used: true,
        };
        let chunks = &self.chunks;
        self.index.insert_unique(hash, i, |&i| chunks[i as usize / CHUNK].metas[i as usize % CHUNK].hash);
        self.usage.used.fetch_add(1, Relaxed);
        self.link_newest(i);
        let slot = self.slot(i);
        self.touch(slot, now);
        Some(slot)
    }

    fn grow(&mut self) {
        let first = (self.chunks.len() * CHUNK) as u32;
        let metas = (0..CHUNK as u32).map(|n| Meta {
            hash: 0,
            touched: Millis(0),
            expires: Millis(0),
            uses: 0,
            generation: 0,
            older: NONE,
            newer: if n + 1 == CHUNK as u32 { NONE } else { first + n + 1 },
            holders: 0,
            update: 0,
            source: 0,
            key_len: 0,
            used: false,
        });
        self.chunks.push(Chunk {
            metas: metas.collect(),
            words: vec![0; CHUNK * self.layout.words()].into(),
            keys: vec![0; CHUNK * self.key.size()].into(),
        });
        self.free = first;
    }

    /// Makes room for one entry, if the table may lose another.
    fn make_room(&mut self, now: Millis, gone: Gone<'_>) -> bool {
        let before = self.len();
        self.expire(now, 16, gone);
        if self.len() < before {
            return true;
        }
        if self.nopurge {
            return false;
        }
        let mut i = self.oldest;
        // Entries in use stand at the newer end, but for long sessions: a bounded look.
        for _ in 0..1024 {
            if i == NONE {
                break;
            }
            if self.meta(i).uses == 0 {
                self.remove(self.slot(i), gone);
                return true;
            }
            i = self.meta(i).newer;
        }
        // Nothing of ours may go; a table that has entries elsewhere only goes over its size by what homes hold.
        self.is_empty() && self.usage.used() < self.usage.size.saturating_mul(2).max(64)
    }

    /// Removes entries whose time is over, at most `limit` of them.
    pub fn expire(&mut self, now: Millis, limit: usize, gone: Gone<'_>) {
        if self.expire_ms.is_none() {
            return;
        }
        for _ in 0..limit {
            let i = self.oldest;
            if i == NONE || self.meta(i).expires > now {
                return;
            }
            if self.meta(i).uses > 0 {
                // In use: as if it were used just now.
                let slot = self.slot(i);
                self.touch(slot, now);
                continue;
            }
            self.remove(self.slot(i), gone);
        }
    }

    /// The entry was used: its time starts again.
    pub fn touch(&mut self, slot: Slot, now: Millis) {
        let Some(i) = self.alive(slot) else { return };
        let expires = self.expire_ms.map_or(Millis::NEVER, |ms| now.plus(ms));
        let meta = self.meta_mut(i);
        meta.touched = meta.touched.max(now);
        meta.expires = expires;
        if self.newest != i {
            self.unlink(i);
            self.link_newest(i);
        }
    }

    /// Removes an entry whoever uses it. Late references to it reach nothing.
    pub fn remove(&mut self, slot: Slot, gone: Gone<'_>) {
        let Some(i) = self.alive(slot) else { return };
        let meta = *self.meta(i);
        if let Ok(found) = self.index.find_entry(meta.hash, |&n| n == i) {
            found.remove();
        }
        self.unlink(i);
        if let Some(updates) = &mut self.updates {
            updates.order.remove(&meta.update);
        }
        let free = self.free;
        let m = self.meta_mut(i);
        m.used = false;
        m.generation = m.generation.wrapping_add(1);
        m.newer = free;
        self.free = i;
        self.usage.used.fetch_sub(1, Relaxed);
        if meta.holders != 0 {
            gone(slot, meta.holders);
        }
    }

    fn unlink(&mut self, i: u32) {
        let Meta { older, newer, .. } = *self.meta(i);
        match older {
            NONE => self.oldest = newer,
            o => self.meta_mut(o).newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            n => self.meta_mut(n).older = older,
        }
    }

    fn link_newest(&mut self, i: u32) {
        let newest = self.newest;
        let m = self.meta_mut(i);
        m.older = newest;
        m.newer = NONE;
        match newest {
            NONE => self.oldest = i,
            n => self.meta_mut(n).newer = i,
        }
        self.newest = i;
    }

    pub fn words(&self, slot: Slot) -> Option<&[u64]> {
        let i = self.alive(slot)? as usize;
        let n = self.layout.words();
        Some(&self.chunks[i / CHUNK].words[i % CHUNK * n..(i % CHUNK + 1) * n])
    }

    pub fn words_mut(&mut self, slot: Slot) -> Option<&mut [u64]> {
        let i = self.alive(slot)? as usize;
        let n = self.layout.words();
        Some(&mut self.chunks[i / CHUNK].words[i % CHUNK * n..(i % CHUNK + 1) * n])
    }

    pub fn key(&self, slot: Slot) -> Option<&[u8]> {
        Some(self.key_at(self.alive(slot)?))
    }

    pub fn uses(&self, slot: Slot) -> u32 {
        self.alive(slot).map_or(0, |i| self.meta(i).uses)
    }

    /// More or fewer track the entry.
    pub fn add_uses(&mut self, slot: Slot, n: i64) {
        if let Some(i) = self.alive(slot) {
            let m = self.meta_mut(i);
            m.uses = (m.uses as i64 + n).clamp(0, u32::MAX as i64) as u32;
        }
    }

    /// Last use, and when the entry's time is over.
    pub fn times(&self, slot: Slot) -> Option<(Millis, Millis)> {
        self.alive(slot).map(|i| (self.meta(i).touched, self.meta(i).expires))
    }

    /// Workers that hold a copy.
    pub fn holders(&self, slot: Slot) -> u64 {
        self.alive(slot).map_or(0, |i| self.meta(i).holders)
    }

    pub fn set_holder(&mut self, slot: Slot, bit: u64, holds: bool) {
        if let Some(i) = self.alive(slot) {
            let m = self.meta_mut(i);
            m.holders = if holds { m.holders | bit } else { m.holders & !bit };
        }
    }

    /// The entry's time is over in `ms` milliseconds, unless the table's own time is shorter: what a peer says. It stands
    /// with the entries used now and leaves memory with them, if nobody asks for it before.
    pub fn expire_in(&mut self, slot: Slot, ms: u64, now: Millis) {
        let Some(i) = self.alive(slot) else { return };
        let meta = self.meta_mut(i);
        meta.expires = meta.expires.min(now.plus(ms));
    }

    /// The connection with a peer that told what the entry holds now.
    pub fn source(&self, slot: Slot) -> u32 {
        self.alive(slot).map_or(0, |i| self.meta(i).source)
    }

    pub fn set_source(&mut self, slot: Slot, source: u32) {
        if let Some(i) = self.alive(slot) {
            self.meta_mut(i).source = source;
        }
    }

    /// Peers are to hear of the entry's change. True: a reader of changes waits for news.
    pub fn note_update(&mut self, slot: Slot) -> bool {
        if self.updates.is_none() {
            return false;
        }
        let Some(i) = self.alive(slot) else { return false };
        self.meta_mut(i).source = 0;
        let before = self.meta(i).update;
        let Some(updates) = &mut self.updates else { return false };
        if before > updates.read {
            return false;
        }
        updates.order.remove(&before);
        updates.last += 1;
        let number = updates.last;
        updates.order.insert(number, i);
        let awaited = std::mem::take(&mut updates.awaited);
        self.meta_mut(i).update = number;
        awaited
    }

    /// Entries that changed after the change `after`, at most `limit`; the number of the last, and whether there may be
    /// more. If not, the next change is news. With a limit of 0: none of them, and the number is that of the last of all.
    pub fn updates(&mut self, after: u64, limit: usize) -> (Vec<Slot>, u64, bool) {
        let Some(updates) = &mut self.updates else { return (Vec::new(), after, false) };
        let mut last = after;
        let found: Vec<u32> = updates
            .order
            .range(after.saturating_add(1)..)
            .take(limit)
            .map(|(number, i)| {
                last = *number;
                *i
            })
            .collect();
        if limit == 0 {
            last = updates.last;
        }
        updates.read = updates.read.max(last);
        let more = limit > 0 && found.len() == limit;
        updates.awaited |= !more;
        (found.into_iter().map(|i| self.slot(i)).collect(), last, more)
    }

    /// Entries among the next `most` places, and the place after them if there is one: listings go on piece by piece.
    pub fn from(&self, start: u32, most: u32) -> (impl Iterator<Item = Slot> + '_, Option<u32>) {
        let end = (self.chunks.len() * CHUNK) as u32;
        let stop = start.saturating_add(most).min(end);
        let slots = (start..stop).filter(|&i| self.meta(i).used).map(|i| self.slot(i));
        (slots, (stop < end).then_some(stop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::world::Counter;
    use crate::model::stick_table::StoredData;
    use crate::model::stick_table::data::{Change, What};
    use crate::model::stick_table::key::hash;

    fn shard(size: u64, expire_ms: Option<u64>, nopurge: bool) -> Shard {
        let layout = Layout::new(&[StoredData { name: "http_req_cnt", elements: 1, period_ms: None }]);
        Shard::new(KeyType::String(8), Arc::new(layout), expire_ms, nopurge, Arc::new(Usage::new(size)))
    }

    fn put(s: &mut Shard, key: &str, ms: u64) -> Option<Slot> {
        s.find_or_create(key.as_bytes(), hash(key.as_bytes(), 0, 1), Millis(ms), &mut |_, _| {})
    }

    #[test]
    fn changes_are_read_once_each_in_their_order_and_the_next_is_news() {
        let mut s = shard(10, Some(1000), false);
        s.share();
        let [a, b, c] = ["a", "b", "c"].map(|k| put(&mut s, k, 0).unwrap());
        assert!(!s.note_update(a) && !s.note_update(b), "nobody has asked yet");
        assert_eq!(s.updates(0, 1), (vec![a], 1, true));
        // `b` was not read: its place stays. `a` was: it comes again.
        assert!(!s.note_update(b) && !s.note_update(a) && !s.note_update(a));
        assert_eq!(s.updates(1, 8), (vec![b, a], 3, false));
        assert!(s.note_update(c), "a reader waits");
        assert!(!s.note_update(b), "it was told");
        s.remove(c, &mut |_, _| {});
        assert_eq!(s.updates(3, 8), (vec![b], 5, false));
        // Another reader gets what is left of all that happened.
        assert_eq!(s.updates(0, 8), (vec![a, b], 5, false));
        assert_eq!(s.updates(0, 0), (vec![], 5, false));
        let mut silent = shard(10, None, false);
        let a = put(&mut silent, "a", 0).unwrap();
        assert!(!silent.note_update(a));
        assert_eq!(silent.updates(0, 8), (vec![], 0, false));
    }

    #[test]
    fn a_peer_shortens_the_time_of_an_entry_and_never_lengthens_it() {
        let mut s = shard(10, Some(1000), false);
        let a = put(&mut s, "a", 0).unwrap();
        s.expire_in(a, 5000, Millis(0));
        assert_eq!(s.times(a).unwrap().1, Millis(1000));
        s.expire_in(a, 300, Millis(0));
        assert_eq!([200, 300].map(|ms| has(&mut s, "a", ms)), [true, false]);
    }

    fn has(s: &mut Shard, key: &str, ms: u64) -> bool {
        s.find(key.as_bytes(), hash(key.as_bytes(), 0, 1), Millis(ms), &mut |_, _| {}).is_some()
    }

    #[test]
    fn a_full_table_evicts_the_entry_used_longest_ago() {
        let mut s = shard(3, Some(1000), false);
        for (ms, key) in ["a", "b", "c"].into_iter().enumerate() {
            put(&mut s, key, ms as u64).unwrap();
        }
        let a = put(&mut s, "a", 10).unwrap();
        s.touch(a, Millis(10));
        put(&mut s, "d", 11).unwrap();
        assert_eq!(["a", "b", "c", "d"].map(|k| has(&mut s, k, 12)), [true, false, true, true]);
        assert_eq!(s.usage.used(), 3);
    }

    #[test]
    fn what_is_tracked_neither_expires_nor_goes() {
        let mut s = shard(1, Some(100), false);
        let a = put(&mut s, "a", 0).unwrap();
        s.add_uses(a, 1);
        assert_eq!(put(&mut s, "b", 50), None);
        assert!(has(&mut s, "a", 5000));
        s.expire(Millis(5000), 10, &mut |_, _| {});
        assert_eq!(s.len(), 1);
        s.add_uses(a, -1);
        s.touch(a, Millis(6000));
        assert!(has(&mut s, "a", 6099) && !has(&mut s, "a", 6100));
    }

    #[test]
    fn nopurge_refuses_new_entries() {
        let mut s = shard(1, Some(100), true);
        put(&mut s, "a", 0).unwrap();
        assert_eq!(put(&mut s, "b", 50), None);
        // Expired ones make room even so.
        assert!(put(&mut s, "b", 200).is_some());
    }

    #[test]
    fn holders_are_told_and_late_references_reach_nothing() {
        let mut s = shard(1, None, false);
        let a = put(&mut s, "a", 0).unwrap();
        s.set_holder(a, 4, true);
        let mut told = Vec::new();
        s.find_or_create(b"b", hash(b"b", 0, 1), Millis(1), &mut |slot, holders| told.push((slot, holders))).unwrap();
        assert_eq!(told, [(a, 4)]);
        assert!(s.words(a).is_none() && s.key(a).is_none());
    }

    #[test]
    fn many_entries_keep_their_values() {
        let mut s = shard(100_000, None, false);
        let layout = s.layout.clone();
        for n in 0..10_000u64 {
            let key = n.to_string();
            let slot = put(&mut s, &key, n).unwrap();
            layout.apply(s.words_mut(slot).unwrap(), Change::add(What::Request, n as i64, Millis(n)));
        }
        assert_eq!(s.from(0, u32::MAX).0.count(), 10_000);
        for n in (0..10_000u64).step_by(97) {
            let key = n.to_string();
            let slot = put(&mut s, &key, 20_000).unwrap();
            assert_eq!(layout.read(s.words(slot).unwrap(), Counter::HttpReqCnt, Millis(0)), Some(n as i64));
        }
    }
}
