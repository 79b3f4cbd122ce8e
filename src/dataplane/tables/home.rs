//! What the home of an entry does with it: answers, applies changes, and passes the entry on to those who hold copies.

use super::message::{Ask, Granted, Letter, Listed, Removal, Reply, Update};
use super::registry::{Def, TableId};
use crate::base::clock::Millis;
use crate::base::slab::Key;
use crate::language::world::{Counter, CounterEdit};
use crate::model::stick_table::data::{Change, DataType, Layout, What};
use crate::model::stick_table::shard::Shard;

/// Places that are looked at before streams have their turn again.
const SCAN_MAX: u32 = 1024;

/// Holders that an entry tells apart. Workers beyond share a mark: some get news of entries they do not hold, and drop it.
pub const MARKS: usize = u64::BITS as usize;

pub fn bit(worker: usize) -> u64 {
    1 << (worker % MARKS)
}

/// Entries that changed in this turn and have holders.
#[derive(Default)]
pub struct Dirty {
    entries: Vec<(TableId, Key)>,
    /// Batches to confirm: entry, worker, number of the last.
    confirm: Vec<(TableId, Key, usize, u32)>,
    /// Tables with news for peers.
    news: Vec<TableId>,
    workers: usize,
}

impl Dirty {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.news.is_empty()
    }

    /// Notes a change; true when someone is to be told.
    pub fn note(&mut self, table: TableId, entry: Key, shard: &mut Shard, batch: Option<(usize, u32)>) -> bool {
        let news = shard.note_update(entry);
        if news {
            self.news.push(table);
        }
        self.note_copies(table, entry, shard.holders(entry), batch) || news
    }

    /// [`Dirty::note`] for what a peer has told: it is no news for peers.
    fn note_copies(&mut self, table: TableId, entry: Key, holders: u64, batch: Option<(usize, u32)>) -> bool {
        if holders == 0 {
            return false;
        }
        if !self.entries.iter().rev().take(64).any(|e| *e == (table, entry)) {
            self.entries.push((table, entry));
        }
        if let Some((from, number)) = batch {
            match self.confirm.iter_mut().find(|c| (c.0, c.1, c.2) == (table, entry, from)) {
                Some(c) => c.3 = number,
                None => self.confirm.push((table, entry, from, number)),
            }
        }
        true
    }

    pub fn holder(&mut self, worker: usize) {
        self.workers = self.workers.max(worker + 1);
    }

    /// Hands out the tables with news for peers.
    pub fn news(&mut self) -> impl Iterator<Item = TableId> + '_ {
        self.news.drain(..)
    }

    /// Hands out the updates of this turn.
    pub fn flush(&mut self, shards: &[Shard], mut send: impl FnMut(usize, Update)) {
        for (table, entry) in self.entries.drain(..) {
            let shard = &shards[table as usize];
            let (Some(words), Some((touched, expires))) = (shard.words(entry), shard.times(entry)) else { continue };
            let holders = shard.holders(entry);
            for worker in (0..self.workers).filter(|w| holders & bit(*w) != 0) {
                let includes = self.confirm.iter().find(|c| (c.0, c.1, c.2) == (table, entry, worker)).map(|c| c.3);
                let uses = shard.uses(entry) as i64;
                send(worker, Update { table, entry, includes, words: words.into(), uses, touched, expires });
            }
        }
        self.confirm.clear();
    }
}

/// Tells the holders of copies that an entry is no more.
pub fn tell_gone(table: TableId, entry: Key, holders: u64, dirty: &Dirty, out: &mut Vec<(usize, Letter)>) {
    for worker in (0..dirty.workers).filter(|w| holders & bit(*w) != 0) {
        out.push((worker, Letter::Gone { table, entry }));
    }
}

/// Milliseconds until an entry's time is over; 0 where it has none.
pub fn left(expires: Millis, now: Millis) -> i64 {
    if expires == Millis::NEVER { 0 } else { expires.since(now) as i64 }
}

pub fn read(shard: &Shard, layout: &Layout, slot: Key, counter: Counter, now: Millis) -> Option<i64> {
    let (touched, expires) = shard.times(slot)?;
    match counter {
        Counter::Exists => Some(1),
        Counter::Trackers => Some(shard.uses(slot) as i64),
        Counter::Idle => Some(now.since(touched) as i64),
        Counter::Expire => Some(left(expires, now)),
        other => layout.read(shard.words(slot)?, other, now),
    }
}

/// Applies a change to an entry; its time starts again.
pub fn apply(shard: &mut Shard, layout: &Layout, slot: Key, change: Change, now: Millis) -> i64 {
    shard.touch(slot, now);
    if let (What::Trackers, CounterEdit::Add(n)) = (change.what, change.edit) {
        shard.add_uses(slot, n);
        return 0;
    }
    match shard.words_mut(slot) {
        Some(words) => layout.apply(words, change),
        None => 0,
    }
}

/// Where and when an answer is given.
pub struct At<'a> {
    pub table: TableId,
    pub def: &'a Def,
    pub now: Millis,
    pub me: usize,
}

#[allow(clippy::too_many_arguments)]
pub fn answer(
    shard: &mut Shard,
    at: &At<'_>,
    key: &[u8],
    hash: u64,
    ask: Ask,
    from: Option<usize>,
    dirty: &mut Dirty,
    gone: &mut dyn FnMut(Key, u64, &mut Dirty),
) -> Reply {
    let (table, now, layout) = (at.table, at.now, &at.def.layout);
    match ask {
        Ask::Lease => {
            let Some(entry) = shard.find_or_create(key, hash, now, &mut |s, h| gone(s, h, dirty)) else {
                return Reply::Leased(None);
            };
            if let Some(from) = from {
                dirty.holder(from);
                shard.set_holder(entry, bit(from), true);
            }
            let (Some(words), Some((touched, expires))) = (shard.words(entry), shard.times(entry)) else {
                return Reply::Leased(None);
            };
            let uses = shard.uses(entry) as i64;
            Reply::Leased(Some(Box::new(Granted { entry, words: words.into(), uses, touched, expires })))
        }
        Ask::Read(counter) => {
            if !layout.has(counter) {
                return Reply::Value(None);
            }
            match shard.find(key, hash, now, &mut |s, h| gone(s, h, dirty)) {
                // The look-up itself counts, as with HAProxy.
                Some(slot) if counter == Counter::Trackers => Reply::Value(Some(shard.uses(slot) as i64 + 1)),
                Some(slot) => Reply::Value(read(shard, layout, slot, counter, now)),
                None => Reply::Value(absent(counter)),
            }
        }
        Ask::Edit(counter, edit) => {
            let Some(what) = layout.what(counter) else { return Reply::Value(None) };
            let Some(slot) = shard.find_or_create(key, hash, now, &mut |s, h| gone(s, h, dirty)) else {
                return Reply::Value(None);
            };
            let value = apply(shard, layout, slot, Change { what, edit, at: now }, now);
            dirty.note(table, slot, shard, None);
            Reply::Value(Some(value))
        }
        Ask::Stick => {
            let Some(slot) = shard.find(key, hash, now, &mut |s, h| gone(s, h, dirty)) else {
                return Reply::Server(None);
            };
            shard.touch(slot, now);
            dirty.note(table, slot, shard, None);
            let words = shard.words(slot).unwrap_or_default();
            let get = |data| layout.column(data).map_or(0, |c| layout.element(words, c, 0, now));
            Reply::Server(Some((get(DataType::ServerId), get(DataType::ServerKey))))
        }
        Ask::List { start, limit } => {
            let mut list = Vec::new();
            let mut next = None;
            let (slots, after) = shard.from(start, SCAN_MAX);
            for slot in slots {
                if list.len() >= limit {
                    next = Some(slot.index);
                    break;
                }
                list.extend(listed(shard, at, slot));
            }
            Reply::Listing(list, next.or(after))
        }
        Ask::Clear { start, filters } => {
            let (slots, after) = shard.from(start, SCAN_MAX);
            let slots: Vec<Key> = slots.collect();
            for slot in slots {
                let meant = |words| filters.iter().all(|f| f.matches(layout, words, now));
                if shard.uses(slot) == 0 && shard.words(slot).is_some_and(meant) {
                    shard.remove(slot, &mut |s, h| gone(s, h, dirty));
                }
            }
            Reply::Cleared(after)
        }
        Ask::Show => {
            let found = shard.find(key, hash, now, &mut |s, h| gone(s, h, dirty));
            Reply::Listing(found.and_then(|slot| listed(shard, at, slot)).into_iter().collect(), None)
        }
        Ask::Set(values) => {
            let Some(slot) = shard.find_or_create(key, hash, now, &mut |s, h| gone(s, h, dirty)) else {
                return Reply::Set(false);
            };
            shard.touch(slot, now);
            if let Some(words) = shard.words_mut(slot) {
                for (data, index, value) in values {
                    layout.set_element(words, data, index, value, now);
                }
            }
            dirty.note(table, slot, shard, None);
            Reply::Set(true)
        }
        Ask::Updates { after, limit } => {
            let (slots, last, more) = shard.updates(after, limit);
            Reply::Updates(slots.into_iter().filter_map(|slot| listed(shard, at, slot)).collect(), last, more)
        }
        Ask::Learn(lesson) => {
            for one in &lesson.entries {
                let Some(slot) = shard.find_or_create(&one.key, one.hash, now, &mut |s, h| gone(s, h, dirty)) else {
                    continue;
                };
                shard.touch(slot, now);
                shard.set_source(slot, lesson.source);
                if let Some(ms) = one.left_ms {
                    shard.expire_in(slot, ms, now);
                }
                if let Some(words) = shard.words_mut(slot) {
                    for &i in lesson.words.iter() {
                        words[i] = one.words[i];
                    }
                }
                dirty.note_copies(table, slot, shard.holders(slot), None);
            }
            Reply::Learned
        }
        Ask::Remove => match shard.find(key, hash, now, &mut |s, h| gone(s, h, dirty)) {
            None => Reply::Removed(Removal::NotFound),
            Some(slot) if shard.uses(slot) > 0 => Reply::Removed(Removal::InUse),
            Some(slot) => {
                shard.remove(slot, &mut |s, h| gone(s, h, dirty));
                Reply::Removed(Removal::Removed)
            }
        },
    }
}

/// What a fetch gives for a key without an entry.
pub fn absent(counter: Counter) -> Option<i64> {
    match counter {
        Counter::Idle | Counter::Expire => None,
        _ => Some(0),
    }
}

fn listed(shard: &Shard, at: &At<'_>, slot: Key) -> Option<Listed> {
    let (_, expires) = shard.times(slot)?;
    let uses = shard.uses(slot);
    if uses == 0 && expires <= at.now {
        return None;
    }
    Some(Listed {
        id: (at.me as u64 + 1) << 40 | (at.table as u64) << 32 | slot.index as u64,
        key: shard.key(slot)?.to_vec(),
        uses,
        expires_ms: left(expires, at.now) as u64,
        words: shard.words(slot)?.to_vec(),
        source: shard.source(slot),
    })
}
