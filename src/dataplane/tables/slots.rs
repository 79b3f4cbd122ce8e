//! The entries that a stream or a session tracks (manual 4.4 "track-sc0"), one a slot. What happens to the stream is counted
//! in each; tracking ends with the stream or session.

use super::registry::TableId;
use super::{Place, Tables};
use crate::language::world::CounterEdit;
use crate::model::stick_table::data::What;
use std::rc::Rc;

#[derive(Default)]
pub struct Slots {
    list: Vec<Option<(TableId, Place)>>,
    tables: Option<Rc<Tables>>,
}

impl Slots {
    pub fn get(&self, slot: u8) -> Option<(TableId, Place)> {
        self.list.get(slot as usize).copied().flatten()
    }

    /// Starts to track an entry.
    pub fn attach(&mut self, tables: &Rc<Tables>, slot: u8, table: TableId, place: Place) {
        self.note(tables, slot, table, place);
        count(tables, (table, place), What::Connection, 1);
    }

    fn note(&mut self, tables: &Rc<Tables>, slot: u8, table: TableId, place: Place) {
        let slot = slot as usize;
        if self.list.len() <= slot {
            self.list.resize(slot + 1, None);
        }
        self.list[slot] = Some((table, place));
        if self.tables.is_none() {
            self.tables = Some(tables.clone());
        }
        count(tables, (table, place), What::Trackers, 1);
    }

    /// Goes on with an entry that a former process tracked for this stream or session and has counted: only `conn_cur` grows.
    pub fn attach_again(&mut self, tables: &Rc<Tables>, slot: u8, table: TableId, place: Place) {
        self.note(tables, slot, table, place);
        count(tables, (table, place), What::ConnectionEnd, -1);
    }

    /// What is tracked, by slot.
    pub fn tracked(&self) -> impl Iterator<Item = (u8, TableId, Place)> {
        let slots = self.list.iter().enumerate();
        slots.filter_map(|(slot, tracked)| tracked.map(|(table, place)| (slot as u8, table, place)))
    }

    /// Counts something in every tracked entry.
    pub fn count(&self, what: What, n: u64) {
        let Some(tables) = &self.tables else { return };
        if n == 0 {
            return;
        }
        self.list.iter().flatten().for_each(|at| count(tables, *at, what, n as i64));
    }

    /// Counts something in the entry of one slot.
    pub fn count_one(&self, slot: u8, what: What) {
        if let (Some(tables), Some(at)) = (&self.tables, self.get(slot)) {
            count(tables, at, what, 1);
        }
    }

    pub fn release(&mut self) {
        let Some(tables) = &self.tables else { return };
        for at in self.list.drain(..).flatten() {
            count(tables, at, What::ConnectionEnd, 1);
            count(tables, at, What::Trackers, -1);
        }
    }
}

/// Counts what its table stores. The entry's time starts again when tracking begins and ends, whatever is stored.
fn count(tables: &Tables, (table, place): (TableId, Place), what: What, n: i64) {
    if tables.registry.def(table).layout.counts(what) {
        tables.change(table, place, what, CounterEdit::Add(n));
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.release();
    }
}
