//! What a worker leaves to the one that follows beside its sockets (`inherit`): counters, the health of servers, keys and
//! sessions of TLS, and the entries of stick tables. The new one asks on a connection that their master has made, the old
//! one answers with lines of text that an `end` ends. Only a worker of the same master is answered: keys are among it.

use super::api::{PIECE, flush};
use super::supervise::Control;
use crate::base::clock::Millis;
use crate::base::hex::{hex, unhex};
use crate::dataplane::persist;
use crate::dataplane::tables::handle::{Cursor, TablesHandle};
use crate::dataplane::tables::registry::TableId;
use crate::engine::Conn;
use crate::model::plan::Plan;
use crate::model::state::board::Board;
use crate::model::state::carry;
use crate::model::stick_table::data::DataType;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// What a successor asks for: all but stick tables, and these.
pub const STATE: &[u8] = b"_getstate\n";
pub const TABLES: &[u8] = b"_gettables\n";
const END: &str = "end";
/// How long the old process may take for each piece.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the transfer of tables may hold up the new process, in milliseconds; what is beyond is lost.
pub const TABLES_MS: u64 = 10_000;

// ---- the old process ----

/// Answers [`STATE`]; false when the asker is gone.
pub async fn give_state(control: &Control, conn: &Conn, timeout_ms: u64) -> bool {
    let (plan, board) = (&control.shared.plan, &control.shared.board);
    let mut text = carry::head();
    if let Some(credentials) = &plan.credentials {
        for key in credentials.tickets.export() {
            let _ = writeln!(text, "ticket {}", hex(&key));
        }
        for place in 0..credentials.sessions.places() {
            if let Some((id, issued_s, value)) = credentials.sessions.export(place) {
                let _ = writeln!(text, "session {} {issued_s} {}", hex(&id), hex(&value));
            }
            if text.len() >= PIECE && !send(conn, &mut text, timeout_ms).await {
                return false;
            }
        }
    }
    for proxy in 0..plan.proxies.len() {
        carry::write(plan, board, proxy, control.rt.now().mono, &mut text);
        if text.len() >= PIECE && !send(conn, &mut text, timeout_ms).await {
            return false;
        }
    }
    text.push_str("end\n");
    send(conn, &mut text, timeout_ms).await
}

/// Answers [`TABLES`]; false when the asker is gone.
pub async fn give_tables(control: &Control, conn: &Conn, timeout_ms: u64) -> bool {
    let tables = &control.tables;
    let mut text = String::new();
    for table in tables.registry.shown() {
        let def = tables.registry.def(table);
        let _ = writeln!(text, "table {} {}", def.name, kind(tables, table));
        let mut cursor = Cursor::default();
        while let Some(list) = tables.list(table, &mut cursor).await {
            for entry in list {
                let _ = write!(text, "entry {}", hex(&entry.key));
                for column in def.layout.columns() {
                    for index in 0..column.elements {
                        let value = def.layout.element(&entry.words, column, index, control.rt.now().mono);
                        write_value(control, column.data, index, value, &mut text);
                    }
                }
                text.push('\n');
            }
            if text.len() >= PIECE && !send(conn, &mut text, timeout_ms).await {
                return false;
            }
        }
    }
    text.push_str("end\n");
    send(conn, &mut text, timeout_ms).await
}

/// `http_req_cnt.0=12`; nothing for what is zero or is only of this process.
fn write_value(control: &Control, data: DataType, index: u32, value: u64, text: &mut String) {
    if value == 0 || data == DataType::ConnCur {
        return;
    }
    let name = data.name();
    let _ = match data {
        DataType::ServerKey => {
            let Some((proxy, server)) = persist::server_of_word(value) else { return };
            let Some(live) = control.shared.board.live.server(proxy, server) else { return };
            let backend = &control.shared.plan.proxies[proxy].name;
            write!(text, " {name}.{index}={backend}/{}", live.settings.name)
        }
        _ => write!(text, " {name}.{index}={value}"),
    };
}

async fn send(conn: &Conn, text: &mut String, timeout_ms: u64) -> bool {
    let mut bytes = std::mem::take(text).into_bytes();
    flush(conn, &mut bytes, timeout_ms).await
}

/// The kind of a table's keys, as both know it.
fn kind(tables: &TablesHandle, table: TableId) -> String {
    format!("{:?}", tables.registry.def(table).key).replace(' ', "")
}

// ---- the new process ----

/// Takes over what the old process tells on `stream`, but tables.
///
/// # Errors
/// Those of reading and writing. What was told until then is taken.
pub fn take_state(mut stream: &UnixStream, plan: &Plan, board: &Board, now: Millis) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(STATE)?;
    let mut lines = BufReader::new(stream).lines();
    let known = lines.next().transpose()?.is_some_and(|l| l == carry::head().trim_end());
    let mut tickets = Vec::new();
    for line in lines {
        let line = line?;
        if line == END {
            break;
        }
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match (word, &plan.credentials) {
            ("ticket", _) => tickets.extend(unhex(rest)),
            ("session", Some(credentials)) => {
                if let [id, issued_s, value] = rest.split(' ').collect::<Vec<_>>()[..]
                    && let (Some(id), Ok(issued_s), Some(value)) = (unhex(id), issued_s.parse(), unhex(value))
                {
                    credentials.sessions.import(id, issued_s, value);
                }
            }
            // A process that counts otherwise, perhaps another version, tells nothing that is understood.
            _ if known => drop(carry::take(&line, plan, board, now)),
            _ => {}
        }
    }
    if let Some(credentials) = &plan.credentials {
        credentials.tickets.import(&tickets);
    }
    board.live.settled();
    Ok(())
}

/// Takes over the entries of tables that are still configured.
pub async fn take_tables(control: &Control, conn: &Conn) {
    let mut ask = TABLES.to_vec();
    if !flush(conn, &mut ask, u64::MAX).await {
        return;
    }
    let mut rest = Vec::new();
    let mut table = None;
    while let Ok(Some(bytes)) = conn.recv().await {
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let Ok(line) = std::str::from_utf8(&line[..end]) else { return };
            match line.split_once(' ') {
                Some(("table", words)) => table = find(&control.tables, words),
                Some(("entry", words)) => {
                    if let Some(table) = table {
                        take_entry(control, table, words).await;
                    }
                }
                _ => return,
            }
        }
    }
}

/// The table of this name, if its keys are still of this kind.
fn find(tables: &TablesHandle, words: &str) -> Option<TableId> {
    let (name, keys) = words.split_once(' ')?;
    tables.registry.named(name).filter(|table| kind(tables, *table) == keys)
}

async fn take_entry(control: &Control, table: TableId, words: &str) -> Option<()> {
    let mut words = words.split(' ');
    let key = unhex(words.next()?)?;
    let values = words.filter_map(|word| {
        let (name, value) = word.split_once('=')?;
        let (name, index) = name.split_once('.')?;
        let (data, index) = (DataType::named(name)?, index.parse().ok()?);
        let value = match data {
            DataType::ServerKey => {
                let (backend, server) = value.split_once('/')?;
                let proxy = control.shared.plan.backend(backend)?;
                persist::word(proxy, control.shared.board.live.backend(proxy).find(server)?)
            }
            _ => value.parse().ok()?,
        };
        Some((data, index, value))
    });
    let values = values.collect();
    control.tables.set(table, &key, values).await;
    Some(())
}
