//! `show table`, `set table`, `clear table` (management guide 9.3). Entries live with their home workers: the answers come
//! by letters, piece by piece, and leave the same way, however large the table is.

use super::super::supervise::Control;
use crate::base::clock::Millis;
use crate::dataplane::persist::server_of_word;
use crate::dataplane::tables::handle::Cursor;
use crate::dataplane::tables::message::{Listed, Removal};
use crate::dataplane::tables::registry::{Def, TableId};
use crate::model::bind::Level;
use crate::model::stick_table::KeyType;
use crate::model::stick_table::data::{Column, DataType};
use std::io::Write;
use std::net::IpAddr;

/// Conditions on data that one command may have.
const FILTERS_MAX: usize = 4;
const DENIED: &str = "Permission denied";
const NO_POINTER: &str = "No entry can be found matching ptr.";
const SHOW_USAGE: &str =
    "Optional argument only supports \"data.<store_data_type>\" <operator> <value> or key <key> or ptr <ptr>";
const CLEAR_USAGE: &str = "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key> or \
                           <table> ptr <ptr>";
const SET_USAGE: &str = "Required arguments: <table> key <key> [data.<store_data_type> <value>]* or <table> ptr <ptr> \
                         [data.<store_data_type> <value>]*";

/// A command that goes on piece by piece.
pub struct Work {
    table: Option<TableId>,
    cursor: Cursor,
    step: Step,
}

enum Step {
    Headers,
    List(Vec<Filter>),
    Clear(Vec<Filter>),
    ShowKey(Vec<u8>),
    ShowPointer(u64, bool),
    ClearKey(Vec<u8>),
    ClearPointer(u64),
    Set(Vec<u8>, Vec<(DataType, u32, u64)>),
    SetPointer(u64, Vec<(DataType, u32, u64)>),
    /// A sentence that is the whole answer.
    Say(String),
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct Filter {
    data: DataType,
    index: u32,
    operator: Operator,
    value: i64,
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Eq,
    Ne,
    Le,
    Ge,
    Lt,
    Gt,
}

impl Filter {
    fn fits(&self, def: &Def, entry: &Listed, now: Millis) -> bool {
        let Some(column) = def.layout.column(self.data) else { return false };
        let value = def.layout.element(&entry.words, column, self.index, now) as i64;
        match self.operator {
            Operator::Eq => value == self.value,
            Operator::Ne => value != self.value,
            Operator::Le => value <= self.value,
            Operator::Ge => value >= self.value,
            Operator::Lt => value < self.value,
            Operator::Gt => value > self.value,
        }
    }
}

impl Work {
    /// Reads the words of a command, its verb first.
    pub fn read(control: &Control, words: &[&str], level: Level) -> Work {
        let verb = words.first().copied().unwrap_or_default();
        let argument = |n: usize| words.get(n + 2).copied().unwrap_or_default();
        let registry = &control.tables.registry;
        let table = registry.named(argument(0));
        let step = match (argument(0), table) {
            ("", _) => match verb {
                "show" => Ok(Step::Headers),
                "set" => Err(SET_USAGE.to_owned()),
                _ => Err(CLEAR_USAGE.to_owned()),
            },
            (_, None) => Err("No such table".to_owned()),
            (_, Some(table)) => {
                let rest = words.get(3..).unwrap_or_default();
                let allowed = level >= Level::Operator;
                Self::step(registry.def(table), verb, rest, allowed)
            }
        };
        let step = step.unwrap_or_else(Step::Say);
        Work { table, cursor: Cursor::default(), step }
    }

    fn step(def: &Def, verb: &str, rest: &[&str], allowed: bool) -> Result<Step, String> {
        let argument = |n: usize| rest.get(n).copied().unwrap_or_default();
        if !allowed && (verb != "show" || !rest.is_empty()) {
            return Err(DENIED.to_owned());
        }
        let usage = || if verb == "show" { SHOW_USAGE } else { CLEAR_USAGE }.to_owned();
        match argument(0) {
            "" if verb == "show" && !allowed => Ok(Step::ShowPointer(0, false)),
            "" => Ok(match verb {
                "show" => Step::List(Vec::new()),
                "clear" => Step::Clear(Vec::new()),
                _ => Step::Nothing,
            }),
            "key" => {
                if argument(1).is_empty() {
                    return Err("Key value expected".to_owned());
                }
                let key = key(def, argument(1))?;
                Ok(match verb {
                    "show" => Step::ShowKey(key),
                    "clear" => Step::ClearKey(key),
                    _ => {
                        if let KeyType::Binary(_) = def.key {
                            return Err(
                                "Inserting keys into tables of type other than ip, ipv6, string and integer is \
                                        not supported"
                                    .to_owned(),
                            );
                        }
                        Step::Set(key, values(def, &rest[2..])?)
                    }
                })
            }
            "ptr" => {
                let id = argument(1).strip_prefix("0x").and_then(|h| u64::from_str_radix(h, 16).ok());
                let id = id.ok_or("Pointer expected (0xffff notation)")?;
                Ok(match verb {
                    "show" => Step::ShowPointer(id, true),
                    "clear" => Step::ClearPointer(id),
                    _ => Step::SetPointer(id, values(def, &rest[2..])?),
                })
            }
            word if word.starts_with("data.") && verb != "set" => {
                let filters = filters(def, rest)?;
                Ok(if verb == "show" { Step::List(filters) } else { Step::Clear(filters) })
            }
            _ if verb == "set" => Err(SET_USAGE.to_owned()),
            _ => Err(usage()),
        }
    }

    /// Does a part of the command and appends what it says. False: that was all.
    pub async fn go_on(&mut self, control: &Control, out: &mut Vec<u8>) -> bool {
        let tables = &control.tables;
        let registry = &tables.registry;
        let now = control.rt.now().mono;
        let step = std::mem::replace(&mut self.step, Step::Nothing);
        if let Step::Headers = step {
            registry.defs.iter().rev().for_each(|def| header(def, out));
            return false;
        }
        if let Step::Say(text) = &step {
            out.extend_from_slice(text.as_bytes());
            out.push(b'\n');
            return false;
        }
        let Some(table) = self.table else { return false };
        let def = registry.def(table);
        match step {
            Step::Headers | Step::Say(_) | Step::Nothing => {}
            Step::ShowPointer(_, false) => {
                header(def, out);
                out.extend_from_slice(b"# contents not dumped due to insufficient privileges\n");
            }
            Step::List(filters) => {
                if self.cursor == Cursor::default() {
                    header(def, out);
                }
                let Some(entries) = tables.list(table, &mut self.cursor).await else { return false };
                for entry in entries.iter().filter(|e| filters.iter().all(|f| f.fits(def, e, now))) {
                    line(control, def, entry, now, out);
                }
                self.step = Step::List(filters);
                return true;
            }
            Step::Clear(filters) => {
                let Some(entries) = tables.list(table, &mut self.cursor).await else { return false };
                for entry in entries.iter().filter(|e| filters.iter().all(|f| f.fits(def, e, now))) {
                    tables.remove(table, &entry.key).await;
                }
                self.step = Step::Clear(filters);
                return true;
            }
            Step::ShowKey(key) => {
                if let Some(entry) = tables.show(table, &key).await {
                    header(def, out);
                    line(control, def, &entry, now, out);
                }
            }
            Step::ShowPointer(id, _) => match self.find(control, table, id).await {
                Some(entry) => {
                    header(def, out);
                    line(control, def, &entry, now, out);
                }
                None => say(NO_POINTER, out),
            },
            Step::ClearKey(key) => {
                if tables.remove(table, &key).await == Removal::InUse {
                    say("Entry currently in use, cannot remove", out);
                }
            }
            Step::ClearPointer(id) => match self.find(control, table, id).await {
                Some(entry) if tables.remove(table, &entry.key).await == Removal::InUse => {
                    say("Entry currently in use, cannot remove", out);
                }
                Some(_) => {}
                None => say(NO_POINTER, out),
            },
            Step::Set(key, values) => {
                if !tables.set(table, &key, values).await {
                    say("Unable to allocate a new entry", out);
                }
            }
            Step::SetPointer(id, values) => match self.find(control, table, id).await {
                Some(entry) => {
                    tables.set(table, &entry.key, values).await;
                }
                None => say(NO_POINTER, out),
            },
        }
        false
    }

    /// The entry that was listed with this number.
    async fn find(&self, control: &Control, table: TableId, id: u64) -> Option<Listed> {
        let mut cursor = Cursor::default();
        while let Some(entries) = control.tables.list(table, &mut cursor).await {
            if let Some(found) = entries.into_iter().find(|e| e.id == id) {
                return Some(found);
            }
        }
        None
    }
}

fn say(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

fn key(def: &Def, word: &str) -> Result<Vec<u8>, String> {
    let good = match def.key {
        KeyType::Ip => word.parse::<IpAddr>().is_ok_and(|a| a.is_ipv4()),
        KeyType::Ipv6 => word.parse::<IpAddr>().is_ok(),
        _ => true,
    };
    if !good {
        return Err("Invalid key".to_owned());
    }
    def.key.parse(word).map_err(str::to_owned)
}

/// `data.<type>` or `data.<type>[<index>]`.
fn stored(def: &Def, word: &str) -> Result<(DataType, u32), String> {
    let name = word.strip_prefix("data.").unwrap_or_default();
    let (name, index) = match name.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse().unwrap_or(u32::MAX)),
        None => (name, 0),
    };
    let data = DataType::named(name).ok_or("Unknown data type")?;
    let column = def.layout.column(data).ok_or("Data type not stored in this table")?;
    if index >= column.elements {
        return Err("index out of range in this data array".to_owned());
    }
    Ok((data, index))
}

fn values(def: &Def, words: &[&str]) -> Result<Vec<(DataType, u32, u64)>, String> {
    let mut list = Vec::new();
    for pair in words.chunks(2) {
        if !pair[0].starts_with("data.") {
            return Err("\"data.<type>\" followed by a value expected".to_owned());
        }
        let (data, index) = stored(def, pair[0])?;
        let value =
            pair.get(1).and_then(|v| v.parse::<i64>().ok()).ok_or("Require a valid integer value to store")?;
        list.push((data, index, value as u64));
    }
    Ok(list)
}

fn filters(def: &Def, words: &[&str]) -> Result<Vec<Filter>, String> {
    let mut list = Vec::new();
    for (at, words) in words.chunks(3).enumerate().take(FILTERS_MAX) {
        let entry = |text: &str| format!("Filter entry #{}: {text}", at + 1);
        let (data, index) = stored(def, words[0]).map_err(|text| entry(&text))?;
        let operator = match words.get(1).copied().unwrap_or_default() {
            "eq" => Operator::Eq,
            "ne" => Operator::Ne,
            "le" => Operator::Le,
            "ge" => Operator::Ge,
            "lt" => Operator::Lt,
            "gt" => Operator::Gt,
            _ => {
                return Err(entry("Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\""));
            }
        };
        let value = words.get(2).and_then(|v| v.parse::<i64>().ok());
        let value = value.ok_or_else(|| entry("Require a valid integer value to compare against"))?;
        list.push(Filter { data, index, operator, value });
    }
    Ok(list)
}

fn header(def: &Def, out: &mut Vec<u8>) {
    let (kind, size, used) = (def.key.name(), def.usage.size, def.usage.used());
    // Writing to a Vec cannot fail.
    let _ = writeln!(out, "# table: {}, type: {kind}, size:{size}, used:{used}", def.name);
}

fn line(control: &Control, def: &Def, entry: &Listed, now: Millis, out: &mut Vec<u8>) {
    let _ = write!(out, "{:#x}: key=", entry.id);
    def.key.write_text(&entry.key, out);
    let _ = write!(out, " use={} exp={} shard=0", entry.uses, entry.expires_ms);
    for column in def.layout.columns() {
        for index in 0..column.elements {
            cell(control, def, entry, (column, index), now, out);
        }
    }
    out.push(b'\n');
}

fn cell(
    control: &Control,
    def: &Def,
    entry: &Listed,
    (column, index): (&Column, u32),
    now: Millis,
    out: &mut Vec<u8>,
) {
    let value = def.layout.element(&entry.words, column, index, now);
    let name = match column.data {
        DataType::Gpt => format!("gpt{index}"),
        DataType::Gpc => format!("gpc{index}"),
        DataType::GpcRate => format!("gpc{index}_rate"),
        data => data.name().to_owned(),
    };
    let _ = match column.data {
        DataType::ServerKey => {
            let live = &control.shared.board.live;
            let server = server_of_word(value).and_then(|(proxy, server)| live.server(proxy, server));
            let text = match server {
                None => "-".to_owned(),
                Some(s) if def.server_key_address => s.address().map_or("-".to_owned(), |a| a.to_string()),
                Some(s) => s.settings.name.clone(),
            };
            write!(out, " {name}={text}")
        }
        data if data.is_rate() => write!(out, " {name}({})={value}", column.period_ms),
        _ => write!(out, " {name}={value}"),
    };
}
