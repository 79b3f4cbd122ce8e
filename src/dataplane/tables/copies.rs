//! Copies of entries whose home is another worker. A copy's value is the home's last update with the changes on top that
//! the home has not confirmed yet; so all copies agree once the news has arrived, and none loses or doubles a count.

use super::message::{Batch, Granted, Update};
use super::registry::{Registry, TableId};
use crate::base::clock::Millis;
use crate::base::slab::{Key, Slab};
use crate::language::world::CounterEdit;
use crate::model::stick_table::data::{Change, What};
use hashbrown::{HashMap, HashSet, HashTable};

/// Batches under way for one entry; what happens meanwhile is merged into the next.
const UNDER_WAY: usize = 4;
/// Copies that nobody uses are kept this long, and this many.
const IDLE_MS: u64 = 2000;
const IDLE_MAX: usize = 1024;

pub struct Copy {
    pub table: TableId,
    home: usize,
    entry: Key,
    hash: u64,
    pub key: Box<[u8]>,
    pub words: Box<[u64]>,
    /// Trackers on all workers.
    pub uses: i64,
    pub touched: Millis,
    pub expires: Millis,
    /// Trackers on this worker.
    pub mine: u32,
    idle_since: Millis,
    waiting: Vec<Change>,
    under_way: Vec<(u32, Vec<Change>)>,
    next: u32,
    dirty: bool,
    /// The home let the entry go: what is counted here is lost when the last tracker leaves.
    orphan: bool,
}

#[derive(Default)]
pub struct Copies {
    all: Slab<Copy>,
    by_key: HashTable<Key>,
    by_entry: HashMap<(usize, TableId, Key), Key>,
    dirty: Vec<Key>,
}

impl Copies {
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn get(&self, copy: Key) -> Option<&Copy> {
        self.all.get(copy)
    }

    /// The copy of a key that may be read and attached to.
    pub fn find(&self, table: TableId, key: &[u8], hash: u64, now: Millis) -> Option<Key> {
        let found = *self
            .by_key
            .find(hash, |k| self.all.get(*k).is_some_and(|c| c.hash == hash && c.table == table && *c.key == *key))?;
        let copy = self.all.get(found)?;
        (copy.uses > 0 || copy.expires > now).then_some(found)
    }

    pub fn insert(&mut self, home: usize, table: TableId, key: &[u8], hash: u64, granted: Granted, now: Millis) {
        if let Some(old) = self.by_entry.get(&(home, table, granted.entry)).copied() {
            // Asked for twice at once: the same entry, and what is here has our own changes on top.
            debug_assert!(self.all.get(old).is_some());
            return;
        }
        if let Some(old) = self.find_any(table, key, hash) {
            self.forget(old);
        }
        let place = (home, table, granted.entry);
        let copy = self.all.insert(Copy {
            table,
            home,
            entry: granted.entry,
            hash,
            key: key.into(),
            words: granted.words,
            uses: granted.uses,
            touched: granted.touched,
            expires: granted.expires,
            mine: 0,
            idle_since: now,
            waiting: Vec::new(),
            under_way: Vec::new(),
            next: 0,
            dirty: false,
            orphan: false,
        });
        let all = &self.all;
        self.by_key.insert_unique(hash, copy, |k| all.get(*k).map_or(0, |c| c.hash));
        self.by_entry.insert(place, copy);
    }

    fn find_any(&self, table: TableId, key: &[u8], hash: u64) -> Option<Key> {
        self.by_key
            .find(hash, |k| self.all.get(*k).is_some_and(|c| c.hash == hash && c.table == table && *c.key == *key))
            .copied()
    }

    /// Takes a copy out of the indexes; one in use goes on as an orphan.
    fn forget(&mut self, copy: Key) {
        let Some(c) = self.all.get_mut(copy) else { return };
        c.orphan = true;
        let (hash, place, mine) = (c.hash, (c.home, c.table, c.entry), c.mine);
        if let Ok(found) = self.by_key.find_entry(hash, |k| *k == copy) {
            found.remove();
        }
        self.by_entry.remove(&place);
        if mine == 0 {
            self.all.remove(copy);
        }
    }

    /// Changes a copy; the home hears of it at the end of the turn.
    pub fn change(&mut self, registry: &Registry, copy: Key, change: Change, now: Millis) -> i64 {
        let Some(c) = self.all.get_mut(copy) else { return 0 };
        let def = registry.def(c.table);
        let value = apply(c, def, change);
        if let (What::Trackers, CounterEdit::Add(n)) = (change.what, change.edit) {
            c.mine = (c.mine as i64 + n).max(0) as u32;
            c.idle_since = now;
            if c.orphan && c.mine == 0 {
                self.all.remove(copy);
                return value;
            }
        }
        if c.orphan {
            return value;
        }
        Change::push(&mut c.waiting, change);
        if !c.dirty {
            c.dirty = true;
            self.dirty.push(copy);
        }
        value
    }

    pub fn has_news(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Hands out the changes of this turn, merged: home and batch.
    pub fn flush(&mut self, mut send: impl FnMut(usize, Batch)) {
        for copy in std::mem::take(&mut self.dirty) {
            let Some(c) = self.all.get_mut(copy) else { continue };
            c.dirty = false;
            // The confirmation of an earlier batch makes it dirty again.
            if c.waiting.is_empty() || c.orphan || c.under_way.len() >= UNDER_WAY {
                continue;
            }
            let changes = std::mem::take(&mut c.waiting);
            c.next = c.next.wrapping_add(1);
            c.under_way.push((c.next, changes.clone()));
            send(c.home, Batch { table: c.table, entry: c.entry, number: c.next, changes });
        }
    }

    /// The home's truth, with what it has not heard yet on top.
    pub fn update(&mut self, registry: &Registry, home: usize, update: Update) {
        let Some(copy) = self.by_entry.get(&(home, update.table, update.entry)).copied() else { return };
        let Some(c) = self.all.get_mut(copy) else { return };
        if let Some(included) = update.includes {
            c.under_way.retain(|(number, _)| included.wrapping_sub(*number) > u32::MAX / 2);
        }
        c.words = update.words;
        (c.uses, c.touched, c.expires) = (update.uses, update.touched, update.expires);
        let def = registry.def(c.table);
        let again: Vec<Change> =
            c.under_way.iter().flat_map(|(_, changes)| changes).chain(&c.waiting).copied().collect();
        for change in again {
            apply(c, def, change);
        }
        if !c.waiting.is_empty() && !c.dirty {
            c.dirty = true;
            self.dirty.push(copy);
        }
    }

    pub fn gone(&mut self, home: usize, table: TableId, entry: Key) {
        if let Some(copy) = self.by_entry.get(&(home, table, entry)).copied() {
            self.forget(copy);
        }
    }

    /// Gives back copies that nobody has used for a while. One that is `asked` for stays: its home would take it back after it
    /// has granted it again.
    pub fn retire(
        &mut self,
        now: Millis,
        asked: &HashSet<(TableId, &[u8])>,
        mut release: impl FnMut(usize, TableId, Key),
    ) {
        let idle = |c: &Copy| {
            let settled = c.waiting.is_empty() && c.under_way.is_empty();
            c.mine == 0 && settled && !asked.contains(&(c.table, &*c.key))
        };
        let keep = if self.all.len() > IDLE_MAX { 0 } else { IDLE_MS };
        let old: Vec<Key> = self
            .by_entry
            .values()
            .filter(|k| self.all.get(**k).is_some_and(|c| idle(c) && now.since(c.idle_since) >= keep))
            .copied()
            .collect();
        for copy in old {
            if let Some(c) = self.all.get(copy) {
                release(c.home, c.table, c.entry);
            }
            self.forget(copy);
        }
    }
}

fn apply(c: &mut Copy, def: &super::registry::Def, change: Change) -> i64 {
    c.touched = c.touched.max(change.at);
    c.expires = def.expire_ms.map_or(Millis::NEVER, |ms| c.touched.plus(ms));
    if let (What::Trackers, CounterEdit::Add(n)) = (change.what, change.edit) {
        c.uses += n;
        return c.uses;
    }
    def.layout.apply(&mut c.words, change)
}
