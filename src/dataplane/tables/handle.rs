//! Tables as the runtime API sees them: the control thread asks every home and puts the answers together. It is no home and
//! holds no copies.

use super::message::{Ask, Learned, Lesson, Letter, Listed, Removal, Reply};
use super::registry::{Registry, TableId};
use crate::base::slab::{Key, Slab};
use crate::engine::Rt;
use crate::engine::reactor::TaskId;
use crate::model::stick_table::data::DataType;
use crate::model::stick_table::filter::Filter;
use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// Entries asked of a home at once, so that no home is kept from its streams.
const PIECE: usize = 256;

/// Hears of changed entries: table and home.
type Hear = Box<dyn Fn(TableId, usize)>;

pub struct TablesHandle {
    rt: Rt,
    pub registry: Arc<Registry>,
    asks: RefCell<Slab<(TaskId, Option<Reply>)>>,
    /// Sends a letter to a worker.
    send: Box<dyn Fn(usize, Letter)>,
    /// Called when entries of a shared table have changed.
    on_news: RefCell<Option<Hear>>,
}

/// A listing that goes on piece by piece, home by home.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    home: usize,
    start: u32,
}

/// A clearing that goes on piece by piece, home by home.
pub struct Clearing {
    cursor: Cursor,
    filters: Arc<[Filter]>,
}

impl Clearing {
    /// Entries that meet all conditions go.
    pub fn new(filters: Vec<Filter>) -> Clearing {
        Clearing { cursor: Cursor::default(), filters: filters.into() }
    }
}

impl TablesHandle {
    pub fn new(rt: Rt, registry: Arc<Registry>, send: Box<dyn Fn(usize, Letter)>) -> Rc<TablesHandle> {
        Rc::new(TablesHandle { rt, registry, asks: RefCell::default(), send, on_news: RefCell::default() })
    }

    /// Who wants to know that entries of shared tables have changed.
    pub fn on_news(&self, hear: Hear) {
        *self.on_news.borrow_mut() = Some(hear);
    }

    /// A letter from a worker to the control thread.
    pub fn receive(&self, letter: Letter) {
        if let (Letter::News { table, home }, Some(hear)) = (&letter, &*self.on_news.borrow()) {
            hear(*table, *home);
        }
        if let Letter::Reply { id, reply, .. } = letter
            && let Some((task, slot)) = self.asks.borrow_mut().get_mut(id)
        {
            *slot = Some(reply);
            self.rt.wake(*task);
        }
    }

    async fn ask(&self, home: usize, table: TableId, key: &[u8], ask: Ask) -> Reply {
        let id = self.asks.borrow_mut().insert((self.rt.current(), None));
        let asked = Asked(self, id);
        (self.send)(home, Letter::Ask { id, table, key: key.into(), ask });
        poll_fn(|_| match asked.0.asks.borrow_mut().get_mut(id).and_then(|(_, reply)| reply.take()) {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        })
        .await
    }

    fn home(&self, table: TableId, key: &[u8]) -> usize {
        self.registry.home(self.registry.hash(table, key))
    }

    /// The next entries of a table; `None` when there are no more.
    pub async fn list(&self, table: TableId, cursor: &mut Cursor) -> Option<Vec<Listed>> {
        if cursor.home >= self.registry.workers() {
            return None;
        }
        let reply = self.ask(cursor.home, table, &[], Ask::List { start: cursor.start, limit: PIECE }).await;
        let Reply::Listing(list, next) = reply else { return None };
        match next {
            Some(start) => cursor.start = start,
            None => *cursor = Cursor { home: cursor.home + 1, start: 0 },
        }
        Some(list)
    }

    /// Clears on; false when all is done. Entries in use stay.
    pub async fn clear(&self, table: TableId, clearing: &mut Clearing) -> bool {
        let Clearing { cursor, filters } = clearing;
        if cursor.home >= self.registry.workers() {
            return false;
        }
        let ask = Ask::Clear { start: cursor.start, filters: filters.clone() };
        let Reply::Cleared(next) = self.ask(cursor.home, table, &[], ask).await else { return false };
        match next {
            Some(start) => cursor.start = start,
            None => *cursor = Cursor { home: cursor.home + 1, start: 0 },
        }
        true
    }

    /// The entry that a listing gave this number.
    pub async fn at(&self, table: TableId, id: u64) -> Option<Listed> {
        let home = usize::try_from(id >> 40).ok()?.checked_sub(1).filter(|h| *h < self.registry.workers())?;
        match self.ask(home, table, &[], Ask::List { start: id as u32, limit: 1 }).await {
            Reply::Listing(list, _) => list.into_iter().find(|e| e.id == id),
            _ => None,
        }
    }

    /// The entry of a key.
    pub async fn show(&self, table: TableId, key: &[u8]) -> Option<Listed> {
        match self.ask(self.home(table, key), table, key, Ask::Show).await {
            Reply::Listing(mut list, _) => list.pop(),
            _ => None,
        }
    }

    /// Sets data of an entry, which is made when it is new; false when the table is full.
    pub async fn set(&self, table: TableId, key: &[u8], values: Vec<(DataType, u32, u64)>) -> bool {
        matches!(self.ask(self.home(table, key), table, key, Ask::Set(values)).await, Reply::Set(true))
    }

    /// Entries of one home that changed after a change; the number of the last, and whether there may be more.
    pub async fn updates(&self, table: TableId, home: usize, after: u64, limit: usize) -> (Vec<Listed>, u64, bool) {
        match self.ask(home, table, &[], Ask::Updates { after, limit }).await {
            Reply::Updates(list, last, more) => (list, last, more),
            _ => (Vec::new(), after, false),
        }
    }

    /// Gives what a peer has told to the homes, and waits until they have it.
    pub async fn learn(&self, table: TableId, words: &Arc<[usize]>, source: u32, entries: Vec<Learned>) {
        let mut homes: Vec<Vec<Learned>> = (0..self.registry.workers()).map(|_| Vec::new()).collect();
        for entry in entries {
            homes[self.registry.home(entry.hash)].push(entry);
        }
        for (home, entries) in homes.into_iter().enumerate().filter(|(_, list)| !list.is_empty()) {
            let lesson = Lesson { source, words: words.clone(), entries };
            self.ask(home, table, &[], Ask::Learn(Box::new(lesson))).await;
        }
    }

    pub async fn remove(&self, table: TableId, key: &[u8]) -> Removal {
        match self.ask(self.home(table, key), table, key, Ask::Remove).await {
            Reply::Removed(removal) => removal,
            _ => Removal::NotFound,
        }
    }
}

/// A question whose asker may go away.
struct Asked<'a>(&'a TablesHandle, Key);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.asks.borrow_mut().remove(self.1);
    }
}
