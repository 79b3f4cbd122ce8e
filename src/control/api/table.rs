//! Carrying out what the runtime API asks of stick tables. Homes are asked piece by piece, and a piece is written before
//! the next is asked for: neither a long table nor a slow client costs memory or keeps a worker from its streams.

use super::process::Seat;
use super::{Control, PIECE, flush};
use crate::admin::runtime_api::command::table::{
    Act, Entry, FULL, IN_USE, Job, NO_SUCH_POINTER, Table, Which, write_entry, write_head,
};
use crate::admin::runtime_api::{Answer, Process};
use crate::dataplane::tables::handle::{Clearing, Cursor, TablesHandle};
use crate::dataplane::tables::message::{Listed, Removal};
use crate::dataplane::tables::registry::Registry;
use crate::engine::Conn;
use crate::engine::task::before;
use std::rc::Rc;

/// The tables as `show table` lists them.
pub fn all(registry: &Registry) -> Vec<Table<'_>> {
    registry.shown().map(|number| view(registry, number)).collect()
}

fn view(registry: &Registry, number: u16) -> Table<'_> {
    let def = registry.def(number);
    Table {
        number,
        name: &def.name,
        key: def.key,
        layout: &def.layout,
        size: def.usage.size,
        used: def.usage.used(),
        server_key_address: def.server_key_address,
    }
}

/// Does a job. What remains to be answered; `None` when a worker or the client is not there any more.
pub async fn run(control: &Rc<Control>, conn: &Conn, seat: &Seat<'_>, job: Job, out: &mut Vec<u8>) -> Option<Answer> {
    let tables = &control.tables;
    match job {
        Job::Show { table, filters } => {
            write_head(&view(&tables.registry, table), out);
            let mut cursor = Cursor::default();
            while let Some(list) = before(&control.rt, seat.deadline(), tables.list(table, &mut cursor)).await.ok()? {
                let (view, now) = (view(&tables.registry, table), seat.now().mono);
                for entry in list.iter().filter(|e| filters.iter().all(|f| f.matches(view.layout, &e.words, now))) {
                    write(&view, entry, seat, out);
                }
                if out.len() >= PIECE && !flush(conn, out, seat.timeout()).await {
                    return None;
                }
            }
            Some(Answer::Empty)
        }
        Job::Clear { table, filters } => {
            let mut clearing = Clearing::new(filters);
            while before(&control.rt, seat.deadline(), tables.clear(table, &mut clearing)).await.ok()? {}
            Some(Answer::Empty)
        }
        Job::One { table, which, act } => {
            let act = one(tables, seat, table, which, act, out);
            before(&control.rt, seat.deadline(), act).await.ok()
        }
    }
}

async fn one(
    tables: &TablesHandle,
    seat: &Seat<'_>,
    table: u16,
    which: Which,
    act: Act,
    out: &mut Vec<u8>,
) -> Answer {
    let key = match which {
        Which::Key(key) => key,
        Which::Pointer(id) => match tables.at(table, id).await {
            Some(entry) => entry.key,
            None => return Answer::error(NO_SUCH_POINTER),
        },
    };
    match act {
        Act::Show => {
            if let Some(entry) = tables.show(table, &key).await {
                let view = view(&tables.registry, table);
                write_head(&view, out);
                write(&view, &entry, seat, out);
            }
            Answer::Empty
        }
        Act::Clear => match tables.remove(table, &key).await {
            Removal::InUse => Answer::error(IN_USE),
            Removal::Removed | Removal::NotFound => Answer::Empty,
        },
        Act::Set { values, fault } => match (tables.set(table, &key, values).await, fault) {
            (false, _) => Answer::error(FULL),
            (true, Some(fault)) => Answer::error(fault),
            (true, None) => Answer::Empty,
        },
    }
}

fn write(view: &Table<'_>, entry: &Listed, seat: &Seat<'_>, out: &mut Vec<u8>) {
    let Listed { id, key, uses, expires_ms, words, .. } = entry;
    let entry = Entry { id: *id, key, uses: *uses, expires_ms: *expires_ms, words };
    write_entry(view, &entry, seat, seat.now().mono, out);
}
