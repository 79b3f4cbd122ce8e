//! Stick tables over workers that share nothing . Each key has a home worker,
//! which holds the entry. Who tracks a key of another home asks for a copy once and then sends its changes, merged over a
//! turn of the loop; the home passes the entry on to the other holders. Single look-ups are questions by mail. A worker's
//! own keys are answered at once. Nothing here knows threads or sockets: letters go out by the worker's post.

mod copies;
pub mod handle;
mod home;
pub mod memo;
pub mod message;
pub mod registry;
pub mod slots;
#[cfg(test)]
mod tests;

use super::worker::{Mail, Worker};
use crate::base::clock::Millis;
use crate::base::slab::{Key, Slab};
use crate::engine::Rt;
use crate::engine::reactor::TaskId;
use crate::engine::task::before;
use crate::language::world::{Counter, CounterEdit};
use crate::model::stick_table::data::{Change, What};
use crate::model::stick_table::shard::Shard;
use copies::Copies;
use home::Dirty;
use message::{Ask, Letter, Reply};
use registry::{Registry, TableId};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// How often entries that have expired are looked for, and copies that nobody uses.
const SWEEP_MS: u64 = 1000;
/// Expired entries taken out of a table in one go.
const SWEEP_MAX: usize = 1024;

/// One worker's part of all tables.
pub struct Tables {
    pub registry: Arc<Registry>,
    me: usize,
    rt: Rt,
    inner: RefCell<Inner>,
    task: Cell<TaskId>,
    /// All tables were empty: the task has no clock until somebody makes an entry.
    resting: Cell<bool>,
}

#[derive(Default)]
struct Inner {
    shards: Vec<Shard>,
    copies: Copies,
    asks: Slab<Asked>,
    /// Questions that wait for all letters of this turn: what was sent before them counts.
    questions: Vec<Question>,
    /// Entries of ours that changed and have holders.
    dirty: Dirty,
    out: Vec<(usize, Letter)>,
}

/// A question of ours that is under way.
struct Asked {
    task: TaskId,
    table: TableId,
    home: usize,
    /// For copies: what is asked for.
    key: Option<Box<[u8]>>,
    reply: Option<Reply>,
    abandoned: bool,
}

struct Question {
    from: usize,
    id: Key,
    table: TableId,
    key: Box<[u8]>,
    ask: Ask,
}

/// Where an entry can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Home(Key),
    Copy(Key),
}

/// What asking gave.
pub enum Asking {
    Now(Reply),
    /// The answer comes for this number.
    Later(Key),
}

impl Tables {
    pub fn new(rt: Rt, me: usize, registry: Arc<Registry>) -> Rc<Tables> {
        let shards = registry
            .defs
            .iter()
            .map(|d| {
                let mut shard = Shard::new(d.key, d.layout.clone(), d.expire_ms, d.nopurge, d.usage.clone());
                if d.peers.is_some() {
                    shard.share();
                }
                shard
            })
            .collect();
        Rc::new(Tables {
            registry,
            me,
            rt,
            inner: RefCell::new(Inner { shards, ..Inner::default() }),
            task: Cell::new(Key::NONE),
            resting: Cell::new(false),
        })
    }

    fn now(&self) -> Millis {
        self.rt.now().mono
    }

    /// The task that sends what has gathered runs once more in this turn.
    fn stir(&self) {
        self.rt.wake(self.task.get());
    }

    /// There may be an entry now that expires one day.
    fn begin_clock(&self, table: TableId) {
        if self.resting.get() && self.registry.def(table).usage.used() > 0 {
            self.resting.set(false);
            self.stir();
        }
    }

    /// What this worker holds of others and others of it: copies, open questions, and own entries that somebody has a
    /// copy of. Nothing of it lasts once nobody tracks.
    pub fn held(&self) -> (bool, usize, usize) {
        let inner = self.inner.borrow();
        let lent = |shard: &Shard| shard.from(0, u32::MAX).0.filter(|slot| shard.holders(*slot) != 0).count();
        (!inner.copies.is_empty(), inner.asks.len(), inner.shards.iter().map(lent).sum())
    }

    // ---- entries that can be reached without waiting ----

    /// The entry of a key, if its home is here or a copy is; made when `create` says so and its home is here.
    pub fn reach(&self, table: TableId, key: &[u8], hash: u64, create: bool) -> Reached {
        let now = self.now();
        let inner = &mut *self.inner.borrow_mut();
        let home = self.registry.home(hash);
        if home != self.me {
            return match inner.copies.find(table, key, hash, now) {
                Some(copy) => Reached::At(Place::Copy(copy)),
                None => Reached::Elsewhere(home),
            };
        }
        let Inner { shards, out, dirty, .. } = inner;
        let shard = &mut shards[table as usize];
        let mut gone = |slot, holders| home::tell_gone(table, slot, holders, dirty, out);
        let found = match create {
            true => shard.find_or_create(key, hash, now, &mut gone),
            false => shard.find(key, hash, now, &mut gone),
        };
        if create {
            self.begin_clock(table);
        }
        found.map_or(Reached::Nothing, |slot| Reached::At(Place::Home(slot)))
    }

    /// A column of an entry; `None` when it is not stored.
    pub fn read(&self, table: TableId, place: Place, counter: Counter) -> Option<i64> {
        let now = self.now();
        let inner = self.inner.borrow();
        let layout = &self.registry.def(table).layout;
        match place {
            Place::Home(slot) => home::read(&inner.shards[table as usize], layout, slot, counter, now),
            Place::Copy(copy) => {
                let c = inner.copies.get(copy)?;
                match counter {
                    Counter::Exists => Some(1),
                    Counter::Trackers => Some(c.uses),
                    Counter::Idle => Some(now.since(c.touched) as i64),
                    Counter::Expire => Some(home::left(c.expires, now)),
                    other => layout.read(&c.words, other, now),
                }
            }
        }
    }

    /// Changes an entry and gives its new value.
    pub fn change(&self, table: TableId, place: Place, what: What, edit: CounterEdit) -> i64 {
        let now = self.now();
        let change = Change { what, edit, at: now };
        let inner = &mut *self.inner.borrow_mut();
        let (value, news) = match place {
            Place::Home(slot) => {
                let shard = &mut inner.shards[table as usize];
                let value = home::apply(shard, &self.registry.def(table).layout, slot, change, now);
                (value, inner.dirty.note(table, slot, shard, None))
            }
            Place::Copy(copy) => (inner.copies.change(&self.registry, copy, change, now), inner.copies.has_news()),
        };
        if news {
            self.stir();
        }
        value
    }

    /// The key of an entry.
    pub fn key_of(&self, table: TableId, place: Place, out: &mut Vec<u8>) -> bool {
        let inner = self.inner.borrow();
        let key = match place {
            Place::Home(slot) => inner.shards[table as usize].key(slot),
            Place::Copy(copy) => inner.copies.get(copy).map(|c| &*c.key),
        };
        key.inspect(|key| out.extend_from_slice(key)).is_some()
    }

    // ---- questions ----

    /// Asks the home of a key; at once when it is here.
    pub fn ask(&self, table: TableId, key: &[u8], hash: u64, ask: Ask) -> Asking {
        let home = self.registry.home(hash);
        if home == self.me {
            return Asking::Now(self.answer(table, key, hash, ask, None));
        }
        let lease = matches!(ask, Ask::Lease).then(|| key.into());
        let inner = &mut *self.inner.borrow_mut();
        let asked = Asked { task: self.rt.current(), table, home, key: lease, reply: None, abandoned: false };
        let id = inner.asks.insert(asked);
        inner.out.push((home, Letter::Ask { id, table, key: key.into(), ask }));
        self.stir();
        Asking::Later(id)
    }

    /// The answer to a question, once it has come.
    pub fn take_reply(&self, id: Key) -> Option<Reply> {
        let inner = &mut *self.inner.borrow_mut();
        let reply = inner.asks.get_mut(id)?.reply.take()?;
        inner.asks.remove(id);
        Some(reply)
    }

    /// Nobody waits for this answer any more.
    pub fn abandon(&self, id: Key) {
        let inner = &mut *self.inner.borrow_mut();
        match inner.asks.get_mut(id) {
            Some(asked) if asked.reply.is_none() => asked.abandoned = true,
            _ => {
                inner.asks.remove(id);
            }
        }
    }

    /// Answers for a key whose home is here.
    fn answer(&self, table: TableId, key: &[u8], hash: u64, ask: Ask, from: Option<usize>) -> Reply {
        let now = self.now();
        let inner = &mut *self.inner.borrow_mut();
        let Inner { shards, out, dirty, .. } = inner;
        let mut gone = |slot, holders, dirty: &mut Dirty| home::tell_gone(table, slot, holders, dirty, out);
        let at = home::At { table, def: self.registry.def(table), now, me: self.me };
        let reply = home::answer(&mut shards[table as usize], &at, key, hash, ask, from, dirty, &mut gone);
        if !inner.dirty.is_empty() || !inner.out.is_empty() {
            self.stir();
        }
        self.begin_clock(table);
        reply
    }

    /// Remembers a server for a key.
    pub fn store(&self, table: TableId, key: &[u8], server_id: u64, server: u64) {
        let hash = self.registry.hash(table, key);
        let home = self.registry.home(hash);
        if home == self.me {
            self.store_here(table, key, hash, server_id, server);
        } else {
            let letter = Letter::Store { table, key: key.into(), server_id, server };
            self.inner.borrow_mut().out.push((home, letter));
            self.stir();
        }
    }

    fn store_here(&self, table: TableId, key: &[u8], hash: u64, server_id: u64, server: u64) {
        if let Reached::At(place) = self.reach(table, key, hash, true) {
            self.change(table, place, What::ServerId, CounterEdit::Set(server_id as i64));
            self.change(table, place, What::ServerKey, CounterEdit::Set(server as i64));
        }
    }

    // ---- letters ----

    /// A letter from another worker.
    pub fn receive(&self, from: usize, letter: Letter) {
        let now = self.now();
        match letter {
            Letter::Ask { id, table, key, ask } => {
                self.inner.borrow_mut().questions.push(Question { from, id, table, key, ask });
                self.stir();
            }
            Letter::Reply { id, table, reply } => self.replied(id, table, reply, now),
            Letter::Store { table, key, server_id, server } => {
                let hash = self.registry.hash(table, &key);
                self.store_here(table, &key, hash, server_id, server);
            }
            Letter::Changes(batches) => {
                let inner = &mut *self.inner.borrow_mut();
                for b in batches {
                    let shard = &mut inner.shards[b.table as usize];
                    for change in b.changes {
                        home::apply(shard, &self.registry.def(b.table).layout, b.entry, change, now);
                    }
                    inner.dirty.note(b.table, b.entry, shard, Some((from, b.number)));
                }
                self.stir();
            }
            Letter::Updates(updates) => {
                let inner = &mut *self.inner.borrow_mut();
                for u in updates {
                    inner.copies.update(&self.registry, from, u);
                }
                if inner.copies.has_news() {
                    self.stir();
                }
            }
            // For the control thread only.
            Letter::News { .. } => {}
            Letter::Gone { table, entry } => self.inner.borrow_mut().copies.gone(from, table, entry),
            // A mark that is shared may be another's too: it stays as long as the entry.
            Letter::Release { .. } if self.registry.workers() > home::MARKS => {}
            Letter::Release { table, entry } => {
                self.inner.borrow_mut().shards[table as usize].set_holder(entry, home::bit(from), false);
            }
        }
    }

    fn replied(&self, id: Key, table: TableId, mut reply: Reply, now: Millis) {
        let inner = &mut *self.inner.borrow_mut();
        let Some(asked) = inner.asks.get_mut(id) else { return };
        if let (Reply::Leased(Some(granted)), Some(key)) = (&mut reply, &asked.key) {
            let granted = std::mem::replace(
                &mut **granted,
                message::Granted { entry: Key::NONE, words: Box::default(), uses: 0, touched: now, expires: now },
            );
            let hash = self.registry.hash(table, key);
            inner.copies.insert(asked.home, table, key, hash, granted, now);
        }
        debug_assert_eq!(asked.table, table);
        if asked.abandoned {
            inner.asks.remove(id);
            return;
        }
        asked.reply = Some(reply);
        self.rt.wake(asked.task);
    }

    /// Answers, sends and confirms what this turn has brought.
    fn turn(&self) -> Vec<(usize, Letter)> {
        let questions = std::mem::take(&mut self.inner.borrow_mut().questions);
        for q in questions {
            let hash = self.registry.hash(q.table, &q.key);
            let reply = self.answer(q.table, &q.key, hash, q.ask, Some(q.from));
            let letter = Letter::Reply { id: q.id, table: q.table, reply };
            self.inner.borrow_mut().out.push((q.from, letter));
        }
        let inner = &mut *self.inner.borrow_mut();
        let mut changes: Vec<(usize, Vec<message::Batch>)> = Vec::new();
        inner.copies.flush(|home, batch| gather(&mut changes, home, batch));
        inner.out.extend(changes.into_iter().map(|(to, list)| (to, Letter::Changes(list))));
        let mut updates: Vec<(usize, Vec<message::Update>)> = Vec::new();
        inner.dirty.flush(&inner.shards, |to, update| gather(&mut updates, to, update));
        inner.out.extend(updates.into_iter().map(|(to, list)| (to, Letter::Updates(list))));
        let control = self.registry.workers();
        inner.out.extend(inner.dirty.news().map(|table| (control, Letter::News { table, home: self.me })));
        std::mem::take(&mut inner.out)
    }

    /// Takes out what has expired, and gives back copies that nobody uses.
    fn sweep(&self) {
        let now = self.now();
        self.retire(now);
        let Inner { shards, out, dirty, .. } = &mut *self.inner.borrow_mut();
        for (table, shard) in shards.iter_mut().enumerate() {
            let table = table as TableId;
            shard.expire(now, SWEEP_MAX, &mut |slot, holders| home::tell_gone(table, slot, holders, dirty, out));
        }
    }

    fn retire(&self, now: Millis) {
        let Inner { copies, asks, out, .. } = &mut *self.inner.borrow_mut();
        let asked = asks.iter().filter_map(|(_, asked)| Some((asked.table, asked.key.as_deref()?))).collect();
        copies.retire(now, &asked, |home, table, entry| out.push((home, Letter::Release { table, entry })));
    }
}

/// What reaching for an entry gave.
pub enum Reached {
    At(Place),
    /// Its home is this worker, and a copy must be asked for.
    Elsewhere(usize),
    /// There is none, or it may not be made.
    Nothing,
}

fn gather<T>(lists: &mut Vec<(usize, Vec<T>)>, to: usize, one: T) {
    match lists.iter_mut().find(|(t, _)| *t == to) {
        Some((_, list)) => list.push(one),
        None => lists.push((to, vec![one])),
    }
}

/// The task that looks after a worker's tables.
pub async fn run(w: Rc<Worker>) {
    w.tables.task.set(w.rt.current());
    let mut next_sweep = w.rt.now().mono.plus(SWEEP_MS);
    loop {
        let letters = w.tables.turn();
        w.send_letters(letters);
        let now = w.rt.now().mono;
        if now >= next_sweep {
            w.tables.sweep();
            next_sweep = now.plus(SWEEP_MS);
            continue;
        }
        // Nothing stirs an empty table: it needs no clock.
        let idle =
            w.tables.registry.defs.iter().all(|d| d.usage.used() == 0) && w.tables.inner.borrow().copies.is_empty();
        w.tables.resting.set(idle);
        let deadline = if idle { Millis::NEVER } else { next_sweep };
        let _ = before(&w.rt, deadline, w.wait_for_wake()).await;
    }
}

impl Worker {
    /// Sends letters, and wakes each receiver once.
    pub fn send_letters(&self, letters: Vec<(usize, Letter)>) {
        if letters.is_empty() {
            return;
        }
        let mut to_wake: Vec<usize> = Vec::new();
        for (to, letter) in letters {
            self.put_in_post(to, Mail::Table(letter));
            if !to_wake.contains(&to) {
                to_wake.push(to);
            }
        }
        for to in to_wake {
            self.wake_worker(to);
        }
    }
}
