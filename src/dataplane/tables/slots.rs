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
        tables.change(table, place, What::Connection, CounterEdit::Add(1));
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
        tables.change(table, place, What::Trackers, CounterEdit::Add(1));
    }

    /// Goes on with an entry that a former process tracked for this stream or session and has counted: only `conn_cur` grows.
    pub fn attach_again(&mut self, tables: &Rc<Tables>, slot: u8, table: TableId, place: Place) {
        self.note(tables, slot, table, place);
        tables.change(table, place, What::ConnectionEnd, CounterEdit::Add(-1));
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
        for (table, place) in self.list.iter().flatten() {
            tables.change(*table, *place, what, CounterEdit::Add(n as i64));
        }
    }

    /// Counts something in the entry of one slot.
    pub fn count_one(&self, slot: u8, what: What) {
        if let (Some(tables), Some((table, place))) = (&self.tables, self.get(slot)) {
            tables.change(table, place, what, CounterEdit::Add(1));
        }
    }

    pub fn release(&mut self) {
        let Some(tables) = &self.tables else { return };
        for (table, place) in self.list.drain(..).flatten() {
            tables.change(table, place, What::ConnectionEnd, CounterEdit::Add(1));
            tables.change(table, place, What::Trackers, CounterEdit::Add(-1));
        }
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.release();
    }
}
