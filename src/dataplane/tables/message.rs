//! What workers tell each other about stick tables. Questions have answers, changes are merged over a turn of the loop,
//! updates carry a home's truth to those who hold copies.

use super::registry::TableId;
use crate::base::clock::Millis;
use crate::base::slab::Key;
use crate::language::world::{Counter, CounterEdit};
use crate::model::stick_table::data::{Change, DataType};
use crate::model::stick_table::filter::Filter;
use std::sync::Arc;

/// A question of a worker to the home of a key, or of the control thread to every home.
#[derive(Debug)]
pub enum Ask {
    /// A copy, to track the entry; it is made when it is new.
    Lease,
    Read(Counter),
    Edit(Counter, CounterEdit),
    /// What `stick match` looks for; the entry's time starts again.
    Stick,
    /// Entries from a place on, and how many at most.
    List {
        start: u32,
        limit: usize,
    },
    /// Removes entries from a place on that meet all conditions and that nobody uses.
    Clear {
        start: u32,
        filters: Arc<[Filter]>,
    },
    /// Data of an entry, which is made when it is new.
    Set(Vec<(DataType, u32, u64)>),
    /// Removes an entry that nobody uses.
    Remove,
    /// The entry with this key.
    Show,
    /// Entries that changed after a change, and how many at most: for peers.
    Updates {
        after: u64,
        limit: usize,
    },
    /// What a peer has told of entries whose home this is.
    Learn(Box<Lesson>),
}

/// Entries as a peer has them.
#[derive(Debug)]
pub struct Lesson {
    /// Number of the connection with the peer, not 0.
    pub source: u32,
    /// The words of an entry that the peer tells; the others stay as they are.
    pub words: Arc<[usize]>,
    pub entries: Vec<Learned>,
}

#[derive(Debug)]
pub struct Learned {
    pub key: Box<[u8]>,
    pub hash: u64,
    /// Milliseconds left; `None`: it was used just now.
    pub left_ms: Option<u64>,
    /// All words of an entry.
    pub words: Box<[u64]>,
}

#[derive(Debug)]
pub enum Reply {
    Value(Option<i64>),
    /// `None`: the table is full.
    Leased(Option<Box<Granted>>),
    /// `server_id` and the server's word, where there is an entry.
    Server(Option<(u64, u64)>),
    /// Entries, and where the next listing goes on; `None`: that was all.
    Listing(Vec<Listed>, Option<u32>),
    /// Where the clearing goes on; `None`: that was all.
    Cleared(Option<u32>),
    Removed(Removal),
    /// Whether the entry could be made and set.
    Set(bool),
    /// Entries, the number of the last change, and whether there may be more.
    Updates(Vec<Listed>, u64, bool),
    Learned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Removed,
    InUse,
    NotFound,
}

/// A copy given out.
#[derive(Debug)]
pub struct Granted {
    pub entry: Key,
    pub words: Box<[u64]>,
    pub uses: i64,
    pub touched: Millis,
    pub expires: Millis,
}

/// An entry as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// A number that no other entry has at this time: HAProxy shows an address.
    pub id: u64,
    pub key: Vec<u8>,
    pub uses: u32,
    /// Milliseconds left; 0 where the table has no `expire`.
    pub expires_ms: u64,
    pub words: Vec<u64>,
    /// The connection with a peer that told all this; 0: none.
    pub source: u32,
}

/// Changes of one entry by the holder of a copy.
#[derive(Debug)]
pub struct Batch {
    pub table: TableId,
    pub entry: Key,
    pub number: u32,
    pub changes: Vec<Change>,
}

/// An entry as its home has it.
#[derive(Debug)]
pub struct Update {
    pub table: TableId,
    pub entry: Key,
    /// The last batch of the receiver's that is in it.
    pub includes: Option<u32>,
    pub words: Box<[u64]>,
    pub uses: i64,
    pub touched: Millis,
    pub expires: Millis,
}

/// Letters between workers.
#[derive(Debug)]
pub enum Letter {
    Ask {
        id: Key,
        table: TableId,
        key: Box<[u8]>,
        ask: Ask,
    },
    Reply {
        id: Key,
        table: TableId,
        reply: Reply,
    },
    /// What a `stick` rule remembers.
    Store {
        table: TableId,
        key: Box<[u8]>,
        server_id: u64,
        server: u64,
    },
    Changes(Vec<Batch>),
    Updates(Vec<Update>),
    /// The entry is no more.
    Gone {
        table: TableId,
        entry: Key,
    },
    /// To the control thread: an entry has changed since it read the last change.
    News {
        table: TableId,
        home: usize,
    },
    /// A copy is given back.
    Release {
        table: TableId,
        entry: Key,
    },
}
